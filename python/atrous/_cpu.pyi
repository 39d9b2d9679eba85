"""The compiled CPU kernels. The functions and arguments of ``atrous.reference``; see there for formulas."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

Array = NDArray[Any]
Pair = tuple[int, int]

# conv2d
def conv2d_forward(
    x: Array,
    weight: Array,
    bias: Array | None,
    stride: Pair,
    padding: Pair,
    dilation: Pair,
    groups: int,
    algorithm: str | None = None,
    scale: Array | None = None,
    relu: bool = False,
    residual: Array | None = None,
    relu_last: bool = False,
) -> Array: ...
def conv2d_backward_input(
    grad_y: Array,
    weight: Array,
    input_size: Pair,
    stride: Pair,
    padding: Pair,
    dilation: Pair,
    groups: int,
    algorithm: str | None = None,
) -> Array: ...
def conv2d_backward_weight(
    grad_y: Array,
    x: Array,
    kernel_size: Pair,
    stride: Pair,
    padding: Pair,
    dilation: Pair,
    groups: int,
    algorithm: str | None = None,
) -> Array: ...
def conv2d_backward_bias(grad_y: Array) -> Array: ...

# pool2d
def max_pool2d_forward(
    x: Array, kernel_size: Pair, stride: Pair, padding: Pair, dilation: Pair, ceil_mode: bool
) -> tuple[Array, Array]: ...
def max_pool2d_backward(
    grad_y: Array, taps: Array, input_size: Pair, kernel_size: Pair, stride: Pair, padding: Pair, dilation: Pair
) -> Array: ...
def max_pool2d_indices(
    taps: Array, input_size: Pair, kernel_size: Pair, stride: Pair, padding: Pair, dilation: Pair
) -> Array: ...
def avg_pool2d_forward(
    x: Array,
    kernel_size: Pair,
    stride: Pair,
    padding: Pair,
    ceil_mode: bool,
    count_include_pad: bool,
    divisor_override: int | None,
) -> Array: ...
def avg_pool2d_backward(
    grad_y: Array,
    input_size: Pair,
    kernel_size: Pair,
    stride: Pair,
    padding: Pair,
    ceil_mode: bool,
    count_include_pad: bool,
    divisor_override: int | None,
) -> Array: ...
def adaptive_avg_pool2d_forward(x: Array, output_size: Pair) -> Array: ...
def adaptive_avg_pool2d_backward(grad_y: Array, input_size: Pair) -> Array: ...
def adaptive_max_pool2d_forward(x: Array, output_size: Pair) -> tuple[Array, Array]: ...
def adaptive_max_pool2d_backward(grad_y: Array, indices: Array, input_size: Pair) -> Array: ...

# upsample2d
def upsample_bilinear2d_forward(
    x: Array, output_size: Pair, align_corners: bool, scale: tuple[float, float] | None
) -> Array: ...
def upsample_bilinear2d_backward(
    grad_y: Array, input_size: Pair, align_corners: bool, scale: tuple[float, float] | None
) -> Array: ...
def upsample_nearest2d_forward(x: Array, output_size: Pair, scale: tuple[float, float] | None) -> Array: ...
def upsample_nearest2d_backward(grad_y: Array, input_size: Pair, scale: tuple[float, float] | None) -> Array: ...

# batch_norm
def batch_norm_statistics(
    x: Array,
    running_mean: Array | None = None,
    running_var: Array | None = None,
    momentum: float = 0.0,
    batches: NDArray[np.int64] | None = None,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]: ...
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
) -> Array: ...
def batch_norm_backward_train(
    grad_y: Array,
    x: Array,
    weight: Array | None,
    bias: Array | None,
    mean: Array,
    var: Array,
    eps: float,
    relu: bool = False,
) -> tuple[Array, Array, Array]: ...
def batch_norm_backward_eval(
    grad_y: Array,
    x: Array,
    weight: Array | None,
    bias: Array | None,
    mean: Array,
    var: Array,
    eps: float,
    relu: bool = False,
) -> tuple[Array, Array, Array]: ...

# linear
def linear_forward(x: Array, weight: Array, bias: Array | None, relu: bool = False) -> Array: ...
def linear_backward_input(grad_y: Array, weight: Array) -> Array: ...
def linear_backward_weight(grad_y: Array, x: Array) -> Array: ...
def linear_backward_bias(grad_y: Array) -> Array: ...
def matmul(a: Array, b: Array) -> Array: ...

# activation
def relu_forward(x: Array) -> Array: ...
def relu_backward(grad_y: Array, y: Array) -> Array: ...
def leaky_relu_forward(x: Array, negative_slope: float) -> Array: ...
def leaky_relu_backward(grad_y: Array, x: Array, negative_slope: float) -> Array: ...
def sigmoid_forward(x: Array) -> Array: ...
def sigmoid_backward(grad_y: Array, y: Array) -> Array: ...
def tanh_forward(x: Array) -> Array: ...
def tanh_backward(grad_y: Array, y: Array) -> Array: ...

# cross_entropy
def cross_entropy_forward(
    x: Array, target: Array, weight: Array | None, ignore_index: int, label_smoothing: float
) -> tuple[Array, Array, Array]: ...
def cross_entropy_backward(
    grad_losses: Array,
    x: Array,
    target: Array,
    lse: Array,
    weight: Array | None,
    ignore_index: int,
    label_smoothing: float,
) -> Array: ...
def cross_entropy_soft_forward(
    x: Array, target: Array, weight: Array | None, label_smoothing: float
) -> tuple[Array, Array]: ...
def cross_entropy_soft_backward(
    grad_losses: Array, x: Array, target: Array, lse: Array, weight: Array | None, label_smoothing: float
) -> Array: ...
def log_softmax_forward(x: Array) -> Array: ...
def log_softmax_backward(grad_y: Array, y: Array) -> Array: ...
def softmax_forward(x: Array) -> Array: ...
def softmax_backward(grad_y: Array, y: Array) -> Array: ...

# elementwise
def add_forward(x: Array, residual: Array, relu: bool = False) -> Array: ...
def add_into(total: Array, part: Array) -> None: ...

# adam
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
) -> None: ...
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
) -> None: ...
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
) -> None: ...
def adagrad_step(
    params: Sequence[Array], grads: Sequence[Array], sums: Sequence[Array], lr: float, eps: float, weight_decay: float
) -> None: ...

# random
def random_bits(seed: int, stream: int, offset: int, count: int) -> NDArray[np.uint32]: ...

# What is not a kernel: it has no twin in the reference.
def conv2d_algorithms(
    direction: str,
    x_shape: Sequence[int],
    weight_shape: Sequence[int],
    stride: Pair,
    padding: Pair,
    dilation: Pair,
    groups: int,
) -> list[str]: ...
def get_winograd() -> bool: ...
def set_winograd(enabled: bool) -> None: ...
def isa() -> str: ...
def set_isa(name: str) -> None: ...
def isa_levels() -> list[str]: ...
def get_num_threads() -> int: ...
def set_num_threads(threads: int) -> None: ...
def default_num_threads() -> int: ...
def memory_stats() -> dict[str, int | None]: ...
def memory_reset_peak() -> None: ...
def memory_empty_cache() -> None: ...
def memory_set_limit(bytes: int | None) -> None: ...
def memory_set_poison(enabled: bool) -> None: ...
def memory_overruns() -> int: ...
def conversions() -> int: ...
def empty(shape: Sequence[int], dtype: DTypeLike, channels_last: bool = False) -> Array: ...
def build_info() -> dict[str, str]: ...
def peak_fma_gflops(threads: int) -> float: ...
def peak_copy_gbs(threads: int) -> float: ...
def core_to_core_ns() -> float: ...
