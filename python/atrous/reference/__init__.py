"""Every kernel in NumPy, in its shortest correct form: the twin of `atrous._cpu`, with the same names and arguments."""

from .activation import (
    leaky_relu_backward,
    leaky_relu_forward,
    relu_backward,
    relu_forward,
    sigmoid_backward,
    sigmoid_forward,
    tanh_backward,
    tanh_forward,
)
from .adam import adagrad_step, adam_step, rmsprop_step, sgd_step
from .batch_norm import (
    batch_norm_backward_eval,
    batch_norm_backward_train,
    batch_norm_forward,
    batch_norm_statistics,
)
from .conv2d import conv2d_backward_bias, conv2d_backward_input, conv2d_backward_weight, conv2d_forward
from .cross_entropy import (
    cross_entropy_backward,
    cross_entropy_forward,
    cross_entropy_soft_backward,
    cross_entropy_soft_forward,
    log_softmax_backward,
    log_softmax_forward,
    softmax_backward,
    softmax_forward,
)
from .elementwise import add_forward, add_into
from .linear import linear_backward_bias, linear_backward_input, linear_backward_weight, linear_forward, matmul
from .pool2d import (
    adaptive_avg_pool2d_backward,
    adaptive_avg_pool2d_forward,
    adaptive_max_pool2d_backward,
    adaptive_max_pool2d_forward,
    avg_pool2d_backward,
    avg_pool2d_forward,
    max_pool2d_backward,
    max_pool2d_forward,
    max_pool2d_indices,
)
from .random import random_bits
from .upsample2d import (
    upsample_bilinear2d_backward,
    upsample_bilinear2d_forward,
    upsample_nearest2d_backward,
    upsample_nearest2d_forward,
)

__all__ = [
    "adagrad_step",
    "adam_step",
    "adaptive_avg_pool2d_backward",
    "adaptive_avg_pool2d_forward",
    "adaptive_max_pool2d_backward",
    "adaptive_max_pool2d_forward",
    "add_forward",
    "add_into",
    "avg_pool2d_backward",
    "avg_pool2d_forward",
    "batch_norm_backward_eval",
    "batch_norm_backward_train",
    "batch_norm_forward",
    "batch_norm_statistics",
    "conv2d_backward_bias",
    "conv2d_backward_input",
    "conv2d_backward_weight",
    "conv2d_forward",
    "cross_entropy_backward",
    "cross_entropy_forward",
    "cross_entropy_soft_backward",
    "cross_entropy_soft_forward",
    "leaky_relu_backward",
    "leaky_relu_forward",
    "linear_backward_bias",
    "linear_backward_input",
    "linear_backward_weight",
    "linear_forward",
    "log_softmax_backward",
    "log_softmax_forward",
    "matmul",
    "max_pool2d_backward",
    "max_pool2d_forward",
    "max_pool2d_indices",
    "random_bits",
    "relu_backward",
    "relu_forward",
    "rmsprop_step",
    "sgd_step",
    "sigmoid_backward",
    "sigmoid_forward",
    "softmax_backward",
    "softmax_forward",
    "tanh_backward",
    "tanh_forward",
    "upsample_bilinear2d_backward",
    "upsample_bilinear2d_forward",
    "upsample_nearest2d_backward",
    "upsample_nearest2d_forward",
]
