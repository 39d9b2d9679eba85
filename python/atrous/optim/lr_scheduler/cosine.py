"""Cosine schedules: one way down (and up again), or with restarts."""

from __future__ import annotations

import math

from ...checks import whole
from ..optimizer import Optimizer
from .scheduler import LRScheduler, real

__all__ = ["CosineAnnealingLR", "CosineAnnealingWarmRestarts"]


class CosineAnnealingLR(LRScheduler):
    """Half a cosine from the initial rate to eta_min: ``η_min + (η − η_min)(1 + cos(π · epoch / T_max)) / 2``.

    After T_max the rate goes up again, as the cosine does. It follows from the present rate, as in PyTorch.

    Args:
        optimizer: whose rates to set.
        T_max: epochs from the top to the bottom, 1 or more.
        eta_min: the rate at the bottom, 0 or more.
        last_epoch: as `LRScheduler`.
    Example:
        >>> optimizer = optim.SGD([at.zeros(2)], lr=1.0)
        >>> scheduler = optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=2, eta_min=0.5)
        >>> optimizer.step(); scheduler.step(); scheduler.get_last_lr()
        [0.75]

    Source:
        Loshchilov and Hutter, SGDR, 2017, equation 5, without restarts.
    """

    def __init__(self, optimizer: Optimizer, T_max: int, eta_min: float = 0.0, last_epoch: int = -1) -> None:
        self.T_max = whole("CosineAnnealingLR", 1, T_max=T_max)
        self.eta_min = real("CosineAnnealingLR", eta_min=eta_min)
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        rates, epoch, T, low = self._rates(), self.last_epoch, self.T_max, self.eta_min
        if self._is_initial:
            return rates
        if (epoch - 1 - T) % (2 * T) == 0:  # the step off the bottom, where the quotient below is 0 / 0
            rise = (1 - math.cos(math.pi / T)) / 2
            return [rate + (base - low) * rise for rate, base in zip(rates, self._bases(), strict=True)]
        factor = (1 + math.cos(math.pi * epoch / T)) / (1 + math.cos(math.pi * (epoch - 1) / T))
        return [factor * (rate - low) + low for rate in rates]


class CosineAnnealingWarmRestarts(LRScheduler):
    """Half a cosine from the initial rate to eta_min over T_0 epochs, then from the top again, T_mult times as long.

    ``η_min + (η − η_min)(1 + cos(π · T_cur / T_i)) / 2``, with T_cur epochs since a restart and T_i to the next.

    Args:
        optimizer: whose rates to set.
        T_0: epochs to the first restart, 1 or more.
        T_mult: how much longer each round is, an int of 1 or more.
        eta_min: the rate at the bottom, 0 or more.
        last_epoch: as `LRScheduler`; the round that it falls in is found. (By PyTorch where T_mult is 1.)
    Example:
        >>> optimizer = optim.SGD([at.zeros(2)], lr=1.0)
        >>> scheduler = optim.lr_scheduler.CosineAnnealingWarmRestarts(optimizer, T_0=2)
        >>> for _ in range(4):
        ...     print(optimizer.param_groups[0]["lr"])
        ...     optimizer.step()
        ...     scheduler.step()
        1.0
        0.5
        1.0
        0.5

    Source:
        Loshchilov and Hutter, SGDR, 2017, equation 5.
    """

    def __init__(
        self, optimizer: Optimizer, T_0: int, T_mult: int = 1, eta_min: float = 0.0, last_epoch: int = -1
    ) -> None:
        name = "CosineAnnealingWarmRestarts"
        self.T_0 = self.T_i = whole(name, 1, T_0=T_0)
        self.T_mult = whole(name, 1, T_mult=T_mult)
        self.eta_min = real(name, eta_min=eta_min)
        self.T_cur: float = 0
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        low, factor = self.eta_min, (1 + math.cos(math.pi * self.T_cur / self.T_i)) / 2
        return [low + (base - low) * factor for base in self._bases()]

    def step(self, epoch: float | None = None) -> None:
        """Sets the rates of the next epoch, or of the one given.

        Args:
            epoch: 0 or more; fractions are meant, as in ``step(epoch + batch / batches)``.
        """
        if epoch is not None:
            epoch = real("CosineAnnealingWarmRestarts", epoch=epoch)
        self._count_step()
        if epoch is None and not self._is_initial:
            self._next()
        else:
            self._find(self.last_epoch + 1 if epoch is None else epoch)
        self._set_rates()

    def _next(self) -> None:
        """One epoch on from where the last step was, fractions kept."""
        self.last_epoch += 1
        self.T_cur += 1
        if self.T_cur >= self.T_i:
            self.T_cur -= self.T_i
            self.T_i *= self.T_mult

    def _find(self, epoch: float) -> None:
        """The round of an epoch, by whole numbers: a logarithm is off by one at some restarts."""
        self.last_epoch = math.floor(epoch)
        self.T_i, self.T_cur = self.T_0, epoch
        if self.T_mult == 1:
            self.T_cur = epoch % self.T_0
        while self.T_cur >= self.T_i:
            self.T_cur -= self.T_i
            self.T_i *= self.T_mult
