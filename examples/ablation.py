"""Ablation: which part of a recipe does the work? Each part alone, all together, and all but one.

Meyes et al., Ablation studies in artificial neural networks, 2019; Smith and Topin, Super-convergence, 2018 (the
one-cycle rate). Run it: python examples/ablation.py
"""

import matplotlib.pyplot as plt
import numpy as np

import atrous as at
import lesson
from atrous import nn, optim
from atrous.data import stratified_split
from atrous.datasets import digits
from atrous.nn import functional as F
from atrous.optim.lr_scheduler import OneCycleLR
from atrous.training.augment import RandomShift

# %% Few digits of 8×8, somewhere on a field of 12×12.
images, labels = digits()
at.manual_seed(0)
field = np.pad(images[:, None].astype(np.float32) / 16, ((0, 0), (0, 0), (2, 2), (2, 2)))
x, y = RandomShift(2)(at.from_numpy(field)), at.from_numpy(labels)  # (1797, 1, 12, 12)
train, test = stratified_split(labels, [300, 1497])

# %% Four parts that can be switched on. Everything else, the seeds as well, stays the same: otherwise a comparison of
# two runs says nothing about the part.
PARTS = ("batch-norm", "dropout", "augmentation", "one-cycle rate")


def train_network(parts, seed):
    """Test accuracy in % with these parts."""
    at.manual_seed(seed)
    layers = []
    for i, o in [(1, 16), (16, 32)]:
        layers += [nn.Conv2d(i, o, 3, padding=1), *([nn.BatchNorm2d(o)] if "batch-norm" in parts else [])]
        layers += [nn.ReLU(), nn.MaxPool2d(2)]
    layers += [nn.Flatten(), *([nn.Dropout(0.3)] if "dropout" in parts else []), nn.Linear(288, 10)]
    model = nn.Sequential(*layers)
    shift = RandomShift(1 if "augmentation" in parts else 0)
    epochs = lesson.full_or_fast(20, 1)
    optimizer = optim.SGD(model.parameters(), lr=0.02, momentum=0.9)
    cycle = OneCycleLR(optimizer, 0.1, epochs * len(train) // 30) if "one-cycle rate" in parts else None
    for _ in range(epochs):
        for batch in at.tensor(train)[at.randperm(len(train))].split(30):
            optimizer.zero_grad()
            F.cross_entropy(model(shift(x[batch])), y[batch]).backward()
            optimizer.step()
            if cycle:
                cycle.step()
    model.eval()
    with at.no_grad():
        return 100 * (model(x[test]).argmax(1) == y[test]).sum().item() / len(test)


# %% Two questions that have two answers: what does a part add to nothing, and what does its absence take from all?
recipes = {"nothing": ()}
recipes |= {f"only {part}": (part,) for part in PARTS}
recipes |= {f"all but {part}": tuple(other for other in PARTS if other != part) for part in PARTS}
recipes["all"] = PARTS
seeds = range(lesson.full_or_fast(3, 1))
runs = {name: [train_network(parts, seed) for seed in seeds] for name, parts in recipes.items()}
mean = {name: float(np.mean(values)) for name, values in runs.items()}
for name, values in runs.items():
    print(f"{name:23} {mean[name]:.1f} %  ({', '.join(f'{value:.1f}' for value in values)})")

figure, axis = plt.subplots(figsize=(7, 4))
names = list(recipes)[::-1]
colours = {"only": "tab:orange", "all": "tab:blue", "nothing": "grey"}
axis.barh(names, [mean[name] for name in names], color=[colours[name.split()[0]] for name in names], height=0.6)
for row, name in enumerate(names):
    axis.plot(runs[name], [row] * len(runs[name]), "k.", markersize=4)
axis.set(xlim=(min(map(min, runs.values())) - 1, max(map(max, runs.values())) + 1), xlabel="test accuracy, %")
axis.set_title("What a part does depends on the others (dots: seeds)")
figure.tight_layout()
lesson.save(figure, "ablation")

alone = {part: mean[f"only {part}"] - mean["nothing"] for part in PARTS}
missing = {part: mean["all"] - mean[f"all but {part}"] for part in PARTS}
gain = mean["all"] - mean["nothing"]
if not lesson.FAST:
    assert gain > max(alone.values()) + 5
    assert missing["augmentation"] > alone["augmentation"] + 4  # it pays only once the network learns fast enough
print(
    f"claim: all parts add {gain:.1f} points, more than any alone ({max(alone.values()):.1f}); augmentation adds "
    f"{alone['augmentation']:.1f} alone, but without it the others lose {missing['augmentation']:.1f}"
)
