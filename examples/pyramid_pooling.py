"""Spatial pyramid pooling: one network for images of any size.

He, Zhang, Ren and Sun, Spatial pyramid pooling in deep convolutional networks for visual recognition, 2014.
Run it: python examples/pyramid_pooling.py
"""

import matplotlib.pyplot as plt
import numpy as np

import atrous as at
import lesson
from atrous import nn, optim
from atrous.datasets import digits, prepare_digits
from atrous.nn import functional as F

# %% Digits at several sizes, up to 32×32.
images, labels = digits()
count = lesson.full_or_fast(900, 100)
train, test = np.arange(count), np.arange(900, 900 + count - 3)
y = at.from_numpy(labels)
SIZES = [12, 16, 20, 24, 28, 32]
x = {size: at.from_numpy(prepare_digits(images, size)) for size in SIZES}

# %% Convolutions take images of any size; a linear layer does not. Between the two, each map is pooled into 4×4, 2×2
# and 1×1 windows, whatever its size: 21 numbers a channel. Coarse windows forget the place, fine ones keep it.


def network():
    return nn.Sequential(
        nn.Conv2d(1, 12, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(12, 24, 3, padding=1), nn.ReLU(),
        nn.SpatialPyramidPooling([4, 2, 1]), nn.Linear(24 * 21, 10),
    )  # fmt: skip


# %% All images of a batch are of one size; the next batch may be of another (the paper's multi-size training).


def fit(sizes):
    at.manual_seed(0)
    generator = np.random.default_rng(0)
    model = network()
    optimizer = optim.Adam(model.parameters(), lr=2e-3)
    for _ in range(lesson.full_or_fast(12, 1)):
        for batch in np.array_split(generator.permutation(train), len(train) // 30):
            size = int(generator.choice(sizes))
            optimizer.zero_grad()
            F.cross_entropy(model(x[size][batch]), y[batch]).backward()
            optimizer.step()
    return model


def accuracy(model, size):
    with at.no_grad():
        return 100 * float((model(x[size][test]).argmax(1).numpy() == labels[test]).mean())


# %% Trained at one size, the network runs at all, but a stroke twice as wide is new to it. Trained on three sizes,
# it also knows those between.
trained = {"at 12": [12], "at 20": [20], "at 32": [32], "at 12, 20 and 32, mixed": [12, 20, 32]}
accuracies = {}
for name, sizes in trained.items():
    model = fit(sizes)
    accuracies[name] = [accuracy(model, size) for size in SIZES]
    print(f"trained {name:24}" + "".join(f"{value:7.1f}" for value in accuracies[name]))

figure, axis = plt.subplots(figsize=(7, 3.8))
for (name, values), mark in zip(accuracies.items(), "so^d", strict=True):
    axis.plot(SIZES, values, mark + ("-" if "mixed" in name else "--"), label=f"trained {name}")
axis.set(xlabel="height and width of the test images, pixels", ylabel="test accuracy, %", xticks=SIZES)
axis.set_title("Pyramid pooling takes any size; training on mixed sizes makes it right at each")
axis.legend(fontsize=9)
figure.tight_layout()
lesson.save(figure, "pyramid_pooling")

least = {name: min(values) for name, values in accuracies.items()}
mixed = accuracies["at 12, 20 and 32, mixed"]
single = max(least[name] for name in trained if "mixed" not in name)
if not lesson.FAST:
    assert min(mixed) > 90
    assert min(mixed) > single + 5
print(
    f"claim: one network trained on mixed sizes is right on at least {min(mixed):.1f} % at every size from 12 to 32 "
    f"({', '.join(f'{value:.1f}' for value in mixed)}); trained at one size, even the best falls to {single:.1f} %"
)
