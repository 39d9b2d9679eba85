"""What all metrics share, and means of numbers."""

from __future__ import annotations

import math
from typing import Any

from ..backend import array_module, quiet
from ..checks import require
from ..tensor import Tensor


class Metric:
    """Base class: a subclass says in `reset` where it starts, and how to `update` and `compute`."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forgets all batches, as at the start of an epoch."""
        raise NotImplementedError

    def update(self, *args: Any, **kwargs: Any) -> None:
        """Takes a batch in."""
        raise NotImplementedError

    def compute(self) -> Any:
        """The measure over all batches since `reset`; it may be asked for at any time."""
        raise NotImplementedError


class Mean(Metric):
    """The weighted mean of numbers, such as the loss of each batch weighted by its size.

    Example:
        >>> loss = at.metrics.Mean()
        >>> loss.update(2.0, weight=3)
        >>> loss.update(at.tensor(6.0))
        >>> loss.compute()
        3.0
    """

    def reset(self) -> None:
        self.total = self.weight = 0.0

    def update(self, value: Any, weight: Any = 1) -> None:
        """Takes a number in.

        Args:
            value: a number, or a tensor of one element.
            weight: a finite number, 0 or more; at 0 the value is passed over, NaN or not.
        Raises:
            ValueError: value or weight is no such number.
        """
        value, weight = number("value", value), number("weight", weight)
        require(0 <= weight < math.inf, "Mean", f"weight is {weight}; expected a finite number of 0 or more")
        if weight:
            self.total += value * weight
            self.weight += weight

    def compute(self) -> float:
        """The mean."""
        return self.total / self.weight if self.weight else math.nan


class MeanSquaredError(Metric):
    """The mean of ``(output − target)²`` over all elements of all batches, in float64.

    Example:
        >>> error = at.metrics.MeanSquaredError()
        >>> error.update(at.tensor([1.0, 2.0]), at.tensor([1.0, 4.0]))
        >>> error.compute()
        2.0
    """

    def reset(self) -> None:
        self.total, self.seen = 0.0, 0

    def update(self, output: Tensor, target: Tensor) -> None:
        """Takes a batch in.

        Args:
            output, target: floats of one shape.
        Raises:
            ValueError: shapes or dtypes do not fit. TypeError: something is no tensor.
        """
        op = "MeanSquaredError"
        check_tensors(op, "f", "floats", output=output, target=target)
        require(output.shape == target.shape, op, f"target has shape {target.shape}; expected {output.shape} as output")
        self.total += quiet.run(_squared_error, output.data, target.data)
        self.seen += output.numel()

    def compute(self) -> float:
        """The mean."""
        return self.total / self.seen if self.seen else math.nan


def _squared_error(x: Any, y: Any) -> float:
    return float(array_module(x).square(x.astype("float64") - y).sum())


def check_tensors(op: str, kinds: str, expected: str, **tensors: Any) -> None:
    """Raises unless all of these are tensors whose dtypes are of these kinds.

    Example:
        >>> check_tensors("Accuracy", "iu", "int64 classes", target=at.tensor([1]))
    """
    for name, t in tensors.items():
        if not isinstance(t, Tensor):
            raise TypeError(f"{op}: {name} is a {type(t).__name__}; expected a Tensor")
        kind = "f" if t.is_floating_point() else t.dtype.kind
        require(kind in kinds, op, f"{name} is {t.dtype}; expected {expected}")


def number(name: str, value: Any) -> float:
    """A number, or a tensor of one element, as a float.

    Example:
        >>> number("value", at.tensor([2]))
        2.0
    """
    try:
        return float(value)
    except (TypeError, ValueError):
        raise ValueError(f"Mean: {name} is {value!r}; expected one number") from None
