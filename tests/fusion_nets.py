"""What the tests of fusion share: a network of any function, a run of it fused or unfused, a count of kernels."""

import collections
import sys

import numpy as np

import atrous as at
from atrous import fusion, nn
from atrous.nn import functional as F


class Spy:
    """A backend that counts: "conv2d_forward relu" for a call of conv2d_forward with relu=True."""

    def __init__(self, kernels):
        self.kernels, self.__name__, self.calls = kernels, kernels.__name__, collections.Counter()

    def __getattr__(self, name):
        def counted(*args, **options):
            self.calls[" ".join([name, *options])] += 1
            return kernel(*args, **options)

        kernel = getattr(self.kernels, name)
        setattr(self, name, counted)
        return counted


def watched(kernels, monkeypatch):
    spy = Spy(kernels)
    monkeypatch.setattr(sys.modules["atrous.backend"]._choice, "kernels", spy)
    return spy


class Net(nn.Module):
    """Runs a function of itself and its inputs; conv, bn, and so on are there to be used."""

    def __init__(self, function, dtype=at.float32, channels=3):
        super().__init__()
        generator = np.random.default_rng(0)
        self.function = function
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)
        self.other = nn.Conv2d(channels, channels, 1, bias=False)
        self.bn, self.bn2 = nn.BatchNorm2d(channels), nn.BatchNorm2d(channels)
        self.linear = nn.Linear(channels, 4)
        with at.no_grad():
            for p in [*self.parameters(), *self.buffers()]:
                if p.is_floating_point():
                    p.copy_(generator.uniform(0.5, 1.5, p.shape) * generator.choice([-1, 1], p.shape))
            for bn in (self.bn, self.bn2):
                bn.running_var.copy_(generator.uniform(0.5, 1.5, channels))
        self.to(dtype)

    def forward(self, *inputs):
        return self.function(self, *inputs)


def images(seed=1, dtype=at.float32, requires_grad=False, shape=(2, 3, 5, 4)):
    N, C, H, W = shape
    array = np.random.default_rng(seed).standard_normal((N, H, W, C)).astype(dtype)
    return at.Tensor(array.transpose(0, 3, 1, 2), requires_grad=requires_grad)


def block(net, x):
    """A residual block, as in a ResNet."""
    y = F.relu(net.bn(net.conv(x)))
    return F.relu(net.bn2(net.other(y)) + x)


def unfused(monkeypatch, function):
    """What the function gives where nothing waits."""
    with monkeypatch.context() as patch:
        patch.setattr(fusion, "pend", lambda *args, **options: None)
        return function()


def outcome(net, x, training=True):
    """Output, gradients of input and parameters, and buffers after a step forward and back, where x is."""
    net.to(x.device).train(training)
    x = x.detach().clone().requires_grad_()
    y = net(x)
    (y * at.tensor(np.cos(np.arange(y.numel())).reshape(y.shape), y.dtype, y.device)).sum().backward()
    grads = [t.grad for t in (x, *net.parameters()) if t.grad is not None]
    return [t.detach().cpu().data for t in (y, *grads, *net.buffers())]


def same(found, expected, exact):
    assert len(found) == len(expected)
    for a, b in zip(found, expected, strict=True):
        if exact:
            np.testing.assert_array_equal(a, b)
        else:
            np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5 * max(1, np.abs(b).max(initial=0)))
