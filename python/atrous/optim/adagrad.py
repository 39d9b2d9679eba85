"""Adagrad."""

from __future__ import annotations

from functools import partial
from typing import Any

from .. import capturing
from ..ops import full_like
from ..ops.adam import adagrad_step
from ..tensor import Tensor
from .optimizer import Optimizer, Params, batches, check_range, count_step, require_alike


class Adagrad(Optimizer):
    """Steps divided by the root of all squared gradients so far: rare features keep a high rate. Duchi et al. 2011.

    With ``g = grad + weight_decay · p``: ``s ← s + g²``, ``p ← p − lr / (1 + (t − 1) lr_decay) · g / (√s + eps)``.

    Args:
        params: tensors, or groups (dicts with "params" and settings).
        lr: learning rate.
        lr_decay: lets the rate fall, see above.
        weight_decay: an L2 penalty, part of the gradient.
        initial_accumulator_value: s before the first step.
        eps: keeps the quotient finite.
        maximize: climb instead.
    Raises:
        ValueError: a setting is out of range, or parameters are missing or doubled.
    Example:
        >>> w = at.tensor([1.0, 1.0], requires_grad=True)
        >>> w.grad = at.tensor([5.0, -0.1])
        >>> optim.Adagrad([w], lr=0.1).step()  # the first step is lr times the sign
        >>> [round(v, 4) for v in w.tolist()]
        [0.9, 1.1]
    """

    capturable = True

    def __init__(
        self,
        params: Params,
        lr: float = 1e-2,
        lr_decay: float = 0,
        weight_decay: float = 0,
        initial_accumulator_value: float = 0,
        eps: float = 1e-10,
        *,
        maximize: bool = False,
    ) -> None:
        defaults = dict(
            lr=lr,
            lr_decay=lr_decay,
            eps=eps,
            weight_decay=weight_decay,
            initial_accumulator_value=initial_accumulator_value,
            maximize=maximize,
        )
        super().__init__(params, defaults)

    def _check(self, group: dict[str, Any]) -> None:
        names = ("lr", "lr_decay", "eps", "weight_decay", "initial_accumulator_value")
        check_range("Adagrad", **{name: group[name] for name in names})

    def _update(self, group: dict[str, Any]) -> None:
        initial = group["initial_accumulator_value"]
        for _, update in batches(group, self._steps):
            sums = update.state(self, "sum", lambda param: full_like(param, initial))
            owners = update.owners
            if capturing.active:
                numbers, count = partial(self._replayed, group, owners), partial(count_step, self.state, owners)
                capturing.replay_numbers("adagrad_step", owners[0], numbers, count)
            adagrad_step(update.params, update.grads, sums, **self._numbers(group, owners))
            count_step(self.state, owners)
            update.finish()

    def _steps(self, param: Tensor) -> int:
        """How many steps a parameter has made."""
        return self.state.get(param, {}).get("step", 0)

    def _replayed(self, group: dict[str, Any], owners: list[Tensor]) -> dict[str, Any]:
        require_alike(map(self._steps, owners))
        return self._numbers(group, owners)

    def _numbers(self, group: dict[str, Any], owners: list[Tensor]) -> dict[str, Any]:
        """What the next step takes besides tensors."""
        lr = group["lr"] / (1 + self._steps(owners[0]) * group["lr_decay"])
        return dict(lr=lr, eps=group["eps"], weight_decay=group["weight_decay"])
