"""conv2d of small groups on a GPU, whose kernels take several groups at a time."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from atrous import reference
from atrous.verify.halves import half_dtypes

WAYS = [(np.float32, "implicit_gemm"), *((dtype, "tensor_cores") for dtype in (np.float32, *half_dtypes()))]
FUNCTIONS = ["conv2d_forward", "conv2d_backward_input", "conv2d_backward_weight"]

# Below, at and above what is read at a time; a group that fills a slab; one that is not small.
channels = st.sampled_from([1, 2, 3, 4, 5, 8, 12, 16, 20, 24, 32, 33])
pairs = st.tuples(st.integers(1, 3), st.integers(1, 3))
groups = st.sampled_from([2, 3, 8, 16, 17, 40])


@pytest.fixture(autouse=True)
def descending(cuda):
    """Emulated threads take turns from the last one on, so that one that writes where another should is seen."""
    set_order = getattr(cuda.kernels.compiled, "set_order", lambda order: None)
    set_order(1)
    yield
    set_order(2)


def whole(rng, *shape):
    return rng.integers(-3, 4, shape).astype(np.float64)


def drawn(N, ICG, OCG, G, kernel, stride, padding, dilation, extra, seed=0):
    """Small whole numbers, which TF32 holds, too, and whose sums are exact."""
    image = [max(1, d * (k - 1) + 1 - 2 * p) + e for k, d, p, e in zip(kernel, dilation, padding, extra, strict=True)]
    rng, window = np.random.default_rng(seed), (stride, padding, dilation, G)
    x, weight = whole(rng, N, G * ICG, *image), whole(rng, G * OCG, ICG, *kernel)
    y = reference.conv2d_forward(x, weight, None, *window)
    return x, weight, whole(rng, *y.shape), window


def results(kernels, x, weight, grad_y, window, dtype, **how):
    x, weight, grad_y = (array.astype(dtype) for array in (x, weight, grad_y))
    return [
        kernels.conv2d_forward(x, weight, None, *window, **how),
        kernels.conv2d_backward_input(grad_y, weight, x.shape[2:], *window, **how),
        kernels.conv2d_backward_weight(grad_y, x, weight.shape[2:], *window, **how),
    ]


def check(cuda, dtype, algorithm, case):
    found = results(cuda, *case, dtype, algorithm=algorithm)
    expected = results(reference, *case, np.float64)
    for function, a, b in zip(FUNCTIONS, found, expected, strict=True):
        of = np.float32 if function == "conv2d_backward_weight" else dtype
        assert a.dtype == of
        assert np.array_equal(a, b.astype(of)), function


@pytest.mark.parametrize(("dtype", "algorithm"), WAYS)
@settings(max_examples=40)
@given(
    st.tuples(st.integers(1, 3), channels, channels, groups),
    st.tuples(pairs, pairs, pairs, pairs, st.tuples(st.integers(0, 9), st.integers(0, 30))),
    st.integers(0, 2**32),
)
def test_sizes(cuda, dtype, algorithm, sizes, window, seed):
    N, ICG, OCG, G = sizes
    if ICG == OCG == 1:
        OCG = 2  # not depthwise
    check(cuda, dtype, algorithm, drawn(N, ICG, OCG, G, *window, seed))


@pytest.mark.parametrize(("dtype", "algorithm"), WAYS)
@pytest.mark.parametrize("C", [2, 4, 8, 16, 32])
@pytest.mark.parametrize("G", [2, 3, 17, 32])
def test_as_many_out_as_in(cuda, dtype, algorithm, C, G):
    """Layers of ResNeXt's kind, on a map of a few tiles of 128 pixels."""
    check(cuda, dtype, algorithm, drawn(2, C, C, G, (3, 3), (1, 1), (1, 1), (1, 1), (17, 20)))


@pytest.mark.parametrize(("dtype", "algorithm"), WAYS)
@pytest.mark.parametrize("C", [4, 8, 32])
@pytest.mark.parametrize("stride", [(2, 2), (1, 3)])
def test_strides_of_many_groups(cuda, dtype, algorithm, C, stride):
    """Slabs of 128 bytes, of which columns a stride apart lie side by side."""
    check(cuda, dtype, algorithm, drawn(1, C, C, 19, (3, 3), stride, (1, 1), (1, 1), (21, 37)))


@pytest.mark.parametrize("dtype", half_dtypes())
@pytest.mark.parametrize("C", [4, 8, 16])
def test_threads_wait_for_one_another(cuda, dtype, C):
    """Whatever turns they take; tiles of two batches, and blocks of several tiles."""
    case = drawn(8, C, C, 16, (3, 3), (1, 1), (1, 1), (1, 1), (16, 16))
    expected = results(reference, *case, np.float64)
    for order in (3, 4, 5):
        getattr(cuda.kernels.compiled, "set_order", lambda order: None)(order)
        for a, b in zip(results(cuda, *case, dtype, algorithm="tensor_cores"), expected, strict=True):
            assert np.array_equal(a, b.astype(a.dtype)), order


@pytest.mark.parametrize(("dtype", "algorithm"), WAYS)
@pytest.mark.parametrize(
    ("kernel", "stride", "padding", "dilation", "extra"),
    [
        ((1, 1), (1, 1), (0, 0), (1, 1), (5, 40)),
        ((7, 7), (1, 1), (3, 3), (1, 1), (9, 9)),
        ((3, 3), (2, 2), (1, 1), (1, 1), (30, 33)),
        ((3, 3), (1, 1), (12, 12), (12, 12), (6, 7)),  # tiles that see far
        ((3, 3), (1, 1), (60, 60), (60, 60), (2, 2)),  # further than a block's memory holds
        ((2, 2), (3, 4), (0, 0), (1, 1), (9, 9)),  # pixels that no tap reads
        ((3, 2), (2, 3), (2, 1), (2, 2), (9, 9)),
        ((3, 3), (5, 5), (9, 9), (1, 1), (20, 20)),  # windows of nothing but padding
    ],
)
def test_windows(cuda, dtype, algorithm, kernel, stride, padding, dilation, extra):
    check(cuda, dtype, algorithm, drawn(1, 8, 8, 3, kernel, stride, padding, dilation, extra))


@pytest.mark.parametrize(("dtype", "algorithm"), WAYS)
@pytest.mark.parametrize("value", [np.inf, np.nan])
@pytest.mark.parametrize(("C", "size"), [(4, 7), (8, 7), (3, 9), (16, 20)])
def test_what_is_not_finite_stays_in_its_group(cuda, dtype, algorithm, value, C, size):
    """And in its window: the reference's results, NaN for NaN."""
    x, weight, grad_y, window = drawn(1, C, C, 5, (3, 3), (1, 1), (1, 1), (1, 1), (size, size))
    x[0, C, 2, 3] = grad_y[0, 2 * C + 1, 4, 4] = value
    check_special(cuda, dtype, algorithm, (x, weight, grad_y, window))


@pytest.mark.parametrize("dtype", half_dtypes())
@pytest.mark.parametrize("channels", [(1, 2), (2, 1), (3, 3), (4, 2), (3, 4)])
@pytest.mark.parametrize("group", [0, 1, 5, 6])
@pytest.mark.parametrize("value", [np.inf, np.nan])
def test_what_is_not_finite_stays_out_of_its_neighbour(cuda, dtype, channels, group, value):
    """Groups of up to four channels are multiplied in pairs, the last of seven alone."""
    (ICG, OCG), rng = channels, np.random.default_rng(group)
    x, weight, grad_y, window = drawn(2, ICG, OCG, 7, (3, 3), (1, 1), (1, 1), (1, 1), (9, 12), int(rng.integers(99)))
    x[1, (group + 1) * ICG - 1, 4, 5] = grad_y[0, group * OCG, 8, 1] = value
    check_special(cuda, dtype, "tensor_cores", (x, weight, grad_y, window))


@pytest.mark.parametrize(("dtype", "algorithm"), WAYS)
@pytest.mark.parametrize("C", [4, 16])
def test_pixels_beyond_the_grid_see_nothing(cuda, dtype, algorithm, C):
    """An Inf in the last column meets the last tap of the last pixel, and no tap of those that fill a tile:
    37 columns are no whole tiles."""
    x, weight, grad_y, window = drawn(1, C, C, 3, (3, 3), (1, 1), (0, 0), (1, 1), (4, 36))
    x[0, C, 4, -1] = grad_y[0, 2 * C, -1, 3] = np.inf
    check_special(cuda, dtype, algorithm, (x, weight, grad_y, window))


@np.errstate(invalid="ignore")
def check_special(cuda, dtype, algorithm, case):
    expected = results(reference, *case, np.float64)
    for function, a, b in zip(FUNCTIONS, results(cuda, *case, dtype, algorithm=algorithm), expected, strict=True):
        assert np.isfinite(b).any()
        assert not np.isfinite(b).all()
        assert np.array_equal(a, b.astype(a.dtype), equal_nan=True), function


@pytest.mark.parametrize(("dtype", "algorithm"), WAYS)
@pytest.mark.parametrize("C", [3, 4, 8, 16])
def test_epilogue(cuda, dtype, algorithm, C):
    x, weight, grad_y, window = drawn(2, C, C, 7, (3, 3), (1, 1), (1, 1), (1, 1), (9, 10))
    rng = np.random.default_rng(1)
    scale, bias = whole(rng, 7 * C), whole(rng, 7 * C)
    then = {"scale": scale, "relu": True, "residual": grad_y, "relu_last": True}
    expected = reference.conv2d_forward(x, weight, bias, *window, **then)
    then |= {"scale": scale.astype(np.float32), "residual": grad_y.astype(dtype)}
    given = (x.astype(dtype), weight.astype(dtype), bias.astype(np.float32), *window)
    found = cuda.conv2d_forward(*given, algorithm=algorithm, **then)
    assert np.array_equal(found, expected.astype(dtype))
