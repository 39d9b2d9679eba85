import re

import numpy as np
import pytest
from parity import assert_parity, assert_torch_refuses, draw

import atrous as at
from atrous import gpu, layout
from atrous.gradcheck import gradcheck
from atrous.nn import functional as F

CONSTANT = [
    ((3,), (1, 2)),
    ((2, 3), (1, 0)),
    ((2, 3), (0, 1, 2, 0)),
    ((2, 3, 4, 5), (1, 2, 3, 4)),
    ((2, 3, 4, 5), (1, 2, 3, 4, 5, 6, 7, 8)),
    ((2, 3, 4, 5), (-1, 2, 0, -2)),
    ((2, 3), (-1, -2)),
    ((0, 3), (1, 1)),
    ((2, 3), ()),
]
OTHERS = [  # shape, pad, modes
    ((2, 3, 4, 5), (1, 2, 3, 0), ("reflect", "replicate", "circular")),
    ((3, 4, 5), (4, 1, 0, 3), ("reflect", "replicate", "circular")),
    ((2, 3, 5), (2, 4), ("reflect", "replicate", "circular")),
    ((3, 5), (2, 4), ("reflect", "replicate", "circular")),
    ((2, 3, 4, 5), (9, 8, 7, 6), ("replicate",)),
    ((2, 3, 4, 5), (1, -2, 0, 1), ("reflect", "replicate")),
    ((2, 3, 4, 5), (5, 5, 4, 0), ("circular",)),
]


@pytest.mark.parametrize("value", [None, 0.0, -1.5])
@pytest.mark.parametrize(("shape", "pad"), CONSTANT)
def test_constant_agrees_with_pytorch(shape, pad, value):
    assert_parity(lambda F, x: F.pad(x, pad, value=value), draw(*shape))


@pytest.mark.parametrize(("shape", "pad", "mode"), [(s, p, m) for s, p, modes in OTHERS for m in modes])
def test_other_modes_agree_with_pytorch(shape, pad, mode):
    assert_parity(lambda F, x: F.pad(x, pad, mode=mode), draw(*shape))


@pytest.mark.parametrize(
    ("pad", "mode"), [((1, -1, 0, 2), "constant")] + [((1, 2, 0, 1), m) for m in ("reflect", "replicate", "circular")]
)
def test_gradient(pad, mode):
    assert gradcheck(
        lambda x: F.pad(x, pad, mode=mode), [at.tensor(draw(2, 2, 3, 3), requires_grad=True)], fast_mode=True
    )


def test_integers_and_bool_as_pytorch():
    assert_parity(lambda F, x: F.pad(x, (1, 1), value=2), np.array([5, 6]))
    assert_parity(lambda F, x: F.pad(x, (1, 1)), np.array([True]))


def test_keeps_channels_last():
    x = at.Tensor(layout.channels_last(draw(2, 3, 4, 5)), requires_grad=True)
    grad_y = at.Tensor(layout.channels_last(draw(2, 3, 6, 7)))
    before = layout.conversions()
    for mode in ("constant", "reflect", "replicate", "circular"):
        y = F.pad(x, (1, 1, 1, 1), mode)
        assert layout.is_channels_last(y.data)
        y.backward(grad_y)
    assert layout.is_channels_last(x.grad.data)
    assert layout.conversions() == before


@pytest.mark.parametrize("mode", ["constant", "reflect", "replicate", "circular"])
def test_on_another_array_library(mode, foreign):
    x = draw(2, 3, 4, 5)
    there, here = at.Tensor(foreign.asarray(x), True), at.tensor(x, requires_grad=True)
    for t in (there, here):
        y = F.pad(t, (1, 2, 3, 0), mode)
        y.sum().backward()
    assert isinstance(there.grad.data, foreign.ndarray)
    np.testing.assert_array_equal(gpu.to_host(there.grad.data), here.grad.numpy())


z = np.zeros
BAD = [
    (z((2, 3)), (1,), {}, ValueError, "pad has 1 numbers; expected two for each axis"),
    (z((2, 3)), (1,) * 6, {}, ValueError, "pad has 6 numbers; expected at most 4"),
    (z((2, 3)), (-2, -2), {}, ValueError, "pad (-2, -2) cuts off more than x (2, 3) has"),
    (z((2, 3)), (1.0, 1), {}, TypeError, "pad is (1.0, 1); expected a tuple of ints"),
    (z((2, 3)), (1, 1), {"mode": "mirror"}, ValueError, "mode is 'mirror'"),
    (z((1, 3, 4)), (4, 0), {"mode": "reflect"}, ValueError, "mode 'reflect' takes 3 at most"),
    (z((1, 3, 4)), (0, 5), {"mode": "circular"}, ValueError, "mode 'circular' takes 4 at most"),
    (z((1, 1, 3, 4)), (1, 1), {"mode": "reflect"}, ValueError, "mode 'reflect' pads all but the first one or two axes"),
    (z((1, 3, 4)), (1, 0), {"mode": "reflect", "value": 2.0}, ValueError, "value is 2.0; mode 'reflect' takes none"),
    ([0.0], (1, 1), {}, TypeError, "x is a list; expected a Tensor"),
]  # fmt: skip


@pytest.mark.parametrize(("x", "pad", "how", "error", "message"), BAD)
def test_bad_input(x, pad, how, error, message):
    with pytest.raises(error, match=re.escape(message)):
        F.pad(at.tensor(x) if isinstance(x, np.ndarray) else x, pad, **how)
    assert_torch_refuses(lambda F, x: F.pad(x, pad, **how), x)


@pytest.mark.parametrize(("classes", "n"), [([1, 0, 2], -1), ([1, 0, 2], 5), ([[1], [0]], -1), (2, -1), ([], 3)])
def test_one_hot_agrees_with_pytorch(classes, n):
    assert_parity(lambda F, t: F.one_hot(t, n), np.array(classes, int))


@pytest.mark.parametrize(
    ("classes", "n", "error", "message"),
    [
        (np.array([-1, 2]), -1, ValueError, "classes has a negative class"),
        (np.array([1, 2]), 2, ValueError, "classes has 2; expected less than num_classes 2"),
        (np.array([0]), 0, ValueError, "classes has 0"),
        (np.array([], int), -1, ValueError, "classes is empty"),
        (np.array([1], "int32"), -1, TypeError, "classes is int32; expected an int64 Tensor"),
        (np.array([1.0]), -1, TypeError, "classes is float64"),
        (np.array([1]), -2, ValueError, "classes has 1; expected less than num_classes -2"),
    ],
)
def test_one_hot_bad_input(classes, n, error, message):
    with pytest.raises(error, match=re.escape(f"one_hot: {message}")):
        F.one_hot(at.tensor(classes), n)
    assert_torch_refuses(lambda F, t: F.one_hot(t, n), classes)
