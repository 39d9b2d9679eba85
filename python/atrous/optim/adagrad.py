"""Adagrad."""

from __future__ import annotations

from typing import Any

from ..ops import full_like
from ..ops.adam import adagrad_step
from .optimizer import Optimizer, Params, batches, check_range


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
        for before, update in batches(group, lambda param: self.state.get(param, {}).get("step", 0)):
            adagrad_step(
                update.params,
                update.grads,
                update.state(self, "sum", lambda param: full_like(param, initial)),
                lr=group["lr"] / (1 + before * group["lr_decay"]),
                eps=group["eps"],
                weight_decay=group["weight_decay"],
            )
            for param in update.owners:
                self.state[param]["step"] = before + 1
            update.finish()
