"""Losses with a backward of their own in Python: negative log-likelihood and binary cross-entropy."""

from __future__ import annotations

from typing import Any

from ..autocast import current, in_float32
from ..autograd import Backward, record
from ..backend import array_module, quiet
from ..checks import floats_of_one_dtype, require
from ..tensor import Tensor
from .cross_entropy import REDUCTIONS, check_classes, class_indices, reduce_losses, spread, total_weight


@in_float32
def nll_loss(
    x: Tensor, target: Tensor, weight: Tensor | None = None, ignore_index: int = -100, reduction: str = "mean"
) -> Tensor:
    """Negative log-likelihood of the target classes: ``loss = −weight[t] · x[t]``.

    Args:
        x: log-probabilities, as `log_softmax` gives them, of shape (N, C), (N, C, d1, ...) or (C,).
        target: int64 (or uint8) classes of shape (N,), (N, d1, ...) or ().
        weight: weight of each class, shape (C,), or None for 1.
        ignore_index: class whose places count for nothing.
        reduction: "none", "sum", or "mean": the sum divided by the sum of weight[target] over the places that count.
    Returns:
        Scalar tensor, or target's shape for "none". The mean over no places is NaN.
    Raises:
        ValueError: the shapes disagree, a class or an argument is out of range.
        TypeError: x, weight or target has another dtype.
    Example:
        >>> nll_loss(at.tensor([[-1.0, -2.0], [-3.0, -4.0]]), at.tensor([0, 1])).item()
        2.5

    Source:
        Bishop, Pattern Recognition and Machine Learning, 2006, section 4.3.4.
    Differs from PyTorch: a class out of range is a ValueError (there an IndexError).
    """
    floats_of_one_dtype("nll_loss", ("x", "weight?"), x, weight)
    check_classes("nll_loss", x, target, weight, reduction)
    classes = class_indices("nll_loss", x, target, ignore_index)
    axis = 1 if x.ndim > 1 else 0
    class_weights = None if weight is None else weight.data
    losses, weights = quiet.run(_class_losses, x.data, axis, classes, class_weights, ignore_index)
    total = {"none": None, "sum": 1.0}[reduction] if reduction != "mean" else total_weight(weights)
    value = reduce_losses(losses, target.shape, total)
    saved = (target if classes is target.data else classes, weights)
    attributes = {"shape": x.shape, "axis": axis, "ignore_index": ignore_index, "total": total}
    return record(value, NllLossBackward, inputs=(x,), saved=saved, **attributes)


def _class_losses(x: Any, axis: int, classes: Any, weight: Any, ignore_index: int) -> tuple[Any, Any]:
    """Losses and their weights, both 0 where the class is ignored."""
    xp = array_module(x)
    kept, index = _split(classes, ignore_index)
    zero, one = xp.zeros((), x.dtype), xp.ones((), x.dtype)
    weights = xp.where(kept, one if weight is None else weight[index], zero)
    picked = xp.take_along_axis(x, xp.expand_dims(index, axis), axis).squeeze(axis)
    return xp.where(kept, -weights * picked, zero), weights


def _split(classes: Any, ignore_index: int) -> tuple[Any, Any]:
    """Which places count, and the classes with 0 in place of the ignored one."""
    kept = classes != ignore_index
    return kept, array_module(classes).where(kept, classes, 0)


class NllLossBackward(Backward):
    """Gradient of nll_loss: −weight[t] at the target class, 0 elsewhere."""

    def __call__(self, grad_y):
        classes, weights = self.saved
        xp, axis = array_module(grad_y), self.axis
        kept, index = _split(classes, self.ignore_index)
        grad = xp.where(kept, -weights * spread(grad_y, weights, self.total), xp.zeros((), weights.dtype))
        grad_x = xp.zeros(self.shape, grad_y.dtype)
        xp.put_along_axis(grad_x, xp.expand_dims(index, axis), xp.expand_dims(grad, axis), axis)
        return grad_x


def binary_cross_entropy(
    input: Tensor, target: Tensor, weight: Tensor | None = None, *, reduction: str = "mean"
) -> Tensor:
    """Binary cross-entropy of probabilities: ``−weight · (t · log x + (1 − t) · log(1 − x))``.

    Logarithms below −100 count as −100, so that no loss is infinite; the gradient's ``x(1 − x)`` is 1e-12 at least.
    Of logits, take `binary_cross_entropy_with_logits`, which loses no digits.

    Args:
        input: probabilities, any shape.
        target: probabilities, the input's shape.
        weight: factor of each element; broadcasts to the input. None for 1.
        reduction: "none", "mean" or "sum".
    Returns:
        Scalar tensor, or the input's shape for "none".
    Raises:
        ValueError: the shapes disagree, something is not between 0 and 1, or reduction is unknown.
        TypeError: no float tensors of one dtype.
        RuntimeError: in autocast on a GPU, as in PyTorch: the probabilities come in 16 bits, too few near 0 and 1.
    Example:
        >>> round(binary_cross_entropy(at.tensor([0.5]), at.tensor([1.0])).item(), 4)  # ln 2
        0.6931

    Source:
        Bishop, Pattern Recognition and Machine Learning, 2006, section 4.3.2.
    """
    if current.dtype is not None and isinstance(input, Tensor) and input.device != "cpu":
        raise RuntimeError(
            "binary_cross_entropy: in autocast the probabilities may have lost their digits; "
            "take binary_cross_entropy_with_logits, which needs none"
        )
    return _of_probabilities(input, target, weight, reduction)


@in_float32
def _of_probabilities(input: Tensor, target: Tensor, weight: Tensor | None, reduction: str) -> Tensor:
    op = "binary_cross_entropy"
    floats_of_one_dtype(op, ("input", "target", "weight?"), input, target, weight)
    _check_reduction(op, reduction)
    require(target.shape == input.shape, op, f"target has shape {target.shape}; expected {input.shape} as input")
    _check_factors(op, input, weight=weight)
    for name, values in (("input", input), ("target", target)):
        inside = (values.data >= 0) & (values.data <= 1)
        require(bool(inside.all()), op, f"{name} holds a number that is not between 0 and 1")
    factor = None if weight is None else weight.data
    losses = quiet.run(_probability_losses, input.data, target.data, factor)
    total = {"none": None, "sum": 1.0, "mean": float(losses.size)}[reduction]
    value = reduce_losses(losses, input.shape, total)
    saved = (input, target, weight)
    return record(value, ProbabilityCrossEntropyBackward, inputs=(input, target), saved=saved, total=total)


def _probability_losses(x: Any, t: Any, weight: Any) -> Any:
    xp = array_module(x)
    yes, no = xp.maximum(xp.log(x), -100), xp.maximum(xp.log1p(-x), -100)
    losses = (t - 1) * no - t * yes
    return losses if weight is None else losses * weight


TINY = 9.999999960041972e-13  # 1e-12 as a float32, which is what PyTorch divides by in float64, too


class ProbabilityCrossEntropyBackward(Backward):
    """Gradients of binary_cross_entropy: ``(x − t) / (x(1 − x))`` and ``log(1 − x) − log x``."""

    def __call__(self, grad_y):
        x, t, weight = self.saved
        xp = array_module(x)
        grad = spread(grad_y, x, self.total)
        grad = grad if weight is None else grad * weight
        needs_x, needs_target = self.needs
        return (
            quiet.run(lambda: grad * (x - t) / xp.maximum((1 - x) * x, TINY)) if needs_x else None,
            quiet.run(lambda: grad * (xp.log1p(-x) - xp.log(x))) if needs_target else None,
        )


@in_float32
def binary_cross_entropy_with_logits(
    x: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    pos_weight: Tensor | None = None,
    reduction: str = "mean",
) -> Tensor:
    """Binary cross-entropy of sigmoid(x), for each element on its own, without overflow.

    ``loss = −weight · (pos_weight · t · log σ(x) + (1 − t) · log σ(−x))``

    Args:
        x: logits, any shape.
        target: probabilities, x's shape.
        weight: factor of each element; broadcasts to x. None for 1.
        pos_weight: factor of the positive part, usually one a class; broadcasts to x. None for 1.
        reduction: "none", "mean" or "sum".
    Returns:
        Scalar tensor, or x's shape for "none".
    Raises:
        ValueError: the shapes disagree, or reduction is unknown. TypeError: no float tensors of one dtype.
    Example:
        >>> round(binary_cross_entropy_with_logits(at.tensor([0.0]), at.tensor([1.0])).item(), 4)  # ln 2
        0.6931

    Source:
        Goodfellow, Bengio and Courville, Deep Learning, 2016, section 6.2.2.2.
    """
    op = "binary_cross_entropy_with_logits"
    floats_of_one_dtype(op, ("x", "target", "weight?", "pos_weight?"), x, target, weight, pos_weight)
    _check_reduction(op, reduction)
    require(target.shape == x.shape, op, f"target has shape {target.shape}; expected {x.shape} from x")
    _check_factors(op, x, weight=weight, pos_weight=pos_weight)
    factors = [None if factor is None else factor.data for factor in (weight, pos_weight)]
    losses = quiet.run(_binary_losses, x.data, target.data, *factors)
    total = {"none": None, "sum": 1.0, "mean": float(losses.size)}[reduction]
    value = reduce_losses(losses, x.shape, total)
    saved = (x, target, weight, pos_weight)
    return record(value, BinaryCrossEntropyBackward, inputs=(x, target), saved=saved, total=total)


def _binary_losses(x: Any, t: Any, weight: Any, pos_weight: Any) -> Any:
    positive = t if pos_weight is None else pos_weight * t
    losses = positive * _softplus(-x) + (1 - t) * _softplus(x)
    return losses if weight is None else losses * weight


class BinaryCrossEntropyBackward(Backward):
    """Gradients of binary_cross_entropy_with_logits; of x it is σ(x) − t where there are no weights."""

    def __call__(self, grad_y):
        x, t, weight, pos_weight = self.saved
        grad = spread(grad_y, x, self.total)
        needs_x, needs_target = self.needs
        return (
            _binary_grad_x(grad, x, t, weight, pos_weight) if needs_x else None,
            _binary_grad_target(grad, x, weight, pos_weight) if needs_target else None,
        )


def _binary_grad_x(grad: Any, x: Any, t: Any, weight: Any, pos_weight: Any) -> Any:
    positive = t if pos_weight is None else pos_weight * t
    grad_x = grad * ((1 - t) * _sigmoid(x) - positive * _sigmoid(-x))
    return grad_x if weight is None else grad_x * weight


def _binary_grad_target(grad: Any, x: Any, weight: Any, pos_weight: Any) -> Any:
    positive = _softplus(-x) if pos_weight is None else pos_weight * _softplus(-x)
    grad_target = grad * (positive - _softplus(x))
    return grad_target if weight is None else grad_target * weight


def _sigmoid(x: Any) -> Any:
    """1 / (1 + exp(−x)), written with exp(−|x|), which cannot overflow."""
    xp = array_module(x)
    e = xp.exp(-xp.abs(x))
    return xp.where(x < 0, e, 1) / (1 + e)


def _softplus(x: Any) -> Any:
    """log(1 + exp(x)), written with exp(−|x|), which cannot overflow."""
    xp = array_module(x)
    return xp.maximum(x, 0) + xp.log1p(xp.exp(-xp.abs(x)))


def _check_factors(op: str, x: Tensor, **factors: Tensor | None) -> None:
    for name, factor in factors.items():
        if factor is not None and not _broadcasts_to(factor.shape, x.shape):
            raise ValueError(f"{op}: {name} has shape {factor.shape}; expected one that broadcasts to x {x.shape}")
        if factor is not None and factor.requires_grad:
            raise RuntimeError(f"{op}: {name} requires grad; the loss has no gradient for it, detach() it")


def _reduced(losses: Tensor, reduction: str) -> Tensor:
    return losses if reduction == "none" else losses.mean() if reduction == "mean" else losses.sum()


def _check_reduction(op: str, reduction: str) -> None:
    require(reduction in REDUCTIONS, op, f"reduction is {reduction!r}; expected one of {REDUCTIONS}")


def _broadcasts_to(shape: tuple[int, ...], other: tuple[int, ...], both: bool = False) -> bool:
    """Whether `shape` broadcasts to `other`; with `both`, whether the two broadcast together."""
    if len(shape) > len(other) and not both:
        return False
    return all(m in (1, n) or (both and n == 1) for m, n in zip(reversed(shape), reversed(other), strict=False))
