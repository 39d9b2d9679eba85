"""Elementwise activations and their gradients. A NaN stays a NaN: every comparison with it is false."""

import numpy as np

Array = np.ndarray


def relu_forward(x: Array) -> Array:
    """y = max(x, 0)."""
    return np.where(x < 0, 0, x)


def relu_backward(grad_y: Array, y: Array) -> Array:
    """grad_x = grad_y where y > 0, and 0 at y = 0."""
    return np.where(y <= 0, 0, grad_y)


def leaky_relu_forward(x: Array, negative_slope: float) -> Array:
    """y = x where x > 0, else negative_slope * x."""
    return np.where(x > 0, x, x * float(negative_slope))


def leaky_relu_backward(grad_y: Array, x: Array, negative_slope: float) -> Array:
    """grad_x = grad_y where x > 0, else negative_slope * grad_y."""
    return np.where(x > 0, grad_y, grad_y * float(negative_slope))


def sigmoid_forward(x: Array) -> Array:
    """y = 1 / (1 + exp(-x)), written with exp(-|x|), which cannot overflow."""
    e = np.exp(-np.abs(x))
    return np.where(x < 0, e, 1) / (1 + e)


def sigmoid_backward(grad_y: Array, y: Array) -> Array:
    """grad_x = grad_y * y * (1 - y)."""
    return grad_y * (1 - y) * y


def tanh_forward(x: Array) -> Array:
    """y = tanh(x)."""
    return np.tanh(x)


def tanh_backward(grad_y: Array, y: Array) -> Array:
    """grad_x = grad_y * (1 - y²)."""
    return grad_y * (1 - y * y)
