"""The part of a Tensor that is not an op: its array, its place in the graph, and its ways in and out of Python."""

from __future__ import annotations

import itertools
import math
import weakref
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy import ndarray

from . import autograd, fusion, gpu, graph
from .dtypes import int64, is_floating
from .printing import format_tensor

if TYPE_CHECKING:
    from .tensor import Tensor

__all__ = ["TensorBase"]


EXPORTED = -1  # writes are not counted any more


class TensorBase:
    """An array and a place in the autograd graph; see ``Tensor``."""

    __slots__ = (
        "__weakref__",
        "_grad",
        "_grad_owned",  # set with _grad: whether the engine allocated its buffer, so that it may add into it
        "_hooks",  # of a leaf: what register_hook was given
        "_node",  # what made it: None for a leaf
        "_pending",  # the kernel call that will compute ``data``, where that is not set yet; else None
        "_range",  # of integers that came from the host: (least, greatest, the version they had, their array)
        "_requires_grad",
        "_version",  # [number of writes], one list for all views of the same memory; EXPORTED, where others see it
        "_view",  # what graph.record_view knows of a view
        "data",
    )
    __array_ufunc__ = None  # so that ndarray * tensor asks the tensor
    __hash__ = object.__hash__

    def __init__(self, data: Any, requires_grad: bool = False) -> None:
        kind = type(data)
        if kind is ndarray or kind is gpu.ndarray:
            self.data = data
            self._pending: Any = None
        elif kind is fusion.Pending:
            self._pending = data
            data.attach(self)  # type: ignore[arg-type]
        else:
            self.data = _as_array(data)
            self._pending = None
        self._requires_grad = False
        self._node: Any = None
        self._grad: Any = None
        self._hooks: dict[int, Callable] | None = None
        self._version = [0]
        self._range: tuple[int, int, int, Any] | None = None
        self._view: Any = None
        if requires_grad:
            self.requires_grad = True

    # The array. What asks for no values does not make a pending kernel call run.

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:  # called where a slot is empty
            if name != "data":
                raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}", name=name, obj=self)
            pending = self._pending
            if pending is None:  # another thread was faster
                return object.__getattribute__(self, "data")
            self.data = array = pending.values()
            self._pending = None
            return array

    @property
    def shape(self) -> tuple[int, ...]:
        """The extents of the axes."""
        return (self._pending or self.data).shape

    @property
    def ndim(self) -> int:
        """The number of axes."""
        return (self._pending or self.data).ndim

    @property
    def dtype(self) -> np.dtype:
        """The data type, NumPy's own object."""
        return (self._pending or self.data).dtype

    @property
    def device(self) -> gpu.device:
        """Where the array lives: "cpu", or "cuda:0"."""
        if gpu.kernels is None:
            return gpu.CPU
        pending = self._pending
        kind = type(self.data) if pending is None else pending.kind
        if kind is ndarray:
            return gpu.CPU
        if kind is gpu.ndarray and gpu.alone is not None:
            return gpu.alone
        return gpu.device_of(pending.arguments[0] if pending is not None and pending.arguments else self.data)

    @property
    def itemsize(self) -> int:
        """Bytes of one element."""
        return self.dtype.itemsize

    @property
    def nbytes(self) -> int:
        """Bytes of all elements."""
        return self.numel() * self.itemsize

    def size(self, dim: int | None = None) -> Any:
        """The shape, or the extent of one axis."""
        return self.shape if dim is None else self.shape[dim]

    def dim(self) -> int:
        """The number of axes."""
        return self.ndim

    def numel(self) -> int:
        """The number of elements."""
        return math.prod(self.shape)

    def element_size(self) -> int:
        """Bytes of one element."""
        return self.itemsize

    def is_floating_point(self) -> bool:
        """Whether the elements are floating point, and so can require grad."""
        return is_floating(self.dtype)

    def stride(self, dim: int | None = None) -> Any:
        """Steps between neighbours along each axis, in elements; those of NHWC memory for a 4-D result of a kernel."""
        strides = tuple([step // self.data.itemsize for step in self.data.strides])
        return strides if dim is None else strides[dim]

    def is_contiguous(self) -> bool:
        """Whether the memory is in C order; 4-D results of kernels are not (they are channels-last)."""
        return bool(self.data.flags.c_contiguous)

    # The graph

    @property
    def requires_grad(self) -> bool:
        """Whether ops on this tensor are recorded for backward. Settable on leaves of floating dtype."""
        if self._view is not None:
            graph.refresh(self)
        return self._requires_grad

    @requires_grad.setter
    def requires_grad(self, value: bool) -> None:
        value = bool(value)
        if value and not is_floating(self.dtype):
            raise RuntimeError(f"requires_grad: only floating-point tensors can require grad, not {self.dtype}")
        if self._node is not None and not value:
            raise RuntimeError(
                "requires_grad: the result of an op requires grad as its inputs do; detach() gives one that does not"
            )
        self._requires_grad = value

    def requires_grad_(self, requires_grad: bool = True) -> Tensor:
        """Sets ``requires_grad`` and returns the tensor."""
        self.requires_grad = requires_grad
        return self  # type: ignore[return-value]

    @property
    def is_leaf(self) -> bool:
        """Whether no recorded op made this tensor."""
        return self.grad_fn is None

    @property
    def grad_fn(self) -> Any:
        """The node that made this tensor, None for a leaf."""
        if self._view is not None:
            graph.refresh(self)
        return self._node

    @property
    def grad(self) -> Tensor | None:
        """The gradient summed over all backward passes so far; settable, None to clear it."""
        return self._grad

    @grad.setter
    def grad(self, value: Tensor | None) -> None:
        if value is not None:
            if not isinstance(value, TensorBase):
                raise TypeError(f"grad: expected a Tensor or None, not {type(value).__name__}")
            if value is self:
                raise RuntimeError("grad: a tensor cannot be its own gradient")
            if value.shape != self.shape or value.dtype != self.dtype:
                raise ValueError(
                    f"grad: got {value.dtype} {value.shape}; expected {self.dtype} {self.shape} as the tensor"
                )
        self._grad = value
        self._grad_owned = False

    def backward(self, gradient: Any = None, retain_graph: bool = False, create_graph: bool = False) -> None:
        """Adds the gradient of this tensor to the ``grad`` of every leaf it was made from.

        Args:
            gradient: where to start from, a Tensor or an array of this shape; 1 for a tensor of one element.
            retain_graph: keep what a second pass would need.
            create_graph: not supported.
        Raises:
            RuntimeError: no graph, a graph already walked, no ``gradient`` where it is needed.
        """
        autograd.backward(self, gradient, retain_graph, create_graph)

    def register_hook(self, hook: Callable[[Tensor], Tensor | None]) -> Any:
        """Calls ``hook(grad)`` in every backward pass; what it returns, unless None, replaces the gradient.

        Returns:
            A handle whose ``remove()`` takes the hook away.
        """
        if not self.requires_grad:
            raise RuntimeError("register_hook: the tensor does not require grad")
        owner = self._node
        if owner is not None:
            owner.hooks = hooks = owner.hooks or {}
        else:
            self._hooks = hooks = self._hooks or {}
        return HookHandle(hooks, hook)

    def retain_grad(self) -> None:
        """Keeps the gradient of a tensor that is no leaf in ``grad``, too."""
        if not self.requires_grad:
            raise RuntimeError("retain_grad: the tensor does not require grad")
        if self._node is not None:
            self._node.retained = weakref.ref(self)

    @property
    def retains_grad(self) -> bool:
        """Whether ``retain_grad`` was called on a tensor that is no leaf."""
        return self.grad_fn is not None and self._node.retained is not None

    def detach(self) -> Tensor:
        """A tensor on the same memory that takes no part in the graph."""
        result = graph.Tensor(self.data)
        result._version = self._version
        return result

    # Values that are known without a look at them

    def _keep_range(self, host: Any) -> None:
        """Of integers that came from this array of the host: later, to look at them would wait for the GPU."""
        if host.dtype == int64 and 0 < host.size <= 1 << 20:  # a millisecond at most
            self._range = (int(host.min()), int(host.max()), self._version[0], self.data)

    def _lies_in(self, end: int) -> bool:
        """Whether all values are known to be from 0 to end − 1."""
        if self._range is None:
            return False
        least, greatest, version, array = self._range
        unchanged = self._version == [version] and self.data is array
        return unchanged and least >= 0 and greatest < end

    # Out to Python and NumPy

    def _export(self, op: str) -> Any:
        if self.requires_grad:
            raise RuntimeError(f"{op}: the tensor requires grad, and the array would not; call detach() first")
        fusion.finish(self.data)  # which may be written from here on
        if len(self._version) == 1:
            self._version.append(EXPORTED)
        return self.data

    def numpy(self) -> np.ndarray:
        """The array itself, without a copy; writes through it are not checked.

        Raises:
            RuntimeError: the tensor requires grad, or is on a GPU.
        """
        return self._on_host("numpy")

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.array(self._on_host("__array__"), dtype, copy=copy)

    def _on_host(self, op: str) -> np.ndarray:
        if self.device != "cpu":
            raise RuntimeError(f"{op}: the tensor is on {self.device}; copy it to host memory by cpu() first")
        return self._export(op)

    def __dlpack__(self, **options: Any) -> Any:
        array = self._export("__dlpack__")
        if array.dtype.kind == "V" and not gpu.holds(array):
            raise BufferError(
                "__dlpack__: NumPy hands out no bfloat16; take x.float(), or the bits as numpy().view('int16')"
            )
        return array.__dlpack__(**options)

    def __dlpack_device__(self) -> tuple[int, int]:
        return self.data.__dlpack_device__()

    def tolist(self) -> Any:
        """Nested lists of Python numbers; a number for a tensor without axes."""
        return self.data.tolist()

    def item(self) -> Any:
        """The one element as a Python number.

        Raises:
            ValueError: more elements than one, or none.
        """
        if self.data.size != 1:
            raise ValueError(f"item: the tensor has {self.data.size} elements; only one can become a number")
        return self.data.item()

    def __bool__(self) -> bool:
        if self.data.size != 1:
            raise ValueError(
                f"bool: the truth of a tensor with {self.data.size} elements is ambiguous; use any() or all()"
            )
        return bool(self.data.item())

    def __float__(self) -> float:
        return float(self.item())

    def __int__(self) -> int:
        return int(self.item())

    def __index__(self) -> int:
        if self.data.dtype.kind not in "iub" or self.data.size != 1:
            raise TypeError("only integer tensors of one element can be an index")
        return int(self.data.item())

    def __len__(self) -> int:
        if self.ndim == 0:
            raise TypeError("len() of a tensor without axes")
        return self.shape[0]

    def __iter__(self) -> Iterator[Tensor]:
        if self.data.ndim == 0:
            raise TypeError("iteration over a tensor without axes")
        return (self[index] for index in range(self.data.shape[0]))  # type: ignore[index]

    def __contains__(self, value: Any) -> bool:
        found = self.data == (value.data if isinstance(value, TensorBase) else value)
        return bool(found if isinstance(found, bool) else found.any())

    def __repr__(self) -> str:
        return format_tensor(self)

    def __format__(self, spec: str) -> str:
        return format(self.item(), spec) if self.data.ndim == 0 and spec else format(repr(self), spec)

    def __deepcopy__(self, memo: dict) -> Any:
        if self.grad_fn is not None:
            raise RuntimeError("deepcopy: only leaves can be copied; call detach() first")
        copy = _rebuild(type(self), self.data.copy(order="K"), self._requires_grad, _extras(self))
        if self._grad is not None:
            copy._grad = self._grad.__deepcopy__(memo)
        memo[id(self)] = copy
        return copy

    def __reduce__(self) -> Any:
        return _rebuild, (type(self), self.data, self._requires_grad, _extras(self))


_keys = itertools.count()


class HookHandle:
    """Removes a hook again."""

    def __init__(self, hooks: dict[int, Callable], hook: Callable) -> None:
        self.hooks = hooks
        self.key = next(_keys)
        hooks[self.key] = hook

    def remove(self) -> None:
        """Takes the hook away; twice does no harm."""
        self.hooks.pop(self.key, None)


def _rebuild(kind: type, data: Any, requires_grad: bool, extras: dict | None) -> Any:
    """A tensor of a class, Parameter for one, around an array: what pickling and copying call."""
    tensor: Any = object.__new__(kind)
    TensorBase.__init__(tensor, data)
    tensor._requires_grad = requires_grad
    if extras:
        tensor.__dict__.update(extras)
    return tensor


def _extras(tensor: Any) -> dict | None:
    return getattr(tensor, "__dict__", None)


def _as_array(data: Any) -> Any:
    """NumPy's reductions give scalars; a tensor holds an array."""
    if isinstance(data, (np.generic, np.ndarray)):
        return np.asarray(data)
    if (gpu.holds(data) or hasattr(data, "__array_namespace__")) and not isinstance(data, TensorBase):
        return data
    raise TypeError(f"Tensor: expected an array, not {type(data).__name__}; at.tensor(...) converts lists and numbers")
