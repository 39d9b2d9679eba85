"""Initialisation of 10 layers of 500 units, there and back. Run it: python examples/initialisation.py"""

# %%
# A layer sums n inputs, each times a random weight of deviation s. The sum's deviation is √n·s times the input's, so
# ten layers multiply by (√n·s)¹⁰: too small and the signal dies out, too large and it explodes, or saturates tanh.
#     Xavier (Glorot and Bengio 2010)   s = √(2 / (inputs + outputs))    keeps it, for units that are linear around 0
#     He et al. (2015)                  s = √(2 / inputs)                twice the variance, since ReLU drops half of it
#     all zero                          every unit does the same, and no gradient comes through
# Backward, the gradient passes the same weights, and the same holds.
import matplotlib.pyplot as plt
import numpy as np

import atrous as at
import lesson
from atrous import nn

at.manual_seed(0)
LAYERS, UNITS, N = 10, lesson.full_or_fast(500, 50), lesson.full_or_fast(500, 50)
STARTS = {
    "0": nn.init.zeros_,
    "0.01": lambda weight: nn.init.normal_(weight, std=0.01),
    "1": lambda weight: nn.init.normal_(weight, std=1.0),
    "Xavier": nn.init.xavier_normal_,
    "He": lambda weight: nn.init.kaiming_normal_(weight, nonlinearity="relu"),
}
x, grad_y = at.randn(N, UNITS), at.randn(N, UNITS)


def statistics(activation, start):
    """Per layer: mean, deviation, saturated and dead share of the activations; mean, deviation of their gradients."""
    layers = [nn.Linear(UNITS, UNITS, bias=False) for _ in range(LAYERS)]
    h, activations = x, []
    for layer in layers:
        start(layer.weight)
        h = activation(layer(h))
        h.retain_grad()
        activations.append(h)
    h.backward(grad_y)
    rows = []
    for h in activations:
        a, g = h.detach().numpy(), h.grad.numpy()
        saturated = (np.abs(a) > 0.99).mean() if activation is at.tanh else 0.0  # there tanh' is below 0.02
        dead = (a == 0).all(0).mean()  # units that answer 0 to every input
        rows.append((a.mean(), a.std(), saturated, dead, g.mean(), g.std()))
    return np.array(rows)


# %%
found = {(f.__name__, start): statistics(f, STARTS[start]) for f in (at.tanh, at.relu) for start in STARTS}
for (name, start), rows in found.items():
    print(f"\n{name}, weights {start}\nlayer   mean      deviation saturated dead   gradient: mean, deviation")
    for i in (0, 4, 9):
        mean, deviation, saturated, dead, grad_mean, grad_deviation = rows[i]
        print(f"{i + 1:5}   {mean:8.1e}  {deviation:8.1e}  {saturated:7.0%}  {dead:5.0%}", end="")
        print(f"             {grad_mean:8.1e}, {grad_deviation:8.1e}")

# %%
# Look at the slopes: flat lines train. Xavier is flat for tanh and falls for ReLU; He is flat for ReLU. With tanh and
# weights of 1 the activations look healthy, near ±1, but almost all are saturated, and the gradient explodes on the
# few that are not. Zero weights are missing from the picture: their activations are 0, their gradients below the top.
figure, axes = plt.subplots(2, 2, figsize=(7.5, 5.2), sharex=True, sharey="row", layout="constrained")
for row, name in zip(axes, ("tanh", "relu"), strict=True):
    for start, style in zip(STARTS, (":", "-.", "--", "o-", "s-"), strict=True):
        rows = found[name, start]
        for axis, column in zip(row, (1, 5), strict=True):
            values = np.where(rows[:, column] > 0, rows[:, column], np.nan)  # a logarithmic axis has no 0
            axis.semilogy(range(1, LAYERS + 1), values, style, label=start, ms=4)
    row[0].set(title=f"{name}: activations", ylabel="deviation")
    row[1].set(title=f"{name}: gradients")
for axis in axes[1]:
    axis.set_xlabel("layer")
figure.suptitle("Xavier keeps tanh's signal, He keeps ReLU's; other weights lose or explode it")
figure.legend(*axes[0, 0].get_legend_handles_labels(), title="weights", loc="outside lower center", ncol=5)
lesson.save(figure, "initialisation")

# %%
he, xavier = (found["relu", start][:, 1] for start in ("He", "Xavier"))
print(
    f"\nclaim: He keeps the deviation of 10 ReLU layers within {he.min():.2f}–{he.max():.2f}; Xavier lets it shrink to "
    f"{xavier[-1]:.3f}, weights of 0.01 to {found['relu', '0.01'][-1, 1]:.0e}; weights of 1 saturate "
    f"{found['tanh', '1'][-1, 2]:.0%} of tanh's answers"
)
if not lesson.FAST:
    assert 0.5 < he.min() < he.max() < 1.5
    assert xavier[-1] < 0.1
    assert found["tanh", "1"][-1, 2] > 0.8
