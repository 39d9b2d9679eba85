"""Kernels of elementwise: by hand, PyTorch, the case table on every level, layouts, bad input."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from atrous import reference
from atrous.verify.draw import Draw
from atrous.verify.elementwise import CASES, arguments


@pytest.mark.parametrize("function", CASES)
def test_every_level_agrees_with_the_reference(function, check):
    check("elementwise", function)


def test_by_hand(backend):
    x, residual = np.array([-2.0, 0.0, 3.0]), np.array([1.0, 0.5, -3.5])
    assert backend.add_forward(x, residual).tolist() == [-1, 0.5, -0.5]
    assert backend.add_forward(x, residual, relu=True).tolist() == [0, 0.5, 0]
    assert backend.add_into(x, residual) is None
    assert x.tolist() == [-1, 0.5, -0.5]
    backend.add_into(x, x)
    assert x.tolist() == [-2, 1, -1]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_special_values(backend, dtype):
    """As NumPy and PyTorch: Inf - Inf is NaN, which relu passes, and -0 + -0 is -0."""
    nan, inf, tiny = np.nan, np.inf, np.finfo(dtype).smallest_subnormal
    x = np.array([nan, inf, inf, -inf, -0.0, -0.0, tiny, np.finfo(dtype).max] * 5, dtype)
    residual = np.array([1, -inf, 1, 1, -0.0, 0.0, tiny, np.finfo(dtype).max] * 5, dtype)
    expected = np.array([nan, nan, inf, -inf, -0.0, 0.0, 2 * tiny, inf] * 5, dtype)
    with np.errstate(all="ignore"):
        for got in (backend.add_forward(x, residual), added(backend, x, residual)):
            np.testing.assert_array_equal(got, expected)
            assert np.signbit(got[4])
            assert not np.signbit(got[5])
        y = backend.add_forward(x, residual, True)
    np.testing.assert_array_equal(y, np.where(expected < 0, 0, expected))
    assert np.signbit(y[4])


def added(backend, total, part):
    total = total.copy()
    backend.add_into(total, part)
    return total


@pytest.mark.parametrize("case", CASES["add_forward"])
@np.errstate(all="ignore")
def test_the_reference_agrees_with_pytorch(case):
    torch = pytest.importorskip("torch")
    a = arguments("add_forward", case, Draw(np.float32, case))
    expected = torch.tensor(a["x"]) + torch.tensor(a["residual"])
    expected = torch.relu(expected) if a.get("relu") else expected
    np.testing.assert_array_equal(reference.add_forward(**a), expected)


@given(
    hnp.array_shapes(max_dims=4, max_side=9).flatmap(
        lambda shape: st.tuples(*[hnp.arrays(np.float32, shape, elements=st.floats(-1e9, 1e9, width=32))] * 2)
    )
)
def test_a_sum_does_not_care_for_order_nor_strides(backend, arrays):
    a, b = arrays
    assert np.array_equal(backend.add_forward(a, b), a + b)
    assert np.array_equal(backend.add_forward(a.T, b.T), (b + a).T)
    assert np.array_equal(backend.add_forward(a[::-1], b[::-1], True), np.maximum(a + b, 0)[::-1])
    assert np.array_equal(added(backend, a.copy("F"), b), a + b)


def test_the_output_lies_in_memory_as_x_does(cpu):
    base = np.random.default_rng(0).standard_normal((2, 5, 3, 4)).astype(np.float32)
    for x in (base, base.transpose(0, 3, 1, 2), base.transpose(1, 0, 3, 2), base[0].T):
        assert cpu.add_forward(x, x.copy(order="C")).strides == x.strides
    assert cpu.add_forward(base[:, ::2], base[:, ::2]).flags.c_contiguous  # not dense: C order


@pytest.mark.parametrize(("dtype", "shift"), [(np.float32, 0), (np.float32, 1), (np.float64, 0)])
def test_a_sum_larger_than_the_caches(cpu, dtype, shift):
    """It is stored past them; its last piece is short, and ends with less than a vector."""
    count = 2**25 // np.dtype(dtype).itemsize + 3
    x = np.arange(count + shift, dtype=dtype)[shift:]
    assert np.array_equal(cpu.add_forward(x, x), 2 * x)
    y = cpu.relu_forward(x - x[-7])
    assert np.array_equal(y[-8:] / (x[-1] - x[-2]), [0, 0, 1, 2, 3, 4, 5, 6])
    cpu.add_into(y, x)
    assert np.array_equal(y[:-7], x[:-7])


def test_parts_of_one_array_can_be_added(cpu):
    base = np.arange(20, dtype=np.float32)
    cpu.add_into(base[:10], base[10:])
    assert base[:10].tolist() == list(range(10, 30, 2))
    cpu.add_into(base[:0], base[:0])


GOOD = {name: arguments(name, {"shape": (5, 33), "special": False, "relu": True}, Draw(np.float32)) for name in CASES}
READ_ONLY = np.ones((5, 33), np.float32)
READ_ONLY.flags.writeable = False


@pytest.mark.parametrize(
    ("function", "change", "error"),
    [
        ("add_forward", {"residual": np.ones((33, 5), np.float32)}, ValueError),
        ("add_forward", {"residual": np.ones(33, np.float32)}, ValueError),  # sizes are not broadcast
        ("add_forward", {"residual": np.ones((5, 33))}, TypeError),  # of another dtype
        ("add_forward", {"x": [1.0]}, TypeError),
        ("add_forward", {"x": np.ones((5, 33), np.int64)}, TypeError),
        ("add_into", {"part": np.ones((5, 1), np.float32)}, ValueError),
        ("add_into", {"part": np.ones((5, 33))}, TypeError),
        ("add_into", {"total": np.ones((5, 66), np.float32)[:, ::2]}, ValueError),  # gaps
        ("add_into", {"total": np.broadcast_to(np.float32(1), (5, 33))}, ValueError),
        ("add_into", {"total": READ_ONLY}, ValueError),
        ("add_into", {"total": None}, TypeError),
    ],
)
def test_the_binding_refuses(cpu, function, change, error):
    getattr(cpu, function)(**{name: np.copy(value) for name, value in GOOD[function].items()})
    with pytest.raises(error, match=function):
        getattr(cpu, function)(**{**GOOD[function], **change})


def test_a_total_that_overlaps_its_part_is_refused(cpu):
    base = np.ones(300, np.float32)
    for total, part in [(base[:200], base[100:]), (base[100:], base[:200])]:
        with pytest.raises(ValueError, match="add_into: part overlaps total"):
            cpu.add_into(total, part)
    total = np.arange(200, dtype=np.float32)
    cpu.add_into(total, total[::-1])  # it is copied first, into the order of total
    assert total.tolist() == [199] * 200
