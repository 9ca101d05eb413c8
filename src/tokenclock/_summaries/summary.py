"""What many calls came to, as objects: Summary, and the statistics in it."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from datetime import datetime
from typing import TYPE_CHECKING, Any, cast

from tokenclock._metrics import METRICS, GroupKey
from tokenclock._summaries import texts
from tokenclock.errors import InvalidOptionError, InvalidRecordError

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl


@dataclass(frozen=True, kw_only=True)
class Statistics:
    """
    How one number is distributed over many calls.

    Seconds, or tokens per second for the throughput. ``None`` where there is no value.

    Attributes:
        count: Values: one of each call that has it; of the gaps, many of each.
        left_out: Calls that gave no value. First-token times, times per output token and gaps are
            those of streamed calls; latency and throughput are those of completed calls.
        mean: Arithmetic; infinite where a value is.
        standard_deviation: Of the sample, with ``count - 1``; ``None`` with one value, and where
            a value is infinite.
        minimum: The least value.
        p50: The median. Percentiles interpolate linearly between neighbours (type 7 of Hyndman
            and Fan, NumPy's ``linear``).
        p90: 90 % of the values lie below.
        p95: 95 % of the values lie below.
        p99: 99 % of the values lie below.
        maximum: The greatest value.
        unsupported: The names of the percentiles that a sample of this size cannot support: no
            two-sided 95 % confidence interval of them exists (distribution-free, exact binomial,
            equal-tailed). p50 takes 6 values, p90 36, p95 72, p99 368. That is the least one can
            say: the gaps within one call depend on each other, and so do calls that ran at the
            same time, so that a percentile may be less sure than its count suggests.

    .. versionadded:: 0.1.0
    """

    count: int
    left_out: int
    mean: float | None = None
    standard_deviation: float | None = None
    minimum: float | None = None
    p50: float | None = None
    p90: float | None = None
    p95: float | None = None
    p99: float | None = None
    maximum: float | None = None
    unsupported: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Goodput:
    """
    How many calls met a service level.

    Attributes:
        met: Calls that met every limit.
        missed: Calls that failed or broke a limit.
        undetermined: Calls of which that cannot be told.
        fraction: ``met / (met + missed)``; ``None`` if no call is determined.
        requests_per_second: ``met`` over the time span: the least it was, where calls are
            undetermined. ``None`` if no time passed or no call is determined.

    .. versionadded:: 0.1.0
    """

    met: int
    missed: int
    undetermined: int
    fraction: float | None
    requests_per_second: float | None


@dataclass(frozen=True, kw_only=True)
class Summary:
    """
    What many calls came to.

    Times are seconds, rates are per second of the time span. ``None`` is what cannot be told.
    ``str(summary)`` is the table of ``to_text()``.

    Attributes:
        call_count: Calls whose numbers were taken, however they ended.
        outer_calls_left_out: Calls left out since other measured calls ran inside them: their
            tokens would count twice.
        outcomes: How many of the calls taken ended in which way.
        started_at: When the first call started; aware UTC time.
        ended_at: When the last one ended.
        time_span: From the first start to the last end.
        requests_per_second: ``call_count / time_span``; ``None`` if no time passed.
        token_count: Tokens of all calls, reasoning included; ``None`` if no call knows its own.
        calls_without_token_count: Calls that do not know theirs: *token_count* lacks them.
        tokens_per_second: ``token_count / time_span``, less than the truth where calls do not
            know their tokens; ``None`` if no time passed.
        mean_concurrency: The latencies' sum / *time_span*: how many calls ran at a time.
        peak_concurrency: The most that ran at once. A call that ends at the moment at which
            another starts is not at once with it; one that was never asked did not run; any
            other lasts a microsecond at least, the resolution of ``started_at``.
        callers_doing_count: Calls in which the caller's own share of the latency is 5 % or more.
            Their numbers are taken, and say more about the program that read them.
        time_to_first_token: Of streamed calls.
        time_to_first_output_token: Of streamed calls.
        time_per_output_token: Of streamed calls, one value each.
        inter_token_latency: The gaps of all streamed calls, pooled.
        generation_latency: Of completed calls.
        throughput: Of completed calls, one value each, in tokens per second.
        goodput: How many calls met the service level; ``None`` if none was given.
        groups: A summary of each group, in the order in which they first appeared; empty
            without ``by``.

    .. versionadded:: 0.1.0
    """

    call_count: int
    outer_calls_left_out: int = 0
    outcomes: Mapping[str, int] = field(default_factory=dict[str, int], hash=False)
    started_at: datetime | None = None
    ended_at: datetime | None = None
    time_span: float | None = None
    requests_per_second: float | None = None
    token_count: int | None = None
    calls_without_token_count: int = 0
    tokens_per_second: float | None = None
    mean_concurrency: float | None = None
    peak_concurrency: int = 0
    callers_doing_count: int = 0
    time_to_first_token: Statistics
    time_to_first_output_token: Statistics
    time_per_output_token: Statistics
    inter_token_latency: Statistics
    generation_latency: Statistics
    throughput: Statistics
    goodput: Goodput | None = None
    groups: Mapping[GroupKey, Summary] = field(
        default_factory=dict[GroupKey, "Summary"], hash=False
    )

    def __str__(self) -> str:
        return self.to_text()

    def statistics(self, metric: str) -> Statistics:
        """
        Give the statistics of a metric by its name, such as ``"time_to_first_token"``.

        Raises:
            InvalidOptionError: If there is no such metric.

        .. versionadded:: 0.1.0
        """
        if metric not in _METRIC_NAMES:
            msg = (
                f"Cannot give statistics of {metric!r}: there is no such metric. Pass one of "
                f"{', '.join(_METRIC_NAMES)}."
            )
            raise InvalidOptionError(msg, option="metric")
        statistics: Statistics = getattr(self, metric)
        return statistics

    def to_text(self) -> str:
        """
        Give the text for people: lines and tables of at most 100 columns.

        A percentile that the sample cannot support carries a ``*``.

        Returns:
            Lines without a trailing newline; the groups follow, each with a table of its own.

        .. versionadded:: 0.1.0
        """
        return texts.text(self)

    def to_markdown(self) -> str:
        """
        Give the same as text in GitHub's Markdown; names of groups are escaped.

        .. versionadded:: 0.1.0
        """
        return texts.markdown(self)

    def to_dict(self) -> dict[str, Any]:
        """
        Give every field as plain data.

        Returns:
            Times in ISO 8601; *groups* as a list of ``{"key": ..., "summary": ...}``, since a
            key need not be text. An infinite number stays one.

        .. versionadded:: 0.1.0
        """
        record = dict(self.__dict__)
        for name in _TIMES:
            moment = record[name]
            record[name] = None if moment is None else moment.isoformat()
        for metric in METRICS:
            record[metric.name] = _statistics_record(record[metric.name])
        record["outcomes"] = dict(self.outcomes)
        record["goodput"] = None if self.goodput is None else dict(self.goodput.__dict__)
        record["groups"] = [
            {"key": key, "summary": summary.to_dict()} for key, summary in self.groups.items()
        ]
        return record

    def to_json(self, *, indent: int | None = None) -> str:
        """
        Give ``to_dict`` as JSON, which has no infinity: that becomes the text ``"Infinity"``.

        Args:
            indent: Spaces by which each level is indented; ``None`` for a single line.

        .. versionadded:: 0.1.0
        """
        record = _without_infinity(self.to_dict())
        return json.dumps(record, indent=indent, allow_nan=False)

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> Summary:
        """
        Restore what ``to_dict`` gave, or what ``json.loads`` makes of ``to_json``.

        Fields that this version does not know are passed over. Values are not checked one by one.

        Raises:
            InvalidRecordError: If a field is missing or cannot be read.

        .. versionadded:: 0.1.0
        """
        try:
            return cls(**_restored(record))
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            msg = (
                f"Cannot read a summary from this record: {_reason(error)}. "
                "Pass what Summary.to_dict() gave, or json.loads() of to_json()."
            )
            raise InvalidRecordError(msg) from error

    def to_pandas(self) -> pd.DataFrame:
        """
        Give a data frame of one row a metric, or one a group and metric where there are groups.

        Returns:
            Columns ``group`` (only with groups), ``metric``, ``unit`` and those of
            ``Statistics``; *unsupported* as text, the names parted by a comma.

        Raises:
            MissingPackageError: If pandas is not installed.

        .. versionadded:: 0.1.0
        """
        from tokenclock._summaries import frames  # noqa: PLC0415 - pandas is asked for when it is needed

        return frames.pandas_frame(self)

    def to_polars(self) -> pl.DataFrame:
        """
        Give the same as ``to_pandas``, as a data frame of Polars.

        Raises:
            MissingPackageError: If Polars is not installed.

        .. versionadded:: 0.1.0
        """
        from tokenclock._summaries import frames  # noqa: PLC0415 - Polars is asked for when it is needed

        return frames.polars_frame(self)


_METRIC_NAMES = tuple(metric.name for metric in METRICS)
_TIMES = ("started_at", "ended_at")


def _statistics_record(statistics: Statistics) -> dict[str, Any]:
    return {**statistics.__dict__, "unsupported": list(statistics.unsupported)}


def _without_infinity(data: Any) -> Any:
    if isinstance(data, dict):
        items = cast("dict[str, Any]", data)
        return {name: _without_infinity(one) for name, one in items.items()}
    if isinstance(data, list):
        return list(map(_without_infinity, cast("Iterable[Any]", data)))
    return "Infinity" if data == math.inf else data


def _restored(record: Mapping[str, Any]) -> dict[str, Any]:
    values = _fields_of(Summary, record)
    for name in _TIMES:
        moment = values[name]
        values[name] = None if moment is None else datetime.fromisoformat(moment)
    for metric in METRICS:
        numbers = _fields_of(Statistics, values[metric.name])
        values[metric.name] = Statistics(**numbers)
    values["outcomes"] = dict(values["outcomes"])
    if values["goodput"] is not None:
        values["goodput"] = Goodput(**_fields_of(Goodput, values["goodput"]))
    values["groups"] = {
        group["key"]: Summary.from_dict(group["summary"]) for group in values["groups"]
    }
    return values


def _fields_of(kind: type[Any], record: Mapping[str, Any]) -> dict[str, Any]:
    values = {one.name: record[one.name] for one in fields(kind)}
    if "unsupported" in values:
        values["unsupported"] = tuple(values["unsupported"])
    return {name: math.inf if one == "Infinity" else one for name, one in values.items()}


def _reason(error: Exception) -> str:
    return f"{error} missing" if isinstance(error, KeyError) else str(error)
