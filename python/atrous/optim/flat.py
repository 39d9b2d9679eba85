"""Parameters seen as one vector, in the order of their indices; for optimizers that take all of them at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ..autograd import enable_grad, no_grad
from ..backend import array_module
from ..tensor import Tensor
from .optimizer import Optimizer


class Flat(Optimizer):
    """Base of optimizers over the vector of all parameters, which ask for the loss as often as they like."""

    def add_param_group(self, param_group: Any) -> None:
        """Takes the one group of parameters that there may be."""
        if self.param_groups:
            raise ValueError(f"{type(self).__name__}: got several parameter groups; it has one setting for all")
        super().add_param_group(param_group)


def evaluated(name: str, closure: Callable[[], Any] | None) -> Any:
    """The loss, a tensor as the closure returns it, whose gradients are in the parameters now."""
    if closure is None:
        raise TypeError(f"{name}: step needs a closure that computes the loss and its gradients anew")
    with enable_grad():
        return closure()


def values_of(params: Sequence[Tensor]) -> Any:
    """The parameters, copied into a vector."""
    return array_module(params[0]).concatenate([p.data.reshape(-1) for p in params])


def gradients_of(params: Sequence[Tensor]) -> Any:
    """Their gradients, zeros where there is none, copied into a vector."""
    xp = array_module(params[0])
    grads = [xp.zeros(p.numel(), p.dtype) if p.grad is None else p.grad.data.reshape(-1) for p in params]
    return xp.concatenate(grads)


def write(params: Sequence[Tensor], values: Any) -> None:
    """Sets the parameters to a vector's values."""
    begin = 0
    with no_grad():
        for param in params:
            end = begin + param.numel()
            param.copy_(Tensor(values[begin:end].reshape(param.shape)))
            begin = end


def dot(a: Any, b: Any) -> float:
    """The inner product; no call of a BLAS, whose bits depend on its threads."""
    return float((a * b).sum())
