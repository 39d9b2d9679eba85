"""Cases and bounds of the batch normalisation kernels."""

from typing import Any

import numpy as np

from .. import reference
from .draw import Draw
from .halves import computed_in
from .harness import Arguments, Array, sum_bound


def _case(x, weight=True, bias=True, mean=0.5, std=1.0, eps=1e-5, special=False, then=""):
    return locals()


CASES_4D: list[dict[str, Any]] = [
    _case((2, 3, 4, 5)),
    _case((1, 1, 2, 1)),
    _case((8, 17, 1, 1)),  # a batch of vectors; a vector and a tail
    _case((2, 33, 3, 3), weight=False),
    _case((2, 16, 3, 7), bias=False),
    _case((3, 5, 4, 4), weight=False, bias=False, eps=1e-3),
    _case((4, 19, 8, 8), mean=1e4),  # E[x²] − E[x]² would lose everything here
    _case((3, 66, 7, 9), mean=1e4),  # more rows than are summed at once
    _case((4, 3, 6, 6), std=0.0),  # constant channels: only eps keeps them finite
    _case((2, 4, 5, 5), mean=0.0, std=1e-12),
    _case((2, 4, 5, 5), mean=0.0, std=1e12),
    _case((0, 3, 4, 4)),  # an empty batch
    _case((2, 9, 4, 4), special=True),
    _case((8, 40, 28, 28)),  # enough work for several threads
    _case((2, 1030, 1, 1)),  # few pixels and many channels
    _case((3, 67, 8, 6)),  # an odd number of channels, and a multiple of 16 bytes
    _case((5, 300, 3, 5), mean=3.0),
]
FOLLOWED: list[dict[str, Any]] = [  # what follows in the network
    _case((2, 3, 4, 5), then="relu"),
    _case((2, 67, 5, 3), then="residual"),
    _case((2, 16, 3, 7), bias=False, then="residual relu_last"),
    _case((3, 67, 8, 6), then="relu"),
    _case((2, 300, 3, 5), then="relu residual"),
    _case((3, 5, 4, 4), weight=False, then="relu_last"),
    _case((4, 19, 8, 8), mean=1e4, then="relu"),
    _case((2, 9, 4, 4), special=True, then="relu"),
    _case((2, 9, 4, 4), special=True, then="relu residual relu_last"),
    _case((0, 3, 4, 4), then="relu residual"),
    _case((8, 40, 28, 28), then="relu"),
    _case((8, 40, 28, 28), then="relu residual relu_last"),
]

CASES = {
    "batch_norm_statistics": CASES_4D + [case | {"then": "running"} for case in CASES_4D if case["x"][0] > 0],
    "batch_norm_forward": CASES_4D + FOLLOWED,
    "batch_norm_backward_train": CASES_4D + [case for case in FOLLOWED if case["then"] == "relu"],
    "batch_norm_backward_eval": CASES_4D + [case for case in FOLLOWED if case["then"] == "relu"],
}
FLOAT64 = {"batch_norm_statistics": {0, 1}}  # outputs, whatever x's dtype is
_PARAMETERS = {"weight", "bias", "mean", "var"}
HALVES: dict[str, set[Any]] = {
    "batch_norm_statistics": {"running_mean", "running_var", 2, 3},
    "batch_norm_forward": _PARAMETERS,
    "batch_norm_backward_train": _PARAMETERS | {1, 2},
    "batch_norm_backward_eval": _PARAMETERS | {1, 2},
}


def arguments(function: str, case: dict[str, Any], draw: Draw) -> Arguments:
    """The input, statistics, scale and shift that the function takes."""
    C = case["x"][1]
    x = draw.rounded(draw.normal(*case["x"]) * draw.within(case["std"]) + case["mean"])
    grad_y = draw.normal(*case["x"])
    mean, var = (draw.normal(C) + case["mean"]).astype(draw.dtype), (draw.positive(C) * 2).astype(draw.dtype)
    if function == "batch_norm_backward_train" or case["then"] == "relu":  # float64, as training has them
        mean, var = reference.batch_norm_statistics(x)
    if case["special"]:  # a channel with a NaN, one with an Inf; the others must not notice
        x[0, 1, 0, 0], x[-1, 2, -1, -1], grad_y[0, 3, 1, 1] = np.nan, np.inf, -np.inf
        if function == "batch_norm_statistics":  # how means of parts are merged decides between Inf and NaN
            x[-1, 2, -1, -1] = np.nan
    if function == "batch_norm_statistics":
        running = {"running_mean": mean, "running_var": var, "momentum": 0.1}
        return {"x": x} | (running if case["then"] else {})
    weight = draw.normal(C) if case["weight"] else None
    bias = draw.normal(C) if case["bias"] else None
    given = {"x": x, "weight": weight, "bias": bias, "mean": mean, "var": var, "eps": case["eps"]}
    then = {"relu": True, "residual": draw.normal(*case["x"]), "relu_last": True}
    given |= {name: then[name] for name in case["then"].split()}
    return given if function == "batch_norm_forward" else {"grad_y": grad_y, **given}


def bound(function: str, arguments: Arguments, dtype: np.dtype) -> Array | tuple[Array, ...]:
    """Rounding of sums over the P pixels of a channel, carried through the formula to first order.

    c = sum_bound(P) for every mean over a channel. A given mean is rounded to the dtype beside x, so that x - mean is
    off by that and by itself, and x_hat by rstd times that and by the relative error of rstd.
    """
    if function == "batch_norm_statistics":
        return _statistics_bound(arguments, dtype)
    a = arguments
    x, mean, rstd = a["x"], _channels(a["mean"]), 1 / np.sqrt(_channels(a["var"]) + a["eps"])
    P, weight = x.size // x.shape[1], 1 if a["weight"] is None else np.abs(_channels(a["weight"]))
    centred = np.abs(x - mean)
    x_hat, x_hat_off = centred * rstd, 4 * rstd * (centred + np.abs(mean))
    bias = 0 if a["bias"] is None else np.abs(_channels(a["bias"]))
    z_off = weight * (x_hat_off + 2 * x_hat) + bias
    if function == "batch_norm_forward":
        return z_off + (np.abs(a["residual"]) + weight * x_hat + bias if "residual" in a else 0)
    grad_y = np.abs(a["grad_y"])
    unsure = np.zeros_like(grad_y)
    if a.get("relu"):  # where z is within its error of 0, relu may let its gradient pass or not
        z = reference.batch_norm_forward(x, a["weight"], a["bias"], a["mean"], a["var"], a["eps"])
        eps = np.finfo(computed_in(dtype)).eps
        unsure = np.where(np.abs(z) <= eps * z_off, grad_y / eps, 0)
    c = sum_bound(P)
    grad_bias_off = _mean(c * grad_y + unsure)
    grad_weight_off = _mean(grad_y * ((c + 3) * x_hat + x_hat_off) + unsure * x_hat)
    scale = weight * rstd
    grad_x_off = scale * (4 * grad_y + unsure) * np.ones(x.shape)
    if function == "batch_norm_backward_train":
        through_mean = grad_bias_off + 4 * _mean(grad_y)
        through_var = x_hat * (grad_weight_off + 4 * _mean(grad_y * x_hat)) + x_hat_off * _mean(grad_y * x_hat)
        grad_x_off += scale * (through_mean + through_var)
    return grad_x_off, (P * grad_weight_off).ravel(), (P * grad_bias_off).ravel()


def _statistics_bound(a: Arguments, dtype: np.dtype) -> tuple[Array, ...]:
    """The mean is off by c*E|x|, and x - mean by that and by |x|, hence var by twice E|x - mean| times that.

    Twice the mean's error is a second-order term of the sum of squares: it vanishes to first order. The sums run in
    x's dtype, the outputs are float64. Running statistics take over their share of it, and are rounded once.
    """
    x = a["x"]
    P, eps = x.size // x.shape[1], float(np.finfo(computed_in(dtype)).eps)
    c, mean = sum_bound(P), _mean(x)
    centred, mean_off = np.abs(x - mean), c * _mean(np.abs(x))
    var_off = (c + 2) * _mean(np.square(centred)) + 2 * _mean(centred * (np.abs(mean) + centred)) + eps * mean_off**2
    offs = [off.ravel() for off in (mean_off, var_off)]
    bounds = [off * eps / np.finfo(np.float64).eps for off in offs]
    if "running_mean" in a:
        unbiased = (1.0, P / (P - 1))
        sizes = [np.abs(a[name]) for name in ("running_mean", "running_var")]
        batch = [np.abs(value.ravel()) for value in (mean, _mean(np.square(centred)))]
        for size, value, off, factor in zip(sizes, batch, offs, unbiased, strict=True):
            bounds.append(size + factor * a["momentum"] * (value + off))
    return tuple(bounds)


def _mean(array: Array) -> Array:
    return array.sum(axis=(0, 2, 3), keepdims=True) / max(1, array.size // array.shape[1])


def _channels(per_channel: Array) -> Array:
    return per_channel[:, None, None]
