"""Gradient descent with momentum."""

from __future__ import annotations

from functools import partial
from typing import Any

from .. import capturing
from ..ops.adam import sgd_step
from .optimizer import Optimizer, Params, batches, check_range


class SGD(Optimizer):
    """Gradient descent, with momentum and Nesterov's form of it.

    With ``g = grad + weight_decay · p``: ``b ← momentum · b + (1 − dampening) · g`` (``b = g`` at the first step), then
    ``p ← p − lr · b``, with Nesterov ``p ← p − lr · (g + momentum · b)``. Sutskever et al. 2013, where lr multiplies
    the gradient alone; here, as in PyTorch, it multiplies the whole step.

    Textbooks: ``v ← momentum · v − lr · g``, ``p ← p + v`` is the same while lr is (v = −lr · b). With
    ``(1 − momentum) · g`` in the velocity, take ``lr · (1 − momentum)``. Nesterov's p is the point looked ahead at,
    ``w + momentum · v``. weight_decay is λ of ``λ/2 · Σp²``; without momentum also of ``p ← (1 − lr·λ)p − lr·grad``.

    The perceptron rule ``w ← w + η (t − ŷ) x`` (Rosenblatt 1958) is this on the loss ``(-s * z).clamp(min=0).sum()`` of
    ``z = w · x`` with ``s = ±1``. Where z is on the wrong side, or 0, ``t − ŷ`` is s for units of {0, 1}, so that lr is
    η, and 2s for units of {−1, 1}, so that lr is 2η; elsewhere nothing changes.

    Args:
        params: tensors, or groups (dicts with "params" and settings).
        lr: learning rate.
        momentum, dampening, weight_decay: see above; 0 is off.
        nesterov: needs momentum and no dampening.
        maximize: climb instead.
    Raises:
        ValueError: a setting is out of range, or parameters are missing or doubled.
    Example:
        >>> w = at.tensor([1.0, 2.0], requires_grad=True)
        >>> optimizer = optim.SGD([w], lr=0.1)
        >>> (w * w).sum().backward()
        >>> optimizer.step()
        >>> [round(v, 4) for v in w.tolist()]
        [0.8, 1.6]
    """

    capturable = True

    def __init__(
        self,
        params: Params,
        lr: float = 1e-3,
        momentum: float = 0,
        dampening: float = 0,
        weight_decay: float = 0,
        nesterov: bool = False,
        *,
        maximize: bool = False,
    ) -> None:
        defaults = dict(
            lr=lr,
            momentum=momentum,
            dampening=dampening,
            weight_decay=weight_decay,
            nesterov=nesterov,
            maximize=maximize,
        )
        super().__init__(params, defaults)

    def _check(self, group: dict[str, Any]) -> None:
        check_range("SGD", lr=group["lr"], momentum=group["momentum"], weight_decay=group["weight_decay"])
        if group["nesterov"] and (group["momentum"] <= 0 or group["dampening"] != 0):
            raise ValueError("SGD: nesterov needs a momentum above 0 and dampening 0")

    def _update(self, group: dict[str, Any]) -> None:
        momentum = group["momentum"]

        def is_first(param: Any) -> bool:
            return bool(momentum) and self.state.get(param, {}).get("momentum_buffer") is None

        for first, update in batches(group, is_first):
            buffers = update.state(self, "momentum_buffer") if momentum else None
            if capturing.active:
                capturing.replay_numbers("sgd_step", update.owners[0], partial(_numbers, group, first), _nothing)
            sgd_step(update.params, update.grads, buffers, **_numbers(group, first))
            update.finish()


def _numbers(group: dict[str, Any], first: bool) -> dict[str, Any]:
    """What a step takes besides tensors."""
    names = ("lr", "momentum", "dampening", "weight_decay", "nesterov")
    return {name: group[name] for name in names} | {"first": first}


def _nothing() -> None:
    """What a step of SGD counts."""
