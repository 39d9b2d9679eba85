"""Muon."""

from __future__ import annotations

from math import sqrt
from typing import Any

from ..backend import array_module, kernels_for
from .composed import Composed, blend
from .optimizer import Params, check_numbers, check_range

ADJUSTMENTS = (None, "original", "match_rms_adamw")


class Muon(Composed):
    """Momentum whose matrices are made orthogonal: all directions learn alike. For hidden layers' 2-D weights.

    ``b ← b + (1 − momentum)(g − b)``, ``u = g + momentum (b − g)`` with Nesterov, else b. Then ns_steps times
    ``x ← a x + (b s + c s²) x`` with ``s = x xᵀ``, from ``x = u / ‖u‖``, which brings all singular values near 1; and
    ``p ← (1 − lr · weight_decay) p − lr · adjustment · x``.

    Args:
        params: tensors of two axes, or groups (dicts with "params" and settings). Give the rest to `AdamW`.
        lr: learning rate.
        weight_decay: decoupled, see above.
        momentum: how much of b stays.
        nesterov: see above.
        ns_coefficients: (a, b, c).
        eps: the least norm to divide by.
        ns_steps: how often, less than 100.
        adjust_lr_fn: None or "original": ``√max(1, rows / columns)``; "match_rms_adamw": ``0.2 √max(rows, columns)``.
    Raises:
        ValueError: a parameter is no matrix, a setting is out of range, or parameters are missing or doubled.
    Example:
        >>> w = at.zeros(2, 2, requires_grad=True)
        >>> w.grad = at.tensor([[0.0, 3.0], [-3.0, 0.0]])
        >>> optim.Muon([w], lr=0.1).step()  # about 0.1 times a rotation
        >>> [[round(v, 1) for v in row] for row in w.tolist()]
        [[0.0, -0.1], [0.1, 0.0]]

    Source:
        Jordan, Muon: an optimizer for hidden layers in neural networks, 2024; Liu et al., Muon is scalable for LLM
        training, 2025 (arXiv 2502.16982).
    Differs from PyTorch: x has the parameter's precision (there bfloat16, which moves a step by a few percent).
    """

    _keys = ("momentum_buffer",)
    _scalars = ()

    def __init__(
        self,
        params: Params,
        lr: float = 1e-3,
        weight_decay: float = 0.1,
        momentum: float = 0.95,
        nesterov: bool = True,
        ns_coefficients: tuple[float, float, float] = (3.4445, -4.775, 2.0315),
        eps: float = 1e-7,
        ns_steps: int = 5,
        adjust_lr_fn: str | None = None,
    ) -> None:
        defaults = dict(
            lr=lr,
            weight_decay=weight_decay,
            momentum=momentum,
            nesterov=nesterov,
            ns_coefficients=ns_coefficients,
            eps=eps,
            ns_steps=ns_steps,
            adjust_lr_fn=adjust_lr_fn,
        )
        super().__init__(params, defaults)

    def _check(self, group: dict[str, Any]) -> None:
        check_range("Muon", **{name: group[name] for name in ("lr", "weight_decay", "momentum", "ns_steps")})
        check_numbers("Muon", eps=group["eps"])
        if group["ns_steps"] >= 100:
            raise ValueError(f"Muon: ns_steps is {group['ns_steps']}; expected less than 100")
        if len(group["ns_coefficients"]) != 3:
            raise ValueError(f"Muon: ns_coefficients is {group['ns_coefficients']}; expected three numbers")
        if group["adjust_lr_fn"] not in ADJUSTMENTS:
            raise ValueError(f"Muon: adjust_lr_fn is {group['adjust_lr_fn']!r}; expected one of {ADJUSTMENTS}")
        for param in group["params"]:
            if param.ndim != 2:
                raise ValueError(f"Muon: a parameter has shape {tuple(param.shape)}; expected matrices")

    def _numbers(self, group, own):
        return ()

    def _change(self, group, numbers, param, grad, buffer):
        lr, momentum = group["lr"], group["momentum"]
        blend(buffer, grad, 1 - momentum)
        update = buffer
        if group["nesterov"]:
            update = grad.copy()
            blend(update, buffer, momentum)
        rows, columns = param.shape
        if group["adjust_lr_fn"] == "match_rms_adamw":
            adjustment = 0.2 * sqrt(max(rows, columns))
        else:
            adjustment = sqrt(max(1, rows / columns))
        step = _orthogonal(update if rows <= columns else update.T, group)
        step *= lr * adjustment
        param *= 1 - lr * group["weight_decay"]
        param -= step if rows <= columns else step.T


def _orthogonal(x: Any, group: dict[str, Any]) -> Any:
    """The Newton-Schulz iteration on a matrix that is no higher than wide."""
    xp, matmul, (a, b, c) = array_module(x), kernels_for(x).matmul, group["ns_coefficients"]
    x = x / xp.maximum(xp.sqrt((x * x).sum()), group["eps"])
    for _ in range(int(group["ns_steps"])):
        s = matmul(x, x.T)
        polynomial = matmul(s, s)
        polynomial *= c
        polynomial += b * s
        step = matmul(polynomial, x)
        x *= a
        x += step
    return x
