"""Mirror images."""

from __future__ import annotations

from typing import Any

from .functional import horizontal_flip, vertical_flip
from .transform import RandomTransform


class RandomHorizontalFlip(RandomTransform):
    """Exchanges left and right with probability p. Takes a Pillow image or a tensor.

    Raises:
        ValueError: p is no probability.
    Example:
        >>> RandomHorizontalFlip(p=1)(at.tensor([[[1, 2, 3]]])).tolist()
        [[[3, 2, 1]]]
    """

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        return horizontal_flip(inpt)


class RandomVerticalFlip(RandomTransform):
    """Exchanges top and bottom with probability p. Takes a Pillow image or a tensor.

    Raises:
        ValueError: p is no probability.
    Example:
        >>> RandomVerticalFlip(p=1)(at.tensor([[[1], [2], [3]]])).flatten().tolist()
        [3, 2, 1]
    """

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        return vertical_flip(inpt)
