"""Rows of a table by their numbers."""

from __future__ import annotations

from typing import Any

from ..autograd import Backward, check_inplace, increment_version, no_grad, record
from ..backend import array_module
from ..checks import floats_of_one_dtype, require
from ..dtypes import int32, int64, widened
from ..tensor import Tensor
from .indexing import _added_at

__all__ = ["embedding"]


def embedding(
    input: Tensor,
    weight: Tensor,
    padding_idx: int | None = None,
    max_norm: float | None = None,
    norm_type: float = 2.0,
    scale_grad_by_freq: bool = False,
    sparse: bool = False,
) -> Tensor:
    """The rows of a table that the input names: ``y[..., :] = weight[input[...], :]``.

    A row that is named several times gets the sum of its gradients, added in their order: the same bits in every run.

    Args:
        input: int32 or int64, any shape.
        weight: shape (V, D).
        padding_idx: a row that gets no gradient; negative numbers count from the end.
        max_norm: rows that are used and have a larger norm are scaled to it, in `weight` itself.
        norm_type: the p of that norm, above 0.
        scale_grad_by_freq: divides a row's gradient by how often the input names it.
        sparse: not supported, as there are no sparse gradients.
    Returns:
        Tensor of shape (..., D).
    Raises:
        IndexError: a number below 0 or not below V. TypeError: the input has another dtype.
        ValueError: a weight of another shape, padding_idx out of range, or sparse.
    Example:
        >>> embedding(at.tensor([2, 0]), at.tensor([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])).tolist()
        [[5.0, 6.0], [1.0, 2.0]]

    Source:
        Bengio et al., A neural probabilistic language model, 2003.
    """
    op = "embedding"
    for name, tensor in (("input", input), ("weight", weight)):
        if not isinstance(tensor, Tensor):
            raise TypeError(f"{op}: {name} is a {type(tensor).__name__}; expected a Tensor")
    if input.dtype not in (int32, int64):
        raise TypeError(f"{op}: input has dtype {input.dtype}; expected int32 or int64")
    require(weight.ndim == 2, op, f"weight has shape {weight.shape}; expected (V, D)")
    require(not sparse, op, "sparse is True; expected False, as there are no sparse gradients")
    index, V = input.data, weight.shape[0]
    if padding_idx is not None:
        padding_idx = row(op, padding_idx, V)
    if index.size and not (index.min() >= 0 and index.max() < V):
        raise IndexError(f"{op}: input has numbers from {index.min()} to {index.max()}; expected 0 to {V - 1}")
    if max_norm is not None:
        _shorten(weight, index, max_norm, norm_type)
    attributes = {"V": V, "padding_idx": padding_idx, "by_frequency": scale_grad_by_freq}
    return record(weight.data[index], EmbeddingBackward, (weight,), saved=(input,), **attributes)


class EmbeddingBackward(Backward):
    """Gradient of embedding: for each row, the sum of ``grad_y`` where it was named, or the mean; 0 for padding."""

    V: int
    padding_idx: int | None
    by_frequency: bool

    def __call__(self, grad_y):
        (index,) = self.saved
        xp, grad_y = array_module(grad_y), widened(grad_y)
        if self.by_frequency:
            counts = xp.bincount(index.reshape(-1), minlength=self.V).astype(grad_y.dtype)
            grad_y = grad_y / counts[index][..., None]
        grad_weight = _added_at(xp.zeros((self.V, grad_y.shape[-1]), grad_y.dtype), index, grad_y)
        if self.padding_idx is not None:
            grad_weight[self.padding_idx] = 0
        return grad_weight


def row(op: str, padding_idx: int, V: int) -> int:
    """padding_idx, counted from the start."""
    require(-V <= padding_idx < V, op, f"padding_idx is {padding_idx}; expected one of {V} rows")
    return padding_idx % V


def _shorten(weight: Tensor, index: Any, max_norm: float, norm_type: float) -> None:
    """Scales rows in place; one that the index names twice is written twice, with the same numbers."""
    floats_of_one_dtype("embedding", ("weight",), weight)
    with no_grad():
        check_inplace(weight, "embedding")
        rows = Tensor(weight.data[index])
        norms = rows.norm(norm_type, -1, keepdim=True).data
        xp, number = array_module(index), weight.dtype.type
        scale = xp.where(norms > max_norm, number(max_norm) / (norms + number(1e-7)), number(1))  # 1e-7 as in PyTorch
        weight.data[index] = rows.data * scale
        increment_version(weight)
