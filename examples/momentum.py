"""Momentum and Nesterov's form of it: what they add up, how far they overshoot. Run it: python examples/momentum.py"""

# %%
# Momentum keeps a velocity, a sum of past gradients that fades (Polyak 1964):
#     b ← µ·b + g,   w ← w − lr·b                       here and in PyTorch
#     v ← µ·v − lr·g,   w ← w + v                       in textbooks: the same steps, v = −lr·b, while lr is constant
# A gradient that stays the same adds up to 1 + µ + µ² + … = 1 / (1 − µ) times its step: 10 times for µ = 0.9. One that
# changes its sign every time cancels. Nesterov's form takes the gradient where the velocity is about to lead, so it
# brakes one step earlier (Sutskever et al. 2013).
import matplotlib.pyplot as plt
import numpy as np

import atrous as at
import lesson
from atrous import optim

STEPS = lesson.full_or_fast(150, 10)
SETTINGS = {"plain": {}, "momentum 0.9": {"momentum": 0.9}, "Nesterov 0.9": {"momentum": 0.9, "nesterov": True}}


def descend(f, start, lr, **settings):
    """The values of w on the way."""
    w = at.tensor([start], dtype=at.float64, requires_grad=True)
    optimizer = optim.SGD([w], lr=lr, **settings)
    path = [start]
    for _ in range(STEPS):
        optimizer.zero_grad()
        f(w).backward()
        optimizer.step()
        path.append(w.item())
    return np.array(path)


# %%
# On a slope that never ends the velocity grows until it is 1 / (1 − µ) times a plain step.
slope = {name: descend(lambda w: w.sum(), 0.0, lr=0.01, **settings) for name, settings in SETTINGS.items()}
speed = {name: (path[-2] - path[-1]) / 0.01 for name, path in slope.items()}

# %%
# In a valley, ½·w², the velocity carries past the bottom. Nesterov overshoots less and is quiet sooner.
valley = {name: descend(lambda w: (w * w / 2).sum(), 1.0, lr=0.05, **settings) for name, settings in SETTINGS.items()}
overshoot = {name: max(0.0, -path.min()) for name, path in valley.items()}
settled = {
    name: int(np.nonzero(np.abs(path) > 0.01)[0][-1]) + 1 for name, path in valley.items()
}  # within 1 % from then
for name in SETTINGS:
    print(f"{name:12}  speed {speed[name]:5.2f}, overshoot {overshoot[name]:.0%}, settled after {settled[name]} steps")

# %%
# The textbook's form, written out, is the same path.
w, v, textbook = 1.0, 0.0, [1.0]
for _ in range(STEPS):
    v = 0.9 * v - 0.05 * w  # the gradient of ½·w² is w
    w = w + v
    textbook.append(w)
difference = np.abs(np.array(textbook) - valley["momentum 0.9"]).max()
print(f"largest difference between the two forms: {difference:.0e}")

# %%
figure, axes = plt.subplots(1, 2, figsize=(9, 3.6))
for name, style in zip(SETTINGS, ("-", "--", "-."), strict=True):
    axes[0].plot(-np.diff(slope[name])[:60] / 0.01, style, label=name)
    axes[1].plot(valley[name][:120], style, label=name)
axes[0].set(title="On a steady slope it gains speed tenfold", xlabel="step", ylabel="step size / plain step size")
axes[1].set(
    title="In a valley it overshoots; Nesterov brakes earlier", xlabel="step", ylabel="distance from the bottom"
)
axes[1].axhline(0, color="gray", lw=0.6)
for axis in axes:
    axis.legend()
figure.tight_layout()
lesson.save(figure, "momentum")

# %%
momentum, nesterov = "momentum 0.9", "Nesterov 0.9"
print(
    f"claim: momentum 0.9 goes {speed[momentum]:.1f} times as fast on a slope; in a valley it overshoots by "
    f"{overshoot[momentum]:.0%}, Nesterov by {overshoot[nesterov]:.0%}, and settles in {settled[momentum]} steps, "
    f"Nesterov in {settled[nesterov]}, plain descent in {settled['plain']}"
)
if not lesson.FAST:
    assert abs(speed[momentum] - 10) < 0.01
    assert overshoot[momentum] > 1.1 * overshoot[nesterov]
    assert settled[nesterov] < settled[momentum]
    assert difference < 1e-12
