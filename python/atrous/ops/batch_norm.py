"""Batch normalisation over (N, C), (N, C, L) and (N, C, H, W)."""

from __future__ import annotations

from math import prod
from typing import Any

from .. import fusion
from ..autograd import Backward, increment_version, record
from ..backend import array_module, kernels_for, quiet
from ..checks import floats_of_one_dtype, in_compute_dtype
from ..dtypes import compute_dtype
from ..grad_mode import no_grad
from ..graph import recorded
from ..layout import channels_last, reshape
from ..tensor import Tensor

NAMES = ("x", "running_mean?", "running_var?", "weight?", "bias?")
EPILOGUE = ("relu", "residual", "relu_last")  # what batch_norm_forward does besides


def batch_norm(
    x: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
    num_batches_tracked: Tensor | None = None,
) -> Tensor:
    """Brings each channel to mean 0 and variance 1 over the batch, then scales and shifts it.

    ``y = weight[c] · (x − mean[c]) / sqrt(var[c] + eps) + bias[c]``. In training, mean and var (the biased one, divided
    by the count) are the batch's, and the running statistics move towards it:
    ``running = (1 − momentum) · running + momentum · batch``, there with the unbiased variance. Otherwise mean and var
    are the running statistics.

    Args:
        x: shape (N, C), (N, C, L) or (N, C, H, W); any number of axes after C works.
        running_mean, running_var: shape (C,), updated in place in training; both None to keep none (training only).
        weight, bias: shape (C,), or None for 1 and 0.
        training: use the batch's statistics.
        momentum: share of the batch in the running statistics.
        eps: added to the variance.
        num_batches_tracked: of int64 and shape (), one more after each call in training; beside running statistics.
    Returns:
        Tensor of x's shape.
    Raises:
        ValueError: the shapes disagree, one value a channel in training, or eps ≤ 0 in training.
        TypeError: an argument is not a float tensor, or the dtypes differ.
        RuntimeError: a running statistic requires grad.
    Example:
        >>> x = at.tensor([[1.0], [3.0]])
        >>> [round(v, 3) for v in batch_norm(x, None, None, training=True).flatten().tolist()]
        [-1.0, 1.0]

    Source:
        Ioffe and Szegedy, Batch normalization, 2015 (arXiv 1502.03167). The paper's running average weighs the old
        value with its momentum; here, as in PyTorch, momentum weighs the new one.
    """
    floats_of_one_dtype("batch_norm", NAMES, x, running_mean, running_var, weight, bias)
    shape = x.shape
    _check(shape, running_mean, running_var, weight, bias, training, momentum, eps)
    if (x._pending or x.data).dtype.itemsize == 2:
        weight, bias, *wide = in_compute_dtype(weight, bias, running_mean, running_var)
        if wide[0] is not running_mean or wide[1] is not running_var:
            rest = (weight, bias, training, momentum, eps, num_batches_tracked)
            return _with_half_statistics(running_mean, running_var, wide, x, *rest)
    if x._pending is not None and not training and not x._requires_grad and not recorded(weight, bias):
        pending = _folded(x._pending, running_mean, running_var, weight, bias, eps)
        if pending is not None:
            return Tensor(pending)
    planes = _planes(x.data)
    data = channels_last(planes)
    kernels = kernels_for(data)
    scale, shift = None if weight is None else weight.data, None if bias is None else bias.data
    if training and data.size:
        backward: type[Backward] = BatchNormTrainBackward
        if running_mean is None or running_var is None:
            statistics = kernels.batch_norm_statistics(data)
        else:
            written = [running_mean, running_var]
            if num_batches_tracked is not None:
                written.append(num_batches_tracked)
            old_mean, old_var, *batches = [tensor.data for tensor in written]
            fusion.finish(old_mean, old_var)
            statistics = quiet.run(kernels.batch_norm_statistics, data, old_mean, old_var, momentum, *batches)
            increment_version(*written)
        mean, var = statistics
    else:  # an empty batch has no statistics: any will do
        backward = BatchNormEvalBackward
        if training and num_batches_tracked is not None:
            num_batches_tracked.add_(1)
        if running_mean is not None and running_var is not None:
            statistics = (running_mean, running_var)
        else:
            statistics = _zero_and_one(data)
        mean, var = statistics[0].data, statistics[1].data
    arguments = (data, scale, shift, mean, var, eps)
    y: Any = fusion.pend(kernels, kernels.batch_norm_forward, arguments, shape, EPILOGUE, cheap=True)
    if y is None or len(shape) != 4:
        y, shift, bias_at = kernels.batch_norm_forward(*arguments), None, None
        if len(shape) != 4:
            y = y.reshape(shape)
    else:  # with the shift the backward finds relu's mask, unless somebody wrote to the bias since
        bias_at = None if bias is None else (bias._version, bias._version[0])
    saved = (x if data is planes else data, weight, shift, *statistics)
    return record(y, backward, inputs=(x, weight, bias), saved=saved, eps=eps, bias_at=bias_at)


def _with_half_statistics(running_mean, running_var, wide, x, *arguments):
    """batch_norm whose running statistics have 16 bits: by float32 copies of them, which are written back."""
    y = batch_norm(x, *wide, *arguments)
    with no_grad():
        running_mean.copy_(wide[0])
        running_var.copy_(wide[1])
    return y


def _folded(pending, running_mean, running_var, weight, bias, eps):
    """A convolution that waits, with the batch-norm in its scale and bias; None where the kernel cannot do that."""
    kernels = kernels_for(pending)
    if pending.epilogue or not pending.takes_also(kernels, "scale"):
        return None
    mean, var, xp = running_mean.data, running_var.data, array_module(running_mean.data)
    scale = quiet.run(xp.divide, 1.0 if weight is None else weight.data, xp.sqrt(var + eps))  # (C,), as what follows
    shift = -mean * scale if bias is None else bias.data - mean * scale
    conv_bias = pending.arguments[2]
    folded = shift if conv_bias is None else shift + conv_bias * scale

    def rest(y):  # of the convolution's values, should somebody else have asked for them
        return kernels.batch_norm_forward(y, scale, shift, xp.zeros_like(mean), xp.ones_like(mean), 0.0)

    return pending.followed_by({"scale": scale}, rest, bias=folded)


class BatchNormTrainBackward(Backward):
    """Gradients of batch_norm by the batch's own statistics, through which every output depends on every input."""

    masks = True

    def __call__(self, grad_y):
        return _gradients("batch_norm_backward_train", grad_y, self)


class BatchNormEvalBackward(Backward):
    """Gradients of batch_norm by given statistics, an affine map of each channel."""

    masks = True

    def __call__(self, grad_y):
        return _gradients("batch_norm_backward_eval", grad_y, self)


def _gradients(function, grad_y, node):
    """By the kernel; of relu's output, where that came along and nobody asked for the gradient in between."""
    x, weight, shift, mean, var = node.saved
    if x.ndim != 4:
        x = channels_last(_planes(x))
    relu = type(grad_y) is fusion.MaskedGradient
    if relu and node.bias_at is not None and node.bias_at[0][0] != node.bias_at[1]:
        grad_y, relu = grad_y.array(), False
    elif relu:
        grad_y = grad_y.grad
    planes = channels_last(_planes(grad_y))
    grads = getattr(kernels_for(x), function)(planes, x, weight, shift, mean, var, node.eps, relu)
    return grads if grad_y.ndim == 4 else (grads[0].reshape(grad_y.shape), *grads[1:])


def _check(x, running_mean, running_var, weight, bias, training, momentum, eps):
    """x is a shape."""
    if len(x) < 2:
        raise ValueError(f"batch_norm: x has shape {x}; expected (N, C), (N, C, L) or (N, C, H, W)")
    C = x[1]
    for name, t in zip(NAMES[1:], (running_mean, running_var, weight, bias), strict=True):
        if t is not None and (t._pending or t.data).shape != (C,):
            raise ValueError(f"batch_norm: {name.rstrip('?')} has shape {t.shape}; expected ({C},) from x {x}")
    if (running_mean is None) != (running_var is None):
        raise ValueError("batch_norm: one of running_mean and running_var is None; expected both or neither")
    if not isinstance(momentum, (int, float)):
        raise TypeError(f"batch_norm: momentum is {momentum!r}; expected a number")
    if training:
        if x[0] * prod(x[2:]) == 1:
            raise ValueError(f"batch_norm: x {x} has one value a channel; training needs more to find a variance")
        if not eps > 0:
            raise ValueError(f"batch_norm: eps is {eps}; expected more than 0 in training")
    elif running_mean is None:
        raise ValueError("batch_norm: running_mean is None; evaluation needs the running statistics")
    if running_mean is not None and (running_mean.requires_grad or running_var.requires_grad):
        raise RuntimeError("batch_norm: the running statistics require grad; they have no gradient, detach() them")


def _planes(x):
    """(N, C, ...) as (N, C, 1, the rest)."""
    return x if x.ndim == 4 else reshape(x, (*x.shape[:2], 1, prod(x.shape[2:])))


def _zero_and_one(x):
    xp, C, dtype = array_module(x), x.shape[1], compute_dtype(x.dtype)
    return Tensor(xp.zeros(C, dtype)), Tensor(xp.ones(C, dtype))
