"""Cases and bounds of the sums of two arrays."""

from typing import Any

import numpy as np

from .draw import Draw
from .harness import Arguments, Array


def _case(shape, special=False, relu=False):
    return locals()


SHAPES = ((1,), (17,), (5, 33), (2, 3, 4), (2, 17, 3, 5), (0, 4))
LARGE = (4, 64, 40, 40)  # enough work for several threads

CASES: dict[str, list[dict[str, Any]]] = {
    "add_forward": [
        *(_case(shape) for shape in SHAPES),
        *(_case(shape, relu=True) for shape in SHAPES),
        _case((700,), special=True),
        _case((4, 7, 5, 5), special=True, relu=True),
        _case(LARGE),
        _case(LARGE, special=True, relu=True),
    ],
    "add_into": [*(_case(shape) for shape in SHAPES), _case((4, 7, 5, 5), special=True), _case(LARGE)],
}
HALVES: dict[str, set[Any]] = {function: set() for function in CASES}


def arguments(function: str, case: dict[str, Any], draw: Draw) -> Arguments:
    """The two summands."""
    a, b = draw.normal(*case["shape"]), draw.normal(*case["shape"])
    if case["special"]:
        draw.special(a)
        draw.special(b)
    return (
        {"total": a, "part": b}
        if function == "add_into"
        else {"x": a, "residual": b, **({"relu": True} if case["relu"] else {})}
    )


def bound(function: str, arguments: Arguments, dtype: np.dtype) -> Array:
    """c = 1/2: one rounding, of the sum."""
    a, b = (value for value in arguments.values() if isinstance(value, Array))
    return np.abs(a + b) / 2
