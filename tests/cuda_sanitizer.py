"""The case tables on a GPU for compute-sanitizer, which looks behind each array and at what was never written:

    compute-sanitizer --tool memcheck python tests/cuda_sanitizer.py [family ...]     # also racecheck, initcheck

Each array is an allocation of its own, out of no pool, and nothing is poisoned beforehand.
"""

import sys

import cupy

from atrous import _cuda, verify
from atrous.verify import on_the_gpu


def main(families: list[str]) -> int:
    cupy.cuda.set_allocator(None)
    _cuda.memory_set_poison = lambda enabled: None
    kernels, wrong = on_the_gpu(), 0
    for name in families or verify.FAMILIES:
        table = verify.FAMILIES[name]
        for function in table.CASES:
            for dtype in verify.dtypes(table):
                for algorithm in verify.algorithms(kernels, table, function):
                    result = verify.check_function(kernels, table, function, dtype, "cuda", algorithm)
                    wrong += len(result.failures)
                    print(
                        function, result.dtype, algorithm or "", f"{result.cases} cases", *result.failures, flush=True
                    )
    return min(wrong, 1)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
