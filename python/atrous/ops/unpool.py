"""Maxima put back to where they were, and the pooling by a power mean."""

from __future__ import annotations

from collections.abc import Sequence
from math import inf
from typing import Any

from ..autograd import Backward, record
from ..backend import array_module
from ..checks import floats_of_one_dtype, pair, require, single
from ..dtypes import int64
from ..layout import channels_last, empty
from ..tensor import Tensor
from .activation import relu
from .pool1d import avg_pool1d, max_pool1d
from .pool2d import avg_pool2d, max_pool2d

__all__ = ["lp_pool1d", "lp_pool2d", "max_unpool1d", "max_unpool2d"]

Ints = int | Sequence[int]


def max_unpool2d(
    input: Tensor,
    indices: Tensor,
    kernel_size: Ints,
    stride: Ints | None = None,
    padding: Ints = 0,
    output_size: Sequence[int] | None = None,
) -> Tensor:
    """Puts the maxima of ``max_pool2d`` back to where they were, among zeros.

    ``y[n, c, indices[n, c, i]] = x[n, c, i]``, in planes counted row by row. Of several values for one place the last
    stays (on a GPU, any); from overlapping windows they are equal.

    Args:
        input: maxima of shape (N, C, H, W), or of one image (C, H, W).
        indices: int64, of the same shape, as ``max_pool2d`` returns them.
        kernel_size, stride, padding: those of the pooling.
        output_size: (OH, OW), also behind N and C; by default ``(H − 1)·sh − 2·ph + KH``, of which it may differ by
            less than the stride.
    Returns:
        Tensor of shape (N, C, OH, OW) or (C, OH, OW).
    Raises:
        ValueError: a shape, size or index is out of range. TypeError: no float tensor, or the indices are not int64.
    Example:
        >>> y, indices = F.max_pool2d(at.tensor([[[1.0, 5.0], [4.0, 2.0]]]), 2, return_indices=True)
        >>> max_unpool2d(y, indices, 2).tolist()
        [[[0.0, 5.0], [0.0, 0.0]]]

    Source:
        Zeiler and Fergus, Visualizing and understanding convolutional networks, 2014 (arXiv 1311.2901), section 2.1.
    """
    op = "max_unpool2d"
    K = pair(kernel_size, op, "kernel_size")
    s = K if stride is None else pair(stride, op, "stride")
    size = _size(op, input, indices, K, s, pair(padding, op, "padding"), output_size)
    if input.ndim == 3:  # (C, H, W): a batch of one
        return _unpooled(op, input.unsqueeze(0), indices.unsqueeze(0), size).squeeze(0)
    return _unpooled(op, input, indices, size)


def max_unpool1d(
    input: Tensor,
    indices: Tensor,
    kernel_size: Ints,
    stride: Ints | None = None,
    padding: Ints = 0,
    output_size: Sequence[int] | None = None,
) -> Tensor:
    """Puts the maxima of ``max_pool1d`` back to where they were, among zeros; see ``max_unpool2d``.

    Args:
        input: maxima of shape (N, C, L), or of one sequence (C, L).
        indices, kernel_size, stride, padding, output_size: as in ``max_unpool2d``, along one axis.
    Returns:
        Tensor of shape (N, C, OL) or (C, OL).
    Raises:
        ValueError, TypeError: as ``max_unpool2d``.
    Example:
        >>> max_unpool1d(at.tensor([[5.0, 4.0]]), at.tensor([[1, 2]]), 2).tolist()
        [[0.0, 5.0, 4.0, 0.0]]
    """
    op = "max_unpool1d"
    K = single(kernel_size, op, "kernel_size")
    s = K if stride is None else single(stride, op, "stride")
    size = _size(op, input, indices, (K,), (s,), (single(padding, op, "padding"),), output_size)
    if input.ndim == 2:  # (C, L): a batch of one
        return _unpooled(op, input[None, :, None], indices[None, :, None], (1, *size))[0, :, 0]
    return _unpooled(op, input.unsqueeze(2), indices.unsqueeze(2), (1, *size)).squeeze(2)


def _size(
    op: str,
    input: Tensor,
    indices: Tensor,
    kernel_size: Sequence[int],
    stride: Sequence[int],
    padding: Sequence[int],
    output_size: Sequence[int] | None,
) -> Any:
    """The output's size, once the arguments are known to fit together."""
    floats_of_one_dtype(op, ("input",), input)
    if not isinstance(indices, Tensor) or indices.dtype != int64:
        found = indices.dtype if isinstance(indices, Tensor) else type(indices).__name__
        raise TypeError(f"{op}: indices is {found}; expected an int64 Tensor")
    axes, shape = len(kernel_size), input.shape
    good = len(shape) in (axes + 1, axes + 2) and 0 not in shape[-axes - 1 :]
    require(good, op, f"input has shape {shape}; expected {axes + 2} axes, or {axes + 1}, empty in the first at most")
    require(indices.shape == shape, op, f"indices has shape {indices.shape}; expected {shape} as the input")
    message = f"kernel_size is {tuple(kernel_size)}, stride {tuple(stride)}; expected 1 or more"
    require(min(*kernel_size, *stride) >= 1, op, message)
    sizes = zip(shape[-axes:], stride, kernel_size, padding, strict=True)
    default = [(L - 1) * s + K - 2 * p for L, s, K, p in sizes]
    if output_size is None:
        size = default
    else:
        size = list(output_size)[2:] if len(output_size) == axes + 2 else list(output_size)
        require(len(size) == axes, op, f"output_size is {output_size}; expected {axes} numbers, or {axes + 2}")
        near = [abs(a - b) < s for a, b, s in zip(size, default, stride, strict=True)]
        message = f"output_size is {output_size}; expected {default}, of which it may differ by less than the stride"
        require(all(near), op, message)
    require(min(size) >= 1, op, f"the output would have size {size}")
    return tuple(size)


def _unpooled(op: str, input: Tensor, indices: Tensor, size: tuple[int, int]) -> Tensor:
    (N, C, H, W), (OH, OW), data = input.shape, size, indices.data
    if data.size and not (data.min() >= 0 and data.max() < OH * OW):
        found = f"{data.min()} to {data.max()}"
        raise ValueError(f"{op}: indices go from {found}; expected 0 to {OH * OW - 1} in an output of size {OH} × {OW}")
    xp = array_module(input.data)
    places = data.transpose(0, 2, 3, 1).reshape(N, H * W, C)
    where = (xp.arange(N).reshape(N, 1, 1), places, xp.arange(C))  # in an array of (N, OH·OW, C)
    y = empty((N, C, OH, OW), input.dtype, channels_last=True, beside=input.data)
    y.fill(0)
    y.transpose(0, 2, 3, 1).reshape(N, OH * OW, C)[where] = input.data.transpose(0, 2, 3, 1).reshape(N, H * W, C)
    return record(y, MaxUnpoolBackward, (input,), (indices,), where=where, size=(H, W))


class MaxUnpoolBackward(Backward):
    """Gradient of max_unpool: each maximum takes the gradient of the place that it was put to."""

    def __call__(self, grad_y):
        _ = self.saved  # the indices: raises where they were written since
        N, C, OH, OW = grad_y.shape
        planes = channels_last(grad_y).transpose(0, 2, 3, 1).reshape(N, OH * OW, C)
        return planes[self.where].reshape(N, *self.size, C).transpose(0, 3, 1, 2)


def lp_pool2d(
    input: Tensor, norm_type: float, kernel_size: Ints, stride: Ints | None = None, ceil_mode: bool = False
) -> Tensor:
    """Takes the p-norm of each window: ``y = (Σ x^p)^(1/p)``, the sum itself at p = 1, the largest |x| at infinity.

    PyTorch's formula has x^p, not |x|^p: a window whose sum is negative gives NaN where the root does. Windows that
    overhang with `ceil_mode` count as full ones, by the average of what they have. Where the sum is 0, so is the
    gradient.

    Args:
        input: images of shape (N, C, H, W), or one image (C, H, W).
        norm_type: p, not 0; also plus or minus infinity.
        kernel_size, stride, ceil_mode: as in ``avg_pool2d``.
    Returns:
        Tensor of shape (N, C, OH, OW) or (C, OH, OW).
    Raises:
        ValueError: p is 0, or a shape or value is out of range. TypeError: the input is not a float tensor.
    Example:
        >>> lp_pool2d(at.tensor([[[3.0, 0.0], [0.0, 4.0]]]), 2, 2).tolist()
        [[[5.0]]]

    Source:
        Sermanet, Chintala and LeCun, Convolutional neural networks applied to house numbers, 2012 (arXiv 1204.3968).
    """
    op = "lp_pool2d"
    KH, KW = pair(kernel_size, op, "kernel_size")
    return _lp(op, input, norm_type, KH * KW, max_pool2d, avg_pool2d, (kernel_size, stride), ceil_mode)


def lp_pool1d(
    input: Tensor, norm_type: float, kernel_size: Ints, stride: Ints | None = None, ceil_mode: bool = False
) -> Tensor:
    """Takes the p-norm of each window of sequences (N, C, L) or (C, L); see ``lp_pool2d``.

    Raises:
        ValueError, TypeError: as ``lp_pool2d``.
    Example:
        >>> lp_pool1d(at.tensor([[3.0, 4.0, 1.0]]), 2, 2).tolist()
        [[5.0]]
    """
    op = "lp_pool1d"
    K = single(kernel_size, op, "kernel_size")
    return _lp(op, input, norm_type, K, max_pool1d, avg_pool1d, (kernel_size, stride), ceil_mode)


def _lp(op: str, x: Tensor, p: float, taps: int, largest: Any, average: Any, window: tuple, ceil_mode: bool) -> Tensor:
    floats_of_one_dtype(op, ("input",), x)
    if isinstance(p, bool) or not isinstance(p, (int, float)):
        raise TypeError(f"{op}: norm_type is {p!r}; expected a number")
    require(p != 0, op, "norm_type is 0; expected another number")
    if p in (inf, -inf):
        sign = 1 if p > 0 else -1
        return largest(x.abs() * sign, *window, 0, 1, ceil_mode) * sign
    mean = average(x**p, *window, 0, ceil_mode)
    return (mean.sign() * relu(mean.abs()) * taps) ** (1 / p)  # relu stops the root's infinite slope at 0
