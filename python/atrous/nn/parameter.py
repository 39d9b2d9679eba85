"""nn.Parameter: a tensor that a module registers and an optimizer trains."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..layout import channels_last
from ..tensor import Tensor


class Parameter(Tensor):
    """A leaf tensor that requires grad, and that a module registers when it is assigned to an attribute.

    It shares memory with `data`, unless that is 4-D and not channels-last: kernels want weights (OC, IC, KH, KW) in
    OHWI memory, so they are brought to it once, here.

    Args:
        data: the first values, floating point if it is to learn.
        requires_grad: whether it learns.
    Example:
        >>> nn.Parameter(at.zeros(2)).requires_grad
        True
    """

    def __init__(self, data: Tensor, requires_grad: bool = True) -> None:
        if not isinstance(data, Tensor):
            raise TypeError(f"Parameter: data is a {type(data).__name__}; expected a Tensor")
        super().__init__(channels_last(data.data))
        if self.data is data.data:
            self._version = data._version
        self.requires_grad = requires_grad

    def __repr__(self) -> str:
        return f"Parameter containing:\n{super().__repr__()}"

    def __reduce__(self) -> Any:
        return _in_layout, super().__reduce__()


def _in_layout(rebuild: Callable[..., Parameter], arguments: tuple) -> Parameter:
    """A parameter out of a pickle, where NumPy keeps C order alone."""
    parameter = rebuild(*arguments)
    parameter.data = channels_last(parameter.data)
    return parameter
