"""What transforms ask of an image, a mask or boxes, and where their random numbers come from."""

from __future__ import annotations

from typing import Any

from ..backend import array_module
from ..dtypes import float64
from ..random import Generator, default_generator
from ..tensor import Tensor
from ..tv_tensors import BoundingBoxes, Mask


def is_picture(inpt: Any) -> bool:
    """Whether this is a Pillow image, for which Pillow need not be there.

    Example:
        >>> is_picture(at.zeros(1, 2, 2))
        False
    """
    return hasattr(inpt, "getbands")


def size_of(inpt: Any, op: str) -> tuple[int, int]:
    """Height and width of a Pillow image, a tensor (..., C, H, W), a mask, or the canvas of boxes.

    Raises:
        TypeError: it is none of these. ValueError: the tensor has fewer dimensions.
    Example:
        >>> size_of(at.zeros(3, 4, 5), "Resize")
        (4, 5)
    """
    if isinstance(inpt, BoundingBoxes):
        return inpt.canvas_size
    if isinstance(inpt, Tensor):
        if inpt.ndim < 3 and not isinstance(inpt, Mask):
            raise ValueError(f"{op}: the tensor has shape {inpt.shape}; expected (C, H, W)")
        return inpt.shape[-2], inpt.shape[-1]
    if not is_picture(inpt):
        raise TypeError(f"{op}: got a {type(inpt).__name__}; expected a Pillow image or a tensor (C, H, W)")
    return inpt.height, inpt.width


def common_size(inputs: list[Any], op: str) -> tuple[int, int]:
    """The size that all have.

    Raises:
        ValueError: they differ.
    Example:
        >>> common_size([at.zeros(3, 4, 5), Mask(at.zeros(4, 5))], "RandomCrop")
        (4, 5)
    """
    sizes = sorted({size_of(inpt, op) for inpt in inputs})
    if len(sizes) > 1:
        raise ValueError(f"{op}: image, mask and boxes of one sample have sizes {sizes}; expected one size")
    return sizes[0]


def float_image(image: Any, op: str, channels: tuple[int, ...] = ()) -> Tensor:
    """The image, a float tensor with so many channels.

    Raises:
        TypeError, ValueError: it is something else.
    Example:
        >>> float_image(at.zeros(3, 4, 5), "adjust_hue", (1, 3)).shape
        (3, 4, 5)
    """
    size_of(image, op)
    if not isinstance(image, Tensor) or not image.is_floating_point():
        kind = f"tensor of {image.dtype}" if isinstance(image, Tensor) else type(image).__name__
        raise TypeError(f"{op}: got a {kind}; expected a float tensor, such as ToTensor gives")
    if channels and image.shape[-3] not in channels:
        raise ValueError(
            f"{op}: the tensor has shape {image.shape}; expected {' or '.join(map(str, channels))} channels"
        )
    return image


def beside(image: Tensor, values: Any) -> Tensor:
    """Numbers as a tensor of the image's dtype, where the image is.

    Example:
        >>> beside(at.zeros(1, 1, 1), [1, 2]).tolist()
        [1.0, 2.0]
    """
    return Tensor(array_module(image.data).asarray(values, image.dtype))


def fill_of(fill: Any, inpt: Any) -> Any:
    """The value for pixels from outside, out of a number, one a channel, or a dict of these by type.

    One number is for masks too; numbers for each channel are for images alone, and masks get 0.

    Example:
        >>> fill_of({Mask: 255, "others": 0}, Mask(at.zeros(2, 2)))
        255
    """
    if isinstance(fill, dict):
        fill = fill.get(type(inpt), fill.get("others", 0))
    return 0 if isinstance(inpt, Mask) and isinstance(fill, (tuple, list)) else fill


def draws(count: int) -> list[float]:
    """Numbers in [0, 1) from the default generator, two words each.

    Example:
        >>> len(draws(3))
        3
    """
    return default_generator.uniform((count,), float64).tolist()


def spawned() -> Generator:
    """A generator of its own with a seed from the default one, two words: for what draws more or less each time.

    Example:
        >>> spawned().uniform((2,)).shape
        (2,)
    """
    low, high = default_generator.bits(2).tolist()
    return Generator(low | high << 32)
