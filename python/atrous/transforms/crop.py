"""Parts of images and margins."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from ..checks import pair, require
from ..tv_tensors import BoundingBoxes, Mask
from .functional import center_crop, crop, five_crop, pad, resized_crop, ten_crop
from .functional.geometry import PADDING_MODES, margins
from .images import common_size, draws, fill_of
from .interpolation import InterpolationMode
from .transform import Transform


def _size(size: Any, op: str) -> tuple[int, int]:
    H, W = pair(size, op, "size")
    require(min(H, W) > 0, op, f"size is {size}; expected 1 or more")
    return H, W


class CenterCrop(Transform):
    """The middle of an image; where the image is smaller, black comes around it. Takes a Pillow image or a tensor.

    Args:
        size: (H, W), or one int for both.
    Example:
        >>> CenterCrop(2)(at.arange(16).reshape(1, 4, 4)).tolist()
        [[[5, 6], [9, 10]]]
    """

    def __init__(self, size: int | Sequence[int]) -> None:
        self.size = _size(size, "CenterCrop")

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        return center_crop(inpt, self.size)


class FiveCrop(Transform):
    """The four corners of an image and its middle, as a tuple of five. Takes a Pillow image or a tensor.

    Of five plain tensors a transform that follows changes the first alone, as of any sample: put it before, or begin
    with a `tv_tensors.Image`.

    Args:
        size: (H, W), or one int for both.
    Raises:
        ValueError: the image is smaller. TypeError: the sample has a mask or boxes.
    Example:
        >>> [part.item() for part in FiveCrop(1)(at.arange(9).reshape(1, 3, 3))]
        [0, 2, 6, 8, 4]
    """

    def __init__(self, size: int | Sequence[int]) -> None:
        self.size = _size(size, type(self).__name__)

    def check_inputs(self, flat_inputs: list[Any]) -> None:
        for part in flat_inputs:
            if isinstance(part, (Mask, BoundingBoxes)):
                kind = type(part).__name__
                raise TypeError(f"{type(self).__name__}: the sample has a {kind}; expected images and plain values")

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        return five_crop(inpt, self.size)


class TenCrop(FiveCrop):
    """The five crops of an image and of its mirror image, as a tuple of ten; see `average_predictions`.

    Args:
        size: (H, W), or one int for both.
        vertical_flip: mirror top to bottom instead of left to right.
    Raises:
        ValueError: the image is smaller. TypeError: the sample has a mask or boxes.
    Example:
        >>> at.stack(TenCrop(24)(at.zeros(3, 32, 32))).shape
        (10, 3, 24, 24)

    Source:
        Krizhevsky, Sutskever and Hinton, ImageNet classification with deep convolutional neural networks, 2012.
    """

    def __init__(self, size: int | Sequence[int], vertical_flip: bool = False) -> None:
        super().__init__(size)
        self.vertical_flip = vertical_flip

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        return ten_crop(inpt, self.size, self.vertical_flip)


class Pad(Transform):
    """Puts a margin around an image. Takes a Pillow image or a tensor.

    Args:
        padding: pixels at every side; or at (left and right, top and bottom); or at (left, top, right, bottom).
        fill: the margin's value where the mode is "constant": one number, one a channel, or a dict of these by type,
            ``{tv_tensors.Mask: 255, "others": 0}``.
        padding_mode: "constant"; "edge" repeats the outermost pixel; "reflect" mirrors without it; "symmetric" with it.
    Raises:
        ValueError: no such padding or mode.
    Example:
        >>> Pad((1, 0), padding_mode="reflect")(at.tensor([[[1, 2, 3]]])).tolist()
        [[[2, 1, 2, 3, 2]]]
    """

    def __init__(self, padding: int | Sequence[int], fill: Any = 0, padding_mode: str = "constant") -> None:
        self.padding, self.fill, self.padding_mode = margins(padding, "Pad"), fill, padding_mode
        fits = padding_mode in PADDING_MODES
        require(fits, "Pad", f"padding_mode is {padding_mode!r}; expected one of {', '.join(PADDING_MODES)}")

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        return pad(inpt, self.padding, fill_of(self.fill, inpt), self.padding_mode)


class RandomCrop(Transform):
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
        margin = Pad(0 if padding is None else padding, fill, padding_mode)
        self.size, self.padding, self.pad_if_needed = _size(size, "RandomCrop"), margin.padding, pad_if_needed
        self.fill, self.padding_mode = fill, padding_mode

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        (H, W), (h, w), (u, v) = common_size(flat_inputs, "RandomCrop"), self.size, draws(2)
        left, top, right, bottom = self.padding
        H, W, pads = H + top + bottom, W + left + right, [self.padding]
        if self.pad_if_needed and (h > H or w > W):
            more_h, more_w = max(h - H, 0), max(w - W, 0)
            H, W = H + 2 * more_h, W + 2 * more_w
            pads.append((more_w, more_h, more_w, more_h))
        require(h <= H and w <= W, "RandomCrop", f"the image has {H} × {W} pixels; expected {h} × {w} or more")
        return {"pads": pads, "top": int(u * (H - h + 1)), "left": int(v * (W - w + 1))}

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        for padding in params["pads"]:
            inpt = pad(inpt, padding, fill_of(self.fill, inpt), self.padding_mode)
        return crop(inpt, params["top"], params["left"], *self.size)


class RandomResizedCrop(Transform):
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

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        top, left, h, w = self._part(*common_size(flat_inputs, "RandomResizedCrop"))
        return {"top": top, "left": left, "height": h, "width": w}

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        return resized_crop(inpt, **params, size=self.size, interpolation=self.interpolation, antialias=self.antialias)

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

    def extra_repr(self) -> str:
        """As torchvision shows it."""
        scale, ratio = (tuple(round(float(value), 4) for value in r) for r in (self.scale, self.ratio))
        return (
            f"size={self.size}, scale={scale}, ratio={ratio}, "
            f"interpolation={self.interpolation}, antialias={self.antialias}"
        )
