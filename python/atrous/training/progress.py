"""What a training shows while it works: a live bar where there is a terminal and rich, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Any

from .callbacks import Callback

if TYPE_CHECKING:
    from .trainer import Trainer

HIDDEN = (
    "epoch",
    "seconds",
    "images_per_second",
    "waiting",
    "lr",
)  # of a row; the first and the last columns are made of them


def percent(share: float) -> str:
    """``98.6 %``; never rounds up to 100 what is not all.

    Example:
        >>> percent(355 / 360), percent(9999 / 10000)
        ('98.6 %', '99.9 %')
    """
    text = f"{100 * share:.1f}"
    return f"{'99.9' if text == '100.0' and share < 1 else text} %"


def clock(seconds: float) -> str:
    """Minutes and seconds, with hours where there are any: ``0:07``, ``1:02:03``."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def in_words(name: str, value: float) -> str:
    """A number of the history as people write it: shares in percent, losses with four digits.

    Example:
        >>> in_words("validation_accuracy", 0.986), in_words("train_loss", 0.05)
        ('98.6 %', '0.0500')
    """
    return percent(value) if name.endswith(("accuracy", "iou")) else f"{value:.4f}"


class Display(Callback):
    """A plain line an epoch, for files, pipes and machines without rich."""

    def __init__(self) -> None:
        self.epochs, self.start, self.began, self.lines = 0, 0, 0.0, 0

    def on_fit_begin(self, trainer: Trainer, epochs: int, batches: int | None) -> None:
        self.epochs, self.start, self.began, self.lines = epochs, trainer.epoch, time.perf_counter(), 0

    def on_epoch(self, trainer: Trainer, row: dict[str, Any]) -> None:
        columns = self.columns(row)
        if self.lines == 0:
            self.line("  ".join(columns), "dim")
        self.lines += 1
        best = trainer.best is row
        text = "  ".join(value.rjust(len(name)) for name, value in columns.items())
        self.line(text + ("  best" if best else ""), "green" if best else "")

    def columns(self, row: dict[str, Any]) -> dict[str, str]:
        """The numbers of an epoch by the names of their columns; names are two spaces apart, words one."""
        done = row["epoch"] - self.start
        left = (time.perf_counter() - self.began) / done * (self.epochs - row["epoch"])
        measured = {name.replace("_", " "): in_words(name, row[name]) for name in row if name not in HIDDEN}
        speed = {"images/s": f"{row['images_per_second']:,.0f}", "time left": clock(left)}
        return {"epoch": f"{row['epoch']}/{self.epochs}", **measured, **speed}

    def line(self, text: str, style: str = "") -> None:
        """Shows a line that stays; ``style`` is for displays that know colours."""
        print(text, flush=True)


class LiveDisplay(Display):
    """The same lines above a bar that moves with every batch, by rich."""

    def __init__(self) -> None:
        super().__init__()
        from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

        self.bar = Progress(
            TextColumn("[bold]{task.description}"),
            BarColumn(bar_width=None),
            TextColumn("{task.fields[loss]}"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            transient=True,
        )
        self.task: Any = None

    def on_fit_begin(self, trainer: Trainer, epochs: int, batches: int | None) -> None:
        super().on_fit_begin(trainer, epochs, batches)
        self.bar.start()
        total = None if batches is None else (epochs - trainer.epoch) * batches - trainer.batches
        self.task = self.bar.add_task(self.title(trainer), total=total, loss="")

    def on_batch(self, trainer: Trainer, loss: float) -> None:
        self.bar.update(self.task, advance=1, loss=f"loss {loss:.3f}", description=self.title(trainer))

    def on_fit_end(self, trainer: Trainer) -> None:
        self.bar.stop()

    def title(self, trainer: Trainer) -> str:
        """``epoch 3/60``."""
        return f"epoch {min(trainer.epoch + 1, self.epochs)}/{self.epochs}"

    def line(self, text: str, style: str = "") -> None:
        from rich.text import Text

        self.bar.console.print(Text(text, style), soft_wrap=True)


def choose_display() -> Display:
    """The live display where standard output is a terminal and rich is installed, plain lines elsewhere."""
    if sys.stdout.isatty():
        try:
            return LiveDisplay()
        except ImportError:
            pass
    return Display()
