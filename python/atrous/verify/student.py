"""Checks a user's own kernel, easiest cases first, and shows the first that it fails, to be redone by hand."""

import functools
from collections.abc import Iterator
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

import numpy as np

from .. import reference
from .draw import Draw
from .guess import guess
from .harness import (
    Arguments,
    Array,
    arrays_of,
    call,
    compare,
    in_float64,
    kernel_dtype,
    map_arrays,
    outputs_of,
    rules,
    updated,
)
from .kernels import describe, options_of, takes_options, users_code, wrong_signature

LARGEST = 50_000  # numbers in and out; larger cases are there to keep threads busy, and plain loops for a minute
SHOWN = 64  # elements of an array that is printed in full

OUTPUTS = {  # by how the function's name ends
    "batch_norm_statistics": ("mean", "var"),
    "batch_norm_backward_train": ("grad_x", "grad_weight", "grad_bias"),
    "batch_norm_backward_eval": ("grad_x", "grad_weight", "grad_bias"),
    "adaptive_max_pool2d_forward": ("y", "indices"),
    "max_pool2d_forward": ("y", "taps"),
    "cross_entropy_forward": ("losses", "weights", "lse"),
    "cross_entropy_soft_forward": ("losses", "lse"),
    "_forward": ("y",),
    "_backward": ("grad_x",),
    "_input": ("grad_x",),
    "_weight": ("grad_weight",),
    "_bias": ("grad_bias",),
    "_indices": ("indices",),
    "matmul": ("product",),
    "random_bits": ("words",),
}


@dataclass
class Mistake:
    """The first case that a function fails. Its text says what is wrong, and shows what is small enough to be read."""

    what: str
    arguments: Arguments = field(default_factory=dict)
    output: str = ""  # the name of the output that is wrong; what was expected there, in float64, and what came:
    expected: Array | None = None
    got: Array | None = None

    def __str__(self) -> str:
        lines = [self.what, *(f"  {name:<17} {_sizes(value)}" for name, value in self.arguments.items())]
        inputs = {name: value for name, value in self.arguments.items() if isinstance(value, Array)}
        if sum(array.size for array in inputs.values()) <= SHOWN:
            lines += [f"{name} =\n{_in_full(array)}" for name, array in inputs.items()]
        if self.expected is not None and self.got is not None and max(self.expected.size, self.got.size) <= SHOWN:
            lines += [f"{self.output} expected =\n{_in_full(self.expected)}"]
            lines += [f"{self.output} got =\n{_in_full(self.got)}"]
        return "\n".join(lines)


@dataclass
class Check:
    """One of a user's functions in one dtype: of how many cases it passed how many, and how many were too large."""

    function: str
    dtype: str
    passed: int
    cases: int
    left_out: int
    mistake: Mistake | None = None


def check_kernel(kernels: ModuleType, family: ModuleType, function: str, dtype: Any) -> Check:
    """Runs a function of `load_kernels` over its case table, up to the first case that it fails.

    Cases of ordinary numbers come first, and the smaller before the larger; those of more than LARGEST numbers are left
    out, as a user may write plain loops. Optional arguments (what follows in the network) are checked where the user's
    function has them all.
    """
    wrong = wrong_signature(kernels, function)
    plain = cases_in_order(family, function)
    cases = plain if wrong or not takes_options(kernels, function) else cases_in_order(family, function, options=True)
    total = sum(not options for *_, options in _order(family, function)) + len(cases) - len(plain)
    check = Check(function, np.dtype(dtype).name, 0, len(cases), total - len(cases))
    if wrong:
        check.mistake = Mistake(wrong)
        return check
    for case in cases:
        with np.errstate(all="ignore"):  # NaN and overflow are meant
            arguments = family.arguments(function, case, Draw(dtype, function, case))
            check.mistake = next(_mistakes(kernels, family, function, arguments, np.dtype(dtype)), None)
        if check.mistake:
            break
        check.passed += 1
    return check


def cases_in_order(family: ModuleType, function: str, options: bool = False) -> list[dict[str, Any]]:
    """The cases that plain loops can do, the easiest to debug first: full of finite numbers, then small.

    Those with optional arguments only where asked for.
    """
    order = _order(family, function)
    return [family.CASES[function][i] for _, size, i, more in order if size <= LARGEST and (options or not more)]


@functools.cache
def _order(family: ModuleType, function: str) -> list[tuple[bool, int, int, bool]]:
    """For each case: is it strange, how many numbers go in and out, its index, has it options; sorted."""
    order = []
    optional = options_of(function)
    for index, case in enumerate(family.CASES[function]):
        with np.errstate(all="ignore"):
            arguments = family.arguments(function, case, Draw(np.dtype(np.float32), function, case))
            outputs = call(reference, function, in_float64(arguments))
        inputs = [array for value in arguments.values() for array in arrays_of(value) if isinstance(array, Array)]
        strange = not all(output.size and np.isfinite(output).all() for output in outputs)
        size = sum(array.size for array in [*inputs, *outputs])
        order.append((strange, size, index, not optional.isdisjoint(arguments)))
    return sorted(order)


def _mistakes(
    kernels: ModuleType, family: ModuleType, function: str, arguments: Arguments, dtype: np.dtype
) -> Iterator[Mistake]:
    """What is wrong in one case; what explains the rest comes first."""
    inputs = map_arrays(arguments, lambda array: array.copy(order="C"))
    handed = map_arrays(inputs, lambda array: array)  # lists of its own: a function might put other arrays into them
    try:
        with users_code(kernels):
            returned = getattr(kernels, function)(**handed)
    except (Exception, SystemExit) as error:
        yield Mistake(f"{function} fails: {describe(error, kernels.__file__ or '')}", arguments)
        return
    names = output_names(function, arguments)
    wrong = _wrong_type(returned, _returned(function))
    if wrong:
        yield Mistake(f"{function} {wrong}", arguments)
        return
    got = outputs_of(returned, inputs)
    for rule, _, _ in rules(kernels, function, arguments, inputs, got):
        advice = "make a copy first" if "written" in rule else "return a new array"
        yield Mistake(f"{function}: {rule}; {advice}", arguments)
    exact = in_float64(arguments)
    bounds = family.bound(function, exact, dtype)
    expected = call(reference, function, exact)
    bounds = bounds if isinstance(bounds, tuple) else (bounds,)
    for i, (name, array, target, bound) in enumerate(zip(names, got, expected, bounds, strict=True)):
        wrong, place = _wrong_array(name, array, target, bound, kernel_dtype(family, function, target, dtype, i))
        if wrong and not _returned(function):
            hint = _before(arguments, i, place) + _unchanged(arguments, got)
            yield Mistake(f"{function}: {wrong}{hint}", arguments, name, target, array)
        elif wrong:
            hint = guess(function, arguments, i, array, target)
            yield Mistake(f"{function}: {wrong}{hint}", arguments, name, target, array)


def output_names(function: str, arguments: Arguments) -> tuple[str, ...]:
    """What the outputs of a kernel are called, such as y, or params[0] of a kernel that works in place."""
    changed = updated(arguments)
    lists = {name: len(value) for name, value in changed.items() if isinstance(value, list)}
    in_place = [f"{name}[{i}]" for name in lists for i in range(lists[name])] or list(changed)
    return (*_returned(function), *in_place)


def _returned(function: str) -> tuple[str, ...]:
    """What a kernel returns; nothing where it only updates arrays in place."""
    return next((names for ending, names in OUTPUTS.items() if function.endswith(ending)), ())


def _wrong_type(returned: Any, names: tuple[str, ...]) -> str:
    kind = type(returned).__name__
    came = f"a {kind} of {len(returned)}" if isinstance(returned, (tuple, list)) else f"a value of type {kind}"
    if not names:
        return "" if returned is None else f"returns {came}; expected None: it updates its arrays in place"
    wanted = "an array" if len(names) == 1 else f"a tuple of {len(names)} arrays: {', '.join(names)}"
    if returned is None:
        return f"returns None; expected {wanted} (is there a `return`?)"
    if len(names) > 1 and not (isinstance(returned, tuple) and len(returned) == len(names)):
        return f"returns {came}; expected {wanted}"
    for name, output in zip(names, returned if len(names) > 1 else (returned,), strict=True):
        if not isinstance(output, Array):
            return f"returns {name} of type {type(output).__name__}; expected a NumPy array"
    return ""


def _wrong_array(name: str, got: Array, expected: Array, bound: Array, dtype: np.dtype) -> tuple[str, tuple[int, ...]]:
    """What is wrong with an output, nothing if it is right, and the index of its worst element."""
    if got.shape != expected.shape:
        return f"{name} has the shape {got.shape}; expected {expected.shape}", ()
    if got.dtype != dtype:
        return f"{name} is {got.dtype}; expected {dtype}" + (", as the inputs are" if dtype.kind == "f" else ""), ()
    ratio, _, limit = compare(got, expected, bound)
    wrong = int((ratio > 1).sum())
    if not wrong:
        return "", ()
    place = tuple(int(index) for index in np.unravel_index(ratio.argmax(), ratio.shape))
    came, wanted = _numbers(got[place], expected[place])
    margin = f" ± {limit[place]:.1g}" if np.isfinite(expected[place]) and limit[place] > 1e-30 else ""
    count = f"{wrong} of {ratio.size} elements {'is' if wrong == 1 else 'are'} wrong"
    return f"{name}[{', '.join(map(str, place))}] is {came}; expected {wanted}{margin} ({count})", place


def _numbers(*values: Any) -> list[str]:
    """Both as short as is enough to tell them apart."""
    short = [f"{value:.6g}" if isinstance(value, np.floating) else str(value) for value in values]
    return short if len(set(short)) > 1 else [str(value) for value in values]


def _before(arguments: Arguments, output: int, place: tuple[int, ...]) -> str:
    """What stood at one place of each array before a call that works in place."""
    if "params" in arguments:
        i = output % len(arguments["params"])
        values = {name: value[i][place] for name, value in arguments.items() if isinstance(value, list)}
    else:
        values = {name: value[place] for name, value in arguments.items()}
    return ".\nBefore the call, there: " + ", ".join(f"{name} {value:.6g}" for name, value in values.items())


def _unchanged(arguments: Arguments, got: tuple[Array, ...]) -> str:
    before = outputs_of(None, arguments)
    same = all(np.array_equal(a, b, equal_nan=True) for a, b in zip(before, got, strict=True))
    return ".\nNo array has changed: update in place, as in params[i] -= ..., total += ..." if same else ""


def _sizes(value: Any) -> str:
    if isinstance(value, list):
        return "arrays of " + ", ".join(str(array.shape) for array in value)
    return f"{value.shape} {value.dtype}" if isinstance(value, Array) else repr(value)


def _in_full(array: Array) -> str:
    text = np.array2string(array, precision=6, suppress_small=False, max_line_width=110)
    return "\n".join("  " + line for line in text.splitlines() if line)
