"""The CUDA backend: the functions of ``atrous.reference`` on CuPy's arrays, on CuPy's current stream.

Most are compiled (csrc/kernels/cuda/, bound as the CPU's are). Linear layers and products of matrices are NVIDIA's
cuBLAS, through CuPy: ``linear.py`` here. A call returns before the GPU is done; what is given to it later waits.
"""

from .. import reference
from . import compiled
from .linear import linear_backward_bias, linear_backward_input, linear_backward_weight, linear_forward, matmul

__all__ = [
    "linear_backward_bias",
    "linear_backward_input",
    "linear_backward_weight",
    "linear_forward",
    "matmul",
]
__all__ += [name for name in dir(compiled) if name in reference.__all__]
globals().update({name: getattr(compiled, name) for name in __all__ if hasattr(compiled, name)})

build_info, conversions = compiled.build_info, compiled.conversions
memory_overruns, memory_set_poison = compiled.memory_overruns, compiled.memory_set_poison
conv2d_algorithms, get_tf32, set_tf32 = compiled.conv2d_algorithms, compiled.get_tf32, compiled.set_tf32
# For captured steps (capturing.py).
set_capturing, capture_numbers, store = compiled.set_capturing, compiled.capture_numbers, compiled.store
adam_numbers, sgd_numbers, rmsprop_numbers = compiled.adam_numbers, compiled.sgd_numbers, compiled.rmsprop_numbers
adagrad_numbers, legal_classes = compiled.adagrad_numbers, compiled.legal_classes
norm_of, scale = compiled.norm_of, compiled.scale  # for clipping of gradients
narrow = compiled.narrow  # for casts
class_outside, quotient = compiled.class_outside, compiled.quotient  # for losses
