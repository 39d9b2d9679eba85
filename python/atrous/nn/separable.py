"""A convolution in two steps: within each channel, then among the channels."""

from __future__ import annotations

from ..tensor import Tensor
from .conv import Conv2d, Pair
from .module import Module
from .sizes import check_sizes


class DepthwiseSeparableConv2d(Module):
    """A `Conv2d` of each channel by itself, then one of 1×1 among the channels.

    It does with IC·KH·KW + IC·OC weights what a full `Conv2d` takes IC·OC·KH·KW for. Nothing stands between the two, as
    in Xception; MobileNet's batch-norm and ReLU go between `layer.depthwise` and `layer.pointwise`.

    Args:
        in_channels, out_channels: IC and OC.
        kernel_size, stride, padding, dilation, padding_mode: of the depthwise part; see `Conv2d`.
        depth_multiplier: how many channels the depthwise part makes of each.
        bias: whether the pointwise part adds one; the depthwise part never does.
    Raises:
        ValueError: a size is out of range.
    Example:
        >>> layer = nn.DepthwiseSeparableConv2d(16, 32, 3, padding=1)
        >>> layer(at.zeros(1, 16, 8, 8)).shape, sum(p.numel() for p in layer.parameters())
        ((1, 32, 8, 8), 688)

    Source:
        Chollet, Xception, 2017 (arXiv 1610.02357); Howard et al., MobileNets, 2017 (arXiv 1704.04861).
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Pair,
        stride: Pair = 1,
        padding: Pair | str = 0,
        dilation: Pair = 1,
        depth_multiplier: int = 1,
        bias: bool = True,
        padding_mode: str = "zeros",
    ) -> None:
        super().__init__()
        check_sizes("DepthwiseSeparableConv2d", in_channels=in_channels, depth_multiplier=depth_multiplier)
        middle = in_channels * depth_multiplier
        how = (stride, padding, dilation, in_channels, False, padding_mode)
        self.depthwise = Conv2d(in_channels, middle, kernel_size, *how)
        self.pointwise = Conv2d(middle, out_channels, 1, bias=bias)

    def forward(self, input: Tensor) -> Tensor:
        """(N, IC, IH, IW) to (N, OC, OH, OW)."""
        return self.pointwise(self.depthwise(input))
