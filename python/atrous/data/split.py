"""Splits of a data set: at random, or such that the proportions of the classes stay."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..ops import randperm
from ..random import Generator, default_generator
from .dataset import Subset


def random_split(dataset: Any, lengths: Sequence[float], generator: Generator | None = None) -> list[Subset]:
    """Splits a data set at random into parts that do not overlap.

    Args:
        dataset: something with a length and samples by number.
        lengths: the parts' lengths, which add up to N; or fractions, which add up to 1. Of fractions the parts are
            rounded down, and what is missing goes to the first parts.
        generator: source of the order; the default one if None.
    Raises:
        ValueError: the lengths do not add up.
    Example:
        >>> train, test = data.random_split(range(10), [0.8, 0.2], generator=at.Generator(0))
        >>> len(train), len(test), sorted([*train.indices, *test.indices]) == list(range(10))
        (8, 2, True)
    """
    N = len(dataset)
    order = (generator or default_generator).permutation(N).tolist()
    ends = [0, *itertools.accumulate(_whole(lengths, N, "random_split"))]
    return [Subset(dataset, order[begin:end]) for begin, end in itertools.pairwise(ends)]


def stratified_split(labels: Any, lengths: Sequence[float], seed: int = 0) -> list[np.ndarray]:
    """Splits samples at random into parts in which every class has its share.

    Parts are drawn one after the other from what is left; in each, a class has its exact share of what is left rounded
    up or down, such that the part's length is exact. The same labels, lengths and seed give the same parts anywhere.

    Args:
        labels: the class of each sample, (N,) integers: a tensor, array or list.
        lengths: the parts' lengths, which add up to N; or fractions, which add up to 1. Of fractions the parts are
            rounded down, and what is missing goes to the first parts, as in PyTorch's random_split.
        seed: chooses the samples.
    Returns:
        The indices of each part, int64, ascending.
    Raises:
        ValueError: the lengths do not add up, or labels are not one-dimensional integers.
    Example:
        >>> train, test = data.stratified_split([0, 0, 0, 0, 1, 1], [4, 2])
        >>> len(train), sorted([0, 0, 0, 0, 1, 1][i] for i in test)
        (4, [0, 1])
    """
    classes = np.asarray(labels.numpy() if hasattr(labels, "numpy") else labels)
    if classes.ndim != 1 or classes.dtype.kind not in "iu" or not classes.size:
        raise ValueError(
            f"stratified_split: labels have shape {classes.shape} and dtype {classes.dtype}; expected (N,) ints"
        )
    shuffled = randperm(len(classes), generator=Generator(seed)).numpy()
    pools = [shuffled[classes[shuffled] == c] for c in np.unique(classes)]
    parts = []
    for length in _whole(lengths, len(classes), "stratified_split"):
        counts = _shares(np.array([len(pool) for pool in pools]), length)
        parts.append(np.sort(np.concatenate([pool[:n] for pool, n in zip(pools, counts, strict=True)])))
        pools = [pool[n:] for pool, n in zip(pools, counts, strict=True)]
    return parts


def _whole(lengths: Sequence[float], N: int, op: str) -> list[int]:
    if not lengths or any(length < 0 for length in lengths):
        raise ValueError(f"{op}: lengths are {list(lengths)}; expected one or more, none negative")
    if abs(sum(lengths) - 1) < 1e-9 and N != 1:
        whole = [int(N * fraction + 1e-9) for fraction in lengths]
        for i in range(N - sum(whole)):
            whole[i % len(whole)] += 1
        return whole
    if sum(lengths) != N or any(length != int(length) for length in lengths):
        raise ValueError(f"{op}: lengths {list(lengths)} add up to neither 1 nor the {N} samples")
    return [int(length) for length in lengths]


def _shares(sizes: np.ndarray, length: int) -> np.ndarray:
    """`length` divided in proportion to `sizes`: rounded down, then up where most was lost (the first wins ties)."""
    total = max(int(sizes.sum()), 1)
    counts, rest = np.divmod(sizes * length, total)
    counts[np.argsort(-rest, kind="stable")[: length - int(counts.sum())]] += 1
    return counts
