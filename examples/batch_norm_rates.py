"""Batch-norm on and off at high learning rates: the same network with and without, over four powers of ten.

Ioffe and Szegedy, Batch normalization, 2015. Run it: python examples/batch_norm_rates.py
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
train, test = stratified_split(labels, [1437, 360])
EPOCHS = lesson.full_or_fast(5, 1)

# %% Four hidden layers. Batch-norm brings each unit to mean 0 and variance 1 over the batch, then scales and shifts it:
#     y = γ · (x − mean) / √(variance + ε) + β
# However large a step made the weights, what the next layer sees is of the same size.


def network(norm):
    layers = []
    for _ in range(4):
        linear = nn.Linear(64, 64)
        nn.init.kaiming_normal_(linear.weight, nonlinearity="relu")  # so that both begin well
        layers += [linear, nn.BatchNorm1d(64), nn.ReLU()] if norm else [linear, nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(64, 10))


def accuracy_after(norm, rate):
    at.manual_seed(1)
    model = network(norm)
    optimizer = optim.SGD(model.parameters(), lr=rate)
    for _ in range(EPOCHS):
        for inputs, targets in DataLoader(TensorDataset(x[train], y[train]), batch_size=64, shuffle=True):
            optimizer.zero_grad()
            F.cross_entropy(model(inputs), targets).backward()
            optimizer.step()
    model.eval()  # now the running mean and variance stand in for those of a batch
    with at.no_grad():
        return (model(x[test]).argmax(1) == y[test]).sum().item() / len(test)


# %% Five epochs of plain SGD at each rate.
rates = np.logspace(-3, 1, lesson.full_or_fast(9, 3)).tolist()
with np.errstate(all="ignore"):  # some of these diverge, which is the point
    accuracies = {norm: [accuracy_after(norm, rate) for rate in rates] for norm in (True, False)}
for rate, a, b in zip(rates, accuracies[True], accuracies[False], strict=True):
    print(f"rate {rate:8.3f}: with batch-norm {100 * a:5.1f} %, without {100 * b:5.1f} %")

figure, axis = plt.subplots(figsize=(7, 3.8))
axis.semilogx(rates, [100 * a for a in accuracies[True]], "o-", label="with batch-norm")
axis.semilogx(rates, [100 * a for a in accuracies[False]], "s-", label="without")
axis.axhline(10, color="grey", linestyle=":", label="guessing")
axis.set(xlabel="learning rate", ylabel=f"test accuracy after {EPOCHS} epochs, %", ylim=(0, 100))
axis.set_title("With batch-norm a wide range of learning rates works")
axis.xaxis.set_major_formatter("{x:g}")
axis.legend(fontsize=9)
figure.tight_layout()
lesson.save(figure, "batch_norm_rates")

works = {norm: sum(a > 0.8 for a in values) for norm, values in accuracies.items()}
if not lesson.FAST:
    assert works[True] >= works[False] + 2
print(
    f"claim: of {len(rates)} learning rates from 0.001 to 10, {works[True]} reach 80 % in {EPOCHS} epochs with "
    f"batch-norm, {works[False]} without"
)
