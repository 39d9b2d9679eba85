"""Samplers: the order in which a loader goes through a data set.

Those that draw do so from their ``generator``, or from the default one; a loader puts its own in the latter's place.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from ..ops import tensor
from ..random import Generator, _log, default_generator
from ..tensor import Tensor
from .arguments import count, flag


class Sampler:
    """Base class: a subclass defines ``__iter__``, which gives indices (or lists of them), and ``__len__``.

    Example:
        >>> class Backwards(data.Sampler):
        ...     def __iter__(self):
        ...         return iter([2, 1, 0])
        ...     def __len__(self):
        ...         return 3
        >>> [batch.tolist() for batch in data.DataLoader([10, 11, 12], batch_size=2, sampler=Backwards())]
        [[12, 11], [10]]
    """

    def __iter__(self) -> Iterator[Any]:
        raise NotImplementedError(f"{type(self).__name__} defines no __iter__()")


class SequentialSampler(Sampler):
    """0, 1, 2, …: every sample once.

    Example:
        >>> list(data.SequentialSampler("abc"))
        [0, 1, 2]
    """

    def __init__(self, data_source: Any) -> None:
        self.data_source = data_source

    def __iter__(self) -> Iterator[int]:
        return iter(range(len(self.data_source)))

    def __len__(self) -> int:
        return len(self.data_source)


class RandomSampler(Sampler):
    """Every sample once in random order; or ``num_samples`` of them, which may repeat with ``replacement``.

    Args:
        data_source: something with a length.
        replacement: draw each one from all.
        num_samples: how many to draw, all if None. Without replacement every sample comes once before any comes twice.
        generator: source of the order.
    Raises:
        ValueError: there is nothing to draw.
    Example:
        >>> sorted(data.RandomSampler("abc"))
        [0, 1, 2]
    """

    def __init__(
        self,
        data_source: Any,
        replacement: bool = False,
        num_samples: int | None = None,
        generator: Generator | None = None,
    ) -> None:
        self.data_source, self._num_samples, self.generator = data_source, num_samples, generator
        self.replacement = flag(replacement, "RandomSampler", "replacement")
        count(self.num_samples, "RandomSampler", "num_samples")
        if not len(data_source):
            raise ValueError("RandomSampler: data_source has no samples to draw from")

    @property
    def num_samples(self) -> int:
        """How many indices come; the data set may have grown since."""
        return len(self.data_source) if self._num_samples is None else self._num_samples

    def __iter__(self) -> Iterator[int]:
        N, K, source = len(self.data_source), self.num_samples, self.generator or default_generator
        if self.replacement:
            yield from source.integers(0, N, (K,)).tolist()
        else:
            for begin in range(0, K, N):
                yield from source.permutation(N)[: K - begin].tolist()

    def __len__(self) -> int:
        return self.num_samples


class SubsetRandomSampler(Sampler):
    """The given indices, each once, in random order.

    Example:
        >>> sorted(data.SubsetRandomSampler([7, 2]))
        [2, 7]
    """

    def __init__(self, indices: Sequence[int], generator: Generator | None = None) -> None:
        self.indices, self.generator = indices, generator

    def __iter__(self) -> Iterator[int]:
        for i in (self.generator or default_generator).permutation(len(self.indices)).tolist():
            yield self.indices[i]

    def __len__(self) -> int:
        return len(self.indices)


class WeightedRandomSampler(Sampler):
    """Indices drawn with probabilities in proportion to ``weights``: to see rare classes more often.

    Args:
        weights: one for each sample, 0 or more, (N,); they need not add up to 1.
        num_samples: how many to draw.
        replacement: draw each one from all; else from those that are left.
        generator: source of the draws.
    Raises:
        ValueError: the weights are no such numbers, or too few are above 0.
    Example:
        >>> set(data.WeightedRandomSampler([0.0, 1.0, 3.0], num_samples=100))
        {1, 2}

    Source:
        Without replacement: Efraimidis and Spirakis, Weighted random sampling with a reservoir, 2006.
    """

    def __init__(
        self,
        weights: Sequence[float],
        num_samples: int,
        replacement: bool = True,
        generator: Generator | None = None,
    ) -> None:
        op = "WeightedRandomSampler"
        array = np.array(weights.numpy() if isinstance(weights, Tensor) else weights, np.float64)
        if array.ndim != 1:
            raise ValueError(f"{op}: weights have shape {array.shape}; expected (N,)")
        if not np.isfinite(array).all() or (array < 0).any():
            raise ValueError(f"{op}: a weight is negative, infinite or not a number")
        self.weights, self.generator = tensor(array), generator
        self.num_samples = count(num_samples, op, "num_samples")
        self.replacement = flag(replacement, op, "replacement")
        needed, positive = 1 if replacement else num_samples, int((array > 0).sum())
        if positive < needed:
            raise ValueError(f"{op}: {positive} weights are above 0; expected {needed} or more to draw from")

    def __iter__(self) -> Iterator[int]:
        weights, K, source = self.weights.numpy(), self.num_samples, self.generator or default_generator
        if self.replacement:
            ends = np.cumsum(weights)  # sample i owns [ends[i − 1], ends[i])
            drawn = np.searchsorted(ends, source.uniform((K,), np.float64) * ends[-1], side="right")
            chosen = np.minimum(drawn, np.flatnonzero(weights)[-1])  # u · total may round up to the total
        else:
            u = 1.0 - source.uniform(weights.shape, np.float64)  # (0, 1]
            with np.errstate(divide="ignore", invalid="ignore"):
                waits = np.where(weights > 0, -_log(u) / weights, np.inf)  # exponential: who comes first is drawn first
            chosen = np.argsort(waits, kind="stable")[:K]
        return iter(chosen.tolist())

    def __len__(self) -> int:
        return self.num_samples


class BatchSampler(Sampler):
    """Lists of ``batch_size`` indices of another sampler; the last may be shorter, or left out by ``drop_last``.

    Raises:
        ValueError: batch_size is below 1.
    Example:
        >>> list(data.BatchSampler(range(5), batch_size=2, drop_last=False))
        [[0, 1], [2, 3], [4]]
    """

    def __init__(self, sampler: Iterable[int], batch_size: int, drop_last: bool) -> None:
        self.sampler = sampler
        self.batch_size = count(batch_size, "BatchSampler", "batch_size")
        self.drop_last = flag(drop_last, "BatchSampler", "drop_last")

    def __iter__(self) -> Iterator[list[int]]:
        indices = iter(self.sampler)
        while batch := list(itertools.islice(indices, self.batch_size)):
            if len(batch) == self.batch_size or not self.drop_last:
                yield batch

    def __len__(self) -> int:
        N = len(self.sampler)  # type: ignore[arg-type]  # of a sampler without a length, there is none
        return N // self.batch_size if self.drop_last else -(-N // self.batch_size)
