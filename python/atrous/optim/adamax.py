"""Adamax."""

from __future__ import annotations

from typing import Any

from ..backend import array_module
from .composed import Composed, blend, decay_of, decayed
from .optimizer import Params, check_betas, check_range


class Adamax(Composed):
    """Adam with the largest gradient, fading, in place of the mean square. Kingma & Ba 2015, algorithm 2.

    With ``g = grad + weight_decay · p``: ``m ← β₁m + (1 − β₁)g``, ``u ← max(β₂u, |g| + eps)``,
    ``p ← p − lr / (1 − β₁ᵗ) · m / u``. The paper has no eps; here, as in PyTorch, it keeps u above 0.

    Args:
        params: tensors, or groups (dicts with "params" and settings).
        lr: learning rate.
        betas: (β₁, β₂), both in [0, 1).
        eps: see above.
        weight_decay: an L2 penalty, part of the gradient.
        maximize: climb instead.
    Raises:
        ValueError: a setting is out of range, or parameters are missing or doubled.
    Example:
        >>> w = at.tensor([1.0, 1.0], requires_grad=True)
        >>> w.grad = at.tensor([5.0, -0.1])
        >>> optim.Adamax([w], lr=0.1).step()  # the first step is lr times the sign
        >>> [round(v, 4) for v in w.tolist()]
        [0.9, 1.1]
    """

    capturable = True
    _keys = ("exp_avg", "exp_inf")

    def __init__(
        self,
        params: Params,
        lr: float = 2e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        *,
        maximize: bool = False,
    ) -> None:
        super().__init__(params, dict(lr=lr, betas=betas, eps=eps, weight_decay=weight_decay, maximize=maximize))

    def _check(self, group: dict[str, Any]) -> None:
        check_range("Adamax", lr=group["lr"], eps=group["eps"], weight_decay=group["weight_decay"])
        check_betas("Adamax", group["betas"])

    def _numbers(self, group, own):
        beta1, beta2 = group["betas"]
        return decay_of(group), 1 - beta1, beta2, group["eps"], group["lr"] / (1 - beta1 ** own["step"])

    def _change(self, group, numbers, param, grad, exp_avg, exp_inf):
        decay, take1, beta2, eps, rate = numbers
        grad = decayed(group, decay, param, grad)
        blend(exp_avg, grad, take1)
        size = abs(grad)
        size += eps
        exp_inf *= beta2
        array_module(param).maximum(exp_inf, size, out=exp_inf)
        step = exp_avg / exp_inf
        step *= rate
        param -= step
