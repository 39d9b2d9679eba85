"""The machine's measured peaks: what a roofline stands on."""

import pytest


def test_peaks_are_positive_and_wider_vectors_are_not_slower(cpu):
    levels = cpu.isa_levels()
    best = cpu.isa()
    try:
        found = []
        for level in (levels[0], levels[-1]):
            cpu.set_isa(level)
            found.append(cpu.peak_fma_gflops(1))
    finally:
        cpu.set_isa(best)
    assert found[0] > 0.7 * found[1] > 0  # twice as wide, or the same level
    assert cpu.peak_copy_gbs(1) > 0
    assert cpu.core_to_core_ns() >= 0


@pytest.mark.parametrize("name", ["peak_fma_gflops", "peak_copy_gbs"])
@pytest.mark.parametrize("threads", [0, -1, 10**6])
def test_no_such_number_of_threads(cpu, name, threads):
    with pytest.raises(ValueError, match=f"{name}: threads must be from 1 to 1024"):
        getattr(cpu, name)(threads)
