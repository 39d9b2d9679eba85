"""Transfer learning: what many digits 0 to 4 taught helps with few digits 5 to 9.

Yosinski et al., How transferable are features in deep neural networks?, 2014. Run it: python examples/transfer.py
"""

import copy

import matplotlib.pyplot as plt
import numpy as np

import atrous as at
import lesson
from atrous import nn, optim
from atrous.data import DataLoader, TensorDataset
from atrous.datasets import digits
from atrous.nn import functional as F
from atrous.training.augment import AugmentedBatch, RandomShift

# %% Digits of 8×8, each somewhere on a field of 14×14. That a digit is the same in any place has to be learned, and a
# few images do not teach it.
images, labels = digits()
field = at.from_numpy(np.pad(images[:, None].astype(np.float32) / 16, ((0, 0), (0, 0), (3, 3), (3, 3))))
at.manual_seed(0)
x = RandomShift(3)(field)  # (1797, 1, 14, 14)
old, new = np.flatnonzero(labels < 5), np.flatnonzero(labels >= 5)
new_train, new_test = new[: len(new) // 2], new[len(new) // 2 :]


def network():
    features = nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(288, 64), nn.ReLU(),
    )  # fmt: skip
    return nn.Sequential(features, nn.Linear(64, 5))


def fit(model, x, chosen, epochs, collate=None):
    """Trains what is not frozen."""
    optimizer = optim.Adam([p for p in model.parameters() if p.requires_grad], lr=2e-3)
    data = TensorDataset(x[chosen], at.from_numpy(labels[chosen] % 5))
    for _ in range(epochs):
        for inputs, targets in DataLoader(data, batch_size=32, shuffle=True, collate_fn=collate):
            optimizer.zero_grad()
            F.cross_entropy(model(inputs), targets).backward()
            optimizer.step()


def score(model, chosen):
    with at.no_grad():
        return 100 * float((model(x[chosen]).argmax(1).numpy() == labels[chosen] % 5).mean())


# %% The old task, with all its 901 images, shifted anew in each epoch.
base = network()
fit(base, field, old, lesson.full_or_fast(20, 1), AugmentedBatch(RandomShift(3)))
print(f"the old task is solved to {score(base, old):.1f} %")

# %% The new task, with few images, three ways.


def from_scratch():
    return network()


def frozen_features():
    """Only a new last layer learns: few weights, nothing to spoil."""
    model = copy.deepcopy(base)
    model[0].requires_grad_(False)
    model[1] = nn.Linear(64, 5)
    return model


def fine_tuned():
    """All layers learn on from where they were."""
    model = copy.deepcopy(base)
    model[1] = nn.Linear(64, 5)
    return model


def accuracy(way, count):
    """On the new task, from `count` images a class; the mean over draws of these images."""
    scores = []
    for draw in range(lesson.full_or_fast(3, 1)):
        generator = np.random.default_rng(draw)
        own = [new_train[labels[new_train] == k] for k in range(5, 10)]
        few = np.concatenate([generator.choice(numbers, count, replace=False) for numbers in own])
        at.manual_seed(draw)
        model = way()
        fit(model, x, few, lesson.full_or_fast(30, 1))
        scores.append(score(model, new_test))
    return float(np.mean(scores))


counts = [2, 5, 10, 20, 50][:: lesson.full_or_fast(1, 4)]
ways = {"from scratch": from_scratch, "frozen features": frozen_features, "fine-tuning": fine_tuned}
accuracies = {name: [accuracy(way, count) for count in counts] for name, way in ways.items()}
for name, values in accuracies.items():
    print(f"{name:16}" + "".join(f"{value:7.1f}" for value in values))

figure, axis = plt.subplots(figsize=(7, 3.8))
for (name, values), mark in zip(accuracies.items(), "os^", strict=True):
    axis.plot(range(len(counts)), values, mark + "-", label=name)
axis.set(xticks=range(len(counts)), xticklabels=counts, xlabel="images of each new class", ylabel="test accuracy, %")
axis.set_title("With few images old features help; with many all layers had better learn")
axis.legend()
figure.tight_layout()
lesson.save(figure, "transfer")

first, last = ([values[i] for values in accuracies.values()] for i in (0, -1))
if not lesson.FAST:
    assert min(first[1:]) > first[0] + 4
    assert accuracies["fine-tuning"][2] > accuracies["from scratch"][2] + 8
    assert last[2] > last[1] + 10  # with enough images it pays to adapt all layers
print(
    f"claim: from scratch, on frozen features and fine-tuned, {counts[0]} images a class give {first[0]:.1f}, "
    f"{first[1]:.1f} and {first[2]:.1f} %, {counts[-1]} give {last[0]:.1f}, {last[1]:.1f} and {last[2]:.1f} %"
)
