"""Convolution layers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from ..checks import require
from ..ops import empty
from ..tensor import Tensor
from . import functional as F
from . import init
from .module import Module
from .parameter import Parameter
from .sizes import check_sizes, sizes_of_at_least

Pair = int | tuple[int, int]
Single = int | tuple[int]
MODES = ("zeros", "reflect", "replicate", "circular")


class _Conv(Module):
    """What all share: sizes, checks, weights (those of images channels-last in memory) and PyTorch's initialisation."""

    axes: int
    bias: Parameter | None
    padding: Any

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Any,
        stride: Any,
        padding: Any,
        dilation: Any,
        groups: int,
        bias: bool,
        padding_mode: str,
    ) -> None:
        super().__init__()
        op = type(self).__name__
        check_sizes(op, in_channels=in_channels, out_channels=out_channels, groups=groups)
        for name, size in (("in_channels", in_channels), ("out_channels", out_channels)):
            require(size % groups == 0, op, f"{name} {size} cannot be divided into {groups} groups")
        require(padding_mode in MODES, op, f"padding_mode is {padding_mode!r}; expected one of {MODES}")
        self.in_channels, self.out_channels, self.groups = in_channels, out_channels, groups
        self.kernel_size = self._sizes(1, kernel_size, "kernel_size")
        self.stride = self._sizes(1, stride, "stride")
        self.dilation = self._sizes(1, dilation, "dilation")
        self.padding = self._padding(padding)
        self.padding_mode = padding_mode
        first, second = self._weight_channels()
        self.weight = Parameter(empty(first, second // groups, *self.kernel_size))
        self.bias = Parameter(empty(out_channels)) if bias else None
        self.reset_parameters()

    def _sizes(self, least: int, value: Any, name: str) -> tuple[int, ...]:
        return sizes_of_at_least(least, self.axes, value, type(self).__name__, name)

    def _padding(self, padding: Any) -> tuple[int, ...] | str:
        return self._sizes(0, padding, "padding")

    def _weight_channels(self) -> tuple[int, int]:
        return self.out_channels, self.in_channels

    def reset_parameters(self) -> None:
        """Draws new weights: kaiming_uniform_ with a = √5, and a bias uniform on ±1/√fan_in."""
        init.kaiming_uniform_(self.weight, a=math.sqrt(5))
        if self.bias is not None:
            bound = 1 / math.sqrt(init.fans(self.weight)[0])
            init.uniform_(self.bias, -bound, bound)

    def extra_repr(self) -> str:
        """Sizes, and what differs from the defaults."""
        text = f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}, stride={self.stride}"
        zeros, ones = (0,) * self.axes, (1,) * self.axes
        defaults = {"padding": zeros, "dilation": ones, "output_padding": zeros, "groups": 1}
        for name, default in defaults.items():
            if getattr(self, name, default) != default:
                text += f", {name}={getattr(self, name)}"
        text += "" if self.bias is not None else ", bias=False"
        return text if self.padding_mode == "zeros" else f"{text}, padding_mode={self.padding_mode}"


class _Forward(_Conv):
    """A convolution from its input to its output: any padding."""

    def _padding(self, padding: Any) -> tuple[int, ...] | str:
        if not isinstance(padding, str):
            return super()._padding(padding)
        op = type(self).__name__
        require(padding in ("same", "valid"), op, f"padding is {padding!r}; expected 'same', 'valid' or sizes")
        require(padding == "valid" or max(self.stride) == 1, op, "padding 'same' needs stride 1")
        return padding

    def _padded(self, input: Tensor) -> tuple[Tensor, Any]:
        """The input, and the zeros that it is still to get on each side."""
        if self.padding_mode == "zeros":
            return input, self.padding
        if self.padding == "valid":
            return input, 0
        if isinstance(self.padding, str):  # "same"
            totals = [d * (K - 1) for d, K in zip(self.dilation, self.kernel_size, strict=True)]
        else:
            totals = [2 * p for p in self.padding]
        around = [part for total in reversed(totals) for part in (total // 2, total - total // 2)]  # as F.pad takes it
        return F.pad(input, around, mode=self.padding_mode), 0


class Conv1d(_Forward):
    """Convolves (cross-correlates) sequences with learned filters.

    Maps (N, IC, IL) to (N, OC, OL) with OL = ⌊(IL + 2·padding − dilation·(K − 1) − 1) / stride⌋ + 1; or one sequence
    (IC, IL) to (OC, OL). `weight` has shape (OC, IC/groups, K), `bias` (OC,).

    Args:
        in_channels, out_channels, kernel_size, stride, padding, dilation, groups, bias, padding_mode: as `Conv2d`, with
            one number for each size.
    Example:
        >>> nn.Conv1d(3, 8, 5, stride=2)(at.zeros(2, 3, 33)).shape
        (2, 8, 15)
    """

    axes = 1

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Single,
        stride: Single = 1,
        padding: Single | str = 0,
        dilation: Single = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: str = "zeros",
    ) -> None:
        super().__init__(in_channels, out_channels, kernel_size, stride, padding, dilation, groups, bias, padding_mode)

    def forward(self, input: Tensor) -> Tensor:
        """(N, IC, IL) to (N, OC, OL)."""
        input, padding = self._padded(input)
        return F.conv1d(input, self.weight, self.bias, self.stride, padding, self.dilation, self.groups)


class Conv2d(_Forward):
    """Convolves (cross-correlates) images with learned filters.

    Maps (N, IC, IH, IW) to (N, OC, OH, OW) with OH = ⌊(IH + 2·ph − dh·(KH − 1) − 1) / sh⌋ + 1; or one image
    (IC, IH, IW) to (OC, OH, OW). `weight` has shape (OC, IC/groups, KH, KW) and channels-last memory, `bias` (OC,).

    Args:
        in_channels, out_channels: IC and OC; both multiples of `groups`.
        kernel_size, stride, padding, dilation: an integer or (height, width); a dilation of 1 is dense.
            `padding` may also be "valid" (none) or, at stride 1, "same" (the output has the input's size).
        groups: so many independent convolutions side by side; `groups=in_channels` is depthwise.
        bias: whether to add a learned bias.
        padding_mode: what the padding is: "zeros", or as in `F.pad` "reflect", "replicate" or "circular".
    Raises:
        ValueError: a size is out of range, or the channels cannot be divided into the groups.
    Example:
        >>> nn.Conv2d(3, 8, 3, padding=1)(at.zeros(2, 3, 32, 32)).shape
        (2, 8, 32, 32)
    """

    axes = 2

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
        padding_mode: str = "zeros",
    ) -> None:
        super().__init__(in_channels, out_channels, kernel_size, stride, padding, dilation, groups, bias, padding_mode)

    def forward(self, input: Tensor) -> Tensor:
        """(N, IC, IH, IW) to (N, OC, OH, OW)."""
        input, padding = self._padded(input)
        return F.conv2d(input, self.weight, self.bias, self.stride, padding, self.dilation, self.groups)


class _Transposed(_Conv):
    """A convolution from its output to its input."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Any,
        stride: Any = 1,
        padding: Any = 0,
        output_padding: Any = 0,
        groups: int = 1,
        bias: bool = True,
        dilation: Any = 1,
        padding_mode: str = "zeros",
    ) -> None:
        super().__init__(in_channels, out_channels, kernel_size, stride, padding, dilation, groups, bias, padding_mode)
        op = type(self).__name__
        require(padding_mode == "zeros", op, f"padding_mode is {padding_mode!r}; a transposed convolution has 'zeros'")
        self.output_padding = self._sizes(0, output_padding, "output_padding")
        for extra, s, d in zip(self.output_padding, self.stride, self.dilation, strict=True):
            message = f"output_padding {output_padding} must be smaller than stride {stride} or dilation {dilation}"
            require(extra < max(s, d), op, message)

    def _weight_channels(self) -> tuple[int, int]:
        return self.in_channels, self.out_channels

    def _extra(self, input: Tensor, output_size: Sequence[int] | None) -> tuple[int, ...]:
        """The output_padding, or the one that gives the output this size."""
        if output_size is None:
            return self.output_padding
        op, sizes = type(self).__name__, tuple(output_size)[-self.axes :]
        require(len(output_size) in (self.axes, input.ndim), op, f"output_size is {output_size}; expected {self.axes}")
        smallest = [
            (L - 1) * s - 2 * p + d * (K - 1) + 1
            for L, s, p, d, K in zip(
                input.shape[-self.axes :], self.stride, self.padding, self.dilation, self.kernel_size, strict=True
            )
        ]
        extra = tuple(size - least for size, least in zip(sizes, smallest, strict=True))
        possible = [0 <= e < s for e, s in zip(extra, self.stride, strict=True)]
        require(all(possible), op, f"output_size is {output_size}; expected from {smallest}, by less than the stride")
        return extra

    def _arguments(self, input: Tensor, output_size: Sequence[int] | None) -> tuple:
        extra = self._extra(input, output_size)
        return self.weight, self.bias, self.stride, self.padding, extra, self.groups, self.dilation


class ConvTranspose1d(_Transposed):
    """The transpose of `Conv1d`: maps the shape of its output back to the shape of its input.

    Maps (N, IC, IL) to (N, OC, OL) with OL = (IL − 1)·stride − 2·padding + dilation·(K − 1) + output_padding + 1; or
    (IC, IL) to (OC, OL). `weight` has shape (IC, OC/groups, K). The arguments are those of `ConvTranspose2d`, with one
    number for each size.

    Example:
        >>> nn.ConvTranspose1d(8, 3, 2, stride=2)(at.zeros(1, 8, 16)).shape
        (1, 3, 32)
    """

    axes = 1

    def forward(self, input: Tensor, output_size: Sequence[int] | None = None) -> Tensor:
        """(N, IC, IL) to (N, OC, OL); `output_size`, an OL in a list, takes the place of output_padding."""
        return F.conv_transpose1d(input, *self._arguments(input, output_size))


class ConvTranspose2d(_Transposed):
    """The transpose of `Conv2d`: maps the shape of its output back to the shape of its input, to learn upsampling.

    Maps (N, IC, IH, IW) to (N, OC, OH, OW) with OH = (IH − 1)·sh − 2·ph + dh·(KH − 1) + output_padding + 1; or
    (IC, IH, IW) to (OC, OH, OW). `weight` has shape (IC, OC/groups, KH, KW). Zeiler et al. 2010, "Deconvolutional
    networks".

    Args:
        in_channels, out_channels, kernel_size, stride, padding, groups, bias, dilation: as `Conv2d`.
        output_padding: rows and columns added at the far edge; smaller than the stride or the dilation. A stride maps
            several input sizes to one output size, this chooses between them.
        padding_mode: "zeros"; another is refused.
    Example:
        >>> nn.ConvTranspose2d(8, 3, 2, stride=2)(at.zeros(1, 8, 16, 16)).shape
        (1, 3, 32, 32)
    """

    axes = 2

    def forward(self, input: Tensor, output_size: Sequence[int] | None = None) -> Tensor:
        """(N, IC, IH, IW) to (N, OC, OH, OW); `output_size`, (OH, OW), takes the place of output_padding."""
        return F.conv_transpose2d(input, *self._arguments(input, output_size))
