"""Activation layers without a kernel of their own; the formulas are in ``atrous.ops.pointwise``."""

from __future__ import annotations

from typing import Any

from ..checks import require
from ..ops.creation import full
from ..tensor import Tensor
from . import functional as F
from .activation import _AlongDim
from .linear import Linear
from .module import Module
from .parameter import Parameter


class CELU(Module):
    """x where it is positive, else ``alpha · (exp(x / alpha) − 1)``."""

    def __init__(self, alpha: float = 1.0, inplace: bool = False) -> None:
        super().__init__()
        self.alpha, self.inplace = alpha, inplace

    def forward(self, input: Tensor) -> Tensor:
        """Any shape to the same shape."""
        return F.celu(input, self.alpha, self.inplace)

    def extra_repr(self) -> str:
        """Its settings."""
        return f"alpha={self.alpha!r}" + (", inplace=True" if self.inplace else "")


class ELU(Module):
    """x where it is positive, else ``alpha · (exp(x) − 1)``."""

    def __init__(self, alpha: float = 1.0, inplace: bool = False) -> None:
        super().__init__()
        self.alpha, self.inplace = alpha, inplace

    def forward(self, input: Tensor) -> Tensor:
        """Any shape to the same shape."""
        return F.elu(input, self.alpha, self.inplace)

    def extra_repr(self) -> str:
        """Its settings."""
        return f"alpha={self.alpha!r}" + (", inplace=True" if self.inplace else "")


class GELU(Module):
    """``x · Φ(x)``, Φ the normal distribution, or its approximation by a "tanh"."""

    def __init__(self, approximate: str = "none") -> None:
        super().__init__()
        self.approximate = approximate

    def forward(self, input: Tensor) -> Tensor:
        """Any shape to the same shape."""
        return F.gelu(input, self.approximate)

    def extra_repr(self) -> str:
        """Its settings."""
        return f"approximate={self.approximate!r}"


class GLU(Module):
    """``a · sigmoid(b)`` of the two halves of an axis."""

    def __init__(self, dim: int = -1) -> None:
        super().__init__()
        self.dim = dim

    def forward(self, input: Tensor) -> Tensor:
        """Half of the input's size along that axis."""
        return F.glu(input, self.dim)

    def extra_repr(self) -> str:
        """The axis."""
        return f"dim={self.dim}"


class Hardshrink(Module):
    """x, and 0 where it is within lambd of 0."""

    def __init__(self, lambd: float = 0.5) -> None:
        super().__init__()
        self.lambd = lambd

    def forward(self, input: Tensor) -> Tensor:
        """Any shape to the same shape."""
        return F.hardshrink(input, self.lambd)

    def extra_repr(self) -> str:
        """Its settings."""
        return f"lambd={self.lambd!r}"


class Hardsigmoid(Module):
    """``min(max(x + 3, 0), 6) / 6``."""

    def __init__(self, inplace: bool = False) -> None:
        super().__init__()
        self.inplace = inplace

    def forward(self, input: Tensor) -> Tensor:
        """Any shape to the same shape."""
        return F.hardsigmoid(input, self.inplace)

    def extra_repr(self) -> str:
        """Its settings."""
        return "inplace=True" if self.inplace else ""


class Hardswish(Module):
    """``x · hardsigmoid(x)``."""

    def __init__(self, inplace: bool = False) -> None:
        super().__init__()
        self.inplace = inplace

    def forward(self, input: Tensor) -> Tensor:
        """Any shape to the same shape."""
        return F.hardswish(input, self.inplace)

    def extra_repr(self) -> str:
        """Its settings."""
        return "inplace=True" if self.inplace else ""


class Hardtanh(Module):
    """``min(max(x, min_val), max_val)``."""

    def __init__(self, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False) -> None:
        super().__init__()
        self.min_val, self.max_val, self.inplace = min_val, max_val, inplace

    def forward(self, input: Tensor) -> Tensor:
        """Any shape to the same shape."""
        return F.hardtanh(input, self.min_val, self.max_val, self.inplace)

    def extra_repr(self) -> str:
        """Its settings."""
        return f"min_val={self.min_val!r}, max_val={self.max_val!r}" + (", inplace=True" if self.inplace else "")


class LogSigmoid(Module):
    """``log(sigmoid(x))``."""

    def forward(self, input: Tensor) -> Tensor:
        """Any shape to the same shape."""
        return F.logsigmoid(input)


class Maxout(Module):
    """The largest of ``pieces`` linear functions of the input, for each of ``out_features`` units.

    ``y_i = max_j (W_ij · x + b_ij)``: with enough pieces, any convex function. `linear` holds all of the functions, the
    pieces of a unit one after the other.

    Example:
        >>> nn.Maxout(3, 2, pieces=4)(at.ones(5, 3)).shape
        (5, 2)

    Source:
        Goodfellow et al., Maxout networks, 2013 (arXiv 1302.4389).
    """

    def __init__(self, in_features: int, out_features: int, pieces: int = 2, bias: bool = True) -> None:
        super().__init__()
        require(pieces >= 1, "Maxout", f"pieces is {pieces}; expected 1 or more")
        self.out_features, self.pieces = out_features, pieces
        self.linear = Linear(in_features, out_features * pieces, bias)

    def forward(self, input: Tensor) -> Tensor:
        """(..., in_features) to (..., out_features)."""
        return self.linear(input).unflatten(-1, (self.out_features, self.pieces)).max(-1)[0]

    def extra_repr(self) -> str:
        """The pieces."""
        return f"pieces={self.pieces}"


class Mish(Module):
    """``x · tanh(softplus(x))``."""

    def __init__(self, inplace: bool = False) -> None:
        super().__init__()
        self.inplace = inplace

    def forward(self, input: Tensor) -> Tensor:
        """Any shape to the same shape."""
        return F.mish(input, self.inplace)

    def extra_repr(self) -> str:
        """Its settings."""
        return "inplace=True" if self.inplace else ""


class PReLU(Module):
    """x where it is positive, else ``weight · x``, with a learned weight for all or for each channel (axis 1)."""

    def __init__(self, num_parameters: int = 1, init: float = 0.25, device: Any = None, dtype: Any = None) -> None:
        super().__init__()
        self.num_parameters = num_parameters
        self.weight = Parameter(full((num_parameters,), init, dtype, device))

    def forward(self, input: Tensor) -> Tensor:
        """Any shape to the same shape."""
        return F.prelu(input, self.weight)

    def extra_repr(self) -> str:
        """How many weights."""
        return f"num_parameters={self.num_parameters}"


class ReLU6(Module):
    """``min(max(x, 0), 6)``."""

    def __init__(self, inplace: bool = False) -> None:
        super().__init__()
        self.inplace = inplace

    def forward(self, input: Tensor) -> Tensor:
        """Any shape to the same shape."""
        return F.relu6(input, self.inplace)

    def extra_repr(self) -> str:
        """Its settings."""
        return "inplace=True" if self.inplace else ""


class SELU(Module):
    """``1.0507 · elu(x, 1.67326)``."""

    def __init__(self, inplace: bool = False) -> None:
        super().__init__()
        self.inplace = inplace

    def forward(self, input: Tensor) -> Tensor:
        """Any shape to the same shape."""
        return F.selu(input, self.inplace)

    def extra_repr(self) -> str:
        """Its settings."""
        return "inplace=True" if self.inplace else ""


class SiLU(Module):
    """``x · sigmoid(x)``."""

    def __init__(self, inplace: bool = False) -> None:
        super().__init__()
        self.inplace = inplace

    def forward(self, input: Tensor) -> Tensor:
        """Any shape to the same shape."""
        return F.silu(input, self.inplace)

    def extra_repr(self) -> str:
        """Its settings."""
        return "inplace=True" if self.inplace else ""


class Softmax2d(Module):
    """softmax over the channels of images (N, C, H, W) or (C, H, W)."""

    def forward(self, input: Tensor) -> Tensor:
        """Images to images."""
        require(input.ndim in (3, 4), "Softmax2d", f"the input has shape {input.shape}; expected 3 or 4 axes")
        return F.softmax(input, -3)


class Softmin(_AlongDim):
    """``softmax(−x)`` along `dim`, which must be given (PyTorch guesses it, with a warning)."""

    def forward(self, input: Tensor) -> Tensor:
        """Any shape to the same shape."""
        return F.softmin(input, self.dim)


class Softplus(Module):
    """``log(1 + exp(beta · x)) / beta``; x itself where beta · x exceeds the threshold."""

    def __init__(self, beta: float = 1.0, threshold: float = 20.0) -> None:
        super().__init__()
        self.beta, self.threshold = beta, threshold

    def forward(self, input: Tensor) -> Tensor:
        """Any shape to the same shape."""
        return F.softplus(input, self.beta, self.threshold)

    def extra_repr(self) -> str:
        """Its settings."""
        return f"beta={self.beta!r}, threshold={self.threshold!r}"


class Softshrink(Module):
    """x brought nearer to 0 by lambd, and 0 where it is within lambd of it."""

    def __init__(self, lambd: float = 0.5) -> None:
        super().__init__()
        self.lambd = lambd

    def forward(self, input: Tensor) -> Tensor:
        """Any shape to the same shape."""
        return F.softshrink(input, self.lambd)

    def extra_repr(self) -> str:
        """Its settings."""
        return f"lambd={self.lambd!r}"


class Softsign(Module):
    """``x / (1 + |x|)``."""

    def forward(self, input: Tensor) -> Tensor:
        """Any shape to the same shape."""
        return F.softsign(input)


class Tanhshrink(Module):
    """``x − tanh(x)``."""

    def forward(self, input: Tensor) -> Tensor:
        """Any shape to the same shape."""
        return F.tanhshrink(input)


class Threshold(Module):
    """x where it is above the threshold, elsewhere the value."""

    def __init__(self, threshold: float, value: float, inplace: bool = False) -> None:
        super().__init__()
        self.threshold, self.value, self.inplace = threshold, value, inplace

    def forward(self, input: Tensor) -> Tensor:
        """Any shape to the same shape."""
        return F.threshold(input, self.threshold, self.value, self.inplace)

    def extra_repr(self) -> str:
        """Its settings."""
        return f"threshold={self.threshold!r}, value={self.value!r}" + (", inplace=True" if self.inplace else "")


class ThresholdUnit(Module):
    """`high` where x is 0 or more, else `low`: the perceptron's activation, {0, 1} or {−1, 1}; the gradient is 0.

    Example:
        >>> nn.ThresholdUnit(low=-1.0)(at.tensor([-0.5, 2.0])).tolist()
        [-1.0, 1.0]

    Source:
        McCulloch and Pitts, A logical calculus of the ideas immanent in nervous activity, 1943.
    """

    def __init__(self, low: float = 0.0, high: float = 1.0) -> None:
        super().__init__()
        self.low, self.high = low, high

    def forward(self, input: Tensor) -> Tensor:
        """Any shape to the same shape."""
        return F.threshold_unit(input, self.low, self.high)

    def extra_repr(self) -> str:
        """Both values."""
        return f"low={self.low!r}, high={self.high!r}"
