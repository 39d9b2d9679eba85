"""Other dtypes, devices and memory orders: ``to``, ``contiguous``."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import dtypes, gpu, layout
from ..autograd import Backward, record
from ..tensor import Tensor

__all__ = ["contiguous", "is_tensor", "to"]


def to(
    input: Tensor,
    *targets: Any,
    dtype: Any = None,
    device: Any = None,
    non_blocking: bool = False,
    copy: bool = False,
) -> Tensor:
    """The tensor in another dtype, on another device, or in both as another tensor is.

    Itself where nothing changes, unless ``copy``. Gradients pass through, converted and moved back.

    Args:
        input: any tensor.
        targets: a dtype, a device ("cpu", "cuda"), or a tensor to imitate; also by name, ``dtype=`` and ``device=``.
        non_blocking: do not wait for the end of a copy from pinned memory, which must not be written meanwhile.
    Raises:
        RuntimeError: "cuda" where there is no GPU that can be used; the message says what is missing.
    Example:
        >>> import atrous as at
        >>> to(at.tensor([1.7]), at.int64).tolist()
        [1]
    """
    for target in targets:
        if isinstance(target, Tensor):
            dtype, device = target.dtype, target.device
        elif isinstance(target, str) and target.partition(":")[0] in ("cpu", "cuda"):
            device = target
        else:
            dtype = target
    here = input.device
    there = here if device is None else gpu.check_device(device, "to")
    dtype = input.dtype if dtype is None else dtypes.as_dtype(dtype, "to")
    if there != here:
        moved = gpu.moved(input.data, there, non_blocking)
        result = record(moved, DeviceBackward, (input,), device=here)
        if gpu.holds(moved) and not gpu.holds(input.data):
            result._keep_range(input.data)
        return to(result, dtype=dtype)
    if dtype == input.dtype:
        return input.clone() if copy else input
    return record(layout.cast(input.data, dtype), ToBackward, (input,), dtype=input.dtype)


class DeviceBackward(Backward):
    """Gradient of a move: moved back."""

    device: str

    def __call__(self, grad_y):
        return gpu.moved(grad_y, self.device)


class ToBackward(Backward):
    """Gradient of to: ``grad_y``, back in x's dtype; the float32 gradient of a weight that was cast stays as it is."""

    dtype: np.dtype
    rounds = False

    def __call__(self, grad_y):
        return grad_y.astype(self.dtype, copy=False)


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


def is_tensor(obj: Any) -> bool:
    """Whether this is a tensor.

    Example:
        >>> import atrous as at
        >>> is_tensor(at.zeros(2)), is_tensor([0.0, 0.0])
        (True, False)
    """
    return isinstance(obj, Tensor)
