"""The fully connected layer and the matrix product: cuBLAS through CuPy, with an epilogue of our own.

Where float32 may be rounded to TF32, the convolution's tensor cores multiply instead: two to three times as fast. So
they do with numbers of 16 bits, beside which bias and grad_weight are float32; and in a captured step, where CuPy
refuses cuBLAS, the convolution's kernels multiply without rounding.
"""

from __future__ import annotations

from typing import Any

import cupy

from .. import capturing
from . import compiled
from .check import check_array, check_sizes

Array = Any
WINDOW = ((1, 1), (0, 0), (1, 1), 1)  # stride, padding, dilation and groups of a window of one pixel


def linear_forward(x: Array, weight: Array, bias: Array | None, relu: bool = False) -> Array:
    """x (M, IN), weight (OUT, IN), bias (OUT,) or None -> y (M, OUT), with relu after it if asked for."""
    check_array("linear_forward: x", x, (2,))
    check_array("linear_forward: weight", weight, (2,), x.dtype)
    check_sizes("linear_forward", "inner sizes", x.shape[1], weight.shape[1])
    if by_convolution(x, weight):
        return matrix(compiled.conv2d_forward(image(x), image(weight), bias, *WINDOW, relu=relu))
    y = product(c_order(x), c_order(weight).T)
    if y.itemsize == 2:  # an empty sum
        y += 0 if bias is None else bias
        return cupy.maximum(y, 0).astype(y.dtype) if relu else y
    compiled.epilogue(y, None, bias, relu, None, False)
    return y


def linear_backward_input(grad_y: Array, weight: Array) -> Array:
    """grad_y (M, OUT), weight (OUT, IN) -> grad_x (M, IN)."""
    check_array("linear_backward_input: grad_y", grad_y, (2,))
    check_array("linear_backward_input: weight", weight, (2,), grad_y.dtype)
    check_sizes("linear_backward_input", "inner sizes", grad_y.shape[1], weight.shape[0])
    if by_convolution(grad_y, weight):
        return matrix(compiled.conv2d_backward_input(image(grad_y), image(weight), (1, 1), *WINDOW))
    return product(c_order(grad_y), c_order(weight))


def linear_backward_weight(grad_y: Array, x: Array) -> Array:
    """grad_y (M, OUT), x (M, IN) -> grad_weight (OUT, IN)."""
    check_array("linear_backward_weight: grad_y", grad_y, (2,))
    check_array("linear_backward_weight: x", x, (2,), grad_y.dtype)
    check_sizes("linear_backward_weight", "inner sizes", grad_y.shape[0], x.shape[0])
    if by_convolution(grad_y, x):
        return matrix(compiled.conv2d_backward_weight(image(grad_y), image(x), (1, 1), *WINDOW))
    return product(c_order(grad_y).T, c_order(x))


def linear_backward_bias(grad_y: Array) -> Array:
    """grad_y (M, OUT) -> grad_bias (OUT,)."""
    check_array("linear_backward_bias: grad_y", grad_y, (2,))
    return compiled.conv2d_backward_bias(image(grad_y))


def matmul(a: Array, b: Array) -> Array:
    """a (M, K) @ b (K, N), or B such products at once: a (B, M, K), b (B, K, N)."""
    check_array("matmul: a", a, (2, 3))
    check_array("matmul: b", b, (2, 3), a.dtype)
    if a.ndim != b.ndim:
        raise ValueError("matmul: a and b must both have 2 or both have 3 dimensions")
    if a.ndim == 3:
        check_sizes("matmul", "batch sizes", a.shape[0], b.shape[0])
    check_sizes("matmul", "inner sizes", a.shape[-1], b.shape[-2])
    if a.ndim == 2 and by_convolution(a, b):
        return matrix(compiled.conv2d_backward_input(image(a), image(b), (1, 1), *WINDOW))
    if a.ndim == 3 and capturing.active and capturing.current() is not None and a.size > 0 and b.size > 0:
        return cupy.stack([matmul(one, other) for one, other in zip(a, b, strict=True)])
    return product(c_order(a), c_order(b))


def by_convolution(a: Array, b: Array) -> bool:
    """Whether the product is a convolution with a window of one pixel: on tensor cores, or in a captured step."""
    if a.size == 0 or b.size == 0:
        return False
    if a.itemsize == 2 or (capturing.active and capturing.current() is not None):
        return True
    return compiled.get_tf32() and a.dtype == "float32"


def image(rows: Array) -> Array:
    """(M, C) as M images of one pixel, or as OUT filters of one."""
    return rows[:, :, None, None]


def matrix(images: Array) -> Array:
    """And back."""
    return images[:, :, 0, 0]


def product(a: Array, b: Array) -> Array:
    """a @ b in C order, of operands that cuBLAS reads where they lie. An empty sum is 0.

    Numbers of 16 bits, which come here in batches of matrices, are multiplied and added up as float32, in which their
    products are exact: so CuPy does with float16 by itself, and of bfloat16 it has no batches.
    """
    if a.size == 0 or b.size == 0:
        return cupy.zeros((*a.shape[:-1], b.shape[-1]), a.dtype)
    if a.itemsize == 2:
        return cupy.matmul(a.astype("float32"), b.astype("float32")).astype(a.dtype)
    return cupy.matmul(a, b)


def c_order(array: Array) -> Array:
    """The array, or a copy, in C order from 16 bytes on: the order in which cuBLAS adds depends on how operands lie."""
    dense = cupy.ascontiguousarray(array)
    return dense if dense.data.ptr % 16 == 0 else dense.copy()
