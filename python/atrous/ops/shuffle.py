"""Channels that become pixels, pixels that become channels, and channels among groups: reshapes, without arithmetic."""

from __future__ import annotations

from ..checks import require
from ..tensor import Tensor

__all__ = ["channel_shuffle", "pixel_shuffle", "pixel_unshuffle"]


def pixel_shuffle(input: Tensor, upscale_factor: int) -> Tensor:
    """Makes r × r pixels of r² channels: ``y[c, h·r + i, w·r + j] = x[c·r² + i·r + j, h, w]``.

    Args:
        input: (..., C·r², H, W).
        upscale_factor: r.
    Returns:
        Tensor (..., C, H·r, W·r).
    Raises:
        ValueError: fewer than 3 axes, or a number of channels that r² does not divide.
    Example:
        >>> pixel_shuffle(at.arange(4.0).reshape(4, 1, 1), 2).tolist()
        [[[0.0, 1.0], [2.0, 3.0]]]

    Source:
        Shi et al., Real-time single image and video super-resolution, 2016 (arXiv 1609.05158).
    """
    op, r = "pixel_shuffle", upscale_factor
    batch, (C, H, W) = _image(op, input, "upscale_factor", r)
    require(C % (r * r) == 0, op, f"the input has {C} channels; expected a multiple of {r * r}, upscale_factor squared")
    x = input.reshape(-1, C // (r * r), r, r, H, W).permute(0, 1, 4, 2, 5, 3)
    return x.reshape(*batch, C // (r * r), H * r, W * r)


def pixel_unshuffle(input: Tensor, downscale_factor: int) -> Tensor:
    """Makes r² channels of r × r pixels; undoes `pixel_shuffle`.

    Args:
        input: (..., C, H·r, W·r).
        downscale_factor: r.
    Returns:
        Tensor (..., C·r², H, W).
    Raises:
        ValueError: fewer than 3 axes, or a height or width that r does not divide.
    Example:
        >>> pixel_unshuffle(at.arange(4.0).reshape(1, 2, 2), 2).tolist()
        [[[0.0]], [[1.0]], [[2.0]], [[3.0]]]
    """
    op, r = "pixel_unshuffle", downscale_factor
    batch, (C, H, W) = _image(op, input, "downscale_factor", r)
    require(H % r == 0 and W % r == 0, op, f"the input has {H} x {W} pixels; expected multiples of {r}")
    x = input.reshape(-1, C, H // r, r, W // r, r).permute(0, 1, 3, 5, 2, 4)
    return x.reshape(*batch, C * r * r, H // r, W // r)


def channel_shuffle(input: Tensor, groups: int) -> Tensor:
    """Takes the channels of the groups in turns: channel ``j·groups + g`` is channel j of group g.

    Args:
        input: (N, C, ...), with 3 axes at least.
        groups: how many; divides C.
    Returns:
        Tensor of the input's shape.
    Raises:
        ValueError: fewer than 3 axes, or groups does not divide C.
    Example:
        >>> channel_shuffle(at.arange(4.0).reshape(1, 4, 1), 2).flatten().tolist()
        [0.0, 2.0, 1.0, 3.0]

    Source:
        Zhang et al., ShuffleNet, 2018 (arXiv 1707.01083).
    """
    op = "channel_shuffle"
    require(input.ndim > 2, op, f"the input has shape {input.shape}; expected (N, C, ...) with 3 axes at least")
    N, C, *rest = input.shape
    require(groups >= 1 and C % groups == 0, op, f"groups is {groups}; expected a divisor of the {C} channels")
    return input.reshape(N, groups, C // groups, *rest).transpose(1, 2).reshape(N, C, *rest)


def _image(op: str, input: Tensor, name: str, factor: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    require(input.ndim >= 3, op, f"the input has shape {input.shape}; expected (..., C, H, W)")
    require(factor >= 1, op, f"{name} is {factor}; expected 1 or more")
    return input.shape[:-3], input.shape[-3:]
