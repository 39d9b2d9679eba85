"""The case tables on a GPU for compute-sanitizer, which looks behind each array and at what was never written:

    compute-sanitizer --tool memcheck python tests/cuda_sanitizer.py [name ...]     # also racecheck, initcheck

Names are families (pool2d) or functions (conv2d_forward); none means all. Each array is an allocation of its own, out
of no pool, and nothing is poisoned beforehand.
"""

import sys

import cupy

from atrous import _cuda, verify
from atrous.verify import on_the_gpu


def main(names: list[str]) -> int:
    cupy.cuda.set_allocator(None)
    _cuda.memory_set_poison = lambda enabled: None
    kernels, wrong = on_the_gpu(), 0
    for family, table in verify.FAMILIES.items():
        for function in table.CASES:
            if names and not {family, function} & set(names):
                continue
            for algorithm, dtype in verify.checks(kernels, table, function):
                result = verify.check_function(kernels, table, function, dtype, "cuda", algorithm)
                wrong += len(result.failures)
                how = f"{function} {algorithm or 'rule'} {result.dtype}: {result.cases} cases"
                print(how, *result.failures, flush=True)
    return min(wrong, 1)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
