"""What a trained network answers on the test images: all that a report tells and draws."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..data import DataLoader
from ..metrics import ConfusionMatrix
from ..nn import Module
from ..nn.functional import softmax
from .evaluation import evaluating
from .progress import percent

SHOWN = 6  # images of a segmentation's picture


@dataclass
class Results:
    """Counts of (true class, answer) over images, or over pixels; and what was answered to whom.

    Attributes:
        classes: the C names.
        counts: (C, C), row = true class, column = answer.
        indices: the images' numbers in the data set.
        targets: of classification (N,) labels; of segmentation (n, H, W) the first images' masks.
        answers: of classification (N, C) probabilities; of segmentation (n, H, W) classes.
        images: how many images there are.
    """

    classes: Sequence[str]
    counts: np.ndarray
    indices: list[int]
    targets: np.ndarray
    answers: np.ndarray
    images: int

    @property
    def accuracy(self) -> float:
        """The share of right answers."""
        return int(np.trace(self.counts)) / max(int(self.counts.sum()), 1)

    @property
    def iou(self) -> np.ndarray:
        """Intersection over union of each class; NaN of a class that neither occurs nor was answered."""
        right = np.diag(self.counts)
        union = self.counts.sum(0) + self.counts.sum(1) - right
        with np.errstate(invalid="ignore"):
            return right / np.where(union > 0, union, np.nan)

    def headline(self) -> str:
        """The number that counts, in a line."""
        if self.targets.ndim > 1:
            mean = float(np.nanmean(self.iou))
            return f"test mean IoU {percent(mean)} (pixel accuracy {percent(self.accuracy)}, {self.images} images)"
        right, total = int(np.trace(self.counts)), int(self.counts.sum())
        return f"test accuracy {percent(self.accuracy)} ({right} of {total})"


def answers_of(model: Module, batches: DataLoader, classes: Sequence[str]) -> Results:
    """The model's answers in eval mode, without gradients; its mode is left as it was.

    Args:
        model: maps images to logits (N, C) or (N, C, H, W).
        batches: of (images, target).
        classes: the C names.
    Raises:
        ValueError: there are no batches.
    """
    counts = ConfusionMatrix(len(classes))
    indices: list[int] = []
    targets: list[Any] = []
    answers: list[Any] = []
    with evaluating(model):
        for images, target in batches:
            logits = model(images)
            counts.update(logits, target)
            pixels = logits.ndim == 4
            if not pixels or len(indices) < SHOWN:
                targets.append(target.numpy())
                answers.append((logits.argmax(1) if pixels else softmax(logits, dim=1)).numpy())
            indices += batches.batch_indices or []
    if not targets:
        raise ValueError("there are no test images")
    keep = None if targets[0].ndim == 1 else SHOWN
    return Results(
        list(classes),
        np.asarray(counts.compute()),
        indices[:keep],
        np.concatenate(targets)[:keep],
        np.concatenate(answers)[:keep],
        len(indices),
    )
