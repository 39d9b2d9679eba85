"""The perceptron, its rule, and what it cannot do: XOR. Run it: python examples/perceptron.py"""

# %%
# A threshold unit answers 1 where w·x + b > 0, else 0. In the plane that is a straight line: 1 on one side, 0 on the
# other. The perceptron rule (Rosenblatt 1958) looks at one example at a time and moves the line only after a mistake:
#     w ← w + (t − y)·x,   b ← b + (t − y)          t: the target, y: the answer, both 0 or 1
# If some line separates the classes, the rule finds one after finitely many mistakes (Novikoff 1962).
import matplotlib.pyplot as plt
import numpy as np

import atrous as at
import lesson
from atrous import nn, optim
from atrous.nn import functional as F

at.manual_seed(0)
x = at.tensor([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
OR, XOR = at.tensor([0.0, 1.0, 1.0, 1.0]), at.tensor([0.0, 1.0, 1.0, 0.0])


def answer(x, w, b):
    return (x @ w + b > 0).float()


def perceptron_rule(targets, epochs):
    """The best weights on the way, how many answers they get right, and the epoch that found them."""
    w, b = at.zeros(2), at.zeros(1)
    best, right, found = (w, b), 0, 0
    for epoch in range(epochs):
        for i in at.randperm(4).tolist():
            mistake = targets[i] - answer(x[i], w, b)  # −1, 0 or 1
            w, b = w + mistake * x[i], b + mistake
            now = int((answer(x, w, b) == targets).sum().item())
            if now > right:
                best, right, found = (w, b), now, epoch + 1
    return best, right, found


# %%
# OR is separable: any line that cuts off the corner (0, 0). XOR is not: its ones sit on one diagonal and its zeros on
# the other, so every line leaves at least one corner on the wrong side (Minsky and Papert 1969).
or_line, or_right, or_epoch = perceptron_rule(OR, lesson.full_or_fast(100, 5))
xor_line, xor_right, _ = perceptron_rule(XOR, lesson.full_or_fast(100, 5))
print(f"perceptron: OR {or_right} of 4 right, in epoch {or_epoch}; XOR at best {xor_right} of 4")

# %%
# Two layers can: the hidden units draw two lines, the output combines their sides. A threshold has no slope to follow,
# so the hidden units are tanh, a soft threshold, and gradient descent replaces the rule.
network = nn.Sequential(nn.Linear(2, 4), nn.Tanh(), nn.Linear(4, 1))
optimizer = optim.Adam(network.parameters(), lr=0.1)
for _ in range(lesson.full_or_fast(200, 3)):
    optimizer.zero_grad()
    loss = F.binary_cross_entropy_with_logits(network(x)[:, 0], XOR)
    loss.backward()
    optimizer.step()
with at.no_grad():
    network_right = int(((network(x)[:, 0] > 0).float() == XOR).sum().item())

# %%
# The answers everywhere in the square, not only at its corners.
side = np.linspace(-0.4, 1.4, 120, dtype=np.float32)
grid = at.from_numpy(np.stack(np.meshgrid(side, side), -1).reshape(-1, 2))
with at.no_grad():
    regions = {
        f"OR, one unit: {or_right} of 4": (answer(grid, *or_line), OR),
        f"XOR, one unit: {xor_right} of 4": (answer(grid, *xor_line), XOR),
        f"XOR, hidden layer: {network_right} of 4": ((network(grid)[:, 0] > 0).float(), XOR),
    }
figure, axes = plt.subplots(1, 3, figsize=(9, 3.4), sharey=True)
for axis, (title, (region, targets)) in zip(axes, regions.items(), strict=True):
    axis.contourf(side, side, region.numpy().reshape(120, 120), levels=[-0.5, 0.5, 1.5], colors=["#dbe9f6", "#fde2c5"])
    for (x1, x2), t in zip(x.tolist(), targets.tolist(), strict=True):
        axis.plot(x1, x2, "o", ms=13, color="#d95f02" if t else "#1f77b4")
        axis.text(x1, x2, f"{t:.0f}", color="white", ha="center", va="center", weight="bold")
    axis.set(title=title, xlabel="x₁", xticks=[0, 1], yticks=[0, 1], aspect="equal")
axes[0].set_ylabel("x₂")
figure.suptitle("One unit draws one line; XOR needs a hidden layer")
figure.tight_layout()
lesson.save(figure, "perceptron")

# %%
print(
    f"claim: the perceptron gets {or_right} of 4 right on OR and never more than {xor_right} of 4 on XOR; "
    f"a hidden layer of 4 gets {network_right} of 4"
)
assert lesson.FAST or (or_right, xor_right, network_right) == (4, 3, 4)
