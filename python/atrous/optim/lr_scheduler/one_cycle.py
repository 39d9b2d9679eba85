"""The one-cycle schedule."""

from __future__ import annotations

import math
from typing import Any, Literal

from ...checks import whole
from ..optimizer import Optimizer
from .scheduler import LRScheduler, check_optimizer, has_betas, one_each, real, write_momenta

__all__ = ["OneCycleLR"]

NAME = "OneCycleLR"


class OneCycleLR(LRScheduler):
    """Up from ``max_lr / div_factor`` to max_lr, then down to far below where it began; momentum goes the other way.

    It steps after every batch. The first "momentum" of SGD, or β₁ of Adam's "betas", goes from max_momentum down to
    base_momentum and up again.

    Args:
        optimizer: whose rates and momentum to set.
        max_lr: the top, above 0; a number, or one for each parameter group.
        total_steps: batches in all; or None for ``epochs * steps_per_epoch``.
        epochs, steps_per_epoch: see total_steps.
        pct_start: the share of the steps that go up, 0 to 1.
        anneal_strategy: "cos" or "linear".
        cycle_momentum: whether to set momentum as well.
        base_momentum, max_momentum: its range, 0 or more and below 1; a number, or one for each parameter group.
        div_factor: the initial rate is max_lr / div_factor.
        final_div_factor: the last rate is the initial one / final_div_factor.
        three_phase: down as slowly as up, to the initial rate, and from there to the last.
        last_epoch: as `LRScheduler`.
    Raises:
        TypeError: optimizer is none.
        ValueError: a setting is out of range, the optimizer has no momentum, or there are more steps than total_steps.
    Example:
        >>> optimizer = optim.SGD([at.zeros(2)], momentum=0.9)
        >>> scheduler = optim.lr_scheduler.OneCycleLR(optimizer, max_lr=1.0, total_steps=10)
        >>> for _ in range(2):
        ...     optimizer.step()
        ...     scheduler.step()
        >>> scheduler.get_last_lr(), optimizer.param_groups[0]["momentum"]
        ([1.0], 0.85)

    Source:
        Smith and Topin, Super-Convergence, 2018; defaults as fastai has them.
    Differs from PyTorch: the step after the last batch keeps the last rate (there it overshoots, below 0 if "linear"),
    and a phase of no length is left out (there a ZeroDivisionError).
    """

    def __init__(
        self,
        optimizer: Optimizer,
        max_lr: float | list[float],
        total_steps: int | None = None,
        epochs: int | None = None,
        steps_per_epoch: int | None = None,
        pct_start: float = 0.3,
        anneal_strategy: Literal["cos", "linear"] = "cos",
        cycle_momentum: bool = True,
        base_momentum: float | list[float] = 0.85,
        max_momentum: float | list[float] = 0.95,
        div_factor: float = 25.0,
        final_div_factor: float = 1e4,
        three_phase: bool = False,
        last_epoch: int = -1,
    ) -> None:
        check_optimizer(NAME, optimizer)
        self.total_steps = count_steps(total_steps, epochs, steps_per_epoch)
        if anneal_strategy not in ("cos", "linear"):
            raise ValueError(f"{NAME}: anneal_strategy is {anneal_strategy!r}; expected 'cos' or 'linear'")
        self._anneal_func_type = anneal_strategy
        self._schedule_phases = phases(real(NAME, 0, 1, pct_start=pct_start), self.total_steps, three_phase)
        self.cycle_momentum = bool(cycle_momentum)
        settings = []  # those of each group
        div = real(NAME, above=True, div_factor=div_factor)
        final_div = real(NAME, above=True, final_div_factor=final_div_factor)
        for top in one_each(NAME, optimizer, "max_lr", max_lr):
            top = real(NAME, above=True, max_lr=top)
            settings.append({"initial_lr": top / div, "max_lr": top, "min_lr": top / div / final_div})
        if cycle_momentum:
            self.use_beta1 = has_betas(NAME, optimizer, "cycle_momentum=False")
            for key, value in (("base_momentum", base_momentum), ("max_momentum", max_momentum)):
                for group, momentum in zip(settings, one_each(NAME, optimizer, key, value), strict=True):
                    group[key] = real(NAME, 0, 1, below=True, **{key: momentum})
        self._mark(optimizer, settings, last_epoch)
        super().__init__(optimizer, last_epoch)

    def _mark(self, optimizer: Optimizer, settings: list[dict[str, float]], last_epoch: int) -> None:
        """Writes what the schedule goes between into the groups, or checks that a resumed optimizer has it."""
        for i, (group, own) in enumerate(zip(optimizer.param_groups, settings, strict=True)):
            if last_epoch == -1:
                group.update(own)
            elif not own.keys() <= group.keys():
                missing = ", ".join(sorted(own.keys() - group.keys()))
                raise ValueError(
                    f"{NAME}: group {i} has no {missing}; last_epoch={last_epoch} needs a resumed optimizer"
                )

    def get_lr(self) -> list[float]:
        if self.last_epoch > self.total_steps:
            raise ValueError(f"{NAME}: this is step {self.last_epoch}; expected at most total_steps={self.total_steps}")
        self._rates()
        rates, momenta = [], []
        phase, share = self._position(min(self.last_epoch, self.total_steps - 1))
        anneal = annealing_cos if self._anneal_func_type == "cos" else annealing_linear
        for group in self.optimizer.param_groups:
            rates.append(anneal(group[phase["start_lr"]], group[phase["end_lr"]], share))
            if self.cycle_momentum:
                momenta.append(anneal(group[phase["start_momentum"]], group[phase["end_momentum"]], share))
        if self.cycle_momentum:
            write_momenta(self.optimizer, momenta)
        return rates

    def _position(self, step: int) -> tuple[dict[str, Any], float]:
        """The phase that a step is in, and the share of it that is done."""
        start = 0.0
        for phase in self._schedule_phases[:-1]:
            if step <= phase["end_step"]:
                break
            start = phase["end_step"]
        else:
            phase = self._schedule_phases[-1]
        length = phase["end_step"] - start
        return phase, (step - start) / length if length else 1.0


def count_steps(total_steps: Any, epochs: Any, steps_per_epoch: Any) -> int:
    """The number of steps, given as such or as epochs × steps_per_epoch.

    Raises:
        ValueError: neither is given, or one is not an int of 1 or more.
    Example:
        >>> count_steps(None, 3, 100)
        300
    """
    if total_steps is not None:
        return whole(NAME, 1, total_steps=total_steps)
    if epochs is None or steps_per_epoch is None:
        raise ValueError(f"{NAME}: expected total_steps, or both epochs and steps_per_epoch")
    return whole(NAME, 1, epochs=epochs) * whole(NAME, 1, steps_per_epoch=steps_per_epoch)


def phases(pct_start: float, total: int, three_phase: bool) -> list[dict[str, Any]]:
    """Where each phase ends, and between which settings of a group it goes, as PyTorch's state dicts have them."""
    up = pct_start * total - 1
    ends: list[tuple[float, str, str]] = [(up, "initial_lr", "max_lr"), (total - 1, "max_lr", "min_lr")]
    if three_phase:
        ends[1:] = [(2 * pct_start * total - 2, "max_lr", "initial_lr"), (total - 1, "initial_lr", "min_lr")]
    momentum = ["max_momentum", "base_momentum", "max_momentum", "max_momentum"]
    return [
        {"end_step": end, "start_lr": a, "end_lr": b, "start_momentum": momentum[i], "end_momentum": momentum[i + 1]}
        for i, (end, a, b) in enumerate(ends)
    ]


def annealing_cos(start: float, end: float, share: float) -> float:
    """Half a cosine from start (share 0) to end (share 1)."""
    return end + (start - end) / 2.0 * (math.cos(math.pi * share) + 1)


def annealing_linear(start: float, end: float, share: float) -> float:
    """A line from start (share 0) to end (share 1)."""
    return (end - start) * share + start
