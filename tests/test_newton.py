"""Hessians by differences and Newton's method: by hand, PyTorch's second derivatives, foreign arrays, bad input."""

import re
from itertools import pairwise

import numpy as np
import pytest
from parity import draw

import atrous as at
from atrous import nn, optim
from atrous.autograd import hessian
from atrous.nn import functional as F

FUNCTIONS = {
    "quadratic": (lambda lib, x: (x * (lib.tensor(draw(4, 4)) @ x)).sum(), (4,)),
    "rosenbrock": (lambda lib, x: (100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2).sum(), (5,)),
    "of a matrix": (lambda lib, x: (x @ x.t()).exp().sum(), (2, 3)),
    "of a scalar": (lambda lib, x: x.exp() * x, ()),
    "linear": (lambda lib, x: 3 * x.sum(), (3,)),
    "of no x": (lambda lib, x: lib.tensor(2.0), (3,)),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_hessian_is_that_of_pytorch(name):
    torch = pytest.importorskip("torch")
    f, shape = FUNCTIONS[name]
    x = draw(*shape, seed=1)
    found = hessian(lambda x: f(at, x), at.tensor(x, dtype=at.float64)).numpy()
    expected = torch.autograd.functional.hessian(lambda x: f(torch, x), torch.tensor(x)).numpy()
    assert found.shape == expected.shape
    np.testing.assert_array_equal(found, found.transpose(*range(x.ndim, 2 * x.ndim), *range(x.ndim)))
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-8 * max(1.0, np.abs(expected).max()))


def test_hessian_by_hand():
    """x⁴ has 12x², with an error of h² times its fourth derivative, 24, by 3! and more by rounding."""
    for x in (1e-3, 1.0, -1e3):
        found = hessian(lambda x: x**4, at.tensor(x, dtype=at.float64)).item()
        assert found == pytest.approx(12 * x * x, rel=1e-9, abs=1e-9)


def least_squares():
    """Parameters of a linear model, their closure, and the solution of the normal equations."""
    x, y = draw(20, 3), draw(20, 2, seed=1)
    model, inputs, targets = nn.Linear(3, 2).double(), at.from_numpy(x), at.from_numpy(y)
    solution = np.linalg.lstsq(np.hstack([x, np.ones((20, 1))]), y, rcond=None)[0]

    def closure():
        model.zero_grad()
        loss = F.mse_loss(model(inputs), targets)
        loss.backward()
        return loss

    return model, closure, solution


def test_newton_solves_a_quadratic_in_one_step():
    model, closure, solution = least_squares()
    before = closure().item()
    assert optim.Newton(model.parameters()).step(closure).item() == before
    np.testing.assert_allclose(model.weight.detach().numpy(), solution[:3].T, rtol=0, atol=1e-8)
    np.testing.assert_allclose(model.bias.detach().numpy(), solution[3], rtol=0, atol=1e-8)


def test_newton_converges_quadratically():
    w = at.tensor([1.0], dtype=at.float64, requires_grad=True)
    optimizer, errors = optim.Newton([w]), [1 - np.log(2)]
    for _ in range(4):
        optimizer.step(lambda: backward(optimizer, w.exp() - 2 * w))  # least at ln 2; f‴ / 2f″ = 1/2
        errors.append(abs(w.item() - np.log(2)))
    assert errors[-1] < 1e-12
    assert all(0.4 * before**2 < after < 0.6 * before**2 for before, after in pairwise(errors[:4]))


def backward(optimizer, loss):
    optimizer.zero_grad()
    loss.sum().backward()
    return loss


def test_damping_and_rate_by_hand():
    """½ · 3w² at 2: the step is lr · 6 / (3 + damping)."""
    w = at.tensor([2.0], dtype=at.float64, requires_grad=True)
    optimizer = optim.Newton([w], lr=0.5, damping=1.0)
    optimizer.step(lambda: backward(optimizer, 1.5 * w * w))
    assert w.item() == pytest.approx(2 - 0.5 * 6 / 4, rel=1e-9)


SADDLES = {
    "indefinite": lambda w: w[0] ** 2 - w[1] ** 2,
    "singular": lambda w: (w[0] + w[1]) ** 2,
    "linear": lambda w: w[0] + w[1],
    "not finite": lambda w: (w[0] * float("nan")) ** 2 + w[1],
}


@pytest.mark.parametrize("name", SADDLES)
def test_newton_asks_for_damping(name):
    w = at.tensor([2.0, 0.5], dtype=at.float64, requires_grad=True)
    optimizer = optim.Newton([w])
    with pytest.raises(RuntimeError, match="Newton: the Hessian is singular, indefinite or not finite here; give damp"):
        optimizer.step(lambda: backward(optimizer, SADDLES[name](w)))
    assert w.tolist() == [2.0, 0.5]
    if name != "not finite":
        optimizer = optim.Newton([w], damping=3.0)
        before = optimizer.step(lambda: backward(optimizer, SADDLES[name](w))).item()
        assert SADDLES[name](w).item() < before


def test_parameters_come_back_from_a_closure_that_fails():
    w, calls = at.tensor([2.0], dtype=at.float64, requires_grad=True), []

    def closure():
        calls.append(w.item())
        if len(calls) == 3:
            raise KeyboardInterrupt
        return backward(optimizer, w * w)

    optimizer = optim.Newton([w])
    with pytest.raises(KeyboardInterrupt):
        optimizer.step(closure)
    assert w.item() == 2.0


def test_parameters_without_a_gradient_stay():
    w, other = (at.tensor([2.0], dtype=at.float64, requires_grad=True) for _ in range(2))
    optimizer = optim.Newton([other, w])
    optimizer.step(lambda: backward(optimizer, w * w))
    assert (w.item(), other.item()) == (pytest.approx(0, abs=1e-9), 2.0)


def test_on_foreign_arrays(foreign):
    w = at.Tensor(foreign.wrap(np.array([2.0, -1.0])), requires_grad=True)
    optimizer = optim.Newton([w], damping=0.5)

    def closure():
        optimizer.zero_grad()
        loss = (w**4).sum() + (w.sum() - 1) ** 2
        loss.backward(at.Tensor(foreign.wrap(np.ones(()))))
        return loss

    optimizer.step(closure)
    x = np.array([2.0, -1.0])
    step = np.linalg.solve(np.diag(12 * x**2) + 2 + 0.5 * np.eye(2), 4 * x**3 + 2 * (x.sum() - 1))
    assert isinstance(w.data, foreign.ndarray)
    np.testing.assert_allclose(w.data._array, x - step, rtol=1e-8)


def leaf(n=2, dtype=at.float64):
    return at.ones(n, dtype=dtype, requires_grad=True)


@pytest.mark.parametrize(
    ("f", "error", "message"),
    [
        (lambda: hessian(at.sum, leaf(dtype=at.float32)), TypeError, "hessian: got float32; expected float64"),
        (lambda: hessian(at.sum, leaf(1001)), ValueError, "hessian: got 1001 variables; expected 1000 at most"),
        (lambda: hessian(lambda x: x * x, leaf()), ValueError, "hessian: f returns something else than a tensor of"),
        (lambda: hessian(lambda x: 1.0, leaf()), ValueError, "hessian: f returns something else than a tensor of"),
        (lambda: optim.Newton([leaf(dtype=at.float32)]), TypeError, "Newton: got float32; expected float64"),
        (lambda: optim.Newton([leaf(600), leaf(600)]), ValueError, "Newton: got 1200 variables"),
        (lambda: optim.Newton([leaf()], damping=-1), ValueError, "Newton: damping is -1; expected 0 or more"),
        (lambda: optim.Newton([{"params": leaf()}, {"params": leaf()}]), ValueError, "Newton: got several parameter"),
        (lambda: optim.Newton([leaf()]).step(), TypeError, "Newton: step needs a closure"),
    ],
)
def test_misuse(f, error, message):
    with pytest.raises(error, match=re.escape(message)):
        f()
