"""Batch normalisation of (N, C, H, W) over N, H and W (Ioffe and Szegedy, 2015, arXiv:1502.03167).

    x_hat = (x - mean) * rstd,  rstd = 1 / sqrt(var + eps),  z = weight * x_hat + bias

In training, mean and var are those of the batch (var biased: divided by P = N*H*W), so grad_x has to account for their
own dependence on x. `weight` and `bias` may be None, which means 1 and 0. Statistics are taken in float64, and need not
have x's dtype. With `relu`, the output is relu(z), and the backward finds z again instead of keeping it.
"""

import numpy as np

Array = np.ndarray
AXES = (0, 2, 3)


def batch_norm_statistics(
    x: Array,
    running_mean: Array | None = None,
    running_var: Array | None = None,
    momentum: float = 0.0,
    batches: Array | None = None,
) -> tuple[Array, Array]:
    """The mean (C,) and the biased variance (C,) of the batch, in float64.

    Where running statistics are given, running = (1 - momentum) * running + momentum * batch, in place and from
    float64; there the batch's variance is the unbiased one. `batches`, an int64 array of shape (), goes up by one.
    """
    mean = _mean(x)
    var = _mean(np.square(x - _channels(mean)))
    if running_mean is not None and running_var is not None:
        P = _pixels(x)
        for running, batch in ((running_mean, mean), (running_var, P / (P - 1) * var)):
            running[...] = (1 - momentum) * running.astype(np.float64) + momentum * batch
        if batches is not None:
            batches += 1
    return mean, var


def batch_norm_forward(
    x: Array,
    weight: Array | None,
    bias: Array | None,
    mean: Array,
    var: Array,
    eps: float,
    relu: bool = False,
    residual: Array | None = None,
    relu_last: bool = False,
) -> Array:
    """Normalises by the given statistics: y = relu_last(relu(z) + residual), each of the three where asked for."""
    y = _affine(x, weight, bias, mean, var, eps)
    if relu:
        y = np.where(y < 0, 0, y)
    if residual is not None:
        y = y + residual
    return np.where(y < 0, 0, y) if relu_last else y


def batch_norm_backward_train(
    grad_y: Array,
    x: Array,
    weight: Array | None,
    bias: Array | None,
    mean: Array,
    var: Array,
    eps: float,
    relu: bool = False,
) -> tuple[Array, Array, Array]:
    """Gradients of x, weight and bias: grad_x = weight*rstd * (grad_z - mean(grad_z) - x_hat*mean(grad_z*x_hat))."""
    grad_z = np.where(_affine(x, weight, bias, mean, var, eps) <= 0, 0, grad_y) if relu else grad_y
    x_hat, scale = _x_hat(x, mean, var, eps), _scale(weight, var, eps)
    mean_grad, mean_grad_x_hat = _mean(grad_z), _mean(grad_z * x_hat)
    grad_x = _channels(scale) * (grad_z - _channels(mean_grad) - x_hat * _channels(mean_grad_x_hat))
    P = _pixels(x)
    return grad_x.astype(x.dtype), (P * mean_grad_x_hat).astype(x.dtype), (P * mean_grad).astype(x.dtype)


def batch_norm_backward_eval(
    grad_y: Array,
    x: Array,
    weight: Array | None,
    bias: Array | None,
    mean: Array,
    var: Array,
    eps: float,
    relu: bool = False,
) -> tuple[Array, Array, Array]:
    """Gradients of x, weight and bias where mean and var are constants: grad_x = weight*rstd * grad_z."""
    grad_z = np.where(_affine(x, weight, bias, mean, var, eps) <= 0, 0, grad_y) if relu else grad_y
    grad_x = grad_z * _channels(_scale(weight, var, eps))
    grad_weight = (grad_z * _x_hat(x, mean, var, eps)).sum(axis=AXES)
    grad_bias = grad_z.sum(axis=AXES, dtype=np.float64)
    return grad_x.astype(x.dtype), grad_weight.astype(x.dtype), grad_bias.astype(x.dtype)


def _affine(x: Array, weight: Array | None, bias: Array | None, mean: Array, var: Array, eps: float) -> Array:
    """z in x's dtype: the forward and the backward agree on its sign."""
    z = (x - _channels(mean)) * _channels(_scale(weight, var, eps))
    if bias is not None:
        z = z + _channels(bias)
    return z.astype(x.dtype)


def _mean(array: Array) -> Array:
    return array.sum(axis=AXES, dtype=np.float64) / max(_pixels(array), 1)  # 0 for an empty batch


def _pixels(array: Array) -> int:
    N, _, H, W = array.shape
    return N * H * W


def _x_hat(x: Array, mean: Array, var: Array, eps: float) -> Array:
    return (x - _channels(mean).astype(np.float64)) * _channels(_scale(None, var, eps))


def _scale(weight: Array | None, var: Array, eps: float) -> Array:
    rstd = 1 / np.sqrt(var.astype(np.float64) + eps)
    return rstd if weight is None else weight * rstd


def _channels(per_channel: Array) -> Array:
    return per_channel[:, None, None]  # (C,) -> (C, 1, 1), which broadcasts over (N, C, H, W)
