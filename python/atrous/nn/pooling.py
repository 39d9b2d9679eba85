"""Pooling layers."""

from __future__ import annotations

from ..checks import pair, require
from ..tensor import Tensor
from . import functional as F
from .module import Module
from .sizes import check_sizes, pair_of_at_least

Pair = int | tuple[int, int]
OptionalPair = int | tuple[int | None, int | None]


def _check_window(op: str, kernel_size: Pair, stride: Pair, padding: Pair, dilation: Pair = 1) -> None:
    for name, value, least in (
        ("kernel_size", kernel_size, 1),
        ("stride", stride, 1),
        ("padding", padding, 0),
        ("dilation", dilation, 1),
    ):
        pair_of_at_least(least, value, op, name)
    for k, p in zip(pair(kernel_size, op, "kernel_size"), pair(padding, op, "padding"), strict=True):
        require(2 * p <= k, op, f"padding {padding} is more than half of kernel_size {kernel_size}")


class MaxPool2d(Module):
    """The maximum of each window; NaN wins.

    Maps (N, C, IH, IW) to (N, C, OH, OW) with OH = ⌊(IH + 2·ph − dh·(KH − 1) − 1) / sh⌋ + 1, ⌈⌉ with `ceil_mode`.

    Args:
        kernel_size, stride, padding, dilation: an integer or (height, width); the stride is the window's size
            unless given. The padding never wins.
        return_indices: return also the int64 position ih·IW + iw of each maximum.
        ceil_mode: keep windows that overhang the far edge.
    Raises:
        ValueError: a size is out of range, or the padding is more than half of the window.
    Example:
        >>> nn.MaxPool2d(2)(at.arange(16.0).reshape(1, 1, 4, 4)).flatten().tolist()
        [5.0, 7.0, 13.0, 15.0]
    """

    def __init__(
        self,
        kernel_size: Pair,
        stride: Pair | None = None,
        padding: Pair = 0,
        dilation: Pair = 1,
        return_indices: bool = False,
        ceil_mode: bool = False,
    ) -> None:
        super().__init__()
        self.kernel_size, self.stride = kernel_size, kernel_size if stride is None else stride
        self.padding, self.dilation = padding, dilation
        self.return_indices, self.ceil_mode = return_indices, ceil_mode
        _check_window("MaxPool2d", kernel_size, self.stride, padding, dilation)

    def forward(self, input: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        """(N, C, IH, IW) to (N, C, OH, OW), with the indices if asked for."""
        return F.max_pool2d(
            input,
            self.kernel_size,
            self.stride,
            self.padding,
            self.dilation,
            ceil_mode=self.ceil_mode,
            return_indices=self.return_indices,
        )

    def extra_repr(self) -> str:
        """Sizes."""
        return (
            f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}, "
            f"dilation={self.dilation}, ceil_mode={self.ceil_mode}"
        )


class AvgPool2d(Module):
    """The mean of each window.

    Args:
        kernel_size, stride, padding, ceil_mode: as `MaxPool2d`.
        count_include_pad: divide by the window's size, padding included; else by the pixels inside the image.
        divisor_override: divide by this number instead.
    Example:
        >>> nn.AvgPool2d(2)(at.arange(16.0).reshape(1, 1, 4, 4)).flatten().tolist()
        [2.5, 4.5, 10.5, 12.5]
    """

    def __init__(
        self,
        kernel_size: Pair,
        stride: Pair | None = None,
        padding: Pair = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
        divisor_override: int | None = None,
    ) -> None:
        super().__init__()
        self.kernel_size, self.stride = kernel_size, kernel_size if stride is None else stride
        self.padding, self.ceil_mode = padding, ceil_mode
        self.count_include_pad, self.divisor_override = count_include_pad, divisor_override
        _check_window("AvgPool2d", kernel_size, self.stride, padding)
        require(divisor_override != 0, "AvgPool2d", "divisor_override is 0; expected another integer or None")

    def forward(self, input: Tensor) -> Tensor:
        """(N, C, IH, IW) to (N, C, OH, OW)."""
        return F.avg_pool2d(
            input,
            self.kernel_size,
            self.stride,
            self.padding,
            self.ceil_mode,
            self.count_include_pad,
            self.divisor_override,
        )

    def extra_repr(self) -> str:
        """Sizes."""
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"


class _Adaptive(Module):
    def __init__(self, output_size: OptionalPair) -> None:
        super().__init__()
        self.output_size = output_size
        op = type(self).__name__
        if isinstance(output_size, (tuple, list)):
            require(len(output_size) == 2, op, f"output_size is {output_size!r}; expected an int or a pair")
            check_sizes(op, **{f"output_size[{i}]": size for i, size in enumerate(output_size) if size is not None})
        else:
            check_sizes(op, output_size=output_size)

    def extra_repr(self) -> str:
        """The output's size."""
        return f"output_size={self.output_size}"


class AdaptiveAvgPool2d(_Adaptive):
    """The mean over windows chosen so that the output has a given size, whatever the input's.

    Output row i averages input rows ⌊i·IH/OH⌋ up to ⌈(i+1)·IH/OH⌉.

    Args:
        output_size: OH and OW, one integer for both; in a pair, None keeps the input's size.
    Example:
        >>> nn.AdaptiveAvgPool2d(1)(at.zeros(2, 64, 7, 7)).shape
        (2, 64, 1, 1)
    """

    def forward(self, input: Tensor) -> Tensor:
        """(N, C, IH, IW) to (N, C, OH, OW)."""
        return F.adaptive_avg_pool2d(input, self.output_size)


class AdaptiveMaxPool2d(_Adaptive):
    """The maximum over the windows of `AdaptiveAvgPool2d`; with `return_indices` also their positions."""

    def __init__(self, output_size: OptionalPair, return_indices: bool = False) -> None:
        super().__init__(output_size)
        self.return_indices = return_indices

    def forward(self, input: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        """(N, C, IH, IW) to (N, C, OH, OW), with the indices if asked for."""
        return F.adaptive_max_pool2d(input, self.output_size, self.return_indices)
