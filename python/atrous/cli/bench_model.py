"""``atrous bench --model``: a training step of a network, as a whole or layer by layer."""

from __future__ import annotations

import argparse

from atrous import get_num_threads
from atrous.backend import backend_name
from atrous.cli.arguments import one_line
from atrous.models import NAMES, build
from atrous.models.macs import dtype_of
from atrous.nn import Conv2d, Module
from atrous.ops import randn
from atrous.random import Generator
from atrous.summary import aligned
from atrous.tensor import Tensor
from atrous.training.layer_times import LayerTime, StepTime, time_layers, time_step

IMAGES = {"lenet5": (64, 32), "resnet8": (64, 32), "unet": (8, 64)}  # batch and size
LARGE = (4, 224)  # of the other residual networks
OWN = (8, 64)


def run_model(args: argparse.Namespace) -> int:
    """Runs the command.

    Raises:
        ValueError, RuntimeError: the model cannot be built, or does not run on such images.
    """
    name, repeat = args.model, 3 if args.quick else 7
    if ":" not in name and name not in NAMES:
        try:
            build(name)
        except ValueError as error:
            args.parser.error(str(error).removeprefix("build: "))
    try:
        model = build(name)
    except ValueError:  # a function of the user's whose arguments have no defaults
        model = build(name, 10, 3)
    batch, size = IMAGES.get(name, LARGE if name in NAMES else OWN)
    batch, size = args.batch or batch, args.size or size
    x = images(model, batch, size)
    try:
        step = time_step(model, x, repeat=repeat)
        layers = time_layers(model, x, repeat) if args.layers else []
    except (ValueError, RuntimeError, MemoryError):
        raise
    except Exception as error:  # the network may be the user's, who wants to know what kind it was
        raise RuntimeError(f"{name} on {tuple(x.shape)}: {type(error).__name__}: {one_line(error)}") from error
    print(f"{name}: a training step with Adam on {batch} images of {size}×{size}, {x.shape[1]} channels")
    print(f"{backend_name()} backend, {get_num_threads()} threads, medians of {repeat}\n")
    if args.layers:
        print("\n".join(layer_table(layers, step)), end="\n\n")
    print("\n".join(step_table(step, batch)))
    return 0


def images(model: Module, batch: int, size: int) -> Tensor:
    """Random images of as many channels as the model's first convolution takes, 3 where it has none."""
    channels = next((layer.in_channels for layer in model.modules() if isinstance(layer, Conv2d)), 3)
    return randn(batch, channels, size, size, dtype=dtype_of(model), generator=Generator(seed=0))


def step_table(step: StepTime, batch: int) -> list[str]:
    """The parts of a step.

    Example:
        >>> print("\\n".join(step_table(StepTime(0.01, 0.02, 0.001, 0.031), 4)))
        forward     10.00 ms
        backward    20.00 ms
        optimizer    1.00 ms
        whole step  31.00 ms   129.0 images/s
    """
    parts = ("forward", step.forward), ("backward", step.backward), ("optimizer", step.optimizer)
    rows = [*parts, ("whole step", step.whole)]
    lines = aligned([(name, f"{1e3 * seconds:.2f} ms") for name, seconds in rows], left=1)
    return [*lines[:-1], f"{lines[-1]}   {batch / step.whole:.1f} images/s"]


def layer_table(layers: list[LayerTime], step: StepTime) -> list[str]:
    """A row a layer, then their sum beside the whole step.

    Example:
        >>> layer = LayerTime("fc", "Linear 4→3", (2, 3), 24, 1e-3, 3e-3, 144)
        >>> print("\\n".join(layer_table([layer], StepTime(0.002, 0.004, 0.002, 0.008))))
        layer                         kind        output  MACs  forward ms  backward ms  GFLOP/s  share
        ───────────────────────────────────────────────────────────────────────────────────────────────
        fc                            Linear 4→3  2×3       24       1.000        3.000      0.0  50.0%
        ───────────────────────────────────────────────────────────────────────────────────────────────
        layers                                              24       1.000        3.000      0.0  50.0%
        between layers, loss, update                                                              50.0%
    """

    def row(name: str, kind: str, shape: str, macs: int, forward: float, backward: float, flops: int) -> tuple:
        seconds = forward + backward
        cost = (f"{macs:,}" if macs else "", f"{1e3 * forward:.3f}", f"{1e3 * backward:.3f}")
        rate = f"{flops / seconds / 1e9:.1f}" if flops else ""
        return (name, kind, shape, *cost, rate, f"{seconds / step.whole:.1%}")

    rows = [
        row(t.name, t.kind, "×".join(map(str, t.output_shape or ())), t.macs, t.forward, t.backward, t.flops)
        for t in layers
    ]
    macs, flops = sum(t.macs for t in layers), sum(t.flops for t in layers)
    forward, backward = sum(t.forward for t in layers), sum(t.backward for t in layers)
    rest = 1 - (forward + backward) / step.whole
    head = ("layer", "kind", "output", "MACs", "forward ms", "backward ms", "GFLOP/s", "share")
    total = row("layers", "", "", macs, forward, backward, flops)
    between = ("between layers, loss, update", *[""] * 6, f"{rest:.1%}")
    table = aligned([head, *rows, total, between], left=3)
    line = "─" * max(map(len, table))
    return [table[0], line, *table[1:-2], line, *table[-2:]]
