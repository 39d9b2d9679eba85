"""What can be done between the steps of a training: one small protocol, and the callbacks that most need."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from .saving import TIMES

if TYPE_CHECKING:
    from .trainer import Trainer


class Callback:
    """Base class: a subclass defines the moments that it wants. Each gets the trainer, and may call ``trainer.stop``.

    Example:
        >>> from atrous.training import Trainer
        >>> class Print(Callback):
        ...     def on_epoch(self, trainer, row):
        ...         print(f"epoch {row['epoch']} is done")
        >>> model, batches = nn.Linear(2, 2), [(at.randn(4, 2), at.tensor([0, 1, 0, 1]))]
        >>> trainer = Trainer(model, optim.SGD(model.parameters(), lr=0.1), F.cross_entropy, callbacks=[Print()])
        >>> _ = trainer.fit(batches, epochs=2, progress=False)
        epoch 1 is done
        epoch 2 is done
    """

    def on_fit_begin(self, trainer: Trainer, epochs: int, batches: int | None) -> None:
        """Before the first batch: the last epoch's number, and the batches of an epoch where that is known."""

    def on_batch(self, trainer: Trainer, loss: float) -> None:
        """After each batch, with its loss. ``trainer.batches`` of this epoch are done."""

    def on_epoch(self, trainer: Trainer, row: dict[str, Any]) -> None:
        """After each epoch and its evaluation, before the checkpoint is written; ``row`` is the epoch's history."""

    def on_fit_end(self, trainer: Trainer) -> None:
        """At the end, also after an error or Ctrl-C."""

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint keeps of this callback: numbers, texts, tensors, in dicts and lists."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Goes on from what `state_dict` gave."""


class EarlyStopping(Callback):
    """Stops when the monitored number has not improved for some epochs. Prechelt 1998, "Early stopping — but when?".

    Args:
        patience: epochs without improvement after which training stops.
        min_delta: how much better counts as an improvement.
    Raises:
        ValueError: patience is below 1, or min_delta below 0.
    Example:
        >>> EarlyStopping(patience=5).patience
        5
    """

    def __init__(self, patience: int, min_delta: float = 0.0) -> None:
        if patience < 1 or not min_delta >= 0:
            raise ValueError(
                f"EarlyStopping: patience is {patience}, min_delta {min_delta}; expected 1 or more, 0 or more"
            )
        self.patience, self.min_delta = patience, min_delta

    def on_fit_begin(self, trainer: Trainer, epochs: int, batches: int | None) -> None:
        self.check(trainer)  # a run that had stopped stays so

    def on_epoch(self, trainer: Trainer, row: dict[str, Any]) -> None:
        self.check(trainer)

    def check(self, trainer: Trainer) -> None:
        """Counts from the history, so that a resumed run stops where the whole one does."""
        sign = 1 if trainer.mode == "min" else -1
        best, waited = float("inf"), 0
        for value in (sign * row[trainer.monitored(row)] for row in trainer.history):
            better = value < best - self.min_delta
            best, waited = (value, 0) if better else (best, waited + 1)
        if waited >= self.patience:
            name = trainer.monitored(trainer.history[-1]).replace("_", " ")
            trainer.stop(f"no better {name} for {waited} epochs")


class TensorBoard(Callback):
    """Writes each epoch's numbers as TensorBoard events. Needs tensorboardX: ``pip install 'atrous[tensorboard]'``.

    Args:
        folder: where the event files go; ``tensorboard --logdir`` takes the same.
    Raises:
        ImportError: tensorboardX is missing.
    """

    def __init__(self, folder: Path | str) -> None:
        self.folder, self.open = folder, summary_writer()
        self.writer: Any = None

    def on_fit_begin(self, trainer: Trainer, epochs: int, batches: int | None) -> None:
        # what an interrupted run wrote after its checkpoint is hidden, and written again
        self.writer = self.open(str(self.folder), purge_step=trainer.epoch + 1)

    def on_epoch(self, trainer: Trainer, row: dict[str, Any]) -> None:
        for name, value in row.items():
            if name not in ("epoch", *TIMES):
                self.writer.add_scalar(name.replace("_", "/", 1), value, row["epoch"])
        self.writer.flush()

    def on_fit_end(self, trainer: Trainer) -> None:
        if self.writer is not None:
            self.writer.close()


def summary_writer() -> Any:
    """tensorboardX's class that writes events.

    Raises:
        ImportError: tensorboardX is missing.
    """
    try:
        from tensorboardX import SummaryWriter
    except ImportError as error:
        raise ImportError(f"TensorBoard needs tensorboardX ({error}): pip install 'atrous[tensorboard]'") from error
    return SummaryWriter
