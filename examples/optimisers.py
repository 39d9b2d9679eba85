"""The optimisers side by side: steps to a loss on a small real problem, each at its best of three rates.

Goodfellow, Bengio and Courville, Deep Learning, 2016, chapter 8; each one's paper stands in its docstring.
Run it: python examples/optimisers.py
"""

import matplotlib.pyplot as plt
import numpy as np

import atrous as at
import lesson
from atrous import nn, optim
from atrous.datasets import digits
from atrous.nn import functional as F

# %% Handwritten digits and a network with one hidden layer, trained until the loss of all images is below a target.
images, labels = digits()
x, y = at.from_numpy(images.reshape(-1, 64).astype(np.float32) / 16), at.from_numpy(labels)
TARGET, LIMIT, CHECK = 0.1, lesson.full_or_fast(600, 5), 5


def network():
    at.manual_seed(0)
    return nn.Sequential(nn.Linear(64, 32), nn.Tanh(), nn.Linear(32, 10))


def total(model):
    with at.no_grad():
        return F.cross_entropy(model(x), y).item()


# %% From one rate for all weights to a rate for each:
#     SGD        w ← w − lr·g                      momentum   a running sum of gradients in place of g
#     Adagrad    g / √(sum of g²)                  RMSprop    g / √(fading mean of g²)
#     Adadelta   RMSprop times the root of the mean square of past steps
#     Adam       momentum and RMSprop, without bias at the start; Adamax: the largest |g|; NAdam: Nesterov's momentum
#     Muon       momentum, with each matrix made orthogonal: all its directions learn alike (biases by Adam's rule)
def muon(model, lr):
    parts = list(model.parameters())
    matrices, biases = [p for p in parts if p.ndim == 2], [p for p in parts if p.ndim == 1]
    return [optim.Muon(matrices, lr=lr, weight_decay=0), optim.Adam(biases, lr=lr)]


def plain(kind, **settings):
    return lambda model, lr: [kind(model.parameters(), lr=lr, **settings)]


OPTIMISERS = {
    "SGD": (plain(optim.SGD), (0.3, 1.0, 3.0)),
    "momentum": (plain(optim.SGD, momentum=0.9), (0.3, 1.0, 3.0)),
    "Adagrad": (plain(optim.Adagrad), (0.03, 0.1, 0.3)),
    "RMSprop": (plain(optim.RMSprop), (0.003, 0.01, 0.03)),
    "Adadelta": (plain(optim.Adadelta), (3.0, 10.0, 30.0)),
    "Adam": (plain(optim.Adam), (0.01, 0.03, 0.1)),
    "Adamax": (plain(optim.Adamax), (0.03, 0.1, 0.3)),
    "NAdam": (plain(optim.NAdam), (0.03, 0.1, 0.3)),
    "Muon": (muon, (0.03, 0.1, 0.3)),
}


def losses(make, lr):
    """The loss of all images every few steps of 100 images each, the first before any step."""
    model, generator = network(), np.random.default_rng(0)
    optimizers, values = make(model, lr), [total(network())]
    while values[-1] > TARGET and CHECK * (len(values) - 1) < LIMIT:
        for _ in range(CHECK):
            batch = generator.integers(0, len(x), 100)
            model.zero_grad()
            F.cross_entropy(model(x[batch]), y[batch]).backward()
            for optimizer in optimizers:
                optimizer.step()
        values.append(total(model))
    return values


tried = {name: {lr: CHECK * (len(losses(make, lr)) - 1) for lr in rates} for name, (make, rates) in OPTIMISERS.items()}
steps = {name: min(counts.values()) for name, counts in tried.items()}
for name, counts in tried.items():
    print(f"{name:9} {steps[name]:4} steps (by rate: {', '.join(f'{lr}: {count}' for lr, count in counts.items())})")

# %% LBFGS estimates curvature from the last gradients. It needs the same loss in each call, so a step here sees all
# images: 18 times the work of a mini-batch.
model, seen = network(), []
optimizer = optim.LBFGS(model.parameters(), max_iter=lesson.full_or_fast(100, 2), line_search_fn="strong_wolfe")


def all_images():
    model.zero_grad()
    loss = F.cross_entropy(model(x), y)
    loss.backward()
    seen.append(loss.item())
    return loss


optimizer.step(all_images)
calls = next((k + 1 for k, value in enumerate(seen) if value <= TARGET), len(seen))
print(f"LBFGS      {calls:4} evaluations of the loss of all {len(x)} images")

# %% On a quadratic, f(w) = ½·wᵀH·w in 10 dimensions, H⁻¹·gradient leads to the minimum at once: Newton's step.
# LBFGS learns H on the way, one direction after the other (an iteration a step here); gradient descent never
# does.
curvatures = at.from_numpy(np.geomspace(1.0, 1000.0, 10))


def descend(make):
    """The values of f before and after each step, until it has fallen by 10⁶."""
    w = at.ones(10, dtype=at.float64, requires_grad=True)
    optimizer = make(w)

    def closure():
        optimizer.zero_grad()
        loss = 0.5 * (curvatures * w * w).sum()
        loss.backward()
        return loss

    values = [closure().item()]
    while values[-1] > 1e-6 * values[0] and len(values) <= lesson.full_or_fast(20000, 5):
        optimizer.step(closure)
        values.append(closure().item())
    return values


quadratic = {
    "gradient descent": descend(lambda w: optim.SGD([w], lr=2 / 1001)),
    "LBFGS": descend(lambda w: optim.LBFGS([w], max_iter=1, line_search_fn="strong_wolfe")),
    "Newton": descend(lambda w: optim.Newton([w])),
}
turns = {name: len(values) - 1 for name, values in quadratic.items()}
print("steps down the quadratic: " + ", ".join(f"{name} {count}" for name, count in turns.items()))

figure, axes = plt.subplots(1, 2, figsize=(8.6, 4), gridspec_kw={"width_ratios": [3, 2]})
axes[0].barh(list(steps), list(steps.values()), color="tab:blue", alpha=0.4)
for name, counts in tried.items():
    for mark, count in zip("vo^", counts.values(), strict=True):
        axes[0].plot(count, name, mark, color="black" if count < LIMIT else "red", markersize=5)
    axes[0].text(steps[name] / 1.06, name, str(steps[name]), ha="right", va="center", fontsize=9)
axes[0].set(xscale="log", xlim=(20, 700), xticks=[20, 50, 100, 200, 500], xticklabels=[20, 50, 100, 200, 500])
axes[0].set(xlabel="steps to a loss of 0.1 (low ▾, middle •, high rate ▴; red: not in 600)")
axes[0].minorticks_off()
axes[0].invert_yaxis()
axes[0].set_title("Digits: momentum is level with Adam", fontsize=11)
for (name, values), mark in zip(quadratic.items(), ("-", "o-", "s-"), strict=True):
    heights = np.maximum(np.array(values) / values[0], 1e-9)
    axes[1].loglog(np.arange(len(values)) + 1, heights, mark, markersize=4, label=f"{name}: {turns[name]}")
axes[1].set(xlabel="step + 1", ylabel="value, of that at the start", ylim=(3e-10, 3))
axes[1].set_title("A quadratic: Newton takes 1 step", fontsize=11)
axes[1].legend(fontsize=8, loc="lower right")
figure.tight_layout()
lesson.save(figure, "optimisers")

if not lesson.FAST:
    assert steps["SGD"] > 1.8 * steps["momentum"]
    assert steps["SGD"] > 1.8 * steps["Adam"]
    assert max(steps.values()) < LIMIT
    assert turns["Newton"] == 1
    assert turns["LBFGS"] < 60 < turns["gradient descent"] / 10
print(
    f"claim: to a loss of {TARGET} SGD takes {steps['SGD']} steps, momentum {steps['momentum']}, Adam {steps['Adam']}, "
    f"Muon {steps['Muon']}; down a quadratic gradient descent takes {turns['gradient descent']}, "
    f"LBFGS {turns['LBFGS']}, Newton {turns['Newton']}"
)
