"""GradScaler: against PyTorch's over sequences of good and bad steps; its state; how often it waits for the GPU."""

import json
import math
import pickle
import re

import numpy as np
import pytest

import atrous as at
from atrous import gpu, nn
from atrous.amp import GradScaler

BAD = (math.inf, -math.inf, math.nan)


def pair(lib, lr=0.1):
    """Two parameters of a library, and an optimizer of both."""
    params = [lib.tensor(values, requires_grad=True) for values in ([1.0, -2.0], [[0.5]])]
    return params, lib.optim.SGD(params, lr=lr, momentum=0.9)


def step(params, optimizer, scaler, factor):
    """One step on a loss whose gradient is the factor (and its square for the second parameter)."""
    optimizer.zero_grad()
    loss = (params[0] * factor).sum() + (params[1] * (factor * factor)).sum()
    scaler.scale(loss).backward()
    scaler.step(optimizer)
    scaler.update()


@pytest.mark.parametrize("bad", BAD)
def test_the_same_weights_and_scales_as_pytorchs(bad):
    torch = pytest.importorskip("torch")
    settings = {"init_scale": 8.0, "growth_factor": 3.0, "backoff_factor": 0.25, "growth_interval": 2}
    ours, theirs = GradScaler("cpu", **settings), torch.amp.GradScaler("cpu", **settings)
    (params, optimizer), (others, other) = pair(at), pair(torch)
    for i, factor in enumerate([1.0, 0.5, bad, 2.0, bad, bad, 1.0, 1.0, 1.0, 1e37, 1.0]):
        step(params, optimizer, ours, factor)
        step(others, other, theirs, factor)
        assert ours.get_scale() == theirs.get_scale(), i
        assert ours.state_dict() == theirs.state_dict(), i
        for p, q in zip(params, others, strict=True):
            # a scale that is no power of two rounds twice
            np.testing.assert_allclose(p.detach().numpy(), q.detach().numpy(), rtol=4 * 2.0**-24)


def test_scaling_by_a_power_of_two_changes_no_bit():
    (params, optimizer), (others, other) = pair(at), pair(at)
    for factor in (0.3, -1.7, 0.01):
        step(params, optimizer, GradScaler("cpu"), factor)
        step(others, other, GradScaler("cpu", enabled=False), factor)
    for p, q in zip(params, others, strict=True):
        np.testing.assert_array_equal(p.detach().numpy(), q.detach().numpy())


@pytest.mark.parametrize(("enabled", "expected"), [(True, 1e-8), (False, 0.0)])
def test_small_gradients_survive_float16(enabled, expected):
    """1e-8 is 0 in float16; times 2^16 it is not. The map between loss and weight is of 16 bits, as in autocast."""
    w = at.tensor([1.0], requires_grad=True)
    scaler = GradScaler("cpu", enabled=enabled)
    scaler.scale((w.half() * 1).float().sum() * 1e-8).backward()
    scaler.unscale_(at.optim.SGD([w], lr=1.0))
    np.testing.assert_allclose(w.grad.item(), expected, rtol=2.0**-11)


@pytest.mark.parametrize("bad", BAD)
@pytest.mark.parametrize("where", [0, 1])
def test_one_bad_number_stops_the_step(bad, where):
    params, optimizer = pair(at)
    scaler = GradScaler("cpu")
    before = [p.detach().numpy().copy() for p in params]
    scaler.scale((params[0] * 1e-3).sum() + (params[1] * 1e30).sum()).backward()
    with at.no_grad():
        params[where].grad[..., -1] = bad
    assert scaler.step(optimizer) is None
    scaler.update()
    assert scaler.get_scale() == 2.0**15
    for p, old in zip(params, before, strict=True):
        np.testing.assert_array_equal(p.detach().numpy(), old)


def test_large_finite_gradients_do_not_stop_it():
    """Whose sum is no float32."""
    w = at.zeros(4, requires_grad=True)
    scaler, optimizer = GradScaler("cpu", init_scale=1.0), at.optim.SGD([w], lr=1.0)
    scaler.scale((w * 3e38).sum()).backward()
    scaler.step(optimizer)
    assert w[0].item() == np.float32(-3e38)


def test_clipping_between_unscale_and_step():
    params, optimizer = pair(at, lr=1.0)
    scaler = GradScaler("cpu")
    scaler.scale((params[0] * 30.0).sum() + (params[1] * 0.0).sum()).backward()
    scaler.unscale_(optimizer)
    norm = nn.utils.clip_grad_norm_(params, 1.0)
    np.testing.assert_allclose(norm.item(), 30 * math.sqrt(2), rtol=1e-6)
    scaler.step(optimizer)  # divides no second time
    scaler.update()
    np.testing.assert_allclose(params[0].tolist(), [1 - math.sqrt(0.5), -2 - math.sqrt(0.5)], rtol=1e-6)


def test_dividing_counts_as_a_write():
    w = at.tensor([1.0], requires_grad=True)
    scaler = GradScaler("cpu")
    scaler.scale(w.sum()).backward()
    y = at.ones(1, requires_grad=True) * w.grad
    scaler.unscale_(at.optim.SGD([w], lr=1.0))
    with pytest.raises(RuntimeError, match="changed in place"):
        y.backward()


def test_two_optimizers_share_the_verdict():
    (params, first), (others, second) = pair(at), pair(at)
    scaler = GradScaler("cpu")
    losses = scaler.scale([(params[0] * 1.0).sum(), (others[0] * math.inf).sum()])
    assert isinstance(losses, list)
    for loss in losses:
        loss.backward()
    for optimizer in (first, second):
        scaler.step(optimizer)
    scaler.update()
    assert params[0].tolist() != [1.0, -2.0]
    assert others[0].tolist() == [1.0, -2.0]
    assert scaler.get_scale() == 2.0**15


def test_accumulated_gradients_are_divided_once():
    w = at.tensor([1.0], requires_grad=True)
    scaler, optimizer = GradScaler("cpu"), at.optim.SGD([w], lr=1.0)
    for _ in range(4):
        scaler.scale(w.sum() / 4).backward()
    scaler.step(optimizer)
    scaler.update()
    assert w.item() == 0.0


def test_bfloat16_gradients_are_divided_and_float16_ones_refused():
    for dtype in (at.bfloat16, at.float16):
        w = at.ones(2, requires_grad=True)
        optimizer, scaler = at.optim.SGD([w], lr=1.0), GradScaler("cpu")
        w.data = w.data.astype(dtype)
        scaler.scale((w * 0.5).sum().float()).backward()
        if dtype == at.float16:
            with pytest.raises(ValueError, match="a gradient is float16; expected float32"):
                scaler.unscale_(optimizer)
        else:
            scaler.unscale_(optimizer)
            assert w.grad.tolist() == [0.5, 0.5]


# What a user may do wrong


def test_misuse():
    params, optimizer = pair(at)
    scaler = GradScaler("cpu")
    with pytest.raises(RuntimeError, match=r"no step\(\) or unscale_\(\) since"):
        scaler.update()
    with pytest.raises(RuntimeError, match="no parameter of the optimizer has a gradient"):
        scaler.step(optimizer)
    scaler.update()
    scaler.scale(params[0].sum()).backward()
    scaler.unscale_(optimizer)
    with pytest.raises(RuntimeError, match=r"unscale_\(\) was called for this optimizer since"):
        scaler.unscale_(optimizer)
    scaler.step(optimizer)
    with pytest.raises(RuntimeError, match="called already for this optimizer"):
        scaler.step(optimizer)
    with pytest.raises(RuntimeError, match=r"step\(\) was called for this optimizer since"):
        scaler.unscale_(optimizer)
    scaler.update()
    with pytest.raises(RuntimeError, match="a closure is not supported"):
        scaler.step(optimizer, lambda: None)
    with pytest.raises(TypeError, match="got a float"):
        scaler.scale(1.0)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"device": "xpu"}, "device is 'xpu'"),
        ({"growth_factor": 1.0}, "growth_factor is 1.0; expected more than 1"),
        ({"backoff_factor": 1.0}, "backoff_factor is 1.0; expected a number between 0 and 1"),
        ({"growth_interval": 0}, "growth_interval is 0; expected 1 or more"),
        ({"init_scale": 0}, "init_scale is 0; expected a positive number"),
    ],
)
def test_settings_out_of_range(settings, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        GradScaler(**{"device": "cpu", **settings})


def test_disabled_it_passes_everything_through():
    params, optimizer = pair(at)
    scaler = GradScaler("cpu", enabled=False)
    loss = params[0].sum()
    assert scaler.scale(loss) is loss
    loss.backward()
    scaler.unscale_(optimizer)
    assert scaler.step(optimizer, lambda: 7.0) == 7.0
    scaler.update()
    assert (scaler.get_scale(), scaler.state_dict(), scaler.is_enabled()) == (1.0, {}, False)
    scaler.load_state_dict({})


def test_without_a_gpu_it_warns_and_is_off(monkeypatch):
    monkeypatch.setattr(gpu, "available", lambda: False)
    with pytest.warns(UserWarning, match="no GPU that can be used; nothing is scaled"):
        assert not GradScaler().is_enabled()


# The scale, and its state


def test_the_scale_grows_shrinks_and_can_be_set():
    params, optimizer = pair(at)
    scaler = GradScaler("cpu", init_scale=4.0, growth_interval=2)
    for _ in range(2):
        step(params, optimizer, scaler, 1.0)
    assert scaler.get_scale() == 8.0
    step(params, optimizer, scaler, math.nan)
    assert scaler.get_scale() == 4.0
    step(params, optimizer, scaler, 1.0)
    step(params, optimizer, scaler, math.nan)  # starts to count anew
    step(params, optimizer, scaler, 1.0)
    assert scaler.get_scale() == 2.0
    scaler.update(128.0)
    assert scaler.get_scale() == 128.0
    scaler.set_growth_factor(4.0), scaler.set_backoff_factor(0.25), scaler.set_growth_interval(3)
    found = scaler.get_growth_factor(), scaler.get_backoff_factor(), scaler.get_growth_interval()
    assert found == (4.0, 0.25, 3)


def test_the_scale_stays_a_float32():
    params, optimizer = pair(at, lr=0.0)
    scaler = GradScaler("cpu", init_scale=2.0**127, growth_interval=1)
    step(params, optimizer, scaler, 2.0**-100)
    assert scaler.get_scale() == 2.0**127


def test_a_resumed_run_goes_on_as_the_first_would_have(tmp_path):
    factors = [1.0, math.inf, 0.5, 2.0, 1.0, math.nan, 1.0]
    scaler = GradScaler("cpu", growth_interval=2)
    params, optimizer = pair(at)
    for factor in factors[:3]:
        step(params, optimizer, scaler, factor)
    at.save({"scaler": scaler.state_dict(), "optimizer": optimizer.state_dict(), "params": params}, tmp_path / "run.at")
    assert json.loads(json.dumps(scaler.state_dict())) == scaler.state_dict()
    read = at.load(tmp_path / "run.at")
    others, other = pair(at)
    with at.no_grad():
        for p, q in zip(others, read["params"], strict=True):
            p.copy_(q)
    other.load_state_dict(read["optimizer"])
    again = GradScaler("cpu")
    again.load_state_dict(read["scaler"])
    for factor in factors[3:]:
        step(params, optimizer, scaler, factor)
        step(others, other, again, factor)
    assert again.state_dict() == scaler.state_dict()
    for p, q in zip(params, others, strict=True):
        assert at.equal(p, q)
    assert pickle.loads(pickle.dumps(scaler)).state_dict() == scaler.state_dict()


def test_a_state_that_lacks_something_loads_nothing():
    scaler = GradScaler("cpu")
    with pytest.raises(ValueError, match=r"scale, growth_factor, .* is missing"):
        scaler.load_state_dict({})
    with pytest.raises(ValueError, match="_growth_tracker is missing"):
        scaler.load_state_dict({key: 1.0 for key in scaler.state_dict() if key != "_growth_tracker"})
    assert scaler.get_scale() == 2.0**16


def test_pytorchs_state_loads():
    torch = pytest.importorskip("torch")
    theirs = torch.amp.GradScaler("cpu", init_scale=32.0)
    ours = GradScaler("cpu")
    ours.load_state_dict(theirs.state_dict())
    assert ours.state_dict() == theirs.state_dict()


# On a GPU


def test_on_a_gpu_it_waits_once_a_step(cuda, monkeypatch):
    params = [at.ones(3, 4, device="cuda", requires_grad=True) for _ in range(5)]
    optimizer, scaler = at.optim.SGD(params, lr=1.0), GradScaler()
    scaler.scale(sum(((p * 0.5).sum() for p in params), at.zeros(1, device="cuda"))).backward()
    waits, inside = [], []  # one may call another

    def waiting(plain, array):
        waits.extend([] if inside else [1])
        inside.append(1)
        value = plain(array)
        inside.pop()
        return value

    for method in ("__float__", "__bool__", "__int__", "get"):
        plain = getattr(gpu.cupy.ndarray, method)
        monkeypatch.setattr(gpu.cupy.ndarray, method, lambda array, plain=plain: waiting(plain, array))
    scaler.unscale_(optimizer)
    assert len(waits) == 0
    scaler.step(optimizer)
    scaler.update()
    scaler.get_scale()
    assert len(waits) == 1
    assert params[0].grad.tolist() == [[0.5] * 4] * 3
    assert params[4].tolist() == [[0.5] * 4] * 3
