"""Learning-rate schedules, drawn, and why rates fall at all. Run it: python examples/schedules.py"""

# %%
# Near the minimum, mini-batch noise keeps the weights rattling at a distance that grows with the rate. A large rate
# gets there fast, a small one gets close: so begin with a large one and let it fall. Warm-up does the opposite for a
# few steps, while the weights are still random and the gradients wild.
import matplotlib.pyplot as plt

import atrous as at
import lesson
from atrous import optim
from atrous.optim import lr_scheduler as lr

STEPS = 100
SCHEDULES = {
    "ConstantLR": lambda o: lr.ConstantLR(o, factor=0.3, total_iters=20),
    "LinearLR (warm-up)": lambda o: lr.LinearLR(o, start_factor=0.01, total_iters=20),
    "StepLR": lambda o: lr.StepLR(o, step_size=30, gamma=0.3),
    "MultiStepLR": lambda o: lr.MultiStepLR(o, milestones=[50, 75], gamma=0.1),
    "ExponentialLR": lambda o: lr.ExponentialLR(o, gamma=0.96),
    "PolynomialLR": lambda o: lr.PolynomialLR(o, total_iters=STEPS, power=2.0),
    "CosineAnnealingLR": lambda o: lr.CosineAnnealingLR(o, T_max=STEPS),
    "CosineAnnealingWarmRestarts": lambda o: lr.CosineAnnealingWarmRestarts(o, T_0=15, T_mult=2),
    "OneCycleLR": lambda o: lr.OneCycleLR(o, max_lr=1.0, total_steps=STEPS + 1, cycle_momentum=False),
    "CyclicLR": lambda o: lr.CyclicLR(o, base_lr=0.05, max_lr=1.0, step_size_up=25, cycle_momentum=False),
    "InverseTimeLR": lambda o: lr.InverseTimeLR(o, gamma=0.1),
    "LambdaLR, 1 / √(1 + t)": lambda o: lr.LambdaLR(o, lambda t: (1 + t) ** -0.5),
    "ReduceLROnPlateau": lambda o: lr.ReduceLROnPlateau(o, factor=0.3, patience=5),
    "SequentialLR": lambda o: lr.SequentialLR(
        o, [lr.LinearLR(o, 0.01, total_iters=10), lr.CosineAnnealingLR(o, STEPS - 10)], milestones=[10]
    ),
    "ChainedScheduler": lambda o: lr.ChainedScheduler([lr.LinearLR(o, 0.1, total_iters=20), lr.ExponentialLR(o, 0.97)]),
}


# %%
# The task: find the mean of noisy numbers, ½·(w − 3)², its gradient with noise of deviation 1. 400 of them at once, so
# that the error is an average and not luck. The rate is that of the schedule times 0.5.
def descend(schedule):
    """The rate at each step, relative to the largest, and the mean squared error after each."""
    at.manual_seed(0)
    w = at.full((400,), 0.0).requires_grad_()
    optimizer = optim.SGD([w], lr=1.0)
    scheduler = schedule(optimizer)
    rates, errors = [], []
    for _ in range(lesson.full_or_fast(STEPS, 5)):
        rates.append(optimizer.param_groups[0]["lr"])
        w.grad = 0.5 * (w.detach() - 3 + at.randn(400))
        optimizer.step()
        errors.append(((w.detach() - 3) ** 2).mean().item())
        if isinstance(scheduler, lr.ReduceLROnPlateau):
            scheduler.step(errors[-1])  # it looks at a number that should fall
        elif scheduler is not None:
            scheduler.step()
    return rates, errors


runs = {name: descend(schedule) for name, schedule in SCHEDULES.items()}
runs["no schedule"] = descend(lambda optimizer: None)
last = {name: errors[-1] for name, (_, errors) in runs.items()}
for name, error in sorted(last.items(), key=lambda item: item[1]):
    print(f"{name:30} error at the end {error:.4f}")

# %%
# Whoever keeps a small rate for long averages over the most noise and ends nearest.
figure, axes = plt.subplots(4, 4, figsize=(8, 5.2), sharex=True, sharey=True)
cells = dict(zip(["no schedule", *SCHEDULES], axes.flat, strict=True))
for name, axis in cells.items():
    axis.plot(runs[name][0], color="#1f77b4", lw=1.2)
    axis.set_title(f"{name.replace('Annealing', 'Ann.')}\nends at {last[name]:.3f}", fontsize=7.5)
for axis in axes[-1]:
    axis.set_xlabel("step", fontsize=8)
for axis in axes[:, 0]:
    axis.set_ylabel("rate", fontsize=8)
figure.suptitle("Schedules, and the error that each leaves: rates that fall leave less")
figure.tight_layout()
lesson.save(figure, "schedules")

# %%
print(
    f"claim: with a constant rate the noise leaves an error of {last['no schedule']:.2f}; cosine annealing from the "
    f"same rate leaves {last['CosineAnnealingLR']:.3f}"
)
assert lesson.FAST or last["no schedule"] > 5 * last["CosineAnnealingLR"]
