"""Cases and bounds of the convolution kernels."""

from types import ModuleType
from typing import Any

import numpy as np

from .. import reference
from . import winograd
from .draw import Draw
from .halves import is_half
from .harness import Arguments, Array, magnitudes, sum_bound


def _case(x, weight, stride=(1, 1), padding=(0, 0), dilation=(1, 1), groups=1, bias=True, values="normal", **then):
    return {name: value for name, value in locals().items() if name != "then"} | then


CASES_2D: list[dict[str, Any]] = [
    _case((1, 1, 1, 1), (1, 1, 1, 1)),
    _case((1, 1, 5, 5), (1, 1, 3, 3), bias=False),
    _case((2, 3, 7, 5), (8, 3, 3, 3), padding=(1, 1)),
    _case((2, 16, 8, 8), (16, 16, 3, 3), padding=(1, 1), bias=False),
    _case((2, 17, 9, 7), (33, 17, 3, 3), padding=(1, 1)),  # a vector and a tail, in and out
    _case((1, 33, 6, 6), (17, 33, 1, 1)),
    _case((2, 8, 7, 9), (16, 8, 1, 1), stride=(2, 2)),  # pixels that no tap reads
    _case((1, 600, 3, 3), (10, 600, 1, 1)),  # a sum longer than a block of the packed matrices
    _case((1, 3, 4, 4), (200, 3, 2, 2)),
    _case((1, 3, 15, 17), (8, 3, 7, 7), stride=(2, 2), padding=(3, 3)),  # the first layer of a ResNet
    _case((2, 1, 32, 32), (6, 1, 5, 5)),  # LeNet-5
    _case((2, 6, 14, 14), (16, 6, 5, 5)),
    _case((1, 4, 9, 8), (6, 4, 3, 2), stride=(2, 3), padding=(1, 0), dilation=(1, 2)),
    _case((1, 5, 11, 11), (7, 5, 3, 3), padding=(2, 2), dilation=(2, 2)),
    _case((1, 3, 9, 12), (4, 3, 3, 3), stride=(2, 1), padding=(3, 0), dilation=(3, 4)),
    _case((2, 8, 6, 6), (12, 4, 3, 3), groups=2),
    _case((1, 6, 5, 5), (9, 2, 3, 3), padding=(1, 1), groups=3),
    _case((2, 34, 5, 4), (34, 17, 2, 3), stride=(1, 2), groups=2),
    _case((2, 17, 7, 7), (17, 1, 3, 3), padding=(1, 1), groups=17),  # depthwise
    _case((1, 32, 8, 8), (32, 1, 3, 3), stride=(2, 2), padding=(1, 1), groups=32, bias=False),
    _case((1, 5, 6, 6), (10, 1, 3, 3), groups=5),  # two filters a channel
    _case((1, 16, 10, 9), (16, 1, 5, 5), padding=(4, 4), dilation=(2, 2), groups=16),
    _case((1, 2, 3, 3), (4, 2, 2, 2), padding=(3, 3)),  # windows that see nothing but padding
    _case((2, 3, 4, 4), (5, 3, 4, 4)),  # one output pixel
    _case((1, 2, 2, 2), (3, 2, 4, 4), padding=(1, 1)),  # a kernel larger than the image
    _case((1, 3, 10, 10), (4, 3, 2, 2), stride=(4, 4)),
    _case((1, 3, 8, 8), (4, 3, 3, 3), stride=(2, 2)),  # a last row and column that no tap reads
    _case((1, 4, 6, 9), (4, 4, 1, 5), padding=(0, 2)),
    _case((1, 4, 9, 6), (4, 4, 5, 1), padding=(2, 0)),
    _case((0, 3, 5, 5), (4, 3, 3, 3)),  # an empty batch
    _case((1, 9, 6, 7), (5, 9, 3, 3), padding=(1, 1), values="positive"),
    _case((2, 5, 8, 9), (7, 5, 3, 3), values="special"),
    _case((2, 9, 9, 8), (21, 9, 3, 3), padding=(1, 1), then="relu"),  # what follows in the network
    _case((2, 33, 7, 9), (37, 33, 3, 3), padding=(1, 1), bias=False, then="scale relu"),
    _case((2, 7, 12, 12), (19, 7, 1, 1), then="scale residual relu_last"),
    _case((1, 18, 9, 9), (18, 1, 3, 3), groups=18, then="scale relu residual"),
    _case((2, 300, 4, 4), (18, 300, 1, 1), then="residual relu_last"),
    _case((2, 5, 8, 9), (7, 5, 3, 3), values="special", then="scale relu residual relu_last"),
    _case((1, 19, 9, 9), (19, 1, 3, 3), groups=19, values="special"),
    _case((2, 32, 28, 28), (64, 32, 3, 3), padding=(1, 1)),  # enough work for several threads
    _case((2, 16, 40, 39), (32, 16, 3, 3), stride=(2, 2), padding=(1, 1)),
    _case((1, 20, 13, 18), (19, 20, 3, 3), padding=(2, 0)),  # Winograd's tiles: edges that cut them, all paddings
    _case((3, 16, 4, 4), (32, 16, 3, 3), padding=(1, 1), values="shifted"),
    _case((1, 40, 23, 22), (24, 40, 3, 3), padding=(2, 3), dilation=(2, 3), values="shifted"),
    _case((1, 8, 15, 9), (16, 8, 3, 3), padding=(5, 4), dilation=(5, 4)),  # more grids than fit
    _case((1, 300, 6, 5), (70, 300, 3, 3), padding=(1, 1), bias=False, then="scale residual relu_last"),
    _case((2, 34, 20, 20), (34, 17, 3, 3), padding=(1, 1), groups=2),
    _case((1, 20, 19, 17), (18, 20, 3, 3), padding=(12, 12), dilation=(12, 12)),  # most taps see padding alone
    _case((2, 260, 13, 13), (19, 260, 3, 3), padding=(6, 6), dilation=(6, 6)),
    _case((1, 17, 9, 9), (18, 17, 3, 3), padding=(18, 18), dilation=(9, 9)),  # windows that see nothing but padding
    _case((3, 3, 33, 31), (40, 3, 7, 7), stride=(2, 2), padding=(3, 3)),  # few channels: several pieces
    _case((1, 3, 40, 24), (17, 3, 3, 3), padding=(1, 1)),  # bands of rows of one image
    _case((2, 3, 11, 13), (5, 3, 3, 3), padding=(2, 1), dilation=(2, 1)),  # few channels: rows of a window apart
    _case((1, 15, 17, 17), (5, 15, 7, 7), padding=(3, 3)),  # and windows so long that they are shared out
    _case((2, 15, 12, 11), (20, 15, 3, 2), stride=(2, 1), padding=(2, 1), dilation=(2, 3)),
    _case((3, 70, 20, 20), (250, 70, 1, 1), then="scale residual relu_last"),  # many rows, several blocks of them
    _case((2, 24, 31, 30), (130, 24, 3, 3), stride=(2, 2), padding=(1, 1)),
    _case((5, 40, 17, 17), (36, 40, 1, 7), padding=(0, 3)),
    _case((2, 32, 56, 56), (32, 1, 3, 3), padding=(1, 1), groups=32),
    # windows side by side, which are joined: U-Net's transposed convolution, few channels, a column that is left over
    _case((2, 18, 6, 8), (20, 18, 2, 2), stride=(2, 2)),
    _case((1, 3, 9, 12), (17, 3, 2, 4), stride=(3, 4), padding=(1, 0), then="scale relu residual"),
    _case((1, 5, 9, 10), (7, 5, 3, 3), stride=(3, 3)),
    # depthwise: vectors of channels and a tail, runs of pixels shorter and longer than a block
    _case((2, 33, 9, 21), (33, 1, 5, 5), padding=(2, 2), groups=33),
    _case((1, 40, 13, 19), (40, 1, 5, 5), stride=(2, 2), padding=(2, 2), groups=40),
    _case((1, 72, 3, 2), (72, 1, 5, 5), padding=(2, 2), groups=72),  # no pixel sees all taps
    _case((2, 24, 12, 30), (24, 1, 3, 3), padding=(2, 3), dilation=(2, 3), groups=24),
    _case((1, 18, 11, 14), (18, 1, 4, 2), stride=(3, 2), padding=(1, 1), dilation=(1, 2), groups=18),
    _case((1, 20, 6, 7), (20, 1, 2, 2), stride=(3, 3), groups=20),  # pixels that no tap reads
    _case((1, 21, 2, 2), (21, 1, 2, 2), padding=(3, 3), groups=21, then="scale relu_last"),  # nothing but padding
    _case((1, 35, 9, 12), (35, 1, 3, 3), padding=(1, 1), groups=35, bias=False, then="residual relu_last"),
    _case((1, 40, 40, 40), (40, 1, 3, 5), padding=(18, 18), dilation=(18, 9), groups=40),  # rows that exceed a cache
    _case((1, 16, 9, 8), (16, 1, 3, 5), stride=(1, 3), padding=(1, 7), groups=16),  # windows of nothing but padding
    # groups of 2, 4 and 8 channels, of 17, and of as many out as not in
    _case((2, 6, 9, 10), (6, 2, 3, 3), padding=(1, 1), groups=3),
    _case((1, 34, 8, 11), (34, 2, 3, 3), padding=(1, 1), groups=17),
    _case((2, 36, 9, 12), (36, 4, 3, 3), padding=(1, 1), groups=9),
    _case((1, 52, 11, 10), (52, 4, 3, 3), stride=(2, 2), padding=(1, 1), groups=13, bias=False),
    _case((1, 4, 7, 7), (4, 4, 5, 5), padding=(2, 2), dilation=(1, 2)),  # one group of 4 is a dense convolution
    _case((1, 8, 7, 9), (8, 4, 2, 3), groups=2),  # fewer channels than a vector has lanes
    _case((2, 24, 9, 9), (24, 8, 3, 3), padding=(1, 1), groups=3),
    _case((1, 72, 10, 17), (72, 8, 3, 3), padding=(2, 2), dilation=(2, 2), groups=9),
    _case((1, 40, 9, 9), (40, 8, 5, 5), stride=(2, 3), padding=(2, 2), groups=5),
    _case((1, 34, 6, 9), (34, 17, 3, 3), padding=(1, 1), groups=2),
    _case((1, 16, 6, 7), (32, 4, 3, 3), padding=(1, 1), groups=4),
    _case((1, 32, 7, 6), (16, 8, 3, 3), stride=(2, 2), padding=(1, 1), groups=4),
    _case((1, 44, 9, 9), (44, 4, 3, 3), padding=(1, 1), groups=11, then="scale relu residual"),
    _case((1, 40, 7, 9), (40, 8, 3, 3), groups=5, bias=False, then="relu residual relu_last"),
    _case((1, 20, 8, 9), (20, 4, 3, 3), groups=5, values="special", then="scale residual relu_last"),
    _case((2, 64, 20, 20), (64, 4, 3, 3), padding=(1, 1), groups=16),  # enough work for several threads
    _case((2, 64, 20, 20), (64, 8, 3, 3), stride=(2, 2), padding=(1, 1), groups=8),
    _case(
        (2, 54, 9, 10), (42, 18, 3, 3), padding=(1, 1), groups=3, then="scale relu residual"
    ),  # Winograd's, in groups
]

_EPILOGUE = {"scale", "relu", "residual", "relu_last"}

CASES = {
    "conv2d_forward": CASES_2D,
    "conv2d_backward_input": CASES_2D,
    "conv2d_backward_weight": CASES_2D,
    "conv2d_backward_bias": CASES_2D,
}

ALGORITHM_DTYPES = {"tensor_cores": (np.float32,)}
HALVES: dict[str, set[Any]] = {
    "conv2d_forward": {"bias", "scale"},
    "conv2d_backward_input": set(),
    "conv2d_backward_weight": {0},
    "conv2d_backward_bias": {0},
}
HALF_ALGORITHMS = (None, "implicit_gemm")  # in 16 bits the rule takes all others


def arguments(function: str, case: dict[str, Any], draw: Draw) -> Arguments:
    """Arguments of one kernel; special values go where the sum over the padding's zeros does not meet them."""
    window = {name: case[name] for name in ("stride", "padding", "dilation", "groups")}
    values = draw.positive if case["values"] == "positive" else draw.normal
    x, weight = values(*case["x"]), values(*case["weight"])
    if case["values"] == "shifted":  # as images that nobody centred
        x = draw.rounded(x + 100)
    bias = values(len(weight)) if case["bias"] else None
    grad_y = values(*_output_shape(case))
    if case["values"] == "special":
        draw.special(x if function == "conv2d_forward" else grad_y)
    return {
        "conv2d_forward": {"x": x, "weight": weight, "bias": bias, **window, **_epilogue(case, draw, grad_y.shape)},
        "conv2d_backward_input": {"grad_y": grad_y, "weight": weight, "input_size": x.shape[2:], **window},
        "conv2d_backward_weight": {"grad_y": grad_y, "x": x, "kernel_size": weight.shape[2:], **window},
        "conv2d_backward_bias": {"grad_y": grad_y},
    }[function]


def _epilogue(case: dict[str, Any], draw: Draw, shape: tuple[int, ...]) -> Arguments:
    values = {"relu": True, "relu_last": True, "scale": draw.normal(shape[1]), "residual": draw.normal(*shape)}
    return {name: values[name] for name in case.get("then", "").split()}


def algorithms(backend: ModuleType, function: str, case: dict[str, Any]) -> list[str]:
    """The algorithms of a backend that are legal for a case; the reference has but one."""
    if function == "conv2d_backward_bias" or not hasattr(backend, "conv2d_algorithms"):
        return []
    window = (case[name] for name in ("stride", "padding", "dilation", "groups"))
    legal = backend.conv2d_algorithms(function.removeprefix("conv2d_"), case["x"], case["weight"], *window)
    # What is not finite spreads over a tile of Winograd's: such cases have a test of their own.
    return [name for name in legal if case["values"] != "special" or not name.startswith("winograd")]


def bound(function: str, arguments: Arguments, dtype: np.dtype) -> Array:
    """Direct sums: c = sum_bound(products per output), over the same sum of absolute values.

    Winograd's transforms add at most 32 roundings of half an epsilon, and its own magnitudes take the sum's place.
    Tensor cores round both factors to 11 bits, by 2^-11 at most, and cut off what exceeds float32 in their additions.
    Factors of 16 bits are as they are, and a GPU's rule gives them to tensor cores.
    """
    a = arguments
    if a.get("algorithm", "").startswith("winograd"):
        values, terms = winograd.bound(function, a["algorithm"], magnitudes(a))
        return _through_epilogue(values * (sum_bound(terms) + 16), a)
    if "weight" in a:
        OC, ICG, KH, KW = a["weight"].shape
        terms = KH * KW * (ICG if function == "conv2d_forward" else OC // a["groups"])
    else:
        N, _, OH, OW = a["grad_y"].shape
        terms = N * OH * OW
    if a.get("algorithm") == "tensor_cores" or is_half(dtype):
        sums = {name: value for name, value in magnitudes(a).items() if name not in _EPILOGUE}
        sums |= {"bias": None} if "bias" in a else {}
        values = getattr(reference, function)(**sums)
        of_factors = 0 if is_half(dtype) else 2 * 2**-11 / 2**-23
        return _through_epilogue(values * (of_factors + 1 + terms), a)
    return sum_bound(terms + len(_EPILOGUE & a.keys())) * getattr(reference, function)(**magnitudes(a))


def _through_epilogue(error: Array, arguments: Arguments) -> Array:
    """The error of a sum after the epilogue, whose own roundings it gains."""
    magnitude = magnitudes({name: arguments.get(name) for name in ("scale", "bias", "residual")})
    scale, bias, residual = magnitude.values()
    error = error if scale is None else error * scale[:, None, None]
    rest = (0 if bias is None else bias[:, None, None]) + (0 if residual is None else residual)
    return error + 4 * rest


def _output_shape(case: dict[str, Any]) -> tuple[int, ...]:
    N, _, *input_size = case["x"]
    OC, _, *kernel_size = case["weight"]
    window = zip(input_size, kernel_size, case["stride"], case["padding"], case["dilation"], strict=True)
    return (N, OC, *((size + 2 * p - d * (k - 1) - 1) // s + 1 for size, k, s, p, d in window))
