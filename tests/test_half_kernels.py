"""What is computed in 16 bits on a GPU alone: ops with kernels, losses, norms; against PyTorch and float32."""

import copy

import numpy as np
import pytest
from half import BOTH, DTYPES, ON, assert_close, in_torch, numbers

import atrous as at
from atrous import nn
from atrous.nn import functional as F

pytestmark = pytest.mark.usefixtures("device_at_hand")


# What has kernels runs in 16 bits on a GPU alone

REFUSED = {
    "conv2d": lambda x: F.conv2d(x, x),
    "conv_transpose2d": lambda x: F.conv_transpose2d(x, x),
    "linear": lambda x: F.linear(x, x[0, 0]),
    "matmul": lambda x: x @ x,
    "batch_norm": lambda x: F.batch_norm(x, None, None, training=True),
    "max_pool2d": lambda x: F.max_pool2d(x, 2),
    "avg_pool2d": lambda x: F.avg_pool2d(x, 2),
    "adaptive_avg_pool2d": lambda x: F.adaptive_avg_pool2d(x, 1),
    "relu": lambda x: F.relu(x),
    "leaky_relu": lambda x: F.leaky_relu(x),
    "sigmoid": lambda x: x.sigmoid(),
    "tanh": lambda x: x.tanh(),
    "gelu": lambda x: F.gelu(x),
    "interpolate": lambda x: F.interpolate(x, scale_factor=2),
    "dropout": lambda x: F.dropout(x, 0.5),
}


@BOTH
@pytest.mark.parametrize("kernels", ["cpu", "reference"])
@pytest.mark.parametrize("op", REFUSED)
def test_the_cpu_refuses(name, kernels, op, request):
    if kernels == "cpu":
        request.getfixturevalue("cpu")
    x = at.ones(2, 2, 2, 2, dtype=getattr(at, name))
    message = f"{name}; numbers of 16 bits are computed with on a GPU: move .* to\\('cuda'\\), or take x.float"
    with at.backend(kernels), pytest.raises(TypeError, match=message):
        REFUSED[op](x)


@BOTH
def test_optimizers_want_wide_parameters(name):
    w = at.ones(2, dtype=getattr(at, name), requires_grad=True)
    with pytest.raises(TypeError, match="float32"):
        at.optim.SGD([w], lr=0.1)


@ON
@BOTH
def test_losses_and_softmax_compute_in_float32(name, device, torch):
    x = at.from_numpy(numbers((5, 4)) * 4).to(name).to(device).requires_grad_()
    t = in_torch(x, torch).requires_grad_()
    y = at.tensor([0, 3, 1, 2, 2], device=device)
    for f in (lambda F, x, y: F.cross_entropy(x, y), lambda F, x, y: F.nll_loss(F.log_softmax(x, dim=1), y)):
        assert_close(f(F, x, y), f(torch.nn.functional, t, torch.tensor(y.tolist())), ulps=2)
    for f in (lambda F, x: F.softmax(x, dim=1), lambda F, x: F.log_softmax(x, dim=0)):
        assert_close(f(F, x), f(torch.nn.functional, t))
    F.cross_entropy(x, y).backward()
    torch.nn.functional.cross_entropy(t, torch.tensor(y.tolist())).backward()
    assert x.grad.dtype == x.dtype
    np.testing.assert_allclose(x.grad.cpu().float().numpy(), t.grad.float().numpy(), atol=4 * DTYPES[name])
    assert F.mse_loss(x, x.detach() * 0.5).dtype == x.dtype
    assert F.binary_cross_entropy_with_logits(x, (x > 0).to(x.dtype)).dtype == x.dtype


@BOTH
@pytest.mark.usefixtures("cuda")
@pytest.mark.parametrize(
    "op", ["gelu", "silu", "elu", "softplus", "mish", "hardswish", "relu6", "logsigmoid", "softsign"]
)
def test_activations_without_kernels(name, op, torch):
    x = at.from_numpy(numbers((50,)) * 2).to(name).to("cuda").requires_grad_()
    t = in_torch(x, torch).requires_grad_()
    y, s = getattr(F, op)(x), getattr(torch.nn.functional, op)(t)
    assert_close(
        y, s, ulps=2, more=2 * DTYPES[name]
    )  # softsign is two functions there, and tanh's digits cancel in some
    y.backward(at.ones_like(y))
    s.backward(torch.ones_like(s))
    np.testing.assert_allclose(x.grad.cpu().float().numpy(), t.grad.float().numpy(), atol=4 * DTYPES[name])


@BOTH
@pytest.mark.usefixtures("cuda")
@pytest.mark.parametrize("norm", ["layer_norm", "group_norm", "rms_norm", "instance_norm"])
def test_norms_without_kernels(name, norm, torch):
    x = at.from_numpy(numbers((3, 4, 5)) * 2).to(name).to("cuda").requires_grad_()
    t = in_torch(x, torch).requires_grad_()
    arguments = {"group_norm": (2,), "instance_norm": ()}.get(norm, ((4, 5),))
    y, s = getattr(F, norm)(x, *arguments), getattr(torch.nn.functional, norm)(t, *arguments)
    np.testing.assert_allclose(y.detach().cpu().float().numpy(), s.detach().float().numpy(), atol=8 * DTYPES[name])
    assert y.dtype == x.dtype
    y.backward(x.detach())
    assert x.grad.dtype == x.dtype


# With kernels


def arguments(op, dtype, parameters):
    """x and parameters of an op on the GPU, the maps of one dtype and the parameters of another."""

    def make(shape, seed, dtype=dtype):
        return at.from_numpy(numbers(shape, seed=seed)).to(dtype).to("cuda").requires_grad_()

    if op == "batch_norm":
        return make((4, 6, 5, 5), 0), make((6,), 1, parameters), make((6,), 2, parameters)
    shapes = {"conv2d": (6, 6, 3, 3), "conv_transpose2d": (6, 6, 3, 3), "linear": (7, 6)}
    x = make((4, 6) if op == "linear" else (4, 6, 5, 5), 0)
    return x, make(shapes[op], 1), make((shapes[op][0],), 2, parameters)


def call(op, x, weight, bias):
    if op == "batch_norm":
        return F.batch_norm(x, None, None, weight, bias, training=True)
    return getattr(F, op)(x, weight, bias)


@pytest.mark.usefixtures("cuda")
@BOTH
@pytest.mark.parametrize("op", ["conv2d", "conv_transpose2d", "linear", "batch_norm"])
@pytest.mark.parametrize("parameters", ["float32", "same"])
def test_parameters_are_computed_in_float32(name, op, parameters):
    """Both kinds of parameters give what float32 gives on the same numbers, rounded; gradients come in their dtype."""
    dtype = getattr(at, name)
    given = arguments(op, dtype, dtype if parameters == "same" else at.float32)
    y = call(op, *given)
    y.backward(at.ones_like(y))
    wide = [t.detach().float().requires_grad_() for t in given]
    expected = call(op, *wide)
    expected.backward(at.ones_like(expected))
    assert y.dtype == dtype
    assert [t.grad.dtype for t in given] == [t.dtype for t in given]
    # two roundings of y at most (conv_transpose2d adds its bias to the rounded sum)
    bound = 2 * DTYPES[name] * (expected.detach().abs().max().item() + 4)
    assert (y.detach().float() - expected.detach()).abs().max().item() <= bound
    for t, w in zip(given, wide, strict=True):
        bound = 4 * DTYPES[name] * (w.grad.abs().max().item() + 1)
        assert (t.grad.float() - w.grad).abs().max().item() <= bound


@pytest.mark.usefixtures("cuda")
@BOTH
@pytest.mark.parametrize("training", [True, False])
def test_running_statistics_of_16_bits_are_written_back(name, training):
    x = at.from_numpy(numbers((4, 6, 5, 5))).to(name).to("cuda")
    layer = nn.BatchNorm2d(6).to("cuda")
    layer.train(training)
    half = copy.deepcopy(layer).to(name)
    y, expected = half(x), layer(x)
    assert y.dtype == x.dtype
    assert half.running_mean.dtype == x.dtype
    if training:
        assert half.running_mean.abs().max().item() > 0
    for own, wide in ((half.running_mean, layer.running_mean), (half.running_var, layer.running_var)):
        assert (own.float() - wide).abs().max().item() <= DTYPES[name] * 2
    assert (y.float() - expected.float()).abs().max().item() <= 16 * DTYPES[name]


@pytest.mark.usefixtures("cuda")
@BOTH
def test_other_dtypes_are_not_mixed(name):
    x, weight, bias = arguments("conv2d", getattr(at, name), at.float32)
    with pytest.raises(TypeError, match=f"weight has dtype float32; expected {name} as x"):
        F.conv2d(x, weight.float(), bias)
    with pytest.raises(TypeError, match="bias has dtype float64"):
        F.conv2d(x, weight, bias.double())
    with pytest.raises(TypeError, match=f"bias has dtype {name}; expected float32"):
        F.conv2d(x.float(), weight.float(), bias.to(name))


@pytest.mark.usefixtures("cuda")
@BOTH
@pytest.mark.parametrize(
    "shapes", [((3, 4), (4, 5)), ((2, 3, 4), (2, 4, 5)), ((2, 3, 4), (4, 5)), ((4,), (4,)), ((0, 4), (4, 5))]
)
def test_matmul(name, shapes):
    a, b = (
        at.from_numpy(numbers(shape, seed=i)).to(name).to("cuda").requires_grad_() for i, shape in enumerate(shapes)
    )
    y = a @ b
    y.sum().backward()
    expected = a.detach().float() @ b.detach().float()
    assert y.dtype == a.grad.dtype == b.grad.dtype == getattr(at, name)
    np.testing.assert_allclose(
        y.detach().cpu().float().numpy(), expected.cpu().numpy(), rtol=4 * DTYPES[name], atol=1e-3
    )


@pytest.mark.usefixtures("cuda")
@BOTH
def test_an_empty_sum_of_a_linear_layer_is_its_bias(name):
    x = at.zeros(3, 0, dtype=getattr(at, name), device="cuda")
    y = F.linear(x, at.zeros(2, 0, dtype=x.dtype, device="cuda"), at.tensor([1.5, -2.0], device="cuda"))
    assert y.dtype == x.dtype
    assert y.tolist() == [[1.5, -2.0]] * 3


@pytest.mark.usefixtures("cuda")
@BOTH
def test_a_whole_network_of_16_bits(name):
    """Forward and backward as in float32, off by some roundings: each layer's output has one."""
    at.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(8, 8, 3), nn.Sigmoid(),
        nn.Upsample(scale_factor=2), nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(32, 5),
    ).to("cuda")  # fmt: skip
    half = copy.deepcopy(net).to(name)
    x = at.from_numpy(numbers((4, 3, 10, 10))).to("cuda")
    y, expected = half(x.to(name)), net(x)
    assert y.dtype == getattr(at, name)
    assert (y.float() - expected).abs().max().item() <= 16 * DTYPES[name] * expected.abs().max().item()
    y.float().square().sum().backward()
    assert {p.grad.dtype for p in half.parameters()} == {getattr(at, name)}
