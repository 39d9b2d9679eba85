"""Likeness of vectors, and losses of pairs and triplets of them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ...autocast import in_float32
from ...checks import floats_of_one_dtype, require
from ...tensor import Tensor
from ..elementwise import minimum, where
from ..loss import _broadcasts_to, _check_reduction, _reduced
from ..piecewise import clamp
from ..shape import broadcast_to


@in_float32
def cosine_similarity(x1: Tensor, x2: Tensor, dim: int = 1, eps: float = 1e-8) -> Tensor:
    """``x1 · x2 / (max(‖x1‖, eps) · max(‖x2‖, eps))`` along an axis; the tensors broadcast.

    The gradient is that of the norms themselves where they were raised to eps, too.

    Example:
        >>> cosine_similarity(at.tensor([[3.0, 0.0]]), at.tensor([[0.0, 2.0]])).tolist()
        [0.0]
    """
    op = "cosine_similarity"
    floats_of_one_dtype(op, ("x1", "x2"), x1, x2)
    check_broadcast(op, x1, x2)
    shape = np.broadcast_shapes(x1.shape, x2.shape)
    units = [x / at_least(x.norm(dim=dim, keepdim=True), eps) for x in (broadcast_to(x, shape) for x in (x1, x2))]
    return (units[0] * units[1]).sum(dim)


@in_float32
def pairwise_distance(x1: Tensor, x2: Tensor, p: float = 2.0, eps: float = 1e-6, keepdim: bool = False) -> Tensor:
    """``‖x1 − x2 + eps‖_p`` along the last axis; the tensors broadcast.

    Example:
        >>> round(pairwise_distance(at.tensor([[3.0, 4.0]]), at.zeros(1, 2)).item(), 4)
        5.0
    """
    op = "pairwise_distance"
    floats_of_one_dtype(op, ("x1", "x2"), x1, x2)
    check_broadcast(op, x1, x2)
    return (x1 - x2 + eps).norm(p, -1, keepdim)


@in_float32
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
    check_broadcast(op, input1, input2)
    tiny = 1e-12
    squares = [(x * x).sum(-1) + tiny for x in (input1, input2)]
    cosine = (input1 * input2).sum(-1) / (squares[0] * squares[1]).sqrt()
    unlike = where(target == -1, clamp(cosine - margin, min=0), 0.0)
    return _reduced(where(target == 1, 1 - cosine, 0.0) + unlike, reduction)


@in_float32
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


@in_float32
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


def at_least(x: Tensor, low: float) -> Tensor:
    """max(x, low), with the gradient of x itself, as PyTorch has it in these losses."""
    return where(x < low, x - x.detach() + low, x)


def check_broadcast(op: str, a: Tensor, b: Tensor) -> None:
    """Raises a ValueError unless the two have shapes that go together."""
    require(_broadcasts_to(a.shape, b.shape, both=True), op, f"shapes {a.shape} and {b.shape} do not broadcast")


def promoted(target: Tensor, input: Tensor) -> Tensor:
    """A target of integers in the input's dtype, as PyTorch promotes it; others as they are."""
    integers = isinstance(target, Tensor) and isinstance(input, Tensor) and target.dtype.kind in "iu"
    return target.to(input.dtype) if integers else target
