"""Other dtypes and memory orders: ``to``, ``contiguous``."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import dtypes, layout
from ..autograd import Backward, record
from ..tensor import Tensor
from .creation import check_device

__all__ = ["contiguous", "to"]


def to(input: Tensor, *targets: Any, dtype: Any = None, device: Any = None, copy: bool = False) -> Tensor:
    """The tensor in another dtype, on a device ("cpu" alone in this build), or in both as another tensor is.

    Itself where nothing changes, unless ``copy``. Gradients pass through, converted back.

    Args:
        input: any tensor.
        targets: a dtype, a device, or a tensor to imitate; also by name, ``dtype=`` and ``device=``.
    Example:
        >>> import atrous as at
        >>> to(at.tensor([1.7]), at.int64).tolist()
        [1]
    """
    for target in targets:
        if isinstance(target, Tensor):
            dtype = target.dtype
        elif isinstance(target, str) and target.partition(":")[0] in ("cpu", "cuda"):
            device = target
        else:
            dtype = target
    check_device(device, "to")
    dtype = input.dtype if dtype is None else dtypes.as_dtype(dtype, "to")
    if dtype == input.dtype:
        return input.clone() if copy else input
    y = layout.empty_like(input.data, dtype)
    with np.errstate(all="ignore"):
        y[...] = input.data
    return record(y, ToBackward, (input,), dtype=input.dtype)


class ToBackward(Backward):
    """Gradient of to: ``grad_y``, back in x's dtype."""

    dtype: np.dtype

    def __call__(self, grad_y):
        return grad_y.astype(self.dtype)


def contiguous(input: Tensor) -> Tensor:
    """The tensor in C order; itself where it is so already.

    Example:
        >>> import atrous as at
        >>> contiguous(at.zeros(2, 3).t()).is_contiguous()
        True
    """
    data = layout.contiguous(input.data)
    return input if data is input.data else record(data, ContiguousBackward, (input,))


class ContiguousBackward(Backward):
    """Gradient of contiguous: ``grad_y``."""

    def __call__(self, grad_y):
        return grad_y
