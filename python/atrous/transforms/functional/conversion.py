"""From images to tensors, and from one dtype to another."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...dtypes import as_dtype, is_floating
from ...ops import from_numpy
from ...tensor import Tensor
from ...tv_tensors import BoundingBoxes, Image, Mask, wrap
from ..images import is_picture, size_of


def pil_to_tensor(pic: Any) -> Tensor:
    """The values of a Pillow image as they are, (C, H, W): uint8 for most.

    Example:
        >>> from PIL import Image as Pillow
        >>> pil_to_tensor(Pillow.new("RGB", (3, 2), "red"))[:, 0, 0].tolist()
        [255, 0, 0]
    """
    if not is_picture(pic):
        raise TypeError(f"pil_to_tensor: got a {type(pic).__name__}; expected a Pillow image")
    return _tensor(np.array(pic), own=True)


def to_image(inpt: Any) -> Image:
    """A Pillow image, an array (H, W, C) or (H, W), or a tensor (C, H, W) as an `atrous.tv_tensors.Image`.

    Example:
        >>> to_image(np.zeros((2, 3), np.uint8)).shape
        (1, 2, 3)
    """
    if isinstance(inpt, np.ndarray):
        if inpt.ndim not in (2, 3):
            raise ValueError(f"to_image: the array has shape {inpt.shape}; expected (H, W, C) or (H, W)")
        return Image(_tensor(inpt, own=False))
    size_of(inpt, "to_image")
    return Image(inpt if isinstance(inpt, Tensor) else pil_to_tensor(inpt))


def _tensor(pixels: np.ndarray, own: bool) -> Tensor:
    if pixels.dtype.kind == "b":
        pixels = pixels * np.uint8(255)
    elif pixels.dtype == np.uint16:  # no tensor has this dtype
        pixels = pixels.astype(np.int32)
    elif not own:
        pixels = pixels.copy()
    return from_numpy(pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1))


def to_dtype(inpt: Any, dtype: Any = np.float32, scale: bool = False) -> Any:
    """The tensor in another dtype.

    Args:
        dtype: the dtype.
        scale: keep 0 and the brightest value what they are: 255 of uint8 is 1 of float. Masks and boxes never scale.
    Raises:
        RuntimeError: float32 to int32 or int64 with scale, as in torchvision: there are not as many floats.
    Example:
        >>> to_dtype(at.tensor([[[0, 255]]], dtype=at.uint8), at.float32, scale=True).tolist()
        [[[0.0, 1.0]]]
    """
    if not isinstance(inpt, Tensor):
        raise TypeError(f"to_dtype: got a {type(inpt).__name__}; expected a tensor, such as ToImage gives")
    old, new = inpt.dtype, as_dtype(dtype, "to_dtype")
    if old == new:
        return inpt
    if not scale or isinstance(inpt, (Mask, BoundingBoxes)) or (is_floating(old) and is_floating(new)):
        return wrap(inpt.to(dtype=new), like=inpt)
    if is_floating(old):
        if new.itemsize >= old.itemsize:
            raise RuntimeError(f"to_dtype: {old} has too few digits for all of {new}; expected a smaller type")
        return wrap((inpt * (_largest(new) + 1 - 1e-3)).to(dtype=new), like=inpt)  # equal shares for all integers
    if is_floating(new):
        return wrap(inpt.to(dtype=new) / _largest(old), like=inpt)
    bits = _largest(new).bit_length() - _largest(old).bit_length()
    return wrap(inpt.to(dtype=new) * 2**bits if bits > 0 else (inpt // 2**-bits).to(dtype=new), like=inpt)


def _largest(dtype: np.dtype) -> int:
    return 1 if dtype.kind == "b" else int(np.iinfo(dtype).max)
