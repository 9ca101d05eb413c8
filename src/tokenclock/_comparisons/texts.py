"""The texts of a comparison: tables for a terminal, and Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from tokenclock import _tables
from tokenclock._metrics import GAP, METRICS, THROUGHPUT, group_name
from tokenclock._texts import cut, duration, short_number

if TYPE_CHECKING:
    from tokenclock._comparisons.comparison import ComparedCalls, Comparison, MetricComparison
    from tokenclock._metrics import GroupKey

# With fewer values on a side the normal approximation of the rank test is coarse, and the test
# misses most changes that matter (docs/comparing.md).
MINIMUM_COUNT = 20

METHOD = (
    "ratio: candidate / baseline, the median over all pairs of calls (Hodges-Lehmann)",
    "interval: 95%, the Mann-Whitney test inverted (Moses); each call is one value",
)
_HEADER = ("metric", "calls", "baseline", "candidate", "ratio", "interval", "verdict")
_LABELS = {
    **{metric.name: metric.label for metric in METRICS},
    GAP.name: "median gap of a call",
    THROUGHPUT.name: f"{THROUGHPUT.label}, {THROUGHPUT.unit}",
}
_DECIMALS_BELOW = 10
_CELL = 9  # columns: enough for all but nonsense, such as years or a billionth of a nanosecond


def text(comparison: Comparison) -> str:
    """Give the text of ``Comparison.to_text``."""
    parts = map(_block, (comparison, *comparison.groups.values()))
    return "\n\n".join([*parts, _lines(_notes(comparison))])


def _block(comparison: Comparison) -> str:
    title = "" if comparison.group is None else _lines([f"group: {comparison.group}"]) + "\n"
    table = _tables.plain(_HEADER, _rows(comparison))
    return f"{title}{_lines(_calls(comparison))}\n\n{table}"


def _lines(lines: Iterable[str]) -> str:
    return "\n".join(cut(line, _tables.LINE_WIDTH) for line in lines)


def markdown(comparison: Comparison) -> str:
    """Give the text of ``Comparison.to_markdown``."""
    parts = map(_markdown_block, (comparison, *comparison.groups.values()))
    return "\n\n".join([*parts, _items(_notes(comparison))])


def _markdown_block(comparison: Comparison) -> str:
    group = comparison.group
    title = "" if group is None else f"### {_tables.markdown_text(group)}\n\n"
    table = _tables.markdown(_HEADER, _rows(comparison))
    return f"{title}{_items(_calls(comparison))}\n\n{table}"


def _items(lines: Iterable[str]) -> str:
    return "\n".join(f"- {_tables.markdown_text(line)}" for line in lines)


# --- what is said --------------------------------------------------------------------------------


def _calls(comparison: Comparison) -> Iterator[str]:
    """Say how many calls there are and how they ended; failures get no verdict, but a word."""
    before, after = comparison.baseline, comparison.candidate
    yield f"baseline: {_ends(before)}"
    yield f"candidate: {_ends(after)}"
    failed_before, failed_after = before.failed_fraction or 0.0, after.failed_fraction or 0.0
    if failed_after > failed_before:
        yield (
            f"The candidate failed more often: {percent(failed_after)} of its calls, "
            f"against {percent(failed_before)}{_by_chance(comparison)}. Failures get no verdict."
        )


def _by_chance(comparison: Comparison) -> str:
    p_value = comparison.failures_p_value
    return "" if p_value is None else f" (p {p_value:.2g}, Fisher's exact test)"


def percent(fraction: float) -> str:
    """
    Write a share with three digits: one in ten thousand shall not look like none.

    >>> percent(0.1667), percent(0.0001), percent(0.0), percent(1.0)
    ('16.7%', '0.01%', '0%', '100%')
    """
    return f"{100 * fraction:.3g}%"


def _ends(calls: ComparedCalls) -> str:
    parts = [f"{calls.call_count} call{'' if calls.call_count == 1 else 's'}"]
    parts += [f"{count} {outcome}" for outcome, count in calls.outcomes.items()]
    if calls.callers_doing_count:
        parts.append(f"{calls.callers_doing_count} with 5% or more in the caller's own code")
    if calls.outer_calls_left_out:
        parts.append(f"{calls.outer_calls_left_out} outer left out")
    return ", ".join(parts)


def _rows(comparison: Comparison) -> list[tuple[str, ...]]:
    return [_row(one, comparison.minimum_effect) for one in comparison.metrics.values()]


def _row(one: MetricComparison, minimum_effect: float) -> tuple[str, ...]:
    write = _seconds if one.unit == "s" else _rate
    return (
        _LABELS.get(one.metric, one.metric),
        f"{one.baseline_count}/{one.candidate_count}",
        write(one.baseline_median),
        write(one.candidate_median),
        _ratio(one.ratio),
        f"{_ratio(one.low)}-{_ratio(one.high)}" if one.ratio is not None else "n/a",
        _verdict(one, minimum_effect),
    )


def _verdict(one: MetricComparison, minimum_effect: float) -> str:
    if is_small_change(one):
        return f"change below {percent(minimum_effect)}"
    return f"{one.verdict}*" if one.is_change and not one.holds_corrected else one.verdict


def is_small_change(one: MetricComparison) -> bool:
    """Whether the interval excludes 1, and the ratio is within the minimal effect."""
    excludes_1 = one.low is not None and one.high is not None and (one.low > 1 or one.high < 1)
    return excludes_1 and not one.is_change


def _seconds(seconds: float | None) -> str:
    return cut(duration(seconds), _CELL)


def _rate(number: float | None) -> str:
    return "n/a" if number is None else cut(short_number(number), _CELL)


def _ratio(number: float | None) -> str:
    """
    Write a ratio with three decimals: what differs from 1 shall not look like 1.

    >>> _ratio(1.0004), _ratio(0.95), _ratio(12.345), _ratio(1e6), _ratio(1e999), _ratio(None)
    ('1.000', '0.950', '12.3', '1e+06', 'inf', 'n/a')
    """
    if number is None:
        return "n/a"
    return f"{number:.3f}" if number < _DECIMALS_BELOW else f"{number:.3g}"


def _names(keys: Sequence[GroupKey]) -> str:
    return ", ".join(map(group_name, keys))


def _notes(comparison: Comparison) -> Iterator[str]:
    """Say what only one side has, and what the words of the tables mean."""
    if comparison.only_in_baseline:
        yield f"only in the baseline: {_names(comparison.only_in_baseline)}"
    if comparison.only_in_candidate:
        yield f"only in the candidate: {_names(comparison.only_in_candidate)}"
    yield "calls: those with the number; the last two rows take completed calls, others streams"
    yield "baseline, candidate: medians, whose quotient need not be the ratio"
    yield from METHOD
    yield f"change: the interval excludes 1{_and_beyond(comparison.minimum_effect)}"
    rows = [*comparison.metrics.values()]
    rows += [one for group in comparison.groups.values() for one in group.metrics.values()]
    if any(map(is_small_change, rows)):
        least = percent(comparison.minimum_effect)
        yield f"change below {least}: the interval excludes 1, but the ratio is within that"
    if any(one.verdict == "not enough data" for one in rows):
        yield f"not enough data: fewer than {MINIMUM_COUNT} calls on a side have the number"
    yield from _correction([one for one in rows if one.is_change], comparison.question_count)


def _and_beyond(minimum_effect: float) -> str:
    if not minimum_effect:
        return ""
    limit = 1 + minimum_effect
    return f" and the ratio is above {limit:.6g} or below {1 / limit:.3g}"


def _correction(changes: Sequence[MetricComparison], question_count: int) -> Iterator[str]:
    """Say which changes hold when it counts that many questions were asked at once."""
    asked = f"corrected for {question_count} question{'' if question_count == 1 else 's'} (Holm)"
    if not all(one.holds_corrected for one in changes):
        yield f"*: does not hold when {asked}"
    elif changes:
        yield f"Every change holds when {asked}."
