"""Resizing as a layer."""

from __future__ import annotations

from typing import Any

from ..checks import require
from ..tensor import Tensor
from . import functional as F
from .module import Module


class Upsample(Module):
    """Resizes images (N, C, IH, IW) to (N, C, OH, OW), or sequences (N, C, IL) to (N, C, OL): see `F.interpolate`.

    Args:
        size: OH and OW, one integer for both; or OL.
        scale_factor: OH / IH and OW / IW instead, one number for both; or OL / IL.
        mode: "nearest", "nearest-exact", "area", for images "bilinear" and "bicubic", for sequences "linear".
        align_corners: for "linear", "bilinear" and "bicubic": the outermost pixels keep their places.
        recompute_scale_factor: `scale_factor` determines the size and nothing else.
    Example:
        >>> nn.Upsample(scale_factor=2, mode="bilinear")(at.zeros(1, 8, 7, 5)).shape
        (1, 8, 14, 10)
    """

    def __init__(
        self,
        size: int | tuple[int, int] | None = None,
        scale_factor: Any = None,
        mode: str = "nearest",
        align_corners: bool | None = None,
        recompute_scale_factor: bool | None = None,
    ) -> None:
        super().__init__()
        require((size is None) != (scale_factor is None), "Upsample", "expected size or scale_factor, and not both")
        if scale_factor is not None:
            several = isinstance(scale_factor, (tuple, list))
            scale_factor = tuple(float(factor) for factor in scale_factor) if several else float(scale_factor)
        self.size, self.scale_factor, self.mode = size, scale_factor, mode
        self.align_corners, self.recompute_scale_factor = align_corners, recompute_scale_factor

    def forward(self, input: Tensor) -> Tensor:
        """(N, C, IH, IW) to (N, C, OH, OW), or (N, C, IL) to (N, C, OL)."""
        return F.interpolate(
            input, self.size, self.scale_factor, self.mode, self.align_corners, self.recompute_scale_factor
        )

    def extra_repr(self) -> str:
        """The size or the scale, and the mode."""
        what = f"size={self.size}" if self.scale_factor is None else f"scale_factor={self.scale_factor}"
        return f"{what}, mode={self.mode!r}"


class UpsamplingNearest2d(Upsample):
    """`Upsample` of images by the nearest pixel.

    Example:
        >>> nn.UpsamplingNearest2d(scale_factor=2)(at.zeros(1, 8, 7, 5)).shape
        (1, 8, 14, 10)
    """

    def __init__(self, size: int | tuple[int, int] | None = None, scale_factor: Any = None) -> None:
        super().__init__(size, scale_factor, mode="nearest")


class UpsamplingBilinear2d(Upsample):
    """`Upsample` of images, bilinearly, with the outermost pixels kept in their places.

    Example:
        >>> nn.UpsamplingBilinear2d(scale_factor=2)(at.zeros(1, 8, 7, 5)).shape
        (1, 8, 14, 10)
    """

    def __init__(self, size: int | tuple[int, int] | None = None, scale_factor: Any = None) -> None:
        super().__init__(size, scale_factor, mode="bilinear", align_corners=True)
