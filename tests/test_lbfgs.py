"""Optimizers over all parameters at once: L-BFGS against PyTorch's iterates, Newton's method, bad input."""

import copy
import importlib
import re

import numpy as np
import pytest
from test_optimizers import to_torch

import atrous as at
from atrous import optim
from atrous.optim.line_search import Point, strong_wolfe

MATRIX = np.random.default_rng(0).normal(size=(5, 5))
MATRIX = MATRIX @ MATRIX.T + 0.1 * np.eye(5)


def quadratic(lib, a, b):
    x = lib.cat([a.reshape(-1), b.reshape(-1)])
    return 0.5 * (x * (lib.tensor(MATRIX) @ x)).sum() - x.sum()


def rosenbrock(lib, a, b):
    x = lib.cat([a.reshape(-1), b.reshape(-1)])
    return (100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2).sum()


CONFIGS = [
    dict(),
    dict(line_search_fn="strong_wolfe"),
    dict(line_search_fn="strong_wolfe", lr=0.1, max_iter=7, history_size=3),
    dict(line_search_fn="strong_wolfe", lr=20.0, max_eval=9),
    dict(lr=0.1, max_iter=5, max_eval=4, history_size=2),
    dict(lr=0.5, tolerance_grad=1e-2, tolerance_change=1e-3),
]


def start(lib, make, config, dtype="float64"):
    values = np.array([[-1.2, 1.0], [0.5, -0.7]]), np.array([0.3])
    params = [lib.tensor(v, dtype=getattr(lib, dtype), requires_grad=True) for v in values]
    optimizer = make(params, **config)
    return params, optimizer


def steps(lib, f, params, optimizer, n):
    """The parameters after each of n steps, as one vector, and the loss that the step returns."""

    def closure():
        optimizer.zero_grad()
        loss = f(lib, *params)
        loss.backward()
        return loss.detach()

    found = []
    for _ in range(n):
        loss = float(optimizer.step(closure))
        found.append([loss, *params[0].detach().numpy().ravel(), *params[1].detach().numpy()])
    return np.array(found)


@pytest.mark.parametrize("config", CONFIGS, ids=range(len(CONFIGS)))
@pytest.mark.parametrize(("f", "n"), [(quadratic, 4), (rosenbrock, 4)])
def test_lbfgs_has_the_iterates_of_pytorch(f, n, config):
    torch = pytest.importorskip("torch")
    if f is rosenbrock and "line_search_fn" not in config:
        config = {**config, "lr": 1e-3}  # a whole step would leave for infinity
    ours, theirs = start(at, optim.LBFGS, config), start(torch, torch.optim.LBFGS, config)
    found, expected = steps(at, f, *ours, n), steps(torch, f, *theirs, n)
    np.testing.assert_allclose(found, expected, rtol=1e-7, atol=1e-9)
    (state,), (other,) = ours[1].state.values(), theirs[1].state.values()
    assert set(state) == set(other) - {"al"}
    assert (state["n_iter"], state["func_evals"]) == (other["n_iter"], other["func_evals"])


@pytest.mark.parametrize("config", CONFIGS[1:3])
def test_lbfgs_state_moves_from_and_to_pytorch(config):
    torch = pytest.importorskip("torch")
    ours, theirs = start(at, optim.LBFGS, config), start(torch, torch.optim.LBFGS, config)
    steps(at, rosenbrock, *ours, 1), steps(torch, rosenbrock, *theirs, 1)
    saved = copy.deepcopy(theirs[1].state_dict())
    theirs[1].load_state_dict(to_torch(torch, ours[1].state_dict()))
    ours[1].load_state_dict(saved)
    ours[1].load_state_dict(copy.deepcopy(ours[1].state_dict()))
    found, expected = steps(at, rosenbrock, *ours, 1), steps(torch, rosenbrock, *theirs, 1)
    np.testing.assert_allclose(found, expected, rtol=1e-8)


def test_lbfgs_on_foreign_arrays(foreign):
    found = []
    for wrap in (np.asarray, foreign.wrap):
        w = at.Tensor(wrap(np.array([[-1.0, 1.0]])), requires_grad=True)
        b = at.Tensor(wrap(np.array(0.5)), requires_grad=True)
        optimizer = optim.LBFGS([w, b], line_search_fn="strong_wolfe", max_iter=5)

        def closure(w=w, b=b, optimizer=optimizer, wrap=wrap):
            optimizer.zero_grad()
            loss = ((w - 3) ** 4).sum() + (w * b).sum() + b**2
            loss.backward(at.Tensor(wrap(np.ones(()))))
            return loss

        optimizer.step(closure)
        found.append(w.data)
    assert isinstance(found[1], foreign.ndarray)
    np.testing.assert_array_equal(found[0], found[1]._array)


def test_lbfgs_leaves_a_minimum_alone():
    w = at.zeros(2, requires_grad=True)
    optimizer = optim.LBFGS([w])
    found = optimizer.step(lambda: (w * w).sum())  # no backward: no gradient
    assert (found.item(), w.tolist()) == (0.0, [0.0, 0.0])


@pytest.mark.parametrize("first", [0.01, 1.0, 3.0, 50.0])
def test_a_line_search_meets_the_strong_wolfe_conditions(first):
    """On a curve with two valleys; any first step leads to a point that descended and is flat enough."""

    def evaluate(t):
        return Point(t, np.cos(3 * t) + 0.1 * (t - 3) ** 2, None, -3 * np.sin(3 * t) + 0.2 * (t - 3))

    begin = evaluate(0.0)
    point, calls = strong_wolfe(evaluate, begin, first, 1.0, 25)
    assert calls <= 26
    assert point.loss <= begin.loss + 1e-4 * point.t * begin.slope
    assert abs(point.slope) <= 0.9 * abs(begin.slope)


@pytest.mark.parametrize("seed", range(8))
def test_a_line_search_ends_where_that_of_pytorch_does(seed):
    """On random waves, from random first steps, within few evaluations and many."""
    torch = pytest.importorskip("torch")
    theirs = importlib.import_module("torch.optim.lbfgs")._strong_wolfe
    rng = np.random.default_rng(seed)
    for _ in range(150):
        size, speed, phase = rng.normal(size=4), rng.exponential(size=4), rng.uniform(0, 6, 4)

        def evaluate(t, size=size, speed=speed, phase=phase):
            slope = float(-(size * speed * np.sin(speed * t + phase)).sum())
            return Point(t, float((size * np.cos(speed * t + phase)).sum()), None, slope)

        def of_torch(_, t, direction, evaluate=evaluate):
            point = evaluate(float(t))
            return point.loss, torch.tensor([point.slope], dtype=torch.float64)

        first, most, begin = 10 ** rng.uniform(-3, 2), int(rng.integers(1, 25)), evaluate(0.0)
        if begin.slope < 0:
            slope = torch.tensor([begin.slope], dtype=torch.float64)
            one = torch.ones(1, dtype=torch.float64)
            loss, _, t, calls = theirs(of_torch, 0.0, first, one, begin.loss, slope, slope[0], max_ls=most)
            point, ours = strong_wolfe(evaluate, begin, first, 1.0, most)
            assert ours == calls
            assert (point.t, point.loss) == (pytest.approx(float(t), rel=1e-6), pytest.approx(loss, rel=1e-6))


def leaf(**kwargs):
    return at.ones(2, requires_grad=True, **kwargs)


@pytest.mark.parametrize(
    ("f", "error", "message"),
    [
        (lambda: optim.LBFGS([{"params": [leaf()]}, {"params": [leaf()]}]), ValueError, "LBFGS: got several parameter"),
        (lambda: optim.LBFGS([leaf()], lr=-1), ValueError, "LBFGS: lr is -1"),
        (lambda: optim.LBFGS([leaf()], history_size=0), ValueError, "LBFGS: history_size is 0; expected 1 or more"),
        (lambda: optim.LBFGS([leaf()], line_search_fn="armijo"), ValueError, "LBFGS: line_search_fn is 'armijo'"),
        (lambda: optim.LBFGS([leaf()]).step(), TypeError, "LBFGS: step needs a closure"),
    ],
)
def test_misuse(f, error, message):
    with pytest.raises(error, match=re.escape(message)):
        f()
