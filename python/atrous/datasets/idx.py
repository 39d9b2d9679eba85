"""MNIST and Fashion-MNIST, and the IDX format that they come in."""

from __future__ import annotations

import math
import zlib
from pathlib import Path

import numpy as np

from .arrays import ArrayDataset, check_labels, find


class MNIST(ArrayDataset):
    """Handwritten digits: 60,000 images of 28×28 grey pixels to train with, 10,000 to test.

    A sample is (image, label): the image is float32 (1, 28, 28) in [0, 1], or what `transform` makes of a Pillow image
    of mode L (torchvision gives the Pillow image where transform is None). The files, as published or unpacked, lie in
    `root` itself or, as torchvision puts them, in ``root/MNIST/raw``.

    Args:
        root: folder of the data sets.
        train: the training part, or else the test part.
        transform: function of the Pillow image.
        target_transform: function of the label.
        download: fetch what is missing from the web, 12 MB.
    Raises:
        FileNotFoundError: a file is missing.
        ValueError: a file is damaged or of another kind.
        OSError: the download failed.
    Example:
        >>> try:
        ...     train = datasets.MNIST("data")
        ... except FileNotFoundError as error:
        ...     print(str(error)[:50])
        MNIST: found none of data/MNIST/raw/train-images-i...

    LeCun, Bottou, Bengio and Haffner, "Gradient-based learning applied to document recognition", Proc. IEEE 1998.
    """

    classes: tuple[str, ...] = (
        "0 - zero", "1 - one", "2 - two", "3 - three", "4 - four",
        "5 - five", "6 - six", "7 - seven", "8 - eight", "9 - nine",
    )  # fmt: skip
    url = "https://ossci-datasets.s3.amazonaws.com/mnist/"
    files = (  # name, MD5, bytes: as torchvision has them
        ("train-images-idx3-ubyte.gz", "f68b3c2dcbeaaa9fbdd348bbdeb94873", 9912422),
        ("train-labels-idx1-ubyte.gz", "d53e105ee54ea40749a09fcbcd1e9432", 28881),
        ("t10k-images-idx3-ubyte.gz", "9fb629c4189551a2d022fa330f9573f3", 1648877),
        ("t10k-labels-idx1-ubyte.gz", "ec29112dd5afa0611ce80d1b7f02629c", 4542),
    )
    counts = (60000, 10000)  # images to train and to test with

    def _part(self) -> tuple[tuple[str, str, int], ...]:
        return self.files[:2] if self.train else self.files[2:]

    def _find(self, file: str) -> Path:
        name = type(self).__name__
        own = (self.root / name / "raw", self.root / name)
        return find(name, own + self.loose(), (file.removesuffix(".gz"), file))

    def loose(self) -> tuple[Path, ...]:
        """Where files may lie without a folder of their own."""
        return (self.root,)

    def _download(self) -> None:
        from .download import fetch  # here: http.client and ssl take long to import

        for file, checksum, size in self._part():
            try:
                self._find(file)
            except FileNotFoundError:
                fetch(self.url + file, self.root / type(self).__name__ / "raw" / file, checksum, size)

    def _load(self) -> tuple[np.ndarray, np.ndarray]:
        N = self.counts[0 if self.train else 1]
        images, labels = (self._find(file) for file, _, _ in self._part())
        data, targets = read_idx(images, (N, 28, 28)), read_idx(labels, (N,))
        check_labels(str(labels), targets, len(self.classes))
        return data, targets.astype(np.int64)


class FashionMNIST(MNIST):
    """Pictures of clothes in MNIST's format: 60,000 images of 28×28 grey pixels to train with, 10,000 to test.

    Samples, arguments and errors are those of `MNIST`; torchvision's folder is ``root/FashionMNIST/raw``, 31 MB.

    Example:
        >>> datasets.FashionMNIST.classes[:3]
        ('T-shirt/top', 'Trouser', 'Pullover')

    Xiao, Rasul and Vollgraf, "Fashion-MNIST: a novel image dataset for benchmarking machine learning algorithms", 2017.
    """

    def loose(self) -> tuple[Path, ...]:
        return ()  # MNIST's files have the same names

    classes = (
        "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
    )  # fmt: skip
    url = "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/"
    files = (  # name, MD5, bytes: as the authors' page has them
        ("train-images-idx3-ubyte.gz", "8d4fb7e6c68d591d4c3dfef9ec88bf0d", 26421880),
        ("train-labels-idx1-ubyte.gz", "25c81989df183df01b3e8a0aad5dffbe", 29515),
        ("t10k-images-idx3-ubyte.gz", "bef4ecab320f06d8554ea6380940ec79", 4422102),
        ("t10k-labels-idx1-ubyte.gz", "bb300cfdad3c16e7a12a480ee83cd310", 5148),
    )


def read_idx(path: Path, shape: tuple[int, ...]) -> np.ndarray:
    """The array of uint8 in an IDX file, packed by gzip or not: 0, 0, 8, the number of sizes, the sizes, the bytes.

    The shape is known beforehand, so no more is unpacked than it takes, whatever the file says.

    Raises:
        ValueError: the file is damaged, or holds something else.
    """
    import gzip

    header = bytes([0, 0, 8, len(shape)]) + b"".join(size.to_bytes(4, "big") for size in shape)
    expected = len(header) + math.prod(shape)
    with open(path, "rb") as file:
        packed = file.read(2) == b"\x1f\x8b"
        file.seek(0)
        try:
            content = (gzip.GzipFile(fileobj=file) if packed else file).read(expected + 1)
        except (EOFError, OSError, zlib.error) as error:
            raise ValueError(f"{path} is damaged: {error}") from error
    if content[:4] != header[:4]:
        raise ValueError(f"{path} begins with {content[:4].hex(' ')}; expected {header[:4].hex(' ')}, an IDX file")
    sizes = tuple(int.from_bytes(content[i : i + 4], "big") for i in range(4, len(header), 4))
    if sizes != shape:
        raise ValueError(f"{path} holds an array of shape {sizes}; expected {shape}")
    if len(content) != expected:
        found = f"only {len(content)}" if len(content) < expected else "more"
        raise ValueError(f"{path} holds {found} bytes; expected {expected}")
    return np.frombuffer(content, np.uint8, offset=len(header)).reshape(shape).copy()
