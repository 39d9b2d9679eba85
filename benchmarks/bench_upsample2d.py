"""Bilinear and nearest resizing, forward and backward."""

import sys
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

from harness import Case, Outcome, kernel, normal, run
from shapes import QUICK_RESIZE, RESIZE, Resize

TOLERANCE = 1e-5  # of the largest output: PyTorch's weights come from positions in float32, 1e-5 off at pixel 200


def cases(quick: bool) -> Iterator[Case]:
    """Work counts each pixel in and each pixel out once, 4 bytes each."""
    for layer in QUICK_RESIZE if quick else RESIZE:
        row = f"{layer.name} {layer.mode} · {layer.N}×{layer.C}×{layer.size}² → {layer.to}²"
        work = 4e-9 * layer.N * layer.C * (layer.size**2 + layer.to**2)
        for column, setup in (("forward", forward), ("backward", backward)):
            yield Case(row, column, work, "GB/s", TOLERANCE, partial(setup, layer))


def forward(layer: Resize) -> Outcome:
    x, size = normal(layer.N, layer.C, layer.size, layer.size), (layer.to, layer.to)

    def call(torch, x):
        resize = getattr(torch._C._nn, f"upsample_{layer.mode}2d")
        return resize(x, size, *corners(layer).values(), None)

    return kernel(f"upsample_{layer.mode}2d_forward", {"x": x, "output_size": size, **how(layer)}, call, [x])


def backward(layer: Resize) -> Outcome:
    grad_y, size = normal(layer.N, layer.C, layer.to, layer.to), (layer.size, layer.size)

    def call(torch, grad_y):
        resize = getattr(torch.ops.aten, f"upsample_{layer.mode}2d_backward").default
        return resize(grad_y, grad_y.shape[2:], (layer.N, layer.C, *size), *corners(layer).values())

    arguments = {"grad_y": grad_y, "input_size": size, **how(layer)}
    return kernel(f"upsample_{layer.mode}2d_backward", arguments, call, [grad_y])


def corners(layer: Resize) -> dict[str, Any]:
    return {"align_corners": layer.align_corners} if layer.mode == "bilinear" else {}


def how(layer: Resize) -> dict[str, Any]:
    return {**corners(layer), "scale": None}


def main(argv: Sequence[str] | None = None) -> int:
    return run(__file__, cases, argv)


if __name__ == "__main__":
    sys.exit(main())
