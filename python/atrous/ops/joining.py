"""Tensors from several, and several from one: ``cat``, ``stack``, ``split``, ``chunk``, ``repeat``, ``flip``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .. import dtypes, gpu
from ..autograd import Backward, record
from ..backend import array_module
from ..checks import require
from ..tensor import Tensor
from .shape import axis, sizes, unsqueeze

__all__ = ["cat", "chunk", "flip", "narrow", "repeat", "split", "stack", "unbind"]


def cat(tensors: Sequence[Tensor], dim: int = 0) -> Tensor:
    """Joins tensors along an axis; they agree in all others. The dtypes are promoted.

    Raises:
        ValueError: no tensors, or shapes that disagree.
    Example:
        >>> import atrous as at
        >>> cat([at.zeros(1), at.ones(2)]).tolist()
        [0.0, 1.0, 1.0]
    """
    tensors = list(tensors)
    require(tensors, "cat", "no tensors to join")
    for tensor in tensors:
        if not isinstance(tensor, Tensor):
            raise TypeError(f"cat: got {type(tensor).__name__}; expected Tensors")
    gpu.require_one_device("cat", [f"tensor {i}" for i in range(len(tensors))], tensors)
    kept = [tensor for tensor in tensors if tensor.shape != (0,)] or tensors[
        :1
    ]  # PyTorch lets empty vectors join anything
    first = kept[0].shape
    require(first != (), "cat", "tensors without axes cannot be joined; stack them")
    dim = axis(dim, len(first), "cat")
    for tensor in kept:
        agree = tensor.ndim == len(first) and all(
            i == dim or a == b for i, (a, b) in enumerate(zip(tensor.shape, first, strict=True))
        )
        require(agree, "cat", f"shapes {first} and {tensor.shape} differ in another axis than {dim}")
    dtype = dtypes.result_type(*[tensor.data for tensor in tensors])
    y = array_module(kept[0]).concatenate([tensor.data for tensor in kept], axis=dim, dtype=dtype)
    parts = [(tensor.shape[dim], tensor.dtype) for tensor in kept]
    return record(y, CatBackward, kept, dim=dim, parts=parts)


class CatBackward(Backward):
    """Gradients of cat: for each tensor the part of ``grad_y`` where it lies."""

    dim: int
    parts: list  # extent and dtype of each tensor

    def __call__(self, grad_y):
        grads, start = [], 0
        for (extent, dtype), needed in zip(self.parts, self.needs, strict=True):
            part = grad_y[(slice(None),) * self.dim + (slice(start, start + extent),)]
            grads.append(part.astype(dtype, copy=False) if needed else None)
            start += extent
        return tuple(grads)


def stack(tensors: Sequence[Tensor], dim: int = 0) -> Tensor:
    """Joins tensors of one shape along a new axis.

    Raises:
        ValueError: no tensors, or shapes that disagree.
    Example:
        >>> import atrous as at
        >>> stack([at.zeros(2), at.ones(2)]).tolist()
        [[0.0, 0.0], [1.0, 1.0]]
    """
    tensors = list(tensors)
    require(tensors, "stack", "no tensors to join")
    gpu.require_one_device("stack", [f"tensor {i}" for i in range(len(tensors))], tensors)
    for tensor in tensors:
        require(tensor.shape == tensors[0].shape, "stack", f"shapes {tensors[0].shape} and {tensor.shape} differ")
    dim = axis(dim, tensors[0].ndim + 1, "stack")
    if not any(tensor.requires_grad for tensor in tensors):  # as in data loaders: no view of each needs recording
        new_axis = (slice(None),) * dim + (None,)
        arrays = [tensor.data[new_axis] for tensor in tensors]
        return Tensor(array_module(arrays[0]).concatenate(arrays, axis=dim, dtype=dtypes.result_type(*arrays)))
    return cat([unsqueeze(tensor, dim) for tensor in tensors], dim)


def narrow(input: Tensor, dim: int, start: int, length: int) -> Tensor:
    """The part from start on, of some length, of one axis; a view.

    Example:
        >>> import atrous as at
        >>> narrow(at.arange(5), 0, 1, 2).tolist()
        [1, 2]
    """
    dim = axis(dim, input.ndim, "narrow")
    extent = input.shape[dim]
    start = start + extent if start < 0 else start
    fits = 0 <= start <= extent and 0 <= length <= extent - start
    require(fits, "narrow", f"start {start} and length {length} leave an axis of extent {extent}")
    return input[(slice(None),) * dim + (slice(start, start + length),)]


def split(tensor: Tensor, split_size: int | Sequence[int], dim: int = 0) -> tuple[Tensor, ...]:
    """Views of parts of an axis: all of one size but perhaps the last, or of the sizes given.

    Raises:
        ValueError: the sizes do not add up.
    Example:
        >>> import atrous as at
        >>> [part.tolist() for part in split(at.arange(5), 2)]
        [[0, 1], [2, 3], [4]]
    """
    dim = axis(dim, tensor.ndim, "split")
    extent = tensor.shape[dim]
    if isinstance(split_size, (tuple, list)):
        lengths = list(split_size)
        require(
            sum(lengths) == extent and min(lengths, default=0) >= 0,
            "split",
            f"sizes {lengths} do not add up to {extent}",
        )
    else:
        size = int(split_size)  # type: ignore[arg-type]
        require(size > 0 or (size == 0 and extent == 0), "split", f"split_size is {size}; expected 1 or more")
        lengths = [min(size, extent - start) for start in range(0, extent, size)] if extent else [0]
    starts = [sum(lengths[:i]) for i in range(len(lengths))]
    return tuple([narrow(tensor, dim, start, length) for start, length in zip(starts, lengths, strict=True)])


def chunk(input: Tensor, chunks: int, dim: int = 0) -> tuple[Tensor, ...]:
    """Views of at most ``chunks`` parts of an axis, all of one size but perhaps the last.

    Example:
        >>> import atrous as at
        >>> [part.tolist() for part in chunk(at.arange(5), 2)]
        [[0, 1, 2], [3, 4]]
    """
    require(chunks > 0, "chunk", f"chunks is {chunks}; expected 1 or more")
    extent = input.shape[axis(dim, input.ndim, "chunk")]
    return split(input, max(1, -(-extent // chunks)), dim)


def unbind(input: Tensor, dim: int = 0) -> tuple[Tensor, ...]:
    """Views of the slices along an axis, without it.

    Example:
        >>> import atrous as at
        >>> [part.tolist() for part in unbind(at.eye(2))]
        [[1.0, 0.0], [0.0, 1.0]]
    """
    dim = axis(dim, input.ndim, "unbind")
    return tuple([input[(slice(None),) * dim + (index,)] for index in range(input.shape[dim])])


def repeat(input: Tensor, *repeats: Any) -> Tensor:
    """The tensor laid side by side with copies of itself, so many times along each axis; axes are added in front.

    Example:
        >>> import atrous as at
        >>> repeat(at.tensor([1, 2]), 2, 2).tolist()
        [[1, 2, 1, 2], [1, 2, 1, 2]]
    """
    counts = sizes(repeats)
    require(len(counts) >= input.ndim, "repeat", f"{len(counts)} counts for {input.ndim} axes; expected one for each")
    require(all(count >= 0 for count in counts), "repeat", f"counts {counts}; expected none below 0")
    padded = (1,) * (len(counts) - input.ndim) + input.shape
    spread = input.reshape([n for extent in padded for n in (1, extent)])
    spread = spread.expand([n for count, extent in zip(counts, padded, strict=True) for n in (count, extent)])
    return spread.reshape([count * extent for count, extent in zip(counts, padded, strict=True)])


def flip(input: Tensor, *dims: Any) -> Tensor:
    """The elements in reverse order along some axes; a copy.

    Example:
        >>> import atrous as at
        >>> flip(at.arange(3), 0).tolist()
        [2, 1, 0]
    """
    axes = tuple([axis(dim, input.ndim, "flip") for dim in sizes(dims)])
    return record(array_module(input).flip(input.data, axes).copy(), FlipBackward, (input,), axes=axes)


class FlipBackward(Backward):
    """Gradient of flip: ``grad_y``, flipped back."""

    axes: tuple[int, ...]

    def __call__(self, grad_y):
        return array_module(grad_y).flip(grad_y, self.axes)
