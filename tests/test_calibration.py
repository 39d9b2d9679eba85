"""Calibration error, reliability diagram and temperature scaling."""

import math
import re

import numpy as np
import pytest

import atrous as at
from atrous.metrics import ExpectedCalibrationError, fit_temperature
from atrous.nn import functional as F


def sure(confidences, C=2):
    """Logits whose softmax gives class 0 these probabilities, and the others alike."""
    p = np.asarray(confidences)
    return np.stack([np.log(p)] + [np.log((1 - p) / (C - 1))] * (C - 1), axis=1)


def fed(metric, output, target):
    metric.update(at.tensor(output), at.tensor(target))
    return metric


def test_by_hand():
    """Bins of a tenth: three samples of 0.95 of which two are right, one of 0.65 that is right."""
    x, t = sure([0.95, 0.95, 0.95, 0.65]), [0, 0, 1, 0]
    metric = fed(ExpectedCalibrationError(10), x, t)
    assert metric.compute() == pytest.approx(3 / 4 * (0.95 - 2 / 3) + 1 / 4 * 0.35)
    diagram = metric.reliability()
    assert diagram["count"].tolist() == [0, 0, 0, 0, 0, 0, 1, 0, 0, 3]
    assert diagram["accuracy"][[6, 9]].tolist() == pytest.approx([1, 2 / 3])
    assert diagram["confidence"][[6, 9]].tolist() == pytest.approx([0.65, 0.95])
    assert np.isnan(diagram["accuracy"]).sum() == 8
    one = fed(ExpectedCalibrationError(1), x, t)
    assert one.compute() == pytest.approx(abs(np.mean([0.95] * 3 + [0.65]) - 3 / 4))
    metric.reset()
    assert math.isnan(metric.compute())


def test_the_edges_of_bins():
    """0.5 belongs to the lower of two bins, all certainty to the last."""
    assert fed(ExpectedCalibrationError(2), [[0.0, 0.0]], [0]).reliability()["count"].tolist() == [1, 0]
    assert fed(ExpectedCalibrationError(2), [[1000.0, 0.0]], [0]).reliability()["count"].tolist() == [0, 1]


def test_batches_places_and_ignored_ones():
    rng = np.random.default_rng(0)
    x, t = rng.normal(size=(9, 4, 5)).astype("float32"), rng.integers(0, 4, (9, 5))
    t[rng.random(t.shape) < 0.2] = -100
    parts = ExpectedCalibrationError(ignore_index=-100)
    for part in (slice(0, 4), slice(4, None)):
        fed(parts, x[part], t[part])
    flat, kept = np.moveaxis(x, 1, -1).reshape(-1, 4), t.ravel() != -100
    whole = fed(ExpectedCalibrationError(), flat[kept], t.ravel()[kept])
    assert parts.compute() == pytest.approx(whole.compute(), rel=1e-12)
    assert math.isnan(fed(ExpectedCalibrationError(ignore_index=7), flat[:2], [7, 7]).compute())


def samples(N, T, seed=0):
    """Logits that are T times too large for the classes drawn from them."""
    rng = np.random.default_rng(seed)
    z = 2 * rng.normal(size=(N, 5))
    p = np.exp(z) / np.exp(z).sum(1, keepdims=True)
    classes = (p.cumsum(1) > rng.random((N, 1))).argmax(1)
    return T * z, classes


@pytest.mark.parametrize("T", [0.25, 1.0, 3.0])
def test_the_temperature_that_was_put_in_is_found(T):
    x, t = samples(4000, T)
    found = fit_temperature(at.tensor(x), at.tensor(t))
    assert found == pytest.approx(T, rel=0.06)  # the share that chance leaves open in 4000 draws
    before, after = (fed(ExpectedCalibrationError(), x / scale, t).compute() for scale in (1, found))
    assert after < 0.02
    assert before > 0.1 or T == 1.0


def test_it_is_the_least_cross_entropy():
    x, t = samples(200, 2.0, seed=1)
    T = fit_temperature(at.tensor(x), at.tensor(t))
    loss = {k: F.cross_entropy(at.tensor(x / (T * k)), at.tensor(t)).item() for k in (0.999, 1.0, 1.001)}
    assert loss[1.0] < min(loss[0.999], loss[1.001])
    maps = x.reshape(20, 10, 5).transpose(0, 2, 1).copy()
    assert fit_temperature(at.tensor(maps), at.tensor(t.reshape(20, 10))) == pytest.approx(T, rel=1e-9)


def test_the_ends():
    x = np.array([[1.0, 0.0], [0.0, 1.0]])
    assert 1e-3 <= fit_temperature(at.tensor(x), at.tensor([0, 1])) < 2e-3  # always right: the loss is 0 from there on
    assert fit_temperature(at.tensor(x), at.tensor([1, 0])) == pytest.approx(1e3, rel=1e-6)  # always wrong
    assert fit_temperature(at.tensor(x * 1e-30), at.tensor([1, 0])) > 0


def test_other_array_libraries(foreign):
    x, t = samples(50, 2.0)

    def disguised(array):
        tensor = at.tensor(array)
        tensor.data = foreign.wrap(array)
        return tensor

    metric = ExpectedCalibrationError()
    metric.update(disguised(x), disguised(t))
    assert metric.compute() == fed(ExpectedCalibrationError(), x, t).compute()
    assert metric.reliability()["count"].get().sum() == 50
    assert fit_temperature(disguised(x), disguised(t)) == fit_temperature(at.tensor(x), at.tensor(t))


X = at.zeros(2, 3)
BAD = [
    (lambda: ExpectedCalibrationError(0), ValueError, "bins is 0; expected an int of 1 or more"),
    (lambda: ExpectedCalibrationError().update(X, at.tensor([0, 3])), ValueError, "target has class 3"),
    (lambda: ExpectedCalibrationError().update(X + math.nan, at.tensor([0, 1])), ValueError, "or one is NaN"),
    (lambda: ExpectedCalibrationError().update(X + math.inf, at.tensor([0, 1])), ValueError, "is infinite"),
    (lambda: ExpectedCalibrationError().update(X - math.inf, at.tensor([0, 1])), ValueError, "is infinite"),
    (lambda: ExpectedCalibrationError().reliability(), RuntimeError, "no batch was added; update() comes first"),
    (lambda: fit_temperature(X, at.tensor([0])), ValueError, "fit_temperature: target has shape (1,); expected (2,)"),
    (lambda: fit_temperature(X[:0], at.tensor([0])[:0]), ValueError, "fit_temperature: there are no samples"),
    (lambda: fit_temperature(X / 0, at.tensor([0, 1])), ValueError, "output holds a logit that is not finite"),
    (lambda: fit_temperature(X.numpy(), at.tensor([0, 1])), TypeError, "output is a ndarray; expected a Tensor"),
]  # fmt: skip


@pytest.mark.parametrize(("call", "error", "message"), BAD)
def test_bad_input(call, error, message):
    with pytest.raises(error, match=re.escape(message)):
        call()
