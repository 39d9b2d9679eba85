"""`atrous verify`: every kernel on this machine against its NumPy reference."""

from __future__ import annotations

import argparse
import time

from atrous.backend import kernels_for
from atrous.verify import FAMILIES, Result, levels, verify

DESCRIPTION = """Checks every kernel on this machine against its reference, a NumPy twin short enough to read.

Each kernel runs over its family's case table at each instruction-set level that this processor has, with each algorithm
that is legal, in float32 and float64, on three memory layouts and on 1, 2 and 3 threads. The reference runs in float64.
The table shows, for the element that came closest to its bound, its error and that bound, which follows from the number
of roundings. Exit code 1 means that a kernel is wrong here: please report it with this output."""


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Adds `verify` and its options to the command line's parser."""
    parser = subparsers.add_parser(
        "verify",
        help="check every kernel against its reference",
        description=DESCRIPTION,
        epilog="example:\n  atrous verify --family conv2d linear",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--family", nargs="+", choices=list(FAMILIES), default=list(FAMILIES), help="families to check (default: all)"
    )
    parser.add_argument("--level", nargs="+", help="instruction-set levels, as `atrous info` names them (default: all)")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Runs the tables and prints a row per kernel, algorithm and dtype for each level; 1 if any kernel failed, else 0.

    Raises:
        ValueError: a level that this machine does not have.
    """
    backend = kernels_for(None)
    available = levels(backend)
    chosen = args.level or available
    for level in chosen:
        if level not in available:
            raise ValueError(f"level {level!r} is not available here; expected one of {', '.join(available)}")
    start = time.perf_counter()
    kernels, failed = set(), 0
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
