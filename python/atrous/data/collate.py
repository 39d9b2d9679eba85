"""What makes a batch of a list of samples."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..ops import stack, tensor
from ..tensor import Tensor


def default_collate(batch: list[Any]) -> Any:
    """A batch of samples: stacks tensors, arrays and numbers; goes into dicts, tuples and lists (both give lists).

    Named tuples stay what they are, and strings stay a list.

    Raises:
        ValueError: there are none, or their shapes, lengths or keys differ.
        TypeError: a sample is something else.
    Example:
        >>> images, labels = data.default_collate([(at.zeros(1, 8, 8), 3), (at.ones(1, 8, 8), 5)])
        >>> images.shape, labels.tolist()
        ((2, 1, 8, 8), [3, 5])
    """
    if not batch:
        raise ValueError("DataLoader: a batch has no samples; expected one or more")
    first = batch[0]
    if isinstance(first, Mapping):
        _check_equal("keys", [list(sample) for sample in batch])
        return {key: default_collate([sample[key] for sample in batch]) for key in first}
    if isinstance(first, (tuple, list)):
        _check_equal("lengths", [len(sample) for sample in batch])
        columns = [default_collate(list(column)) for column in zip(*batch, strict=True)]
        return type(first)(*columns) if hasattr(first, "_fields") else columns
    if isinstance(first, (str, bytes)):
        return batch
    if isinstance(first, Tensor) or hasattr(first, "__array__"):
        _check_equal("shapes", [tuple(sample.shape) for sample in batch])
        return stack([sample if isinstance(sample, Tensor) else tensor(sample) for sample in batch])
    if isinstance(first, (bool, int, float)):
        return tensor(batch)
    kind = type(first)
    if kind.__module__.startswith("PIL."):
        raise TypeError(
            "DataLoader: a sample holds a Pillow image; give the data set a transform that ends in "
            "atrous.transforms.ToTensor(), or the loader a collate_fn"
        )
    raise TypeError(
        f"DataLoader: a sample holds a {kind.__name__}; expected tensors, arrays, numbers, or tuples, lists and "
        "dicts of these. Give a collate_fn for anything else"
    )


def default_convert(data: Any) -> Any:
    """One sample, not batched: its arrays become tensors, also inside dicts, tuples and lists; the rest stays.

    Example:
        >>> default_convert({"pixels": np.zeros(2, np.float32), "name": "a"})
        {'pixels': tensor([0., 0.]), 'name': 'a'}
    """
    if isinstance(data, Mapping):
        return {key: default_convert(value) for key, value in data.items()}
    if isinstance(data, (tuple, list)):
        items = [default_convert(value) for value in data]
        return type(data)(*items) if hasattr(data, "_fields") else items
    return tensor(data) if hasattr(data, "__array__") and not isinstance(data, Tensor) else data


def pinned(batch: Any) -> Any:
    """A batch with its tensors in pinned memory, also inside dicts, tuples and lists; as it is without a GPU.

    Example:
        >>> pinned((at.zeros(1), "a"))
        (tensor([0.]), 'a')
    """
    if isinstance(batch, Tensor):
        return batch.pin_memory()
    if isinstance(batch, Mapping):
        return {key: pinned(value) for key, value in batch.items()}
    if isinstance(batch, (tuple, list)):
        items = [pinned(value) for value in batch]
        return type(batch)(*items) if hasattr(batch, "_fields") else type(batch)(items)
    return batch


def _check_equal(what: str, found: list) -> None:
    different = [value for value in found if value != found[0]]
    if different:
        raise ValueError(
            f"DataLoader: samples of one batch have {what} {found[0]} and {different[0]}; expected the same"
        )
