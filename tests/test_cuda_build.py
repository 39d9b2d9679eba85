"""What nvcc has made of the CUDA kernels in build/: no spills, the instructions of the matrix units, and 16 bytes at a
time in the loops that move memory.

    cmake -S . -B build -G Ninja -DATROUS_CUDA=ON -DATROUS_WERROR=ON && cmake --build build --target _cuda

NVIDIA's cuobjdump reads it: of CUDA's toolkit, or `pip install nvidia-cuda-cuobjdump nvidia-cuda-nvdisasm`.
"""

import functools
import os
import re
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

import atrous

ROOT = Path(__file__).resolve().parent.parent
SOURCES = sorted((ROOT / "csrc" / "kernels" / "cuda").glob("*.cu"))
OBJECTS = {path.name.removesuffix(".cu.o"): path for path in (ROOT / "build" / "CMakeFiles").glob("*/csrc/**/*.cu.o")}
PLACES = ["/usr/local/cuda/bin", *Path(sysconfig.get_path("purelib")).glob("nvidia/cu*/bin")]  # those of packages, too
SEARCHED = os.pathsep.join([os.environ.get("PATH", os.defpath), *map(str, PLACES)])
CUOBJDUMP = shutil.which("cuobjdump", path=SEARCHED)
PACK = re.compile(r"\b(LDG?|STG?|LDGSTS)\.E(\.\w+)*\.128\b")  # 16 bytes
SINGLE = re.compile(r"\b(LDG?|STG?)\.E(\.\w+)*\.[US]16\b")
UNPACKED = {"values", "capture"}  # look at single numbers, or store few bytes
# Have kernels that memory limits, for numbers of 16 bits.
IN_16_BITS = ["activation", "batch_norm", "conv2d_depthwise", "conv2d_depthwise_weight", "elementwise", "pool2d"]
IN_16_BITS += ["pool2d_windows", "upsample2d"]
# The instructions of the matrix units, and the copy engine's of pixels.
HALVES = {"HMMA.16816.F32", "HMMA.16816.F32.BF16"}  # of float16 and bfloat16
MACHINE_CODE = {
    "conv2d_forward": {"HMMA.1688.F32.TF32"} | HALVES,
    "conv2d_backward_input": {"HMMA.1688.F32.TF32"} | HALVES,
    "conv2d_backward_weight": {"HMMA.1688.F32.TF32"} | HALVES,
    "conv2d_grouped": {"HMMA.1688.F32.TF32"} | HALVES,
    "conv2d_grouped_weight": {"HMMA.1688.F32.TF32"} | HALVES,
    "conv2d_hopper": {
        f"HGMMA.64x{columns}x{kind}" for columns in (64, 128, 256) for kind in ("8.F32.TF32", "16.F32", "16.F32.BF16")
    }
    | {"UTMALDG.3D", "UTMALDG.4D.IM2COL"},
    "conv2d_backward_weight_hopper": {"HMMA.1688.F32.TF32", "UTMALDG.3D", "UTMALDG.4D.IM2COL"},
    "conv2d_backward_weight_half_hopper": {
        f"HGMMA.64x{columns}x{kind}" for columns in (64, 128, 256) for kind in ("16.F32", "16.F32.BF16")
    }
    | {"UTMALDG.3D", "UTMALDG.4D.IM2COL"},
}

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not OBJECTS, reason="nvcc has built nothing in build/"),
    pytest.mark.skipif(CUOBJDUMP is None, reason="needs CUDA's cuobjdump"),
]


def looked_at(stem, *options):
    """What cuobjdump says of a source."""
    command = [CUOBJDUMP, *options, str(OBJECTS[stem])]  # which looks for nvdisasm on the path
    environment = {**os.environ, "PATH": SEARCHED}
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=300, env=environment).stdout


@functools.cache
def machine_code(stem):
    """Each kernel's for compute capability 9.0, by its name."""
    architecture = "sm_90a" if stem.endswith("_hopper") else "sm_90"
    kernels = looked_at(stem, "-sass", "-arch", architecture).split("Function : ")[1:]
    return {text.split("\n")[0]: text for text in kernels}


def test_the_module_loads_where_there_is_neither_a_gpu_nor_cupy():
    """In a process of its own: the tests may have loaded the module that runs on the CPU."""
    places = [Path(atrous.__file__).parent, ROOT / "python" / "atrous"]
    built = [path for place in places for path in (place / "_cuda").glob("compiled*.so")]
    if not built:
        pytest.skip("neither this installation nor this tree was built with CUDA")
    code = f"import importlib.util as u; s = u.spec_from_file_location('compiled', {str(built[0])!r}); "
    code += "m = u.module_from_spec(s); s.loader.exec_module(m); print(m.build_info()['architectures'])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert {"75-real", "80-real", "90-real", "90a-real", "90-virtual"} <= set(found.stdout.split())


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.stem)
def test_no_kernel_spills(source):
    """For no architecture."""
    usage = looked_at(source.stem, "-res-usage")
    assert set(re.findall(r"(?:STACK|LOCAL):\d+", usage)) == {"STACK:0", "LOCAL:0"}
    # 512 threads on a multiprocessor at least; of products of matrices two blocks of 128, with their sums in registers,
    # and on Hopper what each tile's launch bounds allow
    products = source.stem.endswith("_hopper") or "conv2d_tiles.h" in source.read_text()
    assert max(map(int, re.findall(r"REG:(\d+)", usage))) <= (256 if products else 128)


@pytest.mark.parametrize("stem", [source.stem for source in SOURCES if source.stem not in UNPACKED])
def test_memory_moves_16_bytes_at_a_time(stem):
    """Of each kernel that has a form for packs of 16 bytes, that form reads or writes such."""
    kernels = machine_code(stem)
    assert any(map(PACK.search, kernels.values())), f"none of {len(kernels)} kernels"


@pytest.mark.parametrize("stem", IN_16_BITS)
def test_numbers_of_16_bits_move_8_at_a_time(stem):
    """In each kernel for packs of 8 (Li8E in a name, a template's argument), but for the last few of a map."""
    kernels = machine_code(stem)
    names = [name for name in kernels if "Float16" in name and "Li8E" in name and "Elements" not in name]
    assert {"BFloat16" in name for name in names} == {False, True}
    for name in names:
        assert PACK.search(kernels[name]), name
        assert len(SINGLE.findall(kernels[name])) <= 8, name


@pytest.mark.parametrize("stem", MACHINE_CODE)
def test_the_machine_code_has_the_instructions_meant(stem):
    assert MACHINE_CODE[stem] <= set(re.findall(r"[A-Z]\w+\.[\w.]+", "".join(machine_code(stem).values())))
