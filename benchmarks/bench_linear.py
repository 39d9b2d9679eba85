"""The linear layer and its two gradients: three matrix products. The NumPy reference is OpenBLAS here."""

import sys
from collections.abc import Iterator, Sequence
from functools import partial

from harness import Case, Outcome, kernel, normal, run
from shapes import DENSE, QUICK_DENSE, Dense

TOLERANCE = 1e-5  # of the largest output; the longest sum has 4096 terms


def cases(quick: bool) -> Iterator[Case]:
    """Three cases a layer; each does the same number of multiply-adds."""
    for layer in QUICK_DENSE if quick else DENSE:
        row = f"{layer.name} · {layer.M}×{layer.IN}→{layer.OUT}"
        work = 2e-9 * layer.M * layer.IN * layer.OUT
        for column, setup in [("forward", forward), ("input gradient", grad_x), ("weight gradient", grad_weight)]:
            yield Case(row, column, work, "GFLOP/s", TOLERANCE, partial(setup, layer))


def forward(layer: Dense) -> Outcome:
    arguments = {"x": normal(layer.M, layer.IN), "weight": normal(layer.OUT, layer.IN), "bias": normal(layer.OUT)}

    def call(torch, x, weight, bias):
        return torch.nn.functional.linear(x, weight, bias)

    return kernel("linear_forward", arguments, call, [*arguments.values()])


def grad_x(layer: Dense) -> Outcome:
    arguments = {"grad_y": normal(layer.M, layer.OUT), "weight": normal(layer.OUT, layer.IN)}

    def call(torch, grad_y, weight):
        return grad_y @ weight

    return kernel("linear_backward_input", arguments, call, [*arguments.values()])


def grad_weight(layer: Dense) -> Outcome:
    arguments = {"grad_y": normal(layer.M, layer.OUT), "x": normal(layer.M, layer.IN)}

    def call(torch, grad_y, x):
        return grad_y.T @ x

    return kernel("linear_backward_weight", arguments, call, [*arguments.values()])


def main(argv: Sequence[str] | None = None) -> int:
    return run(__file__, cases, argv, total="forward + gradients")


if __name__ == "__main__":
    sys.exit(main())
