"""What MNIST, CIFAR and their like share: arrays of images and labels, read from files that are checked."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np

from ..data.dataset import Dataset
from ..tensor import Tensor


class ArrayDataset(Dataset):
    """Images and labels in memory; sample i is (image, label).

    Attributes: ``data`` (uint8; (N, H, W), or (N, H, W, 3) for colours), ``targets`` (int64, (N,)), ``classes``.
    """

    classes: tuple[str, ...] = ()
    data: np.ndarray
    targets: np.ndarray

    def __init__(
        self,
        root: str | os.PathLike[str],
        train: bool = True,
        transform: Callable[[Any], Any] | None = None,
        target_transform: Callable[[Any], Any] | None = None,
        download: bool = False,
    ) -> None:
        self.root, self.train = Path(root), bool(train)
        self.transform, self.target_transform = transform, target_transform
        if download:
            self._download()
        self.data, self.targets = self._load()

    def _download(self) -> None:
        raise NotImplementedError

    def _load(self) -> tuple[np.ndarray, np.ndarray]:
        raise NotImplementedError

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        pixels, label = self.data[index], int(self.targets[index])
        image = _tensor(pixels) if self.transform is None else self.transform(_picture(pixels))
        return image, label if self.target_transform is None else self.target_transform(label)


def _tensor(pixels: np.ndarray) -> Tensor:
    """(H, W) or (H, W, C) of 0 to 255, as float32 (C, H, W) in [0, 1]."""
    channels = pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1)
    return Tensor(np.divide(channels, np.float32(255), dtype=np.float32, order="C"))


def _picture(pixels: np.ndarray) -> Any:
    try:
        from PIL import Image
    except ImportError as error:
        raise ImportError("transform takes pictures of Pillow: pip install pillow, or use transform=None") from error
    return Image.fromarray(pixels)


def find(name: str, folders: Iterable[Path], files: Iterable[str]) -> Path:
    """The first that exists of these files in these folders.

    Raises:
        FileNotFoundError: none does.
    """
    paths = [folder / file for folder in folders for file in files]
    for path in paths:
        if path.is_file():
            return path
    looked = ", ".join(map(str, paths))
    raise FileNotFoundError(f"{name}: found none of {looked}. download=True fetches it")


def check_labels(path: str, labels: np.ndarray, count: int) -> None:
    """Raises ValueError unless all labels are below the number of classes."""
    if labels.size and labels.max() >= count:
        raise ValueError(f"{path} holds label {labels.max()}; expected 0 to {count - 1}")
