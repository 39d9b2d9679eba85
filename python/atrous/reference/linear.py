"""The fully connected layer, y = x @ weight.T + bias, its gradients, and the plain matrix product."""

import numpy as np

Array = np.ndarray


def linear_forward(x: Array, weight: Array, bias: Array | None, relu: bool = False) -> Array:
    """x (M, IN), weight (OUT, IN), bias (OUT,) or None -> y (M, OUT), with relu after it if asked for."""
    y = x @ weight.T
    if bias is not None:
        y = y + bias
    return np.where(y < 0, 0, y) if relu else y


def linear_backward_input(grad_y: Array, weight: Array) -> Array:
    """grad_y (M, OUT), weight (OUT, IN) -> grad_x (M, IN)."""
    return grad_y @ weight


def linear_backward_weight(grad_y: Array, x: Array) -> Array:
    """grad_y (M, OUT), x (M, IN) -> grad_weight (OUT, IN)."""
    return grad_y.T @ x


def linear_backward_bias(grad_y: Array) -> Array:
    """grad_y (M, OUT) -> grad_bias (OUT,)."""
    return grad_y.sum(axis=0, dtype=np.float64).astype(grad_y.dtype)


def matmul(a: Array, b: Array) -> Array:
    """a (M, K) @ b (K, N), or B such products at once: a (B, M, K), b (B, K, N)."""
    return a @ b
