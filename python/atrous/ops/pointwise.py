"""Activations without a kernel of their own: each is its formula and its derivative, element by element.

They run on either device, in NumPy or CuPy. With ``inplace`` the result is written over the input, which is then
returned. All raise a TypeError for another input than a float32 or float64 tensor, and those with ``inplace`` a
RuntimeError for a leaf that requires grad.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from ..autocast import lowered, raised
from ..autograd import Backward, check_inplace, record, record_inplace
from ..backend import array_module, quiet
from ..checks import floats_of_one_dtype, require
from ..dtypes import widened
from ..tensor import Tensor
from .activation import sigmoid, tanh
from .erf import erf
from .loss import _sigmoid, _softplus

__all__ = [
    "celu",
    "elu",
    "gelu",
    "glu",
    "hardshrink",
    "hardsigmoid",
    "hardswish",
    "hardtanh",
    "logsigmoid",
    "mish",
    "prelu",
    "relu6",
    "selu",
    "silu",
    "softplus",
    "softshrink",
    "softsign",
    "tanhshrink",
    "threshold",
    "threshold_unit",
]

Function = Callable[[Any, Any], Any]  # of the array library and the input


class PointwiseBackward(Backward):
    """Gradient of a function of each element: ``grad_y · f'(x)``."""

    slope: Function

    def __call__(self, grad_y):
        x = widened(*self.saved)
        return quiet.run(lambda: grad_y * self.slope(array_module(x), x))


def pointwise(op: str, input: Tensor, value: Function, slope: Function, inplace: bool = False) -> Tensor:
    """value(xp, x) of each element, which slope(xp, x) differentiates; numbers of 16 bits are computed in float32."""
    floats_of_one_dtype(op, ("input",), input)
    if inplace:
        check_inplace(input, op)
    x = input.data
    xp = array_module(x)
    y = xp.asarray(quiet.run(value, xp, widened(x)))
    if y.dtype != x.dtype:
        y = y.astype(x.dtype)
    if not inplace:
        return record(y, PointwiseBackward, (input,), saved=(input,), slope=slope)
    old = x.copy() if input.requires_grad else None
    x[...] = y
    return record_inplace(input, PointwiseBackward, (input,), saved=(old,), slope=slope)


def threshold(input: Tensor, threshold: float, value: float, inplace: bool = False) -> Tensor:
    """x where it is above the threshold, elsewhere the value.

    Example:
        >>> threshold(at.tensor([0.5, 2.0]), 1.0, -1.0).tolist()
        [-1.0, 2.0]
    """
    return pointwise(
        "threshold",
        input,
        lambda xp, x: xp.where(x <= threshold, x.dtype.type(value), x),
        lambda xp, x: ~(x <= threshold),
        inplace,
    )


def threshold_unit(input: Tensor, low: float = 0.0, high: float = 1.0) -> Tensor:
    """`high` where x is 0 or more, else `low`; NaN stays NaN, the gradient is 0. The perceptron's activation.

    Of units {0, 1}, u, and units {−1, 1}, s = 2u − 1: a layer on s with weights w and bias b is the same as one on u
    with weights 2w and bias b − Σ w.

    Args:
        low, high: 0 and 1, or −1 and 1.
    Example:
        >>> threshold_unit(at.tensor([-0.5, 0.0, 2.0])).tolist()
        [0.0, 1.0, 1.0]
        >>> threshold_unit(at.tensor([-0.5, 0.0, 2.0]), low=-1.0).tolist()
        [-1.0, 1.0, 1.0]

    Source:
        McCulloch and Pitts, A logical calculus of the ideas immanent in nervous activity, 1943; {−1, 1} in Bishop,
        Pattern Recognition and Machine Learning, 2006, section 4.1.7.
    """

    def value(xp: Any, x: Any) -> Any:
        number = x.dtype.type
        return xp.where(x >= 0, number(high), xp.where(x < 0, number(low), x))

    return pointwise("threshold_unit", input, value, lambda xp, x: x.dtype.type(0))


def hardtanh(input: Tensor, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False) -> Tensor:
    """``min(max(x, min_val), max_val)``, straight between the two; at them, the gradient is 0.

    Raises:
        ValueError: min_val above max_val.
    Example:
        >>> hardtanh(at.tensor([-3.0, 0.5])).tolist()
        [-1.0, 0.5]
    """
    return _clipped("hardtanh", input, min_val, max_val, inplace)


def relu6(input: Tensor, inplace: bool = False) -> Tensor:
    """``min(max(x, 0), 6)``.

    Example:
        >>> relu6(at.tensor([-1.0, 7.0])).tolist()
        [0.0, 6.0]

    Source:
        Howard et al., MobileNets, 2017 (arXiv 1704.04861).
    """
    return _clipped("relu6", input, 0.0, 6.0, inplace)


def _clipped(op: str, input: Tensor, low: float, high: float, inplace: bool) -> Tensor:
    require(low <= high, op, f"min_val is {low} and max_val {high}; expected min_val not above max_val")
    return pointwise(
        op,
        input,
        lambda xp, x: xp.minimum(xp.maximum(x, low), high),
        lambda xp, x: ~((x <= low) | (x >= high)),
        inplace,
    )


def hardsigmoid(input: Tensor, inplace: bool = False) -> Tensor:
    """``min(max(x + 3, 0), 6) / 6``: the sigmoid in three straight pieces.

    Example:
        >>> hardsigmoid(at.tensor([-4.0, 0.0])).tolist()
        [0.0, 0.5]

    Source:
        Howard et al., Searching for MobileNetV3, 2019 (arXiv 1905.02244).
    """
    return pointwise(
        "hardsigmoid",
        input,
        lambda xp, x: xp.minimum(xp.maximum(x + 3, 0), 6) / 6,
        lambda xp, x: ((x > -3) & (x < 3)) * x.dtype.type(1 / 6),
        inplace,
    )


def hardswish(input: Tensor, inplace: bool = False) -> Tensor:
    """``x · hardsigmoid(x)``.

    Example:
        >>> hardswish(at.tensor([-4.0, 3.0])).tolist()
        [-0.0, 3.0]

    Source:
        Howard et al., Searching for MobileNetV3, 2019 (arXiv 1905.02244).
    """
    return pointwise(
        "hardswish",
        input,
        lambda xp, x: x * xp.minimum(xp.maximum(x + 3, 0), 6) / 6,
        lambda xp, x: xp.where(x <= -3, x.dtype.type(0), xp.where(x < 3, x / 3 + 0.5, x.dtype.type(1))),
        inplace,
    )


def elu(input: Tensor, alpha: float = 1.0, inplace: bool = False) -> Tensor:
    """x where it is positive, else ``alpha · (exp(x) − 1)``.

    Example:
        >>> elu(at.tensor([0.0, 2.0])).tolist()
        [0.0, 2.0]

    Source:
        Clevert, Unterthiner and Hochreiter, Fast and accurate deep network learning by ELUs, 2016 (arXiv 1511.07289).
    """
    return _exponential("elu", input, alpha, 1.0, 1.0, inplace)


def selu(input: Tensor, inplace: bool = False) -> Tensor:
    """``1.0507 · elu(x, 1.67326)``: its constants keep mean 0 and variance 1 from layer to layer.

    Example:
        >>> round(selu(at.tensor([1.0])).item(), 4)
        1.0507

    Source:
        Klambauer et al., Self-normalizing neural networks, 2017 (arXiv 1706.02515).
    """
    scale = 1.0507009873554804934193349852946
    return _exponential("selu", input, 1.6732632423543772848170429916717 * scale, scale, 1.0, inplace)


def celu(input: Tensor, alpha: float = 1.0, inplace: bool = False) -> Tensor:
    """x where it is positive, else ``alpha · (exp(x / alpha) − 1)``; its slope at 0 is 1 for any alpha.

    Raises:
        ValueError: alpha is 0.
    Example:
        >>> celu(at.tensor([0.0, 2.0]), 0.5).tolist()
        [0.0, 2.0]

    Source:
        Barron, Continuously differentiable exponential linear units, 2017 (arXiv 1704.07483).
    """
    require(alpha != 0, "celu", "alpha is 0; expected another number")
    return _exponential("celu", input, alpha, 1.0, 1.0 / alpha, inplace)


def _exponential(op: str, input: Tensor, low: float, high: float, inner: float, inplace: bool) -> Tensor:
    """``high · x`` where x is positive, else ``low · (exp(inner · x) − 1)``."""
    return pointwise(
        op,
        input,
        lambda xp, x: xp.where(x <= 0, low * xp.expm1(inner * x), high * x),
        lambda xp, x: xp.where(x <= 0, low * inner * xp.exp(inner * x), x.dtype.type(high)),
        inplace,
    )


def gelu(input: Tensor, approximate: str = "none") -> Tensor:
    """``x · Φ(x)``, Φ the normal distribution; with "tanh", ``x/2 · (1 + tanh(√(2/π) · (x + 0.044715 x³)))``.

    Raises:
        ValueError: another word than "none" or "tanh".
    Example:
        >>> gelu(at.tensor([0.0])).tolist()
        [0.0]

    Source:
        Hendrycks and Gimpel, Gaussian error linear units, 2016 (arXiv 1606.08415).
    """
    require(approximate in ("none", "tanh"), "gelu", f"approximate is {approximate!r}; expected 'none' or 'tanh'")
    if approximate == "none":
        normal = lambda xp, x: 0.5 * (1 + erf(xp, x * math.sqrt(0.5)))  # noqa: E731
        density = lambda xp, x: xp.exp(-0.5 * x * x) / math.sqrt(2 * math.pi)  # noqa: E731
        return pointwise(
            "gelu", input, lambda xp, x: x * normal(xp, x), lambda xp, x: normal(xp, x) + x * density(xp, x)
        )
    root = math.sqrt(2 / math.pi)
    inner = lambda xp, x: xp.tanh(root * (x + 0.044715 * x * x * x))  # noqa: E731

    def slope(xp: Any, x: Any) -> Any:
        t = inner(xp, x)
        return 0.5 * (1 + t) + 0.5 * x * (1 - t * t) * root * (1 + 3 * 0.044715 * x * x)

    return pointwise("gelu", input, lambda xp, x: 0.5 * x * (1 + inner(xp, x)), slope)


def silu(input: Tensor, inplace: bool = False) -> Tensor:
    """``x · sigmoid(x)``, also named swish.

    Example:
        >>> silu(at.tensor([0.0])).tolist()
        [0.0]

    Source:
        Elfwing, Uchibe and Doya, Sigmoid-weighted linear units, 2018 (arXiv 1702.03118).
    """

    def slope(xp: Any, x: Any) -> Any:
        s = _sigmoid(x)
        return s * (1 + x * (1 - s))

    return pointwise("silu", input, lambda xp, x: x * _sigmoid(x), slope, inplace)


def mish(input: Tensor, inplace: bool = False) -> Tensor:
    """``x · tanh(softplus(x))``.

    Example:
        >>> mish(at.tensor([0.0])).tolist()
        [0.0]

    Source:
        Misra, Mish: a self regularized non-monotonic activation function, 2019 (arXiv 1908.08681).
    """
    gate = lambda xp, x: xp.tanh(_softplus(x))  # noqa: E731

    def slope(xp: Any, x: Any) -> Any:
        t = gate(xp, x)
        return t + x * (1 - t * t) * _sigmoid(x)

    return pointwise("mish", input, lambda xp, x: x * gate(xp, x), slope, inplace)


def softplus(input: Tensor, beta: float = 1.0, threshold: float = 20.0) -> Tensor:
    """``log(1 + exp(beta · x)) / beta``; x itself where beta · x exceeds the threshold.

    Example:
        >>> round(softplus(at.tensor([0.0])).item(), 4)
        0.6931

    Source:
        Dugas et al., Incorporating second-order functional knowledge for better option pricing, 2001.
    """
    return pointwise(
        "softplus",
        raised(input),
        lambda xp, x: xp.where(beta * x > threshold, x, xp.log1p(xp.exp(beta * x)) / beta),
        lambda xp, x: xp.where(beta * x > threshold, x.dtype.type(1), _sigmoid(beta * x)),
    )


def logsigmoid(input: Tensor) -> Tensor:
    """``log(sigmoid(x))``, without overflow.

    Example:
        >>> round(logsigmoid(at.tensor([0.0])).item(), 4)
        -0.6931
    """
    return pointwise(
        "logsigmoid",
        input,
        lambda xp, x: -_softplus(-x),
        lambda xp, x: _sigmoid(-x),
    )


def softsign(input: Tensor) -> Tensor:
    """``x / (1 + |x|)``.

    Example:
        >>> softsign(at.tensor([1.0])).tolist()
        [0.5]

    Source:
        Bergstra et al., Quadratic polynomials learn better image features, 2009.
    """
    return pointwise("softsign", input, lambda xp, x: x / (1 + xp.abs(x)), lambda xp, x: 1 / (1 + xp.abs(x)) ** 2)


def tanhshrink(input: Tensor) -> Tensor:
    """``x − tanh(x)``.

    Example:
        >>> tanhshrink(at.tensor([0.0])).tolist()
        [0.0]
    """
    floats_of_one_dtype("tanhshrink", ("input",), input)
    return input - tanh(input)


def softshrink(input: Tensor, lambd: float = 0.5) -> Tensor:
    """x brought nearer to 0 by lambd, and 0 where it is within lambd of it.

    Raises:
        ValueError: lambd below 0.
    Example:
        >>> softshrink(at.tensor([0.25, 2.0])).tolist()
        [0.0, 1.5]
    """
    require(lambd >= 0, "softshrink", f"lambd is {lambd}; expected 0 or more")
    return pointwise(
        "softshrink",
        input,
        lambda xp, x: xp.where(x > lambd, x - lambd, xp.where(x < -lambd, x + lambd, x * 0)),
        lambda xp, x: ~((x >= -lambd) & (x <= lambd)),
    )


def hardshrink(input: Tensor, lambd: float = 0.5) -> Tensor:
    """x, and 0 where it is within lambd of 0.

    Example:
        >>> hardshrink(at.tensor([0.25, 2.0])).tolist()
        [0.0, 2.0]
    """
    return pointwise(
        "hardshrink",
        input,
        lambda xp, x: xp.where((x >= -lambd) & (x <= lambd), x.dtype.type(0), x),
        lambda xp, x: ~((x >= -lambd) & (x <= lambd)),
    )


def prelu(input: Tensor, weight: Tensor) -> Tensor:
    """x where it is positive, else ``weight · x``, with a weight for all (1,) or for each channel (C,) of axis 1.

    Raises:
        TypeError: other dtypes. ValueError: a weight of another shape.
    Example:
        >>> prelu(at.tensor([-2.0, 2.0]), at.tensor([0.25])).tolist()
        [-0.5, 2.0]

    Source:
        He et al., Delving deep into rectifiers, 2015 (arXiv 1502.01852).
    """
    input, weight = lowered(input), lowered(weight)
    floats_of_one_dtype("prelu", ("input", "weight"), input, weight)
    channels = input.shape[1] if input.ndim > 1 else 1
    require(
        weight.ndim <= 1 and weight.numel() in (1, channels),
        "prelu",
        f"weight has shape {weight.shape}; expected (1,) or ({channels},), the channels of the input",
    )
    x, w = input.data, _along_channels(weight.data, input.ndim)
    y = array_module(x).asarray(quiet.run(lambda: array_module(x).where(x > 0, x, w * x))).astype(x.dtype, copy=False)
    return record(y, PreluBackward, (input, weight), saved=(input, weight))


class PreluBackward(Backward):
    """Gradients of prelu: ``grad_y`` or ``weight · grad_y``, and the sums of ``grad_y · x`` where x is not positive."""

    def __call__(self, grad_y):
        x, weight = map(widened, self.saved)
        xp, w = array_module(x), _along_channels(weight, x.ndim)
        grad_x = xp.where(x > 0, grad_y, w * grad_y)
        products = xp.where(x > 0, x.dtype.type(0), quiet.run(xp.multiply, grad_y, x))
        others = tuple(axis for axis in range(x.ndim) if axis != 1 or weight.size == 1)
        return grad_x, products.sum(axis=others).reshape(weight.shape)


def _along_channels(weight: Any, ndim: int) -> Any:
    return weight.reshape((-1, *[1] * (ndim - 2))) if weight.size > 1 else weight.reshape(())


def glu(input: Tensor, dim: int = -1) -> Tensor:
    """``a · sigmoid(b)`` of the two halves a, b along an axis.

    Raises:
        ValueError: an axis of odd size. IndexError: no such axis.
    Example:
        >>> glu(at.tensor([4.0, 0.0])).tolist()
        [2.0]

    Source:
        Dauphin et al., Language modeling with gated convolutional networks, 2017 (arXiv 1612.08083).
    """
    floats_of_one_dtype("glu", ("input",), input)
    require(input.ndim > 0, "glu", "the input has no axes; expected one to halve")
    if not -input.ndim <= dim < input.ndim:
        raise IndexError(f"glu: dim is {dim}; expected one of {input.ndim} axes")
    size = input.shape[dim]
    require(size % 2 == 0, "glu", f"axis {dim} has size {size}; expected an even one")
    return input.narrow(dim, 0, size // 2) * sigmoid(input.narrow(dim, size // 2, size // 2))
