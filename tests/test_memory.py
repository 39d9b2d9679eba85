"""The memory pool: what it counts, keeps, gives back and refuses."""

import ctypes
import gc

import numpy as np
import pytest

from atrous import memory

MB = 2**20


@pytest.fixture(autouse=True)
def _lifted_limit(cpu):
    gc.collect()
    yield
    memory.set_limit(None)


def test_a_block_counts_while_an_array_or_a_view_of_it_lives(cpu):
    before = memory.current()
    memory.reset_peak()
    array = cpu.empty((MB,), np.float32)  # 4 MB
    assert memory.current() - before == 4 * MB
    view = array[::2]
    del array
    assert memory.current() - before == 4 * MB
    del view
    assert memory.current() == before
    assert memory.peak() - before == 4 * MB


def test_a_block_is_handed_out_again_and_given_back(cpu):
    memory.empty_cache()
    array = cpu.empty((1000,), np.float32)
    address = array.ctypes.data
    assert address % 64 == 0
    del array
    assert cpu.memory_stats()["pooled"] >= 4000
    assert cpu.empty((1000,), np.float32).ctypes.data == address
    memory.empty_cache()
    assert cpu.memory_stats()["pooled"] == 0


@pytest.mark.parametrize("size", [1, 63, 65, 81, 1000, 4097, 100_001, 3 * MB + 1])
def test_at_most_a_quarter_is_lost_to_rounding(cpu, size):
    before = memory.current()
    array = cpu.empty((size,), np.uint8)
    taken = memory.current() - before
    assert size <= taken <= max(64, size * 1.25)
    assert array.nbytes == size


def test_the_limit_refuses_with_a_message_and_nothing_is_lost(cpu):
    x = np.ones((1, 1, 512, 512), np.float32)
    memory.set_limit(memory.current() + MB // 2)
    with pytest.raises(MemoryError, match=r"no memory for 1048576 bytes: the limit of atrous.memory.set_limit"):
        cpu.relu_forward(x)
    memory.set_limit(None)
    assert cpu.relu_forward(x).sum() == x.size


def test_more_than_any_machine_has_is_refused(cpu):
    with pytest.raises(MemoryError, match="no memory for"):
        cpu.empty((2**47,), np.uint8)


@pytest.mark.parametrize("size", [1, 64, 80, 4 * MB])
def test_a_store_past_the_end_of_a_poisoned_block_is_counted(cpu, size):
    cpu.memory_overruns()
    cpu.memory_set_poison(True)
    try:
        for written, overruns in ((size, 0), (size + 1, 1)):
            array = cpu.empty((size,), np.uint8)
            ctypes.memset(array.ctypes.data, 0, written)
            del array
            assert cpu.memory_overruns() == overruns
    finally:
        cpu.memory_set_poison(False)
    assert cpu.memory_overruns() == 0
