"""Metrics: numbers by hand, whole sets against batches, scikit-learn's where it is installed, bad input."""

import gc
import math
import re
import weakref

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import atrous as at
from atrous import metrics
from atrous.metrics import Accuracy, ConfusionMatrix, Mean, MeanIoU, MeanSquaredError, TopKAccuracy

LOGITS = [[9.0, 1.0, 0.0], [0.0, 9.0, 1.0], [9.0, 1.0, 0.0], [0.0, 1.0, 9.0], [1.0, 9.0, 0.0]]  # says 0 1 0 2 1
TARGET = [0, 1, 1, 1, 255]


def fed(metric, output, target):
    metric.update(at.tensor(output), at.tensor(target))
    return metric


def one_hot(classes, C):
    """Logits (N, C, ...) that say these classes (N, ...)."""
    return np.moveaxis(np.eye(C, dtype="float32")[np.asarray(classes)], -1, 1)


def test_accuracy_by_hand():
    assert fed(Accuracy(), LOGITS[:4], TARGET[:4]).compute() == 0.5
    metric = fed(Accuracy(ignore_index=255), LOGITS, TARGET)
    assert (metric.right, metric.seen, metric.compute()) == (2, 4, 0.5)
    assert type(metric.compute()) is float
    fed(metric, LOGITS[:1], [0])
    assert metric.compute() == 0.6
    metric.reset()
    assert fed(metric, LOGITS[:1], [1]).compute() == 0


def test_of_equal_logits_the_first_counts():
    tied = [[1.0, 1.0, 1.0]] * 3
    assert fed(Accuracy(), tied, [0, 1, 2]).compute() == pytest.approx(1 / 3)
    for k in (1, 2, 3):
        assert fed(TopKAccuracy(k), tied, [0, 1, 2]).compute() == pytest.approx(k / 3)


def test_top_k_by_hand():
    logits = [[0.1, 0.4, 0.3, 0.2], [0.4, 0.3, 0.2, 0.1], [0.1, 0.2, 0.3, 0.4]]
    expected = {1: 0, 2: 1 / 3, 3: 2 / 3, 4: 1}
    for k, share in expected.items():
        assert fed(TopKAccuracy(k), logits, [2, 3, 1]).compute() == pytest.approx(share)
    assert fed(TopKAccuracy(2, ignore_index=-100), logits, [2, -100, 1]).compute() == 0.5


def test_nan_is_never_a_free_hit():
    """A network that has gone to NaN does not score: NaN counts as the largest, and the first of them is the answer."""
    x = np.full((4, 3), math.nan, "float32")
    assert fed(Accuracy(), x, [0, 1, 2, 2]).compute() == 0.25
    assert fed(TopKAccuracy(2), x, [0, 1, 2, 2]).compute() == 0.5
    assert fed(TopKAccuracy(1), [[0.0, math.nan, 1.0]] * 2, [2, 1]).compute() == 0.5


def test_confusion_by_hand():
    confusion = fed(ConfusionMatrix(3), LOGITS[:4], TARGET[:4])
    assert confusion.compute().tolist() == [[1, 0, 0], [1, 1, 1], [0, 0, 0]]
    assert confusion.compute().dtype == np.int64
    fed(confusion, one_hot([2, 2], 3), [2, 0])
    assert confusion.compute().tolist() == [[1, 0, 1], [1, 1, 1], [0, 0, 1]]
    confusion.compute()[:] = 7  # a copy
    assert confusion.compute().sum() == 6
    confusion.reset()
    assert confusion.compute().tolist() == np.zeros((3, 3)).tolist()
    assert fed(ConfusionMatrix(3, ignore_index=255), LOGITS, TARGET).compute().sum() == 4


def test_mean_iou_by_hand():
    """A map of 2 × 3: class 0 has 2 of 3 places, class 1 takes the third and loses one; 2 is predicted only."""
    target = np.array([[[0, 0, 0], [1, 1, 1]]])
    said = np.array([[[0, 0, 1], [1, 1, 2]]])
    iou = fed(MeanIoU(4), one_hot(said, 4), target)
    np.testing.assert_allclose(iou.per_class(), [2 / 3, 2 / 4, 0, math.nan], rtol=1e-15)
    assert iou.compute() == pytest.approx((2 / 3 + 1 / 2 + 0) / 3, rel=1e-15)
    assert type(iou.compute()) is float
    assert fed(MeanIoU(4), one_hot(target, 4), target).compute() == 1


def test_mean_iou_is_that_of_the_whole_set():
    """Not the mean of the batches' values, which would be 0.75."""
    iou = MeanIoU(2)
    fed(iou, one_hot([[[0]]], 2), [[[0]]])
    fed(iou, one_hot([[[0, 1]]], 2), [[[1, 1]]])
    assert iou.per_class().tolist() == [0.5, 0.5]
    assert iou.compute() == 0.5


def test_mean_iou_leaves_ignored_places_and_classes_out():
    said, target = [[[0, 0, 1, 1, 2]]], [[[0, 255, 1, 0, 255]]]
    iou = fed(MeanIoU(3, ignore_index=255), one_hot(said, 3), target)
    np.testing.assert_array_equal(iou.per_class(), [1 / 2, 1 / 2, math.nan])  # the 2 was said at an ignored place only
    background = fed(MeanIoU(3, ignore_index=0), one_hot([[[0, 0, 1, 2]]], 3), [[[0, 1, 1, 0]]])
    np.testing.assert_array_equal(background.per_class(), [math.nan, 1 / 2, math.nan])
    assert background.compute() == 0.5


def test_mean_squared_error_by_hand():
    error = fed(MeanSquaredError(), [[1.0, 2.0]], [[1.0, 4.0]])
    assert error.compute() == 2
    fed(error, [0.0], [-5.0])
    assert error.compute() == pytest.approx(29 / 3, rel=1e-15)
    big = fed(MeanSquaredError(), np.full(3, 1e30, "float32"), np.zeros(3, "float32"))
    assert big.compute() == pytest.approx(1e60, rel=1e-6)
    assert math.isnan(fed(MeanSquaredError(), [math.inf], [math.inf]).compute())


def test_mean_by_hand():
    mean = Mean()
    mean.update(1)
    mean.update(at.tensor([4.0], requires_grad=True), weight=2)
    mean.update(np.float32(3.0), np.int64(1))
    assert mean.compute() == 3
    mean.update(math.nan, 0)
    assert mean.compute() == 3
    mean.update(math.nan)
    assert math.isnan(mean.compute())
    mean.reset()
    mean.update(0.25)
    assert mean.compute() == 0.25


@pytest.mark.parametrize("metric", [Accuracy(), TopKAccuracy(2), MeanIoU(3), MeanSquaredError(), Mean()])
def test_nothing_computes_to_nan(metric):
    assert math.isnan(metric.compute())
    assert isinstance(metric, metrics.Metric)


def test_everything_ignored_and_no_rows_compute_to_nan():
    for metric in (Accuracy(7), TopKAccuracy(2, 7), MeanIoU(3, 7)):
        fed(metric, np.zeros((2, 3), "float32"), [7, 7])
        metric.update(at.zeros(0, 3), at.zeros(0, dtype=at.int64))
        assert math.isnan(metric.compute())
    assert ConfusionMatrix(3).compute().shape == (3, 3)


@given(
    N=st.integers(1, 12),
    C=st.integers(1, 6),
    rest=st.sampled_from([(), (3,), (2, 4)]),
    cut=st.integers(0, 12),
    seed=st.integers(0, 1000),
)
@settings(max_examples=40, deadline=None)
def test_batches_add_up_to_the_whole(N, C, rest, cut, seed):
    rng = np.random.default_rng(seed)
    logits = rng.integers(0, 4, (N, C, *rest)).astype("float32")  # with many ties
    target = rng.integers(0, C, (N, *rest))
    target[rng.random(target.shape) < 0.2] = -100
    kept = target != -100
    confusion = np.zeros((C, C), "int64")
    for place in zip(*np.nonzero(kept), strict=True):
        confusion[target[place], logits[(place[0], slice(None), *place[1:])].argmax()] += 1
    for make in (
        lambda: Accuracy(-100),
        lambda: TopKAccuracy(1, -100),
        lambda: ConfusionMatrix(C, -100),
        lambda: MeanIoU(C, -100),
    ):
        whole, parts = fed(make(), logits, target), make()
        for part in (slice(0, cut), slice(cut, None)):
            fed(parts, logits[part], target[part])
        np.testing.assert_array_equal(whole.compute(), parts.compute())
        if isinstance(whole, Accuracy):
            assert (whole.right, whole.seen) == (confusion.trace(), kept.sum())
        else:
            np.testing.assert_array_equal(whole.counts, confusion)


@given(seed=st.integers(0, 1000), k=st.integers(1, 5))
@settings(max_examples=30, deadline=None)
def test_top_k_as_sorting_says(seed, k):
    rng = np.random.default_rng(seed)
    logits, target = rng.integers(0, 6, (20, 5, 2)).astype("float32"), rng.integers(0, 5, (20, 2))
    top = np.argsort(-logits, axis=1, kind="stable")[:, :k]
    expected = (top == target[:, None]).any(axis=1).mean()
    assert fed(TopKAccuracy(k), logits, target).compute() == pytest.approx(expected)


def test_same_as_scikit_learn():
    sklearn = pytest.importorskip("sklearn.metrics")
    rng = np.random.default_rng(5)
    logits, target = rng.normal(size=(500, 7)).astype("float32"), rng.integers(0, 7, 500)
    said = logits.argmax(axis=1)
    np.testing.assert_array_equal(
        fed(ConfusionMatrix(7), logits, target).compute(), sklearn.confusion_matrix(target, said)
    )
    assert fed(Accuracy(), logits, target).compute() == sklearn.accuracy_score(target, said)
    assert fed(TopKAccuracy(3), logits, target).compute() == sklearn.top_k_accuracy_score(target, logits, k=3)
    iou = fed(MeanIoU(7), logits, target)
    np.testing.assert_allclose(iou.per_class(), sklearn.jaccard_score(target, said, average=None), rtol=1e-14)
    assert iou.compute() == pytest.approx(sklearn.jaccard_score(target, said, average="macro"), rel=1e-14)
    y = rng.normal(size=500)
    error = fed(MeanSquaredError(), y, y[::-1].copy()).compute()
    assert error == pytest.approx(sklearn.mean_squared_error(y, y[::-1]), rel=1e-14)


@pytest.mark.parametrize("dtype", ["int64", "int32", "uint8"])
def test_integer_targets_and_float_outputs_of_any_width(dtype):
    target = np.array(TARGET, dtype)
    for kind in ("float16", "float32", "float64"):
        assert fed(Accuracy(255), np.array(LOGITS, kind), target).compute() == 0.5


def test_any_layout():
    rng = np.random.default_rng(0)
    logits, target = rng.normal(size=(3, 4, 5, 6)).astype("float32"), rng.integers(0, 4, (3, 5, 6))
    expected = fed(MeanIoU(4), logits, target).compute()
    for layout in (
        np.asfortranarray(logits),
        np.ascontiguousarray(logits.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2),
        np.repeat(logits, 2, axis=3)[..., ::2],
    ):
        iou = MeanIoU(4)
        iou.update(at.from_numpy(layout), at.from_numpy(np.asfortranarray(target)))
        assert iou.compute() == expected


def test_no_graph_is_kept():
    w = at.ones(4, 3, requires_grad=True)
    y = w * 2
    watched = [weakref.ref(y), weakref.ref(w)]
    kept = [Accuracy(), TopKAccuracy(2), ConfusionMatrix(3), MeanIoU(3), MeanSquaredError(), Mean()]
    for metric in kept[:4]:
        metric.update(y, at.tensor([0, 1, 2, 0]))
        assert not isinstance(metric.compute(), at.Tensor)
    kept[4].update(y, w)
    kept[5].update(y.sum())
    with at.no_grad():
        kept[0].update(w * 2, at.tensor([0, 1, 2, 0]))
    del y, w, metric
    gc.collect()
    assert [ref() for ref in watched] == [None, None]


def test_other_array_libraries(foreign):
    def disguised(array):
        tensor = at.tensor(array)
        tensor.data = foreign.wrap(array)
        return tensor

    rng = np.random.default_rng(0)
    logits, target = rng.normal(size=(3, 4, 5, 6)).astype("float32"), rng.integers(0, 4, (3, 5, 6))
    for make in (lambda: Accuracy(0), lambda: TopKAccuracy(2), lambda: ConfusionMatrix(4), lambda: MeanIoU(4, 1)):
        metric = make()
        metric.update(disguised(logits), disguised(target))
        found = metric.compute()
        found = found.get() if isinstance(found, foreign.ndarray) else found
        np.testing.assert_array_equal(found, fed(make(), logits, target).compute())
    error = MeanSquaredError()
    error.update(disguised(logits), disguised(logits[::-1].copy()))
    assert error.compute() == fed(MeanSquaredError(), logits, logits[::-1].copy()).compute()


X = at.zeros(2, 3)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda: Accuracy().update(X, at.tensor([0, 3])),
            ValueError,
            "Accuracy: target has class 3; expected 0 to 2 from output (2, 3)",
        ),
        (lambda: TopKAccuracy(1).update(X, at.tensor([-1, 0])), ValueError, "TopKAccuracy: target has class -1; expec"),
        (
            lambda: MeanIoU(3, 255).update(X, at.tensor([255, 254])),
            ValueError,
            "MeanIoU: target has class 254; expected",
        ),
        (
            lambda: Accuracy().update(X, at.tensor([0])),
            ValueError,
            "Accuracy: target has shape (1,); expected (2,) from output (2, 3)",
        ),
        (
            lambda: Accuracy().update(at.zeros(2, 3, 4, 4), at.tensor([0, 1])),
            ValueError,
            "Accuracy: target has shape (2,); expected (2, 4, 4) from output (2, 3, 4, 4)",
        ),
        (
            lambda: Accuracy().update(at.zeros(2), at.tensor([0, 1])),
            ValueError,
            "output has shape (2,); expected (N, C)",
        ),
        (lambda: Accuracy().update(at.zeros(2, 0), at.tensor([0, 1])), ValueError, "output has shape (2, 0); expected"),
        (lambda: Accuracy().update(X, at.zeros(2)), ValueError, "Accuracy: target is float32; expected int64 classes"),
        (
            lambda: Accuracy().update(at.tensor([[1, 2]]), at.tensor([1])),
            ValueError,
            "Accuracy: output is int64; expected float logits",
        ),
        (lambda: Accuracy().update(X, [0, 1]), TypeError, "Accuracy: target is a list; expected a Tensor"),
        (lambda: Accuracy().update(X.numpy(), at.tensor([0, 1])), TypeError, "output is a ndarray; expected a Tensor"),
        (
            lambda: TopKAccuracy(4).update(X, at.tensor([0, 1])),
            ValueError,
            "output has 3 classes; expected at least k=4",
        ),
        (lambda: TopKAccuracy(0), ValueError, "TopKAccuracy: k is 0; expected an int of 1 or more"),
        (lambda: ConfusionMatrix(2.0), ValueError, "ConfusionMatrix: num_classes is 2.0; expected an int of 1 or more"),
        (
            lambda: MeanIoU(4).update(X, at.tensor([0, 1])),
            ValueError,
            "MeanIoU: output has 3 classes; expected num_classes=4",
        ),
        (
            lambda: MeanSquaredError().update(X, at.zeros(2, 1)),
            ValueError,
            "MeanSquaredError: target has shape (2, 1); expected (2, 3) as output",
        ),
        (lambda: MeanSquaredError().update(X, at.tensor([0])), ValueError, "target is int64; expected floats"),
        (lambda: MeanSquaredError().update(X, 0.0), TypeError, "target is a float; expected a Tensor"),
        (lambda: Mean().update("x"), ValueError, "Mean: value is 'x'; expected one number"),
        (lambda: Mean().update(at.zeros(2)), ValueError, "Mean: value is tensor([0., 0.]); expected one number"),
        (lambda: Mean().update(1.0, -1), ValueError, "Mean: weight is -1.0; expected a finite number of 0 or more"),
        (
            lambda: Mean().update(1.0, math.nan),
            ValueError,
            "Mean: weight is nan; expected a finite number of 0 or more",
        ),
    ],
)
def test_bad_input(call, error, message):
    with pytest.raises(error, match=re.escape(message)):
        call()


def test_a_refused_batch_leaves_no_trace():
    for metric in (Accuracy(), TopKAccuracy(2), MeanIoU(3)):
        fed(metric, LOGITS[:2], TARGET[:2])
        before = metric.compute()
        with pytest.raises(ValueError, match="class 255"):
            fed(metric, LOGITS, TARGET)
        assert metric.compute() == before
