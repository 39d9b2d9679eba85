"""Random maps of the plane: rotations, stretches, shears, perspective."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

from ..checks import require
from .functional import affine, perspective, rotate
from .images import common_size, draws, fill_of
from .interpolation import InterpolationMode
from .transform import RandomTransform, Transform


def _range(value: Any, op: str, name: str) -> tuple[float, float]:
    """(−v, v) of one number, or (least, most)."""
    if isinstance(value, (int, float)):
        require(value >= 0, op, f"{name} is {value}; expected 0 or more, or (least, most)")
        return -float(value), float(value)
    require(len(value) == 2 and value[0] <= value[1], op, f"{name} is {value}; expected one number or (least, most)")
    return float(value[0]), float(value[1])


def _between(u: float, limits: Sequence[float]) -> float:
    return limits[0] + u * (limits[1] - limits[0])


def _check_center(center: Any, op: str) -> None:
    require(center is None or len(center) == 2, op, f"center is {center}; expected (x, y)")


class RandomRotation(Transform):
    """Rotates by a random angle. Takes a Pillow image or a tensor, a float one for bilinear interpolation.

    Args:
        degrees: d for −d to d, or (least, most); counter-clockwise.
        interpolation: an `InterpolationMode` or its value, nearest or bilinear; masks always take the nearest pixel.
        expand: make the image so large that all of it stays.
        center: (x, y) in pixels; the image's middle if None.
        fill: the value of what comes from outside, as `Pad` takes it.
    Raises:
        ValueError: no such angles.
    Example:
        >>> RandomRotation((90, 90))(at.tensor([[[1.0, 2.0], [3.0, 4.0]]])).tolist()
        [[[2.0, 4.0], [1.0, 3.0]]]
    """

    def __init__(
        self,
        degrees: float | Sequence[float],
        interpolation: InterpolationMode | str = InterpolationMode.NEAREST,
        expand: bool = False,
        center: Sequence[float] | None = None,
        fill: Any = 0,
    ) -> None:
        self.degrees = _range(degrees, "RandomRotation", "degrees")
        self.interpolation = InterpolationMode(interpolation)
        _check_center(center, "RandomRotation")
        self.expand, self.center, self.fill = expand, center, fill

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        return {"angle": _between(draws(1)[0], self.degrees)}

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        fill = fill_of(self.fill, inpt)
        return rotate(inpt, params["angle"], self.interpolation, self.expand, self.center, fill)


class RandomAffine(Transform):
    """Rotates, moves, scales and shears at random. Takes a Pillow image or a tensor; see `functional.affine`.

    Args:
        degrees: d for −d to d, or (least, most); clockwise.
        translate: the largest moves as shares of (width, height).
        scale: (least, most) factor.
        shear: d for −d to d along x; (least, most) of x; or (least, most, least, most) of x and y. Degrees.
        interpolation, fill, center: as `RandomRotation` takes them.
    Raises:
        ValueError: no such ranges.
    Example:
        >>> RandomAffine(0, scale=(2.0, 2.0))(at.tensor([[[1.0, 2.0, 3.0, 4.0]]])).tolist()
        [[[2.0, 2.0, 3.0, 3.0]]]
    """

    def __init__(
        self,
        degrees: float | Sequence[float],
        translate: Sequence[float] | None = None,
        scale: Sequence[float] | None = None,
        shear: float | Sequence[float] | None = None,
        interpolation: InterpolationMode | str = InterpolationMode.NEAREST,
        fill: Any = 0,
        center: Sequence[float] | None = None,
    ) -> None:
        op = "RandomAffine"
        self.degrees = _range(degrees, op, "degrees")
        fits = translate is None or (len(translate) == 2 and all(0 <= t <= 1 for t in translate))
        require(fits, op, f"translate is {translate}; expected shares (x, y) from 0 to 1")
        fits = scale is None or (len(scale) == 2 and 0 < scale[0] <= scale[1])
        require(fits, op, f"scale is {scale}; expected (least, most) above 0")
        both = (shear[:2], shear[2:]) if isinstance(shear, (tuple, list)) and len(shear) == 4 else (shear or 0, 0)
        self._shears = [_range(part, op, "shear") for part in both]
        _check_center(center, op)
        self.translate, self.scale, self.shear = translate, scale, shear
        self.interpolation, self.fill, self.center = InterpolationMode(interpolation), fill, center

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        H, W = common_size(flat_inputs, "RandomAffine")
        angle, tx, ty, scale, *shears = draws(6)
        most = self.translate or (0, 0)
        return {
            "angle": _between(angle, self.degrees),
            "translate": (round((2 * tx - 1) * most[0] * W), round((2 * ty - 1) * most[1] * H)),
            "scale": _between(scale, self.scale or (1, 1)),
            "shear": [_between(u, limits) for u, limits in zip(shears, self._shears, strict=True)],
        }

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        fill = fill_of(self.fill, inpt)
        return affine(inpt, **params, interpolation=self.interpolation, fill=fill, center=self.center)


def _on_a_line(points: Sequence[tuple[int, int]]) -> bool:
    """Whether three of them lie on a line."""
    threes = itertools.combinations(points, 3)
    return any((c - a) * (f - b) == (e - a) * (d - b) for (a, b), (c, d), (e, f) in threes)


class RandomPerspective(RandomTransform):
    """Looks at the image from a random side, with probability p. Takes a Pillow image or a tensor.

    Args:
        distortion_scale: how far the corners move inwards: a share of half the width and height. The image stays as it
            is where three of them come to lie on a line, as they may near 1.
        p: the probability.
        interpolation, fill: as `RandomRotation` takes them.
    Raises:
        ValueError: the scale or p is not in 0 to 1.
    Example:
        >>> RandomPerspective()(at.zeros(3, 8, 9)).shape
        (3, 8, 9)
    """

    def __init__(
        self,
        distortion_scale: float = 0.5,
        p: float = 0.5,
        interpolation: InterpolationMode | str = InterpolationMode.BILINEAR,
        fill: Any = 0,
    ) -> None:
        super().__init__(p)
        fits = 0 <= distortion_scale <= 1
        require(fits, "RandomPerspective", f"distortion_scale is {distortion_scale}; expected 0 to 1")
        self.distortion_scale, self.interpolation, self.fill = distortion_scale, InterpolationMode(interpolation), fill

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        H, W = common_size(flat_inputs, "RandomPerspective")
        most_x, most_y = (int(self.distortion_scale * (L // 2)) for L in (W, H))
        corners, moved, numbers = [(0, 0), (W - 1, 0), (W - 1, H - 1), (0, H - 1)], [], iter(draws(8))
        for (x, y), u, v in zip(corners, numbers, numbers, strict=False):
            dx, dy = int(u * (most_x + 1)), int(v * (most_y + 1))
            moved.append((x - dx if x else dx, y - dy if y else dy))
        return {} if _on_a_line(moved) else {"startpoints": corners, "endpoints": moved}

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        if not params:  # no map has such corners
            return inpt
        return perspective(inpt, **params, interpolation=self.interpolation, fill=fill_of(self.fill, inpt))
