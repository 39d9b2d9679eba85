"""Dropout: one network stands for very many, and units that cannot rely on others.

Srivastava et al., Dropout: a simple way to prevent neural networks from overfitting, 2014, sections 7.5 and 7.1.
Run it: python examples/dropout.py
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
x, y = at.from_numpy(images.reshape(-1, 64).astype(np.float32) / 16), at.from_numpy(labels)  # (1797, 64) and (1797,)
at.manual_seed(0)
train, test, _ = stratified_split(labels, [500, 600, 697])


# %% In training each hidden unit is left out with probability p, and the others are scaled by 1 / (1 − p), so that
# their expected sum stays (inverted dropout). nn.Dropout's p is the share that is dropped; the paper's p is kept.


def train_network(p):
    at.manual_seed(1)
    model = nn.Sequential(
        nn.Linear(64, 256), nn.ReLU(), nn.Dropout(p), nn.Linear(256, 256), nn.ReLU(), nn.Dropout(p), nn.Linear(256, 10)
    )
    optimizer = optim.Adam(model.parameters(), lr=1e-3)
    for _ in range(lesson.full_or_fast(40, 2)):
        for inputs, targets in DataLoader(TensorDataset(x[train], y[train]), batch_size=50, shuffle=True):
            optimizer.zero_grad()
            F.cross_entropy(model(inputs), targets).backward()
            optimizer.step()
    return model


def accuracy(probabilities):
    return 100 * float((probabilities.argmax(1) == labels[test]).mean())


plain, dropped = train_network(0.0), train_network(0.5)

# %% Two ways to predict. Weight scaling: one pass with all units (eval). Averaging: many passes with random masks,
# each another network, and the mean of their probabilities. The first is an approximation of the second.
masks = lesson.full_or_fast(1000, 10)
with at.no_grad():
    dropped.eval()
    scaled = F.softmax(dropped(x[test]), dim=1).numpy()
    dropped.train()  # so that masks are drawn
    total, averaged = np.zeros_like(scaled), []
    for _ in range(masks):
        total += F.softmax(dropped(x[test]), dim=1).numpy()
        averaged.append(accuracy(total))
mean = total / masks
same = 100 * float((mean.argmax(1) == scaled.argmax(1)).mean())
apart = float(np.abs(mean - scaled).max(1).mean())
print(f"weight scaling {accuracy(scaled):.1f} %, one mask {averaged[0]:.1f} %, {masks} masks {averaged[-1]:.1f} %")
print(f"the largest difference of a class's probability is {apart:.3f} on average")

# %% Co-adaptation: units that are only good together. Take hidden units away at random and see what is left.
shares = np.linspace(0, 0.9, lesson.full_or_fast(10, 3)).tolist()


def without_units(model, share):
    """The mean accuracy over ten draws of the units that are missing."""
    at.manual_seed(2)
    first, relu, _, second, _, _, last = model
    with at.no_grad():
        runs = []
        for _ in range(10):
            h = F.dropout(relu(first(x[test])), share)
            runs.append(accuracy(last(F.dropout(relu(second(h)), share)).numpy()))
    return float(np.mean(runs))


networks = {"p = 0": plain, "p = ½": dropped}
left = {name: [without_units(model, share) for share in shares] for name, model in networks.items()}

figure, (one, two) = plt.subplots(1, 2, figsize=(8.5, 3.5))
one.semilogx(range(1, masks + 1), averaged, label="mean of n random masks")
one.axhline(accuracy(scaled), color="tab:orange", linestyle="--", label="weight scaling, one pass")
one.set(xlabel="number of masks n", ylabel="test accuracy, %", title="One scaled pass does the work of many")
for name, values in left.items():
    two.plot([100 * share for share in shares], values, "o-", label=f"trained with {name}")
two.set(xlabel="hidden units taken away, %", ylabel="test accuracy, %", title="Units learn to do without others")
one.xaxis.set_major_formatter("{x:g}")
one.legend()
two.legend()
figure.tight_layout()
lesson.save(figure, "dropout")

most = min(range(len(shares)), key=lambda i: abs(shares[i] - 0.7))
kept = [values[most] for values in left.values()]
if not lesson.FAST:
    assert same > 98
    assert abs(accuracy(scaled) - averaged[-1]) < 1
    assert kept[1] > kept[0] + 5
print(
    f"claim: weight scaling and {masks} masks agree on {same:.1f} % of the test images; without "
    f"{100 * shares[most]:.0f} % of its units one trained with dropout keeps {kept[1]:.1f} %, else {kept[0]:.1f} %"
)
