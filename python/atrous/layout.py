"""Memory order of arrays. Shapes are NCHW everywhere; the memory of 4-D maps is channels-last (NHWC).

Shape (N, C, H, W) with the strides of NHWC memory is what kernels return and want. NumPy's own functions forget such
strides, so whoever makes an array asks here. Every change of memory order that costs a copy is counted.
"""

from __future__ import annotations

import threading
from typing import Any

import numpy as np

from . import gpu
from .backend import array_module, kernels_for, on_cpu
from .dtypes import float32, float64, is_half

__all__ = [
    "cast",
    "channels_last",
    "contiguous",
    "conversions",
    "empty",
    "empty_like",
    "is_channels_last",
    "is_dense",
    "is_dense_float",
    "like",
    "reshape",
    "reshaped",
]

LARGE = 1 << 16  # bytes: below it NumPy's own allocator is as fast as the pool

_lock = threading.Lock()
_copies = 0


def _count_copy() -> None:
    global _copies
    with _lock:
        _copies += 1


def conversions() -> int:
    """How many times memory was reordered so far, in Python and in the bindings together.

    Example:
        >>> before = conversions()
        >>> conversions() - before
        0
    """
    kernels = kernels_for(None)
    on_gpu = 0 if gpu.kernels is None else gpu.kernels.conversions()
    return _copies + on_gpu + (kernels.conversions() if on_cpu(kernels) else 0)


def is_channels_last(array: np.ndarray) -> bool:
    """Whether a 4-D array lies in NHWC memory without gaps.

    Example:
        >>> is_channels_last(np.zeros((2, 5, 6, 3)).transpose(0, 3, 1, 2))
        True
    """
    if array.ndim != 4:
        return False
    _, C, H, W = array.shape
    size = array.itemsize
    if array.strides == (H * W * C * size, size, W * C * size, C * size):  # a view of CuPy's takes 3 µs
        return True
    return array.transpose(0, 2, 3, 1).flags.c_contiguous  # strides of axes of size 1 do not matter


def is_dense(array: np.ndarray) -> bool:
    """Whether the array lies in C order or in NHWC memory.

    Example:
        >>> is_dense(np.zeros((4, 4))[:, ::2])
        False
    """
    return array.flags.c_contiguous or is_channels_last(array)


def is_dense_float(array: np.ndarray) -> bool:
    """Whether kernels take the array as it is: of a float dtype that they have, in C order or in NHWC memory.

    Example:
        >>> is_dense_float(np.zeros((4, 4))[:, ::2])
        False
    """
    floats = array.dtype in (float32, float64) or (gpu.holds(array) and is_half(array.dtype))
    return floats and is_dense(array)


def channels_last(array: np.ndarray) -> np.ndarray:
    """The array in the layout that kernels want, NHWC memory for 4-D, C order for the rest; itself where it fits.

    Example:
        >>> channels_last(np.zeros((1, 2, 2, 2))).strides
        (64, 8, 32, 16)
    """
    if array.ndim != 4:
        return contiguous(array)
    if is_channels_last(array):
        return array
    _count_copy()
    result = empty(array.shape, array.dtype, channels_last=True, beside=array)
    result[...] = array
    return result


def contiguous(array: np.ndarray) -> np.ndarray:
    """The array in C order; itself where it is so already.

    Example:
        >>> contiguous(np.zeros((2, 3)).T).flags.c_contiguous
        True
    """
    if array.flags.c_contiguous:
        return array
    _count_copy()
    result = empty(array.shape, array.dtype, beside=array)
    result[...] = array
    return result


def like(array: np.ndarray, other: np.ndarray) -> np.ndarray:
    """The array in the memory order of ``other`` (of the same shape); itself where the strides agree already.

    Example:
        >>> like(np.zeros((2, 3)), np.zeros((3, 2)).T).strides
        (8, 16)
    """
    if array.strides == other.strides or (array.flags.c_contiguous and other.flags.c_contiguous):
        return array
    if is_channels_last(other):
        return channels_last(array)
    if other.flags.c_contiguous:
        return contiguous(array)
    _count_copy()
    result = array_module(other).empty_like(other, dtype=array.dtype)
    result[...] = array
    return result


def reshape(array: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """``array.reshape(shape)`` in C order of its indices: a view where strides allow, else a counted copy.

    Example:
        >>> reshape(np.zeros((2, 3)), (6,)).shape
        (6,)
    """
    return reshaped(array, shape)[0]


def reshaped(array: np.ndarray, shape: tuple[int, ...]) -> tuple[np.ndarray, bool]:
    """``array.reshape(shape)``, and whether it is a view; a copy is counted.

    Example:
        >>> reshaped(np.zeros((2, 3)).T, (6,))[1]
        False
    """
    result = array.reshape(shape)
    is_view = array.flags.c_contiguous or array_module(array).may_share_memory(result, array)
    if not is_view:
        _count_copy()
    return result, is_view


def empty(shape: tuple[int, ...], dtype: Any, channels_last: bool = False, beside: Any = None) -> Any:
    """An uninitialised array, where ``beside`` is; in host memory from the pool if large and the CPU backend is active.

    Example:
        >>> empty((2, 3, 4, 5), "float32", channels_last=True).strides
        (240, 4, 60, 12)
    """
    dtype = np.dtype(dtype)
    xp = np if beside is None or type(beside) is np.ndarray else array_module(beside)
    size = dtype.itemsize
    for extent in shape:
        size *= extent
    if size >= LARGE and xp is np:
        kernels = kernels_for(None)
        if on_cpu(kernels):
            return kernels.empty(shape, dtype, channels_last)
    if channels_last:
        N, C, H, W = shape
        return xp.empty((N, H, W, C), dtype).transpose(0, 3, 1, 2)
    return xp.empty(shape, dtype)


def cast(array: np.ndarray, dtype: Any) -> np.ndarray:
    """A copy with another dtype, in the same memory order; no NumPy warning of what does not fit.

    Example:
        >>> cast(np.zeros((3, 2)).T, "float32").strides
        (4, 8)
    """
    if gpu.holds(array) and array.dtype == float32 and is_half(dtype) and is_dense(array):
        return gpu.kernels.narrow(array, dtype)
    y = empty_like(array, dtype)
    with np.errstate(all="ignore"):
        y[...] = array
    return y


def empty_like(array: np.ndarray, dtype: Any = None) -> np.ndarray:
    """An uninitialised array of the same shape and memory order.

    Example:
        >>> empty_like(np.zeros((3, 2)).T).strides
        (8, 16)
    """
    dtype = array.dtype if dtype is None else dtype
    if array.nbytes >= LARGE:
        if array.flags.c_contiguous:
            return empty(array.shape, dtype, beside=array)
        if is_channels_last(array):
            return empty(array.shape, dtype, channels_last=True, beside=array)
    return array_module(array).empty_like(array, dtype)
