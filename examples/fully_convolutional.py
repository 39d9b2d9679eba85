"""A classifier made fully convolutional: the same weights read one digit, or a page of digits in one pass.

Sermanet et al., OverFeat, 2014, section 3.5; Long, Shelhamer and Darrell, Fully convolutional networks for semantic
segmentation, 2015, section 3.1. Run it: python examples/fully_convolutional.py
"""

import matplotlib.pyplot as plt
import numpy as np

import atrous as at
import lesson
from atrous import nn, optim
from atrous.data import DataLoader, TensorDataset
from atrous.datasets import digits, prepare_digits
from atrous.models import count_macs
from atrous.nn import functional as F
from atrous.training.augment import AugmentedBatch, RandomShift

# %% Digits of 20×20, and an eleventh class: no digit in the middle. Rolled far to a side, a digit leaves parts at the
# borders, as a window between two digits sees them; some windows are empty.
images, labels = digits()
x = prepare_digits(images, 20)  # (1797, 1, 20, 20)
train, test = np.arange(lesson.full_or_fast(1200, 200)), np.arange(1200, 1797)
generator = np.random.default_rng(0)
rolls = [(generator.integers(7, 14), generator.integers(-6, 7))[:: generator.choice([-1, 1])] for _ in train]
nothing = np.stack([np.roll(x[i], roll, axis=(1, 2)) for i, roll in zip(train, rolls, strict=True)])
x_train = np.concatenate([x[train], nothing, np.zeros((100, 1, 20, 20), np.float32)])
y_train = np.concatenate([labels[train], np.full(len(x_train) - len(train), 10)])

# %% An ordinary classifier: convolutions, then linear layers that know the size of the map before them, 3×3.
# No padding: a window inside a page has neighbours where an image of its own would have zeros.
at.manual_seed(0)
features = nn.Sequential(
    nn.Conv2d(1, 16, 5), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(16, 32, 3), nn.ReLU(), nn.MaxPool2d(2)
)
hidden, last = nn.Linear(32 * 3 * 3, 64), nn.Linear(64, 11)
classifier = nn.Sequential(features, nn.Flatten(), hidden, nn.ReLU(), last)
optimizer = optim.Adam(classifier.parameters(), lr=2e-3)
data = TensorDataset(at.from_numpy(x_train), at.from_numpy(y_train))
for _ in range(lesson.full_or_fast(25, 1)):
    for inputs, targets in DataLoader(data, batch_size=50, shuffle=True, collate_fn=AugmentedBatch(RandomShift(2))):
        optimizer.zero_grad()
        F.cross_entropy(classifier(inputs), targets).backward()
        optimizer.step()

# %% A linear layer on a map of 32×3×3 is a convolution with a window of 3×3 that fits once; the next one is 1×1.
# The weights stay the same. On a larger map the window fits in many places.
convolution = nn.Sequential(
    features, nn.utils.linear_to_conv2d(hidden, (32, 3, 3)), nn.ReLU(), nn.utils.linear_to_conv2d(last, (64, 1, 1))
)
with at.no_grad():
    own = classifier(at.from_numpy(x[test])).numpy()
    same = convolution(at.from_numpy(x[test])).flatten(1).numpy()
difference = np.abs(own - same).max()
print(f"at the training size: accuracy {100 * (own.argmax(1) == labels[test]).mean():.1f} %, off by {difference:.1e}")

# %% A page of 3×7 test digits, each anywhere in a cell of 28×28.
page, places = np.zeros((1, 1, 84, 196), np.float32), []
for k, digit in enumerate(generator.choice(test, 21, replace=False)):
    top, left = np.array(divmod(k, 7)) * 28 + generator.integers(0, 9, 2)
    page[0, 0, top : top + 20, left : left + 20] = x[digit, 0]
    places.append((top, left, labels[digit]))

# %% One pass gives a map of scores. The two poolings step by 2·2 = 4 pixels: output (i, j) looks at the window from
# (4i, 4j) on. The classifier gives the same for each window cut out.
with at.no_grad():
    scores = convolution(at.from_numpy(page))  # (1, 11, 17, 45)
    answers = F.softmax(scores, 1)[0].numpy()
    rows, columns = answers.shape[1:]
    windows = [page[0, :, 4 * i : 4 * i + 20, 4 * j : 4 * j + 20] for i in range(rows) for j in range(columns)]
    one_by_one = classifier(at.from_numpy(np.stack(windows))).numpy().T.reshape(11, rows, columns)
slid = np.abs(scores[0].numpy() - one_by_one).max()
read = [int(answers[:10, round(top / 4), round(left / 4)].argmax()) for top, left, _ in places]
right = sum(said == label for said, (_, _, label) in zip(read, places, strict=True))
saved = rows * columns * count_macs(classifier, 1, 1, 20, 20) / count_macs(convolution, *page.shape)

# %% The page with what was read beside each digit (framed: wrong), and the map of scores.
figure, axes = plt.subplots(2, 1, figsize=(7, 6.6))
axes[0].imshow(np.round(8 * page[0, 0]), cmap="gray_r", extent=(0, 196, 84, 0), interpolation="nearest")
axes[0].set_title(f"One pass over the page reads {right} of {len(places)} digits", fontsize=12)
colors = plt.get_cmap("tab10")
for said, (top, left, label) in zip(read, places, strict=True):
    frame = None if said == label else {"facecolor": "none", "edgecolor": "red", "pad": 2}
    axes[0].text(left + 19, top + 2, str(said), va="top", color=colors(said), weight="bold", size=11, bbox=frame)
sure = np.ma.masked_where((answers.max(0) < 0.9) | (answers.argmax(0) == 10), answers.argmax(0))
middles = 4 * np.array([0, columns, rows, 0]) + 8  # a window's middle, less half a step
axes[1].imshow(sure, cmap="tab10", vmin=-0.5, vmax=9.5, extent=middles, interpolation="nearest")
axes[1].set_title("What each window of 20×20 shows, drawn at its middle (where it is 90 % sure)", fontsize=11)
for axis in axes:
    axis.set(xlabel="pixel", ylabel="pixel", xlim=(0, 202), ylim=(84, 0))
figure.tight_layout()
lesson.save(figure, "fully_convolutional")

assert max(difference, slid) < 1e-3
assert saved > 4
if not lesson.FAST:
    assert right >= 17
print(
    f"claim: as a convolution the classifier differs by {max(difference, slid):.0e} at most; one pass over the page "
    f"reads {right} of {len(places)} digits with {saved:.1f} times fewer multiply-adds than window by window"
)
