"""What a checker makes of the OpenTelemetry exporters. Never run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from typing_extensions import assert_type

from tokenclock import MetricsResult, Sink, add_sink
from tokenclock.exporters.opentelemetry import OpenTelemetryMetrics, OpenTelemetrySpans

if TYPE_CHECKING:
    from opentelemetry.metrics import MeterProvider
    from opentelemetry.trace import TracerProvider


def measuring(provider: MeterProvider, result: MetricsResult[list[str]]) -> None:
    exporter = OpenTelemetryMetrics(
        provider, semconv="latest", attributes=["tenant"], gaps=True, operation="chat"
    )
    a_sink: Sink = exporter
    add_sink(a_sink)
    exporter(result)
    OpenTelemetryMetrics(None, attributes=(name for name in ("tenant", "team")))
    OpenTelemetryMetrics(semconv="newest")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    OpenTelemetryMetrics(attributes=[3])  # type: ignore[list-item]  # pyright: ignore[reportArgumentType]
    OpenTelemetryMetrics(provider, "latest")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    OpenTelemetryMetrics(operation=None)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    exporter("result")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


def tracing(provider: TracerProvider) -> None:
    OpenTelemetrySpans(provider, semconv="latest", attributes=["tenant"], events=True, stall=0.5)
    OpenTelemetrySpans(semconv="newest")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


def installing(result: MetricsResult[Any]) -> None:
    exporter = OpenTelemetryMetrics().install()
    assert_type(exporter, OpenTelemetryMetrics)
    assert_type(exporter.flush(timeout=1.0), bool)
    assert_type(exporter.dropped, int)
    assert_type(exporter.failed, int)
    assert_type(exporter.uninstall(), bool)
    with OpenTelemetryMetrics() as entered, OpenTelemetrySpans() as spans:
        assert_type(entered, OpenTelemetryMetrics)
        assert_type(spans, OpenTelemetrySpans)
        entered(result)
