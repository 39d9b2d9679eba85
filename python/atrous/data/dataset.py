"""Data sets: things with a length and samples by number, or streams of samples."""

from __future__ import annotations

import bisect
import itertools
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from ..tensor import Tensor


class SkipSample(Exception):
    """Raised by a data set's ``__getitem__``: the loader leaves this sample out of its batch and warns, once a sample.

    Example:
        >>> class Odd(data.Dataset):
        ...     def __len__(self):
        ...         return 4
        ...     def __getitem__(self, index):
        ...         if index % 2 == 0:
        ...             raise data.SkipSample(f"{index} is even")
        ...         return index
        >>> import warnings
        >>> with warnings.catch_warnings():
        ...     warnings.simplefilter("ignore")
        ...     [batch.tolist() for batch in data.DataLoader(Odd(), batch_size=4)]
        [[1, 3]]
    """


class Dataset:
    """Base class: a subclass defines ``__len__`` and ``__getitem__(index)``, which returns one sample.

    Example:
        >>> class Squares(data.Dataset):
        ...     def __len__(self):
        ...         return 3
        ...     def __getitem__(self, index):
        ...         return index, index**2
        >>> [squares.tolist() for _, squares in data.DataLoader(Squares(), batch_size=2)]
        [[0, 1], [4]]
    """

    def __getitem__(self, index: Any) -> Any:
        raise NotImplementedError(f"{type(self).__name__} defines no __getitem__(index)")

    def __add__(self, other: Dataset) -> ConcatDataset:
        return ConcatDataset([self, other])


class IterableDataset(Dataset):
    """Base class of streams: a subclass defines ``__iter__``, and ``__len__`` where the number of samples is known.

    Example:
        >>> class Countdown(data.IterableDataset):
        ...     def __iter__(self):
        ...         return iter([3, 2, 1])
        >>> [batch.tolist() for batch in data.DataLoader(Countdown(), batch_size=2)]
        [[3, 2], [1]]
    """

    def __iter__(self) -> Iterator[Any]:
        raise NotImplementedError(f"{type(self).__name__} defines no __iter__()")


class TensorDataset(Dataset):
    """Tensors of the same length; sample i is the tuple of their i-th entries, and a list of numbers gives a batch.

    Args:
        tensors: such as images (N, C, H, W) and labels (N,).
    Raises:
        ValueError: there are none, or their lengths differ.
    Example:
        >>> images, labels = data.TensorDataset(at.zeros(10, 1, 8, 8), at.arange(10))[3]
        >>> images.shape, labels.item()
        ((1, 8, 8), 3)
    """

    def __init__(self, *tensors: Tensor) -> None:
        for tensor in tensors:
            if not isinstance(tensor, Tensor):
                raise TypeError(f"TensorDataset: got a {type(tensor).__name__}; expected tensors")
        lengths = [tensor.shape[0] if tensor.ndim else None for tensor in tensors]
        if not tensors or None in lengths or len(set(lengths)) > 1:
            raise ValueError(f"TensorDataset: the tensors have lengths {lengths}; expected the same for one or more")
        self.tensors = tensors

    def __getitem__(self, index: Any) -> tuple[Tensor, ...]:
        return tuple(tensor[index] for tensor in self.tensors)

    def __len__(self) -> int:
        return self.tensors[0].shape[0]


class ConcatDataset(Dataset):
    """Several data sets one after the other, as ``a + b`` makes it too.

    Raises:
        ValueError: there are none, or one is an IterableDataset.
    Example:
        >>> both = data.ConcatDataset([range(3), range(10, 12)])
        >>> len(both), both[3], both[-3]
        (5, 10, 2)
    """

    def __init__(self, datasets: Iterable[Any]) -> None:
        self.datasets = list(datasets)
        if not self.datasets:
            raise ValueError("ConcatDataset: there are no data sets; expected one or more")
        if any(isinstance(dataset, IterableDataset) for dataset in self.datasets):
            raise ValueError("ConcatDataset: an IterableDataset has no samples by number; chain its iterators instead")
        self.cumulative_sizes = list(itertools.accumulate(len(dataset) for dataset in self.datasets))

    def __getitem__(self, index: int) -> Any:
        N = len(self)
        if not -N <= index < N:
            raise IndexError(f"ConcatDataset: index {index} is out of range; there are {N} samples")
        index %= N
        part = bisect.bisect_right(self.cumulative_sizes, index)
        return self.datasets[part][index - (self.cumulative_sizes[part - 1] if part else 0)]

    def __len__(self) -> int:
        return self.cumulative_sizes[-1]


class Subset(Dataset):
    """The samples of another data set at the given numbers, in their order.

    Raises:
        IndexError: a number is out of range.
    Example:
        >>> subset = data.Subset(data.TensorDataset(at.arange(10)), [7, 2])
        >>> len(subset), subset[0][0].item()
        (2, 7)
    """

    def __init__(self, dataset: Any, indices: Sequence[int]) -> None:
        self.dataset, self.indices = dataset, [int(i) for i in indices]
        N = len(dataset)
        outside = [i for i in self.indices if not -N <= i < N]
        if outside:
            raise IndexError(f"Subset: index {outside[0]} is out of range; the data set has {N} samples")

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, list):
            return self.dataset[[self.indices[i] for i in index]]
        return self.dataset[self.indices[index]]

    def __len__(self) -> int:
        return len(self.indices)


def takes_lists(dataset: Any) -> bool:
    """Whether indexing with a list gives a batch, as it does for tensors; of own classes nobody knows.

    Example:
        >>> takes_lists(Subset(TensorDataset(at.arange(3)), [0])), takes_lists([1, 2])
        (True, False)
    """
    while type(dataset) is Subset:
        dataset = dataset.dataset
    return type(dataset) is TensorDataset
