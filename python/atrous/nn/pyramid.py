"""Pooling of several sizes at once, by power means, and its partial inverse."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..checks import pair, require, single
from ..ops import cat
from ..tensor import Tensor
from . import functional as F
from .module import Module
from .sizes import check_sizes

Pair = int | tuple[int, int]
Single = int | tuple[int]


class SpatialPyramidPooling(Module):
    """Pools maps of any size into as many numbers a channel as the levels have windows: 4·4 + 2·2 + 1 = 21.

    Maps (N, C, H, W) to (N, C·21), or (C, H, W) to (C·21,): the 21 numbers of the first channel, level by level and row
    by row, then those of the next. So a Linear layer can follow whatever the image's size.

    Args:
        levels: each n pools into n × n windows, those of `AdaptiveMaxPool2d`.
        mode: "max" or "avg".
    Raises:
        ValueError: no level, one below 1, or another mode.
    Example:
        >>> pool = nn.SpatialPyramidPooling()
        >>> pool(at.zeros(2, 3, 13, 9)).shape, pool(at.zeros(2, 3, 6, 24)).shape
        ((2, 63), (2, 63))

    Source:
        He, Zhang, Ren and Sun, Spatial pyramid pooling in deep convolutional networks, 2014 (arXiv 1406.4729).
    """

    def __init__(self, levels: Sequence[int] = (4, 2, 1), mode: str = "max") -> None:
        super().__init__()
        op = "SpatialPyramidPooling"
        self.levels, self.mode = tuple(levels), mode
        require(self.levels, op, "levels is empty; expected one or more")
        check_sizes(op, **{f"levels[{i}]": level for i, level in enumerate(self.levels)})
        require(mode in ("max", "avg"), op, f"mode is {mode!r}; expected 'max' or 'avg'")

    def forward(self, input: Tensor) -> Tensor:
        """(N, C, H, W) to (N, C·Σn²)."""
        pool: Any = F.adaptive_max_pool2d if self.mode == "max" else F.adaptive_avg_pool2d
        parts = [pool(input, level).flatten(-2) for level in self.levels]  # (N, C, n²) each
        return cat(parts, -1).flatten(-2)

    def extra_repr(self) -> str:
        """The levels and the mode."""
        return f"levels={self.levels}, mode={self.mode!r}"


class _LPPool(Module):
    def __init__(self, norm_type: float, kernel_size: Any, stride: Any = None, ceil_mode: bool = False) -> None:
        super().__init__()
        require(norm_type != 0, type(self).__name__, "norm_type is 0; expected another number")
        self.norm_type, self.kernel_size, self.stride, self.ceil_mode = norm_type, kernel_size, stride, ceil_mode

    def extra_repr(self) -> str:
        """The power and sizes."""
        names = ("norm_type", "kernel_size", "stride", "ceil_mode")
        return ", ".join(f"{name}={getattr(self, name)}" for name in names)


class LPPool1d(_LPPool):
    """The p-norm of each window of sequences (N, C, IL) or (C, IL); see `F.lp_pool1d`."""

    def forward(self, input: Tensor) -> Tensor:
        """(N, C, IL) to (N, C, OL)."""
        return F.lp_pool1d(input, float(self.norm_type), self.kernel_size, self.stride, self.ceil_mode)


class LPPool2d(_LPPool):
    """The p-norm of each window of images (N, C, IH, IW) or (C, IH, IW); see `F.lp_pool2d`.

    Example:
        >>> nn.LPPool2d(2, 2)(at.tensor([[[3.0, 0.0], [0.0, 4.0]]])).tolist()
        [[[5.0]]]
    """

    def forward(self, input: Tensor) -> Tensor:
        """(N, C, IH, IW) to (N, C, OH, OW)."""
        return F.lp_pool2d(input, float(self.norm_type), self.kernel_size, self.stride, self.ceil_mode)


class _MaxUnpool(Module):
    kernel_size: tuple[int, ...]
    stride: tuple[int, ...]
    padding: tuple[int, ...]

    def extra_repr(self) -> str:
        """Sizes."""
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"


class MaxUnpool1d(_MaxUnpool):
    """Puts the maxima of `MaxPool1d` back to where they were, among zeros; see `F.max_unpool1d`."""

    def __init__(self, kernel_size: Single, stride: Single | None = None, padding: Single = 0) -> None:
        super().__init__()
        op = "MaxUnpool1d"
        self.kernel_size = (single(kernel_size, op, "kernel_size"),)
        self.stride = self.kernel_size if stride is None else (single(stride, op, "stride"),)
        self.padding = (single(padding, op, "padding"),)

    def forward(self, input: Tensor, indices: Tensor, output_size: Sequence[int] | None = None) -> Tensor:
        """(N, C, IL) to (N, C, OL)."""
        return F.max_unpool1d(input, indices, self.kernel_size, self.stride, self.padding, output_size)


class MaxUnpool2d(_MaxUnpool):
    """Puts the maxima of `MaxPool2d` back to where they were, among zeros; see `F.max_unpool2d`.

    Example:
        >>> pool, unpool = nn.MaxPool2d(2, return_indices=True), nn.MaxUnpool2d(2)
        >>> unpool(*pool(at.tensor([[[1.0, 5.0], [4.0, 2.0]]]))).tolist()
        [[[0.0, 5.0], [0.0, 0.0]]]
    """

    def __init__(self, kernel_size: Pair, stride: Pair | None = None, padding: Pair = 0) -> None:
        super().__init__()
        op = "MaxUnpool2d"
        self.kernel_size = pair(kernel_size, op, "kernel_size")
        self.stride = self.kernel_size if stride is None else pair(stride, op, "stride")
        self.padding = pair(padding, op, "padding")

    def forward(self, input: Tensor, indices: Tensor, output_size: Sequence[int] | None = None) -> Tensor:
        """(N, C, IH, IW) to (N, C, OH, OW)."""
        return F.max_unpool2d(input, indices, self.kernel_size, self.stride, self.padding, output_size)
