"""Data types, which are NumPy's own, and PyTorch's promotion between them.

PyTorch sorts types into three categories, bool < integer < floating. The higher category wins whatever the widths
(int64 + float32 is float32), and within one category the wider type. Operands count in three ranks: arrays with axes,
0-d arrays, Python numbers; a lower rank decides nothing unless its category is higher. So a float32 ``x`` stays float32
in ``x * 2.0``, ``x * np.float64(2)`` and ``x * at.tensor(2.0, dtype=at.float64)``, where NumPy alone would not keep it.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

float16 = half = np.dtype("float16")
float32 = np.dtype("float32")
float64 = double = np.dtype("float64")
int8 = np.dtype("int8")
int16 = short = np.dtype("int16")
int32 = np.dtype("int32")
int64 = long = np.dtype("int64")
uint8 = np.dtype("uint8")
bool_ = np.dtype("bool")

SUPPORTED = frozenset([float16, float32, float64, int8, int16, int32, int64, uint8, bool_])
FLOATING = frozenset([float16, float32, float64])

_PYTHON = {bool: bool_, int: int64, float: float32}  # what a Python number counts as
_CATEGORY = {"b": 0, "i": 1, "u": 1, "f": 2}


def as_dtype(dtype: Any, op: str = "dtype") -> np.dtype:
    """The dtype that ``dtype`` names: one of ours, a NumPy type, or Python's bool, int (int64) or float (float32).

    Raises:
        TypeError: no supported dtype.
    Example:
        >>> as_dtype(float)
        dtype('float32')
    """
    try:
        found = _PYTHON[dtype] if dtype in _PYTHON else np.dtype(dtype)
        if found in SUPPORTED and dtype is not None:  # np.dtype(None) is float64
            return found
    except TypeError:
        pass
    raise TypeError(f"{op}: dtype {dtype!r} is not supported; expected one of {sorted(map(str, SUPPORTED))}")


@functools.cache
def promote_types(a: np.dtype, b: np.dtype) -> np.dtype:
    """The dtype that holds values of both, as PyTorch's ``promote_types``.

    Example:
        >>> promote_types(int64, float16)
        dtype('float16')
    """
    if _CATEGORY[a.kind] != _CATEGORY[b.kind]:
        return max(a, b, key=lambda dtype: _CATEGORY[dtype.kind])
    return np.promote_types(a, b)


@functools.cache
def combine(higher: np.dtype | None, lower: np.dtype | None) -> np.dtype | None:
    """The dtype of operands of two ranks, the lower of which matters only where its category is higher.

    Example:
        >>> combine(float32, float64)
        dtype('float32')
    """
    if higher is None or lower is None:
        return lower if higher is None else higher
    return promote_types(higher, lower) if _CATEGORY[lower.kind] > _CATEGORY[higher.kind] else higher


def result_type(*operands: Any) -> np.dtype:
    """The dtype of an arithmetic result, as PyTorch's ``result_type``.

    Args:
        operands: tensors, arrays, Python or NumPy numbers.
    Example:
        >>> result_type(np.zeros(2, "int32"), 2.5)
        dtype('float32')
    """
    ranks: list[np.dtype | None] = [None, None, None]  # arrays with axes, 0-d arrays, numbers
    for operand in operands:
        if isinstance(operand, (bool, int, float, np.generic)):
            rank, dtype = 2, number_type(operand)
        else:
            rank, dtype = (0 if operand.ndim else 1), operand.dtype
        ranks[rank] = dtype if ranks[rank] is None else promote_types(ranks[rank], dtype)  # type: ignore[arg-type]
    found = combine(ranks[0], combine(ranks[1], ranks[2]))
    if found is None:
        raise TypeError("result_type: no operands")
    return found


def number_type(value: Any) -> np.dtype:
    """What a Python or NumPy number counts as: bool, int64 or float32.

    Example:
        >>> number_type(np.float64(2.0))
        dtype('float32')
    """
    if isinstance(value, (bool, np.bool_)):
        return bool_
    if isinstance(value, (int, np.integer)):
        return int64
    if isinstance(value, (float, np.floating)):
        return float32
    raise TypeError(f"expected a number, not {type(value).__name__}")


def is_floating(dtype: np.dtype) -> bool:
    """Whether values of ``dtype`` are floating point, and so can require grad.

    Example:
        >>> is_floating(int64)
        False
    """
    return dtype.kind == "f"
