"""Weight files: round trips, PyTorch's reader and writer, broken files, failing disks."""

import errno
import os
import re

import numpy as np
import pytest

import atrous as at
from atrous import nn, optim


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
    safetensors.torch.save_file({"x": torch.zeros(2, dtype=torch.float8_e4m3fn)}, path)
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


# -- trees of tensors and numbers -------------------------------------------------------------------------------------


def test_save_and_load_a_state_dict(tmp_path):
    """It is an ordinary safetensors file: other readers find the same names."""
    before = state()
    at.save(before, tmp_path / "model.pt")
    after = at.load(tmp_path / "model.pt")
    assert list(after) == list(before)
    for name, value in before.items():
        assert after[name].dtype == value.dtype
        np.testing.assert_array_equal(after[name].numpy(), value.numpy())
        np.testing.assert_array_equal(at.load_file(tmp_path / "model.pt")[name].numpy(), value.numpy())
    after["0.weight"] += 1  # memory of its own, and writable
    assert [entry.name for entry in tmp_path.iterdir()] == ["model.pt"]


def test_a_run_goes_on_from_a_saved_tree(tmp_path):
    def parts():
        model = nn.Linear(3, 2)
        optimizer = optim.Adam(model.parameters(), lr=0.1, betas=(0.5, 0.9))
        return model, optimizer, optim.lr_scheduler.StepLR(optimizer, 2)

    def steps(model, optimizer, scheduler, count):
        for _ in range(count):
            optimizer.zero_grad()
            (model(at.ones(4, 3)) ** 2).mean().backward()
            optimizer.step()
            scheduler.step()
        return model.weight.detach().numpy().copy()

    first, second = parts(), parts()
    steps(*first, 3)
    at.save([part.state_dict() for part in first], str(tmp_path / "run.pt"))
    for part, loaded in zip(second, at.load(str(tmp_path / "run.pt")), strict=True):
        part.load_state_dict(loaded)
    np.testing.assert_array_equal(steps(*second, 3), steps(*first, 3))


def test_save_keeps_what_there_is(tmp_path):
    tree = {"epoch": 3, "best": 0.25, "names": ["a", None, True], "deep": {0: {"x": at.arange(3)}}, "pair": (1, 2)}
    at.save(tree, tmp_path / "x.pt")
    back = at.load(tmp_path / "x.pt", map_location=at.device("cpu"), weights_only=False)
    assert back["deep"][0]["x"].tolist() == [0, 1, 2]
    assert {**back, "deep": 0} == {**tree, "deep": 0, "pair": [1, 2]}  # tuples are lists
    at.save(at.ones(2, 2), tmp_path / "x.pt")
    assert at.load(tmp_path / "x.pt").tolist() == [[1, 1], [1, 1]]


def test_a_tensor_of_the_name_that_the_format_keeps(tmp_path):
    at.save({"__metadata__": at.ones(1), "x": 2}, tmp_path / "x.pt")
    loaded = at.load(tmp_path / "x.pt")
    assert (loaded["__metadata__"].tolist(), loaded["x"]) == ([1.0], 2)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes with names here")
def test_a_pipe_or_device_is_not_replaced(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match="pipe is a device or a pipe; expected a regular file"):
        at.save([1], tmp_path / "pipe")
    assert (tmp_path / "pipe").is_fifo()


def test_load_reads_any_safetensors_file(tmp_path):
    at.save_file({"x": at.ones(2)}, tmp_path / "x.safetensors", {"note": "a"})
    assert at.load(tmp_path / "x.safetensors")["x"].tolist() == [1, 1]


def test_load_goes_to_a_device_that_exists(tmp_path):
    at.save({"x": at.ones(2)}, tmp_path / "x.pt")
    with pytest.raises(ValueError, match="device 'gpu' does not exist"):
        at.load(tmp_path / "x.pt", map_location="gpu")
    if not at.cuda.is_available():
        with pytest.raises(RuntimeError, match="cuda: "):
            at.load(tmp_path / "x.pt", "cuda")


def test_what_cannot_be_saved(tmp_path):
    with pytest.raises(TypeError, match="save: obj is a Linear; expected numbers, texts, tensors, lists and dicts"):
        at.save(nn.Linear(2, 2), tmp_path / "x.pt")
    with pytest.raises(TypeError, match=r"save: a\.1 is a set; expected numbers"):
        at.save({"a": [1, {2}]}, tmp_path / "x.pt")
    with pytest.raises(TypeError, match=r"save: a has the key \(1, 2\), a tuple; expected numbers, texts or None"):
        at.save({"a": {(1, 2): at.ones(1)}}, tmp_path / "x.pt")  # JSON would make a list of it
    with pytest.raises(ValueError, match="a tensor is named __metadata__, which safetensors keeps for itself"):
        at.save_file({"__metadata__": at.ones(1)}, tmp_path / "x.pt")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        ({"checkpoint": "{"}, "is damaged: JSONDecodeError"),
        ({"checkpoint": "{}"}, "is damaged: KeyError 'format'"),
        ({"checkpoint": "[]"}, "is damaged: TypeError"),
        ({"checkpoint": '{"format": 99}'}, "has checkpoint format 99; this version of atrous reads 2"),
        ({"checkpoint": '{"format": 2, "state": {"$tensor": "y"}}'}, "is damaged: KeyError 'y'"),
        ({"checkpoint": "[" * 100_000}, "is damaged: RecursionError"),
    ],
)
def test_damaged_trees(metadata, message, tmp_path):
    at.save_file({"x": at.ones(2)}, tmp_path / "x.pt", metadata)
    with pytest.raises(ValueError, match=re.escape(message)):
        at.load(tmp_path / "x.pt")


def test_pytorchs_pickles_are_refused(tmp_path):
    torch = pytest.importorskip("torch")
    torch.save({"x": torch.ones(2)}, tmp_path / "x.pth")
    with pytest.raises(ValueError, match=r"x\.pth is a zip file, as torch\.save writes; expected safetensors"):
        at.load(tmp_path / "x.pth")
    (tmp_path / "old.pth").write_bytes(b"\x80\x02]q\x00.")
    with pytest.raises(ValueError, match=r"old\.pth cannot be read as safetensors"):
        at.load(tmp_path / "old.pth")
    with pytest.raises(FileNotFoundError):
        at.load(tmp_path / "none.pt")
