"""Kernels of cross_entropy: by hand, PyTorch, the case table on every level, properties, bad input."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from atrous import reference
from atrous.verify.cross_entropy import CASES, LOGITS, arguments
from atrous.verify.draw import Draw


def pixels(*rows):
    """One image row of pixels, each given by the logits (or whatever else) of its classes: (1, C, 1, W)."""
    return np.array(rows, np.float64).T[None, :, None]


def classes(*indices):
    return np.array(indices)[None, None]


@pytest.mark.parametrize("function", CASES)
def test_every_level_agrees_with_the_reference(function, check):
    check("cross_entropy", function)


def test_by_hand(backend):
    """Logits (0, ln 3) are probabilities (1/4, 3/4)."""
    x, target = pixels([0, math.log(3)], [0, math.log(3)], [5, 5]), classes(0, 1, 0)
    losses, weights, lse = backend.cross_entropy_forward(x, target, None, -100, 0.0)
    assert losses.ravel() == pytest.approx([math.log(4), math.log(4 / 3), math.log(2)], rel=1e-14)
    assert weights.ravel().tolist() == [1, 1, 1]
    assert lse.ravel() == pytest.approx([math.log(4), math.log(4), 5 + math.log(2)], rel=1e-14)
    grad_x = backend.cross_entropy_backward(np.ones((1, 1, 3)), x, target, lse, None, -100, 0.0)
    np.testing.assert_allclose(grad_x[0, :, 0].T, [[-0.75, 0.75], [0.25, -0.25], [-0.5, 0.5]], rtol=1e-14)


def test_weights_and_ignored_pixels_by_hand(backend):
    x, target, weight = pixels([0, math.log(3)], [7, 7]), classes(1, 9), np.array([5.0, 2.0])
    losses, weights, lse = backend.cross_entropy_forward(x, target, weight, 9, 0.0)
    assert losses.ravel() == pytest.approx([2 * math.log(4 / 3), 0], rel=1e-14)
    assert weights.ravel().tolist() == [2, 0]
    grad_x = backend.cross_entropy_backward(np.full((1, 1, 2), 10.0), x, target, lse, weight, 9, 0.0)
    np.testing.assert_allclose(grad_x[0, :, 0].T, [[5, -5], [0, 0]], rtol=1e-14)


def test_label_smoothing_by_hand(backend):
    """With 0.2 over two classes the target (0, 1) becomes (0.1, 0.9)."""
    x, by_hand = pixels([0, math.log(3)]), 0.1 * math.log(4) + 0.9 * math.log(4 / 3)
    losses, weights, lse = backend.cross_entropy_forward(x, classes(1), None, -100, 0.2)
    soft_losses, soft_lse = backend.cross_entropy_soft_forward(x, pixels([0, 1]), None, 0.2)
    assert losses.item() == pytest.approx(by_hand, rel=1e-14)
    assert soft_losses.item() == pytest.approx(by_hand, rel=1e-14)
    assert weights.item() == 1
    ones = np.ones((1, 1, 1))
    grad_x = backend.cross_entropy_backward(ones, x, classes(1), lse, None, -100, 0.2)
    soft_grad_x = backend.cross_entropy_soft_backward(ones, x, pixels([0, 1]), soft_lse, None, 0.2)
    assert grad_x.ravel() == pytest.approx([0.25 - 0.1, 0.75 - 0.9], rel=1e-13)
    assert soft_grad_x.ravel() == pytest.approx([0.25 - 0.1, 0.75 - 0.9], rel=1e-13)


def test_softmax_by_hand(backend):
    x = pixels([0, math.log(3)])
    y, log_y = backend.softmax_forward(x), backend.log_softmax_forward(x)
    assert y.ravel() == pytest.approx([0.25, 0.75], rel=1e-14)
    assert log_y.ravel() == pytest.approx([-math.log(4), math.log(0.75)], rel=1e-14)
    grad_y = pixels([8, 0])
    assert backend.softmax_backward(grad_y, y).ravel() == pytest.approx([1.5, -1.5], rel=1e-14)
    assert backend.log_softmax_backward(grad_y, log_y).ravel() == pytest.approx([6, -6], rel=1e-14)


def test_uniform_logits_lose_the_log_of_the_number_of_classes(backend):
    losses, _, _ = backend.cross_entropy_forward(
        np.zeros((3, 10, 1, 1)), np.zeros((3, 1, 1), np.int64), None, -100, 0.0
    )
    assert losses.ravel() == pytest.approx([math.log(10)] * 3, rel=1e-15)


def test_huge_logits_do_not_overflow(backend):
    x = np.array([1e38, -1e38, 0], np.float32)[None, :, None, None]
    losses, _, lse = backend.cross_entropy_forward(x, np.zeros((1, 1, 1), np.int64), None, -100, 0.0)
    assert (losses.item(), lse.item()) == (0, x.max())
    assert backend.softmax_forward(x).ravel().tolist() == [1, 0, 0]


@pytest.mark.parametrize("case", LOGITS)
@pytest.mark.parametrize("soft", [False, True])
@np.errstate(all="ignore")
def test_the_reference_agrees_with_pytorch(case, soft):
    torch = pytest.importorskip("torch")
    function = f"cross_entropy_{'soft_' if soft else ''}forward"
    a = arguments(function, case, Draw(np.float64, case))
    x = torch.tensor(a["x"], requires_grad=True)
    weight = None if a["weight"] is None else torch.tensor(a["weight"])
    options = {"label_smoothing": a["label_smoothing"], "ignore_index": a.get("ignore_index", -100)}
    target = torch.tensor(a["target"])
    expected = torch.nn.functional.cross_entropy(x, target, weight, reduction="none", **options)
    losses, *weights, lse = getattr(reference, function)(**a)
    np.testing.assert_allclose(losses, expected.detach(), rtol=1e-11, atol=1e-11)
    if weights and case["x"][0]:  # they are what reduction="mean" divides by
        mean = torch.nn.functional.cross_entropy(x, target, weight, **options)
        np.testing.assert_allclose(losses.sum() / weights[0].sum(), mean.detach(), rtol=1e-11)
    grad = np.random.default_rng(0).standard_normal(losses.shape)
    expected.backward(torch.tensor(grad))
    grad_x = getattr(reference, function.replace("forward", "backward"))(grad_losses=grad, lse=lse, **a)
    if case["values"] in ("special", "-inf"):  # where the loss is infinite or a NaN PyTorch's gradients are NaN
        usable = np.isfinite(x.grad.numpy())
        grad_x, x.grad = np.where(usable, grad_x, 0), torch.where(torch.tensor(usable), x.grad, 0)
    np.testing.assert_allclose(grad_x, x.grad, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("name", ["softmax", "log_softmax"])
@pytest.mark.parametrize("case", LOGITS)
@np.errstate(all="ignore")
def test_the_reference_softmax_agrees_with_pytorch(name, case):
    torch = pytest.importorskip("torch")
    data = arguments(f"{name}_forward", case, Draw(np.float64, case))["x"]
    x = torch.tensor(data, requires_grad=True)
    expected = getattr(torch, name)(x, 1)
    y = getattr(reference, f"{name}_forward")(data)
    np.testing.assert_allclose(y, expected.detach(), rtol=1e-11, atol=1e-13)
    grad_y = np.random.default_rng(0).standard_normal(y.shape)
    expected.backward(torch.tensor(grad_y))
    np.testing.assert_allclose(getattr(reference, f"{name}_backward")(grad_y, y), x.grad, rtol=1e-9, atol=1e-12)


@given(st.tuples(st.integers(1, 3), st.integers(1, 40), st.integers(1, 3), st.integers(1, 3)), st.integers(0, 2**32))
def test_probabilities(backend, shape, seed):
    """They sum to 1, a shift of the logits does not change them, and no gradient shifts the logits."""
    rng = np.random.default_rng(seed)
    x, grad_y = 3 * rng.standard_normal(shape), rng.standard_normal(shape)
    y = backend.softmax_forward(x)
    assert y.sum(axis=1) == pytest.approx(1, rel=1e-13)
    assert backend.softmax_forward(x + 100) == pytest.approx(y, rel=1e-12)
    assert backend.log_softmax_forward(x) == pytest.approx(np.log(y), abs=1e-12)
    assert backend.softmax_backward(grad_y, y).sum(axis=1) == pytest.approx(0, abs=1e-13)
    assert backend.log_softmax_backward(grad_y, np.log(y)).sum(axis=1) == pytest.approx(0, abs=1e-12)


def test_a_shift_of_all_logits_costs_no_digits(cpu):
    """It is taken out before anything is rounded; what a large log-sum cannot hold is made good in the gradient."""
    rng = np.random.default_rng(0)
    x, target = rng.integers(-20, 20, (5, 19, 1, 1)).astype(np.float32) / 4, rng.integers(0, 19, (5, 1, 1))
    shifted, grad = x + np.float32(4096.5), np.ones((5, 1, 1), np.float32)
    np.testing.assert_array_equal(cpu.log_softmax_forward(shifted), cpu.log_softmax_forward(x))
    gradients = []
    for logits in (x, shifted):
        losses, _, lse = cpu.cross_entropy_forward(logits, target, None, -100, 0.0)
        gradients += [losses, cpu.cross_entropy_backward(grad, logits, target, lse, None, -100, 0.0)]
    np.testing.assert_array_equal(gradients[0], gradients[2])
    np.testing.assert_allclose(gradients[1], gradients[3], rtol=1e-5, atol=1e-7)


@given(st.integers(1, 4), st.integers(1, 40), st.integers(0, 2**32), st.booleans(), st.sampled_from([0.0, 0.1, 1.0]))
def test_a_class_index_is_a_one_hot_target(backend, N, C, seed, weighted, smoothing):
    rng = np.random.default_rng(seed)
    x, target = rng.standard_normal((N, C, 2, 1)), rng.integers(0, C, (N, 2, 1))
    weight, grad = rng.random(C) if weighted else None, rng.standard_normal((N, 2, 1))
    one_hot = (target[:, None] == np.arange(C)[:, None, None]).astype(np.float64)
    losses, _, lse = backend.cross_entropy_forward(x, target, weight, -100, smoothing)
    soft_losses, soft_lse = backend.cross_entropy_soft_forward(x, one_hot, weight, smoothing)
    assert losses == pytest.approx(soft_losses, abs=1e-12)
    assert lse == pytest.approx(soft_lse, rel=1e-14)
    grad_x = backend.cross_entropy_backward(grad, x, target, lse, weight, -100, smoothing)
    soft_grad_x = backend.cross_entropy_soft_backward(grad, x, one_hot, lse, weight, smoothing)
    assert grad_x == pytest.approx(soft_grad_x, abs=1e-13)
    assert grad_x.sum(axis=1) == pytest.approx(0, abs=1e-12)


DENSE = LOGITS[5]  # x (2, 5, 3, 4), ignore_index 0


@pytest.mark.parametrize(
    ("function", "change", "error"),
    [
        ("cross_entropy_forward", {"target": np.full((2, 3, 4), 5)}, ValueError),  # classes are 0 to 4
        ("cross_entropy_forward", {"target": np.full((2, 3, 4), -1)}, ValueError),
        ("cross_entropy_forward", {"target": np.full((2, 3, 4), 2**62)}, ValueError),
        ("cross_entropy_forward", {"target": np.zeros((2, 3, 5), np.int64)}, ValueError),
        ("cross_entropy_forward", {"target": np.zeros((2, 3, 4), np.int32)}, TypeError),
        ("cross_entropy_forward", {"weight": np.ones(4, np.float32)}, ValueError),
        ("cross_entropy_forward", {"x": np.ones((2, 5), np.float32)}, ValueError),
        ("cross_entropy_backward", {"target": np.full((2, 3, 4), 5)}, ValueError),
        ("cross_entropy_backward", {"target": np.full((2, 3, 4), -7)}, ValueError),
        ("cross_entropy_backward", {"lse": np.ones((2, 3, 3), np.float32)}, ValueError),
        ("cross_entropy_backward", {"grad_losses": np.ones((2, 3, 5), np.float32)}, ValueError),
        ("cross_entropy_backward", {"weight": np.ones(6, np.float32)}, ValueError),
        ("cross_entropy_soft_forward", {"target": np.ones((2, 4, 3, 4), np.float32)}, ValueError),
        ("cross_entropy_soft_forward", {"target": np.zeros((2, 3, 4), np.int64)}, TypeError),
        ("cross_entropy_soft_backward", {"lse": np.ones((1, 3, 4), np.float32)}, ValueError),
        ("log_softmax_backward", {"y": np.ones((2, 5, 4, 3), np.float32)}, ValueError),
        ("softmax_backward", {"grad_y": np.ones((2, 5, 3, 3), np.float32)}, ValueError),
        ("softmax_forward", {"x": np.ones((2, 5, 3), np.float32)}, ValueError),
    ],
)
def test_the_binding_refuses(cpu, function, change, error):
    good = arguments(function, DENSE, Draw(np.float32))
    getattr(cpu, function)(**good)
    with pytest.raises(error, match=function):
        getattr(cpu, function)(**{**good, **change})
