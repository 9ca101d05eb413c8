"""Langfuse's decorator."""

# ruff: noqa: PLC0415 - only its own environment has the package

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from peers import otlp
from peers.contender import Contender, Function, Record, Request


class Adapter(Contender):
    """``@observe``."""

    title = "langfuse `@observe`"
    distribution = "langfuse"
    importing = "from langfuse import observe"
    settings = (
        "`as_type='generation'` with `capture_input=False, capture_output=False`, which its "
        "documentation names for large payloads: it then collects no chunks."
    )
    documentation = "https://langfuse.com/docs/observability/sdk/python/instrumentation"

    def environment(self, edge: str) -> Mapping[str, str]:
        """Point it at the edge."""
        return {
            "LANGFUSE_BASE_URL": edge,
            "LANGFUSE_PUBLIC_KEY": "pk-lf-peers",
            "LANGFUSE_SECRET_KEY": "sk-lf-peers",
        }

    def decorate(self, function: Function) -> Any:
        """Observe without contents."""
        from langfuse import observe

        options: dict[str, Any] = {"capture_input": False, "capture_output": False}
        return observe(as_type="generation", **options)(function)

    def decorate_by_default(self, function: Function) -> Any:
        """Observe with contents."""
        from langfuse import observe

        return observe(as_type="generation")(function)

    def flush(self) -> None:
        """Send what is in the queue."""
        from langfuse import get_client

        get_client().flush()

    def records(self, requests: Sequence[Request]) -> list[Record]:
        """Give the spans; Langfuse's level says how they ended."""
        return otlp.records(requests, level)


def level(span: dict[str, Any]) -> str:
    """Give the level of an observation, which is ``DEFAULT`` where none was set."""
    return str(otlp.attributes(span).get("langfuse.observation.level", "DEFAULT"))
