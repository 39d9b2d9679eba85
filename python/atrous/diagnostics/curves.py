"""What the curves of a training run say, in the words that courses use."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from ..checks import require

NAMES = (
    "no better than random",
    "plateau",
    "diverging",
    "sudden spike",
    "under-fitting",
    "over-fitting",
    "loss and accuracy both falling",
)

HIGH = 0.3  # of the loss of chance: a training loss above it is still high
STILL = 0.02  # a relative change of the loss below it is none
RISE = 0.1  # of the loss of chance: a rise of the loss that counts
FAR = 10  # times the loss of chance: no sound run stays above it
LOST = 0.05  # accuracy lost that counts


def diagnose(history: Sequence[Mapping[str, float]], num_classes: int) -> dict[str, str]:
    """Names what is wrong with a training run, each with the numbers that say so; a good run gives an empty dict.

    - "no better than random": the training loss stays at log C, and the accuracy at 1/C.
    - "plateau": the training loss is still high and has stopped falling, at the end or for a third of the run.
    - "diverging": the training loss ends far above the least it was or far above log C, or as NaN.
    - "sudden spike": the training loss jumps up and comes back.
    - "under-fitting": training and validation loss end alike, and high. Where "plateau" is named, too, more epochs will
      not help but a larger network or another rate may; where it is not, the run was too short.
    - "over-fitting": the validation loss ends above the least it was, while the training loss went on falling.
    - "loss and accuracy both falling": what is minimised is not what is wanted, as where a penalty or the weights of
      rare classes rule the loss.

    They are rules of thumb for losses that are cross-entropies of C classes.

    Args:
        history: a row an epoch (or some steps), as `Trainer.history`: "train_loss" and, where there are,
            "validation_loss" and "validation_accuracy"; four rows or more.
        num_classes: C.
    Raises:
        ValueError: too few rows, or no "train_loss".
    Example:
        >>> rows = [{"train_loss": 1 / n, "validation_loss": 1 / n + 0.1 * n} for n in range(1, 9)]
        >>> diagnose(rows, num_classes=10)
        {'over-fitting': 'the validation loss rose from 0.63 to 0.88 while the training loss fell to 0.13'}

    Source:
        Karpathy, CS231n Convolutional Neural Networks for Visual Recognition, "Neural Networks Part 3", 2015;
        Goodfellow, Bengio and Courville, Deep Learning, 2016, sections 5.2 and 11.5.
    """
    require(len(history) >= 4, "diagnose", f"history has {len(history)} rows; expected 4 or more")
    require(num_classes >= 2, "diagnose", f"num_classes is {num_classes}; expected 2 or more")
    require(all("train_loss" in row for row in history), "diagnose", "history has rows without 'train_loss'")
    train, validation, accuracy = (
        _column(history, key) for key in ("train_loss", "validation_loss", "validation_accuracy")
    )
    assert train is not None
    found = {"diverging": _diverging(train, math.log(num_classes))}
    if not found["diverging"]:
        found |= {
            "sudden spike": _spike(train, math.log(num_classes)),
            "no better than random": _random(train, accuracy, num_classes),
            "over-fitting": _over_fitting(train, validation, math.log(num_classes)),
            "loss and accuracy both falling": _both_falling(train if validation is None else validation, accuracy),
        }
        if not found["no better than random"]:
            found["plateau"] = _plateau(train, math.log(num_classes))
            if not found["over-fitting"]:
                found["under-fitting"] = _under_fitting(train, validation, math.log(num_classes))
    return {name: found[name] for name in NAMES if found.get(name)}


def _column(history: Sequence[Mapping[str, float]], key: str) -> np.ndarray | None:
    return np.array([row[key] for row in history], float) if all(key in row for row in history) else None


def _end(values: np.ndarray) -> float:
    """The median of the last quarter, so that one bad epoch decides nothing."""
    return float(np.median(values[-max(2, len(values) // 4) :]))


def _diverging(train: np.ndarray, chance: float) -> str:
    if not np.isfinite(train).all():
        return f"the training loss is {train[~np.isfinite(train)][0]} in row {int(np.isfinite(train).argmin()) + 1}"
    least, end = float(train.min()), float(min(_end(train), train[-1]))
    if end > 2 * least and end - least > RISE * chance and int(train.argmin()) < len(train) - 2:
        return f"the training loss rose from {least:.2f} to {end:.2f}"
    if least > FAR * chance:
        return f"the training loss ends at {end:.3g}; guessing gives {chance:.2f}"
    return ""


def _spike(train: np.ndarray, chance: float) -> str:
    for i in range(1, len(train) - 1):
        before, after = float(np.median(train[max(0, i - 3) : i])), float(train[i + 1 :].min())
        back = before + 0.25 * (train[i] - before)
        if train[i] > 2 * before and train[i] - before > RISE * chance and after < back:
            return f"the training loss jumped from {before:.2f} to {train[i]:.2f} in row {i + 1}, and came back"
    return ""


def _random(train: np.ndarray, accuracy: np.ndarray | None, num_classes: int) -> str:
    chance = 1 / num_classes
    if _end(train) < 0.95 * math.log(num_classes):
        return ""
    if accuracy is not None and _end(accuracy) > chance + 0.1 * (1 - chance):
        return ""
    return (
        f"the training loss ends at {_end(train):.2f}; guessing among {num_classes} gives {math.log(num_classes):.2f}"
    )


def _plateau(train: np.ndarray, chance: float) -> str:
    length = max(4, len(train) // 3)
    for start in range(len(train) - length, -1, -1):
        part = train[start : start + length]
        early, late = float(part[: length // 2].mean()), float(part[-(length // 2) :].mean())
        if late > HIGH * chance and abs(early - late) < STILL * early:
            return f"the training loss stays at {late:.2f} in rows {start + 1} to {start + length}"
    return ""


def _under_fitting(train: np.ndarray, validation: np.ndarray | None, chance: float) -> str:
    end = _end(train)
    apart = 0.0 if validation is None else _end(validation) - end
    if end > HIGH * chance and apart < 0.25 * end:
        return f"the training loss ends at {end:.2f}; guessing gives {chance:.2f}"
    return ""


def _over_fitting(train: np.ndarray, validation: np.ndarray | None, chance: float) -> str:
    if validation is None:
        return ""
    least, end = float(validation.min()), _end(validation)
    fell = _end(train) < train[int(validation.argmin())]
    if end - least > RISE * chance and end > 1.1 * least and fell and end - _end(train) > RISE * chance:
        words = f"the validation loss rose from {least:.2f} to {end:.2f}"
        return f"{words} while the training loss fell to {_end(train):.2f}"
    return ""


def _both_falling(loss: np.ndarray, accuracy: np.ndarray | None) -> str:
    if accuracy is None:
        return ""
    best, end = float(accuracy[: len(accuracy) // 2].max()), _end(accuracy)
    if best - end > LOST and _end(loss) < (1 - STILL) * loss[int(accuracy.argmax())]:
        words = f"the accuracy fell from {best:.2f} to {end:.2f}"
        return f"{words} while the loss fell from {loss[int(accuracy.argmax())]:.2f} to {_end(loss):.2f}"
    return ""
