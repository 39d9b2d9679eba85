"""Comparisons and logic, element by element: boolean tensors, which have no gradient."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..backend import array_module
from ..dtypes import bool_
from ..tensor import Tensor
from .creation import as_tensor
from .operands import compute, operands

__all__ = [
    "allclose", "bitwise_and", "bitwise_not", "bitwise_or", "bitwise_xor", "eq", "equal", "ge", "gt", "isclose", "le",
    "logical_and", "logical_not", "logical_or", "lt", "ne",
]  # fmt: skip


def _compare(op: str, function: str, a: Any, b: Any) -> Tensor:
    x, y, _, _ = operands(op, a, b)
    return Tensor(compute(op, function, x, y, dtype=bool_))


def _bitwise(op: str, a: Any, b: Any) -> Tensor:
    x, y, _, _ = operands(op, a, b)
    return Tensor(compute(op, op, x, y))


def eq(input: Any, other: Any) -> Tensor:
    """``input == other``.

    Example:
        >>> import atrous as at
        >>> eq(at.tensor([1, 2]), 2).tolist()
        [False, True]
    """
    return _compare("eq", "equal", input, other)


def ne(input: Any, other: Any) -> Tensor:
    """``input != other``.

    Example:
        >>> import atrous as at
        >>> ne(at.tensor([1, 2]), 2).tolist()
        [True, False]
    """
    return _compare("ne", "not_equal", input, other)


def lt(input: Any, other: Any) -> Tensor:
    """``input < other``.

    Example:
        >>> import atrous as at
        >>> lt(at.tensor([1, 2]), 2).tolist()
        [True, False]
    """
    return _compare("lt", "less", input, other)


def le(input: Any, other: Any) -> Tensor:
    """``input <= other``.

    Example:
        >>> import atrous as at
        >>> le(at.tensor([1, 2]), 2).tolist()
        [True, True]
    """
    return _compare("le", "less_equal", input, other)


def gt(input: Any, other: Any) -> Tensor:
    """``input > other``.

    Example:
        >>> import atrous as at
        >>> gt(at.tensor([1, 2]), 2).tolist()
        [False, False]
    """
    return _compare("gt", "greater", input, other)


def ge(input: Any, other: Any) -> Tensor:
    """``input >= other``.

    Example:
        >>> import atrous as at
        >>> ge(at.tensor([1, 2]), 2).tolist()
        [False, True]
    """
    return _compare("ge", "greater_equal", input, other)


def logical_and(input: Any, other: Any) -> Tensor:
    """Whether both operands are nonzero.

    Example:
        >>> import atrous as at
        >>> logical_and(at.tensor([0, 1]), at.tensor([2, 2])).tolist()
        [False, True]
    """
    return _compare("logical_and", "logical_and", input, other)


def logical_or(input: Any, other: Any) -> Tensor:
    """Whether an operand is nonzero.

    Example:
        >>> import atrous as at
        >>> logical_or(at.tensor([0, 1]), at.tensor([2, 2])).tolist()
        [True, True]
    """
    return _compare("logical_or", "logical_or", input, other)


def logical_not(input: Tensor) -> Tensor:
    """Whether each element is zero.

    Example:
        >>> import atrous as at
        >>> logical_not(at.tensor([0, 3])).tolist()
        [True, False]
    """
    return Tensor(array_module(input).logical_not(input.data))


def bitwise_and(input: Any, other: Any) -> Tensor:
    """``input & other`` of integers or booleans.

    Raises:
        TypeError: floating-point operands.
    Example:
        >>> import atrous as at
        >>> bitwise_and(at.tensor([1, 3]), 2).tolist()
        [0, 2]
    """
    return _bitwise("bitwise_and", input, other)


def bitwise_or(input: Any, other: Any) -> Tensor:
    """``input | other`` of integers or booleans.

    Raises:
        TypeError: floating-point operands.
    Example:
        >>> import atrous as at
        >>> bitwise_or(at.tensor([1, 3]), 2).tolist()
        [3, 3]
    """
    return _bitwise("bitwise_or", input, other)


def bitwise_xor(input: Any, other: Any) -> Tensor:
    """``input ^ other`` of integers or booleans.

    Raises:
        TypeError: floating-point operands.
    Example:
        >>> import atrous as at
        >>> bitwise_xor(at.tensor([1, 3]), 2).tolist()
        [3, 1]
    """
    return _bitwise("bitwise_xor", input, other)


def bitwise_not(input: Tensor) -> Tensor:
    """``~input`` of integers or booleans.

    Raises:
        TypeError: a floating-point tensor.
    Example:
        >>> import atrous as at
        >>> bitwise_not(at.tensor([True, False])).tolist()
        [False, True]
    """
    return Tensor(array_module(input).bitwise_not(input.data))


def isclose(input: Tensor, other: Tensor, rtol: float = 1e-5, atol: float = 1e-8, equal_nan: bool = False) -> Tensor:
    """Where ``|input − other| <= atol + rtol · |other|``.

    Example:
        >>> import atrous as at
        >>> isclose(at.ones(1), at.ones(1) * (1 + 1e-6)).tolist()
        [True]
    """
    return Tensor(array_module(input).isclose(input.data, as_tensor(other).data, rtol, atol, equal_nan))


def allclose(input: Tensor, other: Tensor, rtol: float = 1e-5, atol: float = 1e-8, equal_nan: bool = False) -> bool:
    """Whether ``isclose`` holds everywhere.

    Example:
        >>> import atrous as at
        >>> allclose(at.ones(1), at.zeros(1))
        False
    """
    return bool(isclose(input, other, rtol, atol, equal_nan).data.all())


def equal(input: Tensor, other: Tensor) -> bool:
    """Whether shapes and all values are the same.

    Example:
        >>> import atrous as at
        >>> equal(at.ones(2), at.ones(2))
        True
    """
    return input.shape == other.shape and bool(np.all(input.data == other.data))
