"""Pooling under a shifted input: how far do the outputs of max, average and strided convolution move?

Goodfellow, Bengio and Courville, Deep Learning, 2016, section 9.3; Zhang, Making convolutional networks
shift-invariant again, 2019. Run it: python examples/pooling_and_shift.py
"""

import matplotlib.pyplot as plt
import numpy as np

import atrous as at
import lesson
from atrous.datasets import digits, prepare_digits
from atrous.nn import functional as F

# %% Handwriting in black and white on a wide border, so that a shift loses nothing, and its edges in four directions:
# what a first layer with ReLU hands to pooling.
count = lesson.full_or_fast(100, 10)
writing = prepare_digits(digits()[0][:count]) > 0.5
x = np.pad(writing.astype(np.float32), ((0, 0), (0, 0), (16, 16), (16, 16)))  # (N, 1, 64, 64)
sobel = np.array([[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]], np.float32)
edges = at.from_numpy(np.stack([sobel, sobel.T, -sobel, -sobel.T])[:, None])  # (4, 1, 3, 3)


def features(shift):
    return F.relu(F.conv2d(at.from_numpy(np.roll(x, shift, axis=3)), edges, padding=1))


# %% Ways to make the map smaller, and one that leaves nothing of the place.
pick = at.zeros(4, 1, 4, 4)
pick[:, :, 0, 0] = 1.0  # a strided convolution that looks at one pixel of each window
ways = {
    "no pooling": lambda h: h,
    "strided convolution, one pixel of 4×4": lambda h: F.conv2d(h, pick, stride=4, groups=4),
    "max-pool 2×2": lambda h: F.max_pool2d(h, 2),
    "max-pool 4×4": lambda h: F.max_pool2d(h, 4),
    "average-pool 4×4": lambda h: F.avg_pool2d(h, 4),
    "global max-pool": lambda h: F.adaptive_max_pool2d(h, 1),
}

# %% Movement: ‖f(shifted x) − f(x)‖ / ‖f(x)‖, from 0 for an output that stays to about √2 for unrelated ones. Where the
# writing lies in its windows is chance: the mean over four positions.
shifts = range(9)
inputs = [features(shift) for shift in range(4 + max(shifts))]
moved = {}
for name, way in ways.items():
    outputs = [way(h).numpy() for h in inputs]
    moves = [
        [np.linalg.norm(outputs[i + s] - outputs[i]) / np.linalg.norm(outputs[i]) for i in range(4)] for s in shifts
    ]
    moved[name] = np.mean(moves, axis=1)
    print(f"{name:38}" + "".join(f"{value:6.2f}" for value in moved[name]))

figure, axis = plt.subplots(figsize=(7, 4))
for (name, values), mark in zip(moved.items(), "xsvo^d", strict=True):
    axis.plot(shifts, values, mark + "-", label=name, markersize=5)
axis.set(xlabel="shift of the input, pixels", ylabel="movement of the output, relative", ylim=(-0.05, 2))
axis.set_title("Pooling halves what a pixel's shift moves; a larger shift still gets through")
axis.legend(fontsize=8, loc="upper left", ncols=2)
figure.tight_layout()
lesson.save(figure, "pooling_and_shift")

plain, stride, _, largest, average, everywhere = (values[1] for values in moved.values())
if not lesson.FAST:
    assert max(largest, average) < 0.7 * min(plain, stride)
    assert moved["max-pool 4×4"][8] > 1
    assert max(moved["global max-pool"]) < 1e-6
print(
    f"claim: a shift by one pixel moves the map by {plain:.2f}, its strided convolution by {stride:.2f}, max-pool 4×4 "
    f"by {largest:.2f}, average-pool by {average:.2f}, global max-pool by {everywhere:.2f}"
)
