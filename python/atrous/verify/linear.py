"""Cases and bounds of the fully connected layer and the matrix product."""

from typing import Any

import numpy as np

from .. import reference
from .draw import Draw
from .harness import Arguments, Array, magnitudes, sum_bound


def _case(M, IN, OUT, bias=True, values="normal", **then):
    return {name: value for name, value in locals().items() if name != "then"} | then


LAYERS: list[dict[str, Any]] = [
    _case(1, 1, 1),
    _case(3, 17, 33),
    _case(4, 400, 120),  # LeNet-5
    _case(64, 120, 84),
    _case(1, 300, 10, bias=False),
    _case(5, 1, 7),
    _case(13, 64, 1),
    _case(7, 31, 65, values="positive"),
    _case(0, 5, 3),  # an empty batch
    _case(6, 40, 20, values="special"),
    _case(6, 40, 20, values="special", relu=True),
    _case(65, 300, 50, relu=True),
    _case(3, 0, 4, relu=True),  # an empty sum is 0
    _case(2500, 20, 9),  # long sums over the batch
    _case(160, 512, 192),  # enough work for several threads
    _case(1, 300, 100),  # few rows: b is read where it lies
    _case(6, 90, 70),
    _case(500, 300, 70),  # so many rows that b is packed at once
    _case(300, 50, 270),  # several blocks of rows and of sums, in every direction
    _case(8300, 10, 7),  # sums so long that b is packed a part at a time
    _case(9, 8300, 5),  # and a bias that is added once
]

PRODUCTS: list[dict[str, Any]] = [
    {"a": (1, 1), "b": (1, 1)},
    {"a": (3, 17), "b": (17, 33)},
    {"a": (33, 5), "b": (5, 1)},
    {"a": (1, 700), "b": (700, 9)},
    {"a": (130, 70), "b": (70, 150)},
    {"a": (300, 170), "b": (170, 130)},  # enough work for several threads
    {"a": (5, 600), "b": (600, 99)},  # few rows
    {"a": (1, 70), "b": (70, 163)},
    {"a": (3, 9), "b": (9, 67)},
    {"a": (490, 520), "b": (520, 39)},  # many rows
    {"a": (2, 3, 4), "b": (2, 4, 5)},
    {"a": (5, 17, 16), "b": (5, 16, 31)},
    {"a": (0, 3, 4), "b": (0, 4, 5)},
    {"a": (2, 0), "b": (0, 3)},  # an empty sum is 0
]

CASES = {
    "linear_forward": LAYERS,
    "linear_backward_input": LAYERS,
    "linear_backward_weight": LAYERS,
    "linear_backward_bias": LAYERS,
    "matmul": PRODUCTS,
}


def arguments(function: str, case: dict[str, Any], draw: Draw) -> Arguments:
    """The factors, and a bias or the shape of the result."""
    if function == "matmul":
        return {"a": draw.normal(*case["a"]), "b": draw.normal(*case["b"])}
    values = draw.positive if case["values"] == "positive" else draw.normal
    x, weight, grad_y = values(case["M"], case["IN"]), values(case["OUT"], case["IN"]), values(case["M"], case["OUT"])
    if case["values"] == "special":
        draw.special(x if function == "linear_forward" else grad_y)
    bias = values(case["OUT"]) if case["bias"] else None
    by_function: dict[str, Arguments] = {
        "linear_forward": {"x": x, "weight": weight, "bias": bias, **({"relu": True} if "relu" in case else {})},
        "linear_backward_input": {"grad_y": grad_y, "weight": weight},
        "linear_backward_weight": {"grad_y": grad_y, "x": x},
        "linear_backward_bias": {"grad_y": grad_y},
    }
    return by_function[function]


def bound(function: str, arguments: Arguments, dtype: np.dtype) -> Array:
    """Direct sums: c = sum_bound(products per output), over the same sum of absolute values."""
    first = next(iter(arguments.values()))  # x, grad_y or a
    terms = first.shape[0] if function in ("linear_backward_weight", "linear_backward_bias") else first.shape[-1]
    return sum_bound(terms) * getattr(reference, function)(**magnitudes(arguments))
