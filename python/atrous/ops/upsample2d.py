"""Resizing of images and sequences, larger or smaller."""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite
from numbers import Real
from typing import Any

from ..autocast import raised
from ..autograd import Backward, record
from ..backend import kernels_for
from ..checks import floats_of_one_dtype, pair, require, single
from ..layout import channels_last
from ..tensor import Tensor
from .pool2d import adaptive_avg_pool2d
from .resample import bicubic, nearest

MODES = {  # and the numbers of axes that each takes
    "nearest": (3, 4),
    "linear": (3,),
    "bilinear": (4,),
    "bicubic": (4,),
    "area": (3, 4),
    "nearest-exact": (3, 4),
}
BETWEEN = ("linear", "bilinear", "bicubic")


def interpolate(
    x: Tensor,
    size: int | Sequence[int] | None = None,
    scale_factor: float | Sequence[float] | None = None,
    mode: str = "nearest",
    align_corners: bool | None = None,
    recompute_scale_factor: bool | None = None,
) -> Tensor:
    """Resizes images or sequences.

    Bilinear: output row oh lies at ``p = (oh + ½)·H / OH − ½`` between input rows ``⌊p⌋`` and ``⌊p⌋ + 1``, with weights
    ``1 − (p − ⌊p⌋)`` and ``p − ⌊p⌋``; the outermost rows go on for ever; columns likewise. With `align_corners`,
    ``p = oh·(H − 1) / (OH − 1)``, so that the outermost pixels keep their places. Bicubic: by four rows around p, and
    Keys' kernel with a = −0.75. Nearest: row ``⌊oh·H / OH⌋``; nearest-exact: row ``⌊(oh + ½)·H / OH⌋``. Area: the mean
    of the rows from ``⌊oh·H / OH⌋`` to ``⌈(oh + 1)·H / OH⌉``, as ``adaptive_avg_pool2d``.

    Args:
        x: images of shape (N, C, H, W), or sequences (N, C, L).
        size: of the output, in pixels; an int or (height, width).
        scale_factor: instead of the size: ``OH = ⌊H·scale_factor⌋``, and ``1 / scale_factor`` takes the place of
            ``H / OH``; a number or one each for (height, width).
        mode: "nearest", "nearest-exact", "area", for images "bilinear" and "bicubic", for sequences "linear".
        align_corners: as above, for "linear", "bilinear" and "bicubic" only; None means False.
        recompute_scale_factor: `scale_factor` determines the size and nothing else, so that the image fills the output;
            for "area" always.
    Returns:
        Tensor of shape (N, C, OH, OW) or (N, C, OL).
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
        Foley, van Dam, Feiner and Hughes, Computer Graphics, 1990, section 17.4, for images as samples of a function;
        Keys, Cubic convolution interpolation for digital image processing, 1981.
    Differs from PyTorch: no volumes (N, C, D, H, W), no antialiasing; floats only.
    """
    op, x = "interpolate", raised(x)
    floats_of_one_dtype(op, ("x",), x)
    good = x.ndim in (3, 4) and 0 not in x.shape[1:]
    require(good, op, f"x has shape {x.shape}; expected (N, C, H, W) or (N, C, L), empty in N only")
    require(mode in MODES, op, f"mode is {mode!r}; expected one of {tuple(MODES)}")
    require(x.ndim in MODES[mode], op, f"x has shape {x.shape}; mode {mode!r} takes {MODES[mode][0]} axes")
    require(mode in BETWEEN or align_corners is None, op, f"align_corners is {align_corners}; mode {mode!r} has none")
    target, scale = _target(op, x.shape[2:], size, scale_factor, recompute_scale_factor)
    if x.ndim == 4:
        return _resized(x, target, scale, mode, bool(align_corners))
    scale = None if scale is None else (1.0, *scale)
    if mode == "nearest":  # PyTorch goes by a scale here where it does not with images, whose kernels ours follow
        return nearest(x.unsqueeze(2), (1, *target), scale, 0.0).squeeze(2)
    return _resized(x.unsqueeze(2), (1, *target), scale, mode, bool(align_corners)).squeeze(2)  # images of one row


def _resized(x: Tensor, size: Any, scale: Any, mode: str, align_corners: bool) -> Tensor:
    """By the function of the mode; x has shape (N, C, H, W)."""
    if mode == "area":
        return adaptive_avg_pool2d(x, size)
    if mode == "bicubic":
        return bicubic(x, size, align_corners, scale)
    if mode == "nearest-exact":
        return nearest(x, size, scale, 0.5)
    data = channels_last(x.data)
    if mode == "nearest":
        y = kernels_for(data).upsample_nearest2d_forward(data, size, scale)
        return record(y, UpsampleNearest2dBackward, inputs=(x,), input_size=x.shape[2:], how=(scale,))
    how = (align_corners, scale)
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


def _target(op: str, old: Sequence[int], size: Any, scale_factor: Any, recompute: bool | None) -> tuple[Any, Any]:
    """The output's size, and the scale that the kernel goes by, None where the sizes say it."""
    require((size is None) != (scale_factor is None), op, "expected either size or scale_factor, and not both")
    axes, one_or_all = len(old), "" if len(old) == 1 else " or two"
    if scale_factor is None:
        several = isinstance(size, Sequence)
        require(not several or len(size) == axes, op, f"size is {size!r}; expected an int{one_or_all}")
        require(not recompute, op, "recompute_scale_factor is True; it goes with scale_factor")
        size, scale = pair(size, op, "size") if axes == 2 else (single(size, op, "size"),), None
    else:
        several = isinstance(scale_factor, (tuple, list))
        scale = tuple(scale_factor) if several else (scale_factor,) * axes
        require(len(scale) == axes, op, f"scale_factor is {scale_factor!r}; expected a number{one_or_all}")
        if not all(isinstance(factor, Real) for factor in scale):
            raise TypeError(f"{op}: scale_factor is {scale_factor!r}; expected a number{one_or_all}")
        scale = tuple([float(factor) for factor in scale])
        wanted = [L * factor for L, factor in zip(old, scale, strict=True)]
        require(all(map(isfinite, wanted)), op, f"scale_factor is {scale_factor!r}; expected finite numbers")
        size = tuple([int(extent) for extent in wanted])
    before, after = "×".join(map(str, old)), "×".join(map(str, size))
    require(all(0 < O < 2**31 for O in size), op, f"x of {before} would become {after}; expected 1×1 or more")
    return size, None if recompute else scale
