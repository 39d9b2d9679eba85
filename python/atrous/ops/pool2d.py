"""Pooling over windows of an image: maximum and average, with given windows or with a given output size."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from ..autograd import Backward, record
from ..backend import kernels_for
from ..checks import floats_of_one_dtype, pair, require
from ..layout import channels_last
from ..tensor import Tensor


def max_pool2d(
    x: Tensor,
    kernel_size: int | Sequence[int],
    stride: int | Sequence[int] | None = None,
    padding: int | Sequence[int] = 0,
    dilation: int | Sequence[int] = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Tensor | tuple[Tensor, Tensor]:
    """Takes the largest value of each window; a NaN in the window wins.

    ``y[n, c, oh, ow] = max_{kh, kw} x[n, c, oh·sh − ph + kh·dh, ow·sw − pw + kw·dw]`` over the pixels inside x;
    ``OH = (H + 2·ph − dh·(KH − 1) − 1) // sh + 1``, rounded up instead of down with `ceil_mode`. Among equals the first
    in row order gets the gradient.

    Args:
        x: images of shape (N, C, H, W), or one image (C, H, W).
        kernel_size: window in pixels; an int or (height, width), as in the next three.
        stride: steps between windows; None means kernel_size.
        padding: border that no window takes its maximum from; at most half the window.
        dilation: distance between the pixels of a window.
        ceil_mode: also use windows that overhang at the bottom and right, if they start inside the image or its
            padding.
        return_indices: also return where each maximum was, as an int64 index ``h·W + w`` into its plane.
    Returns:
        Tensor of shape (N, C, OH, OW), or (y, indices).
    Raises:
        ValueError: a shape or value is out of range. TypeError: x is not a float tensor.
    Example:
        >>> x = at.tensor([[[[1.0, 2.0, 5.0, 0.0], [3.0, 4.0, 6.0, 7.0]]]])
        >>> max_pool2d(x, 2).tolist()
        [[[[4.0, 7.0]]]]
        >>> max_pool2d(x, 2, return_indices=True)[1].tolist()
        [[[[5, 7]]]]

    Source:
        Goodfellow, Bengio and Courville, Deep Learning, 2016, section 9.3.
    Differs from PyTorch: integer images are refused; of several NaN in a window the first counts, there the last.
    """
    op = "max_pool2d"
    floats_of_one_dtype(op, ("x",), x)
    shape = x.shape
    if len(shape) == 3:  # (C, H, W): a batch of one
        result = max_pool2d(x.unsqueeze(0), kernel_size, stride, padding, dilation, ceil_mode, return_indices)
        return (result[0].squeeze(0), result[1].squeeze(0)) if isinstance(result, tuple) else result.squeeze(0)
    kernel_size, stride, padding, dilation = _window(op, shape, kernel_size, stride, padding, dilation, ceil_mode)
    kernels, data, size = kernels_for(x.data), channels_last(x.data), shape[2:]
    how = (kernel_size, stride, padding, dilation)
    y, taps = kernels.max_pool2d_forward(data, *how, ceil_mode)
    y = record(y, MaxPool2dBackward, inputs=(x,), saved=(taps,), input_size=size, how=how)
    return (y, Tensor(kernels.max_pool2d_indices(taps, size, *how))) if return_indices else y


class MaxPool2dBackward(Backward):
    """Gradient of max_pool2d: each output's gradient goes to the pixel that was its maximum."""

    def __call__(self, grad_y):
        (taps,) = self.saved
        return kernels_for(grad_y).max_pool2d_backward(grad_y, taps, self.input_size, *self.how)


def avg_pool2d(
    x: Tensor,
    kernel_size: int | Sequence[int],
    stride: int | Sequence[int] | None = None,
    padding: int | Sequence[int] = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Tensor:
    """Averages each window: ``y[n, c, oh, ow] = Σ_{kh, kw} x[n, c, oh·sh − ph + kh, ow·sw − pw + kw] / divisor``.

    Args:
        x: images of shape (N, C, H, W), or one image (C, H, W).
        kernel_size: window in pixels; an int or (height, width), as in the next two.
        stride: steps between windows; None means kernel_size.
        padding: zeros added on each side; at most half the window.
        ceil_mode: also use windows that overhang at the bottom and right, if they start inside the image or its
            padding.
        count_include_pad: the divisor counts padding (never the overhang of `ceil_mode`); False counts pixels of x
            only.
        divisor_override: this divisor instead.
    Returns:
        Tensor of shape (N, C, OH, OW), sizes as in `max_pool2d`.
    Raises:
        ValueError: a shape or value is out of range. TypeError: x is not a float tensor.
    Example:
        >>> avg_pool2d(at.tensor([[[[1.0, 2.0, 5.0, 0.0], [3.0, 4.0, 6.0, 7.0]]]]), 2).tolist()
        [[[[2.5, 4.5]]]]

    Source:
        LeCun, Bottou, Bengio and Haffner, Gradient-based learning applied to document recognition, 1998 (its
        subsampling, without the trained coefficient).
    Differs from PyTorch: integer images are refused.
    """
    op = "avg_pool2d"
    floats_of_one_dtype(op, ("x",), x)
    if x.ndim == 3:  # (C, H, W): a batch of one
        how = (kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override)
        return avg_pool2d(x.unsqueeze(0), *how).squeeze(0)
    kernel_size, stride, padding, _ = _window(op, x.shape, kernel_size, stride, padding, 1, ceil_mode)
    require(divisor_override != 0, op, "divisor_override is 0; expected another number or None")
    how = (kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override)
    data = channels_last(x.data)
    y = kernels_for(data).avg_pool2d_forward(data, *how)
    return record(y, AvgPool2dBackward, inputs=(x,), input_size=x.shape[2:], how=how)


class AvgPool2dBackward(Backward):
    """Gradient of avg_pool2d: each output's gradient, divided as the output was, goes to every pixel of its window."""

    def __call__(self, grad_y):
        return kernels_for(grad_y).avg_pool2d_backward(grad_y, self.input_size, *self.how)


def adaptive_avg_pool2d(x: Tensor, output_size: int | Sequence[int | None]) -> Tensor:
    """Averages over windows chosen so that the output has the size asked for.

    Output row oh averages the input rows from ``floor(oh·H / OH)`` up to, not including, ``ceil((oh + 1)·H / OH)``;
    columns likewise. Output size 1 is the mean over the whole image ("global average pooling").

    Args:
        x: images of shape (N, C, H, W), or one image (C, H, W).
        output_size: an int or (height, width); None in the place of one keeps that size of x.
    Returns:
        Tensor of shape (N, C, OH, OW).
    Raises:
        ValueError: a shape or size is out of range. TypeError: x is not a float tensor.
    Example:
        >>> adaptive_avg_pool2d(at.arange(6.0).reshape(1, 1, 2, 3), (1, None)).tolist()
        [[[[1.5, 2.5, 3.5]]]]

    Source:
        Lin, Chen and Yan, Network in network, 2014 (arXiv 1312.4400), for the global form.
    """
    op = "adaptive_avg_pool2d"
    floats_of_one_dtype(op, ("x",), x)
    if x.ndim == 3:  # (C, H, W): a batch of one
        return adaptive_avg_pool2d(x.unsqueeze(0), output_size).squeeze(0)
    output_size, data = _output_size(op, x, output_size), channels_last(x.data)
    y = kernels_for(data).adaptive_avg_pool2d_forward(data, output_size)
    return record(y, AdaptiveAvgPool2dBackward, inputs=(x,), input_size=x.shape[2:])


class AdaptiveAvgPool2dBackward(Backward):
    """Gradient of adaptive_avg_pool2d: each output's share goes to every pixel of its window."""

    def __call__(self, grad_y):
        return kernels_for(grad_y).adaptive_avg_pool2d_backward(grad_y, self.input_size)


def adaptive_max_pool2d(
    x: Tensor, output_size: int | Sequence[int | None], return_indices: bool = False
) -> Tensor | tuple[Tensor, Tensor]:
    """Takes the largest value of windows chosen as in `adaptive_avg_pool2d`; a NaN in the window wins.

    Args:
        x: images of shape (N, C, H, W), or one image (C, H, W).
        output_size: an int or (height, width); None in the place of one keeps that size of x.
        return_indices: also return where each maximum was, as an int64 index ``h·W + w`` into its plane.
    Returns:
        Tensor of shape (N, C, OH, OW), or (y, indices).
    Raises:
        ValueError: a shape or size is out of range. TypeError: x is not a float tensor.
    Example:
        >>> adaptive_max_pool2d(at.arange(6.0).reshape(1, 1, 2, 3), (1, None)).tolist()
        [[[[3.0, 4.0, 5.0]]]]

    Source:
        He, Zhang, Ren and Sun, Spatial pyramid pooling in deep convolutional networks, 2014 (arXiv 1406.4729).
    """
    op = "adaptive_max_pool2d"
    floats_of_one_dtype(op, ("x",), x)
    if x.ndim == 3:  # (C, H, W): a batch of one
        result = adaptive_max_pool2d(x.unsqueeze(0), output_size, return_indices)
        return (result[0].squeeze(0), result[1].squeeze(0)) if isinstance(result, tuple) else result.squeeze(0)
    output_size, data = _output_size(op, x, output_size), channels_last(x.data)
    y, indices = kernels_for(data).adaptive_max_pool2d_forward(data, output_size)
    y = record(y, AdaptiveMaxPool2dBackward, inputs=(x,), saved=(indices,), input_size=x.shape[2:])
    return (y, Tensor(indices)) if return_indices else y


class AdaptiveMaxPool2dBackward(Backward):
    """Gradient of adaptive_max_pool2d: each output's gradient goes to the pixel that was its maximum."""

    def __call__(self, grad_y):
        (indices,) = self.saved
        return kernels_for(grad_y).adaptive_max_pool2d_backward(grad_y, indices, self.input_size)


def _window(op, x, kernel_size, stride, padding, dilation, ceil_mode):
    """The four arguments as pairs, once they are known to fit x, a shape."""
    kernel_size = pair(kernel_size, op, "kernel_size")
    stride = kernel_size if stride is None else pair(stride, op, "stride")
    window = kernel_size, stride, pair(padding, op, "padding"), pair(dilation, op, "dilation")
    _check_window(op, x, *window, bool(ceil_mode))
    return window


@lru_cache(1024)  # pure, and asked for the same few shapes by every batch
def _check_window(op, x, kernel_size, stride, padding, dilation, ceil_mode):
    if len(x) != 4 or 0 in x[1:]:
        raise ValueError(f"{op}: x has shape {x}; expected (N, C, H, W) or (C, H, W), empty in N at most")
    if min(*kernel_size, *stride, *dilation) < 1:
        raise ValueError(f"{op}: kernel_size {kernel_size}, stride {stride}, dilation {dilation}; expected 1 or more")
    (KH, KW), (ph, pw) = kernel_size, padding
    if not (0 <= ph <= KH // 2 and 0 <= pw <= KW // 2):
        raise ValueError(f"{op}: padding is {padding}; expected 0 to half of kernel_size {kernel_size}")
    overhang_h, overhang_w = (stride[0] - 1, stride[1] - 1) if ceil_mode else (0, 0)
    H, W = x[2:]
    if H + 2 * ph + overhang_h <= dilation[0] * (KH - 1) or W + 2 * pw + overhang_w <= dilation[1] * (KW - 1):
        window = f"{kernel_size} with dilation {dilation}"
        raise ValueError(f"{op}: the window {window} exceeds x {x} with padding {padding}")


def _output_size(op, x, output_size):
    """The output size as a pair, None replaced by x's size."""
    if x.ndim != 4 or 0 in x.shape[2:]:
        raise ValueError(f"{op}: x has shape {x.shape}; expected (N, C, H, W) or (C, H, W) with rows and columns")
    if isinstance(output_size, Sequence):
        require(len(output_size) == 2, op, f"output_size is {output_size}; expected an int or two")
        output_size = [L if o is None else o for L, o in zip(x.shape[2:], output_size, strict=True)]
    output_size = pair(output_size, op, "output_size")
    require(min(output_size) >= 0, op, f"output_size is {output_size}; expected 0 or more")
    return output_size
