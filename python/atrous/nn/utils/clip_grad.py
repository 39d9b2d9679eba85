"""Gradient clipping, by the norm of all gradients together or value by value."""

from __future__ import annotations

import math
import types
import warnings
from collections.abc import Iterable
from typing import Any

from ... import capturing, fusion, gpu
from ...autograd import increment_version, no_grad
from ...backend import array_module, quiet
from ...checks import require
from ...dtypes import float32, float64, promote_types, widened
from ...layout import contiguous, is_dense_float
from ...ops import tensor
from ...tensor import Tensor

__all__ = ["clip_grad_norm_", "clip_grad_value_", "clip_grads_with_norm_", "get_total_norm"]

BLOCK = 1 << 16  # elements that are float64 at a time: half a megabyte, which stays in the cache


def clip_grad_norm_(
    parameters: Tensor | Iterable[Tensor],
    max_norm: float,
    norm_type: float = 2.0,
    error_if_nonfinite: bool = False,
    foreach: bool | None = None,
) -> Tensor:
    """Scales all gradients by one factor, so that their norm, as of one long vector, is at most ``max_norm``.

    ``grad ← grad · min(1, max_norm / (norm + 1e-6))``. A norm that is not finite makes gradients NaN or 0.
    Nobody waits for a GPU, unless error_if_nonfinite.

    Args:
        parameters: one tensor or several; those without a gradient are passed over.
        max_norm: 0 or more.
        norm_type: p of the p-norm, above 0; infinity for the largest absolute value.
        error_if_nonfinite: raise where the norm is NaN or infinite, instead of scaling by it; not in captured steps.
        foreach: without effect, for PyTorch's signature.
    Returns:
        The norm before clipping, a tensor of shape (), where the gradients are.
    Raises:
        ValueError: max_norm or norm_type is out of range.
        RuntimeError: the norm is not finite, and error_if_nonfinite; the gradients are unchanged then.
    Example:
        >>> w = at.tensor([1.0, 1.0], requires_grad=True)
        >>> w.grad = at.tensor([3.0, 4.0])
        >>> nn.utils.clip_grad_norm_([w], max_norm=1.0)
        tensor(5.)
        >>> [round(g, 4) for g in w.grad.tolist()]
        [0.6, 0.8]

    Source:
        Pascanu, Mikolov and Bengio, On the difficulty of training recurrent neural networks, 2013, algorithm 1.
    Differs from PyTorch: squares add up in float64, so that large float32 gradients have a finite norm.
    """
    _at_least_0("clip_grad_norm_", max_norm=max_norm)
    found = _tensors("clip_grad_norm_", parameters, "parameters")
    if isinstance(parameters, types.GeneratorType) and not found:
        warnings.warn("clip_grad_norm_: parameters is an empty generator; nothing is clipped", stacklevel=2)
    norm = get_total_norm([p.grad for p in found if p.grad is not None], norm_type, error_if_nonfinite)
    clip_grads_with_norm_(found, max_norm, norm)
    return norm


def get_total_norm(
    tensors: Tensor | Iterable[Tensor],
    norm_type: float = 2.0,
    error_if_nonfinite: bool = False,
    foreach: bool | None = None,
) -> Tensor:
    """The norm of tensors as of one long vector: ``(Σ |x|^p)^(1/p)``.

    Args:
        tensors: one float tensor or several, of any shapes and memory order; of none the norm is 0.
        norm_type: p, above 0; infinity for the largest absolute value. (PyTorch takes 0 and negative ones as well.)
            On a GPU, norms other than the 2-norm take subnormal numbers of float32 as 0.
        error_if_nonfinite: raise where the norm is NaN or infinite.
        foreach: without effect, for PyTorch's signature.
    Returns:
        A tensor of shape () in the tensors' common dtype, at least float32; on the GPU where all of them are.
    Raises:
        ValueError: norm_type is out of range. TypeError: something is no float tensor.
        RuntimeError: the norm is not finite, and error_if_nonfinite.
    Example:
        >>> nn.utils.get_total_norm([at.ones(2, 3), at.ones(3)])
        tensor(3.)
    """
    op = "get_total_norm"
    require(_number(norm_type) > 0, op, f"norm_type is {norm_type!r}; expected a number above 0")
    found = _tensors(op, tensors, "tensors")
    dtype = float32
    for t in found:
        if not t.is_floating_point():
            raise TypeError(f"{op}: got a tensor of dtype {t.dtype}; expected floats")
        dtype = promote_types(dtype, t.dtype)
    arrays, p = [t.data for t in found if t.data.size], float(norm_type)
    if capturing.active:
        capturing.use(*found)
    if arrays and all(map(gpu.holds, arrays)):
        total = Tensor(_norm_there(arrays, p).astype(dtype, copy=False))
    else:
        total = quiet.run(tensor, quiet.run(_norm, arrays, p), dtype=dtype)  # infinite where float32 ends
    if error_if_nonfinite and not math.isfinite(total.item()):
        raise RuntimeError(f"{op}: the norm of order {norm_type} is {total.item()}; expected a finite one")
    return total


def clip_grads_with_norm_(
    parameters: Tensor | Iterable[Tensor], max_norm: float, total_norm: Tensor, foreach: bool | None = None
) -> None:
    """The second half of `clip_grad_norm_`, for a norm that is known: `get_total_norm` of these or of more gradients.

    Args:
        parameters: one tensor or several; those without a gradient are passed over.
        max_norm: 0 or more.
        total_norm: the norm, a tensor of one element.
        foreach: without effect, for PyTorch's signature.
    Raises:
        ValueError: max_norm is out of range.
    Example:
        >>> w = at.tensor([1.0], requires_grad=True)
        >>> w.grad = at.tensor([3.0])
        >>> nn.utils.clip_grads_with_norm_([w], 1.0, at.tensor(6.0))
        >>> round(w.grad.item(), 4)
        0.5
    """
    _at_least_0("clip_grads_with_norm_", max_norm=max_norm)
    found = _tensors("clip_grads_with_norm_", parameters, "parameters")
    grads = [param.grad for param in found if param.grad is not None]
    norm = total_norm.detach().reshape(())
    if gpu.holds(norm.data):
        if any(_lies_in(norm.data, grad.data) for grad in grads):
            norm = norm.clone()
        grads = _scale_there(grads, norm, float(max_norm))
        if not grads:
            return
    factor = float(max_norm) / (norm + 1e-6)
    if gpu.holds(factor.data):
        factor = factor.clamp(max=1)
    elif factor.item() >= 1:
        return  # NaN goes on, into the gradients
    with no_grad():
        for grad in grads:
            grad.mul_(factor if gpu.holds(grad.data) else factor.cpu())


def clip_grad_value_(parameters: Tensor | Iterable[Tensor], clip_value: float, foreach: bool | None = None) -> None:
    """Limits every element of the gradients to −clip_value ... clip_value; NaN stays NaN.

    Args:
        parameters: one tensor or several; those without a gradient are passed over.
        clip_value: 0 or more.
        foreach: without effect, for PyTorch's signature.
    Raises:
        ValueError: clip_value is out of range.
    Example:
        >>> w = at.tensor([1.0, 1.0], requires_grad=True)
        >>> w.grad = at.tensor([3.0, -0.5])
        >>> nn.utils.clip_grad_value_(w, 1.0)
        >>> w.grad
        tensor([ 1.0000, -0.5000])
    """
    _at_least_0("clip_grad_value_", clip_value=clip_value)
    with no_grad():
        for param in _tensors("clip_grad_value_", parameters, "parameters"):
            if param.grad is not None:
                param.grad.clamp_(min=-float(clip_value), max=float(clip_value))


def _norm(arrays: list[Any], p: float) -> float:
    """The p-norm of all elements, in float64. No BLAS: the bits of its sums depend on the number of threads."""
    if p == 2:
        norm = math.sqrt(_sum(arrays, _square))
        if 0 < norm < math.inf:
            return norm  # else it is so, or float64 was too narrow for squares
    sizes = [float(abs(array).max()) for array in arrays]
    largest = math.nan if any(map(math.isnan, sizes)) else max(sizes, default=0.0)
    if p == math.inf or largest == 0 or not math.isfinite(largest):
        return largest
    # Powers of shares of the largest cannot overflow.
    return largest * _sum(arrays, lambda block: _power(block, largest, p)) ** (1 / p)


def _norm_there(arrays: list[Any], p: float) -> Any:
    """The same on a GPU, where nobody waits for it: an array of shape ()."""
    xp = gpu.cupy
    arrays = [widened(array) for array in arrays]
    if p == 2 and {array.dtype for array in arrays} == {float32}:  # whose squares float64 has room for
        return gpu.kernels.norm_of([array if is_dense_float(array) else contiguous(array) for array in arrays])
    largest = abs(arrays[0]).max()
    for array in arrays[1:]:  # not stacked: CuPy copies a list of addresses from the host for that
        largest = xp.maximum(largest, abs(array).max())
    largest = largest.astype("float64")
    if p == math.inf:
        return largest
    regular = (largest > 0) & (largest < math.inf)
    scale, total = xp.where(regular, largest, 1), 0.0
    for array in arrays:
        total = total + _power(array, scale, p).sum()
    return xp.where(regular, largest * total ** (1 / p), largest)


def _lies_in(value: Any, array: Any) -> bool:
    """Whether a number on the GPU is in the memory of an array there."""
    return gpu.holds(array) and 0 <= value.data.ptr - array.data.ptr < array.nbytes


def _scale_there(grads: list[Tensor], norm: Tensor, max_norm: float) -> list[Tensor]:
    """Scales by a norm on the GPU, in one launch for each dtype. Returns those gradients that it cannot take."""
    fusion.finish()  # what waits may read the gradients
    batches: dict[Any, dict[int, Tensor]] = {float32: {}, float64: {}}
    if norm.dtype not in batches:
        return grads
    others = []
    for grad in grads:
        array: Any = grad.data
        batch = batches.get(grad.dtype)
        if batch is None or not gpu.holds(array) or not is_dense_float(array) or array.data.ptr in batch:
            others.append(grad)  # that of a parameter given twice is scaled twice, as on the CPU
        else:
            batch[array.data.ptr] = grad
    for batch in batches.values():
        if batch:
            gpu.kernels.scale([grad.data for grad in batch.values()], norm.data, max_norm)
            increment_version(*batch.values())
    return others


def _sum(arrays: list[Any], f: Any) -> float:
    """The sum of f(x) over all elements in memory order, a block at a time so that float64 takes little room."""
    total = 0.0  # added up in a loop: Python's sum() of floats changed with 3.12
    for array in arrays:
        flat = array_module(array).ravel(array, order="K")
        for start in range(0, flat.size, BLOCK):
            total += float(f(flat[start : start + BLOCK]).sum())
    return total


def _square(block: Any) -> Any:
    return array_module(block).square(block, dtype="float64")


def _power(block: Any, largest: float, p: float) -> Any:
    return array_module(block).power(abs(block).astype("float64") / largest, p)


def _tensors(op: str, tensors: Any, name: str) -> list[Tensor]:
    """One tensor or several, as a list."""
    found = [tensors] if isinstance(tensors, Tensor) else list(tensors)
    for t in found:
        if not isinstance(t, Tensor):
            raise TypeError(f"{op}: {name} has a {type(t).__name__}; expected tensors")
    return found


def _number(value: Any) -> float:
    """The value as a float; NaN, which no range has, where it is none."""
    try:
        return float(value)
    except (TypeError, ValueError):
        return math.nan


def _at_least_0(op: str, **setting: Any) -> None:
    ((name, value),) = setting.items()
    require(_number(value) >= 0, op, f"{name} is {value!r}; expected a number of 0 or more")
