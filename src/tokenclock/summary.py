"""
Many calls in few numbers: how they are distributed, how many ran at once, how many were good.

>>> from datetime import datetime, timezone
>>> from tokenclock import MetricsResult
>>> started_at = datetime(2026, 1, 2, tzinfo=timezone.utc)
>>> result = MetricsResult(
...     function="chat",
...     call_id="1",
...     started_at=started_at,
...     streamed=True,
...     outcome="completed",
...     generation_latency=2.0,
...     time_to_first_token=0.25,
... )
>>> summarize([result]).time_to_first_token.p50
0.25

.. versionadded:: 0.1.0
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Any, NamedTuple

from tokenclock._metrics import (
    Group,
    Nested,
    check_group_is_known,
    check_nested,
    group_by,
    results_in,
)
from tokenclock._result import MetricsResult
from tokenclock._service_level import ServiceLevel, check_service_level, meets
from tokenclock._summaries.columns import CallColumns
from tokenclock._summaries.condensing import summary_of
from tokenclock._summaries.summary import Goodput, Statistics, Summary
from tokenclock.errors import EmptyInputError, InvalidOptionError

__all__ = ["Goodput", "ResultLog", "ServiceLevel", "Statistics", "Summary", "summarize"]


def summarize(
    results: Iterable[MetricsResult[Any]],
    *,
    slo: ServiceLevel | None = None,
    by: Group | None = None,
    nested: Nested = "innermost",
    failed_as_inf: bool = False,
) -> Summary:
    """
    Condense many results into one summary.

    First-token times, times per output token and gaps are those of streamed calls, however they
    ended, where the number was observed; generation latency and throughput are those of completed
    calls. How many calls were left out is part of each number's statistics. Of the results only
    numbers are kept: a generator such as ``read_records()`` gives as many as it likes.

    Args:
        results: In any order; consumed once. Each is a call, and one that is there twice is two;
            but of the snapshots of a running call only the last counts, and none beside the
            finished result. A start without a time zone, which only a result made by hand can
            have, is taken as UTC.
        slo: What a call is to be like to be good enough; gives ``Summary.goodput``.
        by: Summarise each group, too: a field such as ``"model"``, the name of a label, or a
            function from a result to a key, which is text, a number or ``None``.
        nested: ``"innermost"`` leaves out calls that have other measured calls of *results*
            inside them, whose tokens would count twice; for groups, too, that is decided over
            all *results*. ``"all"`` takes every call.
        failed_as_inf: Whether each failed call counts as one that took infinitely long, with a
            throughput of 0. A call that failed may not have shown whether it streams: it counts
            in the numbers of streams if any call of its group does. Gaps stay as they are.

    Returns:
        Times in seconds, rates in tokens per second; ``None`` where no call had a value.
        Percentiles interpolate linearly.

    Raises:
        EmptyInputError: If there are no *results*.
        InvalidOptionError: If *results* holds anything but results, an option is of the wrong
            kind, or no call has a label *by*.

    .. versionadded:: 0.1.0
    """
    options = _Options(slo, by, nested, failed_as_inf)
    options.check()
    columns = options.columns(results)
    if not len(columns):
        msg = (
            "Cannot summarise no results: there is no number to give. Pass one result or more, "
            "such as those of a ResultLog or of read_records(); an iterator gives its results once."
        )
        raise EmptyInputError(msg)
    return options.summary(columns)


class ResultLog:
    """
    A sink that keeps the newest results and summarises them at any time.

    Any number of threads may log to it and read it at once.

    Args:
        maxlen: How many results are kept, 1 or more; each further one pushes out the oldest.

    Raises:
        InvalidOptionError: If *maxlen* is no such number.

    >>> log = ResultLog(maxlen=1000)
    >>> len(log), log.results
    (0, [])

    .. versionadded:: 0.1.0
    """

    def __init__(self, maxlen: int = 100_000) -> None:
        if type(maxlen) is not int or maxlen < 1:
            msg = (
                f"Cannot keep maxlen={maxlen!r} results: it is no whole number of 1 or more. "
                "Pass how many of the newest are kept."
            )
            raise InvalidOptionError(msg, option="maxlen")
        # No lock: appending to a deque and copying one are single steps, which neither another
        # thread nor Ctrl-C can split, and a fork cannot leave a lock behind that nobody holds.
        self._results = deque[MetricsResult[Any]](maxlen=maxlen)

    def __call__(self, result: MetricsResult[Any]) -> None:
        """Keep a result."""
        self._results.append(result)

    def __len__(self) -> int:
        return len(self._results)

    def __repr__(self) -> str:
        return f"<ResultLog of {len(self)} results>"

    @property
    def results(self) -> list[MetricsResult[Any]]:
        """The results kept, the oldest first; a list of the caller's own."""
        return list(self._results)

    def clear(self) -> None:
        """
        Forget every result.

        .. versionadded:: 0.1.0
        """
        self._results.clear()

    def summary(
        self,
        *,
        slo: ServiceLevel | None = None,
        by: Group | None = None,
        nested: Nested = "innermost",
        failed_as_inf: bool = False,
    ) -> Summary:
        """
        Summarise the results kept; the options are those of ``summarize``.

        Returns:
            A summary of no calls while the log is empty.

        Raises:
            InvalidOptionError: As ``summarize`` does.

        .. versionadded:: 0.1.0
        """
        options = _Options(slo, by, nested, failed_as_inf)
        options.check()
        return options.summary(options.columns(self._results.copy()))


class _Options(NamedTuple):
    slo: ServiceLevel | None
    by: Group | None
    nested: Nested
    failed_as_inf: bool

    def check(self) -> None:
        if self.slo is not None:
            check_service_level(self.slo)
        if self.by is not None:
            group_by(self.by)
        check_nested(self.nested)

    def columns(self, results: Iterable[MetricsResult[Any]]) -> CallColumns:
        columns, slo = CallColumns(), self.slo
        key_of = group_by(self.by) if self.by is not None else None
        for result in results_in(results, cannot="Cannot summarise an object", option="results"):
            columns.add(
                result,
                key=None if key_of is None else key_of(result),
                verdict=None if slo is None else meets(result, slo),
            )
        return columns

    def summary(self, columns: CallColumns) -> Summary:
        if self.by is not None:
            check_group_is_known(self.by, columns.keys.values())
        return summary_of(
            columns,
            nested=self.nested,
            is_grouped=self.by is not None,
            is_judged=self.slo is not None,
            failed_as_inf=self.failed_as_inf,
        )
