"""nn.init: bounds and moments of what is drawn, and the gains."""

import math
import re

import numpy as np
import pytest

import atrous as at
from atrous import nn

SHAPE = (64, 32, 3, 3)  # fan_in 288, fan_out 576
COUNT = 64 * 32 * 9


def drawn(name, *args, shape=SHAPE, **kwargs):
    at.manual_seed(3)
    weight = nn.Parameter(at.empty(*shape))
    assert getattr(nn.init, name)(weight, *args, **kwargs) is weight
    return weight.detach().numpy()


@pytest.mark.parametrize(
    ("name", "args", "kwargs", "bound"),
    [
        ("uniform_", (), {}, None),
        ("xavier_uniform_", (), {}, math.sqrt(6 / (288 + 576))),
        ("xavier_uniform_", (2.0,), {}, 2 * math.sqrt(6 / (288 + 576))),
        ("kaiming_uniform_", (), {}, math.sqrt(2) * math.sqrt(3 / 288)),
        ("kaiming_uniform_", (math.sqrt(5),), {}, 1 / math.sqrt(288)),
        ("kaiming_uniform_", (), {"mode": "fan_out", "nonlinearity": "relu"}, math.sqrt(2) * math.sqrt(3 / 576)),
    ],
)
def test_uniform(name, args, kwargs, bound):
    values = drawn(name, *args, **kwargs)
    low, high = (0, 1) if bound is None else (-bound, bound)
    assert low <= values.min() < low + 0.01 * (high - low)
    assert high - 0.01 * (high - low) < values.max() <= high
    # the mean of n uniform numbers has std width/sqrt(12 n): five of them
    assert abs(values.mean() - (low + high) / 2) < 5 * (high - low) / math.sqrt(12 * COUNT)


@pytest.mark.parametrize(
    ("name", "args", "kwargs", "mean", "std"),
    [
        ("normal_", (), {}, 0, 1),
        ("normal_", (2.0, 0.5), {}, 2, 0.5),
        ("xavier_normal_", (), {}, 0, math.sqrt(2 / (288 + 576))),
        ("kaiming_normal_", (), {}, 0, math.sqrt(2 / 288)),
        ("kaiming_normal_", (), {"mode": "fan_out", "nonlinearity": "tanh"}, 0, 5 / 3 / math.sqrt(576)),
    ],
)
def test_normal(name, args, kwargs, mean, std):
    values = drawn(name, *args, **kwargs)
    assert abs(values.mean() - mean) < 5 * std / math.sqrt(COUNT)
    assert abs(values.std() - std) < 5 * std / math.sqrt(2 * COUNT)


def test_values_do_not_depend_on_the_memory_layout():
    channels_last = drawn("normal_")
    at.manual_seed(3)
    plain = nn.init.normal_(at.empty(*SHAPE)).numpy()
    assert plain.strides != channels_last.strides
    np.testing.assert_array_equal(plain, channels_last)


def test_generator_and_constants():
    a = nn.init.uniform_(at.empty(5), generator=at.Generator(7))
    b = nn.init.uniform_(at.empty(5), generator=at.Generator(7))
    assert a.tolist() == b.tolist()
    assert nn.init.constant_(at.empty(2), 3.5).tolist() == [3.5, 3.5]
    assert nn.init.zeros_(at.empty(2)).tolist() == [0.0, 0.0]
    assert nn.init.ones_(at.empty(2)).tolist() == [1.0, 1.0]


def test_gains_are_pytorchs():
    torch = pytest.importorskip("torch")
    for name in ("linear", "conv2d", "conv_transpose2d", "sigmoid", "tanh", "relu", "leaky_relu", "selu"):
        assert nn.init.calculate_gain(name) == torch.nn.init.calculate_gain(name)
    assert nn.init.calculate_gain("leaky_relu", 0.3) == torch.nn.init.calculate_gain("leaky_relu", 0.3)


def test_layers_start_as_pytorchs_do():
    at.manual_seed(0)
    for layer, fan_in in ((nn.Conv2d(16, 32, 3), 144), (nn.Linear(100, 200), 100), (nn.ConvTranspose2d(8, 16, 3), 144)):
        for param in (layer.weight, layer.bias):
            largest = np.abs(param.detach().numpy()).max()
            # of n uniform numbers the largest is above 1 - 10/n with probability 1 - exp(-10)
            assert (1 - 10 / param.numel()) / math.sqrt(fan_in) < largest <= np.float32(1 / math.sqrt(fan_in))
    norm = nn.BatchNorm2d(3)
    assert norm.weight.tolist() == norm.running_var.tolist() == [1.0] * 3
    assert norm.bias.tolist() == norm.running_mean.tolist() == [0.0] * 3


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda t: nn.init.uniform_(t, 1.0, 0.0), "a is 1.0, b is 0.0; expected a <= b"),
        (lambda t: nn.init.normal_(t, 0.0, -1.0), "std is -1.0; expected 0 or more"),
        (lambda t: nn.init.calculate_gain("gelu"), "unknown nonlinearity 'gelu'"),
        (lambda t: nn.init.xavier_uniform_(t), "a weight of shape (3,) has no fans"),
        (lambda t: nn.init.kaiming_normal_(t, mode="fan"), "mode is 'fan'; expected 'fan_in' or 'fan_out'"),
    ],
)
def test_misuse(call, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        call(at.zeros(3))
