"""Learning-rate schedules: rates by hand, PyTorch's over 100 steps, states through JSON."""

import copy
import inspect
import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from schedule_table import (
    OWN,
    SCHEDULERS,
    Decay,
    optimizer_of,
    ramp,
    rates,
    run,
)

import atrous as at
from atrous import optim
from atrous.optim import lr_scheduler
from atrous.optim.lr_scheduler import (
    ChainedScheduler,
    ConstantLR,
    CosineAnnealingLR,
    CosineAnnealingWarmRestarts,
    CyclicLR,
    ExponentialLR,
    InverseTimeLR,
    LambdaLR,
    LambdaMomentum,
    LinearLR,
    MultiplicativeLR,
    MultiStepLR,
    OneCycleLR,
    PolynomialLR,
    ReduceLROnPlateau,
    SequentialLR,
    StepLR,
)

HALF = math.sqrt(0.5)
BY_HAND = [
    (lambda o: LambdaLR(o, lambda e: 1 / (1 + e)), [1, 1 / 2, 1 / 3, 1 / 4]),
    (lambda o: StepLR(o, 2), [1, 1, 0.1, 0.1, 0.01]),
    (lambda o: MultiStepLR(o, [3, 1, 3], 0.5), [1, 0.5, 0.5, 0.125, 0.125]),
    (lambda o: ConstantLR(o, 0.25, 2), [0.25, 0.25, 1, 1]),
    (lambda o: ConstantLR(o), [1 / 3] * 5 + [1, 1]),
    (lambda o: LinearLR(o, 0.2, 1.0, 4), [0.2, 0.4, 0.6, 0.8, 1, 1]),
    (lambda o: LinearLR(o, 1.0, 0.0, 2), [1, 0.5, 0, 0]),
    (lambda o: ExponentialLR(o, 0.5), [1, 0.5, 0.25, 0.125]),
    (lambda o: PolynomialLR(o, 4, 2), [1, 9 / 16, 4 / 16, 1 / 16, 0, 0]),
    (lambda o: PolynomialLR(o), [1, 0.8, 0.6, 0.4, 0.2, 0, 0]),
    (lambda o: CosineAnnealingLR(o, 4), [1, (1 + HALF) / 2, 0.5, (1 - HALF) / 2, 0, (1 - HALF) / 2, 0.5]),
    (lambda o: CosineAnnealingLR(o, 2, 0.2), [1, 0.6, 0.2, 0.6, 1, 0.6]),
    (lambda o: CosineAnnealingWarmRestarts(o, 2), [1, 0.5, 1, 0.5, 1]),
    (lambda o: CosineAnnealingWarmRestarts(o, 1, 2, 0.2), [1, 1, 0.6, 1, 0.2 + 0.4 * (1 + HALF), 0.6]),
    (lambda o: OneCycleLR(o, 1.0, 10, pct_start=0.5), [0.04, 0.04 + 0.96 * (1 - HALF) / 2, 0.52]),
    (lambda o: OneCycleLR(o, 1.0, 5, pct_start=0.6, anneal_strategy="linear"), [0.04, 0.52, 1, 0.500002, 4e-6, 4e-6]),
    (lambda o: SequentialLR(o, [ConstantLR(o, 0.5, 9), ExponentialLR(o, 0.5)], [2]), [0.5, 0.5, 1, 0.5, 0.25]),
    (lambda o: ChainedScheduler([ConstantLR(o, 0.5, 2), ExponentialLR(o, 0.5)]), [0.5, 0.25, 0.25, 0.125]),
    (lambda o: CyclicLR(o, 1.0, 3.0, 2, 4), [1, 2, 3, 2.5, 2, 1.5, 1, 2, 3]),
    (lambda o: CyclicLR(o, 1.0, 3.0, 1, 2, "triangular2"), [1, 3, 2, 1, 2, 1.5, 1, 1.5]),
    (lambda o: CyclicLR(o, 1.0, 3.0, 2, mode="exp_range", gamma=0.5), [1, 1.5, 1.5, 1.125, 1, 1 + 1 / 32, 1 + 1 / 32]),
    (lambda o: CyclicLR(o, 1.0, 3.0, 1, scale_fn=lambda cycle: cycle), [1, 3, 1, 5, 1, 7]),
    (lambda o: MultiplicativeLR(o, lambda e: 1 / e), [1, 1, 1 / 2, 1 / 6, 1 / 24]),
    (lambda o: InverseTimeLR(o, 0.5), [1, 2 / 3, 1 / 2, 2 / 5, 1 / 3]),
    (lambda o: LambdaMomentum(o, lambda e: 0.1), [1, 1, 1]),
]


@pytest.mark.parametrize(("make", "expected"), BY_HAND)
def test_by_hand(make, expected):
    np.testing.assert_allclose(rates(make, len(expected) - 1), expected, rtol=1e-13, atol=1e-16)


def test_plateau_by_hand():
    measures = [5, 4, 4, 3.9999, 3, math.nan, 3, 3, 3, 3, 2, 2, 2]
    found = rates(lambda o: ReduceLROnPlateau(o, factor=0.5, patience=1, cooldown=2), len(measures), 1.0, measures)
    # 4 and 3.9999, no progress beyond a share of 1e-4, are bad: down. 3 is better, NaN falls into the cooldown of two;
    # 3 and 3 are bad: down. The next two are the cooldown's, 2 is better, 2 and 2 are bad: down.
    assert found == [1, 1, 1, 1, 0.5, 0.5, 0.5, 0.5, 0.25, 0.25, 0.25, 0.25, 0.25, 0.125]


def test_one_cycle_moves_momentum_against_the_rate():
    optimizer = optim.SGD([at.zeros(2)], momentum=0.5)
    scheduler = OneCycleLR(
        optimizer, 1.0, 5, pct_start=0.6, anneal_strategy="linear", base_momentum=0.8, max_momentum=0.9
    )
    np.testing.assert_allclose(run(scheduler, 5)[:, 0, 1], [0.9, 0.85, 0.8, 0.85, 0.9, 0.9], rtol=1e-14)
    adam = optim.Adam([at.zeros(2)], betas=(0.5, 0.99))
    scheduler = OneCycleLR(adam, 1.0, 5, pct_start=0.6, anneal_strategy="linear", base_momentum=0.8, max_momentum=0.9)
    found = run(scheduler, 5)
    np.testing.assert_allclose(found[:, 0, 1], [0.9, 0.85, 0.8, 0.85, 0.9, 0.9], rtol=1e-14)
    assert set(found[:, 0, 2]) == {0.99}
    assert adam.param_groups[0]["betas"] == (0.9, 0.99)


@pytest.mark.parametrize(("name", "rest"), [("SGD", []), ("Adam", [0.999])])
def test_momentum_by_a_function(name, rest):
    optimizer = optimizer_of(at, name)
    scheduler = ChainedScheduler([ExponentialLR(optimizer, 0.5), LambdaMomentum(optimizer, [ramp, lambda e: e / 20])])
    found = run(scheduler, 12)
    for group, lr, momenta in ((0, 0.1, map(ramp, range(13))), (1, 0.03, (e / 20 for e in range(13)))):
        np.testing.assert_allclose(
            found[:, group], [[lr * 0.5**e, m, *rest] for e, m in enumerate(momenta)], rtol=1e-14
        )


def test_scheduled_momentum_is_what_the_optimizer_uses():
    w = at.tensor([0.0], requires_grad=True)
    optimizer = optim.SGD([w], lr=1.0, momentum=0.25)
    scheduler = LambdaMomentum(optimizer, lambda epoch: 0.5 if epoch < 2 else 0.75)
    found = []
    for _ in range(3):
        w.grad = at.ones(1)
        optimizer.step()
        scheduler.step()
        found.append(w.item())
    assert found == [-1, -2.5, -4.625]  # steps of 1, 1 + 0.5 · 1 and 1 + 0.75 · 1.5


@pytest.mark.parametrize("optimizer", ["SGD", "Adam"])
@pytest.mark.parametrize("name", SCHEDULERS)
def test_same_as_pytorch(name, optimizer):
    torch = pytest.importorskip("torch")
    ours, theirs = (run(SCHEDULERS[name](lib, optimizer_of(lib, optimizer)), 100) for lib in (at, torch))
    np.testing.assert_allclose(ours, theirs, rtol=1e-12, atol=1e-18)


@pytest.mark.parametrize("name", sorted(set(lr_scheduler.__all__) - set(OWN)))
def test_same_arguments_as_pytorch(name):
    torch = pytest.importorskip("torch")
    ours = inspect.signature(getattr(lr_scheduler, name)).parameters.values()
    theirs = inspect.signature(getattr(torch.optim.lr_scheduler, name)).parameters.values()
    assert [(p.name, p.default) for p in ours] == [(p.name, p.default) for p in theirs]


@pytest.mark.parametrize(
    "make",
    [
        lambda lib, o, e: lib.StepLR(o, 4, last_epoch=e),
        lambda lib, o, e: lib.MultiStepLR(o, [4, 6, 9], last_epoch=e),
        lambda lib, o, e: lib.LambdaLR(o, Decay(0.5), last_epoch=e),
        lambda lib, o, e: lib.ConstantLR(o, total_iters=9, last_epoch=e),
        lambda lib, o, e: lib.LinearLR(o, total_iters=9, last_epoch=e),
        lambda lib, o, e: lib.ExponentialLR(o, 0.9, last_epoch=e),
        lambda lib, o, e: lib.PolynomialLR(o, 12, last_epoch=e),
        lambda lib, o, e: lib.CosineAnnealingLR(o, 5, last_epoch=e),
        lambda lib, o, e: lib.CosineAnnealingWarmRestarts(o, 3, last_epoch=e),
        lambda lib, o, e: lib.OneCycleLR(o, 0.1, 50, last_epoch=e),
        lambda lib, o, e: lib.CyclicLR(o, 0.1, 0.5, 4, last_epoch=e),
        lambda lib, o, e: lib.MultiplicativeLR(o, Decay(0.1), last_epoch=e),
    ],
)
@pytest.mark.parametrize("done", [1, 5, 6])
def test_goes_on_at_last_epoch_as_pytorch(make, done):
    torch = pytest.importorskip("torch")
    found = []
    for lib in (at, torch):
        first = optimizer_of(lib)
        run(make(lib.optim.lr_scheduler, first, -1), done)
        resumed = optimizer_of(lib)
        resumed.load_state_dict(first.state_dict())
        found.append(run(make(lib.optim.lr_scheduler, resumed, done), 20))
    np.testing.assert_allclose(*found, rtol=1e-12, atol=1e-18)


@pytest.mark.parametrize("optimizer", ["SGD", "Adam"])
@pytest.mark.parametrize("done", [0, 1, 6, 37])
@pytest.mark.parametrize("name", SCHEDULERS | OWN)
def test_state_goes_through_json_bit_for_bit(name, done, optimizer):
    make = (SCHEDULERS | OWN)[name]
    full = run(make(at, optimizer_of(at, optimizer)), done + 20)
    first = make(at, optimizer_of(at, optimizer))
    run(first, done)
    saved = json.dumps([first.state_dict(), first.optimizer.state_dict()["param_groups"]], allow_nan=False)
    second = make(at, optimizer_of(at, optimizer))
    run(second, 3)  # it does not matter what it did before
    state, groups = json.loads(saved)
    second.optimizer.load_state_dict({"state": {}, "param_groups": groups})
    second.load_state_dict(state)
    assert second.get_last_lr() == first.get_last_lr()
    assert second.state_dict() == first.state_dict()
    np.testing.assert_array_equal(run(second, 20, start=done), full[done:])


@pytest.mark.parametrize("name", SCHEDULERS)
def test_pytorch_states_load(name):
    torch = pytest.importorskip("torch")
    theirs, ours = (SCHEDULERS[name](lib, optimizer_of(lib)) for lib in (torch, at))
    run(theirs, 11)
    ours.optimizer.load_state_dict(theirs.optimizer.state_dict())
    ours.load_state_dict(theirs.state_dict())
    np.testing.assert_allclose(run(ours, 20, start=11), run(theirs, 20, start=11), rtol=1e-12, atol=1e-18)
    json.dumps(ours.state_dict(), allow_nan=False)


def test_state_is_a_copy():
    scheduler = MultiStepLR(optimizer_of(at), [2, 4])
    state = scheduler.state_dict()
    before = copy.deepcopy(state)
    run(scheduler, 6)
    assert state == before
    scheduler.load_state_dict(state)
    run(scheduler, 6)
    assert state == before
    assert state["milestones"] == [2, 4]
    scheduler.state_dict()["base_lrs"][0] = 7.0
    assert scheduler.base_lrs == [0.1, 0.03]


def test_lambda_state_holds_attributes_of_objects_only():
    scheduler = LambdaLR(optimizer_of(at), [Decay(0.5), lambda epoch: 1.0])
    state = scheduler.state_dict()
    assert state["lr_lambdas"] == [{"speed": 0.5, "start": 1}, None]
    other = LambdaLR(optimizer_of(at), [Decay(7.0), lambda epoch: 1.0])
    other.load_state_dict(state)
    assert other.lr_lambdas[0].speed == 0.5
    assert state["lr_lambdas"] == [{"speed": 0.5, "start": 1}, None]


def test_cyclic_state_holds_attributes_of_an_object():
    scheduler, other = (CyclicLR(optimizer_of(at), 0.1, 1.0, scale_fn=Decay(speed)) for speed in (0.5, 7.0))
    state = scheduler.state_dict()
    assert state["_scale_fn_custom"] == {"speed": 0.5, "start": 1}
    other.load_state_dict(state)
    assert other.scale_fn(2) == 0.5
    assert CyclicLR(optimizer_of(at), 0.1, 1.0, scale_fn=lambda x: 1.0).state_dict()["_scale_fn_custom"] is None


def test_initial_rates_are_noted_in_the_groups():
    optimizer = optimizer_of(at)
    ExponentialLR(optimizer, 0.5)
    assert [group["initial_lr"] for group in optimizer.param_groups] == [0.1, 0.03]
    OneCycleLR(optimizer, [1.0, 0.5], 10)
    assert [group["initial_lr"] for group in optimizer.param_groups] == [0.04, 0.02]
    assert [group["max_lr"] for group in optimizer.param_groups] == [1.0, 0.5]


@pytest.mark.parametrize("done", [3, 9, 10, 11])
def test_one_cycle_leaves_an_optimizer_that_can_be_saved(done):
    optimizer = optimizer_of(at)
    scheduler = OneCycleLR(optimizer, 0.5, 11, anneal_strategy="linear")
    run(scheduler, done)
    optimizer_of(at).load_state_dict(optimizer.state_dict())  # refuses a rate below 0
    if done >= 10:
        np.testing.assert_allclose(scheduler.get_last_lr(), [0.5 / 25 / 1e4] * 2, rtol=1e-9)


def test_one_cycle_ends():
    scheduler = OneCycleLR(optimizer_of(at), 0.5, 3)
    run(scheduler, 3)
    with pytest.raises(ValueError, match=r"OneCycleLR: this is step 4; expected at most total_steps=3"):
        scheduler.step()


def test_one_cycle_with_a_phase_of_no_length():
    found = rates(lambda o: OneCycleLR(o, 1.0, 10, pct_start=0.1), 1)
    np.testing.assert_allclose(found, [1.0, 4e-6 + (1 - 4e-6) * (1 + math.cos(math.pi / 9)) / 2], rtol=1e-14)
    assert rates(lambda o: OneCycleLR(o, 1.0, 3, pct_start=1.0), 3)[2:] == [1.0, 1.0]


def test_combined_schedulers_nest():
    def make(o):
        first = ChainedScheduler([ConstantLR(o, 0.5, 2), ExponentialLR(o, 0.5)])
        second = ChainedScheduler([ExponentialLR(o, 0.1), ConstantLR(o, 0.5, 2)])
        inner = SequentialLR(o, [ConstantLR(o, 0.2, 9), StepLR(o, 1)], [1])
        return SequentialLR(o, [first, second, inner], [3, 6])

    expected = [0.5, 0.25, 0.25, 0.5, 0.05, 0.01, 0.2, 1.0, 0.1, 0.01]
    np.testing.assert_allclose(rates(make, 9), expected, rtol=1e-14)
    first, second = make(optimizer_of(at)), make(optimizer_of(at))
    run(first, 4)
    second.load_state_dict(json.loads(json.dumps(first.state_dict())))
    second.optimizer.load_state_dict(first.optimizer.state_dict())
    np.testing.assert_array_equal(run(first, 5), run(second, 5))


@pytest.mark.parametrize("T_mult", [1, 2, 3])
def test_restarts_at_a_given_epoch(T_mult):
    """Each epoch of a walk, jumped to: restarts fall on whole epochs exactly."""
    walker, jumper = (CosineAnnealingWarmRestarts(optimizer_of(at), 3, T_mult, 0.01) for _ in range(2))
    walker.optimizer.step()
    jumper.optimizer.step()
    for epoch in range(1, 300):
        walker.step()
        jumper.step(epoch)
        assert (walker.get_last_lr(), walker.last_epoch) == (jumper.get_last_lr(), jumper.last_epoch), epoch
    jumper.step(2)  # back into the first round
    assert jumper.T_i == 3


def test_restarts_at_fractions_as_pytorch():
    torch = pytest.importorskip("torch")
    found = []
    for lib in (at, torch):
        optimizer = optimizer_of(lib)
        scheduler = lib.optim.lr_scheduler.CosineAnnealingWarmRestarts(optimizer, 3, 2, 0.001)
        optimizer.step()
        found.append([])
        for step in [*(0.25 * i for i in range(60)), None, None, 40.5, None, 1.5, None, None]:
            scheduler.step(step)
            found[-1].append([*scheduler.get_last_lr(), scheduler.last_epoch])
    np.testing.assert_allclose(*found, rtol=1e-12)


@given(
    gamma=st.floats(0.1, 1.0),
    step_size=st.integers(1, 9),
    milestones=st.lists(st.integers(1, 30), max_size=5),
    T_max=st.integers(1, 40),
    lr=st.floats(1e-4, 10.0),
)
@settings(max_examples=25, deadline=None)
def test_steps_add_up_to_the_closed_forms(gamma, step_size, milestones, T_max, lr):
    epochs = range(31)
    cases = [
        (lambda o: StepLR(o, step_size, gamma), [lr * gamma ** (e // step_size) for e in epochs]),
        (lambda o: MultiStepLR(o, milestones, gamma), [lr * gamma ** sum(m <= e for m in milestones) for e in epochs]),
        (lambda o: ExponentialLR(o, gamma), [lr * gamma**e for e in epochs]),
        (
            lambda o: LinearLR(o, gamma, total_iters=T_max),
            [lr * (gamma + (1 - gamma) * min(e / T_max, 1)) for e in epochs],
        ),
        (lambda o: PolynomialLR(o, T_max, 0.9), [lr * (1 - min(e / T_max, 1)) ** 0.9 for e in epochs]),
        (lambda o: CosineAnnealingLR(o, T_max), [lr * (1 + math.cos(math.pi * e / T_max)) / 2 for e in epochs]),
    ]
    for make, expected in cases:
        np.testing.assert_allclose(rates(make, 30, lr), expected, rtol=1e-10, atol=lr * 1e-12)


def test_groups_that_are_added_later():
    optimizer = optimizer_of(at, groups=1)
    step, cosine = StepLR(optimizer, 1, 0.5), CosineAnnealingWarmRestarts(optimizer, 4)
    plateau = ReduceLROnPlateau(optimizer, patience=0, factor=0.5, min_lr=0.01)
    strict = ReduceLROnPlateau(optimizer, patience=0, min_lr=[0.01])
    optimizer.add_param_group({"params": [at.zeros(3)], "lr": 0.8})
    optimizer.step()
    step.step()
    assert step.get_last_lr() == [0.05, 0.4]  # from the rate it has, as in PyTorch
    with pytest.raises(ValueError, match=r"2 parameter groups; expected 1, as when the scheduler was made"):
        cosine.step()
    plateau.step(1.0)
    plateau.step(1.0)
    assert plateau.get_last_lr() == [0.025, 0.2]
    strict.step(1.0)
    with pytest.raises(ValueError, match=r"2 parameter groups; expected 1, as min_lr"):
        strict.step(1.0)
