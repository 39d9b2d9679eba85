"""Dense, locally connected and shared weights, counted: LeNet-5's first layer three times.

LeCun, Bottou, Bengio and Haffner, Gradient-based learning applied to document recognition, 1998, section II.B;
Goodfellow, Bengio and Courville, Deep Learning, 2016, section 9.2. Run it: python examples/connections_counted.py
"""

import matplotlib.pyplot as plt
import numpy as np

import atrous as at
import lesson
from atrous import nn
from atrous.models import count_macs

at.manual_seed(0)

# %% From an image of 32×32 to 6 maps of 28×28, each output with a bias:
#     dense              every output sees every pixel            O·O·OC · (I·I + 1)
#     locally connected  every output sees 5×5 pixels             O·O·OC · (K·K + 1)
#     shared             and all places of a map use one filter        OC · (K·K + 1)
I, K, OC = 32, 5, 6
O = I - K + 1
dense, shared = nn.Linear(I * I, O * O * OC), nn.Conv2d(1, OC, K)
weights = {
    "dense": sum(p.numel() for p in dense.parameters()),
    "locally connected": O * O * OC * (K * K + 1),
    "shared": sum(p.numel() for p in shared.parameters()),
}
macs = {
    "dense": count_macs(dense, 1, I * I),
    "locally connected": O * O * OC * K * K,
    "shared": count_macs(shared, 1, 1, I, I),
}
for name in weights:
    print(f"{name:18} {weights[name]:9,} weights {macs[name]:9,} multiply-adds")

# %% All three are a matrix times the pixels. That of a convolution is found by asking for each pixel what it does:
# images with a single 1. Most of it is zero (few connections), and the same numbers come again (shared weights).
small, filter = 8, nn.Conv2d(1, 1, 3, bias=False)
with at.no_grad():
    one_hot = at.eye(small * small).reshape(-1, 1, small, small)
    matrix = filter(one_hot).flatten(1).T.numpy()  # (36 outputs, 64 pixels)
    x = at.randn(1, 1, small, small)
    difference = np.abs(matrix @ x.numpy().ravel() - filter(x).numpy().ravel()).max()
connections, different = np.count_nonzero(matrix), len(np.unique(matrix[matrix != 0]))

generator = np.random.default_rng(0)
local = np.where(matrix != 0, generator.uniform(-0.3, 0.3, matrix.shape), 0)
figure, axes = plt.subplots(1, 3, figsize=(8.5, 2.4))
matrices = (generator.uniform(-0.3, 0.3, matrix.shape), local, matrix)
for axis, name, values in zip(axes, weights, matrices, strict=True):
    axis.imshow(np.ma.masked_equal(values, 0), cmap="PuOr", vmin=-0.35, vmax=0.35, interpolation="nearest")
    axis.set_title(f"{name}: {len(np.unique(values[values != 0])):,} weights", fontsize=10)
    axis.set(xlabel="pixel of 8×8", ylabel="output of 6×6", xticks=[], yticks=[])
figure.suptitle("A 3×3 convolution is a matrix with few connections, and fewer weights")
figure.tight_layout()
lesson.save(figure, "connections_counted")

assert (weights["shared"], O * O * OC * (K * K + 1)) == (156, 122304)  # as the paper says
assert (connections, different) == (36 * 9, 9)
assert difference < 1e-6
print(
    f"claim: the layer takes {weights['dense']:,} weights when dense, {weights['locally connected']:,} when locally "
    f"connected, {weights['shared']} when shared, and {macs['dense'] / macs['shared']:.0f} times fewer multiply-adds"
)
