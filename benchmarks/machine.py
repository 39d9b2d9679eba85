"""The machine that a benchmark ran on: names, versions, and its measured peaks."""

import os
import platform
import subprocess
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from atrous import _cpu


def describe() -> dict[str, Any]:
    """Names and versions of what the figures depend on."""
    return {
        "cpu": _cpu_name(),
        "cores": cores(),
        "load": busy_cores(),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "isa": _cpu.isa(),
        "commit": _commit(),
        **{name: _version(name) for name in ("atrous", "numpy", "torch", "onnxruntime")},
    }


def cores() -> int:
    """The cores that this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def busy_cores(seconds: float = 0.3) -> float:
    """How many cores are busy now, with others' work as long as this process only waits; 0 where nobody knows."""

    def ticks() -> list[int]:
        return [int(number) for number in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]

    try:
        before = ticks()
        time.sleep(seconds)
        spent = [after - start for after, start in zip(ticks(), before, strict=True)]
    except (OSError, ValueError):
        return 0.0
    idle = spent[3] + spent[4]  # user, nice, system, idle, waiting for a disk, two kinds of interrupts, stolen
    return cores() * (1 - idle / (sum(spent) or 1))


def peaks(threads: int) -> dict[str, float | None]:
    """fma_gflops at the level in force, copy_gbs and core_to_core_ns, as the compiled module measures them."""
    measured = {"fma_gflops": _cpu.peak_fma_gflops(threads), "copy_gbs": _cpu.peak_copy_gbs(threads)}
    return {**measured, "core_to_core_ns": core_to_core()}


def core_to_core() -> float | None:
    """Cores are sometimes near and sometimes far, and that changes while a benchmark runs. None where there is one."""
    return _cpu.core_to_core_ns() or None


def _cpu_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def _commit() -> str | None:
    """The checkout's commit, with "+" where files differ from it; None outside of one."""
    command = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty=+"]
    try:
        return subprocess.run(command, check=True, capture_output=True, text=True, timeout=10).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
