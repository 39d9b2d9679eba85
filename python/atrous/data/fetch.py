"""What makes batch number b of an epoch: the same bits in any thread, for each batch has random numbers of its own."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from ..random import Generator, using
from .dataset import IterableDataset, SkipSample


class Made(NamedTuple):
    """A batch, the indices of the samples in it, and the messages of those that were left out, by index."""

    value: Any
    indices: list | None
    skipped: dict[Any, str]


class MapFetch:
    """Makes batches of a data set that has samples by number.

    Args:
        dataset: the data set.
        batches: the indices of each batch; or, where ``collate`` is None, of each sample.
        make: makes a batch of a list of samples.
        by_list: take the samples as ``dataset[indices]``, which is a batch already.
        batched: whether an entry of ``batches`` is a list of indices, and not one.
        seed: of the epoch; batch b draws from its stream b.
    """

    def __init__(
        self, dataset: Any, batches: list, make: Callable[[Any], Any], by_list: bool, batched: bool, seed: int
    ) -> None:
        self.dataset, self.batches, self.make, self.by_list, self.batched = dataset, batches, make, by_list, batched
        self.seed = seed
        self.stopped = False  # set from another thread: nobody waits for the batch any more

    def __call__(self, b: int) -> Made:
        indices = list(self.batches[b]) if self.batched else [self.batches[b]]
        with using(Generator(self.seed, stream=b)):
            if self.by_list:
                return Made(list(self.dataset[indices]), indices, {})
            samples, kept, skipped = [], [], {}
            for i in indices:
                if self.stopped:
                    return Made(None, [], {})
                try:
                    samples.append(self.dataset[i])
                    kept.append(i)
                except SkipSample as reason:
                    skipped[i] = str(reason)
                except Exception as error:
                    note(error, f"DataLoader: this happened in sample {i!r} of batch {b}, {shortened(indices)}")
                    raise
            if not samples:
                return Made(None, [], skipped)
            try:
                return Made(self.make(samples if self.batched else samples[0]), kept, skipped)
            except Exception as error:
                note(error, f"DataLoader: this happened in making batch {b} of the samples {shortened(kept)}")
                raise


class IterableFetch:
    """Makes the batches of a stream, one after the other; None after the last. What is before batch b is passed over.

    Args:
        dataset: the stream.
        batch_size: samples a batch, or None for samples as they are.
        drop_last: leave out a last batch that is smaller.
        make: makes a batch of a list of samples, or something of one sample.
        seed: of the epoch; batch b draws from its stream b.
    """

    def __init__(
        self, dataset: IterableDataset, batch_size: int | None, drop_last: bool, make: Callable[[Any], Any], seed: int
    ) -> None:
        self.dataset, self.batch_size, self.drop_last, self.make = dataset, batch_size, drop_last, make
        self.seed = seed
        self.stopped = False
        self.next = 0
        self.samples: Iterator[Any] | None = None

    def __call__(self, b: int) -> Made | None:
        for passed in range(self.next, b):
            with using(Generator(self.seed, stream=passed)):
                self._read(passed)
        with using(Generator(self.seed, stream=b)):
            samples = self._read(b)
            if not samples or (self.drop_last and len(samples) < (self.batch_size or 1)):
                return None
            try:
                return Made(self.make(samples[0] if self.batch_size is None else samples), None, {})
            except Exception as error:
                note(error, f"DataLoader: this happened in making batch {b}")
                raise

    def _read(self, b: int) -> list[Any]:
        self.next = b + 1
        samples: list[Any] = []
        try:
            if self.samples is None:
                self.samples = iter(self.dataset)
            for sample in itertools.islice(self.samples, self.batch_size or 1):
                samples.append(sample)
                if self.stopped:
                    break
        except Exception as error:
            note(error, f"DataLoader: this happened in sample {len(samples)} of batch {b}")
            raise
        return samples


def shortened(indices: list) -> str:
    """A list for a message, of which a long one shows its ends.

    Example:
        >>> shortened(list(range(100)))
        '[0, 1, 2, 3, ..., 96, 97, 98, 99]'
    """
    if len(indices) <= 16:
        return repr(indices)
    return f"[{', '.join(map(repr, indices[:4]))}, ..., {', '.join(map(repr, indices[-4:]))}]"


def note(error: BaseException, text: str) -> None:
    """Adds a line to what is printed of an error; where Python is 3.10, as an error that came before it.

    Example:
        >>> error = ValueError("broken")
        >>> note(error, "in sample 3")
    """
    if hasattr(error, "add_note"):
        error.add_note(text)
        return
    first = error
    while first.__context__ is not None:
        first = first.__context__
    first.__context__ = RuntimeError(text)
