"""Convolution, its input gradient and its weight gradient, at the layers of real networks."""

import sys
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

from atrous import _cpu, reference
from harness import Case, Outcome, kernel, normal, run
from peers import Im2col
from shapes import CONV, QUICK_CONV, Conv

# Of the largest output. A direct sum is good to 1e-6, Winograd's F(4×4, 3×3) to 3e-6.
TOLERANCE = 1e-5

# GFLOP from which the reference in float64 takes seconds: our own kernels in float64, which the tests compare with it,
# are the truth there, and PyTorch has to agree with them too.
LARGE = 0.5

# The kernel behind each column. A transposed convolution is the input gradient of one that goes the other way.
DIRECTIONS = {"forward": "forward", "input gradient": "backward_input", "weight gradient": "backward_weight"}
TRANSPOSED = {"forward": "backward_input", "input gradient": "forward", "weight gradient": "backward_weight"}


def cases(quick: bool) -> Iterator[Case]:
    """Three cases a layer; each does the same number of multiply-adds."""
    for line, layers in (QUICK_CONV if quick else CONV).items():
        for layer in layers:
            row = f"{layer.name} · {layer.N}×{layer.IC}×{layer.size}²→{layer.OC}"
            KH, KW = pair(layer.kernel)
            sites = layer.size**2 if layer.transposed else out_size(layer)[0] * out_size(layer)[1]
            work = 2e-9 * layer.N * layer.OC * sites * (layer.IC // layer.groups) * KH * KW
            for column in DIRECTIONS:
                truth = _cpu if work > LARGE else reference
                yield Case(row, column, work, "GFLOP/s", TOLERANCE, partial(setup, layer, column, truth), line)


def setup(layer: Conv, column: str, truth: Any) -> Outcome:
    """The kernel's arguments are named for the convolution; a transposed one gives it grad_y for x and x for grad_y."""
    x, grad_y, weight = arrays(layer)
    bias = normal(layer.OC)
    direction = (TRANSPOSED if layer.transposed else DIRECTIONS)[column]
    wide, narrow = (grad_y, x) if layer.transposed else (x, grad_y)
    arguments: dict[str, Any] = {
        "forward": {"x": wide, "weight": weight, "bias": None if layer.transposed else bias},
        "backward_input": {"grad_y": narrow, "weight": weight, "input_size": wide.shape[2:]},
        "backward_weight": {"grad_y": narrow, "x": wide, "kernel_size": weight.shape[2:]},
    }[direction]
    numpy_call = None
    if layer.groups == 1:  # for grouped layers the reference is the NumPy program to compare with
        program = Im2col(layer.N, wide.shape[1], wide.shape[2:], weight.shape[2:], *list(window(layer).values())[:3])
        positional = list(arguments.values())[: 2 if direction == "backward_weight" else 3]
        numpy_call = partial(getattr(program, direction), *positional)
    tensors = [x, grad_y, weight, None if layer.transposed else bias]
    given = arguments | window(layer)
    return kernel(f"conv2d_{direction}", given, torch_call(layer, column), tensors, numpy_call, truth)


def torch_call(layer: Conv, column: str) -> Callable[..., Any]:
    """PyTorch's forward, or the call that its autograd makes for one gradient."""
    stride, padding, dilation, groups = window(layer).values()
    sides = zip(stride, pair(layer.kernel), padding, strict=True)
    extra = tuple(s - k + 2 * p if layer.transposed else 0 for s, k, p in sides)  # the map is stride times as large
    rest = (stride, padding, dilation, layer.transposed, extra, groups)
    if column == "forward":
        return lambda torch, x, grad_y, weight, bias: torch.convolution(x, weight, bias, *rest)
    wanted = [column == "input gradient", column == "weight gradient", False]
    backward = partial(_backward, rest, wanted)
    return lambda torch, x, grad_y, weight, bias: backward(torch, grad_y, x, weight)


def _backward(rest: tuple[Any, ...], wanted: list[bool], torch: Any, *tensors: Any) -> Any:
    return torch.ops.aten.convolution_backward.default(*tensors, None, *rest, wanted)[wanted.index(True)]


def arrays(layer: Conv) -> tuple[Any, Any, Any]:
    """x, grad_y and weight; the weight of a transposed layer has its axes in the order (IC, OC, KH, KW)."""
    x = normal(layer.N, layer.IC, layer.size, layer.size)
    grad_y = normal(layer.N, layer.OC, *out_size(layer))
    first, second = (layer.IC, layer.OC) if layer.transposed else (layer.OC, layer.IC)
    return x, grad_y, normal(first, second // layer.groups, *pair(layer.kernel))


def window(layer: Conv) -> dict[str, Any]:
    pairs = {name: pair(getattr(layer, name)) for name in ("stride", "padding", "dilation")}
    return {**pairs, "groups": layer.groups}


def pair(size: int | tuple[int, int]) -> tuple[int, int]:
    return size if isinstance(size, tuple) else (size, size)


def out_size(layer: Conv) -> tuple[int, int]:
    if layer.transposed:
        return pair(layer.stride * layer.size)
    axes = zip(pair(layer.kernel), pair(layer.padding), strict=True)
    OH, OW = ((layer.size + 2 * p - layer.dilation * (k - 1) - 1) // layer.stride + 1 for k, p in axes)
    return OH, OW


def main(argv: Sequence[str] | None = None) -> int:
    return run(__file__, cases, argv, total="forward + gradients")


if __name__ == "__main__":
    sys.exit(main())
