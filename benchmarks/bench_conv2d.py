"""Convolution, its input gradient and its weight gradient, at the layers of real networks."""

import sys
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

from harness import Case, kernel, normal, run
from peers import Im2col, pytorch
from shapes import CONV, QUICK_CONV, Conv

# A direct sum is good to 1e-6 of the largest output, Winograd's F(4×4, 3×3) to 3e-6.
TOLERANCE = 1e-5


def cases(quick: bool) -> Iterator[Case]:
    """Three cases a layer; each does the same number of multiply-adds."""
    for layer in QUICK_CONV if quick else CONV:
        row = f"{layer.name} · {layer.N}×{layer.IC}×{layer.size}²→{layer.OC}"
        work = 2e-9 * layer.N * layer.OC * out_size(layer) ** 2 * (layer.IC // layer.groups) * layer.kernel**2
        for column, setup in [("forward", forward), ("input gradient", grad_x), ("weight gradient", grad_weight)]:
            yield Case(row, column, work, "GFLOP/s", TOLERANCE, partial(setup, layer))


def forward(layer: Conv) -> tuple[Any, dict[str, Callable[[], Any]]]:
    x, weight, _ = arrays(layer)

    def peers(x, weight, bias, stride, padding, dilation, groups):
        calls = pytorch(lambda torch, *a: torch.conv2d(*a, stride, padding, dilation, groups), x, weight, bias)
        return calls | numpy(layer, "forward", x, weight, bias)

    return kernel("conv2d_forward", peers, x=x, weight=weight, bias=normal(layer.OC), **window(layer))


def grad_x(layer: Conv) -> tuple[Any, dict[str, Callable[[], Any]]]:
    _, weight, grad_y = arrays(layer)

    def peers(grad_y, weight, input_size, **_):
        shape = (layer.N, layer.IC, *input_size)
        calls = pytorch(torch_backward(layer, 0), grad_y, normal(*shape), weight)
        return calls | numpy(layer, "backward_input", grad_y, weight, input_size)

    size = (layer.size, layer.size)
    return kernel("conv2d_backward_input", peers, grad_y=grad_y, weight=weight, input_size=size, **window(layer))


def grad_weight(layer: Conv) -> tuple[Any, dict[str, Callable[[], Any]]]:
    x, weight, grad_y = arrays(layer)

    def peers(grad_y, x, **_):
        return pytorch(torch_backward(layer, 1), grad_y, x, weight) | numpy(layer, "backward_weight", grad_y, x)

    size = (layer.kernel, layer.kernel)
    return kernel("conv2d_backward_weight", peers, grad_y=grad_y, x=x, kernel_size=size, **window(layer))


def torch_backward(layer: Conv, output: int) -> Callable[..., Any]:
    """PyTorch's gradient of x (output 0) or of the weight (1), the call that its autograd makes."""
    wanted = [output == 0, output == 1, False]
    w = window(layer)
    rest = (w["stride"], w["padding"], w["dilation"], False, (0, 0), w["groups"], wanted)
    return lambda torch, grad_y, x, weight: torch.ops.aten.convolution_backward(grad_y, x, weight, None, *rest)[output]


def numpy(layer: Conv, method: str, *arrays: Any) -> dict[str, Callable[[], Any]]:
    """im2col and BLAS; for grouped layers the reference is the NumPy program."""
    if layer.groups > 1:
        return {}
    w = window(layer)
    size, kernel_size = (layer.size, layer.size), (layer.kernel, layer.kernel)
    im2col = Im2col(layer.N, layer.IC, size, kernel_size, w["stride"], w["padding"], w["dilation"])
    return {"numpy": partial(getattr(im2col, method), *arrays)}


def arrays(layer: Conv) -> tuple[Any, Any, Any]:
    x = normal(layer.N, layer.IC, layer.size, layer.size)
    weight = normal(layer.OC, layer.IC // layer.groups, layer.kernel, layer.kernel)
    return x, weight, normal(layer.N, layer.OC, out_size(layer), out_size(layer))


def window(layer: Conv) -> dict[str, Any]:
    pairs = {name: (getattr(layer, name),) * 2 for name in ("stride", "padding", "dilation")}
    return {**pairs, "groups": layer.groups}


def out_size(layer: Conv) -> int:
    return (layer.size + 2 * layer.padding - layer.dilation * (layer.kernel - 1) - 1) // layer.stride + 1


def main(argv: Sequence[str] | None = None) -> int:
    return run(__file__, cases, argv)


if __name__ == "__main__":
    sys.exit(main())
