"""What learns an embedding from pairs and triplets: the contrastive loss, and the triplets worth learning from."""

from __future__ import annotations

import math

from ...autocast import in_float32
from ...backend import array_module
from ...checks import floats_of_one_dtype, require
from ...grad_mode import no_grad
from ...tensor import Tensor
from ..elementwise import where
from ..indexing import nonzero
from ..loss import _check_reduction, _reduced
from ..order import argmax, argmin
from ..piecewise import clamp


@in_float32
def contrastive_loss(
    input1: Tensor, input2: Tensor, target: Tensor, margin: float = 1.0, *, reduction: str = "mean"
) -> Tensor:
    """``d²/2`` of a pair that is alike, ``max(0, margin − d)²/2`` of one that is not; d is their Euclidean distance.

    Args:
        input1, input2: (N, D), or (D,).
        target: 1 (alike) or −1 (unlike), (N,) or (), as for PyTorch's losses of pairs; the paper writes 0 and 1.
        margin: the distance from which on unlike pairs are left alone.
    Raises:
        ValueError: the shapes disagree, or a margin not above 0.
    Example:
        >>> x, y = at.zeros(2, 2), at.tensor([[0.0, 0.5], [0.0, 0.5]])
        >>> contrastive_loss(x, y, at.tensor([1.0, -1.0]), margin=1.5, reduction="none").tolist()
        [0.125, 0.5]

    Source:
        Hadsell, Chopra and LeCun, Dimensionality reduction by learning an invariant mapping, 2006.
    """
    op = "contrastive_loss"
    floats_of_one_dtype(op, ("input1", "input2"), input1, input2)
    _check_reduction(op, reduction)
    require(margin > 0, op, f"margin is {margin}; expected a positive number")
    shapes = f"input1 has shape {input1.shape}, input2 {input2.shape}"
    require(input1.ndim in (1, 2) and input1.shape == input2.shape, op, f"{shapes}; expected (N, D) or (D,) for both")
    if not isinstance(target, Tensor):
        raise TypeError(f"{op}: target is a {type(target).__name__}; expected a Tensor")
    require(target.shape == input1.shape[:-1], op, f"target has shape {target.shape}; expected {input1.shape[:-1]}")
    difference = input1 - input2
    gap = clamp(margin - difference.norm(dim=-1), min=0)
    return _reduced(where(target == 1, (difference * difference).sum(-1), gap * gap) * 0.5, reduction)


@in_float32
def hardest_triplets(embeddings: Tensor, labels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Of each sample of a batch, the farthest one of its class and the nearest one of another: "batch hard" triplets.

    For any triplet loss: ``a, p, n = F.hardest_triplets(x, labels)``, then ``F.triplet_margin_loss(x[a], x[p], x[n])``.
    A batch of P classes with K samples each has P·K of them. Samples that lack either are left out.

    Args:
        embeddings: (N, D).
        labels: int64 (N,).
    Returns:
        The indices of anchors, positives and negatives, int64 of one length.
    Raises:
        ValueError: the shapes disagree. TypeError: labels are not integers.
    Example:
        >>> x = at.tensor([[0.0], [1.0], [3.0], [3.5]])
        >>> [i.tolist() for i in hardest_triplets(x, at.tensor([0, 0, 0, 1]))]
        [[0, 1, 2], [2, 2, 0], [3, 3, 3]]

    Source:
        Hermans, Beyer and Leibe, In defense of the triplet loss for person re-identification, 2017 (arXiv 1703.07737).
    """
    op = "hardest_triplets"
    floats_of_one_dtype(op, ("embeddings",), embeddings)
    if not isinstance(labels, Tensor) or labels.dtype.kind not in "iu":
        raise TypeError(f"{op}: labels must be a Tensor of int64 classes")
    require(embeddings.ndim == 2, op, f"embeddings has shape {embeddings.shape}; expected (N, D)")
    N = len(embeddings)
    require(labels.shape == (N,), op, f"labels has shape {labels.shape}; expected {(N,)}")
    if N == 0:
        return labels.long(), labels.long(), labels.long()
    with no_grad():
        x = embeddings - embeddings.mean(0)  # far from 0, squares would lose the digits of differences
        squares = (x * x).sum(1)
        distances = squares.unsqueeze(1) + squares - 2 * (x @ x.t())
        alike = labels.unsqueeze(1) == labels
        others = alike & ~Tensor(array_module(x).eye(N, dtype=bool))
        positive = argmax(where(others, distances, -math.inf), 1)
        negative = argmin(where(alike, math.inf, distances), 1)
        anchors = nonzero(others.any(1) & ~alike.all(1)).squeeze(1)
    return anchors, positive[anchors], negative[anchors]
