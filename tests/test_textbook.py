"""What textbooks write otherwise than PyTorch: each conversion that a docstring states, run."""

import math

import numpy as np
import pytest
from parity import draw

import atrous as at
from atrous import optim
from atrous.nn import functional as F
from atrous.optim.lr_scheduler import (
    ChainedScheduler,
    ConstantLR,
    ExponentialLR,
    InverseTimeLR,
    LambdaLR,
    LinearLR,
    PolynomialLR,
    SequentialLR,
)

A, B = draw(6, 3), draw(6)  # the loss is ½ · |Aw − b|² / 6
START, STEPS = np.array([1.0, -2.0, 0.5]), 8


def slope(w):
    return A.T @ (A @ w - B) / 6


def descend(make, rate=None):
    """The weights after each of some steps; `rate` says what the learning rate of a step is."""
    w = at.tensor(START, requires_grad=True)
    optimizer, found = make([w]), []
    for step in range(STEPS):
        if rate:
            rate(optimizer, step)
        w.grad = at.tensor(slope(w.detach().numpy()))
        optimizer.step()
        found.append(w.detach().numpy().copy())
    return np.array(found)


def textbook(step):
    """The same by a formula: step(w, v, t) gives the next w and v."""
    w, v, found = START, np.zeros(3), []
    for t in range(STEPS):
        w, v = step(w, v, t)
        found.append(w)
    return np.array(found)


def close(ours, theirs):
    np.testing.assert_allclose(ours, theirs, rtol=1e-12)


def test_momentum_with_the_rate_inside_the_velocity():
    """v ← μv − η∇, w ← w + v: the same as PyTorch's form while the rate is."""

    def step(w, v, t):
        v = 0.9 * v - 0.1 * slope(w)
        return w + v, v

    close(descend(lambda p: optim.SGD(p, lr=0.1, momentum=0.9)), textbook(step))


def test_momentum_with_the_rate_inside_when_the_rate_changes():
    """Then the textbook's velocity is the buffer times the rate of its own time: scale the buffer by old / new."""
    rates = [0.1, 0.1, 0.1, 0.02, 0.02, 0.05, 0.05, 0.05]

    def step(w, v, t):
        v = 0.9 * v - rates[t] * slope(w)
        return w + v, v

    def change(optimizer, t):
        optimizer.param_groups[0]["lr"] = rates[t]

    def change_and_scale(optimizer, t):
        change(optimizer, t)
        for state in optimizer.state.values():
            state["momentum_buffer"].mul_(rates[t - 1] / rates[t])

    plain = descend(lambda p: optim.SGD(p, lr=0.1, momentum=0.9), change)
    assert abs(plain - textbook(step)).max() > 0.01  # the two do differ
    close(plain[:3], textbook(step)[:3])
    close(descend(lambda p: optim.SGD(p, lr=0.1, momentum=0.9), change_and_scale), textbook(step))


def test_momentum_as_a_running_mean():
    """v ← μv + (1 − μ)∇ from v = 0 is the rate times 1 − μ; dampening=μ differs by its first step, b = g."""

    def step(w, v, t):
        v = 0.8 * v + 0.2 * slope(w)
        return w - 0.5 * v, v

    def damped(w, v, t):
        v = slope(w) if t == 0 else 0.8 * v + 0.2 * slope(w)
        return w - 0.5 * v, v

    close(descend(lambda p: optim.SGD(p, lr=0.5 * 0.2, momentum=0.8)), textbook(step))
    close(descend(lambda p: optim.SGD(p, lr=0.5, momentum=0.8, dampening=0.8)), textbook(damped))
    assert abs(textbook(step) - textbook(damped)).max() > 0.1


def test_nesterov_looks_ahead():
    """v ← μv − η∇(w + μv), w ← w + v: PyTorch's parameter is the point w + μv at which the slope is taken."""

    def step(w, v, t):
        v = 0.9 * v - 0.1 * slope(w + 0.9 * v)
        ahead.append(w + v + 0.9 * v)
        return w + v, v

    ahead = []
    textbook(step)
    close(descend(lambda p: optim.SGD(p, lr=0.1, momentum=0.9, nesterov=True)), ahead)


def test_squared_error_with_and_without_the_half():
    """½ · mean (y − t)² has the gradient (y − t)/n: half of mse_loss, or the same steps at twice the rate."""
    found = []
    for factor, lr in ((1.0, 0.1), (0.5, 0.2)):
        w = at.tensor(START, requires_grad=True)
        optimizer = optim.SGD([w], lr=lr, momentum=0.9)
        for _ in range(STEPS):
            optimizer.zero_grad()
            (factor * F.mse_loss(at.tensor(A) @ w, at.tensor(B))).backward()
            optimizer.step()
        found.append(w.detach().numpy())
    close(*found)
    y = at.tensor(draw(4), requires_grad=True)
    (0.5 * F.mse_loss(y, at.zeros(4, dtype=at.float64), reduction="sum")).backward()
    close(y.grad.numpy(), y.detach().numpy())  # ½ Σ (y − t)²: y − t


def test_sgd_decays_weights_and_adds_the_penalty_alike():
    """Without momentum w ← (1 − ηλ)w − η∇ is L2; with it the penalty goes into the velocity, and the two differ."""

    def decoupled(momentum):
        def step(w, v, t):
            v = momentum * v + slope(w)
            return (1 - 0.1 * 0.3) * w - 0.1 * v, v

        return textbook(step)

    close(descend(lambda p: optim.SGD(p, lr=0.1, weight_decay=0.3)), decoupled(0.0))
    assert abs(descend(lambda p: optim.SGD(p, lr=0.1, momentum=0.9, weight_decay=0.3)) - decoupled(0.9)).max() > 0.01


def test_adamw_is_adam_on_shrunk_weights_and_adam_with_l2_is_not():
    w = at.tensor(START, requires_grad=True)
    optimizer, shrunk = optim.Adam([w], lr=0.1), []
    for _ in range(STEPS):
        w.grad = at.tensor(slope(w.detach().numpy()))
        with at.no_grad():
            w.mul_(1 - 0.1 * 0.3)
        optimizer.step()
        shrunk.append(w.detach().numpy().copy())
    decoupled = descend(lambda p: optim.AdamW(p, lr=0.1, weight_decay=0.3))
    close(decoupled, shrunk)
    assert abs(decoupled - descend(lambda p: optim.Adam(p, lr=0.1, weight_decay=0.3))).max() > 0.01


def test_adam_divides_the_penalty_away():
    """With no other gradient, L2 in Adam moves every weight by lr, however large it is; AdamW by a share of it."""
    steps = []
    for kind in (optim.Adam, optim.AdamW):
        w = at.tensor([10.0, 0.1], dtype=at.float64, requires_grad=True)
        w.grad = at.zeros_like(w)
        kind([w], lr=0.01, weight_decay=0.5).step()
        steps.append(np.array([10.0, 0.1]) - w.detach().numpy())
    np.testing.assert_allclose(steps[0], [0.01, 0.01], rtol=1e-6)
    np.testing.assert_allclose(steps[1], [10 * 0.01 * 0.5, 0.1 * 0.01 * 0.5], rtol=1e-12)


# -- schedules --------------------------------------------------------------------------------------------------------


def rates(make, steps=10, lr=0.4):
    optimizer = optim.SGD([at.zeros(1)], lr=lr)
    scheduler, found = make(optimizer), []
    for _ in range(steps):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return found


T, LR = np.arange(10), 0.4


@pytest.mark.parametrize(
    ("make", "formula"),
    [
        (lambda o: ExponentialLR(o, gamma=math.exp(-0.3)), LR * np.exp(-0.3 * T)),
        (lambda o: InverseTimeLR(o, gamma=0.3), LR / (1 + 0.3 * T)),
        (lambda o: InverseTimeLR(o, gamma=0.5 / 4), LR / (1 + 0.5 * T / 4)),  # Keras's decay_rate / decay_steps
        (lambda o: PolynomialLR(o, 6, power=0.9), LR * (1 - np.minimum(T, 6) / 6) ** 0.9),
        (  # with an end rate of 0.04
            lambda o: LambdaLR(o, lambda t: 0.1 + (1 - 0.1) * (1 - min(t, 6) / 6) ** 2),
            (LR - 0.04) * (1 - np.minimum(T, 6) / 6) ** 2 + 0.04,
        ),
    ],
)
def test_decays_in_closed_form(make, formula):
    np.testing.assert_allclose(rates(make), formula, rtol=1e-12, atol=1e-15)


def test_polynomial_decay_compounds_with_another_schedule():
    """PyTorch multiplies the present rate by a quotient, so that another schedule's factor stays in it."""
    both = rates(lambda o: ChainedScheduler([PolynomialLR(o, 20, 2.0), InverseTimeLR(o, 0.3), ConstantLR(o, 0.5, 4)]))
    factors = (1 - T / 20) ** 2 / (1 + 0.3 * T) * np.where(T < 4, 0.5, 1)
    np.testing.assert_allclose(both, LR * factors, rtol=1e-12)


@pytest.mark.parametrize(
    ("warmup", "factors"),
    [
        (lambda o: LinearLR(o, start_factor=0.25, total_iters=3), [0.25, 0.5, 0.75]),
        (lambda o: ConstantLR(o, factor=0.1, total_iters=3), [0.1, 0.1, 0.1]),
    ],
)
def test_warm_up_is_two_schedules_in_a_row(warmup, factors):
    found = rates(lambda o: SequentialLR(o, [warmup(o), InverseTimeLR(o, 0.5)], milestones=[3]))
    np.testing.assert_allclose(found, LR * np.array([*factors, *(1 / (1 + 0.5 * T[:7]))]), rtol=1e-12)
