"""What a trainer writes while it works, and how it goes on from there."""

from __future__ import annotations

import time
import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ..checks import require
from ..random import get_rng_state, set_rng_state
from .diagnosis import NonFiniteLoss, non_finite_parameter
from .run_folder import RunFolder

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

    def open(self, trainer: Trainer, loaders: Mapping[str, Any], resume: bool) -> None:
        """Starts the folder, or goes on from its checkpoint.

        Raises:
            FileExistsError: it holds a run already, and ``resume`` is False.
        """
        if self.folder is None:
            require(not resume, "Trainer.fit", "resume=True needs a Trainer with a folder")
        elif not self.folder.has_checkpoint():
            self.folder.path.mkdir(parents=True, exist_ok=True)
            self.save(trainer, streams(loaders))  # from here on the run can go on, and a full disk has said so
        elif resume:
            self.resume(self.folder, trainer, loaders)
        else:
            raise FileExistsError(f"{self.folder.path} holds a run already; fit(..., resume=True) goes on with it")

    def resume(self, folder: RunFolder, trainer: Trainer, loaders: Mapping[str, Any]) -> None:
        """Puts the trainer, the loaders and the random streams where the checkpoint has them."""
        folder.tidy()
        state, problem = folder.load_checkpoint()
        if problem:
            warnings.warn(problem, stacklevel=4)
        try:
            trainer.load_state_dict(state)
            set_rng_state(state["streams"]["generator"])
            for name, position in state["streams"]["loaders"].items():
                if hasattr(loaders.get(name), "load_state_dict"):
                    loaders[name].load_state_dict(position)
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(f"{folder.last} does not fit this training: {error}") from error
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
        name = non_finite_parameter(trainer.model)
        if name is not None:
            raise NonFiniteLoss(
                f"{name} is no longer finite after epoch {trainer.epoch}; the checkpoint before is kept; "
                "try a lower learning rate",
                name.rpartition(".")[0],
            )
        self.folder.save_checkpoint({**trainer.state_dict(), "streams": state})
        self.noted(trainer)

    def save_numbers(self, trainer: Trainer) -> None:
        """After an epoch: metrics.csv, and checkpoint-best where it is the best so far."""
        if self.folder is not None:
            self.folder.write_metrics(trainer.history)
            if trainer.best is trainer.history[-1]:
                self.save_best(trainer)

    def save_best(self, trainer: Trainer) -> None:
        """Writes checkpoint-best: the best weights so far, what their epoch measured, and the facts."""
        assert self.folder is not None
        assert trainer.best is not None
        measured = {name: value for name, value in trainer.best.items() if name not in TIMES}
        self.folder.write_best(trainer.best_weights, {**self.facts, "measured": measured})


def streams(loaders: Mapping[str, Any]) -> dict[str, Any]:
    """Where the default generator and the loaders are."""
    positions = {name: loader.state_dict() for name, loader in loaders.items() if hasattr(loader, "load_state_dict")}
    return {"generator": get_rng_state(), "loaders": positions}
