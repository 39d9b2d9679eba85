"""Stands in for CuPy where there is no GPU: its arrays are NumPy's in disguise, as foreign to NumPy as CuPy's are.

What our code may do with CuPy's arrays works here, by NumPy; what it must not do (turn one into a NumPy array in
silence, mix the two) raises, as with CuPy. Kernels run on its memory by cuda_runtime.h beside this folder.
"""

from __future__ import annotations

import operator
import sys
from typing import Any

import numpy as np

from . import capture, cuda, pool
from .pool import MemoryPointer, View

float16, float32, float64 = np.float16, np.float32, np.float64
int8, int16, int32, int64, uint8, uint32, uint64 = (
    np.int8, np.int16, np.int32, np.int64, np.uint8, np.uint32, np.uint64,
)  # fmt: skip
bool_, newaxis, nan, inf, pi, e = np.bool_, np.newaxis, np.nan, np.inf, np.pi, np.e
__version__ = "stand-in"


class Flags:
    """CuPy's know no more than these."""

    def __init__(self, flags):
        self.c_contiguous, self.f_contiguous, self.owndata = flags.c_contiguous, flags.f_contiguous, flags.owndata


class ndarray:
    """``ndarray(shape, dtype, memptr, strides)``, as CuPy's; or around one of NumPy's, by ``wrap``."""

    __array_ufunc__ = None
    __array_priority__ = 100

    def __init__(self, shape, dtype=float, memptr=None, strides=None):
        dtype, pointer = np.dtype(dtype), memptr
        if pointer is None:
            pointer = cuda.alloc(int(np.prod(shape, dtype=np.int64)) * dtype.itemsize)
        self._array = np.ndarray(shape, dtype, pointer.buffer, pointer.offset, strides)

    @property
    def data(self):
        return MemoryPointer(View(self._array))

    @property
    def flags(self):
        return Flags(self._array.flags)

    @property
    def device(self):
        return cuda.Device(0)

    @property
    def base(self):
        base = self._array.base
        return wrap(base) if type(base) is np.ndarray else None

    def get(self):
        """A copy in host memory, in the same order."""
        capture.refuse(capture.TO_HOST)
        return self._array.copy(order="K")

    def set(self, array):
        capture.refuse(capture.FROM_HOST)
        self._array[...] = array

    def __array__(self, *_, **__):
        raise TypeError("Implicit conversion to a NumPy array is not allowed. Please use `.get()`.")

    def __getattr__(self, name):
        if name.startswith("__") or name == "_array":
            raise AttributeError(name)  # NumPy looks for several ways in
        found = getattr(self._array, name)
        return wrapped(found) if not callable(found) else _method(self._array, name)

    def __getitem__(self, index):
        if capture.recorder is not None and _has_mask(index):
            raise RuntimeError(capture.WAITS)
        return compute(operator.getitem, "getitem", self, index)

    def __setitem__(self, index, value):
        if capture.recorder is None:
            self._array[plain(index)] = plain(value)
        elif _has_mask(index) and isinstance(value, ndarray) and value.ndim > 0:
            raise RuntimeError(capture.WAITS)
        else:
            capture.later(operator.setitem, (self._array, plain(index), plain(value)), {})

    def __len__(self):
        return len(self._array)

    def __bool__(self):
        return bool(self.get())

    def __float__(self):
        return float(self.get())

    def __int__(self):
        return int(self.get())

    def __index__(self):
        return operator.index(self.get())

    def __repr__(self):
        return f"cupy stand-in of {self.get()!r}"

    def __iter__(self):
        return (self[i] for i in range(len(self)))

    def __dlpack__(self, **options):
        return self._array.view(np.ndarray).__dlpack__(max_version=options.get("max_version"))

    def __dlpack_device__(self):
        return (2, 0)  # kDLCUDA, as CuPy's

    def __copy__(self):
        return self.copy()

    def __deepcopy__(self, memo):
        return self.copy(order="K")

    def __reduce__(self):
        return _from_host, (self.get(),)


def _from_host(array):
    return wrap(array.copy(order="K"))


def _method(array, name):
    """A method of NumPy's array, for ours."""

    def method(array, *args, **kwargs):
        return getattr(array, name)(*args, **kwargs)

    def call(*args, **kwargs):
        if name in capture.WRITING_METHODS and capture.recorder is not None:
            args, kwargs = plain(args), {key: plain(value) for key, value in kwargs.items()}
            return capture.later(method, (array, *args), kwargs)
        return compute(method, name, wrap(array), *args, **kwargs)

    return call


def _has_mask(index):
    parts = index if isinstance(index, tuple) else (index,)
    return any(isinstance(part, ndarray) and part.dtype.kind == "b" for part in parts)


def wrap(array: np.ndarray) -> ndarray:
    result = object.__new__(ndarray)
    result._array = pool.placed(array)
    return result


def compute(function: Any, name: str, *args: Any, **kwargs: Any) -> Any:
    """NumPy's function of our arrays, now or, while a stream captures, at each launch of its graph."""
    args, kwargs = plain(args), {key: plain(value) for key, value in kwargs.items()}
    if capture.recorder is None:
        with np.errstate(all="ignore"):  # a GPU warns of nothing
            return wrapped(function(*args, **kwargs))
    return wrapped(capture.result_of(function, name, args, kwargs, _home))


def _home(found):
    """Where a captured call's result will be: for a view, itself."""
    return found if isinstance(found, np.ndarray) and pool.in_place(found) else pool.like(np.asarray(found))


def plain(value: Any) -> Any:
    """What NumPy computes with; its own arrays must not come in, as CuPy refuses them."""
    if isinstance(value, np.ndarray):
        raise TypeError("Unsupported type <class 'numpy.ndarray'>")
    if isinstance(value, (tuple, list)):
        return type(value)(plain(item) for item in value)
    return value._array if isinstance(value, ndarray) else value


def wrapped(value: Any) -> Any:
    if isinstance(value, (np.ndarray, np.generic)):
        return wrap(np.asarray(value))
    if isinstance(value, (tuple, list)) and any(isinstance(item, np.ndarray) for item in value):
        return type(value)(wrapped(item) for item in value)
    if not callable(value) or isinstance(value, type):
        return value

    name = getattr(value, "__name__", "")

    def call(*args, **kwargs):
        if capture.recorder is not None and name in capture.WRITING_FUNCTIONS:
            return capture.later(value, plain(args), {key: plain(arg) for key, arg in kwargs.items()})
        if capture.recorder is not None and name == "matmul":
            raise NotImplementedError(capture.CUBLAS)
        return compute(value, name, *args, **kwargs)

    if isinstance(value, np.ufunc):
        call.reduce = wrapped(value.reduce)
    return call


def _binary(name, f):
    def forward(a, b):
        return compute(f, name, a, b)

    def backward(a, b):
        return compute(f, name, b, a)

    setattr(ndarray, f"__{name}__", forward)
    setattr(ndarray, f"__r{name}__", backward)


def _inplace(name, f):
    def change(a, b):
        if capture.recorder is not None:
            capture.later(f, (a._array, plain(b)), {})
            return a
        with np.errstate(all="ignore"):
            a._array = f(a._array, plain(b))
        return a

    setattr(ndarray, f"__i{name}__", change)


for name in ("add", "sub", "mul", "truediv", "floordiv", "mod", "pow", "and_", "or_", "xor", "matmul"):
    _binary(name.rstrip("_"), getattr(operator, name))
    _inplace(name.rstrip("_"), getattr(operator, f"i{name.rstrip('_')}"))
for name in ("eq", "ne", "lt", "le", "gt", "ge"):
    _binary(name, getattr(operator, name))
for name in ("neg", "abs", "invert"):
    f = getattr(operator, name)
    setattr(ndarray, f"__{name}__", lambda a, f=f, name=name: compute(f, name, a))
ndarray.__hash__ = None


def asarray(a: Any, dtype: Any = None, order: str = "K", *, blocking: bool = False) -> ndarray:
    """From host memory by a copy; an array of the device as it is."""
    if isinstance(a, ndarray) and (dtype is None or a.dtype == dtype):
        return a
    return array(a, dtype, order)


def array(a: Any, dtype: Any = None, order: str = "K") -> ndarray:
    if isinstance(a, ndarray):
        return compute(np.array, "array", a, dtype, order=order)
    capture.refuse(capture.FROM_HOST)
    return wrap(np.array(a, dtype, order=order))


def asnumpy(a: Any) -> np.ndarray:
    return a.get() if isinstance(a, ndarray) else np.asarray(a)


def get_array_module(*arrays: Any) -> Any:
    return sys.modules[__name__] if any(isinstance(a, ndarray) for a in arrays) else np


def get_default_memory_pool() -> Any:
    return pool.POOL


class _OnHost:
    """What was given as the memory of a GPU, for NumPy."""

    def __init__(self, source):
        self.__dlpack__ = source.__dlpack__

    def __dlpack_device__(self):
        return (1, 0)


def from_dlpack(source: Any) -> ndarray:
    return wrap(np.from_dlpack(_OnHost(source)))


def argsort(a: ndarray, axis: int = -1, kind: str | None = None) -> ndarray:
    """Stable, as CuPy's."""
    return compute(np.argsort, "argsort", a, axis, kind="stable")


def matmul(a: ndarray, b: ndarray, out: ndarray | None = None) -> ndarray:
    """In the dtype of the factors, where NumPy's of bfloat16 is float32. CuPy knows no batches of bfloat16."""
    half = a.dtype.itemsize == 2
    if half and a.dtype.kind == "V" and a.ndim > 2:
        raise TypeError("Wrong type (bfloat16) of array data type in cublas gemm")
    c = np.matmul(*[x._array.astype(np.float32) if half else x._array for x in (a, b)])
    c = wrap(c.astype(a.dtype, copy=False))
    if out is None:
        return c
    out[...] = c
    return out


def may_share_memory(a: ndarray, b: ndarray) -> bool:
    return np.may_share_memory(a._array, b._array)


def __getattr__(name: str) -> Any:
    """All else that CuPy and NumPy have alike."""
    if name.startswith("__"):
        raise AttributeError(name)
    return wrapped(getattr(np, name))
