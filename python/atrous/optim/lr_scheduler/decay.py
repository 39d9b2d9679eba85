"""Schedules by a factor: at milestones, along a line, a power, an exponential or 1 / t."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from ...checks import whole
from ..optimizer import Optimizer
from .scheduler import LRScheduler, real

__all__ = ["ConstantLR", "ExponentialLR", "InverseTimeLR", "LinearLR", "MultiStepLR", "PolynomialLR", "StepLR"]


class StepLR(LRScheduler):
    """Times gamma every ``step_size`` epochs.

    Args:
        optimizer: whose rates to set.
        step_size: epochs, 1 or more.
        gamma: the factor, 0 or more.
        last_epoch: as `LRScheduler`.
    Example:
        >>> optimizer = optim.SGD([at.zeros(2)], lr=1.0)
        >>> scheduler = optim.lr_scheduler.StepLR(optimizer, step_size=2, gamma=0.5)
        >>> for _ in range(4):
        ...     print(optimizer.param_groups[0]["lr"])  # here an epoch of training
        ...     optimizer.step()
        ...     scheduler.step()
        1.0
        1.0
        0.5
        0.5
    """

    def __init__(self, optimizer: Optimizer, step_size: int, gamma: float = 0.1, last_epoch: int = -1) -> None:
        self.step_size = whole("StepLR", 1, step_size=step_size)
        self.gamma = real("StepLR", gamma=gamma)
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        rates = self._rates()
        if self.last_epoch == 0 or self.last_epoch % self.step_size:
            return rates
        return [rate * self.gamma for rate in rates]


class MultiStepLR(LRScheduler):
    """Times gamma at each milestone; one that is given twice counts twice.

    Args:
        optimizer: whose rates to set.
        milestones: epochs, in any order.
        gamma: the factor, 0 or more.
        last_epoch: as `LRScheduler`.
    Example:
        >>> optimizer = optim.SGD([at.zeros(2)], lr=1.0)
        >>> scheduler = optim.lr_scheduler.MultiStepLR(optimizer, [1, 3], gamma=0.5)
        >>> optimizer.step(); scheduler.step(); scheduler.get_last_lr()
        [0.5]
    """

    def __init__(
        self, optimizer: Optimizer, milestones: Iterable[int], gamma: float = 0.1, last_epoch: int = -1
    ) -> None:
        self.milestones = Counter(whole("MultiStepLR", 0, milestones=epoch) for epoch in milestones)
        self.gamma = real("MultiStepLR", gamma=gamma)
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        factor = self.gamma ** self.milestones[self.last_epoch]  # 0 for an epoch that is none
        return [rate * factor for rate in self._rates()]

    def state_dict(self) -> dict[str, Any]:
        """As `LRScheduler`; the milestones as a sorted list (in PyTorch a Counter, whose keys JSON makes strings)."""
        return {**super().state_dict(), "milestones": sorted(self.milestones.elements())}

    def _take_state(self, state: dict[str, Any]) -> None:
        milestones = state["milestones"]
        if isinstance(milestones, Mapping):  # PyTorch's
            milestones = Counter({int(epoch): times for epoch, times in milestones.items()}).elements()
        super()._take_state({**state, "milestones": Counter(milestones)})


class ConstantLR(LRScheduler):
    """Times ``factor`` for the first ``total_iters`` epochs, then back.

    Args:
        optimizer: whose rates to set.
        factor: above 0, 1 or less. (PyTorch takes 0, and divides by it at the end.)
        total_iters: epochs, 1 or more.
        last_epoch: as `LRScheduler`.
    Example:
        >>> optimizer = optim.SGD([at.zeros(2)], lr=1.0)
        >>> scheduler = optim.lr_scheduler.ConstantLR(optimizer, factor=0.5, total_iters=1)
        >>> scheduler.get_last_lr()
        [0.5]
        >>> optimizer.step(); scheduler.step(); scheduler.get_last_lr()
        [1.0]
    """

    def __init__(
        self, optimizer: Optimizer, factor: float = 1.0 / 3, total_iters: int = 5, last_epoch: int = -1
    ) -> None:
        self.factor = real("ConstantLR", 0, 1, above=True, factor=factor)
        self.total_iters = whole("ConstantLR", 1, total_iters=total_iters)
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        rates = self._rates()
        if self.last_epoch == 0:
            return [rate * self.factor for rate in rates]
        if self.last_epoch == self.total_iters:
            return [rate * (1.0 / self.factor) for rate in rates]
        return rates


class LinearLR(LRScheduler):
    """A line from start_factor to end_factor times the rate, over ``total_iters`` epochs: a warm-up, as a rule.

    Args:
        optimizer: whose rates to set.
        start_factor: above 0, 1 or less.
        end_factor: 0 to 1.
        total_iters: epochs, 1 or more.
        last_epoch: as `LRScheduler`.
    Example: three epochs of warm-up, then a cosine down to 0 in the other seven. A constant warm-up has `ConstantLR` in
    the first place.
        >>> optimizer = optim.SGD([at.zeros(2)], lr=0.4)
        >>> warmup = optim.lr_scheduler.LinearLR(optimizer, start_factor=0.25, total_iters=3)
        >>> cosine = optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=7)
        >>> scheduler = optim.lr_scheduler.SequentialLR(optimizer, [warmup, cosine], milestones=[3])
        >>> for _ in range(5):
        ...     print(round(optimizer.param_groups[0]["lr"], 3))  # here an epoch of training
        ...     optimizer.step()
        ...     scheduler.step()
        0.1
        0.2
        0.3
        0.4
        0.38

    Source:
        Goyal et al., Accurate, Large Minibatch SGD, 2017, section 2.2 ("gradual warmup").
    """

    def __init__(
        self,
        optimizer: Optimizer,
        start_factor: float = 1.0 / 3,
        end_factor: float = 1.0,
        total_iters: int = 5,
        last_epoch: int = -1,
    ) -> None:
        self.start_factor = real("LinearLR", 0, 1, above=True, start_factor=start_factor)
        self.end_factor = real("LinearLR", 0, 1, end_factor=end_factor)
        self.total_iters = whole("LinearLR", 1, total_iters=total_iters)
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        rates, start, rise = self._rates(), self.start_factor, self.end_factor - self.start_factor
        if self.last_epoch == 0:
            return [rate * start for rate in rates]
        if self._is_initial or self.last_epoch > self.total_iters:
            return rates
        step = rise / (self.total_iters * start + (self.last_epoch - 1) * rise)
        return [rate * (1.0 + step) for rate in rates]


class ExponentialLR(LRScheduler):
    """Times gamma every epoch: ``lr · gamma^t``. A textbook's ``lr · e^(−kt)`` has ``gamma = math.exp(-k)``.

    Args:
        optimizer: whose rates to set.
        gamma: the factor, 0 or more.
        last_epoch: as `LRScheduler`.
    Example:
        >>> optimizer = optim.SGD([at.zeros(2)], lr=1.0)
        >>> scheduler = optim.lr_scheduler.ExponentialLR(optimizer, gamma=0.5)
        >>> optimizer.step(); scheduler.step(); scheduler.get_last_lr()
        [0.5]
    """

    def __init__(self, optimizer: Optimizer, gamma: float, last_epoch: int = -1) -> None:
        self.gamma = real("ExponentialLR", gamma=gamma)
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        rates = self._rates()
        return rates if self._is_initial else [rate * self.gamma for rate in rates]


class InverseTimeLR(LRScheduler):
    """Falls as 1 / t: ``lr / (1 + gamma · t)`` at epoch t. PyTorch has no such class.

    The definition is the textbooks', who call gamma k or the decay, and Keras's ``InverseTimeDecay``, where gamma is
    ``decay_rate / decay_steps``.

    Args:
        optimizer: whose rates to set.
        gamma: how fast it falls, 0 or more: the rate is halved after ``1 / gamma`` epochs.
        last_epoch: as `LRScheduler`.
    Example:
        >>> optimizer = optim.SGD([at.zeros(2)], lr=1.0)
        >>> scheduler = optim.lr_scheduler.InverseTimeLR(optimizer, gamma=0.25)
        >>> optimizer.step(); scheduler.step(); scheduler.get_last_lr()
        [0.8]

    Source:
        Robbins and Monro, A Stochastic Approximation Method, 1951: such rates sum to infinity and their squares do not.
    """

    def __init__(self, optimizer: Optimizer, gamma: float, last_epoch: int = -1) -> None:
        self.gamma = real("InverseTimeLR", gamma=gamma)
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        rates = self._rates()
        if self._is_initial:
            return rates
        factor = (1.0 + self.gamma * (self.last_epoch - 1)) / (1.0 + self.gamma * self.last_epoch)
        return [rate * factor for rate in rates]


class PolynomialLR(LRScheduler):
    """``(1 − epoch / total_iters)^power`` times the rate, down to 0.

    Each step multiplies the present rate by the quotient of two such factors, as in PyTorch: alone that is the closed
    form, beside another scheduler both act. A textbook's end rate, ``end + (lr − end)(1 − t / T)^power``, is
    ``LambdaLR(optimizer, lambda t: end / lr + (1 - end / lr) * (1 - min(t, T) / T) ** power)``.

    Args:
        optimizer: whose rates to set.
        total_iters: epochs, 1 or more; the rate stays 0 after them.
        power: 0 or more.
        last_epoch: as `LRScheduler`.
    Example:
        >>> optimizer = optim.SGD([at.zeros(2)], lr=1.0)
        >>> scheduler = optim.lr_scheduler.PolynomialLR(optimizer, total_iters=4, power=2)
        >>> optimizer.step(); scheduler.step(); scheduler.get_last_lr()
        [0.5625]

    Source:
        Chen et al., DeepLab, 2017, section 4.1 ("poly").
    """

    def __init__(self, optimizer: Optimizer, total_iters: int = 5, power: float = 1.0, last_epoch: int = -1) -> None:
        self.total_iters = whole("PolynomialLR", 1, total_iters=total_iters)
        self.power = real("PolynomialLR", power=power)
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        rates, epoch, total = self._rates(), self.last_epoch, self.total_iters
        if self._is_initial or epoch > total:
            return rates
        factor = ((1.0 - epoch / total) / (1.0 - (epoch - 1) / total)) ** self.power
        return [rate * factor for rate in rates]
