"""Layers as plain code has them, forward and backward: what passes over memory are left when ops follow each other."""

import sys
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import atrous as at
from harness import Case, Outcome, normal, run
from peers import pytorch
from shapes import MAP, QUICK_MAP, UPSAMPLE, Map

TOLERANCE = 1e-5  # of the largest output: sums over up to 200,000 pixels, in pieces; PyTorch's weights of upsampling


def batch_norm(library: Any, layer: Map) -> Any:
    return library.nn.Sequential(library.nn.BatchNorm2d(layer.C))


def batch_norm_relu(library: Any, layer: Map) -> Any:
    return library.nn.Sequential(library.nn.BatchNorm2d(layer.C), library.nn.ReLU())


def add(library: Any, layer: Map) -> Any:
    class Add(library.nn.Module):
        def forward(self, x: Any, shortcut: Any) -> Any:
            return x + shortcut

    return Add()


def upsample(library: Any, layer: Map) -> Any:
    return library.nn.Upsample(scale_factor=2, mode="bilinear")


# Each with the line of the table for which it counts, and how often it has to pass over x: reads and writes, both ways.
LAYERS = {
    "batch-norm": (batch_norm, "batch-norm", 5),
    "batch-norm + relu": (batch_norm_relu, "batch-norm + relu", 5),
    "add": (add, "memory-bound", 3),
    "upsample ×2": (upsample, "memory-bound", 10),
}


def cases(quick: bool) -> Iterator[Case]:
    """Work counts each array read and written once, 4 bytes a number."""
    for name, (make, line, passes) in LAYERS.items():
        if make is upsample and not hasattr(at.nn, "Upsample"):
            continue
        for layer in QUICK_MAP if quick else UPSAMPLE if make is upsample else MAP:
            row = f"{name}, {layer.name} · {layer.N}×{layer.C}×{layer.size}²"
            gigabytes = 4e-9 * passes * layer.N * layer.C * layer.size**2
            yield Case(row, "both ways", gigabytes, "GB/s", TOLERANCE, partial(both_ways, make, layer), line)


def both_ways(make: Callable[[Any, Map], Any], layer: Map) -> Outcome:
    """The same lines for both libraries; the truth is what the layers give on the reference in float64."""
    shape = (layer.N, layer.C, layer.size, layer.size)
    inputs = [normal(*shape, seed=seed) for seed in range(2 if make is add else 1)]
    side = layer.size * (2 if make is upsample else 1)
    grad_y = normal(layer.N, layer.C, side, side, seed=2)

    def prepared(library: Any, *tensors: Any) -> Callable[[], Any]:
        *xs, grad = tensors
        model = make(library, layer).to(grad.dtype)
        for x in xs:
            x.requires_grad = True
        wanted = [*xs, *model.parameters()]

        def call() -> list[Any]:
            y = model(*xs)
            return [y.detach(), *library.autograd.grad([y], wanted, [grad])]

        return call

    def ours(dtype: Any) -> Callable[[], Any]:
        return prepared(at, *(at.tensor(array, dtype=dtype) for array in (*inputs, grad_y)))

    on_reference = at.backend("reference")  # as a decorator
    calls = {"atrous": ours(at.float32), "reference": on_reference(ours(at.float32))}
    calls |= {name: made() for name, made in pytorch(prepared, [*inputs, grad_y]).items()}
    return on_reference(lambda: ours(at.float64)()), calls


def main(argv: Sequence[str] | None = None) -> int:
    return run(__file__, cases, argv)


if __name__ == "__main__":
    sys.exit(main())
