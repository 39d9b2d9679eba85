"""A GPU's kernels on numbers of 16 bits: as in float32, rounded once. The case tables run in the families' tests."""

import contextlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from atrous import reference, verify
from atrous.verify.draw import Draw
from atrous.verify.halves import finfo, half_dtypes
from atrous.verify.harness import call, in_16_bits, map_arrays, same_bits

HALVES = half_dtypes()
# Whose sums run in the same order whatever the dtype is.
SAME_ORDER = [
    (family, function)
    for family in ("activation", "elementwise", "pool2d", "upsample2d", "batch_norm", "conv2d")
    for function in verify.FAMILIES[family].HALVES
    if function
    not in ("batch_norm_statistics", "conv2d_backward_weight", "conv2d_backward_bias", "batch_norm_backward_train")
]


@pytest.mark.parametrize("dtype", HALVES)
@pytest.mark.parametrize(("family", "function"), SAME_ORDER)
@np.errstate(all="ignore")
def test_the_kernel_of_float32_rounded_once(cuda, family, function, dtype):
    """Bit for bit. Gradients of batch norm's parameters are sums in another order; the case table looks at those."""
    table = verify.FAMILIES[family]
    for case in table.CASES[function]:
        if family == "conv2d" and not case["groups"] == case["x"][1] == case["weight"][0]:
            continue  # not depthwise: products of matrices add in an order of their own
        arguments = in_16_bits(table, function, table.arguments(function, case, Draw(dtype, function, case)), dtype)
        got = call(cuda, function, map_arrays(arguments, np.copy))
        wide = call(cuda, function, map_arrays(arguments, widened))
        for i, (a, b) in enumerate(zip(got, wide, strict=True)):
            if i not in table.HALVES[function]:
                assert same_bits(a, b.astype(a.dtype)), case


def widened(array):
    return array.astype(np.float32) if array.dtype in HALVES else array.copy()


def all_numbers(dtype):
    return np.arange(2**16, dtype=np.uint16).view(dtype)


@pytest.mark.parametrize("dtype", HALVES)
@np.errstate(all="ignore")
def test_every_number_comes_through_unchanged(cuda, dtype):
    """Subnormals, -0 and Inf with their bits; a NaN as some NaN."""
    x = all_numbers(dtype)
    y = cuda.leaky_relu_forward(x, 1.0)
    nan = np.isnan(x)
    assert np.isnan(y[nan]).all()
    assert np.array_equal(y[~nan].view(np.uint16), x[~nan].view(np.uint16))


@pytest.mark.parametrize("dtype", HALVES)
@np.errstate(all="ignore")
def test_results_are_rounded_to_nearest_even(cuda, dtype):
    """Of each number the next quarter, half and three quarters of a spacing, by a product with a power of two."""
    x = all_numbers(dtype)
    for factor in (0.25, 0.5, 0.75, 1 + 2**-9, 1.5, 3, 2**-12):
        exact = x.astype(np.float32) * np.float32(factor)  # of 11 bits and 10: no float32 rounds
        expected = np.where(x > 0, x, exact.astype(dtype))
        assert same_bits(cuda.leaky_relu_forward(x, factor), expected), factor


@pytest.mark.parametrize("dtype", HALVES)
def test_what_is_too_large_is_infinite(cuda, dtype):
    most = finfo(np.dtype(dtype)).max
    x = np.array([most, -most, most, most], dtype)
    below = (x[:1].view(np.uint16) - 1).view(dtype).astype(np.float64)[0]
    half_a_spacing = (float(most) - below) / 2
    small = np.array([most, -most, half_a_spacing, half_a_spacing / 2], dtype)
    y = cuda.add_forward(x, small)
    assert y.astype(np.float64).tolist() == [np.inf, -np.inf, np.inf, float(most)]


def ones_beside_2048(dtype, *image):
    """2048's neighbours in 16 bits are 2 or 16 away: added one by one, the ones would be lost."""
    x = np.ones((1, 8, *image), dtype)
    x[:, :, 0, 0] = 2048
    return x, 2048 + image[0] * image[1] - 1


@pytest.mark.parametrize("dtype", HALVES)
def test_sums_are_not_in_16_bits(cuda, dtype):
    x, total = ones_beside_2048(dtype, 5, 5)
    for y in (
        cuda.avg_pool2d_forward(x, (5, 5), (5, 5), (0, 0), False, True, 1),
        cuda.upsample_nearest2d_backward(x, (1, 1), None),
        cuda.conv2d_forward(x, np.ones((8, 1, 5, 5), dtype), None, (1, 1), (0, 0), (1, 1), 8),
    ):
        assert y.dtype == dtype
        assert y.ravel().tolist() == [np.array(total, dtype)] * 8


@pytest.mark.parametrize("dtype", HALVES)
def test_sums_of_channels_are_not_in_16_bits(cuda, dtype):
    """With some pixels for every thread. Exact: whole numbers that float32 holds."""
    x, total = ones_beside_2048(dtype, 32, 64)
    mean, var = cuda.batch_norm_statistics(x)
    assert mean.tolist() == [total / 2048] * 8
    assert var == pytest.approx((2048**2 + 2047) / 2048 - mean**2, rel=2**-22)  # squares are float32
    one = np.ones_like(x)
    for grad_y, z in ((x, one), (one, x)):
        _, grad_weight, grad_bias = cuda.batch_norm_backward_eval(grad_y, z, None, None, np.zeros(8), np.ones(8), 0.0)
        assert grad_weight.dtype == grad_bias.dtype == np.float32
        assert grad_weight.tolist() == [total] * 8
    grad_weight = cuda.conv2d_backward_weight(one, x, (1, 1), (1, 1), (0, 0), (1, 1), 8)
    assert grad_weight.dtype == np.float32
    assert grad_weight.ravel().tolist() == [total] * 8


@pytest.mark.parametrize("dtype", HALVES)
@pytest.mark.parametrize("function", ["batch_norm_backward_eval", "batch_norm_backward_train"])
def test_relu_looks_at_z_and_not_at_what_is_stored_of_it(cuda, function, dtype):
    """z is ±2^-140, a float32, whose nearest number of 16 bits is 0: the gradient passes where z is positive."""
    x = np.array([1, -1, 1, -1], dtype).reshape(1, 1, 2, 2)
    grad_y = np.array([1, 2, 4, 8], dtype).reshape(x.shape)
    given = (np.array([2**-140], np.float32), None, np.zeros(1), np.ones(1), 0.0)
    assert not cuda.batch_norm_forward(x, *given, relu=True).any()
    _, _, grad_bias = getattr(cuda, function)(grad_y, x, *given, relu=True)
    assert grad_bias.tolist() == [5]


@pytest.mark.parametrize("dtype", HALVES)
@pytest.mark.parametrize("C", [1, 3, 8, 64, 130])
@np.errstate(all="ignore")
def test_the_backward_sees_the_sign_that_the_forward_saw(cuda, dtype, C):
    """As that of float32 does on the same numbers; sums of small integers are exact in any order."""
    rng = np.random.default_rng(C)
    x = rng.standard_normal((200, C, 1, 1)).astype(dtype)
    grad_y = rng.integers(1, 9, x.shape).astype(dtype)
    weight, bias = rng.standard_normal((2, C)).astype(np.float32)
    mean, var = rng.standard_normal(C), rng.uniform(0.1, 2, C)
    x[:100] = (mean - bias / weight * np.sqrt(var))[:, None, None]  # there z is nearly 0
    given = (weight, bias, mean, var, 0.0)
    wide, grad_wide = x.astype(np.float32), grad_y.astype(np.float32)
    passed = cuda.batch_norm_forward(wide, *given, relu=True) > 0
    assert 0 < passed[:100].mean() < 1 or C == 1
    for function in ("batch_norm_backward_eval", "batch_norm_backward_train"):
        _, _, grad_bias = getattr(cuda, function)(grad_y, x, *given, relu=True)
        assert grad_bias.tolist() == (grad_wide * passed).sum(axis=(0, 2, 3)).tolist()


@pytest.mark.parametrize("dtype", HALVES)
def test_parameters_stay_float32(cuda, dtype):
    x, other = np.ones((1, 3, 2, 2), dtype), np.ones((1, 3, 2, 2), np.float32)
    one, of_16_bits = np.ones(3), np.ones(3, dtype)
    for name in ("weight", "bias", "mean", "var"):
        given = {"weight": None, "bias": None, "mean": one, "var": one, "eps": 0.0, name: of_16_bits}
        with pytest.raises(
            TypeError, match=f"batch_norm_forward: {name} has dtype {np.dtype(dtype)}; expected float32"
        ):
            cuda.batch_norm_forward(x, **given)
    with pytest.raises(TypeError, match=f"residual has dtype float32; expected {np.dtype(dtype)}"):
        cuda.add_forward(x, other)
    with pytest.raises(TypeError, match=f"grad_y has dtype float32; expected {np.dtype(dtype)}"):
        cuda.relu_backward(other, x)
    with pytest.raises(TypeError, match=r"running_mean has dtype \w*16; expected float32"):
        cuda.batch_norm_statistics(x, of_16_bits, of_16_bits, 0.1)
    with pytest.raises(TypeError, match="x has dtype int16; expected float32, float64, float16 or bfloat16"):
        cuda.relu_forward(np.ones(3, np.int16))


channels = st.sampled_from([1, 3, 8, 17, 33, 64, 72])  # below, at and above what is copied or multiplied at a time
pairs = st.tuples(st.integers(1, 3), st.integers(1, 3))


@pytest.mark.parametrize("dtype", HALVES)
@pytest.mark.parametrize("capability", [80, 90])
@settings(max_examples=25)
@given(
    st.tuples(channels, channels, st.integers(1, 2)),
    st.tuples(pairs, pairs, pairs, pairs, st.tuples(st.integers(1, 9), st.integers(1, 9))),
    st.integers(1, 3),
    st.integers(0, 2**32),
)
def test_convolutions_of_odd_sizes(cuda, dtype, capability, groups, sizes, N, seed):
    """With small whole numbers every sum is exact, so that the result is the exact one, rounded once."""
    (ICG, OCG, G), (kernel, stride, padding, dilation, extra) = groups, sizes
    image = [max(1, d * (k - 1) + 1 - 2 * p) + e for k, d, p, e in zip(kernel, dilation, padding, extra, strict=True)]
    rng, window = np.random.default_rng(seed), (stride, padding, dilation, G)
    x, weight = (rng.integers(-3, 4, shape).astype(float) for shape in ((N, G * ICG, *image), (G * OCG, ICG, *kernel)))
    y = reference.conv2d_forward(x, weight, None, *window)
    grad_y = rng.integers(-3, 4, y.shape).astype(float)
    with on_gpu_of(cuda, capability):
        found = cuda.conv2d_forward(x.astype(dtype), weight.astype(dtype), None, *window)
        assert same(found, y.astype(dtype))
        found = cuda.conv2d_backward_input(grad_y.astype(dtype), weight.astype(dtype), tuple(image), *window)
        assert same(found, reference.conv2d_backward_input(grad_y, weight, tuple(image), *window).astype(dtype))
        found = cuda.conv2d_backward_weight(grad_y.astype(dtype), x.astype(dtype), kernel, *window)
        assert same(found, reference.conv2d_backward_weight(grad_y, x, kernel, *window).astype(np.float32))


@contextlib.contextmanager
def on_gpu_of(cuda, capability):
    """The emulated GPU is one of this compute capability, times ten; a real one is what it is."""
    tell = getattr(cuda.kernels.compiled, "set_capability", lambda value: None)
    tell(capability)
    try:
        yield
    finally:
        tell(80)


def same(found, expected):
    return found.dtype == expected.dtype and np.array_equal(found, expected)
