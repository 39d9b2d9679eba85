"""Tensors from nothing, from Python's and NumPy's data, and from the generator."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .. import dtypes, gpu, layout
from ..checks import require
from ..tensor import Tensor

__all__ = [
    "arange",
    "as_array",
    "as_shape",
    "as_tensor",
    "dtype_or",
    "empty",
    "empty_like",
    "eye",
    "from_dlpack",
    "from_numpy",
    "full",
    "full_like",
    "linspace",
    "on_device",
    "ones",
    "ones_like",
    "tensor",
    "zeros",
    "zeros_like",
]


def on_device(array: Any, device: Any, op: str) -> Any:
    """The array where the user wants it: "cpu", "cuda", or where it is (None)."""
    return array if device is None else gpu.moved(array, gpu.check_device(device, op))


def _new(array: Any, requires_grad: bool, device: Any, op: str) -> Tensor:
    return Tensor(on_device(array, device, op), requires_grad)


def _module(device: Any, op: str) -> Any:
    """The array library that makes an array where the user wants it: on a GPU, memory of the host is not touched."""
    return np if device is None or gpu.check_device(device, op) == "cpu" else gpu.load()


def as_shape(size: tuple, op: str) -> tuple[int, ...]:
    """The shape from ``zeros(2, 3)`` or ``zeros((2, 3))``."""
    if len(size) == 1 and isinstance(size[0], (tuple, list)):
        size = tuple(size[0])
    try:
        shape = tuple([extent.__index__() for extent in size])
    except AttributeError:
        raise TypeError(f"{op}: size {size!r}; expected ints, or one tuple of ints") from None
    require(all(extent >= 0 for extent in shape), op, f"size {shape} has a negative extent")
    return shape


def dtype_or(dtype: Any, op: str, default: np.dtype = dtypes.float32) -> np.dtype:
    """The dtype that a user named, or the default."""
    return default if dtype is None else dtypes.as_dtype(dtype, op)


def as_array(data: Any, op: str, dtype: np.dtype | None = None) -> np.ndarray:
    """The data as an array of ``dtype``, without a copy where none is needed.

    Where ``dtype`` is None, arrays, NumPy numbers and lists of them keep theirs, Python's floats become float32 and
    ints int64.
    """
    if isinstance(data, Tensor):
        array = data.data
    elif gpu.holds(data):
        array = data
    elif isinstance(data, (np.ndarray, np.generic)) or hasattr(data, "__array__"):
        array = np.asarray(data)
    else:
        array = _python_array(data, op)
        if dtype is not None:
            check_range(array, dtype, op)
        if dtype is None and not _holds_arrays(data):
            dtype = _weak(array.dtype)
    if not array.dtype.isnative:
        array = array.astype(array.dtype.newbyteorder("="))
    if not dtypes.is_supported(array.dtype):
        raise TypeError(f"{op}: data of dtype {array.dtype} is not supported")
    return array if dtype is None else array.astype(dtype, copy=False)


def _python_array(data: Any, op: str) -> np.ndarray:
    """Numbers and nested lists in NumPy's types, float64 and int64."""
    try:
        array = np.array(_unwrap(data))
    except ValueError:
        raise ValueError(f"{op}: the nested lists have different lengths") from None
    if array.dtype == np.uint64 or (array.dtype == object and isinstance(array.reshape(-1)[0], int)):
        raise ValueError(f"{op}: an int does not fit 64 bits")
    if array.dtype.kind not in "iub" and not dtypes.is_floating(array.dtype):
        raise TypeError(
            f"{op}: expected numbers, an array or a tensor, not {type(data).__name__} holding {array.dtype}"
        )
    return array


def check_range(array: np.ndarray, dtype: np.dtype, op: str) -> None:
    """Raises a ValueError where Python's numbers, as an array, do not fit an integer dtype; unsigned ones take −1, too.

    NumPy would wrap them round. PyTorch refuses them.
    """
    if dtype.kind in "iu" and array.dtype.kind in "if" and array.size:
        limit = np.iinfo(dtype)
        least, most = array.min(), array.max()
        if not (least >= (limit.min or -limit.max) and most <= limit.max and most < 2.0**63):
            raise ValueError(f"{op}: {least if least < limit.min else most} does not fit {dtype}")


def _unwrap(data: Any) -> Any:
    """Lists with their tensors replaced by arrays."""
    if isinstance(data, (list, tuple)):
        return [_unwrap(item) for item in data]
    return data.cpu().numpy() if isinstance(data, Tensor) else data


def _holds_arrays(data: Any) -> bool:
    """Whether the innermost first item is an array, a tensor or a NumPy number, whose dtype then counts."""
    while isinstance(data, (list, tuple)) and len(data):
        data = data[0]
    return isinstance(data, (np.ndarray, np.generic, Tensor))


def tensor(data: Any, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """A copy of the data as a tensor: floats become float32, ints int64; arrays and tensors keep their dtype.

    Args:
        data: a number, nested lists, an array, or a tensor.
        dtype: another dtype than the natural one.
        device: "cpu" or "cuda"; None leaves an array where it is.
        requires_grad: record what happens to it.
    Raises:
        TypeError: no numbers.
        ValueError: ragged lists.
    Example:
        >>> tensor([[1, 2], [3, 4]]).dtype
        dtype('int64')
    """
    array = as_array(data, "tensor", None if dtype is None else dtypes.as_dtype(dtype, "tensor"))
    result = _new(array.copy(order="K"), requires_grad, device, "tensor")
    if gpu.holds(result.data) and not gpu.holds(array):
        result._keep_range(array)
    return result


def as_tensor(data: Any, dtype: Any = None, device: Any = None, *, like: Tensor | None = None) -> Tensor:
    """The data as a tensor: a tensor is itself, an array shares its memory, Python data is copied.

    Args:
        data: a tensor, array, number or nested lists.
        dtype: convert to it.
        device: "cpu" or "cuda"; None leaves an array where it is.
        like: the tensor that the data will be combined with: Python and NumPy numbers and lists take its dtype, unless
            they are of a higher category (a float beside an integer tensor is float32).
    Example:
        >>> import atrous as at
        >>> as_tensor(2.0, like=at.zeros(3, dtype=at.float64)).dtype
        dtype('float64')
    """
    wanted = None if dtype is None else dtypes.as_dtype(dtype, "as_tensor")
    if isinstance(data, Tensor):
        return data.to(device=device, dtype=wanted)
    array = as_array(data, "as_tensor", wanted)
    if like is not None and wanted is None and not isinstance(data, np.ndarray) and not gpu.holds(data):
        array = array.astype(dtypes.combine(like.dtype, _weak(array.dtype)), copy=False)
    return Tensor(on_device(array, like.device if device is None and like is not None else device, "as_tensor"))


def _weak(dtype: np.dtype) -> np.dtype:
    """What Python data counts as beside a tensor: the default type of its category."""
    return {"b": dtypes.bool_, "f": dtypes.float32, "V": dtypes.float32}.get(dtype.kind, dtypes.int64)


def from_numpy(array: np.ndarray) -> Tensor:
    """A tensor on the array's own memory: writes to one are seen in the other, and are not checked.

    Raises:
        TypeError: no array, or a dtype that tensors do not have.
    Example:
        >>> from_numpy(np.arange(3)).tolist()
        [0, 1, 2]
    """
    if not isinstance(array, np.ndarray):
        raise TypeError(f"from_numpy: expected a numpy.ndarray, not {type(array).__name__}")
    return Tensor(np.asarray(_supported(array, "from_numpy")))


def _supported(array: Any, op: str) -> Any:
    if not dtypes.is_supported(array.dtype):
        raise TypeError(f"{op}: arrays of dtype {array.dtype} are not supported")
    return array


def from_dlpack(source: Any) -> Tensor:
    """A tensor on the memory of anything that speaks DLPack, a PyTorch tensor for one, without a copy.

    Raises:
        TypeError: a dtype that tensors do not have.
    Example:
        >>> from_dlpack(np.arange(3)).tolist()
        [0, 1, 2]
    """
    if source.__dlpack_device__()[0] == 2:  # kDLCUDA
        return Tensor(_supported(gpu.load().from_dlpack(source), "from_dlpack"))
    try:
        return from_numpy(np.from_dlpack(source))
    except (BufferError, RuntimeError) as error:
        if "dtype" in str(error):  # bfloat16, for one
            raise TypeError(
                f"from_dlpack: NumPy does not take this dtype ({error}); hand over the bits, as int16"
            ) from error
        raise


def zeros(*size: Any, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """Zeros, float32 unless told otherwise.

    Example:
        >>> zeros(2, 3).shape
        (2, 3)
    """
    array = _module(device, "zeros").zeros(as_shape(size, "zeros"), dtype_or(dtype, "zeros"))
    return Tensor(array, requires_grad)


def ones(*size: Any, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """Ones, float32 unless told otherwise.

    Example:
        >>> ones(2).tolist()
        [1.0, 1.0]
    """
    array = _module(device, "ones").ones(as_shape(size, "ones"), dtype_or(dtype, "ones"))
    return Tensor(array, requires_grad)


def empty(*size: Any, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """A tensor whose values nobody set.

    Example:
        >>> empty(2, 3).shape
        (2, 3)
    """
    xp, shape, found = _module(device, "empty"), as_shape(size, "empty"), dtype_or(dtype, "empty")
    return Tensor(layout.empty(shape, found) if xp is np else xp.empty(shape, found), requires_grad)


def full(size: Any, fill_value: Any, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """One value everywhere; its type decides the dtype (float32, int64, bool) unless told otherwise.

    Example:
        >>> full((2,), 7).tolist()
        [7, 7]
    """
    value = fill_value.item() if isinstance(fill_value, Tensor) else fill_value
    shape = as_shape(tuple(size) if isinstance(size, (tuple, list)) else (size,), "full")
    array = _module(device, "full").full(shape, value, dtype_or(dtype, "full", dtypes.number_type(value)))
    return Tensor(array, requires_grad)


def arange(
    start: Any, end: Any = None, step: Any = 1, dtype: Any = None, device: Any = None, requires_grad: bool = False
) -> Tensor:
    """The numbers start, start + step, ... below end; int64 where all three are ints, else float32.

    Raises:
        ValueError: step 0, or one that leads away from end.
    Example:
        >>> arange(1, 4).tolist()
        [1, 2, 3]
    """
    start, end = (0, start) if end is None else (start, end)
    start, end, step = [
        value.item() if isinstance(value, (Tensor, np.generic)) else value for value in (start, end, step)
    ]
    require(step != 0, "arange", "step is 0")
    require((end - start) * step >= 0, "arange", f"step {step} leads away from {end}")
    found = dtype_or(dtype, "arange", dtypes.int64 if isinstance(start + end + step, int) else dtypes.float32)
    count = math.ceil((end - start) / step)
    array = (
        start
        + np.arange(count, dtype=dtypes.int64 if found.kind in "iu" and isinstance(step, int) else dtypes.float64)
        * step
    )
    return _new(array.astype(found), requires_grad, device, "arange")


def linspace(
    start: float, end: float, steps: int, dtype: Any = None, device: Any = None, requires_grad: bool = False
) -> Tensor:
    """``steps`` numbers at equal distances from start to end, both included.

    Example:
        >>> linspace(0, 1, 3).tolist()
        [0.0, 0.5, 1.0]
    """
    require(steps >= 0, "linspace", f"steps is {steps}; expected 0 or more")
    array = np.linspace(start, end, steps).astype(dtype_or(dtype, "linspace"))
    return _new(array, requires_grad, device, "linspace")


def eye(n: int, m: int | None = None, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """Ones on the diagonal, zeros elsewhere; shape (n, m), m = n unless given.

    Example:
        >>> eye(2).tolist()
        [[1.0, 0.0], [0.0, 1.0]]
    """
    as_shape((n, n if m is None else m), "eye")
    return _new(np.eye(n, m, dtype=dtype_or(dtype, "eye")), requires_grad, device, "eye")


def zeros_like(input: Tensor, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """Zeros of the input's shape, dtype and memory order.

    Example:
        >>> zeros_like(ones(2)).tolist()
        [0.0, 0.0]
    """
    return full_like(input, 0, dtype, device, requires_grad)


def ones_like(input: Tensor, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """Ones of the input's shape, dtype and memory order.

    Example:
        >>> ones_like(zeros(2)).tolist()
        [1.0, 1.0]
    """
    return full_like(input, 1, dtype, device, requires_grad)


def empty_like(input: Tensor, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """A tensor of the input's shape, dtype and memory order whose values nobody set.

    Example:
        >>> empty_like(zeros(2)).shape
        (2,)
    """
    array = layout.empty_like(input.data, dtype_or(dtype, "empty_like", input.dtype))
    return _new(array, requires_grad, device, "empty_like")


def full_like(
    input: Tensor, fill_value: Any, dtype: Any = None, device: Any = None, requires_grad: bool = False
) -> Tensor:
    """One value everywhere, in the input's shape, dtype and memory order.

    Example:
        >>> full_like(zeros(2), 3.0).tolist()
        [3.0, 3.0]
    """
    result = empty_like(input, dtype, device, requires_grad)
    result.data[...] = fill_value.item() if isinstance(fill_value, Tensor) else fill_value
    return result
