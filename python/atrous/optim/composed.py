"""The part that composed optimizers share: a formula in array code, run on one parameter after the other."""

from __future__ import annotations

from functools import partial
from typing import Any

from .. import fusion
from ..autograd import increment_version
from ..backend import array_module, quiet
from ..ops import zeros_like
from ..tensor import Tensor
from .optimizer import Optimizer, batches


class Composed(Optimizer):
    """Base of optimizers without a kernel: a subclass names its state in `_keys` and steps one array in `_change`.

    Arrays are NumPy's or CuPy's and are written in place; all arithmetic is in the parameter's dtype.
    """

    _keys: tuple[str, ...] = ()

    def _update(self, group: dict[str, Any]) -> None:
        fusion.finish()  # what waits may read the parameters
        for keys, update in batches(group, lambda param: self._keys_of(group, param)):
            slots = [update.state(self, key, partial(self._start, group, key)) for key in keys]
            for owner, *tensors in zip(update.owners, update.params, update.grads, *slots, strict=True):
                own = self.state[owner]
                if "step" in self._scalars:
                    own["step"] = own.get("step", 0) + 1
                if owner.data.size:
                    quiet.run(self._change, group, own, *map(_array, tensors))
            increment_version(*update.params)
            update.finish()

    def _keys_of(self, group: dict[str, Any], param: Tensor) -> tuple[str, ...]:
        """The names of a parameter's state tensors."""
        return self._keys

    def _start(self, group: dict[str, Any], key: str, param: Tensor) -> Tensor:
        """A state tensor before the first step."""
        return zeros_like(param)

    def _change(self, group: dict[str, Any], own: dict[str, Any], param: Any, grad: Any, *state: Any) -> None:
        """Steps a parameter and its state; ``own`` has the numbers that belong to it, such as "step", now 1 or more."""
        raise NotImplementedError


def _array(tensor: Tensor) -> Any:
    """The tensor's array; a scalar's as a vector, since arithmetic on arrays of no axes gives no arrays."""
    return tensor.data if tensor.ndim else tensor.data[None]


def decayed(group: dict[str, Any], param: Any, grad: Any) -> Any:
    """The gradient with weight decay: part of it, or where decoupled taken off the parameter directly."""
    decay = group["weight_decay"]
    if decay == 0:
        return grad
    if group.get("decoupled_weight_decay"):
        param *= 1 - group["lr"] * decay
        return grad
    return grad + decay * param


def blend(average: Any, value: Any, weight: float) -> None:
    """``average ← average + weight · (value − average)``, in place."""
    change = value - average
    change *= weight
    average += change


def blend_square(average: Any, value: Any, keep: float) -> None:
    """``average ← keep · average + (1 − keep) · value²``, in place."""
    square = value * value
    square *= 1 - keep
    average *= keep
    average += square


def root(x: Any, eps: float) -> Any:
    """``√x + eps``."""
    y = array_module(x).sqrt(x)
    y += eps
    return y
