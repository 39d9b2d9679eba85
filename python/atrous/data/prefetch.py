"""Batches made ahead of time by threads, and handed out in order."""

from __future__ import annotations

import itertools
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextvars import copy_context
from typing import TYPE_CHECKING, Any, NamedTuple

from ..backend import backend, backend_name
from ..grad_mode import is_grad_enabled, set_grad_enabled
from .fetch import IterableFetch, Made, MapFetch, note

if TYPE_CHECKING:
    from concurrent.futures import Future, ThreadPoolExecutor


class WorkerInfo(NamedTuple):
    """Which worker this is: ``id`` of ``num_workers``, ``seed`` (the epoch's + id, as in PyTorch) and ``dataset``."""

    id: int
    num_workers: int
    seed: int
    dataset: Any


class _Worker(threading.local):
    info: WorkerInfo | None = None


_worker = _Worker()


def get_worker_info() -> WorkerInfo | None:
    """Inside a loader's worker thread, which one it is; elsewhere None.

    Random numbers need no seed of it: they differ from batch to batch, and not with the number of workers.

    Example:
        >>> data.get_worker_info() is None
        True
    """
    return _worker.info


def prefetched(
    fetch: MapFetch | IterableFetch,
    numbers: Iterable[int],
    workers: int,
    ahead: int,
    init: Callable[[int], None] | None = None,
    timeout: float = 0,
) -> Iterator[Made | None]:
    """Yields ``fetch(b)`` for the numbers b, in order; threads make them before they are needed.

    The threads live until the generator ends or is closed. An exception in one is raised where its batch would have
    come.

    Args:
        fetch: makes a batch.
        numbers: of the batches.
        workers: the number of threads.
        ahead: how many batches may be under way or wait.
        init: called in each thread with its number before any batch.
        timeout: seconds to wait for a batch; 0 for any time.
    Raises:
        RuntimeError: no batch came in time.
    """
    from concurrent.futures import ThreadPoolExecutor, wait  # here: it takes a few ms, which `import atrous` saves

    executor = ThreadPoolExecutor(workers, "atrous-data")
    all_here, patient = threading.Barrier(workers), True
    try:
        for started in [executor.submit(_start, all_here, fetch, id, workers, init) for id in range(workers)]:
            started.result()
        rest = iter(numbers)
        pending = deque(_submit(executor, fetch, b) for b in itertools.islice(rest, ahead))
        while pending:
            if timeout and not wait([pending[0]], timeout).done:
                patient = False  # closing would wait for the same sample
                raise RuntimeError(f"DataLoader: no batch came within the timeout of {timeout} seconds")
            made = pending.popleft().result()
            pending.extend(_submit(executor, fetch, b) for b in itertools.islice(rest, 1))
            yield made
    finally:
        fetch.stopped = True
        all_here.abort()
        executor.shutdown(wait=patient, cancel_futures=True)


def _start(
    all_here: threading.Barrier,
    fetch: MapFetch | IterableFetch,
    id: int,
    workers: int,
    init: Callable[[int], None] | None,
) -> None:
    all_here.wait()  # so that each thread runs exactly one of these
    _worker.info = WorkerInfo(id, workers, (fetch.seed + id) % 2**64, fetch.dataset)
    try:
        if init is not None:
            init(id)
    except Exception as error:
        note(error, f"DataLoader: this happened in worker_init_fn({id})")
        raise


def _submit(executor: ThreadPoolExecutor, fetch: Callable, b: int) -> Future:
    """The batch is made as in the thread that iterates: its backend, grad mode and context (NumPy's errstate)."""
    return executor.submit(copy_context().run, _make, fetch, b, backend_name(), is_grad_enabled())


def _make(fetch: Callable, b: int, kernels: str, grad: bool) -> Made | None:
    with backend(kernels), set_grad_enabled(grad):
        return fetch(b)
