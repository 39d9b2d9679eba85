"""The stand-in's stream capture: what a capturing stream is given is put down, and done at each launch of the graph.

Nothing runs meanwhile, as on a GPU: a result holds NaN bytes until the graph is launched. The graph knows addresses
alone and keeps no memory alive; what was freed since holds NaN bytes, too.
"""

from __future__ import annotations

import ctypes
import sys
from typing import Any

import numpy as np

WAITS = "the current stream is capturing, so synchronous API calls are disallowed"
FROM_HOST = "the current stream is capturing, so H2D transfers are disallowed"
TO_HOST = "the current stream is capturing, so D2H transfers are disallowed"
CUBLAS = "calling cuBLAS API during stream capture is currently unsupported"

# Whose result's shape depends on values, for which CuPy waits; and what writes to its first argument.
WAITING = {"nonzero", "argwhere", "flatnonzero", "unique", "compress", "extract", "item", "tolist", "tobytes"}
WRITING_METHODS = {"fill", "sort", "put", "partition"}
WRITING_FUNCTIONS = {"copyto", "put", "put_along_axis", "putmask", "place"}
EMPTY = {"empty", "empty_like"}

recorder: Recorder | None = None  # of the current stream, if it captures
live = 0  # graphs, and captures that go on: as long as there are any, freed memory is kept, filled with NaN bytes


class Recorder:
    """What a capturing stream was given: calls of Python's, each with the number of launches by kernels before it."""

    def __init__(self) -> None:
        global live
        live += 1
        self.calls: list[tuple[int, Any]] = []
        self.kernels = sys.modules.get("atrous._cuda.compiled")
        self.number = self.kernels.recording_new() if self.kernels else -1

    def __del__(self) -> None:
        global live
        live -= 1
        if self.kernels:
            self.kernels.recording_drop(self.number)

    def add(self, call: Any) -> None:
        self.calls.append((self.kernels.recording_size(self.number) if self.kernels else 0, call))

    def replay(self) -> None:
        done = 0
        for size, call in self.calls:
            if size > done:
                self.kernels.recording_run(self.number, done, size)
                done = size
            with np.errstate(all="ignore"):
                call()
        if self.kernels:
            self.kernels.recording_run(self.number, done, self.kernels.recording_size(self.number))


def activate(active: Recorder | None) -> None:
    """Puts down what follows there; or runs it, where None."""
    global recorder
    recorder = active
    kernels = sys.modules.get("atrous._cuda.compiled")
    if kernels and hasattr(kernels, "record_into"):
        kernels.record_into(active.number if active else -1)


def refuse(message: str) -> None:
    """Raises what CuPy does where the current stream captures."""
    if recorder is not None:
        raise RuntimeError(message)


class Place:
    """An array by its address."""

    def __init__(self, array: np.ndarray) -> None:
        low, high = np.lib.array_utils.byte_bounds(array) if array.size else (0, 0)
        self.low, self.bytes = low, high - low
        self.offset = array.__array_interface__["data"][0] - low if array.size else 0
        self.shape, self.strides, self.dtype = array.shape, array.strides, array.dtype

    def array(self) -> np.ndarray:
        memory = (ctypes.c_uint8 * self.bytes).from_address(self.low) if self.bytes else b""
        return np.ndarray(self.shape, self.dtype, memory, self.offset, self.strides)


def places(value: Any) -> Any:
    """Arguments for NumPy, with arrays by their addresses."""
    if isinstance(value, np.ndarray):
        return Place(value)
    if isinstance(value, (tuple, list)):
        return type(value)(places(item) for item in value)
    if isinstance(value, dict):
        return {name: places(item) for name, item in value.items()}
    return value


def arrays(value: Any) -> Any:
    """And back."""
    if isinstance(value, Place):
        return value.array()
    if isinstance(value, (tuple, list)):
        return type(value)(arrays(item) for item in value)
    if isinstance(value, dict):
        return {name: arrays(item) for name, item in value.items()}
    return value


def later(function: Any, args: tuple, kwargs: dict) -> None:
    """Puts a call down whose result nobody wants."""
    args, kwargs = places(args), places(kwargs)
    recorder.add(lambda: function(*arrays(args), **arrays(kwargs)))


def result_of(function: Any, name: str, args: tuple, kwargs: dict, place: Any) -> Any:
    """Puts a call down and returns the array that will have its result; a view is made at once.

    The function runs, too, on whatever the memory holds: to learn the result's shape and strides. ``place(array)``
    gives memory for one like it.
    """
    if name in WAITING:
        raise RuntimeError(WAITS)
    if kwargs.get("out") is not None:
        later(function, args, kwargs)
        return kwargs["out"]
    with np.errstate(all="ignore"):
        found = function(*args, **kwargs)
    several = isinstance(found, (tuple, list))
    results = found if several else [found]
    homes = [place(item) if isinstance(item, (np.ndarray, np.generic)) else item for item in results]
    fresh = [i for i, item in enumerate(results) if homes[i] is not item]
    if fresh and name not in EMPTY:
        args, kwargs, to = places(args), places(kwargs), {i: Place(homes[i]) for i in fresh}

        def call() -> None:
            again = function(*arrays(args), **arrays(kwargs))
            for i, home in to.items():
                home.array()[...] = again[i] if several else again

        recorder.add(call)
    return type(found)(homes) if several else homes[0]


class Graph:
    """CuPy's, which a stream's end_capture gives."""

    def __init__(self, recorded: Recorder) -> None:
        self.recorded = recorded

    def launch(self, stream: Any = None) -> None:
        refuse("a graph cannot be launched on a stream that captures")
        self.recorded.replay()

    def upload(self, stream: Any = None) -> None:
        pass
