"""Adafactor."""

from __future__ import annotations

from typing import Any

from ..backend import array_module
from ..tensor import Tensor
from .composed import Composed, blend
from .optimizer import Params, check_numbers, check_range


class Adafactor(Composed):
    """Adam's scaling from the mean squares of a matrix's rows and columns: R + C numbers for R · C weights.

    With ``w = t^beta2_decay``: ``r ← r + w (mean of g² over each row − r)``, c likewise over columns,
    ``v = r c / mean(r)``; arrays of one axis keep v whole. ``u = g / √v``, shrunk to a root mean square of at most d;
    ``p ← (1 − lr · weight_decay) p − max(eps₂, rms(p)) · min(lr, 1/√t) · u``. The last two axes are rows and columns.

    Args:
        params: tensors, or groups (dicts with "params" and settings).
        lr: the largest relative step, and the rate of weight decay.
        beta2_decay: 0 or less; the means forget less and less.
        eps: (eps₁, eps₂): mean(r) and √v stay above eps₁ (None: the dtype's epsilon), a step's scale above eps₂.
        d: threshold of the update's root mean square, 1 or more.
        weight_decay: decoupled, see above.
        maximize: climb instead.
    Raises:
        ValueError: a setting is out of range, or parameters are missing or doubled.
    Example:
        >>> w = at.full((2, 3), 2.0, requires_grad=True)
        >>> w.grad = at.full((2, 3), 5.0)
        >>> optim.Adafactor([w], lr=0.01).step()  # 2 · 0.01 along the sign
        >>> round(w[0, 0].item(), 4)
        1.98

    Source:
        Shazeer and Stern, Adafactor, 2018 (arXiv 1804.04235). There eps₁ is added to g², and lr is 0.01; here it is all
        as in PyTorch.
    """

    def __init__(
        self,
        params: Params,
        lr: float = 1e-2,
        beta2_decay: float = -0.8,
        eps: tuple[float | None, float] = (None, 1e-3),
        d: float = 1.0,
        weight_decay: float = 0.0,
        *,
        maximize: bool = False,
    ) -> None:
        defaults = dict(lr=lr, beta2_decay=beta2_decay, eps=eps, d=d, weight_decay=weight_decay, maximize=maximize)
        super().__init__(params, defaults)

    def _check(self, group: dict[str, Any]) -> None:
        eps1, eps2 = group["eps"]
        check_range("Adafactor", lr=group["lr"], weight_decay=group["weight_decay"], eps1=eps1 or 0, eps2=eps2)
        check_numbers("Adafactor", beta2_decay=group["beta2_decay"], d=group["d"])
        if not group["beta2_decay"] <= 0:
            raise ValueError(f"Adafactor: beta2_decay is {group['beta2_decay']}; expected 0 or less")
        if not group["d"] >= 1:
            raise ValueError(f"Adafactor: d is {group['d']}; expected 1 or more")

    def _keys_of(self, group, param):
        return ("row_var", "col_var") if param.ndim > 1 else ("variance",)

    def _state_shape(self, param, key):
        shape = tuple(param.shape)
        if key == "row_var":
            return (*shape[:-1], 1)
        return (*shape[:-2], 1, shape[-1]) if key == "col_var" else shape

    def _start(self, group, key, param):
        return Tensor(array_module(param).zeros(self._state_shape(param, key), param.dtype))

    def _numbers(self, group, own):
        lr, t = group["lr"], own["step"]
        return min(lr, t**-0.5), 1 - lr * group["weight_decay"], t ** group["beta2_decay"]

    def _change(self, group, numbers, param, grad, *state):
        xp, (rate, decay, take), (eps1, eps2) = array_module(param), numbers, group["eps"]
        eps1 = float(xp.finfo(param.dtype).eps) if eps1 is None else eps1
        scale = xp.fmax(_rms(xp, param), eps2) * rate
        param *= decay
        update = self._variance(xp, grad * grad, take, eps1, *state)
        xp.sqrt(xp.maximum(update, eps1 * eps1, out=update), out=update)
        xp.divide(grad, update, out=update)
        update *= scale / xp.fmax(_rms(xp, update) / group["d"], 1.0)
        param -= update

    def _variance(self, xp, square, weight, eps1, *state):
        """An estimate of v in memory of its own, from the state, which takes in the squared gradient."""
        if len(state) == 1:
            blend(state[0], square, weight)
            return state[0].copy()
        row_var, col_var = state
        blend(row_var, square.mean(axis=-1, keepdims=True), weight)
        blend(col_var, square.mean(axis=-2, keepdims=True), weight)
        variance = row_var * col_var
        variance /= xp.maximum(row_var.mean(axis=-2, keepdims=True), eps1)
        return variance


def _rms(xp: Any, x: Any) -> Any:
    """The root mean square."""
    return xp.sqrt((x * x).mean())
