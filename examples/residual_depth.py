"""Plain against residual depth: deeper plain networks train worse. Run it: python examples/residual_depth.py"""

# %%
# A deeper network can do all that a shallower one can: its further layers need only hand their input on. Yet deep
# plain networks have a higher error even on the training set (He et al. 2016, figure 1): layers do not find the
# identity by themselves. A residual layer computes h + f(h) instead of f(h). The identity is then f = 0, and the
# gradient reaches every layer along the sum: ∂(h + f)/∂h = 1 + f'.
import matplotlib.pyplot as plt

import atrous as at
import lesson
from atrous import nn, optim
from atrous.datasets import digits
from atrous.nn import functional as F

images, labels = digits()
N, WIDTH = lesson.full_or_fast(1024, 64), 32
x, y = at.from_numpy(images[:N].reshape(N, 64).astype("float32") / 16), at.from_numpy(labels[:N])


class Network(nn.Module):
    """`depth` layers of 32 units, each relu of a linear map, with or without the sum around it."""

    def __init__(self, depth, residual):
        super().__init__()
        self.first, self.last = nn.Linear(64, WIDTH), nn.Linear(WIDTH, 10)
        self.layers = nn.ModuleList([nn.Linear(WIDTH, WIDTH) for _ in range(depth)])
        self.residual = residual
        # He's deviation keeps the signal's size; in the sum of all f it is √depth smaller.
        for layer in self.layers:
            nn.init.normal_(layer.weight, std=(2 / WIDTH / (depth if residual else 1)) ** 0.5)
            nn.init.zeros_(layer.bias)

    def forward(self, x):
        h = F.relu(self.first(x))
        for layer in self.layers:
            f = F.relu(layer(h))
            h = h + f if self.residual else f
        return self.last(h)


def train(depth, residual):
    """The loss over the training images after each epoch."""
    at.manual_seed(0)
    model = Network(depth, residual)
    optimizer = optim.Adam(model.parameters(), lr=1e-3)
    losses = []
    for _ in range(lesson.full_or_fast(8, 1)):
        for batch in at.randperm(N).split(64):
            optimizer.zero_grad()
            F.cross_entropy(model(x[batch]), y[batch]).backward()
            optimizer.step()
        with at.no_grad():
            losses.append(F.cross_entropy(model(x), y).item())
    print(f"{'residual' if residual else 'plain':8} {depth:2} layers: training loss {losses[-1]:.3f}")
    return losses


# %%
DEPTHS = [2, 8, 24, lesson.full_or_fast(64, 32)]
plain = {depth: train(depth, False) for depth in DEPTHS}
residual = {depth: train(depth, True) for depth in DEPTHS}

# %%
figure, axes = plt.subplots(1, 2, figsize=(8.5, 3.7), sharey=True)
for axis, runs in zip(axes, (plain, residual), strict=True):
    for (depth, losses), style in zip(runs.items(), (":", "--", "-.", "-"), strict=True):
        axis.semilogy(range(1, len(losses) + 1), losses, style, label=f"{depth} layers")
    axis.set_xlabel("epoch")
    axis.legend()
axes[0].set(title="Plain: too deep is worse", ylabel="training loss")
axes[1].set_title("Residual: depth does no harm")
figure.tight_layout()
lesson.save(figure, "residual_depth")

# %%
shallow, deep = DEPTHS[1], DEPTHS[-1]
print(
    f"claim: with {shallow} plain layers the training loss falls to {plain[shallow][-1]:.2f}, with {deep} only to "
    f"{plain[deep][-1]:.2f}; with {shallow} residual ones to {residual[shallow][-1]:.2f}, with {deep} to "
    f"{residual[deep][-1]:.2f}"
)
if not lesson.FAST:
    assert plain[deep][-1] > 2 * plain[shallow][-1]
    assert residual[deep][-1] < 1.5 * residual[shallow][-1]
    assert residual[deep][-1] < plain[deep][-1] / 3
