"""Adadelta."""

from __future__ import annotations

from typing import Any

from ..backend import array_module
from .composed import Composed, blend_square, decay_of, decayed
from .optimizer import Params, check_range


class Adadelta(Composed):
    """Adadelta: steps as large as the steps before, so that they need no rate. Zeiler 2012 (arXiv 1212.5701).

    With ``g = grad + weight_decay · p``: ``v ← ρv + (1 − ρ)g²``, ``Δ = √(u + eps) / √(v + eps) · g``,
    ``u ← ρu + (1 − ρ)Δ²``, ``p ← p − lr · Δ``.

    Args:
        params: tensors, or groups (dicts with "params" and settings).
        lr: multiplies the step; the paper has 1.
        rho: ρ, how much of the averages stays, in [0, 1].
        eps: starts the steps, and keeps the quotient finite.
        weight_decay: an L2 penalty, part of the gradient.
        maximize: climb instead.
    Raises:
        ValueError: a setting is out of range, or parameters are missing or doubled.
    Example:
        >>> w = at.tensor([1.0], requires_grad=True)
        >>> w.grad = at.tensor([5.0])
        >>> optim.Adadelta([w], rho=0.75, eps=1e-4).step()  # √eps / √(0.25 · 5²) · 5 = 2 √eps
        >>> round(w.item(), 4)
        0.98
    """

    capturable = True
    _keys = ("square_avg", "acc_delta")

    def __init__(
        self,
        params: Params,
        lr: float = 1.0,
        rho: float = 0.9,
        eps: float = 1e-6,
        weight_decay: float = 0,
        *,
        maximize: bool = False,
    ) -> None:
        super().__init__(params, dict(lr=lr, rho=rho, eps=eps, weight_decay=weight_decay, maximize=maximize))

    def _check(self, group: dict[str, Any]) -> None:
        check_range("Adadelta", **{name: group[name] for name in ("lr", "rho", "eps", "weight_decay")})
        if group["rho"] > 1:
            raise ValueError(f"Adadelta: rho is {group['rho']}; expected a number in [0, 1]")

    def _numbers(self, group, own):
        return decay_of(group), group["rho"], 1 - group["rho"], group["eps"], group["lr"]

    def _change(self, group, numbers, param, grad, square_avg, acc_delta):
        xp, (decay, rho, take, eps, lr) = array_module(param), numbers
        grad = decayed(group, decay, param, grad)
        blend_square(square_avg, grad, rho, take)
        delta = xp.sqrt(acc_delta + eps)
        delta /= xp.sqrt(square_avg + eps)
        delta *= grad
        blend_square(acc_delta, delta, rho, take)
        delta *= lr
        param -= delta
