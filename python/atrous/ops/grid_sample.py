"""Images read at places of one's choice, ``grid_sample``, and the places of an affine map, ``affine_grid``.

Along each axis a place is turned into taps: elements, weights, and the weights' slopes. An output is the sum over pairs
of taps, one of rows and one of columns.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from ..autocast import in_float32
from ..autograd import Backward, record
from ..backend import array_module, quiet
from ..checks import floats_of_one_dtype, require
from ..layout import channels_last
from ..tensor import Tensor
from .indexing import _added_at
from .resample import cubic_slopes, cubic_weights

__all__ = ["affine_grid", "grid_sample"]

MODES = ("bilinear", "nearest", "bicubic")
PADDINGS = ("zeros", "border", "reflection")


def affine_grid(theta: Tensor, size: Sequence[int], align_corners: bool | None = None) -> Tensor:
    """Where each pixel of an image comes from under an affine map: ``grid[n, h, w] = theta[n] @ (x_w, y_h, 1)``.

    x runs from −1 at the left edge of the image to 1 at its right, y from its top to its bottom; with `align_corners`
    from the centre of the first pixel to that of the last.

    Args:
        theta: maps (N, 2, 3).
        size: (N, C, H, W) of the image that ``grid_sample`` is to make.
        align_corners: as above; None means False.
    Returns:
        Tensor (N, H, W, 2) of places (x, y).
    Raises:
        ValueError: another shape or size. TypeError: theta is not a float tensor.
    Example:
        >>> shift = at.tensor([[[1.0, 0.0, 0.5], [0.0, 1.0, 0.0]]])
        >>> affine_grid(shift, (1, 1, 1, 2)).tolist()
        [[[[0.0, 0.0], [1.0, 0.0]]]]

    Source:
        Jaderberg et al., Spatial transformer networks, 2015 (arXiv 1506.02025), equation 1.
    Differs from PyTorch: images only, no volumes; no warning where align_corners is None.
    """
    op = "affine_grid"
    floats_of_one_dtype(op, ("theta",), theta)
    sizes = tuple(size)
    good = len(sizes) == 4 and min(sizes) >= 1
    require(good, op, f"size is {sizes}; expected (N, C, H, W), each 1 or more")
    N, _, H, W = sizes
    require(theta.shape == (N, 2, 3), op, f"theta has shape {theta.shape}; expected {(N, 2, 3)} from size {sizes}")
    xp = array_module(theta.data)
    base = xp.ones((H, W, 3), theta.dtype)
    base[:, :, 0] = _evenly(xp, W, align_corners)
    base[:, :, 1] = _evenly(xp, H, align_corners)[:, None]
    return (Tensor(base.reshape(H * W, 3)) @ theta.transpose(1, 2)).reshape(N, H, W, 2)


def _evenly(xp: Any, L: int, align_corners: bool | None) -> Any:
    if align_corners:
        return xp.linspace(-1, 1, L) if L > 1 else xp.zeros(1)
    return (2 * xp.arange(L) + 1 - L) / L


@in_float32
def grid_sample(
    input: Tensor,
    grid: Tensor,
    mode: str = "bilinear",
    padding_mode: str = "zeros",
    align_corners: bool | None = None,
) -> Tensor:
    """Reads images at given places: ``y[n, :, h, w]`` is what image n has at ``grid[n, h, w] = (x, y)``.

    −1 and 1 are the edges of the image: x is at column ``((x + 1)·W − 1) / 2``; with `align_corners` they are the
    centres of the outermost pixels, and x is at column ``(x + 1)·(W − 1) / 2``; rows likewise. Between pixels the value
    is that of ``interpolate``, of the same mode.

    Args:
        input: images (N, C, H, W).
        grid: places (N, OH, OW, 2).
        mode: "bilinear", "nearest" (halves to the even pixel) or "bicubic".
        padding_mode: outside the image, "zeros", "border" (the nearest pixel of the edge) or "reflection" (mirrored at
            the edges, again and again).
        align_corners: as above; None means False.
    Returns:
        Tensor (N, C, OH, OW).
    Raises:
        ValueError: a shape or word is another. TypeError: no float tensors, or of different dtypes.
    Example:
        >>> x = at.tensor([[[[0.0, 1.0], [2.0, 3.0]]]])
        >>> grid_sample(x, at.tensor([[[[0.0, 0.0], [0.5, -0.5]]]])).tolist()
        [[[[1.5, 1.0]]]]

    Source:
        Jaderberg et al., Spatial transformer networks, 2015 (arXiv 1506.02025).
    Differs from PyTorch: images only, no volumes; no warning where align_corners is None.
    """
    op = "grid_sample"
    floats_of_one_dtype(op, ("input", "grid"), input, grid)
    require(mode in MODES, op, f"mode is {mode!r}; expected one of {MODES}")
    require(padding_mode in PADDINGS, op, f"padding_mode is {padding_mode!r}; expected one of {PADDINGS}")
    shape = input.shape
    good = len(shape) == 4 and 0 not in shape[2:]
    require(good, op, f"input has shape {shape}; expected (N, C, H, W) with rows and columns")
    good = grid.ndim == 4 and grid.shape[3] == 2 and grid.shape[0] == shape[0]
    require(good, op, f"grid has shape {grid.shape}; expected ({shape[0]}, OH, OW, 2) from input {shape}")
    how = (mode, padding_mode, bool(align_corners))
    y = quiet.run(_sampled, input.data, grid.data, how)
    return record(y, GridSampleBackward, (input, grid), saved=(input, grid), how=how)


class GridSampleBackward(Backward):
    """Gradients of grid_sample: to each pixel by its weight, and to each place by the weights' slopes."""

    def __call__(self, grad_y):
        x, grid = self.saved
        needs_x, needs_grid = self.needs
        moves = needs_grid and self.how[0] != "nearest"  # whose values are constant around a place
        xp, (N, C, H, W), (OH, OW) = array_module(x), x.shape, grid.shape[1:3]
        planes, grad = _planes(x), _planes(grad_y)  # (N, H·W, C), (N, OH·OW, C)
        grad_planes = xp.zeros(N * H * W * C, x.dtype)
        slopes = xp.zeros((N, OH * OW, 2), x.dtype)
        images, channels = xp.arange(N)[:, None], xp.arange(C)
        for place, inside, row, column in _pairs(x.shape, grid, self.how):
            if needs_x:
                part = xp.where(inside[..., None], grad * (row.weight * column.weight)[..., None], 0)
                to = ((images * (H * W) + place)[..., None] * C + channels).reshape(-1)
                grad_planes = _added_at(grad_planes, to, part.reshape(-1))
            if moves:
                product = (xp.where(inside[..., None], planes[images, place], 0) * grad).sum(axis=-1)
                slopes[..., 0] += product * row.weight * column.slope
                slopes[..., 1] += product * row.slope * column.weight
        grad_x = grad_planes.reshape(N, H, W, C).transpose(0, 3, 1, 2)
        return grad_x if needs_x else None, slopes.reshape(grid.shape) if needs_grid else None


class Tap(NamedTuple):
    """One of the elements along an axis that a place is made of; all of shape (N, OH·OW)."""

    index: Any
    inside: Any
    weight: Any
    slope: Any  # of the weight, by the grid's coordinate


def _sampled(x: Any, grid: Any, how: tuple) -> Any:
    xp, (N, C, _, _), (OH, OW) = array_module(x), x.shape, grid.shape[1:3]
    planes, images = _planes(x), xp.arange(N)[:, None]
    y = xp.zeros((N, OH * OW, C), x.dtype)
    for place, inside, row, column in _pairs(x.shape, grid, how):
        y += xp.where(inside[..., None], planes[images, place], 0) * (row.weight * column.weight)[..., None]
    return y.reshape(N, OH, OW, C).transpose(0, 3, 1, 2)


def _planes(x: Any) -> Any:
    N, C, H, W = x.shape
    return channels_last(x).transpose(0, 2, 3, 1).reshape(N, H * W, C)


def _pairs(shape: tuple[int, ...], grid: Any, how: tuple) -> Any:
    """Each pair of taps: the pixel in its plane, whether there is one, and the taps of row and column."""
    H, W = shape[2:]
    N, OH, OW, _ = grid.shape
    places = grid.reshape(N, OH * OW, 2)
    columns = _taps(places[:, :, 0], W, *how)
    for row in _taps(places[:, :, 1], H, *how):
        for column in columns:
            yield row.index * W + column.index, row.inside & column.inside, row, column


def _taps(places: Any, L: int, mode: str, padding_mode: str, align_corners: bool) -> list[Tap]:
    """The taps along an axis of L elements at coordinates from −1 to 1."""
    xp = array_module(places)
    if align_corners:
        scale, at = (L - 1) / 2, (places + 1) / 2 * (L - 1)
    else:
        scale, at = L / 2, ((places + 1) * L - 1) / 2
    slope = xp.full(at.shape, scale, at.dtype)
    if mode != "bicubic":  # which puts each of its elements inside instead
        at, turned = _put_inside(xp, at, L, padding_mode, align_corners)
        slope = slope * turned
    if mode == "nearest":
        return [_tap(xp, xp.rint(at), L, xp.ones_like(at), xp.zeros_like(at))]
    first = xp.floor(at)
    t = at - first
    if mode == "bilinear":
        return [_tap(xp, first, L, 1 - t, -slope), _tap(xp, first + 1, L, t, slope)]
    indices = [_put_inside(xp, first + k, L, padding_mode, align_corners)[0] for k in (-1, 0, 1, 2)]
    taps = zip(indices, cubic_weights(t), cubic_slopes(t), strict=True)
    return [_tap(xp, index, L, weight, steepness * slope) for index, weight, steepness in taps]


def _tap(xp: Any, index: Any, L: int, weight: Any, slope: Any) -> Tap:
    inside = (index >= 0) & (index <= L - 1)  # not of NaN
    return Tap(xp.where(inside, index, 0).astype("int64"), inside, weight, slope)


def _put_inside(xp: Any, at: Any, L: int, padding_mode: str, align_corners: bool) -> tuple[Any, Any]:
    """Places brought into the image as the padding says, and the slope of that: 1, −1 where mirrored, 0 at an end."""
    if padding_mode == "zeros":
        return at, 1
    turned: Any = 1
    if padding_mode == "reflection":
        at, turned = _reflected(xp, at, *((0, L - 1) if align_corners else (-0.5, L - 0.5)))
    free = (at > 0) & (at < L - 1)
    return xp.fmin(xp.fmax(at, 0), L - 1), free * turned  # fmax: NaN is at 0


def _reflected(xp: Any, at: Any, low: float, high: float) -> tuple[Any, Any]:
    if low == high:
        return xp.zeros_like(at), xp.zeros_like(at)
    span, away = high - low, xp.abs(at - low)
    turns = xp.floor(away / span)
    rest, back = away - turns * span, turns % 2 == 1
    sign = xp.where(at < low, -1, 1) * xp.where(back, -1, 1)
    return xp.where(back, span - rest, rest) + low, sign.astype(at.dtype)
