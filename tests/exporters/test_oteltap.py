"""OTLP out of a real run into a real receiver: every number that arrives is one of a result."""

from __future__ import annotations

import operator
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone
from functools import reduce
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import pytest

from backends.calls import varied_calls
from tokenclock import MetricsResult

if TYPE_CHECKING:
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.trace import TracerProvider

    from backends.tap import Tap
    from local_model import LocalModel

pytestmark = [pytest.mark.extras, pytest.mark.model]

MODEL = "SmolLM2-135M-Instruct"
AN_HOUR_MS = 3_600_000.0  # nothing is exported but by a flush

Result = MetricsResult[Any]
Attributes = Mapping[str, Any]
Semconv = Literal["released", "latest"]
Measured = Iterable[tuple[Attributes, float]]

# The advisories of the conventions, and our own bounds.
SECONDS = (
    0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92,
)  # fmt: skip
TOKENS = (
    1, 4, 16, 64, 256, 1024, 4096, 16384, 65536, 262144, 1048576, 4194304, 16777216, 67108864,
)  # fmt: skip
OWN = None  # whatever they are: the points say it, and each value must lie where they say


class Metric(NamedTuple):
    """What a metric is to be like, and the values that a result gives it."""

    unit: str
    bounds: Sequence[float] | None
    values: Callable[[Result], Measured]


NO_MORE: Attributes = {}


def optional(number: float | None, more: Attributes = NO_MORE) -> Measured:
    """Give a number with attributes of its own; nothing where it was not observed."""
    return [] if number is None else [(more, number)]


def seconds(values: Callable[[Result], Iterable[float]]) -> Metric:
    return Metric("s", OWN, lambda result: [({}, value) for value in values(result)])


def chunk_gaps(result: Result) -> list[float]:
    arrived = [chunk.arrived for chunk in result.timeline or ()]
    return [round(late - early, 9) for early, late in pairwise(arrived)]


def usage(result: Result) -> Measured:
    yield from optional(result.input_token_count, {"gen_ai.token.type": "input"})
    yield from output(result, {"gen_ai.token.type": "output"})


def output(result: Result, more: Attributes = NO_MORE) -> Measured:
    """Give the tokens that were generated, and who counted them."""
    source = {"tokenclock.token_source": result.token_source} if result.token_source else {}
    return optional(result.token_count, {**source, **more})


def duration(result: Result) -> Measured:
    return [({}, result.generation_latency)]


def first_chunk(result: Result) -> Measured:
    return optional(result.time_to_first_chunk)


def between_chunks(result: Result) -> Measured:
    return [({}, gap) for gap in chunk_gaps(result)]


UNKNOWN = {"gen_ai.token.modality": "unknown"}

OURS = {
    "tokenclock.time_to_first_token": Metric(
        "s", OWN, lambda one: optional(one.time_to_first_token if one.streamed else None)
    ),
    "tokenclock.time_per_output_token": Metric(
        "s", OWN, lambda one: optional(one.time_per_output_token)
    ),
    "tokenclock.inter_token_latency": seconds(lambda one: one.inter_token_latencies),
    "tokenclock.throughput": Metric(
        "{token}/s",
        OWN,
        lambda one: optional(one.throughput if one.outcome == "completed" else None),
    ),
    "tokenclock.consumer_time": Metric(
        "s", OWN, lambda one: optional(one.consumer_time if one.streamed else None)
    ),
}
HISTOGRAMS: dict[Semconv, dict[str, Metric]] = {
    "released": {
        "gen_ai.client.operation.duration": Metric("s", SECONDS, duration),
        "gen_ai.client.operation.time_to_first_chunk": Metric("s", SECONDS, first_chunk),
        "gen_ai.client.operation.time_per_output_chunk": Metric("s", SECONDS, between_chunks),
        "gen_ai.client.token.usage": Metric("{token}", TOKENS, usage),
        **OURS,
    },
    "latest": {
        "gen_ai.client.inference.duration": Metric("s", SECONDS, duration),
        "gen_ai.client.inference.time_to_first_chunk": Metric("s", SECONDS, first_chunk),
        "gen_ai.client.inference.time_per_output_chunk": Metric("s", SECONDS, between_chunks),
        "gen_ai.client.inference.operation.input_tokens": Metric(
            "{token}", TOKENS, lambda one: optional(one.input_token_count)
        ),
        "gen_ai.client.inference.operation.output_tokens": Metric("{token}", TOKENS, output),
        **OURS,
    },
}
COUNTERS: dict[Semconv, dict[str, Callable[[Result], Measured]]] = {
    "released": {},
    "latest": {
        "gen_ai.client.inference.usage.input_tokens": (
            lambda one: optional(one.input_token_count, UNKNOWN)
        ),
        "gen_ai.client.inference.usage.output_tokens": lambda one: output(one, UNKNOWN),
        "gen_ai.client.inference.usage.cache_read.input_tokens": (
            lambda one: optional(one.cached_token_count, UNKNOWN)
        ),
    },
}


def attributes_of(result: Result) -> dict[str, Any]:
    """Give what the metrics of a call are to be labelled with; *secret* was not named."""
    expected: dict[str, Any] = {
        "gen_ai.operation.name": "invoke_agent" if result.function == "agent" else "chat",
        "gen_ai.provider.name": "llama.cpp",
        "gen_ai.request.model": MODEL,
        "gen_ai.response.model": MODEL,
        "server.address": "127.0.0.1",
        "server.port": 8080,
        "tokenclock.function": result.function,
        "tokenclock.outcome": result.outcome,
    }
    if result.outcome == "failed":
        expected["error.type"] = "ConnectionResetError"
    if result.consumer_time >= 0.05 * result.generation_latency:
        expected["tokenclock.consumer_limited"] = True
    if "tenant" in result.attributes:
        expected["tenant"] = result.attributes["tenant"]
    return expected


Key = frozenset[tuple[str, Any]]


def expected_points(
    results: Iterable[Result], values: Callable[[Result], Measured]
) -> dict[Key, list[float]]:
    """Sort the values of every call under its attributes, in the order of the calls."""
    points: dict[Key, list[float]] = {}
    for result in results:
        for more, value in values(result):
            key = frozenset({**attributes_of(result), **more}.items())
            points.setdefault(key, []).append(value)
    return points


def plain(attributes: Iterable[Any]) -> dict[str, Any]:
    """Turn attributes as OTLP has them into a dict."""
    return {one.key: plain_value(one.value) for one in attributes}


def plain_value(value: Any) -> Any:
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [plain_value(one) for one in value.array_value.values]
    return getattr(value, kind)


def by_attributes(points: Iterable[Any]) -> dict[Key, Any]:
    return {frozenset(plain(point.attributes).items()): point for point in points}


def added(values: Iterable[float]) -> float:
    """Add one by one as whoever records does; ``sum`` rounds otherwise from Python 3.12 on."""
    return reduce(operator.add, values)


def counts_in(values: Iterable[float], bounds: Sequence[float]) -> list[int]:
    """Count the values in each bucket, to which its upper bound belongs."""
    counts = [0] * (len(bounds) + 1)
    for value in values:
        counts[bisect_left(bounds, value)] += 1
    return counts


@contextmanager
def exporting(tap: Tap) -> Iterator[tuple[MeterProvider, TracerProvider]]:
    """Give providers of a real SDK that export to the receiver when they are flushed."""
    from opentelemetry.exporter.otlp.proto.http.metric_exporter import (  # noqa: PLC0415 - an extra
        OTLPMetricExporter,
    )
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import (  # noqa: PLC0415 - an extra
        OTLPSpanExporter,
    )
    from opentelemetry.sdk.metrics import MeterProvider  # noqa: PLC0415 - an extra
    from opentelemetry.sdk.metrics.export import (  # noqa: PLC0415 - an extra
        PeriodicExportingMetricReader,
    )
    from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415 - an extra
    from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415 - an extra

    reader = PeriodicExportingMetricReader(
        OTLPMetricExporter(f"{tap.url}/v1/metrics"), export_interval_millis=AN_HOUR_MS
    )
    meters = MeterProvider([reader], shutdown_on_exit=False)
    tracers = TracerProvider(shutdown_on_exit=False)
    tracers.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(f"{tap.url}/v1/traces")))
    try:
        yield meters, tracers
    finally:
        meters.shutdown()
        tracers.shutdown()


class Exported(NamedTuple):
    """The results of a run, and what arrived of it: one export of each metric, and the spans."""

    results: list[Result]
    metrics: dict[str, Any]
    spans: list[Any]


def exported(tap: Tap, model: LocalModel, semconv: Semconv) -> Exported:
    """Make the calls and export their metrics and spans."""
    from tokenclock.exporters.opentelemetry import (  # noqa: PLC0415 - needs an extra
        OpenTelemetryMetrics,
        OpenTelemetrySpans,
    )

    with exporting(tap) as (meters, tracers):
        options: Any = {"semconv": semconv, "attributes": ["tenant"]}
        with (
            OpenTelemetrySpans(tracers, in_process=["llama.cpp"], events=True, **options),
            OpenTelemetryMetrics(meters, gaps=True, **options),
        ):
            results = varied_calls(model)
        meters.force_flush()
        tracers.force_flush()
        names = {*HISTOGRAMS[semconv], *COUNTERS[semconv]}
        tap.wait_for(lambda tap: tap.latest().keys() >= names and len(tap.spans) == len(results))
        # Now: each export has the exemplars since the one before, and the end is one more.
        return Exported(results, tap.latest(), list(tap.spans))


@pytest.mark.parametrize("semconv", ["released", "latest"])
def test_every_point_of_every_metric_is_that_of_the_results(
    tap: Tap, model: LocalModel, semconv: Semconv
) -> None:
    """Count, sum, extremes and buckets arrive for each set of attributes as the results have it."""
    results, arrived, _ = exported(tap, model, semconv)

    assert arrived.keys() == HISTOGRAMS[semconv].keys() | COUNTERS[semconv].keys()
    for name, (unit, bounds, values) in HISTOGRAMS[semconv].items():
        metric = arrived[name]
        points = by_attributes(metric.histogram.data_points)
        assert (metric.unit, points.keys()) == (unit, expected_points(results, values).keys()), name
        for key, expected in expected_points(results, values).items():
            assert_histogram(points[key], expected, bounds)
    for name, values in COUNTERS[semconv].items():
        points = by_attributes(arrived[name].sum.data_points)
        totals = {key: sum(of) for key, of in expected_points(results, values).items()}
        assert arrived[name].sum.is_monotonic
        assert {key: point.as_int for key, point in points.items()} == totals


def assert_histogram(point: Any, values: Sequence[float], bounds: Sequence[float] | None) -> None:
    assert (point.count, point.min, point.max) == (len(values), min(values), max(values))
    assert point.sum == added(values)
    if bounds is not None:
        assert tuple(point.explicit_bounds) == bounds
    assert list(point.bucket_counts) == counts_in(values, point.explicit_bounds)


def test_our_own_buckets_arrive(tap: Tap, model: LocalModel) -> None:
    """Our own histograms of times reach down to a millisecond."""
    _, arrived, _ = exported(tap, model, "released")

    for name in OURS:
        for point in arrived[name].histogram.data_points:
            assert point.explicit_bounds[0] == (0.5 if name.endswith("throughput") else 0.001)


def test_every_span_is_that_of_its_call(tap: Tap, model: LocalModel) -> None:
    """Name, kind, times, parent, status and attributes of each span are those of the result."""
    results, _, arrived = exported(tap, model, "released")

    spans = spans_by_call(arrived, results)
    for result in results:
        span = spans[result.call_id]
        operation = "invoke_agent" if result.function == "agent" else "chat"
        assert span.name == f"{operation} {MODEL}"
        assert span.kind == span.SPAN_KIND_INTERNAL
        assert abs(span.start_time_unix_nano // 1000 - whole_microseconds(result.started_at)) <= 1
        assert span.status.code == (2 if result.outcome == "failed" else 0)
        assert plain(span.attributes) == span_attributes(result)
        assert [event.name for event in span.events if event.name != "tokenclock.stall"] == (
            ["tokenclock.first_token"] if result.streamed else []
        )
        for event in span.events[:1]:
            first_ns = event.time_unix_nano - span.start_time_unix_nano
            assert first_ns / 1e9 == result.time_to_first_token
        parent = spans.get(result.parent_id or "")
        assert span.parent_span_id == (b"" if parent is None else parent.span_id)
        assert parent is None or span.trace_id == parent.trace_id
    assert len({span.trace_id for span in spans.values()}) == len(results) - 1


def spans_by_call(arrived: Iterable[Any], results: Sequence[Result]) -> dict[str, Any]:
    """Find the span of each call by how long it took: no two took the same nanoseconds."""
    spans = {took(span): span for span in arrived}
    assert len(spans) == len(results)
    return {result.call_id: spans[result.generation_latency] for result in results}


def took(span: Any) -> float:
    took_ns: int = span.end_time_unix_nano - span.start_time_unix_nano
    return took_ns / 1e9


def whole_microseconds(moment: datetime) -> int:
    """Give the microseconds since the epoch, without a rounding on the way."""
    return (moment - datetime(1970, 1, 1, tzinfo=timezone.utc)) // timedelta(microseconds=1)


def span_attributes(result: Result) -> dict[str, Any]:
    numbers: dict[str, Any] = {
        "gen_ai.usage.input_tokens": result.input_token_count,
        "gen_ai.usage.output_tokens": result.token_count,
        "gen_ai.usage.cache_read.input_tokens": result.cached_token_count,
        "tokenclock.token_source": result.token_source,
        "tokenclock.throughput": result.throughput,
    }
    if result.streamed:
        numbers |= {
            "gen_ai.request.stream": True,
            "gen_ai.response.time_to_first_chunk": result.time_to_first_chunk,
            "tokenclock.time_to_first_token": result.time_to_first_token,
            "tokenclock.time_to_first_output_token": result.time_to_first_output_token,
            "tokenclock.time_per_output_token": result.time_per_output_token,
            "tokenclock.consumer_time": result.consumer_time,
        }
    if result.finish_reason is not None:
        numbers["gen_ai.response.finish_reasons"] = [result.finish_reason]
    known = {name: value for name, value in numbers.items() if value is not None}
    return {**attributes_of(result), **known}


def test_exemplars_lead_from_a_histogram_to_the_span_of_the_call(
    tap: Tap, model: LocalModel
) -> None:
    """The trace that a latency names is that of a call which took just as long."""
    results, metrics, arrived = exported(tap, model, "released")

    spans = spans_by_call(arrived, results)
    latencies = {spans[one.call_id].span_id: one.generation_latency for one in results}
    traces = {span.span_id: span.trace_id for span in spans.values()}
    points = metrics["gen_ai.client.operation.duration"].histogram.data_points
    exemplars = [exemplar for point in points for exemplar in point.exemplars]
    # Each set of attributes has one exemplar at least, and here each span has another latency.
    assert len(exemplars) >= len(points) > 1
    for exemplar in exemplars:
        assert exemplar.as_double == latencies[exemplar.span_id]
        assert exemplar.trace_id == traces[exemplar.span_id]


def test_nothing_that_the_model_wrote_arrives(tap: Tap, model: LocalModel) -> None:
    """No metric and no span holds a word of the answers, nor an attribute that was not named."""
    exported(tap, model, "latest")

    said = "".join(model.stream("Why is the sky blue?")).split()
    sent = " ".join(str(message) for message in (*tap.metrics, *tap.spans))
    assert len(said) > 10
    phrases = [" ".join(words) for words in zip(said, said[1:], said[2:], strict=False)]
    assert [phrase for phrase in phrases if phrase in sent] == []
    assert "secret" not in sent
