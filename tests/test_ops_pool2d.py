import re

import numpy as np
import pytest
from parity import assert_parity, assert_torch_refuses, counted_kernels, draw, randomly_strided

import atrous as at
from atrous import layout, verify
from atrous.gradcheck import gradcheck
from atrous.nn import functional as F

NAN, INF = float("nan"), float("inf")


def table(function, limit=20_000):
    return [c for c in verify.pool2d.CASES[function] if c["values"] == "ties" and np.prod(c["x"]) < limit]


# Windows that lie in the padding alone: there PyTorch writes out of bounds in its backward.
MAX = [c for c in table("max_pool2d_forward") if c["dilation"] != (5, 5)]


def distinct(*shape):
    """Values at least 0.1 apart, in random order: far from the kinks of a maximum."""
    return 0.1 * np.random.default_rng(0).permutation(int(np.prod(shape))).reshape(shape)


def window(case):
    return {name: value for name, value in case.items() if name not in ("x", "values", "dilation")}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("case", MAX, ids=str)
def test_max_agrees_with_pytorch(case, dtype):
    how = dict(window(case), dilation=case["dilation"])
    assert_parity(lambda F, x: F.max_pool2d(x, **how), np.round(2 * draw(*case["x"])), dtype=dtype)  # with ties
    assert_parity(lambda F, x: F.max_pool2d(x, **how), distinct(*case["x"]), dtype=dtype)


@pytest.mark.parametrize("case", MAX, ids=str)
def test_max_indices_agree_with_pytorch(case):
    how = dict(window(case), dilation=case["dilation"], return_indices=True)
    assert_parity(lambda F, x: F.max_pool2d(x, **how), np.round(2 * draw(*case["x"])))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("case", table("avg_pool2d_forward"), ids=str)
def test_average_agrees_with_pytorch(case, dtype):
    assert_parity(lambda F, x: F.avg_pool2d(x, **window(case)), draw(*case["x"]), dtype=dtype, terms=300)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("case", table("adaptive_avg_pool2d_forward"), ids=str)
def test_adaptive_agrees_with_pytorch(case, dtype):
    size = case["output_size"]
    assert_parity(lambda F, x: F.adaptive_avg_pool2d(x, size), draw(*case["x"]), dtype=dtype, terms=300)
    assert_parity(lambda F, x: F.adaptive_max_pool2d(x, size, return_indices=True), draw(*case["x"]), dtype=dtype)


@pytest.mark.parametrize(
    "f",
    [
        lambda F, x: F.max_pool2d(x, 2),
        lambda F, x: F.max_pool2d(x, 2, return_indices=True),
        lambda F, x: F.max_pool2d(x, [3], 2, (1,)),
        lambda F, x: F.max_pool2d(x, (3, 2), (1, 2), (1, 0), (1, 2), True),
        lambda F, x: F.avg_pool2d(x, 3, None, 1),
        lambda F, x: F.avg_pool2d(x, 2, divisor_override=-3),
        lambda F, x: F.adaptive_avg_pool2d(x, 3),
        lambda F, x: F.adaptive_avg_pool2d(x, (None, 2)),
        lambda F, x: F.adaptive_avg_pool2d(x, [3, None]),
        lambda F, x: F.adaptive_avg_pool2d(x, (None, None)),
        lambda F, x: F.adaptive_max_pool2d(x, (2, None), True),
    ],
)
@pytest.mark.parametrize("batch", [(2,), (), (0,)])
def test_forms_of_the_arguments(f, batch):
    assert_parity(f, draw(*batch, 3, 7, 8))


@pytest.mark.parametrize("f", [lambda F, x: F.adaptive_max_pool2d(x, 0), lambda F, x: F.adaptive_avg_pool2d(x, (0, 2))])
@pytest.mark.parametrize("batch", [(2,), (), (0,)])
def test_empty_outputs(f, batch):
    x = draw(*batch, 3, 7, 8)
    assert_parity(f, x, gradients=False)
    x = at.tensor(x, requires_grad=True)
    f(F, x).sum().backward()  # PyTorch refuses
    assert not x.grad.numpy().any()


@pytest.mark.parametrize(
    "f", [lambda F, x: F.max_pool2d(x, 2, 1, 1, return_indices=True), lambda F, x: F.adaptive_max_pool2d(x, 2, True)]
)
def test_nan_and_minus_infinity_as_pytorch(f):
    x = draw(1, 2, 6, 6)
    x[0, 0, 1, 2], x[0, 0, 4, 4], x[0, 1] = NAN, NAN, -INF  # no window sees both
    assert_parity(f, x)


def test_first_of_several_nan_counts():
    """PyTorch takes the last; the value is NaN either way."""
    x = np.array([[[[NAN, 1.0], [NAN, NAN]]]])
    for y, indices in (
        F.max_pool2d(at.tensor(x), 2, return_indices=True),
        F.adaptive_max_pool2d(at.tensor(x), 1, True),
    ):
        assert np.isnan(y.item())
        assert indices.item() == 0


@pytest.mark.parametrize("case", [c for c in MAX if np.prod(c["x"]) < 4000], ids=str)
def test_max_gradient(case):
    how = dict(window(case), dilation=case["dilation"])
    assert gradcheck(
        lambda x: F.max_pool2d(x, **how), [at.tensor(distinct(*case["x"]), requires_grad=True)], fast_mode=True
    )


@pytest.mark.parametrize("case", table("avg_pool2d_forward", 4000), ids=str)
def test_average_gradient(case):
    assert gradcheck(
        lambda x: F.avg_pool2d(x, **window(case)), [at.tensor(draw(*case["x"]), requires_grad=True)], fast_mode=True
    )


@pytest.mark.parametrize("case", table("adaptive_avg_pool2d_forward", 4000), ids=str)
def test_adaptive_gradient(case):
    x = at.tensor(distinct(*case["x"]), requires_grad=True)
    assert gradcheck(lambda x: F.adaptive_avg_pool2d(x, case["output_size"]), [x], fast_mode=True)
    assert gradcheck(lambda x: F.adaptive_max_pool2d(x, case["output_size"]), [x], fast_mode=True)


X = np.zeros((1, 3, 5, 5))
BAD = [  # function, x, arguments, keywords, error, message
    ("max_pool2d", X[0, 0], (2,), {}, ValueError, "x has shape (5, 5); expected (N, C, H, W) or (C, H, W)"),
    ("max_pool2d", X[:, :0], (2,), {}, ValueError, "x has shape (1, 0, 5, 5)"),
    ("max_pool2d", X, (0,), {}, ValueError, "kernel_size (0, 0)"),
    ("max_pool2d", X, (2, 0), {}, ValueError, "stride (0, 0)"),
    ("max_pool2d", X, (2,), {"dilation": 0}, ValueError, "dilation (0, 0)"),
    ("max_pool2d", X, (2,), {"padding": 2}, ValueError, "padding is (2, 2); expected 0 to half of kernel_size (2, 2)"),
    ("max_pool2d", X, (2,), {"padding": (2, 0)}, ValueError, "padding is (2, 0)"),
    ("max_pool2d", X, (2,), {"padding": (0, 2)}, ValueError, "padding is (0, 2)"),
    ("max_pool2d", X, ((6, 1),), {}, ValueError, "exceeds x"),
    ("max_pool2d", X, ((1, 6),), {}, ValueError, "exceeds x"),
    ("max_pool2d", X, (3,), {"padding": 2, "dilation": 2}, ValueError, "padding is (2, 2)"),
    ("max_pool2d", X, (2,), {"padding": -1}, ValueError, "padding is (-1, -1)"),
    ("max_pool2d", X, (6,), {}, ValueError, "the window (6, 6) with dilation (1, 1) exceeds x (1, 3, 5, 5)"),
    ("max_pool2d", X, (2.0,), {}, TypeError, "kernel_size is 2.0"),
    ("max_pool2d", X, ((1, 2, 3),), {}, ValueError, "kernel_size has 3 numbers"),
    ("max_pool2d", "x", (2,), {}, TypeError, "x is a str; expected a Tensor"),
    ("max_pool2d", X.astype(bool), (2,), {}, TypeError, "x has dtype bool"),
    ("avg_pool2d", X[0, 0], (2,), {}, ValueError, "x has shape (5, 5)"),
    ("avg_pool2d", X, (6,), {}, ValueError, "exceeds x"),
    ("avg_pool2d", X, (2,), {"padding": 2}, ValueError, "padding is (2, 2)"),
    ("avg_pool2d", X, (2,), {"divisor_override": 0}, ValueError, "divisor_override is 0"),
    ("adaptive_avg_pool2d", X[0, 0], (2,), {}, ValueError, "x has shape (5, 5)"),
    ("adaptive_avg_pool2d", X, (-1,), {}, ValueError, "output_size is (-1, -1); expected 0 or more"),
    ("adaptive_avg_pool2d", X, ((2,),), {}, ValueError, "output_size is (2,); expected an int or two"),
    ("adaptive_avg_pool2d", X, (None,), {}, TypeError, "output_size is None"),
    ("adaptive_avg_pool2d", X[:, :, :0], (2,), {}, ValueError, "with rows and columns"),
    ("adaptive_max_pool2d", X[:, :, :0], (2,), {}, ValueError, "with rows and columns"),
    ("adaptive_max_pool2d", X, ((1, 2, 3),), {}, ValueError, "output_size is (1, 2, 3)"),
]


@pytest.mark.parametrize(("name", "x", "args", "how", "error", "message"), BAD)
def test_bad_input(name, x, args, how, error, message):
    with pytest.raises(error, match=re.escape(message)) as raised:
        getattr(F, name)(at.tensor(x) if isinstance(x, np.ndarray) else x, *args, **how)
    assert str(raised.value).startswith(name + ": ")
    assert_torch_refuses(lambda F, x: getattr(F, name)(x, *args, **how), x)


ALL = [
    lambda x: F.max_pool2d(x, 2),
    lambda x: F.avg_pool2d(x, 2),
    lambda x: F.adaptive_avg_pool2d(x, 2),
    lambda x: F.adaptive_max_pool2d(x, 2),
]


@pytest.mark.parametrize("f", ALL)
def test_no_gradient_unless_wanted(f, monkeypatch):
    with counted_kernels(monkeypatch) as calls:
        f(at.ones(1, 2, 4, 4))
        assert len(calls) == 1
        assert calls[0].endswith("_forward")


@pytest.mark.parametrize("f", ALL)
def test_no_conversion_of_channels_last_maps(f):
    x = at.Tensor(layout.channels_last(draw(2, 3, 6, 6)), requires_grad=True)
    grad_y = at.Tensor(layout.channels_last(np.ones(f(x).shape)))
    before = layout.conversions()
    y = f(x)
    assert layout.conversions() == before
    y.backward(grad_y)
    assert layout.conversions() - before <= (not layout.is_channels_last(y.data))


@pytest.mark.parametrize("f", ALL)
def test_strided_input(f):
    x = randomly_strided(draw(2, 3, 6, 7))
    np.testing.assert_array_equal(f(at.from_numpy(x)).numpy(), f(at.tensor(np.ascontiguousarray(x))).numpy())
