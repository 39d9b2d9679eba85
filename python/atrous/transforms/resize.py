"""Resize, and how pixels are resampled."""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from typing import Any

from ..backend import array_module
from ..checks import pair, require
from ..tensor import Tensor
from .images import size_of


class InterpolationMode(Enum):
    """How pixels between pixels are computed; tensors take nearest and bilinear.

    Example:
        >>> InterpolationMode("bilinear")
        <InterpolationMode.BILINEAR: 'bilinear'>
    """

    NEAREST = "nearest"
    BILINEAR = "bilinear"
    BICUBIC = "bicubic"


class Resize:
    """Scales an image to another size. Takes a Pillow image or a float tensor (C, H, W).

    Args:
        size: (H, W); or one int, which the shorter side gets while the other keeps the proportion.
        interpolation: an `InterpolationMode` or its value.
        max_size: an upper limit for the longer side, where size is one int.
        antialias: where a tensor shrinks, average over all its pixels; Pillow always does.
    Raises:
        ValueError: no such size or interpolation.
    Example:
        >>> Resize(4)(at.ones(3, 8, 16)).shape
        (3, 4, 8)
    """

    def __init__(
        self,
        size: int | Sequence[int] | None,
        interpolation: InterpolationMode | str = InterpolationMode.BILINEAR,
        max_size: int | None = None,
        antialias: bool | None = True,
    ) -> None:
        require(size is not None, "Resize", "size is None; expected one int or (H, W)")
        H, W = pair(size, "Resize", "size")
        self.size = (H,) if isinstance(size, int) or len(size) == 1 else (H, W)  # type: ignore[arg-type]
        require(min(self.size) > 0, "Resize", f"size is {size}; expected 1 or more")
        fits = max_size is None or (len(self.size) == 1 and max_size > self.size[0])
        require(fits, "Resize", f"max_size is {max_size}; expected more than size, and size one int, not {size}")
        self.interpolation, self.max_size, self.antialias = InterpolationMode(interpolation), max_size, antialias

    def __call__(self, image: Any) -> Any:
        H, W = size_of(image, "Resize")
        size = self.size if len(self.size) == 2 else _short_side(H, W, self.size[0], self.max_size)
        return resized(image, (size[0], size[1]), self.interpolation, bool(self.antialias))

    def __repr__(self) -> str:
        limit = f", max_size={self.max_size}" if self.max_size else ""
        return f"Resize(size={list(self.size)}, interpolation={self.interpolation}{limit}, antialias={self.antialias})"


def _short_side(H: int, W: int, size: int, max_size: int | None) -> tuple[int, int]:
    short, long = min(H, W), max(H, W)
    new_short, new_long = size, int(size * long / short)
    if max_size is not None and new_long > max_size:
        new_short, new_long = int(max_size * new_short / new_long), max_size
    return (new_short, new_long) if H <= W else (new_long, new_short)


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
    if not isinstance(image, Tensor):
        from PIL import Image

        return image.resize(size[::-1], Image.Resampling[interpolation.name])
    xp = array_module(image.data)
    if interpolation is InterpolationMode.NEAREST:
        rows, columns = (xp.arange(S) * L // S for L, S in zip((H, W), size, strict=True))
        return Tensor(image.data[..., rows[:, None], columns])
    require(interpolation is InterpolationMode.BILINEAR, "Resize", "tensors take nearest and bilinear alone")
    if image.dtype.kind != "f":
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
