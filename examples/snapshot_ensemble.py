"""Snapshot ensemble: train once, with restarts of the learning rate, and get several networks.

Huang et al., Snapshot ensembles: train 1, get M for free, 2017. Run it: python examples/snapshot_ensemble.py
"""

import matplotlib.pyplot as plt
import numpy as np

import atrous as at
import lesson
from atrous import nn, optim
from atrous.data import DataLoader, TensorDataset, stratified_split
from atrous.datasets import digits
from atrous.nn import functional as F
from atrous.optim import lr_scheduler

images, labels = digits()
at.manual_seed(0)
x = at.from_numpy(images.reshape(-1, 64).astype(np.float32) / 16)
x, y = x + 0.4 * at.randn(*x.shape), at.from_numpy(labels)  # noise, so that there is something left to gain
train, test = stratified_split(labels, [600, 1197])

# %% The rate falls along a cosine to nearly 0, where the network settles, and jumps back up, which throws it out to
# settle elsewhere. At the end of each round its weights are copied.
ROUNDS, EPOCHS = lesson.full_or_fast(6, 2), lesson.full_or_fast(8, 1)
model = nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 128), nn.ReLU(), nn.Linear(128, 10))
optimizer = optim.SGD(model.parameters(), lr=0.3, momentum=0.9, weight_decay=5e-3)
scheduler = lr_scheduler.CosineAnnealingWarmRestarts(optimizer, T_0=EPOCHS)
rates, losses, snapshots = [], [], []
for epoch in range(ROUNDS * EPOCHS):
    loader = DataLoader(TensorDataset(x[train], y[train]), batch_size=50, shuffle=True)
    for number, (inputs, targets) in enumerate(loader):
        optimizer.zero_grad()
        F.cross_entropy(model(inputs), targets).backward()
        optimizer.step()
        scheduler.step(epoch + (number + 1) / len(loader))
        rates.append(scheduler.get_last_lr()[0])
    with at.no_grad():
        losses.append(F.cross_entropy(model(x[test]), y[test]).item())
    if (epoch + 1) % EPOCHS == 0:
        snapshots.append({name: value.clone() for name, value in model.state_dict().items()})

# %% The ensemble: the mean of the probabilities of the snapshots.
probabilities = []
with at.no_grad():
    for state in snapshots:
        model.load_state_dict(state)
        probabilities.append(F.softmax(model(x[test]), dim=1).numpy())


def judge(p):
    """Accuracy in % and the mean loss −log p(right class)."""
    right = p[np.arange(len(test)), labels[test]]
    return 100 * float((p.argmax(1) == labels[test]).mean()), float(-np.log(right).mean())


single = [judge(p) for p in probabilities]
together = [judge(np.mean(probabilities[: n + 1], axis=0)) for n in range(ROUNDS)]
for n, (one, all) in enumerate(zip(single, together, strict=True), 1):
    print(f"snapshot {n}: {one[0]:.1f} %, loss {one[1]:.3f}; the first {n} together: {all[0]:.1f} %, loss {all[1]:.3f}")

figure, (left, right) = plt.subplots(1, 2, figsize=(8.5, 3.5))
left.plot(np.arange(len(rates)) / len(loader), rates)
left.plot(np.arange(1, ROUNDS + 1) * EPOCHS, np.zeros(ROUNDS), "v", color="tab:red", label="snapshot")
left.set(xlabel="epoch", ylabel="learning rate", title="Warm restarts")
left.legend(loc="upper right")
for values, mark, name in ((single, "s--", "each snapshot"), (together, "o-", "the first n together")):
    right.plot(range(1, ROUNDS + 1), [loss for _, loss in values], mark, label=name)
right.set(xlabel="snapshot n", ylabel="test loss", title="Together they are better")
right.legend()
figure.tight_layout()
lesson.save(figure, "snapshot_ensemble")

accuracy, loss = together[-1]
(mean, mean_loss), best = np.mean(single, axis=0), max(single)[0]
if not lesson.FAST:
    assert accuracy > mean + 0.7
    assert loss < 0.93 * mean_loss
print(
    f"claim: {ROUNDS} snapshots together reach {accuracy:.1f} % and a loss of {loss:.3f}; one reaches {mean:.1f} % and "
    f"{mean_loss:.3f} on average, {best:.1f} % at best"
)
