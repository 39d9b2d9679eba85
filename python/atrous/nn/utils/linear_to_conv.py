"""From a network with a fully connected head to one that is convolutional from end to end."""

from __future__ import annotations

from collections.abc import Sequence

from ...autograd import no_grad
from ...checks import require
from ..conv import Conv2d
from ..linear import Linear

__all__ = ["linear_to_conv2d"]


def linear_to_conv2d(linear: Linear, input_size: Sequence[int]) -> Conv2d:
    """A convolution that gives, on maps of one size, what a linear layer gives on the flattened maps.

    Larger maps get a map of outputs, one for each place of a window of (H, W): a classifier slid over the image. A
    linear layer behind another, which sees no map, becomes a convolution of 1×1 by ``(features, 1, 1)``.

    Args:
        linear: the layer; its weights are copied.
        input_size: (C, H, W) of the maps that it was trained on, with C·H·W its in_features.
    Returns:
        Conv2d from C to out_features channels with a window of (H, W), of the layer's dtype and on its device.
    Raises:
        TypeError: no Linear. ValueError: the size does not make up the in_features.
    Example:
        >>> conv = nn.utils.linear_to_conv2d(nn.Linear(4 * 3 * 3, 10), (4, 3, 3))
        >>> conv(at.zeros(1, 4, 3, 3)).shape, conv(at.zeros(1, 4, 5, 8)).shape
        ((1, 10, 1, 1), (1, 10, 3, 6))

    Source:
        Long, Shelhamer and Darrell, Fully convolutional networks for semantic segmentation, 2015 (arXiv 1411.4038).
    """
    op = "linear_to_conv2d"
    if not isinstance(linear, Linear):
        raise TypeError(f"{op}: linear is a {type(linear).__name__}; expected a Linear")
    sizes = tuple(input_size)
    require(len(sizes) == 3, op, f"input_size is {sizes}; expected (C, H, W)")
    C, H, W = sizes
    features = linear.in_features
    require(
        features == C * H * W, op, f"input_size {sizes} has {C * H * W} elements; expected the {features} of linear"
    )
    conv = Conv2d(C, linear.out_features, (H, W), bias=linear.bias is not None).to(linear.weight)
    with no_grad():
        conv.weight.copy_(linear.weight.reshape(conv.weight.shape))
        if conv.bias is not None and linear.bias is not None:
            conv.bias.copy_(linear.bias)
    return conv
