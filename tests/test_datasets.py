"""MNIST and CIFAR: small made-up files in the real formats, whole and damaged, in every place where they may lie."""

import gzip
import hashlib
import http.server
import io
import re
import shutil
import subprocess
import sys
import tarfile
import threading

import numpy as np
import pytest

import atrous as at
from atrous import data, datasets
from atrous.datasets.idx import read_idx

IMAGES, LABELS = "train-images-idx3-ubyte", "train-labels-idx1-ubyte"


def noise(seed, shape):
    return at.Generator(seed).integers(0, 256, shape).astype(np.uint8)


PIXELS, DIGITS = noise(1, (6, 28, 28)), np.array([3, 1, 4, 1, 5, 9], np.uint8)


def idx(array):
    sizes = b"".join(n.to_bytes(4, "big") for n in array.shape)
    return bytes([0, 0, 8, array.ndim]) + sizes + array.tobytes()


@pytest.fixture
def mnist(monkeypatch):
    """MNIST of 6 images to train and to test with."""
    monkeypatch.setattr(datasets.MNIST, "counts", (6, 6))


@pytest.fixture
def cifar(monkeypatch):
    """CIFAR of 4 images a file."""
    for name in ("train_records", "test_records"):
        monkeypatch.setattr(datasets.CIFAR10, name, 4)
        monkeypatch.setattr(datasets.CIFAR100, name, 4)


def write_mnist(folder, packed=True, images=None, labels=None):
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in ((IMAGES, images or idx(PIXELS)), (LABELS, labels or idx(DIGITS))):
        path = folder / (name + ".gz" if packed else name)
        path.write_bytes(gzip.compress(content) if packed else content)


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize(
    ("name", "where"),
    [("MNIST", "."), ("MNIST", "MNIST"), ("MNIST", "MNIST/raw"), ("FashionMNIST", "FashionMNIST"),
     ("FashionMNIST", "FashionMNIST/raw")],
)  # fmt: skip
def test_mnist(tmp_path, mnist, packed, name, where):
    write_mnist(tmp_path / where, packed)
    dataset = getattr(datasets, name)(tmp_path)
    np.testing.assert_array_equal(dataset.data, PIXELS)
    assert (dataset.data.dtype, dataset.targets.dtype) == (np.uint8, np.int64)
    assert dataset.targets.tolist() == DIGITS.tolist()
    assert len(dataset) == 6
    assert len(dataset.classes) == 10
    image, label = dataset[2]
    assert (image.shape, image.dtype, label, type(label)) == ((1, 28, 28), at.float32, 4, int)
    np.testing.assert_array_equal(image.numpy()[0], PIXELS[2] / np.float32(255))
    images, labels = next(iter(data.DataLoader(dataset, batch_size=6)))
    assert (images.shape, labels.dtype) == ((6, 1, 28, 28), at.int64)


def test_fashion_mnist_does_not_take_mnists_files(tmp_path, mnist):
    write_mnist(tmp_path)
    with pytest.raises(FileNotFoundError, match="FashionMNIST: found none of"):
        datasets.FashionMNIST(tmp_path)


def test_the_test_part(tmp_path, mnist):
    write_mnist(tmp_path)
    with pytest.raises(FileNotFoundError, match="t10k-images"):
        datasets.MNIST(tmp_path, train=False)
    for name in (IMAGES, LABELS):
        (tmp_path / f"{name}.gz").rename(tmp_path / f"{name.replace('train', 't10k')}.gz")
    assert len(datasets.MNIST(tmp_path, train=False)) == 6


def test_transforms_take_pillow_images(tmp_path, mnist, cifar):
    pytest.importorskip("PIL")
    write_mnist(tmp_path)
    image, label = datasets.MNIST(tmp_path, True, lambda p: (p.mode, p.size, p.getpixel((5, 2))), lambda t: t + 100)[0]
    assert (image, label) == (("L", (28, 28), PIXELS[0, 2, 5]), 103)
    write_cifar(tmp_path, "cifar-10-batches-bin")
    image, _ = datasets.CIFAR10(tmp_path, transform=lambda p: (p.mode, p.size, p.getpixel((5, 2))))[1]
    assert image == ("RGB", (32, 32), tuple(RECORDS["data_batch_1.bin"][1, 1:].reshape(3, 32, 32)[:, 2, 5]))


def test_missing_files_are_named(tmp_path):
    with pytest.raises(FileNotFoundError) as info:
        datasets.MNIST(tmp_path)
    for path in (f"MNIST/raw/{IMAGES}", f"MNIST/raw/{IMAGES}.gz", IMAGES, f"{IMAGES}.gz"):
        assert str(tmp_path / path) in str(info.value)
    assert "download=True" in str(info.value)
    with pytest.raises(FileNotFoundError) as info:
        datasets.CIFAR10(tmp_path, train=False)
    for path in ("cifar-10-batches-bin/test_batch.bin", "test_batch.bin", "cifar-10-binary.tar.gz"):
        assert str(tmp_path / path) in str(info.value)
    with pytest.raises(FileNotFoundError, match=r"CIFAR100: found none of .*cifar-100-binary"):
        datasets.CIFAR100(tmp_path)


BAD_IDX = [
    (b"", "begins with ; expected 00 00 08 03, an IDX file"),
    (b"\0\0\x08", "begins with 00 00 08; expected 00 00 08 03"),
    (idx(DIGITS), "begins with 00 00 08 01; expected 00 00 08 03"),
    (b"\0\0\x09\x03" + idx(PIXELS)[4:], "begins with 00 00 09 03; expected 00 00 08 03"),
    (b"<html>404</html>" * 100, "begins with 3c 68 74 6d"),
    (idx(PIXELS)[:14], "holds an array of shape"),
    (idx(PIXELS[:5]), "holds an array of shape (5, 28, 28); expected (6, 28, 28)"),
    (idx(PIXELS[:, :27]), "holds an array of shape (6, 27, 28)"),
    (idx(PIXELS)[:4] + b"\xff" * 12, "holds an array of shape (4294967295, 4294967295, 4294967295)"),
    (idx(PIXELS)[:16], "holds only 16 bytes; expected 4720"),
    (idx(PIXELS)[:-1], "holds only 4719 bytes; expected 4720"),
    (idx(PIXELS) + b"x", "holds more bytes; expected 4720"),
]


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize(("content", "message"), BAD_IDX)
def test_damaged_idx(tmp_path, packed, content, message):
    path = tmp_path / "images"
    path.write_bytes(gzip.compress(content) if packed else content)
    with pytest.raises(ValueError, match=re.escape(f"{path} {message}")):
        read_idx(path, PIXELS.shape)


@pytest.mark.parametrize("damage", [lambda c: c[:-9], lambda c: c[:40], lambda c: c[:40] + b"xx" + c[42:]])
def test_damaged_gzip(tmp_path, damage):
    path = tmp_path / "images.gz"
    path.write_bytes(damage(gzip.compress(idx(PIXELS))))
    with pytest.raises(ValueError, match=f"{re.escape(str(path))} is damaged: "):
        read_idx(path, PIXELS.shape)


def test_labels_out_of_range(tmp_path, mnist):
    write_mnist(tmp_path, labels=idx(DIGITS + np.uint8(1)))
    with pytest.raises(ValueError, match=rf"{LABELS}\.gz holds label 10; expected 0 to 9"):
        datasets.MNIST(tmp_path)


def test_a_bomb_is_not_unpacked(tmp_path):
    """128 MB of zeros in 600 KB: reading stops at the expected size, with little memory."""
    import tracemalloc

    path = tmp_path / "bomb.gz"
    with gzip.open(path, "wb", compresslevel=1) as file:
        file.write(idx(PIXELS))
        for _ in range(128):
            file.write(bytes(1 << 20))
    tracemalloc.start()
    with pytest.raises(ValueError, match="holds more bytes"):
        read_idx(path, PIXELS.shape)
    assert tracemalloc.get_traced_memory()[1] < 3_000_000
    tracemalloc.stop()


FILES = [*(f"data_batch_{i}.bin" for i in range(1, 6)), "test_batch.bin"]
RECORDS = {name: noise(i, (4, 3073)) for i, name in enumerate(FILES)}
FINE = {name: noise(9 + i, (4, 3074)) for i, name in enumerate(("train.bin", "test.bin"))}
for i, records in enumerate(RECORDS.values()):
    records[:, 0] = (np.arange(4) + i) % 10
for records in FINE.values():
    records[:, 0], records[:, 1] = [19, 0, 3, 7], [99, 0, 42, 7]


def write_cifar(root, folder, files=None):
    (root / folder).mkdir(parents=True, exist_ok=True)
    for name, content in (files or RECORDS).items():
        (root / folder / name).write_bytes(bytes(content))


def archive(path, members):
    with tarfile.open(path, "w:gz") as tar:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            if content is None:
                info.type = tarfile.DIRTYPE
            elif isinstance(content, str):
                info.type, info.linkname = tarfile.SYMTYPE, content
            else:
                info.size = len(content)
            tar.addfile(info, io.BytesIO(content) if isinstance(content, bytes) else None)


@pytest.mark.parametrize("where", [".", "cifar-10-batches-bin", "archive"])
def test_cifar10(tmp_path, cifar, where):
    if where == "archive":
        members = {"cifar-10-batches-bin": None, "cifar-10-batches-bin/readme.html": b"<p>"}
        members |= {f"cifar-10-batches-bin/{name}": bytes(RECORDS[name]) for name in reversed(FILES)}
        archive(tmp_path / "cifar-10-binary.tar.gz", members)
    else:
        write_cifar(tmp_path, where)
    dataset, test = datasets.CIFAR10(tmp_path), datasets.CIFAR10(tmp_path, train=False)
    assert (dataset.data.shape, dataset.data.dtype, len(dataset)) == ((20, 32, 32, 3), np.uint8, 20)
    assert dataset.targets.dtype == np.int64
    assert dataset.targets.tolist() == [(i + j) % 10 for i in range(5) for j in range(4)]
    image, label = dataset[9]
    assert (image.shape, image.dtype, label) == ((3, 32, 32), at.float32, 3)
    np.testing.assert_array_equal(image.numpy().ravel(), RECORDS["data_batch_3.bin"][1, 1:] / np.float32(255))
    np.testing.assert_array_equal(dataset.data[9].transpose(2, 0, 1).ravel(), RECORDS["data_batch_3.bin"][1, 1:])
    assert test.targets.tolist() == [5, 6, 7, 8]
    if where == "archive":
        assert [path.name for path in tmp_path.iterdir()] == ["cifar-10-binary.tar.gz"]  # nothing is unpacked to disk


@pytest.mark.parametrize("packed", [True, False])
def test_cifar100(tmp_path, cifar, packed):
    if packed:
        members = {f"cifar-100-binary/{name}": bytes(content) for name, content in FINE.items()}
        archive(tmp_path / "cifar-100-binary.tar.gz", members)
    else:
        write_cifar(tmp_path, "cifar-100-binary", FINE)
    dataset = datasets.CIFAR100(tmp_path, train=False)
    assert dataset.targets.tolist() == [99, 0, 42, 7]  # the fine ones
    np.testing.assert_array_equal(dataset[1][0].numpy().ravel(), FINE["test.bin"][1, 2:] / np.float32(255))
    assert [dataset.classes[k] for k in (0, 42, 99)] == ["apple", "leopard", "worm"]
    assert len(set(dataset.classes)) == 100
    assert list(dataset.classes) == sorted(dataset.classes)


BATCH = bytes(RECORDS["test_batch.bin"])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "holds only 0 bytes; expected 12292, 4 records of 3073"),
        (BATCH[:-1], "holds only 12291 bytes; expected 12292"),
        (BATCH + b"x", "holds more bytes; expected 12292"),
        (b"\x0a" + BATCH[1:], "holds label 10; expected 0 to 9"),
    ],
)
@pytest.mark.parametrize("packed", [True, False])
def test_damaged_cifar(tmp_path, cifar, content, message, packed):
    if packed:
        archive(tmp_path / "cifar-10-binary.tar.gz", {"cifar-10-batches-bin/test_batch.bin": content})
    else:
        (tmp_path / "test_batch.bin").write_bytes(content)
    name = "cifar-10-binary.tar.gz: cifar-10-batches-bin/test_batch.bin" if packed else "test_batch.bin"
    with pytest.raises(ValueError, match=re.escape(f"{tmp_path / name} {message}")):
        datasets.CIFAR10(tmp_path, train=False)


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ({}, "lacks cifar-10-batches-bin/test_batch.bin|is damaged"),  # Python 3.10 cannot read an empty one
        ({"test_batch.bin": BATCH, "../cifar-10-batches-bin/test_batch.bin": BATCH}, "lacks cifar-10-batches-bin/test"),
        ({"cifar-10-batches-bin/test_batch.bin": "/etc/hostname"}, "lacks cifar-10-batches-bin/test_batch.bin"),
        ({"cifar-10-batches-bin/test_batch.bin": None}, "lacks cifar-10-batches-bin/test_batch.bin"),
    ],
)
def test_archives_of_something_else(tmp_path, cifar, members, message):
    archive(tmp_path / "cifar-10-binary.tar.gz", members)
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(ValueError, match=message):
        datasets.CIFAR10(tmp_path, train=False)
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("damage", [lambda c: c[: len(c) // 2], lambda c: b"no archive", lambda c: b""])
def test_damaged_archives(tmp_path, cifar, damage):
    path = tmp_path / "cifar-10-binary.tar.gz"
    archive(path, {"cifar-10-batches-bin/test_batch.bin": BATCH})
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(ValueError, match=r"cifar-10-binary\.tar\.gz (is damaged|lacks)"):
        datasets.CIFAR10(tmp_path, train=False)


@pytest.mark.parametrize("kind", [tarfile.REGTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.XHDTYPE])
def test_a_bomb_in_an_archive_is_not_unpacked(tmp_path, cifar, kind):
    """A member of 128 MB; as a long name or a header, tarfile would read it whole."""
    import tracemalloc

    info = tarfile.TarInfo("cifar-10-batches-bin/other")
    info.type, info.size = kind, 1 << 27
    with gzip.open(tmp_path / "cifar-10-binary.tar.gz", "wb", compresslevel=1) as file:
        file.write(info.tobuf(tarfile.GNU_FORMAT))
        for _ in range(128):
            file.write(bytes(1 << 20))
    tracemalloc.start()
    with pytest.raises(ValueError, match="is damaged: it unpacks to far more than the data set"):
        datasets.CIFAR10(tmp_path, train=False)
    assert tracemalloc.get_traced_memory()[1] < 6_000_000
    tracemalloc.stop()


@pytest.fixture
def mirror(tmp_path):
    """A folder on a server of this machine: its path, and its address."""
    folder = tmp_path / "mirror"
    folder.mkdir()

    class Handler(http.server.SimpleHTTPRequestHandler):
        timeout = 10

        def __init__(self, *arguments):
            super().__init__(*arguments, directory=str(folder))

        def log_message(self, *arguments):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield folder, f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()
    thread.join(10)
    server.server_close()


def facts(path):
    content = path.read_bytes()
    return path.name, hashlib.md5(content).hexdigest(), len(content)


@pytest.mark.parametrize("name", ["MNIST", "FashionMNIST"])
def test_download_mnist(tmp_path, mnist, mirror, monkeypatch, name):
    folder, url = mirror
    monkeypatch.setenv("no_proxy", "*")
    write_mnist(folder)
    dataset = getattr(datasets, name)
    files = tuple(facts(folder / f"{name}.gz") for name in (IMAGES, LABELS))
    monkeypatch.setattr(dataset, "files", files + dataset.files[2:])
    monkeypatch.setattr(dataset, "url", url)
    root = tmp_path / "root"
    assert dataset(root, download=True).targets.tolist() == DIGITS.tolist()
    assert sorted(p.name for p in (root / name / "raw").iterdir()) == [f"{IMAGES}.gz", f"{LABELS}.gz"]
    shutil.rmtree(folder)
    assert len(dataset(root, download=True)) == 6  # is there


def test_download_cifar(tmp_path, cifar, mirror, monkeypatch):
    folder, url = mirror
    monkeypatch.setenv("no_proxy", "*")
    path = folder / "cifar-100-binary.tar.gz"
    archive(path, {f"cifar-100-binary/{name}": bytes(content) for name, content in FINE.items()})
    monkeypatch.setattr(datasets.CIFAR100, "archive", facts(path))
    monkeypatch.setattr(datasets.CIFAR100, "url", url)
    assert len(datasets.CIFAR100(tmp_path, download=True)) == 4
    shutil.rmtree(folder)
    assert len(datasets.CIFAR100(tmp_path, train=False, download=True)) == 4


def test_published_addresses_and_checksums():
    """A typing error here would show on the user's machine only."""
    for dataset in (datasets.MNIST, datasets.FashionMNIST):
        assert dataset.counts == (60000, 10000)
        assert len({checksum for _, checksum, _ in dataset.files}) == 4
        assert all(re.fullmatch("[0-9a-f]{32}", checksum) for _, checksum, _ in dataset.files)
    assert datasets.CIFAR10.archive == ("cifar-10-binary.tar.gz", "c32a1d4ab5d03f1284b67883e8d87530", 170052171)
    assert datasets.CIFAR100.archive == ("cifar-100-binary.tar.gz", "03b5dce01913d631647c71ecec9e9cb8", 168513733)
    assert (datasets.CIFAR10.train_records, datasets.CIFAR100.train_records) == (10000, 50000)


def test_import_loads_no_network_code():
    code = "import sys, atrous; print({'http.client', 'ssl', 'tarfile', 'gzip', 'PIL'} & set(sys.modules))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "set()"
