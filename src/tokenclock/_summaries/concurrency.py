"""When calls ran, and how many of them at once."""

from __future__ import annotations

import math
from collections.abc import Iterable
from datetime import datetime
from typing import NamedTuple

from tokenclock._summaries.columns import EPOCH, MICROSECOND, CallColumns, Rows

NS_PER_SECOND = 1_000_000_000
NS_PER_MICROSECOND = 1_000
_FIRST_US = (datetime.min.replace(tzinfo=EPOCH.tzinfo) - EPOCH) // MICROSECOND
_LAST_US = (datetime.max.replace(tzinfo=EPOCH.tzinfo) - EPOCH) // MICROSECOND


class Span(NamedTuple):
    """
    The time that calls took together.

    Attributes:
        started_at: The first start.
        ended_at: The last end.
        seconds: Between the two.
        mean_concurrency: ``None`` if no time passed.
        peak_concurrency: The most calls that ran at once.
    """

    started_at: datetime
    ended_at: datetime
    seconds: float
    mean_concurrency: float | None
    peak_concurrency: int

    def rate_of(self, count: int | None) -> float | None:
        """Give how many of *count* there were a second; ``None`` if no time passed."""
        return count / self.seconds if count is not None and self.seconds else None


def span_of(columns: CallColumns, rows: Rows) -> Span:
    """Give the span of *rows*, of which there is one at least; exact in whole nanoseconds."""
    starts = sorted(columns.starts_us[row] * NS_PER_MICROSECOND for row in rows)
    last_end = max(_end(columns, row) for row in rows)
    seconds = (last_end - starts[0]) / NS_PER_SECOND
    busy = math.fsum(columns.latencies[row] for row in rows)
    return Span(
        started_at=_moment(starts[0]),
        ended_at=_moment(last_end),
        seconds=seconds,
        mean_concurrency=busy / seconds if seconds else None,
        peak_concurrency=_peak(starts, _ends_that_overlap(columns, rows)),
    )


def _end(columns: CallColumns, row: int, *, at_least_ns: int = 0) -> int:
    latency_ns = round(columns.latencies[row] * NS_PER_SECOND)
    return columns.starts_us[row] * NS_PER_MICROSECOND + max(latency_ns, at_least_ns)


def _ends_that_overlap(columns: CallColumns, rows: Rows) -> list[int]:
    """Give the ends in order; whatever ran did so for the resolution of its start at least."""
    outcomes, unconsumed = columns.outcomes.column, columns.outcomes.code_of("unconsumed")
    return sorted(
        _end(columns, row, at_least_ns=0 if outcomes[row] == unconsumed else NS_PER_MICROSECOND)
        for row in rows
    )


def _peak(starts: Iterable[int], ends: list[int]) -> int:
    """
    Count the most intervals that are open at once; the end of one is no part of it.

    >>> _peak([0, 1, 2], [2, 3, 4])
    2
    """
    peak = ended = 0
    for started, start in enumerate(starts, 1):
        while ended < started and ends[ended] <= start:
            ended += 1
        peak = max(peak, started - ended)
    return peak


def _moment(nanoseconds: int) -> datetime:
    microseconds = nanoseconds // NS_PER_MICROSECOND
    return EPOCH + min(max(microseconds, _FIRST_US), _LAST_US) * MICROSECOND
