"""Datadog's decorator for LLM Observability."""

# ruff: noqa: PLC0415 - only its own environment has the package

from __future__ import annotations

import gzip
import json
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from peers.contender import Contender, Function, Record, Request

SPANS = "evp_proxy"


class Adapter(Contender):
    """``@llm``."""

    title = "ddtrace `@llm`"
    distribution = "ddtrace"
    importing = "from ddtrace.llmobs.decorators import llm"
    settings = (
        "Through an agent, as it is mostly run, with its instrumentations, telemetry and remote "
        "configuration off; `@llm` never annotates inputs or outputs by itself."
    )
    documentation = "https://docs.datadoghq.com/llm_observability/instrumentation/sdk"
    answers: ClassVar[Mapping[str, Any]] = {
        "/info": {
            "version": "7.70.0",
            "endpoints": ["/v0.4/traces", "/v0.5/traces", "/evp_proxy/v2/"],
        },
        "/traces": {"rate_by_service": {}},
    }

    def environment(self, edge: str) -> Mapping[str, str]:
        """Point it at the edge."""
        return {
            "DD_TRACE_AGENT_URL": edge,
            "DD_APM_TRACING_ENABLED": "false",
            "DD_INSTRUMENTATION_TELEMETRY_ENABLED": "false",
            "DD_REMOTE_CONFIGURATION_ENABLED": "false",
        }

    def setup(self, edge: str) -> None:
        """Enable it."""
        del edge
        from ddtrace.llmobs import LLMObs

        LLMObs.enable(ml_app="peers", agentless_enabled=False, integrations_enabled=False)

    def decorate(self, function: Function) -> Any:
        """Trace a function."""
        from ddtrace.llmobs.decorators import llm

        return llm(model_name="peers", name="call")(function)

    def flush(self) -> None:
        """Send what is in the queue."""
        from ddtrace.llmobs import LLMObs

        LLMObs.flush()

    def records(self, requests: Sequence[Request]) -> list[Record]:
        """Give the spans of LLM Observability."""
        return [
            Record(str(span.get("status", "")), span)
            for request in requests
            if SPANS in request.path
            for event in events(request)
            for span in event.get("spans", ())
        ]


def events(request: Request) -> list[dict[str, Any]]:
    """Give the events in a request."""
    packed = request.headers.get("content-encoding") == "gzip"
    tree = json.loads(gzip.decompress(request.body) if packed else request.body)
    return tree if isinstance(tree, list) else [tree]
