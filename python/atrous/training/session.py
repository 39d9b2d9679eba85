"""A training run on disk: what it is made of, how far it has come, and how it goes on."""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from ..config import get_num_threads
from ..data import DataLoader
from ..models import count_macs
from ..nn.functional import cross_entropy
from . import lenet5_digits as recipe
from .checkpoint import Progress, load_checkpoint, save_checkpoint
from .lenet5_digits import Job, Settings
from .loop import Epoch, Evaluation, evaluate, fit
from .machine import kernel_level
from .run_folder import RunFolder


@dataclass
class Session:
    """A job, its folder, and its progress; the folder holds a checkpoint that is as far as ``saved`` epochs."""

    job: Job
    folder: RunFolder
    progress: Progress
    saved: int = 0

    @classmethod
    def start(cls, settings: Settings, out: Path, limit: int | None = None) -> Session:
        """A new run in a new folder under ``out``; ``limit`` keeps only so many images a part, for tests.

        Raises:
            OSError: the folder or its first files cannot be written.
        """
        job = recipe.build(settings, limit)
        session = cls(job, RunFolder.create(out, recipe.NAME), Progress())
        session.folder.write_config(session.config())
        session.save()  # from here on the run can be resumed, and a disk that is full has said so
        return session

    @classmethod
    def resume(cls, path: Path, epochs: int | None = None, limit: int | None = None) -> Session:
        """A run that goes on from its checkpoint; ``epochs`` changes how many it has in all.

        Raises:
            OSError: a file is missing or cannot be read.
            ValueError: a file is damaged, or fewer epochs are asked for than are done.
        """
        folder = RunFolder.open(path)
        config = folder.read_config()
        try:
            settings = Settings(**config["settings"])
        except (KeyError, TypeError) as error:
            raise ValueError(f"{folder.config} holds no settings that this version understands: {error}") from error
        job = recipe.build(replace(settings, epochs=epochs or settings.epochs), limit)
        progress = load_checkpoint(folder.checkpoint, job.model, job.optimizer, job.generators)
        if job.settings.epochs < progress.epoch:
            raise ValueError(f"{path} has {progress.epoch} epochs done; --epochs {epochs} would be fewer")
        session = cls(job, folder, progress, saved=progress.epoch)
        if job.settings != settings:
            folder.write_config({**config, "settings": asdict(job.settings)})
        folder.write_metrics(progress.history)  # rows after the checkpoint belong to epochs that are done again
        if progress.best:
            session.save_model()
        return session

    def run(self, on_batch: Callable[[int, float], None] | None = None) -> Iterator[tuple[Epoch, bool]]:
        """Trains the epochs that are left; after each, files are up to date and (epoch, whether it is the best) comes.

        Raises:
            NonFiniteLoss, OSError: the checkpoint is then that of the epoch before.
        """
        job = self.job
        epochs = fit(
            job.model,
            job.optimizer,
            cross_entropy,
            job.train,
            job.validation,
            job.settings.epochs,
            start=self.progress.epoch,
            augment=job.augment,
            on_batch=on_batch,
        )
        for epoch in epochs:
            best = self.progress.add(epoch, job.model)
            self.folder.append_metrics(self.progress.history[-1])
            if best:
                self.save_model()
            self.save()
            yield epoch, best

    def initial_loss(self) -> float:
        """The mean loss over the training images, without a step and without shifts."""
        return evaluate(self.job.model, cross_entropy, DataLoader(self.job.train.dataset, 128)).loss

    def test(self) -> Evaluation:
        """What the best weights answer on the test images; the model keeps these weights."""
        self.job.model.load_state_dict(self.progress.best_weights)
        return evaluate(self.job.model, cross_entropy, self.job.test)

    def save(self) -> None:
        """Writes the checkpoint."""
        job = self.job
        save_checkpoint(self.folder.checkpoint, job.model, job.optimizer, job.generators, self.progress)
        self.saved = self.progress.epoch

    def save_model(self) -> None:
        """Writes the best weights with what it takes to use them."""
        facts = {"model": "lenet5", "classes": recipe.CLASSES, "preprocessing": self.job.preprocessing}
        self.folder.save_model(self.progress, facts)

    def config(self) -> dict[str, Any]:
        """All that decides the run, and what it ran on."""
        job = self.job
        return {
            "run": recipe.NAME,
            "settings": asdict(job.settings),
            "augmentation": {"shift": recipe.SHIFT},
            "split": {
                "seed": recipe.SPLIT_SEED,
                "train": len(job.train.dataset),
                "validation": len(job.validation.dataset),
                "test": len(job.test.dataset),
            },
            "model": {"name": "lenet5", "parameters": self.parameters(), "multiply_adds": self.macs()},
            "preprocessing": job.preprocessing,
            "classes": recipe.CLASSES,
            "machine": {"platform": platform.platform(), "kernels": kernel_level(), "threads": get_num_threads()},
            "versions": {"python": platform.python_version(), **versions("atrous", "numpy", "safetensors")},
            "started": datetime.now().astimezone().isoformat(timespec="seconds"),
        }

    def parameters(self) -> int:
        """How many numbers the network learns."""
        return sum(parameter.numel() for parameter in self.job.model.parameters())

    def macs(self) -> int:
        """Multiply-adds of one image's way through the network."""
        return count_macs(self.job.model, 1, 1, recipe.SIZE, recipe.SIZE)


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
