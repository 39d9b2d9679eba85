"""Max, average and global average pooling, forward and backward."""

import sys
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

from atrous import layout, reference
from harness import Case, Outcome, kernel, normal, run
from shapes import POOL, QUICK_POOL, Pool

TOLERANCE = 1e-6  # of the largest output: no sum has more than 49 terms


def cases(quick: bool) -> Iterator[Case]:
    """Work counts each pixel in and each pixel out once, 4 bytes each."""
    for layer in QUICK_POOL if quick else POOL:
        row = f"{layer.name} {layer.kind} · {layer.N}×{layer.C}×{layer.size}²"
        setups = {"max": (max_forward, max_backward), "average": (average_forward, average_backward)}[layer.kind]
        if layer.kernel == 0:
            setups = (global_forward, global_backward)
        x, grad_y = shapes(layer)
        work = 4e-9 * layer.N * layer.C * (x[2] * x[3] + grad_y[2] * grad_y[3])
        for column, setup in zip(("forward", "backward"), setups, strict=True):
            yield Case(row, column, work, "GB/s", TOLERANCE, partial(setup, layer), "memory-bound")


def max_forward(layer: Pool) -> Outcome:
    x, w = normal(*shapes(layer)[0]), {**window(layer), "dilation": (1, 1), "ceil_mode": False}

    def call(torch, x):
        return torch.ops.aten.max_pool2d_with_indices.default(x, *w.values())[0]  # as in training

    return kernel("max_pool2d_forward", {"x": x, **w}, call, [x])


def max_backward(layer: Pool) -> Outcome:
    x, grad_y = (normal(*shape) for shape in shapes(layer))
    w = {**window(layer), "dilation": (1, 1)}
    taps = reference.max_pool2d_forward(x, **w, ceil_mode=False)[1]
    indices = reference.max_pool2d_indices(taps, x.shape[2:], **w)
    taps = layout.channels_last(taps)  # as the forward kernel leaves them; PyTorch's indices lie as its x does

    def call(torch, grad_y, x, indices):
        backward = torch.ops.aten.max_pool2d_with_indices_backward.default
        return backward(grad_y, x, *w.values(), False, indices)

    arguments = {"grad_y": grad_y, "taps": taps, "input_size": x.shape[2:], **w}
    return kernel("max_pool2d_backward", arguments, call, [grad_y, x, indices])


def average_forward(layer: Pool) -> Outcome:
    x, w = normal(*shapes(layer)[0]), {**window(layer), **AVERAGE}
    return kernel("avg_pool2d_forward", {"x": x, **w}, lambda torch, x: torch._C._nn.avg_pool2d(x, *w.values()), [x])


def average_backward(layer: Pool) -> Outcome:
    x, grad_y = (normal(*shape) for shape in shapes(layer))
    w = {**window(layer), **AVERAGE}

    def call(torch, grad_y, x):
        return torch.ops.aten.avg_pool2d_backward.default(grad_y, x, *w.values())

    return kernel("avg_pool2d_backward", {"grad_y": grad_y, "input_size": x.shape[2:], **w}, call, [grad_y, x])


def global_forward(layer: Pool) -> Outcome:
    x = normal(*shapes(layer)[0])

    def call(torch, x):
        return torch.nn.functional.adaptive_avg_pool2d(x, (1, 1))

    return kernel("adaptive_avg_pool2d_forward", {"x": x, "output_size": (1, 1)}, call, [x])


def global_backward(layer: Pool) -> Outcome:
    shape, grad_y = shapes(layer)[0], normal(*shapes(layer)[1])

    def call(torch, grad_y):
        return grad_y.expand(shape) / (layer.size * layer.size)  # PyTorch records it as a mean

    arguments = {"grad_y": grad_y, "input_size": shape[2:]}
    return kernel("adaptive_avg_pool2d_backward", arguments, call, [grad_y])


AVERAGE: dict[str, Any] = {"ceil_mode": False, "count_include_pad": True, "divisor_override": None}


def window(layer: Pool) -> dict[str, Any]:
    names = {"kernel_size": layer.kernel, "stride": layer.stride, "padding": layer.padding}
    return {name: (size, size) for name, size in names.items()}


def shapes(layer: Pool) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Of x and of y."""
    OH = (layer.size + 2 * layer.padding - layer.kernel) // layer.stride + 1 if layer.kernel else 1
    return (layer.N, layer.C, layer.size, layer.size), (layer.N, layer.C, OH, OH)


def main(argv: Sequence[str] | None = None) -> int:
    return run(__file__, cases, argv, total="forward + backward")


if __name__ == "__main__":
    sys.exit(main())
