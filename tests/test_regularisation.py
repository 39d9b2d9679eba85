"""Max-norm, penalties, groups without decay, freezing: by hand, against PyTorch, the textbooks' forms, bad input."""

import math
import re

import numpy as np
import pytest
from parity import draw

import atrous as at
from atrous import nn, optim
from atrous.nn import utils


def norms(w, dim=0):
    return np.sqrt((np.moveaxis(w.detach().numpy().astype("float64"), dim, 0).reshape(w.shape[dim], -1) ** 2).sum(1))


# -- max-norm ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shape", [(5, 7), (4, 3, 3, 3), (6, 1, 5, 5), (3, 1), (0, 4), (3, 0)])
@pytest.mark.parametrize("dim", [0, 1])
def test_max_norm_is_pytorchs_renorm(shape, dim, dtype):
    torch = pytest.importorskip("torch")
    for limit in (0.0, 0.5, math.sqrt(np.prod(shape) / shape[0] if shape[0] else 1), 1e6, math.inf):
        w = at.tensor(draw(*shape).astype(dtype), requires_grad=True)
        expected = torch.renorm(torch.tensor(draw(*shape).astype(dtype)), 2, dim, limit)
        utils.max_norm_(w, limit, dim)
        np.testing.assert_allclose(w.detach().numpy(), expected.numpy(), rtol=1e-6)
        assert w.dtype == getattr(at, dtype)


def test_max_norm_of_a_network():
    model = nn.Sequential(nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6), nn.Flatten(), nn.Linear(6, 4))
    with at.no_grad():
        for param in model.parameters():
            param.mul_(3.0)
        model[0].weight[2] *= 1e-3
    before = {name: value.numpy().copy() for name, value in model.state_dict().items()}
    strides = model[0].weight.data.strides
    utils.max_norm_(model.parameters(), 0.75)
    for name, value in model.state_dict().items():
        if value.ndim < 2:  # biases and norms have no incoming weights
            np.testing.assert_array_equal(value.numpy(), before[name])
    np.testing.assert_array_equal(model[0].weight[2].detach().numpy(), before["0.weight"][2])  # within: the same bits
    assert norms(model[0].weight)[[0, 1, 3, 4, 5]] == pytest.approx([0.75] * 5, rel=1e-6)
    assert norms(model[3].weight).max() <= 0.75 * (1 + 1e-6)
    assert model[0].weight.data.strides == strides
    assert all(param.requires_grad and param.is_leaf for param in model.parameters())


def test_max_norm_of_odd_values():
    w = at.tensor([[math.nan, 3.0], [1e30, 0.0], [-0.0, 1e-40], [math.inf, 1.0]])
    utils.max_norm_(w, 2.0)
    np.testing.assert_array_equal(w.numpy(), np.array([[math.nan, 3], [2, 0], [-0.0, 1e-40], [math.nan, 0]], "float32"))


def test_max_norm_is_seen_by_a_graph_that_saved_the_weight():
    w = at.full((2, 2), 3.0, requires_grad=True)
    y = (w * w).sum()
    utils.max_norm_(w, 1.0)
    with pytest.raises(RuntimeError, match="mul"):
        y.backward()


# -- penalties --------------------------------------------------------------------------------------------------------


def weights(lib=at):
    return [lib.tensor(draw(*shape), requires_grad=True) for shape in [(3, 4), (5,), (2, 3, 3, 3), ()]]


@pytest.mark.parametrize(
    ("penalty", "formula", "slope"),
    [
        (utils.l1_penalty, lambda w: abs(w), np.sign),
        (utils.l2_penalty, lambda w: w**2, lambda w: 2 * w),
        (lambda p: utils.elastic_net_penalty(p, 0.3), lambda w: abs(w) + 0.3 * w**2, lambda w: np.sign(w) + 0.6 * w),
    ],
)
def test_penalties(penalty, formula, slope):
    params = weights()
    total = penalty(p for p in params)
    assert total.shape == ()
    assert total.item() == pytest.approx(sum(formula(p.detach().numpy()).sum() for p in params), rel=1e-14)
    (0.01 * total).backward()
    for p in params:
        np.testing.assert_allclose(p.grad.numpy(), 0.01 * slope(p.detach().numpy()), rtol=1e-14)
    zero = at.tensor([0.0, 1.0], requires_grad=True)
    penalty(zero).backward()
    assert zero.grad.tolist()[0] == 0  # as PyTorch's abs has it


def step(optimizer, w, loss):
    optimizer.zero_grad()
    loss(w).backward()
    optimizer.step()


@pytest.mark.parametrize(
    ("penalty", "weight_decay"),
    [(lambda w: 0.2 / 2 * utils.l2_penalty(w), 0.2), (lambda w: 0.2 * utils.l2_penalty(w), 0.4)],
)
def test_with_or_without_the_half_is_weight_decay(penalty, weight_decay):
    """λ/2 · Σw² in the loss is weight_decay=λ, and λ · Σw² is weight_decay=2λ: with SGD, momentum and all."""
    x, found = at.tensor(draw(4, 3)), []
    for extra, decay in ((penalty, 0.0), (lambda w: 0.0, weight_decay)):
        w = at.tensor(draw(3), requires_grad=True)
        optimizer = optim.SGD([w], lr=0.1, momentum=0.9, weight_decay=decay)
        for _ in range(5):
            step(optimizer, w, lambda w, extra=extra: ((x @ w - 1) ** 2).mean() + extra(w))
        found.append(w.detach().numpy())
    np.testing.assert_allclose(*found, rtol=1e-12)


def test_the_elastic_net_of_zou_and_hastie_and_of_scikit_learn():
    params = weights()
    l1, l2 = utils.l1_penalty(params).item(), utils.l2_penalty(params).item()
    first, second = 0.3, 0.7
    net = first * utils.elastic_net_penalty(params, second / first)
    assert net.item() == pytest.approx(first * l1 + second * l2, rel=1e-14)
    alpha, ratio = 0.1, 0.25
    net = alpha * ratio * utils.elastic_net_penalty(params, (1 - ratio) / (2 * ratio))
    assert net.item() == pytest.approx(alpha * (ratio * l1 + (1 - ratio) / 2 * l2), rel=1e-14)


def test_l1_makes_weights_sparse_and_l2_does_not():
    """Least squares with three useful inputs of ten: the other weights end at 0 (to a step) with L1 alone."""
    x, true = draw(200, 10, seed=3), np.array([2.0, -3, 1, 0, 0, 0, 0, 0, 0, 0])
    y = at.tensor(x @ true + draw(200, seed=4))
    small = []
    for penalty in (utils.l1_penalty, utils.l2_penalty):
        w = at.tensor(draw(10), requires_grad=True)
        optimizer = optim.SGD([w], lr=0.01)
        for _ in range(300):
            step(optimizer, w, lambda w, penalty=penalty: ((at.tensor(x) @ w - y) ** 2).mean() + 0.5 * penalty(w))
        small.append((abs(w.detach().numpy()[3:]) < 0.011).sum())
    assert small[0] == 7
    assert small[1] < 4


def test_other_array_libraries(foreign):
    a = draw(3, 4).astype("float32")
    for f in (utils.l1_penalty, utils.l2_penalty, lambda p: utils.elastic_net_penalty(p, 0.5)):
        got = f(at.Tensor(foreign.wrap(a.copy())))
        assert isinstance(got.data, foreign.ndarray)
        np.testing.assert_array_equal(got.data._array, f(at.Tensor(a)).data)
    w, other = at.Tensor(a.copy()), at.Tensor(foreign.wrap(a.copy()))
    utils.max_norm_(w, 1.0)
    utils.max_norm_(other, 1.0)
    np.testing.assert_array_equal(other.data._array, w.data)


# -- parameter groups and freezing ------------------------------------------------------------------------------------


def test_biases_and_norms_are_not_decayed():
    class Untied(nn.Module):
        """A layer with a bias of its own at each place, as a locally connected one has."""

        def __init__(self):
            super().__init__()
            self.weight, self.bias = nn.Parameter(at.ones(2, 3)), nn.Parameter(at.ones(2, 3))
            self.slope, self.gain = nn.Parameter(at.ones(3)), nn.Parameter(at.ones(()))

    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Linear(4, 2, bias=False), Untied())
    decayed, others = optim.no_decay_groups(model, 0.1)
    assert (decayed["weight_decay"], others["weight_decay"]) == (0.1, 0.0)
    names = {id(param): name for name, param in model.named_parameters()}
    assert [names[id(p)] for p in decayed["params"]] == ["0.weight", "2.weight", "3.weight"]
    assert [names[id(p)] for p in others["params"]] == ["0.bias", "1.weight", "1.bias", "3.bias", "3.slope", "3.gain"]
    model.requires_grad_()
    for param in model.parameters():
        param.grad = at.zeros_like(param)
    before = {name: value.numpy().copy() for name, value in model.state_dict().items()}
    optim.SGD([decayed, others], lr=1.0).step()
    for name, value in model.state_dict().items():
        factor = np.float32(0.9) if name in ("0.weight", "2.weight", "3.weight") else 1
        np.testing.assert_allclose(value.numpy(), factor * before[name], rtol=1e-6)


def test_groups_of_a_model_without_biases():
    groups = optim.no_decay_groups(nn.Linear(2, 2, bias=False), 0.1)
    assert [len(group["params"]) for group in groups] == [1, 0]
    optim.Adam(groups).step()


def test_frozen_layers_do_not_learn():
    model = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))
    assert model[0].requires_grad_(False) is model[0]
    before = [param.detach().numpy().copy() for param in model.parameters()]
    optimizer = optim.SGD(model.parameters(), lr=0.5, momentum=0.9, weight_decay=0.1)
    model(at.tensor(draw(5, 3).astype("float32"))).sum().backward()
    optimizer.step()
    same = [np.array_equal(p.detach().numpy(), old) for p, old in zip(model.parameters(), before, strict=True)]
    assert same == [True, True, False, False]
    assert model[0].weight.grad is None


W = at.ones(2, 2)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: utils.max_norm_(W, -1), ValueError, "max_norm_: max_norm is -1; expected a number of 0 or more"),
        (lambda: utils.max_norm_(W, math.nan), ValueError, "max_norm_: max_norm is nan; expected a number of 0 or m"),
        (lambda: utils.max_norm_(W, 0.5, 2), ValueError, "max_norm_: dim is 2; expected 0 or 1"),
        (lambda: utils.max_norm_([W, 1.0], 0.5), TypeError, "max_norm_: parameters has a float; expected tensors"),
        (
            lambda: utils.max_norm_([W, at.arange(3)], 0.5),
            TypeError,
            "max_norm_: got a tensor of dtype int64; expected",
        ),
        (lambda: utils.l1_penalty([]), ValueError, "l1_penalty: parameters is empty; expected at least one tensor"),
        (lambda: utils.l2_penalty(at.arange(3)), TypeError, "l2_penalty: got a tensor of dtype int64; expected floats"),
        (lambda: utils.elastic_net_penalty(W, -1), ValueError, "elastic_net_penalty: beta is -1; expected a number of"),
        (lambda: optim.no_decay_groups(nn.Linear(2, 2), -1), ValueError, "no_decay_groups: weight_decay is -1; expec"),
        (lambda: optim.no_decay_groups(nn.Linear(2, 2), "1"), TypeError, "no_decay_groups: weight_decay is '1'; expec"),
    ],
)
def test_bad_input(call, error, message):
    with pytest.raises(error, match=re.escape(message)):
        call()
    np.testing.assert_array_equal(W.numpy(), np.ones((2, 2)))
