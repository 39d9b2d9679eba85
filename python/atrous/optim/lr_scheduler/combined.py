"""Schedulers made of schedulers: one after the other, or all at once."""

from __future__ import annotations

import copy
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from typing import Any

from ...checks import whole
from ..optimizer import Optimizer
from .plateau import ReduceLROnPlateau
from .scheduler import LRScheduler, check_optimizer, read_rates, write_rates

__all__ = ["ChainedScheduler", "SequentialLR"]


class Combined(LRScheduler):
    """What `SequentialLR` and `ChainedScheduler` share: the checks of their parts, and the parts' states."""

    _schedulers: list[LRScheduler]

    def _take_parts(self, optimizer: Optimizer | None, schedulers: Sequence[LRScheduler]) -> None:
        name = type(self).__name__
        if len(schedulers) == 0:
            raise ValueError(f"{name}: schedulers is empty; expected at least one")
        for i, part in enumerate(schedulers):
            if not isinstance(part, LRScheduler):
                raise TypeError(f"{name}: scheduler {i} is a {type(part).__name__}; expected an LRScheduler")
            if isinstance(part, ReduceLROnPlateau):
                raise ValueError(f"{name}: scheduler {i} is a ReduceLROnPlateau, whose step() needs a measure")
            if part.optimizer is not (optimizer or schedulers[0].optimizer):
                raise ValueError(f"{name}: scheduler {i} is one of another optimizer; expected one for all")
        self.optimizer = optimizer or schedulers[0].optimizer
        self._schedulers = list(schedulers)

    def _bases(self) -> list[float]:
        return [group["initial_lr"] for group in self.optimizer.param_groups]

    def state_dict(self) -> dict[str, Any]:
        """As `LRScheduler`, with the states of the parts."""
        state = {key: value for key, value in vars(self).items() if key not in ("optimizer", "_schedulers")}
        return copy.deepcopy({**state, "_schedulers": [part.state_dict() for part in self._schedulers]})

    def _check_state(self, state: Mapping[str, Any]) -> None:
        super()._check_state(state)
        own, loaded = len(self._schedulers), len(state["_schedulers"])
        if own != loaded:
            raise ValueError(f"{type(self).__name__}: the state is of {loaded} schedulers; expected {own}")
        for part, entries in zip(self._schedulers, state["_schedulers"], strict=True):
            part._check_state(entries)

    def _take_state(self, state: dict[str, Any]) -> None:
        for part, entries in zip(self._schedulers, state.pop("_schedulers"), strict=True):
            part._take_state(entries)
        super()._take_state(state)


class SequentialLR(Combined):
    """One scheduler after the other; each starts at its epoch 0, from the initial rates, when its milestone comes.

    Args:
        optimizer: the one that all schedulers have.
        schedulers: in the order of their turns.
        milestones: the epoch at which the second, the third, ... takes over; one fewer than schedulers, ascending.
        last_epoch: −1; a run goes on through `load_state_dict`. (PyTorch takes others, and sets the initial rates.)
    Raises:
        TypeError: something is no scheduler.
        ValueError: a scheduler has another optimizer or is a ReduceLROnPlateau, or the milestones do not fit.
    Example:
        >>> optimizer = optim.SGD([at.zeros(2)], lr=1.0)
        >>> warmup = optim.lr_scheduler.ConstantLR(optimizer, factor=0.5, total_iters=2)
        >>> decay = optim.lr_scheduler.ExponentialLR(optimizer, gamma=0.5)
        >>> scheduler = optim.lr_scheduler.SequentialLR(optimizer, [warmup, decay], milestones=[2])
        >>> for _ in range(4):
        ...     print(optimizer.param_groups[0]["lr"])
        ...     optimizer.step()
        ...     scheduler.step()
        0.5
        0.5
        1.0
        0.5

    Differs from PyTorch: a combined scheduler may be a part at any place. (There the first is stepped once too many,
    and later ones fail at their milestone.)
    """

    def __init__(
        self, optimizer: Optimizer, schedulers: list[LRScheduler], milestones: list[int], last_epoch: int = -1
    ) -> None:
        check_optimizer("SequentialLR", optimizer)
        self._take_parts(optimizer, schedulers)
        milestones = list(milestones)
        self._milestones = [whole("SequentialLR", 0, milestones=epoch) for epoch in milestones]
        if len(self._milestones) != len(schedulers) - 1 or self._milestones != sorted(self._milestones):
            raise ValueError(
                f"SequentialLR: milestones is {milestones}; expected {len(schedulers) - 1} ascending epochs, one "
                "fewer than schedulers"
            )
        if last_epoch != -1:
            raise ValueError(f"SequentialLR: last_epoch is {last_epoch!r}; expected -1 (load_state_dict resumes)")
        write_rates(optimizer, self._bases())
        self._begin()

    def step(self) -> None:
        """Sets the rates of the next epoch, by the scheduler whose turn it is."""
        self.last_epoch += 1
        turn = bisect_right(self._milestones, self.last_epoch)
        part = self._schedulers[turn]
        if turn > 0 and self._milestones[turn - 1] == self.last_epoch:
            part._restart()
        else:
            part.step()
        self._last_lr = part.get_last_lr()

    def _begin(self) -> None:
        self.last_epoch = 0
        part = self._schedulers[bisect_right(self._milestones, 0)]
        part._begin()
        self._last_lr = part.get_last_lr()


class ChainedScheduler(Combined):
    """Several schedulers at once: each changes the rates that the one before it set.

    Args:
        schedulers: of one optimizer; those that compute the rate from the epoch alone (LambdaLR, OneCycleLR,
            CosineAnnealingWarmRestarts) overwrite what came before them.
        optimizer: the one that they have, for the check.
    Raises:
        TypeError: something is no scheduler.
        ValueError: there are none, one has another optimizer, or one is a ReduceLROnPlateau.
    Example:
        >>> optimizer = optim.SGD([at.zeros(2)], lr=1.0)
        >>> warmup = optim.lr_scheduler.ConstantLR(optimizer, factor=0.5, total_iters=4)
        >>> decay = optim.lr_scheduler.ExponentialLR(optimizer, gamma=0.5)
        >>> scheduler = optim.lr_scheduler.ChainedScheduler([warmup, decay])
        >>> optimizer.step(); scheduler.step(); scheduler.get_last_lr()
        [0.25]
    """

    def __init__(self, schedulers: Sequence[LRScheduler], optimizer: Optimizer | None = None) -> None:
        if optimizer is not None:
            check_optimizer("ChainedScheduler", optimizer)
        self._take_parts(optimizer, schedulers)
        self._last_lr = read_rates(self.optimizer)

    def step(self) -> None:
        """Steps all schedulers, in order."""
        for part in self._schedulers:
            part.step()
        self._last_lr = read_rates(self.optimizer)

    def _begin(self) -> None:
        for part in self._schedulers:
            part._begin()
        self._last_lr = read_rates(self.optimizer)
