"""OTLP metrics into a real database, and back out of it through PromQL."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from backends.calls import QUESTION, varied_calls
from backends.queries import DIRECT, eventually, number, vector
from tokenclock import MetricsResult, capture, observe
from tokenclock.exporters._buckets import CONVENTIONS_SECONDS, INTER_TOKEN, TIME_TO_FIRST_TOKEN
from tokenclock.summary import summarize

if TYPE_CHECKING:
    from opentelemetry.sdk.metrics import MeterProvider

    from local_model import LocalModel

pytestmark = [
    pytest.mark.extras,
    pytest.mark.model,
    pytest.mark.backends("victoria-metrics"),
]

AN_HOUR_MS = 3_600_000.0  # nothing is exported but by a flush

Result = MetricsResult[Any]

# The database keeps a number as a decimal of 18 digits at most, and adds in an order of its own.
DIGITS = 1e-12


@contextmanager
def exporting(database: str) -> Iterator[MeterProvider]:
    """Give a real SDK's provider that exports into the database when it is flushed."""
    from opentelemetry.exporter.otlp.proto.http.metric_exporter import (  # noqa: PLC0415 - an extra
        OTLPMetricExporter,
    )
    from opentelemetry.sdk.metrics import MeterProvider  # noqa: PLC0415 - an extra
    from opentelemetry.sdk.metrics.export import (  # noqa: PLC0415 - an extra
        PeriodicExportingMetricReader,
    )

    reader = PeriodicExportingMetricReader(
        OTLPMetricExporter(f"{database}/opentelemetry/v1/metrics"),
        export_interval_millis=AN_HOUR_MS,
    )
    meters = MeterProvider([reader], shutdown_on_exit=False)
    try:
        yield meters
    finally:
        meters.shutdown()


def exported(database: str, calls: Callable[[], list[Result]]) -> list[Result]:
    """Make calls, bring their metrics into the database, and give the results."""
    from tokenclock.exporters.opentelemetry import OpenTelemetryMetrics  # noqa: PLC0415 - an extra

    with exporting(database) as meters:
        with OpenTelemetryMetrics(meters, gaps=True, attributes=["tenant"]):
            results = calls()
        meters.force_flush()
    with DIRECT.open(f"{database}/internal/force_flush"):
        pass  # what it has taken can be asked for now
    ran = f"sum({series('gen_ai.client.operation.duration_count')})"
    assert eventually(lambda: number(database, ran), lambda it: it == len(results)) == len(results)
    return results


def series(name: str, **labels: str) -> str:
    """Select the series of a name with dots, which PromQL takes in quotes only."""
    matches = [f'__name__="{name}"', *(f'"{key}"="{value}"' for key, value in labels.items())]
    return "{" + ",".join(matches) + "}"


def by_function(database: str, name: str) -> dict[str, float]:
    """Sum the series of a name for each function; none has another label of that kind."""
    samples = vector(database, series(name))
    functions = {sample.labels["tokenclock.function"] for sample in samples}
    return {
        function: math.fsum(
            sample.value for sample in samples if sample.labels["tokenclock.function"] == function
        )
        for function in functions
    }


def grouped(
    results: Iterable[Result], numbers: Callable[[Result], Iterable[float | None]]
) -> dict[str, list[float]]:
    """Sort the observed numbers of all calls by function."""
    groups: dict[str, list[float]] = {}
    for result in results:
        for value in numbers(result):
            if value is not None:
                groups.setdefault(result.function, []).append(value)
    return groups


MEASURED: dict[str, Callable[[Result], Iterable[float | None]]] = {
    "gen_ai.client.operation.duration": lambda one: [one.generation_latency],
    "gen_ai.client.operation.time_to_first_chunk": lambda one: [one.time_to_first_chunk],
    "gen_ai.client.token.usage": lambda one: [one.input_token_count, one.token_count],
    "tokenclock.time_to_first_token": (
        lambda one: [one.time_to_first_token] if one.streamed else []
    ),
    "tokenclock.time_per_output_token": lambda one: [one.time_per_output_token],
    "tokenclock.inter_token_latency": lambda one: one.inter_token_latencies,
    "tokenclock.throughput": lambda one: [one.throughput] if one.outcome == "completed" else [],
    "tokenclock.consumer_time": lambda one: [one.consumer_time] if one.streamed else [],
}


def test_counts_and_sums_are_those_of_the_results(victoria_metrics: str, model: LocalModel) -> None:
    """What PromQL gives for each function is what the results of its calls add up to."""
    results = exported(victoria_metrics, lambda: varied_calls(model))

    for name, numbers in MEASURED.items():
        expected = grouped(results, numbers)
        counts = by_function(victoria_metrics, f"{name}_count")
        sums = by_function(victoria_metrics, f"{name}_sum")
        assert counts == {function: len(values) for function, values in expected.items()}, name
        assert sums.keys() == expected.keys()
        for function, values in expected.items():
            assert math.isclose(sums[function], math.fsum(values), rel_tol=DIGITS), name


def test_only_what_was_named_is_a_label(victoria_metrics: str, model: LocalModel) -> None:
    """A named attribute can be asked for, others are not there; failures name their type."""
    exported(victoria_metrics, lambda: varied_calls(model))

    samples = vector(victoria_metrics, series("gen_ai.client.operation.duration_count"))
    tenants = {one.labels["tenant"]: one.value for one in samples if "tenant" in one.labels}
    assert tenants == {"tenant 0": 2.0, "tenant 1": 1.0}
    assert all("secret" not in sample.labels for sample in samples)
    errors = {
        sample.labels["tokenclock.outcome"]: sample.labels["error.type"]
        for sample in samples
        if "error.type" in sample.labels
    }
    assert errors == {"failed": "ConnectionResetError"}


def alike(model: LocalModel, *, calls: int, tokens: int) -> list[Result]:
    """Make calls of one kind, each with as many tokens, wherever its answer would end."""
    answer = observe(model.chunks, name="answer")
    with capture() as results:
        for _ in range(calls):
            list(answer(QUESTION, max_tokens=tokens, ignore_eos=True))
    return results


HISTOGRAMS = (
    ("tokenclock.time_to_first_token", "time_to_first_token", TIME_TO_FIRST_TOKEN),
    ("tokenclock.time_per_output_token", "time_per_output_token", INTER_TOKEN),
    ("tokenclock.inter_token_latency", "inter_token_latency", INTER_TOKEN),
    ("gen_ai.client.operation.duration", "generation_latency", CONVENTIONS_SECONDS),
)


def test_quantiles_lie_in_the_bucket_of_the_summarys(
    victoria_metrics: str, model: LocalModel
) -> None:
    """The quantile of a histogram lies in the bucket in which the exact one is."""
    # Of 20 * n + 1 values the ranks of these quantiles are whole numbers, so that no rule of
    # interpolation comes between; 21 calls with 22 tokens each have 441 gaps.
    results = exported(victoria_metrics, lambda: alike(model, calls=21, tokens=22))

    summary = summarize(results)
    for name, statistics, bounds in HISTOGRAMS:
        exact = getattr(summary, statistics)
        assert exact.count == (441 if name.endswith("latency") else 21)
        for quantile, value in ((0.5, exact.p50), (0.9, exact.p90), (0.95, exact.p95)):
            buckets = f"sum by (le) ({series(f'{name}_bucket')})"
            asked = number(victoria_metrics, f"histogram_quantile({quantile}, {buckets})")
            place = bisect_left(bounds, value)
            assert (0.0, *bounds)[place] <= asked <= bounds[place], (name, quantile)
