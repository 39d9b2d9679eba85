"""Checkpoints: everything that a run needs to go on, bit for bit, in one safetensors file.

Tensors are stored under dotted names; the rest is JSON in the file's metadata. One file, replaced as a whole: weights
and numbers always belong together.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..nn import Module
from ..optim import Optimizer
from ..random import Generator, get_rng_state, set_rng_state
from ..serialization import load_file, load_metadata, save_file
from .loop import Epoch

FORMAT = 1


@dataclass
class Progress:
    """How far a run has come: a row for each epoch done, and the best weights so far (lowest validation loss)."""

    history: list[dict[str, float]] = field(default_factory=list)
    best: dict[str, float] | None = None  # the row of the best epoch
    best_weights: dict[str, Any] = field(default_factory=dict)

    @property
    def epoch(self) -> int:
        """The number of epochs done."""
        return len(self.history)

    def add(self, epoch: Epoch, model: Module) -> bool:
        """Notes an epoch, and the model's weights where they are the best so far; returns whether they are."""
        row = {
            "epoch": epoch.epoch,
            "train_loss": epoch.train_loss,
            "validation_loss": epoch.validation_loss,
            "validation_accuracy": epoch.validation_accuracy,
            "images_per_second": round(epoch.images_per_second, 1),
            "seconds": round(epoch.seconds, 4),
        }
        self.history.append(row)
        better = self.best is None or row["validation_loss"] < self.best["validation_loss"]
        if better:
            self.best = row
            self.best_weights = {name: value.detach().clone() for name, value in model.state_dict().items()}
        return better


def save_checkpoint(
    path: Path, model: Module, optimizer: Optimizer, generators: Mapping[str, Generator], progress: Progress
) -> None:
    """Writes a checkpoint; the previous one stays until the new one is complete on the disk.

    Raises:
        OSError: it cannot be written.
    """
    tensors: dict[str, Any] = {f"model.{name}": value for name, value in model.state_dict().items()}
    tensors |= {f"best.{name}": value for name, value in progress.best_weights.items()}
    state = optimizer.state_dict()
    numbers: dict[str, dict[str, Any]] = {}
    for index, entries in state["state"].items():
        numbers[str(index)] = {}
        for key, value in entries.items():
            if hasattr(value, "shape"):
                tensors[f"optimizer.{index}.{key}"] = value
            else:
                numbers[str(index)][key] = value
    facts = {
        "format": FORMAT,
        "history": progress.history,
        "best": progress.best,
        "optimizer": {"state": numbers, "param_groups": state["param_groups"]},
        "generators": {name: generator.get_state() for name, generator in generators.items()},
        "default_generator": get_rng_state(),
    }
    save_file(tensors, path, {"checkpoint": json.dumps(facts, allow_nan=False)})


def load_checkpoint(path: Path, model: Module, optimizer: Optimizer, generators: Mapping[str, Generator]) -> Progress:
    """Puts model, optimizer and random generators into the state of a checkpoint; returns how far the run had come.

    Raises:
        OSError: there is no such file, or it cannot be read.
        ValueError: it is damaged, no checkpoint, or one of another network.
    """
    metadata = load_metadata(path)
    if "checkpoint" not in metadata:
        raise ValueError(f"{path} is no checkpoint of atrous")
    facts = json.loads(metadata["checkpoint"])
    found = facts.get("format") if isinstance(facts, dict) else None
    if found != FORMAT:
        raise ValueError(f"{path} has checkpoint format {found}; this version of atrous reads {FORMAT}")
    tensors = load_file(path)
    model.load_state_dict(part(tensors, "model."))
    state: dict[int, dict[str, Any]] = {int(i): dict(values) for i, values in facts["optimizer"]["state"].items()}
    for name, value in part(tensors, "optimizer.").items():
        index, key = name.split(".", 1)
        state[int(index)][key] = value
    optimizer.load_state_dict({"state": state, "param_groups": facts["optimizer"]["param_groups"]})
    for name, generator in generators.items():
        generator.set_state(facts["generators"][name])
    set_rng_state(facts["default_generator"])
    return Progress(facts["history"], facts["best"], part(tensors, "best."))


def part(tensors: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    """The tensors whose names start with ``prefix``, under the rest of their names."""
    return {name[len(prefix) :]: value for name, value in tensors.items() if name.startswith(prefix)}
