"""From images to tensors."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..ops import from_numpy
from ..tensor import Tensor
from .images import size_of


class ToTensor:
    """Makes a tensor (C, H, W) of a Pillow image or an array (H, W, C) or (H, W).

    Values of uint8 become float32 in [0, 1]; others stay what they are. In memory the channels stay side by side, which
    is what convolutions compute on.

    Raises:
        TypeError, ValueError: it is no image.
    Example:
        >>> ToTensor()(np.full((1, 2, 3), 255, np.uint8)).tolist()
        [[[1.0, 1.0]], [[1.0, 1.0]], [[1.0, 1.0]]]
    """

    def __call__(self, image: Any) -> Tensor:
        if not isinstance(image, np.ndarray):
            if isinstance(image, Tensor):
                raise TypeError("ToTensor: got a Tensor; expected a Pillow image or an array (H, W, C)")
            size_of(image, "ToTensor")
        pixels = np.asarray(image)
        if pixels.ndim not in (2, 3):
            raise ValueError(f"ToTensor: the array has shape {pixels.shape}; expected (H, W, C) or (H, W)")
        if pixels.dtype == np.uint8:
            pixels = pixels / np.float32(255)
        elif not isinstance(image, np.ndarray):  # modes 1 and I;16 have no tensor dtype of their own
            pixels = pixels.astype({"b": np.float32, "u": np.int32}.get(pixels.dtype.kind, pixels.dtype))
        else:
            pixels = pixels.copy()
        return from_numpy(pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1))

    def __repr__(self) -> str:
        return "ToTensor()"
