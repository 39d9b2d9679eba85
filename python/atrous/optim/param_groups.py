"""Parameter groups for an optimizer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..checks import require
from ..nn.batchnorm import _BatchNorm
from .optimizer import check_range

if TYPE_CHECKING:
    from ..nn import Module, Parameter

__all__ = ["batch_norm_groups", "no_decay_groups"]


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


def batch_norm_groups(
    model: Module, lr: float, weight_decay: float = 0.0, reduction: float = 100.0
) -> list[dict[str, Any]]:
    """Three parameter groups: the two of `no_decay_groups`, and the scales of batch norm, which learn more slowly.

    For `nn.utils.batch_norm_init_`: the scales learn at ``lr / reduction`` and without decay, all else at `lr`.

    Args:
        model: what is to be trained; groups of nothing are left out.
        lr: the learning rate.
        weight_decay: of the weights.
        reduction: by what the rate of the scales is divided.
    Raises:
        TypeError, ValueError: as `no_decay_groups`, or a reduction not above 0.
    Example:
        >>> model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8))
        >>> optimizer = optim.SGD(optim.batch_norm_groups(model, lr=0.1, weight_decay=1e-4), lr=0.1)
        >>> [(len(g["params"]), g["lr"], g["weight_decay"]) for g in optimizer.param_groups]
        [(1, 0.1, 0.0001), (2, 0.1, 0.0), (1, 0.001, 0.0)]

    Source:
        Davis and Frank, Revisiting batch norm initialization, 2022 (arXiv 2110.13989).
    """
    require(reduction > 0, "batch_norm_groups", f"reduction is {reduction}; expected more than 0")
    weights, others = no_decay_groups(model, weight_decay)
    found = {id(module.weight) for module in model.modules() if isinstance(module, _BatchNorm)}
    scales = [param for param in others["params"] if id(param) in found]
    others["params"] = [param for param in others["params"] if id(param) not in found]
    slow = {"params": scales, "weight_decay": 0.0, "lr": lr / reduction}
    return [group for group in ({**weights, "lr": lr}, {**others, "lr": lr}, slow) if group["params"]]
