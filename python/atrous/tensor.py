"""The Tensor: its methods and operators, each of which calls the op of the same name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from . import dtypes, gpu, graph
from .tensor_base import TensorBase

__all__ = ["Tensor"]

Dim = int | Sequence[int] | None
Float = float  # the class has a method of that name


class Tensor(TensorBase):
    """An array with a place in the autograd graph. Made by ``at.tensor(...)``, ``at.zeros(...)`` and the like.

    On the CPU the array is a ``numpy.ndarray``, which ``numpy()`` gives and ``from_numpy`` takes without a copy. Shapes
    are PyTorch's (N, C, H, W); the memory of 4-D results is channels-last.

    Args:
        data: the array to wrap, not copied.
        requires_grad: record what happens to it.
    Example:
        >>> import atrous as at
        >>> x = at.tensor([1.0, 2.0], requires_grad=True)
        >>> (x * x).sum().backward()
        >>> x.grad
        tensor([2., 4.])
    """

    __slots__ = ()

    # Operators

    def __add__(self, other: Any) -> Tensor:
        return ops.add(self, other)

    def __radd__(self, other: Any) -> Tensor:
        return ops.add(other, self)

    def __iadd__(self, other: Any) -> Tensor:
        return ops.add_(self, other)

    def __sub__(self, other: Any) -> Tensor:
        return ops.sub(self, other)

    def __rsub__(self, other: Any) -> Tensor:
        return ops.sub(other, self)

    def __isub__(self, other: Any) -> Tensor:
        return ops.sub_(self, other)

    def __mul__(self, other: Any) -> Tensor:
        return ops.mul(self, other)

    def __rmul__(self, other: Any) -> Tensor:
        return ops.mul(other, self)

    def __imul__(self, other: Any) -> Tensor:
        return ops.mul_(self, other)

    def __truediv__(self, other: Any) -> Tensor:
        return ops.div(self, other)

    def __rtruediv__(self, other: Any) -> Tensor:
        return ops.div(other, self)

    def __itruediv__(self, other: Any) -> Tensor:
        return ops.div_(self, other)

    def __floordiv__(self, other: Any) -> Tensor:
        return ops.floor_divide(self, other)

    def __rfloordiv__(self, other: Any) -> Tensor:
        return ops.floor_divide(other, self)

    def __mod__(self, other: Any) -> Tensor:
        return ops.remainder(self, other)

    def __rmod__(self, other: Any) -> Tensor:
        return ops.remainder(other, self)

    def __pow__(self, other: Any) -> Tensor:
        return ops.pow(self, other)

    def __rpow__(self, other: Any) -> Tensor:
        return ops.pow(other, self)

    def __ipow__(self, other: Any) -> Tensor:
        return ops.pow_(self, other)

    def __matmul__(self, other: Any) -> Tensor:
        return ops.matmul(self, other)

    def __rmatmul__(self, other: Any) -> Tensor:
        return ops.matmul(ops.as_tensor(other), self)

    def __and__(self, other: Any) -> Tensor:
        return ops.bitwise_and(self, other)

    def __rand__(self, other: Any) -> Tensor:
        return ops.bitwise_and(other, self)

    def __or__(self, other: Any) -> Tensor:
        return ops.bitwise_or(self, other)

    def __ror__(self, other: Any) -> Tensor:
        return ops.bitwise_or(other, self)

    def __xor__(self, other: Any) -> Tensor:
        return ops.bitwise_xor(self, other)

    def __rxor__(self, other: Any) -> Tensor:
        return ops.bitwise_xor(other, self)

    def __neg__(self) -> Tensor:
        return ops.neg(self)

    def __pos__(self) -> Tensor:
        return self

    def __abs__(self) -> Tensor:
        return ops.abs(self)

    def __invert__(self) -> Tensor:
        return ops.bitwise_not(self)

    def __lt__(self, other: Any) -> Tensor:
        return ops.lt(self, other)

    def __le__(self, other: Any) -> Tensor:
        return ops.le(self, other)

    def __gt__(self, other: Any) -> Tensor:
        return ops.gt(self, other)

    def __ge__(self, other: Any) -> Tensor:
        return ops.ge(self, other)

    def __eq__(self, other: Any) -> Any:
        return ops.eq(self, other) if _comparable(other) else NotImplemented

    def __ne__(self, other: Any) -> Any:
        return ops.ne(self, other) if _comparable(other) else NotImplemented

    __hash__ = TensorBase.__hash__

    def __getitem__(self, index: Any) -> Tensor:
        return ops.getitem(self, index)

    def __setitem__(self, index: Any, value: Any) -> None:
        ops.setitem(self, index, value)

    @property
    def T(self) -> Tensor:
        """The tensor with its axes in reverse order; a view."""
        return ops.permute(self, tuple(range(self.ndim))[::-1])

    @property
    def mT(self) -> Tensor:
        """The tensor with its last two axes exchanged; a view."""
        return ops.transpose(self, -2, -1)

    # Arithmetic

    def add(self, other: Any, *, alpha: Any = 1) -> Tensor:
        return ops.add(self, other, alpha=alpha)

    def add_(self, other: Any, *, alpha: Any = 1) -> Tensor:
        return ops.add_(self, other, alpha=alpha)

    def sub(self, other: Any, *, alpha: Any = 1) -> Tensor:
        return ops.sub(self, other, alpha=alpha)

    def sub_(self, other: Any, *, alpha: Any = 1) -> Tensor:
        return ops.sub_(self, other, alpha=alpha)

    def mul(self, other: Any) -> Tensor:
        return ops.mul(self, other)

    def mul_(self, other: Any) -> Tensor:
        return ops.mul_(self, other)

    def div(self, other: Any) -> Tensor:
        return ops.div(self, other)

    def div_(self, other: Any) -> Tensor:
        return ops.div_(self, other)

    def pow(self, exponent: Any) -> Tensor:
        return ops.pow(self, exponent)

    def pow_(self, exponent: Any) -> Tensor:
        return ops.pow_(self, exponent)

    def floor_divide(self, other: Any) -> Tensor:
        return ops.floor_divide(self, other)

    def remainder(self, other: Any) -> Tensor:
        return ops.remainder(self, other)

    def matmul(self, other: Any) -> Tensor:
        return ops.matmul(self, other)

    def maximum(self, other: Any) -> Tensor:
        return ops.maximum(self, other)

    def minimum(self, other: Any) -> Tensor:
        return ops.minimum(self, other)

    def eq(self, other: Any) -> Tensor:
        return ops.eq(self, other)

    def ne(self, other: Any) -> Tensor:
        return ops.ne(self, other)

    def lt(self, other: Any) -> Tensor:
        return ops.lt(self, other)

    def le(self, other: Any) -> Tensor:
        return ops.le(self, other)

    def gt(self, other: Any) -> Tensor:
        return ops.gt(self, other)

    def ge(self, other: Any) -> Tensor:
        return ops.ge(self, other)

    def logical_and(self, other: Any) -> Tensor:
        return ops.logical_and(self, other)

    def logical_or(self, other: Any) -> Tensor:
        return ops.logical_or(self, other)

    def equal(self, other: Tensor) -> bool:
        return ops.equal(self, other)

    def isclose(self, other: Tensor, rtol: Float = 1e-5, atol: Float = 1e-8, equal_nan: bool = False) -> Tensor:
        return ops.isclose(self, other, rtol, atol, equal_nan)

    def allclose(self, other: Tensor, rtol: Float = 1e-5, atol: Float = 1e-8, equal_nan: bool = False) -> bool:
        return ops.allclose(self, other, rtol, atol, equal_nan)

    # Functions of each element

    def neg(self) -> Tensor:
        return ops.neg(self)

    def neg_(self) -> Tensor:
        return ops.neg_(self)

    def abs(self) -> Tensor:
        return ops.abs(self)

    def abs_(self) -> Tensor:
        return ops.abs_(self)

    def exp(self) -> Tensor:
        return ops.exp(self)

    def exp_(self) -> Tensor:
        return ops.exp_(self)

    def log(self) -> Tensor:
        return ops.log(self)

    def log_(self) -> Tensor:
        return ops.log_(self)

    def sqrt(self) -> Tensor:
        return ops.sqrt(self)

    def sqrt_(self) -> Tensor:
        return ops.sqrt_(self)

    def log2(self) -> Tensor:
        return ops.log2(self)

    def log1p(self) -> Tensor:
        return ops.log1p(self)

    def expm1(self) -> Tensor:
        return ops.expm1(self)

    def sin(self) -> Tensor:
        return ops.sin(self)

    def cos(self) -> Tensor:
        return ops.cos(self)

    def square(self) -> Tensor:
        return ops.square(self)

    def rsqrt(self) -> Tensor:
        return ops.rsqrt(self)

    def reciprocal(self) -> Tensor:
        return ops.reciprocal(self)

    def sign(self) -> Tensor:
        return ops.sign(self)

    def floor(self) -> Tensor:
        return ops.floor(self)

    def ceil(self) -> Tensor:
        return ops.ceil(self)

    def round(self) -> Tensor:
        return ops.round(self)

    def isnan(self) -> Tensor:
        return ops.isnan(self)

    def isinf(self) -> Tensor:
        return ops.isinf(self)

    def isfinite(self) -> Tensor:
        return ops.isfinite(self)

    def logical_not(self) -> Tensor:
        return ops.logical_not(self)

    def relu(self) -> Tensor:
        return ops.relu(self)

    def sigmoid(self) -> Tensor:
        return ops.sigmoid(self)

    def tanh(self) -> Tensor:
        return ops.tanh(self)

    def softmax(self, dim: int) -> Tensor:
        return ops.softmax(self, dim)

    def log_softmax(self, dim: int) -> Tensor:
        return ops.log_softmax(self, dim)

    def clamp(self, min: Any = None, max: Any = None) -> Tensor:
        return ops.clamp(self, min, max)

    def clamp_(self, min: Any = None, max: Any = None) -> Tensor:
        return ops.clamp_(self, min, max)

    def masked_fill(self, mask: Tensor, value: Any) -> Tensor:
        return ops.masked_fill(self, mask, value)

    def masked_fill_(self, mask: Tensor, value: Any) -> Tensor:
        return ops.masked_fill_(self, mask, value)

    def where(self, condition: Tensor, other: Any) -> Tensor:
        return ops.where(condition, self, other)

    # Reductions

    def sum(self, dim: Dim = None, keepdim: bool = False, *, dtype: Any = None) -> Tensor:
        return ops.sum(self, dim, keepdim, dtype=dtype)

    def mean(self, dim: Dim = None, keepdim: bool = False, *, dtype: Any = None) -> Tensor:
        return ops.mean(self, dim, keepdim, dtype=dtype)

    def var(
        self, dim: Dim = None, unbiased: bool = True, keepdim: bool = False, *, correction: Float | None = None
    ) -> Tensor:
        return ops.var(self, dim, unbiased, keepdim, correction=correction)

    def std(
        self, dim: Dim = None, unbiased: bool = True, keepdim: bool = False, *, correction: Float | None = None
    ) -> Tensor:
        return ops.std(self, dim, unbiased, keepdim, correction=correction)

    def prod(self, dim: int | None = None, keepdim: bool = False, *, dtype: Any = None) -> Tensor:
        return ops.prod(self, dim, keepdim, dtype=dtype)

    def cumsum(self, dim: int, *, dtype: Any = None) -> Tensor:
        return ops.cumsum(self, dim, dtype=dtype)

    def logsumexp(self, dim: Dim, keepdim: bool = False) -> Tensor:
        return ops.logsumexp(self, dim, keepdim)

    def norm(self, p: Float = 2, dim: Dim = None, keepdim: bool = False) -> Tensor:
        return ops.norm(self, p, dim, keepdim)

    def all(self, dim: Dim = None, keepdim: bool = False) -> Tensor:
        return ops.all(self, dim, keepdim)

    def any(self, dim: Dim = None, keepdim: bool = False) -> Tensor:
        return ops.any(self, dim, keepdim)

    def amax(self, dim: Dim = None, keepdim: bool = False) -> Tensor:
        return ops.amax(self, dim, keepdim)

    def amin(self, dim: Dim = None, keepdim: bool = False) -> Tensor:
        return ops.amin(self, dim, keepdim)

    def count_nonzero(self, dim: Dim = None) -> Tensor:
        return ops.count_nonzero(self, dim)

    def max(self, dim: Any = None, keepdim: bool = False) -> Any:
        return ops.max(self, dim, keepdim)

    def min(self, dim: Any = None, keepdim: bool = False) -> Any:
        return ops.min(self, dim, keepdim)

    def argmax(self, dim: int | None = None, keepdim: bool = False) -> Tensor:
        return ops.argmax(self, dim, keepdim)

    def argmin(self, dim: int | None = None, keepdim: bool = False) -> Tensor:
        return ops.argmin(self, dim, keepdim)

    def argsort(self, dim: int = -1, descending: bool = False, stable: bool = False) -> Tensor:
        return ops.argsort(self, dim, descending, stable)

    def sort(self, dim: int = -1, descending: bool = False, stable: bool = False) -> Any:
        return ops.sort(self, dim, descending, stable)

    def topk(self, k: int, dim: int = -1, largest: bool = True, sorted: bool = True) -> Any:
        return ops.topk(self, k, dim, largest, sorted)

    # Shape and parts

    def reshape(self, *shape: Any) -> Tensor:
        return ops.reshape(self, *shape)

    def view(self, *shape: Any) -> Tensor:
        return ops.view(self, *shape)

    def reshape_as(self, other: Tensor) -> Tensor:
        """``reshape`` to the other tensor's shape."""
        return ops.reshape(self, other.shape)

    def view_as(self, other: Tensor) -> Tensor:
        """``view`` in the other tensor's shape."""
        return ops.view(self, other.shape)

    def flatten(self, start_dim: int = 0, end_dim: int = -1) -> Tensor:
        return ops.flatten(self, start_dim, end_dim)

    def ravel(self) -> Tensor:
        """All elements in one axis: ``flatten()``."""
        return ops.flatten(self)

    def unflatten(self, dim: int, sizes: Sequence[int]) -> Tensor:
        return ops.unflatten(self, dim, sizes)

    def transpose(self, dim0: int, dim1: int) -> Tensor:
        return ops.transpose(self, dim0, dim1)

    def t(self) -> Tensor:
        return ops.t(self)

    def permute(self, *dims: Any) -> Tensor:
        return ops.permute(self, *dims)

    def movedim(self, source: int, destination: int) -> Tensor:
        return ops.movedim(self, source, destination)

    def squeeze(self, dim: Any = None) -> Tensor:
        return ops.squeeze(self, dim)

    def unsqueeze(self, dim: int) -> Tensor:
        return ops.unsqueeze(self, dim)

    def expand(self, *size: Any) -> Tensor:
        return ops.expand(self, *size)

    def expand_as(self, other: Tensor) -> Tensor:
        """``expand`` to the other tensor's shape."""
        return ops.expand(self, other.shape)

    def repeat(self, *repeats: Any) -> Tensor:
        return ops.repeat(self, *repeats)

    def flip(self, *dims: Any) -> Tensor:
        return ops.flip(self, *dims)

    def narrow(self, dim: int, start: int, length: int) -> Tensor:
        return ops.narrow(self, dim, start, length)

    def split(self, split_size: Any, dim: int = 0) -> tuple[Tensor, ...]:
        return ops.split(self, split_size, dim)

    def chunk(self, chunks: int, dim: int = 0) -> tuple[Tensor, ...]:
        return ops.chunk(self, chunks, dim)

    def unbind(self, dim: int = 0) -> tuple[Tensor, ...]:
        return ops.unbind(self, dim)

    def gather(self, dim: int, index: Tensor) -> Tensor:
        return ops.gather(self, dim, index)

    def index_select(self, dim: int, index: Tensor) -> Tensor:
        return ops.index_select(self, dim, index)

    def scatter_add(self, dim: int, index: Tensor, src: Tensor) -> Tensor:
        return ops.scatter_add(self, dim, index, src)

    def nonzero(self) -> Tensor:
        return ops.nonzero(self)

    # Copies, dtypes, writes in place

    def clone(self) -> Tensor:
        return ops.clone(self)

    def contiguous(self) -> Tensor:
        return ops.contiguous(self)

    def to(
        self, *targets: Any, dtype: Any = None, device: Any = None, non_blocking: bool = False, copy: bool = False
    ) -> Tensor:
        return ops.to(self, *targets, dtype=dtype, device=device, non_blocking=non_blocking, copy=copy)

    def type_as(self, other: Tensor) -> Tensor:
        """The tensor in the other's dtype."""
        return ops.to(self, other.dtype)

    def cpu(self) -> Tensor:
        """The tensor in host memory; itself where it is there."""
        return ops.to(self, "cpu")

    def cuda(self, non_blocking: bool = False) -> Tensor:
        """The tensor on the GPU in use; itself where it is there."""
        return ops.to(self, "cuda", non_blocking=non_blocking)

    def pin_memory(self) -> Tensor:
        """A copy in pinned host memory, for ``to("cuda", non_blocking=True)``; itself where there is no GPU."""
        return Tensor(gpu.pinned(self.data)) if gpu.available() and self.device == "cpu" else self

    def float(self) -> Tensor:
        """The tensor in float32."""
        return ops.to(self, dtypes.float32)

    def double(self) -> Tensor:
        """The tensor in float64."""
        return ops.to(self, dtypes.float64)

    def half(self) -> Tensor:
        """The tensor in float16."""
        return ops.to(self, dtypes.float16)

    def bfloat16(self) -> Tensor:
        """The tensor in bfloat16."""
        return ops.to(self, "bfloat16")

    def int(self) -> Tensor:
        """The tensor in int32."""
        return ops.to(self, dtypes.int32)

    def long(self) -> Tensor:
        """The tensor in int64."""
        return ops.to(self, dtypes.int64)

    def short(self) -> Tensor:
        """The tensor in int16."""
        return ops.to(self, dtypes.int16)

    def bool(self) -> Tensor:
        """The tensor in bool."""
        return ops.to(self, dtypes.bool_)

    def copy_(self, src: Any) -> Tensor:
        return ops.copy_(self, src)

    def fill_(self, value: Any) -> Tensor:
        return ops.fill_(self, value)

    def zero_(self) -> Tensor:
        return ops.zero_(self)

    def uniform_(self, a: Float = 0.0, b: Float = 1.0, *, generator: Any = None) -> Tensor:
        return ops.uniform_(self, a, b, generator=generator)

    def normal_(self, mean: Float = 0.0, std: Float = 1.0, *, generator: Any = None) -> Tensor:
        return ops.normal_(self, mean, std, generator=generator)


def _comparable(other: Any) -> bool:
    """Whether == and != compare elements; anything else, None for one, is simply not equal."""
    return isinstance(other, (TensorBase, bool, int, float, np.generic, np.ndarray, list, tuple))


graph.Tensor = Tensor  # type: ignore[misc]

from . import ops  # noqa: E402  the ops need the class above

for _name, _method in vars(Tensor).items():  # the methods' documentation is that of the ops
    if callable(_method) and not _method.__doc__ and hasattr(ops, _name):
        _method.__doc__ = getattr(ops, _name).__doc__
