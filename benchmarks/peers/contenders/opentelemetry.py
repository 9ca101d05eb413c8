"""OpenTelemetry's SDK, with a span around the stream and an event for each token."""

# ruff: noqa: PLC0415 - only its own environment has the package

from __future__ import annotations

import functools
import inspect
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Any

from peers import otlp
from peers.contender import Contender, Function, Record, Request

ENOUGH_EVENTS = 100_000


class Adapter(Contender):
    """A span with events, batched and sent by the SDK's own exporter."""

    title = "OpenTelemetry span, an event per token"
    distribution = "opentelemetry-sdk"
    importing = "from opentelemetry.sdk.trace import TracerProvider"
    settings = (
        "`BatchSpanProcessor` with its defaults, events without attributes; the limit of events a "
        "span is raised, since the default of 128 would throw away the first tokens."
    )
    documentation = "https://opentelemetry.io/docs/languages/python/instrumentation/"

    def __init__(self) -> None:
        self._provider: Any = None
        self._tracer: Any = None

    def setup(self, edge: str) -> None:
        """Build the pipeline as the documentation does."""
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.trace import SpanLimits, TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor

        self._provider = TracerProvider(span_limits=SpanLimits(max_events=ENOUGH_EVENTS))
        exporter = OTLPSpanExporter(endpoint=edge + otlp.TRACES)
        self._provider.add_span_processor(BatchSpanProcessor(exporter))
        self._tracer = self._provider.get_tracer("peers")

    def decorate(self, function: Function) -> Any:
        """Put a span around a function, by its kind."""
        if inspect.isgeneratorfunction(function):
            return self._traced_stream(function)
        if inspect.isasyncgenfunction(function):
            return self._traced_async_stream(function)
        return self._tracer.start_as_current_span("call")(function)

    def _traced_stream(self, function: Function) -> Any:
        @functools.wraps(function)
        def traced(prompt: int) -> Iterator[Any]:
            with self._tracer.start_as_current_span("call") as span:
                for chunk in function(prompt):
                    span.add_event("token")
                    yield chunk

        return traced

    def _traced_async_stream(self, function: Function) -> Any:
        @functools.wraps(function)
        async def traced(prompt: int) -> AsyncIterator[Any]:
            with self._tracer.start_as_current_span("call") as span:
                async for chunk in function(prompt):
                    span.add_event("token")
                    yield chunk

        return traced

    def flush(self) -> None:
        """Send what is in the queue."""
        self._provider.force_flush()

    def records(self, requests: Sequence[Request]) -> list[Record]:
        """Give the spans."""
        return otlp.records(requests)
