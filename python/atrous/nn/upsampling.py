"""Resizing as a layer."""

from __future__ import annotations

from typing import Any

from ..checks import require
from ..tensor import Tensor
from . import functional as F
from .module import Module


class Upsample(Module):
    """Resizes images (N, C, IH, IW) to (N, C, OH, OW), by the nearest pixel or bilinearly: see `F.interpolate`.

    Args:
        size: OH and OW, one integer for both.
        scale_factor: OH / IH and OW / IW instead, one number for both.
        mode: "nearest" or "bilinear".
        align_corners: for "bilinear": the outermost pixels keep their places.
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
        """(N, C, IH, IW) to (N, C, OH, OW)."""
        return F.interpolate(
            input, self.size, self.scale_factor, self.mode, self.align_corners, self.recompute_scale_factor
        )

    def extra_repr(self) -> str:
        """The size or the scale, and the mode."""
        what = f"size={self.size}" if self.scale_factor is None else f"scale_factor={self.scale_factor}"
        return f"{what}, mode={self.mode!r}"
