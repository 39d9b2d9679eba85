"""Rotations, shears and other maps of the plane: each output pixel asks where in the input it comes from.

Coordinates are in pixels from the top left corner, x to the right and y downwards; pixel (i, j) has its centre at
(j + ½, i + ½). A map is a matrix (3, 3) from the output's (x, y, 1) to the input's, up to a factor.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ...backend import array_module
from ...checks import require
from ...tensor import Tensor
from ...tv_tensors import BoundingBoxes, Mask, wrap
from ..images import beside, is_picture, size_of
from ..interpolation import InterpolationMode
from .boxes import corners, with_corners

HALF = 0.5 + 1e-9  # between two pixels the second one, as Pillow has it; and so for all that 1e-16 moves off the middle


def affine(
    inpt: Any,
    angle: float,
    translate: Sequence[float],
    scale: float,
    shear: float | Sequence[float],
    interpolation: InterpolationMode | str = InterpolationMode.NEAREST,
    fill: Any = None,
    center: Sequence[float] | None = None,
) -> Any:
    """Rotates, shears and scales around a centre, then moves.

    The point c + p goes to ``c + translate + R(angle) · scale · Y(shear y) · X(shear x) · p`` with R a rotation, and X
    and Y the shears ``x − tan(shear x) · y`` and ``y − tan(shear y) · x``.

    Args:
        angle: degrees, clockwise.
        translate: pixels (x, y).
        scale: a factor.
        shear: degrees, of x or (x, y).
        interpolation: nearest or bilinear; masks always take the nearest pixel.
        fill: the value of what comes from outside, one number or one a channel; 0 if None.
        center: (x, y) in pixels; the image's middle if None.
    Example:
        >>> affine(at.tensor([[[1.0, 2.0, 3.0]]]), 0, (1, 0), 1.0, 0).tolist()
        [[[0.0, 1.0, 2.0]]]
    """
    require(scale > 0, "affine", f"scale is {scale}; expected more than 0")
    H, W = size_of(inpt, "affine")
    shears = (shear, 0.0) if isinstance(shear, (int, float)) else (shear[0], shear[-1])
    forward = _affine_matrix(angle, translate, scale, shears, (W / 2, H / 2) if center is None else center)
    return warped(inpt, np.linalg.inv(forward), (H, W), interpolation, fill, "affine")


def rotate(
    inpt: Any,
    angle: float,
    interpolation: InterpolationMode | str = InterpolationMode.NEAREST,
    expand: bool = False,
    center: Sequence[float] | None = None,
    fill: Any = None,
) -> Any:
    """Rotates around a centre.

    Args:
        angle: degrees, counter-clockwise.
        expand: make the image so large that all of it stays; the centre does not matter then.
        interpolation, center, fill: as `affine` takes them.
    Example:
        >>> rotate(at.tensor([[[1.0, 2.0], [3.0, 4.0]]]), 90).tolist()
        [[[2.0, 4.0], [1.0, 3.0]]]
    """
    H, W = size_of(inpt, "rotate")
    middle = W / 2, H / 2
    forward = _affine_matrix(-angle, (0, 0), 1.0, (0, 0), middle if center is None or expand else center)
    if not expand:
        return warped(inpt, np.linalg.inv(forward), (H, W), interpolation, fill, "rotate")
    x, y, _ = forward @ np.array([[0, W, W, 0], [0, 0, H, H], [1, 1, 1, 1]])  # where the corners go
    w, h = (math.ceil(round(max(v), 4)) - math.floor(round(min(v), 4)) for v in (x, y))  # no pixel more for 1e-15
    # The image lies in the middle of whole pixels, boxes begin at the border: up to a pixel apart, as in torchvision.
    shift = (min(x), min(y)) if isinstance(inpt, BoundingBoxes) else ((W - w) / 2, (H - h) / 2)
    return warped(inpt, np.linalg.inv(_moved(-shift[0], -shift[1]) @ forward), (h, w), interpolation, fill, "rotate")


def perspective(
    inpt: Any,
    startpoints: Sequence[Sequence[float]],
    endpoints: Sequence[Sequence[float]],
    interpolation: InterpolationMode | str = InterpolationMode.BILINEAR,
    fill: Any = None,
) -> Any:
    """Looks at the image from aside: four points of it go to four others, and straight lines stay straight.

    Args:
        startpoints, endpoints: four (x, y) in the image, and where they go.
        interpolation, fill: as `affine` takes them.
    Example:
        >>> square = [(0, 0), (2, 0), (2, 2), (0, 2)]
        >>> perspective(at.tensor([[[1.0, 2.0], [3.0, 4.0]]]), square, square[1:] + square[:1]).round().tolist()
        [[[3.0, 1.0], [4.0, 2.0]]]
    """
    fits = len(startpoints) == len(endpoints) == 4
    require(fits, "perspective", "expected four startpoints and four endpoints")
    rows, right = [], []
    for (x, y), (u, v) in zip(endpoints, startpoints, strict=True):  # u = (a x + b y + c) / (g x + h y + 1)
        rows += [[x, y, 1, 0, 0, 0, -u * x, -u * y], [0, 0, 0, x, y, 1, -v * x, -v * y]]
        right += [u, v]
    try:
        matrix = np.append(np.linalg.solve(np.array(rows, np.float64), np.array(right, np.float64)), 1.0)
    except np.linalg.LinAlgError:
        raise ValueError(f"perspective: three of the endpoints {list(endpoints)} lie on a line") from None
    return warped(inpt, matrix.reshape(3, 3), size_of(inpt, "perspective"), interpolation, fill, "perspective")


def _moved(x: float, y: float) -> np.ndarray:
    return np.array([[1.0, 0.0, x], [0.0, 1.0, y], [0.0, 0.0, 1.0]])


def _affine_matrix(
    angle: float, translate: Sequence[float], scale: float, shear: Sequence[float], center: Sequence[float]
) -> np.ndarray:
    """From the input to the output."""
    a, sx, sy = (math.radians(degrees) for degrees in (angle, *shear))
    turn = np.array([[math.cos(a), -math.sin(a), 0], [math.sin(a), math.cos(a), 0], [0, 0, 1]])
    shears = np.array([[1, 0, 0], [-math.tan(sy), 1, 0], [0, 0, 1]]) @ np.array(
        [[1, -math.tan(sx), 0], [0, 1, 0], [0, 0, 1]]
    )
    (cx, cy), (tx, ty) = center, translate
    return _moved(cx + tx, cy + ty) @ turn @ np.diag([scale, scale, 1]) @ shears @ _moved(-cx, -cy)


def warped(
    inpt: Any, matrix: np.ndarray, size: tuple[int, int], interpolation: InterpolationMode | str, fill: Any, op: str
) -> Any:
    """The input under the map ``matrix``, on a canvas of another size (H, W).

    Example:
        >>> warped(at.tensor([[[1.0, 2.0]]]), np.diag([0.5, 1, 1]), (1, 4), "nearest", 0, "stretch").tolist()
        [[[1.0, 1.0, 2.0, 2.0]]]
    """
    mode = InterpolationMode(interpolation)
    require(mode is not InterpolationMode.BICUBIC, op, "interpolation is bicubic; expected nearest or bilinear")
    if isinstance(inpt, BoundingBoxes):
        return _warped_boxes(inpt, np.linalg.inv(matrix), size)
    if is_picture(inpt):
        from PIL import Image

        numbers = (matrix / matrix[2, 2]).ravel().tolist()[:8]
        how = Image.Transform.PERSPECTIVE if any(numbers[6:]) else Image.Transform.AFFINE
        colour = tuple(int(v) for v in np.broadcast_to(fill or 0, (len(inpt.getbands()),)))
        colours = colour if len(colour) > 1 else colour[0]
        return inpt.transform(size[::-1], how, numbers, Image.Resampling[mode.name], fillcolor=colours)
    if isinstance(inpt, Mask):
        mode = InterpolationMode.NEAREST
    elif mode is InterpolationMode.BILINEAR and not inpt.is_floating_point():
        raise TypeError(f"{op}: the tensor has dtype {inpt.dtype}; expected a float one for bilinear interpolation")
    xp, (h, w) = array_module(inpt.data), size
    x, y = xp.arange(w) + 0.5, (xp.arange(h) + 0.5)[:, None]
    (a, b, c), (d, e, f), (k, l, m) = matrix.tolist()
    z = _off_the_horizon(k * x + l * y + m)
    sample = _nearest if mode is InterpolationMode.NEAREST else _bilinear
    values = None if fill is None else beside(inpt, fill).data.reshape((-1, 1, 1) if np.ndim(fill) else ())
    column, row = (a * x + b * y + c) / z - 0.5, (d * x + e * y + f) / z - 0.5
    return wrap(Tensor(sample(inpt.data, column, row, values)), like=inpt)


def _off_the_horizon(z: Any) -> Any:
    """What would be infinitely far is only very far, and so outside as well."""
    return array_module(z).where(z == 0, 1e-30, z)


def _nearest(image: Any, x: Any, y: Any, fill: Any) -> Any:
    xp, (H, W) = array_module(image), image.shape[-2:]
    j, i = xp.floor(x + HALF), xp.floor(y + HALF)
    inside = (i >= 0) & (i < H) & (j >= 0) & (j < W)
    i, j = xp.where(inside, i, 0).astype("int64"), xp.where(inside, j, 0).astype("int64")
    return xp.where(inside, image[..., i, j], 0 if fill is None else fill)


def _bilinear(image: Any, x: Any, y: Any, fill: Any) -> Any:
    """Between the four pixels around; those outside count as 0, and what they would weigh is taken from ``fill``.

    Beside the border a fill weighs the image twice so, and 0 is not quite the same as None: as in torchvision.
    """
    xp, (H, W) = array_module(image), image.shape[-2:]
    left, top = xp.floor(x), xp.floor(y)
    total, inner = xp.zeros((), image.dtype), xp.zeros((), image.dtype)
    for j, wx in ((left, left + 1 - x), (left + 1, x - left)):
        for i, wy in ((top, top + 1 - y), (top + 1, y - top)):
            inside = (i >= 0) & (i < H) & (j >= 0) & (j < W)
            weight = (wx * wy).astype(image.dtype)
            row, column = xp.where(inside, i, 0).astype("int64"), xp.where(inside, j, 0).astype("int64")
            total = total + xp.where(inside, image[..., row, column] * weight, 0)
            inner = inner + xp.where(inside, weight, 0)
    return total if fill is None else (total - fill) * inner + fill


def _warped_boxes(boxes: BoundingBoxes, forward: np.ndarray, size: tuple[int, int]) -> BoundingBoxes:
    """The upright boxes around where the corners go."""
    xyxy = corners(boxes)
    xp = array_module(xyxy)
    (a, b, c), (d, e, f), (k, l, m) = forward.tolist()
    x, y = xyxy[:, [0, 2, 2, 0]], xyxy[:, [1, 1, 3, 3]]
    z = _off_the_horizon(k * x + l * y + m)
    u, v = (a * x + b * y + c) / z, (d * x + e * y + f) / z
    return with_corners(boxes, xp.stack([u.min(1), v.min(1), u.max(1), v.max(1)], 1), size)
