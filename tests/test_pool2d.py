"""Kernels of pool2d: by hand and published examples, PyTorch, the case table on every level, properties, bad input."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from atrous import reference
from atrous.verify.draw import Draw
from atrous.verify.pool2d import ADAPTIVE, AVERAGE, CASES, MAX, arguments

DUMOULIN_VISIN = [[3, 3, 2, 1, 0], [0, 0, 1, 3, 1], [3, 1, 2, 2, 3], [2, 0, 0, 2, 2], [2, 0, 0, 0, 1]]


def plane(rows):
    return np.array(rows, np.float64)[None, None]


def ramp(height, width):
    return np.arange(1, height * width + 1, dtype=np.float64).reshape(1, 1, height, width)


def window_of(case):
    return {name: value for name, value in case.items() if name not in ("x", "values")}


def without_huge(x):
    """Beside a huge value a sum depends on its order; the case tables allow for that, PyTorch is not asked."""
    x[np.isfinite(x) & (np.abs(x) > 1e300)] = 9
    return x


@pytest.mark.parametrize("function", CASES)
def test_every_level_agrees_with_the_reference(function, check):
    check("pool2d", function)


def test_max_by_hand(backend):
    y, taps = backend.max_pool2d_forward(plane([[1, 5, 2, 0], [4, 3, 7, 7]]), (2, 2), (1, 2), (0, 0), (1, 1), False)
    assert y[0, 0].tolist() == [[5, 7]]
    assert taps[0, 0].tolist() == [[1, 2]]  # of two equal values the first
    assert backend.max_pool2d_indices(taps, (2, 4), (2, 2), (1, 2), (0, 0), (1, 1))[0, 0].tolist() == [[1, 6]]
    grad_x = backend.max_pool2d_backward(plane([[10, 20]]), taps, (2, 4), (2, 2), (1, 2), (0, 0), (1, 1))
    assert grad_x[0, 0].tolist() == [[0, 10, 0, 0], [0, 0, 20, 0]]


def test_max_backward_adds_where_windows_overlap(backend):
    x = plane([[0, 9, 0]])
    _, taps = backend.max_pool2d_forward(x, (1, 2), (1, 1), (0, 0), (1, 1), False)
    grad_x = backend.max_pool2d_backward(plane([[1, 2]]), taps, (1, 3), (1, 2), (1, 1), (0, 0), (1, 1))
    assert grad_x[0, 0].tolist() == [[0, 3, 0]]


def test_a_tap_outside_its_window_or_the_image_is_ignored(backend):
    taps = np.array([[[[255, 1, 1], [0, 1, 255]]]], np.uint8)  # 1 of the last window and 0 of the first are padding
    grad_y = plane([[1, 20, 300], [4000, 50, 6]])
    grad_x = backend.max_pool2d_backward(grad_y, taps, (2, 4), (1, 2), (1, 2), (0, 1), (1, 1))
    assert grad_x[0, 0].tolist() == [[0, 0, 20, 0], [0, 0, 50, 0]]


def test_max_of_nan_and_infinity(backend):
    x = plane([[1, np.nan, 9, -np.inf]])
    y, taps = backend.max_pool2d_forward(x, (1, 2), (1, 1), (0, 1), (1, 1), False)
    np.testing.assert_array_equal(y[0, 0], [[1, np.nan, np.nan, 9, -np.inf]])
    assert taps[0, 0].tolist() == [[1, 1, 0, 0, 0]]  # never a tap in the padding


def test_taps_are_bytes_up_to_256_of_them(backend):
    x = ramp(17, 17)
    assert backend.max_pool2d_forward(x, (16, 16), (1, 1), (0, 0), (1, 1), False)[1].dtype == np.uint8
    _, taps = backend.max_pool2d_forward(x, (17, 16), (1, 1), (0, 0), (1, 1), False)
    assert taps.dtype == np.int32
    assert taps.ravel().tolist() == [271, 271]


def test_dumoulin_and_visin(backend):
    """Figures 3.1 and 3.2 of "A guide to convolution arithmetic for deep learning", arXiv:1603.07285."""
    x = plane(DUMOULIN_VISIN)
    average = backend.avg_pool2d_forward(x, (3, 3), (1, 1), (0, 0), False, True, None)
    assert np.round(average[0, 0], 1).tolist() == [[1.7, 1.7, 1.7], [1.0, 1.2, 1.8], [1.1, 0.8, 1.3]]
    largest, _ = backend.max_pool2d_forward(x, (3, 3), (1, 1), (0, 0), (1, 1), False)
    assert largest[0, 0].tolist() == [[3, 3, 3], [3, 3, 3], [3, 2, 3]]


def test_max_examples_of_onnx(backend):
    """MaxPool in the ONNX operator documentation: with ceil_mode, dilated, and padded."""
    y, _ = backend.max_pool2d_forward(ramp(4, 4), (3, 3), (2, 2), (0, 0), (1, 1), True)
    assert y[0, 0].tolist() == [[11, 12], [15, 16]]
    y, _ = backend.max_pool2d_forward(ramp(4, 4), (2, 2), (1, 1), (0, 0), (2, 2), False)
    assert y[0, 0].tolist() == [[11, 12], [15, 16]]
    y, taps = backend.max_pool2d_forward(ramp(5, 5), (5, 5), (1, 1), (2, 2), (1, 1), False)
    last = [[13, 14, 15, 15, 15], [18, 19, 20, 20, 20], *[[23, 24, 25, 25, 25]] * 3]
    assert y[0, 0].tolist() == last
    indices = backend.max_pool2d_indices(taps, (5, 5), (5, 5), (1, 1), (2, 2), (1, 1))
    assert (indices[0, 0] + 1).tolist() == last  # the ramp counts its pixels from 1


def test_average_examples_of_onnx(backend):
    """AveragePool in the ONNX operator documentation: with ceil_mode, and padded in both ways of counting."""
    y = backend.avg_pool2d_forward(ramp(4, 4), (3, 3), (2, 2), (0, 0), True, True, None)
    assert y[0, 0].tolist() == [[6, 7.5], [12, 13.5]]
    y = backend.avg_pool2d_forward(ramp(5, 5), (5, 5), (1, 1), (2, 2), False, False, None)
    assert y[0, 0].tolist() == [
        [7, 7.5, 8, 8.5, 9],
        [9.5, 10, 10.5, 11, 11.5],
        [12, 12.5, 13, 13.5, 14],
        [14.5, 15, 15.5, 16, 16.5],
        [17, 17.5, 18, 18.5, 19],
    ]
    y = backend.avg_pool2d_forward(ramp(5, 5), (5, 5), (1, 1), (2, 2), False, True, None)
    expected = [
        [2.52, 3.6, 4.8, 4.08, 3.24],
        [4.56, 6.4, 8.4, 7.04, 5.52],
        [7.2, 10, 13, 10.8, 8.4],
        [6.96, 9.6, 12.4, 10.24, 7.92],
        [6.12, 8.4, 10.8, 8.88, 6.84],
    ]
    np.testing.assert_allclose(y[0, 0], expected, rtol=1e-14)


def test_adaptive_by_hand(backend):
    x = plane([[1, 2, 3, 4, 5]])  # windows [0, 2), [1, 4), [3, 5)
    y = backend.adaptive_avg_pool2d_forward(x, (1, 3))
    assert y[0, 0].tolist() == [[1.5, 3, 4.5]]
    grad_x = backend.adaptive_avg_pool2d_backward(plane([[2, 30, 400]]), (1, 5))
    assert grad_x[0, 0].tolist() == [[1, 11, 10, 210, 200]]
    y, indices = backend.adaptive_max_pool2d_forward(x, (1, 3))
    assert y[0, 0].tolist() == [[2, 4, 5]]
    assert indices[0, 0].tolist() == [[1, 3, 4]]


@pytest.mark.parametrize("stray", [-1, -3, 0, 2, 3, 5, 8, 12, 2**32 + 4])
def test_an_index_outside_its_window_is_ignored(backend, stray):
    """The first of two windows over 2 x 3 pixels holds 0, 1, 3 and 4, the second 1, 2, 4 and 5."""
    indices = np.array([[[[4, 5]]]])
    good = backend.adaptive_max_pool2d_backward(plane([[10, 200]]), indices, (2, 3))
    assert good[0, 0].tolist() == [[0, 0, 0], [0, 10, 200]]
    indices[0, 0, 0, 0] = stray
    grad_x = backend.adaptive_max_pool2d_backward(plane([[10, 200]]), indices, (2, 3))
    expected = np.zeros(6)
    expected[5] = 200
    if stray in (0, 1, 3, 4):
        expected[stray] += 10
    assert grad_x[0, 0].ravel().tolist() == expected.tolist()


@pytest.mark.parametrize("case", MAX)
def test_the_reference_max_agrees_with_pytorch(case):
    torch = pytest.importorskip("torch")
    if case["dilation"] == (5, 5):
        return  # PyTorch reads past the image where no tap is inside
    x = arguments("max_pool2d_forward", case, Draw(np.float64, case))["x"]
    window = window_of(case)
    tensor = torch.tensor(x, requires_grad=True)
    expected, expected_indices = torch.nn.functional.max_pool2d(tensor, *window.values(), return_indices=True)
    y, taps = reference.max_pool2d_forward(x, **window)
    np.testing.assert_array_equal(y, expected.detach())
    if case["values"] in ("special", "nan"):
        return  # of several NaN PyTorch names the last
    del window["ceil_mode"]
    np.testing.assert_array_equal(reference.max_pool2d_indices(taps, x.shape[2:], **window), expected_indices)
    grad_y = np.random.default_rng(0).standard_normal(y.shape)
    expected.backward(torch.tensor(grad_y))
    grad_x = reference.max_pool2d_backward(grad_y, taps, x.shape[2:], **window)
    np.testing.assert_allclose(grad_x, tensor.grad, rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize("case", AVERAGE)
@np.errstate(all="ignore")
def test_the_reference_average_agrees_with_pytorch(case):
    torch = pytest.importorskip("torch")
    a = arguments("avg_pool2d_forward", case, Draw(np.float64, case))
    tensor = torch.tensor(without_huge(a["x"]), requires_grad=True)
    expected = torch.nn.functional.avg_pool2d(tensor, *list(a.values())[1:])
    y = reference.avg_pool2d_forward(**a)
    np.testing.assert_allclose(y, expected.detach(), rtol=1e-13, atol=1e-13)
    grad_y = np.random.default_rng(0).standard_normal(y.shape)
    expected.backward(torch.tensor(grad_y))
    window = {name: value for name, value in a.items() if name != "x"}
    grad_x = reference.avg_pool2d_backward(grad_y, a["x"].shape[2:], **window)
    np.testing.assert_allclose(grad_x, tensor.grad, rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize("case", ADAPTIVE)
@np.errstate(all="ignore")
def test_the_reference_adaptive_agrees_with_pytorch(case):
    torch = pytest.importorskip("torch")
    a = arguments("adaptive_avg_pool2d_forward", case, Draw(np.float64, case))
    size, rng = a["x"].shape[2:], np.random.default_rng(0)
    tensor = torch.tensor(without_huge(a["x"]), requires_grad=True)
    expected = torch.nn.functional.adaptive_avg_pool2d(tensor, a["output_size"])
    y = reference.adaptive_avg_pool2d_forward(**a)
    np.testing.assert_allclose(y, expected.detach(), rtol=1e-13, atol=1e-13)
    grad_y = rng.standard_normal(y.shape)
    expected.backward(torch.tensor(grad_y))
    grad_x = reference.adaptive_avg_pool2d_backward(grad_y, size)
    np.testing.assert_allclose(grad_x, tensor.grad, rtol=1e-13, atol=1e-13)

    tensor.grad = None
    expected, places = torch.nn.functional.adaptive_max_pool2d(tensor, a["output_size"], return_indices=True)
    y, indices = reference.adaptive_max_pool2d_forward(**a)
    np.testing.assert_array_equal(y, expected.detach())
    if case["values"] in ("special", "nan"):
        return  # of several NaN PyTorch names the last
    np.testing.assert_array_equal(indices, places)
    expected.backward(torch.tensor(grad_y))
    grad_x = reference.adaptive_max_pool2d_backward(grad_y, indices, size)
    np.testing.assert_allclose(grad_x, tensor.grad, rtol=1e-13, atol=1e-13)


@st.composite
def windows(draw):
    kernel = draw(st.tuples(st.integers(1, 4), st.integers(1, 4)))
    stride = draw(st.tuples(st.integers(1, 4), st.integers(1, 4)))
    padding = tuple(draw(st.integers(0, k // 2)) for k in kernel)
    size = tuple(k + draw(st.integers(0, 8)) for k in kernel)
    return size, kernel, stride, padding, draw(st.booleans())


@given(windows(), st.booleans(), st.sampled_from([None, 1, 5]), st.integers(0, 2**32))
def test_average_and_its_backward_are_adjoint(backend, window, count_include_pad, divisor_override, seed):
    size, kernel, stride, padding, ceil_mode = window
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((2, 3, *size))
    rest = (kernel, stride, padding, ceil_mode, count_include_pad, divisor_override)
    y = backend.avg_pool2d_forward(x, *rest)
    grad_y = rng.standard_normal(y.shape)
    grad_x = backend.avg_pool2d_backward(grad_y, size, *rest)
    assert (grad_x * x).sum() == pytest.approx((grad_y * y).sum(), abs=1e-10)


@given(windows(), st.integers(0, 2**32))
def test_max_takes_each_value_from_where_it_says(backend, window, seed):
    size, kernel, stride, padding, ceil_mode = window
    rng = np.random.default_rng(seed)
    x = rng.integers(-3, 3, (2, 3, *size)).astype(np.float64)  # with ties
    y, taps = backend.max_pool2d_forward(x, kernel, stride, padding, (1, 1), ceil_mode)
    indices = backend.max_pool2d_indices(taps, size, kernel, stride, padding, (1, 1))
    flat = x.reshape(2, 3, -1)
    np.testing.assert_array_equal(np.take_along_axis(flat, indices.reshape(2, 3, -1), axis=2), y.reshape(2, 3, -1))
    grad_y = rng.standard_normal(y.shape)
    grad_x = backend.max_pool2d_backward(grad_y, taps, size, kernel, stride, padding, (1, 1))
    assert (grad_x * x).sum() == pytest.approx((grad_y * y).sum(), abs=1e-10)
    assert grad_x.sum() == pytest.approx(grad_y.sum(), abs=1e-10)


@given(st.tuples(*[st.integers(1, 9)] * 4), st.integers(0, 2**32))
def test_adaptive_pools_and_their_backwards_are_adjoint(backend, sizes, seed):
    size, output_size, rng = sizes[:2], sizes[2:], np.random.default_rng(seed)
    x, grad_y = rng.standard_normal((2, 3, *size)), rng.standard_normal((2, 3, *output_size))
    y = backend.adaptive_avg_pool2d_forward(x, output_size)
    grad_x = backend.adaptive_avg_pool2d_backward(grad_y, size)
    assert (grad_x * x).sum() == pytest.approx((grad_y * y).sum(), abs=1e-10)
    y, indices = backend.adaptive_max_pool2d_forward(x, output_size)
    grad_x = backend.adaptive_max_pool2d_backward(grad_y, indices, size)
    assert (grad_x * x).sum() == pytest.approx((grad_y * y).sum(), abs=1e-10)


@pytest.mark.parametrize(
    ("function", "change"),
    [
        ("max_pool2d_forward", {"kernel_size": (0, 3)}),
        ("max_pool2d_forward", {"stride": (0, 1)}),
        ("max_pool2d_forward", {"padding": (-1, 0)}),
        ("max_pool2d_forward", {"dilation": (1, 0)}),
        ("max_pool2d_forward", {"kernel_size": (100, 3)}),  # larger than the padded image
        ("max_pool2d_forward", {"padding": (2**40, 2**40)}),
        ("max_pool2d_backward", {"input_size": (2, 2)}),  # does not give the size of grad_y
        ("max_pool2d_backward", {"taps": np.zeros((2, 17, 5, 5), np.uint8)}),  # of another size than grad_y
        ("max_pool2d_indices", {"stride": (0, 2)}),
        ("max_pool2d_indices", {"taps": np.full((2, 17, 5, 4), 9, np.uint8)}),  # there are taps 0 to 8
        ("avg_pool2d_forward", {"divisor_override": 0}),
        ("avg_pool2d_forward", {"stride": (1, 0)}),
        ("avg_pool2d_backward", {"input_size": (2, 2)}),
        ("avg_pool2d_backward", {"input_size": (-9, 7)}),
        ("adaptive_avg_pool2d_forward", {"output_size": (-1, 2)}),
        ("adaptive_avg_pool2d_backward", {"input_size": (-7, 7)}),
        ("adaptive_max_pool2d_forward", {"output_size": (2**40, 2**40)}),
        ("adaptive_max_pool2d_backward", {"input_size": (0, 6)}),
        ("adaptive_max_pool2d_backward", {"input_size": (2**20, 2**20)}),
        ("adaptive_max_pool2d_backward", {"indices": np.zeros((1, 3, 4, 2), np.int64)}),
    ],
)
def test_the_binding_refuses(cpu, function, change):
    good = arguments(
        function, CASES[function][2 if "adaptive" in function or "max" in function else 6], Draw(np.float32)
    )
    getattr(cpu, function)(**good)
    with pytest.raises((ValueError, MemoryError), match=function):
        getattr(cpu, function)(**{**good, **change})


@pytest.mark.parametrize("x", [(300, 8, 1, 1), (1, 4, 150, 1), (3, 36, 1, 37), (2, 33, 13, 29), (1, 72, 9, 57)])
@pytest.mark.parametrize(("kernel", "stride"), [(3, 1), (3, 2), (5, 2)])
def test_tiles_of_cuda(cuda, x, kernel, stride):
    """Overlapping windows, over maps whose tiles end amid the rows, the columns and the channels."""
    rng, window = np.random.default_rng(0), ((kernel, kernel), (stride, stride), (kernel // 2, kernel // 2), (1, 1))
    x = rng.integers(-9, 10, x).astype(np.float32)
    y, taps = reference.max_pool2d_forward(x, *window, False)
    for got, expected in zip(cuda.max_pool2d_forward(x, *window, False), (y, taps), strict=True):
        np.testing.assert_array_equal(got, expected)
    grad_x = reference.max_pool2d_backward(y, taps, x.shape[2:], *window)
    np.testing.assert_array_equal(cuda.max_pool2d_backward(y, taps, x.shape[2:], *window), grad_x)
