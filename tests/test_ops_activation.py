import re

import numpy as np
import pytest
from parity import assert_parity, assert_torch_refuses, counted_kernels, draw, randomly_strided

import atrous as at
from atrous import verify
from atrous.gradcheck import gradcheck
from atrous.nn import functional as F

NAN, INF = float("nan"), float("inf")
TABLE = [
    c for c in verify.activation.CASES["relu_forward"] if c["values"] != "special" and np.prod(c["shape"]) < 20_000
]
FUNCTIONS = {
    "relu": lambda F, x, slope=None: F.relu(x),
    "leaky_relu": lambda F, x, slope=0.3: F.leaky_relu(x, slope),
    "sigmoid": lambda F, x, slope=None: F.sigmoid(x),
    "tanh": lambda F, x, slope=None: F.tanh(x),
}
INPLACE = {
    "relu": lambda F, x: F.relu(x, True),
    "leaky_relu": lambda F, x: F.leaky_relu(x, 0.3, True),
    "leaky_relu, slope 0": lambda F, x: F.leaky_relu(x, 0.0, True),
}


def away_from_zero(*shape):
    x = draw(*shape)
    return x + 0.1 * np.sign(x)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("case", TABLE, ids=str)
@pytest.mark.parametrize("name", FUNCTIONS)
def test_agrees_with_pytorch(name, case, dtype):
    x = draw(*case["shape"]) * (60 if case["values"] == "wide" else 1)
    assert_parity(lambda F, x: FUNCTIONS[name](F, x, case["slope"]), x, dtype=dtype, terms=8)


@pytest.mark.parametrize("case", TABLE, ids=str)
@pytest.mark.parametrize("name", FUNCTIONS)
def test_gradient(name, case):
    x = at.tensor(away_from_zero(*case["shape"]), requires_grad=True)
    assert gradcheck(lambda x: FUNCTIONS[name](F, x, case["slope"]), [x], fast_mode=True)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_special_values_as_pytorch(name):
    x = np.array([NAN, INF, -INF, 0.0, -0.0, 1e-310, -1e-310, 1e300, -1e300])
    assert_parity(FUNCTIONS[name], x, gradients=False)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_gradient_at_zero_and_of_nan_as_pytorch(name):
    assert_parity(FUNCTIONS[name], np.array([0.0, -0.0, NAN, INF, -INF]))


def test_scalars_and_integers_as_pytorch():
    assert_parity(lambda F, x: F.relu(x), np.array([-1, 0, 2]))
    assert_parity(lambda F, x: F.relu(x), np.array([-1, 0, 2], "int32"))
    assert_parity(lambda F, x: F.sigmoid(x), np.array([-1, 0, 2]))
    assert_parity(lambda F, x: F.tanh(x), np.array([True, False]))
    for f in FUNCTIONS.values():
        assert_parity(f, np.array(0.5))


@pytest.mark.parametrize("name", INPLACE)
def test_inplace_as_pytorch(name):
    """The input is changed, gradients go through what made it, and the result is the input itself."""

    def f(F, x):
        y = 2 * x
        z = INPLACE[name](F, y)
        assert z is y
        return z * y

    assert_parity(f, draw(3, 4))


@pytest.mark.parametrize("name", INPLACE)
def test_inplace_on_a_view_as_pytorch(name):
    def f(F, x):
        y = 2 * x
        INPLACE[name](F, y[1:, :2])
        return y * y

    assert_parity(f, draw(3, 4))


@pytest.mark.parametrize("name", INPLACE)
def test_inplace_on_a_leaf(name):
    x = at.tensor([-1.0, 1.0], requires_grad=True)
    with pytest.raises(RuntimeError, match="a leaf that requires grad"):
        INPLACE[name](F, x)
    assert x.tolist() == [-1.0, 1.0]
    with at.no_grad():
        INPLACE[name](F, x)
    assert x.tolist()[1] == 1.0


def test_inplace_on_a_value_that_another_op_needs():
    x = at.tensor([1.0, 2.0], requires_grad=True)
    y = F.sigmoid(x)
    z = F.relu(y, inplace=True)
    with pytest.raises(RuntimeError, match=r"sigmoid.*changed in place"):
        z.sum().backward()


@pytest.mark.parametrize("name", ["relu", "sigmoid", "tanh"])
def test_changed_result_is_noticed(name):
    y = FUNCTIONS[name](F, at.ones(3, requires_grad=True))
    y += 1
    with pytest.raises(RuntimeError, match=rf"{name}.*changed in place"):
        y.sum().backward()


BAD = [
    (lambda F, x: F.relu(x), np.array([True]), TypeError, "relu: x has dtype bool"),
    (lambda F, x: F.relu(x), [1.0], TypeError, "relu: x is a list; expected a Tensor"),
    (lambda F, x: F.leaky_relu(x), np.array([1]), TypeError, "leaky_relu: x has dtype int64"),
    (lambda F, x: F.leaky_relu(x, "a"), np.array([1.0]), TypeError, "leaky_relu: negative_slope is 'a'"),
    (lambda F, x: F.sigmoid(x), 1.0, TypeError, "sigmoid: x is a float; expected a Tensor"),
    (lambda F, x: F.tanh(x), None, TypeError, "tanh: x is a NoneType; expected a Tensor"),
]


@pytest.mark.parametrize(("f", "x", "error", "message"), BAD)
def test_bad_input(f, x, error, message):
    with pytest.raises(error, match=re.escape(message)):
        f(F, at.tensor(x) if isinstance(x, np.ndarray) else x)
    assert_torch_refuses(f, x)


def test_inplace_with_a_negative_slope():
    with pytest.raises(ValueError, match=r"leaky_relu: negative_slope is -0.5; expected 0 or more with inplace"):
        F.leaky_relu(at.ones(2), -0.5, inplace=True)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_no_backward_unless_wanted(name, monkeypatch):
    with counted_kernels(monkeypatch) as calls:
        FUNCTIONS[name](F, at.ones(2, 3))
        assert calls == [f"{name}_forward"]
        FUNCTIONS[name](F, at.ones(2, 3, requires_grad=True)).sum().backward()
    assert calls[1:] == [f"{name}_forward", f"{name}_backward"]


@pytest.mark.parametrize("name", FUNCTIONS)
def test_strided_input(name):
    x = randomly_strided(draw(2, 3, 4, 5))
    expected = FUNCTIONS[name](F, at.tensor(np.ascontiguousarray(x)))
    np.testing.assert_allclose(FUNCTIONS[name](F, at.from_numpy(x)).numpy(), expected.numpy(), rtol=1e-14)
