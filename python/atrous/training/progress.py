"""What a training run shows while it works: a live bar where there is a terminal and rich, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import Any

from .loop import Epoch

COLUMNS = "epoch  train loss  validation loss  validation accuracy  images/s  time left"


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


class Display:
    """Plain lines, for files, pipes and machines without rich.

    Use it in a ``with`` block; ``epochs`` is the last epoch's number, ``start`` how many were done before, ``batches``
    how many there are an epoch.
    """

    def __init__(self, epochs: int, batches: int, start: int = 0) -> None:
        self.epochs, self.batches, self.start = epochs, batches, start
        self.began = time.perf_counter()
        self.lines = 0

    def __enter__(self) -> Display:
        self.began = time.perf_counter()
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        pass

    def line(self, text: str, style: str = "") -> None:
        """Shows a line that stays; ``style`` is for displays that know colours."""
        print(text, flush=True)

    def batch(self, number: int, loss: float) -> None:
        """Notes that a batch of the current epoch is done."""

    def epoch(self, epoch: Epoch, best: bool) -> None:
        """Shows the line of an epoch, after the names of the columns the first time."""
        if self.lines == 0:
            self.line(COLUMNS, "dim")
        self.lines += 1
        self.line(self.epoch_line(epoch, best), "green" if best else "")

    def epoch_line(self, epoch: Epoch, best: bool) -> str:
        """The numbers of an epoch, each under its column's name."""
        done = epoch.epoch - self.start
        left = (time.perf_counter() - self.began) / done * (self.epochs - epoch.epoch)
        fields = (
            f"{epoch.epoch}/{self.epochs}",
            f"{epoch.train_loss:.4f}",
            f"{epoch.validation_loss:.4f}",
            percent(epoch.validation_accuracy),
            f"{epoch.images_per_second:,.0f}",
            clock(left),
        )
        aligned = (text.rjust(width) for text, width in zip(fields, column_widths(), strict=True))
        return "  ".join(aligned) + ("  best" if best else "")


def column_widths() -> list[int]:
    """The widths of the columns that COLUMNS names; names are two spaces apart, words one."""
    return [len(name) for name in COLUMNS.split("  ")]


class LiveDisplay(Display):
    """The same lines above a bar that moves with every batch, by rich."""

    def __init__(self, epochs: int, batches: int, start: int = 0) -> None:
        super().__init__(epochs, batches, start)
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
        self.current = start + 1
        self.task: Any = None

    def __enter__(self) -> LiveDisplay:
        super().__enter__()
        self.bar.start()
        total = (self.epochs - self.start) * self.batches
        self.task = self.bar.add_task(self.title(), total=total, loss="")
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.bar.stop()

    def title(self) -> str:
        return f"epoch {min(self.current, self.epochs)}/{self.epochs}"

    def line(self, text: str, style: str = "") -> None:
        from rich.text import Text

        self.bar.console.print(Text(text, style), soft_wrap=True)

    def batch(self, number: int, loss: float) -> None:
        self.bar.update(self.task, advance=1, loss=f"loss {loss:.3f}", description=self.title())

    def epoch(self, epoch: Epoch, best: bool) -> None:
        self.current = epoch.epoch + 1
        super().epoch(epoch, best)


def choose_display(epochs: int, batches: int, start: int = 0) -> Display:
    """The live display where standard output is a terminal and rich is installed, plain lines elsewhere."""
    if sys.stdout.isatty():
        try:
            return LiveDisplay(epochs, batches, start)
        except ImportError:
            pass
    return Display(epochs, batches, start)
