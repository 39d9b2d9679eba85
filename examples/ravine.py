"""Optimisers in a ravine and on a saddle: SGD, momentum, Nesterov, Adam. Run it: python examples/ravine.py"""

# %%
# Near a minimum every loss is a quadratic, f(w) = ½·wᵀH·w. Its condition number κ = λmax / λmin says how long and
# narrow the valley is. The steepest direction bounds the rate (lr < 2 / λmax), the flattest one sets how long it takes:
#     gradient descent   about κ/2 · ln(1/ε) steps, at its best rate 2 / (λmax + λmin)
#     momentum           about √κ/2 · ln(1/ε), at lr = 4 / (√λmax + √λmin)², µ = ((√κ − 1) / (√κ + 1))² (Polyak 1964)
#     Nesterov           about √κ · ln(1/ε), at lr = 1 / λmax, µ = (√κ − 1) / (√κ + 1) (Nesterov 1983)
# until a share ε of the way is left.
# Adam divides each coordinate's step by the size of its own gradients. That undoes a ravine along the axes; here the
# ravine lies across them (turned by 30°), where it helps less.
import matplotlib.pyplot as plt
import numpy as np

import atrous as at
import lesson
from atrous import optim

turn = np.array([[np.cos(np.pi / 6), -np.sin(np.pi / 6)], [np.sin(np.pi / 6), np.cos(np.pi / 6)]])
hessian = turn @ np.diag([1.0, 100.0]) @ turn.T
kappa = np.linalg.cond(hessian)
root = np.sqrt(kappa)
H = at.from_numpy(hessian)


def ravine(w):
    return 0.5 * (w @ H @ w)


def saddle(w):
    """Down along the second axis, to minima of −¼ at ±1; up along the first."""
    return (w[0] ** 2 / 2 - w[1] ** 2 / 2 + w[1] ** 4 / 4).sum()


OPTIMISERS = {
    "SGD": lambda w: optim.SGD([w], lr=2 / 101),
    "momentum": lambda w: optim.SGD([w], lr=4 / (root + 1) ** 2, momentum=((root - 1) / (root + 1)) ** 2),
    "Nesterov": lambda w: optim.SGD([w], lr=1 / 100, momentum=(root - 1) / (root + 1), nesterov=True),
    "Adam": lambda w: optim.Adam([w], lr=0.1),
}


def path(f, start, optimiser, done):
    """The points on the way from `start` until the loss is below `done`."""
    w = at.tensor(start, dtype=at.float64, requires_grad=True)
    optimizer = optimiser(w)
    points = [w.tolist()]
    for _ in range(lesson.full_or_fast(3000, 20)):
        optimizer.zero_grad()
        loss = f(w)
        if loss.item() < done:
            break
        loss.backward()
        optimizer.step()
        points.append(w.tolist())
    return np.array(points)


# %%
# The ravine: start high on its far end, stop when the loss has fallen by 10⁶.
start = (turn @ [10.0, 1.0]).tolist()
target = 1e-6 * ravine(at.tensor(start, dtype=at.float64)).item()
ravines = {name: path(ravine, start, optimiser, target) for name, optimiser in OPTIMISERS.items()}

# %%
# The saddle: start almost on the ridge, where the slope to either side is nearly 0. It grows e-fold in 1/lr steps, so
# SGD waits; momentum adds up what little there is; Adam scales it up to a full step at once (Dauphin et al. 2014).
saddles = {name: path(saddle, [1.0, 1e-4], optimiser, -0.24) for name, optimiser in OPTIMISERS.items()}
for name in OPTIMISERS:
    print(f"{name:8}  ravine {len(ravines[name]) - 1:4} steps, saddle {len(saddles[name]) - 1:4} steps")

# %%
figure, axes = plt.subplots(1, 2, figsize=(7.8, 3.4))
a, b = np.meshgrid(np.linspace(-3, 10, 150), np.linspace(-3.5, 7, 150))
heights = 0.5 * (hessian[0, 0] * a**2 + 2 * hessian[0, 1] * a * b + hessian[1, 1] * b**2)
axes[0].contour(a, b, heights, levels=[3, 30, 300], colors="lightgray", linewidths=0.8)
for (name, points), style in zip(ravines.items(), ("-", "--", "-.", ":"), strict=True):
    axes[0].plot(*points[:24].T, style, lw=1.1, label=f"{name}: {len(points) - 1} steps")
    axes[1].plot(saddles[name][:, 1], label=f"{name}: {len(saddles[name]) - 1}")
axes[0].set(title=f"A ravine, κ = {kappa:.0f}: momentum wins", xlabel="w₁", ylabel="w₂", xlim=(-3, 10), ylim=(-3.5, 7))
axes[1].set(title="A saddle: SGD waits on the ridge", xlabel="step", ylabel="distance from the ridge")
axes[1].set_xscale("log")
axes[0].legend(fontsize=8, loc="lower right")
axes[1].legend(fontsize=8, loc="center", bbox_to_anchor=(0.54, 0.6))
figure.tight_layout()
lesson.save(figure, "ravine")

# %%
steps = {name: len(points) - 1 for name, points in ravines.items()}
off = {name: len(points) - 1 for name, points in saddles.items()}
print(
    f"claim: in a ravine of condition {kappa:.0f} SGD takes {steps['SGD']} steps, Nesterov {steps['Nesterov']}, "
    f"momentum {steps['momentum']}; off a saddle SGD takes {off['SGD']}, momentum {off['momentum']}, Adam {off['Adam']}"
)
if not lesson.FAST:
    assert steps["SGD"] > 3 * steps["Nesterov"]
    assert steps["SGD"] > 3 * steps["momentum"]
    assert off["SGD"] > 2 * off["momentum"] > 2 * off["Adam"]
