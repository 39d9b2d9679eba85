"""The part that schedulers share: counting steps, writing rates into the groups, state dicts, checks of settings."""

from __future__ import annotations

import copy
import math
import numbers
import warnings
from collections.abc import Mapping
from typing import Any

from ...checks import whole
from ..optimizer import Optimizer

__all__ = ["LRScheduler"]


class LRScheduler:
    """Base class: a subclass says in `get_lr` what the groups' learning rates are at `last_epoch`.

    Making a scheduler sets the rates of epoch 0; each `step`, which comes after the optimizer's, those of the next one.
    An epoch is whatever passes between two steps: an epoch of training, or a batch. Rates follow from the present ones
    where they can, as in PyTorch, so that several schedulers may work on one optimizer (`ChainedScheduler`).

    Args:
        optimizer: its groups get "initial_lr", the rate that the schedule starts from.
        last_epoch: −1 for a new schedule; else the epoch at which a run goes on whose groups have "initial_lr" already.
            A scheduler's own `load_state_dict` is the surer way.
    Raises:
        TypeError: optimizer is none.
        ValueError: a setting is out of range (in PyTorch some of these are accepted, or fail at a later step).
    """

    optimizer: Optimizer
    base_lrs: list[float]
    last_epoch: int
    _step_count = 0
    _within_step = False
    _last_lr: list[float]

    def __init__(self, optimizer: Optimizer, last_epoch: int = -1) -> None:
        name = type(self).__name__
        check_optimizer(name, optimizer)
        last_epoch = whole(name, -1, last_epoch=last_epoch)
        for i, group in enumerate(optimizer.param_groups):
            if last_epoch == -1:
                group.setdefault("initial_lr", group["lr"])
            elif "initial_lr" not in group:
                raise ValueError(
                    f"{name}: group {i} has no initial_lr; last_epoch={last_epoch} needs a resumed optimizer"
                )
        self.optimizer = optimizer
        self.base_lrs = [group["initial_lr"] for group in optimizer.param_groups]
        self.last_epoch = last_epoch
        self._first_step()

    def get_lr(self) -> list[float]:
        """The rates at `last_epoch`, one a group, from the present ones: for `step` alone, which calls it once."""
        raise NotImplementedError

    def get_last_lr(self) -> list[float]:
        """The rates that the last step set, one a group."""
        return self._last_lr

    def step(self) -> None:
        """Sets the rates of the next epoch. (PyTorch's deprecated argument epoch is left out.)

        Warns:
            UserWarning: the optimizer made no step yet, so that the first rate was never used.
        """
        self._count_step()
        self.last_epoch += 1
        self._set_rates()

    def state_dict(self) -> dict[str, Any]:
        """All but the optimizer: numbers, strings, lists and dicts of them, which JSON holds exactly."""
        return copy.deepcopy({key: value for key, value in vars(self).items() if key != "optimizer"})

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Goes on where the state was taken; the rates themselves come with the optimizer's state. PyTorch's work too.

        Raises:
            ValueError: it is the state of another kind of scheduler, or of other groups; nothing was loaded then.
        """
        self._check_state(state_dict)
        self._take_state(copy.deepcopy(dict(state_dict)))

    def _check_state(self, state: Mapping[str, Any]) -> None:
        name = type(self).__name__
        if not isinstance(state, Mapping):
            raise TypeError(f"{name}: the state is a {type(state).__name__}; expected a state_dict() of a {name}")
        missing = sorted(self.state_dict().keys() - state.keys())
        if missing:
            raise ValueError(f"{name}: the state lacks {', '.join(missing)}; expected a state_dict() of a {name}")
        own, loaded = len(self.optimizer.param_groups), len(state["_last_lr"])
        if own != loaded:
            raise ValueError(f"{name}: the state is of {loaded} parameter groups; expected {own}, as the optimizer has")

    def _take_state(self, state: dict[str, Any]) -> None:
        vars(self).update(state)

    @property
    def _is_initial(self) -> bool:
        """Whether the step in progress is the one that sets the rates of epoch 0 (or of last_epoch + 1)."""
        return self._step_count == 1

    def _first_step(self) -> None:
        self._step_count = 0
        self.step()

    def _begin(self) -> None:
        """Epoch 0, from the rates that the groups have now."""
        self.last_epoch = -1
        self._first_step()

    def _restart(self) -> None:
        """Epoch 0, from the initial rates."""
        write_rates(self.optimizer, self._bases())
        self._begin()

    def _bases(self) -> list[float]:
        """The initial rates, one a group."""
        groups = len(self.optimizer.param_groups)
        if len(self.base_lrs) != groups:
            raise ValueError(
                f"{type(self).__name__}: the optimizer has {groups} parameter groups; expected "
                f"{len(self.base_lrs)}, as when the scheduler was made (make a new one after add_param_group)"
            )
        return self.base_lrs

    def _rates(self) -> list[float]:
        """The present rates, for `get_lr`."""
        if not self._within_step:
            warnings.warn("get_lr() computes the next rates; get_last_lr() has the present ones", stacklevel=3)
        return read_rates(self.optimizer)

    def _count_step(self) -> None:
        if self._step_count == 1 and type(self.optimizer).step is Optimizer.step and not self.optimizer._stepped:
            warnings.warn(
                f"{type(self).__name__}: step() before the optimizer's first step() skips the first learning rate; "
                "call optimizer.step() first",
                stacklevel=3,
            )
        self._step_count += 1

    def _set_rates(self) -> None:
        self._within_step = True
        try:
            write_rates(self.optimizer, self.get_lr())
        finally:
            del self._within_step  # the class has False; the state has no such entry
        self._last_lr = read_rates(self.optimizer)


def read_rates(optimizer: Optimizer) -> list[float]:
    """The learning rates of the groups."""
    return [group["lr"] for group in optimizer.param_groups]


def write_rates(optimizer: Optimizer, rates: list[float]) -> None:
    """Sets the learning rates of the groups."""
    for group, rate in zip(optimizer.param_groups, rates, strict=True):
        group["lr"] = rate


def has_betas(name: str, optimizer: Optimizer, otherwise: str = "an optimizer with one of them") -> bool:
    """Whether the momentum to schedule is β₁ of "betas", as Adam's is, rather than "momentum", as SGD's is.

    Raises:
        ValueError: the optimizer has neither; the message says what was expected otherwise.
    Example:
        >>> has_betas("OneCycleLR", optim.Adam([at.zeros(2)]))
        True
    """
    if "momentum" not in optimizer.defaults and "betas" not in optimizer.defaults:
        kind = type(optimizer).__name__
        raise ValueError(f"{name}: {kind} has neither momentum nor betas; expected {otherwise}")
    return "betas" in optimizer.defaults


def write_momenta(optimizer: Optimizer, momenta: list[float]) -> None:
    """Sets the momentum of the groups: "momentum", or β₁ of "betas"."""
    for group, momentum in zip(optimizer.param_groups, momenta, strict=True):
        group.update({"betas": (momentum, *group["betas"][1:])} if "betas" in group else {"momentum": momentum})


def check_optimizer(name: str, optimizer: Any) -> None:
    """Raises a TypeError unless it is an optimizer."""
    if not isinstance(optimizer, Optimizer):
        raise TypeError(f"{name}: optimizer is a {type(optimizer).__name__}; expected an Optimizer")


def real(
    name: str,
    least: float = 0.0,
    most: float = math.inf,
    above: bool = False,
    below: bool = False,
    **setting: Any,
) -> float:
    """The one setting as a finite float.

    Args:
        name: the scheduler, for the message.
        least, most: the range, both ends included; ``above`` takes ``least`` out of it, ``below`` takes ``most``.
        setting: the number under its name.
    Raises:
        ValueError: it is no number, or out of range.
    Example:
        >>> real("StepLR", gamma=0.1)
        0.1
    """
    ((key, value),) = setting.items()
    fits = isinstance(value, numbers.Real) and not isinstance(value, bool) and math.isfinite(value)
    if not fits or not least <= value <= most or (above and value == least) or (below and value == most):
        limits = f"above {least:g}" if above else f"of {least:g} or more"
        if most < math.inf:
            limits += f", below {most:g}" if below else f", {most:g} or less"
        raise ValueError(f"{name}: {key} is {value!r}; expected a number {limits}")
    return float(value)


def one_each(name: str, optimizer: Optimizer, key: str, value: Any) -> list[Any]:
    """A setting given once, or as a list or tuple with one for each parameter group, as a list.

    Raises:
        ValueError: the list has another length.
    Example:
        >>> one_each("OneCycleLR", optim.SGD([at.zeros(2)]), "max_lr", 0.1)
        [0.1]
    """
    groups = len(optimizer.param_groups)
    if not isinstance(value, (list, tuple)):
        return [value] * groups
    if len(value) != groups:
        raise ValueError(f"{name}: {key} has {len(value)} entries; expected {groups}, one for each parameter group")
    return list(value)
