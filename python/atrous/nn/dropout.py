"""Dropouts; the formulas are in ``atrous.ops.random`` and ``atrous.ops.dropouts``."""

from __future__ import annotations

from ..checks import require
from ..tensor import Tensor
from . import functional as F
from .module import Module
from .sizes import check_sizes


class _Dropout(Module):
    def __init__(self, p: float = 0.5, inplace: bool = False) -> None:
        super().__init__()
        require(0 <= p <= 1, type(self).__name__, f"p is {p}; expected a probability from 0 to 1")
        self.p, self.inplace = p, inplace

    def extra_repr(self) -> str:
        """The probability."""
        return f"p={self.p}, inplace={self.inplace}"


class Dropout(_Dropout):
    """Zeroes each element with probability p and scales the rest by 1/(1−p) in training; passes on in evaluation.

    p is the probability to be dropped, as in PyTorch; where a text speaks of the probability p to be kept, give 1 − p.
    This is the "inverted" form. In the paper's, training scales nothing and, for inference, the weights of the layer
    that follows are multiplied by the probability of keeping: ``next.weight *= 1 - p``. The outputs have the same mean:
    over all masks m, the mean of ``W (m ∘ x)`` is ``(1 − p) · W x``. With `inplace` the input itself is changed.

    Raises:
        ValueError: p is outside [0, 1].
    Example:
        >>> nn.Dropout(0.5).eval()(at.ones(3)).tolist()
        [1.0, 1.0, 1.0]

    Source:
        Srivastava et al., Dropout: a simple way to prevent neural networks from overfitting, 2014.
    """

    def forward(self, input: Tensor) -> Tensor:
        """Any shape to the same shape."""
        return F.dropout(input, self.p, self.training, self.inplace)


class Dropout1d(_Dropout):
    """Zeroes each channel of (N, C, L) or (C, L) with probability p and scales the rest by 1/(1−p) in training."""

    def forward(self, input: Tensor) -> Tensor:
        """(N, C, L) or (C, L) to the same shape."""
        return F.dropout1d(input, self.p, self.training, self.inplace)


class Dropout2d(_Dropout):
    """Zeroes each channel of each image with probability p and scales the rest by 1/(1−p) in training.

    Example:
        >>> nn.Dropout2d(0.5).eval()(at.ones(1, 2, 1, 1)).flatten().tolist()
        [1.0, 1.0]

    Source:
        Tompson et al., Efficient object localization using convolutional networks, 2015 (arXiv 1411.4280).
    """

    def forward(self, input: Tensor) -> Tensor:
        """(N, C, H, W) to the same shape."""
        return F.dropout2d(input, self.p, self.training, self.inplace)


class AlphaDropout(_Dropout):
    """Dropout that keeps mean 0 and variance 1, for networks of `SELU`: what is dropped gets selu's lowest value.

    Example:
        >>> nn.AlphaDropout(0.2).eval()(at.ones(3)).tolist()
        [1.0, 1.0, 1.0]

    Source:
        Klambauer et al., Self-normalizing neural networks, 2017 (arXiv 1706.02515).
    """

    def forward(self, input: Tensor) -> Tensor:
        """Any shape to the same shape."""
        return F.alpha_dropout(input, self.p, self.training, self.inplace)


class FeatureAlphaDropout(_Dropout):
    """`AlphaDropout` of whole channels of (N, C, ...)."""

    def forward(self, input: Tensor) -> Tensor:
        """(N, C, ...) to the same shape."""
        return F.feature_alpha_dropout(input, self.p, self.training, self.inplace)


class PatchDropout(_Dropout):
    """Zeroes each square of a grid over the images with probability p in training; for the input of a network.

    All channels of a square go at once. Nothing is scaled, so images should have mean 0.

    Args:
        patch_size: height and width of a square.
        p: probability to be dropped.
        inplace: whether to change the input itself.
    Raises:
        ValueError: p is outside [0, 1], or patch_size below 1.
    Example:
        >>> nn.PatchDropout(8)(at.ones(4, 3, 32, 32)).shape
        (4, 3, 32, 32)

    Source:
        Singh and Lee, Hide-and-seek, 2017 (arXiv 1704.04232).
    """

    def __init__(self, patch_size: int, p: float = 0.5, inplace: bool = False) -> None:
        super().__init__(p, inplace)
        check_sizes("PatchDropout", patch_size=patch_size)
        self.patch_size = patch_size

    def forward(self, input: Tensor) -> Tensor:
        """(N, C, H, W) or (C, H, W) to the same shape."""
        return F.patch_dropout(input, self.patch_size, self.p, self.training, self.inplace)

    def extra_repr(self) -> str:
        """Size and probability."""
        return f"{self.patch_size}, {super().extra_repr()}"


class StochasticDepth(Module):
    """Zeroes the branch of a residual block with probability p and scales it by 1/(1−p) otherwise, in training.

    Args:
        p: probability to be dropped; the paper lets it grow from the first block to the last.
        mode: "row" for each sample by itself, "batch" for all together.
    Raises:
        ValueError: p is outside [0, 1], or another mode.
    Example:
        >>> x = at.ones(4, 8)
        >>> (x + nn.StochasticDepth(1.0, "row")(x)).mean().item()
        1.0

    Source:
        Huang et al., Deep networks with stochastic depth, 2016 (arXiv 1603.09382); the name is torchvision's.
    """

    def __init__(self, p: float, mode: str) -> None:
        super().__init__()
        require(0 <= p <= 1, "StochasticDepth", f"p is {p}; expected a probability from 0 to 1")
        require(mode in ("batch", "row"), "StochasticDepth", f"mode is {mode!r}; expected 'batch' or 'row'")
        self.p, self.mode = p, mode

    def forward(self, input: Tensor) -> Tensor:
        """(N, ...) to the same shape."""
        return F.stochastic_depth(input, self.p, self.mode, self.training)

    def extra_repr(self) -> str:
        """Probability and mode."""
        return f"p={self.p}, mode={self.mode}"
