"""The folder of a training run: settings, numbers, weights, checkpoint and pictures."""

from __future__ import annotations

import csv
import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import date
from itertools import count
from pathlib import Path
from typing import Any, TextIO

from ..serialization import load_metadata, save_file
from .checkpoint import Progress

SPACE = 5_000_000  # bytes: two checkpoints while one replaces the other, the model, pictures


class RunFolder:
    """Files of one run, under ``path``."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.config = path / "config.json"
        self.metrics = path / "metrics.csv"
        self.model = path / "model.safetensors"
        self.checkpoint = path / "checkpoint.safetensors"

    @classmethod
    def create(cls, out: Path, name: str) -> RunFolder:
        """Makes a new folder ``out/<today>-<name>``, or ``...-2``, ``-3``: never one that exists.

        Raises:
            OSError: the folder cannot be made, or the disk is nearly full.
        """
        out.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(out).free
        if free < SPACE:
            raise OSError(f"{out}: only {free / 1e6:.1f} MB are free on this disk; a run needs {SPACE / 1e6:.0f} MB")
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
        for file in (folder.config, folder.checkpoint):
            if not file.is_file():
                raise FileNotFoundError(f"{path} is no run that can go on: it has no {file.name}")
        return folder

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

    def write_metrics(self, history: Sequence[Mapping[str, float]]) -> None:
        """Writes metrics.csv anew, a row for each epoch done."""
        with replacing(self.metrics) as file:
            writer = csv.writer(file)
            for row in history:
                if row is history[0]:
                    writer.writerow(row)
                writer.writerow(row.values())

    def append_metrics(self, row: Mapping[str, float]) -> None:
        """Adds an epoch's row to metrics.csv; whoever watches the file sees it at once."""
        with open(self.metrics, "a", encoding="utf-8", newline="") as file:
            writer = csv.writer(file)
            if file.tell() == 0:
                writer.writerow(row)
            writer.writerow(row.values())

    def save_model(self, progress: Progress, facts: Mapping[str, Any]) -> None:
        """Writes the best weights so far, with ``facts`` as JSON under "atrous" in the file's metadata.

        One entry, because the safetensors writer orders several at random, and the same run shall give the same bytes.
        """
        assert progress.best is not None
        best = {"epoch": progress.best["epoch"], "validation_accuracy": progress.best["validation_accuracy"]}
        save_file(progress.best_weights, self.model, {"atrous": json.dumps({**facts, **best}, ensure_ascii=False)})


def read_facts(model: Path) -> dict[str, Any]:
    """What ``RunFolder.save_model`` noted beside the weights: model, classes, preprocessing.

    Raises:
        OSError: there is no such file.
        ValueError: it is no model file of a run, or one that lacks what ``predict`` needs.
    """
    facts = load_metadata(model).get("atrous")
    if facts is None:
        raise ValueError(f"{model} was not written by a training run: it names no classes and no preprocessing")
    try:
        found = json.loads(facts)
    except json.JSONDecodeError as error:
        raise ValueError(f"{model} is damaged: {error}") from error
    needed: dict[str, type] = {"model": str, "classes": list, "preprocessing": dict}
    if not isinstance(found, dict) or not all(isinstance(found.get(name), kind) for name, kind in needed.items()):
        raise ValueError(f"{model} was not written by a training run: it lacks {' or '.join(needed)}")
    return found


@contextmanager
def replacing(path: Path) -> Iterator[TextIO]:
    """A text file that takes the place of ``path`` once it is complete on the disk; the old one stays until then."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with open(temporary, "w", encoding="utf-8", newline="") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
