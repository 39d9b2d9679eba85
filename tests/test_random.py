"""Kernels of random: published vectors, the case table on every level, properties, bad input."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from atrous import reference
from atrous.verify.random import CASES

# philox4x32-10 of kat_vectors in Random123 (Salmon et al., SC 2011): counter (low word first), key, output.
KNOWN_ANSWERS = [
    ((0, 0, 0, 0), (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
    ((0xFFFFFFFF,) * 4, (0xFFFFFFFF,) * 2, (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
    (
        (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
        (0xA4093822, 0x299F31D0),
        (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
    ),
]


@pytest.mark.parametrize("function", CASES)
def test_every_level_agrees_with_the_reference(function, check):
    check("random", function)


@pytest.mark.parametrize(("counter", "key", "expected"), KNOWN_ANSWERS)
def test_known_answers_of_random123(counter, key, expected):
    block, stream, seed = (low | high << 32 for low, high in (counter[:2], counter[2:], key))
    assert tuple(reference.random_bits(seed, stream, 4 * block, 4)) == expected


def test_known_answer_on_every_backend(backend):
    """The one vector whose counter a 64-bit offset can reach."""
    assert tuple(backend.random_bits(0, 0, 0, 4)) == KNOWN_ANSWERS[0][2]


@given(st.integers(0, 2**64 - 1), st.integers(0, 2**64 - 1), st.integers(0, 2**60), st.integers(0, 40), st.data())
def test_any_part_of_a_stream_can_be_drawn_alone(backend, seed, stream, offset, count, data):
    words = backend.random_bits(seed, stream, offset, count)
    assert words.dtype == np.uint32
    start = data.draw(st.integers(0, count))
    stop = data.draw(st.integers(start, count))
    assert np.array_equal(backend.random_bits(seed, stream, offset + start, stop - start), words[start:stop])


def test_streams_and_seeds_differ(backend):
    draws = {backend.random_bits(seed, stream, 0, 8).tobytes() for seed in range(10) for stream in range(10)}
    assert len(draws) == 100


def test_bits_are_fair(backend):
    """Of 100,000 words each bit is set in half: 6 standard deviations of a fair coin are 949 words."""
    words = backend.random_bits(3, 0, 0, 100_000)
    ones = [(words >> np.uint32(bit) & np.uint32(1)).sum() for bit in range(32)]
    assert np.abs(np.array(ones, np.int64) - 50_000).max() < 949


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"count": -1}, ValueError),
        ({"offset": -1}, (ValueError, TypeError)),
        ({"seed": -1}, (ValueError, TypeError)),
        ({"seed": 2**64}, (ValueError, TypeError)),
        ({"seed": 1.5}, TypeError),
        ({"count": 2**62}, (ValueError, MemoryError)),
    ],
)
def test_the_binding_refuses(cpu, change, error):
    good = {"seed": 0, "stream": 0, "offset": 0, "count": 4}
    cpu.random_bits(**good)
    with pytest.raises(error, match="random_bits"):
        cpu.random_bits(**{**good, **change})
