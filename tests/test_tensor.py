"""What a Tensor is to the rest of Python: made from and turned into other things, printed, compared, configured."""

import os
import subprocess
import sys
import threading

import numpy as np
import pytest

import atrous as at
from atrous import config, layout, memory
from atrous.backend import array_module, backend_name, kernels_for

# Creation


@pytest.mark.parametrize(
    ("data", "dtype", "values"),
    [
        (1, "int64", 1),
        (1.5, "float32", 1.5),
        (True, "bool", True),
        ([1, 2.5], "float32", [1.0, 2.5]),
        ([], "float32", []),
        ([[], []], "float32", [[], []]),
        (((1, 2), [3, 4]), "int64", [[1, 2], [3, 4]]),
        (np.arange(2, dtype="int16"), "int16", [0, 1]),
        (np.float64(2), "float64", 2.0),
        ([np.float64(2)], "float64", [2.0]),
        (np.arange(2, dtype=">f4"), "float32", [0.0, 1.0]),
        ([at.tensor([1, 2]), at.tensor([3, 4])], "int64", [[1, 2], [3, 4]]),
        (range(3), "int64", [0, 1, 2]),
    ],
    ids=repr,
)
def test_tensor_finds_the_dtype(data, dtype, values):
    x = at.tensor(data)
    assert str(x.dtype) == dtype
    assert x.tolist() == values
    assert not x.requires_grad


def test_tensor_copies():
    array = np.zeros(2, np.float32)
    for source in (array, at.from_numpy(array)):
        x = at.tensor(source)
        x[0] = 5
        assert array.tolist() == [0.0, 0.0]
    assert at.tensor([0.1], dtype=at.float64).item() == 0.1  # not by way of float32
    assert at.tensor([1.9], dtype=at.int64).tolist() == [1]
    assert at.tensor(at.ones(1, requires_grad=True)).requires_grad is False


def test_as_tensor_shares():
    array = np.zeros(2)
    x = at.tensor([1.0])
    assert at.as_tensor(x) is x
    assert np.shares_memory(at.as_tensor(array).data, array)
    assert at.as_tensor(array, dtype=at.float32).dtype == at.float32
    like = at.ones(1, dtype=at.float64)
    assert at.as_tensor(2.0, like=like).dtype == at.as_tensor([1, 2], like=like).dtype == at.float64
    assert at.as_tensor(2.5, like=at.arange(2)).dtype == at.float32
    assert at.as_tensor(np.float64(2.5), like=at.ones(1)).dtype == at.float32
    assert at.as_tensor(np.ones(1), like=at.ones(1)).dtype == at.float64


def test_from_numpy_and_numpy_share_memory():
    array = np.zeros((2, 3), np.float32)
    x = at.from_numpy(array)
    x += 1
    array[0, 0] = 7
    assert x.tolist() == array.tolist() == [[7, 1, 1], [1, 1, 1]]
    assert x.numpy() is array
    assert np.asarray(x) is not None
    assert np.shares_memory(np.asarray(x), array)
    assert not np.shares_memory(np.array(x), array)
    assert np.asarray(x, dtype="float64").dtype == np.float64
    for wrong, message in (([1.0], "not list"), (np.zeros(1, "complex64"), "complex64"), (np.zeros(1, ">f4"), ">f4")):
        with pytest.raises(TypeError, match=message):
            at.from_numpy(wrong)
    frozen = np.broadcast_to(np.float32(0), 3)
    with pytest.raises(RuntimeError, match="add_: the memory is read-only"):
        at.from_numpy(frozen).add_(1)


def test_dlpack():
    x = at.arange(6.0).reshape(2, 3)
    assert np.shares_memory(np.from_dlpack(x), x.data)
    assert x.__dlpack_device__()[0] == 1
    array = np.arange(3)
    assert np.shares_memory(at.from_dlpack(array).data, array)


def test_pytorch_tensors_come_and_go():
    torch = pytest.importorskip("torch")
    theirs = torch.arange(6.0).reshape(2, 3)
    ours = at.from_dlpack(theirs)
    ours.data[0, 0] = 9
    assert theirs[0, 0] == 9
    assert torch.from_dlpack(at.ones(2)).tolist() == [1.0, 1.0]
    assert at.as_tensor(theirs).tolist() == theirs.tolist()
    assert at.tensor(theirs.double()).dtype == at.float64


def test_creation():
    assert at.zeros((2, 3)).shape == at.zeros(2, 3).shape == at.zeros([2, 3]).shape == (2, 3)
    assert at.zeros(()).shape == at.zeros().shape == ()
    assert at.full(2, 1.5).tolist() == at.full((2,), at.tensor(1.5)).tolist() == [1.5, 1.5]
    assert at.full((2,), 1, dtype=at.float32).dtype == at.float32
    assert at.arange(0.5, 2, 0.5).tolist() == [0.5, 1.0, 1.5]
    assert at.arange(3, dtype=at.float64).dtype == at.float64
    assert at.arange(10**15, 10**15 + 2).tolist() == [10**15, 10**15 + 1]
    assert at.linspace(0, 1, 1).tolist() == [0.0]
    assert at.ones(2, requires_grad=True).requires_grad
    assert at.zeros(2, device="cpu").device == "cpu"
    assert at.empty_like(at.ones(2, 3, dtype=at.int32)).dtype == at.int32


# Python


def test_attributes():
    x = at.ones(2, 3, dtype=at.float64)
    assert (x.shape, x.size(), x.size(-1), x.ndim, x.dim(), x.numel(), len(x)) == ((2, 3), (2, 3), 3, 2, 2, 6, 2)
    assert (x.itemsize, x.element_size(), x.nbytes, x.stride(), x.stride(1)) == (8, 8, 48, (3, 1), 1)
    assert x.is_floating_point()
    assert not x.long().is_floating_point()
    assert (x.is_leaf, x.grad_fn, x.grad, x.device) == (True, None, None, "cpu")
    with pytest.raises(AttributeError):
        x.colour = "red"
    with pytest.raises(TypeError, match="expected an array, not list"):
        at.Tensor([1.0])


def test_numbers():
    x = at.tensor([[2.5]])
    assert (x.item(), float(x), int(x), bool(x)) == (2.5, 2.5, 2, True)
    assert f"{at.tensor(2.5):.2f}" == "2.50"
    assert f"{at.tensor([2.5])}" == "tensor([2.5000])"
    assert [10, 20, 30][at.tensor(1)] == 20
    assert list(range(3))[: at.tensor([2])] == [0, 1]
    assert isinstance(at.ones(1).sum().item(), float)
    assert isinstance(at.ones(1).sum().data, np.ndarray)  # not NumPy's scalar


def test_sequences():
    x = at.arange(6).reshape(3, 2)
    assert [row.tolist() for row in x] == [[0, 1], [2, 3], [4, 5]]
    a, b, _ = x
    assert (a + b).tolist() == [2, 4]
    assert 5 in x
    assert 6 not in x
    assert at.tensor(5) in x


def test_comparison():
    x = at.tensor([1.0, 2.0])
    assert (x == at.tensor([1, 3])).tolist() == [True, False]
    assert (x == [1, 3]).tolist() == (np.array([1, 3]) == x).tolist() == [True, False]
    assert (x != 1).tolist() == [False, True]
    assert (x == None) is False  # noqa: E711
    assert (x != "a") is True
    assert (np.float32(1.5) < x).tolist() == [False, True]
    assert len({x, x.detach(), x}) == 2  # hashed by identity
    assert at.equal(x, at.tensor([1.0, 2.0]))
    assert not x.equal(at.tensor([1.0]))
    assert x.allclose(x + 1e-7)


def test_the_left_operand_may_be_numpys():
    x = at.ones(2, requires_grad=True)
    row = np.ones((1, 2), np.float32)
    for y in (row * x, np.float32(2) - x, row / x, 2**x, row @ x, row + x):
        assert isinstance(y, at.Tensor)
        assert y.requires_grad


REPRS = [
    lambda t: t.tensor([1.0, 2.0]),
    lambda t: t.tensor([1.0, 2.5]),
    lambda t: t.tensor([-1.0, 22.5]),
    lambda t: t.tensor([[1, 2], [30, -4]]),
    lambda t: t.tensor([True, False]),
    lambda t: t.tensor(3.14159),
    lambda t: t.tensor(3),
    lambda t: t.tensor([]),
    lambda t: t.zeros(0, 3),
    lambda t: t.tensor([1.0, float("nan"), float("inf")]),
    lambda t: t.tensor([1.5, float("nan"), float("-inf")]),
    lambda t: t.tensor([1e-6, 1.0]),
    lambda t: t.tensor([1e9, 1.5]),
    lambda t: t.tensor([1e-5]),
    lambda t: t.tensor([100000.5, 200.25]),
    lambda t: t.tensor([[[1.0, 2.0], [3.0, 4.0]], [[5.0, 6.0], [7.0, 8.5]]]),
    lambda t: t.arange(2000),
    lambda t: t.arange(2000.0).reshape(40, 50),
    lambda t: t.arange(40),
    lambda t: t.linspace(0, 1, 30),
    lambda t: t.ones(2, requires_grad=True),
    lambda t: t.zeros(3),
    lambda t: t.tensor([0.0, 1e-5, -3.0]),
    lambda t: t.tensor([-0.0, float("nan")]),
    lambda t: t.tensor([[1.0, -20.0], [300.0, float("nan")]]),
    lambda t: t.tensor(-7.0),
    lambda t: t.arange(1200).reshape(2, 3, 200),
]


@pytest.mark.parametrize("make", REPRS)
def test_repr_is_pytorchs(make):
    torch = pytest.importorskip("torch")
    assert repr(make(at)) == repr(make(torch))


def test_repr_of_other_dtypes_and_of_results():
    assert repr(at.ones(2, dtype=at.float64)) == "tensor([1., 1.], dtype=float64)"
    assert repr(at.ones(1, dtype=at.int32)) == "tensor([1], dtype=int32)"
    assert repr(at.ones(1, requires_grad=True) * 2) == "tensor([2.], grad_fn=<MulBackward>)"


# The array library, the backend, the configuration


def test_array_module():
    class Namespace:
        pass

    class Stranger:
        def __array_namespace__(self):
            return Namespace

    assert array_module(np.zeros(1)) is np
    assert array_module(np.float32(1)) is np
    assert array_module(at.ones(1)) is np
    assert array_module(Stranger()) is Namespace
    assert array_module(at.Tensor(Stranger())) is Namespace


def test_backend_is_a_choice_of_the_thread():
    pytest.importorskip("atrous._cpu")
    outside = backend_name()
    names = []
    with at.backend("reference"):
        thread = threading.Thread(target=lambda: names.append(backend_name()))
        thread.start()
        thread.join()
        with at.backend("cpu"):
            assert kernels_for(at.ones(1)).__name__ == "atrous._cpu"
        assert backend_name() == "reference"
    assert names == [outside] == [backend_name()]
    with pytest.raises(KeyError), at.backend("reference"):
        raise KeyError
    assert backend_name() == outside


@pytest.mark.parametrize(
    ("name", "error", "message"),
    [("tpu", ValueError, "backend 'tpu' does not exist; expected"), ("cuda", RuntimeError, r"x\.to\('cuda'\)")],
)
def test_backends_we_lack(name, error, message):
    with pytest.raises(error, match=message), at.backend(name):
        pass


def run(code, **environment):
    env = {**os.environ, **environment}
    return subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, timeout=60)


BROKEN = "import sys; sys.modules['atrous._cpu'] = None; import atrous as at; "


def test_a_missing_extension_is_an_error_with_its_cause_and_never_a_fallback():
    result = run(BROKEN + "at.ones(2, 3) @ at.ones(3, 2)", ATROUS_BACKEND="")
    assert result.returncode == 1
    last = result.stderr.splitlines()[-1]
    assert last.startswith("ImportError: atrous: the compiled extension atrous._cpu cannot be loaded (")
    assert "ATROUS_BACKEND=reference" in last
    assert run(BROKEN + "at.ones(2, 3) @ at.ones(3, 2)", ATROUS_BACKEND="reference").returncode == 0
    assert "expected 'cpu'" in run("import atrous as at; at.rand(2)", ATROUS_BACKEND="gpu").stderr
    shown = run(BROKEN + "print(at.show_config())", ATROUS_BACKEND="reference")
    assert "not loaded" in shown.stdout


def test_import_is_light():
    modules = "import sys; import numpy; before = set(sys.modules); import atrous; print(*set(sys.modules) - before)"
    loaded = run(modules).stdout.split()
    heavy = {"matplotlib", "PIL", "rich", "torch", "scipy", "sklearn", "multiprocessing", "importlib.metadata"}
    assert not heavy.intersection(loaded)
    assert "atrous.training" not in loaded


def test_configuration():
    before = at.get_num_threads()
    at.set_num_threads(before)
    assert at.get_num_threads() == before
    for wrong in (0, -1):
        with pytest.raises(ValueError, match=f"set_num_threads: n is {wrong}"):
            at.set_num_threads(wrong)
    shown = config.show_config()
    for word in ("atrous ", "python", "numpy", "backend"):
        assert word in shown
    with at.backend("reference"):
        at.set_num_threads(3)
        assert at.get_num_threads() == 1


def test_large_results_come_from_the_pool():
    pytest.importorskip("atrous._cpu")
    with at.backend("cpu"):
        before = memory.current()
        x = at.ones(1 << 10, 1 << 10) + 1
        assert memory.current() - before >= x.nbytes
        y = x.exp()
        assert memory.current() - before >= x.nbytes + y.nbytes
        assert memory.peak() >= memory.current()
        del x, y
        assert memory.current() == before
        memory.reset_peak()
        memory.empty_cache()
        memory.set_limit(None)
        assert set(memory.stats()) >= {"current", "peak"}
    with at.backend("reference"):
        small = at.ones(1 << 10, 1 << 10) + 1
        assert small.data.base is None
        assert memory.current() == before


def test_numpy_warns_of_nothing():
    """As PyTorch: 1 / 0 is inf, in silence; the caller's own NumPy settings are left alone."""
    before = np.geterr()
    x = at.zeros(3, requires_grad=True)
    (1 / x + x.log() + (x - 1).sqrt() + at.full((3,), 1e38) * 1e38 + x / x).sum().backward()
    assert np.geterr() == before
    with pytest.warns(RuntimeWarning):
        np.ones(1) / np.zeros(1)


def test_layout_of_created_maps():
    assert layout.is_channels_last(layout.channels_last(at.randn(2, 3, 4, 5).data))
