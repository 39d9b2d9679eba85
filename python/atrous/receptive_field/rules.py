"""What each op does with the axes of its inputs: the rules, and the shapes that they need."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from math import gcd
from typing import Any

from ..graph import Backward, OutputBackward
from ..ops.activation import LeakyReluBackward, ReluBackward, SigmoidBackward, TanhBackward
from ..ops.batch_norm import BatchNormEvalBackward, BatchNormTrainBackward
from ..ops.conv2d import Conv2dBackward, ConvTranspose2dBackward
from ..ops.conversion import ContiguousBackward, ToBackward
from ..ops.cross_entropy import LogSoftmaxBackward, SoftmaxBackward
from ..ops.indexing import SetItemBackward, SliceBackward
from ..ops.inplace import CloneBackward, CopyBackward
from ..ops.joining import CatBackward
from ..ops.linear import LinearBackward, MatmulBackward
from ..ops.norms import NormalizationBackward
from ..ops.operands import Binary
from ..ops.order import ExtremeBackward, TakeAlongBackward
from ..ops.pad import PadBackward, PadCopiesBackward
from ..ops.pointwise import PointwiseBackward
from ..ops.pool2d import AdaptiveAvgPool2dBackward, AdaptiveMaxPool2dBackward, AvgPool2dBackward, MaxPool2dBackward
from ..ops.random import DropoutBackward
from ..ops.reduction import LogsumexpBackward, NormBackward, ProdBackward, SumBackward, VarBackward
from ..ops.response_norm import LocalResponseNormBackward
from ..ops.shape import ExpandBackward, PermuteBackward, ReshapeBackward
from ..ops.unary import Unary
from ..ops.upsample2d import UpsampleBilinear2dBackward, UpsampleNearest2dBackward
from .reach import LOST, MIXED, SAME, Merge, Plan, Split, Window

Sizes = tuple[int | None, ...]  # of a tensor; None for extents that no op of the walk knows
REDUCTIONS = (SumBackward, VarBackward, ProdBackward, LogsumexpBackward, NormBackward, ExtremeBackward)


def plan(node: Backward, i: int, old: Sizes | None, new: Sizes | None) -> Plan | None:
    """What becomes of the axes of input i, of shape ``old``, in the output, of shape ``new``; None for no idea."""
    rule = next((RULES[kind] for kind in type(node).__mro__ if kind in RULES), None)
    return rule(node, i, old, new) if rule and old is not None and new is not None else None


def input_shape(node: Any, i: int, new: Sizes | None) -> Sizes | None:
    """The shape of an op's input, from what its node knows and the shape of its output."""
    if isinstance(node, Binary):
        return node.operands[i][0]
    if isinstance(node, SetItemBackward):
        return node.shape if i else new
    if hasattr(node, "shape"):
        return node.shape
    if isinstance(node, REDUCTIONS):  # without a shape: they saved their input
        return node._saved[0].shape if node._saved else None
    if new is None:
        return None
    if hasattr(node, "input_size"):
        return (new[0], None, *node.input_size)
    if isinstance(node, ConvTranspose2dBackward):
        return (new[0], None, None, None)
    if isinstance(node, PadBackward):
        return tuple([part.stop - part.start for part in node.inner])
    if isinstance(node, PermuteBackward):
        return tuple([new[axis] for axis in node.axes])
    if isinstance(node, CatBackward):
        return (*new[: node.dim], node.parts[i][0], *new[node.dim + 1 :])
    if isinstance(node, LinearBackward):
        return (new[0], node._saved[1].shape[1] if node._saved and not i else None)
    if isinstance(node, MatmulBackward):
        other = node._saved[1 - i] if node._saved else None
        K = None if other is None else other.shape[-1 if i else -2]
        return (*new[:-2], K, new[-1]) if i else (*new[:-1], K)
    return new


# The rules, with the arguments of `plan`.


def _elementwise(node: Any, i: int, old: Sizes, new: Sizes) -> Plan | None:
    extra = len(new) - len(old)  # axes that broadcasting adds in front
    stretched = [extent == 1 and new[d + extra] not in (1, None) for d, extent in enumerate(old)]
    return [(d + extra, _only(0) if stretch else SAME) for d, stretch in enumerate(stretched)]


def _only(position: int) -> Window:
    """One position is read by all: the axis goes."""
    return Window(0, [[position]])


def _windows(channels: Window, height: Window, width: Window) -> Plan:
    return [(0, SAME), (1, channels), (2, height), (3, width)]


def _conv2d(node: Any, i: int, old: Sizes, new: Sizes) -> Plan | None:
    stride, padding, dilation, _ = node.how
    sizes = zip(node.kernel_size, stride, padding, dilation, strict=True)
    windows = [Window(s, [[k * d - p for k in range(K)]]) for K, s, p, d in sizes]
    return None if i else _windows(MIXED, *windows)  # no idea where the weight depends on the image


def _conv_transpose2d(node: Any, i: int, old: Sizes, new: Sizes) -> Plan | None:
    stride, padding, dilation, _ = node.how

    def window(K: int, s: int, p: int, d: int) -> Window:
        reached = [[r + p - k * d for k in range(K)] for r in range(s)]  # s times the input position, if a multiple
        return Window(1, [[t // s for t in taps if t % s == 0] for taps in reached])

    sizes = zip(node.kernel_size, stride, padding, dilation, strict=True)
    return None if i else _windows(MIXED, *[window(*size) for size in sizes])


def _pool2d(node: Any, i: int, old: Sizes, new: Sizes) -> Plan | None:
    kernel_size, stride, padding, last = node.how[:4]
    dilation = last if isinstance(node, MaxPool2dBackward) else (1, 1)
    sizes = zip(kernel_size, stride, padding, dilation, strict=True)
    return _windows(SAME, *[Window(s, [[k * d - p for k in range(K)]]) for K, s, p, d in sizes])


def _adaptive_pool2d(node: Any, i: int, old: Sizes, new: Sizes) -> Plan | None:
    def window(L: int, O: int | None) -> Window:
        if O in (None, 1):
            return LOST if O is None else MIXED
        P = O // gcd(L, O)  # the windows repeat after so many
        return Window(L * P // O, [range(r * L // O, -(-(r + 1) * L // O)) for r in range(P)])

    return _windows(SAME, *[window(L, O) for L, O in zip(node.input_size, new[2:], strict=True)])


def _upsample2d(node: Any, i: int, old: Sizes, new: Sizes) -> Plan | None:
    *corners, scale = node.how  # corners: [align_corners], of bilinear

    def window(L: int, O: int | None, factor: float | None) -> Window:
        if O is None or factor not in (None, O / L):
            return LOST
        if corners == [True]:
            L, O = L - 1, max(O - 1, 1)
        P = O // gcd(L, O)  # the places, in inputs, repeat after so many
        shift = L - O if corners == [False] else 0
        places = [(2 * r * L + shift, 2 * O) for r in range(P)]
        return Window(L * P // O, [[a // b, -(-a // b) if corners else a // b] for a, b in places])

    return _windows(
        SAME, *[window(*size) for size in zip(node.input_size, new[2:], scale or (None, None), strict=True)]
    )


def _reduction(node: Any, i: int, old: Sizes, new: Sizes) -> Plan | None:
    left = range(len(old)) if len(new) == len(old) else [d for d in range(len(old)) if d not in node.axes]
    return [(left.index(d) if d in left else 0, MIXED if d in node.axes else SAME) for d in range(len(old))]


def _along(node: Any, i: int, old: Sizes, new: Sizes) -> Plan | None:
    return [(d, MIXED if d == node.dim % len(old) else SAME) for d in range(len(old))]


def _batch_statistics(node: Any, i: int, old: Sizes, new: Sizes) -> Plan | None:
    return [(d, SAME if d == 1 else MIXED) for d in range(len(old))]


def _own_statistics(node: Any, i: int, old: Sizes, new: Sizes) -> Plan | None:
    axes = node.axes if len(node.view) == len(old) else range(1, len(old))  # groups of channels, which are split in two
    return None if i else [(d, MIXED if d in axes else SAME) for d in range(len(old))]


def _near_channels(node: Any, i: int, old: Sizes, new: Sizes) -> Plan | None:
    return [(d, MIXED if d == 1 else SAME) for d in range(len(old))]


def _linear(node: Any, i: int, old: Sizes, new: Sizes) -> Plan | None:
    return None if i else [(0, SAME), (1, MIXED)]


def _matmul(node: Any, i: int, old: Sizes, new: Sizes) -> Plan | None:
    mixed = len(old) - (2 if i else 1)
    return [(d, MIXED if d == mixed else SAME) for d in range(len(old))]


def _cat(node: Any, i: int, old: Sizes, new: Sizes) -> Plan | None:
    return [(d, LOST if d == node.dim else SAME) for d in range(len(old))]


def _permute(node: Any, i: int, old: Sizes, new: Sizes) -> Plan | None:
    return [(axis, SAME) for axis in node.axes]


def _pad(node: Any, i: int, old: Sizes, new: Sizes) -> Plan | None:
    return [(d, Window(1, [[-part.start]])) for d, part in enumerate(node.inner)]


def _pad_copies(node: Any, i: int, old: Sizes, new: Sizes) -> Plan | None:
    """By mirroring and the like: what the copies read does not count, as zeros would not."""
    (*before, inside), (*_, padded) = node.old, node.new
    window = Window(1, [[inside.start - padded.start]])
    return [(d, window if d == len(before) else SAME) for d in range(len(old))]


def _slice(node: Any, i: int, old: Sizes, new: Sizes) -> Plan | None:
    """``x[1:, 3, ..., None, ::2]``; also one vector of indices."""
    index = node.index if isinstance(node.index, tuple) else (node.index,)
    vectors = [part for part in index if getattr(part, "ndim", 0)]
    if vectors and (len(vectors) > 1 or vectors[0].ndim > 1 or vectors[0].dtype.kind == "b"):
        return None
    whole = [slice(None)] * (len(old) - sum(part is not None and part is not Ellipsis for part in index))
    at = index.index(Ellipsis) if not vectors and Ellipsis in index else len(index)
    steps: list[tuple[int, Window]] = []
    axis = 0  # of the output
    for part in (*index[:at], *whole, *index[at + 1 :]):
        L = old[len(steps)] if part is not None else None
        if isinstance(part, slice):
            start, _, step = part.indices(L or 0)
            steps.append((axis, SAME if part == slice(None) else Window(step, [[start]])))
        elif getattr(part, "ndim", 0):
            steps.append((axis, _padding(part.tolist(), L)))
        elif part is not None:
            steps.append((0, _only(part % (L or 1))))
            axis -= 1
        axis += 1
    return steps


def _padding(index: list[int], L: int | None) -> Window:
    """A vector of indices that names all positions in order, and some of them again before and after."""
    before = [k for k in range(len(index)) if L and index[k : k + L] == list(range(L))]
    return Window(1, [[-before[0]]]) if before else LOST


def _setitem(node: Any, i: int, old: Sizes, new: Sizes) -> Plan | None:
    return None if i else [(d, SAME) for d in range(len(old))]


def _reshape(node: Any, i: int, old: Sizes, new: Sizes) -> Plan | None:
    steps: list[tuple[int, Window | Merge | Split]] = [(0, _only(0) if extent == 1 else LOST) for extent in old]
    for block, into in _blocks([extent or 0 for extent in old], [extent or 0 for extent in new]):
        if len(block) == 1:
            steps[block[0]] = (into[0], SAME if len(into) == 1 else Split(into, [new[d] or 0 for d in into]))
        elif len(into) == 1:
            for k, d in enumerate(block):
                steps[d] = (into[0], Merge([old[d] or 0 for d in block], k))
    return steps


def _blocks(old: list[int], new: list[int]) -> Iterator[tuple[list[int], list[int]]]:
    """Axes before and after that have as many elements, from the last on, up to an extent of 0, which is unknown.

    Axes of extent 1 are left out.
    """
    before, after = ([d for d, extent in enumerate(sizes) if extent != 1] for sizes in (old, new))
    while before and after:
        block, into = [before.pop()], [after.pop()]
        a, b = old[block[0]], new[into[0]]
        while a != b:
            if a < b and before:
                block.append(before.pop())
                a *= old[block[-1]]
            elif a > b and after:
                into.append(after.pop())
                b *= new[into[-1]]
            else:
                return
        if a == 0:
            return
        yield block[::-1], into[::-1]


ELEMENTWISE = (
    Unary, Binary, PointwiseBackward, ReluBackward, LeakyReluBackward, SigmoidBackward,
    TanhBackward, BatchNormEvalBackward, DropoutBackward, CloneBackward,
    CopyBackward, ToBackward, ContiguousBackward, ExpandBackward, OutputBackward,
)  # fmt: skip
RULES: dict[type[Backward], Callable[[Any, int, Sizes, Sizes], Plan | None]] = {
    **dict.fromkeys(REDUCTIONS, _reduction),
    **dict.fromkeys(ELEMENTWISE, _elementwise),
    Conv2dBackward: _conv2d,
    ConvTranspose2dBackward: _conv_transpose2d,
    MaxPool2dBackward: _pool2d,
    AvgPool2dBackward: _pool2d,
    AdaptiveAvgPool2dBackward: _adaptive_pool2d,
    AdaptiveMaxPool2dBackward: _adaptive_pool2d,
    UpsampleBilinear2dBackward: _upsample2d,
    UpsampleNearest2dBackward: _upsample2d,
    BatchNormTrainBackward: _batch_statistics,
    NormalizationBackward: _own_statistics,
    LocalResponseNormBackward: _near_channels,
    SoftmaxBackward: _along,
    LogSoftmaxBackward: _along,
    TakeAlongBackward: _along,
    LinearBackward: _linear,
    MatmulBackward: _matmul,
    CatBackward: _cat,
    PermuteBackward: _permute,
    ReshapeBackward: _reshape,
    SliceBackward: _slice,
    SetItemBackward: _setitem,
    PadBackward: _pad,
    PadCopiesBackward: _pad_copies,
}
