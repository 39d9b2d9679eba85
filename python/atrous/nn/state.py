"""Loading and converting the tensors of a module; the work behind `Module.load_state_dict` and `Module.to`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from ..autograd import no_grad
from ..ops import tensor
from ..tensor import Tensor

if TYPE_CHECKING:
    from .module import Module

    M = TypeVar("M", bound=Module)


class IncompatibleKeys(NamedTuple):
    """What `Module.load_state_dict` with ``strict=False`` passed over."""

    missing_keys: list[str]
    unexpected_keys: list[str]


def load(module: Module, state_dict: Mapping[str, Any], strict: bool) -> IncompatibleKeys:
    """Copies a state dict into a module, or raises one ValueError with every problem and changes nothing."""
    if not isinstance(state_dict, Mapping):
        raise TypeError(f"load_state_dict: got {type(state_dict).__name__}; expected a dict of tensors by name")
    own = module.state_dict(keep_vars=True)
    keys = IncompatibleKeys([k for k in own if k not in state_dict], [k for k in state_dict if k not in own])
    problems = [f"missing: {', '.join(keys.missing_keys)}"] if strict and keys.missing_keys else []
    problems += [f"unexpected: {', '.join(map(str, keys.unexpected_keys))}"] if strict and keys.unexpected_keys else []
    staged = []  # converted copies: a failure leaves the module as it was, and a source may be one of the targets
    for name, target in own.items():
        if name in state_dict:
            try:
                staged.append((target, _staged(state_dict[name], target)))
            except (TypeError, ValueError) as error:
                problems.append(f"{name}: {error}")
    if problems:
        report = "\n".join(f"  {problem}" for problem in problems)
        raise ValueError(f"load_state_dict: nothing was loaded into {type(module).__name__}\n{report}")
    with no_grad():
        for target, value in staged:
            target.copy_(value)  # keeps the target's memory layout
    return keys


def _staged(value: Any, target: Tensor) -> Tensor:
    if not hasattr(value, "shape"):
        raise TypeError(f"is a {type(value).__name__}; expected a tensor or an array")
    if tuple(value.shape) != tuple(target.shape):
        raise ValueError(f"has shape {tuple(value.shape)}; expected {tuple(target.shape)}")
    return tensor(value.detach() if hasattr(value, "detach") else value, dtype=target.dtype)


def convert(module: M, *targets: Any, dtype: Any = None, device: Any = None) -> M:
    """Moves every parameter and buffer, and gives the floating-point ones another dtype, in place.

    Optimizers hold on to the tensors: their own arrays follow at the next step.
    """
    tensors = [*module.parameters(), *module.buffers()]
    converted = [value.detach().to(*targets, dtype=dtype, device=device) for value in tensors]
    for value, new in zip(tensors, converted, strict=True):
        if not new.is_floating_point() and value.is_floating_point():
            raise TypeError(f"to: dtype is {new.dtype}; expected a floating-point dtype")
    for value, new in zip(tensors, converted, strict=True):
        if not value.is_floating_point():  # a counter, for one: moved, but it keeps its dtype
            new = value.detach().to(device=new.device)
        grad, value.grad = value.grad, None
        value.data = new.data
        value.grad = None if grad is None else grad.to(new)
    return module
