"""Boxes as corners, and back."""

from __future__ import annotations

from typing import Any

from ...backend import array_module
from ...tv_tensors import BoundingBoxes, BoundingBoxFormat, wrap


def corners(boxes: BoundingBoxes) -> Any:
    """Left, top, right and bottom of each box, (N, 4) float64.

    Example:
        >>> corners(BoundingBoxes([[4, 4, 2, 6]], format="CXCYWH", canvas_size=(8, 8))).tolist()
        [[3.0, 1.0, 5.0, 7.0]]
    """
    xp = array_module(boxes.data)
    a, b, c, d = boxes.data.astype("float64").T
    if boxes.format is BoundingBoxFormat.XYWH:
        a, b, c, d = a, b, a + c, b + d
    elif boxes.format is BoundingBoxFormat.CXCYWH:
        a, b, c, d = a - c / 2, b - d / 2, a + c / 2, b + d / 2
    return xp.stack([a, b, c, d], 1)


def with_corners(
    boxes: BoundingBoxes, xyxy: Any, canvas_size: tuple[int, int] | None = None, clamp: bool = True
) -> BoundingBoxes:
    """Boxes of the same format and dtype with these corners, cut off at the canvas.

    Example:
        >>> boxes = BoundingBoxes([[0, 0, 2, 2]], format="XYWH", canvas_size=(8, 8))
        >>> with_corners(boxes, np.array([[-1.0, 3.0, 5.0, 10.0]])).tolist()
        [[0, 3, 5, 5]]
    """
    xp, (H, W) = array_module(xyxy), canvas_size or boxes.canvas_size
    a, b, c, d = xyxy.T
    if clamp:
        a, b, c, d = xp.clip(a, 0, W), xp.clip(b, 0, H), xp.clip(c, 0, W), xp.clip(d, 0, H)
    if boxes.format is BoundingBoxFormat.XYWH:
        a, b, c, d = a, b, c - a, d - b
    elif boxes.format is BoundingBoxFormat.CXCYWH:
        a, b, c, d = (a + c) / 2, (b + d) / 2, c - a, d - b
    made = xp.stack([a, b, c, d], 1)
    made = made if boxes.is_floating_point() else made.round(6)  # 60.999999999 is 61
    return wrap(made.astype(boxes.dtype), like=boxes, canvas_size=(H, W))
