"""The machine that a benchmark ran on: names, versions, and its measured peaks (by `machine.cpp`)."""

import atexit
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from atrous import _cpu

SOURCE = Path(__file__).with_name("machine.cpp")
FLAGS = ["-O3", "-march=native", "-ffp-contract=fast", "-pthread"]


def describe() -> dict[str, Any]:
    """Names and versions of what the figures depend on."""
    return {
        "cpu": _cpu_name(),
        "cores": cores(),
        "load": os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0,
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "isa": _cpu.isa(),
        **{name: _version(name) for name in ("atrous", "numpy", "torch")},
    }


def cores() -> int:
    """The cores that this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def peaks(threads: int) -> dict[str, float | None]:
    """fma_gflops, copy_gbs and ping_pong_ns as machine.cpp measures them; empty where there is no C++ compiler."""
    return _measure(str(threads))


def ping_pong() -> float | None:
    """ping_pong_ns alone: cores are sometimes near and sometimes far, and that changes while a benchmark runs."""
    return _measure("ping-pong").get("ping_pong_ns")


def _measure(argument: str) -> dict[str, float | None]:
    try:
        run = subprocess.run([_program(), argument], check=True, capture_output=True, text=True, timeout=60)
    except (OSError, subprocess.SubprocessError) as error:
        print(f"the machine's peaks are not measured: {error}", file=sys.stderr)
        return {}
    return json.loads(run.stdout)


@cache
def _program() -> str:
    folder = tempfile.mkdtemp()
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    program = str(Path(folder, "machine"))
    compiler = os.environ.get("CXX", "c++").split()
    subprocess.run([*compiler, *FLAGS, str(SOURCE), "-o", program], check=True)
    return program


def _cpu_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
