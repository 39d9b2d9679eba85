"""Smooth functions of one number, applied to each element, and the in-place forms of the usual ones."""

from __future__ import annotations

from typing import Any

from .. import layout
from ..autocast import raised
from ..autograd import Backward, check_inplace, record, record_inplace
from ..backend import array_module, quiet
from ..dtypes import FLOATS, float32
from ..tensor import Tensor

__all__ = [
    "cos",
    "exp",
    "exp_",
    "expm1",
    "log",
    "log1p",
    "log2",
    "log_",
    "neg",
    "neg_",
    "reciprocal",
    "rsqrt",
    "sin",
    "sqrt",
    "sqrt_",
    "square",
]


def _apply(function: str, x: Any, out: Any = None) -> Any:
    if out is None and x.nbytes >= layout.LARGE:
        out = layout.empty_like(x)
    ufunc = getattr(array_module(x), function)
    if out is not None:
        return quiet.run(ufunc, x, out=out)
    y = quiet.run(ufunc, x)
    return y.astype(x.dtype, copy=False) if x.dtype.kind == "V" else y  # CuPy knows bfloat16 in some functions only


def as_float(input: Tensor, op: str) -> Tensor:
    """Integers as float32, of which the function is taken instead."""
    if not isinstance(input, Tensor):
        raise TypeError(f"{op}: expected a Tensor, not {type(input).__name__}")
    return input if input.data.dtype.kind in FLOATS else input.to(float32)


class Unary(Backward):
    """Backward of a function of one number; ``saves`` says what of: "x" (the input), "y" (the result), or nothing."""

    saves = ""


def unary(op: str, function: str, backward: type[Unary], input: Tensor) -> Tensor:
    """The function of each element."""
    y = _apply(function, input.data)
    return record(
        y, backward, (input,), saved=(input,) if backward.saves == "x" else (y,) if backward.saves == "y" else ()
    )


def unary_(op: str, function: str, backward: type[Unary], input: Tensor) -> Tensor:
    """The function with its result written over the input."""
    check_inplace(input, op)
    if as_float(input, op) is not input and function not in ("negative", "absolute"):
        raise TypeError(f"{op}: the result does not fit {input.dtype}; convert the tensor first")
    x = input.data
    old = x.copy() if backward.saves == "x" and input.requires_grad else None
    _apply(function, x, x)
    return record_inplace(
        input, backward, (input,), saved=(old,) if backward.saves == "x" else (x,) if backward.saves == "y" else ()
    )


def exp(input: Tensor) -> Tensor:
    """e^x.

    Example:
        >>> import atrous as at
        >>> exp(at.tensor([0.0])).tolist()
        [1.0]
    """
    return unary("exp", "exp", ExpBackward, as_float(raised(input), "exp"))


def exp_(input: Tensor) -> Tensor:
    """``exp``, written over the input."""
    return unary_("exp_", "exp", ExpBackward, input)


class ExpBackward(Unary):
    """Gradient of exp: ``grad_y · y``."""

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
    return unary("log", "log", LogBackward, as_float(raised(input), "log"))


def log_(input: Tensor) -> Tensor:
    """``log``, written over the input."""
    return unary_("log_", "log", LogBackward, input)


class LogBackward(Unary):
    """Gradient of log: ``grad_y / x``."""

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
    return unary("sqrt", "sqrt", SqrtBackward, as_float(input, "sqrt"))


def sqrt_(input: Tensor) -> Tensor:
    """``sqrt``, written over the input."""
    return unary_("sqrt_", "sqrt", SqrtBackward, input)


class SqrtBackward(Unary):
    """Gradient of sqrt: ``grad_y / (2 y)``."""

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
    return unary("neg", "negative", NegBackward, input)


def neg_(input: Tensor) -> Tensor:
    """``neg``, written over the input."""
    return unary_("neg_", "negative", NegBackward, input)


class NegBackward(Unary):
    """Gradient of neg: ``−grad_y``."""

    def __call__(self, grad_y):
        return -grad_y


def square(input: Tensor) -> Tensor:
    """x².

    Example:
        >>> import atrous as at
        >>> square(at.tensor([3.0])).tolist()
        [9.0]
    """
    return unary("square", "square", SquareBackward, input)


class SquareBackward(Unary):
    """Gradient of square: ``grad_y · 2 x``."""

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
    return unary("log2", "log2", Log2Backward, as_float(raised(input), "log2"))


class Log2Backward(Unary):
    """Gradient of log2: ``grad_y / (x · log 2)``."""

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
    return unary("log1p", "log1p", Log1pBackward, as_float(raised(input), "log1p"))


class Log1pBackward(Unary):
    """Gradient of log1p: ``grad_y / (1 + x)``."""

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
    return unary("expm1", "expm1", Expm1Backward, as_float(raised(input), "expm1"))


class Expm1Backward(Unary):
    """Gradient of expm1: ``grad_y · (y + 1)``."""

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
    return unary("sin", "sin", SinBackward, as_float(input, "sin"))


class SinBackward(Unary):
    """Gradient of sin: ``grad_y · cos x``."""

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
    return unary("cos", "cos", CosBackward, as_float(input, "cos"))


class CosBackward(Unary):
    """Gradient of cos: ``−grad_y · sin x``."""

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
    return reciprocal(sqrt(raised(input)))


def reciprocal(input: Tensor) -> Tensor:
    """1 / x.

    Example:
        >>> import atrous as at
        >>> reciprocal(at.tensor([4.0])).tolist()
        [0.25]
    """
    return 1.0 / raised(input)
