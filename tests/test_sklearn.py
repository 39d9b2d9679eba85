"""CNNClassifier: scikit-learn's own checks, its tools, digits, image shapes, weights, the same bits, bad input."""

import io
import math
import os
import pickle
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import atrous as at
from atrous import datasets, models, nn

pytest.importorskip("sklearn")

import joblib
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, cross_val_score, train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import estimator_checks_generator

from atrous.sklearn import CNNClassifier, as_rows, small_cnn, statistics, weighted_loss
from atrous.training import NonFiniteLoss

# Gradient steps see some of the samples each, in random order: to see one twice is other steps than to see it once with
# twice the weight. Weight 0 is exact; there is a test below.
EXPECTED = {"check_sample_weight_equivalence_on_dense_data": "repeating a sample changes the batches"}
compiled = pytest.mark.skipif(
    os.environ.get("ATROUS_BACKEND") == "reference",
    reason="NumPy warns of what is not finite, and its BLAS's bits depend on the number of images",
)
CHECKS = estimator_checks_generator(CNNClassifier(), expected_failed_checks=EXPECTED, mark="xfail")


def name_of(value):
    return value.func.__name__ if hasattr(value, "func") else type(value).__name__


@pytest.mark.parametrize(("estimator", "check"), list(CHECKS), ids=name_of)
def test_estimator_checks_of_scikit_learn(estimator, check):
    check(estimator)


def bars(N=24, size=8, seed=0):
    """Images (N, size, size) of a bright row (labelled 0) or a bright column (1), with noise; and the labels."""
    generator = at.Generator(seed)
    images, labels = generator.uniform((N, size, size)), np.arange(N) % 2
    for image, label, place in zip(images, labels, generator.integers(0, size, (N,)), strict=True):
        (image.T if label else image)[place] += 2
    return images, labels


def few(**settings):
    """A classifier of few steps, for what does not depend on how well it does."""
    return CNNClassifier(**{"epochs": 1, "random_state": 0, **settings})


@pytest.fixture(scope="module")
def digits():
    images, labels = datasets.digits()
    return train_test_split(images, labels, random_state=0, stratify=labels)


@pytest.fixture(scope="module")
def fitted(digits):
    images, _, labels, _ = digits
    return CNNClassifier(epochs=5, random_state=0).fit(images, labels)


def test_digits(fitted, digits):
    _, images, _, labels = digits
    assert fitted.score(images, labels) >= 0.97
    assert fitted.loss_curve_[-1] < 0.1 < fitted.loss_curve_[0]
    assert len(fitted.loss_curve_) == 5


def test_what_a_fit_leaves(fitted):
    assert fitted.classes_.tolist() == list(range(10))
    assert (fitted.n_features_in_, fitted.image_shape_) == (64, (1, 8, 8))
    assert fitted.mean_.shape == fitted.scale_.shape == (1, 1, 1)
    assert not any(module.training for module in fitted.network_.modules())
    assert all(parameter.grad is None for parameter in fitted.network_.parameters())


def test_probabilities(fitted, digits):
    images = digits[1]
    chances = fitted.predict_proba(images)
    assert (chances.shape, chances.dtype) == ((450, 10), np.float64)
    assert np.allclose(chances.sum(axis=1), 1, rtol=0, atol=1e-12)
    assert (fitted.classes_[chances.argmax(axis=1)] == fitted.predict(images)).all()


@pytest.mark.parametrize("form", ["matrix", "channel", "list", "float32", "float64", "strided", "read-only"])
def test_an_image_in_another_form_is_the_same_image(fitted, digits, form):
    images = digits[1][:20]
    other = {
        "matrix": images.reshape(20, 64),
        "channel": images[:, None],
        "list": images.tolist(),
        "float32": images.astype(np.float32),
        "float64": images.astype(np.float64),
        "strided": np.repeat(images, 2, axis=2)[:, :, ::2],
        "read-only": images.copy(),
    }[form]
    if form == "read-only":
        other.flags.writeable = False
    assert fitted.predict_proba(other).tolist() == fitted.predict_proba(images).tolist()


@compiled
def test_an_image_is_judged_alone(fitted, digits):
    """The bits do not depend on the images beside it, also across the blocks of 256."""
    images = digits[1][:300]
    together = fitted.predict_proba(images)
    alone = np.concatenate([fitted.predict_proba(images[i : i + 1]) for i in (0, 255, 256, 299)])
    assert alone.tolist() == together[[0, 255, 256, 299]].tolist()


def test_pickle_and_joblib_keep_the_bits(fitted, digits):
    images = digits[1][:50]
    expected = fitted.predict_proba(images).tolist()
    file = io.BytesIO()
    joblib.dump(fitted, file)
    file.seek(0)
    for copy in (pickle.loads(pickle.dumps(fitted)), joblib.load(file)):
        assert copy.predict_proba(images).tolist() == expected
        assert copy.get_params() == fitted.get_params()


def test_a_pickle_in_another_process_keeps_the_bits(fitted, digits, tmp_path):
    images = digits[1][:5]
    (tmp_path / "fitted.pickle").write_bytes(pickle.dumps((fitted, images)))
    code = (
        "import pickle; classifier, images = pickle.load(open('fitted.pickle', 'rb'));"
        "print(classifier.predict_proba(images).tobytes().hex())"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, env=environment())
    assert run.stdout.strip() == fitted.predict_proba(images).tobytes().hex(), run.stderr


def environment():
    return {**os.environ, "PYTHONPATH": os.path.dirname(os.path.dirname(at.__file__))}


# -- the tools of scikit-learn -----------------------------------------------------------------------------------------


def test_cross_validation():
    images, labels = bars(60)
    scores = cross_val_score(CNNClassifier(random_state=0), images, labels, cv=3)
    assert scores.shape == (3,)
    assert scores.min() >= 0.9


def test_pipeline():
    images, labels = bars(60)
    pipeline = make_pipeline(StandardScaler(), CNNClassifier(image_shape=(8, 8), random_state=0))
    pipeline.fit(images.reshape(60, 64), labels)
    test, expected = bars(60, seed=1)
    assert pipeline.score(test.reshape(60, 64), expected) >= 0.9
    assert pipeline[-1].image_shape_ == (1, 8, 8)


def test_grid_search_tells_settings_apart():
    images, labels = bars(60)
    search = GridSearchCV(CNNClassifier(random_state=0), {"learning_rate": [1e-7, 1e-3], "epochs": [20]}, cv=2)
    search.fit(images, labels)
    assert search.best_params_ == {"learning_rate": 1e-3, "epochs": 20}
    assert search.best_score_ >= 0.8
    assert search.score(*bars(20, seed=2)) >= 0.9


def test_clone_takes_the_settings_and_nothing_else():
    classifier = few(model=small_cnn, epochs=2, batch_size=7, image_shape=(8, 8)).fit(*bars())
    copy = clone(classifier)
    assert copy.get_params() == classifier.get_params()
    with pytest.raises(NotFittedError):
        copy.predict(bars()[0])


# -- labels, weights, images -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("names", [["row", "column"], [-7, 12], [True, False], [0.0, 2.0]])
def test_labels_of_any_kind(names):
    images, labels = bars(60)
    named = np.array(names)[labels]
    classifier = CNNClassifier(random_state=0).fit(images, named)
    assert classifier.classes_.tolist() == sorted(names)
    assert classifier.score(images, named) >= 0.95
    assert classifier.predict(images).dtype == named.dtype


def test_sample_weights_by_hand():
    """Of images that are all alike the best guess is the share of the weights."""
    images, labels = np.zeros((40, 8, 8)), np.arange(40) % 2
    for weights, expected in ((None, 0.5), (np.where(labels, 3.0, 1.0), 0.75), (np.where(labels, 1e-3, 3e-3), 0.25)):
        classifier = few(model=Tiny, epochs=200, batch_size=40, learning_rate=0.02, weight_decay=0.0)
        classifier.fit(images, labels, sample_weight=weights)
        assert classifier.predict_proba(images[:1])[0, 1] == pytest.approx(expected, abs=0.002)


def test_a_weight_of_zero_leaves_the_sample_out():
    images, labels = bars(24)
    kept = np.arange(24) % 3 > 0
    a = few().fit(images[kept], labels[kept])
    for weight in (1.0, 4.0):  # and weights are relative
        b = few().fit(images, labels, sample_weight=weight * kept)
        assert b.predict_proba(images).tolist() == a.predict_proba(images).tolist()


def test_the_loss_by_hand():
    logits, classes = at.tensor([[0.0, 0.0], [math.log(3), 0.0]]), at.tensor([0, 1])
    weights = at.tensor([0.5, 1.5])
    expected = (0.5 * math.log(2) + 1.5 * math.log(4)) / 2
    assert weighted_loss(logits, (classes, weights)).item() == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize(
    ("X", "image_shape", "expected"),
    [
        ((6, 5, 7), None, (1, 5, 7)),
        ((6, 3, 5, 7), None, (3, 5, 7)),
        ((6, 1), None, (1, 1, 1)),
        ((6, 4), None, (1, 1, 4)),
        ((6, 9), None, (1, 1, 9)),
        ((6, 16), None, (1, 4, 4)),
        ((6, 17), None, (1, 1, 17)),
        ((6, 16), (1, 16), (1, 1, 16)),
        ((6, 12), [3, 4], (1, 3, 4)),
        ((6, 12), (3, np.int64(2), 2), (3, 2, 2)),
        ((6, 5, 5, 3), (5, 5, 3), (5, 5, 3)),
        ((6, 3, 3, 3), None, (3, 3, 3)),
        ((6, 5, 7), (5, 7), (1, 5, 7)),
    ],
)
def test_shapes(X, image_shape, expected):
    X = at.Generator(0).uniform(X)
    classifier = few(image_shape=image_shape).fit(X, [0, 1, 2] * 2)
    assert (classifier.image_shape_, classifier.n_features_in_) == (expected, math.prod(expected))
    assert classifier.predict(X).shape == (6,)
    assert classifier.predict_proba(X.reshape(6, -1)).tolist() == classifier.predict_proba(X).tolist()


@pytest.mark.parametrize("N", [31, 32, 33, 65])
def test_a_last_batch_of_one_image(N):
    """One value a channel has no variance for batch-norm."""
    X = at.Generator(0).uniform((N, 1))
    assert len(few().fit(X, X[:, 0] > 0.5).loss_curve_) == 1


def test_statistics_by_hand():
    X = np.array([[0, 1, 0, 10], [2, 1, 0, 30]], np.uint8)
    mean, scale = statistics(X, (1, 1, 4))
    assert (mean.tolist(), scale.tolist()) == ([[[1, 1, 0, 20]]], [[[1, 1, 1, 10]]])
    mean, scale = statistics(X, (2, 1, 2))
    assert mean.tolist() == [[[1.0]], [[10.0]]]
    assert scale.tolist() == [[[math.sqrt(0.5)]], [[math.sqrt(150)]]]
    X = at.Generator(0).uniform((600, 12)) * 5 + 100  # several blocks, a large mean
    mean, scale = statistics(X, (3, 2, 2))
    channels = X.reshape(600, 3, 4).astype(np.float64)
    assert np.allclose(mean[:, 0, 0], channels.mean(axis=(0, 2)), rtol=1e-13, atol=0)
    assert np.allclose(scale[:, 0, 0], channels.std(axis=(0, 2)), rtol=1e-12, atol=0)
    assert statistics(np.full((1000, 1), 0.1), (1, 1, 1))[1].tolist() == [[[1.0]]]  # not the rounding of its mean


def test_the_scale_of_the_data_does_not_matter():
    images, labels = bars()
    a = few().fit(images, labels).predict_proba(images)
    b = few().fit(images * 1024.0, labels).predict_proba(images * 1024.0)
    assert a.tolist() == b.tolist()
    far = (images.astype(np.float64) - 5) * 1e12
    c = few().fit(far, labels).predict_proba(far)
    assert np.allclose(a, c, rtol=0, atol=1e-3)
    X = np.stack([labels * 1e-6 + 1e3, at.Generator(0).uniform((24,)) * 1e6], axis=1)  # a table: columns of their own
    assert CNNClassifier(random_state=0, epochs=40).fit(X, labels).score(X, labels) == 1


def test_small_cnn_keeps_where_things_are():
    """A bright dot in the left or in the right half."""
    generator = at.Generator(0)
    images, labels = np.zeros((64, 12, 12), np.uint8), np.arange(64) % 2
    places = zip(range(64), generator.integers(0, 12, (64,)), generator.integers(0, 6, (64,)), strict=True)
    for n, row, column in places:
        images[n, row, column + 6 * labels[n]] = 255
    assert CNNClassifier(random_state=0).fit(images[:48], labels[:48]).score(images[48:], labels[48:]) >= 0.9


# -- models ------------------------------------------------------------------------------------------------------------


class Tiny(nn.Module):
    """Takes images of any size."""

    def __init__(self, num_classes, in_channels):
        super().__init__()
        self.conv, self.linear = nn.Conv2d(in_channels, 8, 3, padding=1), nn.Linear(8, num_classes)

    def forward(self, x):
        return self.linear(self.conv(x).relu().mean((2, 3)))


@pytest.mark.parametrize(
    ("model", "expected"), [("resnet8", models.ResNet), (Tiny, Tiny), (models.resnet8, models.ResNet)]
)
def test_other_models(model, expected):
    X = at.Generator(0).uniform((9, 3, 16, 16))
    classifier = few(model=model).fit(X, [0, 1, 2] * 3)
    assert isinstance(classifier.network_, expected)
    assert classifier.predict_proba(X).shape == (9, 3)
    copy = pickle.loads(pickle.dumps(classifier))
    assert copy.predict_proba(X).tolist() == classifier.predict_proba(X).tolist()


class Spy(Tiny):
    """Notes what it sees while it is trained: the images' means, and its weights."""

    batches: list
    weights: list

    def forward(self, x):
        if self.training:
            self.batches.append(x.mean((1, 2, 3)).numpy().tolist())
            self.weights.append(self.conv.weight.detach().numpy().copy())
        return super().forward(x)


def test_every_epoch_sees_all_images_in_an_order_of_its_own():
    Spy.batches, Spy.weights = [], []
    images, labels = bars(24)
    few(model=Spy, epochs=2, batch_size=10).fit(images, labels)
    assert [len(batch) for batch in Spy.batches] == [10, 10, 4] * 2
    first, second = ([mean for batch in epoch for mean in batch] for epoch in (Spy.batches[:3], Spy.batches[3:]))
    given = images.mean(axis=(1, 2))
    order = [np.argsort(np.argsort(means)).tolist() for means in (first, second, given)]
    assert len({tuple(o) for o in order}) == 3
    assert sorted(first) == sorted(second)
    assert len(set(first)) == 24


def test_the_rate_falls_along_a_cosine_and_the_decay_goes_with_it():
    """At a rate of 1e-7 the gradients do next to nothing: what is left is weight · (1 − rate · decay) at each step."""
    Spy.batches, Spy.weights = [], []
    few(model=Spy, epochs=3, batch_size=12, learning_rate=1e-7, weight_decay=1e6).fit(*bars(24))
    assert len(Spy.weights) == 6
    for t in range(5):
        before, after = Spy.weights[t : t + 2]
        large = abs(before) > 0.05
        assert large.sum() > 30
        expected = 1 - 0.1 * (1 + math.cos(math.pi * t / 6)) / 2
        assert np.allclose(after[large] / before[large], expected, rtol=0, atol=1e-5)


# -- randomness and state ----------------------------------------------------------------------------------------------


def bits(classifier, images):
    return classifier.predict_proba(images).tobytes()


def test_the_same_seed_gives_the_same_bits():
    images, labels = bars()
    threads = at.get_num_threads()
    try:
        found = set()
        for n in (1, 2, 3):
            at.set_num_threads(n)
            found.add(bits(few(epochs=2).fit(images, labels), images))
    finally:
        at.set_num_threads(threads)
    assert len(found) == 1
    assert bits(few(epochs=2, random_state=1).fit(images, labels), images) not in found


def test_random_state_has_the_meaning_of_scikit_learn():
    images, labels = bars()
    state = np.random.RandomState(3)
    a, b = (bits(few(random_state=state).fit(images, labels), images) for _ in range(2))
    assert a != b
    assert a == bits(few(random_state=np.random.RandomState(3)).fit(images, labels), images)
    a, b = (bits(few(random_state=None).fit(images, labels), images) for _ in range(2))
    assert a != b
    with pytest.raises(ValueError, match="cannot be used to seed"):
        few(random_state="seven").fit(images, labels)


def test_global_state_is_left_as_it_was():
    images, labels = bars()
    at.manual_seed(5)
    before, numpy_before = at.get_rng_state(), np.random.get_state()[1].tolist()  # noqa: NPY002
    a = few().fit(images, labels)
    with at.no_grad():
        b = few().fit(images, labels)
        assert not at.is_grad_enabled()
    assert bits(a, images) == bits(b, images)
    assert at.is_grad_enabled()
    assert at.get_rng_state() == before
    assert np.random.get_state()[1].tolist() == numpy_before  # noqa: NPY002


def test_inputs_are_left_as_they_were():
    images, labels = bars()
    weights = np.ones(24)
    copies = images.copy(), labels.copy(), weights.copy()
    few().fit(images, labels, weights).predict(images)
    for array, copy in zip((images, labels, weights), copies, strict=True):
        assert (array == copy).all()


def test_verbose_shows_the_epochs(capsys):
    few(epochs=2).fit(*bars())
    assert capsys.readouterr().out == ""
    few(epochs=2, verbose=True).fit(*bars())
    assert "2/2" in capsys.readouterr().out


@compiled
def test_a_failed_fit_leaves_no_network():
    images, labels = bars()
    classifier = few().fit(images, labels)
    with pytest.raises(NonFiniteLoss, match="learning rate"):
        classifier.set_params(learning_rate=1e38, epochs=3).fit(images, labels)
    with pytest.raises(NotFittedError):
        classifier.predict(images)


# -- bad input ---------------------------------------------------------------------------------------------------------

IMAGES, LABELS = bars()


def map_of_logits(num_classes, in_channels):
    return nn.Conv2d(in_channels, num_classes, 1)


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"epochs": 0}, ValueError, "CNNClassifier: epochs is 0; expected an int, 1 or more"),
        ({"epochs": 2.5}, ValueError, "CNNClassifier: epochs is 2.5; expected an int, 1 or more"),
        ({"batch_size": -1}, ValueError, "CNNClassifier: batch_size is -1; expected an int, 1 or more"),
        ({"batch_size": "8"}, ValueError, "CNNClassifier: batch_size is '8'; expected an int, 1 or more"),
        ({"learning_rate": 0}, ValueError, "learning_rate is 0, weight_decay 0.01; expected a number above 0, and"),
        ({"learning_rate": math.nan}, ValueError, "learning_rate is nan, weight_decay 0.01; expected"),
        ({"learning_rate": "fast"}, ValueError, "learning_rate is 'fast', weight_decay 0.01; expected"),
        ({"weight_decay": -1}, ValueError, "learning_rate is 0.001, weight_decay -1; expected"),
        ({"weight_decay": math.inf}, ValueError, "learning_rate is 0.001, weight_decay inf; expected"),
        ({"image_shape": 8}, ValueError, "CNNClassifier: image_shape is 8; expected (H, W) or (C, H, W)"),
        ({"image_shape": (64,)}, ValueError, "image_shape is (64,); expected (H, W) or (C, H, W)"),
        ({"image_shape": (0, 8, 8)}, ValueError, "image_shape is (0, 8, 8); expected (H, W) or (C, H, W)"),
        ({"image_shape": (8, 8.0)}, ValueError, "image_shape is (8, 8.0); expected (H, W) or (C, H, W)"),
        ({"image_shape": (4, 16)}, ValueError, "X has images (1, 8, 8); expected image_shape (1, 4, 16)"),
        ({"model": "resent8"}, ValueError, "build: no model 'resent8'; did you mean 'resnet8'?"),
        ({"model": 8}, TypeError, "CNNClassifier: model is a int; expected a name or a function"),
        ({"model": Tiny(2, 1)}, TypeError, "CNNClassifier: model is a Tiny; expected a name or a function"),
        ({"model": lambda **sizes: sizes}, TypeError, "model makes a dict; expected an nn.Module"),
        ({"model": lambda **_: Tiny(3, 1)}, ValueError, "model gives shape (1, 3) for an image; expected (1, 2)"),
        (
            {"model": map_of_logits},
            ValueError,
            "CNNClassifier: model gives shape (1, 2, 8, 8) for an image; expected (1, 2)",
        ),
        ({"model": "lenet5"}, ValueError, "lenet5: x has shape (1, 1, 8, 8); expected (N, C, 32, 32)"),
    ],
)
def test_bad_settings(settings, error, message):
    classifier = few(**settings)  # the constructor takes anything, as scikit-learn asks
    with pytest.raises(error, match=re.escape(message)):
        classifier.fit(IMAGES, LABELS)


@pytest.mark.parametrize(
    ("X", "y", "weights", "error", "message"),
    [
        (IMAGES, LABELS[:-1], None, ValueError, "inconsistent numbers of samples"),
        (IMAGES, None, None, ValueError, "requires y to be passed"),
        (IMAGES, LABELS * 0 + 3, None, ValueError, "CNNClassifier: y has one class, 3; expected two or more"),
        (IMAGES, np.array(["a"] * 24), None, ValueError, "CNNClassifier: y has one class, 'a'; expected"),
        (IMAGES, LABELS + 0.5, None, ValueError, "Unknown label type: continuous"),
        (IMAGES[0], LABELS, None, ValueError, "inconsistent numbers of samples"),
        (IMAGES[0, 0], LABELS[:8], None, ValueError, "Expected 2D array, got 1D array"),
        (
            IMAGES[None, :, None],
            LABELS,
            None,
            ValueError,
            "X has shape (1, 24, 1, 8, 8); expected (N, features), (N, H",
        ),
        (IMAGES[:0], LABELS[:0], None, ValueError, "Found array with 0 sample(s)"),
        (np.zeros((4, 0)), [0, 1, 0, 1], None, ValueError, "0 feature(s)"),
        (np.where(IMAGES > 2.5, np.nan, IMAGES), LABELS, None, ValueError, "Input X contains NaN"),
        (np.where(IMAGES > 2.5, np.inf, IMAGES), LABELS, None, ValueError, "Input X contains infinity"),
        (IMAGES.astype(np.float64) * 1e300, LABELS, None, ValueError, "X has values too large to be standardised"),
        (IMAGES * 1j, LABELS, None, ValueError, "Complex data not supported"),
        (np.full((24, 2), "a"), LABELS, None, ValueError, "could not convert string to float|non-numeric|numeric"),
        (
            np.zeros((24, 32, 32, 3)),
            LABELS,
            None,
            ValueError,
            "look like channels last; X.transpose(0, 3, 1, 2), or im",
        ),
        (IMAGES, LABELS, -np.ones(24), ValueError, "sample_weight has -1.0; expected 0 or more"),
        (IMAGES, LABELS, np.zeros(24), ValueError, "zero"),
        (IMAGES, LABELS, np.ones(23), ValueError, "sample_weight.shape == (23,), expected (24,)!"),
        (IMAGES, LABELS, np.full(24, np.nan), ValueError, "contains NaN"),
        (IMAGES, LABELS, LABELS, ValueError, "CNNClassifier: y has one class, 1; expected two or more"),
    ],
)
def test_bad_data(X, y, weights, error, message):
    pattern = message if "|" in message else re.escape(message)
    with pytest.raises(error, match=pattern):
        few().fit(X, y, weights)


@compiled
@pytest.mark.parametrize(
    ("X", "message"),
    [
        (IMAGES[:, :4], "X has 32 features, but CNNClassifier is expecting 64 features as input"),
        (IMAGES.reshape(24, 4, 16), "CNNClassifier: X has images (1, 4, 16); expected (1, 8, 8) as in fit"),
        (IMAGES.reshape(24, 4, 4, 4), "CNNClassifier: X has images (4, 4, 4); expected (1, 8, 8) as in fit"),
        (IMAGES.astype(np.float64) * 1e200, "CNNClassifier: X is too far from the training data for float32"),
        (np.full((1, 64), np.nan), "Input X contains NaN"),
        (IMAGES[:0], "Found array with 0 sample(s)"),
    ],
)
def test_bad_data_to_predict(X, message):
    classifier = few().fit(IMAGES, LABELS)
    for method in (classifier.predict, classifier.predict_proba):
        with pytest.raises(ValueError, match=re.escape(message)):
            method(X)


def test_as_rows_leaves_to_scikit_learn_what_is_no_image():
    for X in (np.zeros((3, 4)), np.zeros(3), "text", None, 5):
        assert as_rows(X)[0] is X
        assert as_rows(X)[1] is None


# -- the page, and the extra -------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_the_page_runs():
    """docs/sklearn.md: the numbers that it shows may be off by what another processor's rounding does."""
    page = (Path(__file__).parent.parent / "docs" / "sklearn.md").read_text()
    names = {}
    for block in re.findall(r"```python\n(.*?)```", page, re.DOTALL):
        exec(block, names)
    assert names["classifier"].score(names["X_test"], names["y_test"]) >= 0.97
    assert names["search"].best_score_ >= 0.95
    assert names["copy"].predict_proba(names["X_test"]).tolist() == names["chances"].tolist()


def test_scikit_learn_is_imported_for_this_module_only():
    code = "import sys, atrous, atrous.training; assert 'sklearn' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, env=environment())


def test_without_scikit_learn_the_error_says_how_to_get_it(tmp_path):
    (tmp_path / "sklearn.py").write_text("raise ImportError('not here')")
    code = f"import sys; sys.path.insert(0, {str(tmp_path)!r}); import atrous; import atrous.sklearn"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment())
    assert run.returncode == 1
    assert "cannot be imported (not here); pip install 'atrous[sklearn]'" in run.stderr.splitlines()[-1]
