"""Focal loss: many easy examples no longer drown the few hard ones. Run it: python examples/focal.py"""

# %%
# One example in fifty is what we look for. Soon most of the others are answered well, with 0.9 and more; each of them
# still has a small gradient, and together they rule. Focal loss turns the weight of each example down the better it is
# answered (Lin et al. 2017):
#     cross-entropy −log p      focal loss −(1 − p)^γ · log p      p: the probability given to what is true
# With γ = 2 the loss of an example at p = 0.9 is 100 times smaller, of one at p = 0.5 only 4 times.
import matplotlib.pyplot as plt
import numpy as np

import atrous as at
import lesson
from atrous import nn, optim
from atrous.nn import functional as F

GAMMA, N = 2.0, lesson.full_or_fast(5000, 500)


# %%
# Points in the plane: the rare class is a small cloud at the edge of a large one.
def points(seed):
    generator = np.random.default_rng(seed)
    rare = generator.random(N) < 0.02
    x = generator.normal(size=(N, 2)) * np.where(rare, 0.5, 1.0)[:, None] + np.where(rare, 2.2, 0.0)[:, None]
    return at.from_numpy(x.astype("float32")), at.from_numpy(rare.astype("float32"))


x, t = points(0)


def losses(outputs, targets, gamma):
    """Of each example; γ = 0 is cross-entropy."""
    return F.sigmoid_focal_loss(outputs, targets, alpha=-1, gamma=gamma)


def train(gamma):
    at.manual_seed(0)
    model = nn.Sequential(nn.Linear(2, 16), nn.Tanh(), nn.Linear(16, 1), nn.Flatten(0))
    optimizer = optim.Adam(model.parameters(), lr=0.01)
    for _ in range(lesson.full_or_fast(60, 3)):
        optimizer.zero_grad()
        losses(model(x), t, gamma).mean().backward()
        optimizer.step()
    return model


# %%
# One network that cross-entropy has trained for a while; the gradients by its outputs that each loss would have now.
LOSSES = {"cross-entropy": 0.0, "focal loss": GAMMA}
models = {name: train(gamma) for name, gamma in LOSSES.items()}
outputs = models["cross-entropy"](x).detach()
p = at.where(t == 1, outputs.sigmoid(), 1 - outputs.sigmoid()).numpy()
common = t.numpy() == 0
easy = common & (p > 0.8)
shares, share_of_easy = {}, {}
for name, gamma in LOSSES.items():
    leaf = outputs.clone().requires_grad_()
    losses(leaf, t, gamma).sum().backward()
    size = leaf.grad.abs().numpy()
    shares[name] = size / size.sum()  # of each example
    share_of_easy[name] = shares[name][easy].sum()
    print(f"{name:13}: of the gradient {share_of_easy[name]:.1%} is from easy negatives, {easy.mean():.0%} of all")

# %%
# What it is good for: after as many steps focal loss finds more of the rare ones, among new points.
new_x, new_t = points(1)
recall, precision = {}, {}
with at.no_grad():
    for name, model in models.items():
        said, true = model(new_x).numpy() > 0, new_t.numpy() == 1
        recall[name] = (said & true).sum() / true.sum()
        precision[name] = (said & true).sum() / max(1, said.sum())
        print(f"{name:13}: finds {recall[name]:.0%} of the rare ones; {precision[name]:.0%} of what it names is rare")

# %%
# All negatives in order, the easiest first, and what they and those before add up to of all negatives' gradient.
figure, axes = plt.subplots(1, 2, figsize=(9, 3.7), width_ratios=(3, 2))
order = np.argsort(-p[common])
for (name, share), style in zip(shares.items(), ("-", "--"), strict=True):
    total = np.cumsum(share[common][order])
    axes[0].plot(100 * np.arange(1, len(total) + 1) / len(total), 100 * total / total[-1], style, label=name)
axes[0].set(
    title="Under focal loss easy negatives hardly count",
    xlabel="negatives, the easiest first, in %",
    ylabel="their share of the gradient in %",
)
axes[0].legend()
bars = axes[1].bar(list(LOSSES), [100 * recall[name] for name in LOSSES], 0.6, color=["C0", "C1"])
axes[1].bar_label(bars, fmt="%.0f %%")
axes[1].set(title="and more rare ones are found", ylabel="rare ones found in %", ylim=(0, 100))
figure.tight_layout()
lesson.save(figure, "focal")

# %%
before, after = LOSSES
print(
    f"claim: easy negatives ({easy.mean():.0%} of all) make {share_of_easy[before]:.0%} of cross-entropy's gradient "
    f"and {share_of_easy[after]:.1%} of focal loss's, which finds {recall[after]:.0%} of the rare ones, "
    f"cross-entropy {recall[before]:.0%} after as many steps"
)
if not lesson.FAST:
    assert share_of_easy[before] > 0.4
    assert share_of_easy[after] < 0.06
    assert recall[after] > recall[before] + 0.1
    assert precision[after] > precision[before] - 0.1
