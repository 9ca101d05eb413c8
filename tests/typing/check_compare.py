"""What a checker makes of comparisons. Never run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Literal

from typing_extensions import assert_type

from tokenclock.compare import ComparedCalls, Comparison, MetricComparison, Verdict, compare

if TYPE_CHECKING:
    from tokenclock import MetricsResult


def compared(before: list[MetricsResult[str]], after: Iterator[MetricsResult[Any]]) -> None:
    comparison = compare(before, after)
    assert_type(comparison, Comparison)
    assert_type(comparison.baseline, ComparedCalls)
    assert_type(comparison.metrics, Mapping[str, MetricComparison])
    assert_type(comparison.groups, Mapping[str | bool | int | float | None, Comparison])
    assert_type(comparison.only_in_baseline, tuple[str | bool | int | float | None, ...])
    assert_type(comparison.has_regressed, bool)
    assert_type(comparison.regressions(corrected=False), list[MetricComparison])
    assert_type(comparison.improvements(), list[MetricComparison])
    assert_type(comparison.to_text(), str)
    assert_type(comparison.to_markdown(), str)
    assert_type(comparison.to_json(), str)
    assert_type(comparison.to_dict(), dict[str, Any])


def one_metric(found: MetricComparison, calls: ComparedCalls) -> None:
    assert_type(found.ratio, float | None)
    assert_type(found.unit, Literal["s", "tokens/s"])
    assert_type(found.verdict, Verdict)
    assert_type(found.is_change, bool)
    assert_type(calls.outcomes, Mapping[str, int])
    assert_type(calls.failed_fraction, float | None)
    found.ratio = 1.0  # type: ignore[misc]  # pyright: ignore[reportAttributeAccessIssue]


def options(results: list[MetricsResult[Any]]) -> None:
    compare(results, results, by="model", minimum_effect=0, nested="all")
    compare(results, results, by=lambda result: result.model)
    compare(results, results, by=5)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    compare(results, results, nested="outer")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    compare(results, ["text"])  # type: ignore[list-item]  # pyright: ignore[reportArgumentType]
    compare(results)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    compare(results, results, "model")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
