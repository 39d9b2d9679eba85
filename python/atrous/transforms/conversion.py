"""From images to tensors, and a user's own functions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..dtypes import as_dtype
from ..ops import from_numpy
from ..tensor import Tensor
from ..tv_tensors import BoundingBoxes, Mask
from . import functional as F
from .images import is_picture, size_of
from .transform import Transform, leaves, rebuilt


class ToTensor(Transform):
    """Makes a tensor (C, H, W) of a Pillow image or an array (H, W, C) or (H, W).

    Values of uint8 become float32 in [0, 1]; others stay what they are. In memory the channels stay side by side, which
    is what convolutions compute on. Of a sample, Pillow images and arrays are changed, and nothing else.

    Raises:
        TypeError, ValueError: it is no image.
    Example:
        >>> ToTensor()(np.full((1, 2, 3), 255, np.uint8)).tolist()
        [[[1.0, 1.0]], [[1.0, 1.0]], [[1.0, 1.0]]]
    """

    def __call__(self, *inputs: Any) -> Any:
        if len(inputs) == 1 and isinstance(inputs[0], Tensor):
            raise TypeError("ToTensor: got a Tensor; expected a Pillow image or an array (H, W, C)")
        if len(inputs) == 1 and not isinstance(inputs[0], (dict, tuple, np.ndarray)):
            size_of(inputs[0], "ToTensor")
        sample = inputs if len(inputs) > 1 else inputs[0]
        return rebuilt(sample, (self.transform(part, {}) for part in leaves(sample)))

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        if not isinstance(inpt, np.ndarray) and not is_picture(inpt):
            return inpt
        pixels = np.asarray(inpt)
        if pixels.ndim not in (2, 3):
            raise ValueError(f"ToTensor: the array has shape {pixels.shape}; expected (H, W, C) or (H, W)")
        if pixels.dtype == np.uint8:
            pixels = pixels / np.float32(255)
        elif not isinstance(inpt, np.ndarray):  # modes 1 and I;16 have no tensor dtype of their own
            pixels = pixels.astype({"b": np.float32, "u": np.int32}.get(pixels.dtype.kind, pixels.dtype))
        else:
            pixels = pixels.copy()
        return from_numpy(pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1))


class ToImage(Transform):
    """Makes an `atrous.tv_tensors.Image` of a Pillow image or a plain tensor (C, H, W); values stay what they are.

    Example:
        >>> from PIL import Image
        >>> image = ToDtype(at.float32, scale=True)(ToImage()(Image.new("L", (3, 2), 255)))
        >>> type(image).__name__, image.shape, image.max().item()
        ('Image', (1, 2, 3), 1.0)
    """

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        return F.to_image(inpt) if is_picture(inpt) or type(inpt) is Tensor else inpt


class PILToTensor(Transform):
    """Makes a tensor (C, H, W) of a Pillow image; values stay what they are, 0 to 255 of uint8.

    Example:
        >>> from PIL import Image
        >>> PILToTensor()(Image.new("RGB", (3, 2), "red"))[:, 0, 0].tolist()
        [255, 0, 0]
    """

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        return F.pil_to_tensor(inpt) if is_picture(inpt) else inpt


class ToDtype(Transform):
    """Converts the image to another dtype; masks and boxes stay what they are, unless a dict names their types.

    Args:
        dtype: the images' dtype; or a dict, ``{tv_tensors.Image: at.float32, tv_tensors.Mask: at.int64}``, where
            "others" is for types that it does not name, and None leaves them.
        scale: keep 0 and the brightest value what they are: 255 of uint8 is 1 of float.
    Raises:
        TypeError: no dtype, or a Pillow image.
    Example:
        >>> ToDtype(at.float32, scale=True)(at.full((1, 1, 1), 51, dtype=at.uint8)).item()
        0.20000000298023224
    """

    def __init__(self, dtype: Any, scale: bool = False) -> None:
        for given in dtype.values() if isinstance(dtype, dict) else [dtype]:
            if given is not None:
                as_dtype(given, "ToDtype")
        self.dtype, self.scale = dtype, scale

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        if isinstance(self.dtype, dict):
            wanted = self.dtype.get(type(inpt), self.dtype.get("others"))
        else:
            wanted = None if isinstance(inpt, (Mask, BoundingBoxes)) else self.dtype
        return inpt if wanted is None else F.to_dtype(inpt, wanted, self.scale)


class Lambda(Transform):
    """Calls a function of one's own with each part of a sample.

    Args:
        lambd: the function.
        types: of the parts it is for; all parts, labels included, unless given.
    Raises:
        TypeError: it cannot be called.
    Example:
        >>> Lambda(lambda image: image - 0.5)(at.ones(1, 1, 1)).item()
        0.5
    """

    def __init__(self, lambd: Callable[[Any], Any], *types: type) -> None:
        if not callable(lambd):
            raise TypeError(f"Lambda: got a {type(lambd).__name__}; expected a function of one image")
        self.lambd, self.types = lambd, types

    def __call__(self, *inputs: Any) -> Any:
        sample = inputs if len(inputs) > 1 else inputs[0]
        return rebuilt(sample, (self.transform(part, {}) for part in leaves(sample)))

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        return self.lambd(inpt) if isinstance(inpt, self.types or object) else inpt
