"""RAdam."""

from __future__ import annotations

from math import sqrt
from typing import Any

from .composed import Composed, blend, blend_square, chosen, decay_of, decayed, root
from .optimizer import Params, check_betas, check_range


class RAdam(Composed):
    """Adam that warms up by itself: no division by √v̂ until v̂ is trustworthy, then rectified. Liu et al. 2020.

    With ``g = grad + weight_decay · p``: ``m ← β₁m + (1 − β₁)g``, ``v ← β₂v + (1 − β₂)g²``,
    ``ρ∞ = 2 / (1 − β₂) − 1``, ``ρ = ρ∞ − 2t β₂ᵗ / (1 − β₂ᵗ)``. Where ``ρ > 5``,
    ``p ← p − lr · r · m̂ · √(1 − β₂ᵗ) / (√v + eps)`` with ``r² = (ρ − 4)(ρ − 2)ρ∞ / ((ρ∞ − 4)(ρ∞ − 2)ρ)``; before,
    ``p ← p − lr · m̂``. Here, as in PyTorch, the threshold is 5; in the paper (arXiv 1908.03265) it is 4.

    Args:
        params: tensors, or groups (dicts with "params" and settings).
        lr: learning rate.
        betas: (β₁, β₂), both in [0, 1).
        eps: keeps the quotient finite.
        weight_decay: an L2 penalty, part of the gradient, or decoupled as `AdamW`'s.
        decoupled_weight_decay: ``p ← (1 − lr · weight_decay) · p`` instead of a part of the gradient.
        maximize: climb instead.
    Raises:
        ValueError: a setting is out of range, or parameters are missing or doubled.
    Example:
        >>> w = at.tensor([1.0], requires_grad=True)
        >>> w.grad = at.tensor([2.0])
        >>> optim.RAdam([w], lr=0.1).step()  # the first steps are those of gradient descent with momentum
        >>> round(w.item(), 4)
        0.8
    """

    capturable = True
    _keys = ("exp_avg", "exp_avg_sq")

    def __init__(
        self,
        params: Params,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        decoupled_weight_decay: bool = False,
        *,
        maximize: bool = False,
    ) -> None:
        defaults = dict(
            lr=lr,
            betas=betas,
            eps=eps,
            weight_decay=weight_decay,
            decoupled_weight_decay=decoupled_weight_decay,
            maximize=maximize,
        )
        super().__init__(params, defaults)

    def _check(self, group: dict[str, Any]) -> None:
        check_range("RAdam", lr=group["lr"], eps=group["eps"], weight_decay=group["weight_decay"])
        check_betas("RAdam", group["betas"])

    def _numbers(self, group, own):
        (beta1, beta2), t = group["betas"], own["step"]
        longest = 2 / (1 - beta2) - 1
        length = longest - 2 * t * beta2**t / (1 - beta2**t)
        trusted, factor = length > 5, 1.0
        if trusted:
            rectified = (length - 4) * (length - 2) * longest / ((longest - 4) * (longest - 2) * length)
            factor = sqrt(rectified * (1 - beta2**t))
        rate = group["lr"] / (1 - beta1**t)
        return decay_of(group), 1 - beta1, beta2, 1 - beta2, rate, trusted, factor, group["eps"]

    def _change(self, group, numbers, param, grad, exp_avg, exp_avg_sq):
        decay, take1, beta2, take2, rate, trusted, factor, eps = numbers
        grad = decayed(group, decay, param, grad)
        blend(exp_avg, grad, take1)
        blend_square(exp_avg_sq, grad, beta2, take2)
        change = exp_avg * rate
        param -= chosen(trusted, lambda: change * factor / root(exp_avg_sq, eps), lambda: change)
