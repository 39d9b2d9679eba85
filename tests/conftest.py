"""What the tests of several families share: the backends, the levels, and the run of a family's case table."""

import importlib
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import cuda_on_cpu
import hypothesis
import pytest
from fusion_nets import watched

from atrous import fusion, gpu, reference, verify

try:
    from atrous import _cpu
except ImportError:
    if os.environ.get("ATROUS_BACKEND") != "reference":  # without it, tests of kernels would be skipped in silence
        raise
    _cpu = None

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # a shell's background job, whose children would ignore it, too
    signal.signal(signal.SIGINT, signal.default_int_handler)

hypothesis.settings.register_profile(
    "atrous", max_examples=30, deadline=None, derandomize=True, database=None, print_blob=False
)
hypothesis.settings.load_profile("atrous")

_cuda = cuda_on_cpu.load()
BACKENDS = {"reference": reference} | ({"cpu": _cpu} if _cpu else {}) | ({"cuda": _cuda} if _cuda else {})
LEVELS = [(name, level) for name, kernels in BACKENDS.items() for level in verify.levels(kernels)]


@pytest.fixture(scope="session", params=list(BACKENDS))
def backend(request):
    """Each backend module in turn."""
    return BACKENDS[request.param]


@pytest.fixture(scope="session")
def cpu():
    """The compiled backend."""
    if _cpu is None:
        pytest.skip("ATROUS_BACKEND=reference: the compiled backend is not tested")
    return _cpu


@pytest.fixture(scope="session")
def cuda():
    """The CUDA backend for NumPy's arrays: on a GPU, or built to run on the CPU."""
    if _cuda is None:
        pytest.skip("no GPU, and no build of the CUDA backend that runs on the CPU (see tests/cuda_on_cpu)")
    return _cuda


@pytest.fixture
def torch():
    """PyTorch."""
    return pytest.importorskip("torch")


@pytest.fixture
def device_at_hand(request):
    """The CUDA backend, where a test wants that device."""
    if getattr(request.node, "callspec", None) and request.node.callspec.params.get("device") == "cuda":
        request.getfixturevalue("cuda")


@pytest.fixture
def foreign(monkeypatch):
    """The array library of tests/cuda_on_cpu, with no kernels for it."""
    module = cuda_on_cpu.stand_in()
    monkeypatch.setattr(gpu, "cupy", module)
    monkeypatch.setattr(gpu, "ndarray", module.ndarray)
    monkeypatch.setattr(gpu, "kernels", None)
    return module


@pytest.fixture(params=LEVELS, ids="-".join)
def check(request) -> Callable[[str, str], None]:
    """check(family, function): runs the case table on one backend and level, with every algorithm and dtype."""
    name, level = request.param

    def run(family: str, function: str) -> None:
        backend, table = BACKENDS[name], verify.FAMILIES[family]
        with verify.at_level(backend, level):
            for algorithm, dtype in verify.checks(backend, table, function):
                result = verify.check_function(backend, table, function, dtype, level, algorithm)
                assert result.cases > 0
                assert not result.failures, "\n".join([result.dtype, *map(str, result.failures)])

    return run


@pytest.fixture
def everything_waits(monkeypatch):
    """Fusion of arrays however small, as those of tests are; and afterwards nothing waits."""
    monkeypatch.setattr(fusion, "SMALLEST", 0)
    monkeypatch.setattr(sys.modules["atrous.ops.elementwise"], "LARGE", 0)
    yield
    assert not fusion.current.running
    assert all(reference() is None or reference()._pending is None for reference in fusion.current.waiting)


@pytest.fixture
def spy(backend, monkeypatch):
    """Counts the kernels that run, of each backend in turn."""
    return watched(backend, monkeypatch)


@pytest.fixture
def load(cpu, monkeypatch):
    """load(name) imports a file of benchmarks/, afresh in each test."""
    folder = Path(__file__).resolve().parents[1] / "benchmarks"
    monkeypatch.syspath_prepend(str(folder))
    ours = {path.stem for path in folder.glob("*.py")}
    yield importlib.import_module
    for name in ours & set(sys.modules):
        del sys.modules[name]
