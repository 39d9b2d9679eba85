"""Fusion: the patterns of networks, what comes along in their kernels, and that values and gradients stay the same."""

import contextlib

import numpy as np
import pytest
from fusion_nets import Net, block, images, outcome, same, unfused, watched

import atrous as at
from atrous import autograd, fusion, layout, nn
from atrous.nn import functional as F

pytestmark = pytest.mark.usefixtures("everything_waits")


def block_in_place(net, x):
    """The same, as torchvision writes it."""
    relu = nn.ReLU(inplace=True)
    y = net.bn2(net.other(relu(net.bn(net.conv(x)))))
    y += x
    return relu(y)


PATTERNS = {  # what a network does, and the kernels with an epilogue that run for it: in training, in evaluation
    "conv relu": (
        lambda net, x: F.relu(net.conv(x)),
        ["conv2d_forward relu"],
        ["conv2d_forward relu"],
    ),
    "bn relu": (
        lambda net, x: F.relu(net.bn(x)),
        ["batch_norm_forward relu"],
        ["batch_norm_forward relu"],
    ),
    "add relu": (lambda net, x: F.relu(x + x * 2), ["add_forward relu"], ["add_forward relu"]),
    "linear relu": (
        lambda net, x: F.relu(net.linear(x.permute(0, 2, 3, 1).reshape(-1, 3))),
        ["linear_forward relu"],
        ["linear_forward relu"],
    ),
    "bn add relu": (
        lambda net, x: F.relu(net.bn(x) + x),
        ["batch_norm_forward residual relu_last"],
        ["batch_norm_forward residual relu_last"],
    ),
    "add bn relu": (
        lambda net, x: F.relu(x + net.bn(x)),
        ["batch_norm_forward residual relu_last"],
        ["batch_norm_forward residual relu_last"],
    ),
    "bn + bn": (
        lambda net, x: F.relu(net.bn(x) + net.bn2(x * 2)),
        ["batch_norm_forward residual relu_last", "batch_norm_forward"],
        ["batch_norm_forward residual relu_last", "batch_norm_forward"],
    ),
    "block": (
        block,
        ["batch_norm_forward relu", "batch_norm_forward residual relu_last"],
        ["conv2d_forward scale relu", "conv2d_forward scale residual relu_last"],
    ),
    "block in place": (
        block_in_place,
        ["batch_norm_forward relu", "batch_norm_forward residual relu_last"],
        ["conv2d_forward scale relu", "conv2d_forward scale residual relu_last"],
    ),
    "conv bn add": (
        lambda net, x: net.bn(net.conv(x)) + x,
        ["batch_norm_forward residual"],
        ["conv2d_forward scale residual"],
    ),
    "conv relu add": (
        lambda net, x: F.relu(net.conv(x)) + x,
        ["conv2d_forward relu", "add_forward"],
        ["conv2d_forward relu residual"],
    ),
    "conv add relu": (
        lambda net, x: F.relu(net.conv(x) + x),
        ["conv2d_forward residual relu_last"],
        ["conv2d_forward residual relu_last"],
    ),
    "conv bn relu add": (
        lambda net, x: F.relu(net.bn(net.conv(x))) + x,
        ["batch_norm_forward relu", "add_forward"],
        ["conv2d_forward scale relu residual"],
    ),
    "shortcut": (
        lambda net, x: F.relu(net.bn(net.conv(x)) + net.bn2(net.other(x))),
        ["batch_norm_forward residual relu_last", "batch_norm_forward"],
        ["conv2d_forward scale residual relu_last", "conv2d_forward scale"],
    ),
}


FORWARDS = ("conv2d_forward", "batch_norm_forward", "add_forward", "linear_forward", "relu_forward")


@pytest.mark.parametrize("pattern", PATTERNS)
def test_training_gives_the_bits_of_the_same_code_unfused(backend, monkeypatch, pattern):
    function, _, _ = PATTERNS[pattern]
    name = backend.__name__.rpartition(".")[2].lstrip("_")
    device = "cuda" if name == "cuda" else "cpu"
    with contextlib.nullcontext() if device == "cuda" else at.backend(name):
        x = images().to(device)
        fused = outcome(Net(function), x)
        same(fused, unfused(monkeypatch, lambda: outcome(Net(function), x)), exact=True)
        frozen = outcome(Net(function), x, training=False)  # gradients through running statistics
        same(frozen, unfused(monkeypatch, lambda: outcome(Net(function), x, training=False)), exact=True)


@pytest.mark.parametrize("pattern", PATTERNS)
def test_evaluation_gives_the_same_within_rounding(monkeypatch, pattern):
    net = Net(PATTERNS[pattern][0]).eval()
    with at.no_grad():
        fused = net(images())
        expected = unfused(monkeypatch, lambda: net(images()))
    same([fused.data], [expected.data], exact=False)
    assert fused.data.strides == expected.data.strides


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("pattern", PATTERNS)
def test_what_follows_comes_along(cpu, monkeypatch, pattern, training):
    spy = watched(cpu, monkeypatch)  # the reference's outputs are not channels-last, as a residual has to be
    function, *expected = PATTERNS[pattern]
    net, x = Net(function).train(training), images()
    with autograd.set_grad_enabled(training):
        net(x)
    calls = [name for name, count in spy.calls.items() for _ in range(count) if name.startswith(FORWARDS)]
    if training:
        calls = [name for name in calls if name != "conv2d_forward"]
    assert sorted(calls) == sorted(expected[0 if training else 1])


@pytest.mark.parametrize("pattern", PATTERNS)
def test_gradients_are_those_of_the_formula(pattern):
    net = Net(PATTERNS[pattern][0], at.float64)
    x = images(dtype=at.float64, requires_grad=True)
    assert at.gradcheck(net, [x])


def test_what_is_not_used_is_not_computed(spy):
    Net(lambda net, x: (net.conv(x), x)[1])(images())
    assert spy.calls["conv2d_forward"] == 0


def test_sums_reorder_no_memory(cpu):
    x, y = images(), at.ones(2, 3, 5, 4)
    net = Net(lambda net, x: (net.bn(x) + y, y + net.bn(x), x + y))
    before = layout.conversions()
    net(x)
    assert layout.conversions() == before


def test_nested_modules_are_one_pass(spy):
    inner = nn.Sequential(nn.Conv2d(3, 3, 1), nn.Sequential(nn.BatchNorm2d(3), nn.ReLU()))
    net = nn.Sequential(inner, nn.Conv2d(3, 2, 1), nn.ReLU(inplace=True)).eval()
    with at.no_grad():
        net(images())
    del spy.calls["random_bits"]  # for the weights
    assert spy.calls == {"conv2d_forward scale relu": 1, "conv2d_forward relu": 1}


def test_the_bits_of_an_image_do_not_depend_on_the_others(monkeypatch):
    monkeypatch.setattr(fusion, "SMALLEST", 300)  # one image has 240 bytes, two have 480
    net = Net(lambda net, x: F.relu(net.bn(net.conv(x)))).eval()
    x = images()
    with at.no_grad():
        np.testing.assert_array_equal(net(x[:1]).data, net(x).data[:1])
    net.requires_grad_(False)
    np.testing.assert_array_equal(net(x[:1]).data, net(x).data[:1])
    for p in net.conv.parameters():  # a recorded convolution, and a batch-norm that is not
        p.requires_grad_(True)

    def function(net, x):
        y = net.conv(x)
        with at.no_grad():
            return net.bn(y)

    net.function = function
    np.testing.assert_array_equal(net(x[:1]).data, net(x).data[:1])


def test_small_results_do_not_wait(monkeypatch):
    monkeypatch.setattr(fusion, "SMALLEST", 481)
    assert Net(lambda net, x: net.conv(x)._pending)(images()) is None
    monkeypatch.setattr(fusion, "SMALLEST", 480)
    assert Net(lambda net, x: net.conv(x)._pending)(images()) is not None
