"""A training step on made-up data, to be measured."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..nn import Module
from ..nn.functional import cross_entropy
from ..ops import zeros
from ..tensor import Tensor

Loss = Callable[[Any, Tensor], Tensor]

__all__ = ["Loss", "loss_of"]


def loss_of(model: Module, output: Any, loss_fn: Loss | None) -> Tensor:
    """The loss of what a model returned, as if all were of class 0: labels (N,), or (N, H, W) for maps (N, C, H, W).

    Args:
        model: named in the message.
        output: what it returned.
        loss_fn: a function of output and labels; None for the cross-entropy.
    Raises:
        TypeError: there is no loss_fn, and the output is no tensor of logits.
    Example:
        >>> round(loss_of(nn.ReLU(), at.zeros(2, 10), None).item(), 4)
        2.3026
    """
    if isinstance(output, Tensor) and output.ndim >= 2:
        labels = zeros(output.shape[0], *output.shape[2:], dtype="int64")
    elif loss_fn is None:
        found = f"shape {output.shape}" if isinstance(output, Tensor) else f"a {type(output).__name__}"
        raise TypeError(f"{type(model).__name__} returned {found}; expected logits (N, C, ...), or a loss_fn")
    else:
        labels = zeros(0, dtype="int64")
    return (loss_fn or cross_entropy)(output, labels)
