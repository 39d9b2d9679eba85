"""Ten-crop: ask the network ten times at test time, about corners, centre and mirror images, and average.

Krizhevsky, Sutskever and Hinton, ImageNet classification with deep convolutional neural networks, 2012, section 4.1
(39.0 % errors became 37.5). Run it: python examples/ten_crop.py
"""

import matplotlib.pyplot as plt
import numpy as np

import atrous as at
import lesson
from atrous import nn, optim
from atrous.data import DataLoader, TensorDataset
from atrous.datasets import Shapes, shapes
from atrous.nn import functional as F
from atrous.training.augment import AugmentedBatch, RandomFlip, RandomShift
from atrous.transforms import CenterCrop, TenCrop, average_predictions

# %% Circles, squares, triangles, stars and crosses, anywhere on images of 32×32. The network sees 24×24, so a centre
# crop may cut the shape.


def load(count, seed):
    samples = shapes(count, size=32, seed=seed, target="class", objects=(1, 1))
    pairs = [samples[i] for i in range(count)]
    return at.stack([at.as_tensor(image) for image, _ in pairs]), np.array([label for _, label in pairs])


x_train, y_train = load(lesson.full_or_fast(1500, 60), 0)
x_test, y_test = load(lesson.full_or_fast(1500, 40), 1)


# %% In training each image is cropped at random (shifted by up to 4, then the centre), and mirrored or not. So the
# network learns about the views that ten-crop will show it.
at.manual_seed(0)
model = nn.Sequential(
    nn.Conv2d(3, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(), nn.MaxPool2d(2),
    nn.Conv2d(16, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU(), nn.MaxPool2d(2),
    nn.Conv2d(32, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU(), nn.AdaptiveMaxPool2d(2), nn.Flatten(),
    nn.Linear(128, 5),
)  # fmt: skip
optimizer = optim.Adam(model.parameters(), lr=2e-3)
crops = AugmentedBatch(RandomShift(4), CenterCrop(24), RandomFlip())
data = TensorDataset(x_train, at.from_numpy(y_train))
for _ in range(lesson.full_or_fast(30, 1)):
    for inputs, targets in DataLoader(data, batch_size=50, shuffle=True, collate_fn=crops):
        optimizer.zero_grad()
        F.cross_entropy(model(inputs), targets).backward()
        optimizer.step()
model.eval()

# %% K views of each test image, (N, K, 3, 24, 24). The answer is the mean of the network's K answers.
ten = at.stack(TenCrop(24)(x_test), 1)
views = {"centre": [4], "centre and its mirror image": [4, 9], "five crops": range(5), "ten crops": range(10)}


def probabilities(x):
    return F.softmax(model(x), 1)


answers = {name: average_predictions(probabilities, ten[:, list(few)]).argmax(1).numpy() for name, few in views.items()}
right = {name: answer == y_test for name, answer in answers.items()}
accuracy = {name: 100 * float(values.mean()) for name, values in right.items()}
for name, value in accuracy.items():
    print(f"{name:28} {value:.1f} %")

# %% The same images were asked both ways, so count where the two ways differ: the gain's standard error follows.
gained = int((right["ten crops"] & ~right["centre"]).sum())
lost = int((right["centre"] & ~right["ten crops"]).sum())
gain, error = 100 * (gained - lost) / len(y_test), 100 * np.sqrt(gained + lost) / len(y_test)

# %% An image that only the mean gets right, the ten views of it, and what each says.
example = int(np.argmax(right["ten crops"] & ~right["centre"]))
with at.no_grad():
    said = probabilities(ten[example]).argmax(1).tolist()
figure = plt.figure(figsize=(7.5, 4.8), layout="constrained")
top, bottom = figure.subfigures(2, 1)
for k in range(10):
    axis = top.add_subplot(2, 5, k + 1)
    axis.imshow(np.round(15 * ten[example, k].numpy().transpose(1, 2, 0)) / 15, interpolation="nearest")
    color = "green" if said[k] == y_test[example] else "red"
    axis.set_title(Shapes.classes[said[k]], fontsize=8, color=color, pad=2)
    axis.axis("off")
axis = bottom.add_subplot()
bars = axis.barh(list(accuracy), list(accuracy.values()), color=["gray", "tab:blue", "tab:blue", "tab:green"])
axis.bar_label(bars, fmt="%.1f", padding=3)
axis.set(xlabel="test accuracy, %", xlim=(min(accuracy.values()) // 5 * 5 - 5, max(accuracy.values()) + 2))
axis.invert_yaxis()
figure.suptitle(f"Ten views of a {Shapes.classes[y_test[example]]}: the mean of the answers is right more often")
lesson.save(figure, "ten_crop")

if not lesson.FAST:
    assert gain > 1
    assert gain > 2 * error
print(
    f"claim: ten crops lift accuracy from {accuracy['centre']:.1f} % to {accuracy['ten crops']:.1f} % of "
    f"{len(y_test)} images: +{gain:.1f} ± {error:.1f} points ({gained} gained, {lost} lost)"
)
