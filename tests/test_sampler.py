"""Samplers, splits and joined data sets; the signatures are PyTorch's."""

import inspect
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import atrous as at
from atrous import data
from atrous.data import (
    BatchSampler,
    ClassBalancedSampler,
    ConcatDataset,
    RandomSampler,
    SequentialSampler,
    StratifiedBatchSampler,
    SubsetRandomSampler,
    WeightedRandomSampler,
)


def seeded(n=0):
    return at.Generator(n)


def test_sequential():
    assert list(SequentialSampler(range(4))) == [0, 1, 2, 3]
    assert len(SequentialSampler(range(4))) == 4


@given(n=st.integers(1, 40), count=st.integers(1, 100))
def test_random_without_replacement_goes_round(n, count):
    drawn = list(RandomSampler(range(n), num_samples=count, generator=seeded()))
    assert len(drawn) == count == len(RandomSampler(range(n), num_samples=count))
    for begin in range(0, count, n):
        part = drawn[begin : begin + n]
        assert len(set(part)) == len(part)
        assert set(part) <= set(range(n))


def test_random_is_seeded_and_shuffles():
    assert list(RandomSampler(range(50), generator=seeded())) == list(RandomSampler(range(50), generator=seeded()))
    source = seeded()
    both = [list(RandomSampler(range(50), generator=source)) for _ in range(2)]
    assert both[0] != both[1] != list(range(50))
    at.manual_seed(0)
    assert list(RandomSampler(range(50))) == both[0]


def test_random_with_replacement():
    drawn = list(RandomSampler(range(5), replacement=True, num_samples=10_000, generator=seeded()))
    counts = np.bincount(drawn)
    assert (np.abs(counts - 2000) < 5 * 40).all()  # 5 standard deviations √(10⁴ · 0.2 · 0.8) = 40


def test_random_follows_a_data_set_that_grows():
    samples = [1, 2]
    sampler = RandomSampler(samples)
    samples.append(3)
    assert sorted(sampler) == [0, 1, 2]
    assert len(sampler) == 3


def test_subset_random():
    drawn = list(SubsetRandomSampler([5, 3, 9, 1], generator=seeded()))
    assert sorted(drawn) == [1, 3, 5, 9]
    assert list(SubsetRandomSampler([])) == []


def test_weighted_with_replacement():
    counts = np.bincount(list(WeightedRandomSampler([1, 0, 3, 0], 20_000, generator=seeded())), minlength=4)
    assert counts[[1, 3]].tolist() == [0, 0]
    assert abs(counts[0] - 5000) < 5 * 62  # 5 · √(2 · 10⁴ · ¼ · ¾)


def test_weighted_at_the_borders():
    class Fixed(at.Generator):
        def uniform(self, shape, dtype):
            return np.array([0.0, 0.25 - 2**-53, 0.25, 1 - 2**-53])

    assert list(WeightedRandomSampler([0, 1, 0, 3, 0], 4, generator=Fixed(0))) == [1, 1, 3, 3]


def test_weighted_without_replacement():
    """The chance that i comes first is its share; all with a weight come once."""
    source, first = seeded(), np.zeros(3)
    for _ in range(2000):
        drawn = list(WeightedRandomSampler([1, 3, 0, 4], 3, replacement=False, generator=source))
        assert sorted(drawn) == [0, 1, 3]
        first[[0, 1, 3].index(drawn[0])] += 1
    expected = 2000 * np.array([1, 3, 4]) / 8
    assert (np.abs(first - expected) < 5 * np.sqrt(expected)).all()


def test_weights_of_any_kind():
    expected = list(WeightedRandomSampler([1.0, 2.0], 9, generator=seeded()))
    for weights in (np.array([1, 2]), at.tensor([1.0, 2.0]), (1, 2)):
        assert list(WeightedRandomSampler(weights, 9, generator=seeded())) == expected


def test_class_balanced():
    labels = np.array([3] * 50 + [1] * 5 + [8] * 20)
    sampler = ClassBalancedSampler(labels, generator=seeded())
    drawn = list(sampler)
    assert len(drawn) == len(sampler) == 75
    counts = np.bincount(drawn, minlength=75)
    assert [counts[labels == c].sum() for c in (3, 1, 8)] == [25, 25, 25]
    for c in (3, 1, 8):
        assert np.ptp(counts[labels == c]) <= 1  # each once before any comes twice
    assert drawn != sorted(drawn)
    assert len(set(labels[drawn][:25])) == 3  # mixed
    source, lengths = seeded(), []
    for _ in range(60):
        few = np.bincount(labels[list(ClassBalancedSampler(labels, 10, source))], minlength=9)[[1, 3, 8]]
        assert sorted(few) == [3, 3, 4]
        lengths.append(int(few.argmax()))
    assert min(np.bincount(lengths, minlength=3)) > 8  # who gets one more is chance
    at.manual_seed(0)
    assert list(ClassBalancedSampler(at.from_numpy(labels))) == drawn


@given(labels=st.lists(st.integers(0, 3), min_size=1, max_size=60), size=st.integers(1, 20), drop_last=st.booleans())
def test_stratified_batches(labels, size, drop_last):
    labels = np.array(labels)
    sampler = StratifiedBatchSampler(labels, size, drop_last, generator=seeded())
    batches = list(sampler)
    N = len(labels)
    assert len(batches) == len(sampler) == (N // size if drop_last else -(-N // size))
    drawn = [i for batch in batches for i in batch]
    assert len(set(drawn)) == len(drawn) == (N - N % size if drop_last else N)
    assert all(len(batch) == size for batch in batches[: N // size])
    for batch in batches[: N // size]:
        expected = np.bincount(labels, minlength=4) * size / N
        assert np.abs(np.bincount(labels[batch], minlength=4) - expected).max() < 2


def test_stratified_batches_are_shuffled():
    labels = np.arange(40) % 4
    both = [list(StratifiedBatchSampler(labels, 8, generator=seeded(s))) for s in (0, 1)]
    assert both[0] != both[1]
    assert all((np.bincount(labels[batch]) == 2).all() for batch in both[0])
    assert not all(sorted(labels[batch]) == list(labels[batch]) for batch in both[0])
    rare = np.array([0] * 39 + [1])
    places = [[39 in batch for batch in StratifiedBatchSampler(rare, 10, generator=seeded(s))] for s in range(40)]
    assert np.sum(places, 0).min() > 3  # the rare one is in any of the batches


@pytest.mark.parametrize("own", [False, True])
def test_they_go_on_in_the_middle(own):
    labels, samples = np.arange(30) % 3, list(range(30))

    def loader(balanced):
        generator = seeded(7) if own else None
        if balanced:
            return data.DataLoader(samples, batch_size=4, sampler=ClassBalancedSampler(labels, generator=generator))
        return data.DataLoader(samples, batch_sampler=StratifiedBatchSampler(labels, 4, generator=generator))

    for balanced in (False, True):
        at.manual_seed(5)
        first = loader(balanced)
        list(first)
        batches = iter(first)
        next(batches)
        state = first.state_dict()
        rest = [batch.tolist() for batch in batches]
        second = loader(balanced)
        second.load_state_dict(state)
        assert [batch.tolist() for batch in second] == rest


@given(n=st.integers(0, 20), size=st.integers(1, 7), drop_last=st.booleans())
def test_batches(n, size, drop_last):
    batches = BatchSampler(SequentialSampler(range(n)), size, drop_last)
    made = list(batches)
    assert len(made) == len(batches)
    assert [i for batch in made for i in batch] == list(range(n - n % size if drop_last else n))
    assert all(len(batch) == size for batch in made[:-1])


def test_concat():
    both = ConcatDataset([[0, 1], [], [2]]).__add__([3, 4])
    assert [both[i] for i in range(5)] == [0, 1, 2, 3, 4]
    assert both[-5] == 0
    assert len(both) == 5
    assert isinstance(data.TensorDataset(at.zeros(1)) + data.TensorDataset(at.zeros(2)), ConcatDataset)
    for index in (5, -6):
        with pytest.raises(IndexError, match=re.escape(f"index {index} is out of range; there are 5 samples")):
            both[index]


def test_random_split():
    parts = data.random_split(list("abcdefghij"), [7, 3], generator=seeded())
    assert [len(part) for part in parts] == [7, 3]
    assert sorted([*parts[0], *parts[1]]) == list("abcdefghij")
    assert parts[0].indices != sorted(parts[0].indices)
    assert [len(p) for p in data.random_split(range(11), [0.5, 0.25, 0.25])] == [6, 3, 2]  # as PyTorch's
    at.manual_seed(0)
    assert data.random_split(range(10), [10])[0].indices == data.random_split(range(10), [10], seeded())[0].indices
    assert [len(p) for p in data.random_split(range(1), [0.5, 0.5])] == [1, 0]
    with pytest.raises(ValueError, match=re.escape("random_split: lengths [7, 2] add up to neither 1 nor the 10")):
        data.random_split(range(10), [7, 2])


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: RandomSampler([]), ValueError, "RandomSampler: num_samples is 0; expected 1 or more"),
        (lambda: RandomSampler([], num_samples=3), ValueError, "RandomSampler: data_source has no samples"),
        (lambda: RandomSampler([1], num_samples=0), ValueError, "RandomSampler: num_samples is 0"),
        (lambda: RandomSampler([1], num_samples=1.5), TypeError, "RandomSampler: num_samples is 1.5; expected an int"),
        (lambda: RandomSampler([1], replacement=1), TypeError, "RandomSampler: replacement is 1; expected True"),
        (lambda: BatchSampler([1], 0, False), ValueError, "BatchSampler: batch_size is 0; expected 1 or more"),
        (lambda: BatchSampler([1], 2, 0), TypeError, "BatchSampler: drop_last is 0; expected True or False"),
        (lambda: WeightedRandomSampler([[1.0]], 1), ValueError, "weights have shape (1, 1); expected (N,)"),
        (lambda: WeightedRandomSampler([1.0, -1], 1), ValueError, "a weight is negative, infinite or not a number"),
        (lambda: WeightedRandomSampler([np.nan], 1), ValueError, "a weight is negative, infinite or not a number"),
        (lambda: WeightedRandomSampler([0.0, 0.0], 1), ValueError, "0 weights are above 0; expected 1 or more"),
        (lambda: WeightedRandomSampler([1.0, 0.0], 2, False), ValueError, "1 weights are above 0; expected 2 or more"),
        (lambda: WeightedRandomSampler([1.0], 0), ValueError, "num_samples is 0; expected 1 or more"),
        (
            lambda: ClassBalancedSampler([0.5]),
            ValueError,
            "ClassBalancedSampler: labels have shape (1,) and dtype float",
        ),
        (
            lambda: ClassBalancedSampler([1], 0),
            ValueError,
            "ClassBalancedSampler: num_samples is 0; expected 1 or more",
        ),
        (lambda: StratifiedBatchSampler([1], 0), ValueError, "StratifiedBatchSampler: batch_size is 0; expected 1 or"),
        (lambda: StratifiedBatchSampler([], 1), ValueError, "StratifiedBatchSampler: labels have shape (0,)"),
        (lambda: ConcatDataset([]), ValueError, "ConcatDataset: there are no data sets"),
        (
            lambda: data.IterableDataset().__add__([1]),
            ValueError,
            "ConcatDataset: an IterableDataset has no samples by num",
        ),
        (lambda: iter(data.Sampler()), NotImplementedError, "Sampler defines no __iter__()"),
        (lambda: data.default_collate([]), ValueError, "a batch has no samples; expected one or more"),
    ],
)
def test_misuse(call, error, message):
    with pytest.raises(error, match=re.escape(message)):
        call()


OURS = {"ClassBalancedSampler", "SkipSample", "Statistics", "StratifiedBatchSampler", "WorkerInfo", "bootstrap"}
OURS |= {"group_k_fold", "grouped_split", "k_fold", "statistics", "stratified_k_fold", "stratified_split"}
SHARED = sorted(set(data.__all__) - OURS)


@pytest.mark.parametrize("name", SHARED)
def test_signatures_are_those_of_pytorch(name):
    peer = getattr(pytest.importorskip("torch.utils.data"), name)

    def parameters(function):
        return [(p.name, p.kind, p.default) for p in inspect.signature(function).parameters.values()]

    ours, theirs = parameters(getattr(data, name)), parameters(peer)
    if name == "random_split":  # theirs shows the default generator itself
        ours, theirs = ours[:-1], theirs[:-1]
    assert ours == theirs


def test_every_name_is_in_utils_data():
    assert {name: getattr(at.utils.data, name) for name in data.__all__} == {n: getattr(data, n) for n in data.__all__}
    assert at.utils.data.__all__ == data.__all__


def test_default_collate_as_pytorch():
    torch_data = pytest.importorskip("torch.utils.data")
    samples = [({"a": 1.5, "b": (i, np.full(2, i, np.float32))}, "name", True) for i in range(3)]

    def plain(value):
        if isinstance(value, dict):
            return {key: plain(v) for key, v in value.items()}
        if isinstance(value, (list, tuple)):
            return [plain(v) for v in value]
        return value.tolist() if hasattr(value, "tolist") else value

    assert plain(data.default_collate(samples)) == plain(torch_data.default_collate(samples))
    assert plain(data.default_convert(samples)) == plain(torch_data.default_convert(samples))
