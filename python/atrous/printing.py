"""The text of a tensor, as PyTorch prints it: ``tensor([1.0000, 2.5000], requires_grad=True)``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from . import dtypes, gpu

__all__ = ["format_tensor"]

EDGE = 3  # items shown at each end of a long axis
THRESHOLD = 1000  # elements above which axes are cut short
LINE = 80  # characters


def format_tensor(tensor: Any) -> str:
    """What ``repr(tensor)`` gives.

    Example:
        >>> import atrous as at
        >>> format_tensor(at.tensor([1.0, 2.5]))
        'tensor([1.0000, 2.5000])'
    """
    array = gpu.moved(tensor.data, "cpu")
    if array.size == 0:
        body = "[]" if array.ndim == 1 else f"[], size={array.shape}"
    else:
        summarize = array.size > THRESHOLD
        shown = _shown(array) if summarize else array
        body = _format(array, *_formatter(shown), summarize, len("tensor("))
    notes = []
    if array.dtype not in (dtypes.float32, dtypes.int64, dtypes.bool_):
        notes.append(f"dtype={array.dtype}")
    if tensor.device != "cpu":
        notes.insert(0, f"device={tensor.device!r}")
    if tensor.grad_fn is not None:
        notes.append(f"grad_fn={tensor.grad_fn!r}")
    elif tensor.requires_grad:
        notes.append("requires_grad=True")
    return "tensor(" + ", ".join([body, *notes]) + ")"


def _shown(array: np.ndarray) -> np.ndarray:
    """Only the elements that will be printed."""
    for axis, extent in enumerate(array.shape):
        if extent > 2 * EDGE:
            array = np.take(array, [*range(EDGE), *range(extent - EDGE, extent)], axis)
    return array


def _formatter(array: np.ndarray) -> tuple[Callable[[Any], str], int]:
    """The function that writes one element, and the width that it fills."""
    items = array.ravel()
    write: Callable[[Any], str] = str
    if dtypes.is_floating(array.dtype):
        items = items[np.isfinite(items) & (items != 0)]  # the others may stick out, as in PyTorch
        sizes = np.abs(items.astype(np.float64))
        low, high = (sizes.min(), sizes.max()) if sizes.size else (1.0, 1.0)
        if high / low > 1000.0 or high > 1.0e8 or low < 1.0e-4:
            write = "{:.4e}".format
        else:
            write = _whole if bool(np.all(items == np.ceil(items))) else "{:.4f}".format
    width = max([1, *[len(write(item)) for item in items.tolist()]])
    return lambda item: write(item).rjust(width), width


def _whole(item: float) -> str:
    return f"{item:.0f}." if np.isfinite(item) else str(item)


def _format(array: np.ndarray, write: Callable[[Any], str], width: int, summarize: bool, indent: int) -> str:
    if array.ndim == 0:
        return write(array.item())
    cut = summarize and len(array) > 2 * EDGE
    rows = [*range(EDGE), *range(len(array) - EDGE, len(array))] if cut else list(range(len(array)))
    if array.ndim == 1:
        items = [write(item) for item in array[rows].tolist()]
        if cut:
            items.insert(EDGE, " ...")
        per_line = max(1, (LINE - indent) // (width + 2))
        lines = [", ".join(items[i : i + per_line]) for i in range(0, len(items), per_line)]
        return "[" + (",\n" + " " * (indent + 1)).join(lines) + "]"
    parts = [_format(array[row], write, width, summarize, indent + 1) for row in rows]
    if cut:
        parts.insert(EDGE, "...")
    return "[" + ("," + "\n" * (array.ndim - 1) + " " * (indent + 1)).join(parts) + "]"
