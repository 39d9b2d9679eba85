"""How long a training step takes, as a whole and layer by layer, and what this machine could do at best."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from statistics import median
from typing import Any

from .. import autograd
from ..backend import kernels_for, on_cpu
from ..config import get_num_threads
from ..grad_mode import no_grad
from ..models.macs import macs_of
from ..nn import Conv2d, ConvTranspose2d, Module
from ..nn.observe import leaf_layers, unchanged
from ..ops import ones_like
from ..optim import Adam, Optimizer
from ..random import Generator, using
from ..summary import kind_of, tensors_in
from ..tensor import Tensor
from .one_step import Loss, loss_of

__all__ = ["LayerTime", "Roof", "StepTime", "algorithms_of", "measure_roof", "time_layers", "time_step"]

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
        moved: bytes that it has to read and write both ways, each array once in each pass over it.
        algorithms: the kernels that the rule picks for y, the gradient of x and that of the weight; empty where there
            is nothing to pick.
    """

    name: str
    kind: str
    output_shape: tuple[int, ...] | None
    macs: int
    forward: float
    backward: float
    flops: int
    moved: int
    algorithms: tuple[str, ...] = ()

    @property
    def operations(self) -> int:
        """flops; where there are none, the numbers moved, so that a layer that only passes over memory has a rate."""
        return self.flops or self.moved // 4

    @property
    def rate(self) -> float:
        """Operations a second."""
        return self.operations / (self.forward + self.backward)


@dataclass(frozen=True)
class Roof:
    """What this machine does at best: `flops` float32 operations a second, and `bandwidth` bytes a second in a copy."""

    flops: float
    bandwidth: float

    def at(self, layer: LayerTime) -> float:
        """The operations a second that a layer with so many operations a byte could reach.

        Example:
            >>> relu = LayerTime("", "ReLU", (4,), 0, 1e-3, 1e-3, flops=0, moved=400)
            >>> Roof(flops=100e9, bandwidth=20e9).at(relu) / 1e9
            5.0
        """
        return min(self.flops, self.bandwidth * layer.operations / max(1, layer.moved))


def measure_roof() -> Roof | None:
    """Measures for two seconds, on as many threads as the kernels use; None on the reference backend."""
    kernels = kernels_for(None)
    if not on_cpu(kernels):
        return None
    threads = get_num_threads()
    return Roof(1e9 * kernels.peak_fma_gflops(threads), 1e9 * kernels.peak_copy_gbs(threads))


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
    macs, y = macs_of(layer, args, output), next(tensors_in(output), None)
    wanted = [isinstance(a, Tensor) and a.requires_grad for a in (*args[:1], getattr(layer, "weight", None))]
    return LayerTime(
        name,
        kind_of(layer),
        shapes[0] if shapes else None,
        macs,
        median(forwards[1:]),
        median(backwards[1:]) if results else 0.0,
        2 * macs * (1 + sum(wanted)),
        _moved(layer, args, y, wanted) if y is not None else 0,
        algorithms_of(layer, args, y),
    )


def _moved(layer: Module, args: tuple, y: Tensor, wanted: list[bool]) -> int:
    """Bytes both ways. A gradient by multiply-adds is a pass of its own; other layers have one for all gradients."""
    inputs = sum(a.data.nbytes for a in args if isinstance(a, Tensor))
    weights, output = sum(p.data.nbytes for p in layer.parameters()), y.data.nbytes
    once = inputs + weights + output
    if macs_of(layer, args, y):
        return once * (1 + sum(wanted))
    return once + (once + inputs if any(wanted) else 0)


def algorithms_of(layer: Module, args: tuple, y: Any) -> tuple[str, ...]:
    """What the rule picks for a convolution: for y, the gradient of x, the gradient of the weight.

    Example:
        >>> layer, x = nn.Conv2d(4, 4, 3, groups=4), at.ones(1, 4, 8, 8)
        >>> with at.backend("cpu"):
        ...     algorithms_of(layer, (x,), layer(x))
        ('depthwise', 'depthwise', 'depthwise')
    """
    kernels = kernels_for(None)
    if not isinstance(layer, (Conv2d, ConvTranspose2d)) or not on_cpu(kernels):
        return ()
    transposed = isinstance(layer, ConvTranspose2d)
    wide = (1, 1, *(y if transposed else args[0]).shape)[-4:]
    spans = [d * (k - 1) for d, k in zip(layer.dilation, layer.kernel_size, strict=True)]
    padding = {"valid": (0, 0), "same": (spans[0] // 2, spans[1] // 2)}.get(str(layer.padding), layer.padding)
    sizes = (wide, layer.weight.shape, layer.stride, padding, layer.dilation, layer.groups)
    directions = ["forward", "backward_input", "backward_weight"]
    if transposed:  # it is the input gradient of a convolution that goes the other way
        directions[:2] = directions[1::-1]
    return tuple(kernels.conv2d_algorithms(direction, *sizes)[0] for direction in directions)
