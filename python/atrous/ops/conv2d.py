"""Convolution over images, ``conv2d``, and the operation that runs it backwards, ``conv_transpose2d``."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from operator import index
from typing import Any

from .. import capturing, fusion
from ..autocast import current, lowered, lowered_weight
from ..autograd import Backward, record
from ..backend import kernels_for, quiet
from ..checks import floats_of_one_dtype, in_compute_dtype, pair, require
from ..graph import recorded
from ..layout import channels_last
from ..tensor import Tensor
from .pad import pad

NAMES = ("x", "weight", "bias?")
EPILOGUE = ("scale", "relu", "residual", "relu_last")  # what conv2d_forward does besides


def conv2d(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: int | Sequence[int] = 1,
    padding: int | Sequence[int] | str = 0,
    dilation: int | Sequence[int] = 1,
    groups: int = 1,
) -> Tensor:
    """Slides a filter bank over a batch of images (a cross-correlation: the filters are not flipped).

    ``y[n, oc, oh, ow] = bias[oc] + Σ_{ic, kh, kw} weight[oc, ic, kh, kw] · x[n, ic, ih, iw]`` where
    ``ih = oh·sh − ph + kh·dh``, iw likewise, and x is zero outside its edges; ``OH = (H + 2·ph − dh·(KH − 1) − 1) // sh
    + 1``. With groups the sum runs over the input channels of the output channel's group only.

    Args:
        x: images of shape (N, IC, H, W), or one image (IC, H, W).
        weight: filters of shape (OC, IC / groups, KH, KW).
        bias: shape (OC,), or None.
        stride: steps between outputs, in pixels; an int or (height, width), as in the next two.
        padding: zeros added on each side; ``"valid"`` is none, ``"same"`` is as many as keep the size (stride 1 only).
        dilation: distance between filter taps; 1 is a dense filter, 2 leaves one hole between taps.
        groups: number of independent groups; IC for a depthwise convolution.
    Returns:
        Tensor of shape (N, OC, OH, OW), or (OC, OH, OW) for one image.
    Raises:
        ValueError: the shapes disagree, a value is out of range, or the filter exceeds the padded image.
        TypeError: an argument is not a float tensor, or the dtypes differ.
    Example:
        >>> x = at.arange(9.0).reshape(1, 1, 3, 3)
        >>> conv2d(x, at.ones(1, 1, 2, 2)).tolist()
        [[[[8.0, 12.0], [20.0, 24.0]]]]
        >>> conv2d(x, at.ones(1, 1, 3, 3), padding="same").shape
        (1, 1, 3, 3)

    Source:
        Dumoulin and Visin, A guide to convolution arithmetic for deep learning, 2016 (arXiv 1603.07285); dilation:
        Yu and Koltun, Multi-scale context aggregation by dilated convolutions, 2016 (arXiv 1511.07122).
    Differs from PyTorch: images without channels are refused.
    """
    op, given = "conv2d", weight
    if current.dtype is not None:
        x, weight = lowered(x), lowered_weight(weight)
    floats_of_one_dtype(op, NAMES, x, weight, bias)
    if x.ndim == 3:  # (IC, H, W): a batch of one
        return conv2d(x.unsqueeze(0), given, bias, stride, padding, dilation, groups).squeeze(0)
    stride, dilation = pair(stride, op, "stride"), pair(dilation, op, "dilation")
    if isinstance(padding, str):
        x, padding = _named_padding(x, padding, weight, stride, dilation)
    how = (stride, pair(padding, op, "padding"), dilation, _checked_groups(op, groups))
    shape, weight_shape = x.shape, weight.shape
    y_shape = _y_shape(shape, weight_shape, None if bias is None else bias.shape, *how)

    data, filters = channels_last(x.data), channels_last(weight.data)
    if data.itemsize == 2:
        (bias,) = in_compute_dtype(bias)
    kernels, arguments = kernels_for(data), (data, filters, None if bias is None else bias.data, *how)
    y: Any = None
    needed = recorded(x, given, bias)
    if fusion.current.running:
        call = (kernels, kernels.conv2d_forward, arguments, y_shape, EPILOGUE, False)
        # a batch-norm folded into it rounds differently: whether that happens may not depend on the size of the batch
        y = fusion.pend(*call) if needed else fusion.Pending(*call)
    if y is None:
        y = kernels.conv2d_forward(*arguments)
    if not needed:
        if capturing.active:
            capturing.use(x, given, bias)
        return Tensor(y)
    saved = _saved(x, data, weight, filters, given)
    sizes = {"input_size": shape[2:], "kernel_size": weight_shape[2:]}
    return record(y, Conv2dBackward, (x, given, bias), saved, **sizes, how=how)


class Conv2dBackward(Backward):
    """Gradients of conv2d; each of the three kernels runs only when its gradient was asked for."""

    def __call__(self, grad_y):
        x, weight = self.saved
        kernels, grad_y = kernels_for(grad_y), channels_last(grad_y)
        needs_x, needs_weight, needs_bias = self.needs
        return (
            kernels.conv2d_backward_input(grad_y, weight, self.input_size, *self.how) if needs_x else None,
            kernels.conv2d_backward_weight(grad_y, x, self.kernel_size, *self.how) if needs_weight else None,
            kernels.conv2d_backward_bias(grad_y) if needs_bias else None,
        )


def conv_transpose2d(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: int | Sequence[int] = 1,
    padding: int | Sequence[int] = 0,
    output_padding: int | Sequence[int] = 0,
    groups: int = 1,
    dilation: int | Sequence[int] = 1,
) -> Tensor:
    """Transposed convolution: each input pixel adds the filter, times its value, to the output.

    It is the gradient of a ``conv2d`` with respect to its input: y begins as the bias, then for all ic, ih, iw, kh, kw
    ``y[n, oc, ih·sh − ph + kh·dh, iw·sw − pw + kw·dw] += weight[ic, oc, kh, kw] · x[n, ic, ih, iw]``;
    ``OH = (H − 1)·sh − 2·ph + dh·(KH − 1) + output_padding + 1``.

    Args:
        x: images of shape (N, IC, H, W), or one image (IC, H, W).
        weight: filters of shape (IC, OC / groups, KH, KW): the shape that the forward ``conv2d`` (OC to IC) has.
        bias: shape (OC,), or None.
        stride: steps between the places where input pixels land; an int or (height, width), as in the next two.
        padding: pixels cut from each side of the output.
        output_padding: extra size at the bottom and right, less than stride or dilation: tells apart the input sizes
            that a strided ``conv2d`` maps to one output size.
        groups: number of independent groups.
        dilation: distance between filter taps; 1 is a dense filter.
    Returns:
        Tensor of shape (N, OC, OH, OW), or (OC, OH, OW) for one image.
    Raises:
        ValueError: the shapes disagree, a value is out of range, or the output would be empty.
        TypeError: an argument is not a float tensor, or the dtypes differ.
    Example:
        >>> x = at.tensor([[[[1.0, 2.0]]]])
        >>> conv_transpose2d(x, at.ones(1, 1, 1, 2), stride=2).tolist()
        [[[[1.0, 1.0, 2.0, 2.0]]]]

    Source:
        Dumoulin and Visin, A guide to convolution arithmetic for deep learning, 2016 (arXiv 1603.07285), chapter 4.
    """
    op = "conv_transpose2d"
    x, weight = lowered(x), lowered(weight)
    floats_of_one_dtype(op, NAMES, x, weight, bias)
    if x.ndim == 3:  # (IC, H, W): a batch of one
        return conv_transpose2d(
            x.unsqueeze(0), weight, bias, stride, padding, output_padding, groups, dilation
        ).squeeze(0)
    stride, dilation = pair(stride, op, "stride"), pair(dilation, op, "dilation")
    padding, output_padding = pair(padding, op, "padding"), pair(output_padding, op, "output_padding")
    groups = _checked_groups(op, groups)
    _check_sizes(op, x.shape, weight.shape, stride, dilation, groups)
    IC, OC_per_group, *kernel_size = weight.shape
    bias_shape = None if bias is None else bias.shape
    _check_channels(op, x.shape, weight.shape, bias_shape, IC, OC_per_group * groups, groups)
    require(min(padding) >= 0, op, f"padding is {padding}; expected 0 or more")
    for extra, s, d in zip(output_padding, stride, dilation, strict=True):
        require(
            0 <= extra < max(s, d),
            op,
            f"output_padding is {output_padding}; expected 0 or more, less than stride {stride} or dilation {dilation}",
        )
    # Whole strides of output_padding are rows of zeros below x: what is left is smaller than the stride, so that the
    # output is the input size of a conv2d.
    zeros = [extra // s for extra, s in zip(output_padding, stride, strict=True)]
    if any(zeros):
        x = pad(x, (0, zeros[1], 0, zeros[0]))
    size = tuple(
        (L - 1) * s - 2 * p + d * (K - 1) + extra % s + 1
        for L, s, p, d, K, extra in zip(
            x.shape[2:], stride, padding, dilation, kernel_size, output_padding, strict=True
        )
    )
    require(min(size) >= 1, op, f"the output of x {x.shape} with padding {padding} would have size {size}")

    data, filters, how = channels_last(x.data), channels_last(weight.data), (stride, padding, dilation, groups)
    if data.itemsize == 2:
        (bias,) = in_compute_dtype(bias)
    y = kernels_for(data).conv2d_backward_input(data, filters, size, *how)
    if bias is not None:
        quiet.run(y.__iadd__, bias.data[:, None, None])  # (OC, 1, 1)
    saved = _saved(x, data, weight, filters, weight)
    return record(
        y, ConvTranspose2dBackward, inputs=(x, weight, bias), saved=saved, kernel_size=tuple(kernel_size), how=how
    )


class ConvTranspose2dBackward(Backward):
    """Gradients of conv_transpose2d: conv2d's forward, and its weight gradient with x and grad_y swapped."""

    def __call__(self, grad_y):
        x, weight = self.saved
        kernels, grad_y = kernels_for(grad_y), channels_last(grad_y)
        needs_x, needs_weight, needs_bias = self.needs
        return (
            kernels.conv2d_forward(grad_y, weight, None, *self.how) if needs_x else None,
            kernels.conv2d_backward_weight(x, grad_y, self.kernel_size, *self.how) if needs_weight else None,
            kernels.conv2d_backward_bias(grad_y) if needs_bias else None,
        )


@lru_cache(1024)  # pure, and asked for the same few shapes by every batch
def _y_shape(x, weight, bias, stride, padding, dilation, groups):
    """The shape of conv2d's result, from those of its arguments, once they fit together."""
    op = "conv2d"
    _check_sizes(op, x, weight, stride, dilation, groups)
    OC, IC_per_group, *kernel_size = weight
    _check_channels(op, x, weight, bias, IC_per_group * groups, OC, groups)
    if min(padding) < 0:
        raise ValueError(f"{op}: padding is {padding}; expected 0 or more")
    sizes = zip(x[2:], kernel_size, stride, padding, dilation, strict=True)
    OH, OW = ((L + 2 * p - d * (K - 1) - 1) // s + 1 for L, K, s, p, d in sizes)
    if OH < 1 or OW < 1:
        dilated = f"weight {weight} with dilation {dilation}"
        raise ValueError(f"{op}: {dilated} exceeds x {x} with padding {padding}")
    return x[0], OC, OH, OW


def _checked_groups(op, groups):
    """The number of groups as an int."""
    if type(groups) is int:
        return groups
    if isinstance(groups, bool) or not hasattr(groups, "__index__"):
        raise TypeError(f"{op}: groups is {groups!r}; expected an int")
    return index(groups)


def _check_sizes(op, x, weight, stride, dilation, groups):
    """x and weight are shapes."""
    if len(x) != 4:
        raise ValueError(f"{op}: x has shape {x}; expected (N, C, H, W) or (C, H, W)")
    if len(weight) != 4 or 0 in weight:
        raise ValueError(f"{op}: weight has shape {weight}; expected four sizes of 1 or more")
    if 0 in x and 0 in x[1:]:
        raise ValueError(f"{op}: x has shape {x}; expected 1 or more channels, rows and columns")
    if min(*stride, *dilation, groups) < 1:
        raise ValueError(f"{op}: stride is {stride}, dilation {dilation}, groups {groups}; expected 1 or more")


def _check_channels(op, x, weight, bias, IC, OC, groups):
    """x has IC channels, bias OC, and groups divide the first size of weight, be it OC or IC. All three are shapes."""
    of = f"weight {weight}" if groups == 1 else f"weight {weight} and groups {groups}"
    if x[1] != IC:
        raise ValueError(f"{op}: x has {x[1]} channels; expected {IC} from {of}")
    if weight[0] % groups:
        raise ValueError(f"{op}: weight {weight} has {weight[0]} filters; expected a multiple of groups {groups}")
    if bias not in (None, (OC,)):
        raise ValueError(f"{op}: bias has shape {bias}; expected ({OC},) from {of}")


def _named_padding(x, name, weight, stride, dilation):
    """x and the padding of both sides; where "same" needs an odd total, x has one more row below, or column right."""
    require(name in ("same", "valid"), "conv2d", f"padding is {name!r}; expected 'same', 'valid' or numbers")
    if name == "valid" or (x.ndim, weight.ndim) != (4, 4):  # the latter is refused next
        return x, 0
    require(stride == (1, 1), "conv2d", f"padding 'same' needs stride 1; got {stride}")
    total_h, total_w = (d * (K - 1) for K, d in zip(weight.shape[2:], dilation, strict=True))
    if total_h % 2 or total_w % 2:
        x = pad(x, (0, total_w % 2, 0, total_h % 2))
    return x, (total_h // 2, total_w // 2)


def _saved(x, data, weight, filters, given):
    """What the gradients need: x for that of the weight given, and weight, which may be a cast of it, for that of x.

    The converted copy where the layout was converted; else the tensor, so that changes in place are noticed.
    """
    return (
        (x if data is x.data else data) if given.requires_grad else None,
        (weight if filters is weight.data else filters) if x.requires_grad else None,
    )
