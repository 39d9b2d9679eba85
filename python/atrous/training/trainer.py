"""The training loop: epochs of gradient steps, each followed by a look at data that is not trained on."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from itertools import islice
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from ..checks import require
from ..nn import Module
from ..nn.utils import clip_grad_norm_
from ..optim import Optimizer
from ..optim.lr_scheduler import ReduceLROnPlateau
from ..random import get_rng_state, using
from ..tensor import Tensor
from .callbacks import Callback
from .diagnosis import check_weights, explain, explain_batches
from .evaluation import as_metric, evaluate, generator_at, on_device_of
from .interrupt import Interrupt
from .progress import choose_display
from .run_folder import RunFolder
from .saving import Saving, place, streams
from .state import Part, capture, restore

Batches = Iterable[Any]  # of (inputs, target), such as a DataLoader
Loss = Callable[[Tensor, Tensor], Tensor]


class Trainer:
    """Trains a model on batches of (inputs, target), and keeps what it takes to stop at any moment and go on.

    What is monitored decides which weights are the best: by default the lowest validation loss, or training loss where
    there is no validation. With a ``folder`` the trainer writes checkpoint-last (all that it takes to go on, after each
    epoch, every ``save_every`` seconds and on Ctrl-C), checkpoint-previous, checkpoint-best (weights) and metrics.csv.
    A run that goes on from a checkpoint gives the bits of one that never stopped.

    Args:
        model: maps inputs to an output.
        optimizer: holds the model's parameters.
        loss_fn: mean loss of (output, target).
        metrics: measured on validation data, by name: objects of `atrous.metrics`, or functions of (output, target)
            whose results are averaged over the samples.
        scheduler: of `optim.lr_scheduler`; steps after each epoch.
        schedule_batches: step it after each optimizer step instead, as for warm-up and OneCycleLR.
        clip_grad_norm: the largest norm of all gradients together; larger ones are scaled down to it.
        accumulate: batches an optimizer step; the gradient is that of the mean loss over their samples.
        monitor: the number in the history that decides, such as "validation_accuracy".
        mode: "min" or "max", whether lower or higher is better.
        callbacks: called between the steps, in this order.
        folder: where files go; None writes none.
        facts: stored beside the best weights, for whoever uses them.
        save_every: seconds between checkpoints in the middle of an epoch.
    Raises:
        ValueError: a setting is out of range.
    Example:
        >>> model, batches = nn.Linear(2, 2), [(at.randn(4, 2), at.tensor([0, 1, 0, 1]))]
        >>> trainer = Trainer(model, optim.Adam(model.parameters()), nn.CrossEntropyLoss())
        >>> history = trainer.fit(batches, batches, epochs=3, progress=False)
        >>> [row["epoch"] for row in history]
        [1, 2, 3]
    """

    def __init__(
        self,
        model: Module,
        optimizer: Optimizer,
        loss_fn: Loss,
        *,
        metrics: Mapping[str, Any] | None = None,
        scheduler: Any = None,
        schedule_batches: bool = False,
        clip_grad_norm: float | None = None,
        accumulate: int = 1,
        monitor: str = "validation_loss",
        mode: str = "min",
        callbacks: Sequence[Callback] = (),
        folder: Path | str | None = None,
        facts: Mapping[str, Any] | None = None,
        save_every: float = 600.0,
    ) -> None:
        require(accumulate >= 1, "Trainer", f"accumulate is {accumulate}; expected 1 or more")
        require(mode in ("min", "max"), "Trainer", f"mode is {mode!r}; expected 'min' or 'max'")
        require(
            clip_grad_norm is None or clip_grad_norm > 0,
            "Trainer",
            f"clip_grad_norm is {clip_grad_norm}; expected above 0",
        )
        require(save_every >= 0, "Trainer", f"save_every is {save_every}; expected 0 seconds or more")
        plateau = isinstance(scheduler, ReduceLROnPlateau)
        require(not (plateau and schedule_batches), "Trainer", "ReduceLROnPlateau steps by epochs, not by batches")
        if plateau:
            require(scheduler.mode == mode, "Trainer", f"mode is {mode!r}, ReduceLROnPlateau's {scheduler.mode!r}")
        require(
            "loss" not in (metrics or {}), "Trainer", "a metric is called 'loss', which is the loss function's name"
        )
        json.dumps(facts)  # raises what is wrong with them now, not when the first weights are written
        self.model, self.optimizer, self.loss_fn = model, optimizer, loss_fn
        self.metrics = {name: as_metric(metric) for name, metric in (metrics or {}).items()}
        self.scheduler, self.schedule_batches = scheduler, schedule_batches
        self.clip_grad_norm, self.accumulate = clip_grad_norm, accumulate
        self.monitor, self.mode = monitor, mode
        self.callbacks = list(callbacks)
        self.saving = Saving(None if folder is None else RunFolder(folder), save_every, facts or {})

        self.history: list[dict[str, Any]] = []  # a row for each epoch done
        self.best: dict[str, Any] | None = None  # the row of the best epoch
        self.best_weights: dict[str, Tensor] = {}
        self.stop_reason: str | None = None
        self._part = Part()
        self._loss = math.nan  # of the last batch
        self._indices: list[int] | None = None  # of the batch before
        self._loaders: dict[str, Any] = {}
        self._position: dict[str, Any] | None = None  # the training loader's, when its last batch came
        self._streams: dict[str, Any] | None = None  # where random numbers and loaders were when fit was stopped
        self._whole = True  # no step is under way
        self._opened = self._failed = False
        self._interrupt = Interrupt()

    @property
    def epoch(self) -> int:
        """The number of epochs done."""
        return len(self.history)

    @property
    def batches(self) -> int:
        """The number of batches done in the current epoch."""
        return self._part.batches

    def stop(self, reason: str) -> None:
        """Ends `fit` after the current epoch; for callbacks."""
        self.stop_reason = reason

    def monitored(self, row: Mapping[str, Any]) -> str:
        """The name of the number in ``row`` that decides which epoch is the best."""
        if self.monitor in row:
            return self.monitor
        if self.monitor == "validation_loss":  # the default, and nothing is validated
            return "train_loss"
        raise ValueError(f"Trainer: there is no {self.monitor!r} to monitor; an epoch measures {', '.join(row)}")

    # -- training -----------------------------------------------------------------------------------------------------

    def fit(
        self,
        train: Batches,
        validation: Batches | None = None,
        epochs: int = 1,
        *,
        resume: bool = False,
        progress: bool = True,
    ) -> list[dict[str, Any]]:
        """Trains up to epoch number ``epochs`` and returns the history: a dict for each epoch done.

        Ctrl-C ends the current step, writes a checkpoint and raises KeyboardInterrupt; a second one raises at once.
        Calling `fit` again goes on, as does another process with ``resume=True``. After an error inside a step `fit`
        begins the epoch anew with the weights as they are, or with ``resume=True`` goes on from the checkpoint.

        Args:
            train: batches of (inputs, target), gone through once an epoch. A DataLoader goes on in the middle of an
                epoch; of other iterables the batches done are passed over.
            validation: likewise, looked at after each epoch.
            epochs: how many there are in all, with those done before.
            resume: go on from the folder's checkpoint, where there is one and this trainer has not begun or has failed.
            progress: show a line for each epoch, and a bar on a terminal.
        Raises:
            NonFiniteLoss: names the layer and the samples; the parameters are those before the step.
            FileExistsError: the folder holds a run already, and resume is False.
            OSError: a file cannot be written; the checkpoint that was there still is.
        """
        require(epochs >= 0, "Trainer.fit", f"epochs is {epochs}; expected 0 or more")
        self._check_monitor(validation is not None)
        self._loaders = {"train": train, **({} if validation is None else {"validation": validation})}
        self._begin(resume)
        with self._interrupt, self._called(epochs, progress):
            try:
                while self.epoch < epochs and self.stop_reason is None:
                    self._train_epoch(train)
                    self._finish_epoch(validation)
            except Suspended:
                raise
            except BaseException:
                self._failed = True
                if self._whole:  # all fits together: the next fit goes on from here
                    self._streams = self._streams or self._now()
                else:  # in the middle of a step: the next fit begins the epoch anew, or reads the checkpoint
                    self._part = Part()
                raise
        return self.history

    def _begin(self, resume: bool) -> None:
        """Opens the folder the first time, and after an error where asked; else goes on with what is known."""
        if not self._opened or (resume and self._failed):
            self.saving.open(self, self._loaders, resume)
        elif self._streams is not None:
            place(self._streams, self._loaders, self._part.batches)
        self._opened, self._failed, self._streams, self._position = True, False, None, None
        self.stop_reason = None

    @contextmanager
    def _called(self, epochs: int, progress: bool) -> Iterator[None]:
        """Calls the callbacks, and a display after them, at the begin and, in reverse order, at the end."""
        callbacks = self.callbacks
        with ExitStack() as stack:
            stack.enter_context(np.errstate(all="ignore"))  # the loss is checked; NumPy need not warn as well
            stack.callback(setattr, self, "callbacks", callbacks)
            self.callbacks = [*callbacks, *([choose_display()] if progress else [])]
            for callback in self.callbacks:
                callback.on_fit_begin(self, epochs, length_of(self._loaders["train"]))
                stack.callback(callback.on_fit_end, self)
            yield

    def _check_monitor(self, validated: bool) -> None:
        names = ["train_loss", "lr", *(f"validation_{name}" for name in ("loss", *self.metrics) if validated)]
        if self.monitor not in (*names, "validation_loss"):
            raise ValueError(f"Trainer: there is no {self.monitor!r} to monitor; an epoch measures {', '.join(names)}")

    def forward(self, batch: Any) -> tuple[Tensor, Tensor]:
        """The output and the target of a batch; a subclass changes it for batches of another form."""
        inputs, target = on_device_of(self.model, batch)
        return self.model(inputs), target

    def _train_epoch(self, train: Batches) -> None:
        """The gradient steps of an epoch, or of the rest of one."""
        part = self._part
        if part.trained:
            return
        self.model.train()
        since = 0  # samples since the last step
        began = time.perf_counter()
        for batch in self._rest_of(train):
            part.waiting += time.perf_counter() - began
            self._position = train.state_dict() if hasattr(train, "load_state_dict") else None  # type: ignore[attr-defined]
            since += self._add_gradients(batch, first=since == 0)
            if part.batches % self.accumulate == 0:
                self._step(since)
                since = 0
            now = time.perf_counter()
            part.seconds, began = part.seconds + now - began, now
            for callback in self.callbacks:
                callback.on_batch(self, self._loss)
            if since == 0:
                self._pause()
        if since:
            self._step(since)
        require(part.samples > 0, "Trainer.fit", "the training data holds no batches")
        part.trained, self._position = True, None

    def _rest_of(self, train: Batches) -> Iterator[Any]:
        return iter(train) if hasattr(train, "load_state_dict") else islice(train, self._part.batches, None)

    def _add_gradients(self, batch: Any, first: bool) -> int:
        """Adds a batch's gradients to those of the current step; returns the number of its samples."""
        self._whole = False
        if first:
            self.optimizer.zero_grad()
        indices, state = getattr(self._loaders["train"], "batch_indices", None), get_rng_state()
        output, target = self.forward(batch)
        loss = self.loss_fn(output, target)
        self._loss = loss.item()
        part = self._part
        if not math.isfinite(self._loss):
            what = f"the loss became {self._loss} in epoch {self.epoch + 1}, batch {part.batches + 1}"
            with using(generator_at(state)):
                raise explain(self.model, self.loss_fn, lambda: self.forward(batch), indices, what, self._indices)
        N = len(output)
        (loss * N if self.accumulate > 1 else loss).backward()
        part.batches, part.samples, part.loss = part.batches + 1, part.samples + N, part.loss + self._loss * N
        self._indices = indices
        return N

    def _step(self, samples: int) -> None:
        """The optimizer's step on the gradients gathered so far."""
        parameters = [p for group in self.optimizer.param_groups for p in group["params"] if p.grad is not None]
        if self.accumulate > 1:
            for parameter in parameters:
                parameter.grad /= samples  # type: ignore[operator]
        if self.clip_grad_norm is not None:
            clip_grad_norm_(parameters, self.clip_grad_norm)
        self.optimizer.step()
        if self.scheduler is not None and self.schedule_batches:
            self.scheduler.step()
        self._whole = True

    # -- the end of an epoch ------------------------------------------------------------------------------------------

    def _finish_epoch(self, validation: Batches | None) -> None:
        """Evaluates, notes the epoch, steps the scheduler, and writes the files."""
        part = self._part
        check_weights(self.model, f"after epoch {self.epoch + 1}")
        row: dict[str, Any] = {"epoch": self.epoch + 1, "train_loss": part.loss / part.samples}
        if validation is not None:
            row |= {f"validation_{name}": value for name, value in self._measured(validation).items()}
        row["lr"] = self.optimizer.param_groups[0]["lr"]
        row |= {
            "images_per_second": round(part.samples / max(part.seconds, 1e-9), 1),
            "seconds": round(part.seconds, 4),
            "waiting": round(part.waiting / max(part.seconds, 1e-9), 4),
        }
        name = self.monitored(row)
        if self.scheduler is not None and not self.schedule_batches:
            plateau = isinstance(self.scheduler, ReduceLROnPlateau)
            self.scheduler.step(row[name]) if plateau else self.scheduler.step()
        self.history.append(row)
        self._part, self._streams = Part(), None
        if self._is_better(row[name], None if self.best is None else self.best.get(name)):
            self.best = row
            self.best_weights = {name: value.detach().clone() for name, value in self.model.state_dict().items()}
        for callback in self.callbacks:
            callback.on_epoch(self, row)
        self.saving.save(self, self._now())
        self.saving.save_numbers(self)
        if self._interrupt.requested:
            self._streams = self._now()
            raise Suspended(self._where())

    def _is_better(self, value: float, than: float | None) -> bool:
        """Whether a monitored number is better than another; anything is better than None and NaN."""
        return than is None or math.isnan(than) or (value < than if self.mode == "min" else value > than)

    def _measured(self, validation: Batches) -> dict[str, float]:
        """The validation's numbers; Ctrl-C is heard between its batches."""
        self._streams = self._now()  # should it be stopped, it begins anew
        try:
            measured = evaluate(self.model, self.loss_fn, validation, self.metrics, self.forward, self._heed)
        except Suspended:
            self._suspend()
        if not math.isfinite(measured["loss"]):
            what = f"the validation loss became {measured['loss']} after epoch {self.epoch + 1}"
            raise explain_batches(self.model, self.loss_fn, self.forward, validation, what)
        return measured

    def _heed(self) -> None:
        if self._interrupt.requested:
            raise Suspended

    def evaluate(self, batches: Batches) -> dict[str, float]:
        """The mean loss and the metrics on other data; see `atrous.training.evaluate`."""
        return evaluate(self.model, self.loss_fn, batches, self.metrics, self.forward)

    def load_best(self) -> None:
        """Puts the best weights into the model.

        Raises:
            ValueError: no epoch is done yet.
        """
        require(self.best is not None, "Trainer.load_best", "no epoch is done yet")
        self.model.load_state_dict(self.best_weights)

    # -- stopping and going on ----------------------------------------------------------------------------------------

    def _pause(self) -> None:
        """Between two steps: Ctrl-C and the clock are heard."""
        if self._interrupt.requested:
            self._suspend()
        if self.saving.is_due():
            self.saving.save(self, self._now())

    def _suspend(self) -> NoReturn:
        """Saves, notes where `fit` would go on, and raises."""
        self._streams = self._streams or self._now()
        self.saving.save(self, self._streams)
        raise Suspended(self._where())

    def _now(self) -> dict[str, Any]:
        return streams(self._loaders, self._position)

    def _where(self) -> str:
        part = f", batch {self._part.batches} of epoch {self.epoch + 1}" if self._part.batches else ""
        return f"stopped after epoch {self.epoch}{part}"

    def state_dict(self) -> dict[str, Any]:
        """All that a trainer knows, but for random streams and loaders, which belong to `fit`."""
        return capture(self)

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Takes over what `state_dict` gave.

        Raises:
            ValueError: it is of another network, optimizer, scheduler or callback; nothing was changed then.
        """
        restore(self, state)


class Suspended(KeyboardInterrupt):
    """Ctrl-C that was heard between two steps; the state is whole."""


def length_of(batches: Batches) -> int | None:
    """The number of batches, where it is known."""
    try:
        return len(batches)  # type: ignore[arg-type]
    except TypeError:
        return None
