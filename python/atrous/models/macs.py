"""How much a network computes."""

from __future__ import annotations

from math import prod
from typing import Any

from ..autograd import no_grad
from ..nn import Conv2d, ConvTranspose2d, Linear, Module
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
    total = 0

    def count(layer: Module, args: tuple, y: Tensor) -> None:
        nonlocal total
        # each weight meets every output position, of a transposed convolution every input position
        positions = args[0] if isinstance(layer, ConvTranspose2d) else y
        features = layer.out_features if isinstance(layer, Linear) else positions.shape[1]
        total += layer.weight.numel() * (prod(positions.shape) // features)

    kinds: Any = (Conv2d, ConvTranspose2d, Linear)
    modes = [(module, module.training) for module in model.modules()]
    handles = [layer.register_forward_hook(count) for layer in model.modules() if isinstance(layer, kinds)]
    try:
        with no_grad():
            model.eval()(zeros(*input_shape))
    finally:
        for handle in handles:
            handle.remove()
        for module, training in modes:
            module.training = training
    return total
