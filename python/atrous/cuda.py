"""GPUs: whether there are any, which one is in use, and its memory; the names are those of ``torch.cuda``.

Tensors move by ``x.to("cuda")`` and modules by ``model.to("cuda")`` (docs/cuda.md). A GPU works on after a call has
returned; what reads values (``item``, ``numpy`` of a copy on the CPU, printing) waits for it by itself.
"""

from __future__ import annotations

from typing import Any

from . import gpu, random
from .cuda_graph import CapturedStep, capture

__all__ = [
    "CapturedStep",
    "capture",
    "current_device",
    "device_count",
    "empty_cache",
    "get_device_name",
    "is_available",
    "manual_seed",
    "manual_seed_all",
    "memory_allocated",
    "memory_reserved",
    "set_device",
    "synchronize",
]


def is_available() -> bool:
    """Whether tensors can go to "cuda" here; why not is in the error of ``at.zeros(1, device="cuda")``.

    Example:
        >>> is_available() in (True, False)
        True
    """
    return gpu.available()


def device_count() -> int:
    """How many GPUs the driver finds; 0 where none can be used.

    Example:
        >>> device_count() >= 0
        True
    """
    return int(gpu.load().cuda.runtime.getDeviceCount()) if is_available() else 0


def current_device() -> int:
    """The index of the GPU in use.

    Raises:
        RuntimeError: there is none, as in all functions below.
    """
    return int(gpu.load().cuda.runtime.getDevice())


def set_device(device: Any) -> None:
    """Uses another GPU in this thread from here on: an index, or "cuda:1". Tensors stay where they are."""
    index = int(str(device).removeprefix("cuda:"))
    count = device_count()
    if not 0 <= index < count:
        raise RuntimeError(f"set_device: device {device!r}, but there are {count} GPUs")
    gpu.load().cuda.Device(index).use()


def get_device_name(device: int | None = None) -> str:
    """What the GPU is called."""
    runtime = gpu.load().cuda.runtime
    return runtime.getDeviceProperties(current_device() if device is None else device)["name"].decode()


def manual_seed(seed: int) -> None:
    """As `atrous.manual_seed`, where there is a GPU; else nothing, as in PyTorch. All devices share one generator here.

    Example:
        >>> manual_seed(0)
    """
    if is_available():
        random.manual_seed(seed)


def manual_seed_all(seed: int) -> None:
    """As `manual_seed`.

    Example:
        >>> manual_seed_all(0)
    """
    manual_seed(seed)


def synchronize() -> None:
    """Waits until the GPU has done all that it was given."""
    gpu.load().cuda.Device(current_device()).synchronize()


def memory_allocated() -> int:
    """Bytes of the GPU's memory that tensors and workspace take."""
    return int(gpu.load().get_default_memory_pool().used_bytes())


def memory_reserved() -> int:
    """Bytes that the pool holds, those that are free for new tensors included."""
    return int(gpu.load().get_default_memory_pool().total_bytes())


def empty_cache() -> None:
    """Gives the pool's free memory back to the driver."""
    gpu.load().get_default_memory_pool().free_all_blocks()
