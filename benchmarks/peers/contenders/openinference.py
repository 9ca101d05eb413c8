"""OpenInference's decorator for model calls."""

# ruff: noqa: PLC0415 - only its own environment has the package

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from peers import otlp
from peers.contender import Contender, Function, Record, Request


class Adapter(Contender):
    """``@tracer.llm``."""

    title = "openinference `@llm`"
    distribution = "openinference-instrumentation"
    importing = "from openinference.instrumentation import OITracer"
    settings = (
        "`TraceConfig(hide_inputs=True, hide_outputs=True)` and a `BatchSpanProcessor` with its "
        "defaults; the decorator collects the chunks all the same."
    )
    documentation = "https://arize-ai.github.io/openinference/spec/configuration/trace-config.html"

    def __init__(self) -> None:
        self._provider: Any = None
        self._tracer: Any = None
        self._default: Any = None

    def setup(self, edge: str) -> None:
        """Build the pipeline as the documentation does."""
        from openinference.instrumentation import OITracer, TraceConfig
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor

        self._provider = TracerProvider()
        exporter = OTLPSpanExporter(endpoint=edge + otlp.TRACES)
        self._provider.add_span_processor(BatchSpanProcessor(exporter))
        tracer = self._provider.get_tracer("peers")
        hiding = TraceConfig(hide_inputs=True, hide_outputs=True)
        self._tracer = OITracer(tracer, config=hiding)
        self._default = OITracer(tracer, config=TraceConfig())

    def decorate(self, function: Function) -> Any:
        """Trace without contents."""
        return self._tracer.llm(function)

    def decorate_by_default(self, function: Function) -> Any:
        """Trace with contents."""
        return self._default.llm(function)

    def flush(self) -> None:
        """Send what is in the queue."""
        self._provider.force_flush()

    def records(self, requests: Sequence[Request]) -> list[Record]:
        """Give the spans."""
        return otlp.records(requests)
