"""Checks on what users pass in: done before any work, with a message that names the op and shows what it got."""

from __future__ import annotations

import operator
from typing import Any

from .tensor_base import TensorBase

__all__ = ["floats_of_one_dtype", "pair", "require"]


def require(condition: Any, op: str, message: str) -> None:
    """Raises ``ValueError("op: message")`` unless ``condition`` holds.

    Example:
        >>> require(2 > 1, "conv2d", "never shown")
    """
    if not condition:
        raise ValueError(f"{op}: {message}")


def pair(value: Any, op: str, name: str) -> tuple[int, int]:
    """One int, or two, as a tuple (height, width), as in ``kernel_size=3`` and ``kernel_size=(3, 5)``.

    Raises:
        TypeError: something else than ints.
        ValueError: not one or two of them.
    Example:
        >>> pair(3, "conv2d", "kernel_size")
        (3, 3)
    """
    items = tuple(value) if isinstance(value, (tuple, list)) else (value,)
    if not 1 <= len(items) <= 2:
        raise ValueError(f"{op}: {name} has {len(items)} numbers; expected one int or two")
    try:
        if any(isinstance(item, bool) for item in items):
            raise TypeError
        items = tuple(operator.index(item) for item in items)
    except TypeError:
        raise TypeError(f"{op}: {name} is {value!r}; expected one int or two") from None
    return (items[0], items[-1])


def floats_of_one_dtype(op: str, **tensors: Any) -> None:
    """Raises a TypeError unless all of these, None aside, are floating-point tensors of one dtype.

    Example:
        >>> import atrous as at
        >>> floats_of_one_dtype("linear", x=at.ones(2, 3), weight=at.ones(4, 3), bias=None)
    """
    first = None
    for name, tensor in tensors.items():
        if tensor is None:
            continue
        if not isinstance(tensor, TensorBase):
            raise TypeError(f"{op}: {name} is a {type(tensor).__name__}; expected a Tensor")
        dtype = tensor.data.dtype
        if dtype.kind != "f":
            raise TypeError(f"{op}: {name} has dtype {dtype}; expected a floating-point tensor")
        if first is None:
            first = name, dtype
        elif dtype != first[1]:
            raise TypeError(f"{op}: {name} has dtype {dtype}; expected {first[1]} as {first[0]}")
