"""DataLoader: batches of a data set, in order or shuffled, made ahead of time where asked, and resumable."""

from __future__ import annotations

import contextlib
import itertools
import warnings
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from .. import gpu
from ..random import Generator, default_generator, using
from .arguments import check_batching, check_dataset, check_generator, check_workers
from .collate import default_collate, default_convert, pinned
from .dataset import IterableDataset, takes_lists
from .fetch import IterableFetch, MapFetch
from .prefetch import prefetched
from .sampler import BatchSampler, RandomSampler, SequentialSampler

State = dict[str, int]  # of a generator


class Position:
    """How far an epoch is.

    Args:
        start: the generators' states at the epoch's start, the default one's first.
        done: batches, those without any sample included.
        resumes: whether the next epoch goes on from here.
    """

    def __init__(self, start: list[State], done: int = 0, resumes: bool = False) -> None:
        self.start, self.done, self.resumes = start, done, resumes
        self.total: int | None = None  # batches; of an IterableDataset nobody knows
        self.finished = False
        self.indices: list | None = None  # of the samples in the batch handed out last


class DataLoader:
    """Iterates over a data set in batches; each ``for`` over it is one epoch.

    Order and random numbers come from `generator`, or from atrous's default one, which `manual_seed` sets. At the start
    of an epoch they are drawn from it: the order, and a seed from which batch number b has random numbers of its own
    while it is made. So the same seed gives the same bits, augmentation inside the data set included, with any number
    of workers. ``state_dict`` and ``load_state_dict`` go on in the middle of an epoch, as torchdata's
    StatefulDataLoader does. A data set may leave samples out by raising `SkipSample`.

    Args:
        dataset: something with ``len()`` and samples by number, or an `IterableDataset`.
        batch_size: samples a batch; the last batch may be smaller. None gives samples as they are, not batched.
        shuffle: draw a new order each epoch.
        sampler: gives the indices instead; it must come to an end.
        batch_sampler: gives the lists of indices instead.
        num_workers: threads that make batches ahead; 0 makes them when they are asked for. They are threads of this
            process where PyTorch has processes: nothing is pickled, and a data set should spend its time in what
            releases the GIL, such as Pillow and NumPy.
        collate_fn: makes a batch of a list of samples; `default_collate` unless given.
        pin_memory: put the tensors of a batch into pinned memory, where there is a GPU; see `Tensor.pin_memory`.
        drop_last: leave out a last batch that is smaller.
        timeout: seconds to wait for a batch of the workers, 0 for any time; the sample under way cannot be ended.
        worker_init_fn: called with 0, 1, … in each thread, at the start of each epoch.
        multiprocessing_context: None; there are no processes.
        generator: source of the order and of the batches' random numbers.
        prefetch_factor: batches a worker is ahead, 2 unless given.
        persistent_workers: accepted; threads start so fast that each epoch has new ones.
        pin_memory_device: accepted; there is one kind of pinned memory.
        in_order: True; batches come in order always.
    Raises:
        TypeError, ValueError: arguments that are wrong or contradict one another.
    Example:
        >>> loader = data.DataLoader(data.TensorDataset(at.arange(5)), batch_size=2, num_workers=1)
        >>> [batch.tolist() for (batch,) in loader]
        [[0, 1], [2, 3], [4]]
    """

    def __init__(
        self,
        dataset: Any,
        batch_size: int | None = 1,
        shuffle: bool | None = None,
        sampler: Iterable | None = None,
        batch_sampler: Iterable | None = None,
        num_workers: int = 0,
        collate_fn: Callable[[Any], Any] | None = None,
        pin_memory: bool = False,
        drop_last: bool = False,
        timeout: float = 0,
        worker_init_fn: Callable[[int], None] | None = None,
        multiprocessing_context: Any = None,
        generator: Generator | None = None,
        *,
        prefetch_factor: int | None = None,
        persistent_workers: bool = False,
        pin_memory_device: str = "",
        in_order: bool = True,
    ) -> None:
        check_workers(num_workers, timeout, multiprocessing_context, prefetch_factor, persistent_workers, in_order)
        check_dataset(dataset, shuffle, sampler, batch_sampler, num_workers)
        check_batching(batch_size, shuffle, sampler, batch_sampler, drop_last)
        check_generator(generator)
        self.dataset, self.num_workers, self.generator, self.drop_last = dataset, num_workers, generator, drop_last
        self.pin_memory, self.pin_memory_device, self.timeout = pin_memory, pin_memory_device, timeout
        self.worker_init_fn, self.multiprocessing_context = worker_init_fn, multiprocessing_context
        self.persistent_workers, self.in_order = persistent_workers, in_order
        self.prefetch_factor = (prefetch_factor or 2) if num_workers else None
        self.batch_size = None if batch_sampler is not None else batch_size
        if sampler is None and not isinstance(dataset, IterableDataset):
            sampler = RandomSampler(dataset) if shuffle else SequentialSampler(dataset)
        if batch_sampler is None and batch_size is not None and sampler is not None:
            batch_sampler = BatchSampler(sampler, batch_size, drop_last)
        self.sampler, self.batch_sampler = sampler, batch_sampler
        batched = batch_sampler is not None or batch_size is not None
        self.collate_fn = collate_fn or (default_collate if batched else default_convert)
        self._position: Position | None = None
        self._warned: set = set()

    def __len__(self) -> int:
        """Batches in a whole epoch, also where one goes on from its middle."""
        order: Any = self.sampler if self.batch_sampler is None else self.batch_sampler
        if order is not None:
            return len(order)
        N, B = len(self.dataset), self.batch_size or 1
        return N // B if self.drop_last else -(-N // B)

    def __iter__(self) -> Iterator[Any]:
        position = self._position
        if position is None or not position.resumes:
            position = Position([default_generator.get_state(), *(g.get_state() for g in self._generators())])
            fetch = self._draw()
        else:
            fetch = self._draw_again(position.start)
        position.total = len(fetch.batches) if isinstance(fetch, MapFetch) else None
        if position.total is not None and position.done > position.total:
            raise ValueError(f"DataLoader: the state has {position.done} batches; this epoch has {position.total}")
        position.resumes = False
        self._position = position
        return self._epoch(position, fetch)

    def _draw(self) -> MapFetch | IterableFetch:
        """What makes this epoch's batches; it takes the epoch's seed and order from the loader's generator."""
        own = self.generator not in (None, default_generator)
        with using(self.generator) if own else contextlib.nullcontext():  # type: ignore[arg-type]
            low, high = default_generator.bits(2).tolist()
            seed = low | high << 32
            if isinstance(self.dataset, IterableDataset):
                return IterableFetch(self.dataset, self.batch_size, self.drop_last, self.collate_fn, seed)
            batched = self.batch_sampler is not None
            batches: list = list((self.batch_sampler if batched else self.sampler) or ())
        by_list = batched and self.collate_fn is default_collate and takes_lists(self.dataset)
        return MapFetch(self.dataset, batches, self.collate_fn, by_list, batched, seed)

    def _draw_again(self, start: list[State]) -> MapFetch | IterableFetch:
        """As ``_draw`` did from these states; the generators are left as they are."""
        copy, generators = Generator(0), self._generators()
        states = [g.get_state() for g in generators]
        copy.set_state(start[0])
        try:
            for g, state in zip(generators, start[1:], strict=True):
                g.set_state(state)
            with using(copy):
                return self._draw()
        finally:
            for g, state in zip(generators, states, strict=True):
                g.set_state(state)

    def _generators(self) -> list[Generator]:
        """The loader's own generator and those of its samplers, each once; the default one is not among them."""
        samplers = (self.sampler, self.batch_sampler, getattr(self.batch_sampler, "sampler", None))
        found = [self.generator, *(getattr(sampler, "generator", None) for sampler in samplers)]
        own = {id(g): g for g in found if isinstance(g, Generator) and g is not default_generator}
        return list(own.values())

    def _epoch(self, position: Position, fetch: MapFetch | IterableFetch) -> Iterator[Any]:
        numbers = itertools.count(position.done) if position.total is None else range(position.done, position.total)
        if self.num_workers:
            ahead = self.num_workers * (self.prefetch_factor or 2)
            made_batches = prefetched(fetch, numbers, self.num_workers, ahead, self.worker_init_fn, self.timeout)
        else:
            made_batches = (fetch(b) for b in numbers)
        pin = self.pin_memory and gpu.available()
        with contextlib.closing(made_batches):  # type: ignore[type-var]  # both are generators
            for made in made_batches:
                if made is None:
                    break
                position.done += 1
                for index, reason in made.skipped.items():
                    if index not in self._warned:
                        self._warned.add(index)
                        warnings.warn(f"DataLoader: sample {index} is left out: {reason}", stacklevel=2)
                if made.indices != []:
                    position.indices = made.indices
                    self._position = position  # whoever looked into the loader meanwhile
                    yield pinned(made.value) if pin else made.value
        position.finished = True

    @property
    def batch_indices(self) -> list | None:
        """The data set's indices of the samples in the batch handed out last; None before the first, and of streams.

        Example:
            >>> loader = data.DataLoader([3, 1, 2], batch_size=2)
            >>> [loader.batch_indices for batch in loader]
            [[0, 1], [2]]
        """
        return self._position.indices if self._position else None

    def state_dict(self) -> dict[str, Any]:
        """Where the loader is, or rather the loop that got a batch last, as plain numbers that JSON can hold.

        In the body of the loop the batch being worked on counts as done; what workers have made ahead does not. So with
        the last batch nothing is left of the epoch: the next ``iter`` after loading gives no batch, the one after it a
        new epoch. Once the loop has ended, the state is that of a new epoch.

        Example:
            >>> loader = data.DataLoader(data.TensorDataset(at.arange(4)), batch_size=2)
            >>> for batch in loader:
            ...     break
            >>> loader.state_dict()["batches"]
            1
        """
        position = self._position
        running = position is not None and not position.finished
        return {
            **self._identity(),
            "batches": position.done if position and running else 0,
            "epoch_start": [dict(state) for state in position.start] if position and running else None,
            "generators": [g.get_state() for g in self._generators()],
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Goes on from what ``state_dict`` gave: the next ``iter`` gives the rest of that epoch, bit for bit.

        The default generator is left as it is; whoever stored its state restores it. The number of workers may differ.

        Raises:
            ValueError: the state is that of another loader or data set, or none.
        Example:
            >>> loader = data.DataLoader(data.TensorDataset(at.arange(6)), batch_size=2, shuffle=True)
            >>> batches = iter(loader)
            >>> first, state = next(batches), loader.state_dict()
            >>> rest = [batch.tolist() for (batch,) in batches]
            >>> loader.load_state_dict(state)
            >>> [batch.tolist() for (batch,) in loader] == rest
            True
        """
        names = {*self._identity(), "batches", "epoch_start", "generators"}
        if not isinstance(state_dict, dict) or set(state_dict) != names:
            raise ValueError(f"DataLoader: the state does not come from state_dict(), which has {sorted(names)}")
        for name, expected in self._identity().items():
            if state_dict[name] != expected:
                raise ValueError(f"DataLoader: the state has {name} {state_dict[name]}; this loader has {expected}")
        done, start, states = state_dict["batches"], state_dict["epoch_start"], state_dict["generators"]
        own = self._generators()
        try:
            for state in [*states, *(start or [])]:
                Generator(0).set_state(state)
            fits = len(states) == len(own) and (start is None or len(start) == len(own) + 1) and done >= 0
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"DataLoader: the state is damaged: {error!r}") from error
        if not fits:
            raise ValueError(f"DataLoader: the state does not fit this loader, which has {len(own)} generators")
        for g, state in zip(own, states, strict=True):
            g.set_state(state)
        self._position = None if start is None else Position([dict(state) for state in start], done, resumes=True)

    def _identity(self) -> dict[str, Any]:
        """What must agree for a state to fit."""
        try:
            length: int | None = len(self.dataset)
        except TypeError:
            length = None
        order = self.sampler if self.batch_size else self.batch_sampler or self.sampler
        return {
            "dataset_length": length,
            "batch_size": self.batch_size,
            "drop_last": self.drop_last,
            "order": type(order).__name__,
        }
