"""Checkpoints of a run: `atrous.save`'s files, replaced as a whole, so that weights and numbers belong together."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..serialization import TREE, load, load_metadata, save


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
    save(state, path)


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Reads what `save_checkpoint` wrote; tuples have become lists.

    Raises:
        OSError: there is no such file, or it cannot be read.
        ValueError: it is damaged, or no checkpoint of this version.
    """
    if TREE not in load_metadata(path):
        raise ValueError(f"{path} is no checkpoint of atrous")
    return load(path)


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
