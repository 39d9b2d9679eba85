"""Softmax, log-softmax and the cross-entropy of logits x (N, C, H, W), over the class axis C.

    log_p = x - lse,  lse = log sum_c exp(x_c),  losses = -sum_c weight_c * q_c * log_p_c

where q is the target distribution: label smoothing e mixes it with the uniform one, q = (1 - e) * target + e / C.
A class index stands for the one-hot target; pixels whose index is `ignore_index` have no loss and no gradient.
`weight` (C,) may be None, which means 1.
"""

import numpy as np

Array = np.ndarray


def cross_entropy_forward(
    x: Array, target: Array, weight: Array | None, ignore_index: int, label_smoothing: float
) -> tuple[Array, Array, Array]:
    """losses (N, H, W) for class indices target (N, H, W), with weights = weight[target] (0 if ignored) and lse."""
    log_p, lse = _log_softmax(x)
    weight = _class_weights(x, weight)
    kept, index = _split_ignored(target, ignore_index)
    weights = np.where(kept, weight[index], 0)
    losses = -weight[index] * np.take_along_axis(log_p, index[:, None], axis=1)[:, 0]
    if label_smoothing:
        uniform = -(weight[:, None, None] * log_p).sum(axis=1) / x.shape[1]
        losses = (1 - label_smoothing) * losses + label_smoothing * uniform
    return np.where(kept, losses, 0), weights, lse


def cross_entropy_backward(
    grad_losses: Array,
    x: Array,
    target: Array,
    lse: Array,
    weight: Array | None,
    ignore_index: int,
    label_smoothing: float,
) -> Array:
    """grad_x_c = grad_losses * (p_c * sum_j weight_j q_j - weight_c q_c)."""
    kept, index = _split_ignored(target, ignore_index)
    one_hot = (index[:, None] == np.arange(x.shape[1])[:, None, None]).astype(x.dtype)
    return cross_entropy_soft_backward(np.where(kept, grad_losses, 0), x, one_hot, lse, weight, label_smoothing)


def cross_entropy_soft_forward(
    x: Array, target: Array, weight: Array | None, label_smoothing: float
) -> tuple[Array, Array]:
    """losses (N, H, W) for target probabilities (N, C, H, W), and lse."""
    log_p, lse = _log_softmax(x)
    return -(_weighted_target(x, target, weight, label_smoothing) * log_p).sum(axis=1), lse


def cross_entropy_soft_backward(
    grad_losses: Array, x: Array, target: Array, lse: Array, weight: Array | None, label_smoothing: float
) -> Array:
    """grad_x_c = grad_losses * (p_c * sum_j weight_j q_j - weight_c q_c)."""
    p = np.exp(x - lse[:, None])
    weighted = _weighted_target(x, target, weight, label_smoothing)
    return grad_losses[:, None] * (p * weighted.sum(axis=1, keepdims=True) - weighted)


def log_softmax_forward(x: Array) -> Array:
    """y = x - log sum_c exp(x_c)."""
    return _log_softmax(x)[0]


def log_softmax_backward(grad_y: Array, y: Array) -> Array:
    """grad_x = grad_y - exp(y) * sum_c grad_y_c."""
    return grad_y - np.exp(y) * grad_y.sum(axis=1, keepdims=True)


def softmax_forward(x: Array) -> Array:
    """y = exp(x) / sum_c exp(x_c)."""
    e = np.exp(x - x.max(axis=1, keepdims=True, initial=-np.inf))
    return e / e.sum(axis=1, keepdims=True)


def softmax_backward(grad_y: Array, y: Array) -> Array:
    """grad_x = y * (grad_y - sum_c grad_y_c * y_c)."""
    return y * (grad_y - (grad_y * y).sum(axis=1, keepdims=True))


def _log_softmax(x: Array) -> tuple[Array, Array]:
    """log_p (N, C, H, W) and lse (N, H, W); the largest logit is taken out first, so that exp cannot overflow."""
    largest = x.max(axis=1, keepdims=True, initial=-np.inf)
    log_sum = np.log(np.exp(x - largest).sum(axis=1, keepdims=True))
    return x - largest - log_sum, (largest + log_sum)[:, 0]


def _class_weights(x: Array, weight: Array | None) -> Array:
    return np.ones(x.shape[1], x.dtype) if weight is None else weight


def _split_ignored(target: Array, ignore_index: int) -> tuple[Array, Array]:
    kept = target != ignore_index
    return kept, np.where(kept, target, 0)  # any class will do where the pixel is ignored


def _weighted_target(x: Array, target: Array, weight: Array | None, label_smoothing: float) -> Array:
    C = x.shape[1]
    smooth = (1 - label_smoothing) * target + label_smoothing / C if label_smoothing else target
    return _class_weights(x, weight)[:, None, None] * smooth
