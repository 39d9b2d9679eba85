"""Padding: more rows, columns or any axis around a tensor."""

from __future__ import annotations

from collections.abc import Sequence

from ..autograd import Backward, record
from ..backend import array_module
from ..checks import require
from ..dtypes import int64
from ..layout import empty, is_channels_last
from ..tensor import Tensor

MODES = ("constant", "reflect", "replicate", "circular")


def pad(x: Tensor, pad: Sequence[int], mode: str = "constant", value: float | None = None) -> Tensor:
    """Puts values around a tensor, from its last axis backwards.

    Args:
        x: any shape; for the modes other than "constant", one or two axes more than are padded.
        pad: (left, right), (left, right, top, bottom), ...: how many before and after, for the last axis, the one
            before it, and so on. Negative numbers cut off instead.
        mode: "constant" puts `value`, "reflect" mirrors at the outermost element without repeating it, "replicate"
            repeats it, "circular" goes on from the other side.
        value: the constant, 0 if None.
    Returns:
        Tensor; each padded axis is longer by its two numbers.
    Raises:
        ValueError: too many or an odd number of paddings, or more than the mode can take from x.
        TypeError: x is no tensor or the paddings no ints.
    Example:
        >>> pad(at.tensor([[1.0, 2.0]]), (1, 2)).tolist()
        [[0.0, 1.0, 2.0, 0.0, 0.0]]
        >>> pad(at.tensor([[1.0, 2.0, 3.0]]), (2, 1), mode="reflect").tolist()
        [[3.0, 2.0, 1.0, 2.0, 3.0, 2.0]]

    Source:
        Dumoulin and Visin, A guide to convolution arithmetic for deep learning, 2016 (arXiv 1603.07285), chapter 2.
    """
    if not isinstance(x, Tensor):
        raise TypeError(f"pad: x is a {type(x).__name__}; expected a Tensor")
    if not isinstance(pad, (tuple, list)) or not all(isinstance(n, int) for n in pad):
        raise TypeError(f"pad: pad is {pad!r}; expected a tuple of ints")
    require(mode in MODES, "pad", f"mode is {mode!r}; expected one of {MODES}")
    require(len(pad) % 2 == 0, "pad", f"pad has {len(pad)} numbers; expected two for each axis")
    axes = len(pad) // 2
    require(axes <= x.ndim, "pad", f"pad has {len(pad)} numbers; expected at most {2 * x.ndim} for x {x.shape}")
    widths = [(0, 0)] * (x.ndim - axes) + [(pad[2 * i], pad[2 * i + 1]) for i in reversed(range(axes))]
    require(
        all(L + before + after >= 0 for L, (before, after) in zip(x.shape, widths, strict=True)),
        "pad",
        f"pad {tuple(pad)} cuts off more than x {x.shape} has",
    )
    if mode == "constant":
        return _constant(x, widths, 0 if value is None else value)
    require(not value, "pad", f"value is {value}; mode {mode!r} takes none")
    if x.ndim - axes not in (1, 2):
        raise ValueError(
            f"pad: pad is {tuple(pad)}; mode {mode!r} pads all but the first one or two axes of x {x.shape}"
        )
    for axis, (before, after) in enumerate(widths):
        if mode == "circular" and min(before, after) < 0:  # what is cut off does not come back on the other side
            x = x.narrow(axis, max(-before, 0), x.shape[axis] + min(before, 0) + min(after, 0))
            before, after = max(before, 0), max(after, 0)
        if before or after:
            x = _copied(x, axis, before, after, mode)
    return x


def _constant(x: Tensor, widths: list[tuple[int, int]], value: float) -> Tensor:
    if any(before < 0 or after < 0 for before, after in widths):
        sizes = zip(x.shape, widths, strict=True)
        x = x[tuple(slice(max(-before, 0), L - max(-after, 0)) for L, (before, after) in sizes)]
        widths = [(max(before, 0), max(after, 0)) for before, after in widths]
    shape = tuple(before + L + after for L, (before, after) in zip(x.shape, widths, strict=True))
    inner = tuple(slice(before, before + L) for L, (before, _) in zip(x.shape, widths, strict=True))
    y = empty(shape, x.dtype, channels_last=is_channels_last(x.data), beside=x.data)
    y.fill(value)
    y[inner] = x.data
    return record(y, PadBackward, inputs=(x,), inner=inner)


class PadBackward(Backward):
    """Gradient of constant padding: the part that x fills, without the gaps that a view of it would have."""

    def __call__(self, grad_y):
        part = grad_y[self.inner]
        grad_x = empty(part.shape, part.dtype, channels_last=is_channels_last(grad_y), beside=grad_y)
        grad_x[...] = part
        return grad_x


def _copied(x: Tensor, axis: int, before: int, after: int, mode: str) -> Tensor:
    """x with copies of its elements before and after one axis, or with fewer of them."""
    L, most = x.shape[axis], max(before, after)
    limit = {"reflect": L - 1, "circular": L, "replicate": most if L else 0}[mode]
    require(most <= limit, "pad", f"{(before, after)} around {L} elements; mode {mode!r} takes {limit} at most")
    along: tuple = (slice(None),) * axis
    first, last = max(0, -before), max(0, -before, min(L, L + after))  # what stays of x, counted in x
    outside = [*range(-before, min(0, L + after)), *range(max(L, -before), L + after)]
    copies = [((*along, place + before), (*along, _source(place, L, mode))) for place in outside]
    old, new = (*along, slice(first, last)), (*along, slice(first + before, last + before))

    shape = (*x.shape[:axis], before + L + after, *x.shape[axis + 1 :])
    y = empty(shape, x.dtype, channels_last=is_channels_last(x.data), beside=x.data)
    y[new] = x.data[old]
    for place, source in copies:
        y[place] = x.data[source]
    return record(y, PadCopiesBackward, inputs=(x,), shape=x.shape, old=old, new=new, copies=copies)


def _source(place: int, L: int, mode: str) -> int:
    """The element of an axis that a place outside of it, counted from the axis' start, copies."""
    if mode == "circular":
        return place % L
    if mode == "replicate":
        return min(max(place, 0), L - 1)
    return L - 1 - abs(L - 1 - abs(place))  # mirrored at 0, then at L - 1


class PadCopiesBackward(Backward):
    """Gradient of padding by copies: the part that x fills, and each copy's gradient added to its source."""

    def __call__(self, grad_y):
        grad_x = empty(self.shape, grad_y.dtype, channels_last=is_channels_last(grad_y), beside=grad_y)
        grad_x.fill(0)
        grad_x[self.old] = grad_y[self.new]
        for place, source in self.copies:
            grad_x[source] += grad_y[place]
        return grad_x


def one_hot(classes: Tensor, num_classes: int = -1) -> Tensor:
    """A one at each class and zeros elsewhere: ``y[..., c] = 1 if classes[...] == c else 0``.

    Args:
        classes: int64, any shape.
        num_classes: the length of the new last axis; −1 for the largest class plus one.
    Returns:
        int64 tensor of shape (..., num_classes).
    Raises:
        ValueError: a class is negative or not below num_classes, or there is none to count. TypeError: not int64.
    Example:
        >>> one_hot(at.tensor([2, 0]), 3).tolist()
        [[0, 0, 1], [1, 0, 0]]

    Source:
        Bishop, Pattern Recognition and Machine Learning, 2006, section 4.1.3, "1-of-K coding".
    """
    if not isinstance(classes, Tensor) or classes.dtype != int64:
        found = classes.dtype if isinstance(classes, Tensor) else type(classes).__name__
        raise TypeError(f"one_hot: classes is {found}; expected an int64 Tensor")
    data = classes.data
    require(data.size or num_classes > 0, "one_hot", "classes is empty; expected num_classes above 0")
    largest = int(data.max()) if data.size else -1
    require(not data.size or data.min() >= 0, "one_hot", "classes has a negative class; expected 0 or more")
    if num_classes == -1:
        num_classes = largest + 1
    require(largest < num_classes, "one_hot", f"classes has {largest}; expected less than num_classes {num_classes}")
    xp = array_module(data)
    return Tensor((data[..., None] == xp.arange(num_classes)).astype(int64))  # (..., 1) against (num_classes,)
