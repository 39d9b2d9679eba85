"""Changes to training images that keep their meaning."""

from __future__ import annotations

from ..backend import array_module
from ..random import Generator
from ..tensor import Tensor


class RandomShift:
    """Moves each image by its own whole number of pixels, up and down, left and right; what comes in is ``fill``.

    Args:
        limit: the largest move in pixels, along each axis.
        generator: source of the moves.
        fill: the value of the background.
    Example:
        >>> RandomShift(0, Generator(0))(at.ones(1, 1, 2, 2)).tolist()
        [[[[1.0, 1.0], [1.0, 1.0]]]]
    """

    def __init__(self, limit: int, generator: Generator, fill: float = 0.0) -> None:
        self.limit, self.generator, self.fill = limit, generator, fill

    def __call__(self, images: Tensor) -> Tensor:
        """Shifted copies of images (N, C, H, W)."""
        xp = array_module(images.data)
        N, C, H, W = images.shape
        p = self.limit
        padded = xp.full((N, C, H + 2 * p, W + 2 * p), self.fill, dtype=images.dtype)
        padded[:, :, p : p + H, p : p + W] = images.data
        shifted = xp.empty((N, C, H, W), dtype=images.dtype)
        for n, (top, left) in enumerate(self.generator.integers(0, 2 * p + 1, (N, 2)).tolist()):
            shifted[n] = padded[n, :, top : top + H, left : left + W]
        return Tensor(shifted)
