"""Weights for classes of unequal size."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...checks import require
from ...ops import from_numpy
from ...tensor import Tensor


def class_weights(counts: Any, beta: float = 1.0) -> Tensor:
    """Weights for a loss such that rare classes count more: ``1 / E(n)``, scaled to mean 1 over classes that occur.

    ``E(n) = (1 − β^n) / (1 − β)`` is the effective number of n samples: n itself for β = 1 (inverse frequency, 1/Z(y)),
    1 for β = 0 (no weights). A loss with reduction "mean" divides by the weights of its targets, so that it does not
    depend on their scale.

    Args:
        counts: how many samples each class has, (C,): a tensor, array or list, as from ``np.bincount(labels)``.
        beta: 0 to 1; the paper takes 0.9 to 0.9999.
    Returns:
        float32 (C,); 0 for classes that have no samples.
    Raises:
        ValueError: counts are not one-dimensional, negative or all 0, or beta is out of range.
    Example:
        >>> nn.utils.class_weights([30, 10]).tolist()
        [0.5, 1.5]
        >>> loss_fn = nn.CrossEntropyLoss(weight=nn.utils.class_weights([30, 10], beta=0.99))

    Source:
        Cui et al., Class-balanced loss based on effective number of samples, 2019 (arXiv 1901.05555).
    """
    op = "class_weights"
    n = np.asarray(counts.numpy() if isinstance(counts, Tensor) else counts, np.float64)
    require(n.ndim == 1, op, f"counts has shape {n.shape}; expected (C,)")
    require(
        (n >= 0).all() and n.any() and np.isfinite(n).all(),
        op,
        f"counts are {n.tolist()}; expected 0 or more, some above",
    )
    require(0 <= beta <= 1, op, f"beta is {beta}; expected 0 to 1")
    seen = n > 0
    effective = n if beta == 1 else -np.expm1(n * np.log(beta)) / (1 - beta) if beta else np.ones_like(n)
    weights = np.divide(1, effective, out=np.zeros_like(n), where=seen)
    return from_numpy((weights * (seen.sum() / weights.sum())).astype(np.float32))
