"""Max, average and adaptive pooling over (N, C, H, W), one window tap (or one output pixel) at a time.

Output pixel (oh, ow) reads x[n, c, oh*sh - ph + kh*dh, ow*sw - pw + kw*dw] for the KH*KW taps inside the frame. With
`ceil_mode` the last window may overhang the padded frame, but must start before its right padding.
"""

import numpy as np

Array = np.ndarray
Pair = tuple[int, int]


def max_pool2d_forward(
    x: Array, kernel_size: Pair, stride: Pair, padding: Pair, dilation: Pair, ceil_mode: bool
) -> tuple[Array, Array]:
    """The largest value of each window and its tap kh*KW + kw: the first of equals; a NaN is larger than all.

    Of several NaN, too, the first is named (PyTorch: the last). A window without a tap inside gives -Inf and tap 0.
    """
    KH, KW = kernel_size
    OH, OW = _output_size(x.shape[2:], kernel_size, stride, padding, dilation, ceil_mode)
    padded = _pad(x, (OH, OW), kernel_size, stride, padding, dilation)
    inside = _pad(np.ones_like(x, bool), (OH, OW), kernel_size, stride, padding, dilation)
    y = np.full((*x.shape[:2], OH, OW), -np.inf, x.dtype)
    taps = np.full(y.shape, -1)
    for kh, kw in np.ndindex(KH, KW):
        value = _tap(padded, kh, kw, (OH, OW), stride, dilation)
        larger = (taps < 0) | (value > y) | (np.isnan(value) & ~np.isnan(y))
        larger &= _tap(inside, kh, kw, (OH, OW), stride, dilation)
        y[larger] = value[larger]
        taps[larger] = kh * KW + kw
    return y, np.maximum(taps, 0).astype(np.uint8 if KH * KW <= 256 else np.int32)


def max_pool2d_backward(
    grad_y: Array,
    taps: Array,
    input_size: Pair,
    kernel_size: Pair,
    stride: Pair,
    padding: Pair,
    dilation: Pair,
) -> Array:
    """Adds each grad_y to the pixel its window took."""
    OH, OW = grad_y.shape[2:]
    shape = (*grad_y.shape[:2], *input_size)
    padded = _pad(np.zeros(shape, grad_y.dtype), (OH, OW), kernel_size, stride, padding, dilation)
    for tap, (kh, kw) in enumerate(np.ndindex(*kernel_size)):
        pixels = _tap(padded, kh, kw, (OH, OW), stride, dilation)
        pixels += np.where(taps == tap, grad_y, 0)
    return _crop(padded, input_size, padding)


def max_pool2d_indices(
    taps: Array, input_size: Pair, kernel_size: Pair, stride: Pair, padding: Pair, dilation: Pair
) -> Array:
    """Turns taps into flat indices ih*IW + iw of the input plane (int64)."""
    OH, OW = taps.shape[2:]
    kh, kw = np.divmod(taps.astype(np.int64), kernel_size[1])
    ih = np.arange(OH)[:, None] * stride[0] - padding[0] + kh * dilation[0]
    iw = np.arange(OW) * stride[1] - padding[1] + kw * dilation[1]
    return ih * input_size[1] + iw


def avg_pool2d_forward(
    x: Array,
    kernel_size: Pair,
    stride: Pair,
    padding: Pair,
    ceil_mode: bool,
    count_include_pad: bool,
    divisor_override: int | None,
) -> Array:
    """The sum of each window over its divisor: see `_divisor`."""
    OH, OW = _output_size(x.shape[2:], kernel_size, stride, padding, (1, 1), ceil_mode)
    padded = _pad(x, (OH, OW), kernel_size, stride, padding, (1, 1))
    y = np.zeros((*x.shape[:2], OH, OW), x.dtype)
    for kh, kw in np.ndindex(*kernel_size):
        y += _tap(padded, kh, kw, (OH, OW), stride, (1, 1))
    divisor = _divisor(x.shape[2:], (OH, OW), kernel_size, stride, padding, count_include_pad, divisor_override)
    return (y / divisor).astype(x.dtype)


def avg_pool2d_backward(
    grad_y: Array,
    input_size: Pair,
    kernel_size: Pair,
    stride: Pair,
    padding: Pair,
    ceil_mode: bool,
    count_include_pad: bool,
    divisor_override: int | None,
) -> Array:
    """Adds grad_y over its divisor to every pixel of its window."""
    OH, OW = grad_y.shape[2:]
    divisor = _divisor(input_size, (OH, OW), kernel_size, stride, padding, count_include_pad, divisor_override)
    share = (grad_y / divisor).astype(grad_y.dtype)
    shape = (*grad_y.shape[:2], *input_size)
    padded = _pad(np.zeros(shape, grad_y.dtype), (OH, OW), kernel_size, stride, padding, (1, 1))
    for kh, kw in np.ndindex(*kernel_size):
        pixels = _tap(padded, kh, kw, (OH, OW), stride, (1, 1))
        pixels += share
    return _crop(padded, input_size, padding)


def adaptive_avg_pool2d_forward(x: Array, output_size: Pair) -> Array:
    """Cuts the frame into OH x OW windows, which overlap where the sizes do not divide, and averages each."""
    y = np.empty((*x.shape[:2], *output_size), x.dtype)
    for oh, ow, rows, columns in _adaptive_windows(x.shape[2:], output_size):
        y[:, :, oh, ow] = x[:, :, rows, columns].mean(axis=(2, 3))
    return y


def adaptive_avg_pool2d_backward(grad_y: Array, input_size: Pair) -> Array:
    """Adds an equal share of grad_y to every pixel of its window."""
    grad_x = np.zeros((*grad_y.shape[:2], *input_size), grad_y.dtype)
    for oh, ow, rows, columns in _adaptive_windows(input_size, grad_y.shape[2:]):
        window = grad_x[:, :, rows, columns]
        window += grad_y[:, :, oh, ow, None, None] / (window.shape[2] * window.shape[3])
    return grad_x


def adaptive_max_pool2d_forward(x: Array, output_size: Pair) -> tuple[Array, Array]:
    """The largest value of each adaptive window and its flat index ih*IW + iw (int64)."""
    N, C, _, IW = x.shape
    y = np.empty((N, C, *output_size), x.dtype)
    indices = np.empty(y.shape, np.int64)
    for oh, ow, rows, columns in _adaptive_windows(x.shape[2:], output_size):
        window = x[:, :, rows, columns]
        KH, KW = window.shape[2:]
        kh, kw = np.divmod(window.reshape(N, C, KH * KW).argmax(axis=2), KW)  # argmax: the first NaN wins
        indices[:, :, oh, ow] = (rows.start + kh) * IW + columns.start + kw
        y[:, :, oh, ow] = window.max(axis=(2, 3))
    return y, indices


def adaptive_max_pool2d_backward(grad_y: Array, indices: Array, input_size: Pair) -> Array:
    """Adds each grad_y to the pixel its window took."""
    grad_x = np.zeros((*grad_y.shape[:2], *input_size), grad_y.dtype)
    places = np.arange(input_size[0] * input_size[1]).reshape(input_size)
    for oh, ow, rows, columns in _adaptive_windows(input_size, grad_y.shape[2:]):
        window = grad_x[:, :, rows, columns]
        window += np.where(
            indices[:, :, oh, ow, None, None] == places[rows, columns], grad_y[:, :, oh, ow, None, None], 0
        )
    return grad_x


def _output_size(input_size, kernel_size, stride, padding, dilation, ceil_mode) -> list[int]:
    sizes = []
    for size, k, s, p, d in zip(input_size, kernel_size, stride, padding, dilation, strict=True):
        room = size + 2 * p - d * (k - 1) - 1
        count = (-(-room // s) if ceil_mode else room // s) + 1
        starts_in_right_padding = ceil_mode and (count - 1) * s >= size + p
        sizes.append(count - starts_in_right_padding)
    return sizes


def _divisor(input_size, output_size, kernel_size, stride, padding, count_include_pad, divisor_override) -> Array:
    """What each window's sum is divided by, (OH, OW): the pixels it covers, without its overhang."""
    if divisor_override is not None:
        return np.full(output_size, divisor_override, np.float64)
    covered = []
    for size, count, k, s, p in zip(input_size, output_size, kernel_size, stride, padding, strict=True):
        start = np.arange(count) * s - p
        low, high = (-p, size + p) if count_include_pad else (0, size)
        covered.append(np.minimum(start + k, high) - np.maximum(start, low))
    return np.multiply.outer(*covered).astype(np.float64)


def _pad(x, output_size, kernel_size, stride, padding, dilation) -> Array:
    """x with zeros around it: `padding` before, and after it as far as the last window reaches."""
    widths = [(0, 0), (0, 0)]
    for size, count, k, s, p, d in zip(x.shape[2:], output_size, kernel_size, stride, padding, dilation, strict=True):
        reach = (count - 1) * s + d * (k - 1) + 1
        widths.append((p, max(0, reach - size - p)))
    return np.pad(x, widths)


def _crop(padded: Array, input_size: Pair, padding: Pair) -> Array:
    return padded[:, :, padding[0] : padding[0] + input_size[0], padding[1] : padding[1] + input_size[1]]


def _tap(padded: Array, kh: int, kw: int, output_size: Pair, stride: Pair, dilation: Pair) -> Array:
    """The pixels that tap (kh, kw) reads, one for each output pixel: a view of shape (N, C, OH, OW)."""
    (OH, OW), (sh, sw), (dh, dw) = output_size, stride, dilation
    return padded[:, :, kh * dh :: sh, kw * dw :: sw][:, :, :OH, :OW]


def _adaptive_windows(input_size: Pair, output_size: Pair):
    """Window i of O over a size I is [floor(i*I/O), ceil((i+1)*I/O))."""
    (IH, IW), (OH, OW) = input_size, output_size
    for oh, ow in np.ndindex(OH, OW):
        rows = slice(oh * IH // OH, -(-(oh + 1) * IH // OH))
        columns = slice(ow * IW // OW, -(-(ow + 1) * IW // OW))
        yield oh, ow, rows, columns
