"""The training loop: epochs of gradient steps, each followed by a look at data that is not trained on."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from ..grad_mode import no_grad
from ..nn import Module
from ..ops.joining import cat
from ..optim import Optimizer
from ..tensor import Tensor

Batches = Iterable[Any]  # of (images, labels), such as a DataLoader
Loss = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Epoch:
    """What one epoch measured; losses are means over images, seconds those of the training part."""

    epoch: int
    train_loss: float
    validation_loss: float
    validation_accuracy: float
    images: int
    seconds: float

    @property
    def images_per_second(self) -> float:
        return self.images / max(self.seconds, 1e-9)


@dataclass(frozen=True)
class Evaluation:
    """A network's answers on a data set: mean loss, share of right answers, logits (N, C) and labels (N,)."""

    loss: float
    accuracy: float
    logits: Tensor
    labels: Tensor


class NonFiniteLoss(RuntimeError):
    """The loss is no longer a number, so that further steps are pointless."""


def fit(
    model: Module,
    optimizer: Optimizer,
    loss_fn: Loss,
    train: Batches,
    validation: Batches,
    epochs: int,
    *,
    start: int = 0,
    augment: Callable[[Tensor], Tensor] | None = None,
    on_batch: Callable[[int, float], None] | None = None,
) -> Iterator[Epoch]:
    """Trains epoch by epoch and yields what each one measured, so that the caller can print, save or stop in between.

    Args:
        model: maps a batch of images to logits (N, C).
        optimizer: holds the model's parameters.
        loss_fn: mean loss of logits (N, C) and labels (N,).
        train, validation: batches of (images, labels), gone through once an epoch.
        epochs: the last epoch's number; the first is ``start + 1``.
        start: epochs done before.
        augment: changes a batch of training images.
        on_batch: called after each step with the step's number in its epoch, from 1, and its loss.
    Raises:
        NonFiniteLoss: a loss is infinite or not a number.
    Example:
        >>> model, batches = nn.Linear(2, 2), [(at.randn(4, 2), at.tensor([0, 1, 0, 1]))]
        >>> epochs = fit(model, optim.Adam(model.parameters()), F.cross_entropy, batches, batches, epochs=3)
        >>> [epoch.epoch for epoch in epochs]
        [1, 2, 3]
    """
    for number in range(start + 1, epochs + 1):
        began = time.perf_counter()
        train_loss, images = train_epoch(
            model, optimizer, loss_fn, train, epoch=number, augment=augment, on_batch=on_batch
        )
        seconds = time.perf_counter() - began
        seen = evaluate(model, loss_fn, validation)
        if not math.isfinite(seen.loss):
            raise NonFiniteLoss(
                f"the validation loss became {seen.loss} after epoch {number}; try a lower learning rate"
            )
        yield Epoch(number, train_loss, seen.loss, seen.accuracy, images, seconds)


def train_epoch(
    model: Module,
    optimizer: Optimizer,
    loss_fn: Loss,
    batches: Batches,
    *,
    epoch: int = 1,
    augment: Callable[[Tensor], Tensor] | None = None,
    on_batch: Callable[[int, float], None] | None = None,
) -> tuple[float, int]:
    """One pass over the training data; returns the mean loss over the images, and their number.

    Raises:
        NonFiniteLoss: names the epoch and the batch; the weights are those before the step.
    """
    model.train()
    total, images = 0.0, 0
    for number, (x, labels) in enumerate(batches, start=1):
        optimizer.zero_grad()
        loss = loss_fn(model(augment(x) if augment else x), labels)
        value = loss.item()
        if not math.isfinite(value):
            raise NonFiniteLoss(f"the loss became {value} in epoch {epoch}, batch {number}; try a lower learning rate")
        loss.backward()
        optimizer.step()
        total += value * len(labels)
        images += len(labels)
        if on_batch:
            on_batch(number, value)
    return total / max(images, 1), images


def evaluate(model: Module, loss_fn: Loss, batches: Batches) -> Evaluation:
    """The model's answers on a data set, in eval mode and without gradients; the model's mode is left as it was.

    Raises:
        ValueError: there are no batches.
    """
    was_training = model.training
    model.eval()
    total, answers, labels = 0.0, [], []
    try:
        with no_grad():
            for x, y in batches:
                logits = model(x)
                total += loss_fn(logits, y).item() * len(y)
                answers.append(logits)
                labels.append(y)
    finally:
        model.train(was_training)
    if not answers:
        raise ValueError("evaluate: there are no batches")
    all_logits, all_labels = cat(answers), cat(labels)
    right = (all_logits.argmax(1) == all_labels).sum().item()
    return Evaluation(total / len(all_labels), right / len(all_labels), all_logits, all_labels)
