"""One transform made of several."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..checks import require
from ..random import using
from .images import draws, spawned


class Compose:
    """Several transforms, one after the other. Any functions will do.

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

    def __init__(self, transforms: Sequence[Callable[..., Any]]) -> None:
        self.transforms, name = list(transforms), type(self).__name__
        for transform in self.transforms:
            if not callable(transform):
                raise TypeError(f"{name}: got a {type(transform).__name__}; expected functions of one image")

    def __call__(self, *inputs: Any) -> Any:
        return self._run(self.transforms, inputs)

    def _run(self, transforms: list[Callable[..., Any]], inputs: tuple) -> Any:
        for transform in transforms:
            made = transform(*inputs)
            inputs = made if len(inputs) > 1 else (made,)
        return inputs if len(inputs) > 1 else inputs[0]

    def __repr__(self) -> str:
        lines = [line for transform in self.transforms for line in repr(transform).splitlines()]
        return "\n".join([f"{type(self).__name__}(", *(f"    {line}" for line in lines), ")"])


class _RandomCompose(Compose):
    """Draws which transforms run, and a seed for what they draw: always the same number of words."""

    def __call__(self, *inputs: Any) -> Any:
        chosen, generator = self._chosen(draws(len(self.transforms))), spawned()
        with using(generator):
            return self._run([self.transforms[i] for i in chosen], inputs)

    def _chosen(self, numbers: list[float]) -> list[int]:
        raise NotImplementedError


class RandomApply(_RandomCompose):
    """Several transforms one after the other with probability p, else none.

    Example:
        >>> from atrous.transforms import RandomVerticalFlip
        >>> RandomApply([RandomVerticalFlip(p=1)], p=1)(at.tensor([[[1], [2]]])).flatten().tolist()
        [2, 1]
    """

    def __init__(self, transforms: Sequence[Callable[..., Any]], p: float = 0.5) -> None:
        super().__init__(transforms)
        require(0 <= p <= 1, "RandomApply", f"p is {p}; expected 0 to 1")
        self.p = p

    def _chosen(self, numbers: list[float]) -> list[int]:
        return list(range(len(numbers))) if numbers and numbers[0] < self.p else []


class RandomChoice(_RandomCompose):
    """One of several transforms.

    Args:
        transforms: to choose from.
        p: how probable each is, in proportion; all alike if None.
    Raises:
        ValueError: p are no such numbers.
    Example:
        >>> from atrous.transforms import CenterCrop
        >>> RandomChoice([CenterCrop(1), CenterCrop(2)], p=[0, 1])(at.zeros(1, 4, 4)).shape
        (1, 2, 2)
    """

    def __init__(self, transforms: Sequence[Callable[..., Any]], p: Sequence[float] | None = None) -> None:
        super().__init__(transforms)
        weights = [1.0] * len(self.transforms) if p is None else list(p)
        fits = len(weights) == len(self.transforms) and min(weights, default=0) >= 0 and sum(weights) > 0
        require(fits, "RandomChoice", f"p is {p}; expected {len(self.transforms)} numbers, 0 or more, not all 0")
        self.p = [weight / sum(weights) for weight in weights]

    def _chosen(self, numbers: list[float]) -> list[int]:
        ends = np.cumsum(self.p)
        return [int(np.searchsorted(ends / ends[-1], numbers[0], side="right"))]


class RandomOrder(_RandomCompose):
    """Several transforms in random order.

    Example:
        >>> from atrous.transforms import RandomHorizontalFlip, RandomVerticalFlip
        >>> both = RandomOrder([RandomHorizontalFlip(p=1), RandomVerticalFlip(p=1)])
        >>> both(at.tensor([[[1, 2], [3, 4]]])).tolist()
        [[[4, 3], [2, 1]]]
    """

    def _chosen(self, numbers: list[float]) -> list[int]:
        return sorted(range(len(numbers)), key=numbers.__getitem__)
