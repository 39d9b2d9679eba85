"""``x[i]`` and ``x[i] = v``: ints, slices, None and ``...`` make views; masks and index tensors, copies. NumPy's rules.

Also ``gather`` and ``index_select``, which pick along one axis.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import dtypes, gpu
from ..autograd import Backward, check_inplace, record, record_inplace, record_view
from ..backend import array_module
from ..checks import require
from ..tensor import Tensor
from .creation import as_tensor, check_range
from .operands import unbroadcast
from .shape import axis

__all__ = ["gather", "getitem", "index_select", "nonzero", "scatter_add", "setitem"]


def _plain(index: Any, data: Any) -> Any:
    """The index with tensors and lists replaced by arrays where ``data`` is; PyTorch's uint8 masks are refused."""
    if isinstance(index, tuple):
        return tuple([_plain(item, data) for item in index])
    if isinstance(index, Tensor):
        index = index.data
    elif isinstance(index, list):
        index = as_tensor(index).data if index else np.zeros(0, np.int64)
    if _is_array(index):
        if dtypes.is_floating(index.dtype) or index.dtype == dtypes.uint8:
            raise IndexError(f"index: an index tensor has dtype {index.dtype}; expected integers or bool")
        return gpu.moved(index, gpu.device_of(data)) if index.ndim or index.dtype.kind == "b" else int(index)
    return index


def _is_array(part: Any) -> bool:
    return isinstance(part, np.ndarray) or gpu.holds(part)


def _tensors(index: Any) -> tuple[Tensor, ...]:
    """The index tensors, which the gradient reads again: written in place before, they raise."""
    return tuple([part for part in (index if isinstance(index, tuple) else (index,)) if isinstance(part, Tensor)])


def _split_ints(index: Any) -> tuple[tuple, tuple] | None:
    """PyTorch's order for ``x[0, :, i]``: the ints first, then the arrays in what is left; NumPy takes ints for arrays.

    Returns:
        Both steps, or None where the index mixes no ints with arrays.
    """
    parts = index if isinstance(index, tuple) else (index,)
    is_int = [isinstance(part, (int, np.integer)) and not isinstance(part, bool) for part in parts]
    if not any(is_int):
        return None
    whole = slice(None)
    taken = [part.ndim if _is_array(part) and part.dtype.kind == "b" else 1 for part in parts]
    first: list[Any] = []
    for part, found, axes in zip(parts, is_int, taken, strict=True):
        if found or part is Ellipsis:
            first.append(part)
        elif part is not None and not isinstance(part, (bool, np.bool_)):
            first += [whole] * axes
    return tuple(first), tuple([part for part, found in zip(parts, is_int, strict=True) if not found])


def _is_basic(index: Any) -> bool:
    """Whether NumPy gives a view: no arrays among the index."""
    parts = index if isinstance(index, tuple) else (index,)
    return not any(_is_array(part) or isinstance(part, (bool, np.bool_)) for part in parts)


def getitem(input: Tensor, index: Any) -> Tensor:
    """``input[index]``.

    Raises:
        IndexError: out of range, too many indices, or a mask of another shape.
    Example:
        >>> import atrous as at
        >>> getitem(at.arange(6).reshape(2, 3), (0, slice(1, None))).tolist()
        [1, 2]
    """
    data, tensors = input.data, _tensors(index)
    index = _plain(index, data)
    if not _is_basic(index):
        if steps := _split_ints(index):
            input, index = getitem(input, steps[0]), steps[1]
            data = input.data
        return record(data[index], IndexBackward, (input,), tensors, shape=data.shape, index=index)
    _refuse_backward_steps(index)
    where = index if isinstance(index, tuple) else (index,)
    if Ellipsis not in where:
        where = (*where, ...)  # so that NumPy gives a view of the last element, too, instead of a scalar
    return record_view(input, data[where], lambda array: array[where], SliceBackward, shape=data.shape, index=where)


def _refuse_backward_steps(index: Any) -> None:
    for part in index if isinstance(index, tuple) else (index,):
        if isinstance(part, slice) and part.step is not None and part.step <= 0:
            raise ValueError(f"index: step {part.step}; expected 1 or more (flip turns an axis round)")


class SliceBackward(Backward):
    """Gradient of a view of some elements: ``grad_y`` at them, 0 elsewhere."""

    shape: tuple[int, ...]
    index: Any

    def __call__(self, grad_y):
        grad_x = array_module(grad_y).zeros(self.shape, grad_y.dtype)
        grad_x[self.index] = grad_y
        return grad_x


class IndexBackward(SliceBackward):
    """Gradient of a choice by index tensors: the sum of ``grad_y`` over the places that an element went to."""

    def __call__(self, grad_y):
        _ = self.saved  # the index tensors: raises where one was written since
        grad_y = dtypes.widened(grad_y)
        grad_x = array_module(grad_y).zeros(self.shape, grad_y.dtype)
        return _added_at(grad_x, self.index, grad_y)  # an element taken twice gets both gradients


def _added_at(total: Any, index: Any, values: Any) -> Any:
    """``total[index] += values`` where elements may occur more than once, added in their order."""
    if not gpu.holds(total):
        np.add.at(total, index, values)
        return total
    # CuPy's add.at would add in any order. Here each round adds one value at most to an element.
    xp, shape = gpu.cupy, total.shape
    total = xp.ascontiguousarray(total).reshape(-1)
    places = xp.arange(total.size).reshape(shape)[index]
    values, places = xp.broadcast_to(values, places.shape).reshape(-1), places.reshape(-1)
    order = xp.argsort(places)  # stable
    places, values = places[order], values[order]
    rank = xp.arange(places.size) - xp.searchsorted(places, places)
    for turn in range(int(rank.max()) + 1 if places.size else 0):
        chosen = rank == turn
        total[places[chosen]] += values[chosen]
    return total.reshape(shape)


def setitem(input: Tensor, index: Any, value: Any) -> None:
    """``input[index] = value``; the value broadcasts and is converted.

    Raises:
        RuntimeError: the input is a leaf that requires grad, outside ``no_grad``.
        ValueError: the value does not broadcast to ``input[index]``.
    Example:
        >>> import atrous as at
        >>> x = at.zeros(3)
        >>> setitem(x, slice(1, None), 2)
        >>> x.tolist()
        [0.0, 2.0, 2.0]
    """
    check_inplace(input, "setitem")
    tensors, index = _tensors(index), _plain(index, input.data)
    if _is_basic(index):
        _refuse_backward_steps(index)
    elif steps := _split_ints(index):
        input, index = getitem(input, steps[0]), steps[1]  # a view
    if isinstance(value, (int, float)) and input.dtype.kind in "iu":
        check_range(np.asarray(value), input.dtype, "setitem")
    source = value if isinstance(value, Tensor) else as_tensor(value, like=input)
    try:
        input.data[index] = source.data
    except ValueError:
        raise ValueError(f"setitem: a value of shape {source.shape} does not fit {input.data[index].shape}") from None
    record_inplace(
        input, SetItemBackward, (input, source), tensors, index=index, shape=source.shape, dtype=source.dtype
    )


class SetItemBackward(Backward):
    """Gradients of setitem: ``grad_y``, 0 where it was written to; for the value what of it is there, summed."""

    index: Any
    shape: tuple[int, ...]
    dtype: np.dtype

    def __call__(self, grad_y):
        _ = self.saved  # the index tensors, as in IndexBackward
        needs_x, needs_value = self.needs
        grad_value = unbroadcast(grad_y[self.index], self.shape, self.dtype) if needs_value else None
        if not needs_x:
            return None, grad_value
        grad_x = grad_y.copy(order="K")
        grad_x[self.index] = 0
        return grad_x, grad_value


def index_select(input: Tensor, dim: int, index: Tensor) -> Tensor:
    """The slices at the given indices (a vector) of one axis; a copy.

    Example:
        >>> import atrous as at
        >>> index_select(at.eye(3), 0, at.tensor([2, 0])).tolist()
        [[0.0, 0.0, 1.0], [1.0, 0.0, 0.0]]
    """
    require(index.ndim <= 1, "index_select", f"index has shape {index.shape}; expected a vector")
    if index.data.size and index.data.min() < 0:
        raise IndexError(f"index_select: index {index.data.min()} is below 0")
    return getitem(input, (slice(None),) * axis(dim, input.ndim, "index_select") + (index.reshape(-1),))


def gather(input: Tensor, dim: int, index: Tensor) -> Tensor:
    """``y[i, j] = input[index[i, j], j]`` for dim 0, ``input[i, index[i, j]]`` for dim 1, and so on.

    Args:
        input: any tensor.
        dim: the axis in which to pick.
        index: integers, with as many axes as the input and no longer along the others.
    Raises:
        IndexError: an index out of range.
    Example:
        >>> import atrous as at
        >>> gather(at.tensor([[1, 2], [3, 4]]), 1, at.tensor([[1], [0]])).tolist()
        [[2], [3]]
    """
    grid = _grid("gather", input, dim, index)
    return record(input.data[grid], IndexBackward, (input,), (index,), shape=input.shape, index=grid)


def _grid(op: str, input: Tensor, dim: int, index: Tensor) -> tuple:
    """The index arrays, one an axis, that name the elements which ``index`` picks along ``dim``."""
    dim = axis(dim, input.ndim, op)
    fits = index.ndim == input.ndim and all(
        i == dim or a <= b for i, (a, b) in enumerate(zip(index.shape, input.shape, strict=True))
    )
    require(fits, op, f"index {index.shape} does not fit input {input.shape}")
    if index.data.size and index.data.min() < 0:
        raise IndexError(f"{op}: index {index.data.min()} is below 0")
    xp, ones = array_module(input.data), [1] * index.ndim
    grid = [xp.arange(extent).reshape([*ones[:i], extent, *ones[i + 1 :]]) for i, extent in enumerate(index.shape)]
    grid[dim] = index.data
    return tuple(grid)


def scatter_add(input: Tensor, dim: int, index: Tensor, src: Tensor) -> Tensor:
    """A copy of the input with ``src[i, j]`` added at ``[index[i, j], j]`` for dim 0, and so on: ``gather`` backwards.

    Example:
        >>> import atrous as at
        >>> scatter_add(at.zeros(3), 0, at.tensor([0, 2, 0]), at.ones(3)).tolist()
        [2.0, 0.0, 1.0]
    """
    grid = _grid("scatter_add", input, dim, index)
    require(src.shape == index.shape, "scatter_add", f"src has shape {src.shape}; expected {index.shape} as index")
    total = dtypes.widened(input.data).copy(order="K")
    y = _added_at(total, grid, dtypes.widened(src.data)).astype(input.dtype, copy=False)
    return record(y, ScatterAddBackward, (input, src), (index,), grid=grid)


class ScatterAddBackward(Backward):
    """Gradients of scatter_add: ``grad_y``, and ``grad_y`` taken at the index."""

    grid: tuple

    def __call__(self, grad_y):
        _ = self.saved  # the index, as in IndexBackward
        return grad_y, grad_y[self.grid]


def nonzero(input: Tensor) -> Tensor:
    """The indices of the elements that are not zero, a row for each: shape (count, ndim).

    Example:
        >>> import atrous as at
        >>> nonzero(at.tensor([0, 3, 4])).tolist()
        [[1], [2]]
    """
    return Tensor(array_module(input).argwhere(input.data))
