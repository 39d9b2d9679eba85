"""Changes of shape. Views where strides allow, which share memory with their input; nothing here computes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from .. import layout
from ..autograd import Backward, record, record_view
from ..backend import array_module
from ..checks import require
from ..dtypes import compute_dtype
from ..tensor import Tensor

__all__ = [
    "axis", "broadcast_to", "expand", "flatten", "movedim", "permute", "reshape", "sizes", "squeeze", "t", "transpose",
    "unflatten", "unsqueeze", "view",
]  # fmt: skip


def axis(dim: int, ndim: int, op: str) -> int:
    """The axis that ``dim``, which may count from the end, names.

    Raises:
        IndexError: there is no such axis.
    Example:
        >>> axis(-1, 3, "sum")
        2
    """
    try:
        index = dim.__index__()
    except AttributeError:
        raise TypeError(f"{op}: dim is {dim!r}; expected an int") from None
    if not -max(ndim, 1) <= index < max(ndim, 1):
        raise IndexError(
            f"{op}: dim {dim} of a tensor with {ndim} axes; expected {-max(ndim, 1)} to {max(ndim, 1) - 1}"
        )
    return index % max(ndim, 1)


def sizes(size: tuple) -> tuple[int, ...]:
    """The ints of ``view(2, 3)`` or ``view((2, 3))``."""
    if len(size) == 1 and isinstance(size[0], (tuple, list)):
        size = tuple(size[0])
    try:
        return tuple([extent.__index__() for extent in size])
    except (AttributeError, TypeError):  # a dtype's class has the method, its objects do not
        raise TypeError(f"size {size!r}; expected ints, or one tuple of ints") from None


def reshape(input: Tensor, *shape: Any) -> Tensor:
    """The same elements, in C order of the indices, in another shape; one extent may be −1.

    A view where the strides allow, else a copy: flattening a 4-D result of a kernel, whose memory is channels-last,
    copies.

    Raises:
        ValueError: the shape has another number of elements.
    Example:
        >>> import atrous as at
        >>> reshape(at.arange(4), 2, -1).tolist()
        [[0, 1], [2, 3]]
    """
    return _reshape("reshape", input, sizes(shape))


def view(input: Tensor, *shape: Any) -> Tensor:
    """``reshape``, by its other name. Differs from PyTorch: where no view is possible it copies, instead of raising.

    Example:
        >>> import atrous as at
        >>> at.arange(4).view(2, 2).tolist()
        [[0, 1], [2, 3]]
    """
    return _reshape("view", input, sizes(shape))


def _reshape(op: str, x: Tensor, shape: tuple[int, ...]) -> Tensor:
    data = x.data
    try:
        y, is_view = layout.reshaped(data, shape)
    except ValueError:
        raise ValueError(f"{op}: {data.size} elements of shape {data.shape} do not fit shape {shape}") from None
    if is_view:
        return record_view(x, y, lambda array: array.reshape(shape), ReshapeBackward, shape=data.shape)
    return record(y, ReshapeBackward, (x,), shape=data.shape, channels_last=layout.is_channels_last(data))


class ReshapeBackward(Backward):
    """Gradient of reshape: ``grad_y`` in x's shape."""

    shape: tuple[int, ...]
    channels_last = False  # the gradient of a map that was converted is converted here, once for all who read it

    def __call__(self, grad_y):
        grad_x = layout.reshape(grad_y, self.shape)
        return layout.channels_last(grad_x) if self.channels_last else grad_x


def flatten(input: Tensor, start_dim: int = 0, end_dim: int = -1) -> Tensor:
    """Makes one axis of the axes start_dim to end_dim.

    Example:
        >>> import atrous as at
        >>> flatten(at.zeros(2, 3, 4), 1).shape
        (2, 12)
    """
    shape = input.data.shape
    if not shape:
        return _reshape("flatten", input, (1,))
    start, end = axis(start_dim, len(shape), "flatten"), axis(end_dim, len(shape), "flatten")
    if start > end:
        raise ValueError(f"flatten: start_dim {start_dim} comes after end_dim {end_dim}")
    return _reshape("flatten", input, (*shape[:start], math.prod(shape[start : end + 1]), *shape[end + 1 :]))


def unflatten(input: Tensor, dim: int, sizes: Sequence[int]) -> Tensor:
    """Makes several axes of one.

    Example:
        >>> import atrous as at
        >>> unflatten(at.zeros(2, 12), 1, (3, 4)).shape
        (2, 3, 4)
    """
    dim = axis(dim, input.ndim, "unflatten")
    extents = list(sizes)
    if -1 in extents:
        extents[extents.index(-1)] = input.shape[dim] // max(1, -math.prod(extents))
    return _reshape("unflatten", input, (*input.shape[:dim], *extents, *input.shape[dim + 1 :]))


def transpose(input: Tensor, dim0: int, dim1: int) -> Tensor:
    """Exchanges two axes; a view.

    Example:
        >>> import atrous as at
        >>> transpose(at.zeros(2, 3), 0, 1).shape
        (3, 2)
    """
    ndim = input.ndim
    dim0, dim1 = axis(dim0, ndim, "transpose"), axis(dim1, ndim, "transpose")
    if ndim == 0:
        return permute(input)
    order = list(range(ndim))
    order[dim0], order[dim1] = dim1, dim0
    return permute(input, order)


def t(input: Tensor) -> Tensor:
    """The transpose of a matrix; vectors and numbers stay as they are.

    Example:
        >>> import atrous as at
        >>> t(at.zeros(2, 3)).shape
        (3, 2)
    """
    require(input.ndim <= 2, "t", f"the tensor has {input.ndim} axes; expected at most 2 (permute takes any)")
    return permute(input, tuple(range(input.ndim))[::-1])


def permute(input: Tensor, *dims: Any) -> Tensor:
    """Puts the axes into another order; a view.

    Raises:
        ValueError: not every axis once.
    Example:
        >>> import atrous as at
        >>> permute(at.zeros(2, 3, 4), 2, 0, 1).shape
        (4, 2, 3)
    """
    data = input.data
    order = tuple([axis(dim, data.ndim, "permute") for dim in sizes(dims)])
    require(sorted(order) == list(range(data.ndim)), "permute", f"dims {order}; expected each of {data.ndim} axes once")
    back = tuple(sorted(range(data.ndim), key=order.__getitem__))
    return record_view(input, data.transpose(order), lambda array: array.transpose(order), PermuteBackward, axes=back)


class PermuteBackward(Backward):
    """Gradient of permute: ``grad_y`` with its axes back in x's order."""

    axes: tuple[int, ...]

    def __call__(self, grad_y):
        return grad_y.transpose(self.axes)


def movedim(input: Tensor, source: int, destination: int) -> Tensor:
    """Moves one axis to another place; a view.

    Example:
        >>> import atrous as at
        >>> movedim(at.zeros(2, 3, 4), 0, -1).shape
        (3, 4, 2)
    """
    order = list(range(input.ndim))
    order.insert(axis(destination, input.ndim, "movedim"), order.pop(axis(source, input.ndim, "movedim")))
    return permute(input, order)


def squeeze(input: Tensor, dim: int | Sequence[int] | None = None) -> Tensor:
    """Drops axes of extent 1: all, or those named, of which longer ones stay; a view.

    Example:
        >>> import atrous as at
        >>> squeeze(at.zeros(1, 2, 1)).shape
        (2,)
    """
    shape = input.data.shape
    if dim is None:
        named = set(range(len(shape)))
    else:
        named = {axis(d, len(shape), "squeeze") for d in (dim if isinstance(dim, (tuple, list)) else (dim,))}
    kept = [extent for i, extent in enumerate(shape) if extent != 1 or i not in named]
    return _reshape("squeeze", input, tuple(kept))


def unsqueeze(input: Tensor, dim: int) -> Tensor:
    """A new axis of extent 1 at position dim; a view.

    Example:
        >>> import atrous as at
        >>> unsqueeze(at.zeros(2, 3), -1).shape
        (2, 3, 1)
    """
    dim = axis(dim, input.ndim + 1, "unsqueeze")
    shape = input.data.shape
    return _reshape("unsqueeze", input, (*shape[:dim], 1, *shape[dim:]))


def expand(input: Tensor, *size: Any) -> Tensor:
    """Stretches axes of extent 1, and adds axes in front, without a copy; −1 keeps an extent. The view is read-only.

    Raises:
        ValueError: an axis of another extent than 1 would change.
    Example:
        >>> import atrous as at
        >>> expand(at.tensor([[1], [2]]), 2, 3).tolist()
        [[1, 1, 1], [2, 2, 2]]
    """
    shape, old = sizes(size), input.data.shape
    extra = len(shape) - len(old)
    if extra >= 0:
        shape = tuple([old[i - extra] if extent == -1 and i >= extra else extent for i, extent in enumerate(shape)])
    try:
        y = array_module(input.data).broadcast_to(input.data, shape)
    except ValueError:
        raise ValueError(f"expand: shape {old} does not broadcast to {shape}") from None
    xp = array_module(input.data)
    return record_view(input, y, lambda array: xp.broadcast_to(array, shape), ExpandBackward, shape=old)


def broadcast_to(input: Tensor, shape: Sequence[int]) -> Tensor:
    """``expand`` to a shape.

    Example:
        >>> import atrous as at
        >>> broadcast_to(at.ones(1), (2,)).tolist()
        [1.0, 1.0]
    """
    return expand(input, tuple(shape))


class ExpandBackward(Backward):
    """Gradient of expand: the sum of ``grad_y`` over the axes that were repeated."""

    shape: tuple[int, ...]

    def __call__(self, grad_y):
        extra = grad_y.ndim - len(self.shape)
        axes = [i for i in range(grad_y.ndim) if i < extra or self.shape[i - extra] == 1]
        return grad_y.sum(axis=tuple(axes), dtype=compute_dtype(grad_y.dtype), keepdims=True).reshape(self.shape)
