"""Parts of images, margins, and mirror images."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from ..checks import pair, require
from .images import crop, draws, mirrored, padded, size_of
from .resize import InterpolationMode, resized

MODES = ("constant", "edge", "reflect", "symmetric")


def _size(size: Any, op: str) -> tuple[int, int]:
    H, W = pair(size, op, "size")
    require(min(H, W) > 0, op, f"size is {size}; expected 1 or more")
    return H, W


class CenterCrop:
    """The middle of an image; where the image is smaller, black comes around it. Takes a Pillow image or a tensor.

    Args:
        size: (H, W), or one int for both.
    Example:
        >>> CenterCrop(2)(at.arange(16).reshape(1, 4, 4)).tolist()
        [[[5, 6], [9, 10]]]
    """

    def __init__(self, size: int | Sequence[int]) -> None:
        self.size = _size(size, "CenterCrop")

    def __call__(self, image: Any) -> Any:
        (H, W), (h, w) = size_of(image, "CenterCrop"), self.size
        more_h, more_w = max(h - H, 0), max(w - W, 0)
        margins = more_w // 2, more_h // 2, (more_w + 1) // 2, (more_h + 1) // 2
        image = padded(image, margins, 0, "constant")
        return crop(image, round((H + more_h - h) / 2), round((W + more_w - w) / 2), h, w)

    def __repr__(self) -> str:
        return f"CenterCrop(size={self.size})"


class Pad:
    """Puts a margin around an image. Takes a Pillow image or a tensor.

    Args:
        padding: pixels at every side; or at (left and right, top and bottom); or at (left, top, right, bottom).
        fill: the margin's value where the mode is "constant": one number, or one a channel.
        padding_mode: "constant"; "edge" repeats the outermost pixel; "reflect" mirrors without it; "symmetric" with it.
    Raises:
        ValueError: no such padding or mode.
    Example:
        >>> Pad((1, 0), padding_mode="reflect")(at.tensor([[[1, 2, 3]]])).tolist()
        [[[2, 1, 2, 3, 2]]]
    """

    def __init__(self, padding: int | Sequence[int], fill: Any = 0, padding_mode: str = "constant") -> None:
        self.padding, self.fill, self.padding_mode = _margins(padding, "Pad"), fill, padding_mode
        require(padding_mode in MODES, "Pad", f"padding_mode is {padding_mode!r}; expected one of {', '.join(MODES)}")

    def __call__(self, image: Any) -> Any:
        H, W = size_of(image, "Pad")
        left, top, right, bottom = self.padding
        fits = self.padding_mode != "reflect" or (max(left, right) < W and max(top, bottom) < H)
        require(fits, "Pad", f"padding {self.padding} is too large to reflect an image of {H} × {W} pixels")
        return padded(image, self.padding, self.fill, self.padding_mode)

    def __repr__(self) -> str:
        return f"Pad(padding={self.padding}, fill={self.fill}, padding_mode={self.padding_mode})"


def _margins(padding: Any, op: str) -> tuple[int, int, int, int]:
    if isinstance(padding, (tuple, list)) and len(padding) == 4:
        (left, top), (right, bottom) = pair(padding[:2], op, "padding"), pair(padding[2:], op, "padding")
    else:
        left, top = right, bottom = pair(padding, op, "padding")
    require(min(left, top, right, bottom) >= 0, op, f"padding is {padding}; expected 0 or more")
    return left, top, right, bottom


class RandomCrop:
    """A part of an image at a random place. Takes a Pillow image or a tensor.

    Args:
        size: (H, W), or one int for both.
        padding: a margin added before, as `Pad` takes it.
        pad_if_needed: where the image is still smaller, add the missing pixels at both sides.
        fill, padding_mode: as `Pad` takes them.
    Raises:
        ValueError: the image is smaller than the crop.
    Example:
        >>> RandomCrop(32, padding=4)(at.ones(3, 32, 32)).shape
        (3, 32, 32)
    """

    def __init__(
        self,
        size: int | Sequence[int],
        padding: int | Sequence[int] | None = None,
        pad_if_needed: bool = False,
        fill: Any = 0,
        padding_mode: str = "constant",
    ) -> None:
        self.size, self.pad_if_needed = _size(size, "RandomCrop"), pad_if_needed
        self.pad = Pad(0 if padding is None else padding, fill, padding_mode)

    def __call__(self, image: Any) -> Any:
        u, v = draws(2)
        image = self.pad(image)
        (H, W), (h, w) = size_of(image, "RandomCrop"), self.size
        if self.pad_if_needed and (h > H or w > W):
            missing = max(w - W, 0), max(h - H, 0)
            image = Pad(missing, self.pad.fill, self.pad.padding_mode)(image)
            H, W = size_of(image, "RandomCrop")
        require(h <= H and w <= W, "RandomCrop", f"the image has {H} × {W} pixels; expected {h} × {w} or more")
        return crop(image, int(u * (H - h + 1)), int(v * (W - w + 1)), h, w)

    def __repr__(self) -> str:
        pad = f"padding={self.pad.padding}, pad_if_needed={self.pad_if_needed}"
        return f"RandomCrop(size={self.size}, {pad}, fill={self.pad.fill}, padding_mode={self.pad.padding_mode})"


class RandomHorizontalFlip:
    """Exchanges left and right with probability p. Takes a Pillow image or a tensor.

    Raises:
        ValueError: p is no probability.
    Example:
        >>> RandomHorizontalFlip(p=1)(at.tensor([[[1, 2, 3]]])).tolist()
        [[[3, 2, 1]]]
    """

    def __init__(self, p: float = 0.5) -> None:
        require(0 <= p <= 1, "RandomHorizontalFlip", f"p is {p}; expected 0 to 1")
        self.p = p

    def __call__(self, image: Any) -> Any:
        size_of(image, "RandomHorizontalFlip")
        return mirrored(image) if draws(1)[0] < self.p else image

    def __repr__(self) -> str:
        return f"RandomHorizontalFlip(p={self.p})"


class RandomResizedCrop:
    """A part of random size, shape and place, scaled to ``size``. Takes a Pillow image or a float tensor.

    Ten parts are drawn and the first that lies inside the image is taken; where none does, the largest in the middle.

    Args:
        size: (H, W), or one int for both.
        scale: the part's share of the area, least and most.
        ratio: width over height, least and most; drawn evenly in its logarithm.
        interpolation, antialias: as `Resize` takes them.
    Raises:
        ValueError: no such size or ranges.
    Example:
        >>> RandomResizedCrop(8)(at.ones(3, 30, 20)).shape
        (3, 8, 8)

    Source:
        Szegedy et al., Going deeper with convolutions, 2014, section 6.
    """

    def __init__(
        self,
        size: int | Sequence[int],
        scale: Sequence[float] = (0.08, 1.0),
        ratio: Sequence[float] = (3.0 / 4.0, 4.0 / 3.0),
        interpolation: InterpolationMode | str = InterpolationMode.BILINEAR,
        antialias: bool | None = True,
    ) -> None:
        self.size = _size(size, "RandomResizedCrop")
        for name, range_ in (("scale", scale), ("ratio", ratio)):
            fits = len(range_) == 2 and 0 < range_[0] <= range_[1]
            require(fits, "RandomResizedCrop", f"{name} is {range_}; expected (least, most) above 0")
        self.scale, self.ratio = tuple(scale), tuple(ratio)
        self.interpolation, self.antialias = InterpolationMode(interpolation), antialias

    def __call__(self, image: Any) -> Any:
        H, W = size_of(image, "RandomResizedCrop")
        return resized(crop(image, *self._part(H, W)), self.size, self.interpolation, bool(self.antialias))

    def _part(self, H: int, W: int) -> tuple[int, int, int, int]:
        """Top, left, height and width."""
        numbers = iter(draws(4 * 10))
        (least, most), (low, high) = self.scale, (math.log(r) for r in self.ratio)
        for a, b, u, v in zip(numbers, numbers, numbers, numbers, strict=True):
            area, ratio = H * W * (least + a * (most - least)), math.exp(low + b * (high - low))
            h, w = round(math.sqrt(area / ratio)), round(math.sqrt(area * ratio))
            if 0 < h <= H and 0 < w <= W:
                return int(u * (H - h + 1)), int(v * (W - w + 1)), h, w
        h = min(H, round(W / self.ratio[0]))
        w = min(W, round(H * self.ratio[1]))
        return (H - h) // 2, (W - w) // 2, h, w

    def __repr__(self) -> str:
        scale, ratio = (tuple(round(float(value), 4) for value in r) for r in (self.scale, self.ratio))
        return (
            f"RandomResizedCrop(size={self.size}, scale={scale}, ratio={ratio}, "
            f"interpolation={self.interpolation}, antialias={self.antialias})"
        )
