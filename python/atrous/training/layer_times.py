"""How long a training step takes, as a whole and layer by layer."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from statistics import median

from .. import autograd
from ..grad_mode import no_grad
from ..models.macs import macs_of
from ..nn import Module
from ..nn.observe import leaf_layers, unchanged
from ..ops import ones_like
from ..optim import Adam, Optimizer
from ..random import Generator, using
from ..summary import kind_of, tensors_in
from ..tensor import Tensor
from .one_step import Loss, loss_of

__all__ = ["LayerTime", "StepTime", "time_layers", "time_step"]

SHORT = 0.02  # seconds: a layer is timed for at least so long, to rise above the clock's noise
MOST = 50  # repetitions


@dataclass(frozen=True)
class StepTime:
    """Medians of a step's parts and of the whole, in seconds; the parts are forward with loss, backward, optimizer."""

    forward: float
    backward: float
    optimizer: float
    whole: float


@dataclass(frozen=True)
class LayerTime:
    """Medians of one call of a layer, in seconds.

    Attributes:
        name, kind, output_shape, macs: as in `atrous.summary`.
        forward, backward: seconds; backward is 0 where no gradient is wanted.
        flops: floating-point operations both ways, two a multiply-add; 0 of layers that have none.
    """

    name: str
    kind: str
    output_shape: tuple[int, ...] | None
    macs: int
    forward: float
    backward: float
    flops: int


def time_step(
    model: Module,
    x: Tensor,
    optimizer: Callable[..., Optimizer] = Adam,
    loss_fn: Loss | None = None,
    repeat: int = 7,
) -> StepTime:
    """Times training steps of a copy of the model: medians of several, after one that warms up.

    Args:
        model: maps x to logits, or to what loss_fn takes.
        x: the batch.
        optimizer: makes an optimizer of parameters.
        loss_fn: loss of the output and int64 labels, all zero; the cross-entropy by default.
        repeat: steps to take the median of.
    Example:
        >>> found = time_step(models.lenet5(), at.zeros(4, 1, 32, 32), repeat=1)
        >>> 0 < found.forward < found.whole
        True
    """
    model = copy.deepcopy(model).train()
    stepper = optimizer(model.parameters())
    rows = []
    with using(Generator(seed=0)):
        for _ in range(repeat + 1):
            stepper.zero_grad()
            clock = [time.perf_counter()]
            loss = loss_of(model, model(x), loss_fn)
            clock.append(time.perf_counter())
            loss.backward()
            clock.append(time.perf_counter())
            stepper.step()
            clock.append(time.perf_counter())
            rows.append([clock[1] - clock[0], clock[2] - clock[1], clock[3] - clock[2], clock[3] - clock[0]])
    return StepTime(*map(median, zip(*rows[1:], strict=True)))


def time_layers(model: Module, x: Tensor, repeat: int = 7) -> list[LayerTime]:
    """Times each leaf layer alone, on the input that it gets in a training step, in order of execution.

    What is between layers, such as sums, concatenations and functions, is not timed. The model and the random state
    are left as they are.

    Args:
        model: runs on x in training mode.
        x: the batch.
        repeat: take the median of at least so many repetitions, after one that warms up.
    Example:
        >>> found = time_layers(models.lenet5(), at.zeros(4, 1, 32, 32), repeat=1)
        >>> [layer.kind for layer in found][:3], found[0].macs
        (['Conv2d 5×5', 'ReLU', 'MaxPool2d 2×2 s2'], 470400)
    """
    calls: list[tuple[str, Module, tuple]] = []

    def note(name: str, layer: Module, args: tuple) -> None:
        kept = [Tensor(a.data.copy(order="K"), a.requires_grad) if isinstance(a, Tensor) else a for a in args]
        calls.append((name, layer, tuple(kept)))

    with unchanged(model):
        hooks = [layer.register_forward_pre_hook(partial(note, name)) for name, layer in leaf_layers(model)]
        model.train()
        model(x)
        for hook in hooks:
            hook.remove()
        return [_time_call(*call, repeat) for call in calls]


def _time_call(name: str, layer: Module, args: tuple, repeat: int) -> LayerTime:
    layer = copy.deepcopy(layer)  # its gradients are its own
    forwards: list[float] = []
    backwards: list[float] = []
    while len(forwards) <= repeat or (sum(forwards) + sum(backwards) < SHORT and len(forwards) < MOST):
        given = [a.clone() if isinstance(a, Tensor) else a for a in args]  # no leaves: layers may write to them
        layer.zero_grad()
        start = time.perf_counter()
        output = layer(*given)
        forwards.append(time.perf_counter() - start)
        results = [y for y in tensors_in(output) if y.requires_grad]
        with no_grad():
            grads = [ones_like(y) for y in results]
        start = time.perf_counter()
        if results:
            autograd.backward(results, grads)
        backwards.append(time.perf_counter() - start)
        for a in args:
            if isinstance(a, Tensor):
                a.grad = None
    shapes = [y.shape for y in tensors_in(output)]
    macs = macs_of(layer, args, output)
    wanted = [isinstance(a, Tensor) and a.requires_grad for a in (*args[:1], getattr(layer, "weight", None))]
    return LayerTime(
        name,
        kind_of(layer),
        shapes[0] if shapes else None,
        macs,
        median(forwards[1:]),
        median(backwards[1:]) if results else 0.0,
        2 * macs * (1 + sum(wanted)),
    )
