"""The stand-in's cupy.cuda: one device, one stream, and memory that is the host's."""

from __future__ import annotations

import ctypes
import time
import weakref

import numpy as np

ALIGNMENT = 512  # of every block, as the driver gives it


class MemoryPointer:
    def __init__(self, buffer: np.ndarray, ptr: int, offset: int = 0) -> None:
        self.buffer, self.ptr, self.offset = buffer, ptr, offset
        self.device_id = 0

    def copy_from_device_async(self, source: MemoryPointer, size: int) -> None:
        ctypes.memmove(self.ptr, source.ptr, size)


class Pool:
    """CuPy's pool, as far as memory is counted."""

    def __init__(self) -> None:
        self.used, self.limit = 0, 0

    def used_bytes(self) -> int:
        return self.used

    def total_bytes(self) -> int:
        return self.used

    def free_all_blocks(self) -> None:
        pass

    def get_limit(self) -> int:
        return self.limit

    def set_limit(self, size: int = 0) -> None:
        self.limit = size

    def take(self, block: object, size: int) -> None:
        if self.limit and self.used + size > self.limit:
            raise OutOfMemoryError(f"Out of memory allocating {size:,} bytes (allocated so far: {self.used:,} bytes).")
        self.used += size
        weakref.finalize(block, self.give_back, size)

    def give_back(self, size: int) -> None:
        self.used -= size


POOL = Pool()


class OutOfMemoryError(MemoryError):
    pass


def alloc(size: int) -> MemoryPointer:
    buffer = np.empty(size + ALIGNMENT, np.uint8)
    offset = -buffer.ctypes.data % ALIGNMENT
    POOL.take(buffer, size)
    return MemoryPointer(buffer, buffer.ctypes.data + offset, offset)


class Stream:
    ptr = 0

    def __init__(self, null: bool = False, non_blocking: bool = False) -> None:
        pass

    def synchronize(self) -> None:
        pass

    def __enter__(self) -> Stream:
        return self

    def __exit__(self, *_: object) -> None:
        pass


Stream.null = Stream(null=True)


class Event:
    def record(self) -> None:
        self.time = time.perf_counter()

    def synchronize(self) -> None:
        pass


def get_elapsed_time(begin: Event, end: Event) -> float:
    """In milliseconds."""
    return 1e3 * (end.time - begin.time)


def get_current_stream() -> Stream:
    return Stream.null


def is_available() -> bool:
    return True


def alloc_pinned_memory(size: int) -> memoryview:
    return memoryview(bytearray(size))


class Device:
    def __init__(self, device: int = 0) -> None:
        if device != 0:
            raise runtime.CUDARuntimeError("cudaErrorInvalidDevice: invalid device ordinal")
        self.id = device
        self.compute_capability = "90"

    def synchronize(self) -> None:
        pass

    def use(self) -> None:
        pass

    def __enter__(self) -> Device:
        return self

    def __exit__(self, *_: object) -> None:
        pass


class runtime:
    class CUDARuntimeError(RuntimeError):
        pass

    @staticmethod
    def getDeviceCount() -> int:
        return 1

    @staticmethod
    def getDevice() -> int:
        return 0

    @staticmethod
    def driverGetVersion() -> int:
        return 13000

    @staticmethod
    def runtimeGetVersion() -> int:
        return 13000

    @staticmethod
    def getDeviceProperties(device: int) -> dict:
        return {"name": b"a CPU that stands in for a GPU", "major": 9, "minor": 0, "totalGlobalMem": 1 << 30}


class memory:
    OutOfMemoryError = OutOfMemoryError
