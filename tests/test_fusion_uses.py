"""Fusion: values that are used elsewhere, written to, viewed or exported are those of the same code unfused."""

import re

import numpy as np
import pytest
from fusion_nets import Net, images, outcome, same, unfused

import atrous as at
from atrous import nn
from atrous.nn import functional as F

pytestmark = pytest.mark.usefixtures("everything_waits")


def twice(net, x):
    return F.relu(net.bn(x)) + net.bn2(F.relu(net.bn(x)))


def z_and_relu(net, x):
    z = net.bn(x)
    return F.relu(z) * z


def relu_then_z(net, x):
    z = net.bn(x)
    return net.other(F.relu(z)) + z


def conv_and_relu(net, x):
    z = net.conv(x)
    return F.relu(z) + z


def conv_relu_then_conv(net, x):
    z = net.conv(x)
    return net.other(F.relu(z)) + z


def two_of_one_conv(net, x):
    z = net.conv(x)
    return F.relu(z) - (z + x)


def three_of_one_conv(net, x):
    z = net.conv(x)
    a, b = F.relu(z), F.relu(z) + x
    del z
    return a - b * a


def itself(net, x):
    z = net.bn(x)
    return F.relu(z + z)


def detached(net, x):
    z = net.bn(x)
    return F.relu(z) + z.detach()


def viewed(net, x):
    z = net.bn(x)
    return F.relu(z)[:, :1] + z[:, 1:2]


def exported(net, x):
    z = net.bn(x)
    return F.relu(z) + at.from_numpy(z.detach().numpy())


def written_before(net, x):
    return F.relu(net.bn(x).add_(1))


def input_written(net, x):
    c = x.detach().clone()
    with at.no_grad():
        z = net.bn(c)
        c.mul_(3)
    return F.relu(z) * x


def input_indexed(net, x):
    c = x.detach().clone()
    with at.no_grad():
        z = net.bn(c)
        c[0] = 5.0
    return F.relu(z) * x


def input_written_through_a_view(net, x):
    c = x.detach().clone()
    with at.no_grad():
        z = net.bn(c)
        c[0].fill_(2)
    return F.relu(z) * x


def input_written_through_numpy(net, x):
    c = x.detach().clone()
    with at.no_grad():
        z = net.bn(c)
        c.numpy()[...] = 3
    return F.relu(z) * x


def residual_written(net, x):
    c = x.detach().clone()
    z = net.bn(x) + c
    c.add_(3)
    return F.relu(z)


def written_after_its_relu(net, x):
    z = net.bn(x)
    y = F.relu(z)
    z.mul_(2)
    return y + z


def conv_written_after_its_relu(net, x):
    z = net.conv(x)
    y = F.relu(z)
    z.mul_(2)
    return y + z


def written_without_gradient(net, x):
    z = net.bn(x)
    with at.no_grad():
        z += x.detach()
    return F.relu(z)


def result_written(net, x):
    y = F.relu(net.bn(x)).detach()
    y.mul_(2)
    return y * x


def in_place_then_old(net, x):
    z = net.conv(x)
    q = F.relu(z) + x
    F.relu(z, inplace=True)
    return q - z


def in_place_twice(net, x):
    z = net.bn(x)
    z += x
    z += x
    return z.relu()


def in_place_of_what_has_no_gradient(net, x):
    with at.no_grad():
        z = net.bn(x)
    z += x
    return F.relu(z)


USES = {
    function.__name__: function
    for function in [
        twice,
        z_and_relu,
        relu_then_z,
        conv_and_relu,
        conv_relu_then_conv,
        two_of_one_conv,
        three_of_one_conv,
        itself,
        detached,
        viewed,
        exported,
        written_before,
        input_written,
        input_indexed,
        input_written_through_a_view,
        input_written_through_numpy,
        residual_written,
        written_after_its_relu,
        conv_written_after_its_relu,
        written_without_gradient,
        result_written,
        in_place_then_old,
        in_place_twice,
        in_place_of_what_has_no_gradient,
    ]
} | {
    "relu of relu": lambda net, x: F.relu(F.relu(net.bn(x))),
    "relu add relu add": lambda net, x: F.relu(F.relu(net.conv(x)) + x) + x,
    "broadcast": lambda net, x: F.relu(net.bn(x) + x[:1]),
    "number": lambda net, x: F.relu(net.bn(x) + 1),
    "other memory order": lambda net, x: F.relu(net.bn(x) + at.ones(2, 3, 5, 4)),
    "other dtype": lambda net, x: F.relu(net.bn(x) + at.ones(2, 3, 5, 4, dtype=at.int64)),
    "one image": lambda net, x: F.relu(net.conv(x[0])) + x[1],
    "rows": lambda net, x: F.relu(nn.functional.batch_norm(x.reshape(6, 20), None, None, training=True)),
}


@pytest.mark.parametrize("use", USES)
def test_other_uses_see_the_same(monkeypatch, use):
    expected = unfused(monkeypatch, lambda: outcome(Net(USES[use]), images()))
    same(outcome(Net(USES[use]), images()), expected, exact=True)
    net = Net(USES[use]).eval()
    with at.no_grad():
        fused = net(images())
        same([fused.data], [unfused(monkeypatch, lambda: net(images())).data], exact=False)


@pytest.mark.parametrize("use", ["conv_and_relu", "two_of_one_conv", "three_of_one_conv", "in_place_then_old"])
def test_no_convolution_runs_twice(spy, use):
    net = Net(USES[use]).eval()
    with at.no_grad():
        net(images())
    assert sum(count for name, count in spy.calls.items() if name.startswith("conv2d_forward")) == 1


def test_a_convolution_whose_values_are_held_runs_once(spy):
    net = Net(conv_relu_then_conv).eval()
    with at.no_grad():
        net(images())
    assert sum(count for name, count in spy.calls.items() if name.startswith("conv2d_forward")) == 2


STEPS = {
    "conv": lambda net, a, b: net.conv(a) * 0.2,
    "wait": lambda net, a, b: net.conv(a),
    "other": lambda net, a, b: net.other(a),
    "bn": lambda net, a, b: net.bn(a),
    "bn2": lambda net, a, b: net.bn2(a),
    "relu": lambda net, a, b: F.relu(a),
    "add": lambda net, a, b: a + b,
    "relu_": lambda net, a, b: F.relu(a, inplace=True),
    "add_": lambda net, a, b: a.add_(b),
    "mul_": lambda net, a, b: a.mul_(0.5),
    "detach": lambda net, a, b: a.detach(),
    "write": lambda net, a, b: a.detach().fill_(0.5),
    "read": lambda net, a, b: a * float(b.detach().data.mean()),
    "zeros": lambda net, a, b: at.zeros_like(a),
}


def program(seed):
    """A random run of steps on three tensors at a time, each of which replaces one of them."""
    generator = np.random.default_rng(seed)
    steps = [(generator.choice(list(STEPS)), *generator.integers(0, 3, 3)) for _ in range(12)]

    def function(net, x):
        held = [x * 1, x * 2, net.bn(x)]
        for name, i, j, k in steps:
            held[k] = STEPS[name](net, held[i], held[j])
        return held[0] + held[1] * 2 + held[2] * 3

    return function


def attempt(net, x):
    try:
        return outcome(net, x)
    except RuntimeError as error:  # changed in place
        return re.sub(r"\(.*\)", "", str(error))


@pytest.mark.parametrize("seed", range(60))
def test_any_program_gives_the_same(monkeypatch, seed):
    function = program(seed)
    found = attempt(Net(function), images())
    expected = unfused(monkeypatch, lambda: attempt(Net(function), images()))
    if isinstance(found, str) or isinstance(expected, str):
        assert found == expected
    else:
        same(found, expected, exact=True)
    net = Net(function).eval()
    with at.no_grad():
        y = net(images()).data
        expected = unfused(monkeypatch, lambda: net(images()).data)
    np.testing.assert_allclose(y, expected, rtol=0, atol=1e-5 * np.abs(expected).max())
