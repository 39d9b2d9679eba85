"""Checks on what users pass in: done before any work, with a message that names the op and shows what it got."""

from __future__ import annotations

import numbers
import operator
from collections.abc import Iterable
from typing import Any

from . import gpu
from .dtypes import float32, float64, is_half
from .tensor_base import TensorBase

__all__ = ["floats_of_one_dtype", "in_compute_dtype", "pair", "require", "single", "suggestion", "whole"]


def require(condition: Any, op: str, message: str) -> None:
    """Raises ``ValueError("op: message")`` unless ``condition`` holds.

    Example:
        >>> require(2 > 1, "conv2d", "never shown")
    """
    if not condition:
        raise ValueError(f"{op}: {message}")


def whole(op: str, least: int, **setting: Any) -> int:
    """The one setting as an int.

    Raises:
        ValueError: it is no int, or below ``least``.
    Example:
        >>> whole("StepLR", 1, step_size=30)
        30
    """
    ((key, value),) = setting.items()
    if isinstance(value, bool) or not isinstance(value, numbers.Integral) or value < least:
        raise ValueError(f"{op}: {key} is {value!r}; expected an int of {least} or more")
    return int(value)


def suggestion(word: str, known: Iterable[str]) -> str:
    """``; did you mean 'adam'?`` for the nearest known word, nothing when none is near.

    Example:
        >>> suggestion("adm", ["adam", "sgd"])
        "; did you mean 'adam'?"
    """
    from difflib import get_close_matches  # here, so that importing atrous stays quick

    near = get_close_matches(word.lower(), list(known), n=1)
    return f"; did you mean {near[0]!r}?" if near else ""


def pair(value: Any, op: str, name: str) -> tuple[int, int]:
    """One int, or two, as a tuple (height, width), as in ``kernel_size=3`` and ``kernel_size=(3, 5)``.

    Raises:
        TypeError: something else than ints.
        ValueError: not one or two of them.
    Example:
        >>> pair(3, "conv2d", "kernel_size")
        (3, 3)
    """
    if type(value) is int:  # the common forms first: an op makes several pairs
        return (value, value)
    if type(value) is tuple and len(value) == 2 and type(value[0]) is type(value[1]) is int:
        return value
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


def single(value: Any, op: str, name: str) -> int:
    """One int, alone or in a tuple, as in ``kernel_size=3`` and ``kernel_size=(3,)``.

    Raises:
        TypeError: something else than an int.
        ValueError: not one of them.
    Example:
        >>> single((3,), "conv1d", "kernel_size")
        3
    """
    items = tuple(value) if isinstance(value, (tuple, list)) else (value,)
    require(len(items) == 1, op, f"{name} has {len(items)} numbers; expected one int")
    if isinstance(items[0], bool) or not hasattr(items[0], "__index__"):
        raise TypeError(f"{op}: {name} is {value!r}; expected one int")
    return operator.index(items[0])


def floats_of_one_dtype(op: str, names: Iterable[str], *tensors: Any) -> None:
    """Raises a TypeError unless all of these are tensors of one dtype that kernels take.

    That is float32 or float64, and on a GPU float16 or bfloat16, beside which optional tensors may be float32: biases
    and statistics are computed in that. And raises a RuntimeError unless they are on one device.

    Args:
        op: the name for the message.
        names: the tensors' names, in which a ? says that None may stand in that place; not in the first.
        tensors: the tensors; the others are compared with the first.
    Example:
        >>> import atrous as at
        >>> floats_of_one_dtype("linear", ("x", "weight", "bias?"), at.ones(2, 3), at.ones(4, 3), None)
    """
    first = first_name = beside = first_kind = None
    mixed = False  # arrays of several libraries
    for name, tensor in zip(names, tensors):  # noqa: B905  every op comes here
        if isinstance(tensor, TensorBase):
            pending = tensor._pending
            if pending is None:
                dtype, kind = tensor.data.dtype, type(tensor.data)
            else:
                dtype, kind = pending.dtype, pending.kind
            if first is None:
                first, first_name, first_kind = dtype, name, kind
                if dtype not in (float32, float64) and not (is_half(dtype) and tensor.device != "cpu"):
                    raise TypeError(f"{op}: {name} has dtype {dtype}; {_expected(dtype)}")
                continue
            if kind is not first_kind:
                mixed = True
            if dtype is first or (dtype is beside and name[-1] == "?"):
                continue
            if dtype != first:
                if not (dtype == float32 and is_half(first) and name.endswith("?")):
                    raise TypeError(f"{op}: {name.rstrip('?')} has dtype {dtype}; expected {first} as {first_name}")
                beside = dtype
        elif tensor is not None or not name.endswith("?"):
            raise TypeError(f"{op}: {name.rstrip('?')} is a {type(tensor).__name__}; expected a Tensor")
    if gpu.kernels is not None and (mixed or gpu.alone is None):  # the class says where an array is if there is one GPU
        gpu.require_one_device(op, names, tensors)


def _expected(dtype: Any) -> str:
    if not is_half(dtype):
        return "expected float32 or float64"
    return "numbers of 16 bits are computed with on a GPU: move the tensors there by to('cuda'), or take x.float()"


def in_compute_dtype(*parameters: Any) -> list:
    """A layer's small parameters (floats, or None) as kernels take them beside maps of 16 bits: in float32.

    Example:
        >>> import atrous as at
        >>> in_compute_dtype(at.ones(2, dtype=at.float16), None)
        [tensor([1., 1.]), None]
    """
    return [t.float() if t is not None and (t._pending or t.data).dtype.itemsize == 2 else t for t in parameters]
