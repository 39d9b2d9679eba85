"""Data sets, loaders, splits, and the digits in the package."""

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import atrous as at
from atrous import data, datasets
from atrous.datasets import digits as digits_function


def dataset(n=10):
    return data.TensorDataset(at.arange(n * 2.0).reshape(n, 2), at.arange(n))


def order(loader):
    return [label for _, labels in loader for label in labels.tolist()]


def test_batches_in_order():
    loader = data.DataLoader(dataset(10), batch_size=4)
    batches = list(loader)
    assert len(loader) == len(batches) == 3
    assert [x.shape for x, _ in batches] == [(4, 2), (4, 2), (2, 2)]
    assert order(loader) == list(range(10))
    assert batches[1][0][0].tolist() == [8.0, 9.0]
    assert isinstance(batches[0], list)  # as PyTorch's default_collate


def test_drop_last():
    loader = data.DataLoader(dataset(10), batch_size=4, drop_last=True)
    assert len(loader) == len(list(loader)) == 2
    assert list(data.DataLoader(dataset(3), batch_size=4, drop_last=True)) == []


def test_shuffle_is_seeded():
    loader = data.DataLoader(dataset(50), batch_size=8, shuffle=True, generator=at.Generator(1))
    first, second = order(loader), order(loader)
    assert sorted(first) == sorted(second) == list(range(50))
    assert first != second
    assert first != list(range(50))
    again = data.DataLoader(dataset(50), batch_size=8, shuffle=True, generator=at.Generator(1))
    assert [order(again), order(again)] == [first, second]


def test_shuffle_follows_manual_seed():
    loader = data.DataLoader(dataset(50), shuffle=True)
    at.manual_seed(5)
    first = order(loader)
    at.manual_seed(5)
    assert order(loader) == first


def test_own_dataset_and_collate():
    class Words(data.Dataset):
        def __getitem__(self, index):
            return {"name": "ab"[index], "pixels": np.full((2, 2), index, np.float32), "pair": (index, 0.5)}

        def __len__(self):
            return 2

    (batch,) = data.DataLoader(Words(), batch_size=2)
    assert batch["name"] == ["a", "b"]
    assert batch["pixels"].shape == (2, 2, 2)
    assert batch["pixels"].dtype == at.float32
    assert batch["pair"][0].dtype == at.int64
    assert batch["pair"][1].tolist() == [0.5, 0.5]
    assert list(data.DataLoader(Words(), collate_fn=len, batch_size=2)) == [2]


def test_list_as_dataset():
    assert [b.tolist() for b in data.DataLoader([3, 1, 2], batch_size=2)] == [[3, 1], [2]]


def test_subset():
    subset = data.Subset(data.Subset(dataset(10), [9, 5, 1]), [2, 0])
    assert order(data.DataLoader(subset, batch_size=2)) == [1, 9]
    assert subset[1][1].item() == 9
    assert len(subset) == 2


def test_torch_name():
    from atrous.utils.data import DataLoader, TensorDataset

    assert DataLoader is data.DataLoader is at.utils.data.DataLoader
    assert TensorDataset is data.TensorDataset


class Ragged(data.Dataset):
    def __init__(self, *samples):
        self.samples = samples

    def __getitem__(self, index):
        return self.samples[index]

    def __len__(self):
        return len(self.samples)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: data.DataLoader(dataset(), 0), ValueError, "DataLoader: batch_size is 0; expected 1 or more"),
        (lambda: data.DataLoader(dataset(), 2.5), TypeError, "DataLoader: batch_size is 2.5; expected an int"),
        (lambda: data.DataLoader(iter([1])), TypeError, "DataLoader: dataset is a list_iterator; expected len()"),
        (lambda: data.TensorDataset(at.zeros(2), at.zeros(3)), ValueError, "the tensors have lengths [2, 3]"),
        (lambda: data.TensorDataset(at.tensor(1.0)), ValueError, "the tensors have lengths [None]"),
        (lambda: data.TensorDataset(), ValueError, "the tensors have lengths []"),
        (lambda: data.TensorDataset([1, 2]), TypeError, "TensorDataset: got a list; expected tensors"),
        (lambda: data.Subset(dataset(3), [0, 3]), IndexError, "Subset: index 3 is out of range; the data set has 3"),
        (lambda: data.Dataset()[0], NotImplementedError, "Dataset defines no __getitem__(index)"),
        (lambda: data.DataLoader(data.Dataset()), TypeError, "DataLoader: dataset is a Dataset; expected len()"),
        (lambda: iter(data.IterableDataset()), NotImplementedError, "IterableDataset defines no __iter__()"),
        (
            lambda: list(data.DataLoader(Ragged(at.zeros(2), at.zeros(3)), 2)),
            ValueError,
            "samples of one batch have shapes (2,) and (3,); expected the same",
        ),
        (lambda: list(data.DataLoader(Ragged((1, 2), (1,)), 2)), ValueError, "have lengths 2 and 1"),
        (lambda: list(data.DataLoader(Ragged({"a": 1}, {"b": 1}), 2)), ValueError, "have keys ['a'] and ['b']"),
        (lambda: list(data.DataLoader(Ragged(None), 1)), TypeError, "a sample holds a NoneType"),
    ],
)
def test_misuse(call, error, message):
    with pytest.raises(error, match=re.escape(message)):
        call()


@settings(max_examples=50, deadline=None)
@given(
    labels=st.lists(st.integers(0, 4), min_size=2, max_size=60),
    cut=st.floats(0.05, 0.95),
    seed=st.integers(0, 3),
)
def test_stratified_split_keeps_proportions(labels, cut, seed):
    N = len(labels)
    first = round(cut * N)
    parts = data.stratified_split(labels, [first, N - first], seed)
    assert [len(part) for part in parts] == [first, N - first]
    assert sorted(np.concatenate(parts).tolist()) == list(range(N))
    for c in set(labels):
        share = labels.count(c) * first / N
        assert abs(sum(labels[i] == c for i in parts[0]) - share) < 1  # rounded up or down


def test_stratified_split_is_deterministic():
    _, labels = datasets.digits()
    parts = data.stratified_split(labels, [1293, 144, 360], seed=3)
    again = data.stratified_split(at.tensor(labels), [1293, 144, 360], seed=3)
    other = data.stratified_split(labels, [1293, 144, 360], seed=4)
    assert all((a == b).all() for a, b in zip(parts, again, strict=True))
    assert (parts[2] != other[2]).any()
    for part, length in zip(parts, (1293, 144, 360), strict=True):
        assert part.dtype == np.int64
        assert (np.diff(part) > 0).all()
        share = np.bincount(labels) * length / 1797
        assert (np.abs(np.bincount(labels[part]) - share) < 1).all()
    # pins the order that a seed stands for: runs must be repeatable on other machines and in later versions
    assert parts[2][:5].tolist() == [7, 25, 26, 28, 30]


def test_stratified_split_fractions():
    lengths = [len(part) for part in data.stratified_split([0] * 71 + [1] * 29, [0.71, 0.29])]
    assert lengths == [71, 29]
    assert [len(part) for part in data.stratified_split([0] * 11, [0.5, 0.25, 0.25])] == [6, 3, 2]  # as random_split


@pytest.mark.parametrize(
    ("labels", "lengths", "message"),
    [
        ([0, 1, 0], [1, 1], "lengths [1, 1] add up to neither 1 nor the 3 samples"),
        ([0, 1, 0], [0.5, 0.4], "add up to neither 1 nor the 3 samples"),
        ([0, 1, 0], [4, -1], "expected one or more, none negative"),
        ([0, 1, 0], [], "expected one or more, none negative"),
        ([0, 1, 0], [1.5, 1.5], "add up to neither 1 nor the 3 samples"),
        ([[0], [1]], [1, 1], "labels have shape (2, 1)"),
        ([0.5, 1.0], [1, 1], "dtype float64; expected (N,) ints"),
        ([], [1], "labels have shape (0,)"),
    ],
)
def test_stratified_split_misuse(labels, lengths, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        data.stratified_split(labels, lengths)


def test_digits():
    images, labels = datasets.digits()
    assert (images.shape, images.dtype, labels.shape, labels.dtype) == ((1797, 8, 8), np.uint8, (1797,), np.int64)
    assert (images.min(), images.max()) == (0, 16)
    assert np.bincount(labels).tolist() == [
        178,
        182,
        177,
        183,
        181,
        182,
        181,
        179,
        174,
        180,
    ]  # as UCI's description says
    assert images[0, 0].tolist() == [0, 0, 5, 13, 9, 1, 0, 0]  # the first line of UCI's optdigits.tes
    images[0] = 0
    assert datasets.digits()[0][0].any()  # a fresh copy each time


def test_digits_are_scikit_learns():
    sklearn = pytest.importorskip("sklearn.datasets")
    images, labels = datasets.digits()
    bunch = sklearn.load_digits()
    np.testing.assert_array_equal(images, bunch.images)
    np.testing.assert_array_equal(labels, bunch.target)


def test_digits_file_is_small_and_names_its_source():
    from pathlib import Path

    folder = Path(datasets.__file__).parent
    assert (folder / "digits.npz").stat().st_size < 120_000
    text = (folder / "digits.txt").read_text()
    assert all(word in text for word in ("Alpaydin", "Kaynak", "CC BY 4.0", "scikit-learn", "BSD"))


def damaged(content):
    middle = len(content) // 2
    return {
        "empty": b"",
        "cut": content[:middle],
        "flipped": content[:middle] + bytes([content[middle] ^ 255]) + content[middle + 1 :],
        "text": b"no such thing",
    }


@pytest.mark.parametrize("kind", ["empty", "cut", "flipped", "text", "other"])
def test_damaged_digits(kind, tmp_path, monkeypatch):
    import sys

    module = sys.modules[digits_function.__module__]
    path = tmp_path / "digits.npz"
    if kind == "other":
        np.savez(path, images=np.zeros((3, 8, 8), np.uint8), labels=np.zeros(3, np.uint8))
    else:
        path.write_bytes(damaged(module.FILE.read_bytes())[kind])
    monkeypatch.setattr(module, "FILE", path)
    with pytest.raises(ValueError, match="is damaged; reinstall atrous"):
        datasets.digits()


def test_missing_digits(tmp_path, monkeypatch):
    import sys

    monkeypatch.setattr(sys.modules[digits_function.__module__], "FILE", tmp_path / "digits.npz")
    with pytest.raises(FileNotFoundError):
        datasets.digits()


def test_prepare_digits_by_hand():
    x = datasets.prepare_digits(np.array([[[0, 16], [16, 16]]]), size=4)
    row = [0, 0.25, 0.75, 1]  # output centres at -1/4, 1/4, 3/4, 5/4 of the input's, clipped to 0 ... 1
    expected = [[1 - (1 - r) * (1 - c) for c in row] for r in row]
    np.testing.assert_allclose(x[0, 0], expected, atol=1e-7)
    assert x.dtype == np.float32


def test_prepare_digits_is_pytorchs_interpolate():
    torch = pytest.importorskip("torch")
    images, _ = datasets.digits()
    for size in (32, 28, 8, 5):
        x = torch.from_numpy(images[:20] / 16)[:, None]
        y = torch.nn.functional.interpolate(x, size=(size, size), mode="bilinear", align_corners=False)
        np.testing.assert_allclose(datasets.prepare_digits(images[:20], size), y.numpy(), atol=1e-7)


@pytest.mark.parametrize(
    ("shape", "size", "message"), [((8, 8), 32, "images have shape (8, 8)"), ((1, 8, 8), 0, "size is 0")]
)
def test_prepare_digits_misuse(shape, size, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        datasets.prepare_digits(np.zeros(shape), size)
