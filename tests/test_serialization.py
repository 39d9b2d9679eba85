"""Weight files: round trips, PyTorch's reader and writer, broken files, failing disks."""

import errno
import os
import re

import numpy as np
import pytest

import atrous as at
from atrous import nn


def state():
    at.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 4, (3, 2)), nn.BatchNorm2d(4), nn.ConvTranspose2d(4, 2, 3), nn.Linear(5, 6))
    return model.state_dict()


def test_round_trip(tmp_path):
    path = tmp_path / "model.safetensors"
    before = state()
    assert not before["0.weight"].is_contiguous()  # channels-last: what the writer would scramble
    at.save_file(before, path, {"classes": "0 1", "note": "é"})
    after = at.load_file(path)
    assert sorted(after) == sorted(before)
    for name, value in before.items():
        assert after[name].dtype == value.dtype
        assert after[name].shape == value.shape
        np.testing.assert_array_equal(after[name].numpy(), value.numpy())
    assert at.load_metadata(path) == {"classes": "0 1", "note": "é"}
    after["1.weight"] += 1  # memory of its own, and writable
    assert [entry.name for entry in tmp_path.iterdir()] == ["model.safetensors"]


def test_other_dtypes_and_layouts(tmp_path):
    path = tmp_path / "x.safetensors"
    arrays = {
        "transposed": np.arange(6.0).reshape(2, 3).T,
        "strided": np.arange(12, dtype=np.int32)[::3],
        "reversed": np.arange(4)[::-1],
        "mask": np.array([True, False]),
        "half": np.array([1.5], np.float16),
        "byte": np.array([[255]], np.uint8),
        "number": np.array(7),
        "empty": np.zeros((0, 3), np.float32),
    }
    at.save_file(arrays, str(path))
    for name, value in at.load_file(str(path)).items():
        np.testing.assert_array_equal(value.numpy(), arrays[name])
        assert value.dtype == arrays[name].dtype
    assert at.load_metadata(path) == {}


def test_pytorch_reads_and_writes(tmp_path):
    pytest.importorskip("torch")
    import safetensors.torch

    before = state()
    at.save_file(before, tmp_path / "ours.safetensors")
    theirs = safetensors.torch.load_file(tmp_path / "ours.safetensors")
    for name, value in before.items():
        np.testing.assert_array_equal(theirs[name].numpy(), value.numpy())
    safetensors.torch.save_file(theirs, tmp_path / "theirs.safetensors", {"framework": "pt"})
    after = at.load_file(tmp_path / "theirs.safetensors")
    for name, value in before.items():
        np.testing.assert_array_equal(after[name].numpy(), value.numpy())
    assert at.load_metadata(tmp_path / "theirs.safetensors") == {"framework": "pt"}


def test_dtype_that_atrous_lacks(tmp_path):
    torch = pytest.importorskip("torch")
    import safetensors.torch

    path = tmp_path / "x.safetensors"
    safetensors.torch.save_file({"x": torch.zeros(2, dtype=torch.bfloat16)}, path)
    with pytest.raises(ValueError, match=r"x\.safetensors cannot be read as safetensors"):
        at.load_file(path)


@pytest.mark.parametrize("kind", ["empty", "text", "cut", "header", "longer", "npz"])
@pytest.mark.parametrize("read", [at.load_file, at.load_metadata])
def test_broken_files(kind, read, tmp_path):
    path = tmp_path / "model.safetensors"
    at.save_file(state(), path)
    content = path.read_bytes()
    if kind == "npz":
        np.savez(tmp_path / "x.npz", x=np.zeros(3))
        content = (tmp_path / "x.npz").read_bytes()
    broken = {
        "empty": b"",
        "text": b"hello, world",
        "cut": content[:-1],
        "header": content[:20],
        "longer": content + b"0",
    }
    path.write_bytes(broken.get(kind, content))
    with pytest.raises(
        ValueError, match=rf"{read.__name__}: .*model\.safetensors cannot be read as safetensors"
    ) as error:
        read(path)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("read", [at.load_file, at.load_metadata])
def test_missing_files(read, tmp_path):
    with pytest.raises(FileNotFoundError):
        read(tmp_path / "none.safetensors")
    with pytest.raises(IsADirectoryError):
        read(tmp_path)


@pytest.mark.parametrize(
    ("state_dict", "metadata", "message"),
    [
        ({"x": [1.0]}, None, "save_file: x is a list; expected a tensor or an array"),
        ({3: np.zeros(1)}, None, "save_file: the name 3 is a int; expected a str"),
        ({"x": np.zeros(1)}, {"epoch": 3}, "metadata holds 'epoch': 3; expected texts by name"),
        ({"x": np.array(["a"])}, None, "save_file: x has dtype <U1"),
        ({"x": np.zeros(1, complex)}, None, "save_file: x has dtype complex128"),
    ],
)
def test_misuse(state_dict, metadata, message, tmp_path):
    with pytest.raises(TypeError, match=re.escape(message)):
        at.save_file(state_dict, tmp_path / "x.safetensors", metadata)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("failing", ["fsync", "replace"])
def test_a_failed_write_loses_nothing(failing, tmp_path, monkeypatch):
    path = tmp_path / "model.safetensors"
    at.save_file({"x": at.ones(2)}, path)

    def fail(*args):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, failing, fail)
    with pytest.raises(OSError, match="No space left"):
        at.save_file({"x": at.zeros(2)}, path)
    monkeypatch.undo()
    assert at.load_file(path)["x"].tolist() == [1.0, 1.0]
    assert [entry.name for entry in tmp_path.iterdir()] == ["model.safetensors"]


def test_full_disk(tmp_path):
    if not os.path.exists("/dev/full"):
        pytest.skip("no /dev/full here")
    with pytest.raises(OSError):  # noqa: PT011  a device cannot be replaced; that it is an OSError is the point
        at.save_file({"x": at.ones(2)}, "/dev/full/x.safetensors")


def test_a_link_stays_a_link(tmp_path):
    path, link = tmp_path / "run-1.safetensors", tmp_path / "best.safetensors"
    at.save_file({"x": at.ones(1)}, path)
    link.symlink_to(path)
    at.save_file({"x": at.zeros(1)}, link)
    assert link.is_symlink()
    assert at.load_file(path)["x"].tolist() == [0.0]
