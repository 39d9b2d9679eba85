"""Data sets: things with a length and samples by number."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..tensor import Tensor


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

    def __len__(self) -> int:
        raise NotImplementedError(f"{type(self).__name__} defines no __len__()")


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


class Subset(Dataset):
    """The samples of another data set at the given numbers, in their order.

    Raises:
        IndexError: a number is out of range.
    Example:
        >>> subset = data.Subset(data.TensorDataset(at.arange(10)), [7, 2])
        >>> len(subset), subset[0][0].item()
        (2, 7)
    """

    def __init__(self, dataset: Dataset, indices: Sequence[int]) -> None:
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
