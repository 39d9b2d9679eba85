"""Batch normalisation: forward and backward in training, forward in evaluation, and training with a relu after it."""

import sys
from collections.abc import Iterator, Sequence
from functools import partial

import numpy as np

from harness import Case, Outcome, kernel, layers, normal, run
from shapes import MAP, QUICK_MAP, Map

TOLERANCE = 4e-6  # of the largest output: sums over up to 200,000 pixels, in pieces
EPS = 1e-5
PARTS = ("forward, training", "backward, training")


def cases(quick: bool) -> Iterator[Case]:
    """Work counts each array read and written once, 4 bytes a number, although training has to read x twice."""
    for layer in QUICK_MAP if quick else MAP:
        row = f"{layer.name} · {layer.N}×{layer.C}×{layer.size}²"
        gigabytes = 4e-9 * layer.N * layer.C * layer.size**2
        line, both = "batch-norm", "batch-norm + relu"
        yield Case(row, PARTS[0], 2 * gigabytes, "GB/s", TOLERANCE, partial(forward_train, layer), line)
        yield Case(row, PARTS[1], 3 * gigabytes, "GB/s", TOLERANCE, partial(backward_train, layer), line)
        yield Case(row, "forward, evaluation", 2 * gigabytes, "GB/s", TOLERANCE, partial(forward_eval, layer))
        yield Case(row, "with relu, both ways", 5 * gigabytes, "GB/s", TOLERANCE, partial(with_relu, layer), both)


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


def with_relu(layer: Map) -> Outcome:
    """Through the layers, as a user has them: both libraries may run the two as one."""
    x, weight, bias = arrays(layer)
    grad_y = normal(*x.shape, seed=1)

    def call(library, x, weight, bias, grad_y):
        layers = library.nn.Sequential(library.nn.BatchNorm2d(layer.C), library.nn.ReLU()).to(x.dtype)
        layers.load_state_dict({"0.weight": weight, "0.bias": bias}, strict=False)
        x.requires_grad = True
        wanted = [x, *layers.parameters()]

        def step():
            for tensor in wanted:
                tensor.grad = None
            y = layers(x)
            y.backward(grad_y)
            return [y.detach(), *(tensor.grad for tensor in wanted)]

        return step

    return layers(call, [x, weight, bias, grad_y])


def arrays(layer: Map) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """x, weight and bias."""
    return normal(layer.N, layer.C, layer.size, layer.size), 1 + normal(layer.C) ** 2, normal(layer.C, seed=3)


def main(argv: Sequence[str] | None = None) -> int:
    return run(__file__, cases, argv, "forward + backward", PARTS)


if __name__ == "__main__":
    sys.exit(main())
