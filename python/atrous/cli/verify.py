"""`atrous verify`: every kernel on this machine, or those of a user's file, against its NumPy reference."""

from __future__ import annotations

import argparse
import time
from types import ModuleType

from atrous.backend import kernels_for
from atrous.verify import (
    FAMILIES,
    Check,
    Result,
    check_kernel,
    dtypes,
    levels,
    load_kernels,
    on_the_gpu,
    own_kernels,
    verify,
)
from atrous.verify.halves import MISSING, half_dtypes

DESCRIPTION = """Checks every kernel on this machine against its reference, a NumPy twin short enough to read.

Each kernel runs over its family's case table at each instruction-set level that this processor has, with each algorithm
that is legal, in float32 and float64, on four memory layouts, on 1, 3 and the usual number of threads. The reference
runs in float64. The table shows, for the element that came closest to its bound, its error and that bound, which
follows from the number of roundings. Exit code 1 means that a kernel is wrong here: please report it with this output.

With --device cuda it checks the GPU's kernels, over the same tables, also in float16 and bfloat16.

With --kernels it checks the functions of your own file instead, which have names and arguments of the reference, and
shows the smallest case that fails. Exit code 0: all are right; 1: something is wrong, in them or with the file."""

EXAMPLES = """examples:
  atrous verify --family conv2d linear
  atrous verify --device cuda
  atrous verify --kernels my_conv.py"""


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Adds `verify` and its options to the command line's parser."""
    parser = subparsers.add_parser(
        "verify",
        help="check every kernel, or your own, against its reference",
        description=DESCRIPTION,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--family", nargs="+", choices=list(FAMILIES), default=list(FAMILIES), help="families to check (default: all)"
    )
    parser.add_argument("--level", nargs="+", help="instruction-set levels, as `atrous info` names them (default: all)")
    parser.add_argument("--kernels", metavar="FILE.py", help="check your own NumPy functions, such as conv2d_forward")
    parser.add_argument(
        "--device", choices=["cpu", "cuda"], default="cpu", help="whose kernels: the processor's or the GPU's"
    )
    parser.set_defaults(run=run, parser=parser)


def run(args: argparse.Namespace) -> int:
    """Runs the tables and prints a row per kernel, algorithm and dtype for each level; 1 if any kernel failed, else 0.

    Raises:
        ValueError: a level that this machine does not have.
        RuntimeError: no GPU that can be used.
        OSError, ImportError, ValueError: as `load_kernels`.
    """
    if args.kernels is not None:
        if args.level:
            args.parser.error("--level chooses among compiled kernels; it cannot go with --kernels")
        return _run_own(args.kernels, args.family)
    backend = on_the_gpu() if args.device == "cuda" else kernels_for(None)
    available = levels(backend)
    chosen = args.level or available
    for level in chosen:
        if level not in available:
            raise ValueError(f"level {level!r} is not available here; expected one of {', '.join(available)}")
    start = time.perf_counter()
    kernels, failed = set(), 0
    if args.device == "cuda" and len(half_dtypes()) < 2:
        print(MISSING)
    for level in chosen:
        print(f"\n{level}\n{'kernel':<30}{'algorithm':<15}{'dtype':<9}{'cases':>5}{'worst error':>13}{'its bound':>11}")
        for result in verify(backend, args.family, [level]):
            kernels.add(result.function)
            failed += bool(result.failures)
            _print_row(result)
    seconds = time.perf_counter() - start
    verdict = f"{failed} checks FAILED" if failed else f"all {len(kernels)} kernels within their bounds"
    print(f"\n{verdict} at {', '.join(chosen)} ({seconds:.1f} s)")
    return 1 if failed else 0


def _print_row(result: Result) -> None:
    exact = result.worst == 0
    error, bound = ("exact", "") if exact else (f"{result.error:.2e}", f"{result.bound:.2e}")
    mark = "  FAILED" if result.failures else ""
    names = f"{result.function:<30}{result.algorithm:<15}{result.dtype:<9}"
    print(f"{names}{result.cases:>5}{error:>13}{bound:>11}{mark}", flush=True)
    for failure in result.failures:
        print(f"    {failure}")


def _run_own(path: str, families: list[str]) -> int:
    """Checks the functions of a user's file, each up to its first mistake."""
    kernels = load_kernels(path)
    own = own_kernels(kernels)
    chosen = [(family, name) for family in families for name in FAMILIES[family].CASES if name in own]
    if not chosen:
        raise ValueError(f"{path} has no kernel of {', '.join(families)}; it has {', '.join(own)}")
    for hint in kernels.hints:
        print(f"not checked: {hint}")
    wrong = [name for family, name in chosen if not _is_right(kernels, family, name)]
    right = [name for _, name in chosen if name not in wrong]
    for verdict, names in (("right", right), ("WRONG", wrong)):
        if names:
            print(f"{verdict}: {', '.join(names)}")
    return 1 if wrong else 0


def _is_right(kernels: ModuleType, family: str, name: str) -> bool:
    for dtype in reversed(dtypes(FAMILIES[family])):  # float64 first: there, only the formula can be wrong
        start = time.perf_counter()
        print(f"{name:<30}{dtype.__name__:<9}", end="", flush=True)
        check = check_kernel(kernels, FAMILIES[family], name, dtype)
        _print_own_row(check, time.perf_counter() - start)
        if check.mistake:
            return False
    return True


def _print_own_row(check: Check, seconds: float) -> None:
    large = f"; left out {check.left_out}, too large for loops" if check.left_out else ""
    if check.mistake:
        print(f"WRONG  after {check.passed} of {check.cases} cases\n\n{check.mistake}\n", flush=True)
    else:
        print(f"right  {check.cases:>3} cases in {seconds:.1f} s{large}", flush=True)
