"""The stand-in's memory: the host's, handed out by pools as CuPy's are.

Pools use their blocks again, the last that came back first; the ordinary one only while there is a graph, when what
comes back is filled with NaN bytes. So a graph that uses memory which it does not hold gives wrong results, or writes
into somebody else's.
"""

from __future__ import annotations

import contextlib
import ctypes
import threading
import weakref
from typing import Any

import numpy as np

from . import capture

ALIGNMENT = 512  # of every block, as the driver gives it
PROCESS = ctypes.CDLL(None)

kept: list[np.ndarray] = []  # memory that a graph may still use


class OutOfMemoryError(MemoryError):
    pass


class Memory:
    """A block of device memory."""

    def __init__(self, size: int) -> None:
        self.storage = np.empty(size + ALIGNMENT, np.uint8)
        self.ptr = self.storage.ctypes.data + -self.storage.ctypes.data % ALIGNMENT
        self.size, self.device_id = size, 0

    def __del__(self) -> None:
        if capture is None:  # Python ends
            return
        if capture.live > 0:
            self.storage.fill(0xFF)
            kept.append(self.storage)
        else:
            kept.clear()


class Lease(np.ndarray):
    """The bytes of a block as long as it is somebody's; NumPy's views of it have it as their base."""


class MemoryPointer:
    def __init__(self, mem: Any, offset: int = 0) -> None:
        self.mem, self.ptr, self.offset, self.device_id = mem, mem.ptr + offset, offset, 0

    @property
    def buffer(self) -> np.ndarray:
        return self.mem.lease

    def copy_from_device_async(self, source: Any, size: int) -> None:
        if capture.recorder is None:
            ctypes.memmove(self.ptr, source.ptr, size)
        else:
            capture.recorder.add(lambda to=self.ptr, given=source.ptr: ctypes.memmove(to, given, size))


class PooledMemory:
    """A block that somebody has."""

    def __init__(self, ptr: int, size: int) -> None:
        self.ptr, self.size, self.device_id = ptr, size, 0
        _forbid_what_is_behind(ptr, max(size, 1))
        memory = (ctypes.c_uint8 * max(size, 1)).from_address(ptr)
        self.lease = Lease(max(size, 1), np.uint8, memory)


def _forbid_what_is_behind(ptr: int, size: int) -> None:
    """Tells AddressSanitizer, where it watches (tests/cuda_sanitizer.py), how far a block is from being full."""
    if hasattr(PROCESS, "__asan_poison_memory_region"):
        PROCESS.__asan_unpoison_memory_region(ctypes.c_void_p(ptr), ctypes.c_size_t(size))
        PROCESS.__asan_poison_memory_region(ctypes.c_void_p(ptr + size), ctypes.c_size_t(-size % ALIGNMENT))


class View:
    """The memory of an array."""

    def __init__(self, array: np.ndarray) -> None:
        self.lease, self.ptr, self.size = array, array.__array_interface__["data"][0], array.nbytes


class MemoryPool:
    """CuPy's pool."""

    def __init__(self, allocator: Any = None) -> None:
        self.allocator, self.reuse = allocator or (lambda size: MemoryPointer(Memory(size))), True
        self.used, self.limit, self.free = 0, 0, {}

    def malloc(self, size: int) -> MemoryPointer:
        rounded = -(-max(size, 1) // ALIGNMENT) * ALIGNMENT
        if self.limit and self.used + size > self.limit:
            raise OutOfMemoryError(f"Out of memory allocating {size:,} bytes (allocated so far: {self.used:,} bytes).")
        blocks = self.free.get(rounded)
        memory = blocks.pop() if blocks else self.allocator(rounded).mem
        self.used += size
        taken = PooledMemory(memory.ptr, size)
        weakref.finalize(taken.lease, _give_back, weakref.ref(self), memory, size, rounded).atexit = False
        if capture.recorder is not None:  # whoever reads it before the graph has run
            taken.lease.view(np.ndarray)[...] = 0xFF
        return MemoryPointer(taken)

    def used_bytes(self) -> int:
        return self.used

    def total_bytes(self) -> int:
        return self.used

    def free_all_blocks(self) -> None:
        self.free.clear()

    def get_limit(self) -> int:
        return self.limit

    def set_limit(self, size: int = 0) -> None:
        self.limit = size


def _give_back(reference: Any, memory: Memory, size: int, rounded: int) -> None:
    pool = reference()
    if pool is None:
        return
    pool.used -= size
    if capture.live > 0:
        memory.storage.fill(0xFF)
    if pool.reuse or capture.live > 0:
        pool.free.setdefault(rounded, []).append(memory)


POOL = MemoryPool()
POOL.reuse = False


class _Thread(threading.local):
    allocator: Any = None


_thread = _Thread()


def alloc(size: int) -> MemoryPointer:
    return (_thread.allocator or POOL.malloc)(size)


@contextlib.contextmanager
def using_allocator(allocator: Any = None) -> Any:
    before, _thread.allocator = _thread.allocator, allocator
    try:
        yield
    finally:
        _thread.allocator = before


def in_place(array: np.ndarray) -> bool:
    """Whether an array lies in memory of a pool, or of another library that gave it."""
    base: Any = array
    while type(base) is np.ndarray and base.base is not None:
        base = base.base
    return type(base) is not np.ndarray


def placed(array: Any) -> np.ndarray:
    """An array that NumPy allocated, moved into a pool's memory; another as it is."""
    array = np.asarray(array)
    if in_place(array):
        return array
    home = like(array)
    if capture.recorder is None:
        home[...] = array
    return home


def like(array: np.ndarray) -> np.ndarray:
    """Memory for an array of this shape and order."""
    axes = sorted(range(array.ndim), key=lambda axis: -abs(array.strides[axis]))
    pointer = alloc(array.nbytes)
    home = np.ndarray([array.shape[axis] for axis in axes], array.dtype, pointer.buffer, pointer.offset)
    return home.transpose(*np.argsort(axes)) if axes else home
