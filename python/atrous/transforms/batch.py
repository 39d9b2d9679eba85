"""Mixtures of the images of a batch, and of their labels."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from ..backend import array_module
from ..checks import require
from ..dtypes import float32
from ..ops import one_hot
from ..random import Generator
from ..tensor import Tensor
from ..tv_tensors import BoundingBoxes, Mask, wrap
from .images import draws, is_picture, size_of, spawned
from .transform import Transform, is_plain, leaves, rebuilt


class _Mixture(Transform):
    """What MixUp and CutMix share: they find the labels, check the batch and mix its samples with their neighbours."""

    def __init__(
        self, *, alpha: float = 1.0, num_classes: int | None = None, labels_getter: Callable | str = "default"
    ) -> None:
        require(alpha > 0, type(self).__name__, f"alpha is {alpha}; expected more than 0")
        fits = labels_getter == "default" or callable(labels_getter)
        require(fits, type(self).__name__, f'labels_getter is {labels_getter!r}; expected "default" or a function')
        self.alpha, self.num_classes, self.labels_getter = float(alpha), num_classes, labels_getter

    def __call__(self, *inputs: Any) -> Any:
        sample = inputs if len(inputs) > 1 else inputs[0]
        flat, op = list(leaves(sample)), type(self).__name__
        if any(isinstance(part, (Mask, BoundingBoxes)) or is_picture(part) for part in flat):
            raise ValueError(f"{op}: the batch has Pillow images, masks or boxes; expected images and labels")
        labels = self.labels_getter(sample) if callable(self.labels_getter) else find_labels(sample, op)
        soft = self._soft(labels, op)
        chosen = [wanted and part is not labels for part, wanted in zip(flat, self._chosen(flat), strict=True)]
        images = [part for part, wanted in zip(flat, chosen, strict=True) if wanted]
        for image in images:
            fits = image.ndim == 4 and len(image) == len(soft)
            require(
                fits, op, f"the images have shape {image.shape}; expected ({len(soft)}, C, H, W), as many as labels"
            )
        if not images:
            raise TypeError(f"{op}: got no images beside the labels; expected (images, labels)")
        params = self.make_params(images)
        made = (
            mixed(soft, params["share"]) if part is labels else self.transform(part, params) if wanted else part
            for part, wanted in zip(flat, chosen, strict=True)
        )
        return rebuilt(sample, made)

    def _soft(self, labels: Any, op: str) -> Tensor:
        """Labels as probabilities (N, num_classes)."""
        if not isinstance(labels, Tensor):
            raise TypeError(
                f"{op}: the labels are a {type(labels).__name__}; expected a tensor (N,) or (N, num_classes)"
            )
        require(labels.ndim in (1, 2), op, f"the labels have shape {labels.shape}; expected (N,) or (N, num_classes)")
        if labels.ndim == 1:
            require(self.num_classes is not None, op, "num_classes is None; expected it beside labels (N,)")
            return one_hot(labels, self.num_classes).to(dtype=float32)  # type: ignore[arg-type]
        fits = self.num_classes in (None, labels.shape[1])
        require(fits, op, f"the labels have shape {labels.shape}; expected (N, {self.num_classes})")
        return labels if labels.is_floating_point() else labels.to(dtype=float32)


class MixUp(_Mixture):
    """Blends each image of a batch with another, and their labels: ``λ · x[n] + (1 − λ) · x[n − 1]``, λ ~ Beta(α, α).

    Takes a batch, ``MixUp(num_classes=10)(images, labels)``, whose labels (N,) become probabilities (N, num_classes),
    as `CrossEntropyLoss` takes them. In a loader: ``collate_fn=lambda samples: mixup(*default_collate(samples))``. One
    λ a batch. The neighbours are partners, so shuffle.

    Args:
        alpha: small for λ near 0 or 1, 1 for all alike.
        num_classes: of labels (N,); labels that are probabilities already need none.
        labels_getter: a function that finds the labels in the batch; "default" takes the second thing, or of a dict
            what is named labels.
    Raises:
        ValueError, TypeError: the batch does not fit.
    Example:
        >>> images, labels = MixUp(num_classes=2)(at.tensor([0.0, 1.0]).reshape(2, 1, 1, 1), at.tensor([0, 1]))
        >>> bool((images.flatten() == labels[:, 1]).all())
        True

    Source:
        Zhang et al., mixup: Beyond empirical risk minimization, 2018.
    """

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        return {"share": beta(self.alpha, spawned())}

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        return wrap(mixed(inpt, params["share"]), like=inpt)


class CutMix(_Mixture):
    """Replaces a rectangle of each image of a batch by that of another; labels mix by the areas.

    The rectangle has the share 1 − λ of the image, λ ~ Beta(α, α), and a centre from anywhere; what of it lies outside
    is cut off. Takes what `MixUp` takes.

    Args:
        alpha, num_classes, labels_getter: as of `MixUp`.
    Raises:
        ValueError, TypeError: the batch does not fit.
    Example:
        >>> images, labels = CutMix(num_classes=2)(at.tensor([0.0, 1.0]).reshape(2, 1, 1, 1).expand(2, 1, 8, 8),
        ...                                        at.tensor([0, 1]))
        >>> bool((images.mean((1, 2, 3)) == labels[:, 1]).all())
        True

    Source:
        Yun et al., CutMix: Regularization strategy to train strong classifiers with localizable features, 2019.
    """

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        (H, W), (u, v) = size_of(flat_inputs[0], "CutMix"), draws(2)
        half = 0.5 * math.sqrt(1 - beta(self.alpha, spawned()))
        rows, columns = (
            slice(max(int(centre * L) - int(half * L), 0), min(int(centre * L) + int(half * L), L))
            for centre, L in ((u, H), (v, W))
        )
        area = (rows.stop - rows.start) * (columns.stop - columns.start)
        return {"rows": rows, "columns": columns, "share": 1 - area / (H * W)}

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        y, part = inpt.data.copy(), (..., params["rows"], params["columns"])
        y[part] = array_module(y).roll(inpt.data[part], 1, 0)
        return wrap(Tensor(y), like=inpt)


def mixed(x: Tensor, share: float) -> Tensor:
    """``share · x[n] + (1 − share) · x[n − 1]``, where the last comes before the first.

    Example:
        >>> mixed(at.tensor([0.0, 1.0, 2.0]), 0.75).tolist()
        [0.5, 0.75, 1.75]
    """
    array = x.data if x.is_floating_point() else x.data.astype("float32")
    y = share * array + (1 - share) * array_module(array).roll(array, 1, 0)
    return Tensor(y.astype(array.dtype, copy=False))


def find_labels(sample: Any, op: str) -> Any:
    """The labels of a batch or sample: its second thing, or in a dict what is named labels, or has label in its name.

    Raises:
        ValueError: there are none.
    Example:
        >>> find_labels(("image", {"boxes": 1, "labels": 2}), "MixUp")
        2
    """
    second = sample[1] if isinstance(sample, (tuple, list)) and len(sample) > 1 else sample
    if is_plain(second) and second is not sample:
        return second
    if isinstance(second, Mapping):
        names = [key for key in second if "label" in str(key).lower()]
        if names:
            return second[min(names, key=lambda key: str(key).lower() != "labels")]
    raise ValueError(f"{op}: found no labels; expected (images, labels) or a dict with labels, or give a labels_getter")


def beta(alpha: float, generator: Generator) -> float:
    """A number between 0 and 1 with density in proportion to ``(x (1 − x))^(α − 1)``.

    Example:
        >>> 0 <= beta(0.2, at.Generator(0)) <= 1
        True
    """
    a, b = _log_gamma_variate(alpha, generator), _log_gamma_variate(alpha, generator)
    return 1 / (1 + math.exp(min(b - a, 700)))


def _log_gamma_variate(alpha: float, generator: Generator) -> float:
    """The logarithm of a number drawn from Gamma(α): in it, no small α underflows.

    Source: Marsaglia and Tsang, A simple method for generating gamma variables, 2000; α is raised by 1 first.
    """
    d = alpha + 2 / 3
    c = 1 / math.sqrt(9 * d)
    while True:
        z, u = generator.normal((1,), "float64").item(), 1 - generator.uniform((2,), "float64")
        v = (1 + c * z) ** 3
        if v > 0 and math.log(u[0]) < 0.5 * z * z + d - d * v + d * math.log(v):
            return math.log(d * v) + math.log(u[1]) / alpha
