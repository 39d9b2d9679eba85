"""nn.init: fills parameters in place, under PyTorch's names. The numbers come from atrous's own generator.

Values are drawn in C order of the logical shape, so the memory layout of a parameter does not change them.
"""

from __future__ import annotations

import math

from ..autograd import no_grad
from ..dtypes import float64
from ..ops import as_tensor
from ..random import Generator, default_generator, inverse_normal
from ..tensor import Tensor

_LINEAR = ("linear", "conv1d", "conv2d", "conv3d", "conv_transpose1d", "conv_transpose2d", "conv_transpose3d")


def uniform_(tensor: Tensor, a: float = 0.0, b: float = 1.0, generator: Generator | None = None) -> Tensor:
    """Fills a tensor with numbers uniform on [a, b).

    Example:
        >>> w = nn.init.uniform_(at.empty(2, 3), -1.0, 1.0)
        >>> bool((w.abs() <= 1).all())
        True
    """
    with no_grad():
        return tensor.uniform_(a, b, generator=generator)


def normal_(tensor: Tensor, mean: float = 0.0, std: float = 1.0, generator: Generator | None = None) -> Tensor:
    """Fills a tensor with normal numbers of the given mean and standard deviation."""
    with no_grad():
        return tensor.normal_(mean, std, generator=generator)


def trunc_normal_(
    tensor: Tensor,
    mean: float = 0.0,
    std: float = 1.0,
    a: float = -2.0,
    b: float = 2.0,
    generator: Generator | None = None,
) -> Tensor:
    """Fills a tensor with normal numbers of the given mean and standard deviation, of those that lie in [a, b].

    Takes uniform numbers between the probabilities of a and b through the inverse of the distribution function.
    """
    if not (std > 0 and a < b):
        raise ValueError(f"trunc_normal_: std is {std}, a is {a} and b is {b}; expected std > 0 and a < b")
    low, high = ((1 + math.erf((bound - mean) / std / math.sqrt(2))) / 2 for bound in (a, b))
    p = (generator or default_generator).uniform(tensor.shape, float64) * (high - low) + low
    values = inverse_normal(p.clip(2.0**-1000, 1 - 2.0**-53)) * std + mean
    with no_grad():
        return tensor.copy_(as_tensor(values.clip(a, b)))


def constant_(tensor: Tensor, val: float) -> Tensor:
    """Fills a tensor with one value."""
    with no_grad():
        return tensor.fill_(val)


def zeros_(tensor: Tensor) -> Tensor:
    """Fills a tensor with zeros."""
    return constant_(tensor, 0.0)


def ones_(tensor: Tensor) -> Tensor:
    """Fills a tensor with ones."""
    return constant_(tensor, 1.0)


def calculate_gain(nonlinearity: str, param: float | None = None) -> float:
    """The factor by which an activation's weights are scaled to keep the variance: √2 for relu, 5/3 for tanh, ...

    Args:
        nonlinearity: "linear", "conv2d" and the like, "sigmoid", "tanh", "relu", "leaky_relu" or "selu".
        param: the negative slope of leaky_relu, 0.01 unless given.
    Example:
        >>> nn.init.calculate_gain("relu") == 2**0.5
        True
    """
    if nonlinearity == "leaky_relu":
        return math.sqrt(2.0 / (1 + (0.01 if param is None else param) ** 2))
    gains = dict.fromkeys((*_LINEAR, "sigmoid"), 1.0) | {"tanh": 5.0 / 3, "relu": math.sqrt(2.0), "selu": 3.0 / 4}
    if nonlinearity not in gains:
        raise ValueError(f"calculate_gain: unknown nonlinearity {nonlinearity!r}; expected one of {sorted(gains)}")
    return gains[nonlinearity]


def fans(tensor: Tensor) -> tuple[int, int]:
    """(fan_in, fan_out) of a weight (OUT, IN, *kernel): the inputs an output sums over, and the other way round."""
    if tensor.ndim < 2:
        raise ValueError(f"init: a weight of shape {tuple(tensor.shape)} has no fans; expected at least 2 dimensions")
    OUT, IN, *kernel = tensor.shape
    return IN * math.prod(kernel), OUT * math.prod(kernel)


def xavier_uniform_(tensor: Tensor, gain: float = 1.0, generator: Generator | None = None) -> Tensor:
    """Uniform on ±gain·√(6 / (fan_in + fan_out)): Glorot & Bengio 2010."""
    bound = gain * math.sqrt(6.0 / sum(fans(tensor)))
    return uniform_(tensor, -bound, bound, generator)


def xavier_normal_(tensor: Tensor, gain: float = 1.0, generator: Generator | None = None) -> Tensor:
    """Normal with std gain·√(2 / (fan_in + fan_out)): Glorot & Bengio 2010."""
    return normal_(tensor, 0.0, gain * math.sqrt(2.0 / sum(fans(tensor))), generator)


def kaiming_uniform_(
    tensor: Tensor,
    a: float = 0,
    mode: str = "fan_in",
    nonlinearity: str = "leaky_relu",
    generator: Generator | None = None,
) -> Tensor:
    """Uniform on ±gain·√(3 / fan): He et al. 2015. `a` is the negative slope of leaky_relu.

    Raises:
        ValueError: `mode` is neither "fan_in" nor "fan_out", or the nonlinearity is unknown.
    """
    bound = math.sqrt(3.0) * _kaiming_std(tensor, a, mode, nonlinearity)
    return uniform_(tensor, -bound, bound, generator)


def kaiming_normal_(
    tensor: Tensor,
    a: float = 0,
    mode: str = "fan_in",
    nonlinearity: str = "leaky_relu",
    generator: Generator | None = None,
) -> Tensor:
    """Normal with std gain / √fan: He et al. 2015. Arguments as `kaiming_uniform_`."""
    return normal_(tensor, 0.0, _kaiming_std(tensor, a, mode, nonlinearity), generator)


def _kaiming_std(tensor: Tensor, a: float, mode: str, nonlinearity: str) -> float:
    if mode not in ("fan_in", "fan_out"):
        raise ValueError(f"kaiming: mode is {mode!r}; expected 'fan_in' or 'fan_out'")
    fan = fans(tensor)[mode == "fan_out"]
    return calculate_gain(nonlinearity, a) / math.sqrt(fan)
