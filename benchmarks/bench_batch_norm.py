"""Batch normalisation in training, alone and with the relu behind it: forward and backward."""

import sys
from collections.abc import Iterator, Sequence
from functools import partial
from types import ModuleType

import numpy as np

from atrous import _cpu, reference
from harness import Call, Case, Outcome, kernel, normal, run
from peers import pytorch
from shapes import MAP, QUICK_MAP, Map

TOLERANCE = 4e-6  # of the largest output: sums over up to 200,000 pixels, in pieces
EPS = 1e-5


def cases(quick: bool) -> Iterator[Case]:
    """Work counts each array read and written once, 4 bytes a number, although training has to read x twice."""
    for layer in QUICK_MAP if quick else MAP:
        gigabytes = 4e-9 * layer.N * layer.C * layer.size**2
        for relu in (False, True):
            row = f"{layer.name}{' + relu' * relu} · {layer.N}×{layer.C}×{layer.size}²"
            yield Case(row, "forward, training", 2 * gigabytes, "GB/s", TOLERANCE, partial(forward, layer, relu))
            yield Case(row, "backward, training", 3 * gigabytes, "GB/s", TOLERANCE, partial(backward, layer, relu))
        row = f"{layer.name} · {layer.N}×{layer.C}×{layer.size}²"
        yield Case(row, "forward, evaluation", 2 * gigabytes, "GB/s", TOLERANCE, partial(forward_eval, layer))


def forward(layer: Map, relu: bool) -> Outcome:
    """Statistics, then the map: two kernels of ours for one of PyTorch's, or two where a relu follows."""
    x, weight, bias = arrays(layer)

    def call(kernels: ModuleType, x: np.ndarray, weight: np.ndarray, bias: np.ndarray) -> np.ndarray:
        return kernels.batch_norm_forward(x, weight, bias, *kernels.batch_norm_statistics(x), EPS, relu)

    def torch_call(torch, x, weight, bias):
        y = torch.native_batch_norm(x, weight, bias, None, None, True, 0.1, EPS)[0]
        return torch.relu(y) if relu else y

    calls: dict[str, Call] = {
        "atrous": partial(call, _cpu, x, weight, bias),
        "reference": partial(call, reference, x, weight, bias),
        **pytorch(torch_call, [x, weight, bias]),
    }
    return call(reference, *(array.astype(np.float64) for array in (x, weight, bias))), calls


def backward(layer: Map, relu: bool) -> Outcome:
    x, weight, bias = arrays(layer)
    grad_y, (mean, var) = normal(*x.shape, seed=1), reference.batch_norm_statistics(x)
    y = reference.batch_norm_forward(x, weight, bias, mean, var, EPS, relu)

    def torch_call(torch, grad_y, x, y, weight, mean, rstd):
        if relu:
            grad_y = torch.ops.aten.threshold_backward.default(grad_y, y, 0)
        backward = torch.ops.aten.native_batch_norm_backward.default
        return backward(grad_y, x, weight, None, None, mean, rstd, True, EPS, [True, True, True])

    arguments = {"grad_y": grad_y, "x": x, "weight": weight, "bias": bias, "mean": mean, "var": var, "eps": EPS}
    statistics = [mean.astype(x.dtype), (1 / np.sqrt(var + EPS)).astype(x.dtype)]
    given = arguments | {"relu": relu}
    return kernel("batch_norm_backward_train", given, torch_call, [grad_y, x, y, weight, *statistics])


def forward_eval(layer: Map) -> Outcome:
    x, weight, bias = arrays(layer)
    mean, var = normal(layer.C, seed=1), 1 + normal(layer.C, seed=2) ** 2

    def call(torch, x, weight, bias, mean, var):
        return torch.native_batch_norm(x, weight, bias, mean, var, False, 0.1, EPS)[0]

    arguments = {"x": x, "weight": weight, "bias": bias, "mean": mean, "var": var, "eps": EPS}
    return kernel("batch_norm_forward", arguments, call, [x, weight, bias, mean, var])


def arrays(layer: Map) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """x, weight and bias."""
    return normal(layer.N, layer.C, layer.size, layer.size), 1 + normal(layer.C) ** 2, normal(layer.C, seed=3)


def main(argv: Sequence[str] | None = None) -> int:
    return run(__file__, cases, argv)


if __name__ == "__main__":
    sys.exit(main())
