"""Cases and bounds of the batch normalisation kernels."""

from typing import Any

import numpy as np

from .. import reference
from .harness import Arguments, Array, Draw, sum_bound


def _case(x, weight=True, bias=True, mean=0.5, std=1.0, eps=1e-5, special=False):
    return locals()


CASES_4D: list[dict[str, Any]] = [
    _case((2, 3, 4, 5)),
    _case((1, 1, 2, 1)),
    _case((8, 17, 1, 1)),  # a batch of vectors; a vector and a tail
    _case((2, 33, 3, 3), weight=False),
    _case((2, 16, 3, 7), bias=False),
    _case((3, 5, 4, 4), weight=False, bias=False, eps=1e-3),
    _case((4, 19, 8, 8), mean=1e4),  # E[x²] − E[x]² would lose everything here
    _case((4, 3, 6, 6), std=0.0),  # constant channels: only eps keeps them finite
    _case((2, 4, 5, 5), mean=0.0, std=1e-12),
    _case((2, 4, 5, 5), mean=0.0, std=1e12),
    _case((0, 3, 4, 4)),  # an empty batch
    _case((2, 9, 4, 4), special=True),
    _case((8, 40, 28, 28)),  # enough work for several threads
]

CASES = {
    "batch_norm_forward_train": CASES_4D,
    "batch_norm_backward_train": CASES_4D,
    "batch_norm_forward_eval": CASES_4D,
    "batch_norm_backward_eval": CASES_4D,
}


def arguments(function: str, case: dict[str, Any], draw: Draw) -> Arguments:
    C = case["x"][1]
    x = (draw.normal(*case["x"]) * case["std"] + case["mean"]).astype(draw.dtype)
    grad_y = draw.normal(*case["x"])
    mean, var = (draw.normal(C) + case["mean"]).astype(draw.dtype), (draw.positive(C) * 2).astype(draw.dtype)
    if function == "batch_norm_backward_train":
        _, mean, var = reference.batch_norm_forward_train(x, None, None, case["eps"])
    if case["special"]:  # a channel with a NaN, one with an Inf; the others must not notice
        x[0, 1, 0, 0], x[-1, 2, -1, -1], grad_y[0, 3, 1, 1] = np.nan, np.inf, -np.inf
        if function == "batch_norm_forward_train":  # how means of parts are merged decides between Inf and NaN
            x[-1, 2, -1, -1] = np.nan
    weight = draw.normal(C) if case["weight"] else None
    bias = draw.normal(C) if case["bias"] else None
    statistics = {"mean": mean, "var": var, "eps": case["eps"]}
    return {
        "batch_norm_forward_train": {"x": x, "weight": weight, "bias": bias, "eps": case["eps"]},
        "batch_norm_backward_train": {"grad_y": grad_y, "x": x, "weight": weight, **statistics},
        "batch_norm_forward_eval": {"x": x, "weight": weight, "bias": bias, **statistics},
        "batch_norm_backward_eval": {"grad_y": grad_y, "x": x, "weight": weight, **statistics},
    }[function]


def bound(function: str, arguments: Arguments, dtype: np.dtype) -> Array | tuple[Array, ...]:
    """Rounding of sums over the P pixels of a channel, carried through the formula to first order.

    c = sum_bound(P) for every mean over a channel. The mean is off by c*E|x|, and x - mean by that and by |x|, hence
    var by twice E|x - mean| times that, and x_hat by rstd times that and by the relative error of rstd. In the other
    functions mean and var are given, and only x - mean and the sums are rounded.
    """
    a = arguments
    x = a["x"]
    P = x.size // x.shape[1]
    c = sum_bound(P)
    train = function == "batch_norm_forward_train"
    mean = _mean(x) if train else _channels(a["mean"])
    var = _mean(np.square(x - mean)) if train else _channels(a["var"])
    rstd = 1 / np.sqrt(var + a["eps"])
    centred = np.abs(x - mean)
    weight = 1 if a["weight"] is None else np.abs(_channels(a["weight"]))
    x_hat = centred * rstd
    if train:
        mean_off = c * _mean(np.abs(x))
        centred_off = mean_off + np.abs(mean) + centred
        # Twice the mean's error is a second-order term of the sum of squares: it vanishes to first order.
        var_off = (c + 2) * var + 2 * _mean(centred * (np.abs(mean) + centred)) + np.finfo(dtype).eps * mean_off**2
        x_hat_off = rstd * centred_off + x_hat * (2 + var_off * rstd * rstd)
    else:
        x_hat_off = 4 * rstd * (centred + np.abs(mean))
    if function.startswith("batch_norm_forward"):
        bias = 0 if a.get("bias") is None else np.abs(_channels(a["bias"]))
        y_off = weight * (x_hat_off + 2 * x_hat) + bias
        return (y_off, mean_off.ravel(), var_off.ravel()) if train else y_off
    grad_y = np.abs(a["grad_y"])
    grad_bias_off = c * _mean(grad_y)
    grad_weight_off = _mean(grad_y * ((c + 3) * x_hat + x_hat_off))
    scale = weight * rstd
    grad_x_off = 4 * scale * grad_y * np.ones(x.shape)
    if function == "batch_norm_backward_train":
        through_mean = grad_bias_off + 4 * _mean(grad_y)
        through_var = x_hat * (grad_weight_off + 4 * _mean(grad_y * x_hat)) + x_hat_off * _mean(grad_y * x_hat)
        grad_x_off += scale * (through_mean + through_var)
    return grad_x_off, (P * grad_weight_off).ravel(), (P * grad_bias_off).ravel()


def _mean(array: Array) -> Array:
    return array.sum(axis=(0, 2, 3), keepdims=True) / max(1, array.size // array.shape[1])


def _channels(per_channel: Array) -> Array:
    return per_channel[:, None, None]
