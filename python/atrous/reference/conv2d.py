"""Convolution (cross-correlation), its two transposes and the bias gradient, one kernel tap at a time.

    y[n, oc, oh, ow] = bias[oc] + sum over ic, kh, kw of
                       weight[oc, ic, kh, kw] * x[n, g*ICG + ic, oh*sh - ph + kh*dh, ow*sw - pw + kw*dw]

with x zero outside its frame, ICG = IC / G input channels in each group and g = oc // (OC / G) the group of oc.
For one tap (kh, kw) the sum over ic is a matrix product between the weights of that tap and a strided slice of x.
"""

import numpy as np

Array = np.ndarray
Pair = tuple[int, int]


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
    N, _, IH, IW = x.shape
    OC, ICG, KH, KW = weight.shape
    G, OCG = groups, OC // groups
    OH, OW = (
        (size + 2 * p - d * (k - 1) - 1) // s + 1
        for size, k, s, p, d in zip((IH, IW), (KH, KW), stride, padding, dilation, strict=True)
    )
    padded = _pad(x, padding)
    y = np.zeros((N, G, OCG, OH * OW), x.dtype)
    for kh, kw in np.ndindex(KH, KW):
        x_tap = _tap(padded, kh, kw, (OH, OW), stride, dilation).reshape(N, G, ICG, OH * OW)
        y += weight[:, :, kh, kw].reshape(G, OCG, ICG) @ x_tap
    return _epilogue(y.reshape(N, OC, OH, OW), scale, bias, relu, residual, relu_last)


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
    """Spreads grad_y (N, OC, OH, OW) back over grad_x (N, IC, IH, IW): each tap adds where it had read."""
    N, OC, OH, OW = grad_y.shape
    _, ICG, KH, KW = weight.shape
    G, OCG = groups, OC // groups
    (IH, IW), (ph, pw) = input_size, padding
    grad_y = grad_y.reshape(N, G, OCG, OH * OW)
    padded = np.zeros((N, G * ICG, IH + 2 * ph, IW + 2 * pw), grad_y.dtype)
    for kh, kw in np.ndindex(KH, KW):
        grad_tap = weight[:, :, kh, kw].reshape(G, OCG, ICG).transpose(0, 2, 1) @ grad_y
        x_tap = _tap(padded, kh, kw, (OH, OW), stride, dilation)
        x_tap += grad_tap.reshape(x_tap.shape)
    return padded[:, :, ph : ph + IH, pw : pw + IW]


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
    """Correlates grad_y (N, OC, OH, OW) with x (N, IC, IH, IW) into grad_weight (OC, IC/G, KH, KW)."""
    N, OC, OH, OW = grad_y.shape
    IC = x.shape[1]
    G, OCG, ICG = groups, OC // groups, IC // groups
    padded = _pad(x, padding)
    grad_y = grad_y.reshape(N, G, OCG, OH * OW)
    grad_weight = np.zeros((OC, ICG, *kernel_size), x.dtype)
    for kh, kw in np.ndindex(*kernel_size):
        x_tap = _tap(padded, kh, kw, (OH, OW), stride, dilation).reshape(N, G, ICG, OH * OW)
        per_image = grad_y @ x_tap.transpose(0, 1, 3, 2)  # (N, G, OCG, ICG)
        grad_weight[:, :, kh, kw] = per_image.sum(axis=0).reshape(OC, ICG)
    return grad_weight


def conv2d_backward_bias(grad_y: Array) -> Array:
    """Sums grad_y (N, OC, OH, OW) over images and pixels into grad_bias (OC,)."""
    return grad_y.sum(axis=(0, 2, 3), dtype=np.float64).astype(grad_y.dtype)


def _epilogue(
    y: Array, scale: Array | None, bias: Array | None, relu: bool, residual: Array | None, relu_last: bool
) -> Array:
    if scale is not None:
        y = y * scale[:, None, None]
    if bias is not None:
        y = y + bias[:, None, None]
    if relu:
        y = np.where(y < 0, 0, y)
    if residual is not None:
        y = y + residual
    return np.where(y < 0, 0, y) if relu_last else y


def _pad(x: Array, padding: Pair) -> Array:
    ph, pw = padding
    return np.pad(x, ((0, 0), (0, 0), (ph, ph), (pw, pw)))


def _tap(padded: Array, kh: int, kw: int, output_size: Pair, stride: Pair, dilation: Pair) -> Array:
    """The pixels that tap (kh, kw) reads, one for each output pixel: a view of shape (N, C, OH, OW)."""
    (OH, OW), (sh, sw), (dh, dw) = output_size, stride, dilation
    return padded[:, :, kh * dh :: sh, kw * dw :: sw][:, :, :OH, :OW]
