"""Loss layers. Like PyTorch's, without the arguments `size_average` and `reduce` that it deprecates."""

from __future__ import annotations

from ..checks import require
from ..tensor import Tensor
from . import functional as F
from .module import Module


class _Loss(Module):
    def __init__(self, reduction: str) -> None:
        super().__init__()
        op = type(self).__name__
        require(
            reduction in ("none", "mean", "sum"), op, f"reduction is {reduction!r}; expected 'none', 'mean' or 'sum'"
        )
        self.reduction = reduction


class CrossEntropyLoss(_Loss):
    """Softmax and negative log-likelihood in one: ``−log(exp(x[target]) / Σ exp(x))``.

    Takes logits (N, C) or (N, C, d1, ...); int64 classes (N,) or (N, d1, ...), or probabilities shaped as the logits.

    Args:
        weight: a weight per class, of shape (C,). "mean" divides by the sum of the targets' weights.
        ignore_index: a target that adds nothing to loss, gradient or mean.
        reduction: "none", "mean" or "sum".
        label_smoothing: the share, 0 to 1, that is spread evenly over all classes.
    Example:
        >>> round(nn.CrossEntropyLoss()(at.zeros(2, 10), at.tensor([3, 7])).item(), 4)
        2.3026
    """

    def __init__(
        self,
        weight: Tensor | None = None,
        *,
        ignore_index: int = -100,
        reduction: str = "mean",
        label_smoothing: float = 0.0,
    ) -> None:
        super().__init__(reduction)
        require(0 <= label_smoothing <= 1, "CrossEntropyLoss", f"label_smoothing is {label_smoothing}; expected 0 to 1")
        self.register_buffer("weight", weight)
        self.ignore_index, self.label_smoothing = ignore_index, label_smoothing

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """A number, or a loss per target with reduction "none"."""
        return F.cross_entropy(
            input,
            target,
            weight=self.weight,
            ignore_index=self.ignore_index,
            reduction=self.reduction,
            label_smoothing=self.label_smoothing,
        )


class NLLLoss(_Loss):
    """The negative log-likelihood ``−x[target]`` of log-probabilities, as `LogSoftmax` returns them.

    Args:
        weight, ignore_index, reduction: as `CrossEntropyLoss`.
    """

    def __init__(self, weight: Tensor | None = None, *, ignore_index: int = -100, reduction: str = "mean") -> None:
        super().__init__(reduction)
        self.register_buffer("weight", weight)
        self.ignore_index = ignore_index

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """A number, or a loss per target with reduction "none"."""
        return F.nll_loss(input, target, weight=self.weight, ignore_index=self.ignore_index, reduction=self.reduction)


class MSELoss(_Loss):
    """The squared error ``(x − target)²``; "mean" divides by the number of elements.

    Example:
        >>> nn.MSELoss()(at.tensor([1.0, 2.0]), at.tensor([1.0, 4.0])).item()
        2.0
    """

    def __init__(self, *, reduction: str = "mean") -> None:
        super().__init__(reduction)

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """A number, or the input's shape with reduction "none"."""
        return F.mse_loss(input, target, reduction=self.reduction)


class BCELoss(_Loss):
    """The binary cross-entropy of probabilities: ``−weight · (t · log x + (1 − t) · log(1 − x))``.

    Args:
        weight: a factor on each element's loss, broadcast to the input.
        reduction: "none", "mean" or "sum".
    Example:
        >>> round(nn.BCELoss()(at.tensor([0.5]), at.tensor([1.0])).item(), 4)
        0.6931
    """

    def __init__(self, weight: Tensor | None = None, *, reduction: str = "mean") -> None:
        super().__init__(reduction)
        self.register_buffer("weight", weight)

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """A number, or the input's shape with reduction "none"."""
        return F.binary_cross_entropy(input, target, weight=self.weight, reduction=self.reduction)


class BCEWithLogitsLoss(_Loss):
    """Sigmoid and binary cross-entropy in one, safe for large logits.

    ``−weight · (pos_weight · t · log σ(x) + (1 − t) · log(1 − σ(x)))``

    Args:
        weight: a factor on each element's loss, broadcast to the input.
        reduction: "none", "mean" or "sum".
        pos_weight: a factor on the positive part, broadcast to the input.
    """

    def __init__(
        self, weight: Tensor | None = None, *, reduction: str = "mean", pos_weight: Tensor | None = None
    ) -> None:
        super().__init__(reduction)
        self.register_buffer("weight", weight)
        self.register_buffer("pos_weight", pos_weight)

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """A number, or the input's shape with reduction "none"."""
        return F.binary_cross_entropy_with_logits(
            input, target, weight=self.weight, reduction=self.reduction, pos_weight=self.pos_weight
        )
