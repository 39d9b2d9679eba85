"""Convolution over sequences, ``conv1d`` and ``conv_transpose1d``: those over images, of one row each.

A result (N, OC, OL) lies in memory channel by channel (N, OL, OC), as images do; a network of such layers converts its
input once.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..autocast import lowered
from ..checks import floats_of_one_dtype, require, single
from ..tensor import Tensor
from .conv2d import _checked_groups, conv2d, conv_transpose2d

__all__ = ["conv1d", "conv_transpose1d"]

NAMES = ("input", "weight", "bias?")


def conv1d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: int | Sequence[int] = 1,
    padding: int | Sequence[int] | str = 0,
    dilation: int | Sequence[int] = 1,
    groups: int = 1,
) -> Tensor:
    """Slides a filter bank over a batch of sequences (a cross-correlation: the filters are not flipped).

    ``y[n, oc, ol] = bias[oc] + Σ_{ic, k} weight[oc, ic, k] · x[n, ic, ol·stride − padding + k·dilation]``, with x zero
    outside its ends; ``OL = (L + 2·padding − dilation·(K − 1) − 1) // stride + 1``.

    Args:
        input: sequences of shape (N, IC, L), or one sequence (IC, L).
        weight: filters of shape (OC, IC / groups, K).
        bias: shape (OC,), or None.
        stride: steps between outputs; an int, alone or in a tuple, as in the next two.
        padding: zeros added at both ends; ``"valid"`` is none, ``"same"`` is as many as keep the length (stride 1
            only), one more at the far end where their number is odd.
        dilation: distance between filter taps; 1 is a dense filter.
        groups: number of independent groups; IC for a depthwise convolution.
    Returns:
        Tensor of shape (N, OC, OL), or (OC, OL) for one sequence.
    Raises:
        ValueError: the shapes disagree, a value is out of range, or the filter exceeds the padded sequence.
        TypeError: an argument is not a float tensor, or the dtypes differ.
    Example:
        >>> conv1d(at.tensor([[[1.0, 2.0, 4.0]]]), at.tensor([[[1.0, -1.0]]])).tolist()
        [[[-1.0, -2.0]]]

    Source:
        Waibel et al., Phoneme recognition using time-delay neural networks, 1989.
    Differs from PyTorch: sequences without channels are refused.
    """
    op = "conv1d"
    input, weight = lowered(input), lowered(weight)
    floats_of_one_dtype(op, NAMES, input, weight, bias)
    if input.ndim == 2:  # (IC, L): a batch of one
        return conv1d(input.unsqueeze(0), weight, bias, stride, padding, dilation, groups).squeeze(0)
    stride, dilation = single(stride, op, "stride"), single(dilation, op, "dilation")
    groups = _checked_groups(op, groups)
    _check_sizes(op, input, weight, stride, dilation, groups)
    OC, IC_per_group, K = weight.shape
    _check_channels(op, input, weight, bias, IC_per_group * groups, OC, groups)
    if isinstance(padding, str):
        require(padding in ("same", "valid"), op, f"padding is {padding!r}; expected 'same', 'valid' or a number")
        require(padding == "valid" or stride == 1, op, f"padding 'same' needs stride 1; got {stride}")
        around: str | tuple[int, int] = padding
        total = dilation * (K - 1) if padding == "same" else 0
    else:
        padding = single(padding, op, "padding")
        require(padding >= 0, op, f"padding is {padding}; expected 0 or more")
        around, total = (0, padding), 2 * padding
    require(
        input.shape[2] + total > dilation * (K - 1),
        op,
        f"weight {weight.shape} with dilation {dilation} exceeds the input {input.shape} with padding {padding}",
    )
    x, filters = input.unsqueeze(2), weight.unsqueeze(2)  # (N, IC, 1, L) and (OC, IC / groups, 1, K)
    return conv2d(x, filters, bias, (1, stride), around, (1, dilation), groups).squeeze(2)


def conv_transpose1d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: int | Sequence[int] = 1,
    padding: int | Sequence[int] = 0,
    output_padding: int | Sequence[int] = 0,
    groups: int = 1,
    dilation: int | Sequence[int] = 1,
) -> Tensor:
    """Transposed convolution of sequences: each input element adds the filter, times its value, to the output.

    It is the gradient of a ``conv1d`` with respect to its input;
    ``OL = (L − 1)·stride − 2·padding + dilation·(K − 1) + output_padding + 1``.

    Args:
        input: sequences of shape (N, IC, L), or one sequence (IC, L).
        weight: filters of shape (IC, OC / groups, K).
        bias: shape (OC,), or None.
        stride: steps between the places where input elements land; an int, alone or in a tuple, as in the next two.
        padding: elements cut from both ends of the output.
        output_padding: extra length at the far end, less than stride or dilation.
        groups: number of independent groups.
        dilation: distance between filter taps.
    Returns:
        Tensor of shape (N, OC, OL), or (OC, OL) for one sequence.
    Raises:
        ValueError: the shapes disagree, a value is out of range, or the output would be empty.
        TypeError: an argument is not a float tensor, or the dtypes differ.
    Example:
        >>> conv_transpose1d(at.tensor([[[1.0, 2.0]]]), at.ones(1, 1, 2), stride=2).tolist()
        [[[1.0, 1.0, 2.0, 2.0]]]

    Source:
        Dumoulin and Visin, A guide to convolution arithmetic for deep learning, 2016 (arXiv 1603.07285), chapter 4.
    """
    op = "conv_transpose1d"
    input, weight = lowered(input), lowered(weight)
    floats_of_one_dtype(op, NAMES, input, weight, bias)
    if input.ndim == 2:  # (IC, L): a batch of one
        how = (stride, padding, output_padding, groups, dilation)
        return conv_transpose1d(input.unsqueeze(0), weight, bias, *how).squeeze(0)
    stride, dilation = single(stride, op, "stride"), single(dilation, op, "dilation")
    padding, extra = single(padding, op, "padding"), single(output_padding, op, "output_padding")
    groups = _checked_groups(op, groups)
    _check_sizes(op, input, weight, stride, dilation, groups)
    IC, OC_per_group, K = weight.shape
    _check_channels(op, input, weight, bias, IC, OC_per_group * groups, groups)
    require(padding >= 0, op, f"padding is {padding}; expected 0 or more")
    require(
        0 <= extra < max(stride, dilation),
        op,
        f"output_padding is {extra}; expected 0 or more, less than stride {stride} or dilation {dilation}",
    )
    OL = (input.shape[2] - 1) * stride - 2 * padding + dilation * (K - 1) + extra + 1
    require(OL >= 1, op, f"the output of the input {input.shape} with padding {padding} would have length {OL}")
    x, filters = input.unsqueeze(2), weight.unsqueeze(2)  # (N, IC, 1, L) and (IC, OC / groups, 1, K)
    how = ((1, stride), (0, padding), (0, extra), groups, (1, dilation))
    return conv_transpose2d(x, filters, bias, *how).squeeze(2)


def _check_sizes(op: str, input: Tensor, weight: Tensor, stride: int, dilation: int, groups: int) -> None:
    shape = input.shape
    require(len(shape) == 3, op, f"input has shape {shape}; expected (N, C, L) or (C, L)")
    require(0 not in shape[1:], op, f"input has shape {shape}; expected 1 or more channels and elements")
    sized = weight.ndim == 3 and 0 not in weight.shape
    require(sized, op, f"weight has shape {weight.shape}; expected three sizes of 1 or more")
    message = f"stride is {stride}, dilation {dilation}, groups {groups}; expected 1 or more"
    require(min(stride, dilation, groups) >= 1, op, message)


def _check_channels(op: str, input: Tensor, weight: Tensor, bias: Tensor | None, IC: int, OC: int, groups: int) -> None:
    of = f"weight {weight.shape}" if groups == 1 else f"weight {weight.shape} and groups {groups}"
    require(input.shape[1] == IC, op, f"input has {input.shape[1]} channels; expected {IC} from {of}")
    filters = weight.shape[0]
    require(filters % groups == 0, op, f"weight has {filters} filters; expected a multiple of groups {groups}")
    if bias is not None:
        require(bias.shape == (OC,), op, f"bias has shape {bias.shape}; expected ({OC},) from {of}")
