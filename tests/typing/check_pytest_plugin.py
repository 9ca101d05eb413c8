"""What a checker makes of the fixture of the pytest plugin. Never run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from typing_extensions import assert_type

from tokenclock import MetricsResult
from tokenclock.summary import ServiceLevel, Summary

if TYPE_CHECKING:
    from tokenclock.pytest_plugin import TokenMetrics


def a_test(token_metrics: TokenMetrics) -> None:
    assert_type(token_metrics.results, list[MetricsResult[Any]])
    assert_type(token_metrics.last, MetricsResult[Any] | None)
    assert_type(len(token_metrics), int)
    for result in token_metrics:
        assert_type(result, MetricsResult[Any])
    slo = ServiceLevel(time_to_first_token=0.5)
    assert_type(token_metrics.summary(slo=slo, by="model", failed_as_inf=True), Summary)
    token_metrics.summary(nested="outermost")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    token_metrics.last = None  # type: ignore[misc]  # pyright: ignore[reportAttributeAccessIssue]
