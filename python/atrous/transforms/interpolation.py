"""How pixels are resampled to another size."""

from __future__ import annotations

from enum import Enum
from typing import Any

from ..backend import array_module
from ..checks import require
from ..tensor import Tensor
from .images import is_picture, size_of


class InterpolationMode(Enum):
    """How pixels between pixels are computed; tensors take nearest and bilinear.

    Example:
        >>> InterpolationMode("bilinear")
        <InterpolationMode.BILINEAR: 'bilinear'>
    """

    NEAREST = "nearest"
    BILINEAR = "bilinear"
    BICUBIC = "bicubic"


def resized(image: Any, size: tuple[int, int], interpolation: InterpolationMode, antialias: bool) -> Any:
    """The image at another size (H, W).

    Raises:
        TypeError: an integer tensor. ValueError: bicubic on a tensor.
    Example:
        >>> resized(at.tensor([[[0.0, 1.0, 2.0, 3.0]]]), (1, 2), InterpolationMode.NEAREST, True).tolist()
        [[[0.0, 2.0]]]
    """
    H, W = size_of(image, "Resize")
    if size == (H, W):
        return image
    if is_picture(image):
        from PIL import Image

        return image.resize(size[::-1], Image.Resampling[interpolation.name])
    xp = array_module(image.data)
    if interpolation is InterpolationMode.NEAREST:
        rows, columns = (xp.arange(S) * L // S for L, S in zip((H, W), size, strict=True))
        return Tensor(image.data[..., rows[:, None], columns])
    require(interpolation is InterpolationMode.BILINEAR, "Resize", "tensors take nearest and bilinear alone")
    if not image.is_floating_point():
        raise TypeError(f"Resize: the tensor has dtype {image.dtype}; expected a float one, such as ToTensor gives")
    rows, columns = (_bilinear(L, S, antialias, image) for L, S in zip((H, W), size, strict=True))
    return rows @ image @ columns.transpose(0, 1)


def _bilinear(L: int, S: int, antialias: bool, like: Tensor) -> Tensor:
    """The matrix (S, L) that resamples L pixels in a row to S.

    Pixels are squares: output i has its centre at (i + ½) · L/S, and weighs the input's centres j + ½ by a triangle,
    one pixel wide to each side, or with antialias L/S where that is more. Pillow and PyTorch have the same.
    """
    xp, scale = array_module(like.data), L / S
    width = max(scale, 1.0) if antialias else 1.0
    centres = (xp.arange(S) + 0.5) * scale
    weights = xp.clip(1 - abs(xp.arange(L) + 0.5 - centres[:, None]) / width, 0, None)
    return Tensor((weights / weights.sum(1, keepdims=True)).astype(like.dtype))
