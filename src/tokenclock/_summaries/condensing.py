"""From the columns of many calls to their summary."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from tokenclock._metrics import GAP, GroupKey, Metric, Nested
from tokenclock._summaries.columns import SINGLE, CallColumns, Rows
from tokenclock._summaries.concurrency import Span, span_of
from tokenclock._summaries.samples import statistics_of
from tokenclock._summaries.summary import Goodput, Statistics, Summary

_OUTCOMES = ("completed", "stopped", "failed", "cancelled", "unconsumed", "running")


def summary_of(
    columns: CallColumns, *, nested: Nested, is_grouped: bool, is_judged: bool, failed_as_inf: bool
) -> Summary:
    """Condense the columns, whose gaps are used up by it."""
    calls = _Calls(
        columns=columns,
        are_outer=_if_any(columns.are_outer()) if nested == "innermost" else None,
        are_stale=_if_any(columns.are_stale()),
        failures=columns.outcomes.having("failed") if failed_as_inf else None,
        is_judged=is_judged,
    )
    groups = columns.keys.rows_of_each() if is_grouped else {}
    summaries = {key: calls.summary(rows, columns.gaps) for key, rows in groups.items()}
    # Last, since it sorts the gaps where they are: a copy of them would double the room.
    return calls.summary(range(len(columns)), columns.taken_gaps, summaries)


@dataclass(frozen=True, kw_only=True)
class _Calls:
    """All calls, and what was asked about them."""

    columns: CallColumns
    are_outer: bytearray | None
    are_stale: bytearray | None
    failures: bytearray | None
    is_judged: bool

    def summary(
        self,
        all_rows: Rows,
        gaps_of: Callable[[Rows], array[float]],
        groups: Mapping[GroupKey, Summary] = MappingProxyType({}),
    ) -> Summary:
        """Condense those of *all_rows* that are taken."""
        columns, calls = self.columns, _without(self.are_stale, all_rows)
        rows = _without(self.are_outer, calls)
        statistics: dict[str, Any] = {one.name: self._statistics(one, rows) for one in SINGLE}
        statistics[GAP.name] = statistics_of(gaps_of(rows), left_out=columns.without_gaps(rows))
        span = span_of(columns, rows) if rows else None
        return Summary(
            call_count=len(rows),
            outer_calls_left_out=len(calls) - len(rows),
            outcomes=self._outcomes(rows),
            **self._totals(rows, span),
            callers_doing_count=sum(columns.callers_doing[row] for row in rows),
            **statistics,
            goodput=self._goodput(rows, span) if self.is_judged else None,
            groups=dict(groups),
        )

    def _statistics(self, metric: Metric, rows: Rows) -> Statistics:
        numbers = self.columns.numbers(metric, rows, self.failures)
        return statistics_of(numbers, left_out=len(rows) - len(numbers))

    def _outcomes(self, rows: Rows) -> dict[str, int]:
        """Count the outcomes in the order of their list; what a later version knows comes last."""
        counts = self.columns.outcomes.counts(rows)
        return {name: counts[name] for name in sorted(counts, key=_place_of)}

    def _totals(self, rows: Rows, span: Span | None) -> dict[str, Any]:
        tokens = [count for count in map(self.columns.token_counts.__getitem__, rows) if count >= 0]
        token_count = sum(tokens) if tokens else None
        totals = {
            "token_count": token_count,
            "calls_without_token_count": len(rows) - len(tokens),
        }
        if span is None:
            return totals
        return {
            **totals,
            "started_at": span.started_at,
            "ended_at": span.ended_at,
            "time_span": span.seconds,
            "requests_per_second": span.rate_of(len(rows)),
            "tokens_per_second": span.rate_of(token_count),
            "mean_concurrency": span.mean_concurrency,
            "peak_concurrency": span.peak_concurrency,
        }

    def _goodput(self, rows: Rows, span: Span | None) -> Goodput:
        counts = self.columns.verdicts.counts(rows)
        met, missed = counts.get(True, 0), counts.get(False, 0)
        determined = met + missed
        return Goodput(
            met=met,
            missed=missed,
            undetermined=counts.get(None, 0),
            fraction=met / determined if determined else None,
            requests_per_second=span.rate_of(met) if span and determined else None,
        )


def _if_any(rows: bytearray) -> bytearray | None:
    return rows if any(rows) else None


def _without(left_out: bytearray | None, rows: Rows) -> Rows:
    if left_out is None:
        return rows
    return array("i", (row for row in rows if not left_out[row]))


def _place_of(outcome: str) -> tuple[int, str]:
    place = _OUTCOMES.index(outcome) if outcome in _OUTCOMES else len(_OUTCOMES)
    return place, outcome
