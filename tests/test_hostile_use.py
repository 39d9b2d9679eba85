"""What careless code does: each ends in PyTorch's value or in an error that says what is wrong."""

import json
import subprocess
import sys

import numpy as np
import pytest

import atrous as at
from atrous import nn
from atrous.training.run_folder import read_facts

torch = pytest.importorskip("torch")


@pytest.mark.parametrize(
    "take",
    [
        lambda t, x, i: x[i],
        lambda t, x, i: x[:, i],
        lambda t, x, i: x.index_select(0, i),
        lambda t, x, i: x.gather(0, i.reshape(1, 2)),
        lambda t, x, i: t.zeros(2, 2).scatter_add(0, i.reshape(1, 2), x[:1]),
    ],
)
def test_a_written_index_is_noticed_by_backward(take):
    for t in (at, torch):
        index = t.tensor([0, 1])
        y = take(t, t.ones(2, 2, requires_grad=True), index)
        index.fill_(1)
        with pytest.raises(RuntimeError, match=r"in place|inplace"):
            y.sum().backward()


def test_a_written_mask_is_noticed_by_backward():
    for t in (at, torch):
        for use in (lambda x, m, t=t: t.where(m, x, x * 2), lambda x, m: x.masked_fill(m, 0.0), lambda x, m: put(x, m)):
            mask = t.tensor([True, False])
            y = use(t.ones(2, requires_grad=True), mask)
            mask.fill_(True)
            with pytest.raises(RuntimeError, match=r"in place|inplace"):
                y.sum().backward()


def put(x, index, value=0.0):
    y = x * 1
    y[index] = value
    return y


INDICES = {
    "int, slice, tensor": lambda i: (0, slice(None), i),
    "int, slice, list": lambda i: (-1, slice(None), [0, 1]),
    "slice, int, slice, tensor": lambda i: (slice(None), 0, slice(None), i),
    "tensor, int, slice, int": lambda i: (i, 0, slice(None), 0),
    "int, ellipsis, tensor": lambda i: (0, ..., i),
    "int, None, slice, tensor": lambda i: (0, None, slice(None), i),
    "mask, slice, int": lambda i: (i.reshape(2, 1) + i.reshape(1, 2) > 0, slice(None), 0),
}


@pytest.mark.parametrize("make", INDICES.values(), ids=INDICES)
def test_ints_beside_tensors_come_first(make):
    array = np.arange(2.0 * 2 * 4 * 3).reshape(2, 2, 4, 3)
    grads, values, written = [], [], []
    for t in (at, torch):
        x = t.tensor(array, requires_grad=True)
        index = make(t.tensor([0, 1]))
        y = x[index]
        (y * y).sum().backward()
        values.append(y.detach().numpy())
        grads.append(x.grad.numpy())
        written.append(put(x.detach(), index, y.detach() + 1).numpy())
    for ours, theirs in (values, grads, written):
        np.testing.assert_array_equal(ours, theirs, strict=True)


VALUES = {
    "float // 0": lambda t: t.tensor([3.0, 0.0]) // 0,
    "float % 0": lambda t: t.tensor([3.0]) % 0,
    "masked_fill keeps int64": lambda t: t.tensor([1, 2]).masked_fill(t.tensor([True, False]), 2.5),
    "masked_fill keeps bool": lambda t: t.tensor([True, False]).masked_fill(t.tensor([True, False]), 0.5),
    "uint8 += int64": lambda t: t.tensor([1, 2], dtype=t.uint8).add_(t.tensor([1, 2])),
    "uint8 of -1": lambda t: t.tensor([-1], dtype=t.uint8),
    "std of equal numbers": lambda t: std_gradient(t),
}


def std_gradient(t):
    x = t.tensor([2.0, 2.0], requires_grad=True)
    x.std().backward()
    return x.grad


@pytest.mark.parametrize("f", VALUES.values(), ids=VALUES)
def test_values(f):
    np.testing.assert_array_equal(f(at).numpy(), f(torch).numpy(), strict=True)


REFUSALS = {
    "tensor: 300 does not fit uint8": lambda t: t.tensor([300], dtype=t.uint8),
    "tensor: -300 does not fit uint8": lambda t: t.tensor([-300], dtype=t.uint8),
    "tensor: nan does not fit int64": lambda t: t.tensor(float("nan"), dtype=t.int64),
    "tensor: 3000000000.0 does not fit int32": lambda t: t.tensor([3e9], dtype=t.int32),
    "setitem: nan does not fit int64": lambda t: put(t.tensor([1, 2]), 0, float("nan")),
    "setitem: 300 does not fit uint8": lambda t: put(t.tensor([1], dtype=t.uint8), 0, 300),
    "index_select: index -1 is below 0": lambda t: t.eye(2).index_select(0, t.tensor([-1])),
    "expected ints": lambda t: t.eye(2).view(2, 2.0),
    "own": lambda t: setattr((x := t.ones(2, requires_grad=True)), "grad", x),
}


@pytest.mark.parametrize(("message", "f"), REFUSALS.items())
def test_refusals(message, f):
    with pytest.raises((ValueError, TypeError, IndexError, RuntimeError), match=message):
        f(at)
    with pytest.raises((ValueError, TypeError, IndexError, RuntimeError)):
        f(torch)


def test_a_module_name_is_not_taken_twice():
    for library in (nn, torch.nn):
        model = library.Module()
        model.child = library.ReLU()
        with pytest.raises(KeyError):
            model.register_buffer("child", None)
        with pytest.raises(KeyError):
            model.register_parameter("child", None)
        model.add_module("child", library.Tanh())


@pytest.mark.parametrize("facts", [[1], "text", {}, {"model": "lenet5"}, {"model": "lenet5", "classes": None}])
def test_a_foreign_model_file_is_said_to_be_one(tmp_path, facts):
    path = tmp_path / "model.safetensors"
    at.save_file({"x": at.ones(1)}, path, {"atrous": json.dumps(facts)})
    with pytest.raises(ValueError, match="was not written by"):
        read_facts(path)
    at.save_file({"x": at.ones(1)}, path, {"atrous": "{"})
    with pytest.raises(ValueError, match="is damaged"):
        read_facts(path)


def test_a_closed_stdout_is_no_traceback():
    code = "import sys; sys.stdout = None; from atrous.cli import main; sys.exit(main(['info']))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
