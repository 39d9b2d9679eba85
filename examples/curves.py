"""Reading learning curves: runs made to fail, and the names of their faults. Run it: python examples/curves.py"""

# %%
# Before one turns a knob, the curves say which (Karpathy, CS231n; Goodfellow et al. 2016, chapter 11):
#     the training loss rises                       diverging: a smaller rate
#     both losses high and alike                    under-fitting: train longer, a larger network, another rate
#     the validation loss rises, the other falls    over-fitting: more data, a penalty, stop earlier
# `diagnose` reads them off the rows that `Trainer.history` holds, and gives the numbers that made it say so.
import textwrap

import matplotlib.pyplot as plt

import atrous as at
import lesson
from atrous import nn, optim
from atrous.data import DataLoader, TensorDataset
from atrous.datasets import digits
from atrous.diagnostics import diagnose
from atrous.nn import functional as F
from atrous.training import Trainer

images, labels = digits()
at.manual_seed(0)
order = at.randperm(len(images))
x, y = at.from_numpy(images.reshape(-1, 64).astype("float32") / 8 - 1)[order], at.from_numpy(labels)[order]
wrong = at.where(at.rand(len(y)) < 0.3, at.randint(0, 10, (len(y),)), y)  # three labels in ten at random


def run(lr, epochs, count=600, labels=y, factor=1.0):
    """The history of a training; the rate is multiplied by `factor` after each epoch."""
    at.manual_seed(1)
    model = nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))
    optimizer = optim.SGD(model.parameters(), lr=lr, momentum=0.9)
    scheduler = optim.lr_scheduler.ExponentialLR(optimizer, factor)
    trainer = Trainer(model, optimizer, F.cross_entropy, scheduler=scheduler)
    loader = DataLoader(TensorDataset(x[:count], labels[:count]), 50, shuffle=True)
    trainer.fit(loader, [(x[1000:], y[1000:])], epochs=lesson.full_or_fast(epochs, 4), progress=False)
    return trainer.history


# %%
RUNS = {
    "a good run": run(lr=0.1, epochs=12),
    "the rate doubles each epoch": run(lr=0.1, epochs=12, factor=2.0),
    "a thirtieth of the rate, 8 epochs": run(lr=0.1 / 30, epochs=8),
    "150 images, labels partly wrong": run(lr=0.1, epochs=30, count=150, labels=wrong),
}
found = {name: diagnose(history, num_classes=10) for name, history in RUNS.items()}
for name, faults in found.items():
    print(f"{name}: {faults or 'nothing to say'}")

# %%
figure, axes = plt.subplots(2, 2, figsize=(9, 5.6))
for axis, (name, history) in zip(axes.flat, RUNS.items(), strict=True):
    epochs = [row["epoch"] for row in history]
    axis.plot(epochs, [row["train_loss"] for row in history], label="training images")
    axis.plot(epochs, [row["validation_loss"] for row in history], "--", label="images held back")
    axis.axhline(2.303, color="gray", lw=0.6)
    words = "; ".join(f"{fault}: {why}" for fault, why in found[name].items()) or "nothing found"
    axis.set_title(f"{name}\n" + textwrap.fill(f"→ {words}", 60), fontsize=8.5)
    axis.set(xlabel="epoch", ylabel="loss")
    axis.set_ylim(0, max(2.6, min(8, 1.05 * max(row["validation_loss"] for row in history))))
axes[0, 0].legend()
figure.suptitle("Each fault has its curve, and its name")
figure.tight_layout()
lesson.save(figure, "curves")

# %%
names = [" and ".join(faults) or "nothing" for faults in found.values()]
good, diverging, slow, learned = (history[-1]["validation_loss"] for history in RUNS.values())
print(
    f"claim: diagnose finds {names[0]} in the good run (loss on images held back {good:.2f} at the end), {names[1]} "
    f"({diverging:.2f}), {names[2]} ({slow:.2f}), {names[3]} ({learned:.2f}) in the others"
)
assert lesson.FAST or names == ["nothing", "diverging", "under-fitting", "over-fitting"]
