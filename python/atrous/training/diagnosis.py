"""Where a loss stopped being a number: which layer, and for which samples."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any

import numpy as np

from ..grad_mode import no_grad
from ..nn import Module
from ..nn.observe import leaf_layers, unchanged
from ..ops import isfinite
from ..random import Generator, get_rng_state, using
from ..tensor import Tensor
from .evaluation import evaluating, generator_at

SHOWN = 8  # indices in a message
Forward = Callable[[], tuple[Tensor, Tensor]]  # computes (output, target)
Loss = Callable[[Tensor, Tensor], Tensor]


class NonFiniteLoss(RuntimeError):
    """The loss, or a weight, is no longer a finite number, so that further steps are pointless.

    Attributes:
        layer: the name of the first layer whose output is not finite though its input is; None if it is no layer's.
        samples: the data set's indices of the samples concerned, or their places in the batch where these are unknown.
    """

    def __init__(self, message: str, layer: str | None = None, samples: Sequence[int] = ()) -> None:
        super().__init__(message)
        self.layer, self.samples = layer, list(samples)


def check_weights(model: Module, when: str) -> None:
    """Raises NonFiniteLoss where a parameter holds a NaN or an infinity; ``when`` is a part of the message."""
    name = bad_parameter(model)
    if name is not None:
        layer = name.rpartition(".")[0]
        raise NonFiniteLoss(f"{name} is no longer finite {when}; nothing was saved; try a lower learning rate", layer)


def bad_parameter(model: Module) -> str | None:
    """The name of the first parameter that is not finite everywhere."""
    found = (name for name, value in model.named_parameters() if not isfinite(value.detach()).all().item())
    return next(found, None)


def explain(
    model: Module,
    loss_fn: Loss,
    forward: Forward,
    indices: Sequence[int] | None,
    what: str,
    before: Sequence[int] | None = None,
) -> NonFiniteLoss:
    """Runs the forward pass again and watches every layer; the model stays as it is.

    Args:
        model: the network, in the mode in which the loss was computed.
        loss_fn: mean loss of (output, target).
        forward: computes (output, target) of the batch; it draws from the default generator as the first time.
        indices: the samples' numbers in the data set, where they are known.
        what: how the message starts, such as "the loss became nan in epoch 3, batch 7".
        before: the numbers of the samples in the batch before, on which the weights' last step was taken.
    Returns:
        The error to raise.
    """
    weight = bad_parameter(model)
    if weight is not None:
        of = f", on {in_words(range(len(before)), before)[0]}" if before else ""
        return NonFiniteLoss(
            f"{what}: {weight} is no longer finite since the step before{of}; try a lower learning rate",
            weight.rpartition(".")[0],
            before or (),
        )
    watch = Watch()
    state = get_rng_state()
    with unchanged(model), no_grad(), using(generator_at(state)):
        for name, layer in leaf_layers(model):
            layer.register_forward_hook(partial(watch.look, name))
        output, target = forward()
    rows = folded(watch.rows, watch.length, len(output))
    names, samples = in_words(rows, indices)
    if watch.found == "input":
        return NonFiniteLoss(f"{what}: the input of the network is not finite for {names}", None, samples)
    if watch.found is not None:
        return NonFiniteLoss(
            f"{what}: {watch.found} gave a value that is not finite for {names}; "
            "try a lower learning rate, or look at these samples",
            watch.layer,
            samples,
        )
    where = "the network's output is finite, the loss function's value is not,"
    if bad := bad_rows(output):
        where, names_of = "what comes after the last layer is not finite", bad
    else:
        names_of = bad_losses(loss_fn, output, target)
    names, samples = in_words(names_of, indices)
    return NonFiniteLoss(f"{what}: {where} for {names}", None, samples)


def explain_batches(
    model: Module, loss_fn: Loss, forward: Callable[[Any], tuple[Tensor, Tensor]], batches: Iterable[Any], what: str
) -> NonFiniteLoss:
    """As `explain`, of the first batch whose loss is not finite in eval mode."""
    with evaluating(model), using(Generator(0)):
        for batch in batches:
            output, target = forward(batch)
            if not math.isfinite(loss_fn(output, target).item()):
                indices = getattr(batches, "batch_indices", None)
                return explain(model, loss_fn, partial(forward, batch), indices, what)
    return NonFiniteLoss(f"{what}; try a lower learning rate")


class Watch:
    """A forward hook that notes where values stop being finite: in a layer, between two, or before the first."""

    def __init__(self) -> None:
        self.found: str | None = None  # in words; "input" for the network's own
        self.layer: str | None = None
        self.rows: list[int] = []
        self.length = 0  # of the axis that the rows count along
        self.last: str | None = None  # the layer that was called before

    def look(self, name: str, module: Module, args: tuple, output: Any) -> None:
        here = f"layer {name or 'model'} ({type(module).__name__})"
        inputs = next((value for value in args if isinstance(value, Tensor)), None)
        if self.found is None and inputs is not None:
            before = "input" if self.last is None else f"what comes between {self.last} and {here}"
            self.note(before, None, inputs)
        if self.found is None and isinstance(output, Tensor):
            self.note(here, name, output)
        self.last = here

    def note(self, where: str, layer: str | None, values: Tensor) -> None:
        rows = bad_rows(values)
        if rows:
            self.found, self.layer, self.rows, self.length = where, layer, rows, len(values)


def bad_rows(values: Tensor) -> list[int]:
    """The entries along the first axis that hold a NaN or an infinity."""
    if not values.is_floating_point() or values.ndim == 0:
        return []
    finite = isfinite(values.detach()).numpy().reshape(values.shape[0], -1).all(axis=1)
    return [int(n) for n in np.flatnonzero(~finite)]


def folded(rows: Sequence[int], length: int, N: int) -> list[int]:
    """Rows of an axis of some length as samples of N: several rows may be one sample's, such as its patches."""
    if not N or length % N:
        return []
    return sorted({row // (length // N) for row in rows})


def bad_losses(loss_fn: Loss, output: Tensor, target: Tensor) -> list[int]:
    """The samples whose own loss is not finite, where the loss function takes single samples."""
    with no_grad():
        try:
            losses = [loss_fn(output[n : n + 1], target[n : n + 1]).item() for n in range(len(output))]
        except (ValueError, TypeError, RuntimeError, IndexError, KeyError):
            return []
    return [n for n, loss in enumerate(losses) if not math.isfinite(loss)]


def in_words(rows: Sequence[int], indices: Sequence[int] | None) -> tuple[str, list[int]]:
    """``samples 17, 4 of the data set``, or the places in the batch where the numbers are unknown; and the numbers."""
    samples = list(rows) if indices is None else [indices[row] for row in rows if row < len(indices)]
    if not samples:
        return "the batch as a whole", []
    more = f" and {len(samples) - SHOWN} more" if len(samples) > SHOWN else ""
    where = "batch (counted from 0)" if indices is None else "data set"
    return f"sample{'s' * (len(samples) > 1)} {', '.join(map(str, samples[:SHOWN]))}{more} of the {where}", samples
