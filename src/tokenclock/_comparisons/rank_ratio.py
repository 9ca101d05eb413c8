"""
The ratio of two samples by ranks: an estimate, its interval and a p-value, without any curve.

Everything is done on logarithms, where a ratio is a shift.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from tokenclock.errors import MissingExtraError

try:
    import numpy as np
    from numpy.typing import NDArray
    from scipy.stats import (
        fisher_exact,
        mannwhitneyu,  # pyright: ignore[reportUnknownVariableType]
        norm,
    )
except ModuleNotFoundError as error:
    raise MissingExtraError("Comparisons need", "SciPy", "compare") from error

CONFIDENCE = 0.95
# The standard score that the test is inverted at, 1.96.
_BOUND = float(norm.ppf((1 + CONFIDENCE) / 2))
# What stands for the logarithm of 0: below that of every positive number, which is at least -745,
# and so far below that the ratio of 0 to any of them is 0. That of 0 to 0 is 1: they are equal.
_LOG_OF_ZERO = -10_000.0
# How many pairs are held in memory at once.
_FEW = 1_000_000

Numbers = NDArray[np.float64]
Counts = NDArray[np.int64]


class RankRatio(NamedTuple):
    """
    The ratio of a candidate to a baseline, as natural logarithms.

    Attributes:
        shift: The Hodges-Lehmann estimate: the median of the logarithms of all pairwise ratios.
        low: The lower end of the 95 % interval: the Mann-Whitney test inverted (Moses).
        high: The upper end.
        p_value: That of the two-sided Mann-Whitney test (normal approximation, corrected for
            ties and for continuity). Where the interval excludes 0 it is below 0.05. It can be
            below 0.05 while the interval ends at exactly 0 if both sides have equal values.
    """

    shift: float
    low: float
    high: float
    p_value: float


def rank_ratio(baseline: Sequence[float], candidate: Sequence[float]) -> RankRatio:
    """
    Estimate by what factor the candidate's numbers differ from the baseline's.

    Args:
        baseline: At least one finite number, none negative.
        candidate: The same.

    >>> ratio = rank_ratio([1.0, 2.0, 4.0], [2.0, 4.0, 8.0])
    >>> round(math.exp(ratio.shift), 9), round(ratio.p_value, 2)
    (2.0, 0.37)
    """
    before, after = _logarithms(baseline), _logarithms(candidate)
    count = before.size * after.size
    outside = max(math.ceil(_critical(before, after)), 1)
    middle = (count + 1) // 2
    ranks = (outside, middle, count + 1 - middle, count + 1 - outside)
    low, lower_middle, upper_middle, high = _differences(before, after, ranks)
    return RankRatio((lower_middle + upper_middle) / 2, low, high, _p_value(before, after))


def _p_value(before: Numbers, after: Numbers) -> float:
    if max(before[-1], after[-1]) == min(before[0], after[0]):  # SciPy may divide 0 by 0
        return 1.0
    test = mannwhitneyu(after, before, alternative="two-sided", method="asymptotic")
    return float(test.pvalue)


def more_often(before: tuple[int, int], after: tuple[int, int]) -> float:
    """
    Give the p-value of Fisher's exact test that *after* happens no more often than *before*.

    Args:
        before: How often it happened, of how many.
        after: The same.

    >>> round(more_often((0, 30), (5, 30)), 3), more_often((5, 30), (5, 30)) > 0.5
    (0.026, True)
    """
    table = np.array([[count, total - count] for count, total in (after, before)])
    return float(fisher_exact(table, alternative="greater").pvalue)


def factor(shift: float) -> float:
    """
    Give the ratio of which *shift* is the natural logarithm.

    >>> factor(0.0), factor(10_000.0), factor(-10_000.0)
    (1.0, inf, 0.0)
    """
    try:
        return math.exp(shift)
    except OverflowError:
        return math.inf


def _logarithms(numbers: Sequence[float]) -> Numbers:
    """Give the logarithms in ascending order."""
    ordered = np.sort(np.asarray(numbers, dtype=np.float64))
    logarithms = np.full_like(ordered, _LOG_OF_ZERO)
    return np.log(ordered, out=logarithms, where=ordered > 0)


def _critical(before: Numbers, after: Numbers) -> float:
    """
    Give the statistic of the Mann-Whitney test below which it finds a difference.

    The variance is that of the test itself, with its correction for ties between the samples.
    One that changed with the shift, as the ties do, could contradict the p-value.
    """
    total = before.size + after.size
    ties = np.unique(np.concatenate((before, after)), return_counts=True)[1].astype(np.float64)
    lost = float((ties**3 - ties).sum()) / (total * (total - 1))
    deviation = math.sqrt(before.size * after.size / 12 * (total + 1 - lost))
    return before.size * after.size / 2 - 0.5 - _BOUND * deviation


def _differences(before: Numbers, after: Numbers, ranks: Sequence[int]) -> list[float]:
    """Give the pairwise differences *after* - *before* that have the given ranks, from 1."""
    if before.size * after.size > _FEW:
        pairs = _Pairs(before, after)
        return [pairs.ranked(rank) for rank in ranks]
    differences = (after[:, np.newaxis] - before).ravel()
    places = [rank - 1 for rank in ranks]
    ordered = np.partition(differences, places)
    return [float(ordered[place]) for place in places]


class _Pairs:
    """
    All pairwise differences of two large samples, of which only a few are ever formed.

    Equal values stand once, with their number as weight: so however many pairs are equal, few
    enough remain between two neighbouring shifts.
    """

    def __init__(self, before: Numbers, after: Numbers) -> None:
        self._before, before_weights = np.unique(before, return_counts=True)
        self._after, self._after_weights = np.unique(after, return_counts=True)
        self._before_weights = before_weights
        # How many of the baseline's values lie at or beyond each place of theirs.
        self._beyond = np.append(np.cumsum(before_weights[::-1])[::-1], 0)

    def ranked(self, rank: int) -> float:
        """Give the difference of that rank: halve the range until few pairs lie in it."""
        low = float(self._after[0] - self._before[-1]) - 1
        high = float(self._after[-1] - self._before[0]) + 1
        while self._between(low, high) > _FEW:
            middle = (low + high) / 2
            if self._count_up_to(middle) >= rank:
                high = middle
            else:
                low = middle
        return self._select(low, high, rank - self._count_up_to(low))

    def _firsts(self, shift: float) -> Counts:
        """Give, for each value after, the first one before that is no more than *shift* less."""
        return np.searchsorted(self._before, self._after - shift)

    def _count_up_to(self, shift: float) -> int:
        return int((self._after_weights * self._beyond[self._firsts(shift)]).sum())

    def _between(self, low: float, high: float) -> int:
        return int((self._firsts(low) - self._firsts(high)).sum())

    def _select(self, low: float, high: float, rank: int) -> float:
        """Form the pairs above *low* and up to *high*, and take the one of that rank."""
        starts = self._firsts(high)
        lengths = self._firsts(low) - starts
        after = np.repeat(np.arange(lengths.size), lengths)
        before = np.arange(after.size) + np.repeat(starts + lengths - np.cumsum(lengths), lengths)
        differences = self._after[after] - self._before[before]
        order = np.argsort(differences)
        weights = (self._after_weights[after] * self._before_weights[before])[order]
        return float(differences[order][np.searchsorted(np.cumsum(weights), rank)])
