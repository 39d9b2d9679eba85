"""Self-supervised rotations: features learned without a label, judged by a linear probe.

Gidaris, Singh and Komodakis, Unsupervised representation learning by predicting image rotations, 2018.
Run it: python examples/rotations.py
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
images = np.pad(images[:, None].astype(np.float32) / 16, ((0, 0), (0, 0), (2, 2), (2, 2)))  # (1797, 1, 12, 12)
at.manual_seed(0)
train, test = (np.array(part) for part in stratified_split(labels, [1197, 600]))


def features():
    return nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(16, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
    )  # fmt: skip  # (N, 288)


def fit(model, x, y, epochs, rate):
    optimizer = optim.Adam([p for p in model.parameters() if p.requires_grad], lr=rate)
    for _ in range(epochs):
        for inputs, targets in DataLoader(TensorDataset(x, y), batch_size=64, shuffle=True):
            optimizer.zero_grad()
            F.cross_entropy(model(inputs), targets).backward()
            optimizer.step()


# %% The pretext: turn every image by 0, 90, 180 or 270 degrees and ask by how much. The answer costs no label, and
# whoever gives it has to know strokes and their places.
pool = train[: lesson.full_or_fast(len(train), 50)]
turned = np.concatenate([np.rot90(images[pool], k, axes=(2, 3)) for k in range(4)])
turns = np.repeat(np.arange(4), len(pool))
at.manual_seed(1)
pretext = nn.Sequential(features(), nn.Linear(288, 4))
fit(pretext, at.from_numpy(np.ascontiguousarray(turned)), at.from_numpy(turns), lesson.full_or_fast(6, 1), 2e-3)
pretext.eval()
with at.no_grad():
    sideways = at.from_numpy(np.ascontiguousarray(np.rot90(images[test], 1, axes=(2, 3))))
    right_way = 100 * float((pretext(sideways).argmax(1).numpy() == 1).mean())
print(f"of test images turned by 90°, {right_way:.1f} % are recognised as such")

# %% The probe: the features stay as they are, and a linear map to the classes is fitted to few labels, by least squares
# with some decay. Beside them the same network with random weights, and the bare pixels.
at.manual_seed(1)
untrained = features()
with at.no_grad():
    untrained(at.from_numpy(images[train]))  # batch-norm gets to know the data
    networks = {"rotations": pretext[0].eval(), "random weights": untrained.eval(), "pixels": nn.Flatten()}
    ways = {name: network(at.from_numpy(images)).numpy() for name, network in networks.items()}


def probe(values, count):
    """Test accuracy with `count` labels a class, the mean over 20 draws of them."""
    values, scores = values - values[train].mean(0), []
    for draw in range(lesson.full_or_fast(20, 1)):
        generator = np.random.default_rng(draw)
        few = np.concatenate([generator.choice(train[labels[train] == k], count, replace=False) for k in range(10)])
        kernel = values[few] @ values[few].T  # ridge regression in its dual form: as many unknowns as labels
        decay = 0.1 * kernel.trace() / len(few) * np.eye(len(few))
        map = values[few].T @ np.linalg.solve(kernel + decay, np.eye(10)[labels[few]] - 0.1)
        scores.append(((values[test] @ map).argmax(1) == labels[test]).mean())
    return 100 * float(np.mean(scores))


counts = [1, 2, 5, 10, 20]
accuracies = {name: [probe(values, count) for count in counts] for name, values in ways.items()}
for name, values in accuracies.items():
    print(f"{name:15}" + "".join(f"{value:7.1f}" for value in values))

figure, axis = plt.subplots(figsize=(7, 3.8))
for (name, values), mark in zip(accuracies.items(), "os^", strict=True):
    axis.plot(range(len(counts)), values, mark + "-", label=name)
axis.set(xticks=range(len(counts)), xticklabels=counts, xlabel="labels of each class", ylabel="test accuracy, %")
axis.set_title("Features that learned to tell rotations make few labels go further")
axis.legend(title="a linear map of")
figure.tight_layout()
lesson.save(figure, "rotations")

learned, random, bare = (values[0] for values in accuracies.values())
gain = accuracies["rotations"][3] - accuracies["pixels"][3]
if not lesson.FAST:
    assert right_way > 80
    assert learned > max(random, bare) + 1
    assert gain > 3
print(
    f"claim: from one label a class, a linear map reaches {learned:.1f} % on features of rotations, {random:.1f} % on "
    f"random ones, {bare:.1f} % on pixels; from ten, {gain:.1f} % more than on pixels"
)
