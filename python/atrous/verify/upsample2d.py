"""Cases and bounds of the resizing kernels."""

from typing import Any

import numpy as np

from .. import reference
from .draw import Draw
from .harness import Arguments, Array, magnitudes, sum_bound


def _case(x, output_size, align_corners=False, scale=None, values="normal"):
    return locals()


BILINEAR: list[dict[str, Any]] = [
    _case((1, 1, 1, 1), (1, 1)),
    _case((1, 2, 1, 1), (3, 4)),  # one pixel: every output is it
    _case((1, 2, 1, 1), (3, 4), align_corners=True),
    _case((2, 3, 4, 5), (1, 1)),  # one output pixel: in the middle, or at the first corner
    _case((2, 3, 4, 5), (1, 1), align_corners=True),
    _case((2, 17, 4, 5), (8, 10)),  # a vector and a tail; twice the size, as in a U-Net
    _case((2, 17, 4, 5), (8, 10), align_corners=True),
    _case((1, 21, 5, 5), (33, 33)),  # 8 times, less an edge: a segmentation's last step
    _case((1, 21, 5, 5), (33, 33), align_corners=True),
    _case((1, 64, 3, 3), (9, 7)),
    _case((1, 35, 5, 6), (5, 6)),  # the same size
    _case((1, 35, 5, 6), (5, 13), align_corners=True),  # one axis alone
    _case((2, 5, 9, 11), (4, 3)),  # smaller: there are pixels that no output reads
    _case((2, 5, 9, 11), (4, 3), align_corners=True),
    _case((1, 4, 7, 8), (9, 12), scale=(1.3, 1.6)),  # a scale that is no ratio of the sizes
    _case((1, 4, 7, 8), (4, 5), scale=(0.6, 0.7)),
    _case((1, 4, 7, 8), (7, 8), scale=(1.1, 1.05)),  # too small to make a pixel more
    _case((1, 3, 5, 5), (10, 10), scale=(2.1, 2.0)),
    _case((0, 3, 4, 4), (8, 8)),
    _case((2, 19, 5, 4), (10, 8), values="special"),
    _case((1, 6, 4, 4), (8, 8), align_corners=True, values="special"),
    _case((2, 32, 24, 24), (48, 48)),  # enough work for several threads
]
NEAREST = [
    {name: value for name, value in case.items() if name != "align_corners"}
    for case in BILINEAR
    if not case["align_corners"]
]

CASES = {
    "upsample_bilinear2d_forward": BILINEAR,
    "upsample_bilinear2d_backward": BILINEAR,
    "upsample_nearest2d_forward": NEAREST,
    "upsample_nearest2d_backward": NEAREST,
}
HALVES: dict[str, set[Any]] = {function: set() for function in CASES}


def arguments(function: str, case: dict[str, Any], draw: Draw) -> Arguments:
    """The input or gradient, and the sizes."""
    forward = function.endswith("_forward")
    how = {name: value for name, value in case.items() if name in ("align_corners", "scale")}
    array = draw.normal(*case["x"]) if forward else draw.normal(*case["x"][:2], *case["output_size"])
    if case["values"] == "special":
        draw.special(array)
    if forward:
        return {"x": array, "output_size": case["output_size"], **how}
    return {"grad_y": array, "input_size": case["x"][2:], **how}


def bound(function: str, arguments: Arguments, dtype: np.dtype) -> Array:
    """A copy is exact. Else direct sums, of rows and then of columns, and one epsilon for two rounded weights."""
    result = getattr(reference, function)(**magnitudes(arguments))
    if function == "upsample_nearest2d_forward":
        return np.zeros(result.shape)
    if function.endswith("_forward"):
        return (sum_bound(4) + 1) * result
    sizes = zip(arguments["grad_y"].shape[2:], arguments["input_size"], strict=True)
    most = sum(2 * (-(-O // I) + 1) for O, I in sizes)  # outputs that read a pixel, in its column and in its row
    return (sum_bound(most) + 1) * result
