"""Races in the shared memory of the GPU's kernels, looked for on the CPU (tests/cuda_on_cpu/races.h): each kernel once
over its case table, the convolution by every way that it has, a training step.

    cmake -S . -B build/races -G Ninja -DATROUS_CUDA_ON_CPU=ON -DATROUS_CUDA_RACES=ON
    cmake --build build/races --target cuda_on_cpu
    PYTHONPATH=python python tests/cuda_races.py [name ...]

Names are families (pool2d) or functions (conv2d_forward); none means all. What was read or written where, a race tells
as addresses for `addr2line -e build/races/cuda_on_cpu/compiled*.so` (with -DCMAKE_BUILD_TYPE=RelWithDebInfo).
"""

import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import cuda_on_cpu
import numpy as np

KERNELS: Any = cuda_on_cpu.load("races/cuda_on_cpu")  # before atrous looks for CuPy
COMPILED: Any = getattr(getattr(KERNELS, "kernels", None), "compiled", None)
if not hasattr(COMPILED, "run_racy"):
    sys.exit("there is no build/races (see the head of this file), or a GPU is here: use compute-sanitizer")

import atrous as at  # noqa: E402
from atrous import nn, verify  # noqa: E402
from atrous.verify.draw import Draw  # noqa: E402
from atrous.verify.halves import half_dtypes  # noqa: E402
from atrous.verify.harness import call, in_16_bits  # noqa: E402

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


def of_tables(names: set[str]) -> Iterator[Call]:
    """Every case in float32 and in 16 bits, if there are kernels for them."""
    for family, table in verify.FAMILIES.items():
        for function in table.CASES:
            if names and not {family, function} & names:
                continue
            for dtype in {np.dtype(dtype) for _, dtype in verify.checks(KERNELS, table, function)} & {*DTYPES}:
                for case in table.CASES[function]:
                    arguments = table.arguments(function, case, Draw(dtype, function, case))
                    arguments = in_16_bits(table, function, arguments, dtype)
                    yield f"{function} {dtype}", partial(call, KERNELS, function, arguments)


def of_convolutions(names: set[str], algorithms: tuple[str, ...]) -> Iterator[Call]:
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
                    by = partial(call, KERNELS, function, arguments | {"algorithm": algorithm})
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


def look(what: str, calls: Iterator[Call]) -> bool:
    """Whether there is a race, or a kernel that hangs."""
    begin, count, found = time.monotonic(), 0, False
    for name, kernel in calls:
        count += 1
        try:
            kernel()
        except RuntimeError as error:
            found = True
            print(f"{name}: {error}", flush=True)
    print(f"{what}: {count} calls, {time.monotonic() - begin:.0f} s", flush=True)
    return found


def has_race(kernel: Callable[[], None]) -> bool:
    try:
        kernel()
    except RuntimeError as error:
        return "a race in shared memory" in str(error)
    return False


def main(names: set[str]) -> int:
    pairs = [has_race(partial(COMPILED.run_racy, number)) for number in range(COMPILED.racy_kernels())]
    found = pairs != [True, False] * (len(pairs) // 2)
    print(f"pairs of kernels with a race and without: {'told apart' if not found else pairs}")
    found |= look("case tables", of_tables(names))
    found |= look("training", iter([("a step", a_training_step)]))
    found |= look("convolutions", of_convolutions(names, ("implicit_gemm", "tensor_cores")))
    COMPILED.set_capability(90)
    for order in (1, 3):  # its copies come late, or at once
        COMPILED.set_order(order)
        found |= look(f"convolutions on Hopper, order {order}", of_convolutions(names, ("tensor_cores",)))
    return int(found)


if __name__ == "__main__":
    with np.errstate(all="ignore"):  # NaN and overflow are meant
        sys.exit(main(set(sys.argv[1:])))
