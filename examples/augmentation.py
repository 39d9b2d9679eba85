"""Augmentation: a network sees only what it was shown, so show it the changes that keep the meaning.

Krizhevsky, Sutskever and Hinton, ImageNet classification with deep convolutional neural networks, 2012, section 4.1.
Run it: python examples/augmentation.py
"""

import matplotlib.pyplot as plt
import numpy as np

import atrous as at
import lesson
from atrous import nn, optim
from atrous.data import DataLoader, TensorDataset, stratified_split
from atrous.datasets import digits
from atrous.nn import functional as F
from atrous.training.augment import AugmentedBatch, RandomShift

# %% Digits of 8×8 with a border of 2 pixels, all in the middle; few to train with, as where labels are dear.
images, labels = digits()
images = np.pad(images[:, None].astype(np.float32) / 16, ((0, 0), (0, 0), (2, 2), (2, 2)))  # (1797, 1, 12, 12)
x, y = at.from_numpy(images), at.from_numpy(labels)
at.manual_seed(0)
train, test, _ = stratified_split(labels, [200, 1000, 597])

# %% A shift by up to 2 pixels is drawn anew for every image in every epoch: 25 places for each. RandomFlip would be
# wrong here: a mirrored 2 is no 2.


def train_network(limit):
    at.manual_seed(1)
    model = nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(32 * 9, 10),
    )  # fmt: skip
    optimizer = optim.Adam(model.parameters(), lr=3e-3)
    collate = AugmentedBatch(RandomShift(limit))
    loader = DataLoader(TensorDataset(x[train], y[train]), batch_size=20, shuffle=True, collate_fn=collate)
    for _ in range(lesson.full_or_fast(40, 1)):
        for inputs, targets in loader:
            optimizer.zero_grad()
            F.cross_entropy(model(inputs), targets).backward()
            optimizer.step()
    return model


def accuracy(model, down, right):
    """On test images that were moved; nothing falls off, for the border is as wide."""
    moved = np.roll(images[test], (down, right), axis=(2, 3))
    with at.no_grad():
        return 100 * float((model(at.from_numpy(moved)).argmax(1).numpy() == labels[test]).mean())


# %% Test images in the middle, and moved to each of the 25 places.
places = [(down, right) for down in range(-2, 3) for right in range(-2, 3)]
grids, middle, moved = {}, {}, {}
for name, limit in [("no augmentation", 0), ("random shifts", 2)]:
    model = train_network(limit)
    grids[name] = np.array([accuracy(model, *place) for place in places]).reshape(5, 5)
    middle[name], moved[name] = grids[name][2, 2], grids[name].mean()
    print(f"{name:16} in the middle {middle[name]:.1f} %, over all places {moved[name]:.1f} %")

figure, axes = plt.subplots(1, 2, figsize=(7.5, 3.6))
for axis, (name, grid) in zip(axes, grids.items(), strict=True):
    axis.imshow(grid, cmap="viridis", vmin=20, vmax=100)
    for (down, right), value in np.ndenumerate(grid):
        axis.text(right, down, f"{value:.0f}", ha="center", va="center", color="black" if value > 60 else "white")
    axis.set(xticks=range(5), yticks=range(5), xticklabels=range(-2, 3), yticklabels=range(-2, 3))
    axis.set(xlabel="moved to the right, pixels", ylabel="moved down, pixels", title=name)
figure.suptitle("Test accuracy in %: what was shown in all places is known in all places")
figure.tight_layout()
lesson.save(figure, "augmentation")

without, shifts = moved.values()
if not lesson.FAST:
    assert shifts > without + 15
    assert middle["random shifts"] > middle["no augmentation"] - 2
print(
    f"claim: over test images shifted by up to 2 pixels, augmentation lifts accuracy from {without:.1f} % to "
    f"{shifts:.1f} %; unshifted it goes from {middle['no augmentation']:.1f} % to {middle['random shifts']:.1f} %"
)
