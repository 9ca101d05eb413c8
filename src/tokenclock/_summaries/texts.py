"""The texts of a summary: lines and tables for a terminal, and Markdown."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from tokenclock import _tables
from tokenclock._metrics import (
    FIRST_OUTPUT_TOKEN,
    FIRST_TOKEN,
    GAP,
    LATENCY,
    METRICS,
    PER_OUTPUT_TOKEN,
    THROUGHPUT,
    Metric,
    group_name,
)
from tokenclock._statistics import PERCENTILES, least_count
from tokenclock._texts import cut, duration, short_number

if TYPE_CHECKING:
    from datetime import datetime

    from tokenclock._summaries.summary import Goodput, Statistics, Summary

_HEADER = ("", "n", "left out", "mean", "sd", "min", *PERCENTILES, "max")
# Short, so that eleven columns fit into a line; the unit follows.
_LABELS = {
    FIRST_TOKEN: "first token",
    FIRST_OUTPUT_TOKEN: "first output",
    PER_OUTPUT_TOKEN: "per output token",
    GAP: "gaps",
    LATENCY: "latency",
    THROUGHPUT: "throughput",
}
_LABEL_WIDTH = 13

# A row has one unit: the first in which its greatest number is below the limit.
_UNITS = (("µs", 1e-6, 1_000), ("ms", 1e-3, 10_000), ("s", 1.0, math.inf))
_LEAST_SHOWN = 0.01
_SHORTENED_FROM = 100_000


def text(summary: Summary) -> str:
    """Give the text of ``Summary.to_text``."""
    blocks = [_block(one, name) for one, name in _parts(summary)]
    notes = [line for note in _notes(summary) for line in _wrapped(note)]
    return "\n\n".join([*blocks, *_paragraph(notes)])


def _block(summary: Summary, name: str | None) -> str:
    title = [] if name is None else [f"group: {name}"]
    facts = [f"{label:<{_LABEL_WIDTH}}{fact}" for label, fact in _facts(summary)]
    table = [_tables.plain(_HEADER, _rows(summary))] if summary.call_count else []
    return "\n\n".join([*_paragraph([*title, *facts]), *table])


def _paragraph(lines: Iterable[str]) -> list[str]:
    text = "\n".join(cut(line, _tables.LINE_WIDTH) for line in lines)
    return [text] if text else []


def _wrapped(note: str) -> list[str]:
    return textwrap.wrap(note, _tables.LINE_WIDTH, subsequent_indent="   ", break_on_hyphens=False)


def markdown(summary: Summary) -> str:
    """Give the text of ``Summary.to_markdown``."""
    blocks = [_markdown_block(one, name) for one, name in _parts(summary)]
    return "\n\n".join([*blocks, *_items(_notes(summary))])


def _markdown_block(summary: Summary, name: str | None) -> str:
    title = [] if name is None else [f"**group:** {_tables.markdown_text(name)}"]
    facts = _items(f"{label}: {fact}" for label, fact in _facts(summary))
    rows = [[cell.strip() for cell in row] for row in _rows(summary)]
    table = [_tables.markdown(_HEADER, rows)] if summary.call_count else []
    return "\n\n".join([*title, *facts, *table])


def _items(lines: Iterable[str]) -> list[str]:
    text = "\n".join(f"- {_tables.markdown_text(line)}" for line in lines)
    return [text] if text else []


def _parts(summary: Summary) -> Iterator[tuple[Summary, str | None]]:
    """Give the whole, then each group with its name."""
    yield summary, None
    for key, group in summary.groups.items():
        yield group, group_name(key)


# --- what is said above the table ----------------------------------------------------------------


def _facts(summary: Summary) -> Iterator[tuple[str, str]]:
    yield "calls", _calls(summary)
    if summary.outer_calls_left_out:
        outer = _counted(summary.outer_calls_left_out, "call")
        yield "left out", f"{outer} around other measured calls, whose tokens would count twice"
    if not summary.call_count:
        return
    yield "time span", _time_span(summary)
    yield "requests", _rate(summary.requests_per_second)
    yield "tokens", _tokens(summary)
    yield "concurrency", _concurrency(summary)
    if summary.goodput is not None:
        yield "goodput", _goodput(summary.goodput)
    if summary.callers_doing_count:
        slow = f"{summary.callers_doing_count} of {_counted(summary.call_count, 'call')}"
        yield "caller", f"in {slow}, 5% or more of the time was the caller's own; they are counted"


def _calls(summary: Summary) -> str:
    outcomes = ", ".join(f"{count} {outcome}" for outcome, count in summary.outcomes.items())
    return f"{summary.call_count}: {outcomes}" if outcomes else f"{summary.call_count}"


def _time_span(summary: Summary) -> str:
    started_at, ended_at = _moment(summary.started_at), _moment(summary.ended_at)
    return f"{duration(summary.time_span)}, {started_at} to {ended_at} UTC"


def _moment(moment: datetime | None) -> str:
    return "n/a" if moment is None else f"{moment:%Y-%m-%d %H:%M:%S}"


def _tokens(summary: Summary) -> str:
    if summary.token_count is None:
        return "n/a"
    unknown = summary.calls_without_token_count
    known = f"; unknown in {_counted(unknown, 'call')}" if unknown else ""
    return f"{summary.token_count}, {_rate(summary.tokens_per_second)}{known}"


def _concurrency(summary: Summary) -> str:
    mean = summary.mean_concurrency
    shown = "n/a" if mean is None else short_number(mean)
    return f"mean {shown}, peak {summary.peak_concurrency}"


def _goodput(goodput: Goodput) -> str:
    apart = f"; {goodput.undetermined} undetermined" if goodput.undetermined else ""
    if goodput.fraction is None:
        return f"n/a{apart}"
    determined = _counted(goodput.met + goodput.missed, "call")
    calls = f"{goodput.met} of {determined} met the service level ({goodput.fraction:.1%})"
    return f"{_rate(goodput.requests_per_second)}: {calls}{apart}"


def _rate(rate: float | None) -> str:
    return "n/a per second" if rate is None else f"{short_number(rate)} per second"


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"


# --- the table -----------------------------------------------------------------------------------


def _rows(summary: Summary) -> list[tuple[str, ...]]:
    statistics = [(metric, summary.statistics(metric.name)) for metric in METRICS]
    starred = {name for _, one in statistics if one.count for name in one.unsupported}
    return [_row(metric, one, starred) for metric, one in statistics]


def _row(metric: Metric, statistics: Statistics, starred: set[str]) -> tuple[str, ...]:
    unit, size = _unit_of(metric, statistics)
    numbers = [statistics.mean, statistics.standard_deviation, statistics.minimum]
    percentiles = [
        _cell(getattr(statistics, name), size) + _mark(name, statistics, starred)
        for name in PERCENTILES
    ]
    return (
        f"{_LABELS[metric]}, {unit}",
        str(statistics.count),
        str(statistics.left_out),
        *(_cell(number, size) for number in numbers),
        *percentiles,
        _cell(statistics.maximum, size),
    )


def _unit_of(metric: Metric, statistics: Statistics) -> tuple[str, float]:
    if metric.unit != "s":
        return metric.unit, 1.0
    numbers = [statistics.minimum, statistics.p50, statistics.p99, statistics.maximum]
    greatest = max((one for one in numbers if one is not None and one < math.inf), default=0.001)
    return next((unit, size) for unit, size, limit in _UNITS if greatest < limit * size)


def _mark(percentile: str, statistics: Statistics, starred: set[str]) -> str:
    """Give the star, or the blank that keeps the digits of a column below each other."""
    if statistics.count and percentile in statistics.unsupported:
        return "*"
    return " " if percentile in starred else ""


def _cell(number: float | None, size: float) -> str:
    """
    Write a number in at most five characters.

    >>> _cell(0.2451, 0.001), _cell(0.0, 1.0), _cell(0.004, 1.0), _cell(2_500_000.0, 1.0)
    ('245', '0', '<0.01', '2.5M')
    """
    if number is None:
        return "n/a"
    shown = number / size
    if shown in {0, math.inf}:
        return f"{shown:.0f}"
    if shown < _LEAST_SHOWN:
        return f"<{_LEAST_SHOWN}"
    if shown < _SHORTENED_FROM:
        return short_number(shown)
    return _shortened(shown)


def _shortened(number: float) -> str:
    for sign, size in (("k", 1e3), ("M", 1e6), ("G", 1e9)):
        if number < 1000 * size:
            return f"{short_number(number / size)}{sign}"
    return f"{number:.0e}"


# --- what is said below --------------------------------------------------------------------------


def _notes(summary: Summary) -> Iterator[str]:
    """Say what the words and marks of the tables mean, where there is a table."""
    if not summary.call_count:
        return
    shown = [one.statistics(metric.name) for one, _ in _parts(summary) for metric in METRICS]
    yield "latency and throughput: of completed calls; the others: of streamed calls"
    yield (
        "n: values (a call has many gaps); left out: calls without one; "
        "percentiles: linear interpolation"
    )
    if any(one.maximum == math.inf for one in shown):
        yield "inf: each failed call counts as infinitely slow, with a throughput of 0"
    starred = {name for one in shown if one.count for name in one.unsupported}
    if starred:
        yield (
            "*: too few values for this percentile: it has no two-sided 95% confidence interval "
            f"(distribution-free, exact binomial, equal-tailed); {_sizes(starred)}"
        )


def _sizes(starred: Iterable[str]) -> str:
    names: Sequence[str] = [name for name in PERCENTILES if name in set(starred)]
    return ", ".join(f"{name} takes {least_count(PERCENTILES[name])}" for name in names)
