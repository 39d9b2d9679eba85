"""Sums of two arrays of one shape: a block's output and its shortcut, with the relu behind it, and in place."""

import sys
from collections.abc import Iterator, Sequence
from functools import partial

import numpy as np

from atrous import _cpu, reference
from harness import Call, Case, Outcome, kernel, normal, run
from peers import pytorch
from shapes import MAP, QUICK_MAP, Map

TOLERANCE = 1e-6  # of the largest output


def cases(quick: bool) -> Iterator[Case]:
    """Work counts each array once, 4 bytes a number."""
    for layer in QUICK_MAP if quick else MAP:
        row = f"{layer.name} · {layer.N}×{layer.C}×{layer.size}²"
        gigabytes = 3 * 4e-9 * layer.N * layer.C * layer.size**2
        yield Case(row, "add", gigabytes, "GB/s", TOLERANCE, partial(add, layer, False))
        yield Case(row, "add + relu", gigabytes, "GB/s", TOLERANCE, partial(add, layer, True))
        yield Case(row, "in place", gigabytes, "GB/s", TOLERANCE, partial(add_into, layer))


def add(layer: Map, relu: bool) -> Outcome:
    x, residual = arrays(layer)

    def call(torch, x, residual):
        return torch.relu(x + residual) if relu else x + residual

    return kernel("add_forward", {"x": x, "residual": residual, "relu": relu}, call, [x, residual])


def add_into(layer: Map) -> Outcome:
    """Each call adds once more, so that there is nothing to compare; tests/test_elementwise.py does."""
    total, part = arrays(layer)

    def call(torch, total, part):
        total += part

    calls: dict[str, Call] = {
        "atrous": partial(_cpu.add_into, total.copy("K"), part),
        "reference": partial(reference.add_into, total.copy("K"), part),
        **pytorch(call, [total, part]),
    }
    return None, calls


def arrays(layer: Map) -> tuple[np.ndarray, np.ndarray]:
    shape = (layer.N, layer.C, layer.size, layer.size)
    return normal(*shape), normal(*shape, seed=1)


def main(argv: Sequence[str] | None = None) -> int:
    return run(__file__, cases, argv)


if __name__ == "__main__":
    sys.exit(main())
