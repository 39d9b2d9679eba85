"""autocast: which op runs in which dtype, as PyTorch's lists for CUDA say; casts, fusion, layout; training under it."""

import re
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from fusion_nets import Net, Spy, block, images
from half import DTYPES, numbers

import atrous as at
import atrous.training
from atrous import gpu, layout, nn, optim
from atrous.autocast import current
from atrous.nn import functional as F

BOTH = pytest.mark.parametrize("name", DTYPES)
pytestmark = pytest.mark.usefixtures("cuda")


@pytest.fixture(autouse=True)
def nothing_stays():
    yield
    assert current.dtype is None


def tensor(*shape, dtype=at.float32, seed=0, low=None):
    values = numbers(shape, seed=seed)
    return at.from_numpy(values if low is None else np.abs(values) + np.float32(low)).to(dtype).to("cuda")


classes = lambda: at.tensor([0, 2, 1], device="cuda")  # noqa: E731
signs = lambda dtype: at.tensor([1.0, -1.0, 1.0], device="cuda").to(dtype)  # noqa: E731
square = lambda dtype: tensor(3, 3, dtype=dtype)  # noqa: E731
positive = lambda dtype: tensor(3, 3, dtype=dtype, low=0.5)  # noqa: E731
maps = lambda dtype, seed=0: tensor(2, 4, 6, 6, dtype=dtype, seed=seed)  # noqa: E731
weight = lambda dtype: tensor(4, 4, 3, 3, dtype=dtype, seed=1)  # noqa: E731

LOWER = {  # name in PyTorch's list: a call, on tensors of one dtype
    "conv1d": lambda d: F.conv1d(tensor(2, 4, 8, dtype=d), tensor(4, 4, 3, dtype=d)),
    "conv2d": lambda d: F.conv2d(maps(d), weight(d), tensor(4)),
    "conv_transpose1d": lambda d: F.conv_transpose1d(tensor(2, 4, 8, dtype=d), tensor(4, 4, 3, dtype=d)),
    "conv_transpose2d": lambda d: F.conv_transpose2d(maps(d), weight(d)),
    "prelu": lambda d: F.prelu(square(d), tensor(1, dtype=d)),
    "matmul": lambda d: square(d) @ square(d),
    "linear": lambda d: F.linear(square(d), square(d), tensor(3)),
}
FLOAT32 = {
    "exp": lambda d: square(d).exp(),
    "expm1": lambda d: square(d).expm1(),
    "log": lambda d: positive(d).log(),
    "log2": lambda d: positive(d).log2(),
    "log1p": lambda d: positive(d).log1p(),
    "reciprocal": lambda d: positive(d).reciprocal(),
    "rsqrt": lambda d: positive(d).rsqrt(),
    "pow": lambda d: positive(d) ** 2,
    "softplus": lambda d: F.softplus(square(d)),
    "layer_norm": lambda d: F.layer_norm(square(d), (3,), tensor(3), tensor(3)),
    "rms_norm": lambda d: F.rms_norm(square(d), (3,), tensor(3)),
    "group_norm": lambda d: F.group_norm(maps(d), 2, tensor(4), tensor(4)),
    "frobenius_norm": lambda d: square(d).norm(),
    "cosine_similarity": lambda d: F.cosine_similarity(square(d), square(d)),
    "poisson_nll_loss": lambda d: F.poisson_nll_loss(square(d), positive(d)),
    "cosine_embedding_loss": lambda d: F.cosine_embedding_loss(square(d), square(d), signs(d)),
    "nll_loss": lambda d: F.nll_loss(square(d), classes()),
    "hinge_embedding_loss": lambda d: F.hinge_embedding_loss(square(d)[0], signs(d)),
    "kl_div": lambda d: F.kl_div(square(d), positive(d)),
    "l1_loss": lambda d: F.l1_loss(square(d), positive(d)),
    "smooth_l1_loss": lambda d: F.smooth_l1_loss(square(d), positive(d)),
    "huber_loss": lambda d: F.huber_loss(square(d), positive(d)),
    "mse_loss": lambda d: F.mse_loss(square(d), positive(d)),
    "margin_ranking_loss": lambda d: F.margin_ranking_loss(square(d)[0], square(d)[1], signs(d)),
    "multilabel_margin_loss": lambda d: F.multilabel_margin_loss(square(d)[0], classes()),
    "soft_margin_loss": lambda d: F.soft_margin_loss(square(d)[0], signs(d)),
    "triplet_margin_loss": lambda d: F.triplet_margin_loss(square(d), square(d), positive(d)),
    "multi_margin_loss": lambda d: F.multi_margin_loss(square(d), classes()),
    "binary_cross_entropy_with_logits": lambda d: F.binary_cross_entropy_with_logits(square(d), square(d).sigmoid()),
    "logsumexp": lambda d: square(d).logsumexp(1),
    "upsample_nearest2d": lambda d: F.interpolate(maps(d), scale_factor=2),
    "upsample_bilinear2d": lambda d: F.interpolate(maps(d), scale_factor=2, mode="bilinear"),
    "upsample_bicubic2d": lambda d: F.interpolate(maps(d), scale_factor=2, mode="bicubic"),
    "_upsample_nearest_exact2d": lambda d: F.interpolate(maps(d), scale_factor=2, mode="nearest-exact"),
    "prod": lambda d: square(d).prod(),
    "softmax": lambda d: square(d).softmax(1),
    "log_softmax": lambda d: square(d).log_softmax(1),
    "cumsum": lambda d: square(d).cumsum(1),
    "sum": lambda d: square(d).sum(),
    # of several entries of PyTorch's list, or from its documentation
    "cross_entropy": lambda d: F.cross_entropy(square(d), classes()),
    "cross_entropy of shares": lambda d: F.cross_entropy(square(d), square(at.float32).softmax(1)),
    "number / tensor": lambda d: 1 / positive(d),
    "number ** tensor": lambda d: 2 ** square(d),
    "normalize": lambda d: F.normalize(square(d)),
    "local_response_norm": lambda d: F.local_response_norm(maps(d), 3),
    "pairwise_distance": lambda d: F.pairwise_distance(square(d), positive(d)),
    "bilinear": lambda d: F.bilinear(square(d), square(d), tensor(2, 3, 3)),  # promoted, to the float32 of the weight
}
SAME = {  # on no list: the dtype that arrives
    "relu": lambda d: F.relu(maps(d)),
    "leaky_relu": lambda d: F.leaky_relu(maps(d)),
    "gelu": lambda d: F.gelu(maps(d)),
    "sigmoid": lambda d: square(d).sigmoid(),
    "tanh": lambda d: square(d).tanh(),
    "max_pool2d": lambda d: F.max_pool2d(maps(d), 2),
    "avg_pool2d": lambda d: F.avg_pool2d(maps(d), 2),
    "adaptive_avg_pool2d": lambda d: F.adaptive_avg_pool2d(maps(d), 1),
    "batch_norm": lambda d: F.batch_norm(maps(d), None, None, tensor(4), tensor(4), training=True),
    "dropout": lambda d: F.dropout(maps(d), 0.5),
    "add": lambda d: maps(d) + maps(d),
    "mul by a number": lambda d: maps(d) * 2.5,
    "div": lambda d: maps(d) / 2,
    "sqrt": lambda d: positive(d).sqrt(),
    "mean": lambda d: maps(d).mean(),
    "max": lambda d: maps(d).max(),
    "cat": lambda d: at.cat([maps(d), maps(d)]),
    "where": lambda d: at.where(maps(d) > 0, maps(d), 0.0),
    "pad": lambda d: F.pad(maps(d), (1, 1)),
    "reshape": lambda d: maps(d).flatten(1),
    "instance_norm": lambda d: F.instance_norm(maps(d), weight=tensor(4)),
}


@BOTH
@pytest.mark.parametrize("op", LOWER)
def test_what_multiplies_goes_to_16_bits(name, op):
    dtype = getattr(at, name)
    with at.autocast("cuda", dtype):
        found = [LOWER[op](d) for d in (at.float32, dtype)]
    given = LOWER[op](dtype)  # by hand
    for y in found:
        assert y.dtype == dtype
        assert at.equal(y, given)


@BOTH
@pytest.mark.parametrize("op", FLOAT32)
def test_what_needs_range_goes_to_float32(name, op):
    dtype = getattr(at, name)
    with at.autocast("cuda", dtype):
        y, wide = FLOAT32[op](dtype), FLOAT32[op](at.float32)
    assert y.dtype == wide.dtype == at.float32


@BOTH
@pytest.mark.parametrize("op", SAME)
def test_the_rest_keeps_its_dtype(name, op):
    with at.autocast("cuda", getattr(at, name)):
        for dtype in (getattr(at, name), at.float32):
            assert SAME[op](dtype).dtype == dtype


def test_the_lists_are_pytorchs():
    """Every op of PyTorch's lists for CUDA that atrous has under a name of its own is in a table above."""
    torch = pytest.importorskip("torch")
    header = (Path(torch.__file__).parent / "include/ATen/autocast_mode.h").read_text()

    def names(macro):
        body = re.search(rf"#define {macro}\(_\)(.*?)\n\n", header, re.DOTALL).group(1)
        return set(re.findall(r"_\((\w+)", body))

    lower = names("AT_FORALL_LOWER_PRECISION_FP")
    float32 = names("AT_FORALL_FP32") | names("AT_FORALL_FP32_SET_OPT_DTYPE")
    ours = {name for name in dir(at) + dir(F) + dir(at.ops)}
    assert lower & ours <= set(LOWER)
    assert {*LOWER} <= lower
    assert float32 & ours <= set(FLOAT32)
    assert not (lower | float32) & set(SAME)
    extra = {"cross_entropy", "normalize", "local_response_norm", "pairwise_distance", "bilinear"}
    assert {name for name in FLOAT32 if " " not in name} - extra <= float32


# The switch


@BOTH
def test_it_nests_and_can_be_turned_off_inside(name):
    x = square(getattr(at, name))
    assert not at.is_autocast_enabled()
    with at.autocast("cuda", dtype=getattr(at, name)):
        assert at.is_autocast_enabled()
        assert at.get_autocast_dtype("cuda") == getattr(at, name)
        assert x.exp().dtype == at.float32
        with at.autocast("cuda", enabled=False):
            assert not at.is_autocast_enabled()
            assert x.exp().dtype == x.dtype
            with at.amp.autocast("cuda", dtype=at.bfloat16):
                assert at.get_autocast_dtype("cuda") == at.bfloat16
        assert at.get_autocast_dtype("cuda") == getattr(at, name)
        with at.autocast("cpu", enabled=False):  # says nothing of the GPU
            assert x.exp().dtype == at.float32
    assert not at.is_autocast_enabled()
    assert x.exp().dtype == x.dtype


def test_the_default_is_pytorchs():
    with at.autocast("cuda"):
        assert at.get_autocast_dtype("cuda") == at.float16
    assert at.get_autocast_dtype("cuda") == at.float16
    assert at.get_autocast_dtype("cpu") == at.bfloat16
    assert at.is_autocast_available("cuda")
    assert not at.is_autocast_available("cpu")
    with at.autocast(at.ones(1, device="cuda").device.type, cache_enabled=False):
        assert at.is_autocast_enabled("cuda")
        assert not at.is_autocast_enabled("cpu")


def test_as_a_decorator_and_after_an_error():
    @at.autocast("cuda", dtype=at.bfloat16)
    def f(x, fails=False):
        assert at.is_autocast_enabled()
        if fails:
            raise ZeroDivisionError
        return x.exp()

    assert f(square(at.bfloat16)).dtype == at.float32
    with pytest.raises(ZeroDivisionError):
        f(None, fails=True)
    assert not at.is_autocast_enabled()


def test_it_is_per_thread():
    seen = []
    with at.autocast("cuda"):
        thread = threading.Thread(target=lambda: seen.append(at.is_autocast_enabled()))
        thread.start()
        thread.join()
    assert seen == [False]


def test_tensors_on_the_cpu_stay_as_they_are():
    x = at.ones(2, 2)
    with at.autocast("cuda", dtype=at.bfloat16):
        assert (x @ x).dtype == F.linear(x, x).dtype == at.float32
        assert x.bfloat16().exp().dtype == at.bfloat16
        assert F.binary_cross_entropy(x * 0.5, x).dtype == at.float32


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (("cpu",), RuntimeError, "the CPU has no kernels for 16 bits; give enabled=False"),
        (("xpu",), RuntimeError, "device_type is 'xpu'; expected 'cuda' or 'cpu'"),
        ((None,), ValueError, "device_type is a NoneType"),
        (("cuda", at.float32), ValueError, "dtype is float32; expected float16 or bfloat16"),
        (("cuda", "int8"), ValueError, "dtype is int8; expected float16 or bfloat16"),
    ],
)
def test_misuse(arguments, error, message):
    with pytest.raises(error, match=re.escape(message)):
        at.autocast(*arguments)


def test_without_a_gpu_it_warns_and_does_nothing(monkeypatch):
    monkeypatch.setattr(gpu, "kernels", None)
    monkeypatch.setattr(gpu, "available", lambda: False)
    with pytest.warns(UserWarning, match="no GPU that can be used; nothing is cast"):
        cast = at.autocast("cuda")
    with cast:
        assert not at.is_autocast_enabled()
    with at.autocast("cuda", enabled=False):
        pass


@BOTH
def test_binary_cross_entropy_of_probabilities_is_refused(name):
    x = positive(at.float32) * 0.1
    with at.autocast("cuda", getattr(at, name)):
        with pytest.raises(RuntimeError, match="take binary_cross_entropy_with_logits"):
            F.binary_cross_entropy(x, x)
        with pytest.raises(RuntimeError, match="take binary_cross_entropy_with_logits"):
            nn.BCELoss()(x, x)
        with at.autocast("cuda", enabled=False):
            assert F.binary_cross_entropy(x, x).dtype == at.float32


# Gradients


@BOTH
@pytest.mark.parametrize("kind", ["conv2d", "linear"])
def test_gradients_of_float32_weights_are_float32_and_unrounded(name, kind):
    """The cast passes on what the kernel gives: numbers that 16 bits do not hold."""
    dtype = getattr(at, name)
    layer = (nn.Conv2d(4, 4, 3) if kind == "conv2d" else nn.Linear(6, 4)).to("cuda")
    x = maps(at.float32).requires_grad_()
    with at.autocast("cuda", dtype):
        y = layer(x)
    y.backward(at.from_numpy(numbers(y.shape, seed=3)).to(dtype).to("cuda"))
    grad = layer.weight.grad
    assert [t.dtype for t in (y, grad, layer.bias.grad, x.grad)] == [dtype, at.float32, at.float32, at.float32]
    assert not at.equal(grad, grad.to(dtype).float())
    assert at.equal(x.grad, x.grad.to(dtype).float())  # which is a map, and had 16 bits
    expected = maps(at.float32).to(dtype).float().requires_grad_()
    wide = getattr(F, kind)(expected, layer.weight.detach().to(dtype).float(), layer.bias.detach())
    assert (y.detach().float() - wide.detach()).abs().max().item() <= DTYPES[name] * wide.detach().abs().max().item()


@BOTH
def test_the_backward_pass_casts_nothing(name):
    """Neither inside the context, for a user's own op."""

    class Own(at.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            assert at.is_autocast_enabled()
            return x * 2

        @staticmethod
        def backward(ctx, grad):
            assert not at.is_autocast_enabled()
            return grad * 2

    x = square(at.float32).requires_grad_()
    x.register_hook(lambda grad: None if not at.is_autocast_enabled() else pytest.fail("in autocast"))
    with at.autocast("cuda", getattr(at, name)):
        Own.apply(x).sum().backward()
        assert at.is_autocast_enabled()
    assert x.grad.tolist() == [[2.0] * 3] * 3


# Fusion and layout


@BOTH
@pytest.mark.parametrize("training", [True, False])
def test_the_same_kernels_fuse(name, training, everything_waits, monkeypatch):
    spy = Spy(gpu.kernels)
    monkeypatch.setattr(gpu, "kernels", spy)
    net, x = Net(block).to("cuda").train(training), images().to("cuda")
    counts = []
    for enabled in (False, True):
        spy.calls.clear()
        with at.autocast("cuda", getattr(at, name), enabled=enabled):
            net(x if not enabled else x.to(name))
        counts.append(dict(spy.calls))
    assert counts[1].pop("narrow") == 3  # the images, and the weights of two convolutions
    assert counts[0] == counts[1]
    assert "batch_norm_forward relu" in counts[1] or "conv2d_forward scale relu" in counts[1]


@BOTH
def test_casts_reorder_nothing(name):
    net = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 8, 3), nn.AdaptiveAvgPool2d(1))
    net = nn.Sequential(net, nn.Flatten(), nn.Linear(8, 4)).to("cuda")
    x = images(shape=(2, 3, 9, 9)).to("cuda")
    seen = []
    lower = net[0][3].weight.to(name)
    assert layout.is_channels_last(lower.data)
    for enabled in (False, True):
        before = layout.conversions()
        with at.autocast("cuda", getattr(at, name), enabled=enabled):
            loss = F.cross_entropy(net(x), at.tensor([0, 1], device="cuda"))
        loss.backward()
        seen.append(layout.conversions() - before)
    assert seen[1] == seen[0]


# Training


def lenet():
    return nn.Sequential(
        nn.Conv2d(1, 6, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(6, 16, 5), nn.ReLU(), nn.AvgPool2d(2),
        nn.Flatten(), nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 10),
    )  # fmt: skip


class Residual(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(channels, channels, 3, padding=1, bias=False), nn.BatchNorm2d(channels)
        self.conv2, self.bn2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False), nn.BatchNorm2d(channels)

    def forward(self, x):
        y = F.relu(self.bn1(self.conv1(x)))
        return F.relu(self.bn2(self.conv2(y)) + x)


def resnet():
    return nn.Sequential(
        nn.Conv2d(1, 8, 3, bias=False), nn.BatchNorm2d(8), nn.ReLU(), Residual(8), nn.MaxPool2d(2), Residual(8),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 10),
    )  # fmt: skip


def losses(build, name, lr, steps=16):
    """Of training, in float32 where there is no name."""
    at.manual_seed(0)
    net = build().to("cuda")
    optimizer, scaler = (
        at.optim.SGD(net.parameters(), lr=lr, momentum=0.9),
        at.amp.GradScaler(enabled=name == "float16"),
    )
    generator = np.random.default_rng(0)
    prototypes = generator.standard_normal((10, 1, 12, 12)).astype(np.float32)
    found = []
    for _ in range(steps):
        labels = generator.integers(0, 10, 16)
        x = prototypes[labels] + 0.3 * generator.standard_normal((16, 1, 12, 12)).astype(np.float32)
        x, y = at.tensor(x, device="cuda"), at.tensor(labels, device="cuda")
        optimizer.zero_grad()
        with at.autocast("cuda", getattr(at, name or "float16"), enabled=name is not None):
            loss = F.cross_entropy(net(x), y)
        scaler.scale(loss).backward()
        scaler.step(optimizer)
        scaler.update()
        found.append(loss.item())
    assert all(p.dtype == p.grad.dtype == at.float32 for p in net.parameters())
    return np.array(found)


@BOTH
@pytest.mark.parametrize(("build", "lr"), [(lenet, 0.2), (resnet, 0.05)])
def test_training_follows_float32(name, build, lr):
    """The logits are of the order of 1 and off by the roundings of some ten layers, which add up as their root does:
    3 · eps. So is the loss; and as much comes in with each step before, as weights of which the gradient was off.
    """
    wide, found = losses(build, None, lr), losses(build, name, lr)
    assert wide[-1] < 0.85 * wide[0]
    assert (np.abs(found - wide) <= 3 * DTYPES[name] * (1 + np.arange(len(wide)))).all()


def test_a_trainer_computes_in_16_bits():
    """As in docs/mixed-precision.md."""
    seen = []

    class Mixed(at.training.Trainer):
        def forward(self, batch):
            with at.autocast("cuda", dtype=at.bfloat16):
                output, target = super().forward(batch)
            seen.append(output.dtype)
            return output.float(), target

    model = nn.Sequential(nn.Flatten(), nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2)).to("cuda")
    batches = [(at.from_numpy(numbers((8, 1, 2, 2))), at.tensor([0, 1] * 4))] * 4
    trainer = Mixed(model, at.optim.SGD(model.parameters(), lr=0.1), nn.CrossEntropyLoss())
    history = trainer.fit(batches, batches, epochs=3, progress=False)
    assert history[-1]["train_loss"] < history[0]["train_loss"]
    assert set(seen) == {at.bfloat16}


def test_the_class_keeps_its_name():
    assert at.autocast is at.amp.autocast


def test_a_training_step_calls_cupy_for_no_values(monkeypatch):
    """A call of CuPy takes the host as long as a kernel: casts, counts and copies are the kernels' own."""
    if gpu.cupy.__version__ != "stand-in":
        pytest.skip("counts the stand-in's calls")
    net = nn.Sequential(nn.Conv2d(3, 8, 3, bias=False), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 8, 1, bias=False))
    net.to("cuda")
    x = images().to("cuda").half()
    grad_y = at.Tensor(layout.channels_last(at.ones(2, 8, 3, 2, dtype=at.float16, device="cuda").data))
    calls, compute, write = [], gpu.cupy.compute, gpu.cupy.ndarray.__setitem__

    def counted(function, name, *args, **kwargs):
        calls.append(name)
        return compute(function, name, *args, **kwargs)

    monkeypatch.setattr(gpu.cupy, "compute", counted)
    monkeypatch.setattr(gpu.cupy.ndarray, "__setitem__", lambda *args: calls.append("write") or write(*args))
    with at.autocast("cuda"):
        y = net(x)
    y.backward(grad_y)
    assert not {"write", "copy", "add", "full"}.intersection(calls)
    assert net[1].num_batches_tracked.item() == 1


def test_a_training_step_waits_for_nothing(monkeypatch):
    """So that Python can be a step ahead of the GPU."""
    if gpu.cupy.__version__ != "stand-in":
        pytest.skip("counts the stand-in's waits")
    net = nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(8, 4)
    )
    net.to("cuda")
    optimizer = optim.Adam(net.parameters())
    x, y = images().to("cuda"), at.tensor([1, 3], device="cuda")
    capture, compute, waits = sys.modules["cupy.capture"], gpu.cupy.compute, []

    def counted(function, name, *args, **kwargs):
        if name in capture.WAITING:
            waits.append(name)
        return compute(function, name, *args, **kwargs)

    monkeypatch.setattr(gpu.cupy, "compute", counted)
    monkeypatch.setattr(capture, "refuse", lambda wait: waits.append(wait) if wait != capture.FROM_HOST else None)
    monkeypatch.setattr(gpu.kernels, "class_outside", lambda *args: waits.append("classes"))
    for _ in range(2):
        with at.autocast("cuda"):
            loss = F.cross_entropy(net(x), y)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimizer.step()
    assert waits == []
    loss.item()
    assert waits == ["item"]
