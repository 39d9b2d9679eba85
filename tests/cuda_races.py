"""Races in the shared memory of the GPU's kernels, looked for on the CPU (tests/cuda_on_cpu/races.h): each kernel once
over its case table, the convolution by every way that it has, a training step (tests/cuda_calls.py).

    cmake -S . -B build/races -G Ninja -DATROUS_CUDA_ON_CPU=ON -DATROUS_CUDA_RACES=ON
    cmake --build build/races --target cuda_on_cpu
    PYTHONPATH=python python tests/cuda_races.py [name ...]

Names are families (pool2d) or functions (conv2d_forward); none means all. What was read or written where, a race tells
as addresses for `addr2line -e build/races/cuda_on_cpu/compiled*.so` (with -DCMAKE_BUILD_TYPE=RelWithDebInfo).
"""

import sys
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from typing import Any

import cuda_on_cpu
import numpy as np

KERNELS: Any = cuda_on_cpu.load("races/cuda_on_cpu")  # before atrous looks for CuPy
COMPILED: Any = getattr(getattr(KERNELS, "kernels", None), "compiled", None)
if not hasattr(COMPILED, "run_racy"):
    sys.exit("there is no build/races (see the head of this file), or a GPU is here: use compute-sanitizer")

from cuda_calls import Call, a_training_step, names_of, of_convolutions, of_tables  # noqa: E402

WAYS = ("implicit_gemm", "tensor_cores")
LOOKS: dict[str, tuple[int, int, Callable[[set[str]], Iterable[Call]]]] = {  # capability, order of threads, calls
    "case tables": (80, 2, lambda names: of_tables(KERNELS, names)),
    # On Hopper in two orders: its copies come late, or at once.
    "convolutions on Hopper, order 3": (90, 3, lambda names: of_convolutions(KERNELS, names, WAYS[1:])),
    "convolutions on Hopper, order 1": (90, 1, lambda names: of_convolutions(KERNELS, names, WAYS[1:])),
    "convolutions": (80, 2, lambda names: of_convolutions(KERNELS, names, WAYS)),
    "training": (80, 2, lambda names: [("a step", a_training_step)]),
}


def look(what: str, names: set[str]) -> bool:
    """Whether there is a race, or a kernel that hangs."""
    capability, order, calls = LOOKS[what]
    COMPILED.set_capability(capability)
    COMPILED.set_order(order)
    begin, count, found = time.monotonic(), 0, False
    for name, kernel in calls(names):
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
    told_apart = pairs == [True, False] * (len(pairs) // 2)
    print(f"pairs of kernels with a race and without: {'told apart' if told_apart else pairs}", flush=True)
    with ProcessPoolExecutor(mp_context=get_context("fork")) as pool:
        found = list(pool.map(look, LOOKS, [names] * len(LOOKS)))
    return int(any(found) or not told_apart)


if __name__ == "__main__":
    with np.errstate(all="ignore"):  # NaN and overflow are meant
        sys.exit(main(names_of(sys.argv[1:])))
