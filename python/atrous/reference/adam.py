"""Optimizer steps, in place over lists of arrays: Adam (Kingma and Ba, 2015, arXiv:1412.6980), AdamW (Loshchilov and
Hutter, 2019, arXiv:1711.05101), SGD with momentum, RMSprop (Hinton, 2012) and Adagrad (Duchi, Hazan and Singer, 2011),
in PyTorch's form.
"""

from collections.abc import Sequence

import numpy as np

Array = np.ndarray


def adam_step(
    params: Sequence[Array],
    grads: Sequence[Array],
    exp_avgs: Sequence[Array],
    exp_avg_sqs: Sequence[Array],
    max_exp_avg_sqs: Sequence[Array] | None,
    step: int,
    lr: float,
    beta1: float,
    beta2: float,
    eps: float,
    weight_decay: float,
    decoupled: bool,
) -> None:
    """One step of Adam, or of AdamW if `decoupled`; `step` counts from 1; with max_exp_avg_sqs it is AMSGrad.

    m = beta1*m + (1-beta1)*g,  v = beta2*v + (1-beta2)*g²,  param -= lr * m/(1-beta1^t) / (sqrt(v/(1-beta2^t)) + eps)
    """
    correction1 = 1 - beta1**step
    correction2 = 1 - beta2**step
    for i, (param, grad, m, v) in enumerate(zip(params, grads, exp_avgs, exp_avg_sqs, strict=True)):
        if decoupled:
            param *= 1 - lr * weight_decay
        else:
            grad = grad + weight_decay * param
        m += (1 - beta1) * (grad - m)
        v *= beta2
        v += (1 - beta2) * grad * grad
        for moment in (m, v):
            moment[np.abs(moment) < np.finfo(moment.dtype).tiny] = 0  # subnormals are slow and mean nothing here
        if max_exp_avg_sqs is not None:
            v = np.maximum(max_exp_avg_sqs[i], v, out=max_exp_avg_sqs[i])
        param -= lr / correction1 * m / (np.sqrt(v) / correction2**0.5 + eps)


def sgd_step(
    params: Sequence[Array],
    grads: Sequence[Array],
    momentum_buffers: Sequence[Array] | None,
    lr: float,
    momentum: float,
    dampening: float,
    weight_decay: float,
    nesterov: bool,
    first: bool,
) -> None:
    """One step of gradient descent; with `momentum`, along buf = momentum*buf + (1-dampening)*g (buf = g at first)."""
    for i, (param, grad) in enumerate(zip(params, grads, strict=True)):
        if weight_decay:
            grad = grad + weight_decay * param
        if momentum_buffers is not None:
            buffer = momentum_buffers[i]
            buffer[...] = grad if first else momentum * buffer + (1 - dampening) * grad
            grad = grad + momentum * buffer if nesterov else buffer
        param -= lr * grad


def rmsprop_step(
    params: Sequence[Array],
    grads: Sequence[Array],
    square_avgs: Sequence[Array],
    grad_avgs: Sequence[Array] | None,
    momentum_buffers: Sequence[Array] | None,
    lr: float,
    alpha: float,
    eps: float,
    weight_decay: float,
    momentum: float,
) -> None:
    """One step of RMSprop; with grad_avgs centered: divided by the deviation instead of the root mean square.

    v = alpha*v + (1-alpha)*g²,  a = alpha*a + (1-alpha)*g,  buf = momentum*buf + g / (sqrt(v - a²) + eps),
    param -= lr * buf
    """
    for i, (param, grad, v) in enumerate(zip(params, grads, square_avgs, strict=True)):
        grad = grad + weight_decay * param
        v *= alpha
        v += (1 - alpha) * grad * grad
        v[np.abs(v) < np.finfo(v.dtype).tiny] = 0  # subnormals are slow and mean nothing here
        variance = v
        if grad_avgs is not None:
            average = grad_avgs[i]
            average += (1 - alpha) * (grad - average)
            average[np.abs(average) < np.finfo(v.dtype).tiny] = 0
            variance = v - average * average
        step = grad / (np.sqrt(variance) + eps)
        if momentum_buffers is not None:
            buffer = momentum_buffers[i]
            buffer[...] = momentum * buffer + step
            buffer[np.abs(buffer) < np.finfo(v.dtype).tiny] = 0
            step = buffer
        param -= lr * step


def adagrad_step(
    params: Sequence[Array], grads: Sequence[Array], sums: Sequence[Array], lr: float, eps: float, weight_decay: float
) -> None:
    """One step of Adagrad: sum += g²,  param -= lr * g / (sqrt(sum) + eps)."""
    for param, grad, total in zip(params, grads, sums, strict=True):
        grad = grad + weight_decay * param
        total += grad * grad
        param -= lr * grad / (np.sqrt(total) + eps)
