import re

import numpy as np
import pytest
from parity import assert_parity, assert_torch_refuses, counted_kernels, draw, randomly_strided

import atrous as at
from atrous import layout, nn, verify
from atrous.gradcheck import gradcheck
from atrous.nn import functional as F

CASES = [
    {"size": case["output_size"]} if case["scale"] is None else {"scale_factor": case["scale"]}
    for case in verify.upsample2d.NEAREST
]
SHAPES = [case["x"] for case in verify.upsample2d.NEAREST]
FINITE = [
    (shape, how)
    for shape, how, case in zip(SHAPES, CASES, verify.upsample2d.NEAREST, strict=True)
    if case["values"] == "normal" and shape[0]
]
MODES = [
    {"mode": "nearest"},
    {"mode": "bilinear"},
    {"mode": "bilinear", "align_corners": False},
    {"mode": "bilinear", "align_corners": True},
]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("mode", MODES, ids=str)
@pytest.mark.parametrize(("shape", "how"), FINITE, ids=str)
def test_agrees_with_pytorch(shape, how, mode, dtype):
    assert_parity(lambda F, x: F.interpolate(x, **how, **mode), draw(*shape), dtype=dtype)


@pytest.mark.parametrize(
    "f",
    [
        lambda F, x: F.interpolate(x, 9),
        lambda F, x: F.interpolate(x, [9, 4]),
        lambda F, x: F.interpolate(x, (5, 20), None, "bilinear", True),
        lambda F, x: F.interpolate(x, None, 2),
        lambda F, x: F.interpolate(x, scale_factor=2.6),
        lambda F, x: F.interpolate(x, scale_factor=[0.5, 1.7], mode="bilinear"),
        lambda F, x: F.interpolate(x, scale_factor=1.27, mode="bilinear"),
        lambda F, x: F.interpolate(x, scale_factor=1.27, mode="bilinear", recompute_scale_factor=False),
        lambda F, x: F.interpolate(x, scale_factor=1.27, mode="bilinear", recompute_scale_factor=True),
        lambda F, x: F.interpolate(x, scale_factor=1.27, mode="bilinear", align_corners=True),
        lambda F, x: F.interpolate(x, scale_factor=1.27, recompute_scale_factor=True),
    ],
)
@pytest.mark.parametrize("N", [2, 0])
def test_forms_of_the_arguments(f, N):
    assert_parity(f, draw(N, 3, 7, 8), gradients=N > 0)


@pytest.mark.parametrize("mode", MODES, ids=str)
@pytest.mark.parametrize(("shape", "how"), [case for case in FINITE if np.prod(case[0]) < 2000], ids=str)
def test_gradient(shape, how, mode):
    x = at.tensor(draw(*shape), requires_grad=True)
    assert gradcheck(lambda x: F.interpolate(x, **how, **mode), [x], fast_mode=True)


X = np.zeros((1, 3, 5, 5))
BAD = [  # x, arguments, error, message
    (X[0, 0], {"size": 2}, ValueError, "x has shape (5, 5); expected (N, C, H, W)"),
    (X[:, :0], {"size": 2}, ValueError, "x has shape (1, 0, 5, 5)"),
    (X[:, :, :0], {"size": 2}, ValueError, "x has shape (1, 3, 0, 5)"),
    (X, {}, ValueError, "expected either size or scale_factor"),
    (X, {"size": 2, "scale_factor": 2}, ValueError, "expected either size or scale_factor"),
    (X, {"size": 0}, ValueError, "x of 5×5 would become 0×0"),
    (X, {"size": (3, -1)}, ValueError, "x of 5×5 would become 3×-1"),
    (X, {"size": (1, 2, 3)}, ValueError, "size is (1, 2, 3); expected an int or two"),
    (X, {"size": (1,)}, ValueError, "size is (1,); expected an int or two"),
    (X, {"size": 2.0}, TypeError, "size is 2.0"),
    (X, {"size": (2, 2.5)}, TypeError, "size is (2, 2.5)"),
    (X, {"scale_factor": 0.1}, ValueError, "x of 5×5 would become 0×0"),
    (X, {"scale_factor": -1.0}, ValueError, "would become -5×-5"),
    (X, {"scale_factor": (1, 1e30)}, ValueError, "would become 5×"),
    (X, {"scale_factor": float("nan")}, ValueError, "scale_factor is nan; expected finite numbers"),
    (X, {"scale_factor": float("inf")}, ValueError, "scale_factor is inf"),
    (X, {"scale_factor": (1, 2, 3)}, ValueError, "scale_factor is (1, 2, 3); expected a number or two"),
    (X, {"scale_factor": "2"}, TypeError, "scale_factor is '2'"),
    (X, {"size": 2, "recompute_scale_factor": True}, ValueError, "recompute_scale_factor is True"),
    (
        X,
        {"size": 2, "mode": "cubic"},
        ValueError,
        "mode is 'cubic'; expected one of ('nearest', 'lin",
    ),
    (X, {"size": 2, "align_corners": False}, ValueError, "align_corners is False; mode 'nearest' has none"),
    ("x", {"size": 2}, TypeError, "x is a str; expected a Tensor"),
    (X.astype(np.int64), {"size": 2}, TypeError, "x has dtype int64"),
]


@pytest.mark.parametrize(("x", "how", "error", "message"), BAD)
def test_bad_input(x, how, error, message):
    with pytest.raises(error, match=re.escape(message)) as raised:
        F.interpolate(at.tensor(x) if isinstance(x, np.ndarray) else x, **how)
    assert str(raised.value).startswith("interpolate: ")
    assert_torch_refuses(lambda F, x: F.interpolate(x, **how), x)


@pytest.mark.parametrize("how", [{}, {"size": 2, "scale_factor": 2}])
def test_bad_layer(how):
    with pytest.raises(ValueError, match="Upsample: expected size or scale_factor, and not both"):
        nn.Upsample(**how)


BOTH = [lambda x: F.interpolate(x, 9), lambda x: F.interpolate(x, 9, mode="bilinear")]


@pytest.mark.parametrize("f", BOTH)
def test_no_gradient_unless_wanted(f, monkeypatch):
    with counted_kernels(monkeypatch) as calls:
        f(at.ones(1, 2, 4, 4))
        assert len(calls) == 1
        assert calls[0].endswith("_forward")


@pytest.mark.parametrize("f", BOTH)
def test_no_conversion_of_channels_last_maps(f):
    x = at.Tensor(layout.channels_last(draw(2, 3, 6, 6)), requires_grad=True)
    grad_y = at.Tensor(layout.channels_last(np.ones(f(x).shape)))
    before = layout.conversions()
    f(x).backward(grad_y)
    assert layout.conversions() == before
    assert layout.is_channels_last(x.grad.data)


@pytest.mark.parametrize("f", BOTH)
def test_strided_input(f):
    x = randomly_strided(draw(2, 3, 6, 7))
    np.testing.assert_array_equal(f(at.from_numpy(x)).numpy(), f(at.tensor(np.ascontiguousarray(x))).numpy())
