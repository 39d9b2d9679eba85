"""Batch norm begun with a small scale that learns slowly."""

from __future__ import annotations

from typing import Any

from ...checks import require
from .. import init
from ..batchnorm import _BatchNorm
from ..module import Module
from ..parameter import Parameter


def batch_norm_init_(model: Module, gamma: float = 0.1) -> Module:
    """Sets the scale of every batch norm in a model, and returns the model.

    With the usual 1, normalised values may be large and the scale hardly moves; below 1 they start smaller. Use it with
    ``batch_norm_groups``. The paper also normalises the input of the network, in place of a fixed mean and deviation:
    ``nn.Sequential(nn.BatchNorm2d(3, affine=False), model)``.

    Args:
        model: its shifts and statistics stay.
        gamma: the scale.
    Example:
        >>> model = nn.utils.batch_norm_init_(nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8)))
        >>> round(model[1].weight.mean().item(), 3)
        0.1

    Source:
        Davis and Frank, Revisiting batch norm initialization, 2022 (arXiv 2110.13989).
    """
    for scale in _scales(model):
        init.constant_(scale, gamma)
    return model


def batch_norm_groups(
    model: Module, lr: float, weight_decay: float = 0.0, reduction: float = 100.0
) -> list[dict[str, Any]]:
    """Parameters in three groups for an optimizer: weights, biases, and the scales of batch norm.

    Weights learn at `lr` with `weight_decay`; biases, shifts among them, without decay; scales without decay and at
    ``lr / reduction``.

    Args:
        model: what is to be trained; groups of nothing are left out.
        lr: the learning rate.
        weight_decay: of the weights.
        reduction: by what the rate of the scales is divided.
    Raises:
        ValueError: a reduction not above 0.
    Example:
        >>> model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8))
        >>> optimizer = optim.SGD(nn.utils.batch_norm_groups(model, lr=0.1, weight_decay=1e-4), lr=0.1)
        >>> [(len(g["params"]), g["lr"], g["weight_decay"]) for g in optimizer.param_groups]
        [(1, 0.1, 0.0001), (2, 0.1, 0.0), (1, 0.001, 0.0)]

    Source:
        Davis and Frank, Revisiting batch norm initialization, 2022 (arXiv 2110.13989).
    """
    require(reduction > 0, "batch_norm_groups", f"reduction is {reduction}; expected more than 0")
    scales = _scales(model)
    held = {id(scale) for scale in scales}
    weights: list[Parameter] = []
    biases: list[Parameter] = []
    for name, parameter in model.named_parameters():
        if id(parameter) not in held:
            (biases if name.rpartition(".")[2] == "bias" else weights).append(parameter)
    groups = [(weights, lr, weight_decay), (biases, lr, 0.0), (scales, lr / reduction, 0.0)]
    return [{"params": params, "lr": rate, "weight_decay": decay} for params, rate, decay in groups if params]


def _scales(model: Module) -> list[Parameter]:
    found = (module.weight for module in model.modules() if isinstance(module, _BatchNorm))
    return list({id(scale): scale for scale in found if scale is not None}.values())
