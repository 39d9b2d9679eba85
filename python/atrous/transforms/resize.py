"""Sizes of images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..checks import pair, require
from .functional import resize
from .images import common_size, draws
from .interpolation import InterpolationMode
from .transform import Transform


class Resize(Transform):
    """Scales an image to another size. Takes a Pillow image or a float tensor (C, H, W).

    Args:
        size: (H, W); or one int, which the shorter side gets while the other keeps the proportion.
        interpolation: an `InterpolationMode` or its value.
        max_size: an upper limit for the longer side, where size is one int.
        antialias: where a tensor shrinks, average over all its pixels; Pillow always does.
    Raises:
        ValueError: no such size or interpolation.
    Example:
        >>> Resize(4)(at.ones(3, 8, 16)).shape
        (3, 4, 8)
    """

    def __init__(
        self,
        size: int | Sequence[int] | None,
        interpolation: InterpolationMode | str = InterpolationMode.BILINEAR,
        max_size: int | None = None,
        antialias: bool | None = True,
    ) -> None:
        require(size is not None, "Resize", "size is None; expected one int or (H, W)")
        H, W = pair(size, "Resize", "size")
        self.size = (H,) if isinstance(size, int) or len(size) == 1 else (H, W)  # type: ignore[arg-type]
        require(min(self.size) > 0, "Resize", f"size is {size}; expected 1 or more")
        fits = max_size is None or (len(self.size) == 1 and max_size > self.size[0])
        require(fits, "Resize", f"max_size is {max_size}; expected more than size, and size one int, not {size}")
        self.interpolation, self.max_size, self.antialias = InterpolationMode(interpolation), max_size, antialias

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        return resize(inpt, self.size, self.interpolation, self.max_size, self.antialias)

    def extra_repr(self) -> str:
        """As torchvision shows it."""
        limit = f", max_size={self.max_size}" if self.max_size else ""
        return f"size={list(self.size)}, interpolation={self.interpolation}{limit}, antialias={self.antialias}"


class RandomShortestSize(Transform):
    """Scales an image such that its shorter side has a length drawn from a list.

    Followed by a `RandomCrop`, this is the multi-scale crop: the part that one crop shows is larger or smaller.

    Args:
        min_size: the lengths, such as ``range(256, 481)``, or one.
        max_size: the longer side has this at the most; the shorter one is less than drawn then.
        interpolation, antialias: as `Resize` takes them.
    Raises:
        ValueError: no such lengths.
    Example:
        >>> from atrous.transforms import Compose, RandomCrop
        >>> multi_scale_crop = Compose([RandomShortestSize(range(256, 481)), RandomCrop(224)])
        >>> multi_scale_crop(at.zeros(3, 300, 400)).shape
        (3, 224, 224)

    Source:
        Simonyan and Zisserman, Very deep convolutional networks for large-scale image recognition, 2015, section 3.1.
    """

    def __init__(
        self,
        min_size: int | Sequence[int],
        max_size: int | None = None,
        interpolation: InterpolationMode | str = InterpolationMode.BILINEAR,
        antialias: bool | None = True,
    ) -> None:
        self.min_size = [min_size] if isinstance(min_size, int) else list(min_size)
        fits = self.min_size and min(self.min_size) > 0
        require(fits, "RandomShortestSize", f"min_size is {min_size}; expected one or more ints above 0")
        fits = max_size is None or max_size > 0
        require(fits, "RandomShortestSize", f"max_size is {max_size}; expected 1 or more")
        self.max_size, self.interpolation, self.antialias = max_size, InterpolationMode(interpolation), antialias

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        H, W = common_size(flat_inputs, "RandomShortestSize")
        scale = self.min_size[int(draws(1)[0] * len(self.min_size))] / min(H, W)
        if self.max_size is not None:
            scale = min(scale, self.max_size / max(H, W))
        return {"size": (max(int(H * scale), 1), max(int(W * scale), 1))}

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        return resize(inpt, params["size"], self.interpolation, antialias=self.antialias)
