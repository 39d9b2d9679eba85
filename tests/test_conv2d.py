"""Kernels of conv2d: by hand and published examples, PyTorch, the case table on every level, properties, bad input."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from atrous import reference
from atrous.verify.conv2d import CASES, CASES_2D, arguments, bound
from atrous.verify.draw import Draw
from atrous.verify.harness import call, compare, in_float64

DENSE = {"stride": (1, 1), "padding": (0, 0), "dilation": (1, 1), "groups": 1}


def plane(*rows):
    return np.array(rows, np.float64)[None, None]


def ramp(height, width):
    return np.arange(height * width, dtype=np.float64).reshape(1, 1, height, width)


@pytest.mark.parametrize("function", CASES)
def test_every_level_and_algorithm_agrees_with_the_reference(function, check):
    check("conv2d", function)


def test_forward_by_hand(backend):
    x = plane([1, 2, 3], [4, 5, 6], [7, 8, 9])
    y = backend.conv2d_forward(x, plane([1, 0], [0, -1]), np.array([10.0]), **DENSE)
    assert y[0, 0].tolist() == [[6, 6], [6, 6]]  # 10 + x[i, j] - x[i + 1, j + 1]


def test_forward_is_a_correlation_and_not_flipped(backend):
    y = backend.conv2d_forward(plane([1, 2, 3]), plane([1, 10]), None, **DENSE)
    assert y[0, 0].tolist() == [[21, 32]]


def test_groups_by_hand(backend):
    x = np.array([1.0, 2, 3, 4]).reshape(1, 4, 1, 1)
    weight = np.array([[1.0, 10], [2, 20]]).reshape(2, 2, 1, 1)  # the first sees channels 0, 1, the second 2, 3
    y = backend.conv2d_forward(x, weight, None, **{**DENSE, "groups": 2})
    assert y.ravel().tolist() == [21, 86]


def test_dumoulin_and_visin(backend):
    """Figure 1.1 of "A guide to convolution arithmetic for deep learning", arXiv:1603.07285."""
    x = plane([3, 3, 2, 1, 0], [0, 0, 1, 3, 1], [3, 1, 2, 2, 3], [2, 0, 0, 2, 2], [2, 0, 0, 0, 1])
    y = backend.conv2d_forward(x, plane([0, 1, 2], [2, 2, 0], [0, 1, 2]), None, **DENSE)
    assert y[0, 0].tolist() == [[12, 12, 17], [10, 17, 19], [9, 6, 14]]


@pytest.mark.parametrize(
    ("size", "stride", "padding", "expected"),
    [
        ((5, 5), (1, 1), (0, 0), [[54, 63, 72], [99, 108, 117], [144, 153, 162]]),
        ((7, 5), (2, 2), (1, 1), [[12, 27, 24], [63, 108, 81], [123, 198, 141], [112, 177, 124]]),
        ((7, 5), (2, 2), (0, 0), [[54, 72], [144, 162], [234, 252]]),
        ((7, 5), (2, 2), (1, 0), [[21, 33], [99, 117], [189, 207], [171, 183]]),
    ],
)
def test_forward_examples_of_onnx(backend, size, stride, padding, expected):
    """The examples of Conv in the ONNX operator documentation: a ramp under a kernel of ones."""
    window = {**DENSE, "stride": stride, "padding": padding}
    y = backend.conv2d_forward(ramp(*size), np.ones((1, 1, 3, 3)), None, **window)
    assert y[0, 0].tolist() == expected


def test_transposed_examples_of_onnx(backend):
    """The examples of ConvTranspose in the ONNX operator documentation, plain and dilated."""
    y = backend.conv2d_backward_input(ramp(3, 3), np.ones((1, 2, 3, 3)), (5, 5), **DENSE)
    expected = [[0, 1, 3, 3, 2], [3, 8, 15, 12, 7], [9, 21, 36, 27, 15], [9, 20, 33, 24, 13], [6, 13, 21, 15, 8]]
    assert y[0].tolist() == [expected, expected]
    window = {**DENSE, "dilation": (2, 2)}
    x = plane([3, 8, 1], [9, 5, 7], [3, 2, 6])
    y = backend.conv2d_backward_input(x, plane([7, 2], [1, 9]), (5, 5), **window)
    assert y[0, 0].tolist() == [
        [21, 56, 13, 16, 2],
        [63, 35, 67, 10, 14],
        [24, 22, 76, 76, 21],
        [9, 5, 88, 45, 63],
        [3, 2, 33, 18, 54],
    ]


@pytest.mark.parametrize("case", CASES_2D)
@np.errstate(all="ignore")
def test_the_reference_agrees_with_pytorch(case):
    torch = pytest.importorskip("torch")
    a = arguments("conv2d_forward", case, Draw(np.float64, case))
    window = {name: case[name] for name in DENSE}
    x, weight, bias = (None if v is None else torch.tensor(v, requires_grad=True) for v in list(a.values())[:3])
    then = {name: torch.tensor(a.pop(name)) for name in case.get("then", "").split()}
    y = torch.nn.functional.conv2d(x, weight, bias, *window.values())
    np.testing.assert_allclose(reference.conv2d_forward(**a), y.detach(), rtol=1e-12, atol=1e-12)
    expected = (
        torch.nn.functional.conv2d(x, weight, None, *window.values()) * then.get("scale", torch.ones(1))[:, None, None]
    )
    expected = expected if bias is None else expected + bias[:, None, None]
    expected = expected.relu() if "relu" in then else expected
    expected = expected + then.get("residual", 0)
    expected = expected.relu() if "relu_last" in then else expected
    given = {name: value.numpy() if value.ndim else True for name, value in then.items()}
    np.testing.assert_allclose(reference.conv2d_forward(**a, **given), expected.detach(), rtol=1e-11, atol=1e-11)
    if case["values"] == "special":
        return  # how 0 * Inf in the padding counts is not defined
    grad_y = np.random.default_rng(0).standard_normal(tuple(y.shape))
    y.backward(torch.tensor(grad_y))
    grad_x = reference.conv2d_backward_input(grad_y, a["weight"], case["x"][2:], **window)
    grad_weight = reference.conv2d_backward_weight(grad_y, a["x"], case["weight"][2:], **window)
    np.testing.assert_allclose(grad_x, x.grad, rtol=1e-10, atol=1e-10)
    np.testing.assert_allclose(grad_weight, weight.grad, rtol=1e-10, atol=1e-9)
    if bias is not None:
        np.testing.assert_allclose(reference.conv2d_backward_bias(grad_y), bias.grad, rtol=1e-10, atol=1e-10)


sizes = st.integers(1, 9)
windows = st.fixed_dictionaries(
    {
        "stride": st.tuples(st.integers(1, 3), st.integers(1, 3)),
        "padding": st.tuples(st.integers(0, 3), st.integers(0, 3)),
        "dilation": st.tuples(st.integers(1, 3), st.integers(1, 3)),
        "groups": st.integers(1, 3),
    }
)


@given(st.integers(1, 3), st.tuples(sizes, sizes), st.tuples(*[st.integers(1, 4)] * 4), windows, st.integers(0, 2**32))
def test_the_three_directions_are_adjoint(backend, N, extra, weight_shape, window, seed):
    """<y, conv(x, w)> = <conv_backward_input(y, w), x> = <conv_backward_weight(y, x), w>, whatever the sizes."""
    OCG, ICG, KH, KW = weight_shape
    G, rng = window["groups"], np.random.default_rng(seed)
    size = [
        max(1, d * (k - 1) + 1 - 2 * p) + e
        for k, p, d, e in zip((KH, KW), window["padding"], window["dilation"], extra, strict=True)
    ]
    x, weight = rng.standard_normal((N, G * ICG, *size)), rng.standard_normal((G * OCG, ICG, KH, KW))
    y = backend.conv2d_forward(x, weight, None, **window)
    grad_y = rng.standard_normal(y.shape)
    inner = (y * grad_y).sum()
    tolerance = 1e-12 * (np.abs(y * grad_y).sum() + np.sqrt(y.size * weight[0].size))
    grad_x = backend.conv2d_backward_input(grad_y, weight, tuple(size), **window)
    grad_weight = backend.conv2d_backward_weight(grad_y, x, (KH, KW), **window)
    assert grad_x.shape == x.shape
    assert grad_weight.shape == weight.shape
    assert (grad_x * x).sum() == pytest.approx(inner, abs=tolerance)
    assert (grad_weight * weight).sum() == pytest.approx(inner, abs=tolerance)


@given(st.integers(1, 20), st.integers(1, 20), st.integers(0, 2**32))
def test_forward_is_linear(backend, IC, OC, seed):
    """With small whole numbers every sum is exact, so linearity holds to the last bit."""
    rng = np.random.default_rng(seed)
    a, b = rng.integers(-9, 9, (2, 1, IC, 5, 6)).astype(np.float32)
    weight = rng.integers(-9, 9, (OC, IC, 3, 2)).astype(np.float32)
    combined = backend.conv2d_forward(2 * a - 3 * b, weight, None, **DENSE)
    parts = (backend.conv2d_forward(part, weight, None, **DENSE) for part in (a, b))
    assert np.array_equal(combined, 2 * next(parts) - 3 * next(parts))


@given(st.sampled_from([1, 2, 4, 8]), st.integers(1, 9), st.tuples(sizes, sizes), windows, st.integers(0, 2**32))
def test_lanes_of_groups_and_products_of_matrices_agree(cpu, size, groups, extra, window, seed):
    """Groups of a few channels, by both algorithms: with small whole numbers every sum is exact."""
    rng, window = np.random.default_rng(seed), {**window, "groups": groups}
    KH, KW = rng.integers(1, 6, 2).tolist()
    image = [
        max(1, d * (k - 1) + 1 - 2 * p) + e
        for k, p, d, e in zip((KH, KW), window["padding"], window["dilation"], extra, strict=True)
    ]
    x = rng.integers(-2, 3, (2, groups * size, *image)).astype(np.float32)
    weight = rng.integers(-2, 3, (groups * size, size, KH, KW)).astype(np.float32)
    name = "depthwise" if size == 1 else "grouped"
    y, expected = (cpu.conv2d_forward(x, weight, None, **window, algorithm=a) for a in (name, "implicit_gemm"))
    assert np.array_equal(y, expected)
    for direction, *arrays in [("input", y, weight, tuple(image)), ("weight", y, x, (KH, KW))]:
        backward = getattr(cpu, f"conv2d_backward_{direction}")
        grad, expected = (backward(*arrays, **window, algorithm=a) for a in (name, "implicit_gemm"))
        assert np.array_equal(grad, expected)


@pytest.mark.parametrize("stride", [(1, 1), (2, 2)])
def test_outputs_beyond_the_caches(cpu, stride):
    """Source and destination of 32 MB and more: written past the caches, with small whole numbers to the last bit."""
    rng, window = np.random.default_rng(0), {**DENSE, "padding": (1, 1), "stride": stride, "groups": 16}
    x = channels_last(rng.integers(-2, 3, (1, 16, 720, 724)).astype(np.float32))
    weight, bias = rng.integers(-2, 3, (16, 1, 3, 3)).astype(np.float32), np.arange(16, dtype=np.float32)
    y, expected = (cpu.conv2d_forward(x, weight, bias, **window, algorithm=a) for a in ("depthwise", "implicit_gemm"))
    assert np.array_equal(y, expected)
    grads = (
        cpu.conv2d_backward_input(y, weight, (720, 724), **window, algorithm=a) for a in ("depthwise", "implicit_gemm")
    )
    assert np.array_equal(*grads)


@pytest.mark.parametrize("size", [1, 2, 4, 8])
def test_an_infinity_stays_in_its_group(cpu, size):
    """No lane reads what belongs to another group."""
    window = {**DENSE, "padding": (1, 1), "groups": 5}
    x, weight = np.ones((1, 5 * size, 4, 5), np.float32), np.ones((5 * size, size, 3, 3), np.float32)
    x[0, 2 * size] = np.inf  # the first channel of the third group
    mine = np.arange(5 * size) // size == 2
    y = cpu.conv2d_forward(x, weight, None, **window)
    grad_x = cpu.conv2d_backward_input(x, weight, (4, 5), **window)
    grad_weight = cpu.conv2d_backward_weight(np.ones_like(x), x, (3, 3), **window)
    for output in (y[0], grad_x[0]):
        assert np.isposinf(output[mine]).all()
        assert np.isfinite(output[~mine]).all()
    assert np.isposinf(grad_weight[mine, 0]).all()
    assert np.isfinite(grad_weight[~mine]).all()
    assert np.isfinite(grad_weight[:, 1:]).all()


def test_a_transposed_convolution_may_be_larger_than_its_windows_reach(backend):
    """output_padding: the pixels that no window of the forward reads get 0."""
    y = backend.conv2d_backward_input(np.ones((1, 1, 2, 2)), np.ones((1, 1, 2, 2)), (5, 4), (2, 2), (0, 0), (1, 1), 1)
    assert y.shape == (1, 1, 5, 4)
    assert y[0, 0, :4].all()
    assert not y[0, 0, 4].any()


@pytest.mark.parametrize("function", ["conv2d_forward", "conv2d_backward_input", "conv2d_backward_weight"])
@pytest.mark.parametrize("algorithm", [None, "implicit_gemm"])
def test_workspace_is_at_most_a_quarter_of_an_im2col_buffer(cpu, function, algorithm):
    """At 4 x 64 channels, 56 x 56 and 3 x 3, where that buffer would hold every input pixel nine times."""
    case = next(case for case in CASES_2D if case["padding"] == (1, 1) and case["weight"][2:] == (3, 3))
    case = {**case, "x": (4, 64, 56, 56), "weight": (64, 64, 3, 3), "bias": False}
    a = {name: channels_last(value) for name, value in arguments(function, case, Draw(np.float32)).items()}
    threads = cpu.get_num_threads()
    cpu.set_num_threads(2)  # each has a little workspace of its own
    cpu.memory_reset_peak()
    before = cpu.memory_stats()["current"]
    output = getattr(cpu, function)(**a, algorithm=algorithm)
    workspace = cpu.memory_stats()["peak"] - before - output.nbytes
    cpu.set_num_threads(threads)
    assert 0 < workspace <= 4 * 56 * 56 * 64 * 9 * 4 / 4


def channels_last(value):
    return value.transpose(0, 2, 3, 1).copy().transpose(0, 3, 1, 2) if isinstance(value, np.ndarray) else value


@pytest.mark.parametrize(
    ("function", "change", "message"),
    [
        ("conv2d_forward", {"stride": (0, 1)}, "stride is 0; expected at least 1"),
        ("conv2d_forward", {"stride": (1, -1)}, "stride is -1"),
        ("conv2d_forward", {"padding": (-1, 0)}, "padding is -1; expected at least 0"),
        ("conv2d_forward", {"dilation": (0, 1)}, "dilation is 0"),
        ("conv2d_forward", {"groups": 0}, "groups is 0"),
        ("conv2d_forward", {"groups": 2}, "do not fit weight"),  # 3 input channels
        ("conv2d_forward", {"padding": (2**40, 0)}, "padding"),  # products of sizes would overflow
        ("conv2d_forward", {"dilation": (100, 1)}, "larger than the padded input"),
        ("conv2d_forward", {"bias": np.zeros(7, np.float32)}, r"bias has shape \(7,\); expected \(8,\)"),
        ("conv2d_forward", {"algorithm": "depthwise"}, "depthwise"),
        ("conv2d_forward", {"algorithm": "grouped"}, "grouped"),
        ("conv2d_forward", {"algorithm": "fft"}, "fft"),
        ("conv2d_backward_input", {"input_size": (9, 5)}, "grad_y has shape"),
        ("conv2d_backward_input", {"input_size": (0, 5)}, "at least 1"),
        ("conv2d_backward_weight", {"kernel_size": (2, 3)}, "grad_y has shape"),
        ("conv2d_backward_weight", {"kernel_size": (0, 3)}, "at least 1"),
    ],
)
def test_the_binding_refuses(cpu, function, change, message):
    good = arguments(function, CASES_2D[2], Draw(np.float32))
    with pytest.raises(ValueError, match=message):
        getattr(cpu, function)(**{**good, **change})


def test_backward_input_visits_no_residue_beyond_the_image(cpu):
    """A stride may be far larger than the image: the time depends on the image alone."""
    one, far = np.ones((1, 1, 1, 1), np.float32), (2**30, 2**30)
    grad_x = cpu.conv2d_backward_input(one, one, (3, 4), far, (0, 0), (1, 1), 1)
    assert grad_x.tolist() == [[[[1, 0, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]]]]


@pytest.mark.parametrize(("rows", "padding"), [(1, 0), (2, 2**29)])
def test_what_a_gpu_cannot_count(cuda, rows, padding):
    """Places are 32-bit numbers there."""
    grad_y, weight = np.ones((1, 1, rows, 1), np.float32), np.ones((1, 1, 1, 1), np.float32)
    with pytest.raises(
        ValueError, match=r"padded rows and columns, stride and dilation must be below 2\*\*30, not 1073"
    ):
        cuda.conv2d_backward_input(grad_y, weight, (1, 1), (2**30, 1), (padding, 0), (1, 1), 1)


# Each runs one of the GPU's larger tiles, which small arrays do not; by the tile, where it is of use.
LARGE = [
    ("128x128", "conv2d_forward", (1, 20, 160, 162), (136, 20, 1, 1), {}),
    ("128x64", "conv2d_forward", (2, 12, 81, 160), (60, 12, 3, 3), {"padding": (1, 1), "then": "scale residual relu"}),
    ("128x128", "conv2d_backward_input", (1, 132, 160, 162), (8, 132, 1, 1), {}),
    ("128x64", "conv2d_backward_input", (2, 72, 81, 80), (68, 72, 3, 1), {"padding": (1, 0), "stride": (1, 2)}),
    ("128x128", "conv2d_backward_weight", (2, 72, 31, 30), (68, 72, 3, 1), {"padding": (1, 0), "stride": (1, 2)}),
]


@pytest.mark.parametrize(("tile", "function", "x", "weight", "more"), LARGE)
@pytest.mark.parametrize("algorithm", ["implicit_gemm", "tensor_cores"])
def test_large_tiles_of_cuda(cuda, tile, function, x, weight, more, algorithm):
    case = {**CASES_2D[0], "x": x, "weight": weight, **more}
    a = {**arguments(function, case, Draw(np.float32, tile, case)), "algorithm": algorithm}
    exact = in_float64(a)
    (got,), (expected,) = call(cuda, function, a), call(reference, function, exact)
    ratio, *_ = compare(got, expected, bound(function, exact, np.dtype(np.float32)))
    assert ratio.max() <= 1
    cuda.set_num_threads(3)  # other turns of a block's threads
    try:
        np.testing.assert_array_equal(call(cuda, function, a)[0], got)
    finally:
        cuda.set_num_threads(2)


# Weight gradients whose pixels are cut into so many pieces that a block has 32 slices for them, or 4; in packs or not.
PIECES = [
    ((1, 128, 66, 128), (128, 1, 1, 1), 128, np.float32),
    ((2, 32, 56, 56), (32, 1, 3, 3), 32, np.float64),
    ((1, 5, 120, 520), (5, 1, 2, 3), 5, np.float32),
    ((1, 6, 184, 184), (6, 6, 1, 1), 1, np.float32),
    ((1, 3, 90, 91), (5, 3, 1, 3), 1, np.float64),
]


@pytest.mark.parametrize(("x", "weight", "groups", "dtype"), PIECES)
def test_many_pieces_of_cuda(cuda, x, weight, groups, dtype):
    """Of small whole numbers, whose sums are exact in any order."""
    rng, window = np.random.default_rng(0), {**DENSE, "groups": groups}
    x, weight = rng.integers(-3, 4, x).astype(dtype), rng.integers(-3, 4, weight).astype(dtype)
    grad_y = rng.integers(-3, 4, reference.conv2d_forward(x, weight, None, **window).shape).astype(dtype)
    got = cuda.conv2d_backward_weight(grad_y, x, weight.shape[2:], **window)
    np.testing.assert_array_equal(got, reference.conv2d_backward_weight(grad_y, x, weight.shape[2:], **window))


# Maps whose tiles end amid the rows, the columns and the channels: of one pixel or one row, over several images, with
# packs of 16 bytes and without.
TILES = [
    (300, 8, 1, 1),
    (1, 4, 300, 1),
    (3, 36, 1, 37),
    (5, 72, 3, 2),
    (2, 40, 13, 21),
    (1, 33, 9, 29),
    (2, 144, 7, 57),
]


@pytest.mark.parametrize("x", TILES)
@pytest.mark.parametrize(("kernel", "stride"), [(3, 1), (3, 2), (5, 1), (5, 2), (4, 3)])
def test_tiles_of_cuda(cuda, x, kernel, stride):
    """Depthwise, of small whole numbers, whose sums are exact."""
    rng = np.random.default_rng(0)
    window = {"stride": (stride, stride), "padding": (2, 2), "dilation": (1, 1), "groups": x[1]}
    weight = rng.integers(-3, 4, (x[1], 1, kernel, kernel)).astype(np.float32)
    x = rng.integers(-3, 4, x).astype(np.float32)
    y = reference.conv2d_forward(x, weight, None, **window)
    np.testing.assert_array_equal(cuda.conv2d_forward(x, weight, None, **window), y)
    grad_x = reference.conv2d_backward_input(y, weight, x.shape[2:], **window)
    np.testing.assert_array_equal(cuda.conv2d_backward_input(y, weight, x.shape[2:], **window), grad_x)
    grad_y = rng.integers(-3, 4, y.shape).astype(np.float32)
    grad_weight = reference.conv2d_backward_weight(grad_y, x, weight.shape[2:], **window)
    np.testing.assert_array_equal(cuda.conv2d_backward_weight(grad_y, x, weight.shape[2:], **window), grad_weight)


def test_cuda_tensor_cores_round_to_the_nearest_and_keep_what_is_not_finite(cuda):
    """1 x 1 windows of 1 x 1 channels beside zeros: products of single numbers."""
    ulp = np.float32(2**-10)
    values = np.array(
        [1, 1 + ulp, 1 + ulp / 2, 1 + 0.49 * ulp, -1 - ulp / 2, 3e38, np.inf, -np.inf, np.nan], np.float32
    )
    expected = np.array([1, 1 + ulp, 1 + ulp, 1, -1 - ulp, 3e38, np.inf, -np.inf, np.nan], np.float32)
    values[-1:].view(np.uint32)[:] = 0x7FFFFFFF  # the NaN that GPUs make
    x, weight = np.zeros((1, 8, 9, 1), np.float32), np.zeros((8, 8, 1, 1), np.float32)
    x[0, 3, :, 0], weight[5, 3] = values, 1
    y = cuda.conv2d_forward(x, weight, None, **DENSE, algorithm="tensor_cores")[0, 5, :, 0]
    np.testing.assert_allclose(y, expected, rtol=2**-11)
    assert np.array_equal(y[:5], expected[:5])


def test_the_switch_of_cuda(cuda):
    sizes = ((2, 8, 9, 9), (16, 8, 3, 3), *DENSE.values())
    assert not cuda.kernels.get_tf32()
    assert cuda.kernels.conv2d_algorithms("forward", *sizes)[0] == "implicit_gemm"
    cuda.kernels.set_tf32(True)
    try:
        assert cuda.kernels.conv2d_algorithms("forward", *sizes)[0] == "tensor_cores"
    finally:
        cuda.kernels.set_tf32(False)
    with pytest.raises(ValueError, match="'tensor_cores' does not fit"):
        cuda.conv2d_forward(np.zeros((1, 2, 3, 3)), np.zeros((2, 2, 1, 1)), None, **DENSE, algorithm="tensor_cores")
