"""Where a loss stopped being a number: which layer, and for which samples."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..grad_mode import no_grad
from ..nn import Module
from ..ops import isfinite
from ..tensor import Tensor

SHOWN = 8  # indices in a message


class NonFiniteLoss(RuntimeError):
    """The loss, or a weight, is no longer a finite number, so that further steps are pointless.

    Attributes:
        layer: the name of the first layer whose output is not finite though its input is; None if it is no layer's.
        samples: the dataset's indices of the samples concerned, or their places in the batch where these are unknown.
    """

    def __init__(self, message: str, layer: str | None = None, samples: Sequence[int] = ()) -> None:
        super().__init__(message)
        self.layer, self.samples = layer, list(samples)


def non_finite_parameter(model: Module) -> str | None:
    """The name of the first parameter or buffer that holds a NaN or an infinity; None where all are finite."""
    for name, value in model.state_dict().items():
        if value.is_floating_point() and not isfinite(value).all().item():
            return name
    return None


def explain(
    model: Module,
    loss_fn: Callable[[Tensor, Tensor], Tensor],
    forward: Callable[[], tuple[Tensor, Tensor]],
    indices: Sequence[int] | None,
    what: str,
) -> NonFiniteLoss:
    """Runs the forward pass again and watches every layer; the model's buffers stay as they are.

    Args:
        model: the network, in the mode in which the loss was computed.
        loss_fn: mean loss of (output, target).
        forward: computes (output, target) of the batch, with the random numbers of the first time.
        indices: the samples' numbers in the data set.
        what: how the message starts, such as "the loss became nan in epoch 3, batch 7".
    Returns:
        The error to raise.
    """
    weight = non_finite_parameter_of_layers(model)
    if weight is not None:
        layer = weight.rpartition(".")[0]
        return NonFiniteLoss(
            f"{what}: {weight} is no longer finite since the step before; try a lower learning rate", layer
        )
    watch = Watch(model)
    with no_grad(), watch:
        output, target = forward()
    if watch.found is not None:
        layer, kind, rows, of_input = watch.found
        names, samples = in_words(rows, indices)
        if of_input:
            return NonFiniteLoss(f"{what}: the input of the network is not finite for {names}", None, samples)
        return NonFiniteLoss(
            f"{what}: layer {layer or 'model'} ({kind}) gave a value that is not finite for {names}; "
            "try a lower learning rate, or look at these samples",
            layer,
            samples,
        )
    names, samples = in_words(bad_losses(loss_fn, output, target), indices)
    return NonFiniteLoss(f"{what}: the network's output is finite, the loss function's value is not, for {names}",
                         None, samples)  # fmt: skip


def non_finite_parameter_of_layers(model: Module) -> str | None:
    """As `non_finite_parameter`, without buffers: the failed pass itself may have spoilt running statistics."""
    for name, value in model.named_parameters():
        if not isfinite(value).all().item():
            return name
    return None


class Watch:
    """Inside, notes the first layer whose output is not finite; the buffers are put back at the end."""

    def __init__(self, model: Module) -> None:
        self.model = model
        self.found: tuple[str, str, list[int], bool] | None = None  # name, class, samples, whether the input was bad
        self.first = True

    def __enter__(self) -> Watch:
        self.buffers = [(buffer, buffer.clone()) for buffer in self.model.buffers()]
        leaves = [(name, module) for name, module in self.model.named_modules() if not list(module.children())]
        self.handles = [module.register_forward_hook(self.hook(name)) for name, module in leaves]
        return self

    def __exit__(self, *error: object) -> None:
        for handle in self.handles:
            handle.remove()
        for buffer, before in self.buffers:
            buffer.copy_(before)

    def hook(self, name: str) -> Callable[[Module, tuple, Any], None]:
        def look(module: Module, args: tuple, output: Any) -> None:
            inputs = [value for value in args if isinstance(value, Tensor)]
            if self.first and inputs and (rows := bad_rows(inputs[0])):
                self.found = (name, type(module).__name__, rows, True)
            self.first = False
            if self.found is None and isinstance(output, Tensor) and (rows := bad_rows(output)):
                self.found = (name, type(module).__name__, rows, False)

        return look


def bad_rows(values: Tensor) -> list[int]:
    """The entries along the first axis that hold a NaN or an infinity."""
    if not values.is_floating_point() or values.ndim == 0:
        return []
    finite = isfinite(values.detach()).numpy().reshape(values.shape[0], -1).all(axis=1)
    return [int(n) for n in np.flatnonzero(~finite)]


def bad_losses(loss_fn: Callable[[Tensor, Tensor], Tensor], output: Tensor, target: Tensor) -> list[int]:
    """The samples whose own loss is not finite, where the loss function takes single samples."""
    with no_grad():
        try:
            losses = [loss_fn(output[n : n + 1], target[n : n + 1]).item() for n in range(len(output))]
        except (ValueError, TypeError, RuntimeError, IndexError, KeyError):
            return []
    return [n for n, loss in enumerate(losses) if not math.isfinite(loss)]


def in_words(rows: Sequence[int], indices: Sequence[int] | None) -> tuple[str, list[int]]:
    """``samples 17, 4 of the data set``, or the places in the batch where the numbers are unknown; and the numbers."""
    if not rows:
        return "the batch as a whole", []
    samples = list(rows) if indices is None else [indices[row] for row in rows if row < len(indices)]
    listed = ", ".join(map(str, samples[:SHOWN])) + (
        f" and {len(samples) - SHOWN} more" if len(samples) > SHOWN else ""
    )
    where = "batch (counted from 0)" if indices is None else "data set"
    return f"sample{'s' if len(samples) > 1 else ''} {listed} of the {where}", samples
