"""Averaged SGD."""

from __future__ import annotations

from typing import Any

from .composed import Composed, chosen, decay_of, decayed
from .optimizer import Params, check_numbers, check_range


class ASGD(Composed):
    """Gradient descent whose iterates are averaged, in ``state[p]["ax"]``. Polyak & Juditsky 1992.

    With ``g = grad + weight_decay · p``: ``p ← (1 − λη) p − η g``, ``ax ← ax + μ (p − ax)``, and then
    ``η = lr / (1 + λ lr t)^alpha``, ``μ = 1 / max(1, t − t0)``; so ax is p itself until step t0.

    Args:
        params: tensors, or groups (dicts with "params" and settings).
        lr: the first learning rate η.
        lambd: λ, a decay of the weights and of the rate.
        alpha: the power by which the rate falls.
        t0: the step at which averaging begins.
        weight_decay: an L2 penalty, part of the gradient.
        maximize: climb instead.
    Raises:
        ValueError: a setting is out of range, or parameters are missing or doubled.
    Example:
        >>> w = at.tensor([1.0], requires_grad=True)
        >>> optimizer = optim.ASGD([w], lr=0.5, lambd=0.0, t0=0)
        >>> for _ in range(3):  # w is 0.5, then 0, then −0.5; the mean of the last two
        ...     w.grad = at.ones(1)
        ...     optimizer.step()
        >>> optimizer.state[w]["ax"].item()
        -0.25
    """

    capturable = True
    _keys = ("ax",)
    _scalars = ("step", "eta", "mu")

    def __init__(
        self,
        params: Params,
        lr: float = 1e-2,
        lambd: float = 1e-4,
        alpha: float = 0.75,
        t0: float = 1e6,
        weight_decay: float = 0,
        maximize: bool = False,
    ) -> None:
        defaults = dict(lr=lr, lambd=lambd, alpha=alpha, t0=t0, weight_decay=weight_decay, maximize=maximize)
        super().__init__(params, defaults)

    def _check(self, group: dict[str, Any]) -> None:
        check_range("ASGD", lr=group["lr"], weight_decay=group["weight_decay"])
        check_numbers("ASGD", lambd=group["lambd"], alpha=group["alpha"], t0=group["t0"])

    def _numbers(self, group, own):
        lr, lambd, t = group["lr"], group["lambd"], own["step"]
        eta, mu = own.get("eta", lr), own.get("mu", 1.0)
        own["eta"] = lr / (1 + lambd * lr * t) ** group["alpha"]
        own["mu"] = 1 / max(1, t - group["t0"])
        return decay_of(group), 1 - lambd * eta, eta, mu

    def _change(self, group, numbers, param, grad, ax):
        decay, keep, eta, mu = numbers
        grad = decayed(group, decay, param, grad)
        param *= keep
        param -= eta * grad
        ax[...] = chosen(mu == 1, lambda: param, lambda: ax + mu * (param - ax))
