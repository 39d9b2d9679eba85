import re

import numpy as np
import pytest
from parity import assert_parity, assert_torch_refuses, counted_kernels, draw, randomly_strided

import atrous as at
from atrous import layout, verify
from atrous.backend import backend_name
from atrous.gradcheck import gradcheck
from atrous.nn import functional as F

TABLE = [case for case in verify.conv2d.CASES["conv2d_forward"] if case["values"] != "special"]
SMALL = [case for case in TABLE if np.prod(case["x"]) * case["weight"][0] < 60_000]

TRANSPOSED = [  # x, weight, stride, padding, output_padding, groups, dilation, bias
    ((1, 1, 1, 1), (1, 1, 1, 1), 1, 0, 0, 1, 1, True),
    ((2, 3, 4, 5), (3, 4, 3, 3), 1, 0, 0, 1, 1, True),
    ((2, 3, 4, 5), (3, 17, 2, 2), 2, 0, 0, 1, 1, False),
    ((1, 4, 3, 5), (4, 2, 3, 3), (2, 3), (1, 0), (1, 2), 1, 1, True),
    ((1, 6, 4, 4), (6, 2, 3, 2), 2, 1, 1, 3, 1, True),
    ((2, 5, 3, 3), (5, 1, 4, 4), 2, 1, 0, 5, 1, True),
    ((1, 2, 3, 3), (2, 3, 3, 3), 1, 2, 0, 1, (2, 3), True),
    ((1, 2, 4, 3), (2, 3, 2, 3), 1, 1, 1, 1, 2, True),  # more output_padding than the stride allows: dilation does
    ((1, 2, 4, 3), (2, 2, 2, 3), (1, 2), (2, 0), (3, 1), 1, (4, 1), False),
    ((0, 3, 4, 5), (3, 4, 3, 3), 2, 1, 1, 1, 1, True),
]


def arguments(case):
    arrays = [draw(*case["x"]), draw(*case["weight"], seed=1)]
    return arrays + ([draw(case["weight"][0], seed=2)] if case["bias"] else [])


def window(case):
    return {name: case[name] for name in ("stride", "padding", "dilation", "groups")}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("case", SMALL, ids=str)
def test_agrees_with_pytorch(case, dtype):
    terms = 4 * max(*case["weight"][1:], np.prod(case["weight"][1:]), np.prod(case["x"][2:]))
    assert_parity(lambda F, *a: F.conv2d(*a, **window(case)), *arguments(case), dtype=dtype, terms=terms)


@pytest.mark.parametrize("case", SMALL, ids=str)
def test_gradient(case):
    inputs = [at.tensor(a, requires_grad=True) for a in arguments(case)]
    assert gradcheck(lambda *a: F.conv2d(*a, **window(case)), inputs, fast_mode=True)


@pytest.mark.parametrize(
    "how",
    [
        {"padding": "same"},
        {"padding": "valid"},
        {"padding": "same", "dilation": (2, 3)},
        {"stride": (2,), "padding": [1]},
        {"stride": np.int64(2), "padding": (np.int32(1), 0)},
        {"stride": [2, 1], "dilation": (1,)},
    ],
    ids=str,
)
@pytest.mark.filterwarnings("ignore:Using padding='same'")  # PyTorch's, for the copy that an even filter costs
@pytest.mark.parametrize("kernel", [(3, 3), (2, 4), (1, 1)])
@pytest.mark.parametrize("batch", [(2,), ()])
def test_forms_of_the_arguments(how, kernel, batch):
    x, weight, bias = draw(*batch, 3, 9, 11), draw(4, 3, *kernel), draw(4)
    assert_parity(lambda F, x, w, b: F.conv2d(x, w, b, **how), x, weight, bias, terms=400)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    ("x", "weight", "stride", "padding", "output_padding", "groups", "dilation", "bias"), TRANSPOSED
)
def test_transposed_agrees_with_pytorch(x, weight, stride, padding, output_padding, groups, dilation, bias, dtype):
    arrays = [draw(*x), draw(*weight)] + ([draw(weight[1] * groups)] if bias else [None])
    how = (stride, padding, output_padding, groups, dilation)
    assert_parity(
        lambda F, x, w, b=None: F.conv_transpose2d(x, w, b, *how),
        *[a for a in arrays if a is not None],
        dtype=dtype,
        terms=400,
    )


@pytest.mark.parametrize(
    ("x", "weight", "stride", "padding", "output_padding", "groups", "dilation", "bias"), TRANSPOSED
)
def test_transposed_gradient(x, weight, stride, padding, output_padding, groups, dilation, bias):
    inputs = [at.tensor(draw(*x), requires_grad=True), at.tensor(draw(*weight), requires_grad=True)]
    inputs += [at.tensor(draw(weight[1] * groups), requires_grad=True)] if bias else []
    how = (stride, padding, output_padding, groups, dilation)
    assert gradcheck(lambda x, w, b=None: F.conv_transpose2d(x, w, b, *how), inputs, fast_mode=True)


def test_transposed_one_image():
    assert_parity(lambda F, x, w: F.conv_transpose2d(x, w, stride=2), draw(3, 4, 5), draw(3, 2, 3, 3), terms=400)


def test_transposed_is_the_adjoint():
    """Σ conv(x) · y = Σ x · conv_transpose(y), which defines it."""
    x, weight, y = at.tensor(draw(2, 3, 9, 8)), at.tensor(draw(4, 3, 3, 2)), at.tensor(draw(2, 4, 5, 4))
    how = {"stride": 2, "padding": (1, 0)}
    left = (F.conv2d(x, weight, **how) * y).sum().item()
    right = (x * F.conv_transpose2d(y, weight, **how)).sum().item()
    assert left == pytest.approx(right, rel=1e-12)


z = np.zeros
BAD = [  # arguments of conv2d, keywords, error, message
    ([z((1, 4, 5, 5)), z((8, 3, 3, 3))], {}, ValueError, "x has 4 channels; expected 3 from weight (8, 3, 3, 3)"),
    ([z((1, 3, 5, 5)), z((8, 3, 3, 3))], {"groups": 3}, ValueError, "expected 9 from weight (8, 3, 3, 3) and groups 3"),
    ([z((1, 6, 5, 5)), z((8, 2, 3, 3))], {"groups": 3}, ValueError, "8 filters; expected a multiple of groups 3"),
    ([z((5, 5)), z((8, 3, 3, 3))], {}, ValueError, "x has shape (5, 5); expected (N, C, H, W) or (C, H, W)"),
    ([z((1, 1, 3, 5, 5)), z((8, 3, 3, 3))], {}, ValueError, "x has shape (1, 1, 3, 5, 5)"),
    ([z((1, 3, 5, 5)), z((8, 3, 3))], {}, ValueError, "weight has shape (8, 3, 3)"),
    ([z((1, 3, 5, 5)), z((0, 3, 3, 3))], {}, ValueError, "expected four sizes of 1 or more"),
    ([z((1, 3, 5, 5)), z((4, 3, 0, 3))], {}, ValueError, "expected four sizes of 1 or more"),
    ([z((1, 3, 0, 5)), z((4, 3, 3, 3))], {"padding": 2}, ValueError, "expected 1 or more channels, rows and columns"),
    ([z((1, 3, 5, 5)), z((8, 3, 3, 3)), z(7)], {}, ValueError, "bias has shape (7,); expected (8,) from weight"),
    ([z((1, 3, 5, 5)), z((8, 3, 3, 3)), z((1, 8))], {}, ValueError, "bias has shape (1, 8)"),
    ([z((1, 3, 2, 5)), z((8, 3, 3, 3))], {}, ValueError, "exceeds x (1, 3, 2, 5) with padding (0, 0)"),
    ([z((0, 3, 2, 5)), z((8, 3, 3, 3))], {}, ValueError, "exceeds x"),
    ([z((1, 3, 5, 2)), z((8, 3, 3, 3))], {}, ValueError, "exceeds x (1, 3, 5, 2) with padding (0, 0)"),
    ([z((1, 3, 5, 5)), z((8, 3, 3, 3))], {"dilation": 3}, ValueError, "with dilation (3, 3) exceeds x"),
    ([z((1, 3, 5, 5)), z((8, 3, 3, 3))], {"stride": 0}, ValueError, "stride is (0, 0)"),
    ([z((1, 3, 5, 5)), z((8, 3, 3, 3))], {"stride": (1, -1)}, ValueError, "stride is (1, -1)"),
    ([z((1, 3, 5, 5)), z((8, 3, 3, 3))], {"dilation": 0}, ValueError, "dilation (0, 0)"),
    ([z((1, 3, 5, 5)), z((8, 3, 3, 3))], {"padding": -1}, ValueError, "padding is (-1, -1); expected 0 or more"),
    ([z((1, 3, 5, 5)), z((8, 3, 3, 3))], {"groups": 0}, ValueError, "groups 0; expected 1 or more"),
    ([z((1, 3, 5, 5)), z((8, 3, 3, 3))], {"groups": 1.0}, TypeError, "groups is 1.0; expected an int"),
    ([z((1, 3, 5, 5)), z((8, 3, 3, 3))], {"stride": (1, 1, 1)}, ValueError, "stride has 3 numbers"),
    ([z((1, 3, 5, 5)), z((8, 3, 3, 3))], {"stride": 2.0}, TypeError, "stride is 2.0"),
    ([z((1, 3, 5, 5)), z((8, 3, 3, 3))], {"stride": True}, TypeError, "stride is True"),
    ([z((1, 3, 5, 5)), z((8, 3, 3, 3))], {"padding": "same", "stride": 2}, ValueError, "padding 'same' needs stride 1"),
    ([z((1, 3, 5, 5)), z((8, 3, 3, 3))], {"padding": "full"}, ValueError, "padding is 'full'"),
    ([z((1, 3, 5, 5)), z((8, 3, 3, 3), "float32")], {}, TypeError, "weight has dtype float32; expected float64 as x"),
    ([z((1, 3, 5, 5)), z((8, 3, 3, 3)), z(8, "float32")], {}, TypeError, "bias has dtype float32"),
    ([[[[1.0]]], z((8, 3, 3, 3))], {}, TypeError, "x is a list; expected a Tensor"),
    ([z((1, 3, 5, 5)), None], {}, TypeError, "weight is a NoneType; expected a Tensor"),
]  # fmt: skip

BAD_TRANSPOSED = [
    ([z((1, 4, 5, 5)), z((3, 8, 3, 3))], {}, ValueError, "x has 4 channels; expected 3 from weight (3, 8, 3, 3)"),
    ([z((1, 4, 5, 5)), z((4, 8, 3, 3))], {"groups": 3}, ValueError, "4 filters; expected a multiple of groups 3"),
    ([z((1, 4, 5, 5)), z((4, 8, 3, 3)), z(8)], {"groups": 2}, ValueError, "bias has shape (8,); expected (16,)"),
    ([z((1, 4, 5, 5)), z((4, 8, 3, 3))], {"output_padding": 1}, ValueError, "output_padding is (1, 1)"),
    ([z((1, 4, 5, 5)), z((4, 8, 3, 3))], {"output_padding": (1, 0), "dilation": (1, 2)}, ValueError, "is (1, 0)"),
    ([z((1, 4, 5, 5)), z((4, 8, 3, 3))], {"output_padding": -1}, ValueError, "output_padding is (-1, -1)"),
    ([z((1, 4, 5, 5)), z((4, 8, 3, 3))], {"padding": -1}, ValueError, "padding is (-1, -1)"),
    ([z((1, 4, 1, 1)), z((4, 8, 3, 3))], {"padding": 2}, ValueError, "would have size (-1, -1)"),
    ([z((4, 5)), z((4, 8, 3, 3))], {}, ValueError, "x has shape (4, 5)"),
    ([z((1, 4, 5, 5)), z((4, 8, 3, 3), "float32")], {}, TypeError, "weight has dtype float32"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "args", "how", "error", "message"),
    [("conv2d", *bad) for bad in BAD] + [("conv_transpose2d", *bad) for bad in BAD_TRANSPOSED],
)
def test_bad_input(name, args, how, error, message):
    tensors = [at.tensor(a) if isinstance(a, np.ndarray) else a for a in args]
    with pytest.raises(error, match=re.escape(message)) as raised:
        getattr(F, name)(*tensors, **how)
    assert str(raised.value).startswith(name + ": ")
    assert_torch_refuses(lambda F, *a: getattr(F, name)(*a, **how), *args)


def test_empty_batch_has_zero_gradients():
    x = at.zeros(0, 3, 5, 5, requires_grad=True)
    weight, bias = at.ones(4, 3, 3, 3, requires_grad=True), at.ones(4, requires_grad=True)
    F.conv2d(x, weight, bias).sum().backward()
    assert x.grad.shape == x.shape
    assert not weight.grad.numpy().any()
    assert not bias.grad.numpy().any()


def test_nan_reaches_the_windows_that_see_it():
    x = at.zeros(1, 1, 4, 4)
    x[0, 0, 0, 0] = float("nan")
    y = F.conv2d(x, at.ones(1, 1, 2, 2)).numpy()
    assert np.isnan(y[0, 0, 0, 0])
    assert np.isnan(y).sum() == 1


@pytest.mark.parametrize("name", ["conv2d", "conv_transpose2d"])
@pytest.mark.parametrize("wanted", [(x, w, b) for x in (0, 1) for w in (0, 1) for b in (0, 1)])
def test_only_wanted_gradients_are_computed(name, wanted, monkeypatch):
    tensors = [at.ones(1, 4, 5, 5), at.ones(4, 4, 3, 3), at.ones(4)]
    for tensor, want in zip(tensors, wanted, strict=True):
        tensor.requires_grad = bool(want)
    kernels = {
        "conv2d": ("conv2d_backward_input", "conv2d_backward_weight", "conv2d_backward_bias"),
        "conv_transpose2d": ("conv2d_forward", "conv2d_backward_weight", "conv2d_backward_bias"),
    }[name]
    with counted_kernels(monkeypatch) as calls:
        y = getattr(F, name)(*tensors)
        del calls[:]
        if any(wanted):
            y.sum().backward()
    assert calls == [kernel for kernel, want in zip(kernels, wanted, strict=True) if want]
    for tensor, want in zip(tensors, wanted, strict=True):
        assert (tensor.grad is not None) == bool(want)


@pytest.mark.parametrize("name", ["conv2d", "conv_transpose2d"])
def test_converts_each_array_once(name):
    """x and weight in C order: one conversion each in the forward, none in the backward."""
    x, weight = at.tensor(draw(2, 4, 5, 6), requires_grad=True), at.tensor(draw(4, 4, 3, 3), requires_grad=True)
    prepared = [at.Tensor(layout.channels_last(t.data), requires_grad=True) for t in (x, weight)]
    grad_y = at.Tensor(layout.channels_last(getattr(F, name)(x, weight).detach().data))

    def conversions(x, weight):
        before = layout.conversions()
        y = getattr(F, name)(x, weight)
        middle = layout.conversions()
        y.backward(grad_y)
        return middle - before, layout.conversions() - middle

    forward, backward = conversions(*prepared)
    assert forward == 0
    if backend_name() == "cpu":  # the reference returns gradients in any order, and leaves take theirs in their own
        assert backward == 0
    if not layout.is_channels_last(x.data):  # at.tensor may have normalised them
        assert conversions(x, weight)[0] == 2


def test_strided_input():
    x = randomly_strided(draw(2, 3, 6, 7))
    weight = at.tensor(draw(4, 3, 3, 3))
    expected = F.conv2d(at.tensor(np.ascontiguousarray(x)), weight)
    np.testing.assert_array_equal(F.conv2d(at.from_numpy(x), weight).numpy(), expected.numpy())


@pytest.mark.parametrize("changed", [0, 1])
def test_change_in_place_is_noticed(changed):
    tensors = [at.Tensor(layout.channels_last(draw(1, 2, 4, 4))), at.Tensor(layout.channels_last(draw(3, 2, 3, 3)))]
    tensors[1 - changed].requires_grad = True
    y = F.conv2d(*tensors)
    tensors[changed] += 1
    with pytest.raises(RuntimeError, match=r"conv2d.*changed in place"):
        y.sum().backward()


def test_converted_copy_is_safe_from_changes():
    x, weight = at.from_numpy(draw(1, 2, 4, 4)), at.tensor(draw(3, 2, 3, 3), requires_grad=True)
    F.conv2d(x.clone(), weight).sum().backward()
    expected, weight.grad = weight.grad, None
    y = F.conv2d(x, weight)  # x is in C order, so that conv2d works on a copy
    x += 1
    y.sum().backward()
    np.testing.assert_array_equal(weight.grad.numpy(), expected.numpy())


def test_nothing_is_recorded_without_need():
    x, weight = at.ones(1, 2, 4, 4), at.ones(3, 2, 3, 3, requires_grad=True)
    with at.no_grad():
        assert not F.conv2d(x, weight).requires_grad
    assert not F.conv2d(x, weight.detach()).requires_grad
