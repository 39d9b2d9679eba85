"""A U-Net's masks: a class for each pixel, from what lies around it.

Ronneberger, Fischer and Brox, U-Net: convolutional networks for biomedical image segmentation, 2015.
Run it: python examples/unet_masks.py
"""

import matplotlib.pyplot as plt
import numpy as np

import atrous as at
import lesson
from atrous import nn, optim
from atrous.datasets import shapes
from atrous.metrics import MeanIoU
from atrous.models import unet
from atrous.nn import functional as F

# %% Shapes in front of spots and strokes; the question to each pixel is: does it belong to a shape?


def pictures(count, seed):
    images, masks = zip(*[shapes(count, 32, seed, target="mask")[i] for i in range(count)], strict=True)
    return at.stack(images), at.from_numpy(np.stack([mask.numpy() > 0 for mask in masks]).astype(np.int64))


x, y = pictures(lesson.full_or_fast(600, 20), seed=0)  # (600, 3, 32, 32) and (600, 32, 32)
x_test, y_test = pictures(lesson.full_or_fast(200, 5), seed=1)


def train_network(model):
    """Intersection over union of the shapes' pixels in the test pictures, and the masks."""
    optimizer = optim.Adam(model.parameters(), lr=5e-3)
    for _ in range(lesson.full_or_fast(6, 1)):
        for batch in at.randperm(len(x)).split(20):
            optimizer.zero_grad()
            F.cross_entropy(model(x[batch]), y[batch]).backward()  # the mean over all pixels
            optimizer.step()
    model.eval()
    with at.no_grad():
        logits = model(x_test)  # (200, 2, 32, 32)
    iou = MeanIoU(2)
    iou.update(logits, y_test)
    return float(iou.per_class()[1]), logits.argmax(1).numpy()


# %% A network of 1×1 convolutions sees a pixel's colour and nothing else. The U-Net halves the map twice, to see far,
# and doubles it twice; at each size it is also handed the map from the way down, for sharp outlines.
at.manual_seed(0)
colour_only = nn.Sequential(nn.Conv2d(3, 32, 1), nn.ReLU(), nn.Conv2d(32, 32, 1), nn.ReLU(), nn.Conv2d(32, 2, 1))
results = {"1×1 convolutions": train_network(colour_only), "U-Net": train_network(unet(2, width=8, depth=2))}
for name, (iou, _) in results.items():
    print(f"{name:17} intersection over union {iou:.3f}")

figure, axes = plt.subplots(4, 5, figsize=(6.5, 5.4))
rows = {"image": x_test.numpy().transpose(0, 2, 3, 1), "truth": y_test.numpy()}
rows |= {f"{name}\n{iou:.2f}": masks for name, (iou, masks) in results.items()}
for row, (name, values) in zip(axes, rows.items(), strict=True):
    for axis, value in zip(row, values, strict=False):
        axis.imshow(value, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
        axis.set(xticks=[], yticks=[])
    row[0].set_ylabel(name, fontsize=9)
figure.suptitle("A pixel's colour says something, its surroundings say more")
figure.tight_layout()
lesson.save(figure, "unet_masks")

(colour, _), (context, _) = results.values()
if not lesson.FAST:
    assert context > 0.6
    assert context > colour + 0.12
print(f"claim: the U-Net's masks overlap the true ones by {context:.2f} (IoU), by colour alone {colour:.2f}")
