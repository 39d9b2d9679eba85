"""Whether a network is right as often as it says: calibration error, and the temperature that mends it."""

from __future__ import annotations

import math
from typing import Any

from ..backend import array_module, quiet
from ..checks import require, whole
from ..tensor import Tensor
from .classes import classified
from .metric import Metric


class ExpectedCalibrationError(Metric):
    """How far confidence is from accuracy: ``Σ_b (n_b / n) · |accuracy_b − confidence_b|`` over bins of confidence.

    A sample's confidence is the largest probability of its softmax; bin b of B takes those in (b/B, (b + 1)/B].

    Args:
        bins: B.
        ignore_index: a target whose places count for nothing, or None.
    Example:
        >>> error = at.metrics.ExpectedCalibrationError()
        >>> error.update(at.tensor([[0.0, 0.0], [0.0, 0.0]]), at.tensor([0, 0]))  # half sure, always right
        >>> error.compute()
        0.5

    Source:
        Guo et al., On calibration of modern neural networks, 2017 (arXiv 1706.04599).
    """

    totals: Any

    def __init__(self, bins: int = 15, ignore_index: int | None = None) -> None:
        self.bins, self.ignore_index = whole("ExpectedCalibrationError", 1, bins=bins), ignore_index
        super().__init__()

    def reset(self) -> None:
        self.totals = None  # (3, bins): how many samples, how many right ones, the sum of confidences

    def update(self, output: Tensor, target: Tensor) -> None:
        """Takes a batch of logits in; shapes and errors as in `Accuracy`.

        Raises:
            ValueError: as there, or a place's largest logit is infinite or NaN.
        """
        op = "ExpectedCalibrationError"
        x, classes, kept = classified(op, output, target, self.ignore_index)
        xp, B = array_module(x), self.bins
        require(xp.isfinite(x.max(axis=1)).all(), op, "the largest logit of a place is infinite, or one is NaN")
        confidence = _probabilities(x).max(axis=1)[kept]
        right = (x.argmax(axis=1) == classes)[kept]
        index = xp.clip(xp.ceil(confidence * B).astype("int64") - 1, 0, B - 1)
        sums = [xp.bincount(index, weights=w, minlength=B) for w in (right.astype("float64"), confidence)]
        totals = xp.stack([xp.bincount(index, minlength=B).astype("float64"), *sums])
        self.totals = totals if self.totals is None else self.totals + totals

    def compute(self) -> float:
        """The error, 0 to 1."""
        if self.totals is None or not float(self.totals[0].sum()):
            return math.nan
        count, right, confidence = self.totals
        return float(abs(right - confidence).sum() / count.sum())

    def reliability(self) -> dict[str, Any]:
        """The reliability diagram: "count", "accuracy", "confidence" of each bin, arrays (bins,); NaN where empty."""
        if self.totals is None:
            raise RuntimeError("ExpectedCalibrationError: no batch was added; update() comes first")
        count, right, confidence = self.totals
        divide = array_module(count).divide
        return {
            "count": count.astype("int64"),
            "accuracy": quiet.run(divide, right, count),
            "confidence": quiet.run(divide, confidence, count),
        }


def fit_temperature(output: Tensor, target: Tensor) -> float:
    """The T for which the cross-entropy of ``output / T`` is least: temperature scaling of logits.

    It is fitted on data that the network was not trained on. ``output / T`` has the same answers, with probabilities
    nearer to the truth: T is above 1 where the network is too sure. The cross-entropy is convex in 1/T; Newton's
    method, kept in an interval that is halved when a step leaves it, finds the one place where it is least.

    Args:
        output: logits (N, C) or (N, C, ...).
        target: int64 classes (N,) or (N, ...).
    Returns:
        T, from 0.001 to 1000: near the one where every answer is right, the other where the logits tell nothing.
    Raises:
        ValueError: shapes do not fit, there are no samples, or a logit is not finite. TypeError: no tensors.
    Example:
        >>> logits = at.tensor([[4.0, 0.0]] * 4)
        >>> T = at.metrics.fit_temperature(logits, at.tensor([0, 0, 0, 1]))  # right three times of four: 3 = exp(4/T)
        >>> round(4 / T, 6) == round(float(np.log(3)), 6)
        True

    Source:
        Guo et al., On calibration of modern neural networks, 2017 (arXiv 1706.04599), section 4.2.
    """
    op = "fit_temperature"
    x, classes, _ = classified(op, output, target, None)
    xp = array_module(x)
    require(x.size, op, "there are no samples")
    require(xp.isfinite(x).all(), op, "output holds a logit that is not finite")
    x = xp.moveaxis(x.astype("float64"), 1, -1).reshape(-1, x.shape[1])  # (places, C)
    own = xp.take_along_axis(x, classes.reshape(-1, 1), axis=1)
    x = x - own  # logits above the true class's
    low, high, beta = 1e-3, 1e3, 1.0  # beta = 1/T
    for turn in range(100):
        p = _probabilities(beta * x)
        mean = (p * x).sum(axis=1)
        slope, curvature = float(mean.mean()), float(((p * x * x).sum(axis=1) - mean * mean).mean())
        low, high = (beta, high) if slope < 0 else (low, beta)
        newton = (
            beta - slope / curvature if turn < 20 and curvature > 0 else math.nan
        )  # it creeps where beta has no end
        before, beta = beta, newton if low < newton < high else math.sqrt(low * high)
        if abs(beta - before) <= 1e-12 * before:
            break
    return 1 / beta


def _probabilities(x: Any) -> Any:
    """Softmax along axis 1, float64."""
    xp = array_module(x)
    e = xp.exp(x.astype("float64") - x.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)
