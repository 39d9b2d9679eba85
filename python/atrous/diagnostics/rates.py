"""The learning-rate finder: one short run with a rate that grows from batch to batch."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

from ..checks import require
from ..nn import Module
from ..optim.optimizer import Optimizer
from ..tensor import Tensor
from ..training.evaluation import on_device_of
from .restore import restored

SMOOTHING = 0.8  # share of the mean before in each smoothed loss
BLOWN_UP = 1.0  # how far above the least loss, as a share of it, nothing is learned any more


class RateTest(NamedTuple):
    """Rates and the losses there.

    Attributes:
        rates: growing by one factor.
        losses: smoothed over the batches before.
        suggestion: the rate at which the loss falls most steeply over the logarithm of the rate, of those that take it
            below all before.
    """

    rates: list[float]
    losses: list[float]

    @property
    def suggestion(self) -> float:
        losses, gains = self.losses, [0.0]
        for i in range(1, len(losses)):
            gains.append(max(0.0, losses[i - 1] - losses[i]) if losses[i] < min(losses[:i]) else 0.0)
        return self.rates[gains.index(max(gains))]


def find_rate(
    model: Module,
    optimizer: Optimizer,
    loss_fn: Callable[[Tensor, Tensor], Tensor],
    batches: Iterable[Any],
    low: float = 1e-6,
    high: float = 1.0,
    steps: int = 100,
) -> RateTest:
    """Trains for some batches with a rate that grows from low to high by a constant factor, and looks at the loss.

    It ends where the loss blows up. Weights, optimizer, loader and random state are left as they were; all parameter
    groups run at the one rate meanwhile.

    Args:
        model, optimizer, loss_fn: as `Trainer` takes them.
        batches: of (inputs, target), gone through again and again.
        low, high: the rates.
        steps: how many batches.
    Raises:
        ValueError: settings out of range, or there are no batches.
    Example:
        >>> x, t = at.randn(32, 4), at.randint(0, 3, (32,))
        >>> model = nn.Linear(4, 3)
        >>> test = find_rate(model, optim.SGD(model.parameters(), lr=0.1), F.cross_entropy, [(x, t)], 1e-4, 100, 50)
        >>> 1e-4 < test.suggestion < 100
        True

    Source:
        Smith, Cyclical learning rates for training neural networks, 2017 (arXiv 1506.01186), section 3.3.
    """
    require(0 < low < high < math.inf, "find_rate", f"low is {low}, high {high}; expected 0 < low < high")
    require(steps >= 5, "find_rate", f"steps is {steps}; expected 5 or more")
    result = RateTest([], [])
    mean = 0.0
    with restored(model, optimizer, batches):
        model.train()
        for step, batch in zip(range(steps), _endless(batches), strict=False):
            rate = low * (high / low) ** (step / (steps - 1))
            for group in optimizer.param_groups:
                group["lr"] = rate
            inputs, target = on_device_of(model, batch)
            loss = loss_fn(model(inputs), target)
            mean = SMOOTHING * mean + (1 - SMOOTHING) * loss.item()
            smoothed = mean / (1 - SMOOTHING ** (step + 1))  # as if no zero had come first
            if not math.isfinite(smoothed) or (step > 1 and smoothed > _limit(min(result.losses))):
                break
            result.rates.append(rate)
            result.losses.append(smoothed)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    require(len(result.rates) > 1, "find_rate", "the loss is not finite at the lowest rate")
    return result


def _limit(least: float) -> float:
    return least + BLOWN_UP * abs(least)  # losses may be negative, such as the logarithm of a density


def _endless(batches: Iterable[Any]) -> Iterator[Any]:
    while True:
        empty = True
        for batch in batches:
            empty = False
            yield batch
        require(not empty, "find_rate", "there are no batches")
