"""The fully connected layer, the bilinear one, and the layer that does nothing."""

from __future__ import annotations

import math
from typing import Any

from ..ops import empty
from ..tensor import Tensor
from . import functional as F
from . import init
from .module import Module
from .parameter import Parameter
from .sizes import check_sizes


class Linear(Module):
    """An affine map of the last axis: ``y = x @ weight.T + bias``.

    Maps (..., IN) to (..., OUT). `weight` has shape (OUT, IN), `bias` (OUT,).

    Args:
        in_features, out_features: IN and OUT.
        bias: whether to add a learned bias.
    Raises:
        ValueError: a size is below 1.
    Example:
        >>> nn.Linear(400, 120)(at.zeros(8, 400)).shape
        (8, 120)
    """

    bias: Parameter | None

    def __init__(self, in_features: int, out_features: int, bias: bool = True) -> None:
        super().__init__()
        check_sizes("Linear", in_features=in_features, out_features=out_features)
        self.in_features, self.out_features = in_features, out_features
        self.weight = Parameter(empty(out_features, in_features))
        self.bias = Parameter(empty(out_features)) if bias else None
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draws new weights: kaiming_uniform_ with a = √5, and a bias uniform on ±1/√IN."""
        init.kaiming_uniform_(self.weight, a=math.sqrt(5))
        if self.bias is not None:
            bound = 1 / math.sqrt(self.in_features)
            init.uniform_(self.bias, -bound, bound)

    def forward(self, input: Tensor) -> Tensor:
        """(..., IN) to (..., OUT)."""
        return F.linear(input, self.weight, self.bias)

    def extra_repr(self) -> str:
        """Sizes."""
        return f"in_features={self.in_features}, out_features={self.out_features}, bias={self.bias is not None}"


class Bilinear(Module):
    """A map of two inputs that is linear in each: ``y[o] = x1ᵀ · weight[o] · x2 + bias[o]``.

    Maps (..., IN1) and (..., IN2) to (..., OUT). `weight` has shape (OUT, IN1, IN2), `bias` (OUT,).

    Args:
        in1_features, in2_features, out_features: IN1, IN2 and OUT.
        bias: whether to add a learned bias.
    Raises:
        ValueError: a size is below 1.
    Example:
        >>> nn.Bilinear(3, 4, 5)(at.ones(8, 3), at.ones(8, 4)).shape
        (8, 5)

    Source:
        Tenenbaum and Freeman, Separating style and content with bilinear models, 2000.
    """

    bias: Parameter | None

    def __init__(self, in1_features: int, in2_features: int, out_features: int, bias: bool = True) -> None:
        super().__init__()
        check_sizes("Bilinear", in1_features=in1_features, in2_features=in2_features, out_features=out_features)
        self.in1_features, self.in2_features, self.out_features = in1_features, in2_features, out_features
        self.weight = Parameter(empty(out_features, in1_features, in2_features))
        self.bias = Parameter(empty(out_features)) if bias else None
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draws new weights and a bias, uniform on ±1/√IN1."""
        bound = 1 / math.sqrt(self.in1_features)
        init.uniform_(self.weight, -bound, bound)
        if self.bias is not None:
            init.uniform_(self.bias, -bound, bound)

    def forward(self, input1: Tensor, input2: Tensor) -> Tensor:
        """(..., IN1) and (..., IN2) to (..., OUT)."""
        return F.bilinear(input1, input2, self.weight, self.bias)

    def extra_repr(self) -> str:
        """Sizes."""
        sizes = f"in1_features={self.in1_features}, in2_features={self.in2_features}"
        return f"{sizes}, out_features={self.out_features}, bias={self.bias is not None}"


class Identity(Module):
    """Returns its input; takes and ignores any constructor arguments, to stand in for another layer."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__()

    def forward(self, input: Tensor) -> Tensor:
        """The input itself."""
        return input
