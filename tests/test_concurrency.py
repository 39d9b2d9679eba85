"""Kernels from several Python threads, in a forked child, and on any number of threads: the same bits."""

import multiprocessing
import os
import subprocess
import sys
import threading
import warnings

import numpy as np
import pytest


def work(cpu, seed):
    """A few kernels large enough to run on several threads and to release the GIL; returns their bits."""
    rng = np.random.default_rng(seed)
    x, weight = (rng.standard_normal(s).astype(np.float32) for s in ((4, 32, 28, 28), (48, 32, 3, 3)))
    window = ((1, 1), (1, 1), (1, 1), 1)
    y = cpu.conv2d_forward(x, weight, None, *window)
    grad_weight = cpu.conv2d_backward_weight(y, x, (3, 3), *window)
    pooled, _ = cpu.max_pool2d_forward(y, (3, 3), (2, 2), (1, 1), (1, 1), False)
    product = cpu.matmul(grad_weight.reshape(48, -1), grad_weight.reshape(48, -1).T)
    return b"".join(np.ascontiguousarray(a).tobytes() for a in (y, grad_weight, cpu.tanh_forward(pooled), product))


@pytest.fixture
def many_threads(cpu):
    before = cpu.get_num_threads()
    cpu.set_num_threads(4)
    yield
    cpu.set_num_threads(before)


@pytest.mark.usefixtures("many_threads")
def test_eight_python_threads_agree_with_one(cpu):
    expected = [work(cpu, seed) for seed in range(8)]
    got, start = {}, threading.Barrier(8)

    def run(seed):
        start.wait()
        got[seed] = [work(cpu, seed) for _ in range(3)]

    threads = [threading.Thread(target=run, args=(seed,)) for seed in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert got == {seed: [expected[seed]] * 3 for seed in range(8)}


@pytest.mark.usefixtures("many_threads")
@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_forked_child_has_threads_of_its_own(cpu):
    """The parent's workers do not exist in the child: waiting for them would hang for ever."""
    expected = work(cpu, 0)
    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(duplex=False)
    child = context.Process(target=lambda: sender.send_bytes(work(cpu, 0)))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # Python 3.12 warns of a fork beside any threads
        child.start()
    try:
        assert receiver.poll(30), "the child hangs"
        assert receiver.recv_bytes() == expected
        child.join(10)
        assert child.exitcode == 0
    finally:
        if child.is_alive():
            child.kill()
    assert work(cpu, 0) == expected  # and the parent still has its own


@pytest.mark.usefixtures("many_threads")
def test_a_thread_may_end_while_its_arrays_live_on(cpu):
    """The block of an array returns to the pool from whichever thread drops the last view."""
    made = []
    thread = threading.Thread(target=lambda: made.append(cpu.relu_forward(np.full(100_000, 2, np.float32))))
    thread.start()
    thread.join()
    view = made.pop()[::7]
    assert (view == 2).all()
    del view
    assert (cpu.relu_forward(np.full(100_000, 3, np.float32)) == 3).all()


REFUSED_THREADS = """
import resource
import numpy as np
from atrous import _cpu
x = np.linspace(-1, 1, 1 << 22, dtype=np.float32)
_cpu.set_num_threads(1)
expected = _cpu.relu_forward(x)
_cpu.relu_forward(x)  # its block stays in the pool
now = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
hard = resource.getrlimit(resource.RLIMIT_AS)[1]
resource.setrlimit(resource.RLIMIT_AS, (now + (20 << 20), hard))  # two stacks, not 63
_cpu.set_num_threads(64)
for _ in range(3):
    assert (_cpu.relu_forward(x)[::4096] == expected[::4096]).all()
print("done")
"""


@pytest.mark.skipif(not os.path.exists("/proc/self/statm"), reason="needs Linux's limit on address space")
def test_threads_that_the_system_refuses_are_done_without(cpu):
    """Waiting for a thread that never started would hang for ever."""
    env = {**os.environ, "ATROUS_MEMORY_POOL": "1"}
    out = subprocess.run([sys.executable, "-c", REFUSED_THREADS], capture_output=True, text=True, timeout=60, env=env)
    assert (out.stdout, out.stderr) == ("done\n", "")
