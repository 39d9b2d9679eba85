import re

import numpy as np
import pytest
from parity import assert_parity, assert_torch_refuses, counted_kernels, draw, randomly_strided

import atrous as at
from atrous import layout, verify
from atrous.gradcheck import gradcheck
from atrous.nn import functional as F
from atrous.ops import matmul

LAYERS = [c for c in verify.linear.CASES["linear_forward"] if c["values"] != "special" and c["M"] * c["IN"] < 20_000]
PRODUCTS = [
    ((3,), (3,)),
    ((4, 3), (3,)),
    ((3,), (3, 5)),
    ((2, 4, 3), (3,)),
    ((3,), (2, 3, 5)),
    ((2, 4, 3), (3, 5)),
    ((4, 3), (2, 3, 5)),
    ((2, 1, 4, 3), (5, 3, 2)),
    ((1, 4, 3), (6, 3, 2)),
    ((2, 3, 4, 5), (2, 3, 5, 6)),
    ((0, 4, 3), (3, 2)),
    ((4, 0), (0, 2)),
    ((0,), (0,)),
]


def arguments(case):
    arrays = [draw(case["M"], case["IN"]), draw(case["OUT"], case["IN"], seed=1)]
    return arrays + ([draw(case["OUT"], seed=2)] if case["bias"] else [])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("case", LAYERS, ids=str)
def test_agrees_with_pytorch(case, dtype):
    assert_parity(lambda F, *a: F.linear(*a), *arguments(case), dtype=dtype, terms=4 * max(case["M"], case["IN"], 8))


@pytest.mark.parametrize("case", LAYERS, ids=str)
def test_gradient(case):
    assert gradcheck(
        lambda *a: F.linear(*a), [at.tensor(a, requires_grad=True) for a in arguments(case)], fast_mode=True
    )


@pytest.mark.parametrize("batch", [(), (4,), (2, 3), (2, 3, 4), (0, 2), (2, 0)])
def test_leading_axes(batch):
    assert_parity(lambda F, x, w, b: F.linear(x, w, b), draw(*batch, 5), draw(3, 5), draw(3))


def test_weight_of_one_output():
    assert_parity(lambda F, x, w: F.linear(x, w), draw(4, 5), draw(5))


def test_no_inputs_gives_the_bias():
    assert F.linear(at.zeros(2, 0), at.zeros(3, 0), at.ones(3)).tolist() == [[1.0] * 3] * 2


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("a", "b"), PRODUCTS)
def test_matmul_agrees_with_pytorch(a, b, dtype):
    assert_parity(lambda F, a, b: a @ b, draw(*a), draw(*b, seed=1), dtype=dtype)


@pytest.mark.parametrize(("a", "b"), PRODUCTS)
def test_matmul_gradient(a, b):
    inputs = [at.tensor(draw(*a), requires_grad=True), at.tensor(draw(*b, seed=1), requires_grad=True)]
    assert gradcheck(matmul, inputs, fast_mode=True)


def test_matmul_of_integers():
    torch = pytest.importorskip("torch")
    a, b = np.arange(6).reshape(2, 3), np.arange(12).reshape(3, 4)
    np.testing.assert_array_equal((at.tensor(a) @ at.tensor(b)).numpy(), (torch.tensor(a) @ torch.tensor(b)).numpy())


def test_transposed_views_cost_no_copy():
    a, b = at.tensor(draw(4, 3), requires_grad=True), at.tensor(draw(5, 3), requires_grad=True)
    grad_c = at.tensor(draw(4, 5))
    before = layout.conversions()
    (a @ b.T).backward(grad_c)
    assert layout.conversions() - before <= 1  # b's gradient comes transposed


z = np.zeros
BAD = [
    ("linear", [z((2, 4)), z((5, 3))], ValueError, "x has shape (2, 4); expected (..., 3) from weight (5, 3)"),
    ("linear", [z(()), z((5, 3))], ValueError, "x has shape (); expected (..., 3)"),
    ("linear", [z((2, 3)), z((5, 3, 1))], ValueError, "weight has shape (5, 3, 1)"),
    ("linear", [z((2, 3)), z(3), z(())], ValueError, "weight has shape (3,)"),
    ("linear", [z((2, 3)), z((5, 3)), z(3)], ValueError, "bias has shape (3,); expected (5,) from weight (5, 3)"),
    ("linear", [z((2, 3)), z((5, 3), "float32")], TypeError, "weight has dtype float32"),
    ("linear", [z((2, 3)), None], TypeError, "weight is a NoneType"),
    ("matmul", [z((2, 3)), z((2, 3))], ValueError, "a (2, 3) and b (2, 3)"),
    ("matmul", [z(()), z((2, 3))], ValueError, "a () and b (2, 3)"),
    ("matmul", [z(3), z(4)], ValueError, "a (3,) and b (4,)"),
    ("matmul", [z((2, 4, 3)), z((3, 3, 5))], ValueError, "the batches (2,) and (3,) do not broadcast"),
    ("matmul", [z((2, 3)), z((3, 2), "float32")], TypeError, "b has dtype float32"),
    ("matmul", [z((2, 3), bool), z((3, 2), bool)], TypeError, "a has dtype bool"),
]


@pytest.mark.parametrize(("name", "args", "error", "message"), BAD)
def test_bad_input(name, args, error, message):
    f = F.linear if name == "linear" else matmul
    with pytest.raises(error, match=re.escape(message)) as raised:
        f(*[at.tensor(a) if isinstance(a, np.ndarray) else a for a in args])
    assert str(raised.value).startswith(name + ": ")
    assert_torch_refuses(lambda F, *a: F.linear(*a) if name == "linear" else a[0] @ a[1], *args)


@pytest.mark.parametrize("wanted", [(x, w, b) for x in (0, 1) for w in (0, 1) for b in (0, 1)])
def test_only_wanted_gradients_are_computed(wanted, monkeypatch):
    tensors = [at.ones(2, 3), at.ones(4, 3), at.ones(4)]
    for tensor, want in zip(tensors, wanted, strict=True):
        tensor.requires_grad = bool(want)
    with counted_kernels(monkeypatch) as calls:
        y = F.linear(*tensors)
        del calls[:]
        if any(wanted):
            y.sum().backward()
    kernels = ("linear_backward_input", "linear_backward_weight", "linear_backward_bias")
    assert calls == [kernel for kernel, want in zip(kernels, wanted, strict=True) if want]


@pytest.mark.parametrize("wanted", [(0, 1), (1, 0), (1, 1)])
def test_matmul_computes_only_wanted_gradients(wanted, monkeypatch):
    tensors = [at.ones(2, 3), at.ones(3, 4)]
    for tensor, want in zip(tensors, wanted, strict=True):
        tensor.requires_grad = bool(want)
    with counted_kernels(monkeypatch) as calls:
        matmul(*tensors).sum().backward()
    assert len(calls) == 1 + sum(wanted)


@pytest.mark.parametrize("changed", [0, 1])
def test_change_in_place_is_noticed(changed):
    tensors = [at.ones(2, 3), at.ones(4, 3)]
    tensors[1 - changed].requires_grad = True
    y = F.linear(*tensors)
    tensors[changed] += 1
    with pytest.raises(RuntimeError, match=r"linear.*changed in place"):
        y.sum().backward()


def test_strided_input():
    x, weight = randomly_strided(draw(4, 6)), at.tensor(draw(3, 6))
    expected = F.linear(at.tensor(np.ascontiguousarray(x)), weight)
    np.testing.assert_allclose(F.linear(at.from_numpy(x), weight).numpy(), expected.numpy(), rtol=1e-12)
