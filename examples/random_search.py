"""Random search against grid: where one setting matters and another hardly does, a grid tries the same value again.

Bergstra and Bengio, Random search for hyper-parameter optimization, 2012. Run it: python examples/random_search.py
"""

import matplotlib.pyplot as plt
import numpy as np

import atrous as at
import lesson
from atrous import nn, optim
from atrous.data import DataLoader, TensorDataset, stratified_split
from atrous.datasets import digits
from atrous.nn import functional as F

images, labels = digits()
at.manual_seed(0)
x = at.from_numpy(images.reshape(-1, 64).astype(np.float32) / 16)
x, y = x + 0.2 * at.randn(*x.shape), at.from_numpy(labels)
train, validation = stratified_split(labels, [600, 1197])

# %% Two settings, both over six powers of ten: the learning rate, which matters a lot, and the weight decay, which
# matters little here. Training is short, as it often has to be in a search.
RANGES = np.array([[-5.0, 1.0], [-8.0, -2.0]])  # of log₁₀ rate and log₁₀ decay


def try_out(point):
    """Validation accuracy in %, of a point in the unit square."""
    rate, decay = (10 ** (RANGES[:, 0] + (RANGES[:, 1] - RANGES[:, 0]) * np.array(point))).tolist()
    at.manual_seed(1)
    model = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))
    optimizer = optim.SGD(model.parameters(), lr=rate, momentum=0.9, weight_decay=decay)
    with np.errstate(all="ignore"):  # large rates diverge
        for _ in range(lesson.full_or_fast(3, 1)):
            for inputs, targets in DataLoader(TensorDataset(x[train], y[train]), batch_size=50, shuffle=True):
                optimizer.zero_grad()
                F.cross_entropy(model(inputs), targets).backward()
                optimizer.step()
        with at.no_grad():
            return 100 * float((model(x[validation]).argmax(1).numpy() == labels[validation]).mean())


# %% Nine trials each: a grid of 3×3 has three learning rates, nine random points have nine. Where a grid lies is a
# choice, so every kind of search is made many times: the grid at random offsets, the points anew.
generator = np.random.default_rng(0)
SEARCHES, SIDE = lesson.full_or_fast(30, 2), lesson.full_or_fast(3, 2)


def grid():
    offset = generator.random(2)
    return [((i + offset[0]) / SIDE, (j + offset[1]) / SIDE) for i in range(SIDE) for j in range(SIDE)]


def scattered():
    return generator.random((SIDE * SIDE, 2)).tolist()


found, example = {}, {}
for name, points in {"grid": grid, "random": scattered}.items():
    searches = [points() for _ in range(SEARCHES)]
    scores = [[try_out(point) for point in search] for search in searches]
    found[name] = np.max(scores, axis=1)
    example[name] = (np.array(searches[0]), scores[0])
    print(f"{name:7} best of {SIDE * SIDE}: {found[name].mean():.1f} % on average, {found[name].min():.1f} % at worst")

figure, axes = plt.subplots(1, 3, figsize=(9, 3.3))
for axis, (name, (points, scores)) in zip(axes[:2], example.items(), strict=True):
    low, high = RANGES.T
    rate, decay = (low + (high - low) * points).T
    shown = axis.scatter(rate, decay, c=scores, cmap="viridis", vmin=10, vmax=95, s=60, edgecolors="black")
    axis.plot(rate, np.full_like(rate, low[1]), "|", color="black", markersize=12, clip_on=False)
    axis.set(xlim=RANGES[0], ylim=RANGES[1], xlabel="log₁₀ learning rate")
    axis.set_title(f"{name}: {len(set(rate.tolist()))} learning rates", fontsize=11)
axes[0].set_ylabel("log₁₀ weight decay")
figure.colorbar(shown, ax=axes[1], label="accuracy, %")
for number, (name, best) in enumerate(found.items()):
    axes[2].plot(np.sort(best), np.arange(1, SEARCHES + 1) / SEARCHES, "os"[number] + "-", label=name, markersize=4)
axes[2].set(xlabel="best accuracy found, %", ylabel="share of searches", title=f"{SEARCHES} searches each")
axes[2].legend()
figure.suptitle("The same number of trials, more values of the setting that matters")
figure.tight_layout()
lesson.save(figure, "random_search")

means = {name: best.mean() for name, best in found.items()}
if not lesson.FAST:
    assert means["random"] > means["grid"] + 3
print(
    f"claim: {SIDE * SIDE} random trials find {means['random']:.1f} %, a grid {means['grid']:.1f} %, on average of "
    f"{SEARCHES} searches; at worst {found['random'].min():.1f} % and {found['grid'].min():.1f} %"
)
