"""A histogram of the Prometheus client that takes many values at once."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import repeat
from typing import Any, NamedTuple


class _Parts(NamedTuple):
    """What a histogram of the client is made of: values that can be incremented."""

    buckets: list[Any]
    sum: Any


class BulkHistogram:
    """
    One labelled histogram, and a way to observe a stream's gaps with few increments.

    The client has no such way of its own. So its parts are incremented, one bucket at a time,
    if they are what they are today; where they are not, each value is observed.

    Args:
        histogram: Of one set of labels.
        bounds: The upper bounds of its buckets, without the infinite one.
    """

    __slots__ = ("_bounds", "_histogram", "_parts")

    def __init__(self, histogram: Any, bounds: Sequence[float]) -> None:
        self._histogram = histogram
        self._bounds = bounds
        self._parts = _parts_of(histogram, bounds)

    @property
    def takes_many(self) -> bool:
        """Whether many values cost one increment for each bucket."""
        return self._parts is not None

    def observe_all(
        self, values: Sequence[float], exemplar: Mapping[str, str] | None = None
    ) -> None:
        """Observe every value; the exemplar goes with the largest."""
        if exemplar:
            *values, largest = sorted(values)
            self._histogram.observe(largest, exemplar)
        if self._parts is None:
            for value in values:
                self._histogram.observe(value)
            return
        self._parts.sum.inc(sum(values))
        # A value belongs to the first bucket whose bound is not below it.
        for place, count in Counter(map(bisect_left, repeat(self._bounds), values)).items():
            self._parts.buckets[place].inc(count)


def _parts_of(histogram: Any, bounds: Sequence[float]) -> _Parts | None:
    """Give the parts if they are as expected: a bucket for each bound and one for the rest."""
    try:
        parts = _Parts(list(histogram._buckets), histogram._sum)  # noqa: SLF001 - no public way
        upper_bounds = list(histogram._upper_bounds)  # noqa: SLF001 - as above
    except (AttributeError, TypeError):
        return None
    if upper_bounds != [*bounds, math.inf] or len(parts.buckets) != len(upper_bounds):
        return None
    are_values = all(callable(getattr(part, "inc", None)) for part in (*parts.buckets, parts.sum))
    return parts if are_values else None
