"""Read what contenders that speak OpenTelemetry's protocol sent."""

from __future__ import annotations

import gzip
import importlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from peers.contender import Record, Request

TRACES = "/v1/traces"


def spans(requests: Sequence[Request]) -> Iterator[dict[str, Any]]:
    """Give every span that was sent, in order."""
    for request in requests:
        if TRACES in request.path:
            for resource in decoded(request).get("resourceSpans", ()):
                for scope in resource.get("scopeSpans", ()):
                    yield from scope.get("spans", ())


def decoded(request: Request) -> dict[str, Any]:
    """Read the body of a request with the contender's own copy of the protocol."""
    message = importlib.import_module(
        "opentelemetry.proto.collector.trace.v1.trace_service_pb2"
    ).ExportTraceServiceRequest()
    message.ParseFromString(unpacked(request))
    tree: dict[str, Any] = importlib.import_module("google.protobuf.json_format").MessageToDict(
        message
    )
    return tree


def unpacked(request: Request) -> bytes:
    """Give the body of a request as it was before it was compressed."""
    packed = request.headers.get("content-encoding") == "gzip"
    return gzip.decompress(request.body) if packed else request.body


def status(span: dict[str, Any]) -> str:
    """Give the status of a span, as OpenTelemetry names it."""
    code: str = span.get("status", {}).get("code", "STATUS_CODE_UNSET")
    return code


def attributes(span: dict[str, Any]) -> dict[str, Any]:
    """Give the attributes of a span by name."""
    return {one["key"]: next(iter(one["value"].values()), None) for one in span["attributes"]}


def records(
    requests: Sequence[Request], outcome: Callable[[dict[str, Any]], str] = status
) -> list[Record]:
    """Give a record for each span."""
    return [Record(outcome(span), span) for span in spans(requests)]
