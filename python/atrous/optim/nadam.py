"""NAdam."""

from __future__ import annotations

from typing import Any

from .composed import Composed, blend, blend_square, decay_of, decayed, root
from .optimizer import Params, check_betas, check_range


class NAdam(Composed):
    """Adam with Nesterov's momentum, which grows from β₁/2 to β₁. Dozat 2016.

    With ``g = grad + weight_decay · p``: ``m ← β₁m + (1 − β₁)g``, ``v ← β₂v + (1 − β₂)g²``,
    ``μₜ = β₁ (1 − 0.96^(t · momentum_decay) / 2)``, ``Πₜ = μ₁ ··· μₜ``,
    ``p ← p − lr · ((1 − μₜ) / (1 − Πₜ) · g + μₜ₊₁ / (1 − Πₜ₊₁) · m) / (√(v / (1 − β₂ᵗ)) + eps)``.

    Args:
        params: tensors, or groups (dicts with "params" and settings).
        lr: learning rate.
        betas: (β₁, β₂), both in [0, 1).
        eps: keeps the quotient finite.
        weight_decay: an L2 penalty, part of the gradient, or decoupled as `AdamW`'s.
        momentum_decay: how fast μ nears β₁.
        decoupled_weight_decay: ``p ← (1 − lr · weight_decay) · p`` instead of a part of the gradient.
        maximize: climb instead.
    Raises:
        ValueError: a setting is out of range, or parameters are missing or doubled.
    Example:
        >>> w = at.tensor([1.0], requires_grad=True)
        >>> w.grad = at.tensor([2.0])
        >>> optim.NAdam([w], lr=0.1, momentum_decay=0.0).step()  # μ = 0.45: 1 + 0.45 / (1 − 0.45²) · 0.1 = 1.0564
        >>> round(w.item(), 4)
        0.8944
    """

    capturable = True
    _keys = ("exp_avg", "exp_avg_sq")
    _scalars = ("step", "mu_product")

    def __init__(
        self,
        params: Params,
        lr: float = 2e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        momentum_decay: float = 4e-3,
        decoupled_weight_decay: bool = False,
        *,
        maximize: bool = False,
    ) -> None:
        defaults = dict(
            lr=lr,
            betas=betas,
            eps=eps,
            weight_decay=weight_decay,
            momentum_decay=momentum_decay,
            decoupled_weight_decay=decoupled_weight_decay,
            maximize=maximize,
        )
        super().__init__(params, defaults)

    def _check(self, group: dict[str, Any]) -> None:
        check_range("NAdam", **{name: group[name] for name in ("lr", "eps", "weight_decay", "momentum_decay")})
        check_betas("NAdam", group["betas"])

    def _numbers(self, group, own):
        (beta1, beta2), lr, step = group["betas"], group["lr"], own["step"]
        mu, next_mu = (beta1 * (1 - 0.5 * 0.96 ** (t * group["momentum_decay"])) for t in (step, step + 1))
        own["mu_product"] = product = own.get("mu_product", 1.0) * mu
        rates = lr * (1 - mu) / (1 - product), lr * next_mu / (1 - product * next_mu)
        return decay_of(group), 1 - beta1, beta2, 1 - beta2, 1 - beta2**step, group["eps"], *rates

    def _change(self, group, numbers, param, grad, exp_avg, exp_avg_sq):
        decay, take1, beta2, take2, correction, eps, rate, momentum_rate = numbers
        grad = decayed(group, decay, param, grad)
        blend(exp_avg, grad, take1)
        blend_square(exp_avg_sq, grad, beta2, take2)
        change = grad * rate
        change += exp_avg * momentum_rate
        change /= root(exp_avg_sq / correction, eps)
        param -= change
