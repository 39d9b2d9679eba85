"""The tree keeps its shape: every op family has its files, and all backends have the same functions and arguments."""

import ast
import inspect
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from atrous import reference, verify

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "python" / "atrous"
FAMILIES = sorted(path.stem for path in (ROOT / "csrc" / "kernels").glob("*.h"))
RUNGS = {
    "API": "python/atrous/ops/{}.py",
    "reference": "python/atrous/reference/{}.py",
    "contract": "csrc/kernels/{}.h",
    "CPU kernel": "csrc/kernels/cpu/{}.cpp",
    "CUDA kernel": "csrc/kernels/cuda/{}.cu",
    "binding": "csrc/bindings/{}.cpp",
    "case table": "python/atrous/verify/{}.py",
    "test": "tests/test_{}.py",
    "benchmark": "benchmarks/bench_{}.py",
}
CUBLAS = {"linear"}  # families that on a GPU are NVIDIA's library: Python around it, in place of a kernel

DATA = {"DW.ref.__gxx_personality_v0"}  # a pointer for unwinding, the same in every unit


def test_these_are_the_families():
    assert set(FAMILIES) == set(verify.FAMILIES)


@pytest.mark.parametrize("family", verify.FAMILIES)
@pytest.mark.parametrize("rung", RUNGS)
def test_every_family_has_every_rung(family, rung):
    assert (ROOT / rung_of(rung, family)).is_file(), f"{family} has no {rung}"


def rung_of(rung, family):
    of_python = rung == "CUDA kernel" and family in CUBLAS
    return f"python/atrous/_cuda/{family}.py" if of_python else RUNGS[rung].format(family)


@pytest.mark.parametrize("rung", ["reference", "contract", "CUDA kernel", "binding", "case table"])
def test_no_rung_is_outside_a_family(rung):
    """Files that are no family's: the helpers that these folders share."""
    checks = {"harness", "draw", "halves", "device", "kernels", "student", "guess", "winograd"}
    shared = {"__init__", "array", "epilogue", "values", "capture", "clip"} | checks
    path = ROOT / RUNGS[rung]
    stems = {found.stem for found in path.parent.glob(f"*{path.suffix}")}
    elsewhere = CUBLAS if rung == "CUDA kernel" else set()
    parts = {stem for stem in stems if stem.startswith(("conv2d_", "pool2d_"))}
    assert stems - shared - parts == set(verify.FAMILIES) - elsewhere


@pytest.mark.parametrize("family", verify.FAMILIES)
def test_every_kernel_has_cases(family):
    public = set(functions_in(PACKAGE / "reference" / f"{family}.py"))
    assert public == set(verify.FAMILIES[family].CASES)
    assert public <= set(reference.__all__)


def test_the_stub_declares_the_functions_of_the_reference_with_the_same_arguments():
    declared = functions_in(PACKAGE / "_cpu.pyi")
    kernels = {name: arguments_of(getattr(reference, name)) for name in reference.__all__}
    assert {name: declared.get(name) for name in kernels} == kernels


def test_the_extension_has_the_functions_of_the_stub_with_the_same_arguments(cpu):
    """pybind11 writes each signature into the first line of the docstring."""
    declared = functions_in(PACKAGE / "_cpu.pyi")
    built = {name: getattr(cpu, name) for name in dir(cpu) if not name.startswith("_")}
    assert sorted(built) == sorted(declared)
    assert {name: bound_arguments(function) for name, function in built.items()} == declared


def test_the_cuda_backend_has_the_functions_of_the_reference_with_the_same_arguments(cuda):
    found = {name: getattr(cuda.kernels, name) for name in cuda.kernels.__all__}
    assert sorted(found) == sorted(reference.__all__)
    for name, function in found.items():
        takes = arguments_of(function) if inspect.isfunction(function) else bound_arguments(function)
        assert takes == arguments_of(getattr(reference, name)), name


def test_the_reference_imports_nothing_but_numpy():
    for path in (PACKAGE / "reference").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                assert [alias.name for alias in node.names] == ["numpy"], path
            elif isinstance(node, ast.ImportFrom) and path.stem != "__init__":
                assert node.level == 0, path
                assert node.module == "collections.abc", path


def test_per_level_objects_share_no_code():
    """A weak symbol of a unit compiled for AVX-512 could be the one that the linker keeps for every level."""
    objects = sorted((ROOT / "build").glob("**/kernels_*.dir/**/*.o"))
    if not objects or not shutil.which("nm"):
        pytest.skip("needs nm and the object files of a build in build/")
    weak, exported = [], {}
    for path in objects:
        listing = subprocess.run(["nm", "-C", str(path)], capture_output=True, text=True, check=True).stdout
        symbols = [line[17:].split(" ", 1) for line in listing.splitlines()]
        weak += [f"{path.name}: {name}" for kind, name in symbols if kind in "WVuwv" and name not in DATA]
        exported[path] = {name for kind, name in symbols if kind in "TDBR"}
    assert weak == []
    assert all("<(atrous::Level)" in name for names in exported.values() for name in names), exported


def test_no_binding_returns_while_the_gil_is_released():
    """`return y` of a py::array as a py::object counts a reference, which needs the GIL: its scope ends before."""
    for path in (ROOT / "csrc" / "bindings").glob("**/*.cpp"):
        for scope in re.findall(r"ReleaseGil gil\(.*?^ *}", path.read_text(), re.MULTILINE | re.DOTALL):
            assert "return " not in scope, path.name


def functions_in(path):
    """Public functions of a Python file or stub: each with its argument names, and * for an argument with a default."""
    tree = ast.parse(path.read_text())
    found = (node for node in tree.body if isinstance(node, ast.FunctionDef) and not node.name.startswith("_"))
    return {node.name: marked_arguments(node.args) for node in found}


def marked_arguments(arguments):
    assert arguments.posonlyargs == arguments.kwonlyargs == []
    names = [argument.arg for argument in arguments.args]
    required = len(names) - len(arguments.defaults)
    return names[:required] + [f"{name}*" for name in names[required:]]


def arguments_of(function):
    parameters = inspect.signature(function).parameters.values()
    return [p.name if p.default is inspect.Parameter.empty else f"{p.name}*" for p in parameters]


def bound_arguments(function):
    node = ast.parse(f"def {function.__doc__.splitlines()[0]}: ...").body[0]
    return marked_arguments(node.args)
