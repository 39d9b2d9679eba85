"""Arithmetic of two operands with broadcasting, and its in-place forms: ``add`` and ``add_``, ``mul`` and ``mul_``, ...

The operands are brought to PyTorch's common dtype before NumPy sees them (see ``dtypes``). Either may be a number, an array or
a list, as long as one is a Tensor. The backward sums again over the axes that broadcasting stretched.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import dtypes, layout
from ..autograd import Backward, check_inplace, is_grad_enabled, record, record_inplace
from ..backend import array_module, quiet
from ..tensor import Tensor
from .creation import as_tensor

__all__ = [
    "add", "add_", "compute", "div", "div_", "floor_divide", "maximum", "minimum", "mul", "mul_", "operands", "pow", "pow_",
    "remainder", "sub", "sub_", "where",
]  # fmt: skip


def operands(op: str, a: Any, b: Any) -> tuple[Any, Any, Tensor | None, Tensor | None]:
    """The two operands as arrays (or one as a Python number) of one dtype, and as the tensors they are, None for a number.

    Raises:
        TypeError: an operand is neither tensor, number, array nor list; or neither is a tensor.
    """
    if not isinstance(a, Tensor):
        if not isinstance(b, Tensor):
            raise TypeError(f"{op}: got {type(a).__name__} and {type(b).__name__}; expected at least one Tensor")
        y, x, second, first = operands(op, b, a)
        return x, y, first, second
    x = a.data
    if isinstance(b, Tensor):
        y = b.data
        if x.dtype is y.dtype:
            return x, y, a, b
    elif isinstance(b, (int, float, np.number, np.bool_)):
        if x.dtype.kind == "f":  # NumPy keeps the array's dtype beside a Python number
            return x, b.item() if isinstance(b, np.generic) else b, a, None
        dtype = dtypes.result_type(x, b)
        return x.astype(dtype, copy=False), np.asarray(b).astype(dtype), a, None
    elif isinstance(b, (np.ndarray, list, tuple)):
        b = as_tensor(b, like=a)
        y = b.data
    else:
        raise TypeError(f"{op}: cannot combine a Tensor with {type(b).__name__}")
    dtype = dtypes.result_type(x, y)
    return x.astype(dtype, copy=False), y.astype(dtype, copy=False), a, b


def compute(op: str, function: str, x: Any, y: Any, out: Any = None) -> Any:
    """``xp.function(x, y)`` of the operands' array library, a large result in pool memory."""
    ufunc = getattr(array_module(y if isinstance(x, (int, float)) else x), function)
    try:
        if out is None:
            if getattr(x, "nbytes", 0) < layout.LARGE and getattr(y, "nbytes", 0) < layout.LARGE:
                return quiet.run(ufunc, x, y)
            out = _large_output(x, y)
        return quiet.run(ufunc, x, y, out)
    except ValueError:
        raise ValueError(f"{op}: shapes {np.shape(x)} and {np.shape(y)} do not broadcast together") from None


def _large_output(x: Any, y: Any) -> Any:
    """Memory in the order of the operand that has the result's shape; None (NumPy decides) where neither has it."""
    model = x if getattr(x, "size", 1) >= getattr(y, "size", 1) else y
    return layout.empty_like(model) if np.broadcast_shapes(np.shape(x), np.shape(y)) == model.shape else None


def unbroadcast(grad: Any, shape: tuple[int, ...], dtype: Any) -> Any:
    """The gradient of an operand of this shape: summed over the axes that broadcasting stretched."""
    if grad.shape != shape:
        extra = grad.ndim - len(shape)
        axes = [i for i in range(grad.ndim) if i < extra or (shape[i - extra] == 1 and grad.shape[i] != 1)]
        grad = grad.sum(axis=tuple(axes), keepdims=True).reshape(shape)
    return grad if grad.dtype == dtype else grad.astype(dtype)


class Binary(Backward):
    """Backward of an op on two operands. ``parts`` gives both gradients, in the shape of the result."""

    saves = (False, False)  # whether an operand's own values are needed: never, "other" (for the other's gradient), or always
    operands: tuple  # (shape, dtype) of each operand that is a tensor

    def parts(self, grad_y: Any) -> tuple:
        raise NotImplementedError

    def __call__(self, grad_y: Any) -> tuple:
        parts = self.parts(grad_y)
        return tuple([unbroadcast(parts[i], *self.operands[i]) if self.needs[i] else None for i in (0, 1)])


def _binary(op: str, function: str, backward: type[Binary], a: Any, b: Any) -> Tensor:
    x, y, a, b = operands(op, a, b)
    if not is_grad_enabled():
        return Tensor(compute(op, function, x, y))
    return record(compute(op, function, x, y), backward, (a, b), _kept(backward, x, y, a, b), operands=(_kind(a), _kind(b)))


def _binary_(op: str, function: str, backward: type[Binary], a: Tensor, b: Any) -> Tensor:
    """The op with its result written over ``a``."""
    check_inplace(a, op)
    x, y, _, b = operands(op, a, b)
    if not np.can_cast(x.dtype, a.dtype, "same_kind") or (function == "true_divide" and a.dtype.kind != "f"):
        raise TypeError(f"{op}: the result does not fit {a.dtype}; convert the tensor first")
    if np.broadcast_shapes(a.shape, np.shape(y)) != a.shape:
        raise ValueError(f"{op}: the result has another shape than the tensor written, {a.shape}; the other operand is {np.shape(y)}")
    kept = _kept(backward, x, y, a, b)
    if kept and kept[0] is a:  # its values are about to go
        kept = (x.copy(), kept[1] if kept[1] is not a else y.copy())
    kind = _kind(a), _kind(b)
    if x is a.data:
        compute(op, function, x, y, x)
    else:
        a.data[...] = compute(op, function, x, y)
    return record_inplace(a, backward, (a, b), kept, operands=kind)


def _kind(tensor: Tensor | None) -> tuple | None:
    return None if tensor is None else (tensor.data.shape, tensor.data.dtype)


def _kept(backward: type[Binary], x: Any, y: Any, a: Tensor | None, b: Tensor | None) -> tuple:
    """What to save: operands as tensors, whose version is checked, or as the arrays or numbers that they were converted to."""
    saves_x, saves_y = backward.saves
    if not saves_x and not saves_y:
        return ()
    if saves_x == "other":
        saves_x = b is not None and b.requires_grad
    if saves_y == "other":
        saves_y = a is not None and a.requires_grad
    return (
        None if not saves_x else a if a is not None and x is a.data else x,
        None if not saves_y else b if b is not None and y is b.data else y,
    )


def add(input: Any, other: Any, *, alpha: Any = 1) -> Tensor:
    """``input + alpha · other``.

    Example:
        >>> import atrous as at
        >>> add(at.ones(2), at.tensor([1.0, 2.0])).tolist()
        [2.0, 3.0]
    """
    return _binary("add", "add", AddBackward, input, other if alpha == 1 else mul(other, alpha))


def add_(input: Tensor, other: Any, *, alpha: Any = 1) -> Tensor:
    """``input += alpha · other``."""
    return _binary_("add_", "add", AddBackward, input, other if alpha == 1 else mul(other, alpha))


class AddBackward(Binary):
    def parts(self, grad_y):
        return grad_y, grad_y


def sub(input: Any, other: Any, *, alpha: Any = 1) -> Tensor:
    """``input − alpha · other``.

    Example:
        >>> import atrous as at
        >>> sub(3.0, at.ones(2)).tolist()
        [2.0, 2.0]
    """
    return _binary("sub", "subtract", SubBackward, input, other if alpha == 1 else mul(other, alpha))


def sub_(input: Tensor, other: Any, *, alpha: Any = 1) -> Tensor:
    """``input −= alpha · other``."""
    return _binary_("sub_", "subtract", SubBackward, input, other if alpha == 1 else mul(other, alpha))


class SubBackward(Binary):
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
    return _binary("mul", "multiply", MulBackward, input, other)


def mul_(input: Tensor, other: Any) -> Tensor:
    """``input *= other``."""
    return _binary_("mul_", "multiply", MulBackward, input, other)


class MulBackward(Binary):
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
    return _binary("div", "true_divide", DivBackward, *_floats("div", input, other))


def div_(input: Tensor, other: Any) -> Tensor:
    """``input /= other``."""
    return _binary_("div_", "true_divide", DivBackward, input, other)


def _floats(op: str, a: Any, b: Any) -> tuple[Any, Any]:
    """The operands, as float32 where both are integers or booleans."""
    x, y, first, second = operands(op, a, b)
    if (x if first is not None else y).dtype.kind == "f":
        return a, b
    return (first.float() if first is not None else a), (second.float() if second is not None else b)


class DivBackward(Binary):
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
    _check_divisor("floor_divide", y)
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
    _check_divisor("remainder", operands("remainder", input, other)[1])
    return _binary("remainder", "remainder", RemainderBackward, input, other)


def _check_divisor(op: str, y: Any) -> None:
    y = np.asarray(y)
    if y.dtype.kind != "f" and not y.all():
        raise ZeroDivisionError(f"{op}: an integer is divided by 0")


class RemainderBackward(Binary):
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
    _check_power("pow", input, exponent)
    return _binary("pow", "power", PowBackward, input, exponent)


def pow_(input: Tensor, exponent: Any) -> Tensor:
    """``input **= exponent``."""
    _check_power("pow_", input, exponent)
    return _binary_("pow_", "power", PowBackward, input, exponent)


def _check_power(op: str, a: Any, b: Any) -> None:
    x, y, _, _ = operands(op, a, b)
    if np.asarray(x).dtype.kind != "f" and (np.asarray(y) < 0).any():
        raise ValueError(f"{op}: integers to negative powers are no integers; convert to float first")


class PowBackward(Binary):
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
    return _binary("maximum", "maximum", MaximumBackward, input, other)


def minimum(input: Any, other: Any) -> Tensor:
    """The smaller of the two, NaN where either is; equal operands share the gradient.

    Example:
        >>> import atrous as at
        >>> minimum(at.tensor([1.0, 5.0]), at.tensor([3.0, 2.0])).tolist()
        [1.0, 2.0]
    """
    return _binary("minimum", "minimum", MinimumBackward, input, other)


class MaximumBackward(Binary):
    saves = (True, True)

    def parts(self, grad_y):
        x, y = self.saved
        half = 0.5 * (x == y)
        return grad_y * (self.wins(x, y) + half), grad_y * (self.wins(y, x) + half)

    @staticmethod
    def wins(x, y):
        return x > y


class MinimumBackward(MaximumBackward):
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
    chosen = as_tensor(condition).data
    if chosen.dtype != dtypes.bool_:
        raise TypeError(f"where: the condition has dtype {chosen.dtype}; expected bool")
    if not isinstance(input, Tensor) and not isinstance(other, Tensor):
        input = as_tensor(input)
    x, y, a, b = operands("where", input, other)
    try:
        z = array_module(chosen).where(chosen, x, y)
    except ValueError:
        shapes = f"{chosen.shape}, {np.shape(x)} and {np.shape(y)}"
        raise ValueError(f"where: shapes {shapes} do not broadcast together") from None
    return record(z, WhereBackward, (a, b), saved=(chosen,), operands=(_kind(a), _kind(b)))


class WhereBackward(Binary):
    def parts(self, grad_y):
        (chosen,) = self.saved
        xp = array_module(grad_y)
        return xp.where(chosen, grad_y, 0), xp.where(chosen, 0, grad_y)
