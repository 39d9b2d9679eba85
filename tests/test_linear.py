"""Kernels of linear: by hand, PyTorch, the case table on every level, properties, bad input."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from atrous import reference
from atrous.verify.draw import Draw
from atrous.verify.linear import CASES, LAYERS, PRODUCTS, arguments


@pytest.mark.parametrize("function", CASES)
def test_every_level_agrees_with_the_reference(function, check):
    check("linear", function)


def test_by_hand(backend):
    x, weight = np.array([[1.0, 2.0]]), np.array([[3.0, 4.0], [5.0, 6.0], [0.0, -1.0]])
    y = backend.linear_forward(x, weight, np.array([100.0, 200.0, 300.0]))
    assert y.tolist() == [[111, 217, 298]]
    grad_y = np.array([[1.0, 10.0, 100.0]])
    assert backend.linear_backward_input(grad_y, weight).tolist() == [[53, -36]]
    assert backend.linear_backward_weight(grad_y, x).tolist() == [[1, 2], [10, 20], [100, 200]]
    assert backend.linear_backward_bias(np.array([[1.0, 2.0], [3.0, 4.0]])).tolist() == [4, 6]


def test_matmul_by_hand(backend):
    a, b = np.array([[1.0, 2.0], [3.0, 4.0]]), np.array([[5.0, 6.0], [7.0, 8.0]])
    assert backend.matmul(a, b).tolist() == [[19, 22], [43, 50]]
    assert backend.matmul(a.T, b).tolist() == [[26, 30], [38, 44]]
    assert backend.matmul(np.stack([a, b]), np.stack([b, a])).tolist() == [[[19, 22], [43, 50]], [[23, 34], [31, 46]]]


def test_a_hilbert_matrix_times_its_inverse(backend):
    """The inverse of the 5 x 5 Hilbert matrix is known, in whole numbers (Choi, Amer. Math. Monthly 90, 1983)."""
    hilbert = 1 / (np.arange(5)[:, None] + np.arange(5) + 1.0)
    inverse = np.array(
        [
            [25, -300, 1050, -1400, 630],
            [-300, 4800, -18900, 26880, -12600],
            [1050, -18900, 79380, -117600, 56700],
            [-1400, 26880, -117600, 179200, -88200],
            [630, -12600, 56700, -88200, 44100],
        ],
        np.float64,
    )
    np.testing.assert_allclose(backend.matmul(hilbert, inverse), np.eye(5), atol=1e-10)


@pytest.mark.parametrize("turned", [False, True], ids=["row-major b", "column-major b"])
def test_a_packed_b_that_exceeds_the_cache(cpu, turned):
    """It is packed in parts, along k and along n; small whole numbers are summed without rounding."""
    rng = np.random.default_rng(0)
    a, b = (rng.integers(-2, 3, shape).astype(np.float32) for shape in ((130, 8300), (8300, 150)))
    b = np.asfortranarray(b) if turned else b
    assert np.array_equal(cpu.matmul(a, b), a @ b)
    assert np.array_equal(cpu.linear_backward_weight(np.ascontiguousarray(a.T), np.ascontiguousarray(b)), a @ b)


@pytest.mark.parametrize("sizes", [(17, 33), (300, 100), (5, 70), (2600, 2500)], ids=str)  # the last exceeds the caches
def test_a_row_has_the_same_bits_alone_and_among_others(cpu, sizes):
    """Few rows read the other matrix where it lies, more of them pack it."""
    K, N = sizes
    rng = np.random.default_rng(0)
    rows, matrix = rng.standard_normal((20, K), np.float32), rng.standard_normal((K, N), np.float32)
    for b in (matrix, np.asfortranarray(matrix)):
        together = cpu.matmul(rows, b)
        for M in (1, 2, 3, 4, 6, 8):
            assert np.array_equal(cpu.matmul(rows[:M].copy(), b), together[:M])


@pytest.mark.parametrize("sizes", [(7, 9), (120, 401), (2603, 2504), (2600, 2501)], ids=str)  # the last exceed caches
def test_a_batch_of_one_gives_an_outer_product(cpu, sizes):
    M, N = sizes
    rng = np.random.default_rng(0)
    grad_y, x = rng.standard_normal((1, M), np.float32), rng.standard_normal((1, N), np.float32)
    grad_y[0, 0] = 0
    grad_weight = cpu.linear_backward_weight(grad_y, x)
    assert np.array_equal(grad_weight, np.outer(grad_y, x))
    assert not np.signbit(grad_weight[0]).any(), "a sum that begins with 0 is never -0"


@pytest.mark.parametrize("case", LAYERS)
@np.errstate(all="ignore")
def test_the_reference_agrees_with_pytorch(case):
    torch = pytest.importorskip("torch")
    a = arguments("linear_forward", case, Draw(np.float64, case))
    relu = a.pop("relu", False)
    x, weight, bias = (None if v is None else torch.tensor(v, requires_grad=True) for v in a.values())
    expected = torch.nn.functional.linear(x, weight, bias)
    np.testing.assert_allclose(reference.linear_forward(**a), expected.detach(), rtol=1e-11, atol=1e-11)
    if relu:
        np.testing.assert_allclose(reference.linear_forward(**a, relu=True), expected.detach().relu(), rtol=1e-11)
    grad_y = np.random.default_rng(0).standard_normal(tuple(expected.shape))
    expected.backward(torch.tensor(grad_y))
    grad_x = reference.linear_backward_input(grad_y, a["weight"])
    grad_weight = reference.linear_backward_weight(grad_y, a["x"])
    np.testing.assert_allclose(grad_x, x.grad, rtol=1e-11, atol=1e-11)
    np.testing.assert_allclose(grad_weight, weight.grad, rtol=1e-11, atol=1e-11)
    if bias is not None:
        np.testing.assert_allclose(reference.linear_backward_bias(grad_y), bias.grad, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("case", PRODUCTS)
def test_the_reference_product_agrees_with_pytorch(case):
    torch = pytest.importorskip("torch")
    a = arguments("matmul", case, Draw(np.float64, case))
    expected = torch.matmul(torch.tensor(a["a"]), torch.tensor(a["b"]))
    np.testing.assert_allclose(reference.matmul(**a), expected, rtol=1e-11, atol=1e-11)


sizes = st.integers(1, 40)


@given(sizes, sizes, sizes, st.integers(0, 2**32))
def test_the_three_directions_are_adjoint(backend, M, IN, OUT, seed):
    """In small whole numbers every sum is exact: <gy, x w'> = <gy w, x> = <gy' x, w>."""
    rng = np.random.default_rng(seed)
    x, weight, grad_y = (rng.integers(-9, 9, shape).astype(np.float32) for shape in ((M, IN), (OUT, IN), (M, OUT)))
    inner = (backend.linear_forward(x, weight, None) * grad_y).sum(dtype=np.float64)
    assert (backend.linear_backward_input(grad_y, weight) * x).sum(dtype=np.float64) == inner
    assert (backend.linear_backward_weight(grad_y, x) * weight).sum(dtype=np.float64) == inner


@given(sizes, sizes, sizes, st.integers(0, 2**32), st.booleans(), st.booleans())
def test_a_product_takes_transposed_views(backend, M, K, N, seed, turn_a, turn_b):
    rng = np.random.default_rng(seed)
    a, b = rng.integers(-9, 9, (M, K)).astype(np.float32), rng.integers(-9, 9, (K, N)).astype(np.float32)
    view_a = a.T.copy().T if turn_a else a
    view_b = b.T.copy().T if turn_b else b
    expected = (a[:, :, None] * b).sum(axis=1)
    assert np.array_equal(backend.matmul(view_a, view_b), expected)
    assert np.array_equal(backend.matmul(view_b.T, view_a.T), expected.T)


@pytest.mark.parametrize(
    ("function", "change"),
    [
        ("linear_forward", {"weight": np.zeros((33, 18), np.float32)}),
        ("linear_forward", {"x": np.zeros(17, np.float32)}),
        ("linear_forward", {"bias": np.zeros(32, np.float32)}),
        ("linear_backward_input", {"weight": np.zeros((32, 17), np.float32)}),
        ("linear_backward_weight", {"x": np.zeros((4, 17), np.float32)}),
        ("linear_backward_bias", {"grad_y": np.zeros(33, np.float32)}),
        ("matmul", {"a": np.zeros((3, 16), np.float32)}),
        ("matmul", {"a": np.zeros((1, 3, 17), np.float32)}),  # one of them a batch
        ("matmul", {"a": np.zeros((2, 3, 17), np.float32), "b": np.zeros((3, 17, 4), np.float32)}),
        ("matmul", {"a": np.zeros(17, np.float32)}),
    ],
)
def test_the_binding_refuses(cpu, function, change):
    good = arguments(function, CASES[function][1], Draw(np.float32))
    getattr(cpu, function)(**good)
    with pytest.raises((ValueError, MemoryError), match=function):
        getattr(cpu, function)(**{**good, **change})
