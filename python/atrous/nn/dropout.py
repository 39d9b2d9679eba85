"""Dropout."""

from __future__ import annotations

from ..checks import require
from ..tensor import Tensor
from . import functional as F
from .module import Module


class Dropout(Module):
    """Zeroes each element with probability p and scales the rest by 1/(1−p) in training; passes on in evaluation.

    Srivastava et al. 2014, in the "inverted" form. With `inplace` the input itself is changed.

    Raises:
        ValueError: p is outside [0, 1].
    Example:
        >>> nn.Dropout(0.5).eval()(at.ones(3)).tolist()
        [1.0, 1.0, 1.0]
    """

    def __init__(self, p: float = 0.5, inplace: bool = False) -> None:
        super().__init__()
        require(0 <= p <= 1, "Dropout", f"p is {p}; expected a probability from 0 to 1")
        self.p, self.inplace = p, inplace

    def forward(self, input: Tensor) -> Tensor:
        """Any shape to the same shape."""
        return F.dropout(input, self.p, self.training, self.inplace)

    def extra_repr(self) -> str:
        """The probability."""
        return f"p={self.p}, inplace={self.inplace}"
