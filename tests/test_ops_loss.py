import re

import numpy as np
import pytest
from parity import assert_parity, assert_torch_refuses, draw

import atrous as at
from atrous.gradcheck import gradcheck
from atrous.nn import functional as F

NAN, INF = float("nan"), float("inf")
REDUCTIONS = ["none", "mean", "sum"]
SHAPES = [(5,), (4, 5), (3, 5, 2), (2, 5, 3, 4)]


def classes(shape):
    places = shape[:1] + shape[2:] if len(shape) > 1 else ()
    return np.array(np.random.default_rng(0).integers(0, 5, places))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("shape", SHAPES)
def test_nll_agrees_with_pytorch(shape, reduction, dtype):
    how = {"reduction": reduction, "ignore_index": 2}
    assert_parity(lambda F, x, t: F.nll_loss(x, t, **how), draw(*shape), classes(shape), dtype=dtype)

    def f(F, x, t, w):
        return F.nll_loss(x, t, w.detach(), **how)

    assert_parity(f, draw(*shape), classes(shape), draw(5, low=0.1), dtype=dtype)


@pytest.mark.parametrize("shape", SHAPES)
def test_nll_gradient(shape):
    x, target, weight = (
        at.tensor(draw(*shape), requires_grad=True),
        at.tensor(classes(shape)),
        at.tensor(draw(5, low=0.1)),
    )
    assert gradcheck(lambda x: F.nll_loss(x, target, weight), [x], fast_mode=True)


def test_nll_of_infinities_as_pytorch():
    x = np.array([[-INF, 0.0], [-INF, 0.0], [NAN, -1.0]])

    def f(F, x, t):
        return F.nll_loss(x, t, ignore_index=-1, reduction="none")

    assert_parity(f, x, np.array([0, -1, 1]))


def test_nll_of_log_softmax_is_cross_entropy():
    x, target = at.tensor(draw(6, 5)), at.tensor(classes((6, 5)))
    assert F.nll_loss(F.log_softmax(x, 1), target).item() == pytest.approx(F.cross_entropy(x, target).item(), rel=1e-14)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("name", ["mse_loss", "l1_loss"])
@pytest.mark.parametrize("shape", [(), (3,), (2, 3, 4, 5), (0, 3)])
def test_error_losses_agree_with_pytorch(shape, name, reduction, dtype):

    def f(F, x, t):
        return getattr(F, name)(x, t, reduction=reduction)

    assert_parity(f, draw(*shape), draw(*shape, seed=1), dtype=dtype)


@pytest.mark.parametrize("name", ["mse_loss", "l1_loss"])
def test_error_losses_gradient(name):
    x, target = (at.tensor(draw(3, 4, seed=i), requires_grad=True) for i in range(2))
    assert gradcheck(getattr(F, name), [x, target], fast_mode=True)


def test_l1_gradient_is_zero_at_agreement():
    assert_parity(lambda F, x, t: F.l1_loss(x, t), np.array([1.0, 2.0]), np.array([1.0, 3.0]))


@pytest.mark.parametrize("name", ["mse_loss", "l1_loss"])
def test_error_losses_broadcast_with_a_warning(name):
    with pytest.warns(UserWarning, match=re.escape("input has shape (2, 3) and target (3,); they broadcast")) as warned:
        loss = getattr(F, name)(at.zeros(2, 3), at.ones(3))
    assert loss.item() == 1.0
    assert warned[0].filename == __file__


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("weight", [None, (3, 4), (4,), (3, 1)])
@pytest.mark.parametrize("pos_weight", [None, (4,), (1,)])
def test_binary_agrees_with_pytorch(weight, pos_weight, reduction, dtype):
    def f(F, x, t, w, p):
        weights = {"weight": w.detach() if weight else None, "pos_weight": p.detach() if pos_weight else None}
        return F.binary_cross_entropy_with_logits(x, t, reduction=reduction, **weights)

    x, t = 4 * draw(3, 4), draw(3, 4, low=0)
    assert_parity(f, x, t, draw(*(weight or (1,)), low=0.1), 3 * draw(*(pos_weight or (1,)), low=0.1), dtype=dtype)


def test_binary_gradient():
    x, t = at.tensor(draw(3, 4), requires_grad=True), at.tensor(draw(3, 4, low=0), requires_grad=True)
    weight, pos_weight = at.tensor(draw(4, low=0.1)), at.tensor(3 * draw(3, 1, low=0.1))

    def f(x, t):
        return F.binary_cross_entropy_with_logits(x, t, weight, pos_weight=pos_weight)

    assert gradcheck(f, [x, t], fast_mode=True)


def test_binary_of_special_values_as_pytorch():
    """At 0, where |x| has its kink, and where exp would overflow."""
    x, t = np.array([0.0, -0.0, 1e3, -1e3, 1e3, -1e3]), np.array([1.0, 0.0, 1.0, 0.0, 0.0, 1.0])

    def f(F, x, t):
        return F.binary_cross_entropy_with_logits(x, t, reduction="none")

    assert_parity(f, x, t)
    assert_parity(f, np.array([INF, -INF, NAN]), np.array([1.0, 0.0, 1.0]), gradients=False)
    assert_parity(f, np.zeros(0), np.zeros(0))


def test_binary_keeps_small_gradients():
    """σ(−50) = 2e-22, which 1 − σ(50) would lose."""
    x = at.tensor([-50.0, 50.0], requires_grad=True)
    F.binary_cross_entropy_with_logits(x, at.tensor([0.0, 1.0]), reduction="sum").backward()
    assert x.grad.tolist() == pytest.approx([1.9287e-22, -1.9287e-22], rel=1e-4, abs=0)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("weight", [None, (3, 4), (4,), (3, 1)])
def test_binary_of_probabilities_agrees_with_pytorch(weight, reduction, dtype):
    def f(F, x, t, w):
        return F.binary_cross_entropy(x, t, w.detach() if weight else None, reduction=reduction)

    assert_parity(f, draw(3, 4, low=0), draw(3, 4, seed=1, low=0), draw(*(weight or (1,)), low=0.1), dtype=dtype)


def test_binary_of_probabilities_at_its_ends_as_pytorch():
    """Logarithms end at −100, and the slope's divisor at 1e-12."""
    x, t = np.array([0.0, 1.0, 0.0, 1.0, 1e-40, 1e-13]), np.array([0.3, 0.4, 0.0, 1.0, 1.0, 0.0])
    assert_parity(lambda F, x, t: F.binary_cross_entropy(x, t, reduction="none"), x, t)
    assert_parity(lambda F, x, t: F.binary_cross_entropy(x, t), np.zeros(0), np.zeros(0))
    loss = F.binary_cross_entropy(at.tensor([0.0, 1.0]), at.tensor([0.25, 0.75]), reduction="none")
    assert loss.tolist() == [25.0, 25.0]


def test_binary_of_probabilities_layer_as_pytorch():
    torch = pytest.importorskip("torch")
    x, t, w = draw(3, 4, low=0), draw(3, 4, seed=1, low=0), draw(4, low=0.1)
    ours, theirs = at.nn.BCELoss(at.tensor(w), reduction="sum"), torch.nn.BCELoss(torch.tensor(w), reduction="sum")
    assert ours(at.tensor(x), at.tensor(t)).item() == pytest.approx(theirs(torch.tensor(x), torch.tensor(t)).item())
    assert list(ours.state_dict()) == list(theirs.state_dict()) == ["weight"]


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(40))
def test_several_classes_and_probabilities_over_random_configurations(seed):
    """Any number of samples and classes, lists of any length with repetitions, weights of any shape that broadcasts."""
    rng = np.random.default_rng(seed)
    N, C, reduction = rng.integers(1, 6), rng.integers(2, 9), REDUCTIONS[seed % 3]
    shape = (N, C) if seed % 4 else (C,)
    x, t = draw(*shape, seed=seed), rng.uniform(size=shape)
    lists = rng.integers(-1, C, shape)
    assert_parity(lambda F, x, t: F.multilabel_margin_loss(x, t, reduction=reduction), x, lists)
    weight = rng.uniform(0.1, 2, [(C,), (1,), shape][seed % 3])
    assert_parity(lambda F, x, t, w: F.multilabel_soft_margin_loss(x, t, w, reduction=reduction), x, t, weight)
    p = rng.uniform(size=shape) ** rng.integers(1, 20)  # some very near to 0
    assert_parity(lambda F, p, t, w: F.binary_cross_entropy(p, t, w.detach(), reduction=reduction), p, t, weight)
    full = rng.uniform(0.1, 2, shape)
    for name in ("mse_loss", "l1_loss", "huber_loss"):
        assert_parity(lambda F, x, t, w, n=name: getattr(F, n)(x, t, weight=w, reduction=reduction), x, t, full)


z = np.zeros
BCE = "binary_cross_entropy_with_logits"
BAD = [  # function, x, target, keywords, error, message
    ("mse_loss", z((2, 3)), z(2), {}, ValueError, "input has shape (2, 3) and target (2,); they do not broadcast"),
    ("mse_loss", z(2, int), z(2, int), {}, TypeError, "input is int64 and target int64; expected floats"),
    ("mse_loss", z(2), [0.0, 0.0], {}, TypeError, "target is a list; expected a Tensor"),
    ("mse_loss", z(2), z(2), {"reduction": "avg"}, ValueError, "reduction is 'avg'"),
    ("l1_loss", z((2, 3)), z(2), {}, ValueError, "they do not broadcast"),
    ("l1_loss", z(2, int), z(2, int), {}, TypeError, "expected floats"),
    ("binary_cross_entropy", z(2), z(3), {}, ValueError, "target has shape (3,); expected (2,) as input"),
    ("binary_cross_entropy", z(2) + 1.5, z(2), {}, ValueError, "input holds a number that is not between 0 and 1"),
    ("binary_cross_entropy", z(2) + NAN, z(2), {}, ValueError, "input holds a number that is not between 0 and 1"),
    ("binary_cross_entropy", z(2), z(2) - 0.5, {}, ValueError, "target holds a number that is not between 0 and 1"),
    ("binary_cross_entropy", z(3), z(3), {"weight": z((2, 3))}, ValueError, "weight has shape (2, 3)"),
    (BCE, z((2, 3)), z(3), {}, ValueError, "target has shape (3,); expected (2, 3) from x"),
    (BCE, z(2), z(2, int), {}, TypeError, "target has dtype int64"),
    (BCE, z(2, int), z(2), {}, TypeError, "x has dtype int64"),
    (BCE, z((2, 3)), z((2, 3)), {"pos_weight": z(4)}, ValueError, "pos_weight has shape (4,)"),
    (BCE, z((1, 3)), z((1, 3)), {"weight": z((2, 1))}, ValueError, "weight has shape (2, 1)"),
    (BCE, z(2), z(2), {"reduction": None}, ValueError, "reduction is None"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "x", "target", "how", "error", "message"), BAD)
def test_bad_input(name, x, target, how, error, message):
    ours = {k: at.tensor(v) if isinstance(v, np.ndarray) else v for k, v in how.items()}
    with pytest.raises(error, match=re.escape(message)) as raised:
        getattr(F, name)(at.tensor(x), at.tensor(target) if isinstance(target, np.ndarray) else target, **ours)
    assert str(raised.value).startswith(name + ": ")
    torch = pytest.importorskip("torch")
    theirs = {k: torch.tensor(v) if isinstance(v, np.ndarray) else v for k, v in how.items()}
    assert_torch_refuses(lambda F, x, t: getattr(F, name)(x, t, **theirs), x, target)


def test_weights_must_not_require_grad():
    w = at.ones(2, requires_grad=True)
    with pytest.raises(RuntimeError, match="pos_weight requires grad"):
        F.binary_cross_entropy_with_logits(at.zeros(2), at.zeros(2), pos_weight=w)
    with pytest.raises(RuntimeError, match="weight requires grad"):
        F.nll_loss(at.zeros(1, 2), at.tensor([0]), w)
