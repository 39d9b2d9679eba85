"""``atrous info``: what runs here."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Any

EPILOG = """environment variables:
  ATROUS_ISA=x86-64-v3      a lower CPU level than the best
  ATROUS_BACKEND=reference  NumPy instead of the compiled kernels

Worth adding to a bug report."""


def add_parser(subparsers: Any) -> None:
    """Adds ``info`` to the command line."""
    parser = subparsers.add_parser(
        "info",
        help="version, CPU level, threads, memory",
        description="Shows what runs here: versions, backend, CPU level, threads, memory.",
        epilog=EPILOG,
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Runs the command."""
    import atrous

    print(atrous.show_config())
    print(f"  {'memory':<10} {memory()}")
    print(f"  {'installed':<10} {Path(atrous.__file__).parent}")
    return 0


def memory() -> str:
    """How much main memory the machine has, and how much of it is free, where the system says so."""
    try:
        page = os.sysconf("SC_PAGE_SIZE") / 2**30
        total, free = (os.sysconf(name) * page for name in ("SC_PHYS_PAGES", "SC_AVPHYS_PAGES"))
    except (AttributeError, ValueError, OSError):
        return "unknown"
    return f"{total:.1f} GiB, {free:.1f} GiB free"
