"""The scale on which a network sees the values of an image."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..backend import array_module
from ..checks import require
from ..tensor import Tensor
from ..tv_tensors import BoundingBoxes, Mask, wrap
from .functional import normalize
from .images import float_image
from .transform import Transform


class Normalize(Transform):
    """Subtracts a mean from each channel and divides it by a standard deviation. Takes a float tensor (C, H, W).

    `data.statistics` computes both from a data set. ``Normalize([128], [128])`` brings 0 to 255 to −1 to 1.

    Args:
        mean, std: one number a channel, or one for all.
        inplace: write the result over the tensor and return it.
    Raises:
        ValueError: a std of 0, lengths that differ, or other channels. TypeError: not a float tensor.
    Example:
        >>> Normalize([0.5], [0.25])(at.ones(1, 1, 1)).item()
        2.0
    """

    def __init__(self, mean: Sequence[float], std: Sequence[float], inplace: bool = False) -> None:
        for name, value in (("mean", mean), ("std", std)):
            if isinstance(value, (int, float)):
                raise TypeError(f"Normalize: {name} is {value}; expected one number a channel, such as [{value}]")
        self.mean, self.std = [float(m) for m in mean], [float(s) for s in std]
        same = len(self.mean) == len(self.std) > 0
        require(same, "Normalize", f"there are {len(self.mean)} means and {len(self.std)} stds; expected as many")
        require(all(s > 0 for s in self.std), "Normalize", f"std is {self.std}; expected all above 0")
        self.inplace = inplace

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        return normalize(inpt, self.mean, self.std, self.inplace)


class Standardize(Transform):
    """Gives each image mean 0 and deviation 1, over all its values: ``(image − mean) / max(std, 1/√n)``.

    n is the number of values; the bound keeps an image of one colour from a division by 0. It is
    TensorFlow's per_image_standardization; torchvision has no such class. Takes a float tensor (C, H, W); of a batch
    each image by itself.

    Example:
        >>> Standardize()(at.tensor([[[1.0, 3.0]]])).tolist()
        [[[-1.0, 1.0]]]
    """

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        if isinstance(inpt, (Mask, BoundingBoxes)):
            return inpt
        x = float_image(inpt, "Standardize").data
        xp, axes = array_module(x), (-3, -2, -1)
        centred = x - x.mean(axes, keepdims=True)
        std = xp.sqrt((centred * centred).mean(axes, keepdims=True))
        return wrap(Tensor(centred / xp.maximum(std, (x.shape[-3] * x.shape[-2] * x.shape[-1]) ** -0.5)), like=inpt)


class MinMaxScale(Transform):
    """Stretches each image to the whole range: its least value becomes ``low``, its greatest ``high``.

    ``low + (image − min) / (max − min) · (high − low)``; an image of one colour becomes ``low``. torchvision has
    no such class. Takes a float tensor (C, H, W); of a batch each image by itself.

    Raises:
        ValueError: low is not below high.
    Example:
        >>> MinMaxScale()(at.tensor([[[2.0, 3.0, 6.0]]])).tolist()
        [[[0.0, 0.25, 1.0]]]
    """

    def __init__(self, low: float = 0.0, high: float = 1.0) -> None:
        require(low < high, "MinMaxScale", f"low is {low}, high is {high}; expected low < high")
        self.low, self.high = low, high

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        if isinstance(inpt, (Mask, BoundingBoxes)):
            return inpt
        x = float_image(inpt, "MinMaxScale").data
        xp, axes = array_module(x), (-3, -2, -1)
        least, range_ = x.min(axes, keepdims=True), x.max(axes, keepdims=True) - x.min(axes, keepdims=True)
        share = (x - least) / xp.where(range_ == 0, 1, range_)
        return wrap(Tensor(self.low + share * (self.high - self.low)), like=inpt)
