"""Tensors that say what they are to the transforms: an image, a mask, boxes. torchvision's names.

Any op on them gives a plain tensor; the transforms alone keep the kind.

Example:
    >>> boxes = BoundingBoxes([[1, 2, 5, 6]], format="XYXY", canvas_size=(8, 10))
    >>> at.transforms.RandomHorizontalFlip(p=1)(boxes).tolist()
    [[5, 2, 9, 6]]
"""

from __future__ import annotations

from enum import Enum
from typing import Any

from .checks import pair, require
from .ops import as_tensor
from .tensor import Tensor

__all__ = ["BoundingBoxFormat", "BoundingBoxes", "Image", "Mask", "wrap"]


class TVTensor(Tensor):
    """Base class of images and masks."""

    _LEAST, _SHAPE = 0, "any"  # number of axes

    def __init__(self, data: Any, *, dtype: Any = None) -> None:
        array = as_tensor(data, dtype=dtype).data
        if array.ndim < self._LEAST:
            raise ValueError(f"{type(self).__name__}: the data have shape {array.shape}; expected {self._SHAPE}")
        super().__init__(array)


class Image(TVTensor):
    """An image (..., C, H, W): only needed where a sample has several, since the first plain tensor counts as one.

    Args:
        data: a tensor, array or list; memory is shared where it can be.
        dtype: of the tensor, that of the data if None.
    Example:
        >>> Image(at.ones(3, 2, 2)).shape
        (3, 2, 2)
    """

    _LEAST, _SHAPE = 3, "(..., C, H, W)"


class Mask(TVTensor):
    """A class for each pixel, (H, W), or one such for each object, (N, H, W).

    Geometric transforms move it as they move the image, and take the nearest pixel; those of colours leave it alone.

    Args:
        data, dtype: as of `Image`.
    Example:
        >>> at.transforms.Resize((1, 2))(Mask([[1, 1, 2, 2], [3, 3, 4, 4]])).tolist()
        [[1, 2]]
    """

    _LEAST, _SHAPE = 2, "(..., H, W)"


class BoundingBoxFormat(Enum):
    """What the four numbers of a box are; x to the right, y downwards, in pixels from the top left corner.

    ``XYXY``: left, top, right, bottom. ``XYWH``: left, top, width, height. ``CXCYWH``: centre, width, height.

    Example:
        >>> BoundingBoxFormat["XYWH"]
        <BoundingBoxFormat.XYWH: 'XYWH'>
    """

    XYXY = "XYXY"
    XYWH = "XYWH"
    CXCYWH = "CXCYWH"


class BoundingBoxes(Tensor):
    """Boxes (N, 4) on a picture. Transforms move their corners, take the upright box around these, and cut it off at
    the picture's border; a box that falls outside stays in the list, without area (`SanitizeBoundingBoxes` takes
    it out).

    torchvision's rotated formats and ``clamping_mode`` are not there.

    Args:
        data: four numbers a box, (N, 4), or (4,) of one.
        format: a `BoundingBoxFormat` or its name.
        canvas_size: the picture's (H, W).
        dtype: of the tensor, that of the data if None. Of integers, results are rounded towards 0.
    Raises:
        ValueError: another shape or format.
    Example:
        >>> boxes = BoundingBoxes([[0.0, 0.0, 4.0, 2.0]], format="XYWH", canvas_size=(10, 10))
        >>> at.transforms.Resize((20, 5))(boxes).tolist()
        [[0.0, 0.0, 2.0, 4.0]]
    """

    def __init__(
        self, data: Any, *, format: BoundingBoxFormat | str, canvas_size: tuple[int, int], dtype: Any = None
    ) -> None:
        array = as_tensor(data, dtype=dtype).data
        array = array[None] if array.ndim == 1 and array.size else array.reshape(0, 4) if not array.size else array
        fits = array.ndim == 2 and array.shape[1] == 4
        require(fits, "BoundingBoxes", f"the data have shape {array.shape}; expected (N, 4)")
        names = list(BoundingBoxFormat.__members__)
        name = format.value if isinstance(format, BoundingBoxFormat) else str(format).upper()
        require(name in names, "BoundingBoxes", f"format is {format!r}; expected one of {', '.join(names)}")
        self.format, self.canvas_size = BoundingBoxFormat[name], pair(canvas_size, "BoundingBoxes", "canvas_size")
        super().__init__(array)


def wrap(wrappee: Any, *, like: Any, canvas_size: tuple[int, int] | None = None) -> Any:
    """A tensor as the kind that ``like`` is.

    Args:
        wrappee: a tensor or an array.
        like: an `Image`, `Mask`, `BoundingBoxes`, or a plain tensor.
        canvas_size: of boxes, where it is another than ``like`` has.
    Example:
        >>> mask = Mask(at.zeros(2, 2))
        >>> type(mask + 1).__name__, type(wrap(mask + 1, like=mask)).__name__
        ('Tensor', 'Mask')
    """
    if isinstance(like, BoundingBoxes):
        return BoundingBoxes(wrappee, format=like.format, canvas_size=canvas_size or like.canvas_size)
    return type(like)(wrappee) if isinstance(like, TVTensor) else as_tensor(wrappee)
