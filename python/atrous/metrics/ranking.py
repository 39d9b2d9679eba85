"""What the order of the scores is worth, whatever threshold is taken."""

from __future__ import annotations

import math
from typing import Any

from ..backend import array_module
from ..checks import require
from ..tensor import Tensor
from .classes import classified
from .metric import Metric, check_tensors


class AveragePrecision(Metric):
    """The area under the steps of precision over recall: ``Σ_n (R_n − R_(n−1)) · P_n``, n over the distinct scores.

    No interpolation, as scikit-learn's. It keeps all scores. Of several classes it is the mean over those that have a
    positive sample ("mAP").

    Example:
        >>> precision = at.metrics.AveragePrecision()
        >>> precision.update(at.tensor([0.1, 0.4, 0.35, 0.8]), at.tensor([0, 0, 1, 1]))
        >>> round(precision.compute(), 4)
        0.8333

    Source:
        Manning, Raghavan and Schütze, Introduction to Information Retrieval, 2008, section 8.4.
    """

    def reset(self) -> None:
        self.scores: list[Any] = []
        self.truths: list[Any] = []

    def update(self, output: Tensor, target: Tensor) -> None:
        """Takes a batch in.

        Args:
            output: scores, float: (N,); or (N, C) of C classes.
            target: 0 and 1 of the output's shape; or int64 classes (N,), each of which is then one against the rest.
        Raises:
            ValueError: shapes or values do not fit, or a score is NaN. TypeError: something is no tensor.
        """
        op = "AveragePrecision"
        check_tensors(op, "f", "float scores", output=output)
        check_tensors(op, "iub", "0 and 1, or classes", target=target)
        require(output.ndim in (1, 2), op, f"output has shape {output.shape}; expected (N,) or (N, C)")
        x, xp = output.data, array_module(output.data)
        if target.shape == output.shape:
            truth = target.data == 1
            require(((target.data == 0) | truth).all(), op, "target holds something else than 0 and 1")
        else:
            x, classes, _ = classified(op, output, target, None)
            truth = classes[:, None] == xp.arange(x.shape[1])
        require(not xp.isnan(x).any(), op, "output holds NaN; scores need an order")
        if x.ndim == 1:
            x, truth = x[:, None], truth[:, None]
        if self.scores:
            C = self.scores[0].shape[1]
            require(x.shape[1] == C, op, f"output has {x.shape[1]} classes; expected {C} as before")
        self.scores.append(x.copy())
        self.truths.append(truth)

    def compute(self) -> float:
        """The area, 0 to 1."""
        if not self.scores:
            return math.nan
        values = self.per_class()
        known = values[~array_module(values).isnan(values)]
        return float(known.mean()) if known.size else math.nan

    def per_class(self) -> Any:
        """The area of each class, a float64 array (C,); NaN where no sample is positive."""
        if not self.scores:
            raise RuntimeError("AveragePrecision: no batch was added; update() comes first")
        xp = array_module(self.scores[0])
        scores, truths = xp.concatenate(self.scores), xp.concatenate(self.truths)
        return xp.stack([_area(scores[:, c], truths[:, c]) for c in range(scores.shape[1])])


def _area(scores: Any, truth: Any) -> Any:
    xp = array_module(scores)
    order = xp.argsort(-scores)
    scores, truth = scores[order], truth[order]
    right = xp.cumsum(truth.astype("float64"))  # true ones among the first n + 1
    precision = right / xp.arange(1, len(scores) + 1)
    last = xp.concatenate([scores[1:] != scores[:-1], xp.ones(1, bool)])[: len(scores)]  # of samples of one score
    right, precision = right[last], precision[last]
    total = truth.sum()
    gains = xp.diff(xp.concatenate([xp.zeros(1), right]))
    return xp.where(total > 0, (gains * precision).sum() / xp.maximum(total, 1), math.nan)
