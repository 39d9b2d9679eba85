"""Backpropagation by hand: the chain rule, node by node, and autograd. Run it: python examples/backpropagation.py"""

# %%
# A network of two layers is a chain of small functions. Forward, each node computes its value and remembers what its
# derivative needs; backward, each multiplies the gradient that arrives by its own derivative and hands it on
# (Rumelhart, Hinton and Williams 1986). Rules worth knowing by heart:
#     sum        hands the gradient on unchanged
#     product    hands on the gradient times the other factor
#     maximum    hands it to the larger input alone
#     a value that is used twice gets the sum of both gradients
import time

import matplotlib.pyplot as plt
import numpy as np

import atrous as at
import lesson
from atrous.nn import functional as F

at.manual_seed(0)
N, IN, HIDDEN, OUT = 16, 20, lesson.full_or_fast(20, 5), 5
x, targets = at.randn(N, IN, dtype=at.float64), at.randint(0, OUT, (N,))
shapes = {"W1": (HIDDEN, IN), "b1": (HIDDEN,), "W2": (OUT, HIDDEN), "b2": (OUT,)}
parameters = {name: (0.5 * at.randn(*shape, dtype=at.float64)).requires_grad_() for name, shape in shapes.items()}


# %%
# Forward: x → z1 = x·W1ᵀ + b1 → h = tanh z1 → z2 = h·W2ᵀ + b2 → loss = −mean log softmax(z2)[target].
def loss_of(W1, b1, W2, b2):
    return F.cross_entropy(F.linear(at.tanh(F.linear(x, W1, b1)), W2, b2), targets)


def by_hand(W1, b1, W2, b2):
    """The gradients, each line one node of the chain, from the loss back to the input."""
    h = np.tanh(x.numpy() @ W1.T + b1)
    z2 = h @ W2.T + b2
    p = np.exp(z2 - z2.max(1, keepdims=True))
    p /= p.sum(1, keepdims=True)
    grad_z2 = (p - np.eye(OUT)[targets.numpy()]) / N  # softmax and logarithm together: p − one-hot
    grad_h = grad_z2 @ W2
    grad_z1 = grad_h * (1 - h**2)  # tanh' = 1 − tanh²
    return {"W1": grad_z1.T @ x.numpy(), "b1": grad_z1.sum(0), "W2": grad_z2.T @ h, "b2": grad_z2.sum(0)}


# %%
# Three ways to the same numbers. Autograd does what by_hand does, without our having to derive it.
start = time.perf_counter()
loss_of(**parameters).backward()
time_backward = time.perf_counter() - start
auto = {name: p.grad.numpy() for name, p in parameters.items()}
values = {name: p.detach().numpy().copy() for name, p in parameters.items()}
hand = by_hand(**values)


# The third is the definition: nudge one weight by ±e and look at the loss. Two runs of the network a weight: far too
# slow to train with, but it needs no derivation, and so it checks one.
def by_differences(e):
    found = {}
    for name, value in values.items():
        found[name] = np.empty_like(value)
        for index in np.ndindex(value.shape):
            up, down = value.copy(), value.copy()
            up[index] += e
            down[index] -= e
            sides = [loss_of(**{n: at.from_numpy(v) for n, v in (values | {name: s}).items()}) for s in (up, down)]
            found[name][index] = (sides[0].item() - sides[1].item()) / (2 * e)
    return found


def worst(found):
    """The largest difference from autograd's gradients, relative to the largest gradient."""
    return max(np.abs(found[name] - auto[name]).max() for name in auto) / max(np.abs(g).max() for g in auto.values())


steps = np.logspace(-1, -11, lesson.full_or_fast(11, 3))
with at.no_grad():
    start = time.perf_counter()
    errors = [worst(by_differences(e)) for e in steps]
    time_differences = (time.perf_counter() - start) / len(steps)
count = sum(g.size for g in auto.values())
print(f"{count} gradients: by backward {1e3 * time_backward:.1f} ms, by differences {1e3 * time_differences:.0f} ms")

# %%
# Large e: the curve bends within the step, an error of e². Small e: both losses agree in most digits, and their
# difference is rounding, an error of 1/e. The best e lies between.
figure, axis = plt.subplots(figsize=(6.5, 4))
axis.loglog(steps, errors, "o-", color="#1f77b4", label="central differences")
axis.loglog(steps, errors[0] * (steps / steps[0]) ** 2, ":", color="gray", label="e²: the bend of the curve")
axis.axhline(max(worst(hand), 1e-17), color="#d95f02", label="the chain rule by hand")
axis.set(xlabel="step e", ylabel="largest error, relative to autograd", ylim=(1e-17, 10))
axis.set_title("The chain rule by hand is autograd's; differences come close at best")
axis.legend(loc="upper center")
figure.tight_layout()
lesson.save(figure, "backpropagation")

# %%
print(
    f"claim: {count} gradients by hand agree with autograd's to {worst(hand):.0e}; central differences, "
    f"at their best step, to {min(errors):.0e}"
)
assert lesson.FAST or (worst(hand) < 1e-13 and 1e-12 < min(errors) < 1e-7)
