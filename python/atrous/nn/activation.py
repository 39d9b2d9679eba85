"""Activation layers."""

from __future__ import annotations

from ..tensor import Tensor
from . import functional as F
from .module import Module


class ReLU(Module):
    """``max(x, 0)``; NaN stays NaN. With `inplace` the input itself is changed and returned.

    Example:
        >>> nn.ReLU()(at.tensor([-1.0, 2.0])).tolist()
        [0.0, 2.0]
    """

    def __init__(self, inplace: bool = False) -> None:
        super().__init__()
        self.inplace = inplace

    def forward(self, input: Tensor) -> Tensor:
        """Any shape to the same shape."""
        return F.relu(input, self.inplace)

    def extra_repr(self) -> str:
        """Whether it works in place."""
        return "inplace=True" if self.inplace else ""


class LeakyReLU(Module):
    """``x`` where positive, ``negative_slope · x`` elsewhere. With `inplace` the input itself is changed."""

    def __init__(self, negative_slope: float = 0.01, inplace: bool = False) -> None:
        super().__init__()
        self.negative_slope, self.inplace = negative_slope, inplace

    def forward(self, input: Tensor) -> Tensor:
        """Any shape to the same shape."""
        return F.leaky_relu(input, self.negative_slope, self.inplace)

    def extra_repr(self) -> str:
        """The slope, and whether it works in place."""
        return f"negative_slope={self.negative_slope}" + (", inplace=True" if self.inplace else "")


class Sigmoid(Module):
    """``1 / (1 + exp(−x))``."""

    def forward(self, input: Tensor) -> Tensor:
        """Any shape to the same shape."""
        return F.sigmoid(input)


class Tanh(Module):
    """The hyperbolic tangent."""

    def forward(self, input: Tensor) -> Tensor:
        """Any shape to the same shape."""
        return F.tanh(input)


class _AlongDim(Module):
    def __init__(self, dim: int) -> None:
        super().__init__()
        if not isinstance(dim, int):
            raise TypeError(f"{type(self).__name__}: dim is {dim!r}; expected an int")
        self.dim = dim

    def extra_repr(self) -> str:
        """The axis."""
        return f"dim={self.dim}"


class Softmax(_AlongDim):
    """``exp(x) / Σ exp(x)`` along `dim`, which must be given (PyTorch guesses it, with a warning).

    Example:
        >>> nn.Softmax(dim=1)(at.zeros(1, 4)).tolist()
        [[0.25, 0.25, 0.25, 0.25]]
    """

    def forward(self, input: Tensor) -> Tensor:
        """Any shape to the same shape."""
        return F.softmax(input, self.dim)


class LogSoftmax(_AlongDim):
    """``x − log Σ exp(x)`` along `dim`, which must be given (PyTorch guesses it, with a warning)."""

    def forward(self, input: Tensor) -> Tensor:
        """Any shape to the same shape."""
        return F.log_softmax(input, self.dim)
