"""Losses of scores that are to keep a margin, one class or several a sample."""

from __future__ import annotations

from ...autocast import in_float32
from ...checks import floats_of_one_dtype, require
from ...tensor import Tensor
from ..elementwise import where
from ..loss import _check_reduction, _reduced
from ..pad import one_hot
from ..piecewise import clamp
from ..pointwise import logsigmoid
from .pairs import check_broadcast, promoted


@in_float32
def multi_margin_loss(
    input: Tensor,
    target: Tensor,
    p: int = 1,
    margin: float = 1.0,
    weight: Tensor | None = None,
    *,
    reduction: str = "mean",
) -> Tensor:
    """Multi-class hinge: ``Σ_j≠y weight[y] · max(0, margin − x[y] + x[j])^p / C``.

    (Textbooks do not divide by the number C of classes: their loss is C times this.)

    Args:
        input: scores (N, C) or (C,).
        target: int64 classes (N,) or ().
        p: 1 or 2.
        weight: of each class, (C,); None for 1.
    Raises:
        ValueError: p is another number, or a class is out of range.
    Example:
        >>> multi_margin_loss(at.tensor([[0.0, 0.5]]), at.tensor([1])).item()
        0.25

    Source:
        Crammer and Singer, On the algorithmic implementation of multiclass kernel-based vector machines, 2001.
    """
    op = "multi_margin_loss"
    floats_of_one_dtype(op, ("input", "weight?"), input, weight)
    _check_reduction(op, reduction)
    require(p in (1, 2), op, f"p is {p}; expected 1 or 2")
    require(input.ndim in (1, 2) and input.shape[-1] > 0, op, f"input has shape {input.shape}; expected (N, C) or (C,)")
    if not isinstance(target, Tensor) or target.dtype.kind not in "iu":
        raise TypeError(f"{op}: target must be a Tensor of int64 classes")
    require(target.shape == input.shape[:-1], op, f"target has shape {target.shape}; expected {input.shape[:-1]}")
    C = input.shape[-1]
    if target.numel() > 0:
        low, high = int(target.min().item()), int(target.max().item())
        require(low >= 0 and high < C, op, f"target holds class {low if low < 0 else high}; expected 0 to {C - 1}")
    own = one_hot(target, C).bool()
    hinge = _positive(margin - where(own, input, 0.0).sum(-1, keepdim=True) + input)
    hinge = hinge * hinge if p == 2 else hinge
    if weight is not None:
        require(weight.shape == (C,), op, f"weight has shape {weight.shape}; expected {(C,)}")
        hinge = hinge * weight[target].unsqueeze(-1)
    return _reduced(where(own, 0.0, hinge).sum(-1) / C, reduction)


@in_float32
def multilabel_margin_loss(input: Tensor, target: Tensor, *, reduction: str = "mean") -> Tensor:
    """Hinge of several classes a sample: ``Σ_j Σ_k max(0, 1 − x[j] + x[k]) / C``, j its classes, k the others.

    It holds C² numbers a sample.

    Args:
        input: scores (N, C) or (C,).
        target: int64, the input's shape: the sample's classes, then −1; what follows the first −1 does not count. A
            class that stands there twice counts twice.
    Raises:
        ValueError: the shapes disagree, or a class is not −1 to C − 1.
    Example:
        >>> multilabel_margin_loss(at.tensor([0.5, 0.25, 0.0]), at.tensor([0, -1, 0])).item()  # (0.75 + 0.5) / 3
        0.4166666567325592

    Source:
        Weston and Watkins, Support vector machines for multi-class pattern recognition, 1999.
    """
    op = "multilabel_margin_loss"
    floats_of_one_dtype(op, ("input",), input)
    _check_reduction(op, reduction)
    require(input.ndim <= 2, op, f"input has shape {input.shape}; expected (N, C) or (C,)")
    if not isinstance(target, Tensor) or target.dtype.kind not in "iu":
        raise TypeError(f"{op}: target must be a Tensor of int64 classes")
    require(target.shape == input.shape, op, f"target has shape {target.shape}; expected {input.shape} as input")
    if input.ndim == 0:
        input, target = input.unsqueeze(0), target.unsqueeze(0)
    C = input.shape[-1]
    if target.numel() > 0:
        low, high = int(target.min().item()), int(target.max().item())
        require(low >= -1 and high < C, op, f"target holds class {low if low < -1 else high}; expected -1 to {C - 1}")
    listed = ((target < 0).long().cumsum(-1) == 0).unsqueeze(-1)  # before the first −1
    times = (one_hot(clamp(target, min=0), C) * listed).sum(-2)  # how often each class stands there
    hinge = _positive(1 - input.unsqueeze(-1) + input.unsqueeze(-2))  # (..., j, k)
    hinge = where((times == 0).unsqueeze(-2) & (times > 0).unsqueeze(-1), hinge, 0.0)
    return _reduced((hinge * times.unsqueeze(-1)).sum((-2, -1)) / C, reduction)


@in_float32
def multilabel_soft_margin_loss(
    input: Tensor, target: Tensor, weight: Tensor | None = None, *, reduction: str = "mean"
) -> Tensor:
    """Binary cross-entropy of each class, averaged: ``−Σ_c w_c · (t_c · log σ(x_c) + (1 − t_c) · log σ(−x_c)) / C``.

    Args:
        input: scores (N, C) or (C,), or with more axes before C.
        target: 0 or 1 for each class, or between; broadcasts.
        weight: of each class, (C,); None for 1.
    Example:
        >>> round(multilabel_soft_margin_loss(at.zeros(2, 3), at.ones(2, 3)).item(), 4)
        0.6931
    """
    op, target = "multilabel_soft_margin_loss", promoted(target, input)
    floats_of_one_dtype(op, ("input", "target", "weight?"), input, target, weight)
    _check_reduction(op, reduction)
    require(input.ndim > 0, op, "the input has no axes; expected (N, C) or (C,)")
    check_broadcast(op, input, target)
    losses = -(target * logsigmoid(input) + (1 - target) * logsigmoid(-input))
    if weight is not None:
        check_broadcast(op, losses, weight)
        losses = losses * weight
    return _reduced(losses.sum(input.ndim - 1) / input.shape[-1], reduction)


@in_float32
def margin_ranking_loss(
    input1: Tensor, input2: Tensor, target: Tensor, margin: float = 0, *, reduction: str = "mean"
) -> Tensor:
    """``max(0, −t · (x1 − x2) + margin)``: t = 1 asks that x1 be ranked above x2, −1 below.

    Example:
        >>> margin_ranking_loss(at.tensor([1.0]), at.tensor([3.0]), at.tensor([1.0])).item()
        2.0

    Source:
        Herbrich, Graepel and Obermayer, Large margin rank boundaries for ordinal regression, 2000.
    """
    op, target = "margin_ranking_loss", promoted(target, input1)
    floats_of_one_dtype(op, ("input1", "input2", "target"), input1, input2, target)
    _check_reduction(op, reduction)
    require(
        input1.ndim == input2.ndim == target.ndim,
        op,
        f"the inputs have shapes {input1.shape}, {input2.shape} and the target {target.shape}; expected as many axes",
    )
    return _reduced(clamp(-target * (input1 - input2) + margin, min=0), reduction)


@in_float32
def hinge_embedding_loss(input: Tensor, target: Tensor, margin: float = 1.0, *, reduction: str = "mean") -> Tensor:
    """x where the target is 1 (alike), ``max(0, margin − x)`` where it is −1: x is a distance.

    Example:
        >>> hinge_embedding_loss(at.tensor([0.25, 0.25]), at.tensor([1.0, -1.0]), reduction="none").tolist()
        [0.25, 0.75]

    Source:
        Hadsell, Chopra and LeCun, Dimensionality reduction by learning an invariant mapping, 2006.
    """
    op, target = "hinge_embedding_loss", promoted(target, input)
    floats_of_one_dtype(op, ("input", "target"), input, target)
    _check_reduction(op, reduction)
    check_broadcast(op, input, target)
    unlike = where(target != 1, clamp(margin - input, min=0), 0.0)
    return _reduced(unlike + where(target != -1, input, 0.0), reduction)


@in_float32
def soft_margin_loss(input: Tensor, target: Tensor, *, reduction: str = "mean") -> Tensor:
    """Logistic loss of targets ±1: ``log(1 + exp(−t · x))``.

    Example:
        >>> round(soft_margin_loss(at.tensor([0.0]), at.tensor([1.0])).item(), 4)
        0.6931

    Source:
        Bishop, Pattern Recognition and Machine Learning, 2006, section 7.1.2.
    """
    op, target = "soft_margin_loss", promoted(target, input)
    floats_of_one_dtype(op, ("input", "target"), input, target)
    _check_reduction(op, reduction)
    check_broadcast(op, input, target)
    return _reduced((-target * input).exp().log1p(), reduction)


def _positive(x: Tensor) -> Tensor:
    """x where it is above 0, else 0, for NaN too, as PyTorch counts hinges."""
    return where(x > 0, x, 0.0)
