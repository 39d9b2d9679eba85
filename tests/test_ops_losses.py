"""Losses composed of other ops, beside PyTorch's: values, gradients, edges, refusals and layers."""

import inspect

import numpy as np
import pytest
from parity import assert_parity, assert_torch_refuses, draw

import atrous as at
from atrous import nn
from atrous.nn import functional as F

NAN, INF = float("nan"), float("inf")
REDUCTIONS = ["none", "mean", "sum"]
SIGNS = np.array([1.0, -1.0, -1.0, 1.0, 1.0])
COUNTS = np.array([[0.0, 1.0, 2.0], [3.0, 7.0, 1.5]])
CLASSES = np.array([2, 0, 3, 3, 1])
LISTS = np.array([[2, 0, -1, 1], [1, 1, 3, -1], [-1, 0, 1, 2]])  # classes of three samples, the last one has none

# name: (function of (F, reduction, *tensors), arrays)
LOSSES = {
    "smooth_l1": (lambda F, r, x, t: F.smooth_l1_loss(x, t, reduction=r), (2 * draw(3, 4), draw(3, 4, seed=1))),
    "smooth_l1 0.3": (lambda F, r, x, t: F.smooth_l1_loss(x, t, reduction=r, beta=0.3), (draw(7), draw(7, seed=1))),
    "smooth_l1 0": (lambda F, r, x, t: F.smooth_l1_loss(x, t, reduction=r, beta=0.0), (draw(7), draw(7, seed=1))),
    "huber": (lambda F, r, x, t: F.huber_loss(x, t, r), (2 * draw(3, 4), draw(3, 4, seed=1))),
    "huber 0.4": (lambda F, r, x, t: F.huber_loss(x, t, r, 0.4), (draw(7), draw(7, seed=1))),
    "mse weighted": (lambda F, r, x, t, w: F.mse_loss(x, t, reduction=r, weight=w), draw(3, 3, 4)),
    "l1 weighted": (lambda F, r, x, t, w: F.l1_loss(x, t, reduction=r, weight=w), draw(3, 3, 4)),
    "huber weighted": (lambda F, r, x, t, w: F.huber_loss(x, t, r, 0.4, w), draw(3, 7)),
    "kl_div": (lambda F, r, x, t: F.kl_div(x, t, reduction=r), (draw(3, 4), np.abs(draw(3, 4, seed=1)))),
    "kl_div log": (lambda F, r, x, t: F.kl_div(x, t, reduction=r, log_target=True), (draw(3, 4), draw(3, 4, seed=1))),
    "multi_margin": (lambda F, r, x: F.multi_margin_loss(x, like(x, CLASSES), reduction=r), (draw(5, 4),)),
    "multi_margin p 2": (
        lambda F, r, x: F.multi_margin_loss(x, like(x, CLASSES), 2, 0.5, like(x, [1.0, 2, 0, 3]), reduction=r),
        (draw(5, 4),),
    ),
    "multilabel_margin": (lambda F, r, x: F.multilabel_margin_loss(x, like(x, LISTS), reduction=r), (draw(3, 4),)),
    "multilabel_margin of one": (
        lambda F, r, x: F.multilabel_margin_loss(x, like(x, LISTS[0]), reduction=r),
        (draw(4),),
    ),
    "multilabel_soft_margin": (
        lambda F, r, x, t: F.multilabel_soft_margin_loss(x, t.detach(), reduction=r),
        (4 * draw(3, 4), draw(3, 4, low=0)),
    ),
    "multilabel_soft_margin weighted": (
        lambda F, r, x, t, w: F.multilabel_soft_margin_loss(x, t, w, reduction=r),
        (draw(4), draw(4, low=0), draw(4, low=0)),
    ),
    "multi_margin of one": (lambda F, r, x: F.multi_margin_loss(x, like(x, 2), reduction=r), (draw(4),)),
    "margin_ranking": (
        lambda F, r, x, y, t: F.margin_ranking_loss(x, y, t.detach(), 0.2, reduction=r),
        (draw(5), draw(5, seed=1), SIGNS),
    ),
    "hinge_embedding": (
        lambda F, r, x, t: F.hinge_embedding_loss(x, t.detach(), 0.7, reduction=r),
        (draw(5), np.array([1.0, -1.0, -1.0, 1.0, 0.5])),
    ),
    "soft_margin": (lambda F, r, x, t: F.soft_margin_loss(x, t.detach(), reduction=r), (draw(5), SIGNS)),
    "poisson": (lambda F, r, x, t: F.poisson_nll_loss(x, t, reduction=r), (draw(2, 3), COUNTS)),
    "poisson full": (
        lambda F, r, x, t: F.poisson_nll_loss(x, t.detach(), True, True, reduction=r),
        (draw(2, 3), COUNTS),
    ),
    "poisson rate": (
        lambda F, r, x, t: F.poisson_nll_loss(x, t, False, eps=1e-3, reduction=r),
        (np.abs(draw(2, 3)), COUNTS),
    ),
    "gaussian": (
        lambda F, r, x, t, v: F.gaussian_nll_loss(x, t, v, reduction=r),
        (draw(3, 4), draw(3, 4, seed=1), np.abs(draw(3, 4, seed=2)) * (draw(3, 4, seed=3) > 0)),
    ),
    "gaussian full, a variance a row": (
        lambda F, r, x, t, v: F.gaussian_nll_loss(x, t, v, True, 0.1, r),
        (draw(3, 4), draw(3, 4, seed=1), np.abs(draw(3, seed=2))),
    ),
    "gaussian, a variance a column": (
        lambda F, r, x, t, v: F.gaussian_nll_loss(x, t, v, reduction=r),
        (draw(3, 4), draw(3, 4, seed=1), np.abs(draw(1, 4, seed=2))),
    ),
    "gaussian, one number": (
        lambda F, r, x, t: F.gaussian_nll_loss(x, t, 2.0, reduction=r),
        (draw(3, 4), draw(3, 4, seed=1)),
    ),
    "cosine_embedding": (
        lambda F, r, x, y, t: F.cosine_embedding_loss(x, y, t.detach(), -0.2, reduction=r),
        (draw(5, 3), draw(5, 3, seed=1), SIGNS),
    ),
    "cosine_embedding of one": (
        lambda F, r, x, y: F.cosine_embedding_loss(x, y, like(x, 1.0), reduction=r),
        (draw(3), draw(3, seed=1)),
    ),
    "triplet": (
        lambda F, r, a, p, n: F.triplet_margin_loss(a, p, n, reduction=r),
        (draw(5, 3), draw(5, 3, seed=1), draw(5, 3, seed=2)),
    ),
    "triplet swapped": (
        lambda F, r, a, p, n: F.triplet_margin_loss(a, p, n, 2.0, 1, 1e-3, True, reduction=r),
        (draw(5, 3), draw(5, 3, seed=1), draw(5, 3, seed=2)),
    ),
    "triplet of FaceNet": (
        lambda F, r, a, p, n: F.triplet_margin_with_distance_loss(
            a, p, n, distance_function=lambda x, y: ((x - y) ** 2).sum(-1), margin=0.2, reduction=r
        ),
        (draw(5, 3), draw(5, 3, seed=1), draw(5, 3, seed=2)),
    ),
}


def like(x, values):
    """The same values for either library: ints as classes, floats of x's dtype."""
    array = np.asarray(values)
    if isinstance(x, at.Tensor):
        tensor = at.tensor(array)
        return tensor if array.dtype.kind == "i" else tensor.to(x.dtype)
    import torch

    tensor = torch.tensor(array)
    return tensor if array.dtype.kind == "i" else tensor.to(x.dtype)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.filterwarnings("ignore:reduction.*:UserWarning")
def test_agrees_with_pytorch(name, reduction, dtype):
    loss, arrays = LOSSES[name]
    assert_parity(lambda F, *tensors: loss(F, reduction, *tensors), *arrays, dtype=dtype, terms=64)


@pytest.mark.parametrize(
    "name", ["hinge_embedding", "soft_margin", "multilabel_soft_margin", "poisson_nll", "gaussian_nll"]
)
def test_targets_may_be_integers_as_in_pytorch(name):
    more = (np.array([1.0, 2.0, 3.0]),) if name == "gaussian_nll" else ()
    assert_parity(lambda F, x, *v: getattr(F, f"{name}_loss")(x, like(x, [1, -1, 1]), *v), draw(3), *more)
    assert_parity(lambda F, x, y: F.margin_ranking_loss(x, y, like(x, [1, -1, 1])), draw(3), draw(3, seed=1))


def test_batchmean_as_pytorch():
    assert_parity(lambda F, x, t: F.kl_div(x, t, reduction="batchmean"), draw(3, 4), np.abs(draw(3, 4, seed=1)))


@pytest.mark.filterwarnings("ignore:reduction.*:UserWarning")
def test_empty_probabilities_count_for_nothing_as_in_pytorch():
    t = np.array([0.0, 0.5, 0.0, 0.5])
    assert_parity(lambda F, x, t: F.kl_div(x, t.detach(), reduction="none"), draw(4), t)
    assert_parity(lambda F, x, t: F.kl_div(x, t, reduction="none"), draw(4), t, gradients=False)


@pytest.mark.parametrize("name", ["smooth_l1", "huber", "soft_margin", "poisson", "margin_ranking", "hinge_embedding"])
def test_special_values_as_pytorch(name):
    special = np.array([NAN, INF, -INF, 0.0, 800.0, -800.0])
    others = [np.array([1.0, 1.0, 1.0, -1.0, -1.0, -1.0])] * (len(LOSSES[name][1]) - 1)
    assert_parity(lambda F, *t: LOSSES[name][0](F, "none", *t), special, *others, gradients=name != "soft_margin")


@pytest.mark.parametrize("dim", [0, 1, -1])
def test_cosine_similarity_as_pytorch(dim):
    assert_parity(lambda F, x, y: F.cosine_similarity(x, y, dim), draw(4, 3), draw(4, 3, seed=1))
    assert_parity(lambda F, x, y: F.cosine_similarity(x, y, dim, 10.0), draw(4, 3), draw(4, 3, seed=1))
    assert_parity(lambda F, x, y: F.cosine_similarity(x, y, dim), draw(4, 3), draw(1, 3, seed=1))


@pytest.mark.parametrize("p", [1.0, 2.0, 3.0, INF])
def test_pairwise_distance_as_pytorch(p):
    assert_parity(lambda F, x, y: F.pairwise_distance(x, y, p, keepdim=True), draw(4, 3), draw(4, 3, seed=1))
    assert_parity(lambda F, x, y: F.pairwise_distance(x, y, p), draw(4, 3), draw(3, seed=1))


def test_hinges_of_nan_are_zero_as_in_pytorch():
    """A comparison with NaN is false: no hinge is above 0."""
    x = np.array([[NAN, 1.0, 2.0], [NAN, 1.0, 2.0], [INF, INF, 2.0]])
    for p in (1, 2):
        assert_parity(lambda F, x, p=p: F.multi_margin_loss(x, like(x, [0, 1, 0]), p, reduction="none"), x)
    assert_parity(
        lambda F, x: F.multilabel_margin_loss(x, like(x, [[0, -1, 0], [1, -1, 0], [1, 0, 2]]), reduction="none"), x
    )


def test_squared_error_with_and_without_a_half():
    """Textbooks' E = ½ Σ (x − t)² is half the sum, and its gradient is x − t."""
    x, t = at.tensor([1.0, 2.0, 5.0], requires_grad=True), at.tensor([1.0, 4.0, 4.0])
    half = 0.5 * F.mse_loss(x, t, reduction="sum")
    half.backward()
    assert half.item() == 2.5
    assert F.mse_loss(x, t).item() == pytest.approx(half.item() * 2 / 3)
    assert x.grad.tolist() == [0.0, -2.0, 1.0]


def test_the_textbooks_hinge():
    """The sum over the other classes, not divided by their number."""
    x, classes = draw(5, 4), CLASSES
    own = x[np.arange(5), classes][:, None]
    textbook = np.maximum(0, 1 + x - own).sum(1) - 1
    ours = F.multi_margin_loss(at.tensor(x), at.tensor(classes), reduction="none").numpy()
    np.testing.assert_allclose(4 * ours, textbook, rtol=1e-12)


REFUSED = {
    "smooth_l1_loss: beta is -1": lambda F, x, t: F.smooth_l1_loss(x, t, beta=-1.0),
    "huber_loss: delta is 0": lambda F, x, t: F.huber_loss(x, t, delta=0.0),
    "kl_div: reduction is 'middle'": lambda F, x, t: F.kl_div(x, t, reduction="middle"),
    "multi_margin_loss: p is 3": lambda F, x, t: F.multi_margin_loss(x, like(x, [0, 1]), 3),
    "multi_margin_loss: target holds class 3": lambda F, x, t: F.multi_margin_loss(x, like(x, [0, 3])),
    "multi_margin_loss: target holds class -1": lambda F, x, t: F.multi_margin_loss(x, like(x, [-1, 0])),
    r"multi_margin_loss: target has shape \(3,\)": lambda F, x, t: F.multi_margin_loss(x, like(x, [0, 1, 2])),
    r"multi_margin_loss: weight has shape \(2,\)": lambda F, x, t: F.multi_margin_loss(
        x, like(x, [0, 1]), weight=like(x, [1.0, 2.0])
    ),
    "multilabel_margin_loss: target holds class 3": lambda F, x, t: F.multilabel_margin_loss(
        x, like(x, [[0, 3, -1], [0, -1, 0]])
    ),
    "multilabel_margin_loss: target holds class -2": lambda F, x, t: F.multilabel_margin_loss(
        x, like(x, [[0, -2, -1], [0, -1, 0]])
    ),
    r"multilabel_margin_loss: target has shape \(2, 2\)": lambda F, x, t: F.multilabel_margin_loss(
        x, like(x, [[0, 1], [0, 1]])
    ),
    r"multilabel_margin_loss: input has shape \(1, 2, 3\)": lambda F, x, t: F.multilabel_margin_loss(
        x[None], like(x, [[[0, 1, 2], [0, 1, 2]]])
    ),
    "multilabel_soft_margin_loss: shapes": lambda F, x, t: F.multilabel_soft_margin_loss(x, t[:, :2]),
    r"mse_loss: weight has shape \(3,\)": lambda F, x, t: F.mse_loss(x, t, weight=x[0]),
    r"l1_loss: weight has shape \(3,\)": lambda F, x, t: F.l1_loss(x, t, weight=x[0]),
    r"huber_loss: weight has shape \(3,\)": lambda F, x, t: F.huber_loss(x, t, weight=x[0]),
    "margin_ranking_loss: the inputs have shapes": lambda F, x, t: F.margin_ranking_loss(x, t, t[0]),
    r"soft_margin_loss: shapes \(2, 3\) and \(2, 2\)": lambda F, x, t: F.soft_margin_loss(x, t[:, :2]),
    "gaussian_nll_loss: var holds negative": lambda F, x, t: F.gaussian_nll_loss(x, t, -(x * x)),
    "gaussian_nll_loss: var is -1": lambda F, x, t: F.gaussian_nll_loss(x, t, -1.0),
    r"gaussian_nll_loss: var has shape \(1, 1\)": lambda F, x, t: F.gaussian_nll_loss(x, t, x[:1, :1] * x[:1, :1]),
    r"gaussian_nll_loss: var has shape \(3,\)": lambda F, x, t: F.gaussian_nll_loss(x, t, x[0] * x[0]),
    "cosine_embedding_loss: input1 has shape": lambda F, x, t: F.cosine_embedding_loss(x, t, x),
    "triplet_margin_loss: margin is 0": lambda F, x, t: F.triplet_margin_loss(x, t, x, 0.0),
    "triplet_margin_loss: the three have shapes": lambda F, x, t: F.triplet_margin_loss(x, t, x[0]),
}


@pytest.mark.parametrize("message", REFUSED)
@pytest.mark.filterwarnings("ignore:reduction.*:UserWarning")
def test_refusals(message):
    x, t = draw(2, 3), draw(2, 3, seed=1)
    with pytest.raises(ValueError, match=message):
        REFUSED[message](F, at.tensor(x), at.tensor(t))
    assert_torch_refuses(REFUSED[message], x, t)


def test_mixed_dtypes_are_refused():
    with pytest.raises(TypeError, match="kl_div: target has dtype float64; expected float32 as input"):
        F.kl_div(at.ones(2), at.ones(2).double())
    with pytest.raises(TypeError, match="multi_margin_loss: target must be a Tensor of int64 classes"):
        F.multi_margin_loss(at.ones(2, 3), at.ones(2))


LAYERS = {  # name: (settings, which arguments of the loss they take)
    "CosineEmbeddingLoss": ({"margin": -0.2}, "xyt"),
    "CosineSimilarity": ({"dim": 0}, "xy"),
    "GaussianNLLLoss": ({"full": True, "eps": 0.1}, "xyv"),
    "HingeEmbeddingLoss": ({"margin": 0.7}, "xs"),
    "HuberLoss": ({"delta": 0.4}, "xy"),
    "KLDivLoss": ({"log_target": True, "reduction": "batchmean"}, "xy"),
    "L1Loss": ({"reduction": "sum"}, "xy"),
    "MarginRankingLoss": ({"margin": 0.2}, "xys"),
    "MSELoss": ({"reduction": "sum"}, "xy"),
    "MultiLabelMarginLoss": ({}, "ul"),
    "MultiLabelSoftMarginLoss": ({"reduction": "none"}, "xv"),
    "MultiMarginLoss": ({"p": 2, "margin": 0.5}, "xc"),
    "PairwiseDistance": ({"p": 1.0, "keepdim": True}, "xy"),
    "PoissonNLLLoss": ({"full": True}, "xn"),
    "SmoothL1Loss": ({"beta": 0.3}, "xy"),
    "SoftMarginLoss": ({}, "xs"),
    "TripletMarginLoss": ({"margin": 2.0, "swap": True}, "xyz"),
    "TripletMarginWithDistanceLoss": ({"margin": 0.5, "swap": True}, "xyz"),
}
ARRAYS = {
    "x": draw(5, 4),
    "y": draw(5, 4, seed=1),
    "z": draw(5, 4, seed=2),
    "v": np.abs(draw(5, 4, seed=3)),
    "s": np.sign(draw(5, 4, seed=4)),
    "t": SIGNS,
    "n": np.round(3 * np.abs(draw(5, 4, seed=5))),
    "c": CLASSES,
    "u": draw(3, 4),
    "l": LISTS,
}


@pytest.mark.parametrize("name", LAYERS)
def test_layers_as_pytorch(name):
    torch = pytest.importorskip("torch")
    settings, given = LAYERS[name]
    ours, theirs = getattr(nn, name)(**settings), getattr(torch.nn, name)(**settings)
    y = ours(*[at.tensor(ARRAYS[key]) for key in given])
    z = theirs(*[torch.tensor(ARRAYS[key]) for key in given])
    np.testing.assert_allclose(y.numpy(), z.numpy(), rtol=1e-12, atol=1e-12)
    names = [list(inspect.signature(module).parameters) for module in (getattr(nn, name), getattr(torch.nn, name))]
    assert names[0] == [n for n in names[1] if n not in ("size_average", "reduce")]
