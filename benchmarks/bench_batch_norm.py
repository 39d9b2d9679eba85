"""Batch normalisation: forward and backward in training, forward in evaluation."""

import sys
from collections.abc import Iterator, Sequence
from functools import partial

import numpy as np

from harness import Case, Outcome, kernel, normal, run
from shapes import MAP, QUICK_MAP, Map

TOLERANCE = 4e-6  # of the largest output: sums over up to 200,000 pixels, in pieces
EPS = 1e-5


def cases(quick: bool) -> Iterator[Case]:
    """Work counts each array read and written once, 4 bytes a number, although training has to read x twice."""
    for layer in QUICK_MAP if quick else MAP:
        row = f"{layer.name} · {layer.N}×{layer.C}×{layer.size}²"
        gigabytes = 4e-9 * layer.N * layer.C * layer.size**2
        yield Case(row, "forward, training", 2 * gigabytes, "GB/s", TOLERANCE, partial(forward_train, layer))
        yield Case(row, "backward, training", 3 * gigabytes, "GB/s", TOLERANCE, partial(backward_train, layer))
        yield Case(row, "forward, evaluation", 2 * gigabytes, "GB/s", TOLERANCE, partial(forward_eval, layer))


def forward_train(layer: Map) -> Outcome:
    x, weight, bias = arrays(layer)

    def call(torch, x, weight, bias):
        return torch.native_batch_norm(x, weight, bias, None, None, True, 0.1, EPS)[0]

    arguments = {"x": x, "weight": weight, "bias": bias, "eps": EPS}
    return kernel("batch_norm_forward_train", arguments, call, [x, weight, bias])


def backward_train(layer: Map) -> Outcome:
    x, weight, _ = arrays(layer)
    grad_y, mean, var = normal(*x.shape, seed=1), x.mean(axis=(0, 2, 3)), x.var(axis=(0, 2, 3))

    def call(torch, grad_y, x, weight, mean, rstd):
        backward = torch.ops.aten.native_batch_norm_backward.default
        return backward(grad_y, x, weight, None, None, mean, rstd, True, EPS, [True, True, True])

    arguments = {"grad_y": grad_y, "x": x, "weight": weight, "mean": mean, "var": var, "eps": EPS}
    return kernel("batch_norm_backward_train", arguments, call, [grad_y, x, weight, mean, 1 / np.sqrt(var + EPS)])


def forward_eval(layer: Map) -> Outcome:
    x, weight, bias = arrays(layer)
    mean, var = normal(layer.C, seed=1), 1 + normal(layer.C, seed=2) ** 2

    def call(torch, x, weight, bias, mean, var):
        return torch.native_batch_norm(x, weight, bias, mean, var, False, 0.1, EPS)[0]

    arguments = {"x": x, "weight": weight, "bias": bias, "mean": mean, "var": var, "eps": EPS}
    return kernel("batch_norm_forward_eval", arguments, call, [x, weight, bias, mean, var])


def arrays(layer: Map) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """x, weight and bias."""
    return normal(layer.N, layer.C, layer.size, layer.size), 1 + normal(layer.C) ** 2, normal(layer.C, seed=3)


def main(argv: Sequence[str] | None = None) -> int:
    return run(__file__, cases, argv)


if __name__ == "__main__":
    sys.exit(main())
