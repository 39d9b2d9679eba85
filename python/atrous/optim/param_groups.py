"""Parameter groups for an optimizer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .optimizer import check_range

if TYPE_CHECKING:
    from ..nn import Module, Parameter

__all__ = ["no_decay_groups"]


def no_decay_groups(model: Module, weight_decay: float) -> list[dict[str, Any]]:
    """Two parameter groups: the weights, with weight decay, and what should have none: biases and norm layers.

    Without decay are parameters that are called "bias" or have at most one axis, such as the scales of batch-norm.
    (PyTorch leaves this to its users.)

    Args:
        model: whose parameters to sort; those that are frozen are among them.
        weight_decay: of the first group, 0 or more.
    Raises:
        TypeError, ValueError: weight_decay is no number, or below 0.
    Example:
        >>> model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8))
        >>> groups = optim.no_decay_groups(model, weight_decay=1e-4)
        >>> [(group["weight_decay"], len(group["params"])) for group in groups]
        [(0.0001, 1), (0.0, 3)]
        >>> optimizer = optim.SGD(groups, lr=0.1, momentum=0.9)

    Source:
        He et al., Bag of Tricks for Image Classification, 2019, section 3.1 ("no bias decay").
    """
    check_range("no_decay_groups", weight_decay=weight_decay)
    weights: list[Parameter] = []
    others: list[Parameter] = []
    for name, param in model.named_parameters():
        plain = param.ndim <= 1 or name.rpartition(".")[2] == "bias"
        (others if plain else weights).append(param)
    return [{"params": weights, "weight_decay": weight_decay}, {"params": others, "weight_decay": 0.0}]
