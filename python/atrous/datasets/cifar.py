"""CIFAR-10 and CIFAR-100, from the archives' binary version: plain records, where the Python version needs pickle."""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import IO, Any

import numpy as np

from .arrays import ArrayDataset, check_labels, find

PIXELS = 3 * 32 * 32  # bytes of an image: the red ones row by row, then green, then blue


class CIFAR10(ArrayDataset):
    """Photographs of ten kinds of things: 50,000 images of 32×32 coloured pixels to train with, 10,000 to test.

    A sample is (image, label): the image is float32 (3, 32, 32) in [0, 1], or what `transform` makes of a Pillow image
    of mode RGB (torchvision gives the Pillow image where transform is None). Read is the *binary version*, not
    torchvision's pickles: its files in `root` or ``root/cifar-10-batches-bin``, or the archive as published in `root`.

    Args:
        root: folder of the data sets.
        train: the training part, or else the test part.
        transform: function of the Pillow image.
        target_transform: function of the label.
        download: fetch the archive from the web unless something is there, 170 MB.
    Raises:
        FileNotFoundError: a file is missing.
        ValueError: a file is damaged or of another kind.
        OSError: the download failed.
    Example:
        >>> datasets.CIFAR10.classes[:3]
        ('airplane', 'automobile', 'bird')

    Krizhevsky, "Learning multiple layers of features from tiny images", 2009.
    """

    classes: tuple[str, ...] = (
        "airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck",
    )  # fmt: skip
    url = "https://www.cs.toronto.edu/~kriz/"
    archive = ("cifar-10-binary.tar.gz", "c32a1d4ab5d03f1284b67883e8d87530", 170052171)  # MD5 as on the data's page
    folder = "cifar-10-batches-bin"
    train_files: tuple[str, ...] = tuple(f"data_batch_{i}.bin" for i in range(1, 6))
    test_files: tuple[str, ...] = ("test_batch.bin",)
    train_records = 10000  # a file
    test_records = 10000
    label_bytes = 1  # before each image; the last one counts

    def _find(self, file: str) -> Path:
        """The file, or the archive that has it."""
        paths = (f"{self.folder}/{file}", file, self.archive[0])
        return find(type(self).__name__, (self.root,), paths)

    def _files(self) -> tuple[str, ...]:
        return self.train_files if self.train else self.test_files

    def _download(self) -> None:
        from .download import fetch  # here: http.client and ssl take long to import

        try:
            for file in self._files():
                self._find(file)
        except FileNotFoundError:
            file, checksum, size = self.archive
            fetch(self.url + file, self.root / file, checksum, size)

    def _load(self) -> tuple[np.ndarray, np.ndarray]:
        sources = {file: self._find(file) for file in self._files()}
        packed = {file for file, path in sources.items() if path.name == self.archive[0]}
        contents = self._unpack(self.root / self.archive[0], packed) if packed else {}
        for file, path in sources.items():
            if file not in packed:
                with open(path, "rb") as stream:
                    contents[file] = self._records(stream, str(path))
        records = np.concatenate([contents[file] for file in sources])
        images = records[:, self.label_bytes :].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
        return np.ascontiguousarray(images), records[:, self.label_bytes - 1].astype(np.int64)

    def _unpack(self, path: Path, wanted: set[str]) -> dict[str, np.ndarray]:
        """The records of these members, read from the archive; no file is written, no other member opened."""
        import gzip
        import tarfile

        whole = (len(self.train_files) * self.train_records + self.test_records) * (self.label_bytes + PIXELS)
        names = {f"{self.folder}/{file}": file for file in wanted}
        contents: dict[str, np.ndarray] = {}
        try:
            with gzip.open(path) as unpacked:
                limited: Any = _Limited(unpacked, 2 * whole + (1 << 20))
                with tarfile.open(fileobj=limited, mode="r|") as archive:  # read once through, in its order
                    while len(contents) < len(names) and (member := archive.next()):
                        file = names.get(member.name.removeprefix("./"))
                        stream = archive.extractfile(member) if file is not None and member.isreg() else None
                        if file is not None and stream is not None:
                            contents[file] = self._records(stream, f"{path}: {member.name}")
        except (tarfile.TarError, EOFError, OSError, zlib.error) as error:
            raise ValueError(f"{path} is damaged: {error}") from error
        missing = sorted(name for name, file in names.items() if file not in contents)
        if missing:
            raise ValueError(f"{path} lacks {', '.join(missing)}")
        return contents

    def _records(self, stream: IO[bytes], name: str) -> np.ndarray:
        """(records, label bytes + PIXELS), uint8."""
        count = self.train_records if self.train else self.test_records
        width = self.label_bytes + PIXELS
        content = stream.read(count * width + 1)
        if len(content) != count * width:
            found = f"only {len(content)}" if len(content) < count * width else "more"
            raise ValueError(f"{name} holds {found} bytes; expected {count * width}, {count} records of {width}")
        records = np.frombuffer(content, np.uint8).reshape(count, width)
        check_labels(name, records[:, self.label_bytes - 1], len(self.classes))
        return records


class _Limited:
    """A file of which `left` bytes may be read: an archive that unpacks to much more is not one of ours."""

    def __init__(self, file: Any, left: int) -> None:
        self.file, self.left = file, left

    def read(self, size: int) -> bytes:
        self.left -= size
        if self.left < 0:
            raise OSError("it unpacks to far more than the data set")
        return self.file.read(size)


class CIFAR100(CIFAR10):
    """Photographs of a hundred kinds of things: 50,000 images of 32×32 coloured pixels to train with, 10,000 to test.

    Samples, arguments and errors are those of `CIFAR10`; the files lie in ``root/cifar-100-binary``, 169 MB to fetch.

    Example:
        >>> len(datasets.CIFAR100.classes), datasets.CIFAR100.classes[:3]
        (100, ('apple', 'aquarium_fish', 'baby'))
    """

    classes = tuple(
        """
        apple aquarium_fish baby bear beaver bed bee beetle bicycle bottle bowl boy bridge bus butterfly camel can
        castle caterpillar cattle chair chimpanzee clock cloud cockroach couch crab crocodile cup dinosaur dolphin
        elephant flatfish forest fox girl hamster house kangaroo keyboard lamp lawn_mower leopard lion lizard lobster
        man maple_tree motorcycle mountain mouse mushroom oak_tree orange orchid otter palm_tree pear pickup_truck
        pine_tree plain plate poppy porcupine possum rabbit raccoon ray road rocket rose sea seal shark shrew skunk
        skyscraper snail snake spider squirrel streetcar sunflower sweet_pepper table tank telephone television tiger
        tractor train trout tulip turtle wardrobe whale willow_tree wolf woman worm
        """.split()  # noqa: SIM905
    )
    archive = ("cifar-100-binary.tar.gz", "03b5dce01913d631647c71ecec9e9cb8", 168513733)
    folder = "cifar-100-binary"
    train_files, test_files = ("train.bin",), ("test.bin",)
    train_records, test_records = 50000, 10000
    label_bytes = 2  # of twenty coarse classes, then of a hundred fine ones
