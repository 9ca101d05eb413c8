"""What a comparison of two sets of calls came to."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from tokenclock._comparisons import texts
from tokenclock._metrics import GroupKey, Unit

# The level at which a corrected change holds: that of the 95 % intervals.
SIGNIFICANCE = 0.05

Verdict = Literal["improved", "regressed", "no detectable change", "not enough data"]


@dataclass(frozen=True, kw_only=True)
class ComparedCalls:
    """
    The calls of one side.

    Attributes:
        call_count: Calls whose numbers were taken.
        outer_calls_left_out: Calls left out since other measured calls ran inside them.
        outcomes: How many of the calls taken ended in which way.
        callers_doing_count: Calls in which the caller's own share is 5 % or more: their times say
            more about the program that read them than about the model.

    .. versionadded:: 0.1.0
    """

    call_count: int
    outer_calls_left_out: int
    outcomes: Mapping[str, int] = field(hash=False)
    callers_doing_count: int

    @property
    def completed_count(self) -> int:
        """Calls that ran to their end."""
        return self.outcomes.get("completed", 0)

    @property
    def failed_count(self) -> int:
        """Calls that ended with an error."""
        return self.outcomes.get("failed", 0)

    @property
    def failed_fraction(self) -> float | None:
        """The failed part of the calls taken; ``None`` without a call."""
        return self.failed_count / self.call_count if self.call_count else None

    def to_dict(self) -> dict[str, Any]:
        """Give plain data, ready for ``json.dumps``."""
        return {
            "call_count": self.call_count,
            "outer_calls_left_out": self.outer_calls_left_out,
            "outcomes": dict(self.outcomes),
            "callers_doing_count": self.callers_doing_count,
            "failed_fraction": self.failed_fraction,
        }


@dataclass(frozen=True, kw_only=True)
class MetricComparison:
    """
    One number of the candidate's calls beside that of the baseline's.

    A call gives one value. For ``inter_token_latency`` that is the median of its gaps: the gaps
    within one call depend on each other, and pooled they would make noise look like change.
    A rank test is what judges: no curve is assumed, and one wild value does not decide.

    Attributes:
        metric: The name, as in ``Comparison.metrics``.
        group: The name of the group that the calls are of; ``None`` for all calls together.
        unit: ``"s"`` or ``"tokens/s"``, of the medians.
        baseline_count: The baseline's calls that have the number.
        candidate_count: The candidate's.
        baseline_median: In *unit*, interpolated linearly; ``None`` without a value.
        candidate_median: The same of the candidate.
        ratio: Candidate / baseline: the median of the ratios of all pairs (Hodges-Lehmann), which
            is not the ratio of the medians. 0 and ``math.inf`` where most values of a side are 0.
            ``None`` with fewer than 20 values on a side.
        low: The lower end of the ratio's 95 % interval (the Mann-Whitney test inverted).
        high: The upper end.
        p_value: That of the two-sided Mann-Whitney test (normal approximation, corrected for ties
            and continuity). Below 0.05 wherever the interval excludes 1; the other way round this
            holds unless both sides have equal values, when the interval can end at exactly 1.
        adjusted_p_value: Corrected by Holm's method for all the questions that were asked at once:
            each metric, over all calls and in each group.
        verdict: ``"improved"`` or ``"regressed"`` where the interval excludes 1 and the ratio is
            beyond the minimal effect, above ``1 + minimum_effect`` or below
            ``1 / (1 + minimum_effect)``; which of the two depends on whether more is better.
            Else ``"no detectable change"``, which is no proof that there is none. With fewer than
            20 values on a side ``"not enough data"``. A verdict stands for its metric alone.

    .. versionadded:: 0.1.0
    """

    metric: str
    group: str | None = None
    unit: Unit
    baseline_count: int
    candidate_count: int
    baseline_median: float | None
    candidate_median: float | None
    ratio: float | None = None
    low: float | None = None
    high: float | None = None
    p_value: float | None = None
    adjusted_p_value: float | None = None
    verdict: Verdict

    @property
    def is_change(self) -> bool:
        """Whether the verdict is ``"improved"`` or ``"regressed"``."""
        return self.verdict in {"improved", "regressed"}

    @property
    def holds_corrected(self) -> bool:
        """Whether the change is there even after correction for all the questions asked."""
        adjusted = self.adjusted_p_value
        return self.is_change and adjusted is not None and adjusted < SIGNIFICANCE

    def to_dict(self) -> dict[str, Any]:
        """Give plain data, ready for ``json.dumps``; an infinite ratio is ``"Infinity"``."""
        plain = {name: _plain(value) for name, value in vars(self).items()}
        return {**plain, "holds_corrected": self.holds_corrected}


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """
    What ``compare`` found; ``str(comparison)`` is its table.

    Attributes:
        metrics: What was found for each metric, by its name.
        groups: The same for each group that both sides have, by its key; empty without ``by``.
        only_in_baseline: Keys of groups that the candidate has no call of.
        only_in_candidate: Keys of groups that the baseline has no call of.
        baseline: How many calls the baseline has, and how they ended.
        candidate: The same of the candidate.
        minimum_effect: The smallest change that counts, as a fraction.
        failures_p_value: The chance of as many more failures as the candidate has if it fails no
            more often than the baseline (Fisher's exact test, one-sided); not corrected for other
            questions. ``None`` where a side has no call.
        question_count: How many questions were asked at once, those of groups included: what the
            p-values were corrected for.
        group: The name of the group, ``None`` for all calls together.

    .. versionadded:: 0.1.0
    """

    metrics: Mapping[str, MetricComparison] = field(hash=False)
    groups: Mapping[GroupKey, Comparison] = field(
        default_factory=dict[GroupKey, "Comparison"], hash=False
    )
    only_in_baseline: tuple[GroupKey, ...] = ()
    only_in_candidate: tuple[GroupKey, ...] = ()
    baseline: ComparedCalls
    candidate: ComparedCalls
    minimum_effect: float
    failures_p_value: float | None = None
    question_count: int = 0
    group: str | None = None

    def __str__(self) -> str:
        return self.to_text()

    def regressions(self, *, corrected: bool = True) -> list[MetricComparison]:
        """
        Give what got worse, in the groups too.

        Args:
            corrected: Only what holds after correction for all the questions asked (Holm): if
                nothing changed, at most one comparison in twenty gives anything here. Without it
                that is true of each metric alone.

        .. versionadded:: 0.1.0
        """
        return self._found("regressed", corrected=corrected)

    def improvements(self, *, corrected: bool = True) -> list[MetricComparison]:
        """
        Give what got better, in the groups too.

        Args:
            corrected: As for ``regressions``.

        .. versionadded:: 0.1.0
        """
        return self._found("improved", corrected=corrected)

    @property
    def has_regressed(self) -> bool:
        """Whether anything got worse, corrected for all the questions asked."""
        return bool(self.regressions())

    @property
    def has_more_failures(self) -> bool:
        """Whether the candidate fails more often by more than chance: p below 0.05."""
        p_value = self.failures_p_value
        return p_value is not None and p_value < SIGNIFICANCE

    def _found(self, verdict: Verdict, *, corrected: bool) -> list[MetricComparison]:
        found = [one for one in _all_of(self) if one.verdict == verdict]
        return [one for one in found if one.holds_corrected] if corrected else found

    def to_text(self) -> str:
        """
        Give tables for a terminal of 100 columns, without a trailing newline.

        .. versionadded:: 0.1.0
        """
        return texts.text(self)

    def to_markdown(self) -> str:
        """
        Give the same as Markdown; whatever a name holds, it is text there.

        .. versionadded:: 0.1.0
        """
        return texts.markdown(self)

    def to_dict(self) -> dict[str, Any]:
        """
        Give plain data, ready for ``json.dumps``.

        Returns:
            The fields; *groups* as a list of ``{"key": ..., "comparison": ...}``, since a key need
            not be a text. An infinite ratio is ``"Infinity"``: JSON has no number for it.

        .. versionadded:: 0.1.0
        """
        return {
            "group": self.group,
            "method": "; ".join(texts.METHOD),
            "minimum_effect": self.minimum_effect,
            "failures_p_value": self.failures_p_value,
            "has_more_failures": self.has_more_failures,
            "question_count": self.question_count,
            "has_regressed": self.has_regressed,
            "baseline": self.baseline.to_dict(),
            "candidate": self.candidate.to_dict(),
            "metrics": {name: one.to_dict() for name, one in self.metrics.items()},
            "groups": [
                {"key": _plain(key), "comparison": one.to_dict()}
                for key, one in self.groups.items()
            ],
            "only_in_baseline": [_plain(key) for key in self.only_in_baseline],
            "only_in_candidate": [_plain(key) for key in self.only_in_candidate],
        }

    def to_json(self) -> str:
        """
        Give ``to_dict`` as one line of JSON.

        .. versionadded:: 0.1.0
        """
        return json.dumps(self.to_dict(), allow_nan=False)


def corrected(comparison: Comparison) -> Comparison:
    """Fill in the p-values that are corrected for all the questions that were asked at once."""
    asked = [one.p_value for one in _all_of(comparison) if one.p_value is not None]
    return _filled(comparison, iter(holm(asked)), len(asked))


def _all_of(comparison: Comparison) -> list[MetricComparison]:
    """Give what was found for all calls together, then for each group."""
    own = list(comparison.metrics.values())
    return own + [one for group in comparison.groups.values() for one in _all_of(group)]


def _filled(comparison: Comparison, adjusted: Iterator[float], question_count: int) -> Comparison:
    """Take the corrected p-values in the order in which ``_all_of`` gives the others."""
    metrics = {
        name: one if one.p_value is None else replace(one, adjusted_p_value=next(adjusted))
        for name, one in comparison.metrics.items()
    }
    groups = {
        key: _filled(group, adjusted, question_count) for key, group in comparison.groups.items()
    }
    return replace(comparison, metrics=metrics, groups=groups, question_count=question_count)


def holm(p_values: Sequence[float]) -> list[float]:
    """
    Correct p-values for the number of questions asked at once, whatever depends on what.

    Holm's step-down method: the smallest is multiplied by their number, the next by one less and
    so on, none gets below the one before it, and none above 1.

    >>> holm([0.25, 0.125, 0.03125])
    [0.25, 0.25, 0.09375]
    """
    order = sorted(range(len(p_values)), key=p_values.__getitem__)
    adjusted = [0.0] * len(p_values)
    highest = 0.0
    for rank, place in enumerate(order):
        highest = max(highest, min(p_values[place] * (len(order) - rank), 1.0))
        adjusted[place] = highest
    return adjusted


def _plain(value: object) -> object:
    """Give what JSON has no form for as text: an infinite ratio, the key of a group."""
    if isinstance(value, float) and not math.isfinite(value):
        return "Infinity" if value > 0 else str(value)
    return value if value is None or isinstance(value, (str, int, float)) else str(value)
