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
    "instance": lambda C, S: nn.InstanceNorm2d(C, affine=True),
    "group": lambda C, S: nn.GroupNorm(4, C),
}

images, labels = digits()
at.manual_seed(0)
order = at.randperm(len(images))
x, y = at.from_numpy(images[:, None].astype("float32") / 16)[order], at.from_numpy(labels)[order]
N = lesson.full_or_fast(512, 32)


def error(norm, batch):
    """The share of wrong answers on new images, after training with so many at a time."""
    at.manual_seed(1)
    layers = []
    for inputs, stride, size in ((1, 2, 4), (16, 2, 2), (16, 1, 2)):  # maps of 4×4 and 2×2 pixels
        layers += [nn.Conv2d(inputs, 16, 3, stride, padding=1), NORMS[norm](16, size), nn.ReLU()]
    model = nn.Sequential(*layers, nn.Flatten(), nn.Linear(64, 10))
    optimizer = optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    for _ in range(lesson.full_or_fast(5, 1)):
        for step in at.randperm(N).split(32):
            optimizer.zero_grad()
            for part in step.split(batch):
                (F.cross_entropy(model(x[part]), y[part]) * len(part) / len(step)).backward()  # gradients add up
            optimizer.step()
    model.eval()
    with at.no_grad():
        wrong = (model(x[N:]).argmax(1) != y[N:]).float().mean().item()
    print(f"{norm:8} norm, batches of {batch:2}: {wrong:.1%} wrong")
    return wrong


# %%
errors = {norm: [error(norm, batch) for batch in BATCHES] for norm in NORMS}

# %%
figure, axis = plt.subplots(figsize=(7, 4))
for (norm, values), style in zip(errors.items(), ("o-", "s--", "^:", "v-."), strict=True):
    axis.plot(range(len(BATCHES)), [100 * value for value in values], style, label=f"{norm} norm")
axis.set_xticks(range(len(BATCHES)), BATCHES)
axis.set(title="Small batches spoil batch norm, and no other", xlabel="images at a time", ylabel="wrong answers in %")
axis.set_ylim(bottom=0)
axis.legend()
figure.tight_layout()
lesson.save(figure, "normalisation")

# %%
moved = max(max(values) - min(values) for norm, values in errors.items() if norm != "batch")
print(
    f"claim: batch norm leaves {errors['batch'][0]:.1%} wrong where it sees {BATCHES[0]} images at a time and "
    f"{errors['batch'][-1]:.1%} where it sees {BATCHES[-1]}; the results of the others move by {moved:.1%} at most"
)
if not lesson.FAST:
    assert errors["batch"][-1] > 1.4 * errors["batch"][0]
    assert moved < 0.02  # only the order of the sums differs
