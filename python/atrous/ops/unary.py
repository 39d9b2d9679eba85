"""Functions of one number, applied to each element, and the in-place forms of the usual ones."""

from __future__ import annotations

from typing import Any

from .. import layout
from ..autograd import Backward, check_inplace, record, record_inplace
from ..backend import array_module, quiet
from ..dtypes import bool_, float32
from ..tensor import Tensor
from .elementwise import maximum, minimum, where
from .inplace import copy_

__all__ = [
    "abs", "abs_", "ceil", "clamp", "clamp_", "cos", "exp", "exp_", "expm1", "floor", "isfinite", "isinf", "isnan", "log", "log1p",
    "log2", "log_", "masked_fill", "masked_fill_", "neg", "neg_", "reciprocal", "round", "rsqrt", "sign", "sin", "sqrt", "sqrt_", "square",
]  # fmt: skip


def _apply(function: str, x: Any, out: Any = None) -> Any:
    if out is None and x.nbytes >= layout.LARGE:
        out = layout.empty_like(x)
    ufunc = getattr(array_module(x), function)
    return quiet.run(ufunc, x) if out is None else quiet.run(ufunc, x, out)


def _float(input: Tensor, op: str) -> Tensor:
    """Integers as float32, of which the function is taken instead."""
    if not isinstance(input, Tensor):
        raise TypeError(f"{op}: expected a Tensor, not {type(input).__name__}")
    return input if input.data.dtype.kind == "f" else input.to(float32)


class Unary(Backward):
    """Backward of a function of one number; ``saves`` says what of: "x" (the input), "y" (the result), or nothing."""

    saves = ""


def _unary(op: str, function: str, backward: type[Unary], input: Tensor) -> Tensor:
    y = _apply(function, input.data)
    return record(y, backward, (input,), saved=(input,) if backward.saves == "x" else (y,) if backward.saves == "y" else ())


def _unary_(op: str, function: str, backward: type[Unary], input: Tensor) -> Tensor:
    """The function with its result written over the input."""
    check_inplace(input, op)
    if _float(input, op) is not input and function not in ("negative", "absolute"):
        raise TypeError(f"{op}: the result does not fit {input.dtype}; convert the tensor first")
    x = input.data
    old = x.copy() if backward.saves == "x" and input.requires_grad else None
    _apply(function, x, x)
    return record_inplace(input, backward, (input,), saved=(old,) if backward.saves == "x" else (x,) if backward.saves == "y" else ())


def exp(input: Tensor) -> Tensor:
    """e^x.

    Example:
        >>> import atrous as at
        >>> exp(at.tensor([0.0])).tolist()
        [1.0]
    """
    return _unary("exp", "exp", ExpBackward, _float(input, "exp"))


def exp_(input: Tensor) -> Tensor:
    """``exp``, written over the input."""
    return _unary_("exp_", "exp", ExpBackward, input)


class ExpBackward(Unary):
    saves = "y"

    def __call__(self, grad_y):
        (y,) = self.saved
        return grad_y * y


def log(input: Tensor) -> Tensor:
    """The natural logarithm; −inf at 0, NaN below.

    Example:
        >>> import atrous as at
        >>> log(at.tensor([1.0])).tolist()
        [0.0]
    """
    return _unary("log", "log", LogBackward, _float(input, "log"))


def log_(input: Tensor) -> Tensor:
    """``log``, written over the input."""
    return _unary_("log_", "log", LogBackward, input)


class LogBackward(Unary):
    saves = "x"

    def __call__(self, grad_y):
        (x,) = self.saved
        return grad_y / x


def sqrt(input: Tensor) -> Tensor:
    """The square root; NaN below 0.

    Example:
        >>> import atrous as at
        >>> sqrt(at.tensor([4.0])).tolist()
        [2.0]
    """
    return _unary("sqrt", "sqrt", SqrtBackward, _float(input, "sqrt"))


def sqrt_(input: Tensor) -> Tensor:
    """``sqrt``, written over the input."""
    return _unary_("sqrt_", "sqrt", SqrtBackward, input)


class SqrtBackward(Unary):
    saves = "y"

    def __call__(self, grad_y):
        (y,) = self.saved
        return grad_y / (2 * y)


def neg(input: Tensor) -> Tensor:
    """−x.

    Example:
        >>> import atrous as at
        >>> neg(at.tensor([1.0])).tolist()
        [-1.0]
    """
    return _unary("neg", "negative", NegBackward, input)


def neg_(input: Tensor) -> Tensor:
    """``neg``, written over the input."""
    return _unary_("neg_", "negative", NegBackward, input)


class NegBackward(Unary):
    def __call__(self, grad_y):
        return -grad_y


def abs(input: Tensor) -> Tensor:
    """|x|; the derivative at 0 is 0.

    Example:
        >>> import atrous as at
        >>> abs(at.tensor([-1.0])).tolist()
        [1.0]
    """
    return _unary("abs", "absolute", AbsBackward, input)


def abs_(input: Tensor) -> Tensor:
    """``abs``, written over the input."""
    return _unary_("abs_", "absolute", AbsBackward, input)


class AbsBackward(Unary):
    saves = "x"

    def __call__(self, grad_y):
        (x,) = self.saved
        return grad_y * array_module(x).sign(x)


def square(input: Tensor) -> Tensor:
    """x².

    Example:
        >>> import atrous as at
        >>> square(at.tensor([3.0])).tolist()
        [9.0]
    """
    return _unary("square", "square", SquareBackward, input)


class SquareBackward(Unary):
    saves = "x"

    def __call__(self, grad_y):
        (x,) = self.saved
        return grad_y * (2 * x)


def log2(input: Tensor) -> Tensor:
    """The logarithm to base 2.

    Example:
        >>> import atrous as at
        >>> log2(at.tensor([8.0])).tolist()
        [3.0]
    """
    return _unary("log2", "log2", Log2Backward, _float(input, "log2"))


class Log2Backward(Unary):
    saves = "x"

    def __call__(self, grad_y):
        (x,) = self.saved
        return grad_y / (x * 0.6931471805599453)


def log1p(input: Tensor) -> Tensor:
    """log(1 + x), exact for small x.

    Example:
        >>> import atrous as at
        >>> log1p(at.tensor([0.0])).tolist()
        [0.0]
    """
    return _unary("log1p", "log1p", Log1pBackward, _float(input, "log1p"))


class Log1pBackward(Unary):
    saves = "x"

    def __call__(self, grad_y):
        (x,) = self.saved
        return grad_y / (x + 1)


def expm1(input: Tensor) -> Tensor:
    """e^x − 1, exact for small x.

    Example:
        >>> import atrous as at
        >>> expm1(at.tensor([0.0])).tolist()
        [0.0]
    """
    return _unary("expm1", "expm1", Expm1Backward, _float(input, "expm1"))


class Expm1Backward(Unary):
    saves = "y"

    def __call__(self, grad_y):
        (y,) = self.saved
        return grad_y * (y + 1)


def sin(input: Tensor) -> Tensor:
    """The sine of an angle in radians.

    Example:
        >>> import atrous as at
        >>> sin(at.tensor([0.0])).tolist()
        [0.0]
    """
    return _unary("sin", "sin", SinBackward, _float(input, "sin"))


class SinBackward(Unary):
    saves = "x"

    def __call__(self, grad_y):
        (x,) = self.saved
        return grad_y * array_module(x).cos(x)


def cos(input: Tensor) -> Tensor:
    """The cosine of an angle in radians.

    Example:
        >>> import atrous as at
        >>> cos(at.tensor([0.0])).tolist()
        [1.0]
    """
    return _unary("cos", "cos", CosBackward, _float(input, "cos"))


class CosBackward(Unary):
    saves = "x"

    def __call__(self, grad_y):
        (x,) = self.saved
        return -grad_y * array_module(x).sin(x)


def rsqrt(input: Tensor) -> Tensor:
    """1 / √x.

    Example:
        >>> import atrous as at
        >>> rsqrt(at.tensor([4.0])).tolist()
        [0.5]
    """
    return reciprocal(sqrt(input))


def reciprocal(input: Tensor) -> Tensor:
    """1 / x.

    Example:
        >>> import atrous as at
        >>> reciprocal(at.tensor([4.0])).tolist()
        [0.25]
    """
    return 1.0 / input


class StepBackward(Unary):
    """Of a function made of steps: 0."""

    def __call__(self, grad_y):
        return array_module(grad_y).zeros_like(grad_y)


def sign(input: Tensor) -> Tensor:
    """−1, 0 or 1, the sign of x; the derivative is 0.

    Example:
        >>> import atrous as at
        >>> sign(at.tensor([-2.0, 0.0])).tolist()
        [-1.0, 0.0]
    """
    return _unary("sign", "sign", StepBackward, input)


def floor(input: Tensor) -> Tensor:
    """x rounded down; the derivative is 0.

    Example:
        >>> import atrous as at
        >>> floor(at.tensor([1.5])).tolist()
        [1.0]
    """
    return _unary("floor", "floor", StepBackward, input) if input.is_floating_point() else input.clone()


def ceil(input: Tensor) -> Tensor:
    """x rounded up; the derivative is 0.

    Example:
        >>> import atrous as at
        >>> ceil(at.tensor([1.5])).tolist()
        [2.0]
    """
    return _unary("ceil", "ceil", StepBackward, input) if input.is_floating_point() else input.clone()


def round(input: Tensor) -> Tensor:
    """x rounded to the nearest integer, halves to the even one; the derivative is 0.

    Example:
        >>> import atrous as at
        >>> round(at.tensor([2.5])).tolist()
        [2.0]
    """
    return _unary("round", "rint", StepBackward, input) if input.is_floating_point() else input.clone()


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
    if isinstance(min, Tensor) or isinstance(max, Tensor) or input.data.dtype.kind != "f":
        low = input if min is None else maximum(input, min)
        return low if max is None else minimum(low, max)
    y = quiet.run(array_module(input).clip, input.data, min, max)
    return record(y, ClampBackward, (input,), saved=(input,), min=min, max=max)


def clamp_(input: Tensor, min: Any = None, max: Any = None) -> Tensor:
    """``clamp``, written over the input."""
    return copy_(input, clamp(input.clone(), min, max), "clamp_")


class ClampBackward(Unary):
    min: Any
    max: Any

    def __call__(self, grad_y):
        (x,) = self.saved
        inside = x == x
        if self.min is not None:
            inside &= x >= self.min
        if self.max is not None:
            inside &= x <= self.max
        return grad_y * inside


def masked_fill(input: Tensor, mask: Tensor, value: Any) -> Tensor:
    """``value`` where the mask (boolean, broadcasting) holds, the input elsewhere.

    Example:
        >>> import atrous as at
        >>> masked_fill(at.ones(2), at.tensor([True, False]), 0.0).tolist()
        [0.0, 1.0]
    """
    return where(mask, value, input)


def masked_fill_(input: Tensor, mask: Tensor, value: Any) -> Tensor:
    """``masked_fill``, written over the input."""
    return copy_(input, masked_fill(input.clone(), mask, value), "masked_fill_")
