"""Gradient clipping and parameters as a vector: by hand, against PyTorch, huge and odd values, layouts, bad input."""

import inspect
import math
import os
import re
import subprocess
import sys
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import atrous as at
from atrous import nn
from atrous.nn import utils

SHAPES = [(4, 3, 3, 3), (4,), (7, 5), (), (0, 3), (2, 1, 70, 600)]
NORMS = [1, 2.0, 3, 0.5, math.inf, "inf"]


def gradients(dtype="float32", scale=1.0):
    rng = np.random.default_rng(7)
    return [(rng.normal(size=shape) * scale).astype(dtype) for shape in SHAPES]


def parameters(lib, grads):
    """Tensors with these gradients, and one that has none."""
    params = [lib.zeros(3, requires_grad=True)]
    for grad in grads:
        param = lib.tensor(np.zeros_like(grad), requires_grad=True)
        param.grad = lib.tensor(grad)
        params.append(param)
    return params


def grads_of(params):
    return [np.asarray(p.grad) for p in params if p.grad is not None]


def long_vector(grads):
    return np.concatenate([np.asarray(g, "float64").ravel() for g in grads])


def test_by_hand():
    a, b = at.tensor([1.0, 1.0], requires_grad=True), at.tensor([[1.0]], requires_grad=True)
    a.grad, b.grad = at.tensor([2.0, 3.0]), at.tensor([[-6.0]])
    assert utils.get_total_norm([a.grad, b.grad]).item() == 7
    assert utils.get_total_norm([a.grad, b.grad], 1).item() == 11
    assert utils.get_total_norm([a.grad, b.grad], math.inf).item() == 6
    assert utils.clip_grad_norm_([a, b], 3.5).item() == 7  # the norm before
    np.testing.assert_allclose(a.grad.numpy(), [1, 1.5], rtol=3e-7)
    np.testing.assert_allclose(b.grad.numpy(), [[-3]], rtol=3e-7)
    utils.clip_grad_value_([a, b], 1.25)
    np.testing.assert_allclose(a.grad.numpy(), [1, 1.25], rtol=3e-7)
    np.testing.assert_array_equal(b.grad.numpy(), [[-1.25]])


@pytest.mark.parametrize(("dtype", "rtol"), [("float32", 2e-5), ("float64", 1e-13)])  # PyTorch sums in float32
@pytest.mark.parametrize("norm_type", NORMS)
@pytest.mark.parametrize("max_norm", [0, 0.1, 3.0, 1e9])
def test_same_as_pytorch(max_norm, norm_type, dtype, rtol):
    torch = pytest.importorskip("torch")
    grads = [grad for grad in gradients(dtype) if grad.size or norm_type == 2]  # of none PyTorch has no largest value
    ours, theirs = (parameters(lib, grads) for lib in (at, torch))
    norms = [lib.nn.utils.clip_grad_norm_(p, max_norm, norm_type) for lib, p in ((at, ours), (torch, theirs))]
    assert str(norms[0].dtype) == dtype
    np.testing.assert_allclose(norms[0].item(), norms[1].item(), rtol=rtol)
    for mine, other in zip(grads_of(ours), grads_of(theirs), strict=True):
        np.testing.assert_allclose(mine, other, rtol=rtol)


@pytest.mark.parametrize(("dtype", "rtol"), [("float32", 6e-8), ("float64", 1e-14)])
@pytest.mark.parametrize("norm_type", NORMS)
def test_norms_are_right_to_the_last_bit_or_so(norm_type, dtype, rtol):
    x, p = np.abs(long_vector(gradients(dtype))), float(norm_type)
    expected = x.max() if p == math.inf else math.fsum(x**p) ** (1 / p)
    found = utils.get_total_norm([at.tensor(grad) for grad in gradients(dtype)], norm_type)
    np.testing.assert_allclose(found.item(), expected, rtol=rtol)


@pytest.mark.parametrize("clip_value", [0, 0.5, 2])
def test_values_same_as_pytorch(clip_value):
    torch = pytest.importorskip("torch")
    grads = [*gradients(), np.array([math.nan, math.inf, -math.inf, -0.0, 1e30], "float32")]
    ours, theirs = (parameters(lib, grads) for lib in (at, torch))
    assert at.nn.utils.clip_grad_value_(ours, clip_value) is None
    torch.nn.utils.clip_grad_value_(theirs, clip_value)
    for mine, other in zip(grads_of(ours), grads_of(theirs), strict=True):
        np.testing.assert_array_equal(mine, other)


@pytest.mark.parametrize("name", utils.clip_grad.__all__ + utils.convert_parameters.__all__)
def test_same_arguments_as_pytorch(name):
    torch = pytest.importorskip("torch")
    ours, theirs = (inspect.signature(getattr(lib.nn.utils, name)).parameters.values() for lib in (at, torch))
    assert [(p.name, p.default) for p in ours] == [(p.name, p.default) for p in theirs]


@pytest.mark.parametrize("values", [[math.nan, 1.0], [math.inf, 1.0], [-math.inf, math.nan]])
@pytest.mark.parametrize("norm_type", [1.5, 2.0, math.inf])
def test_norms_that_are_not_finite(values, norm_type):
    torch = pytest.importorskip("torch")
    grads = [np.array(values, "float32"), np.ones((2, 2), "float32")]
    ours, theirs = (parameters(lib, grads) for lib in (at, torch))
    with pytest.raises(
        RuntimeError, match=rf"get_total_norm: the norm of order {norm_type} is (inf|nan); expected a f"
    ):
        utils.clip_grad_norm_(ours, 1.0, norm_type, error_if_nonfinite=True)
    for mine, before in zip(grads_of(ours), grads, strict=True):
        np.testing.assert_array_equal(mine, before)
    norms = [lib.nn.utils.clip_grad_norm_(p, 1.0, norm_type) for lib, p in ((at, ours), (torch, theirs))]
    np.testing.assert_array_equal(norms[0].item(), norms[1].item())
    for mine, other in zip(grads_of(ours), grads_of(theirs), strict=True):
        np.testing.assert_array_equal(mine, other)


@pytest.mark.parametrize(
    ("dtype", "size"),
    [("float32", 1e30), ("float32", 1e-30), ("float64", 1e200), ("float64", 1e-200), ("float16", 3e4)],
)
@pytest.mark.parametrize("norm_type", [1, 2, 7.5, math.inf])
def test_no_overflow_and_no_underflow(dtype, size, norm_type):
    w = at.tensor(np.zeros(4, dtype), requires_grad=True)
    w.grad = at.tensor(np.full(4, size, dtype))
    expected = float(w.grad[0].item()) * (1 if norm_type == math.inf else 4 ** (1 / norm_type))
    norm = utils.clip_grad_norm_(w, size / 2, norm_type)
    assert norm.dtype == (at.float64 if dtype == "float64" else at.float32)
    np.testing.assert_allclose(norm.item(), expected, rtol=1e-6)
    if size > 1:
        np.testing.assert_allclose(w.grad.numpy(), np.full(4, size / 2 * (size / expected)), rtol=1e-3)


def test_a_norm_beyond_float32_is_infinite_without_a_warning():
    assert utils.get_total_norm([at.full((4,), 3e38)]).item() == math.inf


def test_gradients_within_the_norm_keep_their_bits():
    params = parameters(at, gradients())
    norm = utils.get_total_norm([p.grad for p in params if p.grad is not None]).item()
    utils.clip_grad_norm_(params, norm * 1.01)
    for mine, before in zip(grads_of(params), gradients(), strict=True):
        np.testing.assert_array_equal(mine, before)


@pytest.mark.parametrize("norm_type", NORMS)
def test_any_layout(norm_type):
    plain = np.random.default_rng(3).normal(size=(6, 5, 7, 9)).astype("float32")
    layouts = [
        lambda x: x,
        np.asfortranarray,
        lambda x: np.ascontiguousarray(x.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2),
        lambda x: np.repeat(x, 2, axis=3)[..., ::2],
        lambda x: np.ascontiguousarray(x[:, ::-1])[:, ::-1],
    ]
    found = []
    for layout in layouts:
        w = at.from_numpy(np.zeros_like(plain))
        w.requires_grad = True
        w.grad = at.from_numpy(layout(plain.copy()))
        norm = utils.clip_grad_norm_(w, 1.5, norm_type)
        found.append(w.grad.numpy())
        assert norm.item() == pytest.approx(np.linalg.norm(plain.ravel().astype("float64"), float(norm_type)), rel=1e-6)
    for other in found[1:]:
        np.testing.assert_allclose(other, found[0], rtol=1e-6)


def test_the_norm_takes_little_memory():
    grad = at.from_numpy(np.ones((8, 64, 64, 64), "float32").transpose(0, 3, 1, 2))  # 8 MB, channels-last
    tracemalloc.start()
    try:
        assert utils.get_total_norm(grad).item() == pytest.approx(math.sqrt(1 << 21), rel=1e-7)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 2 << 20


def test_other_array_libraries(foreign):
    arrays = [foreign.wrap(np.asarray(grad)) for grad in gradients() if grad.size]
    for p in (1.0, 2.0, math.inf):
        plain = utils.clip_grad._norm([grad for grad in gradients() if grad.size], p)
        assert utils.clip_grad._norm(arrays, p) == plain


def test_the_same_bits_on_any_number_of_threads():
    code = (
        "import atrous as at; at.manual_seed(1); x = at.randn(300, 1001).to(at.float64);"
        "print(at.nn.utils.get_total_norm([x, x[:, 0]]).item().hex())"
    )
    found = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "OPENBLAS_NUM_THREADS": n, "OMP_NUM_THREADS": n, "ATROUS_NUM_THREADS": n},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for n in ("1", "2", "3")
    }
    assert len(found) == 1, found


@given(
    values=st.lists(st.floats(-1e6, 1e6, width=32), min_size=1, max_size=50),
    max_norm=st.floats(0.01, 1e7),
    cut=st.integers(0, 50),
)
@settings(max_examples=50, deadline=None)
def test_afterwards_the_norm_is_at_most_max_norm(values, max_norm, cut):
    grads = [np.array(part, "float32") for part in (values[:cut], values[cut:])]
    params = parameters(at, grads)
    before = utils.clip_grad_norm_(params, max_norm).item()
    after = utils.get_total_norm([p.grad for p in params[1:]]).item()
    assert after <= max_norm * (1 + 1e-6)
    assert after == pytest.approx(min(before, max_norm), rel=1e-3, abs=1e-4)
    np.testing.assert_allclose(before, np.linalg.norm(long_vector(grads)), rtol=1e-6, atol=1e-38)


def test_one_tensor_a_generator_and_a_network():
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(4, 2))
    model(at.ones(2, 3, 3, 3)).sum().backward()
    utils.clip_grad_norm_(model.parameters(), 0.5)
    norm = utils.get_total_norm(p.grad for p in model.parameters())
    assert norm.item() == pytest.approx(0.5, rel=1e-5)
    assert not norm.requires_grad
    weight = model[0].weight
    before = utils.get_total_norm(weight.grad).item()
    assert utils.clip_grad_norm_(weight, 0.1).item() == before
    assert utils.get_total_norm(weight.grad).item() == pytest.approx(0.1, rel=1e-4)


def test_nothing_to_clip():
    assert utils.get_total_norm([]).item() == 0
    assert utils.clip_grad_norm_([], 1.0).item() == 0
    assert utils.clip_grad_norm_([at.zeros(3, requires_grad=True)], 1.0).item() == 0
    assert utils.get_total_norm([at.zeros(0)], math.inf).item() == 0
    with pytest.warns(UserWarning, match="parameters is an empty generator; nothing is clipped") as caught:
        utils.clip_grad_norm_((p for p in []), 1.0)
    assert caught[0].filename == __file__


def test_clipping_is_seen_by_a_graph_that_saved_the_gradient():
    w = at.tensor([1.0, 2.0], requires_grad=True)
    w.grad = at.tensor([3.0, 4.0])
    scale = at.tensor([1.0, 1.0], requires_grad=True)
    y = (scale * w.grad).sum()
    utils.clip_grad_norm_(w, 1.0)
    with pytest.raises(RuntimeError, match="mul"):
        y.backward()


def test_parameters_to_vector_and_back():
    model = nn.Sequential(nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3), nn.Linear(4, 5))
    vector = utils.parameters_to_vector(model.parameters())
    np.testing.assert_array_equal(
        vector.detach().numpy(), np.concatenate([p.detach().numpy().ravel() for p in model.parameters()])
    )
    strides = [p.data.strides for p in model.parameters()]
    utils.vector_to_parameters(vector.detach() * 2 + 1, model.parameters())
    again = utils.parameters_to_vector(model.parameters())
    np.testing.assert_array_equal(again.detach().numpy(), vector.detach().numpy() * 2 + 1)
    assert [p.data.strides for p in model.parameters()] == strides
    assert all(p.requires_grad and p.is_leaf for p in model.parameters())


def test_gradients_pass_through_parameters_to_vector():
    a, b = at.ones(2, 2, requires_grad=True), at.ones(3, requires_grad=True)
    (utils.parameters_to_vector([a, b]) * at.arange(7.0)).sum().backward()
    np.testing.assert_array_equal(a.grad.numpy(), [[0, 1], [2, 3]])
    np.testing.assert_array_equal(b.grad.numpy(), [4, 5, 6])


def test_vectors_same_as_pytorch():
    torch = pytest.importorskip("torch")
    arrays = [np.random.default_rng(i).normal(size=shape).astype("float32") for i, shape in enumerate(SHAPES)]
    ours, theirs = ([lib.tensor(array, requires_grad=True) for array in arrays] for lib in (at, torch))
    vectors = [lib.nn.utils.parameters_to_vector(p) for lib, p in ((at, ours), (torch, theirs))]
    np.testing.assert_array_equal(vectors[0].detach().numpy(), vectors[1].detach().numpy())
    at.nn.utils.vector_to_parameters(vectors[0].detach().flip(0), ours)
    torch.nn.utils.vector_to_parameters(vectors[1].detach().flip(0), theirs)
    for mine, other in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(mine.detach().numpy(), other.detach().numpy())


W = at.ones(2, requires_grad=True)
W.grad = at.ones(2)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: utils.clip_grad_norm_(W, -1), ValueError, "clip_grad_norm_: max_norm is -1; expected a number of 0"),
        (lambda: utils.clip_grad_norm_(W, math.nan), ValueError, "clip_grad_norm_: max_norm is nan; expected a number"),
        (lambda: utils.clip_grad_norm_(W, "big"), ValueError, "clip_grad_norm_: max_norm is 'big'; expected a number"),
        (lambda: utils.clip_grad_norm_(W, 1, 0), ValueError, "norm_type is 0; expected a number above 0"),
        (lambda: utils.clip_grad_norm_(W, 1, None), ValueError, "norm_type is None; expected a number above 0"),
        (
            lambda: utils.clip_grad_norm_(nn.Sequential(nn.ReLU()), 1),
            TypeError,
            "parameters has a ReLU; expected tensors",
        ),
        (lambda: utils.get_total_norm([1.0]), TypeError, "get_total_norm: tensors has a float; expected tensors"),
        (lambda: utils.get_total_norm([at.arange(3)]), TypeError, "got a tensor of dtype int64; expected floats"),
        (
            lambda: utils.clip_grad_value_(W, -0.5),
            ValueError,
            "clip_grad_value_: clip_value is -0.5; expected a number",
        ),
        (lambda: utils.clip_grads_with_norm_(W, -1, at.ones(())), ValueError, "max_norm is -1; expected a number of 0"),
        (lambda: utils.parameters_to_vector([]), ValueError, "parameters is empty; expected at least one tensor"),
        (lambda: utils.vector_to_parameters(at.ones(3), [W]), ValueError, "vec has shape (3,); expected (2,) from the"),
        (lambda: utils.vector_to_parameters(at.ones(2, 1), [W]), ValueError, "vec has shape (2, 1); expected (2,)"),
        (lambda: utils.vector_to_parameters([1.0, 2.0], [W]), TypeError, "vec is a list; expected a Tensor"),
    ],
)
def test_bad_input(call, error, message):
    with pytest.raises(error, match=re.escape(message)):
        call()
    np.testing.assert_array_equal(W.grad.numpy(), [1, 1])
    np.testing.assert_array_equal(W.detach().numpy(), [1, 1])
