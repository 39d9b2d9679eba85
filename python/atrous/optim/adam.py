"""Adam."""

from __future__ import annotations

from functools import partial
from typing import Any

from .. import capturing
from ..ops.adam import adam_step
from ..tensor import Tensor
from .optimizer import Optimizer, Params, batches, check_betas, check_range, count_step, require_alike


class Adam(Optimizer):
    """Adam: steps of about the size lr, whatever the gradient's scale. Kingma & Ba 2015, algorithm 1.

    With ``g = grad + weight_decay · p``: ``m ← β₁m + (1 − β₁)g``, ``v ← β₂v + (1 − β₂)g²``,
    ``p ← p − lr · m̂ / (√v̂ + eps)``, where ``m̂ = m / (1 − β₁ᵗ)`` and ``v̂ = v / (1 − β₂ᵗ)``.

    Args:
        params: tensors, or groups (dicts with "params" and settings).
        lr: learning rate.
        betas: (β₁, β₂), both in [0, 1).
        eps: keeps the quotient finite.
        weight_decay: an L2 penalty, part of the gradient; `AdamW` decays the weights themselves.
        amsgrad: use the largest v̂ so far. Reddi et al. 2018.
        maximize: climb instead.
        decoupled_weight_decay: as `AdamW`.
    Raises:
        ValueError: a setting is out of range, or parameters are missing or doubled.
    Example:
        >>> w = at.tensor([1.0, -2.0], requires_grad=True)
        >>> optimizer = optim.Adam([w], lr=0.1)
        >>> (w * w).sum().backward()
        >>> optimizer.step()
        >>> [round(v, 4) for v in w.tolist()]
        [0.9, -1.9]
    """

    capturable = True

    def __init__(
        self,
        params: Params,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        amsgrad: bool = False,
        *,
        maximize: bool = False,
        decoupled_weight_decay: bool = False,
    ) -> None:
        defaults = dict(
            lr=lr,
            betas=betas,
            eps=eps,
            weight_decay=weight_decay,
            amsgrad=amsgrad,
            maximize=maximize,
            decoupled_weight_decay=decoupled_weight_decay,
        )
        super().__init__(params, defaults)

    def _check(self, group: dict[str, Any]) -> None:
        op = type(self).__name__
        check_range(op, lr=group["lr"], eps=group["eps"], weight_decay=group["weight_decay"])
        check_betas(op, group["betas"])

    def _update(self, group: dict[str, Any]) -> None:
        for _, update in batches(group, self._steps):
            tensors = (
                update.params,
                update.grads,
                update.state(self, "exp_avg"),
                update.state(self, "exp_avg_sq"),
                update.state(self, "max_exp_avg_sq") if group["amsgrad"] else None,
            )
            owners = update.owners
            if capturing.active:
                numbers, count = partial(self._replayed, group, owners), partial(count_step, self.state, owners)
                capturing.replay_numbers("adam_step", owners[0], numbers, count)
            adam_step(*tensors, **self._numbers(group, owners))
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
        beta1, beta2 = group["betas"]
        return dict(
            step=self._steps(owners[0]) + 1,
            lr=group["lr"],
            beta1=beta1,
            beta2=beta2,
            eps=group["eps"],
            weight_decay=group["weight_decay"],
            decoupled=group["decoupled_weight_decay"],
        )
