"""Random bits from Philox4x32-10. NumPy's program is its own Philox generator; the others' numbers differ by design."""

import sys
from collections.abc import Iterator, Sequence
from functools import partial

import numpy as np

from harness import Case, Outcome, kernel, run
from shapes import COUNTS


def cases(quick: bool) -> Iterator[Case]:
    """Work counts the bytes written. Every bit has to agree with the reference."""
    for count in COUNTS[:2] if quick else COUNTS:
        yield Case(f"{count:,} numbers", "random bits", 4e-9 * count, "GB/s", 0, partial(bits, count))


def bits(count: int) -> Outcome:
    generator = np.random.Generator(np.random.Philox(0))

    def numpy_call():
        generator.integers(0, 2**32, count, np.uint32)

    def call(torch):
        torch.empty(count, dtype=torch.int32).random_()

    arguments = {"seed": 1, "stream": 2, "offset": 3, "count": count}
    return kernel("random_bits", arguments, call, [], numpy_call)


def main(argv: Sequence[str] | None = None) -> int:
    return run(__file__, cases, argv)


if __name__ == "__main__":
    sys.exit(main())
