"""Arithmetic of two operands with broadcasting, and its in-place forms: ``add`` and ``add_``, and so on."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import dtypes, fusion, gpu
from ..autocast import raised
from ..autograd import record, record_inplace
from ..backend import array_module, kernels_for
from ..layout import LARGE, is_dense_float
from ..tensor import Tensor
from .creation import as_tensor
from .operands import Binary, binary, binary_, compute, kind, operands

__all__ = [
    "add",
    "add_",
    "div",
    "div_",
    "floor_divide",
    "maximum",
    "minimum",
    "mul",
    "mul_",
    "pow",
    "pow_",
    "remainder",
    "sub",
    "sub_",
    "where",
]


def add(input: Any, other: Any, *, alpha: Any = 1) -> Tensor:
    """``input + alpha · other``.

    Example:
        >>> import atrous as at
        >>> add(at.ones(2), at.tensor([1.0, 2.0])).tolist()
        [2.0, 3.0]
    """
    if alpha != 1:
        other = mul(other, alpha)
    if isinstance(input, Tensor) and isinstance(other, Tensor):
        waits = input._pending is not None or other._pending is not None
        z = _sum_by_kernel(input, other) if waits or input.data.nbytes >= LARGE else None
        if z is not None:
            return record(z, AddBackward, (input, other), operands=(kind(input), kind(other)))
    return binary("add", "add", AddBackward, input, other)


def add_(input: Tensor, other: Any, *, alpha: Any = 1) -> Tensor:
    """``input += alpha · other``."""
    if alpha != 1:
        other = mul(other, alpha)
    if isinstance(other, Tensor) and input._pending is not None and _alike(input, other):
        z = fusion.with_residual(input, other, kernels_for(input))
        if z is not None:
            fusion.replace(input, z)
            return record_inplace(input, AddBackward, (input, other), operands=(kind(input), kind(other)))
    return binary_("add_", "add", AddBackward, input, other)


def _alike(a: Tensor, b: Tensor) -> bool:
    """Whether these are floats of one shape and dtype."""
    return a.shape == b.shape and a.dtype == b.dtype and dtypes.is_floating(a.dtype)


def _sum_by_kernel(a: Tensor, b: Tensor) -> Any:
    """The sum of two arrays alike by a kernel, which may wait for what follows; None where there is none."""
    if not _alike(a, b):
        return None
    kernels = kernels_for(a)
    z: Any = fusion.with_residual(a, b, kernels) or fusion.with_residual(b, a, kernels)
    if z is not None:
        return z
    x, y = a.data, b.data
    if x.strides != y.strides or not is_dense_float(x):
        return None
    z = fusion.pend(kernels, kernels.add_forward, (x, y), x.shape, ("relu",), cheap=True)
    return kernels.add_forward(x, y) if z is None else z


class AddBackward(Binary):
    """Gradients of add: ``grad_y`` for both."""

    def parts(self, grad_y):
        return grad_y, grad_y


def sub(input: Any, other: Any, *, alpha: Any = 1) -> Tensor:
    """``input − alpha · other``.

    Example:
        >>> import atrous as at
        >>> sub(3.0, at.ones(2)).tolist()
        [2.0, 2.0]
    """
    return binary("sub", "subtract", SubBackward, input, other if alpha == 1 else mul(other, alpha))


def sub_(input: Tensor, other: Any, *, alpha: Any = 1) -> Tensor:
    """``input −= alpha · other``."""
    return binary_("sub_", "subtract", SubBackward, input, other if alpha == 1 else mul(other, alpha))


class SubBackward(Binary):
    """Gradients of sub: ``grad_y`` and ``−grad_y``."""

    def parts(self, grad_y):
        return grad_y, -grad_y if self.needs[1] else None


def mul(input: Any, other: Any) -> Tensor:
    """``input · other``, element by element.

    Example:
        >>> import atrous as at
        >>> mul(at.tensor([1.0, 2.0]), 3).tolist()
        [3.0, 6.0]
    """
    if not isinstance(input, Tensor) and not isinstance(other, Tensor):
        return input * other  # both numbers: alpha of add and sub
    return binary("mul", "multiply", MulBackward, input, other)


def mul_(input: Tensor, other: Any) -> Tensor:
    """``input *= other``."""
    return binary_("mul_", "multiply", MulBackward, input, other)


class MulBackward(Binary):
    """Gradients of mul: ``grad_y · y`` and ``grad_y · x``."""

    saves = ("other", "other")

    def parts(self, grad_y):
        x, y = self.saved
        return grad_y * y if self.needs[0] else None, grad_y * x if self.needs[1] else None


def div(input: Any, other: Any) -> Tensor:
    """``input / other``; integers give float32.

    Example:
        >>> import atrous as at
        >>> div(at.tensor([1, 2]), 2).tolist()
        [0.5, 1.0]
    """
    if not isinstance(input, Tensor):  # PyTorch's is number · reciprocal(other)
        other = raised(other)
    return binary("div", "true_divide", DivBackward, *_floats("div", input, other))


def div_(input: Tensor, other: Any) -> Tensor:
    """``input /= other``."""
    return binary_("div_", "true_divide", DivBackward, input, other)


def _floats(op: str, a: Any, b: Any) -> tuple[Any, Any]:
    """The operands, as float32 where both are integers or booleans."""
    x, y, first, second = operands(op, a, b)
    if dtypes.is_floating((x if first is not None else y).dtype):
        return a, b
    return (first.float() if first is not None else a), (second.float() if second is not None else b)


class DivBackward(Binary):
    """Gradients of div: ``grad_y / y`` and ``−grad_y · x / y²``."""

    saves = ("other", True)

    def parts(self, grad_y):
        x, y = self.saved
        grad_x = grad_y / y
        return grad_x, -grad_x * (x / y) if self.needs[1] else None


def floor_divide(input: Any, other: Any) -> Tensor:
    """``input // other``, rounded down; has no gradient.

    Raises:
        ZeroDivisionError: an integer divided by 0.
    Example:
        >>> import atrous as at
        >>> floor_divide(at.tensor([7, -7]), 2).tolist()
        [3, -4]
    """
    x, y, _, _ = operands("floor_divide", input, other)
    _check_divisor("floor_divide", x, y)
    return Tensor(compute("floor_divide", "floor_divide", x, y))


def remainder(input: Any, other: Any) -> Tensor:
    """``input % other``, with the sign of other.

    Raises:
        ZeroDivisionError: an integer divided by 0.
    Example:
        >>> import atrous as at
        >>> remainder(at.tensor([7, -7]), 3).tolist()
        [1, 2]
    """
    x, y, _, _ = operands("remainder", input, other)
    _check_divisor("remainder", x, y)
    return binary("remainder", "remainder", RemainderBackward, input, other)


def _check_divisor(op: str, x: Any, y: Any) -> None:
    if not dtypes.is_floating(dtypes.result_type(x, y)) and not _all(y != 0):
        raise ZeroDivisionError(f"{op}: an integer is divided by 0")


def _all(holds: Any) -> bool:
    """Of a condition on an array, or on one number."""
    return bool(holds if isinstance(holds, bool) else holds.all())


class RemainderBackward(Binary):
    """Gradients of remainder: ``grad_y`` and ``−grad_y · ⌊x / y⌋``."""

    saves = ("other", "other")

    def parts(self, grad_y):
        x, y = self.saved
        return grad_y, -grad_y * array_module(grad_y).floor_divide(x, y) if self.needs[1] else None


def pow(input: Any, exponent: Any) -> Tensor:
    """``input ** exponent``.

    Raises:
        ValueError: an integer to a negative integer power.
    Example:
        >>> import atrous as at
        >>> pow(at.tensor([1.0, 2.0]), 3).tolist()
        [1.0, 8.0]
    """
    input, exponent = raised(input), raised(exponent)
    _check_power("pow", input, exponent)
    return binary("pow", "power", PowBackward, input, exponent)


def pow_(input: Tensor, exponent: Any) -> Tensor:
    """``input **= exponent``."""
    _check_power("pow_", input, exponent)
    return binary_("pow_", "power", PowBackward, input, exponent)


def _check_power(op: str, a: Any, b: Any) -> None:
    x, y, _, _ = operands(op, a, b)
    if not dtypes.is_floating(dtypes.result_type(x, y)) and not _all(y >= 0):
        raise ValueError(f"{op}: integers to negative powers are no integers; convert to float first")


class PowBackward(Binary):
    """Gradients of pow: ``grad_y · y · x^(y − 1)`` and ``grad_y · x^y · log x``."""

    saves = (True, True)

    def parts(self, grad_y):
        x, y = self.saved
        xp = array_module(grad_y)
        grad_x = grad_exponent = None
        if self.needs[0]:  # where y is 0 the derivative is 0, at x = 0 too
            grad_x = xp.where(xp.equal(y, 0), 0, grad_y * (y * xp.power(x, y - 1)))
        if self.needs[1]:  # x^y log x, and its limit 0 at x = 0 where y >= 0
            still = xp.logical_and(xp.equal(x, 0), xp.greater_equal(y, 0))
            grad_exponent = xp.where(still, 0, grad_y * (xp.power(x, y) * xp.log(xp.where(still, 1, x))))
        return grad_x, grad_exponent


def maximum(input: Any, other: Any) -> Tensor:
    """The larger of the two, NaN where either is; equal operands share the gradient.

    Example:
        >>> import atrous as at
        >>> maximum(at.tensor([1.0, 5.0]), at.tensor([3.0, 2.0])).tolist()
        [3.0, 5.0]
    """
    return binary("maximum", "maximum", MaximumBackward, input, other)


def minimum(input: Any, other: Any) -> Tensor:
    """The smaller of the two, NaN where either is; equal operands share the gradient.

    Example:
        >>> import atrous as at
        >>> minimum(at.tensor([1.0, 5.0]), at.tensor([3.0, 2.0])).tolist()
        [1.0, 2.0]
    """
    return binary("minimum", "minimum", MinimumBackward, input, other)


class MaximumBackward(Binary):
    """Gradients of maximum: ``grad_y`` for the one that wins, half of it for each of equals."""

    saves = (True, True)

    def parts(self, grad_y):
        x, y = self.saved
        half = 0.5 * (x == y)
        return grad_y * (self.wins(x, y) + half), grad_y * (self.wins(y, x) + half)

    @staticmethod
    def wins(x, y):
        return x > y


class MinimumBackward(MaximumBackward):
    """Gradients of minimum: as of maximum, but the smaller one wins."""

    @staticmethod
    def wins(x, y):
        return x < y


def where(condition: Any, input: Any, other: Any) -> Tensor:
    """``input`` where the condition (a boolean tensor) holds, ``other`` elsewhere; all three broadcast.

    Raises:
        TypeError: the condition is not boolean.
    Example:
        >>> import atrous as at
        >>> x = at.tensor([-1.0, 2.0])
        >>> where(x > 0, x, 0.0).tolist()
        [0.0, 2.0]
    """
    condition = as_tensor(condition)
    chosen = condition.data
    if chosen.dtype != dtypes.bool_:
        raise TypeError(f"where: the condition has dtype {chosen.dtype}; expected bool")
    if not isinstance(input, Tensor) and not isinstance(other, Tensor):
        input = as_tensor(input)
    x, y, a, b = operands("where", input, other)
    values = x if hasattr(x, "dtype") else y
    if type(chosen) is not type(values):
        raise RuntimeError(
            f"where: the condition is on {condition.device}, the values on {gpu.device_of(values)}; move one by to()"
        )
    try:
        z = array_module(chosen).where(chosen, x, y)
        if z.dtype != values.dtype:  # of bfloat16 and a number, array libraries make something else
            z = z.astype(values.dtype)
    except ValueError:
        shapes = f"{chosen.shape}, {np.shape(x)} and {np.shape(y)}"
        raise ValueError(f"where: shapes {shapes} do not broadcast together") from None
    return record(z, WhereBackward, (a, b), saved=(condition,), operands=(kind(a), kind(b)))


class WhereBackward(Binary):
    """Gradients of where: ``grad_y`` where an operand was chosen, 0 elsewhere."""

    def parts(self, grad_y):
        (chosen,) = self.saved
        xp = array_module(grad_y)
        return xp.where(chosen, grad_y, 0), xp.where(chosen, 0, grad_y)
