"""Checks that layers make on their constructor arguments."""

from __future__ import annotations

import operator
from typing import Any

from ..checks import pair, require, single


def check_sizes(op: str, **sizes: Any) -> None:
    """Raises unless every keyword is an integer of 1 or more; the message names it."""
    for name, size in sizes.items():
        try:
            valid = not isinstance(size, bool) and operator.index(size) >= 1
        except TypeError:
            raise TypeError(f"{op}: {name} is {size!r}; expected an int") from None
        require(valid, op, f"{name} is {size!r}; expected 1 or more")


def pair_of_at_least(least: int, value: Any, op: str, name: str) -> tuple[int, int]:
    """`value` as (height, width), both at least `least`."""
    sizes = pair(value, op, name)
    require(min(sizes) >= least, op, f"{name} is {value}; expected {least} or more")
    return sizes


def sizes_of_at_least(least: int, axes: int, value: Any, op: str, name: str) -> tuple[int, ...]:
    """`value` as (length,) or (height, width), for one or two axes, all at least `least`."""
    if axes == 2:
        return pair_of_at_least(least, value, op, name)
    size = single(value, op, name)
    require(size >= least, op, f"{name} is {value}; expected {least} or more")
    return (size,)
