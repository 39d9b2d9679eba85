"""Guesses why an output is wrong: is it what comes of other arguments, as if one of them had not been used?"""

from collections.abc import Iterator
from typing import Any

import numpy as np

from .. import reference
from .harness import Arguments, Array, call, in_float64

Pair = tuple[int, int]
NEUTRAL: dict[str, Any] = {  # what an argument is where it does nothing
    "bias": None,
    "stride": (1, 1),
    "padding": (0, 0),
    "dilation": (1, 1),
    "ceil_mode": False,
    "negative_slope": 0.0,
    "label_smoothing": 0.0,
    "relu": False,
    "residual": None,
    "relu_last": False,
}


def guess(function: str, arguments: Arguments, output: int, got: Array, expected: Array) -> str:
    """A line that says of which other arguments `got` would be the right output; nothing if of none that was tried."""
    if got.size == 0 or got.dtype.kind not in "fiu":
        return ""
    for reason, others in _others(function, arguments):
        try:
            came = call(reference, function, in_float64(others))[output]
            came = came[tuple(slice(size) for size in got.shape)]  # the size may have been right all the same
        except (ValueError, IndexError):  # sizes that do not fit
            continue
        if _alike(came, got) and not _alike(came, expected):
            return f".\nThis is what comes {reason}."
    return ""


def _others(function: str, arguments: Arguments) -> Iterator[tuple[str, Arguments]]:
    for name, value in arguments.items():
        if name in NEUTRAL and value is not None:
            tried = [NEUTRAL[name], *(_slips(value, NEUTRAL[name]) if isinstance(value, tuple) else [])]
            yield from ((f"as if {name} were {other}", {**arguments, name: other}) for other in tried)
    x, weight = arguments.get("x"), arguments.get("weight")
    if "groups" in arguments and weight is not None:
        yield "of a flipped kernel; tap (0, 0) is the upper left one", {**arguments, "weight": weight[:, :, ::-1, ::-1]}
    if "groups" in arguments and x is not None:
        ph, pw = arguments["padding"]
        padded = np.pad(x, ((0, 0), (0, 0), (0, 2 * ph), (0, 2 * pw)))
        others = {**arguments, "x": padded, "padding": (0, 0)}
        yield "where all padding is below and to the right", others
        first = x[:, : x.shape[1] // arguments["groups"]]
        repeated = np.concatenate([first] * arguments["groups"], axis=1)
        yield "where every group reads the channels of the first", {**arguments, "x": repeated}


def _slips(value: Pair, neutral: Pair) -> list[Pair]:
    """What is used for a pair where one axis is forgotten, or taken for the other."""
    (h, w), (h0, w0) = value, neutral
    return [(h0, w), (h, w0), (w, h), (h, h), (w, w)]


def _alike(a: Array, b: Array) -> bool:
    return a.shape == b.shape and bool(np.allclose(a, b, rtol=1e-4, atol=1e-6, equal_nan=True))
