"""Convolution as products of matrices (im2col and cuBLAS): for every tap of every window a copy of what it sees.

``columns`` (G, P, K) has a row for each of the P = N·OH·OW output pixels of a group, of the K = KH·KW·IC/G inputs that
its window sees; the weights of a group are a matrix (OC/G, K). Images go through in parts, so that it stays small.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import cupy

from . import compiled
from .check import check_array
from .linear import column_sums

Array = Any
Pair = tuple[int, int]

COLUMNS = 1 << 28  # bytes that ``columns`` may take, if one image does not need more


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
) -> Array:
    """Convolves x (N, IC, IH, IW) with weight (OC, IC/G, KH, KW) into y (N, OC, OH, OW).

    What follows in the network may come along: y = relu_last(relu(scale * sum + bias) + residual).
    """
    check_array("conv2d_forward: x", x, (4,))
    check_array("conv2d_forward: weight", weight, (4,), x.dtype)
    check_algorithm("conv2d_forward", algorithm)
    N, OC = x.shape[0], weight.shape[0]
    window = (weight.shape[2:], stride, padding, dilation, groups)
    OH, OW = compiled.conv2d_output_size("conv2d_forward", x.shape, weight.shape, *window[1:])
    y = channels_last((N, OC, OH, OW), x.dtype)
    weights = matrices(weight, groups)
    for part in parts(x, (OH, OW), window):
        columns, rows = columns_of(x[part], window), rows_of(y[part])
        if groups == 1:
            cupy.matmul(columns[0], weights[0].T, out=rows)
        else:
            rows[...] = from_groups(cupy.matmul(columns, weights.swapaxes(1, 2)))
    if residual is not None:
        check_array("conv2d_forward: residual", residual, (4,), x.dtype)
        if residual.shape != y.shape:
            raise ValueError(f"conv2d_forward: residual has shape {residual.shape}; expected {y.shape}")
        residual = rows_of(residual)
    compiled.epilogue(rows_of(y), scale, bias, relu, residual, relu_last)
    return y


def conv2d_backward_input(
    grad_y: Array,
    weight: Array,
    input_size: Pair,
    stride: Pair,
    padding: Pair,
    dilation: Pair,
    groups: int,
    algorithm: str | None = None,
) -> Array:
    """Spreads grad_y (N, OC, OH, OW) back over grad_x (N, IC, IH, IW)."""
    check_array("conv2d_backward_input: grad_y", grad_y, (4,))
    check_array("conv2d_backward_input: weight", weight, (4,), grad_y.dtype)
    check_algorithm("conv2d_backward_input", algorithm)
    shape = (grad_y.shape[0], weight.shape[1] * groups, *input_size)
    window = (weight.shape[2:], stride, padding, dilation, groups)
    check_output("conv2d_backward_input", grad_y, shape, weight.shape, window)
    grad_x = channels_last(shape, grad_y.dtype)
    weights = matrices(weight, groups)
    for part in parts(grad_x, grad_y.shape[2:], window):
        columns = cupy.matmul(to_groups(rows_of(grad_y[part]), groups), weights)
        compiled.col2im(columns, grad_x[part], *window)
    return grad_x


def conv2d_backward_weight(
    grad_y: Array,
    x: Array,
    kernel_size: Pair,
    stride: Pair,
    padding: Pair,
    dilation: Pair,
    groups: int,
    algorithm: str | None = None,
) -> Array:
    """grad_weight (OC, IC/G, KH, KW): each weight meets all that it was multiplied with, times its grad_y."""
    check_array("conv2d_backward_weight: grad_y", grad_y, (4,))
    check_array("conv2d_backward_weight: x", x, (4,), grad_y.dtype)
    check_algorithm("conv2d_backward_weight", algorithm)
    OC, KH, KW = grad_y.shape[1], *kernel_size
    window = (kernel_size, stride, padding, dilation, groups)
    shape = (OC, x.shape[1] // max(groups, 1), KH, KW)
    check_output("conv2d_backward_weight", grad_y, x.shape, shape, window)
    total = cupy.zeros((groups, OC // groups, KH * KW * shape[1]), x.dtype)
    for part in parts(x, grad_y.shape[2:], window):
        columns = columns_of(x[part], window)
        total += cupy.matmul(to_groups(rows_of(grad_y[part]), groups).swapaxes(1, 2), columns)
    return total.reshape(OC, KH, KW, shape[1]).transpose(0, 3, 1, 2)


def conv2d_backward_bias(grad_y: Array) -> Array:
    """grad_bias (OC,): the sum of grad_y over images and pixels."""
    check_array("conv2d_backward_bias: grad_y", grad_y, (4,))
    return column_sums(rows_of(grad_y))


def check_algorithm(function: str, algorithm: str | None) -> None:
    """Raises a ValueError for another algorithm than the one there is."""
    if algorithm not in (None, "im2col"):
        raise ValueError(f"{function}: algorithm {algorithm!r} is not one of im2col")


def check_output(function: str, grad_y: Array, x: tuple, weight: tuple, window: tuple) -> None:
    """Raises a ValueError unless grad_y has the shape of what these sizes give."""
    size = compiled.conv2d_output_size(function, x, weight, *window[1:])
    expected = (x[0], weight[0], *size)
    if grad_y.shape != expected:
        raise ValueError(f"{function}: grad_y has shape {grad_y.shape}; expected {expected}")


def channels_last(shape: tuple[int, int, int, int], dtype: Any) -> Array:
    """An uninitialised (N, C, H, W) in NHWC memory."""
    N, C, H, W = shape
    return cupy.empty((N, H, W, C), dtype).transpose(0, 3, 1, 2)


def parts(x: Array, output_size: Pair, window: tuple) -> Iterator[slice]:
    """The images in parts that follow from the sizes alone."""
    (KH, KW), (OH, OW) = window[0], output_size
    an_image = x.itemsize * OH * OW * KH * KW * x.shape[1]
    images = max(1, COLUMNS // an_image)
    return (slice(n, n + images) for n in range(0, x.shape[0], images))


def columns_of(x: Array, window: tuple) -> Array:
    """What each window sees, (G, P, K): by im2col, but for 1×1 windows, which see the image itself."""
    (KH, KW), stride, padding, _, groups = window
    if (KH, KW) == (1, 1) == tuple(stride) and tuple(padding) == (0, 0) and groups == 1:
        return rows_of(x)[None]
    return compiled.im2col(x, *window)


def rows_of(maps: Array) -> Array:
    """(N, C, H, W) as (N·H·W, C): the same memory, where it is channels-last."""
    in_memory = cupy.ascontiguousarray(maps.transpose(0, 2, 3, 1))
    return in_memory.reshape(-1, maps.shape[1])


def matrices(weight: Array, groups: int) -> Array:
    """(OC, IC/G, KH, KW) as (G, OC/G, K)."""
    OC, ICG, KH, KW = weight.shape
    return cupy.ascontiguousarray(weight.transpose(0, 2, 3, 1)).reshape(groups, OC // groups, KH * KW * ICG)


def to_groups(rows: Array, groups: int) -> Array:
    """(P, C) as (G, P, C/G)."""
    return cupy.ascontiguousarray(rows.reshape(rows.shape[0], groups, -1).swapaxes(0, 1))


def from_groups(rows: Array) -> Array:
    """(G, P, C/G) as (P, C)."""
    return rows.swapaxes(0, 1).reshape(rows.shape[1], -1)
