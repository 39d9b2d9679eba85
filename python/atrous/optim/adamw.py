"""AdamW."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .adam import Adam
from .optimizer import Params


class AdamW(Adam):
    """Adam with weight decay apart from the gradient: ``p ← (1 − lr · weight_decay) · p`` before each step.

    Loshchilov & Hutter 2019, whose λ, apart from the rate, is ``lr · weight_decay`` here and in PyTorch. Arguments as
    `Adam`, with a weight_decay of 0.01 unless given.

    Example:
        >>> w = at.tensor([1.0], requires_grad=True)
        >>> w.grad = at.zeros(1)
        >>> optim.AdamW([w], lr=0.1, weight_decay=0.5).step()
        >>> round(w.item(), 4)
        0.95
    """

    def __init__(
        self,
        params: Params,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
        amsgrad: bool = False,
        *,
        maximize: bool = False,
    ) -> None:
        super().__init__(params, lr, betas, eps, weight_decay, amsgrad, maximize=maximize, decoupled_weight_decay=True)

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """As `Optimizer.load_state_dict`; the decay stays decoupled, even where the state is an Adam's."""
        super().load_state_dict(state_dict)
        for group in self.param_groups:
            group["decoupled_weight_decay"] = True
