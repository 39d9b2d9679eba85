"""Sums of two arrays of one shape: of a block's output and its shortcut, and of a gradient's parts."""

import numpy as np

Array = np.ndarray


def add_forward(x: Array, residual: Array, relu: bool = False) -> Array:
    """y = x + residual, or relu of it: max(x + residual, 0), where NaN stays NaN."""
    y = x + residual
    return np.where(y < 0, 0, y) if relu else y


def add_into(total: Array, part: Array) -> None:
    """total += part, in place."""
    total += part
