"""The stand-in's cupy.cuda: one device, streams, and memory that is the host's."""

from __future__ import annotations

import itertools
import time
from typing import Any

from . import capture
from .capture import Graph
from .pool import POOL, Memory, MemoryPointer, MemoryPool, OutOfMemoryError, alloc, using_allocator

__all__ = ["POOL", "Graph", "Memory", "MemoryPointer", "MemoryPool", "OutOfMemoryError", "alloc", "using_allocator"]

_numbers = itertools.count(16)
_entered: list[Stream] = []


class Stream:
    """Work is done at once, whatever the stream; but for one that captures, while it is the current one."""

    def __init__(self, null: bool = False, non_blocking: bool = False) -> None:
        self.ptr = 0 if null else next(_numbers)
        self.recorder: Any = None

    def synchronize(self) -> None:
        if self.recorder:
            raise runtime.CUDARuntimeError("cudaErrorStreamCaptureUnsupported: operation not permitted")

    def begin_capture(self, mode: int | None = None) -> None:
        if self.ptr == 0:
            raise RuntimeError("cannot capture on the default (legacy) stream")
        self.recorder = capture.Recorder()
        _set_current()

    def end_capture(self) -> Graph:
        if self.recorder is None:
            raise runtime.CUDARuntimeError(
                "cudaErrorIllegalState: the operation cannot be performed in the present state"
            )
        recorded, self.recorder = self.recorder, None
        _set_current()
        return Graph(recorded)

    def is_capturing(self) -> bool:
        return self.recorder is not None

    def record(self, event: Any = None) -> Any:
        event = event or Event()
        event.record()
        return event

    def wait_event(self, event: Any) -> None:
        pass

    def __enter__(self) -> Stream:
        _entered.append(self)
        _set_current()
        return self

    def __exit__(self, *_: object) -> None:
        _entered.pop()
        _set_current()


Stream.null = Stream(null=True)


def get_current_stream() -> Stream:
    return _entered[-1] if _entered else Stream.null


def _set_current() -> None:
    capture.activate(get_current_stream().recorder)


class Event:
    def record(self, stream: Any = None) -> None:
        self.time = time.perf_counter()

    def synchronize(self) -> None:
        pass


def get_elapsed_time(begin: Event, end: Event) -> float:
    """In milliseconds."""
    return 1e3 * (end.time - begin.time)


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
        capture.refuse("operation not permitted when stream is capturing")

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
