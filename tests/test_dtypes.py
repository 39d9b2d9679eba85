"""Promotion: the whole table of two operands, of every dtype and rank, against PyTorch."""

import itertools

import numpy as np
import pytest

import atrous as at
from atrous import dtypes

NAMES = ["bool", "uint8", "int8", "int16", "int32", "int64", "float16", "bfloat16", "float32", "float64"]
NUMBERS = [True, 2, 2.5]


def in_torch(operand, torch):
    if isinstance(operand, (bool, int, float)):
        return operand
    return torch.ones(operand.shape, dtype=getattr(torch, str(operand.dtype)))


def test_the_whole_table_is_pytorchs():
    torch = pytest.importorskip("torch")
    tensors = [at.ones(*shape, dtype=name) for name in NAMES for shape in ((2,), ())]
    for a, b in itertools.product(tensors, tensors + NUMBERS):
        expected = str(torch.result_type(in_torch(a, torch), in_torch(b, torch))).removeprefix("torch.")
        assert str(at.result_type(a, b)) == expected, (a, b)
        assert str(at.result_type(b, a)) == expected, (a, b)
        if "bool" not in (a.dtype, expected):  # PyTorch's bools add to bool, and cannot be subtracted
            assert str((a * b).dtype) == expected, (a, b)
            assert str((b * a).dtype) == expected, (a, b)
            quotient = in_torch(a, torch) / in_torch(b, torch)
            assert str((a / b).dtype) == str(quotient.dtype).removeprefix("torch."), (a, b)


def test_promote_types():
    torch = pytest.importorskip("torch")
    for a, b in itertools.product(NAMES, NAMES):
        expected = torch.promote_types(getattr(torch, a), getattr(torch, b))
        assert f"torch.{at.promote_types(at.ones(1, dtype=a).dtype, at.ones(1, dtype=b).dtype)}" == str(expected)


def test_three_operands():
    x, zero_d = at.ones(2, dtype=at.int32), at.tensor(1.0, dtype=at.float64)
    assert at.result_type(x, zero_d, 2.5) == at.float64
    assert at.result_type(x, 2, True) == at.int32
    assert at.result_type(2, 2.5) == at.float32
    with pytest.raises(TypeError, match="no operands"):
        at.result_type()


@pytest.mark.parametrize(
    "other",
    [2, 2.5, True, np.float64(2.5), np.int64(2), np.float32(1), np.bool_(True), [1.0, 2.0], [1, 2], (0.5, 1)],
    ids=repr,
)
def test_numbers_and_lists_leave_float32_alone(other):
    x = at.ones(2)
    for y in (x + other, other * x, x / other, x**other, at.maximum(x, other), at.where(x > 0, x, other), other - x):
        assert y.dtype == at.float32
    x += other
    assert x.dtype == at.float32


def test_arrays_keep_their_dtype():
    x = at.ones(2)
    for y in (x + np.ones(2), np.ones(2) * x, np.ones(2) - x):
        assert isinstance(y, at.Tensor)
        assert y.dtype == at.float64
    assert (np.float32(3) * x).dtype == (np.array(3.0) * x).dtype == at.float32


def test_integers_divide_to_float32():
    assert (at.arange(3) / at.arange(1, 4)).dtype == at.float32
    assert (at.arange(3) / 2).dtype == at.float32
    assert (1 / at.tensor([True, True])).dtype == at.float32


def test_uint8_wraps_around_as_in_pytorch():
    x = at.tensor([3], dtype=at.uint8)
    assert (x + 300).tolist() == [47]
    assert (x - 5).tolist() == [254]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (float, "float32"),
        (int, "int64"),
        (bool, "bool"),
        ("float64", "float64"),
        (np.int32, "int32"),
        (at.half, "float16"),
    ],
)
def test_as_dtype(name, expected):
    assert str(dtypes.as_dtype(name)) == expected
    assert str(at.zeros(2, dtype=name).dtype) == expected


@pytest.mark.parametrize("name", ["complex64", "float33", None, object, "uint64", [1]])
def test_dtypes_we_lack(name):
    with pytest.raises(TypeError, match="is not supported; expected one of"):
        dtypes.as_dtype(name)


def test_public_names_are_numpys_objects():
    for name in [*NAMES, "half", "double", "long", "short", "int", "float"]:
        assert isinstance(getattr(at, name), np.dtype)
    assert at.long is at.int64
    assert at.float is at.float32
    assert at.zeros(1).dtype is at.float32


def test_gradients_come_back_in_the_inputs_dtype():
    a = at.ones(2, requires_grad=True)
    b = at.ones(2, dtype=at.float64, requires_grad=True)
    (a * b + a / b).sum().backward()
    assert (a.grad.dtype, b.grad.dtype) == (at.float32, at.float64)
    c = at.ones(2, requires_grad=True)
    at.cat([c, b]).sum().backward()
    assert c.grad.dtype == at.float32
