"""Random blur, noise and holes; masks and boxes stay what they are."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, cast

import numpy as np

from ..checks import pair, require
from ..tv_tensors import BoundingBoxes, Mask
from .functional import erase, gaussian_blur, gaussian_noise
from .images import common_size, draws, float_image, spawned
from .transform import RandomTransform, Transform


class GaussianBlur(Transform):
    """Blurs with a Gaussian of random width. Takes a Pillow image or a float tensor.

    Args:
        kernel_size: odd, one int or (x, y).
        sigma: the Gaussian's in pixels: one number, or (least, most).
    Raises:
        ValueError: no such sizes.
    Example:
        >>> GaussianBlur(5)(at.full((1, 5, 5), 0.5)).mean().item()
        0.5
    """

    def __init__(self, kernel_size: int | Sequence[int], sigma: float | Sequence[float] = (0.1, 2.0)) -> None:
        self.kernel_size = pair(kernel_size, "GaussianBlur", "kernel_size")
        odd = all(size > 0 and size % 2 for size in self.kernel_size)
        require(odd, "GaussianBlur", f"kernel_size is {kernel_size}; expected odd numbers above 0")
        self.sigma = (float(sigma), float(sigma)) if isinstance(sigma, (int, float)) else (sigma[0], sigma[-1])
        fits = 0 < self.sigma[0] <= self.sigma[1]
        require(fits, "GaussianBlur", f"sigma is {sigma}; expected one number or (least, most) above 0")

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        return {"sigma": self.sigma[0] + draws(1)[0] * (self.sigma[1] - self.sigma[0])}

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        return gaussian_blur(inpt, self.kernel_size, params["sigma"])


class GaussianNoise(Transform):
    """Adds a normal number of its own to each value. Takes a float tensor with values in [0, 1].

    Args:
        mean, sigma: of the numbers.
        clip: cut off at 0 and 1.
    Raises:
        ValueError: sigma is below 0.
    Example:
        >>> GaussianNoise()(at.full((1, 2, 2), 0.5)).shape
        (1, 2, 2)
    """

    def __init__(self, mean: float = 0.0, sigma: float = 0.1, clip: bool = True) -> None:
        require(sigma >= 0, "GaussianNoise", f"sigma is {sigma}; expected 0 or more")
        self.mean, self.sigma, self.clip = mean, sigma, clip

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        return {"generator": spawned()}

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        return gaussian_noise(inpt, self.mean, self.sigma, self.clip, params["generator"])


class RandomErasing(RandomTransform):
    """Cuts a rectangle of random size, shape and place out of an image, with probability p: patch dropout.

    Takes a tensor (C, H, W); of a batch all images lose the same rectangle.

    Args:
        p: the probability.
        scale: (least, most) share of the image's area.
        ratio: (least, most) height over width.
        value: what stands there instead: one number, one a channel, or "random" for standard normal numbers.
        inplace: write over the tensor.
    Raises:
        ValueError: no such ranges or value.
    Example:
        >>> RandomErasing(p=1, scale=(0.25, 0.25), ratio=(1, 1))(at.ones(1, 4, 4)).sum().item()
        12.0

    Source:
        Zhong et al., Random erasing data augmentation, 2020; DeVries and Taylor, Cutout, 2017.
    """

    def __init__(
        self,
        p: float = 0.5,
        scale: Sequence[float] = (0.02, 0.33),
        ratio: Sequence[float] = (0.3, 3.3),
        value: float | Sequence[float] | str = 0.0,
        inplace: bool = False,
    ) -> None:
        super().__init__(p)
        op = "RandomErasing"
        fits = len(scale) == 2 and 0 <= scale[0] <= scale[1] <= 1
        require(fits, op, f"scale is {scale}; expected (least, most) in 0 to 1")
        require(len(ratio) == 2 and 0 < ratio[0] <= ratio[1], op, f"ratio is {ratio}; expected (least, most) above 0")
        fits = not isinstance(value, str) or value == "random"
        require(fits, op, f'value is {value!r}; expected a number, one a channel, or "random"')
        self.scale, self.ratio, self.value, self.inplace = scale, ratio, value, inplace

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        H, W = common_size(flat_inputs, "RandomErasing")
        numbers, generator = iter(draws(4 * 10)), spawned()
        low, high = (math.log(r) for r in self.ratio)
        for a, b, u, v in zip(numbers, numbers, numbers, numbers, strict=True):
            area, ratio = (
                H * W * (self.scale[0] + a * (self.scale[1] - self.scale[0])),
                math.exp(low + b * (high - low)),
            )
            h, w = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
            if h < H and w < W:
                return {"part": (int(u * (H - h + 1)), int(v * (W - w + 1)), h, w), "generator": generator}
        return {"part": None}

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        if params["part"] is None or isinstance(inpt, (Mask, BoundingBoxes)):
            return inpt
        x, value = float_image(inpt, "RandomErasing"), cast(Any, self.value)
        C, (i, j, h, w) = x.shape[-3], params["part"]
        if value == "random":
            value = params["generator"].normal((C, h, w))
        elif isinstance(value, (tuple, list)):
            require(len(value) in (1, C), "RandomErasing", f"there are {len(value)} values; expected 1 or {C}")
            value = np.reshape(value, (-1, 1, 1))
        return erase(inpt, i, j, h, w, value, self.inplace)
