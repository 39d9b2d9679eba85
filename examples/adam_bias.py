"""Adam without its bias correction: the first steps are far too long. Run it: python examples/adam_bias.py"""

# %%
# Adam keeps two fading averages, m of the gradients and v of their squares, and steps by lr·m/√v (Kingma and Ba 2015).
# Both start at 0, so at first both are too small: after t steps m holds only 1 − β₁ᵗ of the weight of a full average, v
# only 1 − β₂ᵗ. Adam divides this out. Without, the two do not cancel: v is the slower one (β₂ = 0.999), so the step is
#     lr · (1 − β₁ᵗ) / √(1 − β₂ᵗ)        for a constant gradient: 3.2·lr at once, over 6·lr around t = 10, lr in the end
import matplotlib.pyplot as plt
import numpy as np

import atrous as at
import lesson
from atrous import nn, optim
from atrous.datasets import digits
from atrous.nn import functional as F

B1, B2, EPS = 0.9, 0.999, 1e-8


class Uncorrected:
    """Adam as above, without the correction."""

    def __init__(self, params, lr):
        self.params, self.lr = list(params), lr
        self.m = [at.zeros_like(p) for p in self.params]
        self.v = [at.zeros_like(p) for p in self.params]

    @at.no_grad()
    def step(self):
        for i, p in enumerate(self.params):
            self.m[i] = B1 * self.m[i] + (1 - B1) * p.grad
            self.v[i] = B2 * self.v[i] + (1 - B2) * p.grad**2
            p -= self.lr * self.m[i] / (self.v[i].sqrt() + EPS)


KINDS = {"Adam": optim.Adam, "without correction": Uncorrected}


# %%
# A constant gradient shows the size of the steps.
def step_sizes(kind, steps):
    w = at.zeros(1, dtype=at.float64).requires_grad_()
    optimizer, places = kind([w], lr=1.0), [0.0]
    for _ in range(steps):
        w.grad = at.ones(1, dtype=at.float64)
        optimizer.step()
        places.append(w.item())
    return -np.diff(places)


sizes = {name: step_sizes(kind, lesson.full_or_fast(3000, 20)) for name, kind in KINDS.items()}
t = np.arange(1, len(sizes["Adam"]) + 1)
error = np.abs(sizes["without correction"] - (1 - B1**t) / np.sqrt(1 - B2**t)).max()
first, longest = sizes["without correction"][0], sizes["without correction"].max()
print(f"first step {first:.2f}, longest {longest:.2f}, formula ±{error:.0e}")

# %%
# On the digits, at a rate that suits Adam, the long first steps throw the weights far out.
images, labels = digits()
N = lesson.full_or_fast(1024, 64)
x, y = at.from_numpy(images[:N].reshape(N, 64).astype("float32") / 16), at.from_numpy(labels[:N])


def train(kind):
    """The loss over all images after each of the first steps."""
    at.manual_seed(0)
    model = nn.Sequential(nn.Linear(64, 64), nn.Tanh(), nn.Linear(64, 64), nn.Tanh(), nn.Linear(64, 10))
    optimizer = kind(model.parameters(), lr=0.02)
    losses = []
    for _ in range(lesson.full_or_fast(60, 3)):
        model.zero_grad()
        loss = F.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


losses = {name: train(kind) for name, kind in KINDS.items()}

# %%
figure, axes = plt.subplots(1, 2, figsize=(9, 3.6))
for name, style in zip(KINDS, ("-", "--"), strict=True):
    axes[0].semilogx(t, sizes[name], style, label=name)
    axes[1].plot(losses[name], style, label=name)
axes[0].set(title="Without it the first steps are too long", xlabel="step", ylabel="step size / lr", ylim=(0, 8))
axes[1].set(title="… and throw the network off", xlabel="step", ylabel="loss on the digits")
for axis in axes:
    axis.legend()
figure.tight_layout()
lesson.save(figure, "adam_bias")

# %%
peak = {name: max(values) for name, values in losses.items()}
print(
    f"claim: without bias correction Adam's first step is {first:.2f} times lr and the longest "
    f"{longest:.2f} times, with it {sizes['Adam'].max():.2f}; the loss on the digits peaks at "
    f"{peak['without correction']:.1f}, with it at {peak['Adam']:.1f}"
)
if not lesson.FAST:
    assert error < 1e-5
    assert longest > 6
    assert abs(sizes["Adam"].max() - 1) < 1e-6
    assert peak["without correction"] > 1.5 * peak["Adam"]
