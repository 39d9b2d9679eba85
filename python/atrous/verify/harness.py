"""Calls a backend's kernel on a family's case table and compares it with the reference.

The reference runs in float64 on the same (rounded) inputs. A family states, for each output element, how far a kernel
may be off in units of the dtype's epsilon; the ratio error / bound is at most 1 where all is well.
"""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

import numpy as np

from .. import reference
from .draw import Draw
from .halves import computed_in, is_floating, is_half, stored_limit

Array = np.ndarray
Arguments = dict[str, Any]
Broken = tuple[str, Any, Any]  # a rule, what was expected and what came
DTYPES: tuple[Any, ...] = (np.float32, np.float64)


@dataclass
class Failure:
    """What went wrong: the case, which rule it broke, and at the worst element what was expected and what came."""

    case: dict[str, Any]
    rule: str
    expected: Any = None
    got: Any = None

    def __str__(self) -> str:
        case = ", ".join(f"{name}={value}" for name, value in self.case.items())
        values = "" if self.expected is None and self.got is None else f": expected {self.expected}, got {self.got}"
        return f"{self.rule}{values} at {case}"


@dataclass
class Result:
    """One kernel function at one level, with one algorithm and dtype, over its case table."""

    function: str
    level: str
    algorithm: str
    dtype: str
    cases: int = 0
    worst: float = 0.0  # the largest error / bound of all elements of all cases, and that error and bound:
    error: float = 0.0
    bound: float = 0.0
    failures: list[Failure] = field(default_factory=list)


def sum_bound(terms: int) -> float:
    """The error of a sum of products, in epsilons of the sum of their absolute values, whatever its order.

    Each product passes through at most `terms` roundings of half an epsilon: that many in the worst case, 6 sqrt(terms)
    if the roundings are independent, but for one in 10^7 (Higham and Mary, 2019, doi:10.1137/18M1226312). Two more for
    the product itself and for a last addition, of a bias or of a piece.
    """
    return 1 + min(terms, 6 * math.sqrt(terms)) / 2


def magnitudes(arguments: Arguments) -> Arguments:
    """The arguments with |x| for each floating-point array: what a direct sum's error is measured by."""
    return map_arrays(arguments, lambda array: np.abs(array) if is_floating(array.dtype) else array)


def check_function(
    backend: ModuleType,
    family: ModuleType,
    function: str,
    dtype: Any,
    level: str = "",
    algorithm: str | None = None,
    stop_after: int = 3,
) -> Result:
    """Runs one kernel over its case table: values, and all that holds for every kernel (see `rules`)."""
    result = Result(function, level, algorithm or "rule", np.dtype(dtype).name)
    for case in family.CASES[function]:
        if algorithm is not None and algorithm not in family.algorithms(backend, function, case):
            continue
        result.cases += 1
        with np.errstate(all="ignore"):  # NaN and overflow are meant
            arguments = in_16_bits(
                family, function, family.arguments(function, case, Draw(dtype, function, case)), dtype
            )
            if algorithm is not None:
                arguments["algorithm"] = algorithm
            chosen = [algorithm] if algorithm else getattr(family, "algorithms", _none)(backend, function, case)
            worst, failures = _check_case(backend, family, function, arguments, np.dtype(dtype), chosen[:1])
        if worst[0] > result.worst:
            result.worst, result.error, result.bound = worst
        result.failures += [Failure(case, *failure) for failure in failures]
        if len(result.failures) >= stop_after:
            break
    return result


def _check_case(
    backend: ModuleType, family: ModuleType, function: str, arguments: Arguments, dtype: np.dtype, chosen: list[str]
) -> tuple[tuple[float, float, float], list[Broken]]:
    exact = in_float64(arguments)
    bounds = family.bound(function, exact | ({"algorithm": chosen[0]} if chosen else {}), dtype)
    bounds = bounds if isinstance(bounds, tuple) else (bounds,)
    expected = call(reference, function, exact)
    inputs = map_arrays(arguments, _dense)
    got = call(backend, function, inputs)
    worst, failures = (0.0, 0.0, 0.0), list(rules(backend, function, arguments, inputs, got))
    for i, (array, target) in enumerate(zip(got, expected, strict=True)):
        if array.shape != target.shape or array.dtype != kernel_dtype(family, function, target, dtype, i):
            failures.append((f"output {i}: shape and dtype", (target.shape, dtype), (array.shape, array.dtype)))
            continue
        ratio, error, limit = compare(array, target, bounds[i])
        if ratio.size == 0:
            continue
        place = tuple(int(index) for index in np.unravel_index(ratio.argmax(), ratio.shape))
        worst = max(worst, (float(ratio[place]), float(error[place]), float(limit[place])))
        if ratio[place] > 1:
            rule = f"output {i} at {place}: error {error[place]:.3g} above its bound {limit[place]:.3g}"
            failures.append((rule, target[place], array[place]))
    return worst, failures


def _none(*_: Any) -> list[str]:
    """The algorithms of a family that has no choice."""
    return []


def in_float64(arguments: Arguments) -> Arguments:
    """The arguments as the reference gets them: copies, the floating-point ones in float64."""
    return map_arrays(arguments, lambda array: array.astype(np.float64) if is_floating(array.dtype) else array.copy())


def in_16_bits(family: ModuleType, function: str, arguments: Arguments, dtype: Any) -> Arguments:
    """The arguments with float32 arrays in this dtype, if it has 16 bits, but for those that stay float32 beside it."""
    if not is_half(np.dtype(dtype)):
        return arguments
    maps = {name: value for name, value in arguments.items() if name not in family.HALVES[function]}
    return arguments | map_arrays(maps, lambda array: array.astype(dtype) if array.dtype == np.float32 else array)


def kernel_dtype(family: ModuleType, function: str, expected: Array, dtype: np.dtype, output: int = 0) -> np.dtype:
    """The dtype that a kernel's output must have, from that of the reference's, which ran in float64."""
    if is_half(dtype) and output in family.HALVES[function]:
        dtype = computed_in(dtype)
    always = getattr(family, "FLOAT64", {}).get(function, ())  # outputs that are float64 whatever the inputs are
    return dtype if expected.dtype.kind == "f" and output not in always else expected.dtype


def compare(got: Array, expected: Array, bound: Array) -> tuple[Array, Array, Array]:
    """For each element: error / limit, which is at most 1 where all is well, the error and the limit."""
    limit = np.zeros(expected.shape)
    if expected.dtype.kind == "f":
        limit = _limit(bound, computed_in(got.dtype))
        limit = stored_limit(expected, limit, got.dtype) if is_half(got.dtype) else limit
    error = _error(got, expected)
    with np.errstate(all="ignore"):
        ratio = np.where(np.isfinite(error) & (error > 0), error / limit, error)  # 0 and inf, whatever the limit
    return ratio, error, limit


def _limit(bound: Array, dtype: np.dtype) -> Array:
    """A family's bound as a number. Below the normal range a rounding is half of the smallest subnormal."""
    info = np.finfo(dtype)
    limit = float(info.eps) * np.nan_to_num(bound, posinf=np.inf) + 64 * float(info.smallest_subnormal)
    return 2 * limit if dtype == np.float64 else limit  # the float64 reference rounds too


def _error(got: Array, expected: Array) -> Array:
    """|got - expected|; where a value is not finite in got's dtype, 0 if both are the same NaN or Inf."""
    rounded = expected.astype(got.dtype)
    finite = np.isfinite(rounded) & np.isfinite(got)
    same = (got == rounded) | (np.isnan(got) & np.isnan(rounded))
    return np.where(finite, np.abs(got.astype(np.float64) - expected), np.where(same, 0.0, np.inf))


def rules(
    backend: ModuleType, function: str, arguments: Arguments, inputs: Arguments, got: tuple[Array, ...]
) -> Iterator[Broken]:
    """What holds for every kernel. Yields the rules that this call broke."""
    changed = updated(arguments)
    in_place = bool(changed)
    for name, value in inputs.items():
        if name not in changed and isinstance(value, (Array, list)):
            before = arguments[name]
            if not all(same_bits(a, b) for a, b in zip(arrays_of(value), arrays_of(before), strict=True)):
                yield f"input {name} was written to", None, None
            if not in_place and any(np.may_share_memory(output, value) for output in got):
                yield f"an output shares memory with input {name}", None, None
    if not hasattr(backend, "set_num_threads"):
        return  # the reference makes no promise on strides and has no threads

    def agrees(how: str, layout: Callable[[Array], Array]) -> Iterator[Broken]:
        again = call(backend, function, map_arrays(arguments, layout))
        for i, (a, b) in enumerate(zip(got, again, strict=True)):
            if not same_bits(a, b):
                yield f"output {i} has other bits {how}", None, None

    for i, output in enumerate(got):
        if output.ndim == 4 and not output.transpose(0, 2, 3, 1).flags.c_contiguous:
            yield f"output {i} is not channels-last", None, output.strides
    yield from agrees("on C-ordered inputs" if not in_place else "on Fortran-ordered inputs", _other_order)
    if not in_place:
        yield from agrees("on strided inputs", _strided)
        yield from agrees("on inputs that begin between vectors", _shifted)
    backend.memory_overruns()  # those of earlier calls
    with _poisoned_memory(backend):
        yield from agrees("in poisoned memory: it was not fully written", _dense)
    for threads in (1, 3):  # got and the others: on as many as the machine has
        with _threads(backend, threads), _poisoned_memory(backend):  # else the last call's outputs could show through
            yield from agrees(f"on {threads} threads", _dense)
    if backend.memory_overruns() > 0:
        yield "memory past the end of an output or a workspace was written to", None, None


def call(backend: ModuleType, function: str, arguments: Arguments) -> tuple[Array, ...]:
    """Calls a kernel by keyword, and returns its outputs."""
    return outputs_of(getattr(backend, function)(**arguments), arguments)


def outputs_of(returned: Any, arguments: Arguments) -> tuple[Array, ...]:
    """The outputs of a call that returned this, and after them the arrays that it updated."""
    changed = [array for value in updated(arguments).values() for array in arrays_of(value)]
    if returned is None:
        return tuple(changed)
    return (*(returned if isinstance(returned, tuple) else (returned,)), *changed)


def updated(arguments: Arguments) -> Arguments:
    """The arguments that a kernel changes in place: optimizers' lists but for the gradients, a total, running means."""
    return {
        name: value
        for name, value in arguments.items()
        if name == "total" or name.startswith("running_") or (isinstance(value, list) and name != "grads")
    }


def same_bits(a: Array, b: Array) -> bool:
    """Whether all elements have the same bits, but for those of a NaN."""
    same = a.shape == b.shape and np.array_equal(a, b, equal_nan=True)
    if same and is_floating(a.dtype):  # 0 == -0, but their bits differ; the sign of a NaN means nothing
        same = bool(((np.signbit(a) == np.signbit(b)) | np.isnan(a)).all())
    return same


def map_arrays(arguments: Arguments, change: Callable[[Array], Array]) -> Arguments:
    """The arguments with each array changed, those in lists, too."""

    def changed(value):
        if isinstance(value, list):
            return [changed(item) for item in value]
        return change(value) if isinstance(value, Array) else value

    return {name: changed(value) for name, value in arguments.items()}


def arrays_of(value: Any) -> list[Array]:
    """A list of arrays, of one array as well."""
    return value if isinstance(value, list) else [value]


def _dense(array: Array) -> Array:
    """A copy in the library's own order: channels-last, or C order where there are no 4 axes."""
    if array.ndim == 4:
        return array.transpose(0, 2, 3, 1).copy(order="C").transpose(0, 3, 1, 2)
    return array.copy(order="C")


def _other_order(array: Array) -> Array:
    return array.copy(order="C" if array.ndim == 4 else "F")


def _strided(array: Array) -> Array:
    """A copy with gaps between the elements, and backwards along the last axis."""
    wide = np.full([2 * size + 1 for size in array.shape], 77, array.dtype)
    view = wide[tuple(slice(1, None, 2) for _ in array.shape)][..., ::-1]
    view[...] = array
    return view


def _shifted(array: Array) -> Array:
    """A dense copy whose address is a multiple of its element's size and of no more."""
    dense = _dense(array)
    view = np.empty(array.size + 1, array.dtype)[1:]
    view[...] = dense.ravel(order="K")
    return np.ndarray(array.shape, array.dtype, view, 0, dense.strides)


@contextmanager
def _poisoned_memory(backend: ModuleType) -> Iterator[None]:
    backend.memory_set_poison(True)
    try:
        yield
    finally:
        backend.memory_set_poison(False)


@contextmanager
def _threads(backend: ModuleType, threads: int) -> Iterator[None]:
    before = backend.get_num_threads()
    backend.set_num_threads(threads)
    try:
        yield
    finally:
        backend.set_num_threads(before)
