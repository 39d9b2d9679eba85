"""Layers as functions, with PyTorch's names, argument order and defaults. ``from atrous.nn import functional as F``.

Thin: each function hands over to the op of its name in ``atrous.ops``, whose docstring has shapes, formula, errors and
source, or is that op. Of the losses, the arguments that PyTorch has deprecated (``size_average``, ``reduce``) are
missing, and those that follow them are by keyword only.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence

from .. import ops
from ..ops.bilinear import bilinear  # noqa: F401
from ..ops.conv1d import conv1d, conv_transpose1d  # noqa: F401
from ..ops.dropouts import (  # noqa: F401
    alpha_dropout,
    dropout1d,
    dropout2d,
    feature_alpha_dropout,
    patch_dropout,
    stochastic_depth,
)
from ..ops.embedding import embedding  # noqa: F401
from ..ops.grid_sample import affine_grid, grid_sample  # noqa: F401
from ..ops.loss import binary_cross_entropy  # noqa: F401
from ..ops.losses import (  # noqa: F401
    contrastive_loss,
    cosine_embedding_loss,
    cosine_similarity,
    dice_loss,
    focal_loss,
    gaussian_nll_loss,
    hardest_triplets,
    hinge_embedding_loss,
    huber_loss,
    kl_div,
    l1_loss,
    margin_ranking_loss,
    mse_loss,
    multi_margin_loss,
    multilabel_margin_loss,
    multilabel_soft_margin_loss,
    pairwise_distance,
    poisson_nll_loss,
    sigmoid_focal_loss,
    smooth_l1_loss,
    soft_margin_loss,
    triplet_margin_loss,
    triplet_margin_with_distance_loss,
)
from ..ops.norms import (  # noqa: F401
    group_norm,
    instance_norm,
    layer_norm,
    rms_norm,
)
from ..ops.pointwise import (  # noqa: F401
    celu,
    elu,
    gelu,
    glu,
    hardshrink,
    hardsigmoid,
    hardswish,
    hardtanh,
    logsigmoid,
    mish,
    prelu,
    relu6,
    selu,
    silu,
    softplus,
    softshrink,
    softsign,
    tanhshrink,
    threshold,
    threshold_unit,
)
from ..ops.pool1d import adaptive_avg_pool1d, adaptive_max_pool1d, avg_pool1d, max_pool1d  # noqa: F401
from ..ops.response_norm import local_response_norm, normalize  # noqa: F401
from ..ops.shuffle import channel_shuffle, pixel_shuffle, pixel_unshuffle  # noqa: F401
from ..ops.unfold import fold, unfold  # noqa: F401
from ..ops.unpool import lp_pool1d, lp_pool2d, max_unpool1d, max_unpool2d  # noqa: F401
from ..tensor import Tensor

Ints = int | Sequence[int]
Size = int | Sequence[int | None]


def conv2d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Ints = 1,
    padding: Ints | str = 0,
    dilation: Ints = 1,
    groups: int = 1,
) -> Tensor:
    """Convolution of images (N, C, H, W) with filters (OC, C / groups, KH, KW).

    Example:
        >>> F.conv2d(at.ones(1, 3, 8, 8), at.ones(6, 3, 5, 5)).shape
        (1, 6, 4, 4)
    """
    return ops.conv2d(input, weight, bias, stride, padding, dilation, groups)


def conv_transpose2d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Ints = 1,
    padding: Ints = 0,
    output_padding: Ints = 0,
    groups: int = 1,
    dilation: Ints = 1,
) -> Tensor:
    """Transposed convolution of images (N, C, H, W) with filters (C, OC / groups, KH, KW).

    Example:
        >>> F.conv_transpose2d(at.ones(1, 6, 4, 4), at.ones(6, 3, 2, 2), stride=2).shape
        (1, 3, 8, 8)
    """
    return ops.conv_transpose2d(input, weight, bias, stride, padding, output_padding, groups, dilation)


def max_pool2d(
    input: Tensor,
    kernel_size: Ints,
    stride: Ints | None = None,
    padding: Ints = 0,
    dilation: Ints = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Tensor | tuple[Tensor, Tensor]:
    """The largest value of each window, and on request where it was.

    Example:
        >>> F.max_pool2d(at.ones(1, 6, 8, 8), 2).shape
        (1, 6, 4, 4)
    """
    return ops.max_pool2d(input, kernel_size, stride, padding, dilation, ceil_mode, return_indices)


def avg_pool2d(
    input: Tensor,
    kernel_size: Ints,
    stride: Ints | None = None,
    padding: Ints = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Tensor:
    """The average of each window.

    Example:
        >>> F.avg_pool2d(at.ones(1, 6, 8, 8), 2).shape
        (1, 6, 4, 4)
    """
    return ops.avg_pool2d(input, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override)


def adaptive_avg_pool2d(input: Tensor, output_size: Size) -> Tensor:
    """Averages over as many windows as the output is to have.

    Example:
        >>> F.adaptive_avg_pool2d(at.ones(1, 6, 7, 5), 1).shape
        (1, 6, 1, 1)
    """
    return ops.adaptive_avg_pool2d(input, output_size)


def adaptive_max_pool2d(
    input: Tensor, output_size: Size, return_indices: bool = False
) -> Tensor | tuple[Tensor, Tensor]:
    """Maxima over as many windows as the output is to have.

    Example:
        >>> F.adaptive_max_pool2d(at.ones(1, 6, 7, 5), (3, None)).shape
        (1, 6, 3, 5)
    """
    return ops.adaptive_max_pool2d(input, output_size, return_indices)


def interpolate(
    input: Tensor,
    size: Ints | None = None,
    scale_factor: float | Sequence[float] | None = None,
    mode: str = "nearest",
    align_corners: bool | None = None,
    recompute_scale_factor: bool | None = None,
) -> Tensor:
    """Resizes images or sequences to a size or by a factor: nearest, linear, bilinear, bicubic, area, nearest-exact.

    Example:
        >>> F.interpolate(at.ones(1, 6, 7, 5), scale_factor=2, mode="bilinear").shape
        (1, 6, 14, 10)
    """
    return ops.interpolate(input, size, scale_factor, mode, align_corners, recompute_scale_factor)


def batch_norm(
    input: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """Brings each channel to mean 0 and variance 1, then scales and shifts it.

    Example:
        >>> F.batch_norm(at.tensor([[4.0]]), at.tensor([1.0]), at.tensor([9.0]), eps=0.0).tolist()
        [[1.0]]
    """
    return ops.batch_norm(input, running_mean, running_var, weight, bias, training, momentum, eps)


def linear(input: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """``input @ weight.T + bias`` along the last axis.

    Example:
        >>> F.linear(at.ones(2, 3), at.ones(4, 3)).shape
        (2, 4)
    """
    return ops.linear(input, weight, bias)


def relu(input: Tensor, inplace: bool = False) -> Tensor:
    """``max(x, 0)``.

    Example:
        >>> F.relu(at.tensor([-1.0, 2.0])).tolist()
        [0.0, 2.0]
    """
    return ops.relu(input, inplace)


def leaky_relu(input: Tensor, negative_slope: float = 0.01, inplace: bool = False) -> Tensor:
    """x where it is positive, else ``negative_slope · x``.

    Example:
        >>> F.leaky_relu(at.tensor([-1.0, 2.0]), 0.25).tolist()
        [-0.25, 2.0]
    """
    return ops.leaky_relu(input, negative_slope, inplace)


def sigmoid(input: Tensor) -> Tensor:
    """``1 / (1 + exp(−x))``.

    Example:
        >>> F.sigmoid(at.tensor([0.0])).tolist()
        [0.5]
    """
    return ops.sigmoid(input)


def tanh(input: Tensor) -> Tensor:
    """The hyperbolic tangent.

    Example:
        >>> F.tanh(at.tensor([0.0])).tolist()
        [0.0]
    """
    return ops.tanh(input)


def softmax(input: Tensor, dim: int | None = None) -> Tensor:
    """Positive numbers that add up to 1 along `dim`; without it, along the axis that PyTorch guesses, with a warning.

    Example:
        >>> F.softmax(at.zeros(1, 4), dim=1).tolist()
        [[0.25, 0.25, 0.25, 0.25]]
    """
    return ops.softmax(input, _guessed("softmax", input) if dim is None else dim)


def softmin(input: Tensor, dim: int | None = None) -> Tensor:
    """``softmax(−x)``.

    Example:
        >>> F.softmin(at.zeros(1, 4), dim=1).tolist()
        [[0.25, 0.25, 0.25, 0.25]]
    """
    return ops.softmax(-input, _guessed("softmin", input) if dim is None else dim)


def log_softmax(input: Tensor, dim: int | None = None) -> Tensor:
    """The logarithm of softmax, without its overflow.

    Example:
        >>> F.log_softmax(at.tensor([1000.0, 0.0]), dim=0).tolist()
        [0.0, -1000.0]
    """
    return ops.log_softmax(input, _guessed("log_softmax", input) if dim is None else dim)


def dropout(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """Zeroes each element with probability p and scales the rest by 1 / (1 − p), in training.

    Example:
        >>> F.dropout(at.ones(3), training=False).tolist()
        [1.0, 1.0, 1.0]
    """
    return ops.dropout(input, p, training, inplace)


def cross_entropy(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    *,
    ignore_index: int = -100,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> Tensor:
    """Cross-entropy between the softmax of logits and classes or probabilities.

    Example:
        >>> round(F.cross_entropy(at.zeros(4, 10), at.tensor([3, 1, 4, 1])).item(), 4)
        2.3026
    """
    return ops.cross_entropy(input, target, weight, ignore_index, reduction, label_smoothing)


def nll_loss(
    input: Tensor, target: Tensor, weight: Tensor | None = None, *, ignore_index: int = -100, reduction: str = "mean"
) -> Tensor:
    """Negative log-likelihood of classes, from log-probabilities.

    Example:
        >>> F.nll_loss(at.tensor([[-1.0, -2.0]]), at.tensor([1])).item()
        2.0
    """
    return ops.nll_loss(input, target, weight, ignore_index, reduction)


def binary_cross_entropy_with_logits(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    *,
    reduction: str = "mean",
    pos_weight: Tensor | None = None,
) -> Tensor:
    """Binary cross-entropy of sigmoid(x), element by element.

    Example:
        >>> round(F.binary_cross_entropy_with_logits(at.tensor([0.0]), at.tensor([1.0])).item(), 4)
        0.6931
    """
    return ops.binary_cross_entropy_with_logits(input, target, weight, pos_weight, reduction)


def pad(input: Tensor, pad: Sequence[int], mode: str = "constant", value: float | None = None) -> Tensor:
    """Puts values around a tensor, from its last axis backwards.

    Example:
        >>> F.pad(at.ones(1, 2), (1, 1)).tolist()
        [[0.0, 1.0, 1.0, 0.0]]
    """
    return ops.pad(input, pad, mode, value)


def one_hot(tensor: Tensor, num_classes: int = -1) -> Tensor:
    """A one at each class and zeros elsewhere, along a new last axis.

    Example:
        >>> F.one_hot(at.tensor([1, 0])).tolist()
        [[0, 1], [1, 0]]
    """
    return ops.one_hot(tensor, num_classes)


def _guessed(op: str, x: Tensor) -> int:
    dim = 0 if x.ndim in (0, 1, 3) else 1
    warnings.warn(f"{op}: without dim, axis {dim} is taken; give dim", stacklevel=3)
    return dim
