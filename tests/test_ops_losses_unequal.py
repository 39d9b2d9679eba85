"""Losses that PyTorch does not have: focal, Dice and contrastive loss, hard triplets, weights of classes."""

import numpy as np
import pytest
from parity import assert_close, assert_parity, draw

import atrous as at
from atrous import nn
from atrous.gradcheck import gradcheck
from atrous.nn import functional as F

CLASSES = np.array([2, 0, 3, 3, 1])
REDUCTIONS = ["none", "mean", "sum"]


def torchs_focal(x, t, alpha=0.25, gamma=2.0, reduction="none"):
    """As torchvision.ops has it."""
    from torch.nn.functional import binary_cross_entropy_with_logits

    p = x.sigmoid()
    p_t = p * t + (1 - p) * (1 - t)
    losses = binary_cross_entropy_with_logits(x, t, reduction="none") * (1 - p_t) ** gamma
    if alpha >= 0:
        losses = losses * (alpha * t + (1 - alpha) * (1 - t))
    return losses if reduction == "none" else getattr(losses, reduction)()


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize(("alpha", "gamma"), [(0.25, 2.0), (0.9, 0.5), (-1, 3.0), (0.5, 0.0)])
def test_binary_focal_loss_is_torchvisions(alpha, gamma, reduction):
    def f(F, x, t):
        loss = F.sigmoid_focal_loss if F is at.nn.functional else torchs_focal
        return loss(x, t, alpha, gamma, reduction)

    assert_parity(f, 3 * draw(3, 4), (draw(3, 4, seed=1) > 0) * 1.0, terms=128)
    assert_parity(f, 3 * draw(3, 4), draw(3, 4, low=0), terms=128)


def torchs_focal_of_classes(x, t, w, gamma, ignore_index, reduction):
    kept = t != ignore_index
    log_p = x.log_softmax(1).gather(1, t.where(kept, t * 0).unsqueeze(1)).squeeze(1)
    weight = w[t.where(kept, t * 0)] * kept
    losses = -weight * (1 - log_p.exp()) ** gamma * log_p
    return losses if reduction == "none" else losses.sum() / (weight.sum() if reduction == "mean" else 1)


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("shape", [(5, 4), (5, 4, 3)])
@pytest.mark.parametrize("gamma", [0.0, 1.0, 2.0])
def test_focal_loss_of_classes_is_the_papers(gamma, shape, reduction):
    target = np.resize(CLASSES, (shape[0], *shape[2:]))

    def f(F, x, t, w):
        if F is at.nn.functional:
            return F.focal_loss(x, t, w.detach(), gamma=gamma, ignore_index=1, reduction=reduction)
        return torchs_focal_of_classes(x, t, w.detach(), gamma, 1, reduction)

    assert_parity(f, 2 * draw(*shape), target, draw(4, low=0.2), terms=128)


def test_focal_losses_by_hand():
    """At logits 0 all is known: p_t = 1/2 of two classes, 1/4 of four."""
    assert F.sigmoid_focal_loss(at.zeros(1), at.zeros(1)).item() == pytest.approx(0.75 * np.log(2) / 4, rel=1e-6)
    four = F.focal_loss(at.zeros(2, 4), at.tensor([0, 3]))
    assert four.item() == pytest.approx((3 / 4) ** 2 * np.log(4), rel=1e-6)
    x, t = at.tensor(draw(5, 4)), at.tensor(CLASSES)
    assert F.focal_loss(x, t, gamma=0.0).item() == pytest.approx(F.cross_entropy(x, t).item(), rel=1e-14)
    assert F.focal_loss(x[0], t[0]).item() == pytest.approx(F.focal_loss(x[:1], t[:1]).item(), rel=1e-14)


def test_focal_losses_of_sure_answers_are_finite():
    for sign in (1, -1):
        x = at.tensor([sign * 200.0], requires_grad=True)
        F.sigmoid_focal_loss(x, at.ones(1), reduction="sum").backward()
        assert x.grad.item() == pytest.approx(0.0 if sign > 0 else -0.25)
        x = at.tensor([[sign * 200.0, 0.0]], requires_grad=True)
        F.focal_loss(x, at.tensor([0])).backward()
        assert x.grad.tolist()[0] == pytest.approx([0.0, 0.0] if sign > 0 else [-1.0, 1.0])


@pytest.mark.parametrize("gamma", [0.0, 0.5, 1.0])
def test_gradients_of_focal_losses_stay_finite_where_the_answer_cannot_be_surer(gamma):
    """1 − p_t is 0 there, and its power's slope infinite for gamma below 1."""
    x = at.tensor([900.0, -900.0], requires_grad=True)
    F.sigmoid_focal_loss(x, at.tensor([1.0, 0.0]), gamma=gamma, reduction="sum").backward()
    assert x.grad.tolist() == [0.0, 0.0]
    x = at.tensor([[900.0, 0.0]], requires_grad=True)
    F.focal_loss(x, at.tensor([0]), gamma=gamma).backward()
    assert x.grad.tolist() == [[0.0, 0.0]]


def test_dice_loss_by_hand():
    """Two of three places said, one of them rightly: 2·1 / (2 + 1), with 1 added to both 3/4."""
    p, t = at.tensor([[[[1.0, 1.0, 0.0]], [[0.0, 0.0, 0.0]]]]), at.tensor([[[[1.0, 0.0, 0.0]], [[0.0, 0.0, 0.0]]]])
    assert F.dice_loss(p, t, reduction="none").tolist() == [[0.25, 0.0]]
    assert F.dice_loss(p, t).item() == 0.125
    unsure = F.dice_loss(at.tensor([[[0.5, 0.5]]]), at.tensor([[[1.0, 0.0]]]), smooth=0.0)
    assert unsure.item() == pytest.approx(1 - 2 * 0.5 / (0.25 + 0.25 + 1))  # squares of both below
    x = at.tensor(draw(2, 3, 4, low=0), requires_grad=True)
    assert gradcheck(lambda x: F.dice_loss(x, at.tensor((draw(2, 3, 4) > 0) * 1.0), reduction="sum"), [x])


def test_contrastive_loss_by_hand_and_by_hinge_embedding():
    x = at.tensor(draw(5, 3), requires_grad=True)
    y, t = at.tensor(draw(5, 3, seed=1), requires_grad=True), at.tensor(np.array([1.0, -1.0, 1.0, -1.0, 1.0]))
    d = (x - y).norm(dim=1)
    ours = F.contrastive_loss(x, y, t, 2.0, reduction="none").detach().numpy()
    hinge = F.hinge_embedding_loss(d, t, 2.0, reduction="none").detach().numpy()
    np.testing.assert_allclose(ours, hinge**2 / 2, rtol=1e-13)
    assert gradcheck(lambda x, y: F.contrastive_loss(x, y, t, 2.0), [x, y])
    assert F.contrastive_loss(x[0], y[0], t[0]).item() == pytest.approx(d[0].item() ** 2 / 2)
    same = at.ones(1, 3, requires_grad=True)
    F.contrastive_loss(same, at.ones(1, 3), at.tensor([-1.0])).backward()
    assert same.grad.tolist() == [[0.0, 0.0, 0.0]]  # no direction to leave in


@pytest.mark.parametrize("shift", [0.0, 1e3])
def test_hardest_triplets_are_those_that_a_search_finds(shift):
    x, labels = (draw(24, 3) + shift).astype("float32"), np.arange(24) % 5 * (np.arange(24) != 7) + 9
    labels[11] = 77  # alone in its class: no anchor
    d = np.linalg.norm(x[:, None].astype("float64") - x, axis=2)
    alike = labels[:, None] == labels
    farthest = np.where(alike & ~np.eye(24, dtype=bool), d, -1).argmax(1)
    nearest = np.where(alike, np.inf, d).argmin(1)
    a, p, n = F.hardest_triplets(at.tensor(x), at.tensor(labels))
    anchors = np.delete(np.arange(24), 11)
    assert a.tolist() == anchors.tolist()
    assert p.tolist() == farthest[anchors].tolist()
    assert n.tolist() == nearest[anchors].tolist()


def test_triplets_where_there_are_none():
    for labels in ([1, 1, 1], [0, 1, 2]):
        assert [len(i) for i in F.hardest_triplets(at.tensor(draw(3, 2)), at.tensor(labels))] == [0, 0, 0]
    assert [len(i) for i in F.hardest_triplets(at.zeros(0, 2), at.zeros(0, dtype=at.int64))] == [0, 0, 0]


def test_the_textbooks_triplet_loss():
    """FaceNet: Σ max(0, ‖a − p‖² − ‖a − n‖² + α), over the hardest triplets of a batch."""
    x, labels = at.tensor(draw(12, 3), requires_grad=True), at.tensor(np.arange(12) % 3)
    a, p, n = F.hardest_triplets(x, labels)
    settings = {"distance_function": lambda a, b: ((a - b) ** 2).sum(-1), "margin": 0.2, "reduction": "sum"}
    loss = F.triplet_margin_with_distance_loss(x[a], x[p], x[n], **settings)
    X = x.detach().numpy()
    anchor, positive, negative = (X[i.numpy()] for i in (a, p, n))
    textbook = np.maximum(0, ((anchor - positive) ** 2).sum(1) - ((anchor - negative) ** 2).sum(1) + 0.2).sum()
    assert loss.item() == pytest.approx(textbook, rel=1e-13)
    loss.backward()
    assert x.grad.abs().sum().item() > 0


def test_class_weights():
    weights = nn.utils.class_weights
    assert weights(np.array([10, 0, 30])).tolist() == [1.5, 0.0, 0.5]
    assert weights(at.tensor([5, 80]), beta=0.0).tolist() == [1.0, 1.0]
    n, beta = np.array([1, 10, 1000]), 0.99
    cui = 1 / ((1 - beta**n) / (1 - beta))
    np.testing.assert_allclose(weights(n, beta).numpy(), 3 * cui / cui.sum(), rtol=1e-6)
    np.testing.assert_allclose(weights(n, 1 - 1e-12).numpy(), weights(n).numpy(), rtol=1e-6)


def test_weights_make_classes_alike():
    """With 1/Z(y), a network that says the same of all samples loses as much on few as on many."""
    labels = np.repeat([0, 1], [30, 10])
    loss_fn = nn.CrossEntropyLoss(weight=nn.utils.class_weights(np.bincount(labels)))
    x = at.tensor(np.tile([1.0, 0.0], (40, 1)).astype("float32"))
    half = F.cross_entropy(x[:1], at.tensor([0])).item() + F.cross_entropy(x[:1], at.tensor([1])).item()
    assert loss_fn(x, at.tensor(labels)).item() == pytest.approx(half / 2, rel=1e-6)


def test_intermediate_supervision_adds_up():
    """The gradient of a weighted sum of losses is that of each, weighted: nothing more is needed."""
    x, t = at.tensor(draw(5, 3)), at.tensor(CLASSES % 3)
    body = at.tensor(draw(3, 4), requires_grad=True)

    def gradient(*weights):
        body.grad = None
        h = (x @ body).tanh()
        losses = [F.cross_entropy(h[:, :3], t), F.multi_margin_loss(h[:, 1:], t), F.mse_loss(h, h.detach() * 0)]
        sum(w * loss for w, loss in zip(weights, losses, strict=True)).backward()
        return body.grad.numpy().copy()

    parts = gradient(1, 0, 0) + 0.3 * gradient(0, 1, 0) + 2 * gradient(0, 0, 1)
    assert_close(gradient(1, 0.3, 2), parts, 64, "gradient")


LAYERS = {
    "ContrastiveLoss": ({"margin": 2.0}, "contrastive_loss", (draw(5, 4), draw(5, 4, seed=1), -np.ones(5))),
    "DiceLoss": ({"smooth": 0.5}, "dice_loss", (draw(2, 3, 4, low=0), draw(2, 3, 4, seed=1, low=0))),
    "FocalLoss": ({"gamma": 1.0, "ignore_index": 3}, "focal_loss", (draw(5, 4), CLASSES)),
    "SigmoidFocalLoss": (
        {"alpha": 0.5, "gamma": 1.0, "reduction": "mean"},
        "sigmoid_focal_loss",
        (draw(5), draw(5, low=0)),
    ),
}


@pytest.mark.parametrize("name", LAYERS)
def test_layers_hand_on_their_settings(name):
    settings, function, arrays = LAYERS[name]
    layer, tensors = getattr(nn, name)(**settings), [at.tensor(a) for a in arrays]
    assert layer(*tensors).item() == getattr(F, function)(*tensors, **settings).item()
    assert layer(*tensors).item() != getattr(nn, name)()(*tensors).item()
    for reduction in REDUCTIONS:
        again = getattr(nn, name)(**{**settings, "reduction": reduction})(*tensors)
        assert again.shape == getattr(F, function)(*tensors, **{**settings, "reduction": reduction}).shape


@pytest.mark.parametrize("name", ["ContrastiveLoss", "DiceLoss", "BCELoss"])
def test_other_array_libraries(foreign, name):
    _, function, arrays = LAYERS.get(name, ({}, "binary_cross_entropy", (draw(5, low=0), draw(5, low=0))))
    expected = getattr(F, function)(*[at.Tensor(a) for a in arrays])
    got = getattr(F, function)(*[at.Tensor(foreign.wrap(a)) for a in arrays])
    assert isinstance(got.data, foreign.ndarray)
    np.testing.assert_allclose(got.data._array, expected.data, rtol=1e-14)


REFUSED = {
    "sigmoid_focal_loss: alpha is 1.5": lambda x: F.sigmoid_focal_loss(x, x, alpha=1.5),
    "sigmoid_focal_loss: gamma is -1": lambda x: F.sigmoid_focal_loss(x, x, gamma=-1),
    r"sigmoid_focal_loss: targets has shape \(3,\)": lambda x: F.sigmoid_focal_loss(x, x[0]),
    "focal_loss: gamma is -1": lambda x: F.focal_loss(x, at.tensor([0, 1]), gamma=-1.0),
    "nll_loss: target has class 3": lambda x: F.focal_loss(x, at.tensor([0, 3])),
    r"dice_loss: input has shape \(2, 3\)": lambda x: F.dice_loss(x, x),
    "dice_loss: smooth is -1": lambda x: F.dice_loss(x[None], x[None], -1.0),
    r"dice_loss: target has shape \(2, 3\)": lambda x: F.dice_loss(x[None], x),
    "contrastive_loss: margin is 0": lambda x: F.contrastive_loss(x, x, x[:, 0], 0.0),
    r"contrastive_loss: input1 has shape \(2, 3\), input2 \(3,\)": lambda x: F.contrastive_loss(x, x[0], x[:, 0]),
    r"contrastive_loss: target has shape \(3,\)": lambda x: F.contrastive_loss(x, x, x[0]),
    r"hardest_triplets: embeddings has shape \(3,\)": lambda x: F.hardest_triplets(x[0], at.tensor([0, 1, 2])),
    r"hardest_triplets: labels has shape \(3,\)": lambda x: F.hardest_triplets(x, at.tensor([0, 1, 2])),
    r"class_weights: counts has shape \(2, 3\)": lambda x: nn.utils.class_weights(x),
    r"class_weights: counts are \[0.0, 0.0\]": lambda x: nn.utils.class_weights([0, 0]),
    "class_weights: beta is 2": lambda x: nn.utils.class_weights([1, 2], beta=2),
    "SigmoidFocalLoss: reduction is 'all'": lambda x: nn.SigmoidFocalLoss(reduction="all"),
}


@pytest.mark.parametrize("message", REFUSED)
def test_refusals(message):
    with pytest.raises(ValueError, match=message):
        REFUSED[message](at.tensor(draw(2, 3)))


def test_wrong_types():
    x = at.ones(2, 3)
    with pytest.raises(TypeError, match="hardest_triplets: labels must be a Tensor of int64"):
        F.hardest_triplets(x, at.ones(2))
    with pytest.raises(TypeError, match="dice_loss: target has dtype float64"):
        F.dice_loss(x[None], x[None].double())
    with pytest.raises(TypeError, match="contrastive_loss: target is a list"):
        F.contrastive_loss(x, x, [1, -1])
