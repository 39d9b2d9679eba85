"""Checks every kernel on this machine against its reference: what `atrous verify` and the tests run.

One module a family: its cases, which are data, and its bounds, which follow from arithmetic. `verify()` runs them on a
backend at each instruction-set level, with each algorithm, in float32 and float64, on a GPU also in 16 bits.
`check_kernel()` runs them on a function of a user's own file, which `load_kernels()` reads.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import ModuleType
from typing import Any

from . import activation, adam, batch_norm, conv2d, cross_entropy, elementwise, linear, pool2d, random, upsample2d
from .device import OnDevice, on_the_gpu
from .halves import half_dtypes
from .harness import DTYPES, Failure, Result, call, check_function
from .kernels import load_kernels, own_kernels
from .student import Check, Mistake, check_kernel

__all__ = [
    "FAMILIES",
    "Check",
    "Failure",
    "Mistake",
    "OnDevice",
    "Result",
    "algorithms",
    "at_level",
    "call",
    "check_function",
    "check_kernel",
    "checks",
    "dtypes",
    "levels",
    "load_kernels",
    "on_the_gpu",
    "own_kernels",
    "verify",
]

FAMILIES: dict[str, ModuleType] = {
    "conv2d": conv2d,
    "pool2d": pool2d,
    "upsample2d": upsample2d,
    "batch_norm": batch_norm,
    "linear": linear,
    "activation": activation,
    "cross_entropy": cross_entropy,
    "elementwise": elementwise,
    "adam": adam,
    "random": random,
}


def levels(backend: ModuleType) -> list[str]:
    """The instruction-set levels of a backend that this machine has; the reference has one."""
    return backend.isa_levels() if hasattr(backend, "isa_levels") else ["numpy"]


def algorithms(backend: ModuleType, family: ModuleType, function: str) -> list[str | None]:
    """What to pass as `algorithm`: None, for the rule that decides, and every name that is legal for some case."""
    if not hasattr(family, "algorithms"):
        return [None]
    legal = (family.algorithms(backend, function, case) for case in family.CASES[function])
    return [None, *sorted({name for names in legal for name in names})]


def dtypes(family: ModuleType, algorithm: str | None = None) -> tuple[Any, ...]:
    """The dtypes that a family's kernels compute in: float32 and float64, unless its module says otherwise."""
    return getattr(family, "ALGORITHM_DTYPES", {}).get(algorithm, getattr(family, "DTYPES", DTYPES))


def checks(backend: ModuleType, family: ModuleType, function: str) -> Iterator[tuple[str | None, Any]]:
    """Each algorithm of a kernel with each dtype: those of its arithmetic, and on a GPU those of 16 bits.

    HALVES of a family's module has the functions whose GPU kernels take numbers of 16 bits, and what stays float32
    beside them: arguments by their names, outputs by their places.
    """
    halves = half_dtypes() if getattr(backend, "halves", False) and function in getattr(family, "HALVES", {}) else ()
    for algorithm in algorithms(backend, family, function):
        in_16_bits = halves if algorithm in getattr(family, "HALF_ALGORITHMS", [algorithm]) else ()
        for dtype in (*dtypes(family, algorithm), *in_16_bits):
            yield algorithm, dtype


def verify(
    backend: ModuleType, families: Sequence[str] = tuple(FAMILIES), only_levels: Sequence[str] | None = None
) -> Iterator[Result]:
    """Yields one result for each level, kernel function, algorithm and dtype.

    Example:
        >>> from atrous import reference, verify
        >>> sum(len(result.failures) for result in verify.verify(reference, ["linear"]))
        0
    """
    for level in levels(backend) if only_levels is None else only_levels:
        with at_level(backend, level):
            for name in families:
                for function in FAMILIES[name].CASES:
                    for algorithm, dtype in checks(backend, FAMILIES[name], function):
                        yield check_function(backend, FAMILIES[name], function, dtype, level, algorithm)


@contextmanager
def at_level(backend: ModuleType, level: str) -> Iterator[None]:
    """Runs the body at an instruction-set level of the backend."""
    if not hasattr(backend, "set_isa"):
        yield
        return
    before = backend.isa()
    backend.set_isa(level)
    try:
        yield
    finally:
        backend.set_isa(before)
