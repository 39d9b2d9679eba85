"""How much a network computes."""

from __future__ import annotations

from math import prod
from typing import Any

from ..autograd import no_grad
from ..nn import Conv1d, Conv2d, ConvTranspose1d, ConvTranspose2d, Linear, LocallyConnected2d, Module
from ..nn.observe import observe
from ..ops import zeros
from ..tensor import Tensor


def count_macs(model: Module, *input_shape: int) -> int:
    """Multiply-adds of the convolutions and linear layers in one forward pass over an input of the given shape.

    Biases, pooling, normalisation and activations are left out, as usual.

    Args:
        model: its parameters, statistics and mode stay as they are.
        input_shape: such as 1, 3, 224, 224; the count is for the whole batch.
    Example:
        >>> models.count_macs(models.lenet5(), 1, 1, 32, 32)
        416520
    """
    counts = []
    with no_grad():
        observe(model, lambda name, *call: counts.append(macs_of(*call)), zeros(*input_shape, dtype=dtype_of(model)))
    return sum(counts)


def macs_of(layer: Module, args: tuple, y: Any) -> int:
    """Multiply-adds of one call of a layer, 0 where it is neither convolution nor linear.

    Example:
        >>> layer, x = nn.Linear(4, 3), at.ones(2, 4)
        >>> macs_of(layer, (x,), layer(x))
        24
    """
    transposed = isinstance(layer, (ConvTranspose1d, ConvTranspose2d))
    convolution = transposed or isinstance(layer, (Conv1d, Conv2d, LocallyConnected2d))
    if not (convolution or isinstance(layer, Linear)) or not isinstance(y, Tensor):
        return 0
    # each weight meets every output position, of a transposed convolution every input position
    positions = args[0] if transposed else y
    features = layer.weight.shape[0]  # of the output; of a transposed convolution's input
    if isinstance(layer, LocallyConnected2d):  # each weight meets one position
        features = prod(layer.weight.shape[:3])
    return layer.weight.numel() * (prod(positions.shape) // features)


def dtype_of(model: Module) -> Any:
    """The dtype of the model's first floating-point parameter, in which its input comes; None where it has none.

    Example:
        >>> dtype_of(nn.Linear(2, 3).double())
        dtype('float64')
    """
    return next((param.dtype for param in model.parameters() if param.is_floating_point()), None)
