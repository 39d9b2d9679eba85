"""Losses of the distance to a target: squared, absolute, and both in one."""

from __future__ import annotations

import warnings

from ...autocast import in_float32
from ...checks import require
from ...dtypes import FLOATS
from ...tensor import Tensor
from ..loss import _broadcasts_to, _check_reduction, _reduced
from ..piecewise import clamp


@in_float32
def mse_loss(input: Tensor, target: Tensor, *, reduction: str = "mean", weight: Tensor | None = None) -> Tensor:
    """Squared error ``(x − t)²``; "mean" divides by the number of elements.

    (Some books halve it: their ``½ Σ (x − t)²`` is half of "sum".)

    Args:
        input, target: one shape. Other shapes broadcast, with a warning, since it is seldom meant.
        reduction: "none", "mean" or "sum".
        weight: a factor of each element, the input's shape; "mean" then divides by the sum of the weights.
    Raises:
        ValueError: the shapes do not broadcast, or reduction is unknown. TypeError: no float tensors.
    Example:
        >>> mse_loss(at.tensor([1.0, 2.0]), at.tensor([1.0, 4.0])).item()
        2.0

    Source:
        Bishop, Pattern Recognition and Machine Learning, 2006, section 1.1.
    """
    difference = _difference("mse_loss", input, target, reduction, weight)
    return _weighted(difference * difference, reduction, weight)


@in_float32
def l1_loss(input: Tensor, target: Tensor, *, reduction: str = "mean", weight: Tensor | None = None) -> Tensor:
    """Absolute error ``|x − t|``; its gradient is 0 where they agree.

    Args:
        input, target, reduction, weight: as in `mse_loss`.
    Raises:
        ValueError: the shapes do not broadcast, or reduction is unknown. TypeError: no float tensors.
    Example:
        >>> l1_loss(at.tensor([1.0, 2.0]), at.tensor([1.0, 5.0])).item()
        1.5

    Source:
        Boyd and Vandenberghe, Convex Optimization, 2004, section 6.1.
    """
    return _weighted(_difference("l1_loss", input, target, reduction, weight).abs(), reduction, weight)


@in_float32
def smooth_l1_loss(input: Tensor, target: Tensor, *, reduction: str = "mean", beta: float = 1.0) -> Tensor:
    """``d²/2β`` of the distance ``d = |x − t|`` where it is below beta, else ``d − β/2``.

    Raises:
        ValueError: beta below 0.
    Example:
        >>> smooth_l1_loss(at.tensor([0.0, 0.0]), at.tensor([1.0, 3.0])).item()
        1.5

    Source:
        Girshick, Fast R-CNN, 2015 (arXiv 1504.08083).
    """
    require(beta >= 0, "smooth_l1_loss", f"beta is {beta}; expected 0 or more")
    distance = _difference("smooth_l1_loss", input, target, reduction).abs()
    if beta > 0:
        near = clamp(distance, max=beta)  # a square up to beta, a line from there on: no Inf meets a 0
        distance = near * near * (0.5 / beta) + (distance - near)
    return _reduced(distance, reduction)


@in_float32
def huber_loss(
    input: Tensor, target: Tensor, reduction: str = "mean", delta: float = 1.0, weight: Tensor | None = None
) -> Tensor:
    """``d²/2`` of the distance ``d = |x − t|`` where it is below delta, else ``delta · (d − delta/2)``.

    Args:
        weight: a factor of each element, the input's shape. "mean" divides by the number of elements all the same:
            PyTorch divides `mse_loss` and `l1_loss`, but not this one, by the sum of the weights.
    Raises:
        ValueError: delta not above 0.
    Example:
        >>> huber_loss(at.tensor([0.0, 0.0]), at.tensor([1.0, 3.0])).item()
        1.5

    Source:
        Huber, Robust estimation of a location parameter, 1964.
    """
    require(delta > 0, "huber_loss", f"delta is {delta}; expected a positive number")
    distance = _difference("huber_loss", input, target, reduction, weight).abs()
    near = clamp(distance, max=delta)
    losses = near * near * 0.5 + (distance - near) * delta
    return _reduced(losses if weight is None else losses * weight, reduction)


def _difference(op: str, input: Tensor, target: Tensor, reduction: str, weight: Tensor | None = None) -> Tensor:
    for name, t in (("input", input), ("target", target), *([("weight", weight)] if weight is not None else [])):
        if not isinstance(t, Tensor):
            raise TypeError(f"{op}: {name} is a {type(t).__name__}; expected a Tensor")
    if input.dtype.kind not in FLOATS and target.dtype.kind not in FLOATS:
        raise TypeError(f"{op}: input is {input.dtype} and target {target.dtype}; expected floats")
    _check_reduction(op, reduction)
    if input.shape != target.shape:
        shapes = f"input has shape {input.shape} and target {target.shape}"
        require(_broadcasts_to(input.shape, target.shape, both=True), op, f"{shapes}; they do not broadcast")
        warnings.warn(f"{op}: {shapes}; they broadcast", stacklevel=4)
    if weight is not None:
        require(weight.shape == input.shape, op, f"weight has shape {weight.shape}; expected {input.shape} as input")
    return input - target


def _weighted(losses: Tensor, reduction: str, weight: Tensor | None) -> Tensor:
    if weight is None:
        return _reduced(losses, reduction)
    losses = losses * weight
    return losses.sum() / weight.sum() if reduction == "mean" else _reduced(losses, reduction)
