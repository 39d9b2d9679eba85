"""``atrous bench --model``: a training step of a network, as a whole or layer by layer."""

from __future__ import annotations

import argparse
from pathlib import Path

from atrous.cli.arguments import EXTRA, one_line
from atrous.models import NAMES, build
from atrous.models.macs import dtype_of
from atrous.nn import Conv2d, Module
from atrous.ops import randn
from atrous.random import Generator
from atrous.summary import aligned
from atrous.tensor import Tensor
from atrous.training.layer_times import LayerTime, Roof, StepTime, measure_roof, time_layers, time_step
from atrous.training.machine import kernel_level, threads

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
        roof = measure_roof() if args.layers else None
    except (ValueError, RuntimeError, MemoryError):
        raise
    except Exception as error:  # the network may be the user's, who wants to know what kind it was
        raise RuntimeError(f"{name} on {tuple(x.shape)}: {type(error).__name__}: {one_line(error)}") from error
    what = f"{name}: a training step with Adam on {batch} images of {size}×{size}, {x.shape[1]} channels"
    print(f"{what}\n{kernel_level()}, {threads()}, medians of {repeat}\n")
    if args.layers:
        print("\n".join([*layer_table(layers, step, roof), "", *legend(roof)]), end="\n\n")
    print("\n".join(step_table(step, batch)))
    if args.layers:
        title = f"{name}, {batch} images of {size}×{size}: {kernel_level()}, {threads()}"
        picture(args.picture or Path(f"roofline-{name.replace(':', '-')}.png"), title, layers, roof)
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


def layer_table(layers: list[LayerTime], step: StepTime, roof: Roof | None) -> list[str]:
    """A row a layer, then their sum beside the whole step.

    Example:
        >>> layer = LayerTime("fc", "Linear 4→3", (2, 3), 24, 1e-3, 3e-3, flops=144_000_000, moved=4_000_000)
        >>> print("\\n".join(layer_table([layer], StepTime(0.002, 0.004, 0.002, 0.008), Roof(100e9, 20e9))))
        layer             kind        output  algorithm  forward ms  backward ms          rate  of roof  of step
        ────────────────────────────────────────────────────────────────────────────────────────────────────────
        fc                Linear 4→3  2×3                     1.000        3.000  36.0 GFLOP/s      36%    50.0%
        ────────────────────────────────────────────────────────────────────────────────────────────────────────
        layers                                                1.000        3.000                    36%    50.0%
        rest of the step                                                                                   50.0%
    """
    head = ("layer", "kind", "output", "algorithm", "forward ms", "backward ms", "rate", "of roof", "of step")
    rows = [layer_row(layer, step, roof) for layer in layers]
    forward, backward = sum(t.forward for t in layers), sum(t.backward for t in layers)
    best = sum(t.operations / roof.at(t) for t in layers) if roof else 0.0
    share = f"{best / (forward + backward):.0%}" if roof else ""
    cost = (f"{1e3 * forward:.3f}", f"{1e3 * backward:.3f}")
    total = ("layers", "", "", "", *cost, "", share, f"{(forward + backward) / step.whole:.1%}")
    between = ("rest of the step", *[""] * 7, f"{1 - (forward + backward) / step.whole:.1%}")
    table = aligned([head, *rows, total, between], left=4)
    line = "─" * max(map(len, table))
    return [table[0], line, *table[1:-2], line, *table[-2:]]


def layer_row(layer: LayerTime, step: StepTime, roof: Roof | None) -> tuple[str, ...]:
    """The cells of a layer: its rate is in multiply-adds where it has them, else in bytes."""
    seconds = layer.forward + layer.backward
    rate = f"{layer.rate / 1e9:.1f} GFLOP/s" if layer.flops else f"{layer.moved / seconds / 1e9:.1f} GB/s"
    return (
        layer.name,
        layer.kind,
        "×".join(map(str, layer.output_shape or ())),
        " / ".join(layer.algorithms[:1] if len(set(layer.algorithms)) == 1 else layer.algorithms),
        f"{1e3 * layer.forward:.3f}",
        f"{1e3 * layer.backward:.3f}",
        rate,
        f"{layer.rate / roof.at(layer):.0%}" if roof and layer.operations else "",
        f"{seconds / step.whole:.1%}",
    )


def legend(roof: Roof | None) -> list[str]:
    """What the columns mean."""
    lines = [
        "Each layer runs alone, as without fusion: what follows it in the network (batch-norm, relu, a sum) may cost",
        "no pass of its own there, so that the layers can add up to more than the step.",
        "algorithm: of the output / of the input's gradient / of the weight's, or one for all three.",
    ]
    if roof:
        best = f"{roof.flops / 1e9:.0f} GFLOP/s, or {roof.bandwidth / 1e9:.0f} GB/s where memory is the limit"
        lines.append(f"of roof: of what this machine does at best, measured now: {best}.")
        lines.append("More than 100 %: data stay in the caches, or Winograd needs fewer multiply-adds than counted.")
    return lines


def picture(path: Path, title: str, layers: list[LayerTime], roof: Roof | None) -> None:
    """Draws the roofline where matplotlib is installed, and says where it is or why not."""
    if roof is None:
        return
    try:
        from atrous.training.roofline import draw_roofline
    except ImportError as error:
        print(f"no picture: {error}; {EXTRA}")
        return
    draw_roofline(path, title, layers, roof)
    print(f"picture: {path}")
