"""Hinge loss is satisfied at a margin; softmax never is. Run it: python examples/hinge.py"""

# %%
# Both losses compare the score s_y of the right class with the others:
#     multi-class hinge   Σ_{j≠y} max(0, 1 − s_y + s_j)     exactly 0 once s_y leads by the margin 1: no more gradient
#     cross-entropy       log Σ_j exp(s_j − s_y)            never 0: it pushes every score further for ever
# (Crammer and Singer 2001. multi_margin_loss divides by the number C of classes, textbooks do not: ours times C.)
import matplotlib.pyplot as plt

import atrous as at
import lesson
from atrous import nn, optim
from atrous.datasets import digits
from atrous.nn import functional as F

# %%
# Three classes by hand, the right one first. As its score rises, the hinge becomes 0, cross-entropy only small.
leads = at.linspace(-3.0, 5.0, 81)
scores = at.stack([leads, at.zeros(81), at.full((81,), -1.0)], 1)
first = at.zeros(81, dtype=at.int64)
by_hand = {
    "hinge": 3 * F.multi_margin_loss(scores, first, reduction="none"),
    "cross-entropy": F.cross_entropy(scores, first, reduction="none"),
}

# %%
# A linear classifier on the digits, all images at once. We count the images that still pull at the weights: those whose
# gradient with respect to the scores is not exactly 0.
images, labels = digits()
N = lesson.full_or_fast(1000, 50)
x, y = at.from_numpy(images[:N].reshape(N, 64).astype("float32") / 16), at.from_numpy(labels[:N])
LOSSES = {"hinge": lambda s: 10 * F.multi_margin_loss(s, y), "cross-entropy": lambda s: F.cross_entropy(s, y)}


def train(loss_fn):
    """The share of images with a gradient, and the size of the weights, at every tenth step."""
    at.manual_seed(0)
    model = nn.Linear(64, 10)
    optimizer = optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    pulling, norms = [], []
    for step in range(lesson.full_or_fast(1500, 11)):
        optimizer.zero_grad()
        scores = model(x)
        scores.retain_grad()
        loss_fn(scores).backward()
        optimizer.step()
        if step % 10 == 0:
            pulling.append((scores.grad != 0).any(1).float().mean().item())
            norms.append(model.weight.detach().norm().item())
    return pulling, norms


runs = {name: train(loss_fn) for name, loss_fn in LOSSES.items()}

# %%
figure, axes = plt.subplots(1, 3, figsize=(10, 3.3))
for name, style in zip(LOSSES, ("-", "--"), strict=True):
    axes[0].plot(leads.numpy(), by_hand[name].numpy(), style, label=name)
    steps = range(0, 10 * len(runs[name][0]), 10)
    axes[1].plot(steps, runs[name][0], style, label=name)
    axes[2].plot(steps, runs[name][1], style, label=name)
axes[0].set(title="Hinge is 0 from a lead of 1", xlabel="lead of the right score", ylabel="loss")
axes[1].set(title="Under it few images pull", xlabel="step", ylabel="share with a gradient", ylim=(0, 1.05))
axes[2].set(title="Its weights come to rest", xlabel="step", ylabel="norm of the weights")
for axis in axes:
    axis.legend(fontsize=8)
figure.tight_layout()
lesson.save(figure, "hinge")

# %%
share = {name: run[0][-1] for name, run in runs.items()}
growth = {name: run[1][-1] / run[1][len(run[1]) // 2] - 1 for name, run in runs.items()}
print(
    f"claim: at the end {share['hinge']:.1%} of the images have a gradient under the hinge, "
    f"{share['cross-entropy']:.0%} under cross-entropy; in the second half the weights grew by "
    f"{growth['hinge']:.1%} and {growth['cross-entropy']:.0%}"
)
if not lesson.FAST:
    assert share["hinge"] < 0.2
    assert share["cross-entropy"] == 1
    assert growth["cross-entropy"] > 3 * growth["hinge"]
