import math

import numpy as np
import pytest
from parity import assert_parity

import atrous as at
from atrous import layout
from atrous.nn import functional as F

NAN, INF = float("nan"), float("inf")


@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
def test_drops_a_share_p_and_scales_the_rest(p):
    n = 100_000
    at.manual_seed(0)
    y = F.dropout(at.ones(n, dtype=at.float64), p).numpy()
    kept = y[y != 0]
    assert abs(len(kept) - n * (1 - p)) < 5 * math.sqrt(n * p * (1 - p))  # five standard deviations
    np.testing.assert_allclose(kept, 1 / (1 - p), rtol=1e-15)


def test_gradient_is_dropped_and_scaled_alike():
    x = at.ones(1000, requires_grad=True)
    y = F.dropout(x, 0.3)
    y.sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), y.detach().numpy())


def test_seed_decides():
    x = at.ones(1000)
    draws = []
    for seed in (1, 1, 2):
        at.manual_seed(seed)
        draws.append(F.dropout(x).tolist())
    assert draws[0] == draws[1] != draws[2]
    assert F.dropout(x).tolist() != draws[2]  # the generator has moved on


def test_each_element_takes_one_word():
    """The bits are those of the stream, in the order that the docstring states."""
    at.manual_seed(3)
    bits = at.random.default_generator.bits(2 * 3 * 4 * 5)
    at.manual_seed(3)
    y = F.dropout(at.ones(2, 3, 4, 5), 0.25).numpy()
    expected = (bits >= 2**30).reshape(2, 4, 5, 3).transpose(0, 3, 1, 2)
    np.testing.assert_array_equal(y != 0, expected)


def test_memory_order_changes_nothing():
    c_order = at.from_numpy(np.ones((2, 3, 4, 5), "float32"))
    channels_last = at.Tensor(layout.channels_last(c_order.data))
    draws = []
    for x in (c_order, channels_last):
        at.manual_seed(0)
        draws.append(F.dropout(x).tolist())
    assert draws[0] == draws[1]


def test_no_conversion():
    x = at.Tensor(layout.channels_last(np.ones((2, 3, 4, 5))), requires_grad=True)
    before = layout.conversions()
    y = F.dropout(x)
    y.backward(at.Tensor(y.data))
    assert layout.is_channels_last(y.data)
    assert layout.conversions() == before


def test_does_nothing_in_evaluation_or_with_p_zero():
    x = at.ones(3)
    state = at.random.default_generator.get_state()
    assert F.dropout(x, 0.5, training=False) is x
    assert F.dropout(x, 0.0) is x
    assert at.random.default_generator.get_state() == state


def test_p_one_as_pytorch():
    assert_parity(lambda F, x: F.dropout(x, 1.0), np.array([1.0, NAN, INF, -2.0]))


def test_nan_stays_nan_as_pytorch():
    assert_parity(lambda F, x: F.dropout(x, 0.5), np.full(8, NAN), gradients=False)


def test_inplace():
    x = at.ones(1000, requires_grad=True)
    y = 2 * x
    z = F.dropout(y, 0.5, inplace=True)
    assert z is y
    (z * at.full((1000,), 3.0)).sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), 3 * z.detach().numpy())
    with pytest.raises(RuntimeError, match="dropout: a leaf that requires grad"):
        F.dropout(x, 0.5, inplace=True)


@pytest.mark.parametrize("shape", [(), (0,), (0, 3, 2, 2)])
def test_small_shapes(shape):
    assert F.dropout(at.ones(*shape) if shape else at.tensor(1.0), 0.5).shape == shape


@pytest.mark.parametrize(
    ("x", "p", "error", "message"),
    [
        (np.ones(2), 1.5, ValueError, "dropout: p is 1.5; expected 0 to 1"),
        (np.ones(2), -0.1, ValueError, "dropout: p is -0.1"),
        (np.ones(2), NAN, ValueError, "dropout: p is nan"),
        (np.ones(2, int), 0.5, TypeError, "dropout: x has dtype int64"),
        (None, 0.5, TypeError, "dropout: x is a NoneType; expected a Tensor"),
    ],
)
def test_bad_input(x, p, error, message):
    with pytest.raises(error, match=message):
        F.dropout(at.tensor(x) if isinstance(x, np.ndarray) else x, p)
