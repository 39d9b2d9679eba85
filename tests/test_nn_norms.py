"""Normalisation by a sample's own statistics, beside PyTorch's; and what batch norm does besides its kernel."""

import re

import numpy as np
import pytest
from parity import assert_close, assert_parity, assert_torch_refuses, draw, randomly_strided

import atrous as at
from atrous import gpu, nn
from atrous.gradcheck import gradcheck
from atrous.layout import channels_last, conversions, is_channels_last
from atrous.nn import functional as F

NAN, INF = float("nan"), float("inf")
W, B = draw(6, seed=2), draw(6, seed=3)
IMAGES = draw(2, 6, 4, 3) + 2
FUNCTIONS = {  # of (F, x) and of weights, which follow
    "layer_norm": (lambda F, x: F.layer_norm(x, (3,)), []),
    "layer_norm of two axes": (lambda F, x, w, b: F.layer_norm(x, [4, 3], w, b), [draw(4, 3), draw(4, 3, seed=1)]),
    "layer_norm, weight": (lambda F, x, w: F.layer_norm(x, (3,), w, eps=0.1), [draw(3)]),
    "layer_norm, bias": (lambda F, x, b: F.layer_norm(x, (6, 4, 3), None, b), [draw(6, 4, 3)]),
    "rms_norm": (lambda F, x: F.rms_norm(x, (3,)), []),
    "rms_norm, weight": (lambda F, x, w: F.rms_norm(x, [4, 3], w, 1e-3), [draw(4, 3)]),
    "group_norm": (lambda F, x: F.group_norm(x, 2), []),
    "group_norm, weight and bias": (lambda F, x, w, b: F.group_norm(x, 3, w, b, 1e-3), [W, B]),
    "group_norm, weight": (lambda F, x, w: F.group_norm(x, 1, w), [W]),
    "instance_norm": (lambda F, x: F.instance_norm(x), []),
    "instance_norm, weight and bias": (lambda F, x, w, b: F.instance_norm(x, None, None, w, b), [W, B]),
    "local_response_norm": (lambda F, x: F.local_response_norm(x, 5, 1.0, 0.75, 2.0), []),
    "local_response_norm of 4": (lambda F, x: F.local_response_norm(x, 4, 2.0, 1.5), []),
    "local_response_norm of 14": (lambda F, x: F.local_response_norm(x, 14, 2.0), []),
    "normalize": (lambda F, x: F.normalize(x), []),
    "normalize by p": (lambda F, x: F.normalize(x, 3.0, (1, -1), 0.5), []),
    "normalize by the largest": (lambda F, x: F.normalize(x, INF, 1, eps=2.0), []),
}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_agrees_with_pytorch(name, dtype):
    f, weights = FUNCTIONS[name]
    assert_parity(f, IMAGES, *weights, dtype=dtype)
    assert_parity(f, np.zeros_like(IMAGES), *weights, dtype=dtype)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_no_images(name):
    """PyTorch raises in some of these, or in their backward."""
    f, weights = FUNCTIONS[name]
    x, *weights = (at.tensor(a, requires_grad=True) for a in (IMAGES[:0], *weights))
    y = f(F, x, *weights)
    assert y.shape == x.shape
    y.sum().backward()
    assert x.grad.shape == x.shape
    assert not any(weight.grad.numpy().any() for weight in weights)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_gradient(name):
    f, weights = FUNCTIONS[name]
    tensors = [at.tensor(a, requires_grad=True) for a in (IMAGES, *weights)]
    assert gradcheck(lambda *tensors: f(F, *tensors), tensors, fast_mode=True)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_special_values_as_pytorch(name):
    f, weights = FUNCTIONS[name]
    x = IMAGES.copy()
    x[0, 0, 0, 0], x[1, 2, 1, 1], x[1, 4] = NAN, INF, 0.0
    assert_parity(f, x, *weights, gradients=False)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_any_memory_order_and_array_library(name, foreign):
    f, weights = FUNCTIONS[name]
    arrays = [a.astype(np.float32) for a in (IMAGES, *weights)]
    results = []
    for make in (np.ascontiguousarray, channels_last, randomly_strided, foreign.asarray):
        leaves = [at.Tensor(make(a), True) for a in arrays]
        before = conversions()
        y = f(F, *leaves)
        (y * y * y).sum().backward()
        if make is channels_last:
            assert is_channels_last(y.data)
            assert conversions() == before
        results.append([gpu.to_host(y.detach().data), *[gpu.to_host(leaf.grad.data) for leaf in leaves]])
    for other in results[1:]:
        for i, (a, b) in enumerate(zip(other, results[0], strict=True)):
            assert_close(a, b, 64, f"array {i}")


def test_by_hand():
    """Groups (1, 3) and (5, 9): means 2 and 7, deviations 1 and 2."""
    x = at.tensor([[1.0, 3.0, 5.0, 9.0]])
    y = F.group_norm(x, 2, at.tensor([1.0, 2.0, 3.0, 4.0]), at.ones(4), eps=0.0)
    assert y.tolist() == [[0.0, 3.0, -2.0, 5.0]]
    assert F.rms_norm(at.tensor([1.0, 7.0]), (2,), eps=39.0).tolist() == [0.125, 0.875]  # √(25 + 39) is 8
    y = F.local_response_norm(at.tensor([[[3.0], [4.0]]]), 2, 2.0, 0.5, 0.0)
    np.testing.assert_allclose(y.numpy().ravel(), [1.0, 0.8], rtol=1e-6)  # by √9 and √(9 + 16)


@pytest.mark.parametrize("name", ["layer_norm", "group_norm", "instance_norm"])
def test_a_mean_that_is_large_beside_the_deviation(name):
    """10⁵ ± 1 in float32, where E[x²] − E[x]² has no digit left; steps of 2⁻⁷ round x itself, hence 2⁻⁷ / 2 · 2."""
    x = draw(2, 2, 64, 64)
    call = {
        "layer_norm": lambda x: F.layer_norm(x, (2, 64, 64)),
        "group_norm": lambda x: F.group_norm(x, 1),
        "instance_norm": lambda x: F.instance_norm(x),
    }[name]
    moved = call(at.tensor((x + 1e5).astype(np.float32)))
    np.testing.assert_allclose(moved.numpy(), call(at.tensor(x)).numpy(), rtol=0, atol=2.0**-7)


# layer, arguments, input shape
LAYERS = [
    ("LayerNorm", (5,), {}, (2, 5)),
    ("LayerNorm", ([3, 5], 1e-3, True, False), {}, (4, 2, 3, 5)),
    ("LayerNorm", (5,), {"elementwise_affine": False}, (5,)),
    ("RMSNorm", (5,), {}, (2, 5)),
    ("RMSNorm", ((3, 5), 1e-3, False), {}, (2, 3, 5)),
    ("GroupNorm", (2, 4), {}, (2, 4)),
    ("GroupNorm", (2, 4, 1e-3, False), {}, (2, 4, 3)),
    ("GroupNorm", (4, 4), {}, (2, 4, 3, 5)),
    ("InstanceNorm1d", (4,), {}, (2, 4, 3)),
    ("InstanceNorm1d", (4,), {"affine": True, "track_running_stats": True}, (4, 3)),
    ("InstanceNorm2d", (4, 1e-3, 0.3, True, True), {}, (2, 4, 3, 5)),
    ("InstanceNorm2d", (4, 1e-3, None, False, True), {}, (2, 4, 3, 5)),
    ("InstanceNorm2d", (4,), {"affine": True}, (4, 3, 5)),
    ("LocalResponseNorm", (3,), {"alpha": 0.5}, (2, 4, 3, 5)),
    ("BatchNorm1d", (4,), {}, (6, 4)),
    ("BatchNorm1d", (4, 1e-5, None), {}, (6, 4, 3)),
    ("BatchNorm2d", (4, 1e-5, 0.1, False, False), {}, (2, 4, 3, 5)),
    ("BatchNorm2d", (4, 1e-5, 0.1, True, False), {}, (2, 4, 3, 5)),
]


@pytest.mark.parametrize(("name", "args", "kwargs", "shape"), LAYERS)
def test_layers_as_pytorch(name, args, kwargs, shape):
    """Three steps of training and one of evaluation, with parameters that are not 1 and 0."""
    torch = pytest.importorskip("torch")
    ours, theirs = getattr(nn, name)(*args, **kwargs).double(), getattr(torch.nn, name)(*args, **kwargs).double()
    assert re.sub(r"bias=\w+, |, bias=\w+", "", repr(ours)) == re.sub(r"bias=\w+, |, bias=\w+", "", repr(theirs))
    state = {k: v * 0 + 2 if v.dtype.is_floating_point else v for k, v in theirs.state_dict().items()}
    ours.load_state_dict(state)
    theirs.load_state_dict({k: torch.from_numpy(v.numpy().copy()) for k, v in ours.state_dict().items()})
    assert list(ours.state_dict()) == list(state)
    for step in range(4):
        ours.train(step < 3), theirs.train(step < 3)
        values = draw(*shape, seed=step) + step
        x, z = at.tensor(values, requires_grad=True), torch.tensor(values, requires_grad=True)
        a, b = ours(x), theirs(z)
        (a * a * a).sum().backward(), (b * b * b).sum().backward()
        pairs = [(a.detach(), b.detach()), (x.grad, z.grad)]
        pairs += zip(ours.state_dict().values(), theirs.state_dict().values(), strict=True)
        pairs += [(p.grad, q.grad) for p, q in zip(ours.parameters(), theirs.parameters(), strict=True)]
        for i, (p, q) in enumerate(pairs):
            np.testing.assert_allclose(p.numpy(), q.numpy(), rtol=1e-10, atol=1e-11, err_msg=f"{step}, {i}")
    for module in (ours, theirs):
        if hasattr(module, "reset_parameters"):
            module.reset_parameters()
    assert [v.tolist() for v in ours.state_dict().values()] == [v.tolist() for v in theirs.state_dict().values()]


@pytest.mark.parametrize("name", ["BatchNorm2d", "GroupNorm", "InstanceNorm2d"])
def test_without_bias(name):
    layer = nn.GroupNorm(2, 4, bias=False) if name == "GroupNorm" else getattr(nn, name)(4, affine=True, bias=False)
    assert [key for key, _ in layer.named_parameters()] == ["weight"]
    assert "bias=False" in repr(layer)
    assert abs(layer(at.tensor(draw(3, 4, 5, 5).astype(np.float32))).mean().item()) < 1e-6


@pytest.mark.parametrize("off", ["flag", "buffers"])
def test_statistics_switched_off_later(off):
    """As code does that adapts a trained network: by the flag, or by taking the statistics away."""
    torch = pytest.importorskip("torch")
    values = draw(6, 3) + 1
    results = []
    for lib in (at, torch):
        layer = lib.nn.BatchNorm1d(3).double()
        layer(lib.tensor(values))
        if off == "flag":
            layer.track_running_stats = False
        else:
            layer.running_mean = layer.running_var = None
        parts = [layer(lib.tensor(values)).detach().numpy(), layer.eval()(lib.tensor(values)).detach().numpy()]
        results.append(parts + ([layer.running_mean.numpy()] if off == "flag" else []))
    for a, b in zip(*results, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-12)


def test_instance_norm_of_other_channels_warns():
    with pytest.warns(UserWarning, match=r"InstanceNorm1d: the input has shape \(2, 5, 3\); expected \(N, 4, L\)"):
        assert nn.InstanceNorm1d(4)(at.ones(2, 5, 3)).shape == (2, 5, 3)
    with pytest.raises(ValueError, match=r"InstanceNorm1d: the input has shape \(2, 5, 3\)"):
        nn.InstanceNorm1d(4, affine=True)(at.ones(2, 5, 3))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda F, x: F.layer_norm(x, 3), "layer_norm: normalized_shape is 3; expected a tuple of ints"),
        (lambda F, x: F.layer_norm(x, ()), "layer_norm: normalized_shape is empty"),
        (lambda F, x: F.layer_norm(x, (4,)), r"layer_norm: the input has shape \(2, 6, 4, 3\); expected \(\.\.\., 4"),
        (lambda F, x: F.layer_norm(x, (3,), x[0, 0]), r"layer_norm: weight has shape \(4, 3\); expected \(3,\)"),
        (lambda F, x: F.rms_norm(x, (4,)), "rms_norm: the input has shape"),
        (lambda F, x: F.rms_norm(x, (3,), x[0, 0, 0, :2]), r"rms_norm: weight has shape \(2,\); expected \(3,\)"),
        (lambda F, x: F.group_norm(x, 4), "group_norm: num_groups is 4; expected a divisor of the 6 channels"),
        (lambda F, x: F.group_norm(x, -2), "group_norm: num_groups is -2"),
        (lambda F, x: F.group_norm(x[0, 0, 0], 1), r"group_norm: the input has shape \(3,\); expected \(N, C"),
        (lambda F, x: F.group_norm(x[:1, :, 0, 0], 6), r"group_norm: the input \(1, 6\) has one value a group"),
        (lambda F, x: F.group_norm(x, 2, x[0, :3, 0, 0]), r"group_norm: weight has shape \(3,\); expected \(6,\)"),
        (lambda F, x: F.instance_norm(x[:, :, 0, 0]), r"instance_norm: the input \(2, 6\) has one value a channel"),
        (lambda F, x: F.instance_norm(x, None, x[0, :, 0, 0]), "instance_norm: one of running_mean and running_var"),
        (lambda F, x: F.instance_norm(x, use_input_stats=False), "batch_norm: running_mean is None; evaluation needs"),
        (lambda F, x: F.local_response_norm(x[0, 0], 2), "local_response_norm: the input has shape"),
        (lambda F, x: F.local_response_norm(x, 0), "local_response_norm: size is 0; expected 1 or more"),
        (lambda F, x: F.normalize(x, dim=4), "dim"),
    ],
)
def test_refusals(call, message):
    with pytest.raises((ValueError, TypeError, IndexError), match=message):
        call(F, at.tensor(IMAGES))
    assert_torch_refuses(call, IMAGES)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: nn.LayerNorm(()), "LayerNorm: normalized_shape is empty"),
        (lambda: nn.LayerNorm((3, 0)), "LayerNorm: normalized_shape is 0; expected 1 or more"),
        (lambda: nn.RMSNorm(1.5), "RMSNorm: normalized_shape is 1.5; expected an int"),
        (lambda: F.group_norm(at.ones(2, 4), 0), "group_norm: num_groups is 0; expected a divisor of the 4 channels"),
        (lambda: nn.GroupNorm(3, 4), "GroupNorm: num_channels 4 cannot be divided into 3 groups"),
        (lambda: nn.InstanceNorm2d(3)(at.ones(3, 4)), r"InstanceNorm2d: the input has shape \(3, 4\); expected"),
        (lambda: F.layer_norm(at.ones(2, 3), (3,), at.ones(3).double()), "weight has dtype float64; expected float32"),
        (lambda: F.normalize(at.arange(3), dim=0), "normalize: input has dtype int64"),
    ],
)
def test_layers_refuse(make, message):
    with pytest.raises((ValueError, TypeError), match=message):
        make()


def test_running_statistics_have_no_gradient():
    x, mean, var = at.ones(2, 3, 4), at.zeros(3, requires_grad=True), at.ones(3)
    with pytest.raises(RuntimeError, match="instance_norm: the running statistics require grad"):
        F.instance_norm(x, mean, var)


def test_batch_norm_begun_small_learns_slowly():
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.LayerNorm(4), nn.BatchNorm1d(4, affine=False))
    assert nn.utils.batch_norm_init_(model, 0.2) is model
    assert model[1].weight.tolist() == [np.float32(0.2)] * 4
    groups = at.optim.batch_norm_groups(model, lr=1.0, weight_decay=0.5, reduction=8.0)
    held = [[name for name, p in model.named_parameters() if any(p is q for q in g["params"])] for g in groups]
    assert held == [["0.weight"], ["0.bias", "1.bias", "2.weight", "2.bias"], ["1.weight"]]
    before = [p.detach().clone() for p in model.parameters()]
    for parameter in model.parameters():
        parameter.grad = at.ones_like(parameter.detach())
    at.optim.SGD(groups, lr=1.0).step()
    steps = [(a - b.detach()) for a, b in zip(before, model.parameters(), strict=True)]
    np.testing.assert_allclose(steps[0].numpy(), 1 + 0.5 * before[0].numpy(), rtol=1e-6)  # decayed
    assert [step.mean().item() for step in (steps[1], steps[3])] == [1.0, 1.0]
    np.testing.assert_allclose(steps[2].numpy(), 1 / 8, rtol=1e-6)
    assert len(at.optim.batch_norm_groups(nn.Linear(2, 2, bias=False), 1.0)) == 1
    with pytest.raises(ValueError, match="batch_norm_groups: reduction is 0"):
        at.optim.batch_norm_groups(model, 1.0, reduction=0)


@pytest.mark.parametrize(
    ("layer", "field"),
    [
        (nn.LocalResponseNorm(3), (5, 5)),
        (nn.GroupNorm(2, 4), (INF, INF)),
        (nn.InstanceNorm2d(4), (INF, INF)),
        (nn.LayerNorm([4, 16, 16]), (INF, INF)),
        (nn.LayerNorm(16), (5, INF)),  # along rows
        (nn.Dropout2d(), (5, 5)),
        (nn.ReLU6(), (5, 5)),
    ],
    ids=lambda value: type(value).__name__,
)
def test_receptive_fields(layer, field):
    model = nn.Sequential(nn.Conv2d(3, 4, 3), layer, nn.Conv2d(4, 4, 3))
    assert at.summary(model, 1, 3, 18, 18).rows[-1].receptive_field == field
