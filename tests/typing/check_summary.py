"""What a checker makes of summaries, service levels and the log. Never run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from typing_extensions import assert_type

from tokenclock import MetricsResult, add_sink, observe
from tokenclock.summary import (
    Goodput,
    ResultLog,
    ServiceLevel,
    Statistics,
    Summary,
    summarize,
)


def key_of(result: MetricsResult[Any]) -> str | None:
    return result.model


def summaries(results: Iterator[MetricsResult[list[str]]], slo: ServiceLevel) -> None:
    summary = summarize(results, slo=slo, by="model", nested="all", failed_as_inf=True)
    assert_type(summary, Summary)
    assert_type(summarize(results, by=key_of), Summary)
    assert_type(summary.call_count, int)
    assert_type(summary.outcomes, Mapping[str, int])
    assert_type(summary.started_at, datetime | None)
    assert_type(summary.token_count, int | None)
    assert_type(summary.mean_concurrency, float | None)
    assert_type(summary.time_to_first_token, Statistics)
    assert_type(summary.throughput.p99, float | None)
    assert_type(summary.throughput.unsupported, tuple[str, ...])
    assert_type(summary.statistics("throughput"), Statistics)
    assert_type(summary.goodput, Goodput | None)
    assert_type(summary.groups["m"], Summary)
    assert_type(summary.to_text(), str)
    assert_type(summary.to_json(indent=2), str)
    assert_type(summary.to_markdown(), str)
    assert_type(summary.to_dict(), dict[str, Any])
    assert_type(Summary.from_dict({}), Summary)
    summary.call_count = 3  # type: ignore[misc]  # pyright: ignore[reportAttributeAccessIssue]
    summarize(results, slo=0.5)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    summarize(results, nested="inner")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    summarize(results, by=3)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    summarize(results, slo)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]


def levels(result: MetricsResult[str]) -> None:
    slo = ServiceLevel(time_to_first_token=0.5, generation_latency=10)
    assert_type(result.meets(slo), bool | None)
    assert_type(slo.limits(), dict[str, float])
    result.meets(0.5)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    ServiceLevel(0.5)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    ServiceLevel(latency=0.5)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]


def logs() -> None:
    log = ResultLog(maxlen=10)
    add_sink(log)
    observe(sinks=[log])
    assert_type(log.results, list[MetricsResult[Any]])
    assert_type(log.summary(by="model", failed_as_inf=True), Summary)
    assert_type(len(log), int)
    ResultLog(maxlen=None)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
