"""What the values of a data set's images are: for normalisation."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np

from ..ops import tensor
from ..tensor import Tensor


class Statistics(NamedTuple):
    """Of all pixels of all images, one number a channel; ``mean_image`` (C, H, W) where all images have one size.

    Example:
        >>> data.statistics([at.zeros(1, 1, 2), at.full((1, 1, 2), 4.0)]).mean_image.tolist()
        [[[2.0, 2.0]]]
    """

    images: int  # how many
    mean: list[float]
    std: list[float]
    minimum: list[float]
    maximum: list[float]
    mean_image: Tensor | None


def statistics(dataset: Any) -> Statistics:
    """Mean, standard deviation, least and greatest value of each channel, and the mean image, in one pass in float64.

    The deviation divides by n. For `transforms`: ``Normalize(s.mean, s.std)`` per channel; ``Normalize(s.minimum, [b -
    a for a, b in zip(s.minimum, s.maximum)])`` to [0, 1]; ``Lambda(lambda image: image - s.mean_image)``. Compute them
    on the training set alone, without augmentation.

    Args:
        dataset: something with samples by number, or that gives samples or batches, such as a `DataLoader`. A sample is
            an image (C, H, W), a batch images (N, C, H, W), or a tuple that begins with it.
    Raises:
        ValueError: there are no images, or they differ in their channels. TypeError: a sample is no tensor.
    Example:
        >>> s = data.statistics(data.TensorDataset(at.tensor([1.0, 3.0]).reshape(2, 1, 1, 1), at.tensor([0, 1])))
        >>> s.mean, s.std, s.minimum
        ([2.0], [1.0], [1.0])

    Source:
        Chan, Golub and LeVeque, Algorithms for computing the sample variance, 1983: how parts are put together.
    """
    images = pixels = 0
    mean = squares = least = most = picture = np.zeros(0)
    for batch in _batches(dataset):
        x = batch.transpose(1, 0, 2, 3).reshape(batch.shape[1], -1)  # (C, N · H · W)
        if images and len(x) != len(mean):
            raise ValueError(f"statistics: images have {len(mean)} and {len(x)} channels; expected as many in all")
        if not images:
            mean = squares = np.zeros(len(x))
            least, most, picture = np.full(len(x), np.inf), np.full(len(x), -np.inf), np.zeros(batch.shape[1:])
        n, its_mean = x.shape[1], x.mean(1)
        step = its_mean - mean
        squares = squares + ((x - its_mean[:, None]) ** 2).sum(1) + step**2 * (pixels * n / (pixels + n))
        mean = mean + step * (n / (pixels + n))
        least, most = np.minimum(least, x.min(1)), np.maximum(most, x.max(1))
        images, pixels = images + len(batch), pixels + n
        same = picture.shape == batch.shape[1:]
        picture = picture + (batch - picture).sum(0) / images if same else np.zeros(0)
    if not images:
        raise ValueError("statistics: the data set is empty; expected one image or more")
    std = np.sqrt(squares / pixels)
    mean_image = tensor(picture.astype(np.float32)) if picture.size else None
    return Statistics(images, mean.tolist(), std.tolist(), least.tolist(), most.tolist(), mean_image)


def _batches(dataset: Any) -> Iterator[np.ndarray]:
    """Images as float64 (N, C, H, W)."""
    by_number = hasattr(dataset, "__getitem__") and hasattr(dataset, "__len__")
    samples: Iterable[Any] = (dataset[i] for i in range(len(dataset))) if by_number else dataset
    for sample in samples:
        image = sample[0] if isinstance(sample, (tuple, list)) else sample
        if not isinstance(image, Tensor):
            raise TypeError(
                f"statistics: a sample is a {type(image).__name__}; expected a tensor, such as ToTensor gives"
            )
        if image.ndim not in (3, 4) or not image.numel():
            raise ValueError(f"statistics: an image has shape {image.shape}; expected (C, H, W) or (N, C, H, W)")
        array = np.asarray(image.detach().cpu().numpy(), np.float64)
        yield array if array.ndim == 4 else array[None]
