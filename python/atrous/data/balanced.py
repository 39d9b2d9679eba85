"""Samplers that look at the classes of the samples."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from ..random import Generator, default_generator
from .arguments import class_numbers, count, flag
from .sampler import Sampler
from .split import shares


class ClassBalancedSampler(Sampler):
    """As many samples of every class, whatever their share of the data set, in random order.

    Of each class num_samples / (number of classes) come, rounded down or, for classes drawn at random, up. Every sample
    of a class comes once before any of it comes twice, so a rare class repeats and of a frequent one some stay out.

    Args:
        labels: the class of each sample, (N,) integers: a tensor, array or list.
        num_samples: how many to draw, N if None.
        generator: source of the order.
    Raises:
        ValueError: labels are not one-dimensional integers.
    Example:
        >>> labels = [0, 0, 0, 0, 0, 0, 1, 1]
        >>> sorted(labels[i] for i in data.ClassBalancedSampler(labels))
        [0, 0, 0, 0, 1, 1, 1, 1]

    Source:
        Shen, Lin and Huang, Relay backpropagation for effective learning of deep convolutional neural networks, 2016,
        section 3.2: class-aware sampling.
    """

    def __init__(self, labels: Any, num_samples: int | None = None, generator: Generator | None = None) -> None:
        self.labels, self.generator = class_numbers(labels, "ClassBalancedSampler"), generator
        self.num_samples = len(self.labels) if num_samples is None else num_samples
        count(self.num_samples, "ClassBalancedSampler", "num_samples")

    def __iter__(self) -> Iterator[int]:
        source = self.generator or default_generator
        pools = _pools(self.labels, source)
        least, more = divmod(self.num_samples, len(pools))
        sizes = least + (source.permutation(len(pools)) < more)
        rounds = [_again(pool, int(size), source) for pool, size in zip(pools, sizes, strict=True)]
        drawn = np.concatenate(rounds)
        return iter(drawn[source.permutation(len(drawn))].tolist())

    def __len__(self) -> int:
        return self.num_samples


class StratifiedBatchSampler(Sampler):
    """Batches in which every class has its share of the data set; each sample once, in random order.

    The batches are drawn one after the other from what is left, as `stratified_split` draws parts: in each, a class has
    its exact share of what is left rounded up or down. Give it to a loader as ``batch_sampler``.

    Args:
        labels: the class of each sample, (N,) integers: a tensor, array or list.
        batch_size: samples a batch.
        drop_last: leave out a last batch that is smaller.
        generator: source of the order.
    Raises:
        ValueError: labels are not one-dimensional integers, or batch_size is below 1.
    Example:
        >>> labels = [0, 0, 0, 0, 1, 1]
        >>> [sorted(labels[i] for i in batch) for batch in data.StratifiedBatchSampler(labels, 3)]
        [[0, 0, 1], [0, 0, 1]]
    """

    def __init__(
        self, labels: Any, batch_size: int, drop_last: bool = False, generator: Generator | None = None
    ) -> None:
        op = "StratifiedBatchSampler"
        self.labels, self.generator = class_numbers(labels, op), generator
        self.batch_size, self.drop_last = count(batch_size, op, "batch_size"), flag(drop_last, op, "drop_last")

    def __iter__(self) -> Iterator[list[int]]:
        source, N, B = self.generator or default_generator, len(self.labels), self.batch_size
        pools, batches = _pools(self.labels, source), []
        sizes = np.array([len(pool) for pool in pools])
        begins = np.zeros_like(sizes)
        for length in [B] * (N // B) + [N % B] * (N % B > 0):
            counts = shares(sizes - begins, length)
            parts = [pool[a : a + n] for pool, a, n in zip(pools, begins, counts, strict=True)]
            batch = np.concatenate(parts)
            batches.append(batch[source.permutation(len(batch))].tolist())
            begins = begins + counts
        order = source.permutation(N // B).tolist()  # which batch gets a rare class is chance, too
        yield from (batches[b] for b in order)
        if N % B and not self.drop_last:
            yield batches[-1]

    def __len__(self) -> int:
        N = len(self.labels)
        return N // self.batch_size if self.drop_last else -(-N // self.batch_size)


def _pools(labels: np.ndarray, source: Generator) -> list[np.ndarray]:
    """The indices of each class, in random order."""
    shuffled = source.permutation(len(labels))
    return [shuffled[labels[shuffled] == c] for c in np.unique(labels)]


def _again(pool: np.ndarray, size: int, source: Generator) -> np.ndarray:
    """So many of these indices: all of them again and again, each time in another order."""
    parts = [pool]
    while sum(map(len, parts)) < size:
        parts.append(pool[source.permutation(len(pool))])
    return np.concatenate(parts)[:size]
