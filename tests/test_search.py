"""Searches over settings, runs over seeds, and the t-test that compares them."""

import math

import numpy as np
import pytest

import atrous as at
from atrous.training import LogUniform, Uniform, grid_search, over_seeds, paired_t_test, random_search
from atrous.training.comparison import Scores, incomplete_beta, student_p

SPACE = {
    "lr": LogUniform(1e-4, 1.0),
    "momentum": Uniform(0.5, 1.0),
    "depth": [2, 3, 5],
    "width": lambda u: 2 ** int(4 * u),
}


def bowl(settings):
    """Best at lr 0.01, which alone matters."""
    return -((math.log10(settings["lr"]) + 2) ** 2)


def test_a_grid_has_every_combination():
    seen = []
    search = grid_search(lambda s: seen.append(s) or s["a"] * s["b"], {"a": [1, -2], "b": (3, 5, 7)}, mode="min")
    assert seen == [{"a": a, "b": b} for a in (1, -2) for b in (3, 5, 7)]
    assert [trial.settings for trial in search.trials] == seen
    assert search.best == ({"a": -2, "b": 7}, -14.0)
    assert grid_search(lambda s: s["a"], {"a": [1, 1]}).best is not None


def test_nan_is_never_best():
    for mode in ("min", "max"):
        assert grid_search(lambda s: s["a"], {"a": [math.nan, 3.0, math.nan]}, mode).best.score == 3.0
    assert grid_search(lambda s: s["a"], {"a": [-math.inf, -5.0]}).best.score == -5.0


def test_random_search_is_the_seeds():
    first, again = (random_search(bowl, SPACE, 12, seed=4) for _ in range(2))
    assert first == again
    assert random_search(bowl, SPACE, 5, seed=4).trials == first.trials[:5]
    other = random_search(bowl, SPACE, 12, seed=5).trials
    assert all(a.settings["lr"] != b.settings["lr"] for a, b in zip(first.trials, other, strict=True))
    before = at.get_rng_state()
    random_search(lambda s: at.rand(1).item(), SPACE, 3)
    assert at.get_rng_state() == before


def test_distributions():
    settings = [trial.settings for trial in random_search(bowl, SPACE, 600).trials]
    logs = np.log10([s["lr"] for s in settings])
    assert logs.min() > -4
    assert logs.max() < 0
    assert logs.mean() == pytest.approx(-2, abs=0.15)  # three deviations of the mean of 600
    assert np.mean([s["momentum"] for s in settings]) == pytest.approx(0.75, abs=0.02)
    assert {s["depth"] for s in settings} == {2, 3, 5}
    assert {s["width"] for s in settings} == {1, 2, 4, 8}
    assert (LogUniform(1e-4, 1.0)(0.0), LogUniform(1e-4, 1.0)(1.0)) == (1e-4, 1.0)
    assert (Uniform(-1.0, 3.0)(0.25), Uniform(-1.0, 3.0)(0.0)) == (0.0, -1.0)


def test_at_random_better_than_on_a_grid_where_one_setting_matters():
    """Nine trials of each: the grid has three values of the one that matters, the random search nine."""
    grid = grid_search(bowl, {"lr": [1e-4, 1e-1, 1.0], "momentum": [0.5, 0.75, 1.0]})
    scores = [random_search(bowl, SPACE, 9, seed=seed).best.score for seed in range(20)]
    assert len(grid.trials) == 9
    assert np.mean(scores) > grid.best.score


def test_trials_start_alike():
    """The settings alone make the difference, not the luck of the weights."""
    search = grid_search(lambda s: at.rand(1).item(), {"a": [1, 2, 3]}, seed=3)
    assert len({trial.score for trial in search.trials}) == 1
    assert search.best.score == over_seeds(lambda: at.rand(1).item(), [3]).values[0]


def test_runs_over_seeds():
    at.manual_seed(1)
    before = at.get_rng_state()
    scores = over_seeds(lambda: at.randn(1).item(), [5, 6, 7])
    assert at.get_rng_state() == before
    assert scores.values == [at.manual_seed(seed) and at.randn(1).item() for seed in (5, 6, 7)]
    assert scores.mean == pytest.approx(np.mean(scores.values), rel=1e-14)
    assert scores.deviation == pytest.approx(np.std(scores.values, ddof=1), rel=1e-14)
    assert math.isnan(Scores([1.0]).deviation)
    assert str(Scores([0.5, 0.75, 1.0])) == "0.75 ± 0.25 (3 runs)"


@pytest.mark.parametrize(
    ("t", "degrees", "p"),
    [(12.706, 1, 0.05), (2.776, 4, 0.05), (4.604, 4, 0.01), (2.262, 9, 0.05), (1.833, 9, 0.10), (2.045, 29, 0.05)],
)
def test_the_tables_of_students_distribution(t, degrees, p):
    assert student_p(t, degrees) == pytest.approx(p, rel=1e-3)
    assert student_p(-t, degrees) == student_p(t, degrees)


def test_closed_forms():
    """ν = 1: 1 − 2/π · arctan t; ν = 2: 1 − t / √(2 + t²); and I_x(a, 1) = x^a."""
    for t in (1e-6, 0.3, 1.0, 7.0):
        assert student_p(t, 1) == pytest.approx(1 - 2 / math.pi * math.atan(t), rel=1e-12)
        assert student_p(t, 2) == pytest.approx(1 - t / math.sqrt(2 + t * t), rel=1e-12)
    assert student_p(1e10, 1) == pytest.approx(2 / math.pi * 1e-10, rel=1e-9)
    assert incomplete_beta(2.5, 1.0, 0.3, 0.7) == pytest.approx(0.3**2.5, rel=1e-13)
    assert (student_p(0.0, 5), student_p(math.inf, 5)) == (1.0, 0.0)


def test_same_as_scipy():
    special = pytest.importorskip("scipy.special")  # scipy.stats takes seconds to import
    for degrees in (1, 3, 9, 30, 1000, 10**6):
        for t in (1e-8, 0.1, 1.0, 2.5, 20.0):
            assert student_p(t, degrees) == pytest.approx(2 * special.stdtr(degrees, -t), rel=1e-8)
    rng = np.random.default_rng(0)
    for n in (2, 5, 30):
        a, b = rng.normal(size=(2, n))
        t = (a - b).mean() / ((a - b).std(ddof=1) / np.sqrt(n))
        assert paired_t_test(a, b)[1:] == pytest.approx((t, 2 * special.stdtr(n - 1, -abs(t))), rel=1e-11)


def test_pairs_tell_more_than_means():
    """Seeds differ by 10, the ways of training by 1 each time: no doubt, though the two overlap widely."""
    luck = 10 * np.random.default_rng(0).normal(size=8)
    noise = 0.1 * np.random.default_rng(1).normal(size=8)
    test = paired_t_test(luck + 1 + noise, luck)
    assert test.difference == pytest.approx(1, abs=0.2)
    assert test.p < 1e-5
    assert paired_t_test(luck, luck + 1 + noise).t == pytest.approx(-test.t)
    assert paired_t_test(luck, luck[::-1]).p > 0.5


def test_differences_that_are_all_alike():
    assert paired_t_test([1.0, 2.0], [0.5, 1.5]) == (0.5, math.inf, 0.0)
    same = paired_t_test([1.0, 2.0], [1.0, 2.0])
    assert same.difference == 0
    assert math.isnan(same.p)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: Uniform(1.0, 1.0), "Uniform: low is 1.0, high 1.0; expected low < high"),
        (lambda: LogUniform(0.0, 1.0), "LogUniform: low is 0.0; expected a positive number"),
        (lambda: grid_search(bowl, {"lr": []}), "grid_search: lr has no values"),
        (lambda: grid_search(bowl, {"lr": [1]}, mode="best"), "grid_search: mode is 'best'; expected 'max' or 'min'"),
        (lambda: random_search(bowl, SPACE, 0), "random_search: trials is 0; expected 1 or more"),
        (lambda: random_search(bowl, {"lr": []}, 3), "random_search: lr has no values"),
        (lambda: over_seeds(lambda: 0.0, []), "over_seeds: there are no seeds"),
        (lambda: paired_t_test([1.0], [1.0]), "paired_t_test: there are 1 pairs; expected 2 or more"),
        (lambda: paired_t_test([1.0, 2.0], [1.0]), "paired_t_test: a has 2 values, b 1; expected as many"),
    ],
)
def test_bad_input(call, message):
    with pytest.raises(ValueError, match=message):
        call()
