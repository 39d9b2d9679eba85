"""Checks gradients against differences of the function itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from . import autograd, dtypes
from .grad_mode import no_grad
from .random import Generator
from .tensor import Tensor

__all__ = ["gradcheck"]


def gradcheck(
    func: Callable[..., Any],
    inputs: Any,
    eps: float = 1e-6,
    atol: float = 1e-5,
    rtol: float = 1e-3,
    raise_exception: bool = True,
    fast_mode: bool = False,
) -> bool:
    """Compares the gradients of ``func`` with ``(func(x + eps·v) − func(x − eps·v)) / (2·eps)``.

    Args:
        func: takes the inputs, returns a Tensor or several.
        inputs: a tensor or several; those that require grad must be float64 and away from kinks of the function.
        eps: the step.
        atol, rtol: a gradient agrees where ``|analytic − numeric| <= atol + rtol · |numeric|``.
        raise_exception: raise where they do not, instead of returning False.
        fast_mode: along two random directions for each input and output, instead of along every axis.
    Raises:
        ValueError: no input requires grad, or one is not float64.
        RuntimeError: a gradient disagrees; the message names it and shows both numbers.
    Example:
        >>> import atrous as at
        >>> gradcheck(at.exp, at.randn(3, dtype=at.float64, requires_grad=True))
        True
    """
    tensors = [inputs] if isinstance(inputs, Tensor) else list(inputs)
    checked = [i for i, tensor in enumerate(tensors) if isinstance(tensor, Tensor) and tensor.requires_grad]
    if not checked:
        raise ValueError("gradcheck: no input requires grad")
    for i in checked:
        if tensors[i].dtype != dtypes.float64:
            raise ValueError(
                f"gradcheck: input {i} is {tensors[i].dtype}; differences are too coarse in anything but float64"
            )
    directions = Generator(seed=0)
    problem = None
    for k in range(len(_outputs(func, tensors))):
        for i in checked:
            problem = problem or _compare(func, tensors, i, k, eps, atol, rtol, directions if fast_mode else None)
    if problem and raise_exception:
        raise RuntimeError(f"gradcheck: {problem}")
    return problem is None


def _outputs(func: Callable, tensors: list) -> list[Tensor]:
    result = func(*tensors)
    outputs = list(result) if isinstance(result, (tuple, list)) else [result]
    return [output for output in outputs if isinstance(output, Tensor) and output.is_floating_point()]


def _compare(
    func: Callable, tensors: list, i: int, k: int, eps: float, atol: float, rtol: float, directions: Generator | None
) -> str | None:
    """A description of where the gradient of output k with respect to input i goes wrong, or None."""
    x = tensors[i].data
    output = _outputs(func, tensors)[k]
    columns: list[tuple[Any, np.ndarray]]
    rows: list[tuple[Any, np.ndarray]]
    if directions is None:
        columns = [(np.unravel_index(j, x.shape), _unit(x.shape, j)) for j in range(x.size)]
        rows = [(np.unravel_index(j, output.shape), _unit(output.shape, j)) for j in range(output.numel())]
    else:
        columns = [(f"direction {j}", directions.normal(x.shape, dtypes.float64)) for j in range(2)]
        rows = [(f"direction {j}", directions.normal(output.shape, dtypes.float64)) for j in range(2)]
    numeric = [_difference(func, tensors, i, k, v, eps) for _, v in columns]
    for row, u in rows:
        analytic = _gradient(func, tensors, i, k, u)
        for (column, v), change in zip(columns, numeric, strict=True):
            a, n = float((analytic * v).sum()), float((change * u).sum())
            if not abs(a - n) <= atol + rtol * abs(n):
                places = f"output {k} {_place(row)}, input {i} {_place(column)}"
                return f"{places}: the backward gives {a:.8g}, differences give {n:.8g}"
    return None


def _place(where: Any) -> str:
    return where if isinstance(where, str) else f"at {tuple(map(int, where))}"


def _unit(shape: tuple[int, ...], index: int) -> np.ndarray:
    unit = np.zeros(shape)
    unit.reshape(-1)[index] = 1.0
    return unit


def _gradient(func: Callable, tensors: list, i: int, k: int, u: np.ndarray) -> np.ndarray:
    output = _outputs(func, tensors)[k]
    if not output.requires_grad:
        return np.zeros(tensors[i].shape)
    (gradient,) = autograd.grad(output, tensors[i], u, allow_unused=True)
    return np.zeros(tensors[i].shape) if gradient is None else gradient.data


def _difference(func: Callable, tensors: list, i: int, k: int, v: np.ndarray, eps: float) -> np.ndarray:
    """The derivative of output k along direction v of input i."""
    ends = []
    with no_grad():
        for step in (eps, -eps):
            moved = list(tensors)
            moved[i] = Tensor(tensors[i].data + step * v)
            ends.append(_outputs(func, moved)[k].data.copy())
    return (ends[0] - ends[1]) / (2 * eps)
