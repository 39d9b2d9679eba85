"""A GPU's kernels as the checks call them: with NumPy's arrays, copied there and back."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np

from .. import gpu

__all__ = ["OnDevice", "on_the_gpu"]


def on_the_gpu() -> Any:
    """The kernels of the GPU in use, for the checks.

    Raises:
        RuntimeError: no GPU that can be used.
    """
    cupy = gpu.load()
    return OnDevice(gpu.kernels, cupy)


class OnDevice:
    """The kernels of ``atrous._cuda``, for arrays in host memory; memory order, gaps and alignment are kept.

    Args:
        kernels: the module.
        cupy: the array library, CuPy.
    """

    halves = True  # there are kernels for numbers of 16 bits

    def __init__(self, kernels: ModuleType, cupy: Any) -> None:
        self.kernels, self.cupy = kernels, cupy
        self.__name__ = kernels.__name__

    def __getattr__(self, name: str) -> Any:
        function = getattr(self.kernels, name)

        def call(*args: Any, **kwargs: Any) -> Any:
            copies: dict[int, tuple[np.ndarray, Any]] = {}  # an array that is given twice is one array there, too
            there = [self._to_device(value, copies) for value in args]
            named = {key: self._to_device(value, copies) for key, value in kwargs.items()}
            returned = self._to_host(function(*there, **named))
            if returned is None or "running_mean" in kwargs:  # it wrote to its arguments
                for here, changed in copies.values():
                    if here.flags.writeable:
                        here[...] = self._to_host(changed)
            return returned

        return call

    # What the harness asks of a backend. It runs a kernel on several numbers of threads; a GPU's are what they
    # are, but kernels that run on a CPU for the tests let the threads of a block take turns in several orders.

    def isa_levels(self) -> list[str]:
        return ["cuda"]

    def get_num_threads(self) -> int:
        return 2

    def set_num_threads(self, threads: int) -> None:
        if hasattr(self.kernels.compiled, "set_order"):
            self.kernels.compiled.set_order(threads)

    def _to_device(self, value: Any, copies: dict[int, tuple[np.ndarray, Any]]) -> Any:
        if isinstance(value, list):
            return [self._to_device(item, copies) for item in value]
        if not isinstance(value, np.ndarray):
            return value
        if id(value) not in copies:
            copies[id(value)] = (value, self._copy(value))
        return copies[id(value)][1]

    def _copy(self, value: np.ndarray) -> Any:
        axes = gpu.memory_order(value)
        in_memory = value.transpose(axes)
        if in_memory.flags.c_contiguous:
            off = value.ctypes.data % 16 // value.itemsize
            room = self.cupy.empty(off + value.size, value.dtype)[off:].reshape(in_memory.shape)
            room[...] = self.cupy.asarray(in_memory)
            return room.transpose([axes.index(axis) for axis in range(value.ndim)])
        wide = self.cupy.empty([2 * size + 1 for size in value.shape], value.dtype)
        view = wide[tuple(slice(1, None, 2) for _ in value.shape)][..., ::-1]
        view[...] = self.cupy.asarray(np.ascontiguousarray(value))
        return view

    def _to_host(self, value: Any) -> Any:
        if isinstance(value, tuple):
            return tuple(self._to_host(item) for item in value)
        if not isinstance(value, self.cupy.ndarray):
            return value
        return gpu.to_host(value)
