"""
Two sets of calls: did it get slower?

Every metric gets the ratio candidate / baseline with its 95 % interval, and a verdict. The extra
``compare`` installs what this needs.

.. versionadded:: 0.1.0
"""

from __future__ import annotations

import math
import sys
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import replace
from typing import Any, Literal, NamedTuple

from tokenclock._comparisons.comparison import (
    ComparedCalls,
    Comparison,
    MetricComparison,
    Verdict,
    corrected,
)
from tokenclock._comparisons.rank_ratio import RankRatio, factor, more_often, rank_ratio
from tokenclock._comparisons.texts import MINIMUM_COUNT
from tokenclock._metrics import (
    GAP,
    GROUP_FIELDS,
    METRICS,
    Group,
    GroupKey,
    Metric,
    Nested,
    Result,
    as_last_seen,
    check_nested,
    group_by,
    group_name,
    grouped,
    results_in,
    taken,
    unknown_group,
)
from tokenclock._result import MetricsResult  # noqa: TC001 - typing.get_type_hints needs it
from tokenclock._statistics import quantile
from tokenclock._texts import cut, is_callers_doing
from tokenclock.errors import EmptyInputError, InvalidOptionError, InvalidRecordError

__all__ = ["ComparedCalls", "Comparison", "MetricComparison", "Verdict", "compare"]

# A ratio of exactly the minimal effect is not beyond it: the rounding of logarithms may not decide.
_ROUNDING = 1e-9

Side = Literal["baseline", "candidate"]


def compare(
    baseline: Iterable[MetricsResult[Any]],
    candidate: Iterable[MetricsResult[Any]],
    *,
    by: Group | None = None,
    minimum_effect: float = 0.05,
    nested: Nested = "innermost",
) -> Comparison:
    """
    Tell for each metric whether the candidate's calls differ from the baseline's.

    First-token times, times per output token and gaps are those of streamed calls; generation
    latency and throughput are those of completed calls. A call is one value: of its gaps, the
    median. The estimate is the Hodges-Lehmann ratio, its 95 % interval comes from the
    Mann-Whitney test (Moses), and Holm's method corrects for all the questions asked.

    The test takes calls as independent, and both sides as measured under the same conditions.
    Failures get no verdict; their shares are in ``Comparison.baseline`` and ``.candidate``, and
    ``Comparison.failures_p_value`` tells whether the candidate failed more often by chance.

    Args:
        baseline: Results in any order; consumed once. Each is a call, and one that is there twice
            is two; but of the snapshots of a running call only the last counts, and none beside
            the finished result.
        candidate: The same, of what may have changed.
        by: Compare each group, too: a field such as ``"model"``, the name of a label, or a
            function from a result to a key. A change over all calls alone may come from a changed
            mix of groups.
        minimum_effect: The smallest change that counts, as a fraction: 0.05 asks for a ratio above
            1.05 or below 1 / 1.05. A number from 0 to below 1.
        nested: ``"innermost"`` leaves out calls that have measured calls inside them, whose
            tokens both would count; ``"all"`` takes every one.

    Raises:
        EmptyInputError: If a side has no result.
        InvalidOptionError: If a side holds anything but results, or an option is of the wrong kind.
        InvalidRecordError: If a number of a call is none, is negative or is not finite.

    .. versionadded:: 0.1.0
    """
    _check_effect(minimum_effect)
    check_nested(nested)
    key_of = None if by is None else group_by(by)
    before = _calls_of("baseline", baseline, nested)
    after = _calls_of("candidate", candidate, nested)
    whole = _compared(before, after, minimum_effect)
    if key_of is not None:
        before_groups, after_groups = _grouped(before, key_of), _grouped(after, key_of)
        _check_known(by, before_groups.keys() | after_groups.keys())
        whole = _with_groups(whole, before_groups, after_groups)
    return corrected(whole)


class _Calls(NamedTuple):
    """The calls of one side, or of a group of it: all of them, and those whose numbers count."""

    everything: list[Result]
    taken: list[Result]

    def described(self) -> ComparedCalls:
        return ComparedCalls(
            call_count=len(self.taken),
            outer_calls_left_out=len(self.everything) - len(self.taken),
            outcomes=self._outcomes(),
            callers_doing_count=sum(map(is_callers_doing, self.taken)),
        )

    def _outcomes(self) -> dict[str, int]:
        """Count by outcome: the completed first, then those of which there are most."""
        counts = Counter[str](result.outcome for result in self.taken)
        return dict(sorted(counts.items(), key=lambda item: (item[0] != "completed", -item[1])))


def _calls_of(side: Side, results: Iterable[Result], nested: Nested) -> _Calls:
    """Read one side, refusing what holds anything but results."""
    given = results_in(results, cannot=f"Cannot compare with a {side}", option=side)
    everything = as_last_seen(list(given))
    if not everything:
        msg = (
            f"Cannot compare with an empty {side}: there is no call in it. Pass at least one "
            f"result; {MINIMUM_COUNT} on each side are the least that gives a verdict. An iterator "
            "gives its results once."
        )
        raise EmptyInputError(msg)
    return _Calls(everything, taken(everything, nested))


def _check_effect(minimum_effect: float) -> None:
    is_number = not isinstance(minimum_effect, bool) and _is_number(minimum_effect)
    if is_number and minimum_effect < 1:  # 5 would be meant as 5 %, and would pass everything
        return
    msg = (
        f"Cannot compare with minimum_effect={minimum_effect!r}: it is no number from 0 to below "
        "1. Pass the smallest change that counts as a fraction, such as 0.05 for 5 %."
    )
    raise InvalidOptionError(msg, option="minimum_effect")


# --- one comparison ------------------------------------------------------------------------------


def _compared(
    before: _Calls, after: _Calls, minimum_effect: float, group: str | None = None
) -> Comparison:
    """Compare all metrics; the p-values are not corrected yet."""
    found = [_metric_compared(metric, before, after, minimum_effect, group) for metric in METRICS]
    return Comparison(
        metrics={one.metric: one for one in found},
        baseline=before.described(),
        candidate=after.described(),
        minimum_effect=minimum_effect,
        failures_p_value=_failures_p_value(before.described(), after.described()),
        group=group,
    )


def _failures_p_value(before: ComparedCalls, after: ComparedCalls) -> float | None:
    if not (before.call_count and after.call_count):
        return None
    return more_often(
        (before.failed_count, before.call_count), (after.failed_count, after.call_count)
    )


def _metric_compared(
    metric: Metric, before: _Calls, after: _Calls, minimum_effect: float, group: str | None
) -> MetricComparison:
    baseline, candidate = _numbers(metric, before.taken), _numbers(metric, after.taken)
    is_enough = min(len(baseline), len(candidate)) >= MINIMUM_COUNT
    ratio = rank_ratio(baseline, candidate) if is_enough else None
    return MetricComparison(
        metric=metric.name,
        group=group,
        unit=metric.unit,
        baseline_count=len(baseline),
        candidate_count=len(candidate),
        baseline_median=quantile(baseline, 0.5) if baseline else None,
        candidate_median=quantile(candidate, 0.5) if candidate else None,
        ratio=factor(ratio.shift) if ratio else None,
        low=factor(ratio.low) if ratio else None,
        high=factor(ratio.high) if ratio else None,
        p_value=ratio.p_value if ratio else None,
        verdict=verdict_on(ratio, minimum_effect, metric) if ratio else "not enough data",
    )


def verdict_on(ratio: RankRatio, minimum_effect: float, metric: Metric) -> Verdict:
    excludes_no_change = ratio.low > 0 or ratio.high < 0
    if not excludes_no_change or abs(ratio.shift) <= math.log1p(minimum_effect) + _ROUNDING:
        return "no detectable change"
    return "improved" if (ratio.shift > 0) is metric.higher_is_better else "regressed"


# --- the numbers of calls ------------------------------------------------------------------------


def _numbers(metric: Metric, results: list[Result]) -> list[float]:
    """Give the numbers of the calls that have one, in ascending order."""
    return sorted(
        _checked(number, metric, result)
        for result in results
        if (number := _number(metric, result)) is not None
    )


def _number(metric: Metric, result: Result) -> float | None:
    if metric is not GAP:
        return metric.of(result)
    gaps = sorted(result.inter_token_latencies) if metric.counts(result) else None
    return quantile(gaps, 0.5) if gaps else None


def _checked(number: float, metric: Metric, result: Result) -> float:
    """Refuse what a record may hold, and a rank or a logarithm would make nonsense of."""
    if _is_number(number):
        return number
    msg = (
        f"Cannot compare {metric.name} of the call {cut(repr(result.call_id))}: "
        f"{cut(repr(number))} is no finite number of 0 or more. Leave that call out."
    )
    raise InvalidRecordError(msg)


def _is_number(number: object) -> bool:
    """Whether it is a finite number of 0 or more."""
    return isinstance(number, (int, float)) and 0 <= number <= sys.float_info.max


# --- groups --------------------------------------------------------------------------------------


def _grouped(calls: _Calls, key_of: Callable[[Result], GroupKey]) -> dict[GroupKey, _Calls]:
    taken_ones = {id(result) for result in calls.taken}
    return {
        key: _Calls(members, [result for result in members if id(result) in taken_ones])
        for key, members in grouped(calls.everything, key_of).items()
    }


def _check_known(by: Group | None, keys: Collection[GroupKey]) -> None:
    """Refuse a name that no call of either side knows: a slip, most likely."""
    if isinstance(by, str) and by not in GROUP_FIELDS and set(keys) <= {None}:
        raise unknown_group(by)


def _with_groups(
    whole: Comparison, before: Mapping[GroupKey, _Calls], after: Mapping[GroupKey, _Calls]
) -> Comparison:
    groups = {
        key: _compared(calls, after[key], whole.minimum_effect, group=group_name(key))
        for key, calls in before.items()
        if key in after
    }
    return replace(
        whole,
        groups=groups,
        only_in_baseline=tuple(key for key in before if key not in after),
        only_in_candidate=tuple(key for key in after if key not in before),
    )
