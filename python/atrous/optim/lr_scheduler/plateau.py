"""A schedule that follows a measure."""

from __future__ import annotations

import math
from typing import Any, Literal, SupportsFloat

from ...checks import whole
from ..optimizer import Optimizer
from .scheduler import LRScheduler, check_optimizer, one_each, read_rates, real, write_rates

__all__ = ["ReduceLROnPlateau"]


class ReduceLROnPlateau(LRScheduler):
    """Times ``factor`` once a measure, such as the validation loss, got no better for more than ``patience`` steps.

    Args:
        optimizer: whose rates to set.
        mode: "min" where lower is better, "max" where higher is.
        factor: 0 or more, below 1.
        patience: steps without progress that are borne.
        threshold: the least progress that counts, as a share of the best (threshold_mode "rel") or as it is ("abs").
        threshold_mode: "rel" or "abs".
        cooldown: steps after a reduction in which nothing counts as bad.
        min_lr: a number, or one for each parameter group.
        eps: a change of the rate no larger than this is not made.
    Raises:
        TypeError: optimizer is none.
        ValueError: a setting is out of range.
    Example:
        >>> optimizer = optim.SGD([at.zeros(2)], lr=1.0)
        >>> scheduler = optim.lr_scheduler.ReduceLROnPlateau(optimizer, factor=0.5, patience=1)
        >>> for loss in (3.0, 2.0, 2.0, 2.0):
        ...     scheduler.step(loss)
        >>> scheduler.get_last_lr()
        [0.5]
    """

    def __init__(
        self,
        optimizer: Optimizer,
        mode: Literal["min", "max"] = "min",
        factor: float = 0.1,
        patience: int = 10,
        threshold: float = 1e-4,
        threshold_mode: Literal["rel", "abs"] = "rel",
        cooldown: int = 0,
        min_lr: list[float] | float = 0,
        eps: float = 1e-8,
    ) -> None:
        name = "ReduceLROnPlateau"
        check_optimizer(name, optimizer)
        if mode not in ("min", "max"):
            raise ValueError(f"{name}: mode is {mode!r}; expected 'min' or 'max'")
        if threshold_mode not in ("rel", "abs"):
            raise ValueError(f"{name}: threshold_mode is {threshold_mode!r}; expected 'rel' or 'abs'")
        self.optimizer = optimizer
        self.mode, self.threshold_mode = mode, threshold_mode
        self.factor = real(name, 0, 1, below=True, factor=factor)
        self.patience = whole(name, 0, patience=patience)
        self.threshold = real(name, threshold=threshold)
        self.cooldown = whole(name, 0, cooldown=cooldown)
        self.min_lrs = [real(name, min_lr=least) for least in one_each(name, optimizer, "min_lr", min_lr)]
        self.default_min_lr = None if isinstance(min_lr, (list, tuple)) else self.min_lrs[0]  # of groups added later
        self.eps = real(name, eps=eps)
        self.best = math.inf if mode == "min" else -math.inf
        self.cooldown_counter = self.num_bad_epochs = self.last_epoch = 0
        self._last_lr = read_rates(optimizer)

    def step(self, metrics: SupportsFloat) -> None:  # type: ignore[override]
        """Notes a measure, and reduces the rates where it is time to. NaN is never better."""
        current = float(metrics)
        self.last_epoch += 1
        if self._is_better(current):
            self.best = current
            self.num_bad_epochs = 0
        else:
            self.num_bad_epochs += 1
        if self.cooldown_counter > 0:
            self.cooldown_counter -= 1
            self.num_bad_epochs = 0
        if self.num_bad_epochs > self.patience:
            self._reduce()
            self.cooldown_counter = self.cooldown
            self.num_bad_epochs = 0
        self._last_lr = read_rates(self.optimizer)

    def _is_better(self, current: float) -> bool:
        sign = 1 if self.mode == "max" else -1
        if self.threshold_mode == "abs":
            bar = self.best + sign * self.threshold
        else:
            bar = self.best * (1.0 + sign * self.threshold)
        return current > bar if self.mode == "max" else current < bar

    def _reduce(self) -> None:
        rates = read_rates(self.optimizer)
        if len(rates) != len(self.min_lrs):
            if self.default_min_lr is None:
                raise ValueError(
                    f"ReduceLROnPlateau: the optimizer has {len(rates)} parameter groups; expected "
                    f"{len(self.min_lrs)}, as min_lr has entries (add one to scheduler.min_lrs after add_param_group)"
                )
            self.min_lrs = [self.default_min_lr] * len(rates)
        reduced = [max(rate * self.factor, least) for rate, least in zip(rates, self.min_lrs, strict=True)]
        chosen = [new if old - new > self.eps else old for old, new in zip(rates, reduced, strict=True)]
        write_rates(self.optimizer, chosen)

    def state_dict(self) -> dict[str, Any]:
        """As `LRScheduler`; a best that is not finite, as before the first step, as "inf" or "-inf" (JSON has none)."""
        state = super().state_dict()
        return state if math.isfinite(self.best) else {**state, "best": str(self.best)}

    def _take_state(self, state: dict[str, Any]) -> None:
        state.pop("mode_worse", None)  # PyTorch's: infinity
        super()._take_state({**state, "best": float(state["best"])})
