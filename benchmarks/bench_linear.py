"""The linear layer and its two gradients: three matrix products. NumPy's are OpenBLAS's."""

import sys
from collections.abc import Iterator, Sequence
from functools import partial

from harness import Case, Outcome, kernel, normal, run
from shapes import DENSE, QUICK_DENSE, Dense

TOLERANCE = 1e-5  # of the largest output; the longest sum has 4096 terms
SMALLEST = 2e-9 * 64 * 400 * 120  # work of the smallest product that counts for the table


def cases(quick: bool) -> Iterator[Case]:
    """Three cases a layer; each does the same number of multiply-adds."""
    for layer in QUICK_DENSE if quick else DENSE:
        row = f"{layer.name} · {layer.M}×{layer.IN}→{layer.OUT}"
        work = 2e-9 * layer.M * layer.IN * layer.OUT
        line = "linear" if work >= SMALLEST else ""
        for column, setup in [("forward", forward), ("input gradient", grad_x), ("weight gradient", grad_weight)]:
            yield Case(row, column, work, "GFLOP/s", TOLERANCE, partial(setup, layer), line)


def forward(layer: Dense) -> Outcome:
    arguments = {"x": normal(layer.M, layer.IN), "weight": normal(layer.OUT, layer.IN), "bias": normal(layer.OUT)}

    def call(torch, x, weight, bias):
        return torch.nn.functional.linear(x, weight, bias)

    x, weight, bias = arguments.values()
    return kernel("linear_forward", arguments, call, [x, weight, bias], lambda: x @ weight.T + bias)


def grad_x(layer: Dense) -> Outcome:
    arguments = {"grad_y": normal(layer.M, layer.OUT), "weight": normal(layer.OUT, layer.IN)}

    def call(torch, grad_y, weight):
        return grad_y @ weight

    grad_y, weight = arguments.values()
    return kernel("linear_backward_input", arguments, call, [grad_y, weight], lambda: grad_y @ weight)


def grad_weight(layer: Dense) -> Outcome:
    arguments = {"grad_y": normal(layer.M, layer.OUT), "x": normal(layer.M, layer.IN)}

    def call(torch, grad_y, x):
        return grad_y.T @ x

    grad_y, x = arguments.values()
    return kernel("linear_backward_weight", arguments, call, [grad_y, x], lambda: grad_y.T @ x)


def main(argv: Sequence[str] | None = None) -> int:
    return run(__file__, cases, argv, total="forward + gradients")


if __name__ == "__main__":
    sys.exit(main())
