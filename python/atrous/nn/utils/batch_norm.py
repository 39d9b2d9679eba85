"""Batch norm begun with a small scale."""

from __future__ import annotations

from .. import init
from ..batchnorm import _BatchNorm
from ..module import Module


def batch_norm_init_(model: Module, gamma: float = 0.1) -> Module:
    """Sets the scale of every batch norm in a model, and returns the model.

    With the usual 1, normalised values may be large and the scale hardly moves; below 1 they start smaller. Use it with
    `optim.batch_norm_groups`. The paper also normalises the network's input, in place of a fixed mean and deviation:
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
    for module in model.modules():
        if isinstance(module, _BatchNorm) and module.weight is not None:
            init.constant_(module.weight, gamma)
    return model
