"""The memory of tensors: the pool from which the CPU backend's kernels take their outputs and workspace.

NumPy's own small arrays, and all arrays under ``backend("reference")``, are not counted.
"""

from __future__ import annotations

from typing import Any

from .backend import load

__all__ = ["current", "empty_cache", "peak", "reset_peak", "set_limit", "stats"]


def _cpu() -> Any:
    return load("cpu")


def stats() -> dict[str, int]:
    """What the pool knows of itself, in bytes.

    Raises:
        ImportError: the extension is missing or broken, as in all functions here.
    Example:
        >>> stats()["current"] <= stats()["peak"]
        True
    """
    return dict(_cpu().memory_stats())


def current() -> int:
    """Bytes in use now.

    Example:
        >>> current() >= 0
        True
    """
    return stats()["current"]


def peak() -> int:
    """The most bytes in use at once since the start, or since ``reset_peak``.

    Example:
        >>> peak() >= current()
        True
    """
    return stats()["peak"]


def reset_peak() -> None:
    """Starts the peak again from what is in use now.

    Example:
        >>> reset_peak()
    """
    _cpu().memory_reset_peak()


def empty_cache() -> None:
    """Gives the pool's free blocks back to the operating system.

    Example:
        >>> empty_cache()
    """
    _cpu().memory_empty_cache()


def set_limit(limit: int | None) -> None:
    """Caps the kernels' workspace at so many bytes, None for no cap; kernels then choose algorithms that fit.

    Example:
        >>> set_limit(None)
    """
    _cpu().memory_set_limit(limit)
