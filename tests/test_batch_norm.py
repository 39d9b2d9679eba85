"""Kernels of batch_norm: by hand, PyTorch, the case table on every level, properties, bad input."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from atrous import reference, verify
from atrous.verify.batch_norm import CASES, CASES_4D, arguments
from atrous.verify.draw import Draw

EPS = 1e-5


@pytest.mark.parametrize("function", CASES)
def test_every_level_agrees_with_the_reference(function, check):
    check("batch_norm", function)


def test_by_hand(backend):
    x = np.array([1.0, 5.0, 3.0, 3.0]).reshape(2, 2, 1, 1)  # channel 0 has 1 and 3, channel 1 has 5 and 3
    weight, bias = np.array([10.0, 1.0]), np.array([0.0, 7.0])
    mean, var = backend.batch_norm_statistics(x)
    assert mean.tolist() == [2, 4]
    assert var.tolist() == [1, 1]
    y = backend.batch_norm_forward(x, weight, bias, mean, var, 0.0)
    assert y.ravel().tolist() == [-10, 8, 10, 6]
    y = backend.batch_norm_forward(x, weight, bias, np.array([1.0, 1.0]), np.array([4.0, 16.0]), 0.0)
    assert y.ravel().tolist() == [0, 8, 10, 7.5]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_running_statistics_by_hand(backend, dtype):
    """A quarter of the way; of four values a channel the unbiased variance is 4/3 of the biased one."""
    x = np.array([[1, 8], [7, 8], [4, 8], [4, 8]], dtype).reshape(4, 2, 1, 1)  # means 4 and 8, variances 4.5 and 0
    mean, var = np.array([0.0, 8.0], dtype), np.array([1.0, 4.0], dtype)
    alone = backend.batch_norm_statistics(x)
    assert [a.tolist() for a in alone] == [[4, 8], [4.5, 0]]
    found = backend.batch_norm_statistics(x, running_mean=mean, running_var=var, momentum=0.25)
    assert [a.tolist() for a in found] == [[4, 8], [4.5, 0]]
    assert mean.tolist() == [1, 8]
    assert var.tolist() == [2.25, 3]
    batches = np.array(2**40)
    backend.batch_norm_statistics(x, running_mean=mean, running_var=var, momentum=0.0, batches=batches)
    assert (mean.tolist(), var.tolist(), batches.item()) == ([1, 8], [2.25, 3], 2**40 + 1)


def test_what_follows_by_hand(backend):
    x, residual = np.array([-3.0, -1.0, 1.0, 3.0]).reshape(4, 1, 1, 1), np.full((4, 1, 1, 1), -2.0)
    one = (None, None, np.zeros(1), np.ones(1), 0.0)
    assert backend.batch_norm_forward(x, *one, relu=True).ravel().tolist() == [0, 0, 1, 3]
    assert backend.batch_norm_forward(x, *one, relu_last=True).ravel().tolist() == [0, 0, 1, 3]
    assert backend.batch_norm_forward(x, *one, residual=residual).ravel().tolist() == [-5, -3, -1, 1]
    assert backend.batch_norm_forward(x, *one, True, residual).ravel().tolist() == [-2, -2, -1, 1]
    assert backend.batch_norm_forward(x, *one, False, residual, True).ravel().tolist() == [0, 0, 0, 1]
    assert backend.batch_norm_forward(x, *one, True, -residual, True).ravel().tolist() == [2, 2, 3, 5]


def test_backward_by_hand(backend):
    """Two values a channel: x_hat is -1 and 1 whatever x is, so grad_x vanishes in training but not in evaluation."""
    x, grad_y = np.array([1.0, 3.0]).reshape(2, 1, 1, 1), np.array([5.0, 9.0]).reshape(2, 1, 1, 1)
    given = {"weight": np.array([10.0]), "bias": None, "mean": np.array([2.0]), "var": np.array([1.0]), "eps": 0.0}
    grad_x, grad_weight, grad_bias = backend.batch_norm_backward_train(grad_y, x, **given)
    assert (grad_x.ravel().tolist(), grad_weight.tolist(), grad_bias.tolist()) == ([0, 0], [4], [14])
    grad_x, grad_weight, grad_bias = backend.batch_norm_backward_eval(grad_y, x, **given)
    assert (grad_x.ravel().tolist(), grad_weight.tolist(), grad_bias.tolist()) == ([50, 90], [4], [14])
    grad_x, grad_weight, grad_bias = backend.batch_norm_backward_eval(grad_y, x, **given, relu=True)  # z is -10, 10
    assert (grad_x.ravel().tolist(), grad_weight.tolist(), grad_bias.tolist()) == ([0, 90], [9], [9])


def special_maps(dtype, C, count=4000):
    """Maps whose z is often within a few roundings of 0, and 0, -0, Inf or NaN; with the parameters of each channel."""
    rng = np.random.default_rng(C)
    mean, var = rng.standard_normal(C), rng.uniform(0.1, 2, C)
    weight, bias = (rng.standard_normal(C).astype(dtype) for _ in range(2))
    weight[3:4], bias[4:5], mean[5:6] = 0, -0.0, 0
    root = mean - bias / np.where(weight == 0, 1, weight) * np.sqrt(var + EPS)  # there z = 0
    x = np.empty((count, C, 1, 1), dtype)
    x[: count // 2] = (root + rng.integers(-4, 5, (count // 2, C)) * np.spacing(root.astype(dtype)))[..., None, None]
    x[count // 2 :] = 3 * rng.standard_normal((count - count // 2, C, 1, 1))
    for i, value in enumerate([np.nan, np.inf, -np.inf, 0.0, -0.0, np.finfo(dtype).tiny / 8]):
        x[i::40] = value
    return x, weight, bias, mean, var


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("C", [1, 3, 6, 16, 64, 67, 130])
def test_the_backward_sees_the_sign_that_the_forward_saw(backend, dtype, C):
    """Bit for bit, also where z is within a rounding of 0: g = 0 exactly where relu(z) <= 0."""
    x, weight, bias, mean, var = special_maps(dtype, C)
    grad_y = np.random.default_rng(0).integers(1, 9, x.shape).astype(dtype)  # sums are exact
    for level in verify.levels(backend):
        for w, b in [(weight, bias), (None, bias), (weight, None), (None, None)]:
            with verify.at_level(backend, level), np.errstate(all="ignore"):
                given = (w, b, mean, var, EPS)
                y = backend.batch_norm_forward(x, *given, relu=True)
                passed = np.where(y <= 0, 0, grad_y)
                grad_x, _, grad_bias = backend.batch_norm_backward_eval(grad_y, x, *given, relu=True)
                expected, _, expected_bias = backend.batch_norm_backward_eval(passed, x, *given)
                np.testing.assert_array_equal(grad_x, expected)
                np.testing.assert_array_equal(grad_bias, expected_bias)
                _, _, grad_bias = backend.batch_norm_backward_train(grad_y, x, *given, relu=True)
                np.testing.assert_allclose(grad_bias, expected_bias, rtol=1e-12)  # a mean, in the reference
            assert 0 < (passed == 0).mean() < 1


def test_the_variance_survives_a_large_mean(backend):
    """In float32 E[x²] − E[x]² of these numbers is 0: their squares differ by less than a rounding."""
    x = (4096 + np.array([-1, 1] * 50)).astype(np.float32).reshape(100, 1, 1, 1)
    mean, var = backend.batch_norm_statistics(x)
    assert mean.tolist() == [4096]
    assert var == pytest.approx(1, rel=1e-14)


def test_statistics_of_float32_are_float64(backend):
    """The mean of 1 and 2^-40 is no float32; and the output is normalised by what float32 cannot hold of a mean."""
    x = np.array([1, 2**-40], np.float32).reshape(2, 1, 1, 1)
    mean, var = backend.batch_norm_statistics(x)
    assert mean.dtype == var.dtype == np.float64
    assert mean[0] == (1 + 2**-40) / 2
    assert mean[0] != mean.astype(np.float32)[0].astype(np.float64)
    near = np.array([1e4 + 1e-4])  # rounds to 1e4, which is off by 1e-4 in x - mean
    x = np.full((1, 1, 1, 1), 1e4, np.float32)
    y = backend.batch_norm_forward(x, None, None, near, np.ones(1), 0.0)
    assert y.ravel() == pytest.approx(-1e-4, rel=1e-6)
    one = np.ones_like(x)
    _, grad_weight, _ = backend.batch_norm_backward_eval(one, x, None, None, near, np.ones(1), 0.0)
    assert grad_weight == pytest.approx(-1e-4, rel=1e-6)
    grad_x, _, _ = backend.batch_norm_backward_train(one, x, None, None, near, np.full(1, 1e-8), 0.0)
    assert grad_x.ravel() == pytest.approx(-1e4, rel=1e-6)  # 1e4 · (1 − 1 − x_hat²), where x_hat is −1


def test_an_infinite_value_spoils_its_channel_and_no_other(backend):
    """The mean of that channel is Inf or NaN, as the sum is ordered; its output is NaN all the same."""
    x = np.random.default_rng(0).standard_normal((3, 3, 4, 4))
    x[1, 1, 2, 3] = np.inf
    with np.errstate(all="ignore"):
        mean, var = backend.batch_norm_statistics(x)
        y = backend.batch_norm_forward(x, None, None, mean, var, EPS)
    assert np.isfinite(y).all(axis=(0, 2, 3)).tolist() == [True, False, True]
    assert np.isnan(y[:, 1]).all()
    assert np.isfinite(mean).tolist() == np.isfinite(var).tolist() == [True, False, True]


@pytest.mark.parametrize("case", CASES_4D)
@pytest.mark.parametrize("train", [True, False])
@np.errstate(all="ignore")
def test_the_reference_agrees_with_pytorch(case, train):
    torch = pytest.importorskip("torch")
    x, weight, bias, mean, var, eps = arguments("batch_norm_forward", case, Draw(np.float64, case)).values()
    leaves = [None if v is None else torch.tensor(v, requires_grad=True) for v in (x, weight, bias)]
    running = (None, None) if train else (torch.tensor(mean), torch.tensor(var))
    expected = torch.nn.functional.batch_norm(leaves[0], *running, *leaves[1:], train, 0.1, eps)
    grad_y = np.random.default_rng(0).standard_normal(x.shape)
    expected.backward(torch.tensor(grad_y))
    if train:
        mean, var = reference.batch_norm_statistics(x)
    backward = reference.batch_norm_backward_train if train else reference.batch_norm_backward_eval
    y = reference.batch_norm_forward(x, weight, bias, mean, var, eps)
    grads = backward(grad_y, x, weight, bias, mean, var, eps)
    np.testing.assert_allclose(y, expected.detach(), rtol=1e-9, atol=1e-9)
    for grad, leaf in zip(grads, leaves, strict=True):
        if leaf is not None:
            scale = 1 if np.isnan(grad).any() else 1 + np.abs(grad).max(initial=0)
            np.testing.assert_allclose(grad, leaf.grad, rtol=1e-8, atol=1e-9 * scale)


@given(st.tuples(*[st.integers(2, 6)] * 4), st.integers(0, 2**32))
def test_the_output_is_normal_and_the_gradient_sees_neither_shift_nor_scale(backend, shape, seed):
    rng = np.random.default_rng(seed)
    x, grad_y = 3 * rng.standard_normal(shape) + 5, rng.standard_normal(shape)
    mean, var = backend.batch_norm_statistics(x)
    y = backend.batch_norm_forward(x, None, None, mean, var, 0.0)
    assert y.mean(axis=(0, 2, 3)) == pytest.approx(0, abs=1e-12)
    assert y.var(axis=(0, 2, 3)) == pytest.approx(1, abs=1e-12)
    grad_x, grad_weight, grad_bias = backend.batch_norm_backward_train(grad_y, x, None, None, mean, var, 0.0)
    assert grad_x.sum(axis=(0, 2, 3)) == pytest.approx(0, abs=1e-10)  # y does not change when x is shifted ...
    assert (grad_x * y).sum(axis=(0, 2, 3)) == pytest.approx(0, abs=1e-10)  # ... or scaled
    assert grad_weight == pytest.approx((grad_y * y).sum(axis=(0, 2, 3)), abs=1e-10)
    assert grad_bias == pytest.approx(grad_y.sum(axis=(0, 2, 3)), abs=1e-10)


@pytest.mark.parametrize("C", [24, 64, 67])
def test_maps_larger_than_the_caches(cpu, C):
    """They are stored past them, but for 67 channels, whose rows do not begin with vectors. Pixels fill no last row."""
    N = 2**23 // (7 * 9 * C) + 1
    part, grad = (Draw(np.float32, seed, C).normal(1, C, 7, 9) for seed in range(2))
    x, grad_y = (np.repeat(a.transpose(0, 2, 3, 1), N, 0).transpose(0, 3, 1, 2) for a in (part, grad))
    mean, var = reference.batch_norm_statistics(part)
    for got, expected in zip(cpu.batch_norm_statistics(x), (mean, var), strict=True):
        np.testing.assert_allclose(got, expected, 1e-6, 1e-6)
    given = (np.linspace(0.5, 2, C, dtype=np.float32), np.linspace(-1, 1, C, dtype=np.float32), mean, var, EPS)
    for then in ({}, {"relu": True}, {"residual": x, "relu_last": True}):
        alone = cpu.batch_norm_forward(part, *given, **(then | ({"residual": part} if "residual" in then else {})))
        assert (cpu.batch_norm_forward(x, *given, **then) == alone).all()
    for name in ("batch_norm_backward_eval", "batch_norm_backward_train"):
        grad_x, *sums = getattr(cpu, name)(grad_y, x, *given, relu=True)
        exact = (array.astype(np.float64) for array in (grad, part))
        alone, *sums_alone = getattr(reference, name)(*exact, *given, relu=True)
        assert (grad_x == grad_x[:1]).all()
        np.testing.assert_allclose(grad_x[:1], alone, 1e-4, 1e-5)
        for got, expected in zip(sums, sums_alone, strict=True):
            np.testing.assert_allclose(got / N, expected, 1e-4, 1e-4)


def test_more_pixels_than_blocks(backend):
    """A GPU's threads then take more rows each, but no more than their sums can hold."""
    x = (1000 + np.arange(2**22 + 1) % 2).astype(np.float32).reshape(1, 1, -1, 1)
    (mean,), (var,) = backend.batch_norm_statistics(x)
    assert mean == pytest.approx(1000.5, abs=1e-6)
    assert var == pytest.approx(0.25, rel=1e-6)
    grad_x, grad_weight, grad_bias = backend.batch_norm_backward_train(x, x, None, None, mean[None], var[None], 0.0)
    assert grad_bias == pytest.approx(x.sum(dtype=np.float64), rel=1e-6)
    assert grad_weight == pytest.approx(0.5 * x.size, rel=1e-5)
    assert np.abs(grad_x).max() < 1e-3


@pytest.mark.parametrize(
    ("function", "change"),
    [
        ("batch_norm_statistics", {"x": np.ones((2, 3), np.float32)}),
        ("batch_norm_statistics", {"running_var": np.ones(2, np.float32)}),  # 3 channels
        ("batch_norm_statistics", {"running_mean": np.broadcast_to(np.float32(1), 3)}),
        ("batch_norm_statistics", {"x": np.ones((1, 3, 1, 1), np.float32)}),  # one value a channel
        ("batch_norm_statistics", {"batches": np.zeros(1, np.int64)}),
        ("batch_norm_statistics", {"batches": np.broadcast_to(np.int64(0), ())}),
        ("batch_norm_forward", {"weight": np.ones(2, np.float32)}),
        ("batch_norm_forward", {"bias": np.ones((3, 1), np.float32)}),
        ("batch_norm_forward", {"x": np.ones((2, 3), np.float32)}),
        ("batch_norm_forward", {"mean": np.ones(4, np.float32)}),
        ("batch_norm_forward", {"var": np.ones(0, np.float64)}),
        ("batch_norm_forward", {"residual": np.ones((2, 3, 5, 4), np.float32)}),
        ("batch_norm_backward_train", {"grad_y": np.ones((2, 3, 4, 4), np.float32)}),
        ("batch_norm_backward_train", {"mean": np.ones(2, np.float64)}),
        ("batch_norm_backward_train", {"bias": np.ones(2, np.float32)}),
        ("batch_norm_backward_eval", {"grad_y": np.ones((1, 3, 4, 5), np.float32)}),
        ("batch_norm_backward_eval", {"weight": np.ones(4, np.float32)}),
    ],
)
def test_the_binding_refuses(cpu, function, change):
    running = {"then": "running"} if function == "batch_norm_statistics" else {}
    good = arguments(function, CASES_4D[0] | running, Draw(np.float32))
    getattr(cpu, function)(**good)
    with pytest.raises(ValueError, match=function):
        getattr(cpu, function)(**{**good, **change})


def test_the_binding_refuses_other_types(cpu):
    good = arguments("batch_norm_forward", CASES_4D[0], Draw(np.float64))
    cpu.batch_norm_forward(**good)
    for name, value in [("mean", np.ones(3, np.float32)), ("var", None), ("residual", np.ones(good["x"].shape, "f4"))]:
        with pytest.raises(TypeError, match=f"batch_norm_forward: {name}"):
            cpu.batch_norm_forward(**{**good, name: value})
