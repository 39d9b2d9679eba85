"""Cases and bounds of the pooling kernels."""

from typing import Any

import numpy as np

from .. import reference
from .draw import Draw
from .harness import Arguments, Array, magnitudes, sum_bound


def _case(x, kernel_size, stride, padding=(0, 0), dilation=(1, 1), ceil_mode=False, values="ties"):
    return locals()


MAX: list[dict[str, Any]] = [
    _case((1, 1, 1, 1), (1, 1), (1, 1)),
    _case((2, 3, 8, 8), (2, 2), (2, 2)),
    _case((2, 17, 9, 7), (3, 3), (2, 2), (1, 1)),  # a vector and a tail; the first pooling of a ResNet
    _case((2, 17, 7, 9), (2, 2), (2, 2)),  # odd sizes: a last row and column that no window reads
    _case((1, 19, 7, 6), (2, 2), (2, 2), (1, 1), ceil_mode=True),
    _case((1, 35, 8, 7), (3, 3), (2, 2), ceil_mode=True),
    _case((1, 33, 6, 5), (3, 2), (1, 3), (1, 0)),
    _case((1, 64, 7, 7), (3, 3), (1, 1), (1, 1)),
    _case((2, 5, 9, 9), (2, 3), (2, 2), (0, 1), (3, 2)),
    _case((1, 4, 7, 8), (3, 3), (2, 3), ceil_mode=True),  # the last window overhangs
    _case((1, 4, 6, 6), (2, 2), (3, 3), (1, 1), ceil_mode=True),  # one window less: it would start in the padding
    _case((1, 3, 7, 7), (3, 3), (2, 2), (1, 1), (2, 2), ceil_mode=True),
    _case((1, 3, 8, 8), (3, 3), (2, 2), (1, 1), (2, 2), ceil_mode=True),  # the image ends between two taps
    _case((1, 3, 5, 5), (1, 1), (3, 2)),  # pixels that no window reads
    _case((1, 2, 17, 16), (16, 16), (1, 1)),  # 256 taps: the last that a uint8 can name
    _case((1, 2, 18, 18), (17, 16), (2, 2), (8, 8)),  # 272 taps
    _case((1, 1, 4, 4), (2, 2), (1, 1), (1, 1), (5, 5)),  # every tap in the padding
    _case((0, 3, 4, 4), (2, 2), (2, 2)),
    _case((2, 19, 9, 8), (3, 3), (2, 2), (1, 1), values="special"),
    _case((1, 6, 6, 6), (2, 2), (1, 1), values="nan"),  # several NaN in a window
    _case((1, 6, 5, 5), (3, 3), (2, 2), (1, 1), values="-inf"),
    _case((2, 6, 9, 10), (2, 2), (2, 2)),  # few channels, which do not fill a vector: LeNet's
    _case((1, 6, 6, 8), (2, 2), (2, 2), (1, 1)),
    _case((2, 6, 8, 9), (2, 2), (2, 2)),  # the last pixel of a row has one behind its window, but none behind itself
    _case((1, 3, 5, 7), (2, 2), (2, 2)),
    _case((2, 7, 8, 9), (3, 3), (2, 2), (1, 1)),
    _case((1, 3, 6, 7), (3, 3), (1, 1), (1, 1)),
    _case((1, 5, 8, 9), (3, 3), (2, 2), ceil_mode=True, values="special"),
    _case((1, 13, 8, 11), (2, 2), (2, 3), dilation=(2, 3)),
    _case((1, 70, 9, 12), (5, 5), (4, 3), (2, 1)),  # a large window of many channels
    _case((1, 8, 9, 10), (3, 2), (2, 3), (1, 0), (2, 1)),  # channels in packs of 16 bytes, for a GPU
    _case((1, 4, 18, 17), (17, 16), (3, 2), (8, 7)),
    _case((2, 64, 48, 48), (3, 3), (2, 2), (1, 1)),  # enough work for several threads
]

AVERAGE: list[dict[str, Any]] = [
    {**case, "dilation": (1, 1), "count_include_pad": count_include_pad, "divisor_override": divisor_override}
    for case in MAX
    if case["dilation"] == (1, 1) and case["values"] not in ("nan", "-inf")
    for count_include_pad, divisor_override in ((False, None), (True, None), (True, 3))
    if not count_include_pad or case["x"][-1] < 48
]

ADAPTIVE: list[dict[str, Any]] = [
    {"x": (1, 1, 1, 1), "output_size": (1, 1), "values": "ties"},
    {"x": (2, 17, 7, 7), "output_size": (1, 1), "values": "ties"},  # the last pooling of a ResNet
    {"x": (1, 3, 8, 6), "output_size": (4, 3), "values": "ties"},
    {"x": (1, 33, 10, 7), "output_size": (4, 3), "values": "ties"},  # windows overlap
    {"x": (2, 3, 3, 4), "output_size": (5, 7), "values": "ties"},  # more outputs than inputs
    {"x": (2, 6, 9, 8), "output_size": (3, 4), "values": "ties"},  # few channels
    {"x": (1, 6, 7, 9), "output_size": (3, 5), "values": "ties"},
    {"x": (2, 70, 9, 7), "output_size": (2, 2), "values": "ties"},  # many, in large windows
    {"x": (0, 3, 4, 4), "output_size": (2, 2), "values": "ties"},
    {"x": (1, 17, 9, 8), "output_size": (3, 3), "values": "special"},
    {"x": (1, 6, 6, 6), "output_size": (2, 3), "values": "nan"},
    {"x": (1, 6, 6, 6), "output_size": (2, 3), "values": "-inf"},
    {"x": (2, 8, 9, 11), "output_size": (1, 1), "values": "ties"},  # few channels, one large window
    {"x": (1, 140, 7, 6), "output_size": (1, 1), "values": "special"},
    {"x": (1, 8, 17, 5), "output_size": (2, 3), "values": "ties"},
    {"x": (4, 64, 28, 28), "output_size": (7, 7), "values": "ties"},
]

CASES = {
    "max_pool2d_forward": MAX,
    "max_pool2d_backward": MAX,
    "max_pool2d_indices": MAX,
    "avg_pool2d_forward": AVERAGE,
    "avg_pool2d_backward": AVERAGE,
    "adaptive_avg_pool2d_forward": ADAPTIVE,
    "adaptive_avg_pool2d_backward": ADAPTIVE,
    "adaptive_max_pool2d_forward": ADAPTIVE,
    "adaptive_max_pool2d_backward": ADAPTIVE,
}
HALVES: dict[str, set[Any]] = {function: set() for function in CASES if function != "max_pool2d_indices"}


def arguments(function: str, case: dict[str, Any], draw: Draw) -> Arguments:
    """The input or gradient, and the window."""
    x = _values(case, draw)
    window = {name: value for name, value in case.items() if name not in ("x", "values")}
    if function.startswith("avg"):
        del window["dilation"]
    if function.endswith("_forward"):
        return {"x": x, **window}
    outputs = getattr(reference, function.rsplit("_", 1)[0] + "_forward")(x, **window)
    y, places = outputs if isinstance(outputs, tuple) else (outputs, None)
    window.pop("output_size", None)
    if not function.startswith("avg"):
        window.pop("ceil_mode", None)
    if function == "max_pool2d_indices":
        return {"taps": places, "input_size": x.shape[2:], **window}
    grad_y = draw.normal(*y.shape)
    if case["values"] == "special":
        draw.special(grad_y)
    place = {"max_pool2d_backward": {"taps": places}, "adaptive_max_pool2d_backward": {"indices": places}}
    return {"grad_y": grad_y, **place.get(function, {}), "input_size": x.shape[2:], **window}


def bound(function: str, arguments: Arguments, dtype: np.dtype) -> Array | tuple[Array, ...]:
    """Maxima are exact; averages and gradients are direct sums over a window, or over the windows that read a pixel."""
    outputs = getattr(reference, function)(**magnitudes(arguments))
    if isinstance(outputs, tuple):
        return tuple(np.zeros(output.shape) for output in outputs)
    if function == "max_pool2d_indices":
        return np.zeros(outputs.shape)
    first = next(iter(arguments.values()))
    terms = int(np.prod(arguments.get("kernel_size", first.shape[2:])))  # adaptive: at most the whole plane
    return sum_bound(terms) * outputs


def _values(case: dict[str, Any], draw: Draw) -> Array:
    """Few distinct values, so that windows have ties, which go to the first; or special ones."""
    x = draw.rounded(np.round(draw.normal(*case["x"]), 1))
    if case["values"] == "special":
        draw.special(x)
    elif case["values"] == "nan":
        x[draw.rng.random(x.shape) < 0.3] = np.nan
    elif case["values"] == "-inf":
        x[:] = -np.inf
    return x
