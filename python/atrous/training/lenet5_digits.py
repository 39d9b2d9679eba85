"""The job behind ``atrous train``: LeNet-5 on handwritten digits."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from ..data import DataLoader, Subset, TensorDataset, stratified_split
from ..datasets import digits, prepare_digits
from ..models import LeNet5, lenet5
from ..ops import from_numpy
from ..optim import SGD, Adam, AdamW, Optimizer
from ..random import Generator, manual_seed
from .augment import RandomShift

NAME = "lenet5-digits"
SIZE = 32  # pixels: what LeNet-5 takes
SHIFT = 3  # pixels; this, the epochs and the rates below were chosen on the validation part
SPLIT_SEED = 0  # the same test and validation images whatever the run's seed, so that runs compare
CLASSES = [str(digit) for digit in range(10)]
OPTIMIZERS: dict[str, tuple[Callable[..., Optimizer], float, dict[str, Any]]] = {  # class, default rate, the rest
    "adam": (Adam, 1e-3, {}),
    "adamw": (AdamW, 1e-3, {}),
    "sgd": (SGD, 2e-2, {"momentum": 0.9}),
}


@dataclass(frozen=True)
class Settings:
    """What a user can choose; ``lr`` None is the optimizer's own default."""

    epochs: int = 60
    batch_size: int = 32
    optimizer: str = "adam"
    lr: float | None = None
    seed: int = 0

    def resolved(self) -> Settings:
        """The settings with every default filled in."""
        return Settings(**{**asdict(self), "lr": self.lr or OPTIMIZERS[self.optimizer][1]})


@dataclass
class Job:
    """All that a training run works on."""

    settings: Settings
    model: LeNet5
    optimizer: Optimizer
    train: DataLoader
    validation: DataLoader
    test: DataLoader  # read once, after training
    augment: RandomShift
    generators: dict[str, Generator]  # whose states a checkpoint keeps
    preprocessing: dict[str, Any]


def build(settings: Settings, limit: int | None = None) -> Job:
    """Data, network and optimizer of a run, all of it decided by the settings.

    A fifth of the images is for the test, a fifth of the rest for validation, each class with its share.

    Args:
        settings: what the user chose.
        limit: keep only this many images a part; for tests.
    """
    settings = settings.resolved()
    images, labels = digits()
    N = len(labels)
    N_test = -(-N // 5)
    N_validation = (N - N_test) // 5
    parts = stratified_split(labels, [N - N_test - N_validation, N_validation, N_test], seed=SPLIT_SEED)
    x = prepare_digits(images, SIZE)  # (N, 1, SIZE, SIZE), 0 to 1
    train_pixels = x[parts[0]].astype(np.float64)
    mean, std = round(float(train_pixels.mean()), 4), round(float(train_pixels.std()), 4)
    dataset = TensorDataset(from_numpy((x - np.float32(mean)) / np.float32(std)), from_numpy(labels))
    train, validation, test = (Subset(dataset, part[:limit].tolist()) for part in parts)

    manual_seed(settings.seed)  # the initial weights
    model = lenet5(len(CLASSES))
    generators = {"order": Generator(settings.seed, stream=1), "shifts": Generator(settings.seed, stream=2)}
    kind, _, extra = OPTIMIZERS[settings.optimizer]
    return Job(
        settings=settings,
        model=model,
        optimizer=kind(model.parameters(), lr=settings.lr, **extra),
        train=DataLoader(train, settings.batch_size, shuffle=True, generator=generators["order"]),
        validation=DataLoader(validation, 128),
        test=DataLoader(test, 128),
        augment=RandomShift(SHIFT, generators["shifts"], fill=-mean / std),
        generators=generators,
        preprocessing={"size": [SIZE, SIZE], "mode": "L", "ink": "light", "mean": mean, "std": std},
    )
