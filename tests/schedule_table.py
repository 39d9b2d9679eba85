"""Schedules for the tests: each with its arguments, for any library, and their rates over some steps."""

import math

import numpy as np

import atrous as at
from atrous import optim
from atrous.optim.lr_scheduler import (
    ChainedScheduler,
    InverseTimeLR,
    LambdaMomentum,
    StepLR,
)


class Decay:
    """A callable object, whose attribute belongs to the state of LambdaLR."""

    def __init__(self, speed, start=1):
        self.speed, self.start = speed, start

    def __call__(self, epoch):
        return self.start / (1 + self.speed * epoch)


def ramp(epoch):
    """The momentum goes from 0.5 to 0.9 in ten epochs."""
    return 0.5 + 0.04 * min(epoch, 10)


def seq(lib, o):
    S = lib.optim.lr_scheduler
    return S.SequentialLR(
        o,
        [
            S.LinearLR(o, 0.1, total_iters=6),
            S.CosineAnnealingLR(o, 20),
            S.MultiStepLR(o, [3, 3, 9]),
            S.LambdaLR(o, Decay(0.1)),
        ],
        milestones=[6, 30, 60],
    )


def seq_restarts(lib, o):
    S = lib.optim.lr_scheduler
    return S.SequentialLR(
        o,
        [S.CosineAnnealingWarmRestarts(o, 3, 2, 1e-3), S.PolynomialLR(o, 10, 2.0), S.CosineAnnealingWarmRestarts(o, 5)],
        [17, 40],
    )


def chained(lib, o):
    S = lib.optim.lr_scheduler
    return S.ChainedScheduler([S.LinearLR(o, 0.2, total_iters=10), S.ExponentialLR(o, 0.97), S.StepLR(o, 13, 0.5)], o)


# One entry a configuration: a function of the library and an optimizer that makes the scheduler.
SCHEDULERS = {
    "LambdaLR": lambda lib, o: lib.optim.lr_scheduler.LambdaLR(o, lambda epoch: 0.95**epoch),
    "LambdaLR, one each": lambda lib, o: lib.optim.lr_scheduler.LambdaLR(o, [Decay(0.1), lambda e: 0.5 ** (e // 7)]),
    "StepLR": lambda lib, o: lib.optim.lr_scheduler.StepLR(o, 30),
    "StepLR, short": lambda lib, o: lib.optim.lr_scheduler.StepLR(o, 1, gamma=0.9),
    "MultiStepLR": lambda lib, o: lib.optim.lr_scheduler.MultiStepLR(o, [30, 80]),
    "MultiStepLR, twice": lambda lib, o: lib.optim.lr_scheduler.MultiStepLR(o, (50, 0, 10, 10), gamma=0.5),
    "ConstantLR": lambda lib, o: lib.optim.lr_scheduler.ConstantLR(o),
    "ConstantLR, long": lambda lib, o: lib.optim.lr_scheduler.ConstantLR(o, 0.7, 40),
    "LinearLR": lambda lib, o: lib.optim.lr_scheduler.LinearLR(o),
    "LinearLR, down": lambda lib, o: lib.optim.lr_scheduler.LinearLR(o, 1.0, 0.01, 90),
    "LinearLR, to 0": lambda lib, o: lib.optim.lr_scheduler.LinearLR(o, 0.5, 0.0, 20),
    "ExponentialLR": lambda lib, o: lib.optim.lr_scheduler.ExponentialLR(o, 0.9),
    "PolynomialLR": lambda lib, o: lib.optim.lr_scheduler.PolynomialLR(o),
    "PolynomialLR, square root": lambda lib, o: lib.optim.lr_scheduler.PolynomialLR(o, 60, power=0.5),
    "CosineAnnealingLR": lambda lib, o: lib.optim.lr_scheduler.CosineAnnealingLR(o, 100),
    "CosineAnnealingLR, up again": lambda lib, o: lib.optim.lr_scheduler.CosineAnnealingLR(o, 7, eta_min=0.003),
    "CosineAnnealingLR, T_max 1": lambda lib, o: lib.optim.lr_scheduler.CosineAnnealingLR(o, 1, 0.003),
    "CosineAnnealingWarmRestarts": lambda lib, o: lib.optim.lr_scheduler.CosineAnnealingWarmRestarts(o, 10),
    "CosineAnnealingWarmRestarts, longer": lambda lib, o: lib.optim.lr_scheduler.CosineAnnealingWarmRestarts(
        o, 3, T_mult=2, eta_min=0.001
    ),
    "OneCycleLR": lambda lib, o: lib.optim.lr_scheduler.OneCycleLR(o, 0.5, total_steps=101),
    "OneCycleLR, linear": lambda lib, o: lib.optim.lr_scheduler.OneCycleLR(
        o, [0.5, 0.1], epochs=11, steps_per_epoch=10, anneal_strategy="linear", pct_start=0.4, div_factor=5.0
    ),
    "OneCycleLR, three phases": lambda lib, o: lib.optim.lr_scheduler.OneCycleLR(
        o, 0.5, 120, three_phase=True, base_momentum=[0.8, 0.7], max_momentum=0.9, final_div_factor=100.0
    ),
    "OneCycleLR, no momentum": lambda lib, o: lib.optim.lr_scheduler.OneCycleLR(
        o, 0.5, total_steps=150, pct_start=0.0, cycle_momentum=False
    ),
    "CyclicLR": lambda lib, o: lib.optim.lr_scheduler.CyclicLR(o, 0.01, 0.5, step_size_up=9),
    "CyclicLR, triangular2": lambda lib, o: lib.optim.lr_scheduler.CyclicLR(
        o, [0.01, 0.02], [0.5, 0.1], 7, 20, "triangular2", base_momentum=[0.7, 0.75], max_momentum=0.95
    ),
    "CyclicLR, exp_range": lambda lib, o: lib.optim.lr_scheduler.CyclicLR(
        o, 0.01, 0.5, 4.5, 0, mode="exp_range", gamma=0.97, scale_mode="cycle"
    ),
    "CyclicLR, no momentum": lambda lib, o: lib.optim.lr_scheduler.CyclicLR(o, 0.3, 0.1, 11, cycle_momentum=False),
    "CyclicLR, of cycles": lambda lib, o: lib.optim.lr_scheduler.CyclicLR(
        o, 0.01, 0.5, 7, mode="mine", scale_fn=Decay(0.3)
    ),
    "CyclicLR, of steps": lambda lib, o: lib.optim.lr_scheduler.CyclicLR(
        o, 0.01, 0.5, 7, scale_fn=lambda step: 0.99**step, scale_mode="iterations"
    ),
    "MultiplicativeLR": lambda lib, o: lib.optim.lr_scheduler.MultiplicativeLR(o, lambda epoch: 1 - 1 / (2 + epoch)),
    "MultiplicativeLR, one each": lambda lib, o: lib.optim.lr_scheduler.MultiplicativeLR(
        o, [Decay(0.01), lambda e: 0.9]
    ),
    "ReduceLROnPlateau": lambda lib, o: lib.optim.lr_scheduler.ReduceLROnPlateau(o, patience=3),
    "ReduceLROnPlateau, max": lambda lib, o: lib.optim.lr_scheduler.ReduceLROnPlateau(
        o, "max", 0.5, 2, 0.01, "abs", cooldown=4, min_lr=[0.01, 0.002], eps=1e-4
    ),
    "ReduceLROnPlateau, rel max": lambda lib, o: lib.optim.lr_scheduler.ReduceLROnPlateau(o, "max", 0.5, 0, 0.1),
    "ReduceLROnPlateau, abs min": lambda lib, o: lib.optim.lr_scheduler.ReduceLROnPlateau(
        o, patience=1, threshold=0.3, threshold_mode="abs"
    ),
    "SequentialLR": seq,
    "SequentialLR, restarts": seq_restarts,
    "SequentialLR, milestone 0": lambda lib, o: lib.optim.lr_scheduler.SequentialLR(
        o, [lib.optim.lr_scheduler.StepLR(o, 3), lib.optim.lr_scheduler.LinearLR(o)], [0]
    ),
    "ChainedScheduler": chained,
}
OWN = {  # that PyTorch lacks
    "InverseTimeLR": lambda lib, o: InverseTimeLR(o, 0.3),
    "LambdaMomentum": lambda lib, o: ChainedScheduler([StepLR(o, 7, 0.5), LambdaMomentum(o, ramp)]),
    "LambdaMomentum, one each": lambda lib, o: LambdaMomentum(o, [Decay(0.1, 0.8), lambda e: 0.5]),
}


def optimizer_of(lib, name="SGD", groups=2):
    params = [{"params": [lib.zeros(2, requires_grad=True)], "lr": lr} for lr in (0.1, 0.03)[:groups]]
    return getattr(lib.optim, name)(params, lr=1.0, **({"momentum": 0.9} if name == "SGD" else {}))


def advance(scheduler, step):
    """One step, with the measure of that step where the scheduler wants one: noisy, falling, now and then NaN."""
    scheduler.optimizer.step()
    if hasattr(scheduler, "patience"):
        measure = math.nan if step == 20 else 1 / (1 + step) + 0.3 * math.sin(step)
        scheduler.step(measure)
    else:
        scheduler.step()


def settings_of(scheduler):
    """What a scheduler sets in each group."""
    groups = scheduler.optimizer.param_groups
    return [[g["lr"], *([g["momentum"]] if "momentum" in g else g["betas"])] for g in groups]


def run(scheduler, steps, start=0):
    """What is set before and after each step; get_last_lr() agrees with it."""
    rows = [settings_of(scheduler)]
    for step in range(start, start + steps):
        advance(scheduler, step)
        rows.append(settings_of(scheduler))
        assert scheduler.get_last_lr() == [group["lr"] for group in scheduler.optimizer.param_groups]
    return np.array(rows)


def rates(make, steps, lr=1.0, measures=None):
    """The rates of epochs 0 to steps of one group."""
    optimizer = optim.SGD([at.zeros(2)], lr=lr, momentum=0.9)
    scheduler = make(optimizer)
    found = [optimizer.param_groups[0]["lr"]]
    for step in range(steps):
        optimizer.step()
        scheduler.step(*([measures[step]] if measures else []))
        found.append(optimizer.param_groups[0]["lr"])
    return found
