"""A form that is linear in each of two inputs."""

from __future__ import annotations

from ..autocast import in_float32
from ..checks import floats_of_one_dtype, require
from ..tensor import Tensor
from .linear import linear

__all__ = ["bilinear"]


@in_float32
def bilinear(input1: Tensor, input2: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """``y[..., o] = Σ_ij input1[..., i] · weight[o, i, j] · input2[..., j] + bias[o]``.

    Args:
        input1: shape (..., IN1).
        input2: shape (..., IN2), with the same leading axes.
        weight: shape (OUT, IN1, IN2).
        bias: shape (OUT,), or None.
    Returns:
        Tensor of shape (..., OUT).
    Raises:
        ValueError: the shapes disagree. TypeError: other dtypes than float32 and float64, of which all must be one.
    Example:
        >>> bilinear(at.tensor([1.0, 2.0]), at.tensor([3.0]), at.tensor([[[1.0], [10.0]]])).tolist()
        [63.0]

    Source:
        Tenenbaum and Freeman, Separating style and content with bilinear models, 2000.
    """
    op = "bilinear"
    floats_of_one_dtype(op, ("input1", "input2", "weight", "bias?"), input1, input2, weight, bias)
    require(weight.ndim == 3, op, f"weight has shape {weight.shape}; expected (OUT, IN1, IN2)")
    OUT, IN1, IN2 = weight.shape
    for name, x, size in (("input1", input1, IN1), ("input2", input2, IN2)):
        require(x.shape[-1:] == (size,), op, f"{name} has shape {x.shape}; expected (..., {size})")
    same = input1.shape[:-1] == input2.shape[:-1]
    require(same, op, f"input1 has shape {input1.shape} and input2 {input2.shape}; expected the same leading axes")
    if bias is not None:
        require(bias.shape == (OUT,), op, f"bias has shape {bias.shape}; expected ({OUT},) from weight {weight.shape}")
    rows = weight.transpose(1, 2).reshape(OUT * IN2, IN1)
    forms = linear(input1, rows).unflatten(-1, (OUT, IN2))  # (..., OUT, IN2), linear in input2
    y = (forms * input2.unsqueeze(-2)).sum(-1)
    return y if bias is None else y + bias
