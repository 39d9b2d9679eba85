"""The part that composed optimizers share: a formula in array code, run on one parameter after the other."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import chain
from typing import Any

from .. import capturing, fusion
from ..autograd import increment_version
from ..backend import array_module, quiet
from ..ops import zeros_like
from ..tensor import Tensor
from .optimizer import Optimizer, batches, require_alike


class Composed(Optimizer):
    """Base of optimizers without a kernel: a subclass names its state in `_keys` and steps one array in `_change`.

    Arrays are NumPy's or CuPy's and are written in place; all arithmetic is in the parameter's dtype. Its numbers are
    made in `_numbers`, once for all parameters that made the same steps. In a captured step (at.cuda.capture) they are
    arrays without axes, which hold other numbers at each replay.
    """

    _keys: tuple[str, ...] = ()

    def _update(self, group: dict[str, Any]) -> None:
        fusion.finish()  # what waits may read the parameters
        for (keys, _), update in batches(group, lambda param: (self._keys_of(group, param), self._counts(param))):
            slots = [update.state(self, key, partial(self._start, group, key)) for key in keys]
            numbers: Any = partial(self._counted, group, update.owners)
            numbers = capturing.replayed(type(self).__name__, update.owners[0], numbers)
            for owner, *tensors in zip(update.owners, update.params, update.grads, *slots, strict=True):
                if owner.data.size:
                    quiet.run(self._change, group, numbers, *map(_array, tensors))
            increment_version(*update.params, *chain.from_iterable(slots))
            update.finish()

    def _counts(self, param: Tensor) -> tuple:
        """What the state holds as numbers: the same for parameters that made the same steps."""
        return tuple(map(self.state.get(param, {}).get, self._scalars))

    def _counted(self, group: dict[str, Any], owners: list[Tensor]) -> tuple:
        """The numbers of the next step of parameters alike, which have made it then."""
        require_alike(map(self._counts, owners))
        own = self.state[owners[0]]
        if "step" in self._scalars:
            own["step"] = own.get("step", 0) + 1
        numbers = self._numbers(group, own)
        counts = {name: own[name] for name in self._scalars if name in own}
        for owner in owners:
            self.state[owner].update(counts)
        return numbers

    def _structure(self, group: dict[str, Any]) -> tuple:
        return bool(group.get("weight_decay")), bool(group["maximize"]), group.get("decoupled_weight_decay")

    def _keys_of(self, group: dict[str, Any], param: Tensor) -> tuple[str, ...]:
        """The names of a parameter's state tensors."""
        return self._keys

    def _start(self, group: dict[str, Any], key: str, param: Tensor) -> Tensor:
        """A state tensor before the first step."""
        return zeros_like(param)

    def _numbers(self, group: dict[str, Any], own: dict[str, Any]) -> tuple:
        """The numbers of a step; ``own`` has those that belong to a parameter, such as "step", now 1 or more."""
        raise NotImplementedError

    def _change(self, group: dict[str, Any], numbers: tuple, param: Any, grad: Any, *state: Any) -> None:
        """Steps a parameter and its state."""
        raise NotImplementedError


def _array(tensor: Tensor) -> Any:
    """The tensor's array; a scalar's as a vector, since arithmetic on arrays of no axes gives no arrays."""
    return tensor.data if tensor.ndim else tensor.data[None]


def decay_of(group: dict[str, Any]) -> float:
    """What `decayed` multiplies the parameter by."""
    return 1 - group["lr"] * group["weight_decay"] if group.get("decoupled_weight_decay") else group["weight_decay"]


def decayed(group: dict[str, Any], decay: Any, param: Any, grad: Any) -> Any:
    """The gradient with weight decay: part of it, or where decoupled taken off the parameter directly."""
    if group["weight_decay"] == 0:
        return grad
    if group.get("decoupled_weight_decay"):
        param *= decay
        return grad
    return grad + decay * param


def chosen(condition: Any, then: Callable[[], Any], otherwise: Callable[[], Any]) -> Any:
    """One of two arrays; in a captured step, which learns of the condition at each replay, from both of them."""
    if isinstance(condition, bool):
        return then() if condition else otherwise()
    return array_module(condition).where(condition, then(), otherwise())


def blend(average: Any, value: Any, weight: Any) -> None:
    """``average ← average + weight · (value − average)``, in place."""
    change = value - average
    change *= weight
    average += change


def blend_square(average: Any, value: Any, keep: Any, take: Any) -> None:
    """``average ← keep · average + take · value²``, in place."""
    square = value * value
    square *= take
    average *= keep
    average += square


def root(x: Any, eps: Any) -> Any:
    """``√x + eps``."""
    y = array_module(x).sqrt(x)
    y += eps
    return y
