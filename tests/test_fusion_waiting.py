"""Fusion: when what waits is finished, at the latest when the call returns, and what may change until then."""

import gc
import sys
import threading
import weakref

import numpy as np
import pytest
from fusion_nets import Net, Spy, images, same, watched

import atrous as at
from atrous import fusion, nn, optim
from atrous.nn import functional as F

pytestmark = pytest.mark.usefixtures("everything_waits")


def test_values_are_there_when_the_call_returns():
    kept = []

    def function(net, x):
        a = net.conv(x)
        b = F.relu(a)
        kept.extend([a, b, net.bn(b)])
        net.stored = b + x
        return net.bn2(x), {"deep": [x + x]}

    net = Net(function)
    out, more = net(images())
    for t in [*kept, net.stored, out, *more["deep"]]:
        assert t._pending is None
        assert isinstance(t.data, np.ndarray)
    np.testing.assert_array_equal(kept[1].detach().data, np.maximum(kept[0].detach().data, 0))


def test_values_are_there_after_an_exception():
    kept = []

    def function(net, x):
        kept.append(F.relu(net.bn(x)))
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        Net(function)(images())
    assert kept[0]._pending is None
    assert not fusion.current.running


def test_nothing_waits_outside_a_module():
    x = images()
    assert F.conv2d(x, images(2, shape=(4, 3, 1, 1)))._pending is None
    assert (x + x)._pending is None
    assert F.batch_norm(x, None, None, training=True)._pending is None


def test_shape_and_dtype_need_no_values(spy):
    seen = []

    def function(net, x):
        y = net.conv(x)
        seen.extend([y.shape, y.ndim, y.dtype, y.size(1), y.dim(), y.numel(), y.nbytes, y.itemsize, len(y)])
        seen.extend([y.element_size(), y.is_floating_point(), y.requires_grad, y.is_leaf, y.device])
        assert y._pending is not None
        with pytest.raises(AttributeError, match="'Tensor' object has no attribute 'nonsense'"):
            y.nonsense  # noqa: B018

    Net(function)(images())
    assert spy.calls["conv2d_forward"] == 0
    assert seen == [(2, 3, 5, 4), 4, at.float32, 3, 4, 120, 480, 4, 2, 4, True, True, False, "cpu"]


def test_parameters_may_change_within_the_pass():
    def function(net, x):
        y = net.conv(x)
        z = net.bn(x)
        with at.no_grad():
            net.conv.weight.zero_()
            net.bn.weight.mul_(2)
        return y, z

    y, z = Net(function).eval()(images())
    expected = Net(lambda net, x: (net.conv(x), net.bn(x))).eval()(images())
    same([y.detach().data, z.detach().data], [t.detach().data for t in expected], exact=True)


def test_an_optimizer_may_step_within_the_pass():
    def function(net, x):
        y = net.conv(x)
        net.conv.weight.grad = at.ones_like(net.conv.weight)
        optim.SGD([net.conv.weight], lr=1.0).step()
        return y

    y = Net(function)(images())
    same([y.detach().data], [Net(lambda net, x: net.conv(x))(images()).detach().data], exact=True)


def test_running_statistics_may_move_within_the_pass():
    def function(net, x):
        net.bn.eval()
        y = net.bn(x)
        net.bn.train()
        net.bn(x)
        return y

    y = Net(function)(images())
    same([y.detach().data], [Net(lambda net, x: net.bn(x)).eval()(images()).detach().data], exact=True)


def test_statistics_are_taken_and_mistakes_are_found_at_the_call():
    def function(net, x):
        z = net.bn(x)
        assert z._pending is not None
        assert net.bn.num_batches_tracked.item() == 1
        assert abs(net.bn.running_mean.data - Net(None).bn.running_mean.data).max() > 0
        with pytest.raises(ValueError, match="x has 2 channels; expected 3"):
            net.conv(x[:, :2])
        return z

    Net(function)(images())


def test_modes_and_backends_may_change_between_call_and_values(backend):
    def function(net, x):
        with at.no_grad():
            a = net.bn(x)
        b = F.relu(a)
        with at.backend("reference"):
            c = net.conv(x)
        with at.no_grad():
            d = F.relu(net.bn(c))
        return a, b, c, d

    a, b, c, d = Net(function).eval()(images())
    assert [t.requires_grad for t in (a, b, c, d)] == [False, False, True, False]
    e = Net(lambda net, x: net.conv(x))(images())
    same([b.data, c.detach().data], [np.maximum(a.data, 0), e.detach().data], exact=False)


def test_an_op_runs_on_the_backend_that_was_active_at_its_call(monkeypatch):
    first, second = Spy(at.reference), Spy(at.reference)

    def function(net, x):
        with monkeypatch.context() as patch:
            patch.setattr(sys.modules["atrous.backend"]._choice, "kernels", first)
            z = net.conv(x)
        with monkeypatch.context() as patch:
            patch.setattr(sys.modules["atrous.backend"]._choice, "kernels", second)
            return F.relu(z)

    Net(function)(images())
    assert first.calls == {"conv2d_forward": 1}
    assert second.calls == {"relu_forward": 1}


def test_another_thread_may_ask_for_values():
    results = []

    def function(net, x):
        z = net.conv(x)

        def ask():
            y = F.relu(z)
            assert y._pending is None
            results.append(y.detach().data)

        threads = [threading.Thread(target=ask) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return z

    z = Net(function)(images()).detach().data
    assert len(results) == 4
    for result in results:
        np.testing.assert_array_equal(result, np.maximum(z, 0))


def test_threads_have_passes_of_their_own():
    inside, done = threading.Event(), threading.Event()

    def function(net, x):
        z = net.conv(x)
        inside.set()
        assert done.wait(10)
        assert z._pending is not None
        return z

    thread = threading.Thread(target=lambda: Net(function)(images()))
    thread.start()
    assert inside.wait(10)
    assert images()._pending is None
    assert F.conv2d(images(), images(2, shape=(4, 3, 1, 1)))._pending is None
    Net(lambda net, x: net.conv(x))(images())
    done.set()
    thread.join()


def test_forward_hooks_see_values(spy):
    seen = []
    net = Net(lambda net, x: F.relu(net.bn(net.conv(x)))).eval()
    net.conv.register_forward_hook(lambda module, args, y: seen.append(y._pending))
    net.bn.register_forward_pre_hook(lambda module, args: seen.append(args[0]._pending))
    with at.no_grad():
        net(images())
    assert seen == [None, None]
    assert spy.calls["conv2d_forward"] == 1


def test_a_failing_kernel_leaves_what_waits_for_it(backend, monkeypatch):
    spy = watched(backend, monkeypatch)
    kept = []

    def function(net, x):
        kept.append(net.conv(x))

    def broken(*args, **options):
        raise MemoryError("no more")

    spy.conv2d_forward = broken
    net = Net(function)
    with pytest.raises(MemoryError, match="no more"):
        net(images())
    assert not fusion.current.running
    assert [reference() for reference in fusion.current.waiting] == kept
    kept[0]._pending.function = backend.conv2d_forward
    fusion.finish()
    assert kept[0]._pending is None


def test_what_died_frees_its_input():
    def function(net, x):
        c = x * 2
        died = weakref.ref(c)
        y = net.conv(c)
        del c, y
        gc.collect()
        assert died() is None
        return x

    with at.no_grad():
        Net(function)(images())


def test_tools_that_watch_layers_still_do():
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    seen = []
    from atrous.nn.observe import observe
    from atrous.training.layer_times import time_layers

    observe(model, lambda name, layer, args, y: seen.append((name, y.data.shape)), images())
    assert seen[:3] == [("0", (2, 4, 3, 2)), ("1", (2, 4, 3, 2)), ("2", (2, 4, 3, 2))]
    assert [layer.kind for layer in time_layers(model, images(), repeat=1)][2] == "ReLU"
    assert "BatchNorm2d" in str(at.summary(model, (2, 3, 5, 4)))
