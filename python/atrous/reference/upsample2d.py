"""Resizing of images (N, C, H, W), one axis after the other: bilinear, and by the nearest pixel.

`scale`, where it is not None, replaces the ratio of the two sizes: outputs per input, for rows and for columns.
"""

import numpy as np

Array = np.ndarray
Pair = tuple[int, int]
Scale = tuple[float, float] | None


def upsample_bilinear2d_forward(x: Array, output_size: Pair, align_corners: bool, scale: Scale) -> Array:
    """Each output pixel from the four around its place in x: of each axis two, by how near they are."""
    y = x
    for axis in (2, 3):
        first, second, weight = _neighbours(axis, x.shape[2:], output_size, align_corners, scale)
        y = y.take(first, axis) * (1 - weight) + y.take(second, axis) * weight
    return y.astype(x.dtype)


def upsample_bilinear2d_backward(grad_y: Array, input_size: Pair, align_corners: bool, scale: Scale) -> Array:
    """Adds each grad_y to the four pixels that it came from, by their weights."""
    grad = grad_y
    for axis in (2, 3):
        first, second, weight = _neighbours(axis, input_size, grad_y.shape[2:], align_corners, scale)
        shape = list(grad.shape)
        shape[axis] = input_size[axis - 2]
        sums = np.zeros(shape)
        for source, share in ((first, 1 - weight), (second, weight)):
            np.add.at(np.moveaxis(sums, axis, 0), source, np.moveaxis(grad * share, axis, 0))
        grad = sums
    return grad.astype(grad_y.dtype)


def upsample_nearest2d_forward(x: Array, output_size: Pair, scale: Scale) -> Array:
    """Each output pixel from the one nearest to its place in x."""
    rows, columns = _nearest(x.shape[2:], output_size, scale)
    return x[:, :, rows[:, None], columns]


def upsample_nearest2d_backward(grad_y: Array, input_size: Pair, scale: Scale) -> Array:
    """Adds each grad_y to the pixel that it came from."""
    rows, columns = _nearest(input_size, grad_y.shape[2:], scale)
    grad_x = np.zeros((*grad_y.shape[:2], *input_size), grad_y.dtype)
    np.add.at(grad_x.transpose(2, 3, 0, 1), (rows[:, None], columns), grad_y.transpose(2, 3, 0, 1))
    return grad_x


def _neighbours(axis: int, input_size: Pair, output_size: Pair, align_corners: bool, scale: Scale):
    """The two inputs that each output of an axis lies between, and the weight of the second, to go with (N, C, H, W).

    Pixels are squares, whose corners agree in both images; with align_corners points, of which the outermost agree.
    """
    I, O = input_size[axis - 2], output_size[axis - 2]
    o = np.arange(O)
    if I == O:
        return o, o, np.zeros(1)
    up, down, shift = (I, float(O), 0.5) if scale is None else (1, scale[axis - 2], 0.5)
    if align_corners:
        up, down, shift = I - 1, float(max(O - 1, 1)), 0.0
    position = np.maximum((o + shift) * up / down - shift, 0)
    first = np.minimum(position.astype(int), I - 1)
    weight = np.minimum(position - first, 1)
    return first, np.minimum(first + 1, I - 1), weight[:, None] if axis == 2 else weight


def _nearest(input_size: Pair, output_size: Pair, scale: Scale) -> list[Array]:
    """The row and the column of x that each row and column of y is. In float32 and with two exceptions, as PyTorch."""
    sources = []
    for I, O, factor in zip(input_size, output_size, scale or (None, None), strict=True):
        step = np.float32(1 / factor) if factor and O not in (I, 2 * I) else np.float32(I) / np.float32(O)
        sources.append(np.minimum(np.floor(np.arange(O, dtype=np.float32) * step).astype(int), I - 1))
    return sources
