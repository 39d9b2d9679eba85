import math
import re
from collections import Counter

import numpy as np
import pytest
from parity import assert_parity, assert_torch_refuses, counted_kernels, draw, randomly_strided

import atrous as at
from atrous import layout, verify
from atrous.gradcheck import gradcheck
from atrous.nn import functional as F

NAN, INF = float("nan"), float("inf")
TABLE = [
    c
    for c in verify.cross_entropy.CASES["cross_entropy_forward"]
    if c["values"] in ("normal", "large") and np.prod(c["x"]) < 20_000
]
REDUCTIONS = ["none", "mean", "sum"]
SHAPES = [(5,), (4, 5), (3, 5, 2), (2, 5, 3, 4), (2, 5, 2, 1, 3)]


def arguments(case):
    N, C, H, W = case["x"]
    x = draw(N, C, H, W) * (100 if case["values"] == "large" else 1)
    rng = np.random.default_rng(0)
    target = rng.integers(0, C, (N, H, W))
    target[rng.random(target.shape) < 0.2] = case["ignore_index"]
    return x, target, draw(C, low=0.1) if case["weight"] else None


def options(case):
    return {name: case[name] for name in ("ignore_index", "label_smoothing")}


def classes(shape, C=5):
    places = shape[:1] + shape[2:] if len(shape) > 1 else ()
    return np.array(np.random.default_rng(0).integers(0, C, places))


def probabilities(shape):
    q, axis = draw(*shape, low=0.1), min(1, len(shape) - 1)
    return q / q.sum(axis, keepdims=True)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("case", TABLE, ids=str)
def test_agrees_with_pytorch(case, reduction, dtype):
    x, target, weight = arguments(case)

    def f(F, x, target, weight=None):
        weight = None if weight is None else weight.detach()
        return F.cross_entropy(x, target, weight, reduction=reduction, **options(case))

    assert_parity(f, x, target, *([] if weight is None else [weight]), dtype=dtype, terms=400)


@pytest.mark.parametrize("case", [c for c in TABLE if c["x"][0]], ids=str)  # the mean over no places is NaN
def test_gradient(case):
    x, target, weight = arguments(case)
    target, weight = at.tensor(target), None if weight is None else at.tensor(weight)
    x = at.tensor(x, requires_grad=True)
    assert gradcheck(lambda x: F.cross_entropy(x, target, weight, **options(case)), [x], fast_mode=True)


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("shape", SHAPES)
def test_shapes_as_pytorch(shape, reduction):
    weight = draw(5, low=0.1)
    how = {"reduction": reduction, "label_smoothing": 0.2}
    assert_parity(lambda F, x, t, w: F.cross_entropy(x, t, w.detach(), **how), draw(*shape), classes(shape), weight)
    assert_parity(
        lambda F, x, t, w: F.cross_entropy(x, t.detach(), w.detach(), **how), draw(*shape), probabilities(shape), weight
    )


@pytest.mark.parametrize("smoothing", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("shape", SHAPES)
def test_gradient_of_target_probabilities_as_pytorch(shape, smoothing):
    assert_parity(lambda F, x, q: F.cross_entropy(x, q, label_smoothing=smoothing), draw(*shape), probabilities(shape))


def test_gradcheck_of_target_probabilities():
    x, q = at.tensor(draw(3, 5, 2), requires_grad=True), at.tensor(probabilities((3, 5, 2)), requires_grad=True)
    weight = at.tensor(draw(5, low=0.1))
    assert gradcheck(lambda x, q: F.cross_entropy(x, q, weight, label_smoothing=0.1), [x, q], fast_mode=True)
    assert gradcheck(lambda x: F.cross_entropy(x, q.detach(), weight, label_smoothing=0.1), [x], fast_mode=True)


@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_nothing_to_average_as_pytorch(reduction):
    for x, target in [
        (draw(0, 3), np.zeros(0, int)),
        (draw(0, 3, 4), np.zeros((0, 4), int)),
        (draw(2, 3), np.array([-100, -100])),
    ]:
        assert_parity(lambda F, x, t: F.cross_entropy(x, t, reduction=reduction), x, target)
        assert_parity(lambda F, x, t: F.nll_loss(x, t, reduction=reduction), x, target)


@pytest.mark.parametrize("weight", [np.zeros(3), np.array([1.0, 0.0, 1.0])])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_all_weights_zero_as_pytorch(weight, smoothing):
    def f(F, x, t, w):
        return F.cross_entropy(x, t, w.detach(), label_smoothing=smoothing)

    assert_parity(f, draw(2, 3), np.array([1, 1]), weight, gradients=False)


def test_uint8_classes_as_pytorch():
    assert_parity(lambda F, x, t: F.cross_entropy(x, t), draw(2, 3), np.array([1, 2], "uint8"))


def test_ignored_class_within_range_as_pytorch():
    assert_parity(lambda F, x, t: F.cross_entropy(x, t, ignore_index=1), draw(3, 3), np.array([1, 2, 0]))


@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # the reference's own
def test_special_values_as_pytorch():
    x = np.array([[0.0, -INF, 2.0], [0.0, 1e4, -1e4], [0.0, NAN, 1.0]])

    def f(F, x, t):
        return F.cross_entropy(x, t, reduction="none")

    assert_parity(f, x, np.array([0, 1, 0]))
    assert_parity(f, x, np.array([1, 0, 2]), gradients=False)


z = np.zeros
T = np.array([0, 1])
BAD = [  # x, target, keywords, error, message
    (z((2, 3)), np.array([0, 3]), {}, ValueError, "target has class 3; expected 0 to 2 from x (2, 3)"),
    (z((2, 3)), np.array([0, -1]), {}, ValueError, "target has class -1; expected 0 to 2"),
    (z((2, 3)), np.array([-100, -1]), {}, ValueError, "target has class -1; expected 0 to 2"),
    (z((2, 0)), T, {}, ValueError, "target has class 0"),
    (z((2, 3)), T.astype("int32"), {}, TypeError, "target is int32; expected int64 classes"),
    (z((2, 3)), T.astype("float64"), {}, TypeError, "target is float64; expected int64 classes"),
    (z((2, 3)), np.array([0, 1, 2]), {}, ValueError, "target has shape (3,); expected (2,) from x (2, 3)"),
    (z((2, 3, 4)), z((2, 5), int), {}, ValueError, "target has shape (2, 5); expected (2, 4) from x (2, 3, 4)"),
    (z(3), np.array([0, 1]), {}, ValueError, "target has shape (2,); expected () from x (3,)"),
    (z((2, 3)), [0, 1], {}, TypeError, "target is a list; expected a Tensor"),
    (z((2, 3), int), T, {}, TypeError, "x has dtype int64"),
    (z(()), np.array(0), {}, ValueError, "x has shape ()"),
    (z((2, 3)), T, {"reduction": "avg"}, ValueError, "reduction is 'avg'"),
    (z((2, 3)), T, {"weight": z(2)}, ValueError, "weight has shape (2,); expected (3,) from x (2, 3)"),
    (z((2, 3)), T, {"weight": z(3, "float32")}, TypeError, "weight has dtype float32"),
]
SMOOTH = [
    (z((2, 3)), T, {"label_smoothing": 1.5}, ValueError, "label_smoothing is 1.5; expected 0 to 1"),
    (z((2, 3)), z((2, 3), int), {}, TypeError, "target has dtype int64"),
    (z((2, 3)), z((2, 3)), {"ignore_index": 1}, ValueError, "ignore_index is 1; target probabilities have no class"),
]


@pytest.mark.parametrize(
    ("name", "x", "target", "how", "error", "message"),
    [("cross_entropy", *b) for b in BAD + SMOOTH] + [("nll_loss", *b) for b in BAD],
)
def test_bad_input(name, x, target, how, error, message):
    if name == "nll_loss" and x.dtype == int:
        message = "x has dtype int64"
    tensors = {k: at.tensor(v) if isinstance(v, np.ndarray) else v for k, v in how.items()}
    with pytest.raises(error, match=re.escape(message)) as raised:
        getattr(F, name)(at.tensor(x), at.tensor(target) if isinstance(target, np.ndarray) else target, **tensors)
    assert str(raised.value).startswith(name + ": ")
    weight = how.get("weight")
    rest = {k: v for k, v in how.items() if k != "weight"}
    if weight is None:
        assert_torch_refuses(lambda F, x, t: getattr(F, name)(x, t, **rest), x, target)
    else:
        assert_torch_refuses(lambda F, x, t, w: getattr(F, name)(x, t, w, **rest), x, target, weight)


def test_weight_must_not_require_grad():
    weight = at.ones(3, requires_grad=True)
    with pytest.raises(RuntimeError, match="weight requires grad"):
        F.cross_entropy(at.zeros(2, 3), at.tensor([0, 1]), weight)


def test_only_wanted_gradients_are_computed(monkeypatch):
    target = at.tensor([0, 1])
    with counted_kernels(monkeypatch) as calls:
        F.cross_entropy(at.zeros(2, 3), target)
        F.cross_entropy(at.zeros(2, 3, requires_grad=True), target).backward()
        F.softmax(at.zeros(2, 3), 1)
        F.log_softmax(at.zeros(2, 3), 1)
    assert Counter(calls) == {
        "cross_entropy_forward": 2,
        "cross_entropy_backward": 1,
        "softmax_forward": 1,
        "log_softmax_forward": 1,
    }


def test_no_conversions():
    """Logits of a classifier, and channels-last maps for dense prediction."""
    dense = at.Tensor(layout.channels_last(draw(2, 3, 4, 5)), requires_grad=True)
    x = at.tensor(draw(4, 3), requires_grad=True)
    before = layout.conversions()
    F.cross_entropy(x, at.tensor([0, 1, 2, 0])).backward()
    F.cross_entropy(dense, at.zeros(2, 4, 5, dtype=at.int64)).backward()
    F.softmax(dense, 1)
    F.log_softmax(dense.detach(), 1)
    F.log_softmax(x, 1)
    assert layout.conversions() == before


def test_change_in_place_is_noticed():
    x, target = at.zeros(2, 3, requires_grad=True), at.tensor([0, 1])
    loss = F.cross_entropy(x, target)
    target += 1
    with pytest.raises(RuntimeError, match=r"cross_entropy.*changed in place"):
        loss.backward()


# softmax and log_softmax


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", ["softmax", "log_softmax"])
@pytest.mark.parametrize("shape", [(), (5,), (4, 5), (3, 5, 2), (2, 5, 3, 4), (2, 3, 2, 1, 3), (0, 3), (3, 0)])
def test_softmax_along_every_axis_as_pytorch(shape, name, dtype):
    for dim in range(-max(1, len(shape)), max(1, len(shape))):
        assert_parity(lambda F, x, dim=dim: getattr(F, name)(x, dim), draw(*shape), dtype=dtype)


@pytest.mark.parametrize("name", ["softmax", "log_softmax"])
@pytest.mark.parametrize(("shape", "dim"), [((4, 5), 1), ((4, 5), 0), ((2, 3, 4, 2), 1), ((2, 3, 4, 2), 2)])
def test_softmax_gradient(shape, dim, name):
    assert gradcheck(lambda x: getattr(F, name)(x, dim), [at.tensor(draw(*shape), requires_grad=True)], fast_mode=True)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # the reference's own
@pytest.mark.parametrize("name", ["softmax", "log_softmax"])
def test_softmax_of_special_values_as_pytorch(name):
    x = np.array([[-INF, 0.0, 1.0], [-INF, -INF, -INF], [INF, 0.0, 1.0], [NAN, 0.0, 1.0], [1e4, -1e4, 0.0]])
    assert_parity(lambda F, x: getattr(F, name)(x, 1), x, gradients=False)


def test_softmax_guesses_the_axis_with_a_warning():
    for shape, dim in [((3,), 0), ((2, 3), 1), ((2, 3, 4), 0), ((2, 3, 4, 5), 1)]:
        x = at.tensor(draw(*shape))
        with pytest.warns(UserWarning, match=f"softmax: without dim, axis {dim} is taken"):
            y = F.softmax(x)
        assert y.tolist() == F.softmax(x, dim).tolist()


@pytest.mark.parametrize(
    ("x", "dim", "error", "message"),
    [
        (z((2, 3)), 2, ValueError, "dim is 2; expected -2 to 1 from x (2, 3)"),
        (z((2, 3)), -3, ValueError, "dim is -3"),
        (z(()), 1, ValueError, "dim is 1; expected -1 to 0"),
        (z((2, 3)), 1.0, TypeError, "dim is 1.0; expected an int"),
        (z((2, 3), int), 1, TypeError, "x has dtype int64"),
    ],
)
@pytest.mark.parametrize("name", ["softmax", "log_softmax"])
def test_softmax_bad_input(name, x, dim, error, message):
    with pytest.raises(error, match=re.escape(f"{name}: {message}")):
        getattr(F, name)(at.tensor(x), dim)
    assert_torch_refuses(lambda F, x: getattr(F, name)(x, dim), x)


@pytest.mark.parametrize("name", ["softmax", "log_softmax"])
def test_changed_softmax_is_noticed(name):
    y = getattr(F, name)(at.zeros(2, 3, requires_grad=True), 1)
    y += 1
    with pytest.raises(RuntimeError, match=rf"{name}.*changed in place"):
        y.sum().backward()


def test_strided_input():
    x = randomly_strided(draw(4, 6))
    loss = F.cross_entropy(at.from_numpy(x), at.tensor([0, 1, 2, 3])).item()
    assert loss == pytest.approx(
        F.cross_entropy(at.tensor(np.ascontiguousarray(x)), at.tensor([0, 1, 2, 3])).item(), rel=1e-14
    )


def test_by_hand():
    """softmax(0, ln 3) = (1/4, 3/4)."""
    x = at.tensor([[0.0, math.log(3)]], dtype=at.float64)
    assert F.cross_entropy(x, at.tensor([0])).item() == pytest.approx(math.log(4))
    assert F.cross_entropy(x, at.tensor([1])).item() == pytest.approx(math.log(4 / 3))
    smoothed = F.cross_entropy(x, at.tensor([1]), label_smoothing=0.5).item()
    assert smoothed == pytest.approx(0.75 * math.log(4 / 3) + 0.25 * math.log(4))
