"""Coloured shapes on cluttered backgrounds, made on the fly: class, mask and boxes of each picture, no download.

Sample i is a function of (seed, i, size, objects): any order, thread or machine gives the same bits. So all is made by
+ − × ÷ √ and comparisons in float64, which IEEE 754 rounds in one way, and no sum's order is left to NumPy.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from ..checks import require
from ..data.dataset import Dataset
from ..random import Generator
from ..tensor import Tensor

CLASSES = ("circle", "square", "triangle", "star", "cross")
TARGETS = ("all", "class", "mask", "boxes")
TRIES = 6  # places that are tried for an object which would hide another
VISIBLE = 0.6  # the share of each object that stays visible

# The outward normals (x, y) of the sides' lines, y downwards; written out, for the last bit of libm's sines varies.
_TRIANGLE = ((0.0, 1.0), (0.8660254037844386, -0.5), (-0.8660254037844386, -0.5))
_STAR = (
    (0.0, 1.0), (0.9510565162951535, 0.3090169943749474), (0.5877852522924731, -0.8090169943749475),
    (-0.5877852522924731, -0.8090169943749475), (-0.9510565162951535, 0.3090169943749474),
)  # fmt: skip


def _circle(x: np.ndarray, y: np.ndarray, r: float) -> np.ndarray:
    return np.sqrt(x * x + y * y) - 0.7 * r


def _square(x: np.ndarray, y: np.ndarray, r: float) -> np.ndarray:
    return np.maximum(np.abs(x), np.abs(y)) - 0.62 * r


def _triangle(x: np.ndarray, y: np.ndarray, r: float) -> np.ndarray:
    a, b, c = (nx * x + ny * y for nx, ny in _TRIANGLE)
    return np.maximum(np.maximum(a, b), c) - 0.5 * r


def _star(x: np.ndarray, y: np.ndarray, r: float) -> np.ndarray:
    """A five-pointed star: where at most one of the pentagon's five lines is crossed."""
    first = second = np.full((), -math.inf)  # the largest two distances
    for nx, ny in _STAR:
        d = nx * x + ny * y
        second = np.maximum(second, np.minimum(first, d))
        first = np.maximum(first, d)
    return second - 0.3090169943749474 * r  # cos 72°, for the tips to lie at the distance r


def _cross(x: np.ndarray, y: np.ndarray, r: float) -> np.ndarray:
    x, y = np.abs(x), np.abs(y)
    return np.maximum(np.minimum(x, y) - 0.25 * r, np.maximum(x, y) - 0.85 * r)


# Each maps coordinates around the centre to the signed distance from the edge, below 0 inside; r bounds the shape.
_DISTANCES = (_circle, _square, _triangle, _star, _cross)


class Shapes(Dataset):
    """The data set that `shapes` describes."""

    classes = CLASSES

    def __init__(
        self,
        length: int = 1000,
        size: int = 64,
        seed: int = 0,
        *,
        target: str = "all",
        objects: tuple[int, int] = (1, 3),
        transform: Callable[[Tensor], Any] | None = None,
    ) -> None:
        self.length, self.size, self.seed = _whole("length", length), _whole("size", size), _whole("seed", seed)
        if not isinstance(objects, (tuple, list)) or len(objects) != 2:
            raise TypeError(f"shapes: objects are {objects!r}; expected two ints, (fewest, most)")
        low, high = self.objects = _whole("objects", objects[0]), _whole("objects", objects[1])
        require(self.length >= 1, "shapes", f"length is {length}; expected 1 or more")
        require(self.size >= 16, "shapes", f"size is {size}; expected 16 or more, for smaller shapes look alike")
        require(1 <= low <= high, "shapes", f"objects are {self.objects}; expected 1 ≤ fewest ≤ most")
        require(target in TARGETS, "shapes", f"target is {target!r}; expected one of {', '.join(TARGETS)}")
        Generator(self.seed)  # refuses a seed that does not fit 64 bits
        self.target, self.transform = target, transform

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        i = operator.index(index)
        if not -self.length <= i < self.length:
            raise IndexError(f"shapes: index {i} is out of range; the data set has {self.length} samples")
        picture = _Picture(Generator(self.seed, stream=i % self.length), self.size, self.objects)
        image = Tensor(picture.image())
        target = picture.target()
        return (
            image if self.transform is None else self.transform(image),
            target if self.target == "all" else _PARTS[self.target](target),
        )


def _whole(name: str, value: Any) -> int:
    try:
        return operator.index(value)
    except TypeError:
        raise TypeError(f"shapes: {name} is {value!r}; expected an int") from None


_PARTS: dict[str, Callable[[dict[str, Any]], Any]] = {
    "class": lambda target: target["label"],
    "mask": lambda target: target["mask"],
    "boxes": lambda target: {"boxes": target["boxes"], "labels": target["labels"]},
}


def shapes(
    length: int = 1000,
    size: int = 64,
    seed: int = 0,
    *,
    target: str = "all",
    objects: tuple[int, int] = (1, 3),
    transform: Callable[[Tensor], Any] | None = None,
) -> Shapes:
    """Coloured circles, squares, triangles, stars and crosses on cluttered backgrounds, made as they are asked for.

    A sample is (image, target): an image (3, size, size), float32 in [0, 1], and, as `target` says,

    - ``"class"``: the number in ``classes`` of the object of which most pixels are visible, an int;
    - ``"mask"``: (size, size), int64, 0 for background and k + 1 for class k, where a pixel's centre lies inside;
    - ``"boxes"``: torchvision's detection form, a dict of ``boxes`` (n, 4), float32, x1 y1 x2 y2 in pixels around what
      is visible (x2 and y2 beyond the last pixel), and ``labels`` (n,), int64, from the back to the front;
    - ``"all"``: a dict of ``label``, ``mask``, ``boxes`` and ``labels``.

    Objects overlap, but at least 60 % of each stay visible, so all that were drawn are in the target; one that finds
    no such place is left out. Sample i of a seed is the same whatever `length` is, on any machine: use another seed for
    the test set.

    Args:
        length: number of samples.
        size: height and width in pixels.
        seed: chooses the pictures.
        target: what comes with the image.
        objects: the fewest and the most objects in a picture; (1, 1) for classification.
        transform: function of the image, for what does not move it.
    Raises:
        ValueError: a size that makes no sense, or an unknown target.
    Example:
        >>> image, target = datasets.shapes(size=32)[0]
        >>> image.shape, target["mask"].shape, target["boxes"].shape[1]
        ((3, 32, 32), (32, 32), 4)
        >>> datasets.shapes(target="class", objects=(1, 1))[7][1], datasets.Shapes.classes[2]
        (2, 'triangle')
    """
    return Shapes(length, size, seed, target=target, objects=objects, transform=transform)


class _Picture:
    """One sample in the making: the pixels, and of each pixel the object seen there."""

    def __init__(self, generator: Generator, size: int, objects: tuple[int, int]) -> None:
        self.generator, self.size = generator, size
        self.numbers = _numbers(generator)
        self.centres = np.arange(size) + 0.5  # of the pixels, along either axis
        self.canvas = self.gradient()
        self.seen = np.zeros((size, size), np.int64)  # 0: background; j + 1: object j
        self.classes: list[int] = []
        self.areas: list[int] = []  # pixels of each object, hidden ones included
        for _ in range(int(self.between(1, 4))):
            self.blob()
        for _ in range(int(self.between(2, 6))):
            self.line()
        low, high = objects
        for _ in range(int(self.between(low, high + 1))):
            self.object()

    def image(self) -> np.ndarray:
        """(3, size, size), float32: the canvas with noise."""
        strength = self.between(0.02, 0.12)
        noise = self.generator.uniform(self.canvas.shape)
        return np.clip(self.canvas + strength * (noise - 0.5), 0, 1).astype(np.float32)

    def target(self) -> dict[str, Any]:
        """Everything there is to know about the picture."""
        visible = np.bincount(self.seen.ravel(), minlength=len(self.classes) + 1)[1:]
        boxes = [_box(self.seen == j + 1) for j in range(len(self.classes))]
        return {
            "label": self.classes[int(visible.argmax())],
            "mask": Tensor(np.array([0, *(k + 1 for k in self.classes)], np.int64)[self.seen]),
            "boxes": Tensor(np.array(boxes, np.float32)),
            "labels": Tensor(np.array(self.classes, np.int64)),
        }

    def between(self, low: float, high: float) -> float:
        """A random number in [low, high)."""
        return low + (high - low) * next(self.numbers)

    def colour(self, *count: int) -> np.ndarray:
        """A random colour (3,), or so many (count, 3)."""
        return np.fromiter(self.numbers, np.float64, 3 * math.prod(count)).reshape(*count, 3)

    def place(self, margin: float) -> tuple[float, float]:
        """A point that lies `margin` pixels inside the picture."""
        return self.between(margin, self.size - margin), self.between(margin, self.size - margin)

    def gradient(self) -> np.ndarray:
        """A background (3, size, size) whose four corners have colours of their own."""
        base = self.colour()
        a, b, c, d = ((0.5 * base + 0.5 * self.colour())[:, None] for _ in range(4))
        t = self.centres / self.size
        top, bottom = a + (b - a) * t, c + (d - c) * t  # (3, size)
        return top[:, None] + (bottom - top)[:, None] * t[:, None]

    def turn(self) -> tuple[float, float]:
        """Cosine and sine of a random angle between −90° and 90°."""
        t = self.between(-1, 1)
        return (1 - t * t) / (1 + t * t), 2 * t / (1 + t * t)

    def window(self, x: float, y: float, rx: float, ry: float) -> tuple[tuple[slice, slice], np.ndarray, np.ndarray]:
        """The part of the picture within rx, ry of a point, and the pixels' coordinates around it: (w,) and (h, 1)."""
        rows, columns = slice(max(0, int(y - ry)), int(y + ry) + 1), slice(max(0, int(x - rx)), int(x + rx) + 1)
        return (rows, columns), self.centres[columns] - x, (self.centres[rows] - y)[:, None]

    def paint(self, window: tuple[slice, slice], colour: np.ndarray, opacity: np.ndarray) -> None:
        part = self.canvas[:, window[0], window[1]]
        part += (colour[:, None, None] - part) * opacity

    def blob(self) -> None:
        """A soft round spot."""
        r = self.between(0.1, 0.4) * self.size
        window, x, y = self.window(*self.place(0), r, r)
        opacity = np.maximum(1 - (x * x + y * y) / (r * r), 0)
        self.paint(window, self.colour(), self.between(0.6, 1) * opacity)

    def line(self) -> None:
        """A straight stroke."""
        length, width = self.between(0.1, 0.5) * self.size, self.between(0.01, 0.03) * self.size
        cos, sin = self.turn()
        rx, ry = abs(cos) * length + abs(sin) * width + 1, abs(sin) * length + abs(cos) * width + 1
        window, x, y = self.window(*self.place(0), rx, ry)
        along, across = np.abs(cos * x + sin * y) - length, np.abs(cos * y - sin * x) - width
        self.paint(window, self.colour(), self.between(0.6, 1) * _coverage(np.maximum(along, across)))

    def object(self) -> None:
        """A shape, at a place where it leaves VISIBLE of every other; nothing if TRIES places were none."""
        k = int(self.between(0, len(CLASSES)))
        for _ in range(TRIES):
            r = self.between(max(0.14 * self.size, 6.5), max(0.26 * self.size, 9.5))
            x0, y0 = self.place(0.8 * r)
            window, x, y = self.window(x0, y0, r + 1, r + 1)
            cos, sin = self.turn()
            distance = _DISTANCES[k](cos * x + sin * y, cos * y - sin * x, r)
            colour = self.contrast(x0, y0, r)
            inside = distance <= 0
            seen = self.seen.copy()
            np.putmask(seen[window], inside, len(self.classes) + 1)
            left = np.bincount(seen.ravel(), minlength=len(self.classes) + 1)[1 : len(self.classes) + 1].tolist()
            if all(n >= VISIBLE * area for n, area in zip(left, self.areas, strict=True)):
                self.seen = seen
                self.classes.append(k)
                self.areas.append(int(np.count_nonzero(inside)))
                self.paint(window, colour, _coverage(distance))
                return

    def contrast(self, x: float, y: float, r: float) -> np.ndarray:
        """Of six colours the one that differs most from the canvas at the point and around it."""
        last = self.size - 1
        steps = (-0.8 * r, 0, 0.8 * r)
        rows = [[min(max(int(y + step), 0), last)] for step in steps]
        columns = [min(max(int(x + step), 0), last) for step in steps]
        around = self.canvas[:, rows, columns].reshape(3, 1, 9)
        colours = self.colour(6)
        red, green, blue = np.abs(colours.T[:, :, None] - around)  # (4, 9) each
        return colours[(red + green + blue).min(1).argmax()]


def _numbers(generator: Generator) -> Iterator[float]:
    """Uniform numbers in [0, 1), without end."""
    while True:
        yield from generator.uniform((64,), np.float64).tolist()


def _coverage(distance: np.ndarray) -> np.ndarray:
    """About the share of each pixel that lies inside an edge at this distance of its centre."""
    return np.minimum(np.maximum(0.5 - distance, 0), 1)  # np.clip takes longer on small arrays


def _box(inside: np.ndarray) -> tuple[int, int, int, int]:
    rows, columns = (np.flatnonzero(inside.any(axis)) for axis in (1, 0))
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1
