"""Precision, recall, F1 and average precision: by hand, beside scikit-learn, batch by batch, bad input."""

import math
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import atrous as at
from atrous.metrics import AveragePrecision, F1Score, Precision, Recall

KINDS = {Precision: "precision_score", Recall: "recall_score", F1Score: "f1_score"}
SAID, TRUE = [1, 1, 0, 1, 0, 0], [1, 0, 1, 1, 0, 0]  # TP 2, FP 1, FN 1


def fed(metric, output, target):
    metric.update(at.tensor(output), at.tensor(target))
    return metric


def logits(said, C):
    return np.moveaxis(np.eye(C, dtype="float32")[np.asarray(said)], -1, 1)


@pytest.mark.parametrize(("kind", "value"), [(Precision, 2 / 3), (Recall, 2 / 3), (F1Score, 2 / 3)])
def test_binary_by_hand(kind, value):
    scores = 2.0 * np.array(SAID) - 1
    assert fed(kind(), scores, TRUE).compute() == pytest.approx(value)
    assert fed(kind(threshold=0.5), np.array(SAID) * 1.0, TRUE).compute() == pytest.approx(value)
    masks = fed(kind(ignore_index=255), scores.reshape(1, 2, 3), np.array(TRUE, "uint8").reshape(1, 2, 3))
    assert masks.compute() == pytest.approx(value)
    fed(masks, [[[3.0]]], np.array([[[255]]], "uint8"))
    assert masks.compute() == pytest.approx(value)
    assert fed(kind(), scores[2:3], TRUE[2:3]).compute() == 0.0


def test_precision_is_not_recall():
    """Said three times, true once: one of three is right, all that is true was said."""
    x, t = [1.0, 1.0, 1.0, -1.0], [1, 0, 0, 0]
    assert [fed(kind(), x, t).compute() for kind in KINDS] == pytest.approx([1 / 3, 1, 1 / 2])


def test_classes_by_hand():
    said, true = [0, 1, 1, 2, 0, 0], [0, 1, 0, 1, 0, 0]
    for kind, per_class, macro in (
        (Precision, [1, 1 / 2, 0, math.nan], 1 / 2),
        (Recall, [3 / 4, 1 / 2, 0, math.nan], 5 / 12),
        (F1Score, [6 / 7, 1 / 2, 0, math.nan], 19 / 42),
    ):
        metric = fed(kind(4), logits(said, 4), true)
        np.testing.assert_allclose(metric.per_class(), per_class, rtol=1e-15)
        assert metric.compute() == pytest.approx(macro)
        assert fed(kind(4, "micro"), logits(said, 4), true).compute() == pytest.approx(4 / 6)


def test_zero_division():
    """Class 2 is said and never true: its recall is 0 / 0."""
    said, true = [0, 1, 2], [0, 1, 1]
    assert fed(Recall(3), logits(said, 3), true).compute() == pytest.approx(0.5)
    assert fed(Recall(3, zero_division=1), logits(said, 3), true).compute() == pytest.approx(2.5 / 3)
    assert fed(Recall(3, zero_division=math.nan), logits(said, 3), true).compute() == pytest.approx(0.75)
    never = fed(Precision(3, zero_division=0.5), logits([0, 0], 3), [0, 1])  # class 1 is true and not said: 0 / 0, too
    np.testing.assert_array_equal(never.per_class(), [0.5, 0.5, math.nan])
    for value in (0.0, 1.0):
        assert fed(Precision(zero_division=value), [-1.0, -1.0], [0, 0]).compute() == value


def test_a_class_that_is_ignored():
    said, true = [0, 1, 2, 2], [0, 1, 2, 0]
    assert fed(Recall(3, ignore_index=0), logits(said, 3), true).compute() == 1.0
    np.testing.assert_array_equal(
        fed(Precision(3, ignore_index=0), logits(said, 3), true).per_class(), [math.nan, 1, 1]
    )


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("C", [2, 3, 6])
def test_same_as_scikit_learn(kind, C):
    sklearn = pytest.importorskip("sklearn.metrics")
    rng = np.random.default_rng(C)
    said, true = rng.integers(0, C, 60), rng.integers(0, max(2, C - 1), 60)
    score = getattr(sklearn, KINDS[kind])
    for average in ("macro", "micro"):
        for zero in (0.0, 1.0):
            ours = fed(kind(C + 2, average, zero_division=zero), logits(said, C + 2), true).compute()
            assert ours == pytest.approx(score(true, said, average=average, zero_division=zero), rel=1e-12)
    if C == 2:
        assert fed(kind(), said - 0.5, true).compute() == pytest.approx(score(true, said), rel=1e-12)


def test_average_precision_by_hand():
    """Scores 0.8 (true), 0.4 (false), 0.35 (true), 0.1: ½ · 1 + ½ · ⅔."""
    metric = AveragePrecision()
    fed(metric, [0.1, 0.4], [0, 0])
    fed(metric, [0.35, 0.8], [1, 1])
    assert metric.compute() == pytest.approx(5 / 6)
    metric.reset()
    assert math.isnan(metric.compute())
    assert fed(metric, [0.5, 0.5, 0.5, 0.5], [1, 0, 0, 0]).compute() == 0.25  # all alike: the share of true ones
    assert math.isnan(fed(AveragePrecision(), [0.5, 0.2], [0, 0]).compute())


@given(seed=st.integers(0, 1000), levels=st.sampled_from([2, 5, 1000]), cut=st.integers(1, 39))
@settings(max_examples=25, deadline=None)
def test_average_precision_same_as_scikit_learn(seed, levels, cut):
    sklearn = pytest.importorskip("sklearn.metrics")
    rng = np.random.default_rng(seed)
    x, t = rng.integers(0, levels, (40, 3)) / levels, rng.integers(0, 3, 40)
    t[:3] = [0, 1, 2]
    parts = AveragePrecision()
    for part in (slice(0, cut), slice(cut, None)):
        fed(parts, x[part], t[part])
    expected = sklearn.average_precision_score(np.eye(3)[t], x, average=None)
    np.testing.assert_allclose(parts.per_class(), expected, rtol=1e-12)
    assert parts.compute() == pytest.approx(expected.mean(), rel=1e-12)
    several = rng.integers(0, 2, (40, 3))
    several[0] = 1
    found = fed(AveragePrecision(), x, several).compute()
    assert found == pytest.approx(sklearn.average_precision_score(several, x), rel=1e-12)


def test_batches_add_up_and_nothing_is_nan():
    rng = np.random.default_rng(0)
    x, t = rng.normal(size=(30, 4, 3)).astype("float32"), rng.integers(0, 4, (30, 3))
    for empty in ((0,), (0, 4)):
        assert math.isnan(fed(AveragePrecision(), np.zeros(empty, "float32"), np.zeros(empty, "int64")).compute())
    for kind in KINDS:
        parts = kind(4)
        assert math.isnan(parts.compute())
        for part in (slice(0, 7), slice(7, 7), slice(7, None)):
            fed(parts, x[part], t[part])
        assert parts.compute() == fed(kind(4), x, t).compute()
        parts.reset()
        assert math.isnan(parts.compute())


def test_other_array_libraries(foreign):
    def disguised(array):
        tensor = at.tensor(array)
        tensor.data = foreign.wrap(array)
        return tensor

    rng = np.random.default_rng(0)
    x, t = rng.normal(size=(12, 4)).astype("float32"), rng.integers(0, 4, 12)
    for make in (*(lambda kind=kind: kind(4, ignore_index=1) for kind in KINDS), AveragePrecision):
        metric = make()
        metric.update(disguised(x), disguised(t))
        assert metric.compute() == fed(make(), x, t).compute()
    for make in (*KINDS, AveragePrecision):
        metric = make()
        metric.update(disguised(x[:, 0].copy()), disguised(t % 2))
        assert metric.compute() == fed(make(), x[:, 0].copy(), t % 2).compute()


X = at.zeros(2, 3)
BAD = [
    (lambda: Precision(0), ValueError, "Precision: num_classes is 0; expected an int of 1 or more"),
    (lambda: Recall(3, "mean"), ValueError, "Recall: average is 'mean'; expected one of ('macro', 'micro')"),
    (lambda: Recall(3).update(X, at.tensor([0, 3])), ValueError, "Recall: target has class 3; expected 0 to 2"),
    (lambda: Recall(4).update(X, at.tensor([0, 1])), ValueError, "output has 3 classes; expected num_classes=4"),
    (lambda: F1Score().update(X, at.tensor([0, 1])), ValueError, "F1Score: target has shape (2,); expected (2, 3)"),
    (lambda: F1Score().update(X[0], at.tensor([0, 1, 2])), ValueError, "target holds something else than 0 and 1"),
    (lambda: F1Score().update(X[0], X[0]), ValueError, "F1Score: target is float32; expected 0 and 1"),
    (lambda: F1Score().update(X[0], [0, 1, 1]), TypeError, "F1Score: target is a list; expected a Tensor"),
    (lambda: F1Score().per_class(), ValueError, "F1Score: per_class() needs num_classes"),
    (lambda: Precision(3).per_class(), RuntimeError, "Precision: no batch was added; update() comes first"),
    (lambda: AveragePrecision().per_class(), RuntimeError, "AveragePrecision: no batch was added"),
    (lambda: AveragePrecision().update(X, at.tensor([0, 3])), ValueError, "AveragePrecision: target has class 3"),
    (lambda: AveragePrecision().update(X[0] + math.nan, at.tensor([0, 1, 1])), ValueError, "output holds NaN"),
    (lambda: AveragePrecision().update(X[0], at.tensor([0, 1, 2])), ValueError, "something else than 0 and 1"),
    (lambda: AveragePrecision().update(at.ones(1, 3, 1), at.tensor([[1]])), ValueError, "expected (N,) or (N, C)"),
]  # fmt: skip


@pytest.mark.parametrize(("call", "error", "message"), BAD)
def test_bad_input(call, error, message):
    with pytest.raises(error, match=re.escape(message)):
        call()


def test_the_number_of_classes_stays():
    metric = fed(AveragePrecision(), [[0.5, 0.1]], [[1, 0]])
    with pytest.raises(ValueError, match="output has 3 classes; expected 2 as before"):
        metric.update(X, at.tensor([0, 1]))
