"""Kernels of batch_norm: by hand, PyTorch, the case table on every level, properties, bad input."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from atrous import reference
from atrous.verify.batch_norm import CASES, CASES_4D, arguments
from atrous.verify.harness import Draw

EPS = 1e-5


@pytest.mark.parametrize("function", CASES)
def test_every_level_agrees_with_the_reference(function, check):
    check("batch_norm", function)


def test_by_hand(backend):
    x = np.array([1.0, 5.0, 3.0, 3.0]).reshape(2, 2, 1, 1)  # channel 0 has 1 and 3, channel 1 has 5 and 3
    weight, bias = np.array([10.0, 1.0]), np.array([0.0, 7.0])
    y, mean, var = backend.batch_norm_forward_train(x, weight, bias, 0.0)
    assert mean.tolist() == [2, 4]
    assert var.tolist() == [1, 1]
    assert y.ravel().tolist() == [-10, 8, 10, 6]
    y = backend.batch_norm_forward_eval(x, weight, bias, np.array([1.0, 1.0]), np.array([4.0, 16.0]), 0.0)
    assert y.ravel().tolist() == [0, 8, 10, 7.5]


def test_backward_by_hand(backend):
    """Two values a channel: x_hat is -1 and 1 whatever x is, so grad_x vanishes in training but not in evaluation."""
    x, grad_y = np.array([1.0, 3.0]).reshape(2, 1, 1, 1), np.array([5.0, 9.0]).reshape(2, 1, 1, 1)
    weight, mean, var = np.array([10.0]), np.array([2.0]), np.array([1.0])
    grad_x, grad_weight, grad_bias = backend.batch_norm_backward_train(grad_y, x, weight, mean, var, 0.0)
    assert (grad_x.ravel().tolist(), grad_weight.tolist(), grad_bias.tolist()) == ([0, 0], [4], [14])
    grad_x, grad_weight, grad_bias = backend.batch_norm_backward_eval(grad_y, x, weight, mean, var, 0.0)
    assert (grad_x.ravel().tolist(), grad_weight.tolist(), grad_bias.tolist()) == ([50, 90], [4], [14])


def test_the_variance_survives_a_large_mean(backend):
    """In float32 E[x²] − E[x]² of these numbers is 0: their squares differ by less than a rounding."""
    x = (4096 + np.array([-1, 1] * 50)).astype(np.float32).reshape(100, 1, 1, 1)
    _, mean, var = backend.batch_norm_forward_train(x, None, None, EPS)
    assert (mean.tolist(), var.tolist()) == ([4096], [1])


def test_an_infinite_value_spoils_its_channel_and_no_other(backend):
    """The mean of that channel is Inf or NaN, as the sum is ordered; its output is NaN all the same."""
    x = np.random.default_rng(0).standard_normal((3, 3, 4, 4))
    x[1, 1, 2, 3] = np.inf
    with np.errstate(all="ignore"):
        y, mean, var = backend.batch_norm_forward_train(x, None, None, EPS)
    assert np.isfinite(y).all(axis=(0, 2, 3)).tolist() == [True, False, True]
    assert np.isnan(y[:, 1]).all()
    assert np.isfinite(mean).tolist() == np.isfinite(var).tolist() == [True, False, True]


@pytest.mark.parametrize("case", CASES_4D)
@pytest.mark.parametrize("train", [True, False])
@np.errstate(all="ignore")
def test_the_reference_agrees_with_pytorch(case, train):
    torch = pytest.importorskip("torch")
    a = arguments("batch_norm_forward_eval", case, Draw(np.float64, case))
    x, weight, bias, mean, var, eps = a.values()
    leaves = [None if v is None else torch.tensor(v, requires_grad=True) for v in (x, weight, bias)]
    running = (None, None) if train else (torch.tensor(mean), torch.tensor(var))
    expected = torch.nn.functional.batch_norm(leaves[0], *running, *leaves[1:], train, 0.1, eps)
    grad_y = np.random.default_rng(0).standard_normal(x.shape)
    expected.backward(torch.tensor(grad_y))
    if train:
        y, mean, var = reference.batch_norm_forward_train(x, weight, bias, eps)
        grads = reference.batch_norm_backward_train(grad_y, x, weight, mean, var, eps)
    else:
        y = reference.batch_norm_forward_eval(x, weight, bias, mean, var, eps)
        grads = reference.batch_norm_backward_eval(grad_y, x, weight, mean, var, eps)
    np.testing.assert_allclose(y, expected.detach(), rtol=1e-9, atol=1e-9)
    for grad, leaf in zip(grads, leaves, strict=True):
        if leaf is not None:
            scale = 1 if np.isnan(grad).any() else 1 + np.abs(grad).max(initial=0)
            np.testing.assert_allclose(grad, leaf.grad, rtol=1e-8, atol=1e-9 * scale)


@given(st.tuples(*[st.integers(2, 6)] * 4), st.integers(0, 2**32))
def test_the_output_is_normal_and_the_gradient_sees_neither_shift_nor_scale(backend, shape, seed):
    rng = np.random.default_rng(seed)
    x, grad_y = 3 * rng.standard_normal(shape) + 5, rng.standard_normal(shape)
    y, mean, var = backend.batch_norm_forward_train(x, None, None, 0.0)
    assert y.mean(axis=(0, 2, 3)) == pytest.approx(0, abs=1e-12)
    assert y.var(axis=(0, 2, 3)) == pytest.approx(1, abs=1e-12)
    grad_x, grad_weight, grad_bias = backend.batch_norm_backward_train(grad_y, x, None, mean, var, 0.0)
    assert grad_x.sum(axis=(0, 2, 3)) == pytest.approx(0, abs=1e-10)  # y does not change when x is shifted ...
    assert (grad_x * y).sum(axis=(0, 2, 3)) == pytest.approx(0, abs=1e-10)  # ... or scaled
    assert grad_weight == pytest.approx((grad_y * y).sum(axis=(0, 2, 3)), abs=1e-10)
    assert grad_bias == pytest.approx(grad_y.sum(axis=(0, 2, 3)), abs=1e-10)


@pytest.mark.parametrize(
    ("function", "change"),
    [
        ("batch_norm_forward_train", {"weight": np.ones(2, np.float32)}),  # 3 channels
        ("batch_norm_forward_train", {"bias": np.ones((3, 1), np.float32)}),
        ("batch_norm_forward_train", {"x": np.ones((2, 3), np.float32)}),
        ("batch_norm_forward_eval", {"mean": np.ones(4, np.float32)}),
        ("batch_norm_forward_eval", {"var": np.ones(0, np.float32)}),
        ("batch_norm_backward_train", {"grad_y": np.ones((2, 3, 4, 4), np.float32)}),
        ("batch_norm_backward_train", {"mean": np.ones(2, np.float32)}),
        ("batch_norm_backward_eval", {"grad_y": np.ones((1, 3, 4, 5), np.float32)}),
        ("batch_norm_backward_eval", {"weight": np.ones(4, np.float32)}),
    ],
)
def test_the_binding_refuses(cpu, function, change):
    good = arguments(function, CASES_4D[0], Draw(np.float32))
    getattr(cpu, function)(**good)
    with pytest.raises(ValueError, match=function):
        getattr(cpu, function)(**{**good, **change})
