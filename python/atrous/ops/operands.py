"""What ops on two operands share: their common dtype, broadcasting and its backward, and the write-over form.

The operands are brought to PyTorch's common dtype before NumPy sees them (see ``dtypes``). Either may be a number, an
array or a list, as long as one is a Tensor. The backward sums again over the axes that broadcasting stretched.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import capturing, dtypes, gpu, layout
from ..autograd import Backward, check_inplace, record, record_inplace
from ..backend import array_module, quiet
from ..dtypes import FLOATS, compute_dtype
from ..grad_mode import mode
from ..graph import edge_of
from ..tensor import Tensor
from .creation import as_tensor

__all__ = ["Binary", "binary", "binary_", "compute", "kind", "operands", "unbroadcast"]


def operands(op: str, a: Any, b: Any) -> tuple[Any, Any, Tensor | None, Tensor | None]:
    """The two operands as arrays of one dtype, or one as a Python number; then as the tensors they are, or None.

    Raises:
        TypeError: an operand is neither tensor, number, array nor list; or neither is a tensor.
    """
    if not isinstance(a, Tensor):
        if not isinstance(b, Tensor):
            raise TypeError(f"{op}: got {type(a).__name__} and {type(b).__name__}; expected at least one Tensor")
        y, x, second, first = operands(op, b, a)
        return x, y, first, second
    x = a.data
    if capturing.active:
        capturing.use(a, b)
    if isinstance(b, Tensor):
        y = b.data
        if type(x) is not type(y):
            x, y = _on_one_device(op, x, y)
        if x.dtype is y.dtype:
            return x, y, a, b
    elif type(b) in (float, int) and x.dtype.kind in FLOATS:
        return x, b, a, None  # NumPy keeps the array's dtype beside a Python number; not bfloat16: see _beside_half
    elif isinstance(b, (int, float, np.generic)):
        if x.dtype.kind in FLOATS:
            return x, float(b), a, None
        dtype = dtypes.result_type(x, b)
        return x.astype(dtype, copy=False), array_module(x).full((), b).astype(dtype), a, None
    elif isinstance(b, (np.ndarray, list, tuple)):
        b = as_tensor(b, like=a)
        y = b.data
    else:
        raise TypeError(f"{op}: cannot combine a Tensor with {type(b).__name__}")
    dtype = dtypes.result_type(x, y)
    return x.astype(dtype, copy=False), y.astype(dtype, copy=False), a, b


def _on_one_device(op: str, x: Any, y: Any) -> tuple[Any, Any]:
    """Two arrays, of which one may be a single number in host memory and the other on a GPU."""
    if y.ndim == 0 and gpu.holds(x):
        return x, gpu.to_gpu(y)
    if x.ndim == 0 and gpu.holds(y):
        return gpu.to_gpu(x), y
    raise RuntimeError(f"{op}: one operand is on {gpu.device_of(x)}, the other on {gpu.device_of(y)}; move one by to()")


def compute(op: str, function: str, x: Any, y: Any, out: Any = None, dtype: Any = None) -> Any:
    """``xp.function(x, y)`` of the operands' array library, whose result has ``dtype``, theirs if None.

    A large result goes to pool memory.
    """
    array = y if type(x) in (float, int) else x
    xp = np if type(array) is np.ndarray else array_module(array)
    if array.itemsize == 2 and (type(x) in (float, int) or type(y) in (float, int)):
        return _half_and_number(getattr(xp, function), x, y, out, dtype or array.dtype)
    try:
        if out is None:
            if array.nbytes < layout.LARGE and (type(y) in (float, int) or y.nbytes < layout.LARGE):
                return quiet.run(getattr(xp, function), x, y)
            out = _large_output(x, y, dtype)
        return quiet.run(getattr(xp, function), x, y, out=out)
    except ValueError:
        raise ValueError(f"{op}: shapes {_shape(x)} and {_shape(y)} do not broadcast together") from None


def _half_and_number(function: Any, x: Any, y: Any, out: Any, dtype: Any) -> Any:
    """Of an array of 16 bits and a number: in float32, and rounded once. The number itself is not, but where booleans
    come out: ``x == 0.1`` holds for an x that was made from 0.1. This is what PyTorch does.
    """
    half = y.dtype if type(x) in (float, int) else x.dtype
    exact = half.type if dtype == dtypes.bool_ else float
    x, y = [np.float32(exact(part)) if type(part) in (float, int) else part for part in (x, y)]
    if out is None:  # beside a number of float32, both array libraries compute in float32
        return quiet.run(lambda: function(x, y).astype(dtype, copy=False))
    return quiet.run(function, x, y, out=out)


def _large_output(x: Any, y: Any, dtype: Any) -> Any:
    """Memory in the order of the operand that has the result's shape; None (NumPy decides) where neither has it."""
    model = x if getattr(x, "size", 1) >= getattr(y, "size", 1) else y
    return layout.empty_like(model, dtype) if np.broadcast_shapes(_shape(x), _shape(y)) == model.shape else None


def _shape(operand: Any) -> tuple[int, ...]:
    return getattr(operand, "shape", ())


def unbroadcast(grad: Any, shape: tuple[int, ...], dtype: Any) -> Any:
    """The gradient of an operand of this shape: summed over the axes that broadcasting stretched."""
    if grad.shape != shape:
        extra = grad.ndim - len(shape)
        axes = [i for i in range(grad.ndim) if i < extra or (shape[i - extra] == 1 and grad.shape[i] != 1)]
        grad = grad.sum(axis=tuple(axes), dtype=compute_dtype(grad.dtype), keepdims=True).reshape(shape)
    return grad if grad.dtype == dtype else grad.astype(dtype)


class Binary(Backward):
    """Backward of an op on two operands. ``parts`` gives both gradients, in the shape of the result."""

    saves: tuple = ()  # for each operand, False, True or "other" (for the other's gradient); () is none
    operands: tuple  # (shape, dtype) of each operand that is a tensor

    def parts(self, grad_y: Any) -> tuple:
        raise NotImplementedError

    def __call__(self, grad_y: Any) -> tuple:
        part_a, part_b = self.parts(grad_y)
        edge_a, edge_b = self.inputs
        kind_a, kind_b = self.operands
        return (
            None if edge_a is None else unbroadcast(part_a, *kind_a),
            None if edge_b is None else unbroadcast(part_b, *kind_b),
        )


def binary(op: str, function: str, backward: type[Binary], a: Any, b: Any) -> Tensor:
    """The op: computes and, where an operand requires grad, records."""
    x, y, a, b = operands(op, a, b)
    z = compute(op, function, x, y)
    if not mode.enabled:
        return Tensor(z)
    for tensor in (a, b):
        if tensor is not None and (tensor._requires_grad or tensor._view is not None):
            kept = _kept(backward, x, y, a, b) if backward.saves else ()
            return record(z, backward, (a, b), kept, operands=(kind(a), kind(b)))
    return Tensor(z)


def binary_(op: str, function: str, backward: type[Binary], a: Tensor, b: Any) -> Tensor:
    """The op with its result written over ``a``."""
    check_inplace(a, op)
    x, y, _, b = operands(op, a, b)
    fits = x is a.data or dtypes.CATEGORY[x.dtype.kind] <= dtypes.CATEGORY[a.dtype.kind]
    if not fits or (function == "true_divide" and a.dtype.kind not in FLOATS):
        raise TypeError(f"{op}: the result does not fit {a.dtype}; convert the tensor first")
    if b is not None and y.shape != a.shape and np.broadcast_shapes(a.shape, y.shape) != a.shape:
        raise ValueError(f"{op}: the result has another shape than the tensor written, {a.shape}, beside {y.shape}")
    kept = _kept(backward, x, y, a, b) if backward.saves else ()
    if kept and kept[0] is a:  # its values are about to go
        kept = (x.copy(), kept[1] if kept[1] is not a else y.copy())
    operand_kinds = kind(a), kind(b)
    if x is a.data:
        compute(op, function, x, y, x)
    else:
        a.data[...] = compute(op, function, x, y)
    return record_inplace(a, backward, (a, b), kept, operands=operand_kinds)


def kind(tensor: Tensor | None) -> tuple | None:
    """What its gradient needs to know of an operand: shape and dtype; None for a number."""
    if tensor is None:
        return None
    array = tensor._pending or tensor.data
    return array.shape, array.dtype


def _kept(backward: type[Binary], x: Any, y: Any, a: Tensor | None, b: Tensor | None) -> tuple:
    """What to save: operands as tensors, whose version is checked, or as what they were converted to."""
    saves_x, saves_y = backward.saves
    if saves_x == "other":
        saves_x = b is not None and edge_of(b) is not None
    if saves_y == "other":
        saves_y = a is not None and edge_of(a) is not None
    return (
        None if not saves_x else a if a is not None and x is a.data else x,
        None if not saves_y else b if b is not None and y is b.data else y,
    )
