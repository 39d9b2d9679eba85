"""One optimizer step over all parameters of a network: Adam, AdamW, SGD with momentum, RMSprop, Adagrad.

Against PyTorch's fused ones; it has none for RMSprop, where its loop over tensors runs.
"""

import sys
from collections.abc import Iterator, Sequence
from functools import partial
from math import prod
from typing import Any

import numpy as np

from harness import Case, Outcome, kernel, normal, run
from shapes import PARAMETERS

TOLERANCE = 2e-6  # of a tensor's largest parameter


def cases(quick: bool) -> Iterator[Case]:
    """Work counts each array read and each written, 4 bytes a number: for Adam 4 + 3, for the others 3 + 2."""
    for network, tensors in PARAMETERS[:1] if quick else PARAMETERS:
        count = sum(map(prod, tensors))
        row = f"{network} · {count:,} in {len(tensors)} tensors"
        lines = {"Adam": f"Adam, {network}", "AdamW": ""}
        for column, line in lines.items():
            setup = partial(adam, tensors, column == "AdamW")
            yield Case(row, column, 28e-9 * count, "GB/s", TOLERANCE, setup, line)
        for column, setup in {"SGD with momentum": sgd, "RMSprop": rmsprop, "Adagrad": adagrad}.items():
            yield Case(row, column, 20e-9 * count, "GB/s", TOLERANCE, partial(setup, tensors))


def adam(tensors: list[tuple[int, ...]], decoupled: bool) -> Outcome:
    params, grads, m = (draw(tensors, seed) for seed in range(3))
    v = [array**2 for array in draw(tensors, 3)]
    decay = 0.01 if decoupled else 0.0
    rates = {"lr": 1e-3, "beta1": 0.9, "beta2": 0.999, "weight_decay": decay, "eps": 1e-8}

    def call(torch, params, grads, m, v, steps):
        step = torch._fused_adamw_ if decoupled else torch._fused_adam_
        step(params, grads, m, v, [], steps, **rates, amsgrad=False, maximize=False)
        return params

    state = {"params": params, "grads": grads, "exp_avgs": m, "exp_avg_sqs": v, "max_exp_avg_sqs": None}
    steps = [np.array(10, np.float32) for _ in tensors]
    arguments = {**state, "step": 10, **rates, "decoupled": decoupled}
    return kernel("adam_step", arguments, call, [params, grads, m, v, steps])


def sgd(tensors: list[tuple[int, ...]]) -> Outcome:
    params, grads, buffers = (draw(tensors, seed) for seed in range(3))
    rates = {"lr": 1e-3, "momentum": 0.9, "dampening": 0.0, "weight_decay": 5e-4, "nesterov": False}

    def call(torch, params, grads, buffers):
        torch._fused_sgd_(params, grads, buffers, **rates, maximize=False, is_first_step=False)
        return params

    arguments = {"params": params, "grads": grads, "momentum_buffers": buffers, **rates, "first": False}
    return kernel("sgd_step", arguments, call, [params, grads, buffers])


def rmsprop(tensors: list[tuple[int, ...]]) -> Outcome:
    params, grads = (draw(tensors, seed) for seed in range(2))
    squares = [array**2 for array in draw(tensors, 2)]
    rates = {"lr": 1e-3, "alpha": 0.99, "eps": 1e-8, "weight_decay": 5e-4, "momentum": 0.0}

    def call(torch, params, grads, squares, steps):
        torch.optim._functional.rmsprop(params, grads, squares, [], [], steps, **rates, centered=False)
        return params

    arguments = {"params": params, "grads": grads, "square_avgs": squares, "grad_avgs": None, "momentum_buffers": None}
    steps = [np.array(10, np.float32) for _ in tensors]
    return kernel("rmsprop_step", {**arguments, **rates}, call, [params, grads, squares, steps])


def adagrad(tensors: list[tuple[int, ...]]) -> Outcome:
    params, grads = (draw(tensors, seed) for seed in range(2))
    sums = [array**2 for array in draw(tensors, 2)]
    rates = {"lr": 1e-3, "eps": 1e-10, "weight_decay": 5e-4}

    def call(torch, params, grads, sums, steps):
        torch._fused_adagrad_(params, grads, sums, steps, **rates, lr_decay=0.0, maximize=False)
        return params

    steps = [np.array(10, np.float32) for _ in tensors]
    return kernel(
        "adagrad_step", {"params": params, "grads": grads, "sums": sums, **rates}, call, [params, grads, sums, steps]
    )


def draw(tensors: list[tuple[int, ...]], seed: int) -> list[Any]:
    return [normal(*shape, seed=seed) for shape in tensors]


def main(argv: Sequence[str] | None = None) -> int:
    return run(__file__, cases, argv)


if __name__ == "__main__":
    sys.exit(main())
