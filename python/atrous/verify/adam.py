"""Cases and bounds of the optimizer steps."""

from typing import Any

import numpy as np

from .. import reference
from .draw import Draw
from .harness import Arguments, Array

SHAPES = ((1,), (17,), (3, 5), (2, 17, 3, 3), (0,), (1000,))
LARGE = (70_000,)  # enough work for several threads
MANY = tuple((size % 7 * 5,) for size in range(100))


def _adam(step=3, lr=1e-2, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.0, decoupled=False, amsgrad=False, values=""):
    return locals()


def _sgd(lr=0.1, momentum=0.0, dampening=0.0, weight_decay=0.0, nesterov=False, first=False, values=""):
    return locals()


def _rmsprop(lr=0.01, alpha=0.99, eps=1e-8, weight_decay=0.0, momentum=0.0, centered=False, values=""):
    return locals()


def _adagrad(lr=0.1, eps=1e-10, weight_decay=0.0, values=""):
    return locals()


CASES: dict[str, list[dict[str, Any]]] = {
    "adam_step": [
        _adam(step=1),
        _adam(),
        _adam(step=1000, lr=0.3, betas=(0.5, 0.9), eps=1e-3),
        _adam(weight_decay=0.1),
        _adam(weight_decay=0.1, decoupled=True),
        _adam(amsgrad=True),
        _adam(amsgrad=True, weight_decay=0.01, decoupled=True),
        _adam(betas=(0.0, 0.0)),
        _adam(weight_decay=0.1, amsgrad=True, values="large"),
        _adam(values="many"),
        _adam(values="subnormal"),  # moments that have faded away
        _adam(values="special"),
        _adam(amsgrad=True, decoupled=True, values="special"),
    ],
    "sgd_step": [
        _sgd(),
        _sgd(weight_decay=0.1),
        _sgd(momentum=0.9, first=True),
        _sgd(momentum=0.9),
        _sgd(momentum=0.9, dampening=0.3, weight_decay=0.01),
        _sgd(momentum=0.9, dampening=0.3, first=True),
        _sgd(momentum=0.9, nesterov=True, weight_decay=0.01),
        _sgd(momentum=0.9, nesterov=True, first=True),
        _sgd(momentum=0.9, values="large"),
        _sgd(values="many"),
        _sgd(momentum=0.9, values="special"),
    ],
    "rmsprop_step": [
        _rmsprop(),
        _rmsprop(lr=0.3, alpha=0.4, eps=1e-3, weight_decay=0.1),
        _rmsprop(momentum=0.9),
        _rmsprop(centered=True),
        _rmsprop(centered=True, alpha=0.4, weight_decay=0.1),
        _rmsprop(centered=True, momentum=0.5, eps=1e-3),
        _rmsprop(alpha=0.0),
        _rmsprop(centered=True, momentum=0.9, weight_decay=0.1, values="large"),
        _rmsprop(values="many"),
        _rmsprop(centered=True, momentum=0.9, values="subnormal"),
        _rmsprop(values="special"),
        _rmsprop(centered=True, momentum=0.9, values="special"),
    ],
    "adagrad_step": [
        _adagrad(),
        _adagrad(lr=0.01, eps=1e-3, weight_decay=0.1),
        _adagrad(values="large"),
        _adagrad(values="many"),
        _adagrad(values="special"),
    ],
}


def arguments(function: str, case: dict[str, Any], draw: Draw) -> Arguments:
    """Lists of tensors of several sizes, their state and the settings."""
    case = dict(case)
    values = case.pop("values")
    shapes = {"large": (*SHAPES, LARGE), "many": MANY}.get(values, SHAPES)
    params = [draw.normal(*shape) for shape in shapes]
    grads = [draw.normal(*shape) for shape in shapes]
    moments = [0.3 * draw.normal(*shape) for shape in shapes]
    squares = [draw.positive(*shape) for shape in shapes]
    if values == "subnormal":
        tiny = float(np.finfo(draw.dtype).tiny)
        grads = [np.zeros_like(grad) for grad in grads]
        moments = [(tiny * moment).astype(draw.dtype) for moment in moments]
        squares = [(tiny * square).astype(draw.dtype) for square in squares]
    elif values == "special":
        # No huge values: where their square overflows float32, the moment does too, in every backend but in float64.
        grads[1][:5] = [np.nan, np.inf, -np.inf, -0.0, np.finfo(draw.dtype).tiny / 16]
    if function == "sgd_step":
        return {"params": params, "grads": grads, "momentum_buffers": moments if case["momentum"] else None, **case}
    if function == "adagrad_step":
        return {"params": params, "grads": grads, "sums": squares, **case}
    if function == "rmsprop_step":
        centered, momentum = case.pop("centered"), case["momentum"]
        if centered:  # a mean square is at least the square of the mean
            squares = [square + moment * moment for square, moment in zip(squares, moments, strict=True)]
        buffers = [moment[::-1].copy() for moment in moments] if momentum else None
        lists = {"square_avgs": squares, "grad_avgs": moments if centered else None, "momentum_buffers": buffers}
        return {"params": params, "grads": grads, **lists, **case}
    largest = [square * draw.positive(*square.shape) * 2 for square in squares] if case.pop("amsgrad") else None
    beta1, beta2 = case.pop("betas")
    lists = {"params": params, "grads": grads, "exp_avgs": moments, "exp_avg_sqs": squares, "max_exp_avg_sqs": largest}
    return {**lists, **case, "beta1": beta1, "beta2": beta2}


def bound(function: str, arguments: Arguments, dtype: np.dtype) -> tuple[Array, ...]:
    """c = 8 roundings of each term of the formulas, in the order of the outputs: all params, then all of each moment.

    An error in v enters 1 / sqrt(v) by half its relative size; what v loses to cancellation nothing (it adds squares).
    A moment below the smallest normal number may have been flushed to zero or not, as the reference is in float64.
    """
    after = {
        name: [array.copy() for array in value] if isinstance(value, list) else value
        for name, value in arguments.items()
    }
    getattr(reference, function)(**after)
    one = BOUNDS[function]
    per_array = [one(arguments, after, dtype, i) for i in range(len(arguments["params"]))]
    return tuple(bound for bounds in zip(*per_array, strict=True) for bound in bounds)


def _adam_bound(a: Arguments, after: Arguments, dtype: np.dtype, i: int) -> list[Array]:
    c, flush = 8.0, float(np.finfo(dtype).tiny / np.finfo(dtype).eps)
    param, grad = np.abs(a["params"][i]), np.abs(a["grads"][i])
    if not a["decoupled"]:
        grad = grad + a["weight_decay"] * param
    m = np.abs(a["exp_avgs"][i]) + (1 - a["beta1"]) * grad
    v = a["beta2"] * a["exp_avg_sqs"][i] + (1 - a["beta2"]) * grad * grad
    exact = after["exp_avg_sqs"][i] if a["max_exp_avg_sqs"] is None else after["max_exp_avg_sqs"][i]
    denominator = np.sqrt(exact / (1 - a["beta2"] ** a["step"])) + a["eps"]
    scale = a["lr"] / (1 - a["beta1"] ** a["step"]) / denominator
    amplified = 1 + np.divide(v, exact, out=np.zeros_like(v), where=exact > 0)
    bounds = [c * (param + scale * m * amplified) + scale * flush, c * m + flush, c * v + flush]
    return bounds if a["max_exp_avg_sqs"] is None else [*bounds, c * np.maximum(v, exact) + flush]


def _sgd_bound(a: Arguments, after: Arguments, dtype: np.dtype, i: int) -> list[Array]:
    c = 8.0
    param = np.abs(a["params"][i])
    grad = np.abs(a["grads"][i]) + a["weight_decay"] * param
    if a["momentum_buffers"] is None:
        return [c * (param + a["lr"] * grad)]
    buffer = grad + a["momentum"] * np.abs(a["momentum_buffers"][i])
    return [c * (param + a["lr"] * (grad + buffer)), c * buffer]


def _rmsprop_bound(a: Arguments, after: Arguments, dtype: np.dtype, i: int) -> list[Array]:
    """The difference v - m² has the roundings of both, which enter its root by half their share of it."""
    c, flush = 8.0, float(np.finfo(dtype).tiny / np.finfo(dtype).eps)
    param = np.abs(a["params"][i])
    grad = np.abs(a["grads"][i]) + a["weight_decay"] * param
    v = a["alpha"] * a["square_avgs"][i] + (1 - a["alpha"]) * grad * grad
    bounds, terms, exact = [c * v + flush], v, after["square_avgs"][i]
    if a["grad_avgs"] is not None:
        m = np.abs(a["grad_avgs"][i]) + (1 - a["alpha"]) * grad
        bounds.append(c * m + flush)
        terms, exact = v + m * m, exact - after["grad_avgs"][i] ** 2
    amplified = 1 + np.divide(terms, exact, out=np.zeros_like(v), where=exact > 0)
    step = grad / (np.sqrt(exact) + a["eps"]) * amplified
    if a["momentum_buffers"] is not None:
        step += a["momentum"] * np.abs(a["momentum_buffers"][i])
        bounds.append(c * step + flush)
    return [c * (param + a["lr"] * step) + a["lr"] * flush, *bounds]


def _adagrad_bound(a: Arguments, after: Arguments, dtype: np.dtype, i: int) -> list[Array]:
    c = 8.0
    param = np.abs(a["params"][i])
    grad = np.abs(a["grads"][i]) + a["weight_decay"] * param
    total = a["sums"][i] + grad * grad
    exact = after["sums"][i]
    amplified = 1 + np.divide(total, exact, out=np.zeros_like(total), where=exact > 0)
    return [c * (param + a["lr"] * grad / (np.sqrt(exact) + a["eps"]) * amplified), c * total]


BOUNDS = {
    "adam_step": _adam_bound,
    "sgd_step": _sgd_bound,
    "rmsprop_step": _rmsprop_bound,
    "adagrad_step": _adagrad_bound,
}
