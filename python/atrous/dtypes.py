"""Data types, which are NumPy's own, and PyTorch's promotion between them.

``bfloat16``, which NumPy lacks, is the package ml_dtypes', loaded when somebody asks for it. NumPy files it under "V",
odds and ends, beside which it promotes in a way of its own: whether a type is floating-point is asked of `is_floating`.

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

FLOATS = "fV"  # the kinds of floating-point types; of the types here, "V" is bfloat16's alone

_OURS = frozenset([float16, float32, float64, int8, int16, int32, int64, uint8, bool_])
_PYTHON = {bool: bool_, int: int64, float: float32}  # what a Python number counts as
CATEGORY = {"b": 0, "i": 1, "u": 1, "f": 2, "V": 2}


def __getattr__(name: str) -> Any:
    if name != "bfloat16":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        import ml_dtypes
    except ImportError as error:
        raise ImportError(
            "bfloat16: the package ml_dtypes, whose type for NumPy it is, cannot be imported "
            f"({error}); pip install ml_dtypes, or take the extra 'cuda'"
        ) from error
    globals()["bfloat16"] = found = np.dtype(ml_dtypes.bfloat16)
    return found


def as_dtype(dtype: Any, op: str = "dtype") -> np.dtype:
    """The dtype that ``dtype`` names: one of ours, a NumPy type, or Python's bool, int (int64) or float (float32).

    Raises:
        TypeError: no supported dtype.
    Example:
        >>> as_dtype(float)
        dtype('float32')
    """
    if isinstance(dtype, str) and dtype == "bfloat16":
        return __getattr__("bfloat16")
    try:
        found = _PYTHON[dtype] if dtype in _PYTHON else np.dtype(dtype)
        if is_supported(found) and dtype is not None:  # np.dtype(None) is float64
            return found
    except TypeError:
        pass
    raise TypeError(f"{op}: dtype {dtype!r} is not supported; expected one of {supported()}")


def is_supported(dtype: np.dtype) -> bool:
    """Whether tensors have this dtype.

    Example:
        >>> is_supported(np.dtype("complex64"))
        False
    """
    return dtype in _OURS or (dtype.kind == "V" and dtype.name == "bfloat16")


def supported() -> list[str]:
    """The names of the dtypes that tensors have, for messages.

    Example:
        >>> supported()[0]
        'bfloat16'
    """
    return sorted(["bfloat16", *map(str, _OURS)])


@functools.cache
def promote_types(a: np.dtype, b: np.dtype) -> np.dtype:
    """The dtype that holds values of both, as PyTorch's ``promote_types``.

    Example:
        >>> promote_types(int64, float16)
        dtype('float16')
    """
    if CATEGORY[a.kind] != CATEGORY[b.kind]:
        return max(a, b, key=lambda dtype: CATEGORY[dtype.kind])
    if "V" in (a.kind, b.kind) and a != b:  # bfloat16; neither it nor float16 holds all numbers of the other
        return float32 if a.itemsize == b.itemsize else max(a, b, key=lambda dtype: dtype.itemsize)
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
    return promote_types(higher, lower) if CATEGORY[lower.kind] > CATEGORY[higher.kind] else higher


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
    if isinstance(value, (float, np.floating)) or (isinstance(value, np.generic) and is_supported(value.dtype)):
        return float32
    raise TypeError(f"expected a number, not {type(value).__name__}")


def is_floating(dtype: np.dtype) -> bool:
    """Whether values of ``dtype`` are floating point, and so can require grad.

    Example:
        >>> is_floating(int64)
        False
    """
    return dtype.kind in FLOATS


def is_half(dtype: np.dtype) -> bool:
    """Whether ``dtype`` is float16 or bfloat16: for memory alone, computed with as `compute_dtype`.

    Example:
        >>> is_half(float16), is_half(int16)
        (True, False)
    """
    return dtype.itemsize == 2 and dtype.kind in FLOATS


def compute_dtype(dtype: np.dtype) -> np.dtype:
    """In what sums over values of ``dtype`` are added up: float32 for float16 and bfloat16, else itself.

    Example:
        >>> compute_dtype(float16)
        dtype('float32')
    """
    return float32 if dtype.itemsize == 2 and dtype.kind in FLOATS else dtype


def widened(array: Any) -> Any:
    """An array of float16 or bfloat16 as float32; any other as it is.

    Example:
        >>> widened(np.ones(2, "float16")).dtype
        dtype('float32')
    """
    return array.astype(float32) if is_half(array.dtype) else array
