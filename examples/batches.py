"""Batch, mini-batch and single-sample descent; double batch with double rate. Run it: python examples/batches.py"""

# %%
# Gradient descent needs the gradient of the mean loss over all examples. A mini-batch of B examples estimates it: right
# on average, with a deviation of σ/√B. Four times the work only halves the noise, so many rough steps beat few exact
# ones. Single examples (B = 1) give the most steps, but need a small rate, and their small products use the machine
# poorly (Bottou, Curtis and Nocedal 2018, "Optimization methods for large-scale machine learning").
import time

import matplotlib.pyplot as plt

import atrous as at
import lesson
from atrous import nn, optim
from atrous.data import DataLoader, TensorDataset
from atrous.datasets import digits
from atrous.nn import functional as F

images, labels = digits()
N = lesson.full_or_fast(1536, 128)
x, y = at.from_numpy(images[:N].reshape(N, 64).astype("float32") / 16), at.from_numpy(labels[:N])
EPOCHS = lesson.full_or_fast(8, 1)


def train(batch_size, lr):
    """The loss over all images after each epoch, and the seconds that an epoch took."""
    at.manual_seed(0)  # the same network for all
    model = nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))
    optimizer = optim.SGD(model.parameters(), lr=lr)
    losses, seconds = [F.cross_entropy(model(x), y).item()], 0.0
    for _ in range(EPOCHS):
        start = time.perf_counter()
        for inputs, targets in DataLoader(TensorDataset(x, y), batch_size, shuffle=True):
            optimizer.zero_grad()
            F.cross_entropy(model(inputs), targets).backward()
            optimizer.step()
        seconds += time.perf_counter() - start
        losses.append(F.cross_entropy(model(x), y).item())
    print(f"batch {batch_size:4}, rate {lr:4}: loss {losses[-1]:.3f}, {seconds / EPOCHS:.2f} s an epoch")
    return losses


# %%
# The same number of passes over the images. The whole set makes one step a pass, single images make 1536.
kinds = {
    f"batch: all {N}, rate 0.5": train(N, 0.5),
    "mini-batch: 32, rate 0.2": train(32, 0.2),
    "single images, rate 0.02": train(1, 0.02),
}

# %%
# k steps of rate r at almost the same weights add up to one step of rate k·r on the k batches together. So a batch
# twice as large wants twice the rate (Goyal et al. 2017). With the old rate it merely makes half as many steps.
base = train(16, 0.1)
both = train(32, 0.2)
batch_alone = train(32, 0.1)
scaling = {"16, rate 0.1": base, "32, rate 0.2: both doubled": both, "32, rate 0.1: batch alone": batch_alone}

# %%
figure, axes = plt.subplots(1, 2, figsize=(9, 3.7), sharey=True)
for axis, curves in zip(axes, (kinds, scaling), strict=True):
    for (label, losses), style in zip(curves.items(), ("o-", "s--", "^:"), strict=True):
        axis.semilogy(losses, style, label=label, ms=4)
    axis.set_xlabel("passes over the images")
axes[0].legend(loc="upper right", bbox_to_anchor=(1, 0.92))
axes[1].legend(loc="lower left")
axes[0].set(title="Small batches make more steps a pass", ylabel="loss over all images")
axes[1].set_title("Double batch, double rate: the same curve")
figure.tight_layout()
lesson.save(figure, "batches")

# %%
full, mini, single = (losses[-1] for losses in kinds.values())
print(
    f"claim: after {EPOCHS} passes the loss is {full:.2f} with whole-set steps, {mini:.2f} with batches of 32, "
    f"{single:.2f} with single images; doubling batch and rate changes it by {abs(both[-1] / base[-1] - 1):.0%}, "
    f"doubling the batch alone by {abs(batch_alone[-1] / base[-1] - 1):.0%}"
)
if not lesson.FAST:
    assert full > 5 * mini
    assert abs(both[-1] / base[-1] - 1) < 0.15 < 0.3 < batch_alone[-1] / base[-1] - 1
