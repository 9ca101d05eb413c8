"""Logfire's decorator."""

# ruff: noqa: PLC0415 - only its own environment has the package

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from peers import otlp
from peers.contender import Contender, Function, Record, Request


class Adapter(Contender):
    """``@logfire.instrument``."""

    title = "logfire `@instrument`"
    distribution = "logfire"
    importing = "import logfire"
    settings = (
        "`allow_generator=True, extract_args=False`, which takes its fast path; no console, no "
        "inspection of arguments, no scrubbing, no placeholders for spans that are still open."
    )
    documentation = "https://logfire.pydantic.dev/docs/reference/configuration"
    answers: ClassVar[Mapping[str, Any]] = {
        "/v1/info": {
            "organization_name": "peers",
            "project_name": "peers",
            "project_url": "http://127.0.0.1/",
        }
    }

    def setup(self, edge: str) -> None:
        """Configure it to send to the edge."""
        import logfire

        logfire.configure(
            send_to_logfire=True,
            token="pylf_v1_us_peers",  # noqa: S106 - a made-up one
            service_name="peers",
            console=False,
            inspect_arguments=False,
            scrubbing=False,
            advanced=logfire.AdvancedOptions(base_url=edge, pending_spans=False),
        )

    def decorate(self, function: Function) -> Any:
        """Instrument without arguments."""
        import logfire

        return logfire.instrument(extract_args=False, allow_generator=True)(function)

    def decorate_by_default(self, function: Function) -> Any:
        """Instrument with arguments."""
        import logfire

        return logfire.instrument(allow_generator=True)(function)

    def flush(self) -> None:
        """Send what is in the queue."""
        import logfire

        logfire.force_flush()

    def records(self, requests: Sequence[Request]) -> list[Record]:
        """Give the spans, without the placeholders that are sent when a span begins."""
        return [
            Record(otlp.status(span), span)
            for span in otlp.spans(requests)
            if otlp.attributes(span).get("logfire.span_type") != "pending_span"
        ]
