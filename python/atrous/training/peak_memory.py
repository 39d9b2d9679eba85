"""How much memory a training step will take, before it takes it."""

from __future__ import annotations

import copy
import gc
from collections.abc import Callable, Sequence
from typing import Any

from .. import autograd, memory
from ..backend import kernels_for, on_cpu
from ..checks import require
from ..models.macs import dtype_of
from ..nn import Module
from ..nn.observe import leaf_layers
from ..ops import zeros
from ..optim import Adam, Optimizer
from ..random import Generator, using
from .one_step import Loss, loss_of

__all__ = ["predict_peak_memory"]

STEPS = 2  # in the first, the optimizer has no state yet


def predict_peak_memory(
    model: Module,
    shape: Sequence[int],
    optimizer: Callable[..., Optimizer] | None = None,
    loss_fn: Loss | None = None,
) -> int:
    """Predicts the most bytes that training steps on a batch of a shape will need, over those in use before the first.

    Runs two steps (forward, backward, optimizer) of a copy of the model on a quarter and on half of the batch (2 images
    at least), and notes the peak between any two layers forward, and any two ops backward. From there on, where the
    kernels' workspace has its full size, each of these peaks grows linearly with the batch, and which of them is the
    highest may change: so each is extrapolated, and the largest result counts. A batch of up to 3 is run itself. The
    model and the random state stay as they are.

    Counted is what the pool of `atrous.memory` hands out: activations, gradients, the kernels' workspace, the
    optimizer's state (from the second step on it is there beside the activations). Not counted are the parameters,
    buffers and the input, which are there before; NumPy's own arrays (those below 64 KiB, and temporaries of some
    composed ops); what the operating system adds; and the copy that the prediction itself runs. It starts
    `atrous.memory.peak` again.

    Args:
        model: maps a tensor of that shape to logits, or to what loss_fn takes.
        shape: the input's, the batch first, such as (64, 3, 32, 32).
        optimizer: makes an optimizer of parameters, such as ``optim.SGD`` or a function; `optim.Adam` by default.
        loss_fn: loss of the model's output and int64 labels, all zero; the cross-entropy by default.
    Returns:
        Bytes.
    Raises:
        RuntimeError: the reference backend computes, whose memory nobody counts.
        ValueError: a size is below 1. TypeError: no loss fits what the model returns.
    Example:
        >>> with at.backend("cpu"):
        ...     nbytes = predict_peak_memory(models.lenet5(), (64, 1, 32, 32))
        >>> 3 * 2**20 < nbytes < 6 * 2**20
        True
    """
    if not isinstance(model, Module):
        raise TypeError(f"predict_peak_memory: model is a {type(model).__name__}; expected an nn.Module")
    shape = tuple(shape)
    fits = shape and all(isinstance(size, int) and size >= 1 for size in shape)
    require(fits, "predict_peak_memory", f"shape is {shape}; expected sizes of 1 or more, the batch first")
    if not on_cpu(kernels_for(None)):
        raise RuntimeError(
            "predict_peak_memory: needs the compiled CPU backend, whose memory pool counts its bytes; "
            "the reference backend takes NumPy's memory, which nobody counts"
        )
    N = shape[0]
    low = max(2, N // 4)
    high = min(2 * low, N - 1)
    if high <= low:
        return max(_peaks(model, shape, optimizer or Adam, loss_fn))
    small, large = (_peaks(model, (n, *shape[1:]), optimizer or Adam, loss_fn) for n in (low, high))
    predicted = [a + (b - a) * (N - low) / (high - low) for a, b in zip(small, large, strict=True)]
    return max(0, round(max(predicted)))


def _peaks(model: Module, shape: Sequence[int], optimizer: Callable[..., Optimizer], loss_fn: Loss | None) -> list[int]:
    """The peak in each stretch of the steps: from layer to layer forward, op to op backward, and in the optimizer."""
    model = copy.deepcopy(model).train()
    stepper = optimizer(model.parameters())
    peaks: list[int] = []
    gc.collect()  # what waits for it would go at some point in between

    def note(*_: Any) -> None:
        peaks.append(memory.peak() - before)
        memory.reset_peak()

    def noting(forward: Callable[..., Any]) -> Callable[..., Any]:
        def noted(*args: Any, **kwargs: Any) -> Any:
            output = forward(*args, **kwargs)
            note()
            return output

        return noted

    for _, layer in leaf_layers(model):  # no hooks, which ops do not fuse across
        layer.forward = noting(layer.forward)  # type: ignore[method-assign]
    with using(Generator(seed=0)), autograd.watched(note):
        x = zeros(*shape, dtype=dtype_of(model))
        before = memory.current()
        memory.reset_peak()
        for _ in range(STEPS):
            stepper.zero_grad()
            loss = loss_of(model, model(x), loss_fn)
            note()
            loss.backward()
            del loss
            note()
            stepper.step()
            note()
    return peaks
