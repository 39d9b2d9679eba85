"""L1, L2 and the elastic net: which weights they leave. Run it: python examples/penalties.py"""

# %%
# A penalty adds the size of the weights to the loss:
#     L2            λ·Σw²               its pull 2λw fades with the weight: all become small, none becomes 0
#     L1            λ·Σ|w|              its pull λ·sign(w) stays the same: weights that help too little end at 0
#     elastic net   λ·Σ(β·w² + |w|)     both (Zou and Hastie 2005); β weighs the squares
# Textbooks write λ/2·Σw² as well. SGD's weight_decay adds weight_decay·w to the gradient, which is that form.
import matplotlib.pyplot as plt

import atrous as at
import lesson
from atrous import nn, optim
from atrous.datasets import digits
from atrous.nn import functional as F

images, labels = digits()
x, y = at.from_numpy(images.reshape(-1, 64).astype("float32") / 16), at.from_numpy(labels)
at.manual_seed(0)
train, test = at.randperm(len(x)).split([300, len(x) - 300])
PENALTIES = {
    "none": lambda w: 0.0,
    "L2": lambda w: 0.003 * (w * w).sum(),
    "L1": lambda w: 0.003 * w.abs().sum(),
    "elastic net": lambda w: 0.003 * (0.5 * w * w + w.abs()).sum(),
}
STEPS = lesson.full_or_fast(1500, 5)


# %%
# The penalty is of the weights, not of the biases, which only shift the scores. Its slope jumps at 0, so a weight that
# should be 0 hops around it by lr·λ a step. The rate falls to 0, and the hops with it.
def fit(penalty):
    """The weights of a linear classifier of 300 digits, and its share of right answers on the others."""
    at.manual_seed(1)
    model = nn.Linear(64, 10)
    optimizer = optim.SGD(model.parameters(), lr=0.2, momentum=0.9)
    scheduler = optim.lr_scheduler.CosineAnnealingLR(optimizer, STEPS)
    for _ in range(STEPS):
        optimizer.zero_grad()
        (F.cross_entropy(model(x[train]), y[train]) + penalty(model.weight)).backward()
        optimizer.step()
        scheduler.step()
    with at.no_grad():
        right = (model(x[test]).argmax(1) == y[test]).float().mean().item()
    return model.weight.detach().numpy(), right


seen = (x[train] > 0).any(0).numpy()  # pixels on the rim that are always 0 leave their weights to the penalty alone
weights, right, zeros = {}, {}, {}
for name, penalty in PENALTIES.items():
    weights[name], right[name] = fit(penalty)
    zeros[name] = (abs(weights[name][:, seen]) < 1e-3).mean()
    print(f"{name:12} |w| < 0.001: {zeros[name]:4.0%}, largest {abs(weights[name]).max():.2f}, test {right[name]:.1%}")

# %%
# Above, the 64 weights of class 3 as an image: without a penalty all pixels take part, with L1 a few.
figure, axes = plt.subplots(2, 4, figsize=(8.5, 4.2), sharey="row", height_ratios=[1.3, 1])
for (name, w), (above, below) in zip(weights.items(), axes.T, strict=True):
    size = abs(w[3]).max()
    above.imshow(w[3].reshape(8, 8), cmap="RdBu_r", vmin=-size, vmax=size)
    above.set(title=f"{name}\n{zeros[name]:.0%} are 0", xticks=[], yticks=[])
    below.hist(w.ravel(), bins=41, range=(-1.5, 1.5), log=True)
    below.set_xlabel("weight")
axes[0, 0].set_ylabel("weights of class 3")
axes[1, 0].set_ylabel("how many")
figure.suptitle("L2 makes all weights small; L1 makes most of them 0")
figure.tight_layout()
lesson.save(figure, "penalties")

# %%
print(
    f"claim: weights below 0.001: {zeros['none']:.0%} without a penalty, {zeros['L2']:.0%} with L2, "
    f"{zeros['L1']:.0%} with L1, {zeros['elastic net']:.0%} with the elastic net; right on new images: "
    f"{right['none']:.1%}, {right['L2']:.1%}, {right['L1']:.1%}, {right['elastic net']:.1%}"
)
if not lesson.FAST:
    assert zeros["L1"] > 0.4
    assert zeros["L1"] > 4 * max(zeros["L2"], zeros["none"])
    assert abs(weights["L2"]).max() < abs(weights["none"]).max() / 2
