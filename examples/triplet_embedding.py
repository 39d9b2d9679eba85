"""Triplet embedding: two numbers for an image, such that images of one class lie together.

Schroff, Kalenichenko and Philbin, FaceNet, 2015. Run it: python examples/triplet_embedding.py
"""

import matplotlib.pyplot as plt
import numpy as np

import atrous as at
import lesson
from atrous import nn, optim
from atrous.data import stratified_split
from atrous.datasets import digits
from atrous.nn import functional as F

images, labels = digits()
pixels = images.reshape(-1, 64).astype(np.float32) / 16
x = at.from_numpy(pixels)
at.manual_seed(0)
train, test = (np.array(part) for part in stratified_split(labels, [1437, 360]))
model = nn.Sequential(
    nn.Linear(64, 128),
    nn.BatchNorm1d(128),
    nn.ReLU(),
    nn.Linear(128, 64),
    nn.BatchNorm1d(64),
    nn.ReLU(),
    nn.Linear(64, 2),
)

# %% An anchor, a positive of the same class, a negative of another. The negative shall be farther by a margin:
#     loss = max(‖a − p‖ − ‖a − n‖ + margin, 0)
# Most triplets soon cost nothing. So take the hardest of the batch: the farthest positive and the nearest negative.


def hardest(points, classes):
    """For each point the numbers of its farthest positive and nearest negative."""
    distance = np.linalg.norm(points[:, None] - points, axis=2)  # (N, N)
    same = classes[:, None] == classes
    return np.where(same, distance, -1).argmax(1), np.where(same, np.inf, distance).argmin(1)


steps = lesson.full_or_fast(1000, 10)
optimizer = optim.Adam(model.parameters(), lr=2e-3)
generator = np.random.default_rng(0)
for step in range(steps):
    batch = np.concatenate([generator.choice(train[labels[train] == k], 12, replace=False) for k in range(10)])
    anchors = model(x[batch])
    if step < steps // 4:  # the hardest ones from the start would pull all points into one
        positives = np.concatenate([k * 12 + generator.permutation(12) for k in range(10)])
        negatives = (np.arange(120) + 12 * generator.integers(1, 10, 120)) % 120
    else:
        positives, negatives = hardest(anchors.detach().numpy(), labels[batch])
    optimizer.zero_grad()
    F.triplet_margin_loss(anchors, anchors[positives], anchors[negatives], margin=1.0).backward()
    optimizer.step()

# %% How good are two numbers? A test image gets the class of the nearest class mean of the training images. Beside it
# the two numbers that keep most of the pixels' variance, without labels: principal components.
model.eval()
with at.no_grad():
    learned = model(x).numpy()
centred = pixels - pixels[train].mean(0)
components = centred @ np.linalg.svd(centred[train], full_matrices=False)[2][:2].T


def accuracy(points):
    means = np.stack([points[train][labels[train] == k].mean(0) for k in range(10)])
    nearest = np.linalg.norm(points[test][:, None] - means, axis=2).argmin(1)
    return 100 * float((nearest == labels[test]).mean())


found = {"two principal components": components, "triplet embedding": learned}
scores = {name: accuracy(points) for name, points in found.items()}
figure, axes = plt.subplots(1, 2, figsize=(8.5, 4))
for axis, (name, points) in zip(axes, found.items(), strict=True):
    for k in range(10):
        own = points[test][labels[test] == k]
        axis.plot(*own.T, ".", color=f"C{k}", markersize=4)
        axis.text(*np.median(own, axis=0), str(k), fontsize=14, weight="bold", ha="center", va="center")
    axis.set_title(f"{name}: {scores[name]:.0f} % right", fontsize=10)
    axis.set(xlabel="first number", ylabel="second number", xticks=[], yticks=[])
figure.suptitle("Test images in the plane: classes that were pulled together stay apart")
figure.tight_layout()
lesson.save(figure, "triplet_embedding")

before, after = scores.values()
if not lesson.FAST:
    assert after > 85
    assert after > before + 20
print(
    f"claim: by the nearest class mean, two learned numbers name {after:.1f} % of the test images, "
    f"two principal components {before:.1f} %"
)
