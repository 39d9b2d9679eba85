"""The kernels on processors that this machine is not, under qemu: aarch64, and x86-64 without and with AVX2.

Needs qemu-user-static and, for aarch64, g++-aarch64-linux-gnu, pybind11, and the network for CPython and NumPy.
"""

import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from atrous.verify import FAMILIES

pytestmark = pytest.mark.slow
SCRIPT = Path(__file__).with_name("emulated.sh")
SMALL = [name for name in FAMILIES if name != "conv2d"]  # whose table alone takes longer than all others


def needs(*tools):
    missing = [tool for tool in tools if shutil.which(tool) is None]
    return pytest.mark.skipif(bool(missing), reason=f"needs {', '.join(missing)}")


def verify(folder, cpu, *families):
    """The last line of what `atrous verify` prints there; it must pass."""
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"  # the script's python is this one
    command = ["bash", SCRIPT, folder, cpu, "--family", *families]
    run = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "PATH": path})
    assert run.returncode == 0, run.stdout + run.stderr
    return run.stdout.splitlines()[-1]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("aarch64")


@needs("qemu-aarch64-static", "aarch64-linux-gnu-g++", "apt-get", "cmake", "ninja")
@pytest.mark.parametrize("families", [SMALL, ["conv2d"]], ids=["small", "conv2d"])
def test_neon(folder, families):
    pytest.importorskip("pybind11")  # which builds the extension
    assert "within their bounds at neon (" in verify(folder, "aarch64", *families)


@needs("qemu-x86_64-static")
@pytest.mark.skipif(platform.machine() != "x86_64", reason="qemu runs this machine's Python: x86-64 only")
@pytest.mark.parametrize(("cpu", "levels"), [("Nehalem", "x86-64"), ("Haswell", "x86-64-v3, x86-64")])
def test_older_x86(tmp_path, cpu, levels):
    """An instruction that the processor lacks, in code that is not chosen by its level, ends the process."""
    assert f"within their bounds at {levels} (" in verify(tmp_path, cpu, "linear", "activation", "random")
