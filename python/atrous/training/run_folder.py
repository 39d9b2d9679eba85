"""The folder of a training run: settings, numbers, weights, checkpoints, report and pictures."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import date
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np

from ..serialization import load_metadata, save_file
from .checkpoint import check_space, load_checkpoint, save_checkpoint, sync_folder

PICTURE_SPACE = 5_000_000  # bytes: pictures, samples, report


class RunFolder:
    """Files of one run, under ``path``."""

    def __init__(self, path: Path | str) -> None:
        self.path = path = Path(path)
        self.config = path / "config.json"
        self.metrics = path / "metrics.csv"
        self.report = path / "report.md"
        self.samples = path / "samples"
        self.best = path / "checkpoint-best.safetensors"  # the weights of the best epoch, and what it takes to use them
        self.last = path / "checkpoint-last.safetensors"  # all that it takes to go on
        self.previous = path / "checkpoint-previous.safetensors"  # the one before, should the last be damaged
        self.new = path / ".checkpoint-new.safetensors"  # whole, and about to become the last

    @classmethod
    def create(cls, out: Path, name: str, weights: int = 0) -> RunFolder:
        """Makes a new folder ``out/<today>-<name>``, or ``...-2``, ``-3``: never one that exists.

        Args:
            out: the folder above it.
            name: what it is called after the date.
            weights: the network's bytes, of which three checkpoints hold four times as many (with Adam's state).
        Raises:
            OSError: the folder cannot be made, or the disk is nearly full.
        """
        out.mkdir(parents=True, exist_ok=True)
        check_space(out, PICTURE_SPACE + 13 * weights)
        for number in count(1):
            path = out / f"{date.today().isoformat()}-{name}{'' if number == 1 else f'-{number}'}"
            try:
                path.mkdir()  # fails where it exists, whoever made it: no race
                return cls(path)
            except FileExistsError:
                continue
        raise AssertionError("unreachable")

    @classmethod
    def open(cls, path: Path) -> RunFolder:
        """The folder of an earlier run.

        Raises:
            FileNotFoundError: it is none; the message says what is missing.
        """
        folder = cls(path)
        if not path.is_dir():
            raise FileNotFoundError(f"there is no run folder {path}")
        if not folder.config.is_file():
            raise FileNotFoundError(f"{path} is no run that can go on: it has no {folder.config.name}")
        if not folder.has_checkpoint():
            raise FileNotFoundError(f"{path} is no run that can go on: it has no {folder.last.name}")
        return folder

    def has_checkpoint(self) -> bool:
        """Whether there is something to go on from."""
        return any(path.is_file() for path in (self.last, self.new, self.previous))

    def save_checkpoint(self, state: Mapping[str, Any]) -> None:
        """Writes checkpoint-last; the one before becomes checkpoint-previous. At any moment one of them is whole.

        Raises:
            OSError: it cannot be written; both checkpoints that were there still are.
        """
        save_checkpoint(self.new, state)
        if self.last.exists():
            os.replace(self.last, self.previous)
        os.replace(self.new, self.last)
        sync_folder(self.path)

    def load_checkpoint(self) -> tuple[dict[str, Any], Path, str]:
        """The last checkpoint, or, where it is missing or damaged, the newest other one that is whole.

        Returns:
            The state, its file, and what was wrong with the last one.
        Raises:
            OSError, ValueError: none can be read; the message is the last one's.
        """
        problem: OSError | ValueError | None = None
        for path in (self.last, self.new, self.previous):
            try:
                state = load_checkpoint(path)
            except (FileNotFoundError, ValueError) as error:
                problem = problem or error
            else:
                lost = problem is not None and (path == self.previous or not isinstance(problem, FileNotFoundError))
                return state, path, f"{problem}; going on from {path.name}" if lost else ""
        assert problem is not None
        raise problem

    def epochs_done(self) -> int:
        """How many epochs the checkpoint has that `load_checkpoint` would read; 0 where none can be read."""
        for path in (self.last, self.new, self.previous):
            try:
                return len(json.loads(load_metadata(path)["checkpoint"])["state"]["history"])
            except (OSError, ValueError, KeyError, TypeError):
                continue
        return 0

    def promote(self, path: Path) -> None:
        """Makes the checkpoint that was read the last one, and removes what a killed process left half-written."""
        if path != self.last:
            os.replace(path, self.last)
        for leftover in (self.new, *self.path.glob(".*.part")):
            leftover.unlink(missing_ok=True)

    def read_config(self) -> dict[str, Any]:
        """What ``write_config`` wrote.

        Raises:
            ValueError: the file is damaged.
        """
        try:
            config = json.loads(self.config.read_text(encoding="utf-8"))
        except (UnicodeDecodeError, json.JSONDecodeError) as error:
            raise ValueError(f"{self.config} is damaged: {error}") from error
        if not isinstance(config, dict):
            raise ValueError(f"{self.config} is damaged: it holds no table of settings")
        return config

    def write_config(self, config: Mapping[str, Any]) -> None:
        """Writes config.json."""
        with replacing(self.config) as file:
            file.write(json.dumps(config, indent=2, ensure_ascii=False) + "\n")

    def write_metrics(self, history: Sequence[Mapping[str, Any]]) -> None:
        """Writes metrics.csv anew, a row for each epoch done."""
        names = list(dict.fromkeys(name for row in history for name in row))
        with replacing(self.metrics) as file:
            writer = csv.DictWriter(file, names, restval="")
            if names:
                writer.writeheader()
            writer.writerows(history)

    def write_report(self, text: str) -> None:
        """Writes report.md."""
        with replacing(self.report) as file:
            file.write(text)

    def write_best(self, weights: Mapping[str, Any], facts: Mapping[str, Any]) -> None:
        """Writes the best weights so far, with ``facts`` as JSON under "atrous" in the file's metadata.

        One entry, because the safetensors writer orders several at random, and the same run shall give the same bytes.
        """
        save_file(weights, self.best, {"atrous": json.dumps(facts, ensure_ascii=False)})
        sync_folder(self.path)


def read_facts(model: Path) -> dict[str, Any]:
    """What ``RunFolder.write_best`` noted beside the weights: model, classes, preprocessing.

    Raises:
        OSError: there is no such file.
        ValueError: it is no weights' file of a run, or one that lacks what ``predict`` needs.
    """
    facts = load_metadata(model).get("atrous")
    if facts is None:
        raise ValueError(f"{model} was not written by a training run: it names no classes and no preprocessing")
    try:
        found = json.loads(facts)
    except json.JSONDecodeError as error:
        raise ValueError(f"{model} is damaged: {error}") from error
    needed: dict[str, type] = {"model": str, "task": str, "classes": list, "preprocessing": dict}
    if not isinstance(found, dict) or not all(isinstance(found.get(name), kind) for name, kind in needed.items()):
        raise ValueError(f"{model} was not written by `atrous train`: it lacks {' or '.join(needed)}")
    return found


def save_arrays(path: Path, arrays: Mapping[str, Any]) -> None:
    """Writes arrays by name as an npz file, C-ordered; one that was there is replaced once the new one is complete."""
    with replacing(path, text=False) as file:
        np.savez(file, **{name: np.ascontiguousarray(array) for name, array in arrays.items()})  # type: ignore[arg-type]


@contextmanager
def replacing(path: Path, text: bool = True) -> Iterator[Any]:
    """A file that takes the place of ``path`` once it is complete on the disk; the old one stays until then."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    how: dict[str, Any] = {"mode": "w", "encoding": "utf-8", "newline": ""} if text else {"mode": "wb"}
    try:
        with open(temporary, **how) as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
