"""What is left of boxes that other transforms cut off."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..checks import require
from ..tensor import Tensor
from ..tv_tensors import BoundingBoxes, Mask, wrap
from .batch import find_labels
from .functional.boxes import corners
from .transform import Transform, leaves, rebuilt


class SanitizeBoundingBoxes(Transform):
    """Takes boxes out that are too small or stick out of the picture, with their labels and masks.

    A box stays if its sides are at least ``min_size`` and its area at least ``min_area``, and no corner is outside.

    Args:
        min_size: of both sides in pixels, 1 or more.
        min_area: in pixels, 1 or more.
        labels_getter: a function that finds the labels in the sample, a tensor (N,) or several; "default" takes what
            is named labels in the dict beside the image; None: there are none. Masks (N, H, W) go with their boxes.
    Raises:
        ValueError: the sample has no boxes, or not as many labels.
    Example:
        >>> boxes = BoundingBoxes([[0, 0, 5, 5], [9, 3, 9, 8]], format="XYXY", canvas_size=(9, 9))
        >>> _, target = SanitizeBoundingBoxes()(at.zeros(3, 9, 9), {"boxes": boxes, "labels": at.tensor([7, 8])})
        >>> target["boxes"].tolist(), target["labels"].tolist()
        ([[0, 0, 5, 5]], [7])
    """

    def __init__(
        self, min_size: float = 1.0, min_area: float = 1.0, labels_getter: Callable | str | None = "default"
    ) -> None:
        op = "SanitizeBoundingBoxes"
        require(min_size >= 1, op, f"min_size is {min_size}; expected 1 or more")
        require(min_area >= 1, op, f"min_area is {min_area}; expected 1 or more")
        fits = labels_getter in ("default", None) or callable(labels_getter)
        require(fits, op, f'labels_getter is {labels_getter!r}; expected "default", a function or None')
        self.min_size, self.min_area, self.labels_getter = min_size, min_area, labels_getter

    def __call__(self, *inputs: Any) -> Any:
        sample, op = inputs if len(inputs) > 1 else inputs[0], "SanitizeBoundingBoxes"
        flat = list(leaves(sample))
        boxes = next((part for part in flat if isinstance(part, BoundingBoxes)), None)
        if boxes is None:
            raise ValueError(f"{op}: the sample has no boxes; expected a BoundingBoxes")
        labels: Any = ()
        if self.labels_getter is not None:
            labels = self.labels_getter(sample) if callable(self.labels_getter) else find_labels(sample, op)
            labels = (labels,) if isinstance(labels, Tensor) else labels or ()
        for found in labels:
            fits = isinstance(found, Tensor) and found.ndim and len(found) == len(boxes)
            require(fits, op, f"the labels are {getattr(found, 'shape', found)}; expected one for each of {len(boxes)}")
        params = {"keep": self._kept(boxes), "labels": labels}
        return rebuilt(sample, (self.transform(part, params) for part in flat))

    def _kept(self, boxes: BoundingBoxes) -> Any:
        left, top, right, bottom = corners(boxes).T
        (H, W), w, h = boxes.canvas_size, right - left, bottom - top
        large = (w >= self.min_size) & (h >= self.min_size) & (w * h >= self.min_area)
        return large & (left >= 0) & (top >= 0) & (right <= W) & (bottom <= H)

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        keep = params["keep"]
        masks = isinstance(inpt, Mask) and inpt.ndim == 3 and len(inpt) == len(keep)
        if masks or isinstance(inpt, BoundingBoxes) or any(inpt is found for found in params["labels"]):
            return wrap(Tensor(inpt.data[keep]), like=inpt)
        return inpt
