"""The learning-rate finder: a hundred steps that say which rates can work. Run it: python examples/rate_finder.py"""

# %%
# Too small a rate learns nothing in good time, too large a one destroys what was there; a hundred times lies between
# them, and where depends on network, data and batch. Smith's test (2017, section 3.3) trains for some steps with a rate
# that grows by the same factor each time and looks at the loss: flat where the rate is too small, falling where it
# works, rising where it is too large. `find_rate` suggests the rate at which it falls most steeply and puts the weights
# back. As the loss there lags behind the rate, a third of it is the safer choice.
import matplotlib.pyplot as plt

import atrous as at
import lesson
from atrous import nn, optim
from atrous.data import DataLoader, TensorDataset
from atrous.datasets import digits
from atrous.diagnostics import find_rate
from atrous.nn import functional as F

images, labels = digits()
at.manual_seed(0)
order = at.randperm(len(images))
x, y = at.from_numpy(images.reshape(-1, 64).astype("float32") / 16)[order], at.from_numpy(labels)[order]
N = lesson.full_or_fast(1024, 128)


def begin(lr):
    """A new network, its optimizer, and the batches; the same at every call."""
    at.manual_seed(1)
    model = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))
    loader = DataLoader(TensorDataset(x[:N], y[:N]), 32, shuffle=True, generator=at.Generator(0))
    return model, optim.SGD(model.parameters(), lr=lr, momentum=0.9), loader


# %%
model, optimizer, loader = begin(lr=0.1)  # this rate is not used
test = find_rate(model, optimizer, F.cross_entropy, loader, low=1e-4, high=10.0, steps=lesson.full_or_fast(100, 10))
print(f"suggested: {test.suggestion:.3f}; the loss blew up after {test.rates[-1]:.2f}")


# %%
# Three epochs at rates around the suggestion.
def train(lr):
    """The loss on new images after three epochs."""
    model, optimizer, loader = begin(lr)
    for _ in range(lesson.full_or_fast(3, 1)):
        for inputs, targets in loader:
            optimizer.zero_grad()
            F.cross_entropy(model(inputs), targets).backward()
            optimizer.step()
    with at.no_grad():
        return F.cross_entropy(model(x[N:]), y[N:]).item()


FACTORS = [1 / 100, 1 / 30, 1 / 10, 1 / 3, 1, 3, 10]
losses = {factor: train(factor * test.suggestion) for factor in FACTORS}
for factor, loss in losses.items():
    print(f"suggestion × {factor:5.2f}: loss {loss:.2f} after three epochs")

# %%
figure, axis = plt.subplots(figsize=(7, 4))
axis.semilogx(test.rates, test.losses, label="loss in the test, the rate growing step by step")
rates = [factor * test.suggestion for factor in FACTORS]
axis.semilogx(rates, list(losses.values()), "o--", label="loss after three epochs at this rate")
axis.axvline(test.suggestion, color="gray", ls=":", label=f"suggested: {test.suggestion:.2f}")
axis.axhline(2.303, color="gray", lw=0.6)
axis.annotate("guessing: log 10", (1.1e-4, 2.32), color="gray", va="bottom", fontsize=9)
axis.set(title="A hundred steps show where rates work", xlabel="learning rate", ylabel="loss", ylim=(0, 4))
axis.legend(loc="upper left")
figure.tight_layout()
lesson.save(figure, "rate_finder")

# %%
small, third, large = (losses[factor] for factor in (1 / 100, 1 / 3, 10))
print(
    f"claim: three epochs at a third of the suggested rate leave a loss of {third:.2f}, at a hundredth {small:.2f}, at "
    f"ten times {large:.2f}; guessing has 2.30"
)
if not lesson.FAST:
    assert third < 0.5
    assert small > 1.5
    assert not large < 1.5  # it may be no number
