"""What nvcc makes of the CUDA kernels: no warnings, no spills, and 16 bytes at a time in the loops that move memory."""

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
PLACES = ["/usr/local/cuda/bin", *Path(sysconfig.get_path("purelib")).glob("nvidia/cu*/bin")]  # those of packages, too
SEARCHED = os.pathsep.join([os.environ.get("PATH", os.defpath), *map(str, PLACES)])
NVCC, CUOBJDUMP = shutil.which("nvcc", path=SEARCHED), shutil.which("cuobjdump", path=SEARCHED)
PACK = re.compile(r"\b(ld|st)(\.global)?(\.nc|\.wb)?\.v(4\.[a-z]32|2\.[a-z]64)|\bcp\.async\.cg\b")  # 16 bytes
SINGLE = re.compile(r"\b(ld|st)\.global(\.nc|\.wb)?\.[a-z]16\b")
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
    pytest.mark.skipif(NVCC is None, reason="needs CUDA's nvcc"),
]


def is_for_hopper(source):
    return source.stem.endswith("_hopper")


def compiled(source, *options, architecture="sm_90"):
    how = [
        "-std=c++17",
        "-O3",
        "-fmad=false",
        "-arch=sm_90a" if is_for_hopper(source) else f"-arch={architecture}",
        "-Werror=all-warnings",
        "-Xcompiler=-Wall,-Wextra,-Werror",
    ]
    command = [NVCC, *how, f"-I{ROOT / 'csrc'}", *options, str(source)]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=300)


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


# sm_80, too, where kernels that memory limits hold 8 numbers of 16 bits in every pack.
@pytest.mark.parametrize(
    ("source", "architecture"),
    [(source, "sm_90") for source in SOURCES] + [(source, "sm_80") for source in SOURCES if source.stem in IN_16_BITS],
    ids=lambda part: getattr(part, "stem", part),
)
def test_no_kernel_spills(source, architecture, tmp_path):
    options = ["-cubin", "-Xptxas", "-v", "-o", str(tmp_path / "x.cubin")]
    report = compiled(source, *options, architecture=architecture).stderr
    spills = re.findall(r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads", report)
    assert spills
    assert {numbers[1:] for numbers in spills} == {("0", "0")}
    registers = [int(number) for number in re.findall(r"Used (\d+) registers", report)]
    # 512 threads on a multiprocessor at least; of products of matrices two blocks of 128, with their sums in registers,
    # and on Hopper what each tile's launch bounds allow
    products = is_for_hopper(source) or "conv2d_tiles.h" in source.read_text()
    most = 256 if products else 128
    assert max(registers) <= most


@pytest.mark.parametrize("source", [s for s in SOURCES if s.stem not in UNPACKED], ids=lambda path: path.stem)
def test_memory_moves_16_bytes_at_a_time(source, tmp_path):
    """Of each kernel that has a form for packs of 16 bytes, that form reads or writes such."""
    kernels = ptx_of(source, tmp_path)
    assert any(map(PACK.search, kernels.values())), f"{source.stem}: none of {len(kernels)} kernels"


@pytest.mark.parametrize("stem", IN_16_BITS)
def test_numbers_of_16_bits_move_8_at_a_time(stem, tmp_path):
    """In each kernel for packs of 8 (Li8E in a name, a template's argument), but for the last few of a map."""
    kernels = ptx_of(ROOT / "csrc" / "kernels" / "cuda" / f"{stem}.cu", tmp_path)
    names = [name for name in kernels if "Float16" in name and "Li8E" in name and "Elements" not in name]
    assert {"BFloat16" in name for name in names} == {False, True}
    for name in names:
        assert PACK.search(kernels[name]), name
        assert len(SINGLE.findall(kernels[name])) <= 8, name


def ptx_of(source, folder):
    """The text of each kernel by its name."""
    path = folder / "x.ptx"
    compiled(source, "-ptx", "-o", str(path))
    kernels = re.split(r"\.visible \.entry |\n\t*\.entry ", path.read_text())[1:]
    return {text.split("(")[0]: text for text in kernels}


@pytest.mark.skipif(CUOBJDUMP is None, reason="needs CUDA's cuobjdump")
@pytest.mark.parametrize("name", MACHINE_CODE)
def test_the_machine_code_has_the_instructions_meant(name, tmp_path):
    path = tmp_path / "x.cubin"
    compiled(ROOT / "csrc" / "kernels" / "cuda" / f"{name}.cu", "-cubin", "-o", str(path))
    command = [CUOBJDUMP, "-sass", str(path)]  # which looks for nvdisasm on the path
    environment = {**os.environ, "PATH": SEARCHED}
    code = subprocess.run(command, capture_output=True, text=True, check=True, timeout=300, env=environment)
    assert MACHINE_CODE[name] <= set(re.findall(r"[A-Z]\w+\.[\w.]+", code.stdout))
