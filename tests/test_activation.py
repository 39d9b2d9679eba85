"""Kernels of activation: by hand, PyTorch, the case table on every level, properties, layouts, bad input."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from atrous import reference
from atrous.verify.activation import CASES, SHAPES, arguments
from atrous.verify.draw import Draw

NAMES = ("relu", "leaky_relu", "sigmoid", "tanh")


@pytest.mark.parametrize("function", CASES)
def test_every_level_agrees_with_the_reference(function, check):
    check("activation", function)


def test_by_hand(backend):
    x = np.array([-2.0, 0.0, 3.0])
    assert backend.relu_forward(x).tolist() == [0, 0, 3]
    assert backend.leaky_relu_forward(x, 0.5).tolist() == [-1, 0, 3]
    y = backend.sigmoid_forward(np.array([0.0, math.log(3), -math.log(3)]))
    assert y == pytest.approx([0.5, 0.75, 0.25], rel=1e-15)
    assert backend.tanh_forward(np.array([0.0, math.log(2)])) == pytest.approx([0, 0.6], rel=1e-15)


def test_backward_by_hand(backend):
    grad_y = np.array([10.0, 20.0, 30.0])
    assert backend.relu_backward(grad_y, np.array([0.0, 0.0, 3.0])).tolist() == [0, 0, 30]
    assert backend.leaky_relu_backward(grad_y, np.array([-2.0, 0.0, 3.0]), 0.5).tolist() == [5, 10, 30]
    assert backend.sigmoid_backward(grad_y, np.array([0.5, 0.0, 1.0])).tolist() == [2.5, 0, 0]
    assert backend.tanh_backward(grad_y, np.array([0.5, 0.0, -1.0])).tolist() == [7.5, 20, 0]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_special_values(backend, dtype):
    nan, inf = np.nan, np.inf
    x = np.array([nan, inf, -inf, 1e4, -1e4], dtype)
    np.testing.assert_array_equal(backend.relu_forward(x), np.array([nan, inf, 0, 1e4, 0], dtype))
    np.testing.assert_array_equal(backend.leaky_relu_forward(x, 0.5), np.array([nan, inf, -inf, 1e4, -5e3], dtype))
    np.testing.assert_array_equal(backend.sigmoid_forward(x), np.array([nan, 1, 0, 1, 0], dtype))
    np.testing.assert_array_equal(backend.tanh_forward(x), np.array([nan, 1, -1, 1, -1], dtype))
    grad = np.array([1, 2, 3, 4, 5], dtype)
    y = np.array([nan, inf, 0, nan, 0], dtype)
    np.testing.assert_array_equal(backend.relu_backward(grad, y), np.array([1, 2, 0, 4, 0], dtype))  # as PyTorch


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("case", SHAPES)
@np.errstate(all="ignore")
def test_the_reference_agrees_with_pytorch(name, case):
    torch = pytest.importorskip("torch")
    a = arguments(f"{name}_forward", case, Draw(np.float64, case))
    x = torch.tensor(a["x"], requires_grad=True)
    rest = [case["slope"]] if name == "leaky_relu" else []
    expected = getattr(torch.nn.functional if rest else torch, name)(x, *rest)
    y = getattr(reference, f"{name}_forward")(**a)
    np.testing.assert_allclose(y, expected.detach(), rtol=1e-14, atol=1e-300)
    grad_y = np.random.default_rng(0).standard_normal(y.shape)
    expected.backward(torch.tensor(grad_y))
    grad_x = getattr(reference, f"{name}_backward")(grad_y, a["x"] if rest else y, *rest)
    np.testing.assert_allclose(grad_x, x.grad, rtol=1e-12, atol=1e-15)  # 1 - y² cancels


values = hnp.arrays(np.float64, st.integers(1, 70), elements=st.floats(-30, 30))


@given(values)
def test_sigmoid_and_tanh_are_one_function(backend, x):
    """tanh(x) = 2 sigmoid(2x) - 1, sigmoid(-x) = 1 - sigmoid(x), tanh(-x) = -tanh(x)."""
    tanh = backend.tanh_forward(x)
    assert tanh == pytest.approx(2 * backend.sigmoid_forward(2 * x) - 1, abs=1e-15)
    assert backend.sigmoid_forward(-x) == pytest.approx(1 - backend.sigmoid_forward(x), abs=1e-15)
    assert np.array_equal(backend.tanh_forward(-x), -tanh)


@given(values, st.floats(0, 2))
def test_relu_splits_a_number_into_two(backend, x, slope):
    """x = relu(x) - relu(-x), and leaky_relu(x) = relu(x) - slope * relu(-x)."""
    positive, negative = backend.relu_forward(x), backend.relu_forward(-x)
    assert np.array_equal(positive - negative, x)
    assert np.array_equal(backend.leaky_relu_forward(x, slope), positive - slope * negative)


@pytest.mark.parametrize("name", NAMES)
def test_derivatives_are_those_of_finite_differences(backend, name):
    x = np.linspace(-4, 4, 17) + 0.1  # no kink within a step
    rest = [0.3] if name == "leaky_relu" else []
    forward, backward = getattr(backend, f"{name}_forward"), getattr(backend, f"{name}_backward")
    grad_x = backward(np.ones_like(x), x if rest else forward(x, *rest), *rest)
    difference = (forward(x + 1e-6, *rest) - forward(x - 1e-6, *rest)) / 2e-6
    assert grad_x == pytest.approx(difference, abs=1e-9)


def test_the_output_lies_in_memory_as_the_input_does(cpu):
    base = np.random.default_rng(0).standard_normal((2, 5, 3, 4)).astype(np.float32)
    for x in (base, base.transpose(0, 3, 1, 2), base.transpose(1, 0, 3, 2), base[0].T):
        assert cpu.relu_forward(x).strides == x.strides
    assert cpu.relu_forward(base[:, ::2]).flags.c_contiguous  # not dense: C order
    x, grad_y = base.transpose(0, 3, 1, 2), base.transpose(0, 3, 1, 2).copy(order="C")
    np.testing.assert_array_equal(cpu.relu_backward(grad_y, x), reference.relu_backward(grad_y, x))


@pytest.mark.parametrize(
    ("function", "change", "error"),
    [
        ("relu_backward", {"y": np.ones((5, 32), np.float32)}, ValueError),
        ("relu_backward", {"y": np.ones((5, 33))}, TypeError),  # of another dtype
        ("tanh_backward", {"grad_y": np.ones((33, 5), np.float32)}, ValueError),
        ("sigmoid_backward", {"grad_y": np.ones((1, 5, 33), np.float32)}, ValueError),
        ("leaky_relu_backward", {"x": np.ones(165, np.float32)}, ValueError),
        ("leaky_relu_forward", {"negative_slope": "0.1"}, TypeError),
        ("relu_forward", {"x": [1.0, 2.0]}, TypeError),
        ("tanh_forward", {"x": np.ones(3, np.int64)}, TypeError),
        ("sigmoid_forward", {"x": np.ones(3, ">f4")}, TypeError),  # bytes in another order
    ],
)
def test_the_binding_refuses(cpu, function, change, error):
    good = arguments(function, SHAPES[2], Draw(np.float32))
    getattr(cpu, function)(**good)
    with pytest.raises(error, match=function):
        getattr(cpu, function)(**{**good, **change})
