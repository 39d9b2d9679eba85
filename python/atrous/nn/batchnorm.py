"""Batch normalisation layers."""

from __future__ import annotations

from ..checks import require
from ..ops import batch_norm, ones, tensor, zeros
from ..tensor import Tensor
from . import init
from .module import Module
from .parameter import Parameter
from .sizes import check_sizes


class _RunningNorm(Module):
    """What batch and instance normalisation share: a scale, a shift and running statistics for each channel."""

    weight: Parameter | None
    bias: Parameter | None

    def __init__(
        self,
        num_features: int,
        eps: float,
        momentum: float | None,
        affine: bool,
        track_running_stats: bool,
        *,
        bias: bool,
    ) -> None:
        super().__init__()
        op = type(self).__name__
        check_sizes(op, num_features=num_features)
        require(eps >= 0, op, f"eps is {eps}; expected a number >= 0")
        require(momentum is None or 0 <= momentum <= 1, op, f"momentum is {momentum}; expected None or 0 to 1")
        self.num_features, self.eps, self.momentum = num_features, eps, momentum
        self.affine, self.track_running_stats = affine, track_running_stats
        self.weight = Parameter(ones(num_features)) if affine else None
        self.bias = Parameter(zeros(num_features)) if affine and bias else None
        self.register_buffer("running_mean", zeros(num_features) if track_running_stats else None)
        self.register_buffer("running_var", ones(num_features) if track_running_stats else None)
        self.register_buffer("num_batches_tracked", tensor(0) if track_running_stats else None)

    def reset_running_stats(self) -> None:
        """Forgets the statistics: mean 0, variance 1, no batches seen."""
        if self.track_running_stats:
            self.running_mean.zero_()
            self.running_var.fill_(1)
            self.num_batches_tracked.zero_()

    def reset_parameters(self) -> None:
        """Forgets the statistics and sets the scale to 1 and the shift to 0."""
        self.reset_running_stats()
        if self.weight is not None:
            init.ones_(self.weight)
        if self.bias is not None:
            init.zeros_(self.bias)

    def extra_repr(self) -> str:
        """Size and settings."""
        return (
            f"{self.num_features}, eps={self.eps}, momentum={self.momentum}, affine={self.affine}, "
            f"bias={self.bias is not None}, track_running_stats={self.track_running_stats}"
        )


class _BatchNorm(_RunningNorm):
    _ndims: tuple[int, ...]

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        *,
        bias: bool = True,
    ) -> None:
        super().__init__(num_features, eps, momentum, affine, track_running_stats, bias=bias)

    def forward(self, input: Tensor) -> Tensor:
        """The normalised input, of the same shape."""
        shape = input.shape
        if len(shape) not in self._ndims or shape[1] != self.num_features:
            raise ValueError(f"{type(self).__name__}: input has shape {tuple(shape)}; expected {self._expected()}")
        momentum = self.momentum
        batches = self.num_batches_tracked if self.training and self.track_running_stats else None
        if batches is not None and momentum is None:  # every batch counts the same
            momentum = 1.0 / (batches.item() + 1)
        # As in PyTorch, track_running_stats set to False later leaves the statistics alone in training, and evaluation
        # goes on with them as long as they are there.
        held = self.track_running_stats or not self.training
        return batch_norm(
            input,
            self.running_mean if held else None,
            self.running_var if held else None,
            self.weight,
            self.bias,
            training=self.training or (self.running_mean is None and self.running_var is None),
            momentum=momentum or 0.0,
            eps=self.eps,
            num_batches_tracked=batches,
        )

    def _expected(self) -> str:
        C = self.num_features
        return " or ".join({2: f"(N, {C})", 3: f"(N, {C}, L)", 4: f"(N, {C}, H, W)"}[n] for n in self._ndims)


class BatchNorm1d(_BatchNorm):
    """Batch normalisation of (N, C) or (N, C, L), as `BatchNorm2d`."""

    _ndims = (2, 3)


class BatchNorm2d(_BatchNorm):
    """Normalises each channel to mean 0 and variance 1 over the batch, then scales and shifts it.

    ``y = (x − mean) / √(var + eps) · weight + bias`` over (N, C, H, W), with the batch's mean and biased variance in
    training, the running ones in evaluation. The running variance takes the unbiased one. Ioffe & Szegedy 2015.

    Args:
        num_features: C.
        eps: keeps the root away from zero.
        momentum: the share of the new batch in the running statistics; None averages over all batches alike.
        affine: whether to learn `weight` and, with `bias`, `bias`, both of shape (C,).
        track_running_stats: if false, evaluation uses the batch's statistics too.
    Example:
        >>> y = nn.BatchNorm2d(3)(at.randn(8, 3, 4, 4) * 5 + 2)
        >>> abs(y.mean().item()) < 1e-5
        True
    """

    _ndims = (4,)
