"""Optimizers: steps by hand, PyTorch's numbers over several steps, groups, states, bad input."""

import copy
import pickle
import re

import numpy as np
import pytest

import atrous as at
from atrous import nn, optim

SHAPES = [(3, 4), (5,), (2, 3, 3, 3), ()]

CONFIGS = [
    ("SGD", dict(lr=0.1)),
    ("SGD", dict(lr=0.1, momentum=0.9)),
    ("SGD", dict(lr=0.1, momentum=0.9, dampening=0.5, weight_decay=0.1)),
    ("SGD", dict(lr=0.1, momentum=0.9, nesterov=True, weight_decay=0.1)),
    ("SGD", dict(lr=0.1, momentum=0.5, maximize=True)),
    ("Adam", dict()),
    ("Adam", dict(lr=0.05, betas=(0.8, 0.9), eps=1e-3, weight_decay=0.1)),
    ("Adam", dict(lr=0.05, amsgrad=True)),
    ("Adam", dict(lr=0.05, maximize=True)),
    ("Adam", dict(lr=0.05, weight_decay=0.3, decoupled_weight_decay=True)),
    ("AdamW", dict(lr=0.05)),
    ("AdamW", dict(lr=0.05, weight_decay=0.3, amsgrad=True)),
]


def values(step, index):
    """A gradient for a parameter; its size changes from step to step, which tells amsgrad from Adam."""
    shape = SHAPES[index]
    return np.random.default_rng([step, index]).normal(size=shape) * (10.0 if step == 1 else 1.0)


def run(lib, name, config, dtype, steps=5):
    """Parameters after some steps; the second has a group of its own, the third misses every other gradient."""
    params = [lib.tensor(np.full(shape, 0.5), dtype=getattr(lib, dtype), requires_grad=True) for shape in SHAPES]
    groups = [{"params": [params[0], params[2], params[3]]}, {"params": [params[1]], "lr": 0.01, "weight_decay": 0.02}]
    optimizer = getattr(lib.optim, name)(groups, **config)
    for step in range(steps):
        optimizer.zero_grad()
        for i, param in enumerate(params):
            if i != 2 or step % 2:
                param.grad = lib.tensor(values(step, i), dtype=getattr(lib, dtype))
        optimizer.step()
    return params, optimizer


@pytest.mark.parametrize(("name", "config"), CONFIGS)
@pytest.mark.parametrize(("dtype", "rtol"), [("float64", 1e-12), ("float32", 2e-5)])
def test_same_as_pytorch(name, config, dtype, rtol):
    torch = pytest.importorskip("torch")
    (ours, optimizer), (theirs, other) = run(at, name, config, dtype), run(torch, name, config, dtype)
    for p, q in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(p.detach().numpy(), q.detach().numpy(), rtol=rtol, atol=rtol * 0.1)
    state, expected = optimizer.state_dict(), other.state_dict()
    assert [group["params"] for group in state["param_groups"]] == [g["params"] for g in expected["param_groups"]]
    for number, entries in expected["state"].items():
        for key, value in entries.items():
            if value is not None:
                mine = np.asarray(state["state"][number][key])
                np.testing.assert_allclose(mine, value.numpy(), rtol=rtol, atol=rtol, err_msg=key)


@pytest.mark.parametrize(("name", "config"), CONFIGS[1:])
def test_state_moves_from_and_to_pytorch(name, config):
    torch = pytest.importorskip("torch")
    (ours, first), (theirs, second) = run(at, name, config, "float64", 3), run(torch, name, config, "float64", 3)
    saved = copy.deepcopy(second.state_dict())
    second.load_state_dict(to_torch(torch, first.state_dict()))
    first.load_state_dict(saved)
    for params, optimizer, lib in ((ours, first, at), (theirs, second, torch)):
        for i, param in enumerate(params):
            param.grad = lib.tensor(values(9, i))
        optimizer.step()
    for p, q in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(p.detach().numpy(), q.detach().numpy(), rtol=1e-12, atol=1e-13)


def to_torch(torch, value):
    if isinstance(value, at.Tensor):
        return torch.from_numpy(np.ascontiguousarray(value.numpy()).reshape(value.shape))
    if isinstance(value, dict):
        return {k: to_torch(torch, v) for k, v in value.items()}
    return [to_torch(torch, v) for v in value] if isinstance(value, list) else value


def test_sgd_by_hand():
    w = at.tensor([1.0], requires_grad=True)
    optimizer = optim.SGD([w], lr=0.5, momentum=0.5)
    for expected in (1 - 0.5 * 2, 0 - 0.5 * (0.5 * 2 + 2)):  # b = 2, then b = 0.5 * 2 + 2
        w.grad = at.tensor([2.0])
        optimizer.step()
        assert w.item() == expected


@pytest.mark.parametrize(("low", "rate"), [(0, 1), (-1, 2)])
def test_the_perceptron_rule(low, rate):
    """w ← w + η (t − ŷ) x, with units of {low, 1}, learns OR from zeros: the weights after each example, by hand."""
    x = np.array([[0, 0, 1], [0, 1, 1], [1, 0, 1], [1, 1, 1]], np.float32)  # the last is the bias
    side = np.array([-1, 1, 1, 1])
    w, by_hand, eta = at.zeros(3, requires_grad=True), np.zeros(3, np.float32), 0.25
    optimizer = optim.SGD([w], lr=rate * eta)
    for i in [0, 1, 2, 3] * 5:
        target = 1 if side[i] > 0 else low
        output = target if side[i] * (by_hand @ x[i]) > 0 else 1 + low - target  # the border is the wrong side
        by_hand = by_hand + np.float32(eta * (target - output)) * x[i]
        optimizer.zero_grad()
        (-side[i].item() * (w * at.from_numpy(x[i])).sum()).clamp(min=0).backward()
        optimizer.step()
        assert w.tolist() == by_hand.tolist()
    assert (side * (x @ by_hand) > 0).all()


def test_adam_by_hand():
    w = at.tensor([1.0, 2.0, 3.0], dtype=at.float64, requires_grad=True)
    optimizer = optim.Adam([w], lr=0.1, eps=0.0)
    w.grad = at.tensor([5.0, -1e-3, 1e3], dtype=at.float64)
    optimizer.step()  # at the first step m̂/√v̂ is the sign
    np.testing.assert_allclose(w.detach().numpy(), [0.9, 2.1, 2.9], rtol=1e-14)


def test_state_dict_structure():
    params, optimizer = run(at, "Adam", dict(amsgrad=True), "float32", 1)
    state = optimizer.state_dict()
    settings = dict(lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0, amsgrad=True, maximize=False)
    assert state["param_groups"][0] == dict(params=[0, 1, 2], decoupled_weight_decay=False, **settings)
    assert set(state["state"]) == {0, 2, 3}  # parameter 1 of the file, params[2] here, had no gradient yet
    assert set(state["state"][0]) == {"step", "exp_avg", "exp_avg_sq", "max_exp_avg_sq"}
    assert state["state"][0]["step"] == 1
    assert params[2] not in optimizer.state


def test_adamw_stays_decoupled_with_the_state_of_an_adam():
    w = leaf()
    adam, adamw = optim.Adam([w], lr=0.1, weight_decay=0.5), optim.AdamW([w])
    adamw.load_state_dict(adam.state_dict())
    w.grad = at.zeros(2)
    adamw.step()
    assert w.tolist() == pytest.approx([0.95, 0.95])


def test_resumed_run_equals_one_run():
    (full, _), (half, saved) = run(at, "AdamW", {}, "float32", 5), run(at, "AdamW", {}, "float32", 3)
    copies = [nn.Parameter(p.detach().clone()) for p in half]
    groups = [{"params": [copies[0], copies[2], copies[3]]}, {"params": [copies[1]]}]
    optimizer = optim.AdamW(groups, lr=7.0)
    optimizer.load_state_dict(copy.deepcopy(saved.state_dict()))
    assert optimizer.param_groups[0]["lr"] == 1e-3
    for step in (3, 4):
        optimizer.zero_grad()
        for i, param in enumerate(copies):
            if i != 2 or step % 2:
                param.grad = at.tensor(values(step, i), dtype=at.float32)
        optimizer.step()
    for p, q in zip(full, copies, strict=True):
        np.testing.assert_array_equal(p.detach().numpy(), q.detach().numpy())


@pytest.mark.parametrize("name", ["SGD", "Adam", "AdamW"])
def test_gradients_and_parameters_of_any_layout(name):
    expected = None
    for layout in ("plain", "transposed", "strided", "channels_last"):
        at.manual_seed(0)
        start, grad = at.randn(4, 6, 3, 3), at.randn(4, 6, 3, 3)
        if layout == "transposed":
            w, g = start, at.from_numpy(np.asfortranarray(grad.numpy()))
        elif layout == "strided":
            w, g = at.from_numpy(np.repeat(start.numpy(), 2, axis=3)[..., ::2]), grad
        else:
            w, g = (nn.Parameter(start), grad) if layout == "channels_last" else (start, grad)
        w.requires_grad = True
        optimizer = getattr(optim, name)([w], lr=0.1, weight_decay=0.1, **({"momentum": 0.9} if name == "SGD" else {}))
        for _ in range(2):
            w.grad = g
            optimizer.step()
        found = w.detach().numpy().copy()
        expected = found if expected is None else expected
        np.testing.assert_array_equal(found, expected)


def test_layout_changed_in_between():
    w = nn.Parameter(at.randn(4, 6, 3, 3))
    optimizer = optim.Adam([w], lr=0.1)
    w.grad = at.ones(4, 6, 3, 3)
    optimizer.step()
    before = w.detach().numpy().copy()
    w.data = np.ascontiguousarray(w.data)
    optimizer.step()
    np.testing.assert_allclose(w.detach().numpy(), before - 0.1, atol=1e-6)


def test_step_counts_as_a_write():
    w = at.ones(2, requires_grad=True)
    loss = (w * w).sum()
    w.grad = at.ones(2)
    optim.SGD([w], lr=0.1).step()
    with pytest.raises(RuntimeError, match="mul"):
        loss.backward()


def test_closure():
    w = at.tensor([3.0], requires_grad=True)
    optimizer = optim.SGD([w], lr=0.25)

    def closure():
        optimizer.zero_grad()
        loss = (w * w).sum()
        loss.backward()
        return loss

    with at.no_grad():
        assert optimizer.step(closure).item() == 9.0
    assert w.item() == 1.5


def test_zero_grad():
    w = at.ones(2, requires_grad=True)
    optimizer = optim.SGD([w])
    w.grad = at.ones(2)
    optimizer.zero_grad(set_to_none=False)
    assert w.grad.tolist() == [0.0, 0.0]
    optimizer.zero_grad()
    assert w.grad is None
    optimizer.step()
    assert w.tolist() == [1.0, 1.0]


def test_add_param_group_and_repr():
    a, b = at.ones(1, requires_grad=True), at.ones(1, requires_grad=True)
    optimizer = optim.SGD([a], lr=0.5)
    optimizer.add_param_group({"params": b, "lr": 0.25})
    a.grad, b.grad = at.ones(1), at.ones(1)
    optimizer.step()
    assert (a.item(), b.item()) == (0.5, 0.75)
    assert "Parameter Group 1" in repr(optimizer)
    assert "lr: 0.25" in repr(optimizer)


def test_load_state_dict_refuses_what_does_not_fit():
    a, b = at.ones(2, requires_grad=True), at.ones(3, requires_grad=True)
    first, second = optim.Adam([a]), optim.Adam([b])
    a.grad = at.ones(2)
    first.step()
    with pytest.raises(ValueError, match=re.escape("exp_avg has shape (2,); expected (3,)")):
        second.load_state_dict(first.state_dict())
    assert not second.state
    with pytest.raises(ValueError, match=re.escape("has groups of [1] parameters; expected [2]")):
        optim.Adam([a, b]).load_state_dict(first.state_dict())
    with pytest.raises(ValueError, match="'state' or 'param_groups' is missing"):
        second.load_state_dict({"state": {}})


def leaf():
    return at.ones(2, requires_grad=True)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: optim.SGD([]), ValueError, "SGD: params is empty"),
        (lambda: optim.SGD(leaf()), TypeError, "SGD: params is one Tensor; expected a list"),
        (lambda: optim.SGD([3.0]), TypeError, "SGD: got a float among the parameters; expected tensors"),
        (lambda: optim.SGD([leaf() * 2]), ValueError, "expected leaf tensors"),
        (lambda: optim.SGD([(w := leaf()), w]), ValueError, "is given twice"),
        (lambda: optim.SGD([{"params": [w := leaf()]}, {"params": [w]}]), ValueError, "is given twice"),
        (lambda: optim.SGD([{"lr": 0.1}]), TypeError, "a parameter group is a dict with the key 'params'"),
        (lambda: optim.SGD([leaf()], lr=-1), ValueError, "SGD: lr is -1; expected 0 or more"),
        (lambda: optim.SGD([leaf()], lr="fast"), TypeError, "SGD: lr is 'fast'; expected a number"),
        (lambda: optim.SGD([leaf()], lr=float("nan")), ValueError, "SGD: lr is nan; expected 0 or more"),
        (lambda: optim.SGD([leaf()], momentum=-0.9), ValueError, "SGD: momentum is -0.9"),
        (lambda: optim.SGD([leaf()], nesterov=True), ValueError, "SGD: nesterov needs a momentum above 0"),
        (lambda: optim.SGD([leaf()], 0.1, 0.9, 0.5, 0, True), ValueError, "and dampening 0"),
        (lambda: optim.Adam([leaf()], betas=(0.9, 1.0)), ValueError, "Adam: betas is (0.9, 1.0); expected two numbers"),
        (lambda: optim.Adam([leaf()], betas=0.9), ValueError, "Adam: betas is 0.9"),
        (lambda: optim.Adam([leaf()], eps=-1e-8), ValueError, "Adam: eps is -1e-08"),
        (lambda: optim.AdamW([leaf()], weight_decay=-1), ValueError, "AdamW: weight_decay is -1"),
        (lambda: optim.AdamW([{"params": [leaf()], "lr": -1}]), ValueError, "AdamW: lr is -1"),
    ],
)
def test_misuse(make, error, message):
    with pytest.raises(error, match=re.escape(message)):
        make()


def test_an_empty_parameter_that_was_pickled():
    """Its strides are others than those of its gradient."""
    param = pickle.loads(pickle.dumps(at.zeros(0, 3, requires_grad=True)))
    (param * 2).sum().backward()
    for make in (optim.SGD, optim.Adam, optim.RMSprop, optim.Adagrad):
        make([param], lr=0.1).step()
    assert param.shape == (0, 3)
