"""Second derivatives by differences of gradients: the engine has no gradients of gradients."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from . import autograd, dtypes, graph
from .backend import array_module
from .grad_mode import enable_grad

if TYPE_CHECKING:
    from .tensor import Tensor

__all__ = ["hessian"]

LARGEST = 1000  # variables: 2,000 gradients and a matrix of 8 MB
STEP = float(np.finfo(np.float64).eps) ** (1 / 3)  # where the error of the differences meets that of rounding


def hessian(f: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """The matrix of second derivatives of f at x, by central differences of its gradient ∇f.

    ``H[i] = (∇f(x + h eᵢ) − ∇f(x − h eᵢ)) / 2h`` with ``h = ε^(1/3) max(1, |xᵢ|)``, about 6e-6, made symmetric. The
    error is of the order h², relative to the fourth derivatives, plus ε/h, relative to the gradient: some 1e-10. It
    costs two gradients for each of the n elements of x, 2n in all, and n² numbers.

    Args:
        f: takes a tensor of the shape of x and returns one number; made of ops that are differentiable around x.
        x: float64, of at most 1,000 elements.
    Returns:
        Tensor of shape ``x.shape + x.shape``. ``torch.autograd.functional.hessian`` has the same, without the error.
    Raises:
        TypeError: x is not float64; the differences of float32 are too coarse.
        ValueError: x has too many elements, or f returns more than one number.
    Example:
        >>> import atrous as at
        >>> H = hessian(lambda x: x[0] ** 2 * x[1], at.tensor([3.0, 5.0], dtype=at.float64))
        >>> [[round(v, 6) for v in row] for row in H.tolist()]  # [[2b, 2a], [2a, 0]]
        [[10.0, 6.0], [6.0, 0.0]]

    Source:
        Nocedal and Wright, Numerical Optimization, 2nd edition, 2006, section 8.1.
    """
    check_variables("hessian", x)

    def gradient(values: Any) -> Any:
        point = graph.Tensor(values.reshape(x.shape), requires_grad=True)
        with enable_grad():
            y = f(point)
        if not isinstance(y, graph.Tensor) or y.numel() != 1:
            raise ValueError("hessian: f returns something else than a tensor of one element")
        grad = autograd.grad(y, point, allow_unused=True)[0] if y.requires_grad else None
        return array_module(values).zeros_like(values) if grad is None else grad.data.reshape(-1)

    matrix = central_differences(gradient, x.data.reshape(-1))
    return graph.Tensor(matrix.reshape((*x.shape, *x.shape)))


def check_variables(op: str, *tensors: Tensor) -> None:
    """Raises unless the tensors are float64, and few enough numbers for the square of it."""
    for tensor in tensors:
        if tensor.dtype != dtypes.float64:
            raise TypeError(f"{op}: got {tensor.dtype}; expected float64, the differences of others are too coarse")
    count = sum(tensor.numel() for tensor in tensors)
    if count > LARGEST:
        raise ValueError(f"{op}: got {count} variables; expected {LARGEST} at most, since the matrix has {count}²")


def central_differences(gradient: Callable[[Any], Any], x: Any) -> Any:
    """The symmetric matrix of derivatives of a gradient, a vector for a vector x."""
    xp = array_module(x)
    matrix = xp.empty((x.size, x.size), x.dtype)
    steps = STEP * xp.maximum(abs(x), 1.0)
    for i in range(x.size):
        ahead, behind = x.copy(), x.copy()
        ahead[i] += steps[i]
        behind[i] -= steps[i]
        matrix[i] = (gradient(ahead) - gradient(behind)) / (ahead[i] - behind[i])  # the step as it was rounded
    return (matrix + matrix.T) / 2
