"""Writes that replace a tensor's values, ``copy_``, ``fill_``, ``zero_``, and ``clone``, which saves them before."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import layout
from ..autograd import Backward, check_inplace, record, record_inplace
from ..tensor import Tensor
from .creation import as_tensor
from .operands import unbroadcast

__all__ = ["clone", "copy_", "fill_", "zero_"]


def clone(input: Tensor) -> Tensor:
    """A copy in memory of its own, in the same memory order; gradients pass through.

    Example:
        >>> import atrous as at
        >>> clone(at.ones(2)).tolist()
        [1.0, 1.0]
    """
    y = layout.empty_like(input.data)
    y[...] = input.data
    return record(y, CloneBackward, (input,))


class CloneBackward(Backward):
    """Gradient of clone: ``grad_y``."""

    def __call__(self, grad_y):
        return grad_y


def copy_(input: Tensor, src: Any, op: str = "copy_") -> Tensor:
    """Writes the values of ``src``, which broadcasts and is converted, over the input.

    Raises:
        RuntimeError: the input is a leaf that requires grad, outside ``no_grad``.
        ValueError: src does not broadcast to the input.
    Example:
        >>> import atrous as at
        >>> copy_(at.zeros(2), at.tensor([1, 2])).tolist()
        [1.0, 2.0]
    """
    check_inplace(input, op)
    src = as_tensor(src).to(device=input.device)
    try:
        input.data[...] = src.data
    except ValueError:
        raise ValueError(f"{op}: shape {src.shape} does not broadcast to {input.shape}") from None
    return record_inplace(input, CopyBackward, (src,), shape=src.shape, dtype=src.dtype)


class CopyBackward(Backward):
    """Gradient of copy_ for its source: ``grad_y``, summed over the axes that were broadcast."""

    shape: tuple[int, ...]
    dtype: np.dtype

    def __call__(self, grad_y):
        return unbroadcast(grad_y, self.shape, self.dtype)


def fill_(input: Tensor, value: Any) -> Tensor:
    """Writes one value everywhere.

    Example:
        >>> import atrous as at
        >>> fill_(at.zeros(2), 3).tolist()
        [3.0, 3.0]
    """
    check_inplace(input, "fill_")
    if (value.numel() if isinstance(value, Tensor) else np.size(value)) != 1:
        raise ValueError("fill_: expected one number")
    if isinstance(value, Tensor):
        return copy_(input, value.reshape(()), "fill_")
    input.data[...] = value
    return record_inplace(input, CloneBackward, (None,))


def zero_(input: Tensor) -> Tensor:
    """Writes zeros.

    Example:
        >>> import atrous as at
        >>> zero_(at.ones(2)).tolist()
        [0.0, 0.0]
    """
    return fill_(input, 0)
