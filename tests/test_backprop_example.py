"""The well-known worked example of backpropagation: a 2-2-2 sigmoid network, one input, one step of gradient descent.

It goes around in two forms, with the same weights wired crosswise or in Mazur's order
(https://mattmazur.com/2015/03/17/a-step-by-step-backpropagation-example/). Both are checked: against the numbers
published for each, and to full precision against the chain rule in plain Python.
"""

import math

import numpy as np
import pytest

import atrous as at
from atrous.nn import functional as F

INPUTS, TARGETS, RATE = [0.05, 0.10], [0.01, 0.99], 0.5
BIASES = {"hidden bias": [0.35, 0.35], "output bias": [0.60, 0.60]}
CROSSWISE = {  # weight[to][from]: i1→h1 0.15, i1→h2 0.20, i2→h1 0.25, i2→h2 0.30, h1→o1 0.40, h1→o2 0.45, ...
    "hidden weight": [[0.15, 0.25], [0.20, 0.30]],
    "output weight": [[0.40, 0.50], [0.45, 0.55]],
    **BIASES,
}
MAZUR = {"hidden weight": [[0.15, 0.20], [0.25, 0.30]], "output weight": [[0.40, 0.45], [0.50, 0.55]], **BIASES}


def sigmoid(x):
    return 1 / (1 + math.exp(-x))


def by_hand(network):
    """Forward, backward and the step, in Python floats, with the chain rule written out."""
    wh, bh, wo, bo = (network[name] for name in ("hidden weight", "hidden bias", "output weight", "output bias"))
    h = [sigmoid(wh[j][0] * INPUTS[0] + wh[j][1] * INPUTS[1] + bh[j]) for j in (0, 1)]
    o = [sigmoid(wo[k][0] * h[0] + wo[k][1] * h[1] + bo[k]) for k in (0, 1)]
    delta_o = [(o[k] - TARGETS[k]) * o[k] * (1 - o[k]) for k in (0, 1)]  # dE/d(net input of o_k)
    grad_h = [delta_o[0] * wo[0][j] + delta_o[1] * wo[1][j] for j in (0, 1)]  # dE/dh_j
    delta_h = [grad_h[j] * h[j] * (1 - h[j]) for j in (0, 1)]
    grads = {
        "hidden weight": [[delta_h[j] * INPUTS[i] for i in (0, 1)] for j in (0, 1)],
        "hidden bias": delta_h,
        "output weight": [[delta_o[k] * h[j] for j in (0, 1)] for k in (0, 1)],
        "output bias": delta_o,
    }
    return {
        "h": h,
        "o": o,
        "error": ((TARGETS[0] - o[0]) ** 2 + (TARGETS[1] - o[1]) ** 2) / 2,
        "grad h": grad_h,
        **{f"grad {name}": grad for name, grad in grads.items()},
        **{f"new {name}": np.array(network[name]) - RATE * np.array(grad) for name, grad in grads.items()},
    }


def on_atrous(network, dtype):
    """The same by ops: linear layers, sigmoid, half the summed squares, backward, a step under no_grad."""
    p = {name: at.tensor(values, dtype=dtype, requires_grad=True) for name, values in network.items()}
    x, t = at.tensor([INPUTS], dtype=dtype), at.tensor([TARGETS], dtype=dtype)
    h = at.sigmoid(F.linear(x, p["hidden weight"], p["hidden bias"]))
    h.retain_grad()
    o = at.sigmoid(F.linear(h, p["output weight"], p["output bias"]))
    error = ((t - o) ** 2).sum() / 2
    error.backward()
    with at.no_grad():
        for parameter in p.values():
            parameter -= RATE * parameter.grad
    return {
        "h": h.tolist()[0],
        "o": o.tolist()[0],
        "error": error.item(),
        "grad h": h.grad.tolist()[0],
        **{f"grad {name}": parameter.grad.numpy() for name, parameter in p.items()},
        **{f"new {name}": parameter.detach().numpy() for name, parameter in p.items()},
    }


# As printed, each to half a unit of its last digit (Mazur rounds on the way: one unit).
PUBLISHED = [
    (CROSSWISE, "h", 0, 0.5945, 5e-5),
    (CROSSWISE, "o", 0, 0.7569, 5e-5),
    (CROSSWISE, "o", 1, 0.7677, 5e-5),
    (CROSSWISE, "error", (), 0.3037, 5e-5),
    (CROSSWISE, "grad output weight", (0, 0), 0.0817, 5e-5),
    (CROSSWISE, "grad h", 0, 0.03713, 5e-6),
    (CROSSWISE, "grad hidden weight", (0, 0), 0.00044758, 5e-9),
    (CROSSWISE, "new output weight", (0, 0), 0.3591521, 1e-7),
    (CROSSWISE, "new hidden weight", (0, 0), 0.1497762, 1e-7),
    (MAZUR, "h", 0, 0.593269992, 5e-8),
    (MAZUR, "h", 1, 0.596884378, 5e-8),
    (MAZUR, "o", 0, 0.75136507, 5e-8),
    (MAZUR, "o", 1, 0.772928465, 5e-8),
    (MAZUR, "error", (), 0.298371109, 5e-8),
    (MAZUR, "grad output weight", (0, 0), 0.082167041, 5e-8),
    (MAZUR, "grad h", 0, 0.036350306, 5e-8),
    (MAZUR, "grad hidden weight", (0, 0), 0.000438568, 5e-8),
    (MAZUR, "new output weight", (0, 0), 0.35891648, 1e-7),
    (MAZUR, "new output weight", (0, 1), 0.408666186, 1e-7),
    (MAZUR, "new output weight", (1, 0), 0.511301270, 1e-7),
    (MAZUR, "new output weight", (1, 1), 0.561370121, 1e-7),
    (MAZUR, "new hidden weight", (0, 0), 0.149780716, 1e-7),
    (MAZUR, "new hidden weight", (0, 1), 0.19956143, 1e-7),
    (MAZUR, "new hidden weight", (1, 0), 0.24975114, 1e-7),
    (MAZUR, "new hidden weight", (1, 1), 0.29950229, 1e-7),
]


@pytest.mark.parametrize("run", [by_hand, lambda n: on_atrous(n, at.float64), lambda n: on_atrous(n, at.float32)])
def test_the_published_numbers(run):
    found = {id(network): run(network) for network in (CROSSWISE, MAZUR)}
    for network, name, index, value, tolerance in PUBLISHED:
        assert abs(np.asarray(found[id(network)][name])[index] - value) <= tolerance, (name, index)


@pytest.mark.parametrize(("dtype", "tolerance"), [(at.float64, 1e-15), (at.float32, 1e-7)], ids=str)
@pytest.mark.parametrize("network", [CROSSWISE, MAZUR], ids=["crosswise", "Mazur"])
def test_all_weights_biases_and_gradients(network, dtype, tolerance):
    found, expected = on_atrous(network, dtype), by_hand(network)
    assert found.keys() == expected.keys()
    for name, values in expected.items():
        np.testing.assert_allclose(found[name], values, rtol=0, atol=tolerance, err_msg=name)
