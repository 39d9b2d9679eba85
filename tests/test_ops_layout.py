"""Within a network memory is reordered at the input and at the flatten, forwards and backwards, and nowhere else."""

import numpy as np
import pytest
from parity import draw

import atrous as at
from atrous import layout
from atrous.backend import backend_name
from atrous.nn import functional as F

pytestmark = pytest.mark.skipif(backend_name() == "reference", reason="the reference returns arrays in any order")


def parameter(*shape):
    return at.Tensor(layout.channels_last(draw(*shape).astype("float32")), requires_grad=True)


@pytest.mark.parametrize("input_wants_grad", [False, True])
def test_conversions_of_a_network(input_wants_grad):
    conv1, conv2, up = parameter(8, 3, 3, 3), parameter(8, 1, 3, 3), parameter(8, 8, 2, 2)
    scale, shift = (at.ones(8, requires_grad=True) for _ in range(2))
    linear, bias = parameter(5, 8 * 4 * 4), at.zeros(5, requires_grad=True)
    x = at.from_numpy(np.ascontiguousarray(draw(4, 3, 8, 8).astype("float32")))
    x.requires_grad = input_wants_grad
    target = at.tensor([0, 1, 2, 3])
    counts = [layout.conversions()]

    y = F.conv2d(x, conv1, padding=1)
    counts.append(layout.conversions())
    y = F.relu(F.batch_norm(y, at.zeros(8), at.ones(8), scale, shift, training=True))
    y = F.max_pool2d(F.dropout(F.conv2d(F.pad(y, (1, 1, 1, 1)), conv2, groups=8)), 2)
    y = y + F.leaky_relu(F.avg_pool2d(F.conv_transpose2d(y, up, stride=2), 2))
    counts.append(layout.conversions())
    y = y.flatten(1)
    counts.append(layout.conversions())
    loss = F.cross_entropy(F.linear(y, linear, bias), target, label_smoothing=0.1)
    counts.append(layout.conversions())
    loss.backward()
    counts.append(layout.conversions())

    entry, maps, flatten, vectors, backward = np.diff(counts).tolist()
    assert (entry, maps, flatten, vectors) == (1, 0, 1, 0)
    # Backwards through the flatten, and where x wants its gradient, into the order that x has.
    assert backward == 1 + input_wants_grad


def test_global_pooling_and_flatten_of_single_pixels_convert_nothing():
    x = at.Tensor(layout.channels_last(draw(4, 3, 8, 8).astype("float32")), requires_grad=True)
    weight = parameter(5, 3)
    before = layout.conversions()
    y = F.linear(F.adaptive_avg_pool2d(x, 1).flatten(1), weight)
    F.cross_entropy(y, at.tensor([0, 1, 2, 3])).backward()
    assert layout.conversions() == before
