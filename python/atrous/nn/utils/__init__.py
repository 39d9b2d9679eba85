"""Tools for parameters and their gradients. ``from atrous.nn.utils import clip_grad_norm_``."""

from .batch_norm import batch_norm_init_
from .class_weights import class_weights
from .clip_grad import clip_grad_norm_, clip_grad_value_, clip_grads_with_norm_, get_total_norm
from .convert_parameters import parameters_to_vector, vector_to_parameters
from .linear_to_conv import linear_to_conv2d
from .regularisation import elastic_net_penalty, l1_penalty, l2_penalty, max_norm_

__all__ = [
    "batch_norm_init_",
    "class_weights",
    "clip_grad_norm_",
    "clip_grad_value_",
    "clip_grads_with_norm_",
    "elastic_net_penalty",
    "get_total_norm",
    "l1_penalty",
    "l2_penalty",
    "linear_to_conv2d",
    "max_norm_",
    "parameters_to_vector",
    "vector_to_parameters",
]
