"""Losses for classes of unequal size: focal loss, of one class or of many, and the overlap of masks."""

from __future__ import annotations

from ...autocast import in_float32
from ...checks import floats_of_one_dtype, require
from ...tensor import Tensor
from ..activation import sigmoid
from ..cross_entropy import log_softmax
from ..elementwise import where
from ..loss import _check_reduction, _reduced, binary_cross_entropy_with_logits, nll_loss


@in_float32
def sigmoid_focal_loss(
    inputs: Tensor, targets: Tensor, alpha: float = 0.25, gamma: float = 2, reduction: str = "none"
) -> Tensor:
    """Binary cross-entropy in which easy elements count less: ``−α_t · (1 − p_t)^γ · log p_t``.

    p_t is the probability σ(x) of what is true (``1 − σ(x)`` where the target is 0), and α_t is alpha, or 1 − alpha
    where the target is 0. Names and defaults are those of torchvision.ops.

    Args:
        inputs: logits, any shape.
        targets: 0 or 1, or between; the inputs' shape.
        alpha: weight of the positive class, 0 to 1; −1 for no weights.
        gamma: 0 for plain cross-entropy.
        reduction: "none", "mean" over all elements, or "sum", which the paper divides by the number of positive ones.
    Raises:
        ValueError: the shapes disagree, alpha is another number, or gamma is negative.
    Example:
        >>> round(sigmoid_focal_loss(at.tensor([0.0]), at.tensor([1.0])).item(), 4)  # ln 2 / 4 / 4
        0.0433

    Source:
        Lin et al., Focal loss for dense object detection, 2017 (arXiv 1708.02002).
    """
    op = "sigmoid_focal_loss"
    floats_of_one_dtype(op, ("inputs", "targets"), inputs, targets)
    require(0 <= alpha <= 1 or alpha == -1, op, f"alpha is {alpha}; expected 0 to 1, or -1 for no weights")
    require(gamma >= 0, op, f"gamma is {gamma}; expected 0 or more")
    _check_reduction(op, reduction)
    require(targets.shape == inputs.shape, op, f"targets has shape {targets.shape}; expected {inputs.shape} as inputs")
    wrong = sigmoid(-inputs) * targets + sigmoid(inputs) * (1 - targets)  # 1 − p_t, small ones to all digits
    losses = binary_cross_entropy_with_logits(inputs, targets, reduction="none") * _power(wrong, gamma)
    if alpha >= 0:
        losses = losses * (alpha * targets + (1 - alpha) * (1 - targets))
    return _reduced(losses, reduction)


@in_float32
def focal_loss(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    *,
    gamma: float = 2.0,
    ignore_index: int = -100,
    reduction: str = "mean",
) -> Tensor:
    """Cross-entropy in which easy samples count less: ``−weight[t] · (1 − p_t)^γ · log p_t``, p = softmax(x).

    Args:
        input: logits (N, C), (N, C, d1, ...) or (C,).
        target: int64 classes (N,), (N, d1, ...) or ().
        weight: of each class, (C,), the paper's α; None for 1.
        gamma: 0 for plain cross-entropy.
        ignore_index: class whose places count for nothing.
        reduction: "none", "sum", or "mean": as `cross_entropy`, the sum divided by that of weight[target].
    Raises:
        ValueError: gamma is negative, and as `cross_entropy`.
    Example:
        >>> round(focal_loss(at.zeros(1, 2), at.tensor([0])).item(), 4)  # ln 2 / 4
        0.1733

    Source:
        Lin et al., Focal loss for dense object detection, 2017 (arXiv 1708.02002).
    """
    floats_of_one_dtype("focal_loss", ("input", "weight?"), input, weight)
    require(gamma >= 0, "focal_loss", f"gamma is {gamma}; expected 0 or more")
    require(input.ndim > 0, "focal_loss", "input has shape (); expected (N, C), (N, C, d1, ...) or (C,)")
    log_p = log_softmax(input, 1 if input.ndim > 1 else 0)
    modulated = _power(-log_p.expm1(), gamma) * log_p
    return nll_loss(modulated, target, weight, ignore_index, reduction)


@in_float32
def dice_loss(input: Tensor, target: Tensor, smooth: float = 1.0, *, reduction: str = "mean") -> Tensor:
    """How little two masks overlap: ``1 − (2 Σ p·t + smooth) / (Σ p² + Σ t² + smooth)``, for each class of each image.

    (Others leave p and t in the denominator unsquared; of masks of 0 and 1 it is the same.)

    Args:
        input: probabilities (N, C, d1, ...), as softmax or sigmoid gives them.
        target: the same shape, such as ``F.one_hot(classes, C).movedim(-1, 1).float()``.
        smooth: above 0, so that a class that is nowhere, and said to be nowhere, has loss 0.
        reduction: "none" for (N, C), "mean" or "sum".
    Raises:
        ValueError: the shapes disagree or lack places, or smooth is negative.
    Example:
        >>> p, t = at.tensor([[[1.0, 1.0, 0.0]]]), at.tensor([[[1.0, 0.0, 0.0]]])
        >>> dice_loss(p, t, smooth=0.0).item()  # 1 − 2/3
        0.3333333134651184

    Source:
        Milletari, Navab and Ahmadi, V-Net, 2016 (arXiv 1606.04797).
    """
    floats_of_one_dtype("dice_loss", ("input", "target"), input, target)
    _check_reduction("dice_loss", reduction)
    require(smooth >= 0, "dice_loss", f"smooth is {smooth}; expected 0 or more")
    require(input.ndim >= 3, "dice_loss", f"input has shape {input.shape}; expected (N, C, d1, ...)")
    require(target.shape == input.shape, "dice_loss", f"target has shape {target.shape}; expected {input.shape}")
    places = tuple(range(2, input.ndim))
    overlap, size = (input * target).sum(places), (input * input + target * target).sum(places)
    return _reduced(1 - (2 * overlap + smooth) / (size + smooth), reduction)


def _power(wrong: Tensor, gamma: float) -> Tensor:
    """``wrong^gamma``, 1 at 0: the loss that it multiplies is 0 there, and the power's slope infinite below gamma 1."""
    return where(wrong == 0, 1.0, wrong) ** gamma
