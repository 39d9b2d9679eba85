"""Sums and the like along axes. ``dim`` is one axis, several, or None for all; ``keepdim`` leaves extents of 1 behind.

NumPy sums pairwise and in one order, so the bits do not depend on threads. float16 and bfloat16 add up in float32, and
the result is rounded once.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .. import dtypes
from ..autocast import raised
from ..autograd import Backward, record
from ..backend import array_module, quiet
from ..checks import require
from ..tensor import Tensor
from .shape import axis
from .unary import Unary, unary

__all__ = ["all", "any", "count_nonzero", "cumsum", "logsumexp", "mean", "norm", "prod", "std", "sum", "var"]

Dim = int | Sequence[int] | None


def axes_of(dim: Dim, ndim: int, op: str) -> tuple[int, ...]:
    """The axes that ``dim`` names, all of them for None and ().

    Example:
        >>> axes_of(-1, 3, "sum")
        (2,)
    """
    if dim is None:
        return tuple(range(ndim))
    named = [axis(d, ndim, op) for d in (dim if isinstance(dim, (tuple, list)) else (dim,))]
    require(len(set(named)) == len(named), op, f"dim {dim} names an axis twice")
    return tuple(named) if named and ndim else tuple(range(ndim))


def _total_dtype(op: str, x: Any, dtype: Any) -> np.dtype:
    """The dtype of a sum or product: the one asked for, or x's if that is floating-point, else int64."""
    if dtype is not None:
        return dtypes.as_dtype(dtype, op)
    return x.dtype if x.dtype.kind in dtypes.FLOATS else dtypes.int64


def _rounded(y: Any, dtype: np.dtype) -> Any:
    """What was computed in float32, in the dtype of 16 bits."""
    return y if y.dtype == dtype else y.astype(dtype)


def spread(grad: Any, shape: tuple[int, ...], axes: tuple[int, ...]) -> Any:
    """Repeats a reduction's gradient, or its result, along the axes it was reduced over; no copy."""
    kept = [1 if i in axes else extent for i, extent in enumerate(shape)]
    return array_module(grad).broadcast_to(grad.reshape(kept), shape)


def sum(input: Tensor, dim: Dim = None, keepdim: bool = False, *, dtype: Any = None) -> Tensor:
    """The sum; integers and booleans add up in int64.

    Example:
        >>> import atrous as at
        >>> sum(at.tensor([[1, 2], [3, 4]]), dim=0).tolist()
        [4, 6]
    """
    input = raised(input)
    x, axes = input.data, axes_of(dim, input.ndim, "sum")
    found = _total_dtype("sum", x, dtype)
    wide = dtypes.compute_dtype(found)
    y = quiet.run(array_module(x).add.reduce, x, axes, wide, None, keepdim)
    if wide is not found:
        y = y.astype(found)
    return record(y, SumBackward, (input,), shape=x.shape, axes=axes, dtype=x.dtype)


class SumBackward(Backward):
    """Gradient of sum: ``grad_y``, spread over the reduced axes."""

    shape: tuple[int, ...]
    axes: tuple[int, ...]
    dtype: np.dtype

    def __call__(self, grad_y):
        return spread(grad_y.astype(self.dtype, copy=False), self.shape, self.axes)


def mean(input: Tensor, dim: Dim = None, keepdim: bool = False, *, dtype: Any = None) -> Tensor:
    """The mean, of floating-point tensors; NaN over no elements.

    Raises:
        TypeError: integers, unless dtype makes them floats.
    Example:
        >>> import atrous as at
        >>> mean(at.tensor([[1.0, 2.0], [3.0, 6.0]]), dim=1).tolist()
        [1.5, 4.5]
    """
    found = input.dtype if dtype is None else dtypes.as_dtype(dtype, "mean")
    if found.kind not in dtypes.FLOATS:
        raise TypeError(f"mean: dtype {found} has no means; convert to float first, or give dtype=")
    x, axes = input.data, axes_of(dim, input.ndim, "mean")
    xp, count = array_module(x), _count(x.shape, axes)
    wide = dtypes.compute_dtype(found)
    y = quiet.run(xp.divide, quiet.run(xp.add.reduce, x, axes, wide, None, keepdim), count)
    if wide is not found:
        y = y.astype(found)
    return record(y, MeanBackward, (input,), shape=x.shape, axes=axes, dtype=x.dtype, count=count)


class MeanBackward(SumBackward):
    """Gradient of mean: ``grad_y / count``, spread over the reduced axes."""

    count: int

    def __call__(self, grad_y):
        return super().__call__(grad_y / self.count)


def _count(shape: tuple[int, ...], axes: tuple[int, ...]) -> int:
    count = 1
    for i in axes:
        count *= shape[i]
    return count


def var(
    input: Tensor, dim: Dim = None, unbiased: bool = True, keepdim: bool = False, *, correction: float | None = None
) -> Tensor:
    """The variance ``Σ (x − mean)² / (count − correction)``, in two passes.

    Args:
        input: a floating-point tensor.
        dim: the axes to reduce.
        unbiased: correction 1 (the default, as in PyTorch) rather than 0.
        keepdim: leave extents of 1.
        correction: another number to subtract from the count.
    Example:
        >>> import atrous as at
        >>> var(at.tensor([1.0, 2.0, 3.0])).item()
        1.0
    """
    if isinstance(dim, bool):  # var(False): PyTorch's other way to call it
        return var(input, None, dim, keepdim, correction=correction)
    if not dtypes.is_floating(input.dtype):
        raise TypeError(f"var: dtype {input.dtype} has no variance; convert to float first")
    x, axes = dtypes.widened(input.data), axes_of(dim, input.ndim, "var")
    freedom = max(0.0, _count(x.shape, axes) - (float(unbiased) if correction is None else correction))
    xp = array_module(x)
    centred = x - quiet.run(xp.mean, x, axes, None, None, True)
    y = quiet.run(xp.divide, quiet.run(xp.add.reduce, centred * centred, axes, None, None, keepdim), freedom)
    return record(_rounded(y, input.dtype), VarBackward, (input,), saved=(input,), axes=axes, freedom=freedom)


class VarBackward(Backward):
    """Gradient of var: ``grad_y · 2 (x − mean) / (count − correction)``."""

    axes: tuple[int, ...]
    freedom: float

    def __call__(self, grad_y):
        x = dtypes.widened(*self.saved)
        xp = array_module(x)
        centred = x - x.mean(axis=self.axes, keepdims=True)
        return spread(xp.divide(grad_y * 2, self.freedom), x.shape, self.axes) * centred


def std(
    input: Tensor, dim: Dim = None, unbiased: bool = True, keepdim: bool = False, *, correction: float | None = None
) -> Tensor:
    """The standard deviation, √ of ``var``; the gradient is 0 where all elements are equal.

    Example:
        >>> import atrous as at
        >>> std(at.tensor([1.0, 2.0, 3.0])).item()
        1.0
    """
    variance = var(input, dim, unbiased, keepdim, correction=correction)
    return unary("std", "sqrt", StdBackward, variance)


class StdBackward(Unary):
    """Gradient of std, the root of var: ``grad_y / (2 y)``, 0 where y is 0."""

    saves = "y"

    def __call__(self, grad_y):
        (y,) = self.saved
        return array_module(y).where(y == 0, 0, grad_y / (2 * y))  # as in PyTorch, where sqrt would give 0 · inf


def prod(input: Tensor, dim: int | None = None, keepdim: bool = False, *, dtype: Any = None) -> Tensor:
    """The product; integers and booleans multiply in int64.

    Example:
        >>> import atrous as at
        >>> prod(at.tensor([2, 3, 4])).item()
        24
    """
    input = raised(input)
    x, axes = input.data, axes_of(dim, input.ndim, "prod")
    found = _total_dtype("prod", x, dtype)
    if dim is not None and not isinstance(dim, int):
        raise TypeError(f"prod: dim is {dim!r}; expected one int or None")
    y = _rounded(quiet.run(array_module(x).multiply.reduce, x, axes, dtypes.compute_dtype(found), None, keepdim), found)
    return record(y, ProdBackward, (input,), saved=(input,), axes=axes)


class ProdBackward(Backward):
    """``grad_x = grad_y · Π of the others``, as the products before and after each element: zeros do no harm."""

    axes: tuple[int, ...]

    def __call__(self, grad_y):
        x = dtypes.widened(*self.saved)
        xp = array_module(x)
        others = [i for i in range(x.ndim) if i not in self.axes]
        order = (*others, *self.axes)
        rows = x.transpose(order).reshape(*[x.shape[i] for i in others], -1)  # reduced axes last, as one
        ones = xp.ones_like(rows[..., :1])
        before = xp.cumprod(xp.concatenate([ones, rows[..., :-1]], axis=-1), axis=-1)
        after = xp.cumprod(xp.concatenate([ones, rows[..., :0:-1]], axis=-1), axis=-1)[..., ::-1]
        others_product = (before * after)[..., : rows.shape[-1]].reshape([x.shape[i] for i in order])
        back = sorted(range(x.ndim), key=order.__getitem__)
        return spread(grad_y, x.shape, self.axes) * others_product.transpose(back)


def cumsum(input: Tensor, dim: int, *, dtype: Any = None) -> Tensor:
    """The sums of the first 1, 2, ... elements along an axis; integers and booleans add up in int64.

    Example:
        >>> import atrous as at
        >>> cumsum(at.tensor([1, 2, 3]), 0).tolist()
        [1, 3, 6]
    """
    input = raised(input)
    x, dim = input.data, axis(dim, input.ndim, "cumsum")
    found = _total_dtype("cumsum", x, dtype)
    y = quiet.run(array_module(x).cumsum, x, dim if x.ndim else None, dtypes.compute_dtype(found)).reshape(x.shape)
    return record(_rounded(y, found), CumsumBackward, (input,), dim=dim, dtype=x.dtype)


class CumsumBackward(Backward):
    """Gradient of cumsum: the sum of ``grad_y`` from each element to the end."""

    dim: int
    dtype: np.dtype

    def __call__(self, grad_y):
        xp, grad_y = array_module(grad_y), dtypes.widened(grad_y)
        if grad_y.ndim == 0:
            return grad_y
        return xp.flip(xp.cumsum(xp.flip(grad_y, self.dim), self.dim), self.dim).astype(self.dtype, copy=False)


def logsumexp(input: Tensor, dim: Dim, keepdim: bool = False) -> Tensor:
    """``log Σ e^x`` along axes, without overflow.

    Example:
        >>> import atrous as at
        >>> logsumexp(at.tensor([1000.0, -1000.0]), 0).item()
        1000.0
    """
    input = raised(input)
    x, axes = dtypes.widened(input.data), axes_of(dim, input.ndim, "logsumexp")
    xp = array_module(x)
    top = x.max(axis=axes, keepdims=True)
    top = xp.where(xp.isfinite(top), top, 0)
    total = quiet.run(xp.exp, quiet.run(xp.subtract, x, top)).sum(axis=axes, keepdims=True)
    y = _rounded(quiet.run(xp.log, total) + top, input.dtype)
    result = y if keepdim else y.reshape([extent for i, extent in enumerate(x.shape) if i not in axes])
    return record(result, LogsumexpBackward, (input,), saved=(input, result), axes=axes)


class LogsumexpBackward(Backward):
    """Gradient of logsumexp: ``grad_y · exp(x − y)``, the softmax of x."""

    axes: tuple[int, ...]

    def __call__(self, grad_y):
        x, y = map(dtypes.widened, self.saved)
        return spread(grad_y, x.shape, self.axes) * array_module(x).exp(x - spread(y, x.shape, self.axes))


def norm(input: Tensor, p: float = 2, dim: Dim = None, keepdim: bool = False) -> Tensor:
    """``(Σ |x|^p)^(1/p)``; for p = inf the largest |x|. At 0 the gradient is 0.

    Example:
        >>> import atrous as at
        >>> norm(at.tensor([3.0, 4.0])).item()
        5.0
    """
    if not dtypes.is_floating(input.dtype):
        raise TypeError(f"norm: dtype {input.dtype} has no norm; convert to float first")
    require(p > 0, "norm", f"p is {p}; expected a positive number or inf")
    input = raised(input)
    x, axes = dtypes.widened(input.data), axes_of(dim, input.ndim, "norm")
    xp = array_module(x)
    size = abs(x)
    if p == float("inf"):
        y = size.max(axis=axes, keepdims=keepdim)
    elif p == 2:
        y = quiet.run(xp.sqrt, quiet.run(xp.square, x).sum(axis=axes, keepdims=keepdim))
    else:
        y = quiet.run(xp.power, quiet.run(xp.power, size, p).sum(axis=axes, keepdims=keepdim), 1 / p)
    y = _rounded(xp.asarray(y), input.dtype)
    return record(y, NormBackward, (input,), saved=(input, y), p=p, axes=axes)


class NormBackward(Backward):
    """Gradient of norm: ``grad_y · sign(x) · (|x| / y)^(p − 1)``; for p = inf shared by the largest |x|."""

    p: float
    axes: tuple[int, ...]

    def __call__(self, grad_y):
        x, y = map(dtypes.widened, self.saved)
        xp = array_module(x)
        y, grad_y = spread(y, x.shape, self.axes), spread(grad_y, x.shape, self.axes)
        if self.p == float("inf"):
            top = abs(x) == y
            return grad_y * xp.sign(x) * top / top.sum(axis=self.axes, keepdims=True)
        ratio = xp.where(y == 0, 0, abs(x) / xp.where(y == 0, 1, y))
        return grad_y * xp.sign(x) * xp.power(ratio, self.p - 1)


def all(input: Tensor, dim: Dim = None, keepdim: bool = False) -> Tensor:
    """Whether all elements are nonzero.

    Example:
        >>> import atrous as at
        >>> all(at.tensor([True, False])).item()
        False
    """
    return Tensor(array_module(input).all(input.data, axis=axes_of(dim, input.ndim, "all"), keepdims=keepdim))


def any(input: Tensor, dim: Dim = None, keepdim: bool = False) -> Tensor:
    """Whether an element is nonzero.

    Example:
        >>> import atrous as at
        >>> any(at.tensor([True, False])).item()
        True
    """
    return Tensor(array_module(input).any(input.data, axis=axes_of(dim, input.ndim, "any"), keepdims=keepdim))


def count_nonzero(input: Tensor, dim: Dim = None) -> Tensor:
    """The number of elements that are not zero.

    Example:
        >>> import atrous as at
        >>> count_nonzero(at.tensor([0, 2, 3])).item()
        2
    """
    return Tensor(array_module(input).count_nonzero(input.data, axis=axes_of(dim, input.ndim, "count_nonzero")))
