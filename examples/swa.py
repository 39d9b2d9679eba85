"""Averaged weights: SWA and EMA against the last ones. Run it: python examples/swa.py"""

# %%
# With a constant rate the weights end up wandering around a minimum, and the last ones are one point of the walk. Their
# average lies in the middle:
#     SWA   w̄ = mean of the weights after each of the last epochs         (Izmailov et al. 2018)
#     EMA   w̄ ← d·w̄ + (1 − d)·w after each step: older ones fade          (Polyak & Juditsky 1992)
# It costs one copy of the weights. No network ever had the averaged ones, so batch norm's statistics do not fit them:
# `update_bn` takes them anew, with one pass over the training images.
import matplotlib.pyplot as plt

import atrous as at
import lesson
from atrous import nn, optim
from atrous.data import DataLoader, TensorDataset
from atrous.datasets import digits
from atrous.nn import functional as F
from atrous.optim.swa_utils import AveragedModel, get_ema_avg_fn, update_bn

images, labels = digits()
at.manual_seed(0)
order = at.randperm(len(images))
x, y = at.from_numpy(images[:, None].astype("float32") / 16)[order], at.from_numpy(labels)[order]
N, EPOCHS, START = lesson.full_or_fast(600, 64), lesson.full_or_fast(20, 3), lesson.full_or_fast(6, 1)
loader = DataLoader(TensorDataset(x[:N], y[:N]), 16, shuffle=True, generator=at.Generator(0))


def judge(model):
    """Loss and share of wrong answers on new images."""
    model.eval()
    with at.no_grad():
        outputs = model(x[N:])
        loss, wrong = F.cross_entropy(outputs, y[N:]).item(), (outputs.argmax(1) != y[N:]).float().mean().item()
    model.train()
    return loss, wrong


# %%
model = nn.Sequential(
    nn.Conv2d(1, 16, 3, 2, padding=1), nn.BatchNorm2d(16), nn.ReLU(),
    nn.Conv2d(16, 16, 3, 2, padding=1), nn.BatchNorm2d(16), nn.ReLU(), nn.Flatten(), nn.Linear(64, 10),
)  # fmt: skip
optimizer = optim.SGD(model.parameters(), lr=0.2, momentum=0.9)
swa, ema = AveragedModel(model), AveragedModel(model, avg_fn=get_ema_avg_fn(0.98))
results = {"last weights": [], "EMA": [], "SWA": []}
for epoch in range(EPOCHS):
    for inputs, targets in loader:
        optimizer.zero_grad()
        F.cross_entropy(model(inputs), targets).backward()
        optimizer.step()
        ema.update_parameters(model)
    results["last weights"].append(judge(model))
    if epoch >= START:
        swa.update_parameters(model)
        for name, averaged in (("EMA", ema), ("SWA", swa)):
            update_bn(loader, averaged)
            results[name].append(judge(averaged))

# %%
figure, axis = plt.subplots(figsize=(7, 4))
for (name, values), style in zip(results.items(), (":", "--", "-"), strict=True):
    wrong = [100 * wrong for _, wrong in values]
    axis.plot(range(EPOCHS - len(wrong) + 1, EPOCHS + 1), wrong, style, label=name)
axis.axvline(START + 1, color="gray", lw=0.6)
axis.set(title="The weights jump about; their average is better and rests", xlabel="epoch", ylabel="wrong answers in %")
axis.set_ylim(bottom=0)
axis.set_xticks(range(0, EPOCHS + 1, 5))
axis.legend()
figure.tight_layout()
lesson.save(figure, "swa")

# %%
ends = {name: [wrong for _, wrong in values[-5:]] for name, values in results.items()}
typical = sum(ends["last weights"]) / len(ends["last weights"])
print(
    f"claim: over the last 5 epochs the last weights leave {min(ends['last weights']):.1%} to "
    f"{max(ends['last weights']):.1%} wrong, EMA {min(ends['EMA']):.1%} to {max(ends['EMA']):.1%}, SWA "
    f"{min(ends['SWA']):.1%} to {max(ends['SWA']):.1%}"
)
if not lesson.FAST:
    for name in ("EMA", "SWA"):
        assert max(ends[name]) < 0.8 * typical
