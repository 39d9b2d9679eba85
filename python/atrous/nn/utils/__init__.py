"""Tools for parameters and their gradients. ``from atrous.nn.utils import clip_grad_norm_``."""

from .clip_grad import clip_grad_norm_, clip_grad_value_, clip_grads_with_norm_, get_total_norm
from .convert_parameters import parameters_to_vector, vector_to_parameters
from .linear_to_conv import linear_to_conv2d

__all__ = [
    "clip_grad_norm_",
    "clip_grad_value_",
    "clip_grads_with_norm_",
    "get_total_norm",
    "linear_to_conv2d",
    "parameters_to_vector",
    "vector_to_parameters",
]
