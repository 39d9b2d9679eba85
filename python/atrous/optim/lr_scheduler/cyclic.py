"""The cyclical schedule."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from typing import Any, Literal

from ..optimizer import Optimizer
from .by_function import attributes
from .scheduler import LRScheduler, check_optimizer, has_betas, one_each, real, write_momenta, write_rates

__all__ = ["CyclicLR"]

NAME = "CyclicLR"
MODES = ("triangular", "triangular2", "exp_range")


class CyclicLR(LRScheduler):
    """Up from base_lr to max_lr and down again, over and over; momentum goes the other way.

    It steps after every batch. The height of the triangle may shrink: ``lr = base_lr + (max_lr − base_lr) · share ·
    scale``, where share goes from 0 to 1 and back, and scale is 1 ("triangular"), ``1 / 2^(cycle − 1)``
    ("triangular2"), ``gamma^step`` ("exp_range"), or scale_fn's. Momentum falls from max_momentum by as much: SGD's
    "momentum", or β₁ of Adam's "betas".

    Args:
        optimizer: whose rates and momentum to set.
        base_lr, max_lr: the rates at the bottom and at the top; a number, or one for each parameter group.
        step_size_up: steps from the bottom to the top, above 0.
        step_size_down: steps from the top to the bottom, 0 or more; None for as many as up.
        mode: "triangular", "triangular2" or "exp_range"; without effect where there is a scale_fn.
        gamma: see "exp_range".
        scale_fn: takes the number of the cycle, from 1, or that of the step, from 0; returns scale.
        scale_mode: "cycle" or "iterations": what scale_fn takes.
        cycle_momentum: whether to set momentum as well.
        base_momentum, max_momentum: its range, 0 or more and below 1; a number, or one for each parameter group.
        last_epoch: as `LRScheduler`.
    Raises:
        TypeError: optimizer is none, or scale_fn no function.
        ValueError: a setting is out of range, or the optimizer has no momentum.
    Example:
        >>> optimizer = optim.SGD([at.zeros(2)], momentum=0.9)
        >>> scheduler = optim.lr_scheduler.CyclicLR(optimizer, base_lr=0.0, max_lr=1.0, step_size_up=2)
        >>> for _ in range(5):
        ...     print(optimizer.param_groups[0]["lr"], round(optimizer.param_groups[0]["momentum"], 3))
        ...     optimizer.step()
        ...     scheduler.step()
        0.0 0.9
        0.5 0.85
        1.0 0.8
        0.5 0.85
        0.0 0.9

    Source:
        Smith, Cyclical Learning Rates for Training Neural Networks, 2017.
    """

    base_momentums: list[float]
    max_momentums: list[float]

    def __init__(
        self,
        optimizer: Optimizer,
        base_lr: float | list[float],
        max_lr: float | list[float],
        step_size_up: int = 2000,
        step_size_down: int | None = None,
        mode: Literal["triangular", "triangular2", "exp_range"] = "triangular",
        gamma: float = 1.0,
        scale_fn: Callable[[float], float] | None = None,
        scale_mode: Literal["cycle", "iterations"] = "cycle",
        cycle_momentum: bool = True,
        base_momentum: float | list[float] = 0.8,
        max_momentum: float | list[float] = 0.9,
        last_epoch: int = -1,
    ) -> None:
        check_optimizer(NAME, optimizer)
        base_lrs = numbers(optimizer, base_lr=base_lr)
        self.max_lrs = numbers(optimizer, max_lr=max_lr)
        up = real(NAME, above=True, step_size_up=step_size_up)
        down = up if step_size_down is None else real(NAME, step_size_down=step_size_down)
        self.total_size, self.step_ratio = up + down, up / (up + down)
        self.gamma = real(NAME, gamma=gamma)
        self._take_scale(mode, scale_fn, scale_mode)
        self.cycle_momentum = bool(cycle_momentum)
        if cycle_momentum:
            self.use_beta1 = has_betas(NAME, optimizer, "cycle_momentum=False")
            self.base_momentums = numbers(optimizer, 1, base_momentum=base_momentum)
            self.max_momentums = numbers(optimizer, 1, max_momentum=max_momentum)
        if last_epoch == -1:
            write_rates(optimizer, base_lrs)
        super().__init__(optimizer, last_epoch)
        self.base_lrs = base_lrs

    def _take_scale(self, mode: Any, scale_fn: Any, scale_mode: Any) -> None:
        if scale_fn is None and mode not in MODES:
            raise ValueError(f"{NAME}: mode is {mode!r}; expected one of {', '.join(map(repr, MODES))}, or a scale_fn")
        if scale_fn is not None and not callable(scale_fn):
            raise TypeError(f"{NAME}: scale_fn is a {type(scale_fn).__name__}; expected a function")
        if scale_mode not in ("cycle", "iterations"):
            raise ValueError(f"{NAME}: scale_mode is {scale_mode!r}; expected 'cycle' or 'iterations'")
        if scale_fn is None:
            scale_mode = "iterations" if mode == "exp_range" else "cycle"
        self.mode, self._scale_fn_custom, self.scale_mode = mode, scale_fn, scale_mode

    def scale_fn(self, x: float) -> float:
        """The height of the triangle at cycle or step x, as a share."""
        if self._scale_fn_custom is not None:
            return float(self._scale_fn_custom(x))
        if self.mode == "triangular":
            return 1.0
        return 1 / 2.0 ** (x - 1) if self.mode == "triangular2" else self.gamma**x

    def get_lr(self) -> list[float]:
        self._rates()
        turn = self.last_epoch / self.total_size
        cycle = math.floor(1 + turn)
        x = 1.0 + turn - cycle  # the share of this cycle that is over
        share = x / self.step_ratio if x <= self.step_ratio else (x - 1) / (self.step_ratio - 1)
        scale = self.scale_fn(cycle if self.scale_mode == "cycle" else self.last_epoch)
        if self.cycle_momentum:
            limits = zip(self.base_momentums, self.max_momentums, strict=True)
            write_momenta(self.optimizer, [high - (high - low) * share * scale for low, high in limits])
        return [low + (high - low) * share * scale for low, high in zip(self._bases(), self.max_lrs, strict=True)]

    def state_dict(self) -> dict[str, Any]:
        """As `LRScheduler`; of a scale_fn only what a callable object has as attributes."""
        state = {key: value for key, value in vars(self).items() if key not in ("optimizer", "_scale_fn_custom")}
        custom = None if self._scale_fn_custom is None else attributes(self._scale_fn_custom)
        return copy.deepcopy({**state, "_scale_fn_custom": custom})

    def _take_state(self, state: dict[str, Any]) -> None:
        entries = state.pop("_scale_fn_custom")
        if entries:
            vars(self._scale_fn_custom).update(entries)
        super()._take_state(state)


def numbers(optimizer: Optimizer, most: float = math.inf, **setting: Any) -> list[float]:
    """A setting given once or for each group, as numbers of 0 or more, and below most where there is one.

    Example:
        >>> numbers(optim.SGD([at.zeros(2)]), base_lr=0.1)
        [0.1]
    """
    ((key, value),) = setting.items()
    return [real(NAME, 0, most, below=most < math.inf, **{key: v}) for v in one_each(NAME, optimizer, key, value)]
