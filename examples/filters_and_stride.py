"""Filters and stride by hand: what a convolution computes, how large its output is, and what four filters see.

Goodfellow, Bengio and Courville, Deep Learning, 2016, chapter 9; Dumoulin and Visin, A guide to convolution
arithmetic, 2016. Run it: python examples/filters_and_stride.py
"""

import matplotlib.pyplot as plt
import numpy as np

import atrous as at
import lesson
from atrous.datasets import shapes
from atrous.nn import functional as F

at.manual_seed(0)

# %% A convolution slides a small filter over the image; each output is the sum of products under the filter:
#     y[i, j] = Σ_k Σ_l  w[k, l] · x[i·S + k, j·S + l]          S: the stride, the step between two places


def by_hand(x, w, stride):
    OH, OW = (x.shape[0] - w.shape[0]) // stride + 1, (x.shape[1] - w.shape[1]) // stride + 1
    y = np.zeros((OH, OW), np.float32)
    for i in range(OH):
        for j in range(OW):
            window = x[i * stride : i * stride + w.shape[0], j * stride : j * stride + w.shape[1]]
            y[i, j] = (window * w).sum()
    return y


# %% Four filters. The weights of an edge filter add up to 0: it is silent where the image is flat.
# Those of blur and sharpen add up to 1: they keep the brightness.
filters = {
    "vertical edges": np.array([[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]]),  # Sobel: right minus left
    "horizontal edges": np.array([[-1, -2, -1], [0, 0, 0], [1, 2, 1]]),
    "blur": np.full((5, 5), 1 / 25),
    "sharpen": np.array([[0, -1, 0], [-1, 5, -1], [0, -1, 0]]),  # the image + (the image − its surroundings)
}
picture = shapes(size=48)[17][0].mean(0)  # grey, (48, 48)
x = picture.reshape(1, 1, 48, 48)
outputs, difference = {}, 0.0
for name, weights in filters.items():
    w = at.tensor(weights, dtype=at.float32)
    for stride in (1, 2, 3):
        y = F.conv2d(x, w.reshape(1, 1, *w.shape), stride=stride)
        difference = max(difference, np.abs(y.numpy()[0, 0] - by_hand(picture.numpy(), w.numpy(), stride)).max())
        outputs[name, stride] = y.numpy()[0, 0]

# %% The size of the output: O = ⌊(I + 2P − K) / S⌋ + 1, with I pixels, padding P on both sides, K taps, stride S.
# 7 pixels and 3 taps: stride 1 gives 5 outputs, stride 2 gives 3; with stride 3 the last pixel is never seen.
settings = [(I, K, P, S) for I in (7, 28, 32) for K in (1, 3, 5) for P in (0, 1, 2) for S in (1, 2, 3)]
held = 0
for I, K, P, S in settings:
    size = F.conv2d(at.zeros(1, 1, I, I), at.ones(1, 1, K, K), stride=S, padding=P).shape[-1]
    held += size == (I + 2 * P - K) // S + 1
    if (I, K, P) == (7, 3, 0):
        print(f"7 pixels, 3 taps, stride {S}: {size} outputs")

# %% A blur averages 25 pixels, so that independent noise shrinks by √25.
noise = at.randn(1, 1, 200, 200)
blurred = F.conv2d(noise, at.tensor(filters["blur"], dtype=at.float32).reshape(1, 1, 5, 5))
shrinks = (noise.std() / blurred.std()).item()

# %% The picture
figure, axes = plt.subplots(2, 3, figsize=(7.5, 5.8))
shown = [("the image", picture.numpy()), *((name, outputs[name, 1]) for name in filters)]
shown.append(("vertical edges, stride 3", outputs["vertical edges", 3]))
for axis, (name, values) in zip(axes.flat, shown, strict=True):
    edges = "edges" in name
    axis.imshow(values, cmap="gray", interpolation="nearest", vmin=-2 if edges else 0, vmax=2 if edges else 1)
    axis.set_title(f"{name}, {values.shape[0]}×{values.shape[1]}", fontsize=10)
    axis.axis("off")
figure.suptitle("The same sum of products: the weights decide what it sees, the stride how often")
figure.tight_layout()
lesson.save(figure, "filters_and_stride")

if not lesson.FAST:
    assert difference < 1e-5
    assert held == len(settings)
    assert 4.5 < shrinks < 5.5
print(
    f"claim: two loops give conv2d's numbers (largest difference {difference:.0e}), the size formula held in {held} of "
    f"{len(settings)} settings, and a 5×5 blur shrinks noise {shrinks:.1f}-fold"
)
