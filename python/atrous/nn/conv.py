"""Convolution layers."""

from __future__ import annotations

import math

from ..checks import require
from ..ops import empty
from ..tensor import Tensor
from . import functional as F
from . import init
from .module import Module
from .parameter import Parameter
from .sizes import check_sizes, pair_of_at_least

Pair = int | tuple[int, int]


class _Conv(Module):
    """What both directions share: sizes, checks, weights (channels-last in memory) and PyTorch's initialisation."""

    bias: Parameter | None

    def __init__(self, in_channels: int, out_channels: int, kernel_size: Pair, groups: int, bias: bool) -> None:
        super().__init__()
        op = type(self).__name__
        check_sizes(op, in_channels=in_channels, out_channels=out_channels, groups=groups)
        for name, size in (("in_channels", in_channels), ("out_channels", out_channels)):
            require(size % groups == 0, op, f"{name} {size} cannot be divided into {groups} groups")
        self.in_channels, self.out_channels, self.groups = in_channels, out_channels, groups
        self.kernel_size = pair_of_at_least(1, kernel_size, op, "kernel_size")
        first, second = self._weight_channels()
        self.weight = Parameter(empty(first, second // groups, *self.kernel_size))
        self.bias = Parameter(empty(out_channels)) if bias else None
        self.reset_parameters()

    def _weight_channels(self) -> tuple[int, int]:
        return self.out_channels, self.in_channels

    def reset_parameters(self) -> None:
        """Draws new weights: kaiming_uniform_ with a = √5, and a bias uniform on ±1/√fan_in."""
        init.kaiming_uniform_(self.weight, a=math.sqrt(5))
        if self.bias is not None:
            bound = 1 / math.sqrt(init.fans(self.weight)[0])
            init.uniform_(self.bias, -bound, bound)


class Conv2d(_Conv):
    """Convolves (cross-correlates) images with learned filters.

    Maps (N, IC, IH, IW) to (N, OC, OH, OW) with OH = ⌊(IH + 2·ph − dh·(KH − 1) − 1) / sh⌋ + 1. `weight` has shape
    (OC, IC/groups, KH, KW) and channels-last memory, `bias` (OC,).

    Args:
        in_channels, out_channels: IC and OC; both multiples of `groups`.
        kernel_size, stride, padding, dilation: an integer or (height, width); a dilation of 1 is dense.
            `padding` may also be "valid" (none) or, at stride 1, "same" (the output has the input's size).
        groups: so many independent convolutions side by side; `groups=in_channels` is depthwise.
        bias: whether to add a learned bias.
    Raises:
        ValueError: a size is out of range, or the channels cannot be divided into the groups.
    Example:
        >>> nn.Conv2d(3, 8, 3, padding=1)(at.zeros(2, 3, 32, 32)).shape
        (2, 8, 32, 32)
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Pair,
        stride: Pair = 1,
        padding: Pair | str = 0,
        dilation: Pair = 1,
        groups: int = 1,
        bias: bool = True,
    ) -> None:
        super().__init__(in_channels, out_channels, kernel_size, groups, bias)
        self.stride = pair_of_at_least(1, stride, "Conv2d", "stride")
        self.dilation = pair_of_at_least(1, dilation, "Conv2d", "dilation")
        if isinstance(padding, str):
            require(
                padding in ("same", "valid"), "Conv2d", f"padding is {padding!r}; expected 'same', 'valid' or sizes"
            )
            require(padding == "valid" or self.stride == (1, 1), "Conv2d", "padding 'same' needs stride 1")
            self.padding: tuple[int, int] | str = padding
        else:
            self.padding = pair_of_at_least(0, padding, "Conv2d", "padding")

    def forward(self, input: Tensor) -> Tensor:
        """(N, IC, IH, IW) to (N, OC, OH, OW)."""
        return F.conv2d(input, self.weight, self.bias, self.stride, self.padding, self.dilation, self.groups)

    def extra_repr(self) -> str:
        """Sizes, and what differs from the defaults."""
        return _sizes(self)


class ConvTranspose2d(_Conv):
    """The transpose of `Conv2d`: maps the shape of its output back to the shape of its input, to learn upsampling.

    Maps (N, IC, IH, IW) to (N, OC, OH, OW) with OH = (IH − 1)·sh − 2·ph + dh·(KH − 1) + output_padding + 1. `weight`
    has shape (IC, OC/groups, KH, KW). Zeiler et al. 2010, "Deconvolutional networks".

    Args:
        in_channels, out_channels, kernel_size, stride, padding, groups, bias, dilation: as `Conv2d`.
        output_padding: rows and columns added at the far edge; smaller than the stride or the dilation. A stride maps
            several input sizes to one output size, this chooses between them.
    Example:
        >>> nn.ConvTranspose2d(8, 3, 2, stride=2)(at.zeros(1, 8, 16, 16)).shape
        (1, 3, 32, 32)
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Pair,
        stride: Pair = 1,
        padding: Pair = 0,
        output_padding: Pair = 0,
        groups: int = 1,
        bias: bool = True,
        dilation: Pair = 1,
    ) -> None:
        super().__init__(in_channels, out_channels, kernel_size, groups, bias)
        self.stride = pair_of_at_least(1, stride, "ConvTranspose2d", "stride")
        self.padding = pair_of_at_least(0, padding, "ConvTranspose2d", "padding")
        self.output_padding = pair_of_at_least(0, output_padding, "ConvTranspose2d", "output_padding")
        self.dilation = pair_of_at_least(1, dilation, "ConvTranspose2d", "dilation")
        for extra, s, d in zip(self.output_padding, self.stride, self.dilation, strict=True):
            message = f"output_padding {output_padding} must be smaller than stride {stride} or dilation {dilation}"
            require(extra < max(s, d), "ConvTranspose2d", message)

    def _weight_channels(self) -> tuple[int, int]:
        return self.in_channels, self.out_channels

    def forward(self, input: Tensor) -> Tensor:
        """(N, IC, IH, IW) to (N, OC, OH, OW)."""
        return F.conv_transpose2d(
            input,
            self.weight,
            self.bias,
            self.stride,
            self.padding,
            self.output_padding,
            self.groups,
            self.dilation,
        )

    def extra_repr(self) -> str:
        """Sizes, and what differs from the defaults."""
        return _sizes(self)


def _sizes(layer: Conv2d | ConvTranspose2d) -> str:
    text = f"{layer.in_channels}, {layer.out_channels}, kernel_size={layer.kernel_size}, stride={layer.stride}"
    defaults = {"padding": (0, 0), "dilation": (1, 1), "output_padding": (0, 0), "groups": 1}
    for name, default in defaults.items():
        if getattr(layer, name, default) != default:
            text += f", {name}={getattr(layer, name)!r}" if name != "padding" else f", padding={layer.padding}"
    return text if layer.bias is not None else text + ", bias=False"
