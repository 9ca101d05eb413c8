"""Opik's decorator."""

# ruff: noqa: PLC0415 - only its own environment has the package

from __future__ import annotations

import gzip
import json
from collections.abc import Mapping, Sequence
from typing import Any

from peers.contender import Contender, Function, Record, Request


class Adapter(Contender):
    """``@opik.track``."""

    title = "opik `@track`"
    distribution = "opik"
    importing = "from opik import track"
    settings = (
        "`capture_input=False, capture_output=False` (it collects the chunks all the same), spans "
        "are logged at their end only; what reports on itself (Sentry, analytics) is off."
    )
    documentation = "https://comet.com/docs/opik/python-sdk-reference/track.html"

    def environment(self, edge: str) -> Mapping[str, str]:
        """Point it at the edge."""
        return {
            "OPIK_URL_OVERRIDE": edge + "/api/",
            "OPIK_API_KEY": "peers",
            "OPIK_WORKSPACE": "peers",
            "OPIK_LOG_START_TRACE_SPAN": "false",
            "OPIK_SENTRY_ENABLE": "false",
            "OPIK_ANALYTICS_ENABLE": "false",
        }

    def decorate(self, function: Function) -> Any:
        """Track without contents."""
        from opik import track

        return track(type="llm", capture_input=False, capture_output=False)(function)

    def decorate_by_default(self, function: Function) -> Any:
        """Track with contents."""
        from opik import track

        return track(type="llm")(function)

    def flush(self) -> None:
        """Send what is in the queue."""
        from opik import flush_tracker

        flush_tracker()

    def records(self, requests: Sequence[Request]) -> list[Record]:
        """Give the spans: what a start and an end say of one is put together."""
        spans: dict[str, dict[str, Any]] = {}
        for request in requests:
            if "/spans" in request.path:
                for span in sent(request):
                    known = {field: value for field, value in span.items() if value is not None}
                    spans.setdefault(span["id"], {}).update(known)
        return [Record(outcome(span), span) for span in spans.values() if span.get("end_time")]


def sent(request: Request) -> list[dict[str, Any]]:
    """Give the spans in a request, which are several or one."""
    packed = request.headers.get("content-encoding") == "gzip"
    tree = json.loads(gzip.decompress(request.body) if packed else request.body)
    tree.setdefault("id", request.path.rsplit("/", 1)[-1])
    spans: list[dict[str, Any]] = tree.get("spans", [tree])
    return spans


def outcome(span: dict[str, Any]) -> str:
    """Give its word for how the span ended: there is an error, or there is none."""
    return "error" if span.get("error_info") else "success"
