"""Kernels of upsample2d: by hand, published examples, PyTorch, the case table on every level, properties, bad input."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from atrous import reference
from atrous.verify.draw import Draw
from atrous.verify.upsample2d import BILINEAR, CASES, NEAREST, arguments


def plane(rows):
    return np.array(rows, np.float64)[None, None]


@pytest.mark.parametrize("function", CASES)
def test_every_level_agrees_with_the_reference(function, check):
    check("upsample2d", function)


def test_bilinear_by_hand(backend):
    x = plane([[0, 8], [16, 40]])
    y = backend.upsample_bilinear2d_forward(x, (2, 4), False, None)  # a quarter and three quarters of the way
    assert y[0, 0].tolist() == [[0, 2, 6, 8], [16, 22, 34, 40]]
    y = backend.upsample_bilinear2d_forward(x, (3, 5), True, None)
    assert y[0, 0].tolist() == [[0, 2, 4, 6, 8], [8, 12, 16, 20, 24], [16, 22, 28, 34, 40]]
    grad_x = backend.upsample_bilinear2d_backward(plane([[4, 40, 400, 4000]]), (1, 2), False, None)
    assert grad_x[0, 0].tolist() == [[4 + 30 + 100, 10 + 300 + 4000]]
    grad_x = backend.upsample_bilinear2d_backward(plane([[4], [40], [400], [4000], [40000]]), (2, 1), True, None)
    assert grad_x[0, 0].tolist() == [[4 + 30 + 200 + 1000], [10 + 200 + 3000 + 40000]]


def test_nearest_by_hand(backend):
    y = backend.upsample_nearest2d_forward(plane([[1, 2, 3]]), (2, 5), None)  # 0, 0.6, 1.2, 1.8, 2.4
    assert y[0, 0].tolist() == [[1, 1, 2, 2, 3]] * 2
    grad_x = backend.upsample_nearest2d_backward(plane([[1, 20, 300, 4000, 50000]] * 2), (1, 3), None)
    assert grad_x[0, 0].tolist() == [[42, 8600, 100000]]
    y = backend.upsample_nearest2d_forward(plane([[1, 2, 3, 4, 5]]), (1, 2), None)
    assert y[0, 0].tolist() == [[1, 3]]
    grad_x = backend.upsample_nearest2d_backward(plane([[7, 8]]), (1, 5), None)
    assert grad_x[0, 0].tolist() == [[7, 0, 8, 0, 0]]


def test_examples_of_onnx(backend):
    """Resize in the ONNX operator documentation: linear, its corners aligned, downwards, and nearest."""
    x = plane([[1, 2], [3, 4]])
    y = backend.upsample_bilinear2d_forward(x, (4, 4), False, (2.0, 2.0))
    expected = [[1, 1.25, 1.75, 2], [1.5, 1.75, 2.25, 2.5], [2.5, 2.75, 3.25, 3.5], [3, 3.25, 3.75, 4]]
    np.testing.assert_allclose(y[0, 0], expected, rtol=1e-14)
    y = backend.upsample_bilinear2d_forward(x, (4, 4), True, (2.0, 2.0))
    expected = np.add.outer([1, 5 / 3, 7 / 3, 3], [0, 1 / 3, 2 / 3, 1])
    np.testing.assert_allclose(y[0, 0], expected, rtol=1e-14)
    x = plane([[1, 2, 3, 4], [5, 6, 7, 8]])
    y = backend.upsample_bilinear2d_forward(x, (1, 2), False, (0.6, 0.6))
    np.testing.assert_allclose(y[0, 0], [[2.6666665, 4.3333331]], rtol=1e-7)
    y = backend.upsample_bilinear2d_forward(x, (1, 2), True, (0.6, 0.6))
    assert y[0, 0].tolist() == [[1, 4]]
    y = backend.upsample_nearest2d_forward(plane([[1, 2], [3, 4]]), (4, 6), (2.0, 3.0))
    assert y[0, 0].tolist() == [[1, 1, 1, 2, 2, 2]] * 2 + [[3, 3, 3, 4, 4, 4]] * 2


def test_a_scale_takes_the_place_of_the_ratio_of_sizes(backend):
    x = plane([[0, 1, 2, 3, 4]])
    y = backend.upsample_bilinear2d_forward(x, (1, 6), False, (1.0, 1.25))  # (o + 1/2) / 1.25 - 1/2
    np.testing.assert_allclose(y[0, 0], [[0, 0.7, 1.5, 2.3, 3.1, 3.9]], rtol=1e-14)
    y = backend.upsample_nearest2d_forward(x, (1, 7), (1.0, 1.5))
    assert y[0, 0].tolist() == [[0, 0, 1, 2, 2, 3, 4]]
    for O in (5, 10):  # as PyTorch: the scale does not count
        y = backend.upsample_nearest2d_forward(x, (1, O), (1.0, O / 5 + 0.15))
        assert y[0, 0].tolist() == np.repeat([[0, 1, 2, 3, 4]], O // 5, axis=1).tolist()


@np.errstate(all="ignore")
def test_a_weight_of_zero_times_infinity_is_nan(backend):
    """As PyTorch. After the last row comes the last row, with a weight of 0."""
    x = plane([[1, np.inf, 2, 3], [1, np.inf, 2, 3]])
    y = backend.upsample_bilinear2d_forward(x, (3, 7), True, None)
    np.testing.assert_array_equal(y[0, 0, :, 4:], [[2, 2.5, 3]] * 3)
    np.testing.assert_array_equal(y[0, 0, :, :4], [[np.nan] * 4, [np.nan, *[np.inf] * 3], [np.nan] * 4])


@np.errstate(all="ignore")
@pytest.mark.parametrize("case", BILINEAR)
@pytest.mark.parametrize("memory", ["contiguous_format", "channels_last"])
def test_the_reference_agrees_with_pytorch(case, memory):
    torch = pytest.importorskip("torch")
    x = arguments("upsample_bilinear2d_forward", case, Draw(np.float64, case))["x"]
    tensor = torch.tensor(x).contiguous(memory_format=getattr(torch, memory)).requires_grad_()
    size, align_corners, scale = case["output_size"], case["align_corners"], case["scale"]
    how = (size, None) if scale is None else (None, scale)
    expected = torch._C._nn.upsample_bilinear2d(tensor, how[0], align_corners, how[1])
    y = reference.upsample_bilinear2d_forward(x, size, align_corners, scale)
    close = {"rtol": 1e-13, "atol": 1e-13 * (1 if case["values"] == "normal" else 1e306)}  # beside huge values
    np.testing.assert_allclose(y, expected.detach(), **close)
    if case["values"] == "normal" and x.size:
        grad_y = np.random.default_rng(0).standard_normal(y.shape)
        expected.backward(torch.tensor(grad_y))
        grad_x = reference.upsample_bilinear2d_backward(grad_y, x.shape[2:], align_corners, scale)
        np.testing.assert_allclose(grad_x, tensor.grad, rtol=1e-13, atol=1e-12)


@pytest.mark.parametrize("case", NEAREST)
@pytest.mark.parametrize("memory", ["contiguous_format", "channels_last"])
def test_the_reference_nearest_agrees_with_pytorch(case, memory):
    torch = pytest.importorskip("torch")
    x = arguments("upsample_nearest2d_forward", case, Draw(np.float64, case))["x"]
    tensor = torch.tensor(x).contiguous(memory_format=getattr(torch, memory)).requires_grad_()
    size, scale = case["output_size"], case["scale"]
    how = (size, None) if scale is None else (None, scale)
    expected = torch._C._nn.upsample_nearest2d(tensor, *how)
    y = reference.upsample_nearest2d_forward(x, size, scale)
    np.testing.assert_array_equal(y, expected.detach())
    if x.size:
        grad_y = np.random.default_rng(0).standard_normal(y.shape)
        expected.backward(torch.tensor(grad_y))
        grad_x = reference.upsample_nearest2d_backward(grad_y, x.shape[2:], scale)
        np.testing.assert_allclose(grad_x, tensor.grad, rtol=1e-13, atol=1e-12)


@pytest.mark.parametrize("sizes", [(33, 257), (7, 100), (100, 7), (640, 1001), (3, 1999)])
def test_nearest_rounds_positions_as_pytorch(sizes):
    """In float32, whatever the dtype of the image: exact arithmetic would take another pixel now and then."""
    torch = pytest.importorskip("torch")
    I, O = sizes
    x = np.arange(I, dtype=np.float64).reshape(1, 1, 1, I)
    for factor in (None, O / I, (O + 0.3) / I):
        expected = torch._C._nn.upsample_nearest2d(
            torch.tensor(x), *(((1, O), None) if factor is None else (None, (1, factor)))
        )
        y = reference.upsample_nearest2d_forward(x, expected.shape[2:], factor and (1.0, factor))
        np.testing.assert_array_equal(y, expected)


SIZES = st.tuples(*[st.integers(1, 12)] * 4)
SCALES = st.sampled_from([None, (1.3, 0.7), (0.5, 3.0)])


@given(SIZES, st.booleans(), SCALES, st.integers(0, 2**32))
def test_each_backward_is_the_adjoint_of_its_forward(backend, sizes, align_corners, scale, seed):
    size, output_size, rng = sizes[:2], sizes[2:], np.random.default_rng(seed)
    x, grad_y = rng.standard_normal((2, 3, *size)), rng.standard_normal((2, 3, *output_size))
    for name, how in (("bilinear", (align_corners, scale)), ("nearest", (scale,))):
        y = getattr(backend, f"upsample_{name}2d_forward")(x, output_size, *how)
        grad_x = getattr(backend, f"upsample_{name}2d_backward")(grad_y, size, *how)
        assert (grad_x * x).sum() == pytest.approx((grad_y * y).sum(), abs=1e-10)


@given(SIZES, st.booleans(), SCALES)
def test_an_image_of_one_colour_stays_so_and_a_ramp_stays_within_its_ends(backend, sizes, align_corners, scale):
    size, output_size = sizes[:2], sizes[2:]
    y = backend.upsample_bilinear2d_forward(np.full((1, 2, *size), 3.0), output_size, align_corners, scale)
    np.testing.assert_allclose(y, 3, rtol=1e-15)
    ramp = np.arange(size[1], dtype=np.float64).reshape(1, 1, 1, -1).repeat(size[0], axis=2)
    y = backend.upsample_bilinear2d_forward(ramp, output_size, align_corners, scale)
    assert (np.diff(y) >= -1e-12).all()
    assert y.min() >= 0
    assert y.max() <= size[1] - 1 + 1e-12


@pytest.mark.parametrize(
    ("function", "change"),
    [
        ("upsample_bilinear2d_forward", {"output_size": (0, 3)}),
        ("upsample_bilinear2d_forward", {"output_size": (3, -1)}),
        ("upsample_bilinear2d_forward", {"output_size": (2**31, 1)}),
        ("upsample_bilinear2d_forward", {"output_size": (2**30, 2**30)}),
        ("upsample_bilinear2d_forward", {"scale": (0.0, 1.0)}),
        ("upsample_bilinear2d_forward", {"scale": (1.0, float("nan"))}),
        ("upsample_bilinear2d_forward", {"x": np.zeros((1, 2, 0, 4), np.float32)}),
        ("upsample_bilinear2d_backward", {"input_size": (0, 5)}),
        ("upsample_bilinear2d_backward", {"scale": (-1.0, 1.0)}),
        ("upsample_nearest2d_forward", {"output_size": (4, 0)}),
        ("upsample_nearest2d_forward", {"scale": (1.0, 1e-30)}),
        ("upsample_nearest2d_backward", {"input_size": (5, -1)}),
        ("upsample_nearest2d_backward", {"grad_y": np.zeros((2, 3, 4, 0), np.float32)}),
        ("upsample_nearest2d_backward", {"scale": (float("inf"), 1.0)}),
    ],
)
def test_the_binding_refuses(cpu, function, change):
    good = arguments(function, CASES[function][2], Draw(np.float32))
    getattr(cpu, function)(**good)
    with pytest.raises((ValueError, MemoryError), match=f"{function}|too large"):
        getattr(cpu, function)(**{**good, **change})
