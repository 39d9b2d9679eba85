"""The schedule of stochastic weight averaging; it is public as `optim.swa_utils.SWALR`, where PyTorch has it."""

from __future__ import annotations

import math
from typing import Literal

from ...checks import whole
from ..optimizer import Optimizer
from .scheduler import LRScheduler, check_optimizer, one_each, real

__all__ = ["SWALR"]


class SWALR(LRScheduler):
    """From the present rate to swa_lr, where it stays: the last stretch of training, whose weights are averaged.

    Args:
        optimizer: whose rates to set.
        swa_lr: the last rate, 0 or more; a number, or one for each parameter group.
        anneal_epochs: steps on the way, 0 or more.
        anneal_strategy: "cos" or "linear".
        last_epoch: as `LRScheduler`.
    Example:
        >>> optimizer = optim.SGD([at.zeros(2)], lr=1.0)
        >>> scheduler = optim.swa_utils.SWALR(optimizer, swa_lr=0.5, anneal_epochs=2, anneal_strategy="linear")
        >>> for _ in range(3):
        ...     optimizer.step()
        ...     scheduler.step()
        ...     print(scheduler.get_last_lr())
        [0.75]
        [0.5]
        [0.5]

    Source:
        Izmailov et al., Averaging Weights Leads to Wider Optima and Better Generalization, 2018.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        swa_lr: float | list[float],
        anneal_epochs: int = 10,
        anneal_strategy: Literal["cos", "linear"] = "cos",
        last_epoch: int = -1,
    ) -> None:
        check_optimizer("SWALR", optimizer)
        rates = [real("SWALR", swa_lr=rate) for rate in one_each("SWALR", optimizer, "swa_lr", swa_lr)]
        if anneal_strategy not in ("cos", "linear"):
            raise ValueError(f"SWALR: anneal_strategy is {anneal_strategy!r}; expected 'cos' or 'linear'")
        self.anneal_epochs = whole("SWALR", 0, anneal_epochs=anneal_epochs)
        self._anneal_strategy = anneal_strategy
        for group, rate in zip(optimizer.param_groups, rates, strict=True):
            group["swa_lr"] = rate
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        step = self._step_count - 1  # counted from when the scheduler was made, as in PyTorch
        if self.anneal_epochs == 0:
            step = max(1, step)
        before, now = self._share(step - 1), self._share(step)
        rates = []
        for group, rate in zip(self.optimizer.param_groups, self._rates(), strict=True):
            last = group["swa_lr"]
            first = last if before == 1 else (rate - before * last) / (1 - before)
            rates.append(last * now + first * (1 - now))
        return rates

    def _share(self, step: int) -> float:
        """How much of the way is done."""
        t = max(0.0, min(1.0, step / max(1, self.anneal_epochs)))
        return t if self._anneal_strategy == "linear" else (1 - math.cos(math.pi * t)) / 2
