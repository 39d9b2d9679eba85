"""Splits of a data set: at random, such that the proportions of the classes stay, or such that groups stay together."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..ops import randperm
from ..random import Generator, default_generator
from .arguments import class_numbers, group_numbers
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
    classes = class_numbers(labels, "stratified_split")
    shuffled = randperm(len(classes), generator=Generator(seed)).numpy()
    pools = [shuffled[classes[shuffled] == c] for c in np.unique(classes)]
    parts = []
    for length in _whole(lengths, len(classes), "stratified_split"):
        counts = shares(np.array([len(pool) for pool in pools]), length)
        parts.append(np.sort(np.concatenate([pool[:n] for pool, n in zip(pools, counts, strict=True)])))
        pools = [pool[n:] for pool, n in zip(pools, counts, strict=True)]
    return parts


def grouped_split(groups: Any, lengths: Sequence[float], seed: int = 0) -> list[np.ndarray]:
    """Splits samples at random into parts such that no group is in two of them: correlated samples stay on one side.

    The groups come in random order, each into the part that still lacks the most samples; of 20 such orders the one
    counts that comes nearest to the lengths. A part's length differs from them by less than the largest group has.

    Args:
        groups: the group of each sample, (N,): integers or strings, such as the patient or the film it is from.
        lengths: the parts' lengths or fractions, as `stratified_split` takes them.
        seed: chooses the groups.
    Returns:
        The indices of each part, int64, ascending.
    Raises:
        ValueError: the lengths do not add up, or the groups are too few or too large for a part to get one.
    Example:
        >>> train, test = data.grouped_split(["ann", "bob", "ann", "eve", "bob", "eve"], [4, 2])
        >>> len(train), len(test)
        (4, 2)
    """
    numbers, sizes = group_numbers(groups, "grouped_split")
    wanted = _whole(lengths, len(numbers), "grouped_split")
    source, nearest = Generator(seed), np.inf
    for _ in range(20):
        lacking, trial = np.array(wanted), np.empty(len(sizes), np.int64)
        for g in source.permutation(len(sizes)):
            trial[g] = np.argmax(lacking)
            lacking[trial[g]] -= sizes[g]
        if np.abs(lacking).max() < nearest:
            part, nearest = trial, np.abs(lacking).max()
    for k, length in enumerate(wanted):
        if length and k not in part:
            raise ValueError(
                f"grouped_split: part {k} of length {length} got none of the {len(sizes)} groups, the largest of which "
                f"has {sizes.max()} samples; expected smaller groups or a longer part"
            )
    return [np.flatnonzero(part[numbers] == k) for k in range(len(wanted))]


def _whole(lengths: Sequence[float], N: int, op: str) -> list[int]:
    if not lengths or any(length < 0 for length in lengths):
        raise ValueError(f"{op}: lengths are {list(lengths)}; expected one or more, none negative")
    if abs(sum(lengths) - 1) < 1e-9:
        whole = [int(N * fraction + 1e-9) for fraction in lengths]
        for i in range(N - sum(whole)):
            whole[i % len(whole)] += 1
        return whole
    if sum(lengths) != N or any(length != int(length) for length in lengths):
        raise ValueError(f"{op}: lengths {list(lengths)} add up to neither 1 nor the {N} samples")
    return [int(length) for length in lengths]


def shares(sizes: np.ndarray, length: int) -> np.ndarray:
    """`length` divided in proportion to `sizes`: rounded down, then up where most was lost (the first wins ties).

    Example:
        >>> shares(np.array([4, 2]), 3).tolist()
        [2, 1]
    """
    total = max(int(sizes.sum()), 1)
    counts, rest = np.divmod(sizes * length, total)
    counts[np.argsort(-rest, kind="stable")[: length - int(counts.sum())]] += 1
    return counts
