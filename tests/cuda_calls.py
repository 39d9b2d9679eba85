"""Calls of all the GPU's kernels for tools that watch them run, and judge no value: each case table, convolutions that
take every way that there is, a training step.

Names are families (pool2d) or functions (conv2d_forward); none means all.
"""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np

import atrous as at
from atrous import nn, verify
from atrous.verify.draw import Draw
from atrous.verify.halves import half_dtypes
from atrous.verify.harness import call, in_16_bits

DTYPES = (np.dtype(np.float32), np.dtype(half_dtypes()[-1]))
DIRECTIONS = FORWARD, INPUT, WEIGHT = "conv2d_forward", "conv2d_backward_input", "conv2d_backward_weight"
CONVOLUTIONS = [  # x, filters, kernel, stride, padding, groups, directions
    ((2, 72, 9, 11), 80, (3, 3), (1, 1), (1, 1), 1, DIRECTIONS),  # tails of pixels, channels and filters
    ((1, 136, 43, 18), 32, (4, 3), (3, 2), (2, 1), 1, (INPUT,)),  # six phases of 1 to 4 taps, in tiles
    ((1, 64, 33, 32), 64, (1, 1), (1, 1), (0, 0), 1, (WEIGHT,)),  # clusters of two and four
    ((1, 128, 59, 47), 128, (1, 1), (1, 1), (0, 0), 1, (WEIGHT,)),  # of four
    ((1, 64, 150, 60), 200, (1, 2), (1, 1), (0, 0), 1, (WEIGHT,)),  # parts, of clusters
    ((1, 96, 4, 16), 512, (3, 3), (1, 1), (1, 1), 1, (WEIGHT,)),  # tiles of 64 x 192
    ((1, 384, 4, 8), 512, (3, 3), (1, 1), (1, 1), 1, (WEIGHT,)),  # 128 x 128
    ((2, 3, 30, 30), 64, (7, 7), (2, 2), (3, 3), 1, DIRECTIONS),  # a first layer
    ((8, 64, 16, 16), 64, (3, 3), (1, 1), (1, 1), 16, DIRECTIONS),  # small groups: of four, in pairs
    ((2, 136, 17, 20), 136, (3, 3), (2, 2), (1, 1), 17, DIRECTIONS),  # of eight
    ((2, 96, 17, 20), 96, (3, 3), (1, 1), (1, 1), 3, DIRECTIONS),  # of 32
    ((2, 68, 33, 31), 68, (3, 3), (1, 1), (1, 1), 68, DIRECTIONS),  # depthwise
    ((2, 68, 33, 31), 68, (3, 3), (2, 2), (1, 1), 68, DIRECTIONS),
    ((1, 36, 29, 31), 36, (5, 5), (1, 1), (2, 2), 36, DIRECTIONS),
    ((450, 4, 6, 5), 4, (3, 3), (1, 1), (1, 1), 4, (WEIGHT,)),  # blocks of several tiles
]
Call = tuple[str, Callable[[], Any]]  # and what it is


def names_of(arguments: list[str]) -> set[str]:
    """The arguments of a command, if all of them are families or functions."""
    functions = {function for table in verify.FAMILIES.values() for function in table.CASES}
    if unknown := {*arguments} - {*verify.FAMILIES} - functions:
        raise SystemExit(f"no family or function: {', '.join(sorted(unknown))}; families: {', '.join(verify.FAMILIES)}")
    return {*arguments}


def of_tables(kernels: Any, names: set[str]) -> Iterator[Call]:
    """Every case by each algorithm, in float32 and in 16 bits (random bits in theirs), if there are kernels for it."""
    for family, table in verify.FAMILIES.items():
        for function in table.CASES:
            if names and not {family, function} & names:
                continue
            for algorithm, dtype in verify.checks(kernels, table, function):
                for case in table.CASES[function] if dtype in (*DTYPES, np.uint32) else ():
                    if algorithm is not None and algorithm not in table.algorithms(kernels, function, case):
                        continue
                    arguments = table.arguments(function, case, Draw(dtype, function, case))
                    arguments = in_16_bits(table, function, arguments, dtype)
                    arguments |= {} if algorithm is None else {"algorithm": algorithm}
                    how = f"{function} {np.dtype(dtype)} {algorithm or 'rule'}"
                    yield how, partial(call, kernels, function, arguments)


def of_convolutions(kernels: Any, names: set[str], algorithms: tuple[str, ...]) -> Iterator[Call]:
    """CONVOLUTIONS, by these algorithms, but for depthwise ones, which have one of their own."""
    for x_shape, OC, kernel, stride, padding, groups, directions in CONVOLUTIONS:
        (N, IC, *image), draw = x_shape, Draw(np.float32, (x_shape, OC))
        y = [(i + 2 * p - k) // s + 1 for i, p, k, s in zip(image, padding, kernel, stride, strict=True)]
        x, weight, grad_y = draw.normal(*x_shape), draw.normal(OC, IC // groups, *kernel), draw.normal(N, OC, *y)
        given = {
            FORWARD: {"x": x, "weight": weight, "bias": None},
            INPUT: {"grad_y": grad_y, "weight": weight, "input_size": tuple(image)},
            WEIGHT: {"grad_y": grad_y, "x": x, "kernel_size": kernel},
        }
        window = {"stride": stride, "padding": padding, "dilation": (1, 1), "groups": groups}
        for function in directions:
            for dtype in DTYPES if not names or {"conv2d", function} & names else ():
                arguments = in_16_bits(verify.FAMILIES["conv2d"], function, given[function] | window, dtype)
                for algorithm in ("depthwise",) if groups == OC else algorithms:
                    by = partial(call, kernels, function, arguments | {"algorithm": algorithm})
                    yield f"{function} {dtype} {algorithm} of x {x_shape}", by


def a_training_step() -> None:
    """In 16 bits, with gradients clipped."""
    layers = nn.Conv2d(3, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten()
    model = nn.Sequential(*layers, nn.Linear(32 * 8 * 8, 10)).to("cuda")
    optimizer = at.optim.Adam(model.parameters())
    with at.autocast("cuda", dtype=at.bfloat16):
        loss = nn.functional.cross_entropy(model(at.randn(4, 3, 16, 16, device="cuda")), at.arange(4, device="cuda"))
    loss.backward()
    nn.utils.clip_grad_norm_(model.parameters(), 0.1)
    optimizer.step()
