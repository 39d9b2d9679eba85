"""What transforms do alike to Pillow images and to tensors."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..backend import array_module
from ..dtypes import float64
from ..ops import flip
from ..random import default_generator
from ..tensor import Tensor


def size_of(image: Any, op: str) -> tuple[int, int]:
    """Height and width of a Pillow image or a tensor (..., C, H, W).

    Raises:
        TypeError: it is neither. ValueError: the tensor has fewer dimensions.
    Example:
        >>> size_of(at.zeros(3, 4, 5), "Resize")
        (4, 5)
    """
    if isinstance(image, Tensor):
        if image.ndim < 3:
            raise ValueError(f"{op}: the tensor has shape {image.shape}; expected (C, H, W)")
        return image.shape[-2], image.shape[-1]
    if not hasattr(image, "getbands"):
        raise TypeError(f"{op}: got a {type(image).__name__}; expected a Pillow image or a tensor (C, H, W)")
    return image.height, image.width


def draws(count: int) -> list[float]:
    """Numbers in [0, 1) from the default generator, two words each.

    Example:
        >>> len(draws(3))
        3
    """
    return default_generator.uniform((count,), float64).tolist()


def crop(image: Any, top: int, left: int, height: int, width: int) -> Any:
    """The part of an image that lies wholly inside it.

    Example:
        >>> crop(at.arange(12).reshape(1, 3, 4), 1, 2, 2, 2).tolist()
        [[[6, 7], [10, 11]]]
    """
    if isinstance(image, Tensor):
        return image[..., top : top + height, left : left + width]
    return image.crop((left, top, left + width, top + height))


def mirrored(image: Any) -> Any:
    """The image with left and right exchanged.

    Example:
        >>> mirrored(at.arange(3).reshape(1, 1, 3)).tolist()
        [[[2, 1, 0]]]
    """
    if isinstance(image, Tensor):
        return flip(image, (-1,))
    from PIL import ImageOps

    return ImageOps.mirror(image)


def padded(image: Any, padding: tuple[int, int, int, int], fill: Any, mode: str) -> Any:
    """The image with so many pixels more at its left, top, right and bottom.

    Example:
        >>> padded(at.ones(1, 1, 1), (1, 0, 2, 0), 0, "constant").tolist()
        [[[0.0, 1.0, 0.0, 0.0]]]
    """
    left, top, right, bottom = padding
    if not any(padding):
        return image
    if isinstance(image, Tensor):
        widths = [(0, 0)] * (image.ndim - 2) + [(top, bottom), (left, right)]
        values = np.reshape(fill, (-1, 1, 1)) if np.ndim(fill) else fill
        return Tensor(_padded_array(image.data, widths, values, mode))
    from PIL import Image

    pixels = np.asarray(image.convert("RGB") if image.mode == "P" else image)  # (H, W) or (H, W, C)
    widths = [(top, bottom), (left, right), (0, 0)][: pixels.ndim]
    return Image.fromarray(_padded_array(pixels, widths, fill, mode))


def _padded_array(x: Any, widths: list[tuple[int, int]], fill: Any, mode: str) -> Any:
    xp = array_module(x)
    if mode != "constant":
        return xp.pad(x, widths, mode=mode)
    y = xp.empty([n + before + after for n, (before, after) in zip(x.shape, widths, strict=True)], x.dtype)
    y[...] = fill
    y[tuple(slice(before, before + n) for n, (before, _) in zip(x.shape, widths, strict=True))] = x
    return y
