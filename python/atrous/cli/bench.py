"""``atrous bench``: runs the benchmarks of a source checkout."""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path
from typing import Any

from atrous.cli.arguments import suggestion

EXAMPLES = """examples:
  atrous bench                every family, one after the other
  atrous bench conv2d         one family
  atrous bench --quick        fewer shapes and repetitions

The benchmarks belong to the source, not to the installed package: run this inside a checkout."""


def add_parser(subparsers: Any) -> None:
    """Adds ``bench`` to the command line."""
    parser = subparsers.add_parser(
        "bench",
        help="time the kernels against NumPy and PyTorch",
        description="Runs benchmarks/bench_<family>.py: each verifies, then times atrous beside NumPy and PyTorch.",
        epilog=EXAMPLES,
    )
    parser.add_argument("family", nargs="?", metavar="FAMILY", help="such as conv2d; all where none is named")
    parser.add_argument("--quick", action="store_true", help="fewer shapes and repetitions")
    parser.set_defaults(run=run, parser=parser)


def run(args: argparse.Namespace) -> int:
    """Runs each benchmark in a process of its own, so that none inherits another's memory and threads.

    Raises:
        FileNotFoundError: there is no checkout here.
    """
    scripts = find_benchmarks(Path.cwd())
    if args.family is not None and args.family not in scripts:
        near = suggestion(args.family, scripts) or f"; there are {', '.join(scripts)}"
        args.parser.error(f"no benchmark {args.family!r}{near}")
    failed = []
    for family in [args.family] if args.family else scripts:
        command = [sys.executable, str(scripts[family]), *(["--quick"] if args.quick else [])]
        if subprocess.run(command, check=False).returncode != 0:
            failed.append(family)
    if failed:
        raise RuntimeError(f"failed: {', '.join(failed)}")
    return 0


def find_benchmarks(here: Path) -> dict[str, Path]:
    """The scripts by family, from ``here`` or a folder above it, else from the checkout that this package runs from.

    Raises:
        FileNotFoundError: there are none.
    """
    checkout = Path(__file__).resolve().parents[3]  # <checkout>/python/atrous/cli/bench.py
    for root in (here, *here.parents, checkout):
        scripts = sorted((root / "benchmarks").glob("bench_*.py"))
        if scripts and (root / "python" / "atrous").is_dir():
            return {script.stem.removeprefix("bench_"): script for script in scripts}
    raise FileNotFoundError(f"no benchmarks/bench_*.py in {here} or above it; run this inside a checkout of atrous")
