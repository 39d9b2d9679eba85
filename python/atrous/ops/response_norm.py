"""Division by the size of a vector: of the responses of near channels, or of an axis."""

from __future__ import annotations

from typing import Any

from ..autocast import in_float32
from ..autograd import Backward, record
from ..backend import array_module, quiet
from ..checks import floats_of_one_dtype, require
from ..tensor import Tensor
from .piecewise import clamp

__all__ = ["local_response_norm", "normalize"]


@in_float32
def local_response_norm(input: Tensor, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0) -> Tensor:
    """``y = x / (k + alpha · mean(x²))^beta``, the mean over the `size` nearest channels.

    Args:
        input: shape (N, C, L), (N, C, H, W) or with more axes.
        size: how many channels: size // 2 before a channel, itself and the rest after it; zeros beyond the last.
        alpha, beta, k: as in the formula.
    Raises:
        ValueError: fewer than three axes, or a size below 1.
    Example:
        >>> local_response_norm(at.tensor([[[3.0]]]), 1, alpha=1.0, beta=0.5, k=16.0).item()
        0.6000000238418579

    Source:
        Krizhevsky, Sutskever and Hinton, ImageNet classification with deep convolutional neural networks, 2012. AlexNet
        has size 5, k 2 and, of the sum, not the mean, alpha 1e-4: here 5e-4.
    """
    op = "local_response_norm"
    floats_of_one_dtype(op, ("input",), input)
    require(input.ndim >= 3, op, f"the input has shape {input.shape}; expected (N, C, L) or more axes")
    require(size >= 1, op, f"size is {size}; expected 1 or more")
    x, before, after = input.data, size // 2, (size - 1) // 2
    xp = array_module(x)
    scale = quiet.run(lambda: k + alpha / size * _window_sums(xp.square(x), before, after))
    y = quiet.run(lambda: x / xp.power(scale, beta))
    saved, attributes = (input, scale), {"before": before, "after": after, "alpha": alpha / size, "beta": beta}
    return record(y, LocalResponseNormBackward, (input,), saved, **attributes)


class LocalResponseNormBackward(Backward):
    """``grad_y · s^−β − 2 α β x · Σ grad_y · x · s^(−β − 1)``, s what was raised to β, the sum over who looks at x."""

    before: int
    after: int
    alpha: float
    beta: float

    def __call__(self, grad_y):
        x, scale = self.saved
        direct = grad_y / array_module(x).power(scale, self.beta)
        return direct - 2 * self.alpha * self.beta * x * _window_sums(direct * x / scale, self.after, self.before)


def _window_sums(x: Any, before: int, after: int) -> Any:
    """The sum of each channel and so many before and after it."""
    total, C = x.copy(order="K"), x.shape[1]
    for shift in range(1, min(before, C - 1) + 1):
        total[:, shift:] += x[:, : C - shift]
    for shift in range(1, min(after, C - 1) + 1):
        total[:, : C - shift] += x[:, shift:]
    return total


def normalize(input: Tensor, p: float = 2.0, dim: int | tuple[int, ...] = 1, eps: float = 1e-12) -> Tensor:
    """``x / max(‖x‖_p, eps)`` along an axis or axes.

    Raises:
        ValueError: p not above 0 (PyTorch takes it). IndexError: no such axis.
    Example:
        >>> [round(v, 3) for v in normalize(at.tensor([[3.0, 4.0]]))[0].tolist()]
        [0.6, 0.8]
    """
    floats_of_one_dtype("normalize", ("input",), input)
    return input / clamp(input.norm(p, dim, keepdim=True), min=eps)
