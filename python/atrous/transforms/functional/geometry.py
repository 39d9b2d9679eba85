"""Parts of images, margins, mirror images and sizes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ...backend import array_module
from ...checks import pair, require
from ...ops import flip
from ...tensor import Tensor
from ...tv_tensors import BoundingBoxes, Mask, wrap
from ..images import beside, is_picture, size_of
from ..interpolation import InterpolationMode, resized
from .boxes import corners, with_corners

PADDING_MODES = ("constant", "edge", "reflect", "symmetric")


def get_size(inpt: Any) -> list[int]:
    """Height and width of an image or mask, or of the canvas of boxes.

    Example:
        >>> get_size(at.zeros(3, 4, 5))
        [4, 5]
    """
    return list(size_of(inpt, "get_size"))


def horizontal_flip(inpt: Any) -> Any:
    """Left and right exchanged.

    Example:
        >>> horizontal_flip(at.arange(3).reshape(1, 1, 3)).tolist()
        [[[2, 1, 0]]]
    """
    return _flip(inpt, 1, "horizontal_flip")


def vertical_flip(inpt: Any) -> Any:
    """Top and bottom exchanged.

    Example:
        >>> vertical_flip(at.arange(3).reshape(1, 3, 1)).flatten().tolist()
        [2, 1, 0]
    """
    return _flip(inpt, 0, "vertical_flip")


def _flip(inpt: Any, axis: int, op: str) -> Any:
    size = size_of(inpt, op)
    if isinstance(inpt, BoundingBoxes):
        xyxy = corners(inpt)
        near, far = (0, 2) if axis == 1 else (1, 3)
        xyxy[:, [near, far]] = size[axis] - xyxy[:, [far, near]]
        return with_corners(inpt, xyxy, clamp=False)
    if isinstance(inpt, Tensor):
        return wrap(flip(inpt, (axis - 2,)), like=inpt)
    from PIL import ImageOps

    return ImageOps.mirror(inpt) if axis == 1 else ImageOps.flip(inpt)


def crop(inpt: Any, top: int, left: int, height: int, width: int) -> Any:
    """A part of the image; what lies outside is 0. Boxes are cut off at its border.

    Example:
        >>> crop(at.arange(12).reshape(1, 3, 4), 1, 2, 2, 3).tolist()
        [[[6, 7, 0], [10, 11, 0]]]
    """
    size_of(inpt, "crop")
    if isinstance(inpt, BoundingBoxes):
        return with_corners(inpt, corners(inpt) - _row(inpt, left, top, left, top), (height, width))
    if is_picture(inpt):
        return inpt.crop((left, top, left + width, top + height))
    rows, columns = slice(max(top, 0), max(top + height, 0)), slice(max(left, 0), max(left + width, 0))
    part = inpt[..., rows, columns]
    h, w = part.shape[-2:]
    before = min(max(-left, 0), width - w), min(max(-top, 0), height - h)
    return wrap(padded(part, (*before, width - w - before[0], height - h - before[1]), 0, "constant"), like=inpt)


def _row(boxes: BoundingBoxes, *numbers: float) -> Any:
    return array_module(boxes.data).asarray(numbers)


def center_crop(inpt: Any, output_size: int | Sequence[int]) -> Any:
    """The middle; where the image is smaller, black comes around it.

    Example:
        >>> center_crop(at.arange(16).reshape(1, 4, 4), 2).tolist()
        [[[5, 6], [9, 10]]]
    """
    (H, W), (h, w) = size_of(inpt, "center_crop"), pair(output_size, "center_crop", "output_size")
    more_h, more_w = max(h - H, 0), max(w - W, 0)
    top, left = round((H + more_h - h) / 2), round((W + more_w - w) / 2)
    return crop(inpt, top - more_h // 2, left - more_w // 2, h, w)


def five_crop(inpt: Any, size: int | Sequence[int]) -> tuple[Any, ...]:
    """Top left, top right, bottom left and bottom right corner, and the middle.

    Raises:
        ValueError: the image is smaller.
    Example:
        >>> [part.item() for part in five_crop(at.arange(9).reshape(1, 3, 3), 1)]
        [0, 2, 6, 8, 4]
    """
    (H, W), (h, w) = size_of(inpt, "five_crop"), pair(size, "five_crop", "size")
    require(h <= H and w <= W, "five_crop", f"the image has {H} × {W} pixels; expected {h} × {w} or more")
    places = ((0, 0), (0, W - w), (H - h, 0), (H - h, W - w))
    return (*(crop(inpt, top, left, h, w) for top, left in places), center_crop(inpt, (h, w)))


def ten_crop(inpt: Any, size: int | Sequence[int], vertical_flip: bool = False) -> tuple[Any, ...]:
    """The five crops of the image, then those of its mirror image, left to right or top to bottom.

    Raises:
        ValueError: the image is smaller.
    Example:
        >>> [part.item() for part in ten_crop(at.arange(9).reshape(1, 3, 3), 1)]
        [0, 2, 6, 8, 4, 2, 0, 8, 6, 4]
    """
    return five_crop(inpt, size) + five_crop(_flip(inpt, 0 if vertical_flip else 1, "ten_crop"), size)


def resize(
    inpt: Any,
    size: int | Sequence[int],
    interpolation: InterpolationMode | str = InterpolationMode.BILINEAR,
    max_size: int | None = None,
    antialias: bool | None = True,
) -> Any:
    """The image at another size: (H, W), or one int for the shorter side; see `Resize`.

    Example:
        >>> resize(at.ones(3, 4, 6), 2).shape
        (3, 2, 3)
    """
    H, W = size_of(inpt, "resize")
    if isinstance(size, int) or len(size) == 1:
        h, w = _short_side(H, W, size if isinstance(size, int) else size[0], max_size)
    else:
        h, w = pair(size, "resize", "size")
    if isinstance(inpt, BoundingBoxes):
        return with_corners(inpt, corners(inpt) * _row(inpt, w / W, h / H, w / W, h / H), (h, w), clamp=False)
    if isinstance(inpt, Mask):
        interpolation = InterpolationMode.NEAREST
    made = resized(inpt, (h, w), InterpolationMode(interpolation), bool(antialias))
    return wrap(made, like=inpt) if isinstance(inpt, Tensor) and made is not inpt else made


def _short_side(H: int, W: int, size: int, max_size: int | None) -> tuple[int, int]:
    short, long = min(H, W), max(H, W)
    new_short, new_long = size, int(size * long / short)
    if max_size is not None and new_long > max_size:
        new_short, new_long = int(max_size * new_short / new_long), max_size
    return (new_short, new_long) if H <= W else (new_long, new_short)


def resized_crop(
    inpt: Any,
    top: int,
    left: int,
    height: int,
    width: int,
    size: int | Sequence[int],
    interpolation: InterpolationMode | str = InterpolationMode.BILINEAR,
    antialias: bool | None = True,
) -> Any:
    """A part of the image at another size.

    Example:
        >>> resized_crop(at.ones(3, 4, 6), 0, 0, 2, 2, (5, 5)).shape
        (3, 5, 5)
    """
    return resize(crop(inpt, top, left, height, width), size, interpolation, antialias=antialias)


def margins(padding: int | Sequence[int], op: str) -> tuple[int, int, int, int]:
    """Left, top, right and bottom of a padding, which may be one number, or two: left and right, top and bottom.

    Example:
        >>> margins((1, 2), "pad")
        (1, 2, 1, 2)
    """
    if isinstance(padding, (tuple, list)) and len(padding) == 4:
        (left, top), (right, bottom) = pair(padding[:2], op, "padding"), pair(padding[2:], op, "padding")
    else:
        left, top = right, bottom = pair(padding, op, "padding")
    require(min(left, top, right, bottom) >= 0, op, f"padding is {padding}; expected 0 or more")
    return left, top, right, bottom


def pad(inpt: Any, padding: int | Sequence[int], fill: Any = 0, padding_mode: str = "constant") -> Any:
    """The image with a margin; see `Pad`.

    Example:
        >>> pad(at.ones(1, 1, 1), (1, 0)).tolist()
        [[[0.0, 1.0, 0.0]]]
    """
    require(padding_mode in PADDING_MODES, "pad", f"padding_mode is {padding_mode!r}; expected one of {PADDING_MODES}")
    (H, W), (left, top, right, bottom) = size_of(inpt, "pad"), margins(padding, "pad")
    fits = padding_mode != "reflect" or (max(left, right) < W and max(top, bottom) < H)
    require(fits, "Pad", f"padding {(left, top, right, bottom)} is too large to reflect an image of {H} × {W} pixels")
    if isinstance(inpt, BoundingBoxes):
        require(padding_mode == "constant", "Pad", f"padding_mode is {padding_mode!r}; expected constant for boxes")
        moved = corners(inpt) + _row(inpt, left, top, left, top)
        return with_corners(inpt, moved, (H + top + bottom, W + left + right))
    made = padded(inpt, (left, top, right, bottom), fill, padding_mode)
    return wrap(made, like=inpt) if isinstance(inpt, Tensor) else made


def padded(image: Any, padding: tuple[int, int, int, int], fill: Any, mode: str) -> Any:
    """The pixels of an image with so many more at the left, top, right and bottom.

    Example:
        >>> padded(at.ones(1, 1, 1), (1, 0, 2, 0), 0, "constant").tolist()
        [[[0.0, 1.0, 0.0, 0.0]]]
    """
    left, top, right, bottom = padding
    fill = 0 if fill is None else fill
    if not any(padding):
        return image
    if isinstance(image, Tensor):
        widths = [(0, 0)] * (image.ndim - 2) + [(top, bottom), (left, right)]
        values = beside(image, fill).data.reshape((-1, 1, 1) if np.ndim(fill) else ())
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
