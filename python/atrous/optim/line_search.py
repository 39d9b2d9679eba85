"""A line search for a step that meets the strong Wolfe conditions, by cubic interpolation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import sqrt
from typing import Any

DECREASE, CURVATURE = 1e-4, 0.9  # c₁ and c₂ of the conditions
SMALLEST = 1e-9  # a change of the parameters that is not worth a look


@dataclass
class Point:
    """A place on the line: how far along, the loss, its gradient and the slope along the line."""

    t: float
    loss: float
    grad: Any
    slope: float


def strong_wolfe(
    evaluate: Callable[[float], Point], start: Point, t: float, unit: float, most: int
) -> tuple[Point, int]:
    """A point with ``loss ≤ start.loss + c₁ t start.slope`` and ``|slope| ≤ c₂ |start.slope|``, or the best one found.

    Args:
        evaluate: the point at t.
        start: the point at 0, whose slope is negative.
        t: where to look first.
        unit: how far the parameters move, at most, from t = 0 to 1.
        most: evaluations to spend after the first.
    Returns:
        The point, and how often ``evaluate`` was called.
    Example:
        >>> def evaluate(t):  # (t − 2)²
        ...     return Point(t, (t - 2) ** 2, None, 2 * (t - 2))
        >>> strong_wolfe(evaluate, evaluate(0.0), 5.0, 1.0, 20)[0].t
        2.0

    Source:
        Nocedal and Wright, Numerical Optimization, 2nd edition, 2006, algorithms 3.5 and 3.6; the safeguards are those
        of Schmidt's minFunc, as in PyTorch.
    """
    before, point, calls = start, evaluate(t), 1
    bracket = None
    while bracket is None and calls <= most:
        if _too_high(point, start) or (calls > 2 and point.loss >= before.loss):
            bracket = [before, point]
        elif _is_flat(point, start):
            return point, calls
        elif point.slope >= 0:
            bracket = [before, point]
        else:
            t = _cubic_minimum(before, point, point.t + 0.01 * (point.t - before.t), point.t * 10)
            before, point, calls = point, evaluate(t), calls + 1
    return _zoom(evaluate, start, bracket or [start, point], unit, most, calls)


def _zoom(
    evaluate: Callable[[float], Point], start: Point, bracket: list[Point], unit: float, most: int, calls: int
) -> tuple[Point, int]:
    """Narrows an interval around a point that meets the conditions."""
    low = 0 if bracket[0].loss <= bracket[1].loss else 1
    near_end = False  # whether the last point was close to an end of the interval
    while calls <= most and not abs(bracket[1].t - bracket[0].t) * unit < SMALLEST:
        t = _cubic_minimum(bracket[0], bracket[1], *_ends(bracket))
        t, near_end = _away_from_ends(t, *_ends(bracket), near_end)
        point = evaluate(t)
        calls += 1
        high = 1 - low
        if _too_high(point, start) or point.loss >= bracket[low].loss:
            bracket[high] = point
            low = 0 if bracket[0].loss <= bracket[1].loss else 1
            continue
        if _is_flat(point, start):
            return point, calls
        if point.slope * (bracket[high].t - bracket[low].t) >= 0:
            bracket[high] = bracket[low]
        bracket[low] = point
    return bracket[low], calls


def _too_high(point: Point, start: Point) -> bool:
    return point.loss > start.loss + DECREASE * point.t * start.slope


def _is_flat(point: Point, start: Point) -> bool:
    return abs(point.slope) <= -CURVATURE * start.slope


def _ends(bracket: list[Point]) -> tuple[float, float]:
    return min(p.t for p in bracket), max(p.t for p in bracket)


def _away_from_ends(t: float, first: float, last: float, again: bool) -> tuple[float, bool]:
    """t, moved off an end of the interval if it is outside or it was close the last time; and whether it still is."""
    margin = 0.1 * (last - first)
    if not min(last - t, t - first) < margin:
        return t, False
    if not (again or t >= last or t <= first):
        return t, True
    return (last - margin if abs(t - last) < abs(t - first) else first + margin), False


def _cubic_minimum(a: Point, b: Point, first: float, last: float) -> float:
    """Where the cubic with the losses and slopes of two points is least, within [first, last]; else their middle."""
    if a.t > b.t:
        a, b = b, a
    width = b.t - a.t
    d1 = a.slope + b.slope - 3 * (a.loss - b.loss) / -width if width else 0.0
    square = d1 * d1 - a.slope * b.slope
    if not (width and square >= 0):
        return (first + last) / 2
    d2 = sqrt(square)
    bend = b.slope - a.slope + 2 * d2
    t = b.t - width * ((b.slope + d2 - d1) / bend) if bend else (first + last) / 2
    return min(max(t, first), last)
