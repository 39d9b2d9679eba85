"""Learning-rate schedules: warnings, schedulers of one's own, bad input."""

import copy
import json
import math
import re

import numpy as np
import pytest
from schedule_table import (
    SCHEDULERS,
    chained,
    optimizer_of,
    ramp,
    run,
)

import atrous as at
from atrous import optim
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
    LRScheduler,
    MultiplicativeLR,
    MultiStepLR,
    OneCycleLR,
    PolynomialLR,
    ReduceLROnPlateau,
    SequentialLR,
    StepLR,
)


def test_a_step_before_the_optimizers_warns_once():
    optimizer = optimizer_of(at)
    scheduler = StepLR(optimizer, 1)
    with pytest.warns(UserWarning, match=r"StepLR: step\(\) before the optimizer's first step\(\)") as caught:
        scheduler.step()
    assert caught[0].filename == __file__
    scheduler.step()
    restarts = CosineAnnealingWarmRestarts(optimizer, 5)
    with pytest.warns(UserWarning, match=r"call optimizer\.step\(\) first") as caught:
        restarts.step()
    assert caught[0].filename == __file__
    optimizer.step()
    StepLR(optimizer, 1).step()


def test_an_optimizer_with_a_step_of_its_own_does_not_warn():
    class Own(optim.SGD):
        def step(self, closure=None):
            pass

    StepLR(Own([at.zeros(2)], lr=0.1), 1).step()


@pytest.mark.parametrize("name", ["StepLR", "CosineAnnealingLR", "OneCycleLR", "LinearLR"])
def test_get_lr_outside_a_step_warns(name):
    scheduler = SCHEDULERS[name](at, optimizer_of(at))
    with pytest.warns(UserWarning, match=r"get_last_lr\(\) has the present ones"):
        scheduler.get_lr()


def test_a_scheduler_of_ones_own():
    class Halving(LRScheduler):
        def __init__(self, optimizer, last_epoch=-1):
            self.halved = 0
            super().__init__(optimizer, last_epoch)

        def get_lr(self):
            self.halved += self.last_epoch > 0
            return [base / 2**self.halved for base in self.base_lrs]

    scheduler = Halving(optimizer_of(at))
    np.testing.assert_array_equal(run(scheduler, 3)[:, 0, 0], [0.1, 0.05, 0.025, 0.0125])
    other = Halving(optimizer_of(at))
    other.load_state_dict(json.loads(json.dumps(scheduler.state_dict())))
    assert other.halved == 3
    with pytest.raises(NotImplementedError):
        LRScheduler(optimizer_of(at))


BAD = [
    (lambda o: StepLR(o, 0), "StepLR: step_size is 0; expected an int of 1 or more"),
    (lambda o: StepLR(o, 2.0), "StepLR: step_size is 2.0; expected an int of 1 or more"),
    (lambda o: StepLR(o, True), "StepLR: step_size is True; expected an int of 1 or more"),
    (lambda o: StepLR(o, 2, -0.1), "StepLR: gamma is -0.1; expected a number of 0 or more"),
    (lambda o: StepLR(o, 2, last_epoch=-2), "StepLR: last_epoch is -2; expected an int of -1 or more"),
    (lambda o: StepLR(o, 2, last_epoch=3), "StepLR: group 0 has no initial_lr; last_epoch=3 needs a resumed optimizer"),
    (lambda o: MultiStepLR(o, [3, -1]), "MultiStepLR: milestones is -1; expected an int of 0 or more"),
    (lambda o: ExponentialLR(o, math.nan), "ExponentialLR: gamma is nan; expected a number of 0 or more"),
    (lambda o: ExponentialLR(o, "0.9"), "ExponentialLR: gamma is '0.9'; expected a number of 0 or more"),
    (lambda o: ConstantLR(o, 0), "ConstantLR: factor is 0; expected a number above 0, 1 or less"),
    (lambda o: ConstantLR(o, 1.5), "ConstantLR: factor is 1.5; expected a number above 0, 1 or less"),
    (lambda o: LinearLR(o, 0.0), "LinearLR: start_factor is 0.0; expected a number above 0, 1 or less"),
    (lambda o: LinearLR(o, 0.1, 2.0), "LinearLR: end_factor is 2.0; expected a number of 0 or more, 1 or less"),
    (lambda o: LinearLR(o, total_iters=0), "LinearLR: total_iters is 0; expected an int of 1 or more"),
    (lambda o: PolynomialLR(o, 0), "PolynomialLR: total_iters is 0; expected an int of 1 or more"),
    (lambda o: PolynomialLR(o, 5, -1), "PolynomialLR: power is -1; expected a number of 0 or more"),
    (lambda o: CosineAnnealingLR(o, 0), "CosineAnnealingLR: T_max is 0; expected an int of 1 or more"),
    (lambda o: CosineAnnealingLR(o, 5, -1.0), "CosineAnnealingLR: eta_min is -1.0; expected a number of 0 or more"),
    (lambda o: CosineAnnealingWarmRestarts(o, 0), "T_0 is 0; expected an int of 1 or more"),
    (lambda o: CosineAnnealingWarmRestarts(o, 5, 1.5), "T_mult is 1.5; expected an int of 1 or more"),
    (lambda o: CosineAnnealingWarmRestarts(o, 5).step(-1), "epoch is -1; expected a number of 0 or more"),
    (lambda o: LambdaLR(o, [abs]), "LambdaLR: lr_lambda has 1 entries; expected 2, one for each parameter group"),
    (lambda o: OneCycleLR(o, 1.0), "OneCycleLR: expected total_steps, or both epochs and steps_per_epoch"),
    (lambda o: OneCycleLR(o, 1.0, epochs=3), "OneCycleLR: expected total_steps, or both epochs and steps_per_epoch"),
    (lambda o: OneCycleLR(o, 1.0, 0), "OneCycleLR: total_steps is 0; expected an int of 1 or more"),
    (lambda o: OneCycleLR(o, 1.0, epochs=0, steps_per_epoch=3), "OneCycleLR: epochs is 0; expected an int of 1"),
    (lambda o: OneCycleLR(o, 0.0, 5), "OneCycleLR: max_lr is 0.0; expected a number above 0"),
    (lambda o: OneCycleLR(o, [1.0], 5), "OneCycleLR: max_lr has 1 entries; expected 2, one for each parameter group"),
    (lambda o: OneCycleLR(o, 1.0, 5, pct_start=1.5), "pct_start is 1.5; expected a number of 0 or more, 1 or less"),
    (lambda o: OneCycleLR(o, 1.0, 5, anneal_strategy="exp"), "anneal_strategy is 'exp'; expected 'cos' or 'linear'"),
    (lambda o: OneCycleLR(o, 1.0, 5, div_factor=0), "OneCycleLR: div_factor is 0; expected a number above 0"),
    (lambda o: OneCycleLR(o, 1.0, 5, max_momentum=1.0), "max_momentum is 1.0; expected a number of 0 or more, below 1"),
    (lambda o: OneCycleLR(o, 1.0, 5, last_epoch=2), "OneCycleLR: group 0 has no base_momentum, initial_lr, max_lr"),
    (lambda o: CyclicLR(o, -0.1, 1.0), "CyclicLR: base_lr is -0.1; expected a number of 0 or more"),
    (lambda o: CyclicLR(o, 0.1, [1.0]), "CyclicLR: max_lr has 1 entries; expected 2, one for each parameter group"),
    (lambda o: CyclicLR(o, 0.1, 1.0, 0), "CyclicLR: step_size_up is 0; expected a number above 0"),
    (lambda o: CyclicLR(o, 0.1, 1.0, 5, -1), "CyclicLR: step_size_down is -1; expected a number of 0 or more"),
    (lambda o: CyclicLR(o, 0.1, 1.0, mode="x"), "CyclicLR: mode is 'x'; expected one of 'triangular', 'triangular2'"),
    (lambda o: CyclicLR(o, 0.1, 1.0, scale_mode="x"), "scale_mode is 'x'; expected 'cycle' or 'iterations'"),
    (lambda o: CyclicLR(o, 0.1, 1.0, max_momentum=1.0), "max_momentum is 1.0; expected a number of 0 or more, below 1"),
    (lambda o: InverseTimeLR(o, -1), "InverseTimeLR: gamma is -1; expected a number of 0 or more"),
    (lambda o: LambdaMomentum(o, lambda e: 1.0), "LambdaMomentum: momentum is 1.0; expected a number of 0 or more, be"),
    (lambda o: LambdaMomentum(o, [ramp]), "LambdaMomentum: momentum_lambda has 1 entries; expected 2, one for each"),
    (lambda o: ReduceLROnPlateau(o, "least"), "ReduceLROnPlateau: mode is 'least'; expected 'min' or 'max'"),
    (lambda o: ReduceLROnPlateau(o, threshold_mode="x"), "threshold_mode is 'x'; expected 'rel' or 'abs'"),
    (lambda o: ReduceLROnPlateau(o, factor=1.0), "factor is 1.0; expected a number of 0 or more, below 1"),
    (lambda o: ReduceLROnPlateau(o, patience=-1), "patience is -1; expected an int of 0 or more"),
    (lambda o: ReduceLROnPlateau(o, min_lr=[0.1]), "min_lr has 1 entries; expected 2, one for each parameter group"),
    (lambda o: SequentialLR(o, [], []), "SequentialLR: schedulers is empty; expected at least one"),
    (lambda o: SequentialLR(o, [StepLR(o, 2)], [1]), "SequentialLR: milestones is [1]; expected 0 ascending epochs"),
    (
        lambda o: SequentialLR(o, [StepLR(o, 2), StepLR(o, 2), StepLR(o, 2)], [4, 1]),
        "SequentialLR: milestones is [4, 1]; expected 2 ascending epochs, one fewer than schedulers",
    ),
    (lambda o: SequentialLR(o, [StepLR(o, 2)], [], 4), "SequentialLR: last_epoch is 4; expected -1"),
    (
        lambda o: SequentialLR(o, [StepLR(optimizer_of(at), 2)], []),
        "SequentialLR: scheduler 0 is one of another optimizer; expected one for all",
    ),
    (lambda o: ChainedScheduler([]), "ChainedScheduler: schedulers is empty; expected at least one"),
    (
        lambda o: ChainedScheduler([StepLR(o, 2), ReduceLROnPlateau(o)]),
        "ChainedScheduler: scheduler 1 is a ReduceLROnPlateau, whose step() needs a measure",
    ),
    (
        lambda o: StepLR(o, 2).load_state_dict(ExponentialLR(o, 0.5).state_dict()),
        "StepLR: the state lacks step_size; expected a state_dict() of a StepLR",
    ),
    (
        lambda o: StepLR(o, 2).load_state_dict(StepLR(optimizer_of(at, groups=1), 2).state_dict()),
        "StepLR: the state is of 1 parameter groups; expected 2, as the optimizer has",
    ),
    (
        lambda o: chained(at, o).load_state_dict(ChainedScheduler([StepLR(o, 2)]).state_dict()),
        "ChainedScheduler: the state is of 1 schedulers; expected 3",
    ),
]


@pytest.mark.parametrize(("make", "message"), BAD)
def test_bad_input(make, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        make(optimizer_of(at))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda o: StepLR([o], 2), "StepLR: optimizer is a list; expected an Optimizer"),
        (lambda o: LambdaLR(None, abs), "LambdaLR: optimizer is a NoneType; expected an Optimizer"),
        (lambda o: LambdaLR(o, 0.5), "LambdaLR: lr_lambda is a float; expected a function"),
        (lambda o: MultiplicativeLR(o, 0.5), "MultiplicativeLR: lr_lambda is a float; expected a function"),
        (lambda o: LambdaMomentum(o, 0.5), "LambdaMomentum: momentum_lambda is a float; expected a function"),
        (lambda o: CyclicLR(o, 0.1, 1.0, scale_fn=0.5), "CyclicLR: scale_fn is a float; expected a function"),
        (lambda o: CyclicLR(3, 0.1, 1.0), "CyclicLR: optimizer is a int; expected an Optimizer"),
        (lambda o: ReduceLROnPlateau(3), "ReduceLROnPlateau: optimizer is a int; expected an Optimizer"),
        (lambda o: SequentialLR(o, [o], []), "SequentialLR: scheduler 0 is a SGD; expected an LRScheduler"),
        (lambda o: StepLR(o, 2).load_state_dict([1]), "StepLR: the state is a list; expected a state_dict()"),
    ],
)
def test_bad_types(make, message):
    with pytest.raises(TypeError, match=re.escape(message)):
        make(optimizer_of(at))


def test_a_state_that_does_not_fit_changes_nothing():
    optimizer = optimizer_of(at)
    scheduler = ChainedScheduler([StepLR(optimizer, 2), ExponentialLR(optimizer, 0.5)])
    before = scheduler.state_dict()
    bad = copy.deepcopy(before)
    bad["_schedulers"][0]["last_epoch"] = 9
    del bad["_schedulers"][1]["gamma"]
    with pytest.raises(ValueError, match="ExponentialLR: the state lacks gamma"):
        scheduler.load_state_dict(bad)
    assert scheduler.state_dict() == before


def test_numpy_numbers_become_pythons():
    scheduler = StepLR(optimizer_of(at), np.int64(3), np.float32(0.5))
    json.dumps(scheduler.state_dict())
    assert type(scheduler.step_size) is int
    assert scheduler.gamma == 0.5


def test_no_momentum_to_cycle():
    class Plain(optim.Optimizer):
        def __init__(self, params):
            super().__init__(params, {"lr": 0.1})

        def _check(self, group):
            pass

    optimizer = Plain([at.zeros(2)])
    with pytest.raises(ValueError, match="OneCycleLR: Plain has neither momentum nor betas"):
        OneCycleLR(optimizer, 1.0, 5)
    with pytest.raises(ValueError, match="CyclicLR: Plain has neither momentum nor betas; expected cycle_momentum=F"):
        CyclicLR(optimizer, 0.5, 1.0)
    with pytest.raises(ValueError, match="LambdaMomentum: Plain has neither momentum nor betas; expected an optimizer"):
        LambdaMomentum(optimizer, ramp)
    assert "max_lr" not in optimizer.param_groups[0]
    assert optimizer.param_groups[0]["lr"] == 0.1
    assert OneCycleLR(optimizer, 1.0, 5, cycle_momentum=False).get_last_lr() == pytest.approx([0.04])
