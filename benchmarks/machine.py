"""The machine that a benchmark ran on: names, versions, and its measured peaks."""

import contextlib
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


class Others:
    """Watches how many cores work for others than this process, from its making until it is asked."""

    def __init__(self) -> None:
        self.start = self._now()

    def cores(self) -> float:
        """Their mean number; 0 where the system does not say."""
        wall, own, busy = (now - then for now, then in zip(self._now(), self.start, strict=True))
        return max(0.0, (busy - own) / wall)

    @staticmethod
    def _now() -> tuple[float, float, float]:
        """Seconds by the clock, of this process on any core, and of all processes on all cores."""
        own, busy = time.process_time(), 0.0
        with contextlib.suppress(OSError, ValueError):
            ticks = [int(number) for number in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
            idle = ticks[3] + ticks[4]  # user, nice, system, idle, waiting for a disk, two of interrupts, stolen
            busy = (sum(ticks) - idle) / os.sysconf("SC_CLK_TCK")
        return time.perf_counter(), own, busy


def busy_cores() -> float:
    """How many cores others use just now."""
    others = Others()
    time.sleep(0.3)
    return others.cores()


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
