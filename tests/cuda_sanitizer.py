"""All kernels for a tool that looks behind each array: on a GPU compute-sanitizer, which also looks at what was never
written and for races,

    compute-sanitizer --tool memcheck python tests/cuda_sanitizer.py [name ...]     # also racecheck, initcheck

and without one GCC's AddressSanitizer, over the build for the CPU:

    cmake -S . -B build/asan -G Ninja -DATROUS_CUDA_ON_CPU=ON -DCMAKE_CXX_FLAGS=-fsanitize=address
    cmake --build build/asan --target cuda_on_cpu
    LD_PRELOAD="$(gcc -print-file-name=libasan.so) $(gcc -print-file-name=libstdc++.so)" PYTHONMALLOC=malloc \\
    ASAN_OPTIONS=detect_leaks=0 PYTHONPATH=python python tests/cuda_sanitizer.py [name ...]

Names are families (pool2d) or functions (conv2d_forward); none means all. Each array is an allocation of its own.
"""

import sys
from typing import Any

import cuda_on_cpu
import numpy as np

ON_A_GPU = cuda_on_cpu.on_a_gpu()
KERNELS: Any = cuda_on_cpu.load("asan/cuda_on_cpu")  # before atrous looks for CuPy
if KERNELS is None:
    sys.exit("neither a GPU nor build/asan is here (see the head of this file)")

import cupy  # noqa: E402
from cuda_calls import a_training_step, names_of, of_convolutions, of_tables  # noqa: E402


def run_all(names: set[str]) -> None:
    print("a training step", flush=True)
    a_training_step()
    ways = ("implicit_gemm", "tensor_cores")
    for calls in (of_convolutions(KERNELS, names, ways), of_tables(KERNELS, names)):
        for name, kernel in calls:
            print(name, flush=True)  # what the tool reports then comes behind it
            kernel()
            cupy.cuda.Device().synchronize()


def main(names: set[str]) -> None:
    if ON_A_GPU:
        cupy.cuda.set_allocator(None)  # out of no pool
        return run_all(names)
    run_all(names)
    KERNELS.kernels.compiled.set_capability(90)
    run_all(names)


if __name__ == "__main__":
    with np.errstate(all="ignore"):  # NaN and overflow are meant
        main(names_of(sys.argv[1:]))
    print("all kernels ran")
