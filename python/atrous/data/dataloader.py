"""DataLoader: batches of a data set, in order or shuffled."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from ..ops import randperm, stack, tensor
from ..tensor import Tensor
from .dataset import Subset, TensorDataset

if TYPE_CHECKING:
    from ..random import Generator


class DataLoader:
    """Iterates over a data set in batches; each ``for`` over it is one epoch.

    The order of a shuffled epoch comes from `generator`, or from atrous's default one, which `manual_seed` sets: the
    same seed gives the same epochs. There are no worker processes.

    Args:
        dataset: something with ``len()`` and samples by number.
        batch_size: samples a batch; the last batch may be smaller.
        shuffle: draw a new order each epoch.
        drop_last: leave out a last batch that is smaller.
        collate_fn: makes a batch of a list of samples; `default_collate` unless given.
        generator: source of the orders.
    Raises:
        ValueError: batch_size is below 1.
    Example:
        >>> loader = data.DataLoader(data.TensorDataset(at.arange(5)), batch_size=2)
        >>> [batch.tolist() for (batch,) in loader]
        [[0, 1], [2, 3], [4]]
    """

    def __init__(
        self,
        dataset: Any,
        batch_size: int = 1,
        shuffle: bool = False,
        *,
        collate_fn: Callable[[list], Any] | None = None,
        drop_last: bool = False,
        generator: Generator | None = None,
    ) -> None:
        if not (hasattr(dataset, "__len__") and hasattr(dataset, "__getitem__")):
            raise TypeError(f"DataLoader: dataset is a {type(dataset).__name__}; expected len() and samples by number")
        if isinstance(batch_size, bool) or not isinstance(batch_size, int):
            raise TypeError(f"DataLoader: batch_size is {batch_size!r}; expected an int")
        if batch_size < 1:
            raise ValueError(f"DataLoader: batch_size is {batch_size}; expected 1 or more")
        self.dataset, self.batch_size, self.shuffle, self.drop_last = dataset, batch_size, shuffle, drop_last
        self.collate_fn, self.generator = collate_fn, generator

    def __len__(self) -> int:
        """Batches an epoch."""
        N, B = len(self.dataset), self.batch_size
        return N // B if self.drop_last else -(-N // B)

    def __iter__(self) -> Iterator[Any]:
        N, B = len(self.dataset), self.batch_size
        order = randperm(N, generator=self.generator).tolist() if self.shuffle else list(range(N))
        return (self._batch(order[b * B : (b + 1) * B]) for b in range(len(self)))

    def _batch(self, indices: list[int]) -> Any:
        if self.collate_fn is None and _takes_lists(self.dataset):
            return list(self.dataset[indices])  # one gather a tensor instead of a stack of samples
        return (self.collate_fn or default_collate)([self.dataset[i] for i in indices])


def _takes_lists(dataset: Any) -> bool:
    """Whether indexing with a list gives a batch; of own classes nobody knows."""
    while type(dataset) is Subset:
        dataset = dataset.dataset
    return type(dataset) is TensorDataset


def default_collate(samples: list[Any]) -> Any:
    """A batch of samples: stacks tensors, arrays and numbers; goes into dicts, tuples and lists (both give lists).

    Raises:
        ValueError: the samples' shapes, lengths or keys differ.
        TypeError: a sample is something else.
    Example:
        >>> images, labels = data.default_collate([(at.zeros(1, 8, 8), 3), (at.ones(1, 8, 8), 5)])
        >>> images.shape, labels.tolist()
        ((2, 1, 8, 8), [3, 5])
    """
    first = samples[0]
    if isinstance(first, Mapping):
        _check_equal("keys", [list(sample) for sample in samples])
        return {key: default_collate([sample[key] for sample in samples]) for key in first}
    if isinstance(first, (tuple, list)):
        _check_equal("lengths", [len(sample) for sample in samples])
        return [default_collate(list(column)) for column in zip(*samples, strict=True)]
    if isinstance(first, str):
        return samples
    if isinstance(first, Tensor) or hasattr(first, "__array__"):
        _check_equal("shapes", [tuple(sample.shape) for sample in samples])
        return stack([sample if isinstance(sample, Tensor) else tensor(sample) for sample in samples])
    if isinstance(first, (bool, int, float)):
        return tensor(samples)
    raise TypeError(
        f"DataLoader: a sample holds a {type(first).__name__}; expected tensors, arrays, numbers, or tuples, lists and "
        "dicts of these. Give a collate_fn for anything else"
    )


def _check_equal(what: str, found: list) -> None:
    different = [value for value in found if value != found[0]]
    if different:
        raise ValueError(
            f"DataLoader: samples of one batch have {what} {found[0]} and {different[0]}; expected the same"
        )
