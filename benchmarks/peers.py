"""The competitors: PyTorch in both layouts, and convolution as a careful NumPy program writes it, im2col and BLAS."""

from collections.abc import Callable, Sequence
from functools import cache, partial
from types import ModuleType
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

Array = np.ndarray
Pair = tuple[int, int]


@cache
def torch() -> ModuleType | None:
    """PyTorch, or None where it is not installed."""
    try:
        import torch
    except ImportError:
        return None
    return torch


def pytorch(function: Callable[..., Any], arrays: Sequence[Any]) -> dict[str, Callable[[], Any]]:
    """The call function(torch, *tensors), in NCHW and in channels-last memory if one of the arrays has 4 axes.

    The tensors are copies; lists of arrays become lists of tensors; anything else passes as it is. No gradient is
    recorded. Without PyTorch there is no call.
    """
    if torch() is None:
        return {}

    def convert(value: Any, memory_format: Any) -> Any:
        if isinstance(value, list):
            return [convert(item, memory_format) for item in value]
        if not isinstance(value, Array):
            return value
        return (
            torch().from_numpy(value).clone(memory_format=memory_format if value.ndim == 4 else torch().preserve_format)
        )

    flat = [item for value in arrays for item in (value if isinstance(value, list) else [value])]
    if any(isinstance(item, Array) and item.ndim == 4 for item in flat):
        layouts = {"pytorch nchw": torch().contiguous_format, "pytorch channels-last": torch().channels_last}
    else:
        layouts = {"pytorch": None}
    return {
        name: partial(function, torch(), *(convert(value, layout) for value in arrays))
        for name, layout in layouts.items()
    }


class Im2col:
    """A convolution with groups = 1 as matrix products over copied windows, on channels-last arrays.

    The windows are copied for a few images at a time, about 8 MB, into one buffer that is made once: the copy stays in
    the cache and no call pays for fresh pages but those of its output.
    """

    def __init__(self, N: int, IC: int, size: Pair, kernel: Pair, stride: Pair, padding: Pair, dilation: Pair):
        self.stride, self.padding, self.dilation, self.kernel = stride, padding, dilation, kernel
        spans = [d * (k - 1) + 1 for k, d in zip(kernel, dilation, strict=True)]
        padded = [n + 2 * p for n, p in zip(size, padding, strict=True)]
        OH, OW = ((n - span) // s + 1 for n, span, s in zip(padded, spans, stride, strict=True))
        self.spans, self.out = spans, (OH, OW)
        self.chunk = max(1, min(N, 2**21 // (OH * OW * kernel[0] * kernel[1] * IC)))  # images at a time
        self.columns = np.empty((self.chunk, OH, OW, *kernel, IC), np.float32)
        self.padded = np.zeros((self.chunk, *padded, IC), np.float32)  # its frame stays zero

    def forward(self, x: Array, weight: Array, bias: Array | None) -> Array:
        """x (N, IC, IH, IW), weight (OC, IC, KH, KW) -> y (N, OC, OH, OW)."""
        N, OC = len(x), len(weight)
        matrix = weight.transpose(2, 3, 1, 0).reshape(-1, OC)  # (KH*KW*IC, OC)
        y = np.empty((N, *self.out, OC), np.float32)
        for first in range(0, N, self.chunk):
            columns = self._windows(x[first : first + self.chunk])
            part = y[first : first + self.chunk].reshape(-1, OC)
            np.matmul(columns, matrix, out=part)
            if bias is not None:
                part += bias
        return y.transpose(0, 3, 1, 2)

    def backward_weight(self, grad_y: Array, x: Array) -> Array:
        """grad_y (N, OC, OH, OW), x (N, IC, IH, IW) -> grad_weight (OC, IC, KH, KW)."""
        N, OC = grad_y.shape[:2]
        total = 0
        for first in range(0, N, self.chunk):
            columns = self._windows(x[first : first + self.chunk])
            rows = grad_y[first : first + self.chunk].transpose(0, 2, 3, 1).reshape(-1, OC)
            total = total + rows.T @ columns  # (OC, KH*KW*IC)
        return total.reshape(OC, *self.kernel, -1).transpose(0, 3, 1, 2)

    def backward_input(self, grad_y: Array, weight: Array, input_size: Pair) -> Array:
        """grad_y (N, OC, OH, OW), weight (OC, IC, KH, KW) -> grad_x (N, IC, IH, IW)."""
        N, OC = grad_y.shape[:2]
        (KH, KW), (OH, OW), (sh, sw), (dh, dw) = self.kernel, self.out, self.stride, self.dilation
        matrix = weight.transpose(0, 2, 3, 1).reshape(OC, -1)  # (OC, KH*KW*IC)
        padded = np.zeros((N, *self.padded.shape[1:]), np.float32)
        for first in range(0, N, self.chunk):
            rows = grad_y[first : first + self.chunk].transpose(0, 2, 3, 1).reshape(-1, OC)
            columns = self.columns[: len(grad_y[first : first + self.chunk])]
            np.matmul(rows, matrix, out=columns.reshape(len(rows), -1))
            for kh, kw in np.ndindex(KH, KW):
                tap = padded[first : first + self.chunk, kh * dh :: sh, kw * dw :: sw]
                tap[:, :OH, :OW] += columns[:, :, :, kh, kw]
        (ph, pw), (IH, IW) = self.padding, input_size
        return padded[:, ph : ph + IH, pw : pw + IW].transpose(0, 3, 1, 2)

    def _windows(self, x: Array) -> Array:
        """The windows of some images as rows: (images * OH * OW, KH * KW * IC)."""
        (ph, pw), (IH, IW), (sh, sw), (dh, dw) = self.padding, x.shape[2:], self.stride, self.dilation
        padded, columns = self.padded[: len(x)], self.columns[: len(x)]
        padded[:, ph : ph + IH, pw : pw + IW] = x.transpose(0, 2, 3, 1)
        windows = sliding_window_view(padded, self.spans, axis=(1, 2))[:, ::sh, ::sw, :, ::dh, ::dw]
        np.copyto(columns, windows.transpose(0, 1, 2, 4, 5, 3))
        return columns.reshape(-1, np.prod(columns.shape[3:]))
