"""Colours: random changes of them, and the scale on which a network sees them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..checks import require
from ..ops import clamp, tensor
from ..tensor import Tensor
from .images import draws, size_of

Range = float | Sequence[float] | None


class ColorJitter:
    """Changes brightness, contrast and saturation by random factors, in random order.

    Takes a Pillow image or a float tensor (C, H, W) with values in [0, 1], of 1 or 3 channels. Each factor f blends the
    image with a simpler one, ``f · image + (1 − f) · other``: black, its mean grey, its grey version. There is no
    ``hue`` as in torchvision.

    Args:
        brightness, contrast, saturation: v for factors from max(0, 1 − v) to 1 + v, or (least, most).
    Raises:
        ValueError: no such range.
    Example:
        >>> ColorJitter(brightness=(0.5, 0.5))(at.ones(3, 1, 1)).flatten().tolist()
        [0.5, 0.5, 0.5]
    """

    def __init__(self, brightness: Range = None, contrast: Range = None, saturation: Range = None) -> None:
        self.brightness = _range(brightness, "brightness")
        self.contrast = _range(contrast, "contrast")
        self.saturation = _range(saturation, "saturation")

    def __call__(self, image: Any) -> Any:
        size_of(image, "ColorJitter")
        numbers = draws(6)
        blend = _blend_tensor if isinstance(image, Tensor) else _blend_picture
        ranges = [("Brightness", self.brightness), ("Contrast", self.contrast), ("Color", self.saturation)]
        for i in sorted(range(3), key=numbers.__getitem__):
            what, (least, most) = ranges[i]
            if (least, most) != (1, 1):
                image = blend(image, what, least + numbers[3 + i] * (most - least))
        return image

    def __repr__(self) -> str:
        return f"ColorJitter(brightness={self.brightness}, contrast={self.contrast}, saturation={self.saturation})"


def _range(value: Any, name: str) -> tuple[float, float]:
    if value is None:
        return 1.0, 1.0
    if isinstance(value, (int, float)):
        require(value >= 0, "ColorJitter", f"{name} is {value}; expected 0 or more")
        return max(0.0, 1.0 - value), 1.0 + value
    fits = len(value) == 2 and 0 <= value[0] <= value[1]
    require(fits, "ColorJitter", f"{name} is {value}; expected (least, most), 0 or more")
    return float(value[0]), float(value[1])


def _blend_picture(picture: Any, what: str, factor: float) -> Any:
    from PIL import ImageEnhance

    return getattr(ImageEnhance, what)(picture).enhance(factor)


def _blend_tensor(image: Tensor, what: str, factor: float) -> Tensor:
    C = image.shape[-3]
    if C not in (1, 3) or image.dtype.kind != "f":
        raise ValueError(
            f"ColorJitter: the tensor has dtype {image.dtype} and shape {image.shape}; expected a float one of 1 or 3 "
            "channels"
        )
    if what == "Brightness":
        return clamp(image * factor, 0, 1)
    red, green, blue = (image[..., c : c + 1, :, :] for c in ((0, 1, 2) if C == 3 else (0, 0, 0)))
    grey = 0.2989 * red + 0.587 * green + 0.114 * blue if C == 3 else red  # ITU-R 601-2 luma, as torchvision rounds it
    other = grey.mean((-3, -2, -1), keepdim=True) if what == "Contrast" else grey
    return clamp(factor * image + (1 - factor) * other, 0, 1)


class Normalize:
    """Subtracts a mean from each channel and divides it by a standard deviation. Takes a float tensor (C, H, W).

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
        self.mean, self.std = [float(m) for m in mean], [float(s) for s in std]
        same = len(self.mean) == len(self.std) > 0
        require(same, "Normalize", f"there are {len(self.mean)} means and {len(self.std)} stds; expected as many")
        require(all(s > 0 for s in self.std), "Normalize", f"std is {self.std}; expected all above 0")
        self.inplace = inplace

    def __call__(self, image: Tensor) -> Tensor:
        if not isinstance(image, Tensor) or image.dtype.kind != "f":
            kind = f"tensor of {image.dtype}" if isinstance(image, Tensor) else type(image).__name__
            raise TypeError(f"Normalize: got a {kind}; expected a float tensor, such as ToTensor gives")
        size_of(image, "Normalize")
        C = image.shape[-3]
        require(len(self.mean) in (1, C), "Normalize", f"the tensor has {C} channels; expected {len(self.mean)}")
        mean, std = (tensor(values, dtype=image.dtype).reshape(-1, 1, 1) for values in (self.mean, self.std))
        return image.sub_(mean).div_(std) if self.inplace else (image - mean) / std

    def __repr__(self) -> str:
        return f"Normalize(mean={self.mean}, std={self.std}, inplace={self.inplace})"
