"""What the functions written in Python ask of their arguments; compiled ones check for themselves."""

from __future__ import annotations

from typing import Any

import cupy

from ..dtypes import is_floating

FLOATING = ("float32", "float64", "float16", "bfloat16")


def check_array(name: str, array: Any, ndims: tuple[int, ...], dtype: Any = None) -> None:
    """Raises a TypeError unless it is CuPy's and of the dtype, a ValueError for another number of dimensions."""
    if not isinstance(array, cupy.ndarray):
        raise TypeError(f"{name} is a {type(array).__name__}; expected a cupy.ndarray")
    if not is_floating(array.dtype) or (dtype is not None and array.dtype != dtype):
        expected = "one of " + ", ".join(FLOATING) if dtype is None else dtype
        raise TypeError(f"{name} has dtype {array.dtype}; expected {expected}")
    if array.ndim not in ndims:
        raise ValueError(f"{name} has shape {array.shape}; expected {' or '.join(map(str, ndims))} dimensions")


def check_sizes(function: str, what: str, a: int, b: int) -> None:
    """Raises a ValueError unless two sizes agree."""
    if a != b:
        raise ValueError(f"{function}: {what} {a} and {b} differ")
