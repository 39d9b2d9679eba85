"""Calibration: of all answers given with 90 % confidence, 90 % should be right; one number mends much of it.

Guo, Pleiss, Sun and Weinberger, On calibration of modern neural networks, 2017. Run it: python examples/calibration.py
"""

import matplotlib.pyplot as plt
import numpy as np

import atrous as at
import lesson
from atrous import nn, optim
from atrous.data import DataLoader, TensorDataset, stratified_split
from atrous.datasets import digits
from atrous.nn import functional as F

# %% Digits under strong noise, so that nobody can be sure, and a network that learns its training images by heart.
images, labels = digits()
at.manual_seed(0)
x = at.from_numpy(images.reshape(-1, 64).astype(np.float32) / 16)
x, y = x + 0.5 * at.randn(*x.shape), at.from_numpy(labels)
train, validation, test = stratified_split(labels, [600, 400, 797])
model = nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 10))
optimizer = optim.Adam(model.parameters(), lr=2e-3)
for _ in range(lesson.full_or_fast(40, 1)):
    for inputs, targets in DataLoader(TensorDataset(x[train], y[train]), batch_size=50, shuffle=True):
        optimizer.zero_grad()
        F.cross_entropy(model(inputs), targets).backward()
        optimizer.step()

# %% Temperature: divide the logits by T > 1 to make the network humbler. The order of the classes stays, so accuracy
# does, too. T is the one that gives the smallest loss on images that were not trained on: a search along one line.
with at.no_grad():
    held_out, logits = model(x[validation]), model(x[test])
    temperatures = np.linspace(0.5, 6, 111).tolist()
    losses = [F.cross_entropy(held_out / T, y[validation]).item() for T in temperatures]
    best = temperatures[int(np.argmin(losses))]


# %% Reliability: sort the answers into ten bins by confidence and compare each bin's confidence with its accuracy.
#     ECE = Σ over bins of (share of the answers in the bin) · |accuracy − confidence|


def reliability(probabilities):
    confidence, right = probabilities.max(1), probabilities.argmax(1) == labels[test]
    bins = np.minimum((confidence * 10).astype(int), 9)
    rows = [((bins == b).mean(), confidence[bins == b].mean(), right[bins == b].mean()) for b in np.unique(bins)]
    share, mean_confidence, accuracy = np.array(rows).T
    return mean_confidence, accuracy, share, float((share * np.abs(accuracy - mean_confidence)).sum())


figure, axes = plt.subplots(1, 2, figsize=(7.5, 3.8), sharey=True)
errors = {}
for axis, (name, T) in zip(axes, {"as trained": 1.0, f"temperature {best:.2f}": best}.items(), strict=True):
    probabilities = F.softmax(logits / T, dim=1).numpy()
    confidence, accuracy, share, errors[T] = reliability(probabilities)
    print(
        f"{name:17} accuracy {100 * (probabilities.argmax(1) == labels[test]).mean():.1f} %, "
        f"mean confidence {100 * probabilities.max(1).mean():.1f} %, ECE {errors[T]:.3f}"
    )
    axis.plot([0, 1], [0, 1], ":", color="grey", label="calibrated")
    seen = share > 0.01  # a bin of a few answers says nothing
    axis.plot(confidence[seen], accuracy[seen], color="tab:blue")
    axis.scatter(confidence[seen], accuracy[seen], s=20 + 300 * share[seen], label="network; size: share of answers")
    axis.set(xlabel="confidence", title=f"{name}: ECE {errors[T]:.3f}", xlim=(0, 1), ylim=(0, 1.05))
axes[0].set_ylabel("share of right answers")
axes[0].legend(fontsize=8, loc="upper left")
figure.suptitle("An overconfident network, and what one number does for it")
figure.tight_layout()
lesson.save(figure, "calibration")

before, after = errors[1.0], errors[best]
if not lesson.FAST:
    assert best > 1.2
    assert after < before / 2
print(f"claim: dividing the logits by {best:.2f} lowers the calibration error from {before:.3f} to {after:.3f}")
