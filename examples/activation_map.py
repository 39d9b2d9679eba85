"""Class activation maps: where in an image the answer is from. Run it: python examples/activation_map.py"""

# %%
# A network that averages its last feature maps A_c and then applies one linear layer has the logits
#     s_k = Σ_c w_kc · mean(A_c) + b_k = mean over all places of Σ_c w_kc · A_c, + b_k
# So the map Σ_c w_kc · A_c says how much each place adds to the logit of class k (Zhou et al. 2016). Such a network is
# told what is in an image, never where; the map shows that it knows.
import matplotlib.pyplot as plt
import numpy as np

import atrous as at
import lesson
from atrous import nn, optim
from atrous.datasets import digits
from atrous.diagnostics import class_activation_map
from atrous.nn import functional as F

SIZE, CLUTTER, EPOCHS = 24, 6, lesson.full_or_fast(12, 1)
rng = np.random.default_rng(0)
images, labels = digits()
order = rng.permutation(len(images))
images, labels = images[order].astype("float32") / 16, labels[order]
N = lesson.full_or_fast(1297, 64)
y = at.from_numpy(labels)


# %%
# Digits of 8×8 pixels at random places of 24×24, among 4×4 scraps of others.
def scatter(chosen):
    """Images (N, 1, 24, 24) with these digits, and where the digits are: (N, 24, 24), True within their 8×8 pixels."""
    x = np.zeros((len(chosen), 1, SIZE, SIZE), "float32")
    inside = np.zeros((len(chosen), SIZE, SIZE), bool)
    for n, image in enumerate(chosen):
        for scrap in images[rng.integers(0, N, CLUTTER)]:
            (i, j), (h, w) = rng.integers(0, 5, 2), rng.integers(0, SIZE - 3, 2)
            x[n, 0, h : h + 4, w : w + 4] = scrap[i : i + 4, j : j + 4]
        h, w = rng.integers(0, SIZE - 7, 2)
        x[n, 0, h : h + 8, w : w + 8] = image
        inside[n, h : h + 8, w : w + 8] = True
    return at.from_numpy(x), inside


at.manual_seed(0)
features = nn.Sequential(
    nn.Conv2d(1, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(),
    nn.Conv2d(16, 32, 3, stride=2, padding=1), nn.BatchNorm2d(32), nn.ReLU(),
    nn.Conv2d(32, 64, 3, padding=1), nn.BatchNorm2d(64), nn.ReLU(),
)  # fmt: skip
linear = nn.Linear(64, 10)
model = nn.Sequential(features, nn.AdaptiveAvgPool2d(1), nn.Flatten(), linear)
optimizer = optim.Adam(model.parameters(), lr=1e-2)
scheduler = optim.lr_scheduler.CosineAnnealingLR(optimizer, EPOCHS)
for _ in range(EPOCHS):
    for part in at.randperm(N).split(32):
        x, _ = scatter(images[part.numpy()])  # new places every time
        optimizer.zero_grad()
        F.cross_entropy(model(x), y[part]).backward()
        optimizer.step()
    scheduler.step()

# %%
# Maps of new digits for the answers, stretched from 12×12 to the images' 24×24; below 0 speaks against the answer.
model.eval()
x, inside = scatter(images[N : N + 500])
with at.no_grad():
    said = model(x).argmax(1)
    maps = class_activation_map(features(x), linear.weight, said)
heat = np.maximum(maps.numpy(), 0).repeat(2, 1).repeat(2, 2)
right = (said == y[N : N + 500]).float().mean().item()
share = ((heat * inside).sum((1, 2)) / heat.sum((1, 2)).clip(1e-9)).mean()
area = inside.mean()
print(f"{right:.0%} right; the digit covers {area:.0%} of an image and gets {share:.0%} of the map's heat")

# %%
figure, axes = plt.subplots(2, 6, figsize=(8.6, 3.3))
for n in range(6):
    axes[0, n].imshow(x[n, 0].numpy(), cmap="gray_r")
    axes[0, n].set_title(f"a {labels[N + n]}, said: {said[n].item()}", fontsize=9)
    axes[1, n].imshow(heat[n], cmap="gray_r")
    top, left = np.argwhere(inside[n])[0]
    for axis in axes[:, n]:
        axis.add_patch(plt.Rectangle((left - 0.5, top - 0.5), 8, 8, fill=False, ec="C3", lw=1.2))
        axis.set_xticks([])
        axis.set_yticks([])
axes[0, 0].set_ylabel("image")
axes[1, 0].set_ylabel("activation map")
figure.suptitle(
    f"Never told where the digit is (red), the map finds it: {share:.0%} of its heat on {area:.0%} of the area"
)
figure.tight_layout()
lesson.save(figure, "activation_map")

# %%
print(
    f"claim: {share:.0%} of the heat of the activation maps lies on the digit, which covers {area:.0%} of the image; "
    f"the network was told only its class, which it gets right {right:.0%} of the time"
)
assert lesson.FAST or (share > 4 * area and right > 0.6)
