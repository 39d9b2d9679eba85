"""Batch, layer, instance and group norm: which of them mind a small batch. Run it: python examples/normalisation.py"""

# %%
# All four compute y = (x − µ) / √(σ² + ε) · γ + β. They differ in what µ and σ² are taken over, of images (N, C, H, W):
#     batch norm      a channel of all images       N, H, W        (Ioffe & Szegedy 2015)
#     layer norm      an image                      C, H, W        (Ba et al. 2016)
#     instance norm   a channel of an image         H, W           (Ulyanov et al. 2016)
#     group norm      a few channels of an image    C/G, H, W      (Wu & He 2018)
# Only batch norm mixes images. With few in a batch its µ and σ² are noisy while it learns, and they are no longer those
# that it uses afterwards. The others do not know how large the batch is.
#
# Here every step uses the gradient of 32 images, but they go through the network 32, 8, 4 or 2 at a time and their
# gradients add up, as is done where memory is short. Only what batch norm sees differs.
import matplotlib.pyplot as plt

import atrous as at
import lesson
from atrous import nn, optim
from atrous.datasets import digits
from atrous.nn import functional as F

BATCHES = [32, 8, 4, 2]
NORMS = {
    "batch": lambda C, S: nn.BatchNorm2d(C),
    "layer": lambda C, S: nn.LayerNorm((C, S, S)),
    "instance": lambda C, S: nn.InstanceNorm2d(C, eps=0.01, affine=True),  # σ² of 4 pixels may be next to nothing
    "group": lambda C, S: nn.GroupNorm(4, C),
}

images, labels = digits()
at.manual_seed(0)
order = at.randperm(len(images))
x, y = at.from_numpy(images[:, None].astype("float32") / 16)[order], at.from_numpy(labels)[order]
N = lesson.full_or_fast(512, 32)


def loss_of(norm, batch, seed):
    """The loss on new images, after training with so many at a time."""
    at.manual_seed(seed)
    layers = []
    for inputs, stride, size in ((1, 2, 4), (16, 2, 2), (16, 1, 2)):  # maps of 4×4 and 2×2 pixels
        layers += [nn.Conv2d(inputs, 16, 3, stride, padding=1), NORMS[norm](16, size), nn.ReLU()]
    model = nn.Sequential(*layers, nn.Flatten(), nn.Linear(64, 10))
    optimizer = optim.SGD(model.parameters(), lr=0.03, momentum=0.9)
    for _ in range(lesson.full_or_fast(4, 1)):
        for step in at.randperm(N).split(32):
            optimizer.zero_grad()
            for part in step.split(batch):
                (F.cross_entropy(model(x[part]), y[part]) * len(part) / len(step)).backward()  # gradients add up
            optimizer.step()
    model.eval()
    with at.no_grad():
        return F.cross_entropy(model(x[N:]), y[N:]).item()


# %%
# The mean of three runs, for in a single one there is luck. Of the other norms both ends are enough.
SEEDS = range(1, lesson.full_or_fast(4, 2))
losses = {}
for norm in NORMS:
    batches = BATCHES if norm == "batch" else [32, 2]
    losses[norm] = {batch: sum(loss_of(norm, batch, seed) for seed in SEEDS) / len(SEEDS) for batch in batches}
    print(f"{norm:8} norm: " + ", ".join(f"{loss:.3f} with {batch}" for batch, loss in losses[norm].items()))

# %%
figure, axis = plt.subplots(figsize=(7, 4))
for (norm, values), style in zip(losses.items(), ("o-", "s--", "^:", "v-."), strict=True):
    axis.plot([BATCHES.index(batch) for batch in values], list(values.values()), style, label=f"{norm} norm")
axis.set_xticks(range(len(BATCHES)), BATCHES)
axis.set(title="Small batches spoil batch norm, and no other", xlabel="images at a time", ylabel="loss on new images")
axis.set_ylim(bottom=0)
axis.legend(loc="lower right")
figure.tight_layout()
lesson.save(figure, "normalisation")

# %%
batch_norm = losses.pop("batch")
moved = max(abs(values[32] - values[2]) for values in losses.values())
print(
    f"claim: batch norm leaves a loss of {batch_norm[32]:.2f} where it sees 32 images at a time and of "
    f"{batch_norm[2]:.2f} where it sees 2; the losses of the others move by {moved:.3f} at most"
)
if not lesson.FAST:
    assert batch_norm[2] > 1.2 * batch_norm[32]
    assert moved < 0.03  # their gradients are added up in another order, no more
