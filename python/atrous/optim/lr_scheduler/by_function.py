"""Schedules by a function of one's own, of the rate or of the momentum."""

from __future__ import annotations

import copy
import types
from collections.abc import Callable
from typing import Any

from ..optimizer import Optimizer
from .scheduler import LRScheduler, check_optimizer, has_betas, one_each, real, write_momenta

__all__ = ["LambdaLR", "LambdaMomentum", "MultiplicativeLR"]


class ByFunction(LRScheduler):
    """What schedules by a function share: a list of functions, one for each group, and what of them can be saved."""

    _functions: str  # the name of the list

    def _take_functions(self, optimizer: Optimizer, setting: str, value: Any) -> None:
        name = type(self).__name__
        check_optimizer(name, optimizer)
        functions = one_each(name, optimizer, setting, value)
        for function in functions:
            if not callable(function):
                raise TypeError(f"{name}: {setting} is a {type(function).__name__}; expected a function")
        setattr(self, self._functions, functions)

    def _values(self) -> list[float]:
        """What the functions return for the present epoch, one a group."""
        self._bases()  # checks the number of groups
        return [float(function(self.last_epoch)) for function in getattr(self, self._functions)]

    def state_dict(self) -> dict[str, Any]:
        """As `LRScheduler`; of the functions only what callable objects have as attributes, None for others."""
        state = {key: value for key, value in vars(self).items() if key not in ("optimizer", self._functions)}
        return copy.deepcopy({**state, self._functions: [attributes(f) for f in getattr(self, self._functions)]})

    def _take_state(self, state: dict[str, Any]) -> None:
        for function, entries in zip(getattr(self, self._functions), state.pop(self._functions), strict=True):
            if entries:
                vars(function).update(entries)
        super()._take_state(state)


def attributes(function: Callable) -> dict[str, Any] | None:
    """What a callable object keeps in its attributes; None for a function.

    Example:
        >>> attributes(abs) is None
        True
    """
    if isinstance(function, (types.FunctionType, types.MethodType)):
        return None
    return getattr(function, "__dict__", None)


class LambdaLR(ByFunction):
    """The initial rate times a function of the epoch.

    Args:
        optimizer: whose rates to set.
        lr_lambda: takes the epoch, returns a factor; or a list of such, one for each parameter group.
        last_epoch: as `LRScheduler`.
    Example:
        >>> optimizer = optim.SGD([at.zeros(2)], lr=0.5)
        >>> scheduler = optim.lr_scheduler.LambdaLR(optimizer, lambda epoch: 1 / (epoch + 1))
        >>> optimizer.step(); scheduler.step(); scheduler.get_last_lr()
        [0.25]
    """

    lr_lambdas: list[Callable[[int], float]]
    _functions = "lr_lambdas"

    def __init__(
        self,
        optimizer: Optimizer,
        lr_lambda: Callable[[int], float] | list[Callable[[int], float]],
        last_epoch: int = -1,
    ) -> None:
        self._take_functions(optimizer, "lr_lambda", lr_lambda)
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        return [base * factor for base, factor in zip(self._bases(), self._values(), strict=True)]


class MultiplicativeLR(LambdaLR):
    """The present rate times a function of the epoch, at every step. `LambdaLR` multiplies the initial rate.

    Args:
        optimizer: whose rates to set.
        lr_lambda: takes the epoch, from 1, returns a factor; or a list of such, one for each parameter group.
        last_epoch: as `LRScheduler`.
    Example:
        >>> optimizer = optim.SGD([at.zeros(2)], lr=1.0)
        >>> scheduler = optim.lr_scheduler.MultiplicativeLR(optimizer, lambda epoch: 0.5 if epoch % 2 else 1.0)
        >>> optimizer.step(); scheduler.step(); scheduler.get_last_lr()
        [0.5]
    """

    def get_lr(self) -> list[float]:
        rates = self._rates()
        if self._is_initial:
            return rates
        return [rate * factor for rate, factor in zip(rates, self._values(), strict=True)]


class LambdaMomentum(ByFunction):
    """The momentum as a function of the epoch: SGD's "momentum", or β₁ of Adam's "betas". The rate stays.

    It goes beside a schedule of the rate, as a `ChainedScheduler` of both or stepped after it. `OneCycleLR` and
    `CyclicLR` move momentum on their own. PyTorch has no such class.

    Args:
        optimizer: whose momentum to set.
        momentum_lambda: takes the epoch, returns the momentum itself, 0 or more and below 1; or a list of such, one
            for each parameter group.
        last_epoch: as `LRScheduler`.
    Raises:
        TypeError: optimizer is none, or momentum_lambda no function.
        ValueError: the optimizer has no momentum, or a function returned a number out of range.
    Example: from 0.5 to 0.9 over four epochs.
        >>> optimizer = optim.SGD([at.zeros(2)], lr=0.1, momentum=0.5)
        >>> momentum = optim.lr_scheduler.LambdaMomentum(optimizer, lambda epoch: 0.5 + 0.1 * min(epoch, 4))
        >>> decay = optim.lr_scheduler.ExponentialLR(optimizer, gamma=0.9)
        >>> scheduler = optim.lr_scheduler.ChainedScheduler([decay, momentum])
        >>> optimizer.step(); scheduler.step(); optimizer.param_groups[0]["momentum"]
        0.6

    Source:
        Sutskever et al., On the importance of initialization and momentum in deep learning, 2013, equation 5.
    """

    momentum_lambdas: list[Callable[[int], float]]
    _functions = "momentum_lambdas"

    def __init__(
        self,
        optimizer: Optimizer,
        momentum_lambda: Callable[[int], float] | list[Callable[[int], float]],
        last_epoch: int = -1,
    ) -> None:
        self._take_functions(optimizer, "momentum_lambda", momentum_lambda)
        has_betas("LambdaMomentum", optimizer)
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        """The present rates; the momenta are set on the way."""
        values = self._values()
        momenta = [real("LambdaMomentum", 0, 1, below=True, momentum=value) for value in values]
        write_momenta(self.optimizer, momenta)
        return self._rates()
