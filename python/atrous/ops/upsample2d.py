"""Resizing of images, larger or smaller."""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite
from numbers import Real

from ..autograd import Backward, record
from ..backend import kernels_for
from ..checks import floats_of_one_dtype, pair, require
from ..layout import channels_last
from ..tensor import Tensor

MODES = ("nearest", "bilinear")


def interpolate(
    x: Tensor,
    size: int | Sequence[int] | None = None,
    scale_factor: float | Sequence[float] | None = None,
    mode: str = "nearest",
    align_corners: bool | None = None,
    recompute_scale_factor: bool | None = None,
) -> Tensor:
    """Resizes images, by the nearest pixel or bilinearly.

    Bilinear: output row oh lies at ``p = (oh + ½)·H / OH − ½`` between input rows ``⌊p⌋`` and ``⌊p⌋ + 1``, with weights
    ``1 − (p − ⌊p⌋)`` and ``p − ⌊p⌋``; the outermost rows go on for ever; columns likewise. With `align_corners`,
    ``p = oh·(H − 1) / (OH − 1)``, so that the outermost pixels keep their places. Nearest: row ``⌊oh·H / OH⌋``.

    Args:
        x: images of shape (N, C, H, W).
        size: of the output, in pixels; an int or (height, width).
        scale_factor: instead of the size: ``OH = ⌊H·scale_factor⌋``, and ``1 / scale_factor`` takes the place of
            ``H / OH``; a number or one each for (height, width).
        mode: "nearest" or "bilinear".
        align_corners: as above, for "bilinear" only; None means False.
        recompute_scale_factor: `scale_factor` determines the size and nothing else, so that the image fills the output.
    Returns:
        Tensor of shape (N, C, OH, OW).
    Raises:
        ValueError: a shape or value is out of range, or not exactly one of size and scale_factor is given.
        TypeError: x is not a float tensor, or a size not an int.
    Example:
        >>> x = at.tensor([[[[0.0, 4.0]]]])
        >>> interpolate(x, (1, 4)).tolist()
        [[[[0.0, 0.0, 4.0, 4.0]]]]
        >>> interpolate(x, scale_factor=(1, 2), mode="bilinear").tolist()
        [[[[0.0, 1.0, 3.0, 4.0]]]]

    Source:
        Foley, van Dam, Feiner and Hughes, Computer Graphics, 1990, section 17.4, for images as samples of a function.
    Differs from PyTorch: images only, (N, C, H, W), of floats; other modes do not exist.
    """
    op = "interpolate"
    floats_of_one_dtype(op, ("x",), x)
    require(x.ndim == 4 and 0 not in x.shape[1:], op, f"x has shape {x.shape}; expected (N, C, H, W), empty in N only")
    require(mode in MODES, op, f"mode is {mode!r}; expected one of {MODES}")
    require(
        mode == "bilinear" or align_corners is None, op, f"align_corners is {align_corners}; mode {mode!r} has none"
    )
    size, scale = _target(op, x.shape[2:], size, scale_factor, recompute_scale_factor)
    data = channels_last(x.data)
    if mode == "nearest":
        y = kernels_for(data).upsample_nearest2d_forward(data, size, scale)
        return record(y, UpsampleNearest2dBackward, inputs=(x,), input_size=x.shape[2:], how=(scale,))
    how = (bool(align_corners), scale)
    y = kernels_for(data).upsample_bilinear2d_forward(data, size, *how)
    return record(y, UpsampleBilinear2dBackward, inputs=(x,), input_size=x.shape[2:], how=how)


class UpsampleNearest2dBackward(Backward):
    """Gradient of nearest resizing: each output's gradient goes to the pixel that it is a copy of."""

    def __call__(self, grad_y):
        return kernels_for(grad_y).upsample_nearest2d_backward(grad_y, self.input_size, *self.how)


class UpsampleBilinear2dBackward(Backward):
    """Gradient of bilinear resizing: each output's gradient goes to the four pixels that it lies between."""

    def __call__(self, grad_y):
        return kernels_for(grad_y).upsample_bilinear2d_backward(grad_y, self.input_size, *self.how)


def _target(op, old, size, scale_factor, recompute):
    """The output's size, and the scale that the kernel goes by, None where the sizes say it."""
    require((size is None) != (scale_factor is None), op, "expected either size or scale_factor, and not both")
    if scale_factor is None:
        require(not isinstance(size, Sequence) or len(size) == 2, op, f"size is {size!r}; expected an int or two")
        require(not recompute, op, "recompute_scale_factor is True; it goes with scale_factor")
        size, scale = pair(size, op, "size"), None
    else:
        scale = tuple(scale_factor) if isinstance(scale_factor, (tuple, list)) else (scale_factor, scale_factor)
        require(len(scale) == 2, op, f"scale_factor is {scale_factor!r}; expected a number or two")
        if not all(isinstance(factor, Real) for factor in scale):
            raise TypeError(f"{op}: scale_factor is {scale_factor!r}; expected a number or two")
        scale = (float(scale[0]), float(scale[1]))
        wanted = [L * factor for L, factor in zip(old, scale, strict=True)]
        require(all(map(isfinite, wanted)), op, f"scale_factor is {scale_factor!r}; expected finite numbers")
        size = (int(wanted[0]), int(wanted[1]))
    require(
        all(0 < O < 2**31 for O in size),
        op,
        f"x of {old[0]}×{old[1]} would become {size[0]}×{size[1]}; expected 1×1 or more",
    )
    return size, None if recompute else scale
