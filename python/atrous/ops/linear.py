"""Products of matrices: ``linear`` for layers, ``matmul`` for the ``@`` of tensors."""

from __future__ import annotations

from math import prod
from typing import Any

from .. import fusion
from ..autocast import current, lowered
from ..autograd import Backward, record
from ..backend import kernels_for
from ..checks import floats_of_one_dtype, in_compute_dtype, require
from ..tensor import Tensor


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Applies a fully connected layer to the last axis: ``y[..., o] = Σ_i x[..., i] · weight[o, i] + bias[o]``.

    Args:
        x: shape (..., IN); any number of leading axes.
        weight: shape (OUT, IN), or (IN,) for one output without an axis (then without bias).
        bias: shape (OUT,), or None.
    Returns:
        Tensor of shape (..., OUT).
    Raises:
        ValueError: the shapes disagree. TypeError: an argument is not a float tensor, or the dtypes differ.
    Example:
        >>> linear(at.tensor([[1.0, 2.0]]), at.tensor([[3.0, 4.0], [0.0, 1.0]]), at.tensor([0.5, 0.0])).tolist()
        [[11.5, 2.0]]

    Source:
        Goodfellow, Bengio and Courville, Deep Learning, 2016, section 6.1 (there x W; here, as in PyTorch, x Wᵀ).
    Differs from PyTorch: a bias that would have to be broadcast, and integers, are refused.
    """
    if current.dtype is not None:
        x, weight = lowered(x), lowered(weight)
    floats_of_one_dtype("linear", ("x", "weight", "bias?"), x, weight, bias)
    shape, weight_shape = x.shape, weight.shape
    if len(weight_shape) == 1 and bias is None:  # (IN,): one output, its axis dropped
        return linear(x, weight.unsqueeze(0)).squeeze(-1)
    if len(weight_shape) != 2:
        raise ValueError(f"linear: weight has shape {weight_shape}; expected (OUT, IN), or (IN,) without bias")
    OUT, IN = weight_shape
    if not shape or shape[-1] != IN:
        raise ValueError(f"linear: x has shape {shape}; expected (..., {IN}) from weight {weight_shape}")
    if bias is not None and bias.shape != (OUT,):
        raise ValueError(f"linear: bias has shape {bias.shape}; expected ({OUT},) from weight {weight_shape}")
    if len(shape) != 2:  # (..., IN): the leading axes are one batch
        return linear(x.reshape(prod(shape[:-1]), IN), weight, bias).reshape(*shape[:-1], OUT)
    if x.data.itemsize == 2:
        (bias,) = in_compute_dtype(bias)
    kernels, arguments = kernels_for(x.data), (x.data, weight.data, None if bias is None else bias.data)
    y: Any = None
    if fusion.current.running:
        y = fusion.pend(kernels, kernels.linear_forward, arguments, (shape[0], OUT), ("relu",), cheap=False)
    if y is None:
        y = kernels.linear_forward(*arguments)
    saved = (x if weight.requires_grad else None, weight if x.requires_grad else None)
    return record(y, LinearBackward, inputs=(x, weight, bias), saved=saved)


class LinearBackward(Backward):
    """Gradients of linear; each of the three kernels runs only when its gradient was asked for."""

    def __call__(self, grad_y):
        x, weight = self.saved
        kernels = kernels_for(grad_y)
        needs_x, needs_weight, needs_bias = self.needs
        return (
            kernels.linear_backward_input(grad_y, weight) if needs_x else None,
            kernels.linear_backward_weight(grad_y, x) if needs_weight else None,
            kernels.linear_backward_bias(grad_y) if needs_bias else None,
        )


def matmul(a: Tensor, b: Tensor) -> Tensor:
    """Matrix product of the last two axes, ``c[..., m, n] = Σ_k a[..., m, k] · b[..., k, n]``, as ``a @ b``.

    Leading axes are batches and broadcast. A vector on the left is a row, on the right a column, and that axis is
    missing from the result; two vectors give their inner product.

    Args:
        a: shape (..., M, K) or (K,).
        b: shape (..., K, N) or (K,).
    Returns:
        Tensor of shape (..., M, N).
    Raises:
        ValueError: a scalar, or the inner sizes or the batches disagree. TypeError: the dtypes differ.
    Example:
        >>> (at.tensor([[1.0, 2.0], [3.0, 4.0]]) @ at.tensor([1.0, 10.0])).tolist()
        [21.0, 43.0]

    Source:
        Golub and Van Loan, Matrix Computations, 4th edition, 2013, section 1.1.
    """
    if current.dtype is not None:
        a, b = lowered(a), lowered(b)
    if not _integers(a, b):
        floats_of_one_dtype("matmul", ("a", "b"), a, b)
    if a.ndim == 0 or b.ndim == 0 or a.shape[-1] != b.shape[-2 if b.ndim > 1 else 0]:
        raise ValueError(f"matmul: a {a.shape} and b {b.shape}; expected (..., M, K) and (..., K, N), or vectors")
    if a.ndim == 1:
        return matmul(a.unsqueeze(0), b).squeeze(-1 if b.ndim == 1 else -2)
    if b.ndim == 1:
        return matmul(a, b.unsqueeze(1)).squeeze(-1)
    M, K, N = *a.shape[-2:], b.shape[-1]
    if a.ndim > 2 and b.ndim == 2:  # one matrix for the whole batch: more rows
        return matmul(a.reshape(prod(a.shape[:-1]), K), b).reshape(*a.shape[:-1], N)
    if a.shape[:-2] != b.shape[:-2] or a.ndim > 3:  # broadcast the batches and make them one axis
        batch = _broadcast(a.shape[:-2], b.shape[:-2])
        a, b = (t.expand(*batch, *t.shape[-2:]).reshape(prod(batch), *t.shape[-2:]) for t in (a, b))
        return matmul(a, b).reshape(*batch, M, N)
    c = a.data @ b.data if a.dtype.kind in "iu" else kernels_for(a.data).matmul(a.data, b.data)
    saved = (a if b.requires_grad else None, b if a.requires_grad else None)
    return record(c, MatmulBackward, inputs=(a, b), saved=saved)


class MatmulBackward(Backward):
    """Gradients of matmul: ``grad_a = grad_c bᵀ`` and ``grad_b = aᵀ grad_c``; the transposes are views."""

    def __call__(self, grad_c):
        a, b = self.saved
        kernels = kernels_for(grad_c)
        needs_a, needs_b = self.needs
        return (
            kernels.matmul(grad_c, b.swapaxes(-1, -2)) if needs_a else None,
            kernels.matmul(a.swapaxes(-1, -2), grad_c) if needs_b else None,
        )


def _integers(a, b):
    """Whether both are integer tensors of one dtype, which have no kernel and no gradient."""
    return isinstance(a, Tensor) and isinstance(b, Tensor) and a.dtype == b.dtype and a.dtype.kind in "iu"


def _broadcast(a, b):
    """The common shape of two batches."""
    ndim = max(len(a), len(b))
    pairs = list(zip((1,) * (ndim - len(a)) + a, (1,) * (ndim - len(b)) + b, strict=True))
    require(all(m == n or 1 in (m, n) for m, n in pairs), "matmul", f"the batches {a} and {b} do not broadcast")
    return tuple(n if m == 1 else m for m, n in pairs)
