"""Changes to batches of training images that keep their meaning. The random numbers are the default generator's,
in whose place a DataLoader puts one of the batch's own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..backend import array_module
from ..data import default_collate
from ..random import default_generator
from ..tensor import Tensor


class RandomShift:
    """Moves each image by its own whole number of pixels, up and down, left and right; what comes in is ``fill``.

    Args:
        limit: the largest move in pixels, along each axis.
        fill: the value of the background.
    Example:
        >>> RandomShift(0)(at.ones(1, 1, 2, 2)).tolist()
        [[[[1.0, 1.0], [1.0, 1.0]]]]
    """

    def __init__(self, limit: int, fill: float = 0.0) -> None:
        self.limit, self.fill = limit, fill

    def __call__(self, images: Tensor) -> Tensor:
        """Shifted copies of images (N, C, H, W)."""
        xp = array_module(images.data)
        N, C, H, W = images.shape
        p = self.limit
        padded = xp.full((N, C, H + 2 * p, W + 2 * p), self.fill, dtype=images.dtype)
        padded[:, :, p : p + H, p : p + W] = images.data
        shifted = xp.empty((N, C, H, W), dtype=images.dtype)
        for n, (top, left) in enumerate(default_generator.integers(0, 2 * p + 1, (N, 2)).tolist()):
            shifted[n] = padded[n, :, top : top + H, left : left + W]
        return Tensor(shifted)


class RandomFlip:
    """Mirrors half of the images, left to right.

    Example:
        >>> sorted({row[0] for row in RandomFlip()(at.tensor([[[[1.0, 2.0]]]] * 64)).reshape(64, 2).tolist()})
        [1.0, 2.0]
    """

    def __call__(self, images: Tensor) -> Tensor:
        """Copies of images (N, C, H, W), some of them mirrored."""
        xp = array_module(images.data)
        mirrored = xp.asarray(default_generator.uniform((len(images),)) < 0.5)
        return Tensor(xp.where(mirrored[:, None, None, None], images.data[..., ::-1], images.data))


class AugmentedBatch:
    """A ``collate_fn`` that makes a batch of (image, target) samples and changes its images.

    Example:
        >>> images, labels = AugmentedBatch(RandomShift(1))([(at.zeros(1, 4, 4), 3), (at.ones(1, 4, 4), 5)])
        >>> images.shape, labels.tolist()
        ((2, 1, 4, 4), [3, 5])
    """

    def __init__(self, *changes: Callable[[Tensor], Tensor]) -> None:
        self.changes = changes

    def __call__(self, samples: list[Any]) -> list[Any]:
        images, target = default_collate(samples)
        for change in self.changes:
            images = change(images)
        return [images, target]
