"""What every binding does with input that no kernel may see: an error, never a crash, never a value out of thin air."""

import numpy as np
import pytest

from atrous import reference, verify
from atrous.verify.draw import Draw

# The case of each function whose arguments are spoilt: small, with padding, and no special values.
FUNCTIONS = [(family, function) for family, module in verify.FAMILIES.items() for function in module.CASES]
REFUSED = (ValueError, TypeError, MemoryError, OverflowError)


def good_arguments(family, function):
    table = verify.FAMILIES[family]
    case = next(case for case in table.CASES[function] if usual(case))
    return table.arguments(function, case, Draw(verify.dtypes(table)[0], case))


def usual(case):
    shapes = [value for value in case.values() if isinstance(value, tuple)]
    return case.get("values") in (None, "", "normal", "ties") and all(min(s) != 1 or len(s) < 4 for s in shapes)


def outcome(backend, function, arguments):
    """The outputs, or the exception that came instead."""
    try:
        with np.errstate(all="ignore"):
            return verify.call(backend, function, arguments)
    except (*REFUSED, IndexError) as error:
        return error


def copied(arguments):
    def copy(value):
        return [item.copy() for item in value] if isinstance(value, list) else value

    return {name: copy(value) for name, value in arguments.items()}


def arrays_of(arguments):
    return {name: value for name, value in arguments.items() if isinstance(value, np.ndarray)}


@pytest.mark.parametrize(("family", "function"), FUNCTIONS)
def test_arrays_of_another_kind_are_refused(cpu, family, function):
    arguments = good_arguments(family, function)
    for name, array in arrays_of(arguments).items():
        others = [np.float16, np.int8, np.complex64, bool, object, ">i8", [("a", array.dtype)]]
        for other in [
            *(np.zeros(array.shape, dtype) for dtype in others),
            array.tolist(),
            "text",
            3,
            memoryview(b"ab"),
        ]:
            with pytest.raises(TypeError, match=f"{function}: {name}|incompatible function arguments"):
                getattr(cpu, function)(**{**arguments, name: other})


@pytest.mark.parametrize(("family", "function"), FUNCTIONS)
def test_another_number_of_dimensions_is_refused(cpu, family, function):
    arguments = good_arguments(family, function)
    for name, array in arrays_of(arguments).items():
        if family == "activation" and function.endswith("_forward"):
            continue  # any number will do
        for other in (array[None, None], array[0, ...], np.ones((), array.dtype)):
            if other.ndim != array.ndim:
                with pytest.raises(ValueError, match=function):
                    getattr(cpu, function)(**{**arguments, name: other})


@pytest.mark.parametrize(("family", "function"), FUNCTIONS)
def test_sizes_that_disagree_are_refused_or_computed_rightly(cpu, family, function):
    """Every axis of every array a size longer or shorter or empty: as the reference says, or refused."""
    arguments = good_arguments(family, function)
    for name, array in arrays_of(arguments).items():
        for axis in range(array.ndim):
            for size in {0, array.shape[axis] - 1, array.shape[axis] + 1}:
                other = np.resize(array, (*array.shape[:axis], size, *array.shape[axis + 1 :]))
                check_against_reference(cpu, function, {**arguments, name: other})


WILD = [-1, 0, 7, 2**31 - 1, 2**31, 2**32 + 1, 2**62, -(2**63), 2**63, 2**64]


@pytest.mark.parametrize(("family", "function"), [pair for pair in FUNCTIONS if pair[0] != "adam"])
def test_wild_parameters_are_refused_or_computed_rightly(cpu, family, function):
    arguments = good_arguments(family, function)
    for name, value in arguments.items():
        if isinstance(value, tuple):
            wild = [(n, value[1]) for n in WILD] + [(value[0], n) for n in WILD] + [value[:1], (*value, 1), 1, None]
        elif isinstance(value, int) and not isinstance(value, bool) and name != "count":  # which may well be 2^32
            wild = [*WILD, None, 1.5, "1"]
        else:
            continue
        for other in wild:
            check_against_reference(cpu, function, {**arguments, name: other})


def check_against_reference(cpu, function, arguments):
    got = outcome(cpu, function, copied(arguments))
    if isinstance(got, Exception):
        assert not isinstance(got, IndexError)
        return
    expected = outcome(reference, function, copied(arguments))
    assert not isinstance(expected, Exception), f"{function} computed what the reference cannot: {expected}"
    for a, b in zip(got, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4)


def test_memory_that_numpy_calls_unaligned_is_copied(cpu):
    raw = np.zeros(4 * 24 + 1, np.uint8)
    x = raw[1:].view(np.float32).reshape(1, 2, 3, 4)
    x[...] = np.random.default_rng(0).standard_normal(x.shape)
    assert not x.flags.aligned
    np.testing.assert_array_equal(cpu.relu_forward(x), reference.relu_forward(x))
    y, _ = cpu.max_pool2d_forward(x, (2, 2), (1, 1), (0, 0), (1, 1), False)
    np.testing.assert_array_equal(y, reference.max_pool2d_forward(x, (2, 2), (1, 1), (0, 0), (1, 1), False)[0])


def test_an_array_of_stride_zero_is_an_input_like_any_other(cpu):
    """The gradient of a sum is one: a single number in the shape of the output."""
    grad_y = np.broadcast_to(np.float32(0.5), (2, 8, 5, 4))
    got = cpu.conv2d_backward_bias(grad_y)
    assert got.tolist() == [20.0] * 8
    assert cpu.relu_backward(grad_y, np.ones((2, 8, 5, 4), np.float32)).tolist() == grad_y.tolist()


def test_an_array_too_large_to_copy_is_refused(cpu):
    """2^62 elements behind one number: sizes whose product does not fit into 64 bits of bytes."""
    x = np.lib.stride_tricks.as_strided(np.zeros(1, np.float32), (2**15, 2**16, 2**15, 2**14), (0, 0, 0, 0))
    for call in (
        lambda: cpu.relu_forward(x),
        lambda: cpu.conv2d_backward_bias(x),
        lambda: cpu.max_pool2d_forward(x, (1, 1), (1, 1), (0, 0), (1, 1), False),
    ):
        with pytest.raises((ValueError, MemoryError)):
            call()


def test_a_read_only_input_is_fine(cpu):
    x = np.ones((1, 1, 2, 2), np.float32)
    x.flags.writeable = False
    assert cpu.tanh_forward(x).flags.writeable


def test_subclasses_and_masked_arrays_do_not_leak_through(cpu):
    """Their memory is read as that of plain arrays, and the output is a plain array."""
    masked = np.ma.masked_array(np.array([-1.0, 2.0]), mask=[True, False])
    assert type(cpu.relu_forward(masked)) is np.ndarray
    assert cpu.relu_forward(masked).tolist() == [0, 2]


@pytest.mark.parametrize("dtype", ["U", "S", "V8", "O", "M8[s]", "(2,)f4", [("a", "f4")]])
def test_empty_makes_arrays_of_plain_numbers_only(cpu, dtype):
    """NumPy takes the size of a "U" to be 4 and not 0: it would write beyond the block."""
    with pytest.raises(ValueError, match="plain number type"):
        cpu.empty((3,), np.dtype(dtype))


def test_strides_too_large_for_64_bits_are_refused(cpu):
    with pytest.raises(ValueError, match="too large"):
        cpu.empty((0, 2**31, 2**31), np.float64)
