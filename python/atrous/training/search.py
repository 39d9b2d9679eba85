"""Search for good settings: over a grid, or at random, which finds better ones where few of them matter."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from ..checks import require
from ..random import Generator, using

Objective = Callable[[dict[str, Any]], float]


class Uniform:
    """Numbers from low to high, all alike.

    Example:
        >>> Uniform(2.0, 4.0)(0.5)
        3.0
    """

    def __init__(self, low: float, high: float) -> None:
        require(low < high, type(self).__name__, f"low is {low}, high {high}; expected low < high")
        self.low, self.high = low, high

    def __call__(self, u: float) -> float:
        """The number at the share u, 0 to 1, of the distribution."""
        return self.low + (self.high - self.low) * u


class LogUniform(Uniform):
    """Numbers from low to high whose logarithms are all alike: for learning rates and penalties.

    Example:
        >>> round(LogUniform(0.001, 10.0)(0.5), 6)
        0.1
    """

    def __init__(self, low: float, high: float) -> None:
        require(low > 0, "LogUniform", f"low is {low}; expected a positive number")
        super().__init__(low, high)

    def __call__(self, u: float) -> float:
        """The number at the share u, 0 to 1, of the distribution."""
        return self.low * (self.high / self.low) ** u


class Trial(NamedTuple):
    """Settings that were tried, and their score."""

    settings: dict[str, Any]
    score: float


class Search(NamedTuple):
    """All trials, in their order."""

    trials: list[Trial]
    mode: str

    @property
    def best(self) -> Trial:
        """The trial with the best score, the first of equals; NaN is worse than any number."""
        sign = 1 if self.mode == "max" else -1
        return max(self.trials, key=lambda trial: -math.inf if math.isnan(trial.score) else sign * trial.score)


def grid_search(objective: Objective, space: Mapping[str, Sequence[Any]], mode: str = "max", seed: int = 0) -> Search:
    """Tries every combination.

    Args:
        objective: trains with settings, a dict, and returns a score. Each trial finds the default generator in the same
            state, which depends on the seed alone.
        space: the values of each setting.
        mode: "max" where a large score is good, "min" for a loss.
        seed: of the random numbers.
    Raises:
        ValueError: a setting has no values, or mode is something else.
    Example:
        >>> search = grid_search(lambda s: -abs(s["a"] - 2) + s["b"], {"a": [1, 2, 3], "b": [0, 1]})
        >>> len(search.trials), search.best
        (6, Trial(settings={'a': 2, 'b': 1}, score=1.0))
    """
    for name, values in space.items():
        require(len(values) > 0, "grid_search", f"{name} has no values")
    combinations = (dict(zip(space, values, strict=True)) for values in itertools.product(*space.values()))
    return _tried("grid_search", objective, combinations, mode, seed)


def random_search(
    objective: Objective,
    space: Mapping[str, Callable[[float], Any] | Sequence[Any]],
    trials: int,
    mode: str = "max",
    seed: int = 0,
) -> Search:
    """Tries settings drawn at random, each on its own.

    The same seed gives the same settings, and more trials begin with those of fewer.

    Args:
        objective, mode: as in `grid_search`.
        space: for each setting a distribution, or values to choose from. A distribution is a function of a number u
            that is uniform in [0, 1), such as `Uniform`, `LogUniform`, or ``lambda u: 2 ** int(4 + 4 * u)``.
        trials: how many.
        seed: chooses the settings.
    Raises:
        ValueError: no trials, a setting has no values, or mode is something else.
    Example:
        >>> space = {"lr": LogUniform(1e-4, 1.0), "depth": [2, 3, 4]}
        >>> search = random_search(lambda s: -abs(np.log10(s["lr"]) + 2), space, trials=20)
        >>> 1e-3 < search.best.settings["lr"] < 1e-1
        True

    Source:
        Bergstra and Bengio, Random search for hyper-parameter optimization, 2012.
    """
    require(trials >= 1, "random_search", f"trials is {trials}; expected 1 or more")
    for name, values in space.items():
        require(callable(values) or len(values) > 0, "random_search", f"{name} has no values")
    return _tried("random_search", objective, _drawn(space, trials, seed), mode, seed)


def _drawn(space: Mapping[str, Any], trials: int, seed: int) -> Iterator[dict[str, Any]]:
    generator = Generator(seed, stream=1)
    for _ in range(trials):
        shares = generator.uniform((len(space),), "float64").tolist()
        yield {
            name: values(u) if callable(values) else values[int(u * len(values))]
            for (name, values), u in zip(space.items(), shares, strict=True)
        }


def _tried(op: str, objective: Objective, settings: Iterator[dict[str, Any]], mode: str, seed: int) -> Search:
    require(mode in ("max", "min"), op, f"mode is {mode!r}; expected 'max' or 'min'")
    trials = []
    for chosen in settings:
        with using(Generator(seed)):
            trials.append(Trial(chosen, float(objective(dict(chosen)))))
    return Search(trials, mode)
