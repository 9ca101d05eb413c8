"""Quantiles, and which of them a sample of a given size can support."""

from __future__ import annotations

import math
from typing import Protocol

CONFIDENCE = 0.95
PERCENTILES = {"p50": 0.5, "p90": 0.9, "p95": 0.95, "p99": 0.99}


class Ordered(Protocol):
    """Numbers in ascending order, each to be had by its place."""

    def __len__(self) -> int: ...
    def __getitem__(self, place: int, /) -> float: ...


def quantile(ordered: Ordered, fraction: float) -> float:
    """
    Interpolate linearly between neighbours in *ordered*, which is not empty.

    The rule is the one that NumPy calls ``linear`` (type 7 of Hyndman and Fan, 1996). An
    infinite neighbour that has any weight makes the quantile infinite.

    >>> quantile([1.0, 2.0, 4.0], 0.75)
    3.0
    """
    place = fraction * (len(ordered) - 1)
    below = math.floor(place)
    lower = ordered[below]
    upper = ordered[min(below + 1, len(ordered) - 1)]
    if place == below or lower == upper:  # infinity times 0, and less infinity, is no number
        return lower
    between = lower + (upper - lower) * (place - below)
    return min(between, upper)  # rounding must not leave the range


def is_supported(count: int, fraction: float, *, confidence: float = CONFIDENCE) -> bool:
    """
    Tell whether a confidence interval of the quantile exists in a sample of *count* values.

    The interval is the two-sided, distribution-free one between order statistics, exact and
    equal-tailed: the number of values below the quantile is binomial (David and Nagaraja, Order
    Statistics, 3rd ed., section 7.1). It exists where even the extremes of the sample leave at
    most half of the remaining probability on either side of the quantile.

    >>> [n for n in range(1, 400) if is_supported(n, 0.99)][0]
    368
    """
    return max(fraction, 1 - fraction) ** count <= (1 - confidence) / 2


def least_count(fraction: float) -> int:
    """
    Give the size from which a sample can support the quantile.

    >>> [least_count(fraction) for fraction in PERCENTILES.values()]
    [6, 36, 72, 368]
    """
    count = 1
    while not is_supported(count, fraction):
        count += 1
    return count
