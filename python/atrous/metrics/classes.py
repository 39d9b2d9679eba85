"""Counts of classes: accuracy, confusion, intersection over union."""

from __future__ import annotations

import math
from typing import Any

from ..backend import array_module, quiet
from ..checks import require, whole
from ..dtypes import int64
from ..ops import zeros
from ..tensor import Tensor
from .metric import Metric, check_tensors


class Accuracy(Metric):
    """The share of places whose largest logit is that of the target class; of equal ones the first counts.

    Args:
        ignore_index: a target whose places count for nothing, or None.
    Example:
        >>> accuracy = at.metrics.Accuracy()
        >>> accuracy.update(at.tensor([[2.0, 1.0], [0.0, 3.0], [5.0, 4.0]]), at.tensor([0, 1, 1]))
        >>> round(accuracy.compute(), 4)
        0.6667
    """

    def __init__(self, ignore_index: int | None = None) -> None:
        self.ignore_index = ignore_index
        super().__init__()

    def reset(self) -> None:
        self.right = self.seen = 0

    def update(self, output: Tensor, target: Tensor) -> None:
        """Takes a batch in.

        Args:
            output: logits or probabilities, float (N, C) or (N, C, H, W) (or any number of axes after C).
            target: int64 classes (N,) or (N, H, W).
        Raises:
            ValueError: shapes or dtypes do not fit, or a class is out of range. TypeError: something is no tensor.
        """
        x, classes, kept = classified(type(self).__name__, output, target, self.ignore_index)
        self.right += (self._hits(x, classes) & kept).sum().item()
        self.seen += kept.sum().item()

    def compute(self) -> float:
        """The share, 0 to 1."""
        return self.right / self.seen if self.seen else math.nan

    def _hits(self, x: Any, classes: Any) -> Any:
        return x.argmax(axis=1) == classes


class TopKAccuracy(Accuracy):
    """The share of places whose target class is among the k largest logits; of equal ones the first count.

    Args:
        k: 1 or more.
        ignore_index: a target whose places count for nothing, or None.
    Example:
        >>> accuracy = at.metrics.TopKAccuracy(2)
        >>> accuracy.update(at.tensor([[3.0, 2.0, 1.0], [3.0, 2.0, 1.0]]), at.tensor([1, 2]))
        >>> accuracy.compute()
        0.5
    """

    def __init__(self, k: int, ignore_index: int | None = None) -> None:
        self.k = whole("TopKAccuracy", 1, k=k)
        super().__init__(ignore_index)

    def _hits(self, x: Any, classes: Any) -> Any:
        xp, C = array_module(x), x.shape[1]
        require(self.k <= C, "TopKAccuracy", f"output has {C} classes; expected at least k={self.k}")
        x = xp.where(xp.isnan(x), math.inf, x)  # NaN is the largest, as in topk
        known = xp.expand_dims(xp.clip(classes, 0, C - 1), 1)  # an ignored class may be any number
        own = xp.take_along_axis(x, known, axis=1)
        first = xp.arange(C).reshape(1, C, *[1] * (x.ndim - 2)) < known
        return ((x > own) | ((x == own) & first)).sum(axis=1) < self.k


class ConfusionMatrix(Metric):
    """How often each class was taken for each other: counts (C, C), row = true class, column = predicted class.

    Args:
        num_classes: C.
        ignore_index: a target whose places count for nothing, or None.
    Example:
        >>> confusion = at.metrics.ConfusionMatrix(2)
        >>> confusion.update(at.tensor([[2.0, 1.0], [0.0, 3.0], [5.0, 4.0]]), at.tensor([0, 1, 1]))
        >>> confusion.compute().tolist()
        [[1, 0], [1, 1]]
    """

    counts: Any

    def __init__(self, num_classes: int, ignore_index: int | None = None) -> None:
        self.num_classes = whole(type(self).__name__, 1, num_classes=num_classes)
        self.ignore_index = ignore_index
        super().__init__()

    def reset(self) -> None:
        self.counts = None  # an array of the library that the first batch brings

    def update(self, output: Tensor, target: Tensor) -> None:
        """Takes a batch in; shapes and errors as in `Accuracy`."""
        name, C = type(self).__name__, self.num_classes
        x, classes, kept = classified(name, output, target, self.ignore_index)
        require(x.shape[1] == C, name, f"output has {x.shape[1]} classes; expected num_classes={C}")
        pairs = classes[kept] * C + x.argmax(axis=1)[kept]
        counts = array_module(x).bincount(pairs, minlength=C * C).reshape(C, C)
        self.counts = counts if self.counts is None else self.counts + counts

    def compute(self) -> Any:
        """The counts, an int64 array; zeros before the first batch."""
        return self._counts().copy()

    def _counts(self) -> Any:
        C = self.num_classes
        return zeros(C, C, dtype=int64).data if self.counts is None else self.counts


class MeanIoU(ConfusionMatrix):
    """Intersection over union, ``TP / (TP + FP + FN)`` from the counts of the whole set, averaged over the classes.

    Classes that occur neither in the targets nor in the predictions are left out of the mean.

    Args:
        num_classes: C.
        ignore_index: a target whose places count for nothing, or None; a class of this number is left out of the mean.
    Example:
        >>> iou = at.metrics.MeanIoU(3)
        >>> iou.update(at.tensor([[2.0, 1.0, 0.0], [0.0, 3.0, 0.0], [5.0, 4.0, 0.0]]), at.tensor([0, 1, 1]))
        >>> iou.compute(), iou.per_class().tolist()
        (0.5, [0.5, 0.5, nan])

    Source:
        Everingham et al., The Pascal Visual Object Classes Challenge, 2015, section 3.2 (segmentation accuracy).
    """

    def compute(self) -> float:
        """The mean, 0 to 1."""
        values = self.per_class()
        known = values[~array_module(values).isnan(values)]
        return float(known.mean()) if known.size else math.nan

    def per_class(self) -> Any:
        """The value of each class, a float64 array (C,); NaN for those left out of the mean."""
        counts = self._counts()
        union = counts.sum(axis=0) + counts.sum(axis=1) - counts.diagonal()
        values = quiet.run(array_module(counts).divide, counts.diagonal(), union)  # 0 / 0 is NaN
        if self.ignore_index is not None and 0 <= self.ignore_index < self.num_classes:
            values[self.ignore_index] = math.nan
        return values


def classified(op: str, output: Any, target: Any, ignore_index: int | None) -> tuple[Any, Any, Any]:
    """The arrays of logits (N, C, ...) and of int64 classes (N, ...), and which places count.

    Raises:
        ValueError: shapes or dtypes do not fit, or a class is out of range. TypeError: something is no tensor.
    Example:
        >>> classified("Accuracy", at.zeros(2, 3), at.tensor([0, -100]), -100)[2].tolist()
        [True, False]
    """
    check_tensors(op, "f", "float logits", output=output)
    check_tensors(op, "iu", "int64 classes", target=target)
    require(
        output.ndim >= 2 and output.shape[1] > 0, op, f"output has shape {output.shape}; expected (N, C) or (N, C, ...)"
    )
    N, C, *rest = output.shape
    places = (N, *rest)
    require(
        target.shape == places, op, f"target has shape {target.shape}; expected {places} from output {output.shape}"
    )
    classes = target.data.astype("int64")
    kept = classes != ignore_index if ignore_index is not None else array_module(classes).full(places, True)
    bad = classes[((classes < 0) | (classes >= C)) & kept]
    if bad.size:
        raise ValueError(f"{op}: target has class {bad[0].item()}; expected 0 to {C - 1} from output {output.shape}")
    return output.data, classes, kept
