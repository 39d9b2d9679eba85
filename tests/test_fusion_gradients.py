"""Fusion: the backward of what was fused: masks, hooks and gradients between, writes, a walk within the pass."""

import numpy as np
import pytest
from fusion_nets import Net, block, images, outcome, same, unfused, watched

import atrous as at
from atrous import autograd
from atrous.nn import functional as F

pytestmark = pytest.mark.usefixtures("everything_waits")


def test_the_mask_is_found_again_and_relu_backward_does_not_run(spy):
    outcome(Net(lambda net, x: F.relu(net.bn(x))), images())
    assert spy.calls["batch_norm_backward_train"] == 1
    assert spy.calls["relu_backward"] == 0


def test_the_mask_is_that_of_the_forward(spy):
    """Where z is 0, tiny, or NaN: the gradient passes where relu gave more than 0, or NaN."""
    x = images(shape=(64, 3, 16, 16), requires_grad=True)
    x.data[0, 0] = np.nan
    net = Net(lambda net, x: F.relu(net.bn(x)))
    with at.no_grad():
        net.bn.weight[1] = 1e-30
        net.bn.bias[1] = 0.0
    y = net(x)
    y.backward(at.ones_like(y))
    passes = (y.detach().data > 0) | np.isnan(y.detach().data)
    np.testing.assert_array_equal(net.bn.bias.grad.data, passes.sum(axis=(0, 2, 3)))


@pytest.mark.parametrize("what", ["hook", "retain_grad", "wanted", "module hook"])
def test_gradients_between_may_be_asked_for(monkeypatch, what):
    def run():
        found = []

        def function(net, x):
            z = net.bn(x)
            if what == "hook":
                z.register_hook(lambda grad: found.append(grad.data.copy()) or grad * 2)
            elif what == "retain_grad":
                z.retain_grad()
            net.z = z
            return F.relu(z)

        net, x = Net(function), images(requires_grad=True)
        if what == "module hook":
            net.bn.register_full_backward_hook(lambda module, grads, outs: found.append(outs[0].data.copy()))
        y = net(x)
        seed = images(3)
        if what == "wanted":
            return [g.data for g in autograd.grad((y * seed).sum(), [net.z, x])]
        (y * seed).sum().backward()
        return [*found, *([net.z.grad.data] if what == "retain_grad" else []), x.grad.data, net.bn.bias.grad.data]

    same(run(), unfused(monkeypatch, run), exact=True)


def test_a_second_backward_gives_the_same():
    net, x = Net(block), images(requires_grad=True)
    y = net(x).sum()
    y.backward(retain_graph=True)
    first = x.grad.data.copy()
    x.grad = None
    y.backward()
    np.testing.assert_array_equal(x.grad.data, first)
    with pytest.raises(RuntimeError, match="a second time"):
        y.backward()


@pytest.mark.parametrize("victim", ["x", "y"])
def test_a_change_in_place_afterwards_is_noticed(victim):
    inputs = images(requires_grad=True)
    c = inputs * 1
    y = Net(lambda net, x: F.relu(net.bn(x)))(c)
    (c if victim == "x" else y).add_(1)
    with pytest.raises(RuntimeError, match=("batch_norm" if victim == "x" else "relu") + ".*changed in place"):
        y.sum().backward()


def test_the_bias_may_change_before_the_backward(monkeypatch):
    def run():
        net, x = Net(lambda net, x: F.relu(net.bn(x))), images(requires_grad=True)
        y = net(x)
        with at.no_grad():
            net.bn.bias.add_(10)
        (y * images(3)).sum().backward()
        return [x.grad.data]

    same(run(), unfused(monkeypatch, run), exact=True)


def test_a_walk_on_another_backend_masks_by_what_relu_gave(cpu, monkeypatch):
    net, x = Net(lambda net, x: F.relu(net.bn(x))), images(requires_grad=True)
    y = net(x)
    spy = watched(at.reference, monkeypatch)
    y.sum().backward()
    assert spy.calls["relu_backward"] == 1


def test_a_backward_within_the_pass():
    def function(net, x):
        y = F.relu(net.bn(net.conv(x)))
        (g,) = autograd.grad(y.sum(), x, retain_graph=True)
        return y, g

    def plain(net, x):
        return F.relu(net.bn(net.conv(x)))

    x = images(requires_grad=True)
    _, g = Net(function)(x)
    Net(plain)(x).sum().backward()
    np.testing.assert_array_equal(g.data, x.grad.data)


def test_a_backward_within_the_pass_adds_to_gradients_that_an_op_has_read():
    net = Net(None)
    net.conv.weight.grad = at.ones_like(net.conv.weight)

    def function(net, x):
        y = F.conv2d(x, net.conv.weight.grad)
        net.conv(x).sum().backward()
        net.conv(x).sum().backward()  # this time into memory of the walk's own
        z = F.conv2d(x, net.conv.weight.grad)
        net.conv(x).sum().backward()
        return y, z, net.conv.weight.grad.detach().clone()

    net.function = function
    x = images()
    y, z, grad = net(x)
    net.conv.weight.grad = None
    net.function = lambda net, x: net.conv(x).sum()
    net(x).backward()
    one = net.conv.weight.grad
    same([z.data, grad.data], [F.conv2d(x, 2 * one + 1).data, (3 * one + 1).data], exact=False)
    same([y.data], [F.conv2d(x, at.ones_like(one)).data], exact=True)
