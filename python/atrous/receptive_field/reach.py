"""Intervals of pixels that the positions of a map see, and how ops change them."""

from __future__ import annotations

from collections.abc import Sequence
from math import gcd, inf, lcm
from typing import NamedTuple


class Window(NamedTuple):
    """Output position q·P + r of an op reads the input positions q·step + t for t in taps[r]; P = len(taps)."""

    step: int
    taps: Sequence[Sequence[int]]


SAME, MIXED, LOST = (Window(0, [[kind]]) for kind in range(3))  # told apart by identity
# Each position reads that position; every position reads all; nobody knows which reads which.


class Merge(NamedTuple):
    """The axis becomes one of several, of these extents, whose positions the output counts in C order as one axis."""

    extents: Sequence[int]
    place: int


class Split(NamedTuple):
    """The axis is taken apart into these axes of the output, of these extents."""

    dims: Sequence[int]
    extents: Sequence[int]


Plan = Sequence[tuple[int, Window | Merge | Split]]  # for each axis of an input, the output's that it becomes, and how


class Reach(NamedTuple):
    """Map position q·P + r sees the pixels lo[r] + q·step to hi[r] + q·step; P = len(lo), 1 but after upsampling."""

    step: int
    lo: tuple[float, ...]
    hi: tuple[float, ...]

    def at(self, i: int) -> tuple[float, float]:
        """The first and the last pixel that position i sees; (inf, -inf) for none."""
        q, r = divmod(i, len(self.lo))
        return self.lo[r] + q * self.step, self.hi[r] + q * self.step

    @property
    def size(self) -> float:
        """The most pixels, from first to last, that a position sees; inf for all."""
        return max(0, *(hi - lo + 1 for lo, hi in zip(self.lo, self.hi, strict=True)))

    def through(self, window: Window) -> Reach:
        """What the result of an op that reads this map through a window sees."""
        P = len(self.lo)
        rounds = P // gcd(window.step, P)  # periods of the window until the map's ends with one of them
        seen = [[self.at(q * window.step + t) for t in taps] for q in range(rounds) for taps in window.taps]
        lo = tuple([min((first for first, _ in pixels), default=inf) for pixels in seen])
        hi = tuple([max((last for _, last in pixels), default=-inf) for pixels in seen])
        return Reach(self.step * window.step * rounds // P, lo, hi)

    def joined(self, other: Reach) -> Reach | None:
        """What sees all that either sees; None where they move over the image at different speeds."""
        if self.step * len(other.lo) != other.step * len(self.lo):
            return None
        P = lcm(len(self.lo), len(other.lo))
        pairs = [(*self.at(i), *other.at(i)) for i in range(P)]
        lo, hi = [min(a, b) for a, _, b, _ in pairs], [max(a, b) for _, a, _, b in pairs]
        return Reach(self.step * P // len(self.lo), tuple(lo), tuple(hi))


EVERYTHING = Reach(0, (-inf,), (inf,))


class Axis(NamedTuple):
    """One axis of the image in a tensor.

    Attributes:
        dim: the tensor's axis that runs along it, or None where all elements see the same.
        part: how it is part of that axis, None where it is the whole.
        reach: what the positions see, None where unknown.
    """

    dim: int | None
    part: Merge | None
    reach: Reach | None

    def moved(self, plan: Plan | None) -> Axis:
        """What becomes of it in an op; without a plan it is unknown."""
        if self.reach is None or self.reach == EVERYTHING or (self.dim is None and plan is not None):
            return self
        dim, how = plan[self.dim] if plan is not None and self.dim is not None else (0, LOST)
        if how is SAME:
            return Axis(dim, self.part, self.reach)
        if how is MIXED:
            return ALL
        if isinstance(how, Split) and self.part is not None and self.part.extents == how.extents:
            return Axis(how.dims[self.part.place], None, self.reach)
        if isinstance(how, Split) or how is LOST or self.part is not None:
            return UNKNOWN
        if isinstance(how, Merge):
            return Axis(dim, how, self.reach)
        return Axis(dim if how.step else None, None, self.reach.through(how))

    def joined(self, other: Axis) -> Axis:
        """What becomes of two in an element that sees what both see."""
        if EVERYTHING in (self.reach, other.reach):
            return ALL
        if self.reach is None or other.reach is None or self[:2] != other[:2]:
            return UNKNOWN
        reach = self.reach.joined(other.reach)
        return UNKNOWN if reach is None else Axis(self.dim, self.part, reach)


ALL, UNKNOWN = Axis(None, None, EVERYTHING), Axis(None, None, None)
