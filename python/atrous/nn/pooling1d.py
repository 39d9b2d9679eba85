"""Pooling of sequences."""

from __future__ import annotations

from ..checks import require, single
from ..tensor import Tensor
from . import functional as F
from .module import Module
from .sizes import check_sizes, sizes_of_at_least

Single = int | tuple[int]


class _Pool1d(Module):
    def _check(self) -> None:
        op, dilation = type(self).__name__, getattr(self, "dilation", 1)
        for name, value, least in (("kernel_size", self.kernel_size, 1), ("stride", self.stride, 1)):
            sizes_of_at_least(least, 1, value, op, name)
        sizes_of_at_least(1, 1, dilation, op, "dilation")
        (p,) = sizes_of_at_least(0, 1, self.padding, op, "padding")
        message = f"padding {self.padding} is more than half of kernel_size {self.kernel_size}"
        require(2 * p <= single(self.kernel_size, op, "kernel_size"), op, message)


class MaxPool1d(_Pool1d):
    """The maximum of each window of sequences (N, C, IL) or (C, IL); NaN wins.

    Args:
        kernel_size, stride, padding, dilation, return_indices, ceil_mode: as `MaxPool2d`, with one number each.
    Raises:
        ValueError: a size is out of range, or the padding is more than half of the window.
    Example:
        >>> nn.MaxPool1d(2)(at.tensor([[1.0, 5.0, 4.0, 2.0]])).tolist()
        [[5.0, 4.0]]
    """

    def __init__(
        self,
        kernel_size: Single,
        stride: Single | None = None,
        padding: Single = 0,
        dilation: Single = 1,
        return_indices: bool = False,
        ceil_mode: bool = False,
    ) -> None:
        super().__init__()
        self.kernel_size, self.stride = kernel_size, kernel_size if stride is None else stride
        self.padding, self.dilation = padding, dilation
        self.return_indices, self.ceil_mode = return_indices, ceil_mode
        self._check()

    def forward(self, input: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        """(N, C, IL) to (N, C, OL), with the indices if asked for."""
        how = (self.kernel_size, self.stride, self.padding, self.dilation, self.ceil_mode, self.return_indices)
        return F.max_pool1d(input, *how)

    def extra_repr(self) -> str:
        """Sizes."""
        return (
            f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}, "
            f"dilation={self.dilation}, ceil_mode={self.ceil_mode}"
        )


class AvgPool1d(_Pool1d):
    """The mean of each window of sequences (N, C, IL) or (C, IL).

    Args:
        kernel_size, stride, padding, ceil_mode, count_include_pad: as `AvgPool2d`, with one number each.
    Raises:
        ValueError: a size is out of range, or the padding is more than half of the window.
    Example:
        >>> nn.AvgPool1d(2)(at.tensor([[1.0, 5.0, 4.0, 2.0]])).tolist()
        [[3.0, 3.0]]
    """

    def __init__(
        self,
        kernel_size: Single,
        stride: Single | None = None,
        padding: Single = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
    ) -> None:
        super().__init__()
        op = "AvgPool1d"
        self.kernel_size = (single(kernel_size, op, "kernel_size"),)
        self.stride = self.kernel_size if stride is None else (single(stride, op, "stride"),)
        self.padding = (single(padding, op, "padding"),)
        self.ceil_mode, self.count_include_pad = ceil_mode, count_include_pad
        self._check()

    def forward(self, input: Tensor) -> Tensor:
        """(N, C, IL) to (N, C, OL)."""
        how = (self.kernel_size, self.stride, self.padding, self.ceil_mode, self.count_include_pad)
        return F.avg_pool1d(input, *how)

    def extra_repr(self) -> str:
        """Sizes."""
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"


class AdaptiveAvgPool1d(Module):
    """The mean over windows chosen so that the output has a given length, whatever the input's.

    Args:
        output_size: OL.
    Example:
        >>> nn.AdaptiveAvgPool1d(1)(at.zeros(2, 64, 7)).shape
        (2, 64, 1)
    """

    def __init__(self, output_size: Single) -> None:
        super().__init__()
        self.output_size = output_size
        op = type(self).__name__
        check_sizes(op, output_size=single(output_size, op, "output_size"))

    def forward(self, input: Tensor) -> Tensor:
        """(N, C, IL) to (N, C, OL)."""
        return F.adaptive_avg_pool1d(input, self.output_size)

    def extra_repr(self) -> str:
        """The output's length."""
        return f"output_size={self.output_size}"


class AdaptiveMaxPool1d(Module):
    """The maximum over the windows of `AdaptiveAvgPool1d`; with `return_indices` also their positions."""

    def __init__(self, output_size: Single, return_indices: bool = False) -> None:
        super().__init__()
        self.output_size, self.return_indices = output_size, return_indices
        op = "AdaptiveMaxPool1d"
        check_sizes(op, output_size=single(output_size, op, "output_size"))

    def forward(self, input: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        """(N, C, IL) to (N, C, OL), with the indices if asked for."""
        return F.adaptive_max_pool1d(input, self.output_size, self.return_indices)

    def extra_repr(self) -> str:
        """The output's length."""
        return f"output_size={self.output_size}"
