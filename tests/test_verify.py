"""The harness finds faults: each kind of broken kernel fails, with the case and the values."""

import argparse
import sys
from types import SimpleNamespace

import numpy as np
import pytest

from atrous import reference, verify
from atrous.verify.halves import finfo, half_dtypes, is_half, stored_limit
from atrous.verify.harness import map_arrays, sum_bound


def broken(**kernels):
    """The reference with some kernels replaced, dressed up as a backend that has threads and a pool."""
    names = {name: getattr(reference, name) for name in reference.__all__}
    runtime = {
        "get_num_threads": lambda: 1,
        "set_num_threads": lambda threads: None,
        "memory_set_poison": lambda enabled: None,
        "memory_overruns": lambda: 0,
    }
    return SimpleNamespace(**{**names, **runtime, **kernels})


def failures(family, function, kernel, **runtime):
    backend = broken(**{function: kernel}, **runtime)
    result = verify.check_function(backend, verify.FAMILIES[family], function, np.float32, stop_after=10**6)
    return [str(failure) for failure in result.failures]


def relu(x):
    return reference.relu_forward(x)


def test_a_right_kernel_passes():
    assert failures("activation", "relu_forward", relu) == []


def test_a_wrong_element_is_found_and_named():
    def kernel(x):
        y = relu(x)
        if y.shape == (2, 17, 3, 5):
            y[1, 16, 2, 4] += 1e-6
        return y

    (failure,) = failures("activation", "relu_forward", kernel)
    assert "output 0 at (1, 16, 2, 4)" in failure
    assert "shape=(2, 17, 3, 5)" in failure
    assert "expected" in failure


def test_a_lost_nan_is_found():
    found = failures("activation", "relu_forward", lambda x: np.fmax(x, 0).astype(x.dtype))
    assert any("error inf" in failure and "values=special" in failure for failure in found)


def test_a_nan_is_found_even_where_the_bound_overflows():
    family = SimpleNamespace(
        CASES={"relu_forward": [{}]},
        arguments=lambda function, case, draw: {"x": draw.positive(3)},
        bound=lambda function, arguments, dtype: np.full(3, np.inf),
    )
    backend = broken(relu_forward=lambda x: x * np.nan)
    assert verify.check_function(backend, family, "relu_forward", np.float64).failures


def test_reduced_precision_is_found():
    """Products of float32 values rounded to 16 bits, as some processors are eager to do."""

    def kernel(x, weight, bias, relu=False):
        return reference.linear_forward(x.astype(np.float16).astype(np.float32), weight, bias, relu)

    assert len(failures("linear", "linear_forward", kernel)) > 5


def test_a_written_input_is_found():
    def kernel(x):
        np.maximum(x, 0, out=x)
        return x.copy()

    assert any("input x was written to" in failure for failure in failures("activation", "relu_forward", kernel))


def test_an_aliased_output_is_found():
    assert any("shares memory" in failure for failure in failures("activation", "relu_forward", lambda x: x))


def test_an_element_left_unwritten_is_found():
    poison = [0.0]

    def kernel(x):
        y = relu(x)
        if y.size > 16 and np.isfinite(x).all():
            y.flat[16] = poison[0]  # whatever the memory held before
        return y

    def set_poison(enabled):
        poison[0] = np.nan if enabled else 0.0

    found = failures("activation", "relu_forward", kernel, memory_set_poison=set_poison)
    assert any("not fully written" in failure for failure in found)


def test_a_store_past_the_end_is_found():
    found = failures("activation", "relu_forward", relu, memory_overruns=lambda: 1)
    assert any("past the end" in failure for failure in found)


def test_bits_that_depend_on_the_layout_are_found():
    def kernel(x):
        return relu(x) * np.float32(1 if x.flags.c_contiguous else 1 + 2**-23)

    found = failures("activation", "relu_forward", kernel)
    assert any("on strided inputs" in failure for failure in found)
    assert any("on C-ordered inputs" in failure for failure in found)


def test_bits_that_depend_on_the_threads_are_found():
    threads = [1]

    def kernel(x):
        return relu(x) * np.float32(1 + (threads[0] == 3) * 2**-23)

    found = failures("activation", "relu_forward", kernel, set_num_threads=lambda n: threads.__setitem__(0, n))
    assert any("on 3 threads" in failure for failure in found)
    assert not any("on 2 threads" in failure for failure in found)


def test_an_output_in_another_layout_or_dtype_is_found():
    found = failures("activation", "relu_forward", lambda x: np.ascontiguousarray(relu(x)))
    assert any("not channels-last" in failure for failure in found)
    found = failures("activation", "relu_forward", lambda x: relu(x).astype(np.float64))
    assert any("dtype" in failure for failure in found)


def test_the_reference_itself_stays_within_the_bounds_in_float32():
    """In float32 it is a kernel like any other, with other orders of summation than float64."""
    results = list(verify.verify(reference, ["conv2d", "linear", "cross_entropy"]))
    assert not [failure for result in results for failure in result.failures]
    assert max(result.worst for result in results) > 0.05  # the bounds are not so wide that nothing could fail


def test_sum_bound_holds_where_every_rounding_goes_the_same_way():
    """Adding 1 + ε/2 + ... one by one in float32 loses as much as a sum can."""
    terms = np.full(30, 1 + 2**-23, np.float32)
    total = np.float32(0)
    for term in terms:
        total += term
    error = abs(float(total) - terms.sum(dtype=np.float64))
    assert 0 < error <= sum_bound(30) * 2**-23 * float(terms.sum(dtype=np.float64))


# -- numbers of 16 bits -----------------------------------------------------------------------------------------------


def failures_in_16_bits(family, function, store, dtype, compute=np.float32):
    """Of the reference in float32, or another dtype, whose outputs store(array, dtype) brings to 16 bits."""

    def kernel(**arguments):
        wide = map_arrays(arguments, lambda array: array.astype(compute) if is_half(array.dtype) else array)
        outputs = verify.call(reference, function, wide)
        kept = verify.FAMILIES[family].HALVES[function]
        stored = [array if i in kept else store(array, dtype) for i, array in enumerate(outputs)]
        return tuple(np.moveaxis(np.moveaxis(a, 1, -1).copy(), -1, 1) if a.ndim == 4 else a for a in stored)

    backend = broken(**{function: kernel})
    return verify.check_function(backend, verify.FAMILIES[family], function, dtype, stop_after=10**6).failures


def nearest(array, dtype):
    return array.astype(dtype)


def truncated(array, dtype):
    """Towards zero: a number of 16 bits is the upper part of that of 32."""
    if np.dtype(dtype).name == "bfloat16":
        return (array.view(np.uint32) >> 16).astype(np.uint16).view(dtype)
    return (array.view(np.uint32) & 0xFFFFE000).view(np.float32).astype(dtype)


@pytest.mark.parametrize("dtype", half_dtypes())
@pytest.mark.parametrize("function", ["add_forward", "sigmoid_forward", "avg_pool2d_forward"])
def test_rounding_to_16_bits_by_anything_but_the_nearest_is_found(function, dtype):
    family = {"add": "elementwise", "sigmoid": "activation", "avg": "pool2d"}[function.split("_")[0]]
    assert not failures_in_16_bits(family, function, nearest, dtype)
    for store in (truncated, lambda array, dtype: nearest(array * np.float32(1.001), dtype)):
        assert len(failures_in_16_bits(family, function, store, dtype)) > 5
    assert failures_in_16_bits(family, function, lambda array, dtype: array, dtype)  # the wrong dtype


@pytest.mark.parametrize("dtype", half_dtypes())
def test_a_result_that_needs_no_rounding_must_be_exact(dtype):
    def next_but_one(array, dtype):
        stored = nearest(array, dtype)
        bits = stored.view(np.uint16)
        bits[np.isfinite(stored)] ^= 1
        return stored

    assert not failures_in_16_bits("activation", "relu_forward", nearest, dtype)
    assert len(failures_in_16_bits("activation", "relu_forward", next_but_one, dtype)) == 9  # all that are not empty


def test_arithmetic_in_16_bits_is_found():
    found = failures_in_16_bits("activation", "tanh_backward", nearest, np.float16, compute=np.float16)
    assert len(found) > 5


@pytest.mark.parametrize("dtype", half_dtypes())
def test_how_far_from_the_reference_a_stored_number_may_be(dtype):
    """1 is exact; halfway to the next number either is right, within the bound of one of them; and overflow is cut."""
    spacing = float(finfo(np.dtype(dtype)).eps)
    expected = np.array([1, 1 + spacing / 2, 1 + spacing / 4, 1 + spacing * 0.501])
    limits = stored_limit(expected, np.full(4, spacing / 100), np.dtype(dtype))
    assert limits == pytest.approx([0, spacing / 2, spacing / 4, spacing * 0.501])
    most = float(finfo(np.dtype(dtype)).max)
    assert stored_limit(np.array([most]), np.array([most]), np.dtype(dtype)) == [most]


def test_without_ml_dtypes_bfloat16_is_left_out_and_the_command_says_so(monkeypatch, capsys):
    command = pytest.importorskip("atrous.cli.verify")
    monkeypatch.setitem(sys.modules, "ml_dtypes", None)
    assert half_dtypes() == (np.float16,)
    backend = broken(halves=True)
    checked = [dtype for _, dtype in verify.checks(backend, verify.FAMILIES["elementwise"], "add_forward")]
    assert checked == [np.float32, np.float64, np.float16]
    assert np.float16 not in [
        dtype for _, dtype in verify.checks(reference, verify.FAMILIES["conv2d"], "conv2d_forward")
    ]
    monkeypatch.setattr(command, "on_the_gpu", lambda: reference)
    parser = argparse.ArgumentParser()
    command.add_parser(parser.add_subparsers())
    args = parser.parse_args(["verify", "--device", "cuda", "--family", "random"])
    assert args.run(args) == 0
    assert "bfloat16 is left out: it needs the package ml_dtypes" in capsys.readouterr().out


def test_the_command_prints_a_table_and_fails_with_a_kernel(capsys, monkeypatch):
    command = pytest.importorskip("atrous.cli.verify")
    parser = argparse.ArgumentParser()
    command.add_parser(parser.add_subparsers())
    monkeypatch.setattr(command, "kernels_for", lambda array: reference)
    args = parser.parse_args(["verify", "--family", "linear"])
    assert args.run(args) == 0
    output = capsys.readouterr().out
    assert "linear_backward_weight" in output
    assert "all 5 kernels within their bounds at numpy" in output

    wrong = broken(matmul=lambda a, b: reference.matmul(a, b) * 1.001)
    monkeypatch.setattr(command, "kernels_for", lambda array: wrong)
    assert args.run(args) == 1
    output = capsys.readouterr().out
    assert "FAILED" in output
    assert "a=(3, 17), b=(17, 33)" in output  # the case

    args = parser.parse_args(["verify", "--level", "mmx"])
    with pytest.raises(ValueError, match="level 'mmx' is not available here; expected one of numpy"):
        args.run(args)
