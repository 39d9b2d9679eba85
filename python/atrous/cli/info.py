"""``atrous info``: what runs here."""

from __future__ import annotations

import argparse
import os
import platform
import sys
from typing import Any


def add_parser(subparsers: Any) -> None:
    """Adds ``info`` to the command line."""
    parser = subparsers.add_parser(
        "info",
        help="version, CPU level, threads, memory",
        description="Shows what runs here: worth adding to a bug report.",
        epilog="ATROUS_ISA=baseline|v3|v4 forces a lower CPU level; ATROUS_BACKEND=reference runs on NumPy alone.",
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Runs the command."""
    for name, text in rows():
        print(f"{name:<10} {text}")
    return 0


def rows() -> list[tuple[str, str]]:
    """The names and values to show; where the extension cannot be loaded, that says why."""
    import numpy
    from atrous.backend import kernels_for, on_cpu

    import atrous

    found = [("atrous", f"{atrous.__version__}  {os.path.dirname(atrous.__file__)}")]
    found.append(("python", f"{platform.python_version()}  {sys.executable}"))
    found.append(("numpy", numpy.__version__))
    found.append(("platform", platform.platform()))
    kernels = kernels_for(None)
    if on_cpu(kernels):
        levels = ", ".join(kernels.isa_levels())
        found.append(("kernels", f"C++, CPU level {kernels.isa()} (usable here: {levels})"))
        memory = kernels.memory_stats()
        found.append(("threads", f"{kernels.get_num_threads()} of {os.cpu_count()} CPUs"))
        found.append(("pool", f"{memory['current']:,} bytes in use, {memory['pooled']:,} kept for reuse"))
    else:
        found.append(("kernels", "NumPy reference: correct and slow"))
    found.append(("cuda", "no: this build has none"))
    found.append(("memory", machine_memory()))
    return found


def machine_memory() -> str:
    """How much main memory the machine has, where the system says so."""
    try:
        return f"{os.sysconf('SC_PHYS_PAGES') * os.sysconf('SC_PAGE_SIZE') / 2**30:.1f} GiB in this machine"
    except (AttributeError, ValueError, OSError):
        return "unknown"
