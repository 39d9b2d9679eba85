"""MixUp, CutMix and averages over views; random shares have the moments of their distribution."""

import math
import re

import numpy as np
import pytest

import atrous as at
from atrous import nn
from atrous import transforms as T
from atrous.data import DataLoader, TensorDataset, default_collate
from atrous.tensor import Tensor
from atrous.transforms.batch import beta
from atrous.tv_tensors import Mask


def batch(N=4, C=2, H=6, W=8):
    return at.rand(N, C, H, W), at.arange(N) % 3


def test_mixup_by_hand():
    at.manual_seed(0)
    x, labels = batch()
    y, soft = T.MixUp(num_classes=3)(x, labels)
    share = soft[1, 1].item()  # of sample 1 beside sample 0
    expected = share * np.eye(3)[[0, 1, 2, 0]] + (1 - share) * np.eye(3)[[0, 0, 1, 2]]
    np.testing.assert_allclose(soft.numpy(), expected, atol=1e-6)
    np.testing.assert_allclose(y.numpy(), share * x.numpy() + (1 - share) * np.roll(x.numpy(), 1, 0), atol=1e-6)
    assert (y.dtype, soft.dtype, labels.tolist()) == (at.float32, at.float32, [0, 1, 2, 0])
    assert 0 < share < 1
    assert T.MixUp(num_classes=3)(x.to(dtype=at.uint8), labels)[0].dtype == at.float32


def test_cutmix_by_hand():
    for seed in range(30):
        at.manual_seed(seed)
        x, labels = batch()
        y, soft = T.CutMix(num_classes=3)(x, labels)
        kept = y.numpy() == x.numpy()
        assert (kept | (y.numpy() == np.roll(x.numpy(), 1, 0))).all()
        assert (kept == kept[:1, :1]).all()  # one rectangle for all
        rows, columns = np.nonzero(~kept[0, 0])
        if len(rows):
            assert len(rows) == (np.ptp(rows) + 1) * (np.ptp(columns) + 1)
        np.testing.assert_allclose(soft[1].tolist(), [1 - kept[0, 0].mean(), kept[0, 0].mean(), 0], atol=1e-6)


def test_cutmix_has_the_area():
    """1 − λ of the image where all of it lies inside; λ is uniform for α = 1."""
    at.manual_seed(0)
    cut = T.CutMix(num_classes=2)
    params = [cut.make_params([at.zeros(2, 1, 100, 100)]) for _ in range(300)]
    inside = [p for p in params if p["rows"].start > 0 and p["rows"].stop < 100]
    inside = [p for p in inside if p["columns"].start > 0 and p["columns"].stop < 100]
    assert all(abs((p["rows"].stop - p["rows"].start) - (p["columns"].stop - p["columns"].start)) == 0 for p in inside)
    centres = np.array([(p["rows"].start + p["rows"].stop) / 2 for p in params])
    assert abs(centres.mean() - 50) < 5 * 25 / math.sqrt(300)
    assert np.mean([p["share"] for p in params]) > 0.5  # parts are cut off


@pytest.mark.parametrize("alpha", [0.05, 1.0, 5.0])
def test_beta_has_its_moments(alpha):
    generator = at.Generator(3)
    x = np.array([beta(alpha, generator) for _ in range(400)])
    variance = 1 / (4 * (2 * alpha + 1))
    assert ((x >= 0) & (x <= 1)).all()
    assert abs(x.mean() - 0.5) < 5 * math.sqrt(variance / 400)
    fourth = 3 / (16 * (2 * alpha + 1) * (2 * alpha + 3))  # E (x − ½)⁴
    assert abs(((x - 0.5) ** 2).mean() - variance) < 5 * math.sqrt((fourth - variance**2) / 400)
    if alpha == 1:
        assert abs(np.sort(x) - (np.arange(400) + 0.5) / 400).max() < 2 / math.sqrt(400)  # uniform


@pytest.mark.parametrize("mixture", [T.MixUp, T.CutMix])
def test_where_the_labels_are(mixture):
    x, labels = batch()
    expected = None
    hard, soft = {"num_classes": 3}, at.from_numpy(np.eye(3, dtype=np.float32)[labels.numpy()])
    for arguments, sample, find in (
        (hard, (x, labels), lambda made: made[1]),
        ({}, (x, soft), lambda made: made[1]),
        (hard, (x, soft), lambda made: made[1]),
        (hard, [x, labels, "name"], lambda made: made[1]),
        (hard, {"image": x, "Labels": labels}, lambda made: made["Labels"]),
        (hard, (x, {"label_of_it": labels, "n": 3}), lambda made: made[1]["label_of_it"]),
        ({**hard, "labels_getter": lambda sample: sample[2]}, (x, "name", labels), lambda made: made[2]),
    ):
        at.manual_seed(0)
        made = mixture(**arguments)(sample)
        assert type(made) is type(sample)
        expected = find(made).tolist() if expected is None else expected
        assert find(made).tolist() == expected


@pytest.mark.parametrize("mixture", [T.MixUp(num_classes=3), T.CutMix(num_classes=3)], ids=["MixUp", "CutMix"])
def test_mixtures_draw_the_same_number_of_words(mixture):
    counts = set()
    for seed in range(20):
        at.manual_seed(seed)
        mixture(*batch())
        counts.add(at.get_rng_state()["offset"])
    assert len(counts) == 1


def test_in_a_loader_and_a_loss():
    mixup, x = T.MixUp(num_classes=3), batch(12)
    loader = DataLoader(TensorDataset(*x), batch_size=4, collate_fn=lambda samples: mixup(*default_collate(samples)))
    for images, labels in loader:
        assert (images.shape, labels.shape) == ((4, 2, 6, 8), (4, 3))
        np.testing.assert_allclose(labels.sum(1).numpy(), 1, rtol=1e-6)
    loss = nn.CrossEntropyLoss()(at.zeros(4, 3, requires_grad=True), labels)
    assert loss.item() == pytest.approx(math.log(3))


def test_mixtures_run_elsewhere(foreign):
    x, labels = batch()
    for mixture in (T.MixUp(num_classes=3), T.CutMix(num_classes=3)):
        at.manual_seed(0)
        expected = mixture(x, labels)
        at.manual_seed(0)
        made = mixture(Tensor(foreign.asarray(x.numpy())), Tensor(foreign.asarray(labels.numpy())))
        for a, b in zip(made, expected, strict=True):
            assert type(a.data) is not np.ndarray
            np.testing.assert_allclose(foreign.asnumpy(a.data), b.numpy(), rtol=1e-6)


def test_average_predictions():
    at.manual_seed(0)
    images = at.rand(3, 2, 8, 8)
    network = nn.Sequential(nn.Conv2d(2, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 5))
    crops = T.TenCrop(6)(images)
    made = T.average_predictions(network, at.stack(crops, 1))
    expected = np.mean([network(crop).detach().numpy() for crop in crops], 0)
    np.testing.assert_allclose(made.numpy(), expected, atol=1e-6)
    assert not made.requires_grad
    loader = DataLoader([T.Compose([T.TenCrop(6), at.stack])(image) for image in images], batch_size=3)
    (views,) = loader
    np.testing.assert_allclose(T.average_predictions(network, views).numpy(), expected, atol=1e-6)
    with pytest.raises(ValueError, match=re.escape("views have shape (3, 2, 8, 8); expected (N, K, C, H, W)")):
        T.average_predictions(network, images)


x4, labels4 = at.ones(4, 1, 2, 2), at.tensor([0, 1, 0, 1])


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: T.MixUp(alpha=0), ValueError, "MixUp: alpha is 0; expected more than 0"),
        (lambda: T.MixUp(labels_getter=3), ValueError, 'MixUp: labels_getter is 3; expected "default" or a function'),
        (lambda: T.MixUp()(x4, labels4), ValueError, "MixUp: num_classes is None; expected it beside labels (N,)"),
        (lambda: T.MixUp()(x4), ValueError, "MixUp: found no labels; expected (images, labels)"),
        (lambda: T.MixUp()({"image": x4}), ValueError, "MixUp: found no labels; expected (images, labels)"),
        (lambda: T.MixUp()(x4, {"label": [1]}), TypeError, "MixUp: the labels are a list; expected a tensor (N,)"),
        (lambda: T.MixUp(num_classes=3)(x4, at.ones(4, 2)), ValueError, "shape (4, 2); expected (N, 3)"),
        (lambda: T.MixUp()(x4, at.ones(4, 2, 2)), ValueError, "the labels have shape (4, 2, 2); expected (N,) or"),
        (lambda: T.CutMix(num_classes=2)(x4[0], labels4), ValueError, "CutMix: the images have shape (1, 2, 2); exp"),
        (lambda: T.CutMix(num_classes=2)(x4[:3], labels4), ValueError, "shape (3, 1, 2, 2); expected (4, C, H, W)"),
        (
            lambda: T.CutMix(num_classes=2)(x4, labels4, Mask(x4)),
            ValueError,
            "CutMix: the batch has Pillow images, mas",
        ),
        (lambda: T.CutMix(num_classes=1)(x4, labels4), ValueError, "one_hot"),
    ],
)
def test_misuse(call, error, message):
    with pytest.raises(error, match=re.escape(message)):
        call()
