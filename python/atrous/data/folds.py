"""Many splits of one data set: cross-validation and the bootstrap. They give indices; `Subset` makes data sets of them.

The same arguments and seed give the same indices anywhere.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from ..random import Generator
from .arguments import class_numbers, count, group_numbers

Split = tuple[np.ndarray, np.ndarray]


def k_fold(dataset: Any, n_splits: int = 5, seed: int | None = 0) -> Iterator[Split]:
    """Divides a data set into parts of one size, each of which is the test set once: scikit-learn's KFold.

    Args:
        dataset: something with a length N; the first N mod n_splits parts have one sample more.
        n_splits: the number of parts.
        seed: chooses the samples of a part; None takes them in order.
    Returns:
        An iterator over (train, test): indices, int64, ascending.
    Raises:
        ValueError: there are fewer than 2 parts, or more than samples.
    Example:
        >>> [test.tolist() for train, test in data.k_fold(range(5), 2, seed=None)]
        [[0, 1, 2], [3, 4]]
    """
    N = len(dataset)
    _check("k_fold", n_splits, N, "samples")
    order = np.arange(N) if seed is None else Generator(seed).permutation(N)
    fold = np.empty(N, np.int64)
    fold[order] = np.repeat(np.arange(n_splits), [len(part) for part in np.array_split(order, n_splits)])
    return _splits(fold, n_splits)


def stratified_k_fold(labels: Any, n_splits: int = 5, seed: int | None = 0) -> Iterator[Split]:
    """As `k_fold`, and in each part every class has its share, rounded up or down: scikit-learn's StratifiedKFold.

    Args:
        labels: the class of each sample, (N,) integers: a tensor, array or list.
        n_splits: the number of parts.
        seed: chooses the samples of a part; None takes them in order.
    Returns:
        An iterator over (train, test): indices, int64, ascending.
    Raises:
        ValueError: no class has as many samples as there are parts. A class with fewer is not in every part.
    Example:
        >>> [test.tolist() for train, test in data.stratified_k_fold([0, 0, 1, 1], 2, seed=None)]
        [[0, 2], [1, 3]]
    """
    classes = class_numbers(labels, "stratified_k_fold")
    names, first, numbers = np.unique(classes, return_index=True, return_inverse=True)
    numbers = np.argsort(np.argsort(first))[numbers]  # by first appearance
    sizes = np.bincount(numbers)
    _check("stratified_k_fold", n_splits, int(sizes.max()), "samples of the largest class")
    in_order = np.repeat(np.arange(len(names)), sizes)  # dealt out like cards, so that the parts' sizes differ by 1
    dealt = np.stack([np.bincount(in_order[k::n_splits], minlength=len(names)) for k in range(n_splits)])
    source, fold = None if seed is None else Generator(seed), np.empty(len(classes), np.int64)
    for c in range(len(names)):
        places = np.repeat(np.arange(n_splits), dealt[:, c])
        fold[numbers == c] = places if source is None else places[source.permutation(len(places))]
    return _splits(fold, n_splits)


def group_k_fold(groups: Any, n_splits: int = 5, seed: int | None = 0) -> Iterator[Split]:
    """As `k_fold`, and samples of one group are all in the same part: scikit-learn's GroupKFold.

    The largest group comes first, each into the part that has the fewest samples so far.

    Args:
        groups: the group of each sample, (N,): integers or strings, such as the patient or the film it is from.
        n_splits: the number of parts.
        seed: the order of groups of one size; None leaves it.
    Returns:
        An iterator over (train, test): indices, int64, ascending.
    Raises:
        ValueError: there are more parts than groups.
    Example:
        >>> [test.tolist() for train, test in data.group_k_fold(["a", "b", "a", "c"], 2, seed=None)]
        [[0, 2], [1, 3]]
    """
    numbers, sizes = group_numbers(groups, "group_k_fold")
    _check("group_k_fold", n_splits, len(sizes), "groups")
    order = np.arange(len(sizes))[::-1] if seed is None else Generator(seed).permutation(len(sizes))
    filled, fold = np.zeros(n_splits, np.int64), np.empty(len(sizes), np.int64)
    for g in order[np.argsort(-sizes[order], kind="stable")]:
        fold[g] = np.argmin(filled)
        filled[fold[g]] += sizes[g]
    return _splits(fold[numbers], n_splits)


def bootstrap(dataset: Any, rounds: int, seed: int = 0) -> Iterator[Split]:
    """Samples of N out of N with replacement, as bagging trains on, and what each leaves out: about 37 %, to test with.

    Args:
        dataset: something with a length N.
        rounds: how many.
        seed: chooses the samples; round r depends on it and r alone.
    Returns:
        An iterator over (drawn, out_of_bag): N indices, some of them several times, and those not drawn; int64,
        ascending.
    Raises:
        ValueError: the data set is empty.
    Example:
        >>> for drawn, out_of_bag in data.bootstrap(range(6), rounds=1):
        ...     len(drawn), set(drawn) | set(out_of_bag) == set(range(6))
        (6, True)

    Source:
        Efron, Bootstrap methods: another look at the jackknife, 1979; Breiman, Bagging predictors, 1996.
    """
    N = len(dataset)
    count(rounds, "bootstrap", "rounds")
    if not N:
        raise ValueError("bootstrap: the data set is empty; expected one sample or more")
    draws = (np.sort(Generator(seed, stream=r).integers(0, N, (N,))) for r in range(rounds))
    return ((drawn, np.setdiff1d(np.arange(N), drawn)) for drawn in draws)


def _check(op: str, n_splits: int, most: int, what: str) -> None:
    count(n_splits, op, "n_splits", least=2)
    if n_splits > most:
        raise ValueError(f"{op}: n_splits is {n_splits}; expected at most the {most} {what}")


def _splits(fold: np.ndarray, n_splits: int) -> Iterator[Split]:
    return ((np.flatnonzero(fold != k), np.flatnonzero(fold == k)) for k in range(n_splits))
