"""Softmax, its logarithm, and the cross-entropy between logits and classes."""

from __future__ import annotations

import math
from typing import Any

from .. import capturing, gpu
from ..autocast import in_float32
from ..autograd import Backward, record
from ..backend import array_module, kernels_for, quiet
from ..checks import floats_of_one_dtype, require
from ..dtypes import int64, uint8
from ..layout import channels_last, contiguous, reshape
from ..tensor import Tensor

REDUCTIONS = ("none", "mean", "sum")


@in_float32
def cross_entropy(
    x: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    ignore_index: int = -100,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> Tensor:
    """Cross-entropy between the softmax of logits and the target: softmax, logarithm and likelihood in one pass.

    ``loss = −Σ_c weight[c] · q[c] · log softmax(x)[c]``. For a target class t, q is 1 at t and 0 elsewhere, so that the
    loss is ``−weight[t] · log softmax(x)[t]``; for target probabilities q is the target. Label smoothing ε makes it
    ``(1 − ε) · q + ε / C``.

    Args:
        x: logits of shape (N, C), (N, C, d1, ...) with a class for each place, or (C,).
        target: int64 (or uint8) classes of shape (N,), (N, d1, ...) or (), or probabilities of x's shape.
        weight: weight of each class, shape (C,), or None for 1.
        ignore_index: class whose places count for nothing.
        reduction: "none", "sum", or "mean": the sum divided by the sum of weight[target] over the places that count;
            for target probabilities, by the number of places.
        label_smoothing: ε, from 0 to 1.
    Returns:
        Scalar tensor, or one loss a place for "none". The mean over no places is NaN.
    Raises:
        ValueError: the shapes disagree, a class or an argument is out of range.
        TypeError: x, weight or target has another dtype.
    Example:
        >>> round(cross_entropy(at.zeros(4, 10), at.tensor([3, 1, 4, 1])).item(), 4)  # ln 10: all classes alike
        2.3026

    Source:
        Goodfellow, Bengio and Courville, Deep Learning, 2016, section 6.2.2.3; label smoothing: Szegedy et al.,
        Rethinking the Inception architecture, 2016 (arXiv 1512.00567), section 7.
    Differs from PyTorch: a class out of range is a ValueError (there an IndexError), and probabilities have x's dtype.
    """
    op = "cross_entropy"
    floats_of_one_dtype(op, ("x", "weight?"), x, weight)
    check_classes(op, x, target, weight, reduction)
    if not 0 <= label_smoothing <= 1:
        raise ValueError(f"{op}: label_smoothing is {label_smoothing}; expected 0 to 1")
    if target.shape == x.shape:
        require(ignore_index < 0, op, f"ignore_index is {ignore_index}; target probabilities have no class to ignore")
        return _soft_cross_entropy(x, target, weight, reduction, label_smoothing)
    classes = class_indices(op, x, target, ignore_index)
    planes = _planes(x.data)
    data = channels_last(planes)
    places = (data.shape[0], *data.shape[2:])  # (N, H, W)
    losses, weights, lse = kernels_for(data).cross_entropy_forward(
        data, classes.reshape(places), None if weight is None else weight.data, ignore_index, label_smoothing
    )
    total = {"none": None, "sum": 1.0}[reduction] if reduction != "mean" else total_weight(weights)
    return record(
        reduce_losses(losses, classes.shape, total),
        CrossEntropyBackward,
        inputs=(x,),
        saved=(x if data is planes else data, target if classes is target.data else classes, lse, weight),
        shape=x.shape,
        total=total,
        options=(ignore_index, label_smoothing),
    )


class CrossEntropyBackward(Backward):
    """Gradient of cross_entropy: softmax(x) less the target, each place weighted."""

    def __call__(self, grad_y):
        x, classes, lse, weight = self.saved
        grad_losses = spread(grad_y, lse, self.total)
        x, classes = channels_last(_planes(x)), classes.reshape(lse.shape)
        grad_x = kernels_for(x).cross_entropy_backward(grad_losses, x, classes, lse, weight, *self.options)
        return grad_x.reshape(self.shape)


def _soft_cross_entropy(x, target, weight, reduction, label_smoothing):
    """The part of cross_entropy for target probabilities."""
    floats_of_one_dtype("cross_entropy", ("x", "target"), x, target)
    if target.requires_grad:
        return _composed(x, target, weight, reduction, label_smoothing)
    planes = _planes(x.data)
    data = channels_last(planes)
    losses, lse = kernels_for(data).cross_entropy_soft_forward(
        data, _planes(target.data), None if weight is None else weight.data, label_smoothing
    )
    total = {"none": None, "sum": 1.0, "mean": float(losses.size)}[reduction]
    return record(
        reduce_losses(losses, (*x.shape[:1], *x.shape[2:]) if x.ndim > 1 else (), total),
        CrossEntropySoftBackward,
        inputs=(x,),
        saved=(x if data is planes else data, target, lse, weight),
        shape=x.shape,
        total=total,
        label_smoothing=label_smoothing,
    )


class CrossEntropySoftBackward(Backward):
    """Gradient of cross_entropy with target probabilities."""

    def __call__(self, grad_y):
        x, target, lse, weight = self.saved
        grad_losses = spread(grad_y, lse, self.total)
        x, target = channels_last(_planes(x)), _planes(target)
        grad_x = kernels_for(x).cross_entropy_soft_backward(grad_losses, x, target, lse, weight, self.label_smoothing)
        return grad_x.reshape(self.shape)


def _composed(x, target, weight, reduction, label_smoothing):
    """cross_entropy from smaller ops, for the rare target that wants a gradient too."""
    dim = 1 if x.ndim > 1 else 0
    q = target * (1 - label_smoothing) + label_smoothing / x.shape[dim]
    if weight is not None:
        q = q * weight.reshape(-1, *[1] * (x.ndim - dim - 1))
    losses = -(q * log_softmax(x, dim)).sum(dim)
    return losses if reduction == "none" else losses.mean() if reduction == "mean" else losses.sum()


@in_float32
def softmax(x: Tensor, dim: int) -> Tensor:
    """Positive numbers that add up to 1 along an axis: ``y_i = exp(x_i) / Σ_j exp(x_j)``.

    Args:
        x: any shape.
        dim: the axis; negative counts from the last.
    Returns:
        Tensor of x's shape.
    Raises:
        ValueError: no such axis. TypeError: x is not a float tensor, or dim no int.
    Example:
        >>> softmax(at.tensor([0.0, 0.0, -float("inf")]), 0).tolist()
        [0.5, 0.5, 0.0]

    Source:
        Goodfellow, Bengio and Courville, Deep Learning, 2016, section 6.2.2.3.
    """
    floats_of_one_dtype("softmax", ("x",), x)
    dim = _axis("softmax", x, dim)
    if not x.data.size:
        return x.clone()
    y = kernels_for(x.data).softmax_forward(_lanes(x.data, dim)).reshape(x.shape)
    return record(y, SoftmaxBackward, inputs=(x,), saved=(y,), dim=dim)


class SoftmaxBackward(Backward):
    """Gradient of softmax: ``grad_x = y · (grad_y − Σ grad_y · y)``."""

    def __call__(self, grad_y):
        (y,) = self.saved
        grad_x = kernels_for(y).softmax_backward(_lanes(grad_y, self.dim), _lanes(y, self.dim))
        return grad_x.reshape(y.shape)


@in_float32
def log_softmax(x: Tensor, dim: int) -> Tensor:
    """Logarithm of softmax without its overflow: ``y_i = x_i − log Σ_j exp(x_j)``.

    Args:
        x: any shape.
        dim: the axis; negative counts from the last.
    Returns:
        Tensor of x's shape.
    Raises:
        ValueError: no such axis. TypeError: x is not a float tensor, or dim no int.
    Example:
        >>> log_softmax(at.tensor([1000.0, 0.0]), 0).tolist()
        [0.0, -1000.0]

    Source:
        Blanchard, Higham and Higham, Accurately computing the log-sum-exp and softmax functions, 2021.
    """
    floats_of_one_dtype("log_softmax", ("x",), x)
    dim = _axis("log_softmax", x, dim)
    if not x.data.size:
        return x.clone()
    y = kernels_for(x.data).log_softmax_forward(_lanes(x.data, dim)).reshape(x.shape)
    return record(y, LogSoftmaxBackward, inputs=(x,), saved=(y,), dim=dim)


class LogSoftmaxBackward(Backward):
    """Gradient of log_softmax: ``grad_x = grad_y − exp(y) · Σ grad_y``."""

    def __call__(self, grad_y):
        (y,) = self.saved
        grad_x = kernels_for(y).log_softmax_backward(_lanes(grad_y, self.dim), _lanes(y, self.dim))
        return grad_x.reshape(y.shape)


def check_classes(op: str, x: Tensor, target: Any, weight: Tensor | None, reduction: str) -> None:
    """The checks that losses over classes share."""
    if not isinstance(target, Tensor):
        raise TypeError(f"{op}: target is a {type(target).__name__}; expected a Tensor")
    if x.ndim == 0:
        raise ValueError(f"{op}: x has shape (); expected (N, C), (N, C, d1, ...) or (C,)")
    C = x.shape[1 if x.ndim > 1 else 0]
    if weight is not None and weight.shape != (C,):
        raise ValueError(f"{op}: weight has shape {weight.shape}; expected ({C},) from x {x.shape}")
    if weight is not None and weight.requires_grad:
        raise RuntimeError(f"{op}: weight requires grad; the loss has no gradient for it, detach() it")
    if reduction not in REDUCTIONS:
        raise ValueError(f"{op}: reduction is {reduction!r}; expected one of {REDUCTIONS}")


def class_indices(op: str, x: Tensor, target: Tensor, ignore_index: int) -> Any:
    """The target's classes as an int64 array, once their shape fits x and each is a class of x or the ignored one."""
    gpu.require_one_device(op, ("x", "target"), (x, target))
    places = () if x.ndim == 1 else (x.shape[0], *x.shape[2:])
    if target.shape != places:
        raise ValueError(f"{op}: target has shape {target.shape}; expected {places} from x {x.shape}")
    dtype = target.dtype
    if dtype not in (int64, uint8):
        raise TypeError(f"{op}: target is {dtype}; expected int64 classes")
    classes = target.data if dtype == int64 else target.data.astype(int64)
    C = x.shape[1 if x.ndim > 1 else 0]
    capture = capturing.current() if capturing.active else None
    if capture is not None and not capture.rehearsal:
        return capture.legal_classes(op, classes, C, ignore_index)
    if _on_gpu(classes) and target._lies_in(C):
        outside = None
    elif capture is None and _on_gpu(classes):
        outside = gpu.kernels.class_outside(classes, C, ignore_index)
    else:
        outside = _outside(classes, C, ignore_index)
    if outside is not None:
        raise ValueError(f"{op}: target has class {outside}; expected 0 to {C - 1} from x {x.shape}")
    return classes if capture is None else capture.legal_classes(op, classes, C, ignore_index)


def _outside(classes: Any, C: int, ignore_index: int) -> int | None:
    """The first class out of range, but for the ignored one."""
    if classes.size and classes.view("uint64").max() >= C:  # a negative class is a huge one there
        bad = classes[((classes < 0) | (classes >= C)) & (classes != ignore_index)]
        if bad.size:
            return int(bad[0])
    return None


def _on_gpu(array: Any) -> bool:
    """Whether there are kernels of ours for the array, where it is."""
    return gpu.kernels is not None and gpu.holds(array)


# On a GPU a sum stays there, as an array of one: reading it would wait for all that came before.


def total_weight(weights: Any) -> Any:
    """The sum of the weights."""
    total = weights.sum()
    return total if _on_gpu(weights) else float(total)


def reduce_losses(losses: Any, shape: tuple[int, ...], total: Any) -> Any:
    """The losses in `shape`, or where `total` is given, their sum divided by it."""
    if total is None:
        return losses.reshape(shape)
    if _on_gpu(losses):
        return gpu.kernels.quotient(losses.sum(), total, ())
    value = float(quiet.run(losses.sum))
    return array_module(losses).asarray(ratio(value, total), dtype=losses.dtype)


def spread(grad_y: Any, losses: Any, total: Any) -> Any:
    """The gradient of each loss, from that of what `reduce_losses` made of them."""
    if total is None:
        return grad_y.reshape(losses.shape)
    if _on_gpu(losses):
        return gpu.kernels.quotient(grad_y, total, losses.shape)
    return array_module(losses).full(losses.shape, ratio(float(grad_y), total), dtype=losses.dtype)


def ratio(a: float, b: float) -> float:
    """a / b, NaN where b is 0: a mean over nothing."""
    return a / b if b else math.nan


def _planes(x):
    """(N, C, ...) or (C,) as (N, C, H, W): a view where the memory allows it."""
    if x.ndim == 4:
        return x
    if x.ndim == 1:
        return reshape(x, (1, x.shape[0], 1, 1))
    N, C, *rest = x.shape
    return reshape(x, (N, C, 1, math.prod(rest)))


def _lanes(x, dim):
    """(before, C, after) around the axis, as (before, C, 1, after); a 4-D map stays what it is along its channels."""
    if x.ndim == 4 and dim == 1:
        return channels_last(x)
    C = x.shape[dim] if x.ndim else 1
    return reshape(contiguous(x), (math.prod(x.shape[:dim]), C, 1, math.prod(x.shape[dim + 1 :])))


def _axis(op, x, dim):
    """The axis as a number from 0; a scalar counts as one element."""
    if isinstance(dim, bool) or not isinstance(dim, int):
        raise TypeError(f"{op}: dim is {dim!r}; expected an int")
    ndim = max(x.ndim, 1)
    if not -ndim <= dim < ndim:
        raise ValueError(f"{op}: dim is {dim}; expected {-ndim} to {ndim - 1} from x {x.shape}")
    return dim % ndim
