"""Convolution, its input gradient and its weight gradient, at the layers of real networks."""

import sys
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

from harness import Case, Outcome, kernel, normal, run
from peers import Im2col
from shapes import CONV, QUICK_CONV, Conv

# Of the largest output. A direct sum is good to 1e-6, Winograd's F(4×4, 3×3) to 3e-6.
TOLERANCE = 1e-5


def cases(quick: bool) -> Iterator[Case]:
    """Three cases a layer; each does the same number of multiply-adds."""
    for layer in QUICK_CONV if quick else CONV:
        row = f"{layer.name} · {layer.N}×{layer.IC}×{layer.size}²→{layer.OC}"
        work = 2e-9 * layer.N * layer.OC * out_size(layer) ** 2 * (layer.IC // layer.groups) * layer.kernel**2
        for column, setup in [("forward", forward), ("input gradient", grad_x), ("weight gradient", grad_weight)]:
            yield Case(row, column, work, "GFLOP/s", TOLERANCE, partial(setup, layer))


def forward(layer: Conv) -> Outcome:
    x, weight, _ = arrays(layer)
    w, bias = window(layer), normal(layer.OC)

    def call(torch, x, weight, bias):
        return torch.conv2d(x, weight, bias, w["stride"], w["padding"], w["dilation"], w["groups"])

    arguments = {"x": x, "weight": weight, "bias": bias, **w}
    return kernel("conv2d_forward", arguments, call, [x, weight, bias], im2col(layer, "forward", x, weight, bias))


def grad_x(layer: Conv) -> Outcome:
    x, weight, grad_y = arrays(layer)
    arguments = {"grad_y": grad_y, "weight": weight, "input_size": x.shape[2:], **window(layer)}
    numpy_call = im2col(layer, "backward_input", grad_y, weight, x.shape[2:])
    return kernel("conv2d_backward_input", arguments, torch_backward(layer, 0), [grad_y, x, weight], numpy_call)


def grad_weight(layer: Conv) -> Outcome:
    x, weight, grad_y = arrays(layer)
    arguments = {"grad_y": grad_y, "x": x, "kernel_size": weight.shape[2:], **window(layer)}
    numpy_call = im2col(layer, "backward_weight", grad_y, x)
    return kernel("conv2d_backward_weight", arguments, torch_backward(layer, 1), [grad_y, x, weight], numpy_call)


def torch_backward(layer: Conv, output: int) -> Callable[..., Any]:
    """PyTorch's gradient of x (output 0) or of the weight (1): the call that its autograd makes."""
    w, wanted = window(layer), [output == 0, output == 1, False]
    rest = (None, w["stride"], w["padding"], w["dilation"], False, (0, 0), w["groups"], wanted)
    return lambda torch, *tensors: torch.ops.aten.convolution_backward.default(*tensors, *rest)[output]


def im2col(layer: Conv, method: str, *given: Any) -> Callable[[], Any] | None:
    """im2col and BLAS; for grouped layers the reference is the NumPy program to compare with."""
    if layer.groups > 1:
        return None
    w, size = window(layer), (layer.size, layer.size)
    program = Im2col(layer.N, layer.IC, size, (layer.kernel,) * 2, w["stride"], w["padding"], w["dilation"])
    return partial(getattr(program, method), *given)


def arrays(layer: Conv) -> tuple[Any, Any, Any]:
    """x, weight and grad_y."""
    x = normal(layer.N, layer.IC, layer.size, layer.size)
    weight = normal(layer.OC, layer.IC // layer.groups, layer.kernel, layer.kernel)
    return x, weight, normal(layer.N, layer.OC, out_size(layer), out_size(layer))


def window(layer: Conv) -> dict[str, Any]:
    pairs = {name: (getattr(layer, name),) * 2 for name in ("stride", "padding", "dilation")}
    return {**pairs, "groups": layer.groups}


def out_size(layer: Conv) -> int:
    return (layer.size + 2 * layer.padding - layer.dilation * (layer.kernel - 1) - 1) // layer.stride + 1


def main(argv: Sequence[str] | None = None) -> int:
    return run(__file__, cases, argv, total="forward + gradients")


if __name__ == "__main__":
    sys.exit(main())
