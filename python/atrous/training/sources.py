"""The data that ``atrous train`` knows by name, and folders of images: each cut into training, validation and test."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from .. import datasets
from ..checks import suggestion
from ..config import get_num_threads
from ..data import Dataset, Subset, TensorDataset, stratified_split
from ..datasets.folder import read_rgb
from ..ops import from_numpy
from ..tensor import Tensor
from ..transforms import CenterCrop, Compose, Normalize, RandomHorizontalFlip, RandomResizedCrop, Resize, ToTensor
from .augment import AugmentedBatch, RandomFlip, RandomShift

SPLIT_SEED = 0  # the same test and validation images whatever the run's seed, so that runs compare
IMAGENET = ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])  # mean and std that pretrained weights expect
KNOWN: dict[str, tuple[str, list[float], list[float]]] = {  # class, mean and std of the training pixels
    "mnist": ("MNIST", [0.1307], [0.3081]),
    "fashion-mnist": ("FashionMNIST", [0.2860], [0.3530]),
    "cifar10": ("CIFAR10", [0.4914, 0.4822, 0.4465], [0.2470, 0.2435, 0.2616]),
    "cifar100": ("CIFAR100", [0.5071, 0.4865, 0.4409], [0.2673, 0.2564, 0.2762]),
}
NAMES = ("digits", *KNOWN, "shapes")


@dataclass
class Source:
    """Data for one training run. Images are (C, H, W) as the network takes them; targets as ``task`` says.

    Attributes:
        title: what it is, in words.
        task: "classification" (a label an image) or "segmentation" (a label a pixel).
        classes: their names; of segmentation the first is the background.
        parts: the data sets that train, validate and test.
        preprocessing: what `read_image` must do to a picture, and mean and std.
        augment: makes a training batch of changed images.
        augmented: the training data set changes its images itself.
        files: tells apart other files under the same name, where there are any.
        defaults: settings that suit it, where a user gives none.
    """

    title: str
    task: str
    classes: list[str]
    parts: Sequence[Any]
    preprocessing: dict[str, Any]
    augment: Callable[[list], Any] | None = None
    augmented: bool = False
    files: str = ""
    defaults: dict[str, Any] = field(default_factory=dict)

    @property
    def channels(self) -> int:
        """1 for grey images, 3 for coloured ones."""
        return 1 if self.preprocessing["mode"] == "L" else 3


def default_model(data: str) -> str:
    """The network that suits the data, where a user names none."""
    small = {"digits": "lenet5", "mnist": "lenet5", "fashion-mnist": "lenet5", "shapes": "unet"}
    return small.get(data, "resnet8")


def default_channels(data: str) -> int:
    """1 for the data sets of grey images, 3 for all others."""
    return 1 if data in ("digits", "mnist", "fashion-mnist") else 3


def open_source(
    data: str,
    task: str,
    size: int | None = None,
    *,
    root: str = "data",
    download: bool = False,
    skip_corrupt: bool = False,
    augment: bool = True,
) -> Source:
    """Data by name, or a folder of images.

    Args:
        data: one of `NAMES`, or a folder that holds a folder of images for each class; or ``train`` and ``val`` or
            ``test`` folders with these.
        task: "classification" or "segmentation".
        size: side of the images in pixels; None takes what suits the data.
        root: where the files of MNIST and CIFAR are.
        download: fetch them where they are missing.
        skip_corrupt: leave out images of a folder that cannot be read, instead of an error.
        augment: move and mirror the training images.
    Raises:
        ValueError: there is no such data, or none for this task.
        OSError: files are missing or cannot be read.
    """
    if data not in NAMES and not Path(data).is_dir():
        hint = suggestion(data, NAMES) or f"; there are {', '.join(NAMES)}"
        raise ValueError(f"there is no data set and no folder {data!r}{hint}")
    if task == "segmentation" and data != "shapes":
        raise ValueError(f"{data} has a class for each image, not for each pixel: a network such as unet needs masks")
    if data == "digits":
        source = digits(size or 32)
    elif data == "shapes":
        source = shapes(task, size or 64)
    elif data in NAMES:
        source = known(data, size or 32, root, download)
    else:
        return folder(Path(data), size or 64, skip_corrupt, augment)
    return source if augment else replace(source, augment=None)


def digits(size: int) -> Source:
    """The UCI digits: a fifth of the images is for the test, a fifth of the rest for validation."""
    images, labels = datasets.digits()
    N = len(labels)
    N_test = -(-N // 5)
    N_validation = (N - N_test) // 5
    parts = stratified_split(labels, [N - N_test - N_validation, N_validation, N_test], seed=SPLIT_SEED)
    x = datasets.prepare_digits(images, size)  # (N, 1, size, size), 0 to 1
    pixels = x[parts[0]].astype(np.float64)
    mean, std = round(float(pixels.mean()), 4), round(float(pixels.std()), 4)
    dataset = TensorDataset(from_numpy((x - np.float32(mean)) / np.float32(std)), from_numpy(labels))
    return Source(
        "handwritten digits",
        "classification",
        [str(digit) for digit in range(10)],
        [Subset(dataset, part.tolist()) for part in parts],
        preprocessing={"size": [size, size], "mode": "L", "fit": "ink", "mean": [mean], "std": [std]},
        augment=AugmentedBatch(RandomShift(3, -mean / std)),  # chosen on the validation part, as are the epochs
        defaults={"epochs": 60, "batch_size": 32, "workers": 0},
    )


def mean_and_std(preprocessing: Mapping[str, Any]) -> tuple[np.ndarray, np.ndarray]:
    """Of the pixels of each channel, float32 (C, 1, 1)."""
    mean, std = (np.array(preprocessing[name], np.float32)[:, None, None] for name in ("mean", "std"))
    return mean, std


class Pixels(Dataset):
    """Images in memory as uint8 (N, H, W) or (N, H, W, C); a sample is normalised, padded or scaled to ``size``."""

    def __init__(self, pixels: np.ndarray, labels: np.ndarray, preprocessing: dict[str, Any]) -> None:
        self.pixels, self.labels = pixels, labels
        self.mean, self.std = mean_and_std(preprocessing)
        self.size = preprocessing["size"][0]

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        x = self.pixels[index]
        side, size = x.shape[0], self.size
        if side < size <= side + 4:  # 28 to 32, as LeCun et al. did
            low = (size - side) // 2
            x = np.pad(x, [(low, size - side - low)] * 2 + [(0, 0)] * (x.ndim - 2))
        elif side != size:
            from PIL import Image

            x = np.asarray(Image.fromarray(x).resize((size, size), Image.Resampling.BILINEAR))
        x = x.reshape(size, size, -1).transpose(2, 0, 1).astype(np.float32) / np.float32(255)  # (C, size, size)
        return Tensor((x - self.mean) / self.std), int(self.labels[index])


def known(data: str, size: int, root: str, download: bool) -> Source:
    """MNIST, Fashion-MNIST, CIFAR-10 and CIFAR-100; a tenth of the training images validates."""
    title, mean, std = KNOWN[data]
    kind = getattr(datasets, title)
    try:
        train, test = kind(root, train=True, download=download), kind(root, train=False, download=download)
    except FileNotFoundError as error:
        raise FileNotFoundError(f"{error} (on the command line: --download, or --root DIR)") from error
    grey = len(mean) == 1
    preprocessing = {
        "size": [size, size],
        "mode": "L" if grey else "RGB",
        "fit": "ink" if data == "mnist" else "crop",
        "mean": mean,
        "std": std,
    }
    parts = stratified_split(train.targets, [0.9, 0.1], seed=SPLIT_SEED)
    cut = [*((train.data[part], train.targets[part]) for part in parts), (test.data, test.targets)]
    shift = RandomShift(2 if grey else 4, -mean[0] / std[0])
    return Source(
        title,
        "classification",
        list(train.classes),
        [Pixels(pixels, labels, preprocessing) for pixels, labels in cut],
        preprocessing=preprocessing,
        augment=AugmentedBatch(shift) if data == "mnist" else AugmentedBatch(shift, RandomFlip()),
        defaults={"epochs": 5 if grey else 20, "batch_size": 64, "workers": 1, "schedule": "cosine"},
    )


def shapes(task: str, size: int) -> Source:
    """Shapes made on the fly; the three parts differ in their seeds."""
    segmentation = task == "segmentation"
    options: dict[str, Any] = {"target": "mask"} if segmentation else {"target": "class", "objects": (1, 1)}
    parts = [datasets.shapes(N, size, seed, **options) for seed, N in enumerate((2000, 300, 300))]
    preprocessing = {"size": [size, size], "mode": "RGB", "fit": "stretch", "mean": [0.5] * 3, "std": [0.25] * 3}
    names = list(parts[0].classes)
    return Source(
        "coloured shapes on cluttered backgrounds",
        task,
        ["background", *names] if segmentation else names,
        [Normalized(part, preprocessing) for part in parts],
        preprocessing=preprocessing,
        augment=None if segmentation else AugmentedBatch(RandomFlip()),
        defaults={"workers": 1, "schedule": "cosine", "lr": 3e-3}
        | ({"epochs": 10, "batch_size": 16} if segmentation else {"epochs": 15, "batch_size": 32}),
    )


class Normalized(Dataset):
    """A data set of (image, target) whose images (C, H, W), 0 to 1, are brought to mean 0 and deviation 1."""

    def __init__(self, dataset: Any, preprocessing: dict[str, Any]) -> None:
        self.dataset = dataset
        self.mean, self.std = mean_and_std(preprocessing)

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> tuple[Tensor, Any]:
        image, target = self.dataset[index]
        return Tensor((image.data - self.mean) / self.std), target


def folder(path: Path, size: int, skip_corrupt: bool, augment: bool) -> Source:
    """A folder of images by class.

    With ``train``, ``val`` and ``test`` inside these are the parts; what is missing is cut from ``train``, and a
    ``val`` without a ``test`` is the test. Without ``train`` a fifth of each class is for the test, a fifth of the rest
    validates. The training images are cropped and mirrored at random if ``augment`` says so.
    """
    preprocessing = {"size": [size, size], "mode": "RGB", "fit": "crop", "mean": IMAGENET[0], "std": IMAGENET[1]}
    still = Compose([*centre(size), ToTensor(), Normalize(*IMAGENET)])
    moving = Compose([RandomResizedCrop(size, (0.35, 1.0)), RandomHorizontalFlip(), ToTensor(), Normalize(*IMAGENET)])
    at_least = (2 * size, 2 * size)  # large JPEGs are decoded smaller, no smaller than this

    def images(part: Path, transform: Compose) -> datasets.ImageFolder:
        return datasets.ImageFolder(
            str(part),
            transform,
            loader=lambda file: read_rgb(file, at_least),
            on_error="skip" if skip_corrupt else "raise",
        )

    inside = parts_inside(path) or {"train": path}
    train, watched = images(inside["train"], moving if augment else still), images(inside["train"], still)
    given = [images(inside[name], still) for name in ("val", "test") if name in inside]
    classes = train.classes
    for other in given:
        if other.classes != classes:
            raise ValueError(f"{other.root} has the classes {other.classes}; expected {classes} as in train")
    if len(classes) < 2:
        raise ValueError(
            f"{path} holds the class {classes[0]!r} alone; expected a folder for each of two or more classes"
        )
    shares = {0: [0.64, 0.16, 0.2], 1: [0.9, 0.1], 2: [1.0]}[len(given)]
    cuts = split(path, train.targets, shares)
    own = [Subset(train, cuts[0]), *(Subset(watched, cut) for cut in cuts[1:])]
    return Source(
        f"the images in {path}",
        "classification",
        classes,
        [*own, *given],
        preprocessing=preprocessing,
        augmented=augment,
        files=digest_of(path, [train, *given]),
        defaults={"epochs": 20, "batch_size": 16, "workers": max(1, get_num_threads() // 4), "schedule": "cosine"},
    )


def digest_of(path: Path, parts: list[datasets.ImageFolder]) -> str:
    """The names of all files and their classes, as a number."""
    names = [
        (os.path.relpath(file, path).replace(os.sep, "/"), label) for part in parts for file, label in part.samples
    ]
    return hashlib.sha256(repr(names).encode("utf-8", "surrogateescape")).hexdigest()[:16]


def parts_inside(path: Path) -> dict[str, Path]:
    """The folders ``train``, ``val`` and ``test``, under these and like names; none where ``train`` is a class.

    Raises:
        ValueError: there is something else beside them.
    """
    names = {"train": "train", "training": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}
    folders = [child for child in sorted(path.iterdir()) if child.is_dir() and not child.name.startswith(".")]
    found = {names[child.name.lower()]: child for child in folders if child.name.lower() in names}
    if "train" not in found or not any(child.is_dir() for child in found["train"].iterdir()):
        return {}
    others = [child.name for child in folders if child not in found.values()]
    if others:
        raise ValueError(
            f"{path} has {', '.join(others)} beside {found['train'].name}; expected train, val and test alone"
        )
    return found


def centre(size: int) -> list[Any]:
    """The middle of a picture whose shorter side was scaled to 8/7 of ``size``: 224 from 256."""
    return [Resize(round(size * 8 / 7)), CenterCrop(size)]


def split(path: Path, targets: Sequence[int], shares: list[float]) -> list[list[int]]:
    """The samples' numbers in each part, every class with its share."""
    parts = [part.tolist() for part in stratified_split(np.array(targets), shares, seed=SPLIT_SEED)]
    if not all(parts):
        raise ValueError(f"{path} holds {len(targets)} images; too few to train, validate and test")
    return parts


def limited(dataset: Any, limit: int | None) -> Any:
    """At most so many samples of a data set, the first ones."""
    return dataset if limit is None or len(dataset) <= limit else Subset(dataset, range(limit))
