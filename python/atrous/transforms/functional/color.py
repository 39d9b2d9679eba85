"""Colours: of Pillow images, and of float tensors (..., C, H, W) with values in [0, 1] and 1 or 3 channels."""

from __future__ import annotations

from typing import Any

from ...backend import array_module
from ...checks import require
from ...ops import cat, clamp
from ...tensor import Tensor
from ...tv_tensors import BoundingBoxes, Mask, wrap
from ..images import float_image, is_picture, size_of


def _blended(image: Any, factor: float, op: str, enhancer: str, other: Any) -> Any:
    """``factor · image + (1 − factor) · other(image)``, by Pillow's class of this name for its images."""
    require(factor >= 0, op, f"the factor is {factor}; expected 0 or more")
    if isinstance(image, (Mask, BoundingBoxes)):
        return image
    if is_picture(image):
        from PIL import ImageEnhance

        return getattr(ImageEnhance, enhancer)(image).enhance(factor)
    x = float_image(image, op, (1, 3))
    return wrap(clamp(factor * x + (1 - factor) * other(x), 0, 1), like=image)


def adjust_brightness(inpt: Any, brightness_factor: float) -> Any:
    """Multiplies the values, and cuts off at 1.

    Example:
        >>> adjust_brightness(at.full((1, 1, 1), 0.25), 2.0).item()
        0.5
    """
    return _blended(inpt, brightness_factor, "adjust_brightness", "Brightness", lambda x: 0.0)


def adjust_contrast(inpt: Any, contrast_factor: float) -> Any:
    """Blends the image with its mean grey: ``f · image + (1 − f) · mean``.

    Example:
        >>> adjust_contrast(at.tensor([[[0.0, 1.0]]]), 0.5).tolist()
        [[[0.25, 0.75]]]
    """
    return _blended(
        inpt, contrast_factor, "adjust_contrast", "Contrast", lambda x: _grey(x).mean((-3, -2, -1), keepdim=True)
    )


def adjust_saturation(inpt: Any, saturation_factor: float) -> Any:
    """Blends the image with its grey version: ``f · image + (1 − f) · grey``.

    Example:
        >>> adjust_saturation(at.tensor([1.0, 0.0, 0.0]).reshape(3, 1, 1), 0.0).shape
        (3, 1, 1)
    """
    return _blended(inpt, saturation_factor, "adjust_saturation", "Color", _grey)


def _grey(x: Tensor) -> Tensor:
    """ITU-R 601-2 luma, as torchvision rounds it, (..., 1, H, W)."""
    if x.shape[-3] == 1:
        return x
    red, green, blue = (x[..., c : c + 1, :, :] for c in range(3))
    return 0.2989 * red + 0.587 * green + 0.114 * blue


def rgb_to_grayscale(inpt: Any, num_output_channels: int = 1) -> Any:
    """Grey, in one channel or three equal ones.

    Example:
        >>> rgb_to_grayscale(at.ones(3, 2, 2)).shape
        (1, 2, 2)
    """
    op = "rgb_to_grayscale"
    require(num_output_channels in (1, 3), op, f"num_output_channels is {num_output_channels}; expected 1 or 3")
    if isinstance(inpt, (Mask, BoundingBoxes)):
        return inpt
    if is_picture(inpt):
        return inpt.convert("L") if num_output_channels == 1 else inpt.convert("L").convert("RGB")
    grey = _grey(float_image(inpt, op, (1, 3)))
    return wrap(cat([grey] * 3, -3) if num_output_channels == 3 else grey, like=inpt)


def adjust_gamma(inpt: Any, gamma: float, gain: float = 1) -> Any:
    """``gain · image^gamma``: gamma above 1 makes shadows darker, below 1 brighter.

    Example:
        >>> adjust_gamma(at.full((1, 1, 1), 0.5), 2.0).item()
        0.25
    """
    require(gamma >= 0, "adjust_gamma", f"gamma is {gamma}; expected 0 or more")
    if isinstance(inpt, (Mask, BoundingBoxes)):
        return inpt
    if is_picture(inpt):
        table = [min(int((255 + 1 - 1e-3) * gain * (v / 255) ** gamma), 255) for v in range(256)]
        return inpt.point(table * len(inpt.getbands()))
    x = float_image(inpt, "adjust_gamma") ** gamma
    return wrap(x if gain == 1 else clamp(gain * x, 0, 1), like=inpt)


def invert(inpt: Any) -> Any:
    """The negative: ``1 − image``.

    Example:
        >>> invert(at.full((1, 1, 1), 0.25)).item()
        0.75
    """
    if isinstance(inpt, (Mask, BoundingBoxes)):
        return inpt
    if is_picture(inpt):
        from PIL import ImageOps

        return ImageOps.invert(inpt)
    return wrap(1 - float_image(inpt, "invert"), like=inpt)


def solarize(inpt: Any, threshold: float) -> Any:
    """The negative of the values from a threshold on (of 0 to 255 in Pillow images).

    Example:
        >>> solarize(at.tensor([[[0.2, 0.75]]]), 0.5)
        tensor([[[0.2000, 0.2500]]])
    """
    if isinstance(inpt, (Mask, BoundingBoxes)):
        return inpt
    if is_picture(inpt):
        from PIL import ImageOps

        return ImageOps.solarize(inpt, threshold)  # type: ignore[arg-type]  # Pillow compares with it
    x = float_image(inpt, "solarize").data
    return wrap(Tensor(array_module(x).where(x >= threshold, 1 - x, x)), like=inpt)


def posterize(inpt: Any, bits: int) -> Any:
    """So many bits a value are left: 2^bits levels.

    Example:
        >>> posterize(at.tensor([[[0.2, 0.75]]]), 1)
        tensor([[[0.0000, 0.5000]]])
    """
    require(bits in range(9), "posterize", f"bits is {bits}; expected 0 to 8")
    if isinstance(inpt, (Mask, BoundingBoxes)):
        return inpt
    if is_picture(inpt):
        from PIL import ImageOps

        return ImageOps.posterize(inpt, bits)
    x, levels = float_image(inpt, "posterize").data, 1 << bits
    xp = array_module(x)
    return wrap(Tensor(xp.clip(xp.floor(x * levels), 0, levels - 1) / levels), like=inpt)


def adjust_hue(inpt: Any, hue_factor: float) -> Any:
    """Turns the hue by a share of the whole circle; grey stays grey.

    Args:
        hue_factor: −0.5 to 0.5, both of which are the opposite colours.
    Example:
        >>> adjust_hue(at.tensor([1.0, 0.0, 0.0]).reshape(3, 1, 1), 0.5).flatten().tolist()
        [0.0, 1.0, 1.0]
    """
    require(-0.5 <= hue_factor <= 0.5, "adjust_hue", f"hue_factor is {hue_factor}; expected -0.5 to 0.5")
    if isinstance(inpt, (Mask, BoundingBoxes)):
        return inpt
    size_of(inpt, "adjust_hue")
    if is_picture(inpt):
        from PIL import Image

        if inpt.mode in ("L", "1", "I", "F"):
            return inpt
        hue, saturation, value = inpt.convert("HSV").split()
        hue = hue.point([(v + int(hue_factor * 255)) % 256 for v in range(256)])
        return Image.merge("HSV", (hue, saturation, value)).convert(inpt.mode)
    x = float_image(inpt, "adjust_hue", (1, 3))
    return inpt if x.shape[-3] == 1 else wrap(Tensor(_turned(x.data, hue_factor)), like=inpt)


def _turned(rgb: Any, turn: float) -> Any:
    """With h the hue in sixths of the circle, channel n ∈ {5, 3, 1} is ``v − v·s·max(0, min(k, 4 − k, 1))`` for
    k = (n + h) mod 6 (Smith, Color gamut transform pairs, 1978)."""
    xp = array_module(rgb)
    value, least = rgb.max(-3, keepdims=True), rgb.min(-3, keepdims=True)
    range_ = value - least
    red, green, blue = (rgb[..., c : c + 1, :, :] for c in range(3))
    by = xp.where(range_ == 0, 1, range_)
    hue = xp.where(
        value == red, (green - blue) / by, xp.where(value == green, 2 + (blue - red) / by, 4 + (red - green) / by)
    )
    k = (xp.asarray([5, 3, 1], rgb.dtype).reshape(3, 1, 1) + hue + 6 * turn) % 6
    return (value - range_ * xp.clip(xp.minimum(k, 4 - k), 0, 1)).astype(rgb.dtype)
