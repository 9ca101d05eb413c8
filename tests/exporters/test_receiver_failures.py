"""A receiver that is down, hangs, refuses or restarts: no stream notices, losses are counted."""

from __future__ import annotations

import logging
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest

from backends.queries import DIRECT, eventually, number
from backends.servers import free_port, victoria_metrics
from backends.tap import tapped
from tokenclock import MetricsResult, add_sink, capture, observe
from tokenclock.exporters import Background

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import ReadableSpan
    from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

    from backends.receiver import Receiver

pytestmark = pytest.mark.extras

STREAMS = 300
WORDS = ["one", "two", "three"]
SOON_MS = 20.0
AN_HOUR_MS = 3_600_000.0  # nothing is exported but by a flush
SHORT = 0.5  # seconds until an export of the SDK is given up

Result = MetricsResult[Any]


@observe(name="answer")
def answer() -> Iterator[str]:
    yield from WORDS


def stream_many() -> list[Result]:
    """Read many streams; every word of each arrives, and every one completes."""
    with capture() as results:
        read = [list(answer()) for _ in range(STREAMS)]
    assert read == [WORDS] * STREAMS
    assert [result.outcome for result in results] == ["completed"] * STREAMS
    assert {result.token_count for result in results} == {3}
    return results


# --- a sink that speaks to the receiver itself ----------------------------------------------------


def sink_to(url: str) -> Callable[[Result], None]:
    """Make a sink that posts each result and waits for the answer, as no sink should."""

    def post(result: Result) -> None:
        request = urllib.request.Request(url, b"a result", method="POST")  # noqa: S310 - of the loopback
        with DIRECT.open(request, timeout=30):
            pass

    return post


def test_a_receiver_that_hangs_holds_up_no_stream(receiver: Receiver) -> None:
    """While the receiver answers nobody all streams complete; what had no room is counted."""
    receiver.may_answer.clear()
    background = Background(sink_to(receiver.url), max_queue=10)
    add_sink(background)
    list(answer())
    assert eventually(lambda: receiver.asked, bool)

    with pytest.warns(match="dropped"):
        stream_many()
    assert receiver.answered == 0
    assert background.pending <= 11
    assert background.dropped == STREAMS + 1 - background.pending

    kept = background.pending
    receiver.may_answer.set()
    assert background.close(30)
    assert (receiver.answered, background.failed) == (kept, 0)


@pytest.mark.logs_failures
def test_a_receiver_that_refuses_is_counted(
    receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    """A 400 fails the sink, not a stream: every loss is counted, and logged once."""
    receiver.status = 400
    background = Background(sink_to(receiver.url))
    add_sink(background)

    stream_many()
    assert background.close(30)
    assert (background.failed, background.dropped) == (STREAMS, 0)
    assert len(failures_in(caplog)) == 1


@pytest.mark.logs_failures
def test_a_receiver_that_is_down_is_counted(caplog: pytest.LogCaptureFixture) -> None:
    """Nobody listening fails the sink, not a stream: every loss is counted, and logged once."""
    background = Background(sink_to(f"http://127.0.0.1:{free_port()}"))
    add_sink(background)

    stream_many()
    assert background.close(30)
    assert (background.failed, background.dropped) == (STREAMS, 0)
    assert len(failures_in(caplog)) == 1


@pytest.mark.logs_failures
def test_a_receiver_that_takes_again_gets_what_comes_later(receiver: Receiver) -> None:
    """After a refusal nothing is held against the receiver: what comes later is handed to it."""
    receiver.status = 400
    background = Background(sink_to(receiver.url))
    add_sink(background)
    list(answer())
    assert background.flush(30)

    receiver.status = 200
    stream_many()
    assert background.close(30)
    assert (background.failed, receiver.answered) == (1, 1 + STREAMS)


def failures_in(caplog: pytest.LogCaptureFixture) -> list[logging.LogRecord]:
    return [one for one in caplog.records if (one.name, one.levelname) == ("tokenclock", "ERROR")]


# --- OpenTelemetry's own exporters --------------------------------------------------------------


class Pipeline:
    """
    Metrics and spans through a real SDK.

    Attributes:
        of_metrics: Our exporter of metrics.
        of_spans: Our exporter of spans.
        spans: How many spans the SDK exported, by whether it said ``SUCCESS`` or ``FAILURE``.
            Its own metrics (1.45) show those that were refused with a 400 as exported.
    """

    def __init__(
        self,
        url: str,
        *,
        timeout: float = SHORT,
        queue: int = 2048,
        metrics_path: str = "/v1/metrics",
    ) -> None:
        from opentelemetry.exporter.otlp.proto.http.metric_exporter import (  # noqa: PLC0415 - an extra
            OTLPMetricExporter,
        )
        from opentelemetry.sdk.metrics import MeterProvider  # noqa: PLC0415 - an extra
        from opentelemetry.sdk.metrics.export import (  # noqa: PLC0415 - an extra
            InMemoryMetricReader,
            PeriodicExportingMetricReader,
        )
        from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415 - an extra
        from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415 - an extra

        from tokenclock.exporters.opentelemetry import (  # noqa: PLC0415 - an extra
            OpenTelemetryMetrics,
            OpenTelemetrySpans,
        )

        metrics = OTLPMetricExporter(f"{url}{metrics_path}", timeout=timeout)
        reader = PeriodicExportingMetricReader(metrics, export_interval_millis=SOON_MS)
        self.meters = MeterProvider([reader], shutdown_on_exit=False)
        self.spans: Counter[str] = Counter()
        self._of_the_sdk = InMemoryMetricReader()
        processor = BatchSpanProcessor(
            counting_exporter(f"{url}/v1/traces", timeout, self.spans),
            max_queue_size=queue,
            schedule_delay_millis=SOON_MS,
            max_export_batch_size=queue,
            meter_provider=MeterProvider([self._of_the_sdk], shutdown_on_exit=False),
        )
        self.tracers = TracerProvider(shutdown_on_exit=False)
        self.tracers.add_span_processor(processor)
        self.of_metrics = OpenTelemetryMetrics(self.meters)
        self.of_spans = OpenTelemetrySpans(self.tracers)

    def deliver(self) -> None:
        """Wait until the SDK has all that happened."""
        assert self.of_spans.flush(30)
        assert self.of_metrics.flush(30)
        assert (self.of_spans.dropped, self.of_metrics.dropped) == (0, 0)

    def export(self) -> None:
        """Have the SDK export what it has, or try to."""
        self.meters.force_flush()
        self.tracers.force_flush()

    def shutdown(self) -> None:
        self.meters.shutdown()
        self.tracers.shutdown()

    def without_room(self) -> int:
        """Give how many spans the SDK says it dropped because its queue was full."""
        data = self._of_the_sdk.get_metrics_data()
        assert data is not None
        points: list[Any] = [
            point
            for resource in data.resource_metrics
            for scope in resource.scope_metrics
            for metric in scope.metrics
            for point in metric.data.data_points
            if metric.name == "otel.sdk.processor.span.processed"
        ]
        return sum(one.value for one in points if one.attributes.get("error.type") == "queue_full")


def counting_exporter(url: str, timeout: float, counts: Counter[str]) -> SpanExporter:
    """Make the SDK's exporter, which counts the spans of each export by its result."""
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import (  # noqa: PLC0415 - an extra
        OTLPSpanExporter,
    )

    class Counting(OTLPSpanExporter):
        def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
            result = super().export(spans)
            counts[result.name] += len(spans)
            return result

    return Counting(url, timeout=timeout)


@contextmanager
def exporting(url: str, **options: Any) -> Iterator[Pipeline]:
    """Export every call to *url*, with the SDK's counts of spans switched on."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OTEL_PYTHON_SDK_INTERNAL_METRICS_ENABLED", "true")
        pipeline = Pipeline(url, **options)
    try:
        with pipeline.of_spans, pipeline.of_metrics:
            yield pipeline
    finally:
        pipeline.shutdown()


def test_otlp_to_a_receiver_that_hangs(receiver: Receiver) -> None:
    """While exports hang all streams complete, and the SDK counts the spans it had no room for."""
    receiver.may_answer.clear()
    with exporting(receiver.url, timeout=30.0, queue=64) as pipeline:
        list(answer())
        assert eventually(lambda: "/v1/traces" in receiver.asked, bool)
        stream_many()
        pipeline.deliver()
        assert receiver.answered == 0
        # One is with the receiver, the queue is full.
        assert pipeline.without_room() == STREAMS - 64
        receiver.may_answer.set()
        pipeline.export()
        assert pipeline.spans == {"SUCCESS": 1 + 64}


@pytest.mark.parametrize("is_down", [True, False], ids=["down", "answers 400"])
def test_otlp_to_a_receiver_that_takes_nothing(receiver: Receiver, *, is_down: bool) -> None:
    """Exports fail and no stream does; the SDK says of every span that it was lost."""
    receiver.status = 400
    with exporting(free_url() if is_down else receiver.url) as pipeline:
        stream_many()
        pipeline.deliver()
        pipeline.export()
    assert pipeline.spans == {"FAILURE": STREAMS}
    assert ("/v1/traces" in receiver.asked) is not is_down


def free_url() -> str:
    return f"http://127.0.0.1:{free_port()}"


def test_spans_around_a_restart(tmp_path: Path) -> None:
    """The spans of before and after arrive, and of those in between the SDK says they were lost."""
    url = free_url()
    with exporting(url) as pipeline:
        with tapped(port_of(url)) as before:
            list(answer())
            pipeline.deliver()
            pipeline.export()
            before.wait_for(lambda tap: len(tap.spans) == 1)
        stream_many()
        pipeline.deliver()
        pipeline.export()
        with tapped(port_of(url)) as after:
            list(answer())
            pipeline.deliver()
            pipeline.export()
            after.wait_for(lambda tap: len(tap.spans) == 1)
    assert pipeline.spans == {"SUCCESS": 2, "FAILURE": STREAMS}


@pytest.mark.backends("victoria-metrics")
def test_metrics_are_complete_after_a_restart(tmp_path: Path) -> None:
    """Metrics are cumulative: what happened while the database was down arrives when it is up."""
    url = free_url()
    with exporting(url, metrics_path="/opentelemetry/v1/metrics") as pipeline:
        with victoria_metrics(tmp_path, port=port_of(url)):
            list(answer())
            pipeline.deliver()
            wait_for_calls(pipeline, url, 1)
        during = stream_many()
        pipeline.deliver()
        pipeline.export()
        with victoria_metrics(tmp_path, port=port_of(url)):
            wait_for_calls(pipeline, url, 1 + STREAMS)
            tokens = 'sum({__name__="gen_ai.client.token.usage_sum"})'
            assert number(url, tokens) == 3 * (1 + STREAMS)
    assert len(during) == STREAMS


def wait_for_calls(pipeline: Pipeline, url: str, calls: int) -> None:
    """Export until the database knows of so many calls."""

    def known() -> float:
        pipeline.export()
        with DIRECT.open(f"{url}/internal/force_flush"):
            return number(url, 'sum({__name__="gen_ai.client.operation.duration_count"})')

    assert eventually(known, lambda it: it == calls) == calls


def port_of(url: str) -> int:
    port = urlsplit(url).port
    assert port is not None
    return port
