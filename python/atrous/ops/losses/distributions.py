"""Losses that are negative log-likelihoods, or divergences, of distributions."""

from __future__ import annotations

import math

from ...autocast import in_float32
from ...checks import floats_of_one_dtype, require
from ...tensor import Tensor
from ..elementwise import where
from ..loss import _check_reduction, _reduced
from .pairs import at_least, check_broadcast, promoted


@in_float32
def kl_div(input: Tensor, target: Tensor, *, reduction: str = "mean", log_target: bool = False) -> Tensor:
    """Divergence ``t · (log t − x)`` of log-probabilities x from a distribution t; 0 where t is 0.

    Args:
        input: log-probabilities.
        target: probabilities, or with `log_target` their logarithms.
        reduction: "batchmean" too: the sum divided by the size of the first axis, which is the divergence of
            distributions in the rows; "mean" divides by the number of all elements.
    Example:
        >>> kl_div(at.tensor([[0.5, 0.5]]).log(), at.tensor([[0.5, 0.5]])).item()
        0.0

    Source:
        Kullback and Leibler, On information and sufficiency, 1951.
    """
    op = "kl_div"
    floats_of_one_dtype(op, ("input", "target"), input, target)
    if reduction != "batchmean":
        _check_reduction(op, reduction)
    check_broadcast(op, input, target)
    if log_target:
        losses = target.exp() * (target - input)
    else:
        empty = target == 0
        losses = target * (where(empty, 1.0, target).log() - input)
    if reduction != "batchmean":
        return _reduced(losses, reduction)
    require(input.ndim > 0, op, "the input has no axes; 'batchmean' needs one")
    return losses.sum() / input.shape[0]


@in_float32
def poisson_nll_loss(
    input: Tensor,
    target: Tensor,
    log_input: bool = True,
    full: bool = False,
    *,
    eps: float = 1e-8,
    reduction: str = "mean",
) -> Tensor:
    """Negative log-likelihood of counts: ``exp(x) − t · x``, or of a rate itself ``x − t · log(x + eps)``.

    Args:
        input: logarithms of rates; rates where `log_input` is False.
        target: counts.
        full: with Stirling's ``t · log t − t + log(2πt) / 2`` where t is above 1.
    Example:
        >>> poisson_nll_loss(at.tensor([0.0]), at.tensor([2.0])).item()
        1.0

    Source:
        McCullagh and Nelder, Generalized Linear Models, 1989, chapter 6.
    """
    op, target = "poisson_nll_loss", promoted(target, input)
    floats_of_one_dtype(op, ("input", "target"), input, target)
    _check_reduction(op, reduction)
    check_broadcast(op, input, target)
    losses = input.exp() - target * input if log_input else input - target * (input + eps).log()
    if full:
        many = where(target > 1, target, 1.0)
        stirling = many * many.log() - many + (many * (2 * math.pi)).log() * 0.5
        losses = losses + where(target > 1, stirling, 0.0)
    return _reduced(losses, reduction)


@in_float32
def gaussian_nll_loss(
    input: Tensor,
    target: Tensor,
    var: Tensor | float,
    full: bool = False,
    eps: float = 1e-6,
    reduction: str = "mean",
) -> Tensor:
    """Negative log-likelihood of a normal distribution: ``(log v + (x − t)² / v) / 2``, v = max(var, eps).

    Args:
        input: means.
        target: samples; broadcasts.
        var: variances, of the input's shape, or with 1 for one of its axes, or without the last, or a number. Its
            gradient passes where it was raised to eps, too.
        full: with ``log(2π) / 2``.
    Raises:
        ValueError: a negative variance.
    Example:
        >>> gaussian_nll_loss(at.tensor([0.0]), at.tensor([2.0]), at.tensor([1.0])).item()
        2.0

    Source:
        Nix and Weigend, Estimating the mean and variance of the target probability distribution, 1994.
    """
    op, target = "gaussian_nll_loss", promoted(target, input)
    if not isinstance(var, Tensor):
        require(var >= 0, op, f"var is {var}; expected 0 or more")
        var = input.detach() * 0 + var
    floats_of_one_dtype(op, ("input", "target", "var"), input, target, var)
    _check_reduction(op, reduction)
    check_broadcast(op, input, target)
    if var.shape != input.shape:
        expected = f"var has shape {var.shape}; expected that of input {input.shape}, one axis may be 1"
        if var.shape == input.shape[:-1]:
            var = var.unsqueeze(-1)
        require(var.ndim == input.ndim, op, expected)
        require([b for a, b in zip(input.shape, var.shape, strict=True) if a != b] in ([], [1]), op, expected)
    require(not bool((var < 0).any().item()), op, "var holds negative numbers")
    var = at_least(var, eps)
    losses = (var.log() + (input - target) ** 2 / var) * 0.5
    return _reduced(losses + 0.5 * math.log(2 * math.pi) if full else losses, reduction)
