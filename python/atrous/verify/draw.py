"""The arrays of a case."""

import zlib
from typing import Any

import numpy as np

from .halves import computed_in, finfo

Array = np.ndarray


class Draw:
    """The arrays of one case: random, but the same on every run. Numbers of 16 bits come in arrays of float32."""

    def __init__(self, dtype: Any, *seed: object):
        self.numbers = np.dtype(dtype)
        self.dtype = computed_in(self.numbers)  # of the arrays
        self.rng = np.random.default_rng(zlib.crc32(repr(seed).encode()))

    def normal(self, *shape: int) -> Array:
        return self.rounded(self.rng.standard_normal(shape))

    def positive(self, *shape: int) -> Array:
        """Between 0.1 and 1, so that no rounding error hides behind cancellation."""
        return self.rounded(self.rng.uniform(0.1, 1, shape))

    def rounded(self, array: Array) -> Array:
        """The nearest numbers of the dtype."""
        return array.astype(self.numbers).astype(self.dtype, copy=False)

    def within(self, value: float) -> float:
        """The value, or the nearest whose products with numbers up to 64 neither overflow nor vanish."""
        info = finfo(self.numbers)
        return min(max(value, 64 * float(info.tiny)), float(info.max) / 64) if value else value

    def integers(self, low: int, high: int, *shape: int) -> Array:
        return self.rng.integers(low, high, shape)

    def special(self, array: Array) -> Array:
        """Scatters NaN, ±Inf, −0, subnormal and huge values over the array, a few of each."""
        tiny, most = (float(value) for value in (finfo(self.numbers).tiny, finfo(self.numbers).max))
        values = [np.nan, np.inf, -np.inf, -0.0, tiny / 16, -tiny / 64, most / 64, -most / 64]
        places = self.rng.permutation(array.size)[: max(len(values), array.size // 20)]
        array.flat[places] = np.resize(values, len(places))
        return array
