"""Layers of the losses for classes of unequal size, whose functions have formulas, shapes and sources."""

from __future__ import annotations

from ..tensor import Tensor
from . import functional as F
from .loss import _Loss


class DiceLoss(_Loss):
    """``1 − (2 Σ p·t + smooth) / (Σ p² + Σ t² + smooth)`` of masks, for each class of each image."""

    def __init__(self, smooth: float = 1.0, *, reduction: str = "mean") -> None:
        super().__init__(reduction)
        self.smooth = smooth

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """A number, or (N, C) with reduction none."""
        return F.dice_loss(input, target, smooth=self.smooth, reduction=self.reduction)


class FocalLoss(_Loss):
    """Cross-entropy of several classes in which easy samples count less: ``−weight[t] · (1 − p_t)^γ · log p_t``.

    Example:
        >>> round(nn.FocalLoss(gamma=0.0)(at.zeros(2, 10), at.tensor([3, 7])).item(), 4)  # cross-entropy itself
        2.3026
    """

    def __init__(
        self, weight: Tensor | None = None, *, gamma: float = 2.0, ignore_index: int = -100, reduction: str = "mean"
    ) -> None:
        super().__init__(reduction)
        self.register_buffer("weight", weight)
        self.gamma, self.ignore_index = gamma, ignore_index

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """A number, or a loss per target with reduction none."""
        return F.focal_loss(
            input,
            target,
            weight=self.weight,
            gamma=self.gamma,
            ignore_index=self.ignore_index,
            reduction=self.reduction,
        )


class SigmoidFocalLoss(_Loss):
    """Binary cross-entropy of logits in which easy elements count less: ``−α_t · (1 − p_t)^γ · log p_t``.

    As a layer it reduces to the mean; the function's default is torchvision's "none".
    """

    def __init__(self, alpha: float = 0.25, gamma: float = 2.0, *, reduction: str = "mean") -> None:
        super().__init__(reduction)
        self.alpha, self.gamma = alpha, gamma

    def forward(self, inputs: Tensor, targets: Tensor) -> Tensor:
        """A number, or a loss each with reduction none."""
        return F.sigmoid_focal_loss(inputs, targets, alpha=self.alpha, gamma=self.gamma, reduction=self.reduction)
