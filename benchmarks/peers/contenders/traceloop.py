"""Traceloop's decorator (OpenLLMetry)."""

# ruff: noqa: PLC0415 - only its own environment has the package

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from peers import otlp
from peers.contender import Contender, Function, Record, Request


class Adapter(Contender):
    """``@task``."""

    title = "traceloop `@task`"
    distribution = "traceloop-sdk"
    importing = "from traceloop.sdk.decorators import task"
    settings = (
        "`TRACELOOP_TRACE_CONTENT=false`, batching left on, telemetry off; none of the "
        "instrumentations that it can switch on for clients."
    )
    documentation = "https://traceloop.com/docs/openllmetry/privacy/traces"

    def environment(self, edge: str) -> Mapping[str, str]:
        """Point it at the edge."""
        return {
            "TRACELOOP_BASE_URL": edge,
            "TRACELOOP_API_KEY": "peers",
            "TRACELOOP_TRACE_CONTENT": "false",
            "TRACELOOP_TELEMETRY": "false",
            "TRACELOOP_METRICS_ENABLED": "false",
        }

    def setup(self, edge: str) -> None:
        """Initialise it."""
        from traceloop.sdk import Traceloop

        Traceloop.init(app_name="peers", api_endpoint=edge, instruments=set())

    def decorate(self, function: Function) -> Any:
        """Make a task of it."""
        from traceloop.sdk.decorators import task

        return task(name="call")(function)

    def flush(self) -> None:
        """Send what is in the queue."""
        from opentelemetry import trace

        provider: Any = trace.get_tracer_provider()
        provider.force_flush()

    def records(self, requests: Sequence[Request]) -> list[Record]:
        """Give the spans."""
        return otlp.records(requests)
