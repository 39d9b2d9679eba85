"""Tensors, modules, optimizers and training on a GPU, or on the CPU that stands in for one; and where there is none."""

import copy
import pickle
import sys
import types

import numpy as np
import pytest

import atrous as at
from atrous import gpu, nn, optim
from atrous.data import DataLoader, TensorDataset
from atrous.layout import conversions
from atrous.nn import functional as F
from atrous.training import Trainer


def fake_cupy(count=1, driver=13000, capability=(9, 0), error=None, status=35):
    """As much of CuPy as tells what a machine has."""

    class CUDARuntimeError(RuntimeError):
        pass

    CUDARuntimeError.status = status

    def get_device_count():
        if error:
            raise CUDARuntimeError(error)
        return count

    runtime = types.SimpleNamespace(
        CUDARuntimeError=CUDARuntimeError,
        getDeviceCount=get_device_count,
        getDevice=lambda: 0,
        driverGetVersion=lambda: driver,
        runtimeGetVersion=lambda: 13020,
        getDeviceProperties=lambda _: {"name": b"Tesla", "major": capability[0], "minor": capability[1]},
    )
    return types.SimpleNamespace(cuda=types.SimpleNamespace(runtime=runtime))


@pytest.fixture
def machine(monkeypatch):
    """machine(cupy): as if nothing of CUDA had been loaded, with this module in CuPy's place (None: without any)."""

    def set_up(cupy):
        monkeypatch.setattr(gpu, "cupy", None)
        monkeypatch.setattr(gpu, "kernels", None)
        monkeypatch.setitem(sys.modules, "cupy", cupy)
        monkeypatch.setitem(sys.modules, "atrous._cuda", None)

    return set_up


@pytest.mark.parametrize(
    ("cupy", "message"),
    [
        (None, r"CuPy cannot be imported .* pip install 'cupy-cuda13x\[ctk\]'"),
        (fake_cupy(driver=0, error="cudaErrorInsufficientDriver"), "no NVIDIA driver is loaded"),
        (fake_cupy(driver=12040, error="cudaErrorInsufficientDriver"), r"supports CUDA 12\.4; the .* needs 13\.2"),
        (fake_cupy(count=0), "finds no GPU"),
        (fake_cupy(error="cudaErrorNoDevice", status=100), "finds no GPU .* CUDA_VISIBLE_DEVICES may hide it"),
        (fake_cupy(capability=(6, 1)), r"Tesla has compute capability 6\.1; atrous has code for 7\.5 and newer"),
        (fake_cupy(), "this build of atrous has no CUDA kernels"),
    ],
)
def test_what_is_missing_is_named(machine, cupy, message):
    machine(cupy)
    assert not at.cuda.is_available()
    assert at.cuda.device_count() == 0
    x = at.ones(2)
    for use in (lambda: x.to("cuda"), lambda: at.zeros(2, device="cuda:0"), lambda: nn.Linear(2, 2).cuda()):
        with pytest.raises(RuntimeError, match=f"(?s){message}"):
            use()
    assert (x + 1).tolist() == [2.0, 2.0]  # and the process goes on


@pytest.mark.parametrize("device", ["gpu", "cuda:-1", "cuda:x", "cpu:1", "", 0])
def test_a_device_that_does_not_exist(device):
    with pytest.raises(ValueError, match=f"to: device '{device}' does not exist; expected 'cpu' or 'cuda'"):
        at.ones(2).to(device=device)


@pytest.mark.usefixtures("cuda")
class TestTensors:
    def test_there_and_back_in_the_same_memory_order(self):
        for array in (np.arange(120.0).reshape(2, 3, 4, 5), np.zeros((2, 4, 5, 3)).transpose(0, 3, 1, 2), np.ones(())):
            x = at.from_numpy(array).to("cuda")
            assert x.device == "cuda:0"
            assert x.shape == array.shape
            assert x.data.strides == array.strides
            back = x.cpu()
            assert back.device == "cpu"
            assert back.data.strides == array.strides
            assert np.array_equal(back.numpy(), array)

    def test_to_is_itself_where_nothing_changes(self):
        x = at.ones(2)
        assert x.to("cpu") is x
        there = x.cuda()
        assert there.cuda() is there
        assert there.to("cuda:0", at.float32) is there
        assert there.to(at.float64).device == "cuda:0"
        assert x.to(there.double()).dtype == at.float64

    def test_new_tensors(self):
        made = [at.zeros(2, device="cuda"), at.full((2,), 3, device="cuda"), at.arange(2, device="cuda")]
        made += [at.tensor([1, 2], device="cuda"), at.rand(2, device="cuda"), at.randperm(2, device="cuda")]
        made += [at.zeros_like(made[0]), at.ones_like(made[0]), at.rand_like(made[0]), at.eye(2, device="cuda")]
        assert {x.device for x in made} == {"cuda:0"}
        assert at.zeros_like(made[0], device="cpu").device == "cpu"

    def test_gradients_pass_a_move(self):
        x = at.tensor([1.0, 2.0], requires_grad=True)
        (x.cuda() * at.tensor([3.0, 4.0], device="cuda")).sum().backward()
        assert x.grad.device == "cpu"
        assert x.grad.tolist() == [3.0, 4.0]

    def test_what_leaves_the_gpu(self):
        x = at.tensor([[1.0, 2.5]], device="cuda")
        assert x.tolist() == [[1.0, 2.5]]
        assert x[0, 1].item() == 2.5
        assert repr(x) == "tensor([[1.0000, 2.5000]], device='cuda:0')"
        assert 2.5 in x
        with pytest.raises(RuntimeError, match="numpy: the tensor is on cuda:0; copy it to host memory by cpu"):
            x.numpy()
        with pytest.raises(RuntimeError, match="__array__: the tensor is on cuda:0"):
            np.asarray(x)

    def test_copies_and_pickles(self):
        x = at.tensor([1.0, 2.0], device="cuda", requires_grad=True)
        for again in (copy.deepcopy(x), pickle.loads(pickle.dumps(x))):
            assert again.device == "cuda:0"
            assert again.requires_grad
            assert again.tolist() == [1.0, 2.0]
        with at.no_grad():
            at.zeros(2).copy_(x)
            x.copy_(at.tensor([5, 6]))
        assert x.tolist() == [5.0, 6.0]

    def test_a_users_own_function(self):
        class Square(at.autograd.Function):
            @staticmethod
            def forward(ctx, x):
                ctx.save_for_backward(x)
                return x * x, x + 1

            @staticmethod
            def backward(ctx, grad_y, grad_z):
                (x,) = ctx.saved_tensors
                return 2 * x * grad_y + grad_z  # no gradient reaches z: zeros on the GPU

        x = at.tensor([3.0], device="cuda", requires_grad=True)
        Square.apply(x)[0].backward()
        assert x.grad.device == "cuda:0"
        assert x.grad.tolist() == [6.0]

    def test_dropout_of_all_and_of_the_same(self):
        x = at.ones(1000)
        for p in (0.25, 1.0):
            at.manual_seed(0)
            here = F.dropout(x, p)
            at.manual_seed(0)
            assert F.dropout(x.cuda(), p).tolist() == here.tolist()

    def test_one_number_may_stay_in_host_memory(self):
        x = at.tensor([1.0, 2.0], device="cuda")
        assert (x * at.tensor(3.0)).tolist() == [3.0, 6.0]
        assert (at.tensor(3.0) - x).device == "cuda:0"

    @pytest.mark.parametrize(
        "mix",
        [
            lambda x, y: x + y,
            lambda x, y: x @ y,
            lambda x, y: F.linear(x, y),
            lambda x, y: F.mse_loss(x, y),
            lambda x, y: F.conv2d(x.reshape(1, 1, 2, 2), y.reshape(1, 1, 2, 2)),
            lambda x, y: F.cross_entropy(x, at.tensor([0, 1])),
            lambda x, y: F.batch_norm(x, None, None, y[0], y[1], training=True),
            lambda x, y: at.cat([x, y]),
            lambda x, y: x.add_(y),
            lambda x, y: at.where(y > 0, x, x),
        ],
    )
    def test_a_mix_of_devices(self, mix):
        with pytest.raises(RuntimeError, match=r"on (cpu.*on cuda:0|cuda:0.*on cpu)"):
            mix(at.ones(2, 2, device="cuda"), at.ones(2, 2))

    def test_dlpack(self):
        x = at.tensor([1.0, 2.0], device="cuda")
        y = at.from_dlpack(x)
        assert y.device == "cuda:0"
        y.zero_()
        assert x.tolist() == [0.0, 0.0]
        with pytest.raises(TypeError, match="from_dlpack: arrays of dtype uint16 are not supported"):
            at.from_dlpack(gpu.cupy.zeros(2, "uint16"))

    def test_memory_is_shared_with_pytorch(self):
        torch = pytest.importorskip("torch")
        if not torch.cuda.is_available():
            pytest.skip("needs a GPU and a PyTorch that uses it")
        x = at.arange(6.0, device="cuda").reshape(2, 3)
        torch.from_dlpack(x).mul_(2)
        torch.cuda.synchronize()
        assert x.tolist() == [[0.0, 2.0, 4.0], [6.0, 8.0, 10.0]]
        theirs = torch.ones(2, 3, 4, 4, device="cuda").contiguous(memory_format=torch.channels_last)
        ours = at.from_dlpack(theirs)
        assert ours.data.data.ptr == theirs.data_ptr()
        assert ours.data.strides == tuple(4 * stride for stride in theirs.stride())
        halves = theirs.bfloat16()
        try:
            ours = at.from_dlpack(halves)
        except TypeError as error:  # before version 14, CuPy has no bfloat16
            assert "bfloat16" in str(error)  # noqa: PT017
        else:
            assert (ours.dtype, ours.data.data.ptr) == (at.bfloat16, halves.data_ptr())
            assert ours.float().sum().item() == halves.numel()

    def test_memory_is_shared_with_jax(self, monkeypatch):
        monkeypatch.setenv("XLA_PYTHON_CLIENT_PREALLOCATE", "false")  # else it takes most of the GPU
        jax = pytest.importorskip("jax")
        if jax.default_backend() != "gpu":
            pytest.skip("needs a GPU and a JAX that uses it")
        theirs = jax.numpy.arange(3.0)
        ours = at.from_dlpack(theirs)
        assert ours.data.data.ptr == theirs.unsafe_buffer_pointer()
        assert jax.dlpack.from_dlpack(ours).tolist() == [0.0, 1.0, 2.0]

    def test_out_of_memory_is_one_error_and_the_process_goes_on(self):
        pool = gpu.cupy.get_default_memory_pool()
        before = pool.get_limit()
        pool.free_all_blocks()
        pool.set_limit(size=pool.total_bytes() + (1 << 20))
        try:
            with pytest.raises(MemoryError, match="Out of memory"):
                at.zeros(1 << 20, device="cuda").exp()
        finally:
            pool.set_limit(size=before)
        assert at.ones(2, device="cuda").exp().shape == (2,)


@pytest.fixture
def restored_precision():
    before = at.get_float32_matmul_precision()
    yield
    at.set_float32_matmul_precision(before)


PRODUCTS = {  # op: shapes of its two factors
    F.conv2d: ((2, 16, 8, 8), (8, 16, 3, 3)),
    F.linear: ((20, 36), (12, 36)),
    at.matmul: ((20, 36), (36, 12)),
}


@pytest.mark.usefixtures("cuda", "restored_precision")
@pytest.mark.parametrize("op", PRODUCTS, ids=lambda op: op.__name__)
def test_matmul_precision(op):
    at.manual_seed(0)
    factors = [at.randn(*shape, device="cuda", requires_grad=True) for shape in PRODUCTS[op]]

    def at_precision(precision):
        at.set_float32_matmul_precision(precision)
        assert at.get_float32_matmul_precision() == precision
        y = op(*factors)
        return [y, *at.autograd.grad(y.square().sum(), factors)]

    exact, fast, again = map(at_precision, ("highest", "high", "highest"))
    for a, b, c in zip(exact, fast, again, strict=True):
        assert 1e-5 < ((a - b).abs().max() / a.abs().max()).item() < 2e-3
        assert (a == c).all().item()


@pytest.mark.parametrize("word", ["low", None, True])
def test_a_precision_that_does_not_exist(word):
    with pytest.raises(ValueError, match=r"set_float32_matmul_precision: precision is .*; expected one of"):
        at.set_float32_matmul_precision(word)


def network():
    at.manual_seed(0)
    features = [nn.Conv2d(1, 6, 5, bias=False), nn.BatchNorm2d(6), nn.ReLU(), nn.MaxPool2d(2)]
    features += [nn.Conv2d(6, 16, 5, stride=2), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten()]
    return nn.Sequential(*features, nn.Linear(64, 20), nn.ReLU(), nn.Dropout(0.3), nn.Linear(20, 10))


def trained(device, optimizer=optim.Adam, steps=4, **settings):
    model, rng = network().to(device), np.random.default_rng(0)
    x = at.tensor(rng.standard_normal((8, 1, 20, 20)).astype(np.float32), device=device)
    y = at.tensor(rng.integers(0, 10, 8), device=device)
    step = optimizer(model.parameters(), **settings)
    losses = []
    for _ in range(steps):
        step.zero_grad()
        loss = F.cross_entropy(model(x), y)
        loss.backward()
        step.step()
        losses.append(loss.item())
    return model, losses


@pytest.mark.usefixtures("cuda")
class TestTraining:
    @pytest.mark.parametrize(
        ("optimizer", "settings"), [(optim.Adam, {"lr": 1e-3}), (optim.SGD, {"lr": 0.05, "momentum": 0.9})]
    )
    def test_the_curve_is_the_cpus(self, optimizer, settings):
        """The same weights, batches and, since a seed gives the same numbers everywhere, the same dropout."""
        here, expected = trained("cpu", optimizer, **settings)
        there, losses = trained("cuda", optimizer, **settings)
        np.testing.assert_allclose(losses, expected, rtol=2e-5)
        for (name, a), (_, b) in zip(here.state_dict().items(), there.state_dict().items(), strict=True):
            assert b.device == "cuda:0"
            np.testing.assert_allclose(b.cpu().numpy(), a.numpy(), rtol=2e-3, atol=2e-4, err_msg=name)

    def test_the_bits_are_the_same_again(self):
        (_, first), (_, second) = trained("cuda"), trained("cuda")
        assert first == second

    def test_evaluation(self):
        model, _ = trained("cuda", steps=1)
        x = at.randn(2, 1, 20, 20)
        with at.no_grad():
            there = model.eval()(x.cuda())
            here = model.cpu()(x)
        np.testing.assert_allclose(there.cpu().numpy(), here.numpy(), rtol=1e-4, atol=1e-5)

    def test_a_model_moves_with_its_optimizer(self):
        model, expected = trained("cpu", steps=3)
        model = network()
        step = optim.Adam(model.parameters())
        rng = np.random.default_rng(0)
        x, y = rng.standard_normal((8, 1, 20, 20)).astype(np.float32), rng.integers(0, 10, 8)
        losses = []
        for device in ("cpu", "cuda", "cpu"):
            model.to(device)
            step.zero_grad()
            loss = F.cross_entropy(model(at.tensor(x, device=device)), at.tensor(y, device=device))
            loss.backward()
            step.step()
            losses.append(loss.item())
        np.testing.assert_allclose(losses, expected, rtol=2e-5)

    def test_files_and_state_dicts(self, tmp_path):
        model, _ = trained("cuda", steps=1)
        at.save_file(model.state_dict(), tmp_path / "x.safetensors")
        loaded = at.load_file(tmp_path / "x.safetensors")
        assert {x.device for x in loaded.values()} == {"cpu"}
        again = network().cuda()
        again.load_state_dict(loaded)
        for name, x in model.state_dict().items():
            assert np.array_equal(again.state_dict()[name].cpu().numpy(), x.cpu().numpy()), name

    def test_no_more_copies_for_the_memory_order_than_on_the_cpu(self):
        counts = []
        for device in ("cpu", "cuda"):
            before = conversions()
            trained(device, steps=2)
            counts.append(conversions() - before)
        assert counts[0] == counts[1]

    def test_the_trainer_brings_batches_to_the_model(self, tmp_path):
        rng = np.random.default_rng(0)
        x, y = rng.standard_normal((12, 1, 20, 20)).astype(np.float32), rng.integers(0, 10, 12)
        histories = []
        for device in ("cpu", "cuda"):
            model = network().to(device)
            trainer = Trainer(
                model,
                optim.Adam(model.parameters()),
                nn.CrossEntropyLoss(),
                folder=tmp_path / device,
                clip_grad_norm=1.0,
                metrics={"accuracy": at.metrics.Accuracy()},
            )
            data = TensorDataset(at.from_numpy(x), at.from_numpy(y))
            for epochs in (1, 2):  # the second goes on from the first's checkpoint
                trainer.fit(DataLoader(data, 4), DataLoader(data, 4), epochs=epochs, resume=epochs > 1, progress=False)
            histories.append([(row["train_loss"], row["validation_loss"]) for row in trainer.history])
            assert next(model.parameters()).device.startswith(device)
        np.testing.assert_allclose(histories[1], histories[0], rtol=1e-4)

    def test_a_target_out_of_range(self):
        with pytest.raises(ValueError, match="class 10"):
            F.cross_entropy(at.zeros(2, 10, device="cuda"), at.tensor([0, 10], device="cuda"))
        assert at.ones(1, device="cuda").item() == 1.0

    def test_pinned_batches(self):
        dataset = TensorDataset(at.arange(12.0).reshape(6, 2), at.arange(6))
        for x, y in DataLoader(dataset, batch_size=2, pin_memory=True):
            there = x.to("cuda", non_blocking=True)
            at.cuda.synchronize()
            assert np.array_equal(there.cpu().numpy(), x.numpy())
            assert y.cuda().device == "cuda:0"


@pytest.mark.usefixtures("cuda")
def test_the_namespace():
    assert at.cuda.is_available()
    assert at.cuda.device_count() >= 1
    assert at.cuda.current_device() == 0
    assert at.cuda.get_device_name()
    before = at.cuda.memory_allocated()
    x = at.zeros(1 << 18, device="cuda")
    assert at.cuda.memory_allocated() - before >= x.nbytes
    assert at.cuda.memory_reserved() >= at.cuda.memory_allocated()
    del x
    at.cuda.empty_cache()
    with pytest.raises(RuntimeError, match="GPUs"):
        at.cuda.set_device(99)


@pytest.mark.usefixtures("cuda")
def test_the_benchmark_runs(load, monkeypatch, capsys, tmp_path):
    monkeypatch.setattr("sys.argv", ["gpu_kernels.py", "--quick", "--json", str(tmp_path / "figures.json")])
    load("gpu_kernels").main()
    shown = capsys.readouterr().out
    for kernel in ("batch-norm + relu, backward", "max pool 3×3, backward", "Adam", "cross-entropy"):
        assert kernel in shown
    assert (tmp_path / "figures.json").stat().st_size > 0


@pytest.mark.parametrize("name", ["gpu_kernels", "gpu_conv2d", "gpu_networks", "gpu_graphs"])
def test_a_benchmark_without_a_gpu_ends_in_a_sentence(name, load, machine, monkeypatch):
    machine(None)
    monkeypatch.setattr("sys.argv", [name])
    with pytest.raises(SystemExit, match="CuPy cannot be imported"):
        load(name).main()
