"""Numbers of 16 bits, which a GPU's kernels read and write: float16, and bfloat16, which is the package ml_dtypes'.

Kernels compute with them in float32 and round once, at the end. The reference runs in float64 on the inputs as rounded
to 16 bits, so before that rounding a kernel is within the bound E of float32 of the reference's r. Rounding never puts
two numbers in another order: what is stored lies between r - E and r + E, both rounded. So a result that needs no
rounding, such as a maximum, must be exact; else it may be off by half a spacing, 2^-11 of it in float16 and 2^-8 in
bfloat16, and by a whole one only where r is as near to the middle between two numbers as E.
"""

import importlib
from typing import Any

import numpy as np

Array = np.ndarray
MISSING = "bfloat16 is left out: it needs the package ml_dtypes, which is not installed"


def half_dtypes() -> tuple[Any, ...]:
    """float16, and bfloat16 where there is one."""
    try:
        return (np.float16, importlib.import_module("ml_dtypes").bfloat16)
    except ImportError:
        return (np.float16,)


def is_half(dtype: np.dtype) -> bool:
    """Whether it is one of the dtypes of 16 bits."""
    return dtype.itemsize == 2 and dtype.name in ("float16", "bfloat16")


def is_floating(dtype: np.dtype) -> bool:
    """Whether it is a floating-point dtype; of bfloat16 NumPy says otherwise."""
    return dtype.kind == "f" or is_half(dtype)


def computed_in(dtype: np.dtype) -> np.dtype:
    """The dtype of a kernel's arithmetic, and of what it keeps beside arrays of this one."""
    return np.dtype(np.float32) if is_half(dtype) else dtype


def finfo(dtype: np.dtype) -> Any:
    """NumPy's finfo, of bfloat16, too."""
    return np.finfo(dtype) if dtype.kind == "f" else importlib.import_module("ml_dtypes").finfo(dtype)


def stored_limit(expected: Array, limit: Array, dtype: np.dtype) -> Array:
    """How far from `expected` a number within `limit` of it may be once it is stored in 16 bits."""
    most = float(finfo(dtype).max)  # overflow is an Inf, which compares by itself
    ends = (np.clip(end, -most, most).astype(dtype) for end in (expected - limit, expected + limit))
    return np.maximum(*(np.abs(end.astype(np.float64) - expected) for end in ends))
