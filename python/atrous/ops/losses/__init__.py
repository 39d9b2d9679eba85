"""Losses composed of other ops: of distances, distributions, margins and pairs; ``loss.py`` has those with a backward.

All take tensors of one shape unless they say otherwise, and ``reduction``: "none", "mean" or "sum" of the losses. They
raise a ValueError for another word and for shapes that do not agree, and a TypeError for other dtypes than float32 and
float64, of which all float arguments must be one; targets that are counts or ±1 may be integers, too.
"""

from .distributions import gaussian_nll_loss, kl_div, poisson_nll_loss
from .embedding import contrastive_loss, hardest_triplets
from .errors import huber_loss, l1_loss, mse_loss, smooth_l1_loss
from .focal import dice_loss, focal_loss, sigmoid_focal_loss
from .margins import (
    hinge_embedding_loss,
    margin_ranking_loss,
    multi_margin_loss,
    multilabel_margin_loss,
    multilabel_soft_margin_loss,
    soft_margin_loss,
)
from .pairs import (
    cosine_embedding_loss,
    cosine_similarity,
    pairwise_distance,
    triplet_margin_loss,
    triplet_margin_with_distance_loss,
)

__all__ = [
    "contrastive_loss",
    "cosine_embedding_loss",
    "cosine_similarity",
    "dice_loss",
    "focal_loss",
    "gaussian_nll_loss",
    "hardest_triplets",
    "hinge_embedding_loss",
    "huber_loss",
    "kl_div",
    "l1_loss",
    "margin_ranking_loss",
    "mse_loss",
    "multi_margin_loss",
    "multilabel_margin_loss",
    "multilabel_soft_margin_loss",
    "pairwise_distance",
    "poisson_nll_loss",
    "sigmoid_focal_loss",
    "smooth_l1_loss",
    "soft_margin_loss",
    "triplet_margin_loss",
    "triplet_margin_with_distance_loss",
]
