"""Windows of images as columns, ``unfold``, and back, ``fold``: each is the other's gradient."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from ..autograd import Backward, record
from ..backend import array_module
from ..checks import floats_of_one_dtype, pair, require
from ..dtypes import widened
from ..layout import empty
from ..tensor import Tensor

__all__ = ["fold", "unfold"]

Ints = int | Sequence[int]
Pair = tuple[int, int]


def unfold(input: Tensor, kernel_size: Ints, dilation: Ints = 1, padding: Ints = 0, stride: Ints = 1) -> Tensor:
    """Makes a column of each window ("im2col"): ``y[n, (c·KH + kh)·KW + kw, oh·OW + ow] = x[n, c, ih, iw]``.

    There ``ih = oh·sh − ph + kh·dh``, iw likewise, x is zero outside its edges, and OH and OW are those of ``conv2d``,
    which is this and a matrix product: ``weight.reshape(OC, C·KH·KW) @ unfold(x)``.

    Args:
        input: images of shape (N, C, H, W), or one image (C, H, W).
        kernel_size, dilation, padding, stride: as in ``conv2d``; an int or (height, width).
    Returns:
        Tensor of shape (N, C·KH·KW, OH·OW), or (C·KH·KW, OH·OW) for one image.
    Raises:
        ValueError: a shape or value is out of range. TypeError: the input is not a float tensor.
    Example:
        >>> unfold(at.arange(6.0).reshape(1, 2, 3), (2, 2)).tolist()
        [[0.0, 1.0], [1.0, 2.0], [3.0, 4.0], [4.0, 5.0]]

    Source:
        Chellapilla, Puri and Simard, High performance convolutional neural networks for document processing, 2006.
    """
    op = "unfold"
    floats_of_one_dtype(op, ("input",), input)
    if input.ndim == 3:  # (C, H, W): a batch of one
        return unfold(input.unsqueeze(0), kernel_size, dilation, padding, stride).squeeze(0)
    shape = input.shape
    good = len(shape) == 4 and 0 not in shape[1:]
    require(good, op, f"input has shape {shape}; expected (N, C, H, W) or (C, H, W), empty in N at most")
    how = _window(op, kernel_size, dilation, padding, stride)
    _blocks(op, shape[2:], how)
    return record(_unfolded(input.data, how), UnfoldBackward, (input,), size=shape[2:], how=how)


class UnfoldBackward(Backward):
    """Gradient of unfold: what the columns of a pixel get, added up."""

    def __call__(self, grad_y):
        return _folded(grad_y, self.size, self.how)


def fold(
    input: Tensor, output_size: Ints, kernel_size: Ints, dilation: Ints = 1, padding: Ints = 0, stride: Ints = 1
) -> Tensor:
    """Adds columns back to the windows that they are of ("col2im"); where windows overlap, they sum.

    Not the inverse of ``unfold``: ``fold(unfold(x))`` is x times the number of windows that each pixel is in.

    Args:
        input: columns of shape (N, C·KH·KW, L), or (C·KH·KW, L).
        output_size: (H, W) of the images, or an int for both.
        kernel_size, dilation, padding, stride: as in ``unfold``, which makes L columns of such images.
    Returns:
        Tensor of shape (N, C, H, W), or (C, H, W).
    Raises:
        ValueError: a shape or value is out of range, or L is another number. TypeError: no float tensor.
    Example:
        >>> fold(unfold(at.ones(1, 2, 3), (2, 2)), (2, 3), (2, 2)).tolist()
        [[[1.0, 2.0, 1.0], [1.0, 2.0, 1.0]]]

    Source:
        As ``unfold``.
    """
    op = "fold"
    floats_of_one_dtype(op, ("input",), input)
    if input.ndim == 2:  # (C·KH·KW, L): a batch of one
        return fold(input.unsqueeze(0), output_size, kernel_size, dilation, padding, stride).squeeze(0)
    shape, size = input.shape, pair(output_size, op, "output_size")
    good = len(shape) == 3 and 0 not in shape[1:]
    require(good, op, f"input has shape {shape}; expected (N, C·KH·KW, L) or (C·KH·KW, L), empty in N at most")
    require(min(size) >= 1, op, f"output_size is {output_size}; expected 1 or more")
    how = _window(op, kernel_size, dilation, padding, stride)
    taps = how[0][0] * how[0][1]
    require(shape[1] % taps == 0, op, f"input has {shape[1]} rows; expected a multiple of kernel_size {how[0]}")
    OH, OW = _blocks(op, size, how)
    require(shape[2] == OH * OW, op, f"input has {shape[2]} columns; expected {OH} × {OW} from output_size {size}")
    y = _folded(input.data, size, how).astype(input.dtype, copy=False)
    return record(y, FoldBackward, (input,), how=how)


class FoldBackward(Backward):
    """Gradient of fold: each column takes the gradients of its window."""

    def __call__(self, grad_y):
        return _unfolded(grad_y, self.how)


def _window(op: str, kernel_size: Ints, dilation: Ints, padding: Ints, stride: Ints) -> tuple[Pair, Pair, Pair, Pair]:
    how = (
        pair(kernel_size, op, "kernel_size"),
        pair(dilation, op, "dilation"),
        pair(padding, op, "padding"),
        pair(stride, op, "stride"),
    )
    message = f"kernel_size is {how[0]}, dilation {how[1]}, stride {how[3]}; expected 1 or more"
    require(min(*how[0], *how[1], *how[3]) >= 1, op, message)
    require(min(how[2]) >= 0, op, f"padding is {padding}; expected 0 or more")
    return how


def _blocks(op: str, size: Sequence[int], how: tuple) -> Pair:
    """How many windows there are, along rows and columns."""
    OH, OW = ((L + 2 * p - d * (K - 1) - 1) // s + 1 for L, K, d, p, s in zip(size, *how, strict=True))
    require(
        min(OH, OW) >= 1, op, f"kernel_size {how[0]} with dilation {how[1]} exceeds {tuple(size)}, padding {how[2]}"
    )
    return OH, OW


def _unfolded(x: Any, how: tuple) -> Any:
    N, C, H, W = x.shape
    (OH, OW), (KH, KW) = _blocks("unfold", (H, W), how), how[0]
    y = empty((N, C, KH, KW, OH, OW), x.dtype, beside=x)
    y.fill(0)
    for kh, rows_y, rows_x in _taps(0, H, OH, how):
        for kw, columns_y, columns_x in _taps(1, W, OW, how):
            y[:, :, kh, kw, rows_y, columns_y] = x[:, :, rows_x, columns_x]
    return y.reshape(N, C * KH * KW, OH * OW)


def _folded(columns: Any, size: Pair, how: tuple) -> Any:
    (H, W), (OH, OW), (KH, KW) = size, _blocks("fold", size, how), how[0]
    N, C = columns.shape[0], columns.shape[1] // (KH * KW)
    columns = array_module(columns).ascontiguousarray(widened(columns)).reshape(N, C, KH, KW, OH, OW)
    y = empty((N, C, H, W), columns.dtype, channels_last=True, beside=columns)
    y.fill(0)
    for kh, rows_x, rows_y in _taps(0, H, OH, how):
        for kw, columns_x, columns_y in _taps(1, W, OW, how):
            y[:, :, rows_y, columns_y] += columns[:, :, kh, kw, rows_x, columns_x]
    return y


def _taps(axis: int, L: int, O: int, how: tuple) -> Iterator[tuple[int, slice, slice]]:
    """Along one axis, each tap of the window: which of the O windows have it inside the image, and where there."""
    K, d, p, s = (part[axis] for part in how)
    for k in range(K):
        start = k * d - p
        first, last = max(0, -(start // s)), min(O - 1, (L - 1 - start) // s)
        if first <= last:
            yield k, slice(first, last + 1), slice(first * s + start, last * s + start + 1, s)
