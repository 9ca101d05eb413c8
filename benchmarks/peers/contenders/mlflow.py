"""MLflow's decorator."""

# ruff: noqa: PLC0415 - only its own environment has the package

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from peers import otlp
from peers.contender import Contender, Function, Record, Request


class Adapter(Contender):
    """``@mlflow.trace``."""

    title = "mlflow `@trace`"
    distribution = "mlflow-tracing"
    importing = "import mlflow"
    settings = (
        "The slim package `mlflow-tracing`, which its documentation gives for production, and "
        "export by OTLP in batches; it has no switch for inputs, outputs or chunks."
    )
    documentation = "https://mlflow.org/docs/latest/genai/tracing/lightweight-sdk"

    def environment(self, edge: str) -> Mapping[str, str]:
        """Point it at the edge."""
        return {
            "MLFLOW_TRACKING_URI": edge,
            "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": edge + otlp.TRACES,
            "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "http/protobuf",
        }

    def decorate(self, function: Function) -> Any:
        """Trace a function."""
        import mlflow

        return mlflow.trace(function)

    def flush(self) -> None:
        """Send what is in the queue."""
        # Its own flush_trace_async_logging() does not reach the exporter for OTLP.
        from mlflow.tracing.provider import provider

        tracer_provider = provider.get()
        if hasattr(tracer_provider, "force_flush"):
            tracer_provider.force_flush()

    def records(self, requests: Sequence[Request]) -> list[Record]:
        """Give the spans."""
        return otlp.records(requests)
