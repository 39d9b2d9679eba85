"""Functions of one number that are made of pieces: ``abs``, ``sign``, ``round``, ``clamp``, ``isnan`` and others."""

from __future__ import annotations

from typing import Any

from ..autograd import record
from ..backend import array_module, quiet
from ..dtypes import is_floating, widened
from ..tensor import Tensor
from .creation import as_tensor
from .elementwise import maximum, minimum, where
from .inplace import copy_
from .unary import Unary, unary, unary_

__all__ = [
    "abs",
    "abs_",
    "ceil",
    "clamp",
    "clamp_",
    "floor",
    "isfinite",
    "isinf",
    "isnan",
    "masked_fill",
    "masked_fill_",
    "round",
    "sign",
]


def abs(input: Tensor) -> Tensor:
    """|x|; the derivative at 0 is 0.

    Example:
        >>> import atrous as at
        >>> abs(at.tensor([-1.0])).tolist()
        [1.0]
    """
    return unary("abs", "absolute", AbsBackward, input)


def abs_(input: Tensor) -> Tensor:
    """``abs``, written over the input."""
    return unary_("abs_", "absolute", AbsBackward, input)


class AbsBackward(Unary):
    """Gradient of abs: ``grad_y · sign(x)``; the sign of NaN is 0, as in ``sign``."""

    saves = "x"

    def __call__(self, grad_y):
        (x,) = self.saved
        return grad_y * array_module(x).subtract(x > 0, x < 0, dtype=x.dtype)


class StepBackward(Unary):
    """Of a function made of steps: 0."""

    def __call__(self, grad_y):
        return array_module(grad_y).zeros_like(grad_y)


def sign(input: Tensor) -> Tensor:
    """−1, 0 or 1, the sign of x, 0 for NaN; the derivative is 0.

    Example:
        >>> import atrous as at
        >>> sign(at.tensor([-2.0, 0.0])).tolist()
        [-1.0, 0.0]
    """
    x = input.data
    y = array_module(x).subtract(x > 0, x < 0, dtype=x.dtype) if x.dtype.kind != "b" else x
    return record(y, StepBackward, (input,))


def floor(input: Tensor) -> Tensor:
    """x rounded down; the derivative is 0.

    Example:
        >>> import atrous as at
        >>> floor(at.tensor([1.5])).tolist()
        [1.0]
    """
    return unary("floor", "floor", StepBackward, input) if input.is_floating_point() else input.clone()


def ceil(input: Tensor) -> Tensor:
    """x rounded up; the derivative is 0.

    Example:
        >>> import atrous as at
        >>> ceil(at.tensor([1.5])).tolist()
        [2.0]
    """
    return unary("ceil", "ceil", StepBackward, input) if input.is_floating_point() else input.clone()


def round(input: Tensor) -> Tensor:
    """x rounded to the nearest integer, halves to the even one; the derivative is 0.

    Example:
        >>> import atrous as at
        >>> round(at.tensor([2.5])).tolist()
        [2.0]
    """
    return unary("round", "rint", StepBackward, input) if input.is_floating_point() else input.clone()


def isnan(input: Tensor) -> Tensor:
    """Whether each element is NaN.

    Example:
        >>> import atrous as at
        >>> isnan(at.tensor([1.0, float("nan"), float("inf")])).tolist()
        [False, True, False]
    """
    return Tensor(array_module(input).isnan(input.data))


def isinf(input: Tensor) -> Tensor:
    """Whether each element is infinite.

    Example:
        >>> import atrous as at
        >>> isinf(at.tensor([1.0, float("nan"), float("inf")])).tolist()
        [False, False, True]
    """
    return Tensor(array_module(input).isinf(input.data))


def isfinite(input: Tensor) -> Tensor:
    """Whether each element is neither infinite nor NaN.

    Example:
        >>> import atrous as at
        >>> isfinite(at.tensor([1.0, float("nan"), float("inf")])).tolist()
        [True, False, False]
    """
    return Tensor(array_module(input).isfinite(input.data))


def clamp(input: Tensor, min: Any = None, max: Any = None) -> Tensor:
    """``input`` limited to [min, max]; NaN stays NaN, and max wins where min is larger.

    Args:
        input: any tensor.
        min, max: numbers, tensors that broadcast, or None for no limit.
    Raises:
        ValueError: neither limit is given.
    Example:
        >>> import atrous as at
        >>> clamp(at.tensor([-1.0, 0.5, 2.0]), 0, 1).tolist()
        [0.0, 0.5, 1.0]
    """
    if min is None and max is None:
        raise ValueError("clamp: min and max are both None; expected at least one of them")
    if isinstance(min, Tensor) or isinstance(max, Tensor) or not is_floating(input.data.dtype):
        low = input if min is None else maximum(input, min)
        return low if max is None else minimum(low, max)
    y = quiet.run(array_module(input).clip, widened(input.data), min, max).astype(input.dtype, copy=False)
    return record(y, ClampBackward, (input,), saved=(input,), min=min, max=max)


def clamp_(input: Tensor, min: Any = None, max: Any = None) -> Tensor:
    """``clamp``, written over the input."""
    return copy_(input, clamp(input.clone(), min, max), "clamp_")


class ClampBackward(Unary):
    """Gradient of clamp: ``grad_y`` where ``min ≤ x ≤ max``, 0 elsewhere."""

    min: Any
    max: Any

    def __call__(self, grad_y):
        x = widened(*self.saved)
        inside = x == x
        if self.min is not None:
            inside &= x >= self.min
        if self.max is not None:
            inside &= x <= self.max
        return grad_y * inside


def masked_fill(input: Tensor, mask: Tensor, value: Any) -> Tensor:
    """``value`` where the mask (boolean, broadcasting) holds, the input elsewhere; of the input's dtype.

    Example:
        >>> import atrous as at
        >>> masked_fill(at.ones(2), at.tensor([True, False]), 0.0).tolist()
        [0.0, 1.0]
    """
    return where(mask, as_tensor(value).to(input.dtype), input)


def masked_fill_(input: Tensor, mask: Tensor, value: Any) -> Tensor:
    """``masked_fill``, written over the input."""
    return copy_(input, masked_fill(input.clone(), mask, value), "masked_fill_")
