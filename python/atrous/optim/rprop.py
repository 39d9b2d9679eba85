"""Rprop."""

from __future__ import annotations

from typing import Any

from ..backend import array_module
from ..ops import full_like
from .composed import Composed
from .optimizer import Params, check_range


class Rprop(Composed):
    """Resilient backpropagation: a step of its own for each weight, by the gradient's sign alone; for full batches.

    Where the gradient keeps its sign the step grows by η⁺, where it flips it shrinks by η⁻ and the weight waits:
    ``s ← clip(s · (η⁺, 1 or η⁻))``, ``p ← p − sign(g) · s``. Riedmiller & Braun 1993; the form that waits without
    stepping back is Rprop⁻ with its g set to 0, as in PyTorch.

    Args:
        params: tensors, or groups (dicts with "params" and settings).
        lr: the first steps s.
        etas: (η⁻, η⁺), with 0 < η⁻ < 1 < η⁺.
        step_sizes: the smallest and the largest s.
        maximize: climb instead.
    Raises:
        ValueError: a setting is out of range, or parameters are missing or doubled.
    Example:
        >>> w = at.tensor([1.0], requires_grad=True)
        >>> optimizer = optim.Rprop([w], lr=0.1)
        >>> for grad in (5.0, 1e-3, -7.0, -7.0):  # 0.1, then 1.2 · 0.1, then it waits, then 0.5 · 0.12 back
        ...     w.grad = at.tensor([grad])
        ...     optimizer.step()
        >>> round(w.item(), 4)
        0.84
    """

    capturable = True
    _keys = ("prev", "step_size")

    def __init__(
        self,
        params: Params,
        lr: float = 1e-2,
        etas: tuple[float, float] = (0.5, 1.2),
        step_sizes: tuple[float, float] = (1e-6, 50),
        *,
        maximize: bool = False,
    ) -> None:
        super().__init__(params, dict(lr=lr, etas=etas, step_sizes=step_sizes, maximize=maximize))

    def _check(self, group: dict[str, Any]) -> None:
        check_range("Rprop", lr=group["lr"])
        (down, up), sizes = group["etas"], group["step_sizes"]
        if not 0 < down < 1 < up:
            raise ValueError(f"Rprop: etas is {group['etas']}; expected one number in (0, 1) and one above 1")
        if len(sizes) != 2:
            raise ValueError(f"Rprop: step_sizes is {sizes}; expected the smallest and the largest")

    def _start(self, group, key, param):
        return full_like(param, 0.0 if key == "prev" else group["lr"])

    def _numbers(self, group, own):
        return *group["etas"], *group["step_sizes"]

    def _change(self, group, numbers, param, grad, prev, step_size):
        xp, (down, up, smallest, largest) = array_module(param), numbers
        agreement = grad * prev
        flipped = agreement < 0
        grown = xp.where(agreement > 0, step_size * up, xp.where(flipped, step_size * down, step_size))
        xp.clip(grown, smallest, largest, out=step_size)
        prev[...] = xp.where(flipped, 0.0, grad)
        param -= xp.where(prev > 0, step_size, xp.where(prev < 0, -step_size, 0.0))  # a NaN has no sign, as in PyTorch
