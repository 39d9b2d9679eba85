"""Whether one way of training is better than another, or only luckier: runs over seeds, and a paired t-test."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from ..checks import require
from ..random import Generator, using


class Scores(NamedTuple):
    """Results of runs that differ in their seed only."""

    values: list[float]

    @property
    def mean(self) -> float:
        """Their mean."""
        return math.fsum(self.values) / len(self.values)

    @property
    def deviation(self) -> float:
        """Their standard deviation, with n − 1; NaN of one value."""
        n, mean = len(self.values), self.mean
        return math.sqrt(math.fsum((v - mean) ** 2 for v in self.values) / (n - 1)) if n > 1 else math.nan

    def __str__(self) -> str:
        return f"{self.mean:.4g} ± {self.deviation:.2g} ({len(self.values)} runs)"


def over_seeds(run: Callable[[], float], seeds: Iterable[int]) -> Scores:
    """Runs the same with each seed in the default generator's place, which itself is left as it was.

    Args:
        run: makes and trains a network, and returns what it is worth; all randomness is the default generator's.
        seeds: one for each run.
    Raises:
        ValueError: there are no seeds.
    Example:
        >>> scores = over_seeds(lambda: at.rand(1).item(), range(3))
        >>> len(scores.values), scores.values == over_seeds(lambda: at.rand(1).item(), range(3)).values
        (3, True)

    Source:
        Bouthillier et al., Accounting for variance in machine learning benchmarks, 2021 (arXiv 2103.03098).
    """
    values = []
    for seed in seeds:
        with using(Generator(seed)):
            values.append(float(run()))
    require(values, "over_seeds", "there are no seeds")
    return Scores(values)


class TTest(NamedTuple):
    """Of the differences a − b: their mean, Student's t, and the probability of so large a t where there is none."""

    difference: float
    t: float
    p: float


def paired_t_test(a: Sequence[float], b: Sequence[float]) -> TTest:
    """Whether two ways of training differ on the same seeds (or folds, or data sets): ``t = mean(d) / (s / √n)``.

    s is the deviation of the n differences d; p is two-sided, of Student's distribution with n − 1 degrees of freedom.

    Args:
        a, b: the results, paired: a[i] and b[i] have the same seed.
    Raises:
        ValueError: not as many of both, or fewer than two.
    Example:
        >>> test = paired_t_test([0.90, 0.92, 0.91, 0.94], [0.88, 0.91, 0.90, 0.91])
        >>> round(test.difference, 4), round(test.t, 2), round(test.p, 3)
        (0.0175, 3.66, 0.035)

    Source:
        Student, The probable error of a mean, 1908; Dietterich, Approximate statistical tests for comparing supervised
        classification learning algorithms, 1998.
    """
    op = "paired_t_test"
    require(len(a) == len(b), op, f"a has {len(a)} values, b {len(b)}; expected as many")
    require(len(a) > 1, op, f"there are {len(a)} pairs; expected 2 or more")
    differences = Scores([float(x) - float(y) for x, y in zip(a, b, strict=True)])
    n, mean, error = len(a), differences.mean, differences.deviation / math.sqrt(len(a))
    t = mean / error if error else math.copysign(math.inf, mean) if mean else math.nan
    return TTest(mean, t, student_p(t, n - 1))


def student_p(t: float, degrees: int) -> float:
    """The probability that Student's distribution gives a number at least as far from 0 as t.

    ``I_x(ν/2, 1/2)`` at ``x = ν / (ν + t²)``, I the regularised incomplete beta function.

    Example:
        >>> round(student_p(2.776, 4), 3)  # of the tables: 5 % at 4 degrees of freedom
        0.05
    """
    if math.isnan(t) or math.isinf(t):
        return 0.0 if math.isinf(t) else math.nan
    return incomplete_beta(degrees / 2, 0.5, degrees / (degrees + t * t), t * t / (degrees + t * t))


def incomplete_beta(a: float, b: float, x: float, rest: float) -> float:
    """The regularised incomplete beta function ``I_x(a, b)``, from x and its rest 1 − x, which keeps small ones exact.

    By the continued fraction, which converges fast below its mean; above it by ``I_x(a, b) = 1 − I_(1−x)(b, a)``.

    Example:
        >>> incomplete_beta(1.0, 1.0, 0.25, 0.75)  # uniform
        0.25

    Source:
        NIST Digital Library of Mathematical Functions, 8.17.4 and 8.17.22.
    """
    if x == 0 or rest == 0:
        return 1.0 if rest == 0 else 0.0
    if x > (a + 1) / (a + b + 2):
        return 1 - incomplete_beta(b, a, rest, x)
    front = math.exp(
        math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log(rest) - math.log(a)
    )
    # Convergents p/q of 1 + d_1/(1 + d_2/(1 + ...)) by their recurrence, scaled to q = 1 in each step.
    p_before, q_before, p, q = 1.0, 0.0, 1.0, 1.0
    for n in range(1, 10_000):
        m = n // 2
        if n % 2:
            d = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        else:
            d = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        p_before, q_before, p, q = p, q, p + d * p_before, q + d * q_before
        p_before, q_before, p, q = p_before / q, q_before / q, p / q, 1.0
        if abs(p * q_before - p_before) <= 1e-16 * abs(p_before):
            break
    return front / p
