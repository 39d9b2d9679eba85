"""Ops that draw random numbers."""

from __future__ import annotations

import math
from typing import Any

from ..autograd import Backward, check_inplace, record, record_inplace
from ..backend import array_module, quiet
from ..checks import floats_of_one_dtype
from ..layout import empty_like
from ..random import default_generator
from ..tensor import Tensor


def dropout(x: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """Zeroes each element with probability p, and multiplies the others by ``1 / (1 − p)``, so that the mean stays.

    The element at index i of the tensor (4-D maps counted as (N, H, W, C)) takes the i-th word of 32 bits of the
    default generator, and is dropped where it is below ``p · 2³²``: the same elements on every backend, whatever the
    memory order.

    Args:
        x: any shape.
        p: from 0 to 1; kept to 2⁻³³.
        training: False returns x as it is.
        inplace: write the result over x and return x.
    Returns:
        Tensor of x's shape.
    Raises:
        ValueError: p is out of range. TypeError: x is not a float tensor.
        RuntimeError: `inplace` on a leaf that requires grad.
    Example:
        >>> _ = at.manual_seed(0)
        >>> sorted(set(dropout(at.ones(1000), 0.75).tolist()))
        [0.0, 4.0]

    Source:
        Srivastava et al., Dropout: a simple way to prevent neural networks from overfitting, 2014. The paper scales the
        weights after training; here, as in PyTorch, the activations in training.
    """
    if idle("dropout", x, p, training):
        return x
    return dropped("dropout", x, kept_elements(x.data, p), inverse(p), inplace)


def idle(op: str, x: Tensor, p: float, training: bool) -> bool:
    """Whether a dropout has nothing to do, once its arguments were checked."""
    if not 0 <= p <= 1:
        raise ValueError(f"{op}: p is {p}; expected 0 to 1")
    if not isinstance(x, Tensor):
        raise TypeError(f"{op}: x is a {type(x).__name__}; expected a Tensor")
    if training and p > 0:
        floats_of_one_dtype(op, ("x",), x)
        return False
    return True


def inverse(p: float) -> float:
    """What is left is multiplied by this, ``1 / (1 − p)``; 0 where nothing is."""
    return 0.0 if p == 1 else 1 / (1 - p)


def dropped(op: str, x: Tensor, kept: Any, scale: float, inplace: bool, shift: Any = None) -> Tensor:
    """``x · kept · scale + shift`` of arrays that broadcast to x's shape."""
    if inplace:
        check_inplace(x, op)
    y = quiet.run(_scaled, x.data, kept, scale, x.data if inplace else empty_like(x.data))
    if shift is not None:
        y += shift
    if inplace:
        return record_inplace(x, DropoutBackward, inputs=(x,), saved=(kept,), scale=scale)
    return record(y, DropoutBackward, inputs=(x,), saved=(kept,), scale=scale)


class DropoutBackward(Backward):
    """Gradient of dropout: dropped and scaled as the elements were."""

    def __call__(self, grad_y):
        (kept,) = self.saved
        return _scaled(grad_y, kept, self.scale, empty_like(grad_y))


def kept_elements(x: Any, p: float) -> Any:
    """Which elements stay, bool in x's shape."""
    if x.ndim == 4:
        N, C, H, W = x.shape
        return kept_words(x, p, (N, H, W, C)).transpose(0, 3, 1, 2)
    return kept_words(x, p, x.shape)


def kept_words(x: Any, p: float, shape: tuple[int, ...]) -> Any:
    """Which of so many words are not below ``p · 2³²``, bool of that shape, where the array x is."""
    words, least = default_generator.bits(math.prod(shape), x), math.ceil(p * 2**32)
    return (words >= least if least < 2**32 else words < 0).reshape(shape)  # 2³² is no number to compare words with


def _scaled(x: Any, kept: Any, scale: float, out: Any) -> Any:
    """x · kept · scale: a NaN that is dropped stays NaN."""
    array_module(x).multiply(x, kept, out=out)
    out *= scale
    return out
