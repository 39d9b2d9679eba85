"""Batch normalisation of (N, C, H, W) over N, H and W (Ioffe and Szegedy, 2015, arXiv:1502.03167).

    x_hat = (x - mean) * rstd,  rstd = 1 / sqrt(var + eps),  y = weight * x_hat + bias

In training, mean and var are those of the batch (var biased: divided by P = N*H*W), so grad_x has to account for their
own dependence on x. `weight` and `bias` may be None, which means 1 and 0. Statistics are taken in float64.
"""

import numpy as np

Array = np.ndarray
AXES = (0, 2, 3)


def batch_norm_forward_train(
    x: Array, weight: Array | None, bias: Array | None, eps: float
) -> tuple[Array, Array, Array]:
    """Normalises by the batch's own statistics; returns y, mean (C,) and the biased var (C,)."""
    mean = _mean(x)
    var = _mean(np.square(x - _channels(mean)))
    y = batch_norm_forward_eval(x, weight, bias, mean, var, eps)
    return y, mean.astype(x.dtype), var.astype(x.dtype)


def batch_norm_backward_train(
    grad_y: Array, x: Array, weight: Array | None, mean: Array, var: Array, eps: float
) -> tuple[Array, Array, Array]:
    """Gradients of x, weight and bias: grad_x = weight*rstd * (grad_y - mean(grad_y) - x_hat*mean(grad_y*x_hat))."""
    x_hat, scale = _x_hat(x, mean, var, eps), _scale(weight, var, eps)
    mean_grad, mean_grad_x_hat = _mean(grad_y), _mean(grad_y * x_hat)
    grad_x = _channels(scale) * (grad_y - _channels(mean_grad) - x_hat * _channels(mean_grad_x_hat))
    P = x.size // x.shape[1]
    return grad_x.astype(x.dtype), (P * mean_grad_x_hat).astype(x.dtype), (P * mean_grad).astype(x.dtype)


def batch_norm_forward_eval(
    x: Array, weight: Array | None, bias: Array | None, mean: Array, var: Array, eps: float
) -> Array:
    """Normalises by the given statistics, as the network does after training."""
    y = (x - _channels(mean)) * _channels(_scale(weight, var, eps))
    if bias is not None:
        y = y + _channels(bias)
    return y.astype(x.dtype)


def batch_norm_backward_eval(
    grad_y: Array, x: Array, weight: Array | None, mean: Array, var: Array, eps: float
) -> tuple[Array, Array, Array]:
    """Gradients of x, weight and bias where mean and var are constants."""
    grad_x = grad_y * _channels(_scale(weight, var, eps))
    grad_weight = (grad_y * _x_hat(x, mean, var, eps)).sum(axis=AXES)
    grad_bias = grad_y.sum(axis=AXES, dtype=np.float64)
    return grad_x.astype(x.dtype), grad_weight.astype(x.dtype), grad_bias.astype(x.dtype)


def _mean(array: Array) -> Array:
    P = array.size // array.shape[1]
    return array.sum(axis=AXES, dtype=np.float64) / max(P, 1)  # 0 for an empty batch


def _x_hat(x: Array, mean: Array, var: Array, eps: float) -> Array:
    return (x - _channels(mean).astype(np.float64)) * _channels(_scale(None, var, eps))


def _scale(weight: Array | None, var: Array, eps: float) -> Array:
    rstd = 1 / np.sqrt(var.astype(np.float64) + eps)
    return rstd if weight is None else weight * rstd


def _channels(per_channel: Array) -> Array:
    return per_channel[:, None, None]  # (C,) -> (C, 1, 1), which broadcasts over (N, C, H, W)
