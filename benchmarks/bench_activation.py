"""relu, leaky relu, sigmoid and tanh, forward and backward."""

import sys
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

from atrous import reference
from harness import Case, Outcome, kernel, normal, run
from shapes import MAP, QUICK_MAP, Map

TOLERANCE = 2e-6  # of the largest output
SLOPE = 0.01

# For each activation: PyTorch's forward of x, and its backward of grad_y and the array named (x or y).
TORCH: dict[str, tuple[Callable[..., Any], Callable[..., Any], str]] = {
    "relu": (
        lambda torch, x: torch.relu(x),
        lambda torch, grad_y, y: torch.ops.aten.threshold_backward.default(grad_y, y, 0),
        "y",
    ),
    "leaky_relu": (
        lambda torch, x: torch._C._nn.leaky_relu(x, SLOPE),
        lambda torch, grad_y, x: torch.ops.aten.leaky_relu_backward.default(grad_y, x, SLOPE, False),
        "x",
    ),
    "sigmoid": (
        lambda torch, x: torch.sigmoid(x),
        lambda torch, grad_y, y: torch.ops.aten.sigmoid_backward.default(grad_y, y),
        "y",
    ),
    "tanh": (
        lambda torch, x: torch.tanh(x),
        lambda torch, grad_y, y: torch.ops.aten.tanh_backward.default(grad_y, y),
        "y",
    ),
}


def cases(quick: bool) -> Iterator[Case]:
    """Work counts each array once, 4 bytes a number: two forward, three backward."""
    for name in TORCH:
        line = "memory-bound" if name == "relu" else ""
        for layer in QUICK_MAP if quick else MAP if line else [MAP[0], MAP[3], MAP[7], MAP[8]]:
            row = f"{name}, {layer.name} · {layer.N}×{layer.C}×{layer.size}²"
            gigabytes = 4e-9 * layer.N * layer.C * layer.size**2
            yield Case(row, "forward", 2 * gigabytes, "GB/s", TOLERANCE, partial(forward, name, layer), line)
            yield Case(row, "backward", 3 * gigabytes, "GB/s", TOLERANCE, partial(backward, name, layer), line)


def forward(name: str, layer: Map) -> Outcome:
    x = normal(layer.N, layer.C, layer.size, layer.size)
    slope = {"negative_slope": SLOPE} if name == "leaky_relu" else {}
    return kernel(f"{name}_forward", {"x": x, **slope}, TORCH[name][0], [x])


def backward(name: str, layer: Map) -> Outcome:
    x = normal(layer.N, layer.C, layer.size, layer.size)
    grad_y = normal(*x.shape, seed=1)
    slope = {"negative_slope": SLOPE} if name == "leaky_relu" else {}
    saved = x if TORCH[name][2] == "x" else getattr(reference, f"{name}_forward")(x, **slope)
    arguments = {"grad_y": grad_y, TORCH[name][2]: saved, **slope}
    return kernel(f"{name}_backward", arguments, TORCH[name][1], [grad_y, saved])


def main(argv: Sequence[str] | None = None) -> int:
    return run(__file__, cases, argv, total="forward + backward")


if __name__ == "__main__":
    sys.exit(main())
