"""Winograd's convolution: its NumPy twin, its accuracy, what is not finite, the rule that picks it and the switch.

The kernels themselves run over conv2d's case table in test_conv2d.py.
"""

import os
import subprocess
import sys

import numpy as np
import pytest

import atrous as at
from atrous import reference
from atrous.verify.winograd import Winograd

ONE = (1, 1)
DIRECTIONS = ["forward", "backward_input", "backward_weight"]


def normal(*shape, dtype=np.float64, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def rule(cpu, direction, N, IC, size, OC, dilation=1, kernel=3, stride=1):
    padding = (dilation * (kernel // 2),) * 2
    window = ((stride, stride), padding, (dilation, dilation), 1)
    return cpu.conv2d_algorithms(direction, (N, IC, size, size), (OC, IC, kernel, kernel), *window)[0]


@pytest.mark.parametrize("algorithm", ["winograd_2x2", "winograd_4x4"])
@pytest.mark.parametrize(("size", "padding", "dilation"), [((7, 9), ONE, ONE), ((12, 11), (0, 2), (2, 3))])
def test_the_twin_is_a_convolution(algorithm, size, padding, dilation):
    twin, x, weight = Winograd.of(algorithm), normal(2, 3, *size), normal(5, 3, 3, 3)
    y = reference.conv2d_forward(x, weight, None, ONE, padding, dilation, 1)
    np.testing.assert_allclose(twin.forward(x, weight, y.shape[2:], padding, dilation), y, atol=1e-12)
    grad_y = normal(*y.shape, seed=1)
    grad_weight = reference.conv2d_backward_weight(grad_y, x, (3, 3), ONE, padding, dilation, 1)
    np.testing.assert_allclose(twin.backward_weight(grad_y, x, padding, dilation), grad_weight, atol=1e-12)


def test_the_matrices_of_the_paper():
    """F(2×2, 3×3) as Lavin and Gray print it, but for the sign of a row."""
    twin = Winograd.of("winograd_2x2")
    assert twin.A.T.tolist() == [[1, 1, 1, 0], [0, 1, -1, 1]]
    assert np.abs(twin.G).tolist() == [[1, 0, 0], [0.5, 0.5, 0.5], [0.5, 0.5, 0.5], [0, 0, 1]]


@pytest.mark.parametrize("data", ["normal", "mean 100", "relu"])
def test_the_error_is_at_most_a_few_times_that_of_a_direct_sum(cpu, data):
    x = normal(2, 128, 14, 14) + (100 if data == "mean 100" else 0)
    x = np.maximum(x, 0) if data == "relu" else x
    weight = normal(64, 128, 3, 3, seed=1) / 24
    x, weight = x.astype(np.float32), weight.astype(np.float32)
    true = reference.conv2d_forward(x.astype(float), weight.astype(float), None, ONE, ONE, ONE, 1)

    def error(algorithm):
        return np.abs(cpu.conv2d_forward(x, weight, None, ONE, ONE, ONE, 1, algorithm=algorithm) - true).max()

    direct = error("implicit_gemm")
    assert 0 < error("winograd_2x2") < 1.5 * direct
    assert 0 < error("winograd_4x4") < 4 * direct
    assert error("winograd_4x4") < 5e-6 * np.abs(true).max()


@pytest.mark.parametrize(("algorithm", "M"), [("winograd_2x2", 2), ("winograd_4x4", 4)])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_is_not_finite_stays_in_the_tiles_that_read_it(cpu, algorithm, M, value):
    x, weight = normal(1, 5, 17, 17, dtype=np.float32), normal(9, 5, 3, 3, dtype=np.float32, seed=1)
    clean = cpu.conv2d_forward(x, weight, None, ONE, ONE, ONE, 1, algorithm=algorithm)
    x[0, 2, 8, 6] = value
    y = cpu.conv2d_forward(x, weight, None, ONE, ONE, ONE, 1, algorithm=algorithm)
    lost = ~np.isfinite(y).all(axis=(0, 1))
    assert lost[7:10, 5:8].all(), "a pixel that reads the value is finite"
    rows, columns = (range((at - 1) // M * M, (at + 1) // M * M + M) for at in (8, 6))
    touched = np.zeros_like(lost)
    touched[np.ix_([h for h in rows if h < 17], [w for w in columns if w < 17])] = True
    assert not (lost & ~touched).any()
    np.testing.assert_array_equal(y[..., ~touched], clean[..., ~touched])


def test_the_rule(cpu):
    for direction in DIRECTIONS:
        for layer in [(16, 64, 56, 64), (16, 256, 14, 256), (2, 64, 256, 64)]:
            assert rule(cpu, direction, *layer) == "winograd_4x4"
        assert rule(cpu, direction, 16, 256, 28, 256, dilation=2) == "winograd_4x4"
        assert rule(cpu, direction, 2, 512, 33, 512, dilation=12) == "implicit_gemm"  # grids of 2 and 3 pixels
        assert rule(cpu, direction, 16, 3, 224, 64) == "implicit_gemm"  # transforms for three channels do not pay
        assert rule(cpu, direction, 16, 64, 56, 64, kernel=1) == "implicit_gemm"
        assert rule(cpu, direction, 16, 64, 56, 64, stride=2) == "implicit_gemm"


def test_the_switch_makes_every_sum_direct(cpu):
    x, weight = normal(2, 32, 28, 28, dtype=np.float32), normal(32, 32, 3, 3, dtype=np.float32, seed=1)
    direct, fast = (
        cpu.conv2d_forward(x, weight, None, ONE, ONE, ONE, 1, algorithm=name)
        for name in ("implicit_gemm", "winograd_4x4")
    )
    assert at.get_winograd()
    try:
        at.set_winograd(False)
        assert not at.get_winograd()
        assert rule(cpu, "forward", 2, 32, 28, 32) == "implicit_gemm"
        np.testing.assert_array_equal(cpu.conv2d_forward(x, weight, None, ONE, ONE, ONE, 1), direct)
    finally:
        at.set_winograd(True)
    np.testing.assert_array_equal(cpu.conv2d_forward(x, weight, None, ONE, ONE, ONE, 1), fast)
    with pytest.raises(TypeError, match="set_winograd: enabled is 0; expected True or False"):
        at.set_winograd(0)


@pytest.mark.usefixtures("cpu")
def test_the_environment_variable():
    script = "import atrous as at; print(at.get_winograd())"
    command = [sys.executable, "-c", script]
    run = subprocess.run(command, env={**os.environ, "ATROUS_WINOGRAD": "0"}, capture_output=True)
    assert run.stdout.split() == [b"False"], run.stderr
