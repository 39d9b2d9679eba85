"""RMSprop."""

from __future__ import annotations

from functools import partial
from typing import Any

from .. import capturing
from ..ops.adam import rmsprop_step
from .optimizer import Optimizer, Params, batches, check_range, count_step

NUMBERS = ("lr", "alpha", "eps", "weight_decay", "momentum")


class RMSprop(Optimizer):
    """Steps divided by the root of the gradient's mean square. Hinton 2012, lecture 6e of Neural networks.

    With ``g = grad + weight_decay · p``: ``v ← αv + (1 − α)g²``, ``d = g / (√v + eps)``, ``p ← p − lr · d``.
    Centered: ``a ← αa + (1 − α)g``, and the deviation ``√(v − a²)`` in place of √v (Graves 2013, arXiv 1308.0850).
    With momentum: ``b ← momentum · b + d``, ``p ← p − lr · b``.

    Args:
        params: tensors, or groups (dicts with "params" and settings).
        lr: learning rate.
        alpha: α, how much of the averages stays.
        eps: keeps the quotient finite.
        weight_decay: an L2 penalty, part of the gradient.
        momentum: see above; 0 is off.
        centered: see above.
        maximize: climb instead.
    Raises:
        ValueError: a setting is out of range, or parameters are missing or doubled.
    Example:
        >>> w = at.tensor([1.0, 1.0], requires_grad=True)
        >>> w.grad = at.tensor([5.0, -0.1])
        >>> optim.RMSprop([w], lr=0.05).step()  # 0.05 / √(1 − α) times the sign
        >>> [round(v, 4) for v in w.tolist()]
        [0.5, 1.5]
    """

    capturable = True

    def __init__(
        self,
        params: Params,
        lr: float = 1e-2,
        alpha: float = 0.99,
        eps: float = 1e-8,
        weight_decay: float = 0,
        momentum: float = 0,
        centered: bool = False,
        maximize: bool = False,
    ) -> None:
        defaults = dict(
            lr=lr,
            alpha=alpha,
            eps=eps,
            weight_decay=weight_decay,
            momentum=momentum,
            centered=centered,
            maximize=maximize,
        )
        super().__init__(params, defaults)

    def _check(self, group: dict[str, Any]) -> None:
        check_range("RMSprop", **_numbers(group))

    def _update(self, group: dict[str, Any]) -> None:
        for _, update in batches(group, lambda param: None):
            tensors = (
                update.params,
                update.grads,
                update.state(self, "square_avg"),
                update.state(self, "grad_avg") if group["centered"] else None,
                update.state(self, "momentum_buffer") if group["momentum"] else None,
            )
            owners = update.owners
            if capturing.active:
                numbers, count = partial(_numbers, group), partial(count_step, self.state, owners)
                capturing.replay_numbers("rmsprop_step", owners[0], numbers, count)
            rmsprop_step(*tensors, **_numbers(group))
            count_step(self.state, owners)
            update.finish()


def _numbers(group: dict[str, Any]) -> dict[str, Any]:
    """What a step takes besides tensors."""
    return {name: group[name] for name in NUMBERS}
