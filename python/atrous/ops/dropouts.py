"""Dropouts of whole channels, patches, samples and layers, and those for self-normalising networks.

All return the input as it is outside training and for p = 0. They raise a ValueError for a p outside [0, 1], a
TypeError for another input than a float32 or float64 tensor, and, with ``inplace``, a RuntimeError for a leaf that
requires grad. What is dropped depends on the seed and the shape alone, as of ``dropout``.
"""

from __future__ import annotations

import math
import warnings
from typing import Any

from ..backend import array_module
from ..checks import require
from ..tensor import Tensor
from .random import dropped, idle, inverse, kept_elements, kept_words

__all__ = ["alpha_dropout", "dropout1d", "dropout2d", "feature_alpha_dropout", "patch_dropout", "stochastic_depth"]

SATURATION = 1.7580993408473766  # selu's: −SATURATION is its value far below 0


def dropout1d(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """Zeroes each channel with probability p, and multiplies the others by ``1 / (1 − p)``.

    Args:
        input: shape (N, C, L) or (C, L).
        p: from 0 to 1.
        training: False returns the input as it is.
        inplace: write the result over the input.
    Raises:
        ValueError: another number of axes.
    Example:
        >>> sorted(set(dropout1d(at.ones(100, 3), 0.5).sum(1).tolist()))
        [0.0, 6.0]

    Source:
        Tompson et al., Efficient object localization using convolutional networks, 2015 (arXiv 1411.4280).
    """
    op, done = "dropout1d", idle("dropout1d", input, p, training)
    require(input.ndim in (2, 3), op, f"the input has shape {input.shape}; expected (N, C, L) or (C, L)")
    return input if done else dropped(op, input, _kept_channels(input, p, input.ndim - 1), inverse(p), inplace)


def dropout2d(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """Zeroes each channel of each image with probability p, and multiplies the others by ``1 / (1 − p)``.

    Neighbours in a feature map say much the same: where one of them stays, dropping the other takes little away.

    Args:
        input: shape (N, C, H, W). Other shapes (N, C, ...) work, with a warning, as in PyTorch: three axes are taken
            for (N, C, L), not for an image without a batch.
        p: from 0 to 1.
        training: False returns the input as it is.
        inplace: write the result over the input.
    Raises:
        ValueError: fewer than two axes.
    Example:
        >>> sorted(set(dropout2d(at.ones(10, 10, 2, 2), 0.5).sum((2, 3)).flatten().tolist()))
        [0.0, 8.0]

    Source:
        Tompson et al., Efficient object localization using convolutional networks, 2015 (arXiv 1411.4280).
    """
    op, done = "dropout2d", idle("dropout2d", input, p, training)
    if input.ndim != 4:
        warnings.warn(f"{op}: the input has shape {input.shape}, taken as (N, C, ...); give (N, C, H, W)", stacklevel=2)
    if done:
        return input
    _require_channels(op, input)
    return dropped(op, input, _kept_channels(input, p, 2), inverse(p), inplace)


def alpha_dropout(input: Tensor, p: float = 0.5, training: bool = False, inplace: bool = False) -> Tensor:
    """Sets elements to selu's lowest value with probability p, then maps all so that mean 0 and variance 1 stay.

    ``y = a · (x or −1.7581) + b`` with ``a = ((1 − p) · (1 + 1.7581² · p))^−½`` and ``b = 1.7581 · p · a``.

    Args:
        input: any shape, of mean 0 and variance 1, as selu makes them.
        p: from 0 to 1; at 1 all is 0.
        training: False, the default here as in PyTorch, returns the input as it is.
        inplace: write the result over the input.
    Example:
        >>> y = alpha_dropout(at.randn(10000), 0.3, training=True)
        >>> abs(y.mean().item()) < 0.05, abs(y.std().item() - 1) < 0.05
        (True, True)

    Source:
        Klambauer et al., Self-normalizing neural networks, 2017 (arXiv 1706.02515).
    """
    if idle("alpha_dropout", input, p, training):
        return input
    return _saturated("alpha_dropout", input, kept_elements(input.data, p), p, inplace)


def feature_alpha_dropout(input: Tensor, p: float = 0.5, training: bool = False, inplace: bool = False) -> Tensor:
    """``alpha_dropout`` of whole channels.

    Args:
        input: shape (N, C, ...).
        p: from 0 to 1; at 1 all is 0.
        training: False, the default here as in PyTorch, returns the input as it is.
        inplace: write the result over the input.
    Raises:
        ValueError: fewer than two axes.
    Example:
        >>> len(set(feature_alpha_dropout(at.zeros(9, 9, 2, 2), 0.3, training=True).flatten().tolist()))
        2

    Source:
        Klambauer et al., Self-normalizing neural networks, 2017 (arXiv 1706.02515).
    """
    op = "feature_alpha_dropout"
    if idle(op, input, p, training):
        return input
    _require_channels(op, input)
    return _saturated(op, input, _kept_channels(input, p, 2), p, inplace)


def patch_dropout(
    input: Tensor, patch_size: int, p: float = 0.5, training: bool = True, inplace: bool = False
) -> Tensor:
    """Zeroes each square of a grid laid over the images with probability p, in all channels at once.

    The rest stays as it is: of images with mean 0, so does the mean. A network then cannot rely on one part of an
    object.

    Args:
        input: shape (N, C, H, W) or (C, H, W).
        patch_size: height and width of a square; the last ones are cut off where the image ends.
        p: from 0 to 1.
        training: False returns the input as it is.
        inplace: write the result over the input.
    Raises:
        ValueError: another number of axes, or patch_size below 1.
    Example:
        >>> sorted(set(patch_dropout(at.ones(1, 1, 9, 9), 3).unflatten(2, (3, 3)).sum(3).flatten().tolist()))
        [0.0, 3.0]

    Source:
        Singh and Lee, Hide-and-seek, 2017 (arXiv 1704.04232), which fills with the data's mean: subtract that first.
    """
    op, done = "patch_dropout", idle("patch_dropout", input, p, training)
    require(input.ndim in (3, 4), op, f"the input has shape {input.shape}; expected (N, C, H, W) or (C, H, W)")
    require(patch_size >= 1, op, f"patch_size is {patch_size}; expected 1 or more")
    if done:
        return input
    xp, (H, W) = array_module(input.data), input.shape[-2:]
    PH, PW = math.ceil(H / patch_size), math.ceil(W / patch_size)
    kept = kept_words(input.data, p, (*input.shape[:-3], 1, PH, PW))
    kept = kept[..., xp.arange(H) // patch_size, :][..., xp.arange(W) // patch_size]  # (N, 1, H, W)
    return dropped(op, input, kept, 1.0, inplace)


def stochastic_depth(input: Tensor, p: float, mode: str, training: bool = True) -> Tensor:
    """Zeroes samples ("row") or the batch ("batch") with probability p, and multiplies the rest by ``1 / (1 − p)``.

    On the branch of a residual block: a sample whose branch is dropped passes by the block.

    Args:
        input: shape (N, ...).
        p: from 0 to 1; the paper lets it grow with depth, from 0 to 0.5.
        mode: "row" drops each sample by itself, "batch" all together.
        training: False returns the input as it is.
    Raises:
        ValueError: another mode.
    Example:
        >>> sorted(set(stochastic_depth(at.ones(50, 4), 0.5, "row").sum(1).tolist()))
        [0.0, 8.0]

    Source:
        Huang et al., Deep networks with stochastic depth, 2016 (arXiv 1603.09382), which scales in evaluation instead.
        The name is torchvision's.
    """
    op, done = "stochastic_depth", idle("stochastic_depth", input, p, training)
    require(mode in ("batch", "row"), op, f"mode is {mode!r}; expected 'batch' or 'row'")
    if done:
        return input
    require(input.ndim > 0, op, "the input has no axes; expected (N, ...)")
    samples = input.shape[0] if mode == "row" else 1
    kept = kept_words(input.data, p, (samples, *[1] * (input.ndim - 1)))
    return dropped(op, input, kept, inverse(p), False)


def _require_channels(op: str, input: Tensor) -> None:
    require(input.ndim >= 2, op, f"the input has shape {input.shape}; expected (N, C, ...)")


def _kept_channels(input: Tensor, p: float, axes: int) -> Any:
    """Which channels stay, of the first `axes` axes, in a shape that broadcasts."""
    return kept_words(input.data, p, input.shape[:axes] + (1,) * (input.ndim - axes))


def _saturated(op: str, input: Tensor, kept: Any, p: float, inplace: bool) -> Tensor:
    if p == 1:
        return dropped(op, input, kept, 0.0, inplace)
    number, a = input.dtype.type, ((1 - p) * (1 + SATURATION**2 * p)) ** -0.5
    shift = kept * number(SATURATION * a) - number(SATURATION * a * (1 - p))  # a · (−SATURATION where dropped) + b
    return dropped(op, input, kept, a, inplace, shift)
