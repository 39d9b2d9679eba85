"""Checks on what users give to loaders and samplers."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..random import Generator
from .dataset import IterableDataset


def count(value: Any, op: str, name: str, least: int = 1) -> int:
    """``value`` if it is an int of ``least`` or more.

    Raises:
        TypeError, ValueError: it is not.
    Example:
        >>> count(3, "DataLoader", "batch_size")
        3
    """
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{op}: {name} is {value!r}; expected an int")
    if value < least:
        raise ValueError(f"{op}: {name} is {value}; expected {least} or more")
    return value


def flag(value: Any, op: str, name: str) -> bool:
    """``value`` if it is True or False.

    Raises:
        TypeError: it is neither.
    Example:
        >>> flag(True, "BatchSampler", "drop_last")
        True
    """
    if not isinstance(value, bool):
        raise TypeError(f"{op}: {name} is {value!r}; expected True or False")
    return value


def check_dataset(dataset: Any, shuffle: Any, sampler: Any, batch_sampler: Any, num_workers: int) -> None:
    """What a loader cannot do with this kind of data set.

    Raises:
        TypeError: it is no data set.
        ValueError: a stream cannot be reordered, or read by several workers.
    Example:
        >>> check_dataset([1, 2], shuffle=True, sampler=None, batch_sampler=None, num_workers=2)
    """
    if not isinstance(dataset, IterableDataset):
        ordered = sampler is not None or batch_sampler is not None
        if not hasattr(dataset, "__getitem__") or not (ordered or hasattr(dataset, "__len__")):
            raise TypeError(f"DataLoader: dataset is a {type(dataset).__name__}; expected len() and samples by number")
        return
    for name, value in (("shuffle", shuffle), ("sampler", sampler), ("batch_sampler", batch_sampler)):
        if value is not None and value is not False:
            raise ValueError(f"DataLoader: {name} does not go with an IterableDataset, which decides its own order")
    if num_workers > 1:
        raise ValueError(
            f"DataLoader: num_workers is {num_workers}; expected 0 or 1 for an IterableDataset, whose stream each "
            "worker would repeat"
        )


def check_batching(batch_size: Any, shuffle: Any, sampler: Any, batch_sampler: Any, drop_last: bool) -> None:
    """Arguments about the order and the batches that contradict one another, as in PyTorch.

    Raises:
        TypeError, ValueError: the message names the two.
    Example:
        >>> check_batching(2, shuffle=True, sampler=None, batch_sampler=None, drop_last=False)
    """
    if shuffle is not None:
        flag(shuffle, "DataLoader", "shuffle")
    flag(drop_last, "DataLoader", "drop_last")
    if batch_size is not None:
        count(batch_size, "DataLoader", "batch_size")
    if sampler is not None and shuffle:
        raise ValueError(
            "DataLoader: sampler and shuffle=True are given; expected one, for a sampler decides the order"
        )
    if batch_sampler is not None and (batch_size != 1 or shuffle or sampler is not None or drop_last):
        raise ValueError(
            "DataLoader: batch_sampler is given with batch_size, shuffle, sampler or drop_last; expected it alone, for "
            "it decides the batches"
        )
    if batch_size is None and drop_last:
        raise ValueError("DataLoader: drop_last=True is given with batch_size=None, which makes no batches")


def check_workers(
    num_workers: int, timeout: float, context: Any, prefetch_factor: int | None, persistent: bool, in_order: bool
) -> None:
    """Arguments about workers that contradict one another, or that threads cannot do.

    Raises:
        TypeError, ValueError: the message says why.
    Example:
        >>> check_workers(2, 0, None, prefetch_factor=4, persistent=False, in_order=True)
    """
    count(num_workers, "DataLoader", "num_workers", least=0)
    if not isinstance(timeout, (int, float)) or not 0 <= timeout < float("inf"):
        raise ValueError(f"DataLoader: timeout is {timeout!r}; expected seconds, 0 for none")
    if prefetch_factor is not None:
        count(prefetch_factor, "DataLoader", "prefetch_factor")
    for name, given in (("prefetch_factor", prefetch_factor), ("persistent_workers", persistent), ("timeout", timeout)):
        if given and not num_workers:
            raise ValueError(f"DataLoader: {name} is {given}; expected num_workers of 1 or more with it")
    if context is not None:
        raise ValueError(f"DataLoader: multiprocessing_context is {context!r}; expected None, for workers are threads")
    if not in_order:
        raise ValueError("DataLoader: in_order=False would give batches in an order that differs from run to run")


def check_generator(generator: Any) -> None:
    """A generator, where one is given.

    Raises:
        TypeError: it is given, and no generator of ours.
    Example:
        >>> check_generator(Generator(0))
    """
    if generator is not None and not isinstance(generator, Generator):
        kind = f"{type(generator).__module__}.{type(generator).__name__}"
        raise TypeError(f"DataLoader: generator is a {kind}; expected an atrous.Generator")


def class_numbers(labels: Any, op: str) -> np.ndarray:
    """The class of each sample as an array of integers.

    Raises:
        ValueError: they are something else, or none.
    Example:
        >>> class_numbers([3, 1], "stratified_split").tolist()
        [3, 1]
    """
    classes = np.asarray(labels.numpy() if hasattr(labels, "numpy") else labels)
    if classes.ndim != 1 or classes.dtype.kind not in "iu" or not classes.size:
        raise ValueError(f"{op}: labels have shape {classes.shape} and dtype {classes.dtype}; expected (N,) ints")
    return classes


def group_numbers(groups: Any, op: str) -> tuple[np.ndarray, np.ndarray]:
    """The group of each sample as a number from 0 on, and the groups' sizes.

    Raises:
        ValueError: they are not one-dimensional, or none.
    Example:
        >>> [part.tolist() for part in group_numbers(["b", "a", "b"], "grouped_split")]
        [[1, 0, 1], [1, 2]]
    """
    array = np.asarray(groups.numpy() if hasattr(groups, "numpy") else groups)
    if array.ndim != 1 or array.dtype.kind not in "iuUS" or not array.size:
        raise ValueError(
            f"{op}: groups have shape {array.shape} and dtype {array.dtype}; expected (N,) ints or strings"
        )
    _, numbers, sizes = np.unique(array, return_inverse=True, return_counts=True)
    return numbers, sizes
