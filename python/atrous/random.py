"""Random numbers: Philox4x32-10 bits keyed by (seed, stream, offset), and the distributions made of them.

The same seed gives the same numbers on every machine, backend and NumPy version (and others than PyTorch's): the bits
are integers, and the transforms use + − × ÷ √ in float64 alone, which IEEE 754 rounds in one way. NumPy's own log and
exp are avoided, whose last bit depends on the processor.
"""

from __future__ import annotations

import contextlib
import math
import operator
import os
import struct
import threading
from collections.abc import Iterator
from typing import Any

import numpy as np

from . import capturing, dtypes, gpu
from .backend import kernels_for
from .checks import require

__all__ = [
    "Generator",
    "default_generator",
    "get_rng_state",
    "initial_seed",
    "manual_seed",
    "seed",
    "set_rng_state",
    "using",
]


class Generator:
    """A source of random numbers: the bits of one Philox stream, of which ``offset`` words have been used.

    Args:
        seed: 64 bits that choose the numbers; drawn from the operating system where None.
        stream: 64 bits that choose one of the seed's independent streams.
    Example:
        >>> a, b = Generator(seed=1), Generator(seed=1)
        >>> bool((a.uniform((3,)) == b.uniform((3,))).all())
        True
    """

    def __init__(self, seed: int | None = None, stream: int = 0) -> None:
        self._lock = threading.Lock()
        self.stream = _word64(stream, "stream")
        self.offset = 0
        self._seed = 0
        self.manual_seed(int.from_bytes(os.urandom(8), "little") if seed is None else seed)

    def manual_seed(self, seed: int) -> Generator:
        """Starts again from a seed, at offset 0."""
        with self._lock:
            self._seed, self.offset = _word64(seed, "seed"), 0
        return self

    def initial_seed(self) -> int:
        """The seed in use."""
        return self._seed

    def get_state(self) -> dict[str, int]:
        """All there is to know: ``{"seed": ..., "stream": ..., "offset": ...}``."""
        with self._lock:
            return {"seed": self._seed, "stream": self.stream, "offset": self.offset}

    def set_state(self, state: dict[str, int]) -> None:
        """Goes on from where ``get_state`` was called."""
        with self._lock:
            self._seed, self.stream = _word64(state["seed"], "seed"), _word64(state["stream"], "stream")
            self.offset = int(state["offset"])

    def bits(self, count: int, beside: Any = None) -> Any:
        """The next ``count`` words of 32 random bits, uint32; the same on a GPU, where an array ``beside`` is.

        Threads may draw from one generator at once.
        """
        kernels = kernels_for(beside)
        if capturing.active and (capture := capturing.current()) is not None:
            return self._captured(capture, kernels, count)
        return kernels.random_bits(*self._advance(count), count)

    def _advance(self, count: int) -> tuple[int, int, int]:
        """Seed, stream and offset of the next ``count`` words, which are used by now."""
        with self._lock:
            state = self._seed, self.stream, self.offset
            self.offset += count
        return state

    def _captured(self, capture: Any, kernels: Any, count: int) -> Any:
        """The words of a graph, which takes the next ones at each replay."""
        if kernels is not gpu.kernels:
            if capture.rehearsal:
                return kernels.random_bits(*self._advance(count), count)
            raise RuntimeError("random numbers drawn on the CPU would be the same at every replay")

        def position() -> bytes:
            return struct.pack("<3Q", *self._advance(count))

        capture.generator(self)
        first = position()
        capture.numbers(first, position)
        return kernels.random_bits(*struct.unpack("<3Q", first), count)

    def uniform(self, shape: tuple[int, ...], dtype: Any = dtypes.float32) -> np.ndarray:
        """Multiples of 2⁻²⁴ (float32, a word each) or 2⁻⁵³ (float64, two words each) in [0, 1), all equally likely.

        Of 2⁻¹¹ in float16 and 2⁻⁸ in bfloat16: more digits would be rounded, the largest up to 1.
        """
        dtype = np.dtype(dtype)
        if dtype == dtypes.float64:
            array = (self._words64(math.prod(shape)) >> np.uint64(11)) * 2.0**-53
        else:
            digits = 24 if dtype == dtypes.float32 else 11 if dtype == dtypes.float16 else 8
            words = self.bits(math.prod(shape)) >> np.uint32(32 - digits)
            array = (words * np.float32(2.0**-digits)).astype(dtype, copy=False)
        return array.reshape(shape)

    def normal(self, shape: tuple[int, ...], dtype: Any = dtypes.float32) -> np.ndarray:
        """Standard normal numbers: the inverse of the distribution function at the middles of 2³² equal steps.

        In float64 there are 2⁵² steps, two words each. The largest numbers are 6.3 and 8.2.
        """
        if np.dtype(dtype) == dtypes.float64:
            p = ((self._words64(math.prod(shape)) >> np.uint64(12)) + 0.5) * 2.0**-52
        else:
            p = (self.bits(math.prod(shape)) + 0.5) * 2.0**-32
        return inverse_normal(p).astype(dtype, copy=False).reshape(shape)

    def integers(self, low: int, high: int, shape: tuple[int, ...]) -> np.ndarray:
        """int64 in [low, high): 64 bits modulo the range, whose bias is below range / 2⁶⁴."""
        require(low < high, "randint", f"low is {low}, high is {high}; expected low < high")
        words = self._words64(math.prod(shape)) % np.uint64(high - low)
        return (words.astype(np.int64) + low).reshape(shape)

    def permutation(self, n: int) -> np.ndarray:
        """The numbers 0 to n − 1 in random order, int64: the order that sorts n random words of 64 bits."""
        return np.argsort(self._words64(n), kind="stable").astype(np.int64, copy=False)

    def _words64(self, count: int) -> np.ndarray:
        words = self.bits(2 * count).astype(np.uint64)
        return words[0::2] | words[1::2] << np.uint64(32)


def _word64(value: int, name: str) -> int:
    value = operator.index(value)
    if not -(2**63) <= value < 2**64:
        raise ValueError(f"Generator: {name} {value} does not fit 64 bits")
    return value % 2**64


# Wichura's AS241 (PPND16), Applied Statistics 37 (1988) 477–484: 16 digits with two rational functions of degree 7 in
# each of three regions. Coefficients from the highest power down.
_CENTRE = (
    (2509.0809287301226727, 33430.575583588128105, 67265.770927008700853, 45921.953931549871457,
     13731.693765509461125, 1971.5909503065514427, 133.14166789178437745, 3.387132872796366608),
    (5226.495278852545925, 28729.085735721942674, 39307.89580009271061, 21213.794301586595867,
     5394.1960214247511077, 687.1870074920579083, 42.313330701600911252, 1.0),
)  # fmt: skip
_MIDDLE = (
    (7.7454501427834140764e-4, 0.0227238449892691845833, 0.24178072517745061177, 1.27045825245236838258,
     3.64784832476320460504, 5.7694972214606914055, 4.6303378461565452959, 1.42343711074968357734),
    (1.05075007164441684324e-9, 5.475938084995344946e-4, 0.0151986665636164571966, 0.14810397642748007459,
     0.68976733498510000455, 1.6763848301838038494, 2.05319162663775882187, 1.0),
)  # fmt: skip
_TAIL = (
    (2.01033439929228813265e-7, 2.71155556874348757815e-5, 0.0012426609473880784386, 0.026532189526576123093,
     0.29656057182850489123, 1.7848265399172913358, 5.4637849111641143699, 6.6579046435011037772),
    (2.04426310338993978564e-15, 1.4215117583164458887e-7, 1.8463183175100546818e-5, 7.868691311456132591e-4,
     0.0148753612908506148525, 0.13692988092273580531, 0.59983220655588793769, 1.0),
)  # fmt: skip


def _horner(coefficients: tuple[float, ...], x: np.ndarray) -> np.ndarray:
    total = np.full_like(x, coefficients[0])
    for coefficient in coefficients[1:]:
        total = total * x + coefficient
    return total


def _ratio(functions: tuple[tuple[float, ...], tuple[float, ...]], x: np.ndarray) -> np.ndarray:
    return _horner(functions[0], x) / _horner(functions[1], x)


def inverse_normal(p: np.ndarray) -> np.ndarray:
    """The number below which a standard normal variable falls with probability p, 0 < p < 1, float64.

    Example:
        >>> inverse_normal(np.array([0.5])).tolist()
        [0.0]
    """
    q = p - 0.5
    z = q * _ratio(_CENTRE, 0.180625 - q * q)
    outside = np.abs(q) > 0.425
    side = q[outside]
    smaller = np.where(side < 0, p[outside], 1.0 - p[outside])
    r = np.sqrt(-_log(smaller))
    size = np.where(r <= 5.0, _ratio(_MIDDLE, r - 1.6), _ratio(_TAIL, r - 5.0))
    z[outside] = np.where(side < 0, -size, size)
    return z


def _log(x: np.ndarray) -> np.ndarray:
    """The natural logarithm of positive float64 to a few units in the last place, by + − × ÷ alone.

    x = m · 2^e with m in [√½, √2), and log m = 2 artanh(s), s = (m − 1) / (m + 1), whose series
    2 (s + s³/3 + s⁵/5 + …) is cut after s²¹: |s| < 0.172, so the rest is below 1e-18.
    """
    m, e = np.frexp(x)
    small = m < math.sqrt(0.5)
    m, e = np.where(small, 2.0 * m, m), e - small
    s = (m - 1.0) / (m + 1.0)
    series = _horner(tuple([2.0 / k for k in range(21, 0, -2)]), s * s)
    return e * 0.6931471805599453 + s * series


class _Replacement(threading.local):
    generator: Generator | None = None  # None: this thread draws from the default generator itself


class DefaultGenerator(Generator):
    """What everything draws from unless told otherwise; ``using`` puts another generator in its place for a thread."""

    def __init__(self) -> None:
        self.replacement = _Replacement()
        super().__init__()

    def manual_seed(self, seed: int) -> Generator:
        here = self.replacement.generator
        return here.manual_seed(seed) if here else super().manual_seed(seed)

    def initial_seed(self) -> int:
        here = self.replacement.generator
        return here.initial_seed() if here else super().initial_seed()

    def get_state(self) -> dict[str, int]:
        here = self.replacement.generator
        return here.get_state() if here else super().get_state()

    def set_state(self, state: dict[str, int]) -> None:
        here = self.replacement.generator
        return here.set_state(state) if here else super().set_state(state)

    def _advance(self, count: int) -> tuple[int, int, int]:
        here = self.replacement.generator
        return here._advance(count) if here else super()._advance(count)

    def bits(self, count: int, beside: Any = None) -> Any:
        here = self.replacement.generator
        if here and not capturing.active:  # a captured step asks at each replay which generator is in this one's place
            return here.bits(count, beside)
        return super().bits(count, beside)


default_generator = DefaultGenerator()


@contextlib.contextmanager
def using(generator: Generator) -> Iterator[None]:
    """Inside, and in this thread alone, what draws from the default generator draws from ``generator``.

    The default generator stays where it is. So a data loader gives each batch numbers of its own, whichever thread
    makes the batch, and whatever else draws meanwhile.

    Example:
        >>> import atrous as at
        >>> with using(Generator(seed=7)):
        ...     a = at.rand(2)
        >>> a.tolist() == Generator(seed=7).uniform((2,)).tolist()
        True
    """
    replacement = default_generator.replacement
    before, replacement.generator = replacement.generator, generator
    try:
        yield
    finally:
        replacement.generator = before


def manual_seed(seed: int) -> Generator:
    """Seeds the generator that everything draws from unless told otherwise, and returns it.

    Example:
        >>> import atrous as at
        >>> a = at.manual_seed(0) and at.rand(2)
        >>> b = at.manual_seed(0) and at.rand(2)
        >>> a.tolist() == b.tolist()
        True
    """
    return default_generator.manual_seed(seed)


def seed() -> int:
    """Seeds the default generator from the operating system and returns the seed.

    Example:
        >>> 0 <= seed() < 2**64
        True
    """
    return default_generator.manual_seed(int.from_bytes(os.urandom(8), "little")).initial_seed()


def initial_seed() -> int:
    """The seed of the default generator.

    Example:
        >>> manual_seed(3) and initial_seed()
        3
    """
    return default_generator.initial_seed()


def get_rng_state() -> dict[str, int]:
    """The state of the default generator; see ``Generator.get_state``.

    Example:
        >>> manual_seed(3) and get_rng_state()
        {'seed': 3, 'stream': 0, 'offset': 0}
    """
    return default_generator.get_state()


def set_rng_state(state: dict[str, int]) -> None:
    """Sets the default generator to what ``get_rng_state`` gave.

    Example:
        >>> set_rng_state(get_rng_state())
    """
    default_generator.set_state(state)
