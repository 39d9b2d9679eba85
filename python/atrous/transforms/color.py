"""Random changes of colours; masks and boxes stay what they are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..checks import require
from . import functional as F
from .images import draws
from .transform import RandomTransform, Transform

Range = float | Sequence[float] | None


class ColorJitter(Transform):
    """Changes brightness, contrast, saturation and hue at random, in random order.

    Takes a Pillow image or a float tensor (C, H, W) with values in [0, 1], of 1 or 3 channels. Each of the first three
    factors f blends the image with a simpler one, ``f · image + (1 − f) · other``: black, its mean grey, its grey
    version.

    Args:
        brightness, contrast, saturation: v for factors from max(0, 1 − v) to 1 + v, or (least, most).
        hue: v for turns from −v to v, or (least, most), −0.5 to 0.5 of the circle of colours.
    Raises:
        ValueError: no such range.
    Example:
        >>> ColorJitter(brightness=(0.5, 0.5))(at.ones(3, 1, 1)).flatten().tolist()
        [0.5, 0.5, 0.5]
    """

    def __init__(
        self, brightness: Range = None, contrast: Range = None, saturation: Range = None, hue: Range = None
    ) -> None:
        self.brightness = _range(brightness, "brightness")
        self.contrast = _range(contrast, "contrast")
        self.saturation = _range(saturation, "saturation")
        self.hue = _hue_range(hue)

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        numbers = draws(8)
        changes = [
            (F.adjust_brightness, self.brightness, 1.0),
            (F.adjust_contrast, self.contrast, 1.0),
            (F.adjust_saturation, self.saturation, 1.0),
            (F.adjust_hue, self.hue, 0.0),
        ]
        steps = []
        for i in sorted(range(4), key=numbers.__getitem__):
            change, (least, most), nothing = changes[i]
            if (least, most) != (nothing, nothing):
                steps.append((change, least + numbers[4 + i] * (most - least)))
        return {"steps": steps}

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        for change, factor in params["steps"]:
            inpt = change(inpt, factor)
        return inpt


def _range(value: Any, name: str) -> tuple[float, float]:
    if value is None:
        return 1.0, 1.0
    if isinstance(value, (int, float)):
        require(value >= 0, "ColorJitter", f"{name} is {value}; expected 0 or more")
        return max(0.0, 1.0 - value), 1.0 + value
    fits = len(value) == 2 and 0 <= value[0] <= value[1]
    require(fits, "ColorJitter", f"{name} is {value}; expected (least, most), 0 or more")
    return float(value[0]), float(value[1])


def _hue_range(value: Any) -> tuple[float, float]:
    least, most = (-(value or 0), value or 0) if value is None or isinstance(value, (int, float)) else value
    require(-0.5 <= least <= most <= 0.5, "ColorJitter", f"hue is {value}; expected 0 to 0.5, or (least, most) in ±0.5")
    return float(least), float(most)


class Grayscale(Transform):
    """Grey instead of colours. Takes a Pillow image or a float tensor of 1 or 3 channels.

    Args:
        num_output_channels: 1, or 3 equal ones.
    Example:
        >>> Grayscale()(at.ones(3, 2, 2)).shape
        (1, 2, 2)
    """

    def __init__(self, num_output_channels: int = 1) -> None:
        fits = num_output_channels in (1, 3)
        require(fits, "Grayscale", f"num_output_channels is {num_output_channels}; expected 1 or 3")
        self.num_output_channels = num_output_channels

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        return F.rgb_to_grayscale(inpt, self.num_output_channels)


class RandomGrayscale(RandomTransform):
    """Grey instead of colours with probability p; the number of channels stays. Takes what `Grayscale` takes.

    Example:
        >>> RandomGrayscale(p=1)(at.tensor([1.0, 0.0, 0.0]).reshape(3, 1, 1)).shape
        (3, 1, 1)
    """

    def __init__(self, p: float = 0.1) -> None:
        super().__init__(p)

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        colours = len(inpt.getbands()) if hasattr(inpt, "getbands") else inpt.shape[-3] if inpt.ndim > 2 else 1
        return F.rgb_to_grayscale(inpt, 3 if colours == 3 else 1)


class RandomInvert(RandomTransform):
    """The negative with probability p. Takes a Pillow image or a float tensor with values in [0, 1].

    Example:
        >>> RandomInvert(p=1)(at.full((1, 1, 1), 0.25)).item()
        0.75
    """

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        return F.invert(inpt)


class RandomSolarize(RandomTransform):
    """The negative of the bright values with probability p. Takes a Pillow image or a float tensor.

    Args:
        threshold: the least of these values: 0 to 1 of tensors, 0 to 255 of Pillow images.
        p: the probability.
    Example:
        >>> RandomSolarize(0.5, p=1)(at.tensor([[[0.25, 0.75]]])).tolist()
        [[[0.25, 0.25]]]
    """

    def __init__(self, threshold: float, p: float = 0.5) -> None:
        super().__init__(p)
        self.threshold = threshold

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        return F.solarize(inpt, self.threshold)


class RandomPosterize(RandomTransform):
    """Fewer levels with probability p. Takes a Pillow image or a float tensor with values in [0, 1].

    Args:
        bits: 2^bits levels are left, 0 to 8.
        p: the probability.
    Example:
        >>> RandomPosterize(1, p=1)(at.tensor([[[0.25, 0.75]]])).tolist()
        [[[0.0, 0.5]]]
    """

    def __init__(self, bits: int, p: float = 0.5) -> None:
        super().__init__(p)
        require(bits in range(9), "RandomPosterize", f"bits is {bits}; expected 0 to 8")
        self.bits = bits

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        return F.posterize(inpt, self.bits)
