"""Philox4x32-10: random numbers as a function of a counter.

Any element can be computed alone and in any order, hence the same bits on every backend. From Salmon, Moraes, Dror and
Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC 2011.
"""

import numpy as np

ROUNDS = 10
MULTIPLIERS = np.uint64(0xD2511F53), np.uint64(0xCD9E8D57)
KEY_STEPS = 0x9E3779B9, 0xBB67AE85  # the golden ratio and sqrt(3) - 1, as 32-bit fractions
LOW, HIGH = np.uint64(0xFFFFFFFF), np.uint64(32)


def random_bits(seed: int, stream: int, offset: int, count: int) -> np.ndarray:
    """`count` words (uint32) of a stream, from its element `offset` on: element i is word i % 4 of block i // 4.

    The block's counter is (i // 4, stream) and its key is the seed, each as low word, high word.
    """
    first, last = offset // 4, (offset + count + 3) // 4
    block = np.uint64(first) + np.arange(last - first, dtype=np.uint64)
    counter = [block & LOW, block >> HIGH, *(np.full_like(block, word) for word in _words(stream))]
    words = np.stack(_philox(counter, _words(seed)), axis=1).ravel()
    return words[offset - 4 * first :][:count].astype(np.uint32)


def _philox(counter: list[np.ndarray], key: tuple[int, int]) -> list[np.ndarray]:
    c0, c1, c2, c3 = counter
    k0, k1 = key
    for _ in range(ROUNDS):
        product0, product1 = c0 * MULTIPLIERS[0], c2 * MULTIPLIERS[1]  # 64 bits each
        c0, c2 = (product1 >> HIGH) ^ c1 ^ np.uint64(k0), (product0 >> HIGH) ^ c3 ^ np.uint64(k1)
        c1, c3 = product1 & LOW, product0 & LOW
        k0, k1 = (k0 + KEY_STEPS[0]) & 0xFFFFFFFF, (k1 + KEY_STEPS[1]) & 0xFFFFFFFF
    return [c0, c1, c2, c3]


def _words(number: int) -> tuple[int, int]:
    return number & 0xFFFFFFFF, (number >> 32) & 0xFFFFFFFF
