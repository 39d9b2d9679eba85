"""Momentum that rises from 0.5 to 0.9 does not swing at first. Run it: python examples/scheduled_momentum.py"""

# %%
# At first the gradients are large and point across the ravine: a velocity that remembers them long swings from side to
# side. Later the way along the bottom is left, and there a long memory is what one wants. So textbooks begin with
# µ = 0.5 and raise it to 0.9 or more (Sutskever et al. 2013; Karpathy, CS231n):
#     b ← µ(t)·b + g,   w ← w − lr·b      µ(t) from 0.5 to 0.9
# It is no rule: with a rate small enough that 0.9 does not swing, 0.9 from the start does as well.
import matplotlib.pyplot as plt
import numpy as np

import atrous as at
import lesson
from atrous import optim

STEPS, RISE = lesson.full_or_fast(200, 8), 20
CURVATURES = at.tensor([100.0, 1.0], dtype=at.float64)  # across the ravine, and along it
MOMENTA = {
    "0.5": lambda step: 0.5,
    "0.9": lambda step: 0.9,
    "0.5 to 0.9": lambda step: 0.5 + 0.4 * min(step / RISE, 1),
}


# %%
def descend(momentum):
    """The weights (steps + 1, 2) on the way, and the loss ½·Σ λ·w² at each."""
    w = at.ones(2, dtype=at.float64, requires_grad=True)
    optimizer = optim.SGD([w], lr=0.01, momentum=0.5)
    scheduler = optim.lr_scheduler.LambdaMomentum(optimizer, momentum)
    path, losses = [w.tolist()], []
    for _ in range(STEPS):
        optimizer.zero_grad()
        loss = (CURVATURES * w * w).sum() / 2
        loss.backward()
        optimizer.step()
        scheduler.step()
        losses.append(loss.item())
        path.append(w.tolist())
    return np.array(path), np.array(losses)


runs = {name: descend(momentum) for name, momentum in MOMENTA.items()}
needed = {name: int(np.nonzero(losses > 1e-3)[0][-1]) + 1 for name, (_, losses) in runs.items()}
swing = {name: np.abs(np.diff(path[:, 0])).sum() for name, (path, _) in runs.items()}
for name in MOMENTA:
    print(f"momentum {name:10}: loss below 0.001 after {needed[name]} steps; way from side to side {swing[name]:.1f}")

# %%
figure, axes = plt.subplots(1, 2, figsize=(8, 3.4))
for (name, (path, losses)), style in zip(runs.items(), (":", "-", "-"), strict=True):
    axes[0].plot(path[:60, 0], style, label=f"momentum {name}")
    axes[1].semilogy(losses[:160], style, lw=1, label=f"{name}: {needed[name]} steps to 0.001")
axes[0].set(title="Across the ravine 0.9 swings for long", xlabel="step", ylabel="weight across the ravine")
axes[1].set(title="0.5 is slow at the end, 0.9 at the start", xlabel="step", ylabel="loss", ylim=(1e-5, 200))
for axis in axes:
    axis.legend(fontsize=8)
figure.tight_layout()
lesson.save(figure, "scheduled_momentum")

# %%
print(
    f"claim: momentum rising from 0.5 to 0.9 needs {needed['0.5 to 0.9']} steps, 0.9 throughout {needed['0.9']}, 0.5 "
    f"{needed['0.5']}; 0.9 swings {swing['0.9'] / swing['0.5 to 0.9']:.1f} times as far from side to side"
)
if not lesson.FAST:
    assert needed["0.5 to 0.9"] < 0.75 * min(needed["0.9"], needed["0.5"])
    assert swing["0.9"] > 2 * swing["0.5 to 0.9"]
