"""Largest, smallest, and sorted: ``max``, ``min``, ``argmax``, ``sort``, ``topk``. NaN counts as the largest."""

from __future__ import annotations

from typing import Any, NamedTuple

from ..autograd import Backward, record
from ..backend import array_module
from ..checks import require
from ..dtypes import compute_dtype, widened
from ..tensor import Tensor
from .elementwise import maximum, minimum
from .reduction import axes_of, spread
from .shape import axis

__all__ = ["ValuesAndIndices", "amax", "amin", "argmax", "argmin", "argsort", "max", "min", "sort", "topk"]


class ValuesAndIndices(NamedTuple):
    """What reductions to certain elements return."""

    values: Tensor
    indices: Tensor


def max(input: Tensor, dim: Any = None, keepdim: bool = False) -> Any:
    """The largest element; with ``dim`` the largest along that axis and their indices; with a tensor, ``maximum``.

    NaN wins. The gradient goes to the index returned; without ``dim`` equal elements share it.

    Raises:
        ValueError: no elements.
    Example:
        >>> import atrous as at
        >>> max(at.tensor([[1, 5], [7, 2]]), 1).indices.tolist()
        [1, 0]
    """
    if isinstance(dim, Tensor):
        return maximum(input, dim)
    return amax(input) if dim is None else _pick("max", input, argmax(input, dim, keepdim=True), dim, keepdim)


def min(input: Tensor, dim: Any = None, keepdim: bool = False) -> Any:
    """The smallest element; as ``max`` otherwise.

    Example:
        >>> import atrous as at
        >>> min(at.tensor([3.0, 1.0, 2.0])).item()
        1.0
    """
    if isinstance(dim, Tensor):
        return minimum(input, dim)
    return amin(input) if dim is None else _pick("min", input, argmin(input, dim, keepdim=True), dim, keepdim)


def _pick(op: str, input: Tensor, indices: Tensor, dim: int, keepdim: bool) -> ValuesAndIndices:
    dim = axis(dim, input.ndim, op)
    if input.ndim == 0:
        return ValuesAndIndices(input.clone(), indices)
    values = take_along(input, indices.data, dim)
    return ValuesAndIndices(values, indices) if keepdim else ValuesAndIndices(values.squeeze(dim), indices.squeeze(dim))


def take_along(input: Tensor, indices: Any, dim: int) -> Tensor:
    """``y[.., j, ..] = x[.., indices[.., j, ..], ..]`` along an axis, where no index occurs twice in a row."""
    xp = array_module(input)
    return record(
        xp.take_along_axis(input.data, indices, dim),
        TakeAlongBackward,
        (input,),
        saved=(indices,),
        dim=dim,
        shape=input.shape,
    )


class TakeAlongBackward(Backward):
    """Gradient of elements taken along an axis: ``grad_y`` at their indices, 0 elsewhere."""

    dim: int
    shape: tuple[int, ...]

    def __call__(self, grad_y):
        (indices,) = self.saved
        xp = array_module(grad_y)
        grad_x = xp.zeros(self.shape, grad_y.dtype)
        xp.put_along_axis(grad_x, indices, grad_y, self.dim)
        return grad_x


def amax(input: Tensor, dim: Any = None, keepdim: bool = False) -> Tensor:
    """The largest elements along axes; equal ones share the gradient.

    Example:
        >>> import atrous as at
        >>> amax(at.tensor([[1, 5], [7, 2]]), 0).tolist()
        [7, 5]
    """
    return _extreme("amax", "max", input, dim, keepdim)


def amin(input: Tensor, dim: Any = None, keepdim: bool = False) -> Tensor:
    """The smallest elements along axes; equal ones share the gradient.

    Example:
        >>> import atrous as at
        >>> amin(at.tensor([[1, 5], [7, 2]]), 0).tolist()
        [1, 2]
    """
    return _extreme("amin", "min", input, dim, keepdim)


def _extreme(op: str, function: str, input: Tensor, dim: Any, keepdim: bool) -> Tensor:
    x, axes = input.data, axes_of(dim, input.ndim, op)
    empty = [i for i in axes if x.shape[i] == 0]
    require(not empty, op.removeprefix("a"), f"there are no elements along dim {empty} of shape {x.shape}")
    y = array_module(x).asarray(getattr(widened(x), function)(axis=axes, keepdims=keepdim)).astype(x.dtype, copy=False)
    return record(y, ExtremeBackward, (input,), saved=(input, y), axes=axes)


class ExtremeBackward(Backward):
    """Gradient of amax and amin: ``grad_y``, shared by the elements that equal y."""

    axes: tuple[int, ...]

    def __call__(self, grad_y):
        x, y = self.saved
        y = spread(y, x.shape, self.axes)
        ties = (x == y) | ((x != x) & (y != y))
        count = ties.sum(axis=self.axes, keepdims=True, dtype=compute_dtype(grad_y.dtype))
        return spread(grad_y, x.shape, self.axes) * ties / count


def argmax(input: Tensor, dim: int | None = None, keepdim: bool = False) -> Tensor:
    """The index of the largest element along an axis, the first of equals; without ``dim``, in the flattened tensor.

    Example:
        >>> import atrous as at
        >>> argmax(at.tensor([[1, 5], [7, 2]]), dim=1).tolist()
        [1, 0]
    """
    return _index("argmax", input, dim, keepdim)


def argmin(input: Tensor, dim: int | None = None, keepdim: bool = False) -> Tensor:
    """The index of the smallest element; as ``argmax`` otherwise.

    Example:
        >>> import atrous as at
        >>> argmin(at.tensor([[1, 5], [7, 2]]), dim=1).tolist()
        [0, 1]
    """
    return _index("argmin", input, dim, keepdim)


def _index(op: str, input: Tensor, dim: int | None, keepdim: bool) -> Tensor:
    x = input.data
    xp = array_module(x)
    if dim is not None:
        dim = axis(dim, x.ndim, op)
    require(
        x.size if dim is None or x.ndim == 0 else x.shape[dim],
        op,
        f"there are no elements to choose from, shape {x.shape}",
    )
    if x.ndim == 0:
        return Tensor(xp.zeros((), xp.int64))
    return Tensor(getattr(xp, op)(widened(x), axis=dim, keepdims=keepdim))


def argsort(input: Tensor, dim: int = -1, descending: bool = False, stable: bool = False) -> Tensor:
    """The indices that sort an axis. Equal elements keep their order, stable or not.

    Example:
        >>> import atrous as at
        >>> argsort(at.tensor([3, 1, 2])).tolist()
        [1, 2, 0]
    """
    x = widened(input.data)
    dim = axis(dim, x.ndim, "argsort")
    xp = array_module(x)
    if x.ndim == 0:
        return Tensor(xp.zeros((), xp.int64))
    if not descending:
        return Tensor(xp.argsort(x, axis=dim, kind="stable"))
    backwards = xp.argsort(xp.flip(x, dim), axis=dim, kind="stable")  # so that equals, turned twice, keep their order
    return Tensor(x.shape[dim] - 1 - xp.flip(backwards, dim))


def sort(input: Tensor, dim: int = -1, descending: bool = False, stable: bool = False) -> ValuesAndIndices:
    """The elements in order along an axis, and the indices they came from. Equal elements keep their order.

    Example:
        >>> import atrous as at
        >>> sort(at.tensor([3, 1, 2])).values.tolist()
        [1, 2, 3]
    """
    indices = argsort(input, dim, descending, stable)
    if input.ndim == 0:
        return ValuesAndIndices(input.clone(), indices)
    return ValuesAndIndices(take_along(input, indices.data, axis(dim, input.ndim, "sort")), indices)


def topk(input: Tensor, k: int, dim: int = -1, largest: bool = True, sorted: bool = True) -> ValuesAndIndices:
    """The k largest (or smallest) elements along an axis, in order, and their indices.

    Raises:
        ValueError: k is negative or larger than the axis.
    Example:
        >>> import atrous as at
        >>> topk(at.tensor([3, 1, 2]), 2).values.tolist()
        [3, 2]
    """
    dim = axis(dim, input.ndim, "topk")
    extent = input.shape[dim] if input.ndim else 1
    require(0 <= k <= extent, "topk", f"k is {k}; expected 0 to {extent}, the extent of dim {dim}")
    values, indices = sort(input, dim, descending=largest)
    return (
        ValuesAndIndices(values, indices)
        if input.ndim == 0
        else ValuesAndIndices(values.narrow(dim, 0, k), indices.narrow(dim, 0, k))
    )
