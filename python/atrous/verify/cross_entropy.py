"""Cases and bounds of softmax, log-softmax and cross-entropy."""

from typing import Any

import numpy as np

from .. import reference
from .draw import Draw
from .harness import Arguments, Array, sum_bound


def _case(x, weight=False, ignore_index=-100, label_smoothing=0.0, values="normal"):
    return locals()


LOGITS: list[dict[str, Any]] = [
    _case((1, 1, 1, 1)),
    _case((4, 10, 1, 1)),
    _case((3, 17, 1, 1), weight=True),  # a vector and a tail
    _case((5, 33, 1, 1), label_smoothing=0.1),
    _case((7, 4, 1, 1), weight=True, label_smoothing=0.3, ignore_index=2),
    _case((2, 5, 3, 4), weight=True, ignore_index=0),  # dense
    _case((1, 3, 7, 1), ignore_index=1, label_smoothing=1.0),
    _case((0, 10, 1, 1)),
    _case((2, 1000, 1, 1)),
    _case((2, 21, 5, 3), values="large"),  # exp overflows unless the largest logit is taken out
    _case((6, 5, 1, 1), values="one"),  # all probability on one class
    _case((6, 5, 1, 1), values="-inf"),
    _case((6, 9, 2, 1), values="special"),
    _case((3, 21, 40, 40), weight=True),  # enough work for several threads
    _case((3, 150, 7, 1), weight=True),
    _case((2, 2001, 1, 2), weight=True, label_smoothing=0.1),
    _case((3, 2048, 1, 1), ignore_index=3),
]

CASES = {
    "cross_entropy_forward": LOGITS,
    "cross_entropy_backward": LOGITS,
    "cross_entropy_soft_forward": [case for case in LOGITS if case["values"] != "-inf"],  # 0 * -inf is a NaN there
    "cross_entropy_soft_backward": LOGITS,
    "log_softmax_forward": LOGITS,
    "log_softmax_backward": LOGITS,
    "softmax_forward": LOGITS,
    "softmax_backward": LOGITS,
}


def arguments(function: str, case: dict[str, Any], draw: Draw) -> Arguments:
    """Logits, and the targets and weights that go with them."""
    N, C, H, W = case["x"]
    x = _logits(case, draw)
    grad_y = draw.normal(N, C, H, W)
    if function in ("log_softmax_forward", "softmax_forward"):
        return {"x": x}
    if function in ("log_softmax_backward", "softmax_backward"):
        return {"grad_y": grad_y, "y": getattr(reference, function.replace("backward", "forward"))(x)}
    weight = draw.positive(C) if case["weight"] else None
    smoothing = {"weight": weight, "label_smoothing": case["label_smoothing"]}
    if "soft" in function:
        target = draw.positive(N, C, H, W)
        target /= target.sum(axis=1, keepdims=True)
    else:
        target = draw.integers(0, C, N, H, W)
        target[draw.rng.random(target.shape) < 0.2] = case["ignore_index"]
        smoothing["ignore_index"] = case["ignore_index"]
    if function.endswith("_forward"):
        return {"x": x, "target": target, **smoothing}
    lse = reference.cross_entropy_forward(x, np.zeros((N, H, W), np.int64), None, -100, 0.0)[2]
    return {"grad_losses": draw.normal(N, H, W), "x": x, "target": target, "lse": lse, **smoothing}


def bound(function: str, arguments: Arguments, dtype: np.dtype) -> Array | tuple[Array, ...]:
    """c = sum_bound(C) + 4 (exp, log and the products) times the size of what is added and subtracted.

    A log-probability x - lse is off by |x| + |lse| + 1; a probability exp(x - lse) by that relative to itself, and by
    the smallest normal number, as an exp below it may be flushed to zero.
    """
    a = arguments
    logits = a["x"] if "x" in a else a["y"]
    c = sum_bound(logits.shape[1]) + 4
    flush = float(np.finfo(dtype).tiny / np.finfo(dtype).eps)
    if function == "softmax_backward":
        grad_y, y = np.abs(a["grad_y"]), a["y"]
        return c * y * (grad_y + (grad_y * y).sum(axis=1, keepdims=True))
    if function == "log_softmax_backward":
        grad_y, p = np.abs(a["grad_y"]), np.exp(a["y"])
        total = grad_y.sum(axis=1, keepdims=True)
        return c * (grad_y + p * (1 + _finite(a["y"])) * total) + flush * total
    log_p, lse = reference.log_softmax_forward(a["x"]), _lse(a["x"])
    size = _finite(a["x"]) + _finite(lse) + 1
    if function == "log_softmax_forward":
        return c * size
    p = np.exp(log_p)
    if function == "softmax_forward":
        return c * p * size + flush
    weight = np.ones(a["x"].shape[1]) if a["weight"] is None else a["weight"]
    smoothing = a["label_smoothing"]
    one_hot = a["target"][:, None] == np.arange(a["x"].shape[1])[:, None, None]
    target = a["target"] if "soft" in function else one_hot
    weighted = weight[:, None, None] * ((1 - smoothing) * target + smoothing / a["x"].shape[1])
    if function.endswith("_forward"):
        losses = c * (weighted * size).sum(axis=1)
        lse_off = c * _finite(lse)[:, 0] + c
        return (losses, lse_off) if "soft" in function else (losses, np.zeros(losses.shape), lse_off)
    total = weighted.sum(axis=1, keepdims=True)
    return np.abs(a["grad_losses"][:, None]) * (c * (p * size * total + weighted) + flush * total)


def _logits(case: dict[str, Any], draw: Draw) -> Array:
    x = draw.normal(*case["x"])
    if case["values"] == "large":
        x = (x * 1e4).astype(draw.dtype)
    elif case["values"] == "one":
        x[:, 1] = 500
    elif case["values"] == "-inf":  # classes ruled out
        x[:, 2:4] = -np.inf
    elif case["values"] == "special":
        draw.special(x)
    return x


def _lse(x: Array) -> Array:
    largest = x.max(axis=1, keepdims=True)
    return largest + np.log(np.exp(x - largest).sum(axis=1, keepdims=True))


def _finite(array: Array) -> Array:
    return np.where(np.isfinite(array), np.abs(array), 0)
