"""Depthwise convolution on a GPU: what is not finite stays with the taps that meet it."""

import numpy as np
import pytest

from atrous import reference


@pytest.mark.parametrize("size", [(9, 10), (8, 7), (13, 6)], ids=str)
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=["float32", "float64"])  # by walks, and tap by tap
@pytest.mark.parametrize("taps", [3, 5, 7])
def test_tiles_that_end_beyond_grad_y_multiply_nothing_there(cuda, taps, dtype, stride, size):
    channels, padding = 3, taps // 2
    rng = np.random.default_rng(0)
    x = rng.integers(-3, 4, (2, channels, *size)).astype(dtype)
    x[0, 0, -1, 2] = x[0, 1, 2, -1] = x[1, 2, -1, -1] = np.inf
    grad_size = [(n + 2 * padding - taps) // stride + 1 for n in size]
    grad_y = rng.integers(1, 4, (2, channels, *grad_size)).astype(dtype)
    window = {"kernel_size": (taps, taps), "stride": (stride,) * 2, "padding": (padding,) * 2, "groups": channels}
    expected = reference.conv2d_backward_weight(grad_y, x, dilation=(1, 1), **window)
    assert 0 < np.isfinite(expected).sum() < expected.size
    found = cuda.conv2d_backward_weight(grad_y, x, dilation=(1, 1), **window, algorithm="depthwise")
    np.testing.assert_array_equal(found, expected)
