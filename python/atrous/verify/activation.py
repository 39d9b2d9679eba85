"""Cases and bounds of the elementwise activations."""

from typing import Any

import numpy as np

from .. import reference
from .draw import Draw
from .halves import computed_in
from .harness import Arguments, Array


def _case(shape, values="normal", slope=0.01):
    return locals()


SHAPES: list[dict[str, Any]] = [
    _case((1,)),
    _case((17,)),  # a vector and a tail
    _case((5, 33)),
    _case((2, 3, 4)),
    _case((2, 17, 3, 5)),
    _case((0, 4)),
    _case((3, 1000), values="wide", slope=0.2),  # where exp overflows and underflows
    _case((700,), values="special"),
    _case((4, 7, 5, 5), values="special", slope=-0.5),
    _case((4, 64, 40, 40)),  # enough work for several threads
]

CASES = {
    f"{name}_{direction}": SHAPES
    for name in ("relu", "leaky_relu", "sigmoid", "tanh")
    for direction in ("forward", "backward")
}
HALVES: dict[str, set[Any]] = {function: set() for function in CASES}


def arguments(function: str, case: dict[str, Any], draw: Draw) -> Arguments:
    """The input, and a gradient where the function goes backwards."""
    x, grad_y = draw.normal(*case["shape"]), draw.normal(*case["shape"])
    if case["values"] == "wide":
        x = draw.rounded(x * 60)
    elif case["values"] == "special":
        draw.special(x)
        draw.special(grad_y)
    slope = {"negative_slope": case["slope"]} if function.startswith("leaky_relu") else {}
    if function.endswith("_forward"):
        return {"x": x, **slope}
    if slope:
        return {"grad_y": grad_y, "x": x, **slope}
    return {"grad_y": grad_y, "y": getattr(reference, function.replace("backward", "forward"))(x)}


def bound(function: str, arguments: Arguments, dtype: np.dtype) -> Array:
    """c = 0 for relu, 1 for leaky_relu's product, 4 for exp and tanh and their division, 2 for the products after them.

    Below the normal range an exp may be flushed to zero: sigmoid and tanh may be off by the smallest normal number.
    """
    if function.startswith("relu"):
        return np.zeros(next(iter(arguments.values())).shape)
    output = np.abs(getattr(reference, function)(**arguments))
    if function.startswith("leaky_relu"):
        return output
    if function.endswith("_forward"):
        info = np.finfo(computed_in(dtype))
        return 4 * output + float(info.tiny / info.eps)
    grad_y, y = np.abs(arguments["grad_y"]), arguments["y"]
    return 2 * grad_y * (np.abs(y) if function == "sigmoid_backward" else 1 + y * y)
