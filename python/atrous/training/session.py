"""A training run of ``atrous train``: what it is made of, its folder, and how it goes on."""

from __future__ import annotations

import math
import platform
import traceback
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from ..checks import require
from ..config import get_num_threads
from ..data import DataLoader, Subset
from ..metrics import Accuracy, MeanIoU
from ..models import build, count_macs
from ..nn import Module
from ..nn.functional import cross_entropy
from ..ops import zeros
from ..optim import SGD, Adam, AdamW, Optimizer
from ..optim.lr_scheduler import LambdaLR
from ..random import Generator, manual_seed
from ..tensor import Tensor
from .callbacks import EarlyStopping
from .diagnosis import NonFiniteLoss
from .evaluation import evaluate, evaluating
from .machine import kernel_level
from .run_folder import RunFolder
from .sources import NAMES, Source, default_channels, default_model, limited, open_source
from .trainer import Trainer

OPTIMIZERS: dict[str, tuple[Callable[..., Optimizer], float, dict[str, Any]]] = {  # class, default rate, the rest
    "adam": (Adam, 1e-3, {}),
    "adamw": (AdamW, 1e-3, {}),
    "sgd": (SGD, 2e-2, {"momentum": 0.9}),
}
SCHEDULES = ("constant", "cosine")


@dataclass(frozen=True)
class Settings:
    """What a user can choose; None is what suits the data and the network."""

    data: str = "digits"
    model: str | None = None
    size: int | None = None
    epochs: int | None = None
    batch_size: int | None = None
    optimizer: str = "adam"
    lr: float | None = None
    schedule: str | None = None
    clip_grad_norm: float | None = None
    accumulate: int = 1
    early_stopping: int | None = None
    augment: bool = True
    skip_corrupt: bool = False
    workers: int | None = None
    seed: int = 0
    root: str = "data"

    def checked(self) -> Settings:
        """The settings, if each has the type that it should have.

        Raises:
            ValueError: one has not.
        """
        kinds = {"int": (int,), "float": (int, float), "str": (str,), "bool": (bool,), "None": (type(None),)}
        for name, hint in type(self).__annotations__.items():
            value = getattr(self, name)
            allowed = [kind for word in hint.split(" | ") for kind in kinds[word]]
            if type(value) not in allowed or (type(value) in (int, float) and name != "seed" and value < 0):
                raise ValueError(f"{name} is {value!r}; expected {hint}")
        for name, known in (("optimizer", OPTIMIZERS), ("schedule", (*SCHEDULES, None))):
            if getattr(self, name) not in known:
                raise ValueError(f"{name} is {getattr(self, name)!r}; expected one of {', '.join(map(str, known))}")
        return self

    def with_defaults(self, source: Source) -> Settings:
        """The settings with every default filled in."""
        chosen = {"size": source.preprocessing["size"][0], "schedule": "constant"}
        chosen |= {"lr": OPTIMIZERS["adam"][1], **source.defaults}
        if self.optimizer == "sgd":  # the data's rate, if it has one, is for Adam
            chosen["lr"] = OPTIMIZERS["sgd"][1]
        return replace(self, **{name: value for name, value in chosen.items() if getattr(self, name) is None})


class Session:
    """A run: its settings, data, network and trainer. ``limit`` keeps only so many images a part, for tests.

    Raises:
        ValueError: data and network do not fit, or one of them does not exist.
        OSError: data cannot be read.
    """

    def __init__(self, settings: Settings, download: bool = False, limit: int | None = None) -> None:
        model = settings.model or default_model(settings.data)
        size = settings.size or (32 if model == "lenet5" else None)
        self.source, self.model = source_and_model(replace(settings, model=model, size=size), download)
        self.settings = settings = replace(settings, model=model, size=size).with_defaults(self.source)
        parts = [limited(part, limit) for part in self.source.parts]
        workers, collate = settings.workers or 0, self.source.augment
        N, B = len(parts[0]), settings.batch_size
        self.train = DataLoader(
            parts[0],
            B,
            shuffle=True,
            num_workers=workers,
            collate_fn=collate,
            drop_last=N > B and N % B == 1,  # type: ignore[operator]  # batch-norm finds no variance in one sample
            generator=Generator(settings.seed, stream=1),
        )
        self.validation, self.test = (DataLoader(part, 64, num_workers=workers) for part in parts[1:])
        self.folder: RunFolder
        self.trainer: Trainer

    @classmethod
    def start(
        cls, settings: Settings, out: Path, command: str = "", download: bool = False, limit: int | None = None
    ) -> Session:
        """A new run in a new folder under ``out``.

        Raises:
            OSError: the folder or its first files cannot be written.
        """
        if settings.data not in NAMES and Path(settings.data).is_dir():  # so that the run can go on from another folder
            settings = replace(settings, data=str(Path(settings.data).resolve()))
        session = cls(replace(settings, root=str(Path(settings.root).resolve())), download, limit)
        weights = sum(value.data.nbytes for value in session.model.state_dict().values())
        name = f"{session.settings.model.rpartition(':')[2]}-{Path(settings.data).name}"  # type: ignore[union-attr]
        session.folder = RunFolder.create(out, name, weights)
        session.folder.write_config(session.config(command))
        session.trainer = session.make_trainer()
        return session

    @classmethod
    def resume(
        cls, path: Path, changes: Mapping[str, Any] | None = None, download: bool = False, limit: int | None = None
    ) -> Session:
        """A run that goes on from its checkpoint.

        Args:
            path: its folder.
            changes: of its settings; epochs, early_stopping and workers can change.
        Raises:
            OSError: a file is missing or cannot be read.
            ValueError: a file is damaged, the data are not those that the run began with, or fewer epochs are asked
                for than are done.
        """
        folder = RunFolder.open(path)
        config = folder.read_config()
        try:
            settings = Settings(**config["settings"]).checked()
            known = {name: config[name] for name in ("classes", "data", "model", "machine", "versions", "started")}
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"{folder.config} holds no settings that this version understands: {error}") from error
        session = cls(replace(settings, **(changes or {})), download, limit)
        now = session.config("")
        if any(now[name] != known[name] for name in ("classes", "data")):
            raise ValueError(f"{settings.data} is not what it was when the run began: other files, classes or numbers")
        done, epochs = folder.epochs_done(), session.settings.epochs
        if epochs is not None and done > epochs:
            raise ValueError(f"{path} has {done} epochs done; --epochs {epochs} would be fewer")
        session.folder = folder
        if session.settings != settings:
            folder.write_config({**config, "settings": asdict(session.settings)})
        session.trainer = session.make_trainer()
        return session

    @property
    def segmentation(self) -> bool:
        """Whether each pixel has a class, not each image."""
        return self.source.task == "segmentation"

    def make_trainer(self) -> Trainer:
        """The trainer of the run, as its settings say."""
        settings = self.settings
        kind, _, extra = OPTIMIZERS[settings.optimizer]
        optimizer = kind(self.model.parameters(), lr=settings.lr, **extra)
        scheduler = None
        if settings.schedule == "cosine":
            steps = settings.epochs * math.ceil(len(self.train) / settings.accumulate)  # type: ignore[operator]
            scheduler = LambdaLR(optimizer, lambda step: cosine(step, steps))
        metrics: dict[str, Any] = {"accuracy": Accuracy()}
        if self.segmentation:
            metrics["iou"] = MeanIoU(len(self.source.classes))
        return Trainer(
            self.model,
            optimizer,
            cross_entropy,
            metrics=metrics,
            scheduler=scheduler,
            schedule_batches=True,
            clip_grad_norm=settings.clip_grad_norm,
            accumulate=settings.accumulate,
            callbacks=[EarlyStopping(settings.early_stopping)] if settings.early_stopping else [],
            folder=self.folder.path,
            facts=self.facts(),
        )

    def fit(self) -> None:
        """Trains the epochs that are left.

        Raises:
            KeyboardInterrupt: after Ctrl-C; the checkpoint is that of the last step.
            NonFiniteLoss, OSError: the checkpoint is an earlier one.
            ValueError: the checkpoint does not fit.
        """
        assert self.settings.epochs is not None
        self.trainer.fit(self.train, self.validation, self.settings.epochs, resume=True)

    def in_words(self, error: Exception) -> Exception:
        """An error as a user reads it: files instead of numbers of samples, the line in a network of one's own."""
        if isinstance(error, NonFiniteLoss) and "validation" not in str(error):
            files = [file for file in (file_of(self.train.dataset, i) for i in error.samples[:8]) if file]
            return RuntimeError(f"{error}: {', '.join(files)}") if files else error
        if isinstance(error, (ValueError, RuntimeError, OSError, ImportError, MemoryError)):
            return error
        frame = traceback.extract_tb(error.__traceback__)[-1]
        where = f"{Path(frame.filename).name}, line {frame.lineno}"
        return RuntimeError(f"{self.settings.model}: {type(error).__name__}: {error} ({where})")

    def initial_loss(self) -> float:
        """The mean loss over the first thousand training images, without a step."""
        return evaluate(self.model, cross_entropy, DataLoader(limited(self.train.dataset, 1000), 128))["loss"]

    def facts(self) -> dict[str, Any]:
        """What it takes to use the network, stored with its weights."""
        return {
            "model": self.settings.model,
            "task": self.source.task,
            "data": self.settings.data,
            "classes": self.source.classes,
            "preprocessing": self.source.preprocessing,
        }

    def config(self, command: str) -> dict[str, Any]:
        """All that decides the run, and what it ran on."""
        return {
            "command": command,
            "settings": asdict(self.settings),
            "data": {
                "title": self.source.title,
                **{name: len(part) for name, part in self.parts().items()},
                "files": self.source.files,
            },
            "model": {"name": self.settings.model, "parameters": self.parameters(), "multiply_adds": self.macs()},
            "preprocessing": self.source.preprocessing,
            "classes": self.source.classes,
            "machine": {"platform": platform.platform(), "kernels": kernel_level(), "threads": get_num_threads()},
            "versions": {"python": platform.python_version(), **versions("atrous", "numpy", "safetensors", "pillow")},
            "started": datetime.now().astimezone().isoformat(timespec="seconds"),
        }

    def parts(self) -> dict[str, Any]:
        """The data sets that train, validate and test."""
        return {"train": self.train.dataset, "validation": self.validation.dataset, "test": self.test.dataset}

    def parameters(self) -> int:
        """How many numbers the network learns."""
        return sum(parameter.numel() for parameter in self.model.parameters())

    def macs(self) -> int:
        """Multiply-adds of one image's way through the network."""
        return count_macs(self.model, 1, self.source.channels, *self.source.preprocessing["size"])


def source_and_model(settings: Settings, download: bool) -> tuple[Source, Module]:
    """Data and a fresh network that fit: the network's output says whether images or pixels have classes."""
    assert settings.model is not None
    name = settings.model
    channels = default_channels(settings.data)
    task = "segmentation" if name == "unet" else "classification"
    if ":" in name:
        shape = output_shape(name, build(name, 2, channels), channels, settings.size or (64 if channels == 3 else 32))
        task = "segmentation" if len(shape) == 4 else "classification"
        if task == "segmentation" and settings.data != "shapes":
            raise ValueError(f"{name} gives an output of shape {shape}; expected (N, C), a number for each class")
    source = open_source(
        settings.data,
        task,
        settings.size,
        root=settings.root,
        download=download,
        skip_corrupt=settings.skip_corrupt,
        augment=settings.augment,
    )
    manual_seed(settings.seed)  # the initial weights
    classes = len(source.classes)
    model = build(name, classes, channels)
    require(any(True for _ in model.parameters()), name, "the network has no parameters, nothing to train")
    shape = output_shape(name, model, channels, source.preprocessing["size"][0])
    if len(shape) < 2 or shape[1] != classes:
        raise ValueError(
            f"{name} gives an output of shape {shape}; expected (N, {classes}, ...), a number for each class"
        )
    return source, model


def cosine(step: int, steps: int) -> float:
    """The share of the learning rate at a step: up over the first 50 steps, or tenth, then down along a cosine to 0."""
    warm_up = max(min(50, steps // 10), 1)
    return min((step + 1) / warm_up, 1.0) * 0.5 * (1 + math.cos(math.pi * min(step / steps, 1.0)))


def output_shape(name: str, model: Module, channels: int, side: int) -> tuple[int, ...]:
    """What the network makes of one image; its mode stays as it is.

    Raises:
        ValueError: it does not take such an image, or gives no tensor.
    """
    try:
        with evaluating(model):
            output = model(zeros(1, channels, side, side))
    except Exception as error:  # the network may be the user's own
        kind = "" if isinstance(error, ValueError) else f"{type(error).__name__}: "
        raise ValueError(f"{name} does not take images of {channels}×{side}×{side}: {kind}{error}") from error
    if not isinstance(output, Tensor):
        raise ValueError(f"{name} returned a {type(output).__name__}; expected a Tensor")
    return tuple(output.shape)


def file_of(dataset: Any, index: int) -> str | None:
    """The file of a sample, where the data set is a folder of images or a part of one."""
    while isinstance(dataset, Subset):
        dataset, index = dataset.dataset, dataset.indices[index]
    return dataset.samples[index][0] if hasattr(dataset, "samples") else None


def versions(*names: str) -> dict[str, str]:
    """The versions of installed packages; those that are not installed are left out.

    Example:
        >>> list(versions("numpy", "no-such-package"))
        ['numpy']
    """
    found = {}
    for name in names:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
