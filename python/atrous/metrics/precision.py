"""Precision, recall and their mean F1, from counts of right and wrong answers."""

from __future__ import annotations

import math
from typing import Any

from ..backend import array_module
from ..checks import require, whole
from ..tensor import Tensor
from .classes import classified
from .metric import Metric, check_tensors

AVERAGES = ("macro", "micro")


class _Counted(Metric):
    """A ratio of true positives TP, false positives FP and false negatives FN, counted for each class."""

    counts: Any

    def __init__(
        self,
        num_classes: int | None = None,
        average: str = "macro",
        *,
        threshold: float = 0.0,
        ignore_index: int | None = None,
        zero_division: float = 0.0,
    ) -> None:
        op = type(self).__name__
        self.num_classes = None if num_classes is None else whole(op, 1, num_classes=num_classes)
        require(average in AVERAGES, op, f"average is {average!r}; expected one of {AVERAGES}")
        self.average, self.threshold, self.ignore_index = average, threshold, ignore_index
        self.zero_division = float(zero_division)
        super().__init__()

    def reset(self) -> None:
        self.seen = 0
        self.counts = None  # (3, C): of each class TP, said, true; (3, 1) for the positive one of two

    def update(self, output: Tensor, target: Tensor) -> None:
        """Takes a batch in, of shapes as in `Accuracy`; in the binary case output and target have one shape."""
        counts, seen = (self._binary if self.num_classes is None else self._classes)(output, target)
        self.seen += int(seen)
        self.counts = counts if self.counts is None else self.counts + counts

    def _binary(self, output: Tensor, target: Tensor) -> tuple[Any, Any]:
        op = type(self).__name__
        check_tensors(op, "f", "floats", output=output)
        check_tensors(op, "iub", "0 and 1", target=target)
        require(target.shape == output.shape, op, f"target has shape {target.shape}; expected {output.shape} as output")
        kept = target.data == target.data if self.ignore_index is None else target.data != self.ignore_index
        true = (target.data == 1) & kept
        require(((target.data == 0) | true | ~kept).all(), op, "target holds something else than 0 and 1")
        said = (output.data > self.threshold) & kept
        rows = [(said & true).sum(), said.sum(), true.sum()]
        return array_module(output.data).stack([row.reshape(1) for row in rows]), kept.sum()

    def _classes(self, output: Tensor, target: Tensor) -> tuple[Any, Any]:
        op, C = type(self).__name__, self.num_classes
        x, classes, kept = classified(op, output, target, self.ignore_index)
        require(x.shape[1] == C, op, f"output has {x.shape[1]} classes; expected num_classes={C}")
        true, said = classes[kept], x.argmax(axis=1)[kept]
        xp = array_module(x)
        return xp.stack([xp.bincount(which, minlength=C) for which in (true[true == said], said, true)]), kept.sum()

    def compute(self) -> float:
        """The ratio, 0 to 1: of the positive class, of all answers (micro), or the mean over the classes (macro)."""
        if not self.seen:
            return math.nan
        if self.average == "micro" or self.num_classes is None:
            return float(self._ratios(self.counts.sum(axis=1, keepdims=True))[0])
        values = self.per_class()
        known = values[~array_module(values).isnan(values)]
        return float(known.mean()) if known.size else math.nan

    def per_class(self) -> Any:
        """The ratio of each class, a float64 array (C,); NaN for classes that were neither true nor said."""
        op = type(self).__name__
        require(self.num_classes is not None, op, "per_class() needs num_classes")
        if self.counts is None:
            raise RuntimeError(f"{op}: no batch was added; update() comes first")
        xp = array_module(self.counts)
        values = xp.where(self.counts[1:].sum(axis=0) > 0, self._ratios(self.counts), math.nan)
        if self.ignore_index is not None and 0 <= self.ignore_index < len(values):
            values[self.ignore_index] = math.nan
        return values

    def _ratios(self, counts: Any) -> Any:
        """numerator / denominator, and zero_division where the latter is 0."""
        xp = array_module(counts)
        numerator, denominator = self._parts(*counts)
        return xp.where(denominator > 0, numerator / xp.maximum(denominator, 1), self.zero_division)

    def _parts(self, right: Any, said: Any, true: Any) -> tuple[Any, Any]:
        raise NotImplementedError


class Precision(_Counted):
    """Which share of what was said is true: ``TP / (TP + FP)``.

    Args:
        num_classes: C, for logits (N, C, ...) and int64 classes (N, ...); None for the binary case: outputs and targets
            of one shape, targets 0 and 1.
        average: "macro" for the mean over classes that were true or said, "micro" for the ratio of all counts.
        threshold: in the binary case an output above it says yes: 0 for logits, 0.5 for probabilities.
        ignore_index: a target whose places count for nothing, or None; "macro" leaves a class of this number out.
        zero_division: the value of 0 / 0: of a class that was never said; NaN leaves it out of the mean.
    Raises:
        ValueError: num_classes or average is something else.
    Example:
        >>> precision = at.metrics.Precision()
        >>> precision.update(at.tensor([2.0, 0.5, -1.0, 3.0]), at.tensor([1, 0, 1, 1]))
        >>> round(precision.compute(), 4)
        0.6667

    Source:
        van Rijsbergen, Information Retrieval, 2nd edition, 1979, chapter 7.
    """

    def _parts(self, right: Any, said: Any, true: Any) -> tuple[Any, Any]:
        return right, said


class Recall(_Counted):
    """Which share of what is true was said: ``TP / (TP + FN)``.

    Args:
        num_classes, average, threshold, ignore_index, zero_division: as in `Precision`; here 0 / 0 is that of a class
            that is never true.
    Example:
        >>> recall = at.metrics.Recall(num_classes=2)
        >>> recall.update(at.tensor([[2.0, 1.0], [0.0, 3.0], [5.0, 4.0]]), at.tensor([0, 1, 1]))
        >>> recall.compute(), recall.per_class().tolist()
        (0.75, [1.0, 0.5])

    Source:
        van Rijsbergen, Information Retrieval, 2nd edition, 1979, chapter 7.
    """

    def _parts(self, right: Any, said: Any, true: Any) -> tuple[Any, Any]:
        return right, true


class F1Score(_Counted):
    """The harmonic mean of precision and recall: ``2 TP / (2 TP + FP + FN)``; "macro" is the mean of the classes' own.

    Args:
        num_classes, average, threshold, ignore_index, zero_division: as in `Precision`.
    Example:
        >>> f1 = at.metrics.F1Score()
        >>> f1.update(at.tensor([2.0, 0.5, -1.0, -3.0]), at.tensor([1, 0, 1, 0]))
        >>> f1.compute()
        0.5

    Source:
        van Rijsbergen, Information Retrieval, 2nd edition, 1979, chapter 7 (1 − E with β = 1).
    """

    def _parts(self, right: Any, said: Any, true: Any) -> tuple[Any, Any]:
        return 2 * right, said + true
