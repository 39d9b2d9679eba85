"""What a trainer writes while it works, and how it goes on from there."""

from __future__ import annotations

import time
import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ..checks import require
from ..random import get_rng_state, set_rng_state
from .diagnosis import check_weights
from .run_folder import RunFolder
from .state import copied

if TYPE_CHECKING:
    from .trainer import Trainer


TIMES = ("images_per_second", "seconds", "waiting")  # in a row of the history: no two runs have the same


class Saving:
    """The files of a trainer: checkpoints, the best weights, the metrics. Without a folder it does nothing.

    Args:
        folder: where they go, or None.
        every: seconds between checkpoints in the middle of an epoch.
        facts: stored beside the best weights.
    """

    def __init__(self, folder: RunFolder | None, every: float, facts: Mapping[str, Any]) -> None:
        self.folder, self.every, self.facts = folder, every, dict(facts)
        self.epoch, self.batches = 0, 0  # how far the last checkpoint is
        self.moment = time.monotonic()
        self.written: dict[str, Any] | None = None  # the epoch whose weights checkpoint-best holds

    def open(self, trainer: Trainer, loaders: Mapping[str, Any], resume: bool) -> None:
        """Starts the folder, or goes on from its checkpoint.

        Raises:
            FileExistsError: it holds a run already, and ``resume`` is False.
        """
        if self.folder is None:
            require(not resume, "Trainer.fit", "resume=True needs a Trainer with a folder")
        elif not self.folder.has_checkpoint():
            self.folder.path.mkdir(parents=True, exist_ok=True)
            self.save(trainer, streams(loaders, None))  # from here on the run can go on, and a full disk has said so
        elif resume:
            self.resume(self.folder, trainer, loaders)
        else:
            raise FileExistsError(f"{self.folder.path} holds a run already; fit(..., resume=True) goes on with it")

    def resume(self, folder: RunFolder, trainer: Trainer, loaders: Mapping[str, Any]) -> None:
        """Puts the trainer, the loaders and the random streams where the checkpoint has them.

        Raises:
            ValueError: it does not fit; the trainer is as it was.
        """
        state, source, problem = folder.load_checkpoint()
        before = copied(trainer.state_dict())
        try:
            trainer.load_state_dict(state)
            place(state["streams"], loaders, trainer.batches)
        except (ValueError, KeyError, TypeError, IndexError, AttributeError) as error:
            trainer.load_state_dict(before)
            raise ValueError(f"{source} does not fit this training: {error}") from error
        folder.promote(source)
        if problem:
            warnings.warn(problem, stacklevel=5)
        self.noted(trainer)
        folder.write_metrics(trainer.history)  # rows after the checkpoint belong to epochs that are done again
        if trainer.best is not None:
            self.save_best(trainer)

    def noted(self, trainer: Trainer) -> None:
        """There is a checkpoint of this moment."""
        self.epoch, self.batches, self.moment = trainer.epoch, trainer.batches, time.monotonic()

    def is_due(self) -> bool:
        """Whether the last checkpoint is long ago."""
        return self.folder is not None and time.monotonic() - self.moment >= self.every

    def save(self, trainer: Trainer, state: Mapping[str, Any]) -> None:
        """Writes checkpoint-last, with ``state`` as the random streams and the loaders' positions.

        Raises:
            NonFiniteLoss: a weight is not finite; the checkpoint before is kept.
        """
        if self.folder is None:
            return
        check_weights(trainer.model, f"after epoch {trainer.epoch}")
        self.folder.save_checkpoint({**trainer.state_dict(), "streams": state})
        self.noted(trainer)

    def save_numbers(self, trainer: Trainer) -> None:
        """After an epoch: metrics.csv, and checkpoint-best where it is the best so far."""
        if self.folder is not None:
            self.folder.write_metrics(trainer.history)
            if trainer.best is not self.written:
                self.save_best(trainer)

    def save_best(self, trainer: Trainer) -> None:
        """Writes checkpoint-best: the best weights so far, what their epoch measured, and the facts."""
        assert self.folder is not None
        assert trainer.best is not None
        measured = {name: value for name, value in trainer.best.items() if name not in TIMES}
        self.folder.write_best(trainer.best_weights, {**self.facts, "measured": measured})
        self.written = trainer.best


def streams(loaders: Mapping[str, Any], position: Mapping[str, Any] | None) -> dict[str, Any]:
    """Where the default generator and the loaders are.

    Args:
        loaders: by name; those that are no DataLoader are passed over.
        position: the training loader's state when its last batch came, None between epochs. All other loaders are at
            the start of an epoch, whoever looked into them meanwhile.
    """
    states = {name: loader.state_dict() for name, loader in loaders.items() if hasattr(loader, "load_state_dict")}
    for name, state in states.items():
        spot = position if name == "train" and position else {"batches": 0, "epoch_start": None}
        state |= {key: spot[key] for key in ("batches", "epoch_start")}
    return {"generator": get_rng_state(), "loaders": states}


def place(where: Mapping[str, Any], loaders: Mapping[str, Any], batches: int) -> None:
    """Puts the default generator and the loaders where `streams` found them; ``batches`` of the epoch are done.

    Raises:
        ValueError: a loader is of other data, or the position of the training loader is not known.
    """
    for name, state in where["loaders"].items():
        if hasattr(loaders.get(name), "load_state_dict"):
            loaders[name].load_state_dict(state)
    if batches and hasattr(loaders["train"], "load_state_dict") and "train" not in where["loaders"]:
        raise ValueError(f"{batches} batches of the epoch are done, and came from something else than a DataLoader")
    set_rng_state(where["generator"])
