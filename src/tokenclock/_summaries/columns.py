"""What a summary keeps of many calls: a column for each number, never the calls."""

from __future__ import annotations

import math
from array import array
from collections.abc import Collection, Hashable, Iterator, Sequence
from datetime import datetime, timedelta, timezone
from itertools import filterfalse
from typing import Generic, TypeVar

from tokenclock._metrics import GAP, METRICS, GroupKey, Metric, Result
from tokenclock._texts import is_callers_doing

H = TypeVar("H", bound=Hashable)
Rows = Sequence[int]

EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
MICROSECOND = timedelta(microseconds=1)
_LONGEST = 1e10  # seconds: 317 years keep a time that nobody measured within the calendar

# Of the metrics, those of which a call has one value.
SINGLE = tuple(metric for metric in METRICS if metric is not GAP)


class Codes(Generic[H]):
    """A column of few different values, each kept once."""

    def __init__(self) -> None:
        self.column = array("i")
        self._code_of: dict[H, int] = {}

    def append(self, value: H) -> None:
        """Add the value of the next row."""
        self.column.append(self._code_of.setdefault(value, len(self._code_of)))

    def values(self) -> Collection[H]:
        """Give the values there are, in the order of first appearance."""
        return self._code_of.keys()

    def counts(self, rows: Rows) -> dict[H, int]:
        """Give how often each value is in *rows*, in the order of first appearance anywhere."""
        counts = [0] * len(self._code_of)
        for row in rows:
            counts[self.column[row]] += 1
        return {value: count for value, count in zip(self._code_of, counts, strict=True) if count}

    def rows_of_each(self) -> dict[H, array[int]]:
        """Give the rows of each value."""
        rows = [array("i") for _ in self._code_of]
        for row, code in enumerate(self.column):
            rows[code].append(row)
        return dict(zip(self._code_of, rows, strict=True))

    def code_of(self, value: H) -> int | None:
        """Give what stands for the value in the column; ``None`` if no row has it."""
        return self._code_of.get(value)

    def having(self, value: H) -> bytearray:
        """Tell for each row whether it has the value."""
        code = self.code_of(value)
        return bytearray(one == code for one in self.column)


class CallColumns:
    """
    A row for each call.

    A number that a call does not have is nan in its column, and nowhere else. Ids are kept as
    their hashes: among a million calls, two share one with a chance of less than 1 in 10 million.
    """

    def __init__(self) -> None:
        self._numbers = {metric.name: array("d") for metric in SINGLE}
        self.latencies = array("d")
        self.starts_us = array("q")
        self.token_counts = array("q")  # -1 where unknown
        self.outcomes = Codes[str]()
        self.keys = Codes[GroupKey]()
        self.verdicts = Codes["bool | None"]()
        self.streamed = bytearray()
        self.callers_doing = bytearray()
        self._gaps = array("d")
        self._gap_ends = array("q", [0])
        self._ids = array("q")
        self._parents: set[int] = set()

    def __len__(self) -> int:
        return len(self._ids)

    def add(self, result: Result, *, key: GroupKey, verdict: bool | None) -> None:
        """Add the row of a call."""
        for metric in SINGLE:
            self._numbers[metric.name].append(_finite(metric.of(result)))
        self.latencies.append(min(max(0.0, result.generation_latency), _LONGEST))
        self.starts_us.append((_aware(result.started_at) - EPOCH) // MICROSECOND)
        self.token_counts.append(-1 if result.token_count is None else result.token_count)
        self.outcomes.append(result.outcome)
        self.keys.append(key)
        self.verdicts.append(verdict)
        self.streamed.append(result.streamed)
        self.callers_doing.append(is_callers_doing(result))
        if result.streamed:
            self._gaps.extend(filter(math.isfinite, result.inter_token_latencies))
        self._gap_ends.append(len(self._gaps))
        self._add_ids(result)

    def _add_ids(self, result: Result) -> None:
        self._ids.append(hash(result.call_id))
        if result.parent_id is not None and result.parent_id != result.call_id:
            self._parents.add(hash(result.parent_id))

    def are_outer(self) -> bytearray:
        """Tell for each row whether another call ran inside it; the ids are not needed again."""
        are_outer = bytearray(one in self._parents for one in self._ids)
        self._parents.clear()
        return are_outer

    def are_stale(self) -> bytearray:
        """Tell for each row whether it is a snapshot of a call of which a later row is there."""
        are_running = self.outcomes.having("running")
        running = [row for row, is_running in enumerate(are_running) if is_running]
        running.sort(key=lambda row: (self.latencies[row], self.token_counts[row]))
        latest = {self._ids[row]: row for row in running}
        for row, one in enumerate(self._ids):
            if one in latest and not are_running[row]:
                latest[one] = row
        for row in running:
            are_running[row] = latest[self._ids[row]] != row
        return are_running

    def numbers(self, metric: Metric, rows: Rows, failures: bytearray | None) -> array[float]:
        """
        Give the values of a metric in *rows*.

        Args:
            metric: Any but the gaps.
            rows: Which calls.
            failures: Tell for each row whether it failed, which is then infinitely slow;
                ``None`` to take failed calls as the metric does.
        """
        column = self._numbers[metric.name]
        values: Iterator[float] = (column[row] for row in rows)
        if failures is not None and self._may_fail(metric, rows):
            as_failed = 0.0 if metric.higher_is_better else math.inf
            values = (as_failed if failures[row] else column[row] for row in rows)
        return array("d", filterfalse(math.isnan, values))

    def _may_fail(self, metric: Metric, rows: Rows) -> bool:
        """Tell whether failed calls count: others show the kind that they may not have shown."""
        return not metric.streamed_only or any(self.streamed[row] for row in rows)

    def without_gaps(self, rows: Rows) -> int:
        """Count the calls that have no gap."""
        ends = self._gap_ends
        return sum(ends[row] == ends[row + 1] for row in rows)

    def gaps(self, rows: Rows) -> array[float]:
        """Give a copy of the gaps in *rows*."""
        gaps = array("d")
        for row in rows:
            gaps.extend(self._gaps[self._gap_ends[row] : self._gap_ends[row + 1]])
        return gaps

    def taken_gaps(self, rows: Rows) -> array[float]:
        """Give the gaps in *rows*, which ascend, in the room of all: they are not here again."""
        gaps, self._gaps, end = self._gaps, array("d"), 0
        if len(rows) == len(self):
            return gaps
        for row in rows:
            start, count = self._gap_ends[row], self._gap_ends[row + 1] - self._gap_ends[row]
            gaps[end : end + count] = gaps[start : start + count]
            end += count
        del gaps[end:]
        return gaps


def _finite(number: float | None) -> float:
    return math.nan if number is None or not math.isfinite(number) else number


def _aware(moment: datetime) -> datetime:
    """Take a time without a zone, which only a result made by hand can have, as UTC."""
    return moment if moment.utcoffset() is not None else moment.replace(tzinfo=timezone.utc)
