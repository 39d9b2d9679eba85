"""Losses composed of other ops: of distances, margins, distributions and pairs; ``loss.py`` has those with a backward.

All take tensors of one shape unless they say otherwise, and ``reduction``: "none", "mean" or "sum" of the losses. They
raise a ValueError for another word and for shapes that do not agree, and a TypeError for other dtypes than float32 and
float64, of which all float arguments must be one.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from ..checks import floats_of_one_dtype, require
from ..tensor import Tensor
from .elementwise import minimum, where
from .loss import _broadcasts_to, _check_reduction, _difference, _reduced
from .pad import one_hot
from .piecewise import clamp
from .shape import broadcast_to

__all__ = [
    "cosine_embedding_loss",
    "cosine_similarity",
    "gaussian_nll_loss",
    "hinge_embedding_loss",
    "huber_loss",
    "kl_div",
    "margin_ranking_loss",
    "multi_margin_loss",
    "pairwise_distance",
    "poisson_nll_loss",
    "smooth_l1_loss",
    "soft_margin_loss",
    "triplet_margin_loss",
    "triplet_margin_with_distance_loss",
]


def smooth_l1_loss(input: Tensor, target: Tensor, *, reduction: str = "mean", beta: float = 1.0) -> Tensor:
    """``d²/2β`` of the distance ``d = |x − t|`` where it is below beta, else ``d − β/2``.

    Raises:
        ValueError: beta below 0.
    Example:
        >>> smooth_l1_loss(at.tensor([0.0, 0.0]), at.tensor([1.0, 3.0])).item()
        1.5

    Source:
        Girshick, Fast R-CNN, 2015 (arXiv 1504.08083).
    """
    require(beta >= 0, "smooth_l1_loss", f"beta is {beta}; expected 0 or more")
    distance = _difference("smooth_l1_loss", input, target, reduction).abs()
    if beta > 0:
        near = clamp(distance, max=beta)  # a square up to beta, a line from there on: no Inf meets a 0
        distance = near * near * (0.5 / beta) + (distance - near)
    return _reduced(distance, reduction)


def huber_loss(input: Tensor, target: Tensor, reduction: str = "mean", delta: float = 1.0) -> Tensor:
    """``d²/2`` of the distance ``d = |x − t|`` where it is below delta, else ``delta · (d − delta/2)``.

    Raises:
        ValueError: delta not above 0.
    Example:
        >>> huber_loss(at.tensor([0.0, 0.0]), at.tensor([1.0, 3.0])).item()
        1.5

    Source:
        Huber, Robust estimation of a location parameter, 1964.
    """
    require(delta > 0, "huber_loss", f"delta is {delta}; expected a positive number")
    distance = _difference("huber_loss", input, target, reduction).abs()
    near = clamp(distance, max=delta)
    return _reduced(near * near * 0.5 + (distance - near) * delta, reduction)


def kl_div(input: Tensor, target: Tensor, *, reduction: str = "mean", log_target: bool = False) -> Tensor:
    """Divergence ``t · (log t − x)`` of log-probabilities x from a distribution t; 0 where t is 0.

    Args:
        input: log-probabilities.
        target: probabilities, or with `log_target` their logarithms.
        reduction: "batchmean" too: the sum divided by the size of the first axis, which is the divergence of
            distributions in the rows; "mean" divides by the number of all elements.
    Example:
        >>> kl_div(at.tensor([[0.5, 0.5]]).log(), at.tensor([[0.5, 0.5]])).item()
        0.0

    Source:
        Kullback and Leibler, On information and sufficiency, 1951.
    """
    op = "kl_div"
    floats_of_one_dtype(op, ("input", "target"), input, target)
    if reduction != "batchmean":
        _check_reduction(op, reduction)
    _check_broadcast(op, input, target)
    if log_target:
        losses = target.exp() * (target - input)
    else:
        empty = target == 0
        losses = target * (where(empty, 1.0, target).log() - input)
    if reduction != "batchmean":
        return _reduced(losses, reduction)
    require(input.ndim > 0, op, "the input has no axes; 'batchmean' needs one")
    return losses.sum() / input.shape[0]


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
    hinge = clamp(margin - where(own, input, 0.0).sum(-1, keepdim=True) + input, min=0)
    hinge = hinge * hinge if p == 2 else hinge
    if weight is not None:
        require(weight.shape == (C,), op, f"weight has shape {weight.shape}; expected {(C,)}")
        hinge = hinge * weight[target].unsqueeze(-1)
    return _reduced(where(own, 0.0, hinge).sum(-1) / C, reduction)


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
    op = "margin_ranking_loss"
    floats_of_one_dtype(op, ("input1", "input2", "target"), input1, input2, target)
    _check_reduction(op, reduction)
    require(
        input1.ndim == input2.ndim == target.ndim,
        op,
        f"the inputs have shapes {input1.shape}, {input2.shape} and the target {target.shape}; expected as many axes",
    )
    return _reduced(clamp(-target * (input1 - input2) + margin, min=0), reduction)


def hinge_embedding_loss(input: Tensor, target: Tensor, margin: float = 1.0, *, reduction: str = "mean") -> Tensor:
    """x where the target is 1 (alike), ``max(0, margin − x)`` where it is −1: x is a distance.

    Example:
        >>> hinge_embedding_loss(at.tensor([0.25, 0.25]), at.tensor([1.0, -1.0]), reduction="none").tolist()
        [0.25, 0.75]

    Source:
        Hadsell, Chopra and LeCun, Dimensionality reduction by learning an invariant mapping, 2006.
    """
    op = "hinge_embedding_loss"
    floats_of_one_dtype(op, ("input", "target"), input, target)
    _check_reduction(op, reduction)
    _check_broadcast(op, input, target)
    unlike = where(target != 1, clamp(margin - input, min=0), 0.0)
    return _reduced(unlike + where(target != -1, input, 0.0), reduction)


def soft_margin_loss(input: Tensor, target: Tensor, *, reduction: str = "mean") -> Tensor:
    """Logistic loss of targets ±1: ``log(1 + exp(−t · x))``.

    Example:
        >>> round(soft_margin_loss(at.tensor([0.0]), at.tensor([1.0])).item(), 4)
        0.6931

    Source:
        Bishop, Pattern Recognition and Machine Learning, 2006, section 7.1.2.
    """
    op = "soft_margin_loss"
    floats_of_one_dtype(op, ("input", "target"), input, target)
    _check_reduction(op, reduction)
    _check_broadcast(op, input, target)
    return _reduced((-target * input).exp().log1p(), reduction)


def poisson_nll_loss(
    input: Tensor,
    target: Tensor,
    log_input: bool = True,
    full: bool = False,
    *,
    eps: float = 1e-8,
    reduction: str = "mean",
) -> Tensor:
    """Negative log-likelihood of counts: ``exp(x) − t · x``, or of a rate itself ``x − t · log(x + eps)``.

    Args:
        input: logarithms of rates; rates where `log_input` is False.
        target: counts.
        full: with Stirling's ``t · log t − t + log(2πt) / 2`` where t is above 1.
    Example:
        >>> poisson_nll_loss(at.tensor([0.0]), at.tensor([2.0])).item()
        1.0

    Source:
        McCullagh and Nelder, Generalized Linear Models, 1989, chapter 6.
    """
    op = "poisson_nll_loss"
    floats_of_one_dtype(op, ("input", "target"), input, target)
    _check_reduction(op, reduction)
    _check_broadcast(op, input, target)
    losses = input.exp() - target * input if log_input else input - target * (input + eps).log()
    if full:
        many = where(target > 1, target, 1.0)
        stirling = many * many.log() - many + (many * (2 * math.pi)).log() * 0.5
        losses = losses + where(target > 1, stirling, 0.0)
    return _reduced(losses, reduction)


def gaussian_nll_loss(
    input: Tensor,
    target: Tensor,
    var: Tensor | float,
    full: bool = False,
    eps: float = 1e-6,
    reduction: str = "mean",
) -> Tensor:
    """Negative log-likelihood of a normal distribution: ``(log v + (x − t)² / v) / 2``, v = max(var, eps).

    Args:
        input: means.
        target: samples; broadcasts.
        var: variances, of the input's shape, or with a last axis of 1, or without it, or a number. Its gradient passes
            where it was raised to eps, too.
        full: with ``log(2π) / 2``.
    Raises:
        ValueError: a negative variance.
    Example:
        >>> gaussian_nll_loss(at.tensor([0.0]), at.tensor([2.0]), at.tensor([1.0])).item()
        2.0

    Source:
        Nix and Weigend, Estimating the mean and variance of the target probability distribution, 1994.
    """
    op = "gaussian_nll_loss"
    if not isinstance(var, Tensor):
        require(var >= 0, op, f"var is {var}; expected 0 or more")
        var = input.detach() * 0 + var
    floats_of_one_dtype(op, ("input", "target", "var"), input, target, var)
    _check_reduction(op, reduction)
    _check_broadcast(op, input, target)
    if var.shape != input.shape:
        if var.shape == input.shape[:-1]:
            var = var.unsqueeze(-1)
        require(
            var.shape == (*input.shape[:-1], 1), op, f"var has shape {var.shape}; expected that of input {input.shape}"
        )
    require(not bool((var < 0).any().item()), op, "var holds negative numbers")
    var = _at_least(var, eps)
    losses = (var.log() + (input - target) ** 2 / var) * 0.5
    return _reduced(losses + 0.5 * math.log(2 * math.pi) if full else losses, reduction)


def cosine_similarity(x1: Tensor, x2: Tensor, dim: int = 1, eps: float = 1e-8) -> Tensor:
    """``x1 · x2 / (max(‖x1‖, eps) · max(‖x2‖, eps))`` along an axis; the tensors broadcast.

    The gradient is that of the norms themselves where they were raised to eps, too.

    Example:
        >>> cosine_similarity(at.tensor([[3.0, 0.0]]), at.tensor([[0.0, 2.0]])).tolist()
        [0.0]
    """
    op = "cosine_similarity"
    floats_of_one_dtype(op, ("x1", "x2"), x1, x2)
    _check_broadcast(op, x1, x2)
    shape = np.broadcast_shapes(x1.shape, x2.shape)
    units = [x / _at_least(x.norm(dim=dim, keepdim=True), eps) for x in (broadcast_to(x, shape) for x in (x1, x2))]
    return (units[0] * units[1]).sum(dim)


def pairwise_distance(x1: Tensor, x2: Tensor, p: float = 2.0, eps: float = 1e-6, keepdim: bool = False) -> Tensor:
    """``‖x1 − x2 + eps‖_p`` along the last axis; the tensors broadcast.

    Example:
        >>> round(pairwise_distance(at.tensor([[3.0, 4.0]]), at.zeros(1, 2)).item(), 4)
        5.0
    """
    op = "pairwise_distance"
    floats_of_one_dtype(op, ("x1", "x2"), x1, x2)
    _check_broadcast(op, x1, x2)
    return (x1 - x2 + eps).norm(p, -1, keepdim)


def cosine_embedding_loss(
    input1: Tensor, input2: Tensor, target: Tensor, margin: float = 0, *, reduction: str = "mean"
) -> Tensor:
    """``1 − cos(x1, x2)`` where the target is 1, ``max(0, cos(x1, x2) − margin)`` where it is −1.

    Args:
        input1, input2: (N, D), or (D,).
        target: (N,), or ().
    Example:
        >>> x = at.tensor([[1.0, 0.0]])
        >>> cosine_embedding_loss(x, x, at.tensor([-1.0])).item()
        1.0
    """
    op = "cosine_embedding_loss"
    floats_of_one_dtype(op, ("input1", "input2"), input1, input2)
    _check_reduction(op, reduction)
    require(
        isinstance(target, Tensor) and target.ndim in (0, 1) and input1.ndim == input2.ndim == target.ndim + 1,
        op,
        f"input1 has shape {input1.shape} and input2 {input2.shape}; expected (N, D), or (D,) for a target ()",
    )
    _check_broadcast(op, input1, input2)
    tiny = 1e-12
    squares = [(x * x).sum(-1) + tiny for x in (input1, input2)]
    cosine = (input1 * input2).sum(-1) / (squares[0] * squares[1]).sqrt()
    unlike = where(target == -1, clamp(cosine - margin, min=0), 0.0)
    return _reduced(where(target == 1, 1 - cosine, 0.0) + unlike, reduction)


def triplet_margin_loss(
    anchor: Tensor,
    positive: Tensor,
    negative: Tensor,
    margin: float = 1.0,
    p: float = 2,
    eps: float = 1e-6,
    swap: bool = False,
    *,
    reduction: str = "mean",
) -> Tensor:
    """``max(0, margin + d(a, p) − d(a, n))`` of the distances of an anchor to one like it and one unlike.

    (FaceNet takes squared distances and sums: `triplet_margin_with_distance_loss` takes any.)

    Args:
        anchor, positive, negative: (N, D), or (D,).
        p, eps: of the distance, as in `pairwise_distance`.
        swap: takes the negative's distance to the positive where that is less.
    Raises:
        ValueError: a margin not above 0.
    Example:
        >>> a, n = at.zeros(1, 2), at.tensor([[0.0, 0.5]])
        >>> round(triplet_margin_loss(a, a, n).item(), 3)
        0.5

    Source:
        Balntas et al., Learning local feature descriptors with triplets, 2016.
    """
    return triplet_margin_with_distance_loss(
        anchor,
        positive,
        negative,
        distance_function=lambda a, b: pairwise_distance(a, b, p, eps),
        margin=margin,
        swap=swap,
        reduction=reduction,
    )


def triplet_margin_with_distance_loss(
    anchor: Tensor,
    positive: Tensor,
    negative: Tensor,
    *,
    distance_function: Callable[[Tensor, Tensor], Tensor] | None = None,
    margin: float = 1.0,
    swap: bool = False,
    reduction: str = "mean",
) -> Tensor:
    """The triplet loss with a distance of one's own: ``max(0, margin + d(a, p) − d(a, n))``.

    Args:
        distance_function: of two tensors; None for `pairwise_distance`. FaceNet's is
            ``lambda a, b: ((a - b) ** 2).sum(-1)``, with ``reduction="sum"``.
        anchor, positive, negative, swap: as in `triplet_margin_loss`.
    Raises:
        ValueError: a margin not above 0.
    Example:
        >>> a, n = at.zeros(1, 2), at.tensor([[0.0, 0.5]])
        >>> square = lambda a, b: ((a - b) ** 2).sum(-1)
        >>> triplet_margin_with_distance_loss(a, a, n, distance_function=square).item()
        0.75

    Source:
        Schroff, Kalenichenko and Philbin, FaceNet, 2015 (arXiv 1503.03832).
    """
    op = "triplet_margin_loss"
    floats_of_one_dtype(op, ("anchor", "positive", "negative"), anchor, positive, negative)
    _check_reduction(op, reduction)
    require(margin > 0, op, f"margin is {margin}; expected a positive number")
    require(
        anchor.ndim == positive.ndim == negative.ndim,
        op,
        f"the three have shapes {anchor.shape}, {positive.shape}, {negative.shape}; expected as many axes",
    )
    distance = distance_function or pairwise_distance
    near, far = distance(anchor, positive), distance(anchor, negative)
    if swap:
        far = minimum(far, distance(positive, negative))
    return _reduced(clamp(margin + near - far, min=0), reduction)


def _at_least(x: Tensor, low: float) -> Tensor:
    """max(x, low), with the gradient of x itself, as PyTorch has it in these losses."""
    return where(x < low, x - x.detach() + low, x)


def _check_broadcast(op: str, a: Tensor, b: Tensor) -> None:
    require(_broadcasts_to(a.shape, b.shape, both=True), op, f"shapes {a.shape} and {b.shape} do not broadcast")
