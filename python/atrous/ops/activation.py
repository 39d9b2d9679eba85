"""Activations: relu, leaky_relu, sigmoid and tanh, element by element. NaN stays NaN."""

from __future__ import annotations

from typing import Any

from .. import fusion
from ..autograd import Backward, check_inplace, record, record_inplace
from ..backend import array_module, kernels_for
from ..checks import floats_of_one_dtype
from ..dtypes import FLOATS, float32
from ..tensor import Tensor


def relu(x: Tensor, inplace: bool = False) -> Tensor:
    """Cuts off what is negative: ``y = max(x, 0)``; the gradient at 0 is 0.

    Args:
        x: any shape; integers give integers.
        inplace: write the result over x and return x.
    Returns:
        Tensor of x's shape.
    Raises:
        TypeError: x is not a tensor, or of bool.
        RuntimeError: `inplace` on a leaf that requires grad.
    Example:
        >>> relu(at.tensor([-1.0, 2.0])).tolist()
        [0.0, 2.0]

    Source:
        Nair and Hinton, Rectified linear units improve restricted Boltzmann machines, 2010.
    """
    kind = (x._pending or x.data).dtype.kind if isinstance(x, Tensor) else ""
    if kind not in ("f", "V", "i", "u"):
        raise TypeError(f"relu: x {_described(x)}; expected a Tensor of numbers")
    if x._pending is not None:
        pending = fusion.with_relu(x, kernels_for(x))
        if pending is not None:
            return _put_off(x, pending, inplace)
    kernels = kernels_for(x.data)
    if inplace:
        check_inplace(x, "relu")
    if kind in FLOATS:
        if x.data.itemsize == 2:
            floats_of_one_dtype("relu", ("x",), x)
        y = kernels.relu_forward(x.data)
    else:
        y = array_module(x.data).maximum(x.data, 0)
    if inplace:
        x.data[...] = y
        return record_inplace(x, ReluBackward, inputs=(x,), saved=(x.data,))
    return record(y, ReluBackward, inputs=(x,), saved=(y,))


def _put_off(x: Tensor, pending: fusion.Pending, inplace: bool) -> Tensor:
    """relu of a tensor without values, as a stage of the kernel call that will give them."""
    masks = x._node is not None and x._node.masks and len(pending.epilogue) == 1
    kernels = pending.kernels if masks else None
    if not inplace:
        return record(pending, ReluBackward, inputs=(x,), saved=(pending,), masked_by=kernels)
    fusion.replace(x, pending)
    return record_inplace(x, ReluBackward, inputs=(x,), saved=(pending,), masked_by=kernels)


class ReluBackward(Backward):
    """Gradient of relu: passes where y is positive. A batch-norm that was fused with it finds that out by itself."""

    masked_by = None  # the kernels that find the mask again, where the input is such a batch-norm's

    def __call__(self, grad_y):
        (y,) = self.saved
        if type(y) is fusion.Pending:
            y = y.values()
        kernels = kernels_for(grad_y)
        if kernels is self.masked_by:
            return fusion.MaskedGradient(grad_y, y)
        return kernels.relu_backward(grad_y, y)


def leaky_relu(x: Tensor, negative_slope: float = 0.01, inplace: bool = False) -> Tensor:
    """Flattens what is negative: ``y = x`` where x is positive, else ``negative_slope · x``.

    Args:
        x: any shape.
        negative_slope: the slope below 0.
        inplace: write the result over x and return x (then x's sign must tell the slope: negative_slope ≥ 0).
    Returns:
        Tensor of x's shape.
    Raises:
        TypeError: x is not a float tensor. ValueError: `inplace` with a negative slope.
        RuntimeError: `inplace` on a leaf that requires grad.
    Example:
        >>> leaky_relu(at.tensor([-1.0, 2.0]), 0.5).tolist()
        [-0.5, 2.0]

    Source:
        Maas, Hannun and Ng, Rectifier nonlinearities improve neural network acoustic models, 2013.
    Differs from PyTorch: `inplace` refuses a negative slope at once, where PyTorch does so in backward.
    """
    floats_of_one_dtype("leaky_relu", ("x",), x)
    if not isinstance(negative_slope, (int, float)):
        raise TypeError(f"leaky_relu: negative_slope is {negative_slope!r}; expected a number")
    kernels = kernels_for(x.data)
    if not inplace:
        y = kernels.leaky_relu_forward(x.data, negative_slope)
        return record(y, LeakyReluBackward, inputs=(x,), saved=(x,), negative_slope=negative_slope)
    if negative_slope < 0:
        raise ValueError(f"leaky_relu: negative_slope is {negative_slope}; expected 0 or more with inplace=True")
    check_inplace(x, "leaky_relu")
    x.data[...] = kernels.leaky_relu_forward(x.data, negative_slope)
    return record_inplace(x, LeakyReluBackward, inputs=(x,), saved=(x.data,), negative_slope=negative_slope)


class LeakyReluBackward(Backward):
    """Gradient of leaky_relu: the slope at x, or at y, which has x's sign."""

    def __call__(self, grad_y):
        (x,) = self.saved
        return kernels_for(grad_y).leaky_relu_backward(grad_y, x, self.negative_slope)


def sigmoid(x: Tensor) -> Tensor:
    """Squeezes numbers into 0 to 1: ``y = 1 / (1 + exp(−x))``, without overflow.

    Args:
        x: any shape; integers and bool are taken as float32.
    Returns:
        Tensor of x's shape.
    Raises:
        TypeError: x is not a tensor.
    Example:
        >>> sigmoid(at.tensor([0.0, 1000.0])).tolist()
        [0.5, 1.0]

    Source:
        Bishop, Pattern Recognition and Machine Learning, 2006, section 4.2.
    """
    x = _as_float("sigmoid", x)
    y = kernels_for(x.data).sigmoid_forward(x.data)
    return record(y, SigmoidBackward, inputs=(x,), saved=(y,))


class SigmoidBackward(Backward):
    """Gradient of sigmoid: ``grad_y · y · (1 − y)``."""

    def __call__(self, grad_y):
        (y,) = self.saved
        return kernels_for(grad_y).sigmoid_backward(grad_y, y)


def tanh(x: Tensor) -> Tensor:
    """Squeezes numbers into −1 to 1: the hyperbolic tangent.

    Args:
        x: any shape; integers and bool are taken as float32.
    Returns:
        Tensor of x's shape.
    Raises:
        TypeError: x is not a tensor.
    Example:
        >>> tanh(at.tensor([0.0, 1000.0])).tolist()
        [0.0, 1.0]

    Source:
        LeCun, Bottou, Orr and Müller, Efficient BackProp, 1998, section 4.4, which scales it; here it is unscaled.
    """
    x = _as_float("tanh", x)
    y = kernels_for(x.data).tanh_forward(x.data)
    return record(y, TanhBackward, inputs=(x,), saved=(y,))


class TanhBackward(Backward):
    """Gradient of tanh: ``grad_y · (1 − y²)``."""

    def __call__(self, grad_y):
        (y,) = self.saved
        return kernels_for(grad_y).tanh_backward(grad_y, y)


def _as_float(op: str, x: Tensor) -> Tensor:
    if isinstance(x, Tensor) and x.dtype.kind in "iub":
        return x.to(float32)
    floats_of_one_dtype(op, ("x",), x)
    return x


def _described(x: Any) -> str:
    return f"has dtype {x.dtype}" if isinstance(x, Tensor) else f"is a {type(x).__name__}"
