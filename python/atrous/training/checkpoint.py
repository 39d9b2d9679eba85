"""Checkpoints: a tree of numbers, texts and tensors in one safetensors file.

The tensors are stored under dotted names, the tree itself as JSON in the file's metadata. One file, replaced as a
whole: weights and numbers always belong together.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..ops import from_numpy
from ..serialization import load_file, load_metadata, save_file
from ..tensor import Tensor

FORMAT = 2


def save_checkpoint(path: Path, state: Mapping[str, Any]) -> None:
    """Writes a checkpoint; the one that was there stays until the new one is complete on the disk.

    Args:
        path: the file.
        state: dicts and lists, nested, of tensors, numbers, texts and None.
    Raises:
        OSError: it cannot be written.
        TypeError: there is something else in it.
    Example:
        >>> save_checkpoint(Path("a.safetensors"), {"step": 3, "state": {0: at.ones(2)}})
        >>> load_checkpoint(Path("a.safetensors"))["state"][0].tolist()
        [1.0, 1.0]
    """
    tensors: dict[str, Tensor] = {}
    tree = pack(state, tensors, "")
    save_file(tensors, path, {"checkpoint": json.dumps({"format": FORMAT, "state": tree})})


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Reads what `save_checkpoint` wrote; tuples have become lists.

    Raises:
        OSError: there is no such file, or it cannot be read.
        ValueError: it is damaged, or no checkpoint of this version.
    """
    metadata = load_metadata(path)
    if "checkpoint" not in metadata:
        raise ValueError(f"{path} is no checkpoint of atrous")
    try:
        facts = json.loads(metadata["checkpoint"])
        found = facts["format"]
        if found != FORMAT:
            raise ValueError(f"{path} has checkpoint format {found}; this version of atrous reads {FORMAT}")
        return unpack(facts["state"], load_file(path))
    except (json.JSONDecodeError, KeyError, TypeError) as error:
        raise ValueError(f"{path} is damaged: {type(error).__name__} {error}") from error


def sync_folder(folder: Path) -> None:
    """Makes renames last through a power cut, where the system can."""
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError:  # Windows cannot open folders
        return
    try:
        os.fsync(descriptor)
    except OSError:  # some network file systems cannot
        pass
    finally:
        os.close(descriptor)


def check_space(folder: Path, needed: int) -> None:
    """Raises an OSError where so many bytes are not free on the folder's disk."""
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise OSError(f"{folder}: only {free / 1e6:.1f} MB are free on this disk; a run needs {needed / 1e6:.0f} MB")


def pack(tree: Any, tensors: dict[str, Tensor], path: str) -> Any:
    """The tree as JSON has it, with each tensor replaced by its name; the tensors go to ``tensors`` under that name."""
    if tree is None or isinstance(tree, (bool, int, float, str)):
        return tree
    if isinstance(tree, np.generic):
        return tree.item()
    if isinstance(tree, Tensor) or hasattr(tree, "__array_interface__"):
        name = path or "value"
        while name in tensors:  # as of {"a": {"b": x}, "a.b": y}
            name += "'"
        tensors[name] = tree if isinstance(tree, Tensor) else from_numpy(tree)
        return {"$tensor": name}
    if isinstance(tree, Mapping):
        items = [(key, pack(value, tensors, f"{path}.{key}" if path else str(key))) for key, value in tree.items()]
        plain = all(isinstance(key, str) and not key.startswith("$") for key, _ in items)
        return dict(items) if plain else {"$items": items}
    if isinstance(tree, (list, tuple)):
        return [pack(value, tensors, f"{path}.{i}") for i, value in enumerate(tree)]
    raise TypeError(f"checkpoint: {path} is a {type(tree).__name__}; expected numbers, texts, tensors, lists and dicts")


def unpack(tree: Any, tensors: Mapping[str, Tensor]) -> Any:
    """The tree that `pack` was given."""
    if isinstance(tree, list):
        return [unpack(value, tensors) for value in tree]
    if not isinstance(tree, dict):
        return tree
    if "$tensor" in tree:
        return tensors[tree["$tensor"]]
    items = tree["$items"] if "$items" in tree else tree.items()
    return {key: unpack(value, tensors) for key, value in items}
