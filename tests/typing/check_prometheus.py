"""What a checker makes of the Prometheus exporter: a sink, and something to install. Never run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from typing_extensions import assert_type

from tokenclock import MetricsResult, Sink, add_sink, observe
from tokenclock.exporters.prometheus import PrometheusMetrics

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry


def making(registry: CollectorRegistry) -> None:
    PrometheusMetrics()
    PrometheusMetrics(registry, labels=("tenant",), max_label_values=50, exemplars=True)
    PrometheusMetrics(registry=registry, labels=["server.address"])
    PrometheusMetrics("registry")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    PrometheusMetrics(registry, ("tenant",))  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    PrometheusMetrics(labels=[3])  # type: ignore[list-item]  # pyright: ignore[reportArgumentType]
    PrometheusMetrics(max_label_values="50")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


def sending(exporter: PrometheusMetrics, result: MetricsResult[Any]) -> None:
    a_sink: Sink = exporter
    add_sink(a_sink)
    exporter(result)
    observe(sinks=[exporter])


def installing(exporter: PrometheusMetrics) -> None:
    assert_type(exporter.install(), PrometheusMetrics)
    assert_type(exporter.install(max_queue=100), PrometheusMetrics)
    assert_type(exporter.flush(), bool)
    assert_type(exporter.uninstall(timeout=1.0), bool)
    with exporter as installed:
        assert_type(installed, PrometheusMetrics)
    assert_type(exporter.dropped, int)
    assert_type(exporter.failed, int)
