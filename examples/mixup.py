"""Mixup: train on weighted means of two images, with the same means of their labels.

Zhang, Cisse, Dauphin and Lopez-Paz, mixup: Beyond empirical risk minimization, 2018, section 3.4 (corrupt labels).
Run it: python examples/mixup.py
"""

import matplotlib.pyplot as plt
import numpy as np

import atrous as at
import lesson
from atrous import nn, optim
from atrous.data import DataLoader, TensorDataset, default_collate
from atrous.datasets import digits, prepare_digits
from atrous.nn import functional as F
from atrous.transforms import MixUp

# %% Digits of 16×16, 800 to learn from. Of their labels 40 % are wrong: drawn anew, at random.
images, labels = digits()
x = at.from_numpy(prepare_digits(images, 16))
train, test = np.arange(lesson.full_or_fast(800, 80)), np.arange(900, 1797)
generator = np.random.default_rng(0)
wrong = generator.random(len(train)) < 0.4
given = np.where(wrong, (labels[train] + generator.integers(1, 10, len(train))) % 10, labels[train])

# %% Mixup draws λ from Beta(α, α) and trains on
#     x = λ·xᵢ + (1 − λ)·xⱼ,   y = λ·yᵢ + (1 − λ)·yⱼ   (labels one-hot)
# Between two images the answer shall go over from one label to the other in a straight line. A network that has learnt
# single wrong labels by heart cannot do that.


def fit(alpha):
    """The share of wrong labels learnt by heart, and test accuracy, in %, after each epoch."""
    at.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(512, 128), nn.ReLU(),
        nn.Linear(128, 10),
    )  # fmt: skip
    mix = MixUp(alpha=alpha, num_classes=10) if alpha else lambda *batch: batch
    optimizer = optim.Adam(model.parameters(), lr=2e-3)
    data = TensorDataset(x[train], at.from_numpy(given))
    loader = DataLoader(data, batch_size=40, shuffle=True, collate_fn=lambda samples: mix(*default_collate(samples)))
    learnt = []
    for _ in range(lesson.full_or_fast(40, 2)):
        for inputs, targets in loader:
            optimizer.zero_grad()
            F.cross_entropy(model(inputs), targets).backward()
            optimizer.step()
        with at.no_grad():
            by_heart = model(x[train]).argmax(1).numpy()[wrong] == given[wrong]
            right = model(x[test]).argmax(1).numpy() == labels[test]
        learnt.append((100 * by_heart.mean(), 100 * right.mean()))
    return np.array(learnt)


curves = {"without mixup": fit(0), "mixup, α = 1": fit(1.0), "mixup, α = 8": fit(8.0)}
for name, values in curves.items():
    print(f"{name:14} by heart {values[-1, 0]:.1f} %, test {values[-1, 1]:.1f} %, best test {values[:, 1].max():.1f} %")

figure, axes = plt.subplots(1, 2, figsize=(8, 3.4))
for (name, values), style in zip(curves.items(), ("-", "--", "-."), strict=True):
    for axis, column in zip(axes, values.T, strict=True):
        axis.plot(np.arange(1, len(column) + 1), column, style, label=name)
axes[0].set(title="Wrong labels learnt by heart", xlabel="epoch", ylabel="share of the wrong labels, %")
axes[1].set(title="Right on new images", xlabel="epoch", ylabel="test accuracy, %")
axes[0].legend(fontsize=9)
figure.suptitle("Of 800 labels 40 % are wrong: mixup does not learn them, and stays right")
figure.tight_layout()
lesson.save(figure, "mixup")

(heart, plain), (heart_1, mixed_1), (heart_8, mixed_8) = (values[-1] for values in curves.values())
if not lesson.FAST:
    assert min(mixed_1, mixed_8) > plain + 6
    assert max(heart_1, heart_8) < heart / 2
print(
    f"claim: with 40 % wrong labels the network learns {heart:.0f} % of them by heart and is right on {plain:.1f} %; "
    f"with mixup, α = 1, {heart_1:.0f} % and {mixed_1:.1f} %, α = 8, {heart_8:.0f} % and {mixed_8:.1f} %"
)
