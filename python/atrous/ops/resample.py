"""Resizing without a kernel of its own, axis by axis: bicubic, and by the nearest pixel.

Which elements an output is made of, and by which weights, depends on the two lengths alone: ``Taps``, found once.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property, lru_cache
from math import floor
from typing import Any

from ..autocast import in_float32
from ..autograd import Backward, record
from ..backend import array_module, quiet
from ..layout import channels_last
from ..tensor import Tensor

__all__ = ["bicubic", "nearest"]

Column = tuple[Any, ...]


class Taps:
    """The elements that each output along an axis is a weighted sum of."""

    def __init__(self, taps: list[tuple[Column, Column]]) -> None:
        self.taps = taps  # each with an index and a weight for every output

    @cached_property
    def rounds(self) -> list[tuple[Column, Column, Column]]:
        """The way back: each with elements, none of them twice, the outputs that they had part in, and the weights."""
        rounds: list[list[tuple[int, int, Any]]] = []
        count: dict[int, int] = {}
        for index, weight in self.taps:
            for output, (element, w) in enumerate(zip(index, weight, strict=True)):
                turn = count[element] = count.get(element, -1) + 1
                if turn == len(rounds):
                    rounds.append([])
                rounds[turn].append((element, output, w))
        return [(*zip(*parts, strict=True),) for parts in rounds]  # type: ignore[misc]


@in_float32
def bicubic(x: Tensor, size: tuple[int, int], align_corners: bool, scale: tuple[float, float] | None) -> Tensor:
    """Resizes images (N, C, H, W) by cubic convolution of the sixteen pixels around each place.

    Example:
        >>> bicubic(at.tensor([[[[0.0, 1.0]]]]), (1, 3), True, None).tolist()
        [[[[0.0, 0.5, 1.0]]]]
    """
    return _resized(x, size, scale, lambda *axis: _cubic_taps(*axis, align_corners, x.dtype))


@in_float32
def nearest(x: Tensor, size: tuple[int, int], scale: tuple[float, float] | None, centre: float) -> Tensor:
    """Resizes images (N, C, H, W): output row oh copies the one that oh + centre lies in, columns likewise.

    Example:
        >>> x = at.arange(3.0).reshape(1, 1, 1, 3)
        >>> nearest(x, (1, 2), None, 0.5).tolist(), nearest(x, (1, 2), None, 0.0).tolist()
        ([[[[0.0, 2.0]]]], [[[[0.0, 1.0]]]])
    """
    return _resized(x, size, scale, lambda *axis: _nearest_taps(*axis, centre, x.dtype))


def _resized(x: Tensor, size: tuple[int, int], scale: Any, taps_of: Callable[..., Taps]) -> Tensor:
    factors = (None, None) if scale is None else scale
    taps = [taps_of(I, O, factor) for I, O, factor in zip(x.shape[2:], size, factors, strict=True)]
    y = channels_last(x.data).transpose(0, 2, 3, 1)  # (N, H, W, C), the axes 1 and 2 of which are resized
    for axis in (1, 2):
        y = quiet.run(_weighted, y, axis, taps[axis - 1])
    return record(y.transpose(0, 3, 1, 2), ResampleBackward, (x,), size=x.shape[2:], taps=taps)


class ResampleBackward(Backward):
    """Gradient of resizing: each output's gradient goes to the elements that it was made of, by their weights."""

    def __call__(self, grad_y):
        grad = channels_last(grad_y).transpose(0, 2, 3, 1)
        for axis in (2, 1):
            grad = _spread(grad, axis, self.size[axis - 1], self.taps[axis - 1])
        return grad.transpose(0, 3, 1, 2)


def _weighted(x: Any, axis: int, taps: Taps) -> Any:
    """The sum over taps of ``weight · x[index]``, along one axis of (N, H, W, C)."""
    total: Any = None
    for index, weight in taps.taps:
        part = x.take(array_module(x).asarray(index), axis) * _along(x, axis, weight)
        total = part if total is None else total + part
    return total


def _spread(grad: Any, axis: int, length: int, taps: Taps) -> Any:
    """The transpose of `_weighted`."""
    xp = array_module(grad)
    shape = list(grad.shape)
    shape[axis] = length
    total = xp.zeros(shape, grad.dtype)
    for to, origin, weight in taps.rounds:
        part = grad.take(xp.asarray(origin), axis) * _along(grad, axis, weight)
        total[(slice(None),) * axis + (xp.asarray(to),)] += part
    return total


def _along(x: Any, axis: int, weight: tuple[Any, ...]) -> Any:
    shape = [1] * x.ndim
    shape[axis] = len(weight)
    return array_module(x).asarray(weight, x.dtype).reshape(shape)


@lru_cache(256)
def _cubic_taps(I: int, O: int, factor: float | None, align_corners: bool, dtype: Any) -> Taps:
    """Four taps an output, of Keys' kernel with a = −0.75, in the images' precision."""
    real = dtype.type
    indices: list[list[int]] = [[], [], [], []]
    weights: list[list[Any]] = [[], [], [], []]
    step = _step(I, O, factor, align_corners, real)
    for o in range(O):
        place = step * real(o) if align_corners else step * (real(o) + real(0.5)) - real(0.5)
        first = min(floor(place), I - 1)
        t = min(max(place - real(first), real(0)), real(1))
        for k, weight in enumerate(cubic_weights(t)):
            indices[k].append(min(max(first - 1 + k, 0), I - 1))
            weights[k].append(weight)
    return Taps([(tuple(i), tuple(w)) for i, w in zip(indices, weights, strict=True)])


@lru_cache(256)
def _nearest_taps(I: int, O: int, factor: float | None, centre: float, dtype: Any) -> Taps:
    real = dtype.type
    step, shift = _step(I, O, factor, False, real), real(centre)
    places = [max(step * (real(o) + shift) - shift, real(0)) for o in range(O)]
    return Taps([(tuple(min(floor(place + shift), I - 1) for place in places), (real(1),) * O)])


def _step(I: int, O: int, factor: float | None, align_corners: bool, real: Any) -> Any:
    """Inputs per output."""
    if align_corners:
        return real(I - 1) / real(O - 1) if O > 1 else real(0)
    return real(1 / factor) if factor else real(I) / real(O)


def cubic_weights(t: Any) -> tuple[Any, Any, Any, Any]:
    """Keys' cubic convolution kernel with a = −0.75 at the distances 1 + t, t, 1 − t and 2 − t; t a number or array.

    Example:
        >>> cubic_weights(0.5)
        (-0.09375, 0.59375, 0.59375, -0.09375)

    Source:
        Keys, Cubic convolution interpolation for digital image processing, 1981.
    """

    def near(d: Any) -> Any:  # up to 1
        return (1.25 * d - 2.25) * d * d + 1

    def far(d: Any) -> Any:  # from 1 to 2
        return ((-0.75 * d + 3.75) * d - 6) * d + 3

    return far(t + 1), near(t), near(1 - t), far(2 - t)


def cubic_slopes(t: Any) -> tuple[Any, Any, Any, Any]:
    """The derivatives of the four `cubic_weights` by t.

    Example:
        >>> cubic_slopes(0.5)
        (0.1875, -1.3125, 1.3125, -0.1875)
    """

    def near(d: Any) -> Any:
        return (3.75 * d - 4.5) * d

    def far(d: Any) -> Any:
        return (-2.25 * d + 7.5) * d - 6

    return far(t + 1), near(t), -near(1 - t), -far(2 - t)
