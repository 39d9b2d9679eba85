"""Saturated sigmoids and dying ReLUs: units whose gradient is gone. Run it: python examples/saturation.py"""

# %%
# Backward, every unit multiplies the gradient by its slope. Where the slope is almost 0, what is below stops learning.
#     sigmoid'(z) = σ(z)·(1 − σ(z)) ≤ ¼        almost 0 for |z| > 5: saturated
#     ReLU'(z)    = 1 for z > 0, else 0        a unit that is below 0 for every input gets no gradient: dead
#     leaky ReLU' = 1 for z > 0, else 0.01     small, but never 0: the unit can come back (Maas et al. 2013)
import matplotlib.pyplot as plt

import atrous as at
import lesson
from atrous import nn, optim
from atrous.datasets import digits
from atrous.nn import functional as F

# %%
# A sigmoid unit that is confidently wrong: z = −8, target 1. Squared error's gradient (σ − 1)·σ' contains the slope and
# is tiny exactly where the mistake is largest. Cross-entropy's logarithm cancels the slope: σ − 1 is left, nearly −1.
LOSSES = {
    "squared error": lambda z: ((at.sigmoid(z) - 1) ** 2 / 2).sum(),
    "cross-entropy": lambda z: F.binary_cross_entropy_with_logits(z, at.ones(1), reduction="sum"),
}
STEPS = lesson.full_or_fast(300, 5)
answers, first = {}, {}
for name, loss_fn in LOSSES.items():
    z = at.tensor([-8.0], requires_grad=True)
    optimizer = optim.SGD([z], lr=1.0)
    answers[name] = []
    for _ in range(STEPS):
        answers[name].append(at.sigmoid(z).item())
        optimizer.zero_grad()
        loss_fn(z).backward()
        first.setdefault(name, abs(z.grad.item()))
        optimizer.step()
print("first gradient:", {name: f"{g:.1e}" for name, g in first.items()})

# %%
# ReLU units die when one large step pushes their bias far down. Here 20 of 40 biases start at −3, as after such a
# step, so these 20 units are off for every image: dead. We count how many are still dead after each epoch.
images, labels = digits()
N, EPOCHS = lesson.full_or_fast(1024, 64), lesson.full_or_fast(25, 1)
x, y = at.from_numpy(images[:N].reshape(N, 64).astype("float32") / 16), at.from_numpy(labels[:N])


def count_dead(activation):
    """Of the 20 hidden units, those that are on for no image, before the training and after each epoch."""
    at.manual_seed(0)
    hidden, head = nn.Linear(64, 40), nn.Linear(40, 10)
    with at.no_grad():
        hidden.bias[:20] = -3.0
    model = nn.Sequential(hidden, activation, head)
    optimizer = optim.Adam(model.parameters(), lr=0.01)
    dead = []
    for epoch in range(EPOCHS + 1):
        with at.no_grad():
            dead.append(20 - (hidden(x)[:, :20] > 0).any(0).sum().item())
        if epoch == EPOCHS:
            break
        for batch in at.randperm(N).split(32):
            optimizer.zero_grad()
            F.cross_entropy(model(x[batch]), y[batch]).backward()
            optimizer.step()
    print(f"{activation}: {dead[0]} dead at first, {dead[-1]} at last")
    return dead


dead = {"ReLU": count_dead(nn.ReLU()), "leaky ReLU": count_dead(nn.LeakyReLU(0.01))}

# %%
figure, axes = plt.subplots(1, 2, figsize=(9, 3.6))
for (name, values), style in zip(answers.items(), ("-", "--"), strict=True):
    axes[0].plot(values, style, label=name)
axes[0].set(title="Squared error cannot wake a saturated sigmoid", xlabel="step", ylabel="answer σ(z), target 1")
for (name, values), style in zip(dead.items(), ("o-", "s--"), strict=True):
    axes[1].plot(values, style, label=name, ms=4)
axes[1].set(title="Dead ReLUs stay dead, leaky ones come back", xlabel="epoch", ylabel="dead units, of 20")
axes[1].set_yticks(range(0, 21, 5))
for axis in axes:
    axis.legend()
figure.tight_layout()
lesson.save(figure, "saturation")

# %%
ratio = first["cross-entropy"] / first["squared error"]
print(
    f"claim: at z = −8 cross-entropy's gradient is {ratio:.0f} times that of the squared error; of 20 dead units "
    f"{dead['ReLU'][-1]} stay dead with ReLU, {dead['leaky ReLU'][-1]} with leaky ReLU"
)
assert lesson.FAST or (ratio > 1000 and dead["ReLU"][-1] == 20 and dead["leaky ReLU"][-1] < 12)
