"""Splits, folds and the bootstrap: nothing is lost, nothing is on both sides, the same as scikit-learn's."""

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import atrous as at
from atrous import data


def partition(parts, N):
    """The parts are ascending and hold each of N samples once."""
    assert all((np.diff(part) > 0).all() and part.dtype == np.int64 for part in parts)
    return sorted(np.concatenate(parts).tolist()) == list(range(N))


sizes = st.lists(st.integers(1, 9), min_size=4, max_size=12)


@given(sizes=sizes, seed=st.integers(0, 9), share=st.floats(0.3, 0.7))
def test_grouped_split(sizes, seed, share):
    groups = np.repeat(np.arange(len(sizes)), sizes)[at.Generator(seed).permutation(sum(sizes))]
    lengths = [share, 1 - share]
    try:
        parts = data.grouped_split(groups, lengths, seed)
    except ValueError as error:
        assert "got none of the" in str(error)  # noqa: PT017  whether it comes depends on the sizes
        assert max(sizes) >= min(lengths) * sum(sizes) - 1
        return
    assert partition(parts, len(groups))
    assert not set(groups[parts[0]]) & set(groups[parts[1]])
    assert abs(len(parts[0]) - share * len(groups)) < max(sizes) + 1


def test_grouped_split_by_hand():
    names = np.array(["ann", "bob", "eve", "joe"] * 3)
    parts = data.grouped_split(names, [6, 3, 3], seed=1)
    assert [len(part) for part in parts] == [6, 3, 3]
    assert [len(set(names[part])) for part in parts] == [2, 1, 1]
    for other in (at.from_numpy(np.arange(12) % 4), (np.arange(12) % 4).tolist()):
        assert [p.tolist() for p in data.grouped_split(other, [6, 3, 3], 1)] == [p.tolist() for p in parts]
    for seed in range(10):  # half of the orders would put both groups into the first part
        assert [len(part) for part in data.grouped_split([0, 0, 0, 1], [3, 1, 0], seed)] == [3, 1, 0]
    drawn = {tuple(data.grouped_split(names, [0.5, 0.5], seed=s)[0].tolist()) for s in range(60)}
    assert len(drawn) == 6  # 4 groups, 2 of them


@given(n=st.integers(2, 40), splits=st.integers(2, 6), seed=st.integers(0, 9) | st.none())
def test_folds_are_partitions(n, splits, seed):
    splits = min(splits, n)
    labels = np.arange(n) * 7 % 3
    kinds = [data.k_fold(range(n), splits, seed)]
    if splits <= np.bincount(labels).max():
        kinds.append(data.stratified_k_fold(labels, splits, seed))
    if splits <= len(set(labels)):
        kinds.append(data.group_k_fold(labels, splits, seed))
    for kind, folds in enumerate(map(list, kinds)):
        assert len(folds) == splits
        assert all(partition(fold, n) for fold in folds)
        assert partition([test for _, test in folds], n)
        if kind < 2:
            assert np.ptp([len(test) for _, test in folds]) <= 1
        if kind == 2:
            assert all(not set(labels[a]) & set(labels[b]) for a, b in folds)


def test_folds_by_hand():
    assert [test.tolist() for _, test in data.k_fold("abcde", 2, None)] == [[0, 1, 2], [3, 4]]
    stratified = list(data.stratified_k_fold([1] * 8 + [0] * 4, 4, seed=3))
    assert all(sorted(test // 8) == [0, 0, 1] for _, test in stratified)
    grouped = list(data.group_k_fold([0] * 5 + [1] * 3 + [2] * 2 + [3], 2))
    assert sorted(len(test) for _, test in grouped) == [5, 6]  # 5 | 3 2 | 1
    assert len({tuple(next(data.k_fold(range(9), 3, seed))[1]) for seed in range(20)}) > 10
    assert next(data.k_fold(range(9), 3))[1].tolist() == next(data.k_fold(range(9), 3, 0))[1].tolist()


def test_folds_are_those_of_scikit_learn():
    selection = pytest.importorskip("sklearn.model_selection")
    generator = at.Generator(0)
    for _ in range(15):
        n, splits = int(generator.integers(12, 50, ())), int(generator.integers(2, 5, ()))
        labels, groups = generator.integers(0, 2, (n,)), generator.integers(0, 9, (n,))
        splits = min(splits, np.bincount(labels).min(), len(set(groups.tolist())))
        if splits < 2:
            continue
        for ours, theirs in (
            (data.k_fold(range(n), int(splits), None), selection.KFold(splits).split(labels)),
            (
                data.stratified_k_fold(labels, int(splits), None),
                selection.StratifiedKFold(splits).split(labels, labels),
            ),
            (data.group_k_fold(groups, int(splits), None), selection.GroupKFold(splits).split(labels, groups=groups)),
        ):
            for (a, b), (c, d) in zip(ours, theirs, strict=True):
                assert (a.tolist(), b.tolist()) == (c.tolist(), d.tolist())


def test_bootstrap():
    rounds = list(data.bootstrap(range(1000), 20, seed=5))
    assert len(rounds) == 20
    for drawn, rest in rounds:
        assert len(drawn) == 1000
        assert set(drawn) | set(rest) == set(range(1000))
        assert not set(drawn) & set(rest)
        assert (np.diff(drawn) >= 0).all()
        assert abs(len(rest) - 368) < 5 * 10  # 1000/e; its deviation is √(1000 (e⁻¹ − 2e⁻²)) = 9.9
    counts = np.mean([np.bincount(drawn, minlength=1000) for drawn, _ in rounds], 0)
    assert abs(counts.var() - 1 / 20) < 0.02  # nearly Poisson
    again = list(data.bootstrap(range(1000), 3, seed=5))
    assert all((a[0] == b[0]).all() for a, b in zip(again, rounds, strict=False))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: data.grouped_split([0, 0, 1], [0.9, 0.2]),
            "grouped_split: lengths [0.9, 0.2] add up to neither 1 nor",
        ),
        (
            lambda: data.grouped_split([0] * 9, [8, 1]),
            "grouped_split: part 1 of length 1 got none of the 1 groups, the",
        ),
        (lambda: data.grouped_split([], [1]), "grouped_split: groups have shape (0,) and dtype float64; expected (N,)"),
        (lambda: data.grouped_split([0.5, 1.5], [1, 1]), "grouped_split: groups have shape (2,) and dtype float64"),
        (lambda: data.k_fold(range(3), 4), "k_fold: n_splits is 4; expected at most the 3 samples"),
        (lambda: data.k_fold(range(3), 1), "k_fold: n_splits is 1; expected 2 or more"),
        (
            lambda: data.stratified_k_fold([0, 0, 1], 3),
            "stratified_k_fold: n_splits is 3; expected at most the 2 samples",
        ),
        (lambda: data.stratified_k_fold([[0]], 2), "stratified_k_fold: labels have shape (1, 1) and dtype int64; exp"),
        (lambda: data.group_k_fold("aab", 3), "group_k_fold: groups have shape ()"),
        (lambda: data.group_k_fold(list("aab"), 3), "group_k_fold: n_splits is 3; expected at most the 2 groups"),
        (lambda: data.bootstrap([], 3), "bootstrap: the data set is empty; expected one sample or more"),
        (lambda: data.bootstrap([1], 0), "bootstrap: rounds is 0; expected 1 or more"),
        (lambda: data.statistics([]), "statistics: the data set is empty; expected one image or more"),
        (
            lambda: data.statistics([at.ones(2)]),
            "statistics: an image has shape (2,); expected (C, H, W) or (N, C, H, W)",
        ),
        (
            lambda: data.statistics([at.ones(1, 2, 2), at.ones(3, 2, 2)]),
            "statistics: images have 1 and 3 channels; expected as many in all",
        ),
    ],
)
def test_misuse(call, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        call()


def test_statistics():
    at.manual_seed(0)
    images = at.rand(7, 3, 5, 6) * 0.01 + 100  # a large mean must not cost digits
    exact = images.numpy().astype(np.float64)
    samples = data.TensorDataset(images, at.arange(7))
    for source in (samples, data.DataLoader(samples, batch_size=3), iter(images)):
        s = data.statistics(source)
        assert s.images == 7
        np.testing.assert_allclose(s.mean, exact.mean((0, 2, 3)), rtol=1e-14)
        np.testing.assert_allclose(s.std, exact.std((0, 2, 3)), rtol=1e-10)
        assert (s.minimum, s.maximum) == (exact.min((0, 2, 3)).tolist(), exact.max((0, 2, 3)).tolist())
        np.testing.assert_allclose(s.mean_image.numpy(), exact.mean(0), rtol=1e-6)
    mixed = data.statistics([at.zeros(1, 2, 2), at.ones(1, 4, 3)])
    assert mixed.mean_image is None
    assert mixed.mean == pytest.approx([12 / 16])
    assert data.statistics([at.full((1, 2, 2), 200, dtype=at.uint8)]).mean == [200]
    with pytest.raises(TypeError, match="statistics: a sample is a int; expected a tensor"):
        data.statistics([3])


def test_statistics_normalise():
    from atrous.transforms import Lambda, Normalize

    images = at.rand(9, 2, 4, 4) * 3 + 1
    s = data.statistics(images)
    normal = data.statistics(Normalize(s.mean, s.std)(images))
    np.testing.assert_allclose(normal.mean, 0, atol=1e-6)
    np.testing.assert_allclose(normal.std, 1, atol=1e-6)
    scaled = data.statistics(Normalize(s.minimum, [b - a for a, b in zip(s.minimum, s.maximum, strict=True)])(images))
    np.testing.assert_allclose([scaled.minimum, scaled.maximum], [[0, 0], [1, 1]], atol=1e-6)
    centred = data.statistics(Lambda(lambda image: image - s.mean_image)(images))
    np.testing.assert_allclose(centred.mean_image.numpy(), 0, atol=1e-6)
