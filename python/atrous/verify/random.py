"""Cases of the random bits, which are equal or wrong: there is no bound."""

from typing import Any

import numpy as np

from .draw import Draw
from .harness import Arguments, Array

DTYPES = (np.uint32,)
CASES: dict[str, list[dict[str, Any]]] = {
    "random_bits": [
        {"seed": 0, "stream": 0, "offset": 0, "count": 4},
        {"seed": 0, "stream": 0, "offset": 0, "count": 0},
        {"seed": 1, "stream": 2, "offset": 3, "count": 1},  # the last word of a block
        {"seed": 1, "stream": 2, "offset": 2, "count": 5},  # parts of two blocks
        {"seed": 2**64 - 1, "stream": 2**64 - 1, "offset": 2**40 + 1, "count": 1000},
        {"seed": 0xDEADBEEF12345678, "stream": 7, "offset": 4 * (2**32 - 2), "count": 67},  # over the low word's end
        {"seed": 42, "stream": 2**32, "offset": 5, "count": 300_001},  # enough work for several threads
    ]
}


def arguments(function: str, case: dict[str, Any], draw: Draw) -> Arguments:
    """The case itself: a key and a count."""
    return dict(case)


def bound(function: str, arguments: Arguments, dtype: np.dtype) -> Array:
    """None: bits are compared."""
    return np.zeros(0)
