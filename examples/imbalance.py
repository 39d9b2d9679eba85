"""Imbalance: a rare class is overlooked, until its mistakes count for more.

Cui et al., Class-balanced loss based on effective number of samples, 2019. Run it: python examples/imbalance.py
"""

import matplotlib.pyplot as plt
import numpy as np

import atrous as at
import lesson
from atrous import nn, optim
from atrous.metrics import ConfusionMatrix
from atrous.nn import functional as F

# %% Two clouds that overlap; of 100 points 2 belong to class 1, in the test set as well.
generator = np.random.default_rng(0)
counts = np.array([1960, 40])  # to train with; ten times as many to test


def points(counts):
    clouds = [generator.normal(centre, 1.0, (n, 2)) for centre, n in zip(([0, 0], [1.4, 1.4]), counts, strict=True)]
    return at.from_numpy(np.concatenate(clouds).astype(np.float32)), at.from_numpy(np.repeat([0, 1], counts))


x, y = points(counts)
x_test, y_test = points(10 * counts)

# %% Weights of the classes. With w = 1/n both classes have the same say. The effective number of samples,
# (1 − βⁿ) / (1 − β), is less extreme: the 1,000th sample of a class says less than its first.
beta = 0.999
weights = {
    "no weights": np.ones(2),
    "effective number": (1 - beta) / (1 - beta**counts),
    "1/n": 1 / counts,
}


def train_network(weight):
    at.manual_seed(0)
    model = nn.Sequential(nn.Linear(2, 16), nn.Tanh(), nn.Linear(16, 2))
    optimizer = optim.Adam(model.parameters(), lr=0.02)
    weight = at.tensor(weight / weight.sum(), dtype=at.float32)
    for _ in range(lesson.full_or_fast(200, 5)):
        optimizer.zero_grad()
        F.cross_entropy(model(x), y, weight=weight).backward()  # Σ w(yᵢ)·lossᵢ / Σ w(yᵢ)
        optimizer.step()
    return model


# %% Accuracy hides it: who always says "class 0" has 98 %. Recall, the share of a class that is found, does not.
figure, axes = plt.subplots(1, 3, figsize=(9, 3.4), sharey=True)
line = np.linspace(-4, 5, 80, dtype=np.float32)
grid = np.stack(np.meshgrid(line, line), -1).reshape(-1, 2)  # (6400, 2)
recalls, accuracies = {}, {}
for axis, (name, weight) in zip(axes, weights.items(), strict=True):
    model = train_network(weight)
    confusion = ConfusionMatrix(2)
    with at.no_grad():
        confusion.update(model(x_test), y_test)
        chosen = model(at.from_numpy(grid)).argmax(1).numpy().reshape(80, 80)
    table = confusion.compute()  # row: true class, column: predicted class
    recalls[name] = 100 * table.diagonal() / table.sum(1)
    accuracies[name] = 100 * table.diagonal().sum() / table.sum()
    axis.contourf(line, line, chosen, levels=[-0.5, 0.5, 1.5], colors=["#dce9f5", "#fbe3cf"])
    for k, colour in enumerate(["tab:blue", "tab:orange"]):
        shown = x.numpy()[y.numpy() == k]
        axis.plot(*shown.T, ".", color=colour, markersize=3 + 2 * k)
    axis.set_title(f"{name}\nfinds {recalls[name][1]:.0f} % of the rare class", fontsize=10)
    axis.set(xlabel="x₁", xlim=(-4, 5), ylim=(-4, 5))
    print(f"{name:17} accuracy {accuracies[name]:.1f} %, recall {recalls[name][0]:.1f} % and {recalls[name][1]:.1f} %")
axes[0].set_ylabel("x₂")
figure.suptitle("Weights move the border towards the common class")
figure.tight_layout()
lesson.save(figure, "imbalance")

balanced = {name: recall.mean() for name, recall in recalls.items()}
if not lesson.FAST:
    assert recalls["1/n"][1] > recalls["no weights"][1] + 40
    assert balanced["1/n"] > balanced["no weights"] + 10
    assert accuracies["1/n"] < accuracies["no weights"]  # it has its price
print(
    f"claim: weights 1/n lift the recall of a class of 2 % from {recalls['no weights'][1]:.1f} % to "
    f"{recalls['1/n'][1]:.1f} %, and the mean recall from {balanced['no weights']:.1f} % to {balanced['1/n']:.1f} %"
)
