"""One transform made of several."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any


class Compose:
    """Several transforms, one after the other.

    Raises:
        TypeError: one cannot be called.
    Example:
        >>> from atrous.transforms import CenterCrop, ToTensor
        >>> print(Compose([CenterCrop(2), ToTensor()]))
        Compose(
            CenterCrop(size=(2, 2))
            ToTensor()
        )
    """

    def __init__(self, transforms: Sequence[Callable[[Any], Any]]) -> None:
        self.transforms = list(transforms)
        for transform in self.transforms:
            if not callable(transform):
                raise TypeError(f"Compose: got a {type(transform).__name__}; expected functions of one image")

    def __call__(self, image: Any) -> Any:
        for transform in self.transforms:
            image = transform(image)
        return image

    def __repr__(self) -> str:
        lines = [line for transform in self.transforms for line in repr(transform).splitlines()]
        return "\n".join(["Compose(", *(f"    {line}" for line in lines), ")"])
