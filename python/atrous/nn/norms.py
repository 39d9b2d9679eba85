"""Normalisation by a sample's own statistics; the formulas are in ``atrous.ops.norms``."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

from ..checks import require
from ..ops import ones, zeros
from ..tensor import Tensor
from . import functional as F
from . import init
from .batchnorm import _RunningNorm
from .module import Module
from .parameter import Parameter
from .sizes import check_sizes


class LayerNorm(Module):
    """Brings the last axes of each sample to mean 0 and variance 1, then scales and shifts each element.

    Args:
        normalized_shape: the sizes of those axes; an int for one.
        eps: added to the variance.
        elementwise_affine: whether to learn `weight` and, with `bias`, `bias`, both of that shape.
    Example:
        >>> nn.LayerNorm(3)(at.randn(8, 3)).shape
        (8, 3)

    Source:
        Ba, Kiros and Hinton, Layer normalization, 2016 (arXiv 1607.06450).
    """

    weight: Parameter | None
    bias: Parameter | None

    def __init__(
        self,
        normalized_shape: int | Sequence[int],
        eps: float = 1e-5,
        elementwise_affine: bool = True,
        bias: bool = True,
    ) -> None:
        super().__init__()
        self.normalized_shape, self.eps = _shape("LayerNorm", normalized_shape), eps
        self.elementwise_affine = elementwise_affine
        self.weight = Parameter(ones(*self.normalized_shape)) if elementwise_affine else None
        self.bias = Parameter(zeros(*self.normalized_shape)) if elementwise_affine and bias else None

    def reset_parameters(self) -> None:
        """Sets the scale to 1 and the shift to 0."""
        _reset(self.weight, self.bias)

    def forward(self, input: Tensor) -> Tensor:
        """(..., *normalized_shape) to the same shape."""
        return F.layer_norm(input, self.normalized_shape, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        """Size and settings."""
        learned = f"elementwise_affine={self.elementwise_affine}, bias={self.bias is not None}"
        return f"{self.normalized_shape}, eps={self.eps}, {learned}"


class RMSNorm(Module):
    """``x / sqrt(mean(x²) + eps) · weight`` over the last axes.

    Args:
        normalized_shape: the sizes of those axes; an int for one.
        eps: None for the dtype's.
        elementwise_affine: whether to learn `weight`, of that shape.
    Example:
        >>> nn.RMSNorm(3)(at.randn(8, 3)).shape
        (8, 3)

    Source:
        Zhang and Sennrich, Root mean square layer normalization, 2019 (arXiv 1910.07467).
    """

    weight: Parameter | None

    def __init__(
        self, normalized_shape: int | Sequence[int], eps: float | None = None, elementwise_affine: bool = True
    ) -> None:
        super().__init__()
        self.normalized_shape, self.eps = _shape("RMSNorm", normalized_shape), eps
        self.elementwise_affine = elementwise_affine
        self.weight = Parameter(ones(*self.normalized_shape)) if elementwise_affine else None

    def reset_parameters(self) -> None:
        """Sets the scale to 1."""
        _reset(self.weight, None)

    def forward(self, x: Tensor) -> Tensor:
        """(..., *normalized_shape) to the same shape."""
        return F.rms_norm(x, self.normalized_shape, self.weight, self.eps)

    def extra_repr(self) -> str:
        """Size and settings."""
        return f"{self.normalized_shape}, eps={self.eps}, elementwise_affine={self.elementwise_affine}"


class GroupNorm(Module):
    """Brings each group of a sample's channels to mean 0 and variance 1, then scales and shifts each channel.

    Args:
        num_groups: a divisor of num_channels.
        num_channels: C, of inputs (N, C, ...).
        eps: added to the variance.
        affine: whether to learn `weight` and, with `bias`, `bias`, both of shape (C,).
    Example:
        >>> nn.GroupNorm(2, 6)(at.randn(8, 6, 4, 4)).shape
        (8, 6, 4, 4)

    Source:
        Wu and He, Group normalization, 2018 (arXiv 1803.08494).
    """

    weight: Parameter | None
    bias: Parameter | None

    def __init__(
        self, num_groups: int, num_channels: int, eps: float = 1e-5, affine: bool = True, *, bias: bool = True
    ) -> None:
        super().__init__()
        check_sizes("GroupNorm", num_groups=num_groups, num_channels=num_channels)
        divides = num_channels % num_groups == 0
        require(divides, "GroupNorm", f"num_channels {num_channels} cannot be divided into {num_groups} groups")
        self.num_groups, self.num_channels, self.eps, self.affine = num_groups, num_channels, eps, affine
        self.weight = Parameter(ones(num_channels)) if affine else None
        self.bias = Parameter(zeros(num_channels)) if affine and bias else None

    def reset_parameters(self) -> None:
        """Sets the scale to 1 and the shift to 0."""
        _reset(self.weight, self.bias)

    def forward(self, input: Tensor) -> Tensor:
        """(N, C, ...) to the same shape."""
        return F.group_norm(input, self.num_groups, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        """Size and settings."""
        learned = f"affine={self.affine}, bias={self.bias is not None}"
        return f"{self.num_groups}, {self.num_channels}, eps={self.eps}, {learned}"


class _InstanceNorm(_RunningNorm):
    _axes: int  # of a batch

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float = 0.1,
        affine: bool = False,
        track_running_stats: bool = False,
        *,
        bias: bool = True,
    ) -> None:
        super().__init__(num_features, eps, momentum, affine, track_running_stats, bias=bias)

    def forward(self, input: Tensor) -> Tensor:
        """(N, C, ...), or (C, ...) without a batch, to the same shape."""
        op, C, shape = type(self).__name__, self.num_features, input.shape
        batched = len(shape) == self._axes
        rest = "L" if self._axes == 3 else "H, W"
        expected = f"the input has shape {shape}; expected (N, {C}, {rest}) or ({C}, {rest})"
        require(batched or len(shape) == self._axes - 1, op, expected)
        if shape[1 if batched else 0] != C:
            require(self.weight is None and self.bias is None and self.running_mean is None, op, expected)
            warnings.warn(f"{op}: {expected}; without parameters, other channels work, too", stacklevel=2)
        y = F.instance_norm(
            input if batched else input.unsqueeze(0),
            self.running_mean,
            self.running_var,
            self.weight,
            self.bias,
            self.training or not self.track_running_stats,
            self.momentum or 0.0,
            self.eps,
        )
        return y if batched else y.squeeze(0)


class InstanceNorm1d(_InstanceNorm):
    """Instance normalisation of (N, C, L) or (C, L), as `InstanceNorm2d`."""

    _axes = 3


class InstanceNorm2d(_InstanceNorm):
    """Brings each channel of each sample to mean 0 and variance 1, over (N, C, H, W) or (C, H, W).

    Evaluation does the same, unless the statistics are tracked: then it normalises by the running ones.

    Args:
        num_features: C.
        eps: added to the variance.
        momentum: the share of the new batch in the running statistics.
        affine: whether to learn `weight` and, with `bias`, `bias`, both of shape (C,).
        track_running_stats: whether to keep running statistics.
    Example:
        >>> nn.InstanceNorm2d(3)(at.randn(8, 3, 4, 4)).shape
        (8, 3, 4, 4)

    Source:
        Ulyanov, Vedaldi and Lempitsky, Instance normalization, 2016 (arXiv 1607.08022).
    """

    _axes = 4


class LocalResponseNorm(Module):
    """``y = x / (k + alpha · mean(x²))^beta``, the mean over the `size` nearest channels.

    Example:
        >>> nn.LocalResponseNorm(5)(at.randn(8, 16, 4, 4)).shape
        (8, 16, 4, 4)

    Source:
        Krizhevsky, Sutskever and Hinton, ImageNet classification with deep convolutional neural networks, 2012, with
        the sum in place of the mean: its AlexNet is ``LocalResponseNorm(5, alpha=5e-4, beta=0.75, k=2)``.
    """

    def __init__(self, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0) -> None:
        super().__init__()
        self.size, self.alpha, self.beta, self.k = size, alpha, beta, k

    def forward(self, input: Tensor) -> Tensor:
        """(N, C, ...) to the same shape."""
        return F.local_response_norm(input, self.size, self.alpha, self.beta, self.k)

    def extra_repr(self) -> str:
        """Size and settings."""
        return f"{self.size}, alpha={self.alpha}, beta={self.beta}, k={self.k}"


def _shape(op: str, normalized_shape: int | Sequence[int]) -> tuple[int, ...]:
    shape = tuple(normalized_shape) if isinstance(normalized_shape, (tuple, list)) else (normalized_shape,)
    require(shape, op, "normalized_shape is empty; expected one axis or more")
    for size in shape:
        check_sizes(op, normalized_shape=size)
    return shape


def _reset(weight: Parameter | None, bias: Parameter | None) -> None:
    if weight is not None:
        init.ones_(weight)
    if bias is not None:
        init.zeros_(bias)
