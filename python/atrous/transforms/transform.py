"""The base class of transforms: one draw of random parameters for all parts of a sample."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from typing import Any

from ..checks import require
from ..tensor import Tensor
from ..tv_tensors import BoundingBoxes, Image, Mask
from .images import draws, is_picture, size_of


class Transform:
    """Base class: a subclass defines ``transform``, and ``make_params`` where something is random.

    Called with one image, it returns that image; with several things, such as ``(image, mask, boxes)`` or an image and
    a dict, a tuple of the same form. Pillow images and `atrous.tv_tensors` are transformed; of plain tensors only the
    first one, as an image, and only where the sample has no other image. Everything else, labels say, stays.

    Raises:
        TypeError: the sample holds nothing to transform.
    Example:
        >>> class Shift(Transform):
        ...     def make_params(self, flat_inputs):
        ...         return {"by": at.rand(1).item()}
        ...     def transform(self, inpt, params):
        ...         return inpt if isinstance(inpt, Mask) else inpt + params["by"]
        >>> image, mask, label = Shift()(at.zeros(1, 2, 2), Mask(at.ones(2, 2)), 3)
        >>> mask.tolist(), label
        ([[1.0, 1.0], [1.0, 1.0]], 3)
    """

    p: float | None = None  # the probability that something happens, drawn before the parameters; None: it always does

    def check_inputs(self, flat_inputs: list[Any]) -> None:
        """Raises an error for a sample that does not fit; it gets all the sample's parts."""

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        """The parameters of one call, given the parts that are to be transformed."""
        return {}

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        """One part of the sample, transformed."""
        raise NotImplementedError(f"{type(self).__name__} defines no transform(inpt, params)")

    def __call__(self, *inputs: Any) -> Any:
        sample = inputs if len(inputs) > 1 else inputs[0]
        flat = list(leaves(sample))
        self.check_inputs(flat)
        chosen = self._chosen(flat)
        for part in itertools.compress(flat, chosen):
            size_of(part, type(self).__name__)
        happens = self.p is None or draws(1)[0] < self.p
        params = self.make_params(list(itertools.compress(flat, chosen)))
        if not happens:
            return sample
        made = (self.transform(part, params) if wanted else part for part, wanted in zip(flat, chosen, strict=True))
        return rebuilt(sample, made)

    def _chosen(self, flat: list[Any]) -> list[bool]:
        has_image = any(isinstance(part, Image) or is_picture(part) for part in flat)
        first = next((i for i, part in enumerate(flat) if is_plain(part)), -1)
        chosen = [
            (not has_image and i == first) if is_plain(part) else isinstance(part, Tensor) or is_picture(part)
            for i, part in enumerate(flat)
        ]
        if not any(chosen):
            got = f"a {type(flat[0]).__name__}" if len(flat) == 1 else "nothing that can be transformed"
            raise TypeError(f"{type(self).__name__}: got {got}; expected a Pillow image or a tensor (C, H, W)")
        return chosen

    def extra_repr(self) -> str:
        """What stands between the brackets of the repr."""
        return ", ".join(f"{name}={value}" for name, value in vars(self).items() if name[0] != "_")

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.extra_repr()})"


class RandomTransform(Transform):
    """Base class of what happens with probability p; the parameters are drawn in any case, so that the number of random
    words stays the same.

    Raises:
        ValueError: p is no probability.
    Example:
        >>> RandomTransform(p=0)(at.zeros(1, 1, 1)).tolist()
        [[[0.0]]]
    """

    p: float

    def __init__(self, p: float = 0.5) -> None:
        require(0 <= p <= 1, type(self).__name__, f"p is {p}; expected 0 to 1")
        self.p = p


def leaves(sample: Any) -> Iterator[Any]:
    """The parts of a sample, inside its tuples, lists and dicts, in order.

    Example:
        >>> list(leaves((1, {"a": [2, 3]})))
        [1, 2, 3]
    """
    if isinstance(sample, Mapping):
        sample = tuple(sample.values())
    if isinstance(sample, (tuple, list)):
        for part in sample:
            yield from leaves(part)
    else:
        yield sample


def rebuilt(sample: Any, parts: Iterator[Any]) -> Any:
    """A sample of the same form with other parts.

    Example:
        >>> rebuilt((1, {"a": [2, 3]}), iter("xyz"))
        ('x', {'a': ['y', 'z']})
    """
    if isinstance(sample, Mapping):
        return {key: rebuilt(part, parts) for key, part in sample.items()}
    if isinstance(sample, (tuple, list)):
        made = [rebuilt(part, parts) for part in sample]
        return type(sample)(*made) if hasattr(sample, "_fields") else type(sample)(made)
    return next(parts)


def is_plain(part: Any) -> bool:
    """Whether this is a tensor that does not say what it is.

    Example:
        >>> is_plain(at.zeros(1)), is_plain(Mask(at.zeros(1, 1)))
        (True, False)
    """
    return isinstance(part, Tensor) and not isinstance(part, (Image, Mask, BoundingBoxes))
