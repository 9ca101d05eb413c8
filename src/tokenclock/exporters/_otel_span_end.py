"""What a span says when its call is over: attributes, and the moments worth an event."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from tokenclock.exporters._otel_attributes import STREAM, exportable, result_attributes

if TYPE_CHECKING:
    from tokenclock._attributes import AttributeValue
    from tokenclock._result import MetricsResult

FIRST_TOKEN = "tokenclock.first_token"  # noqa: S105 - the name of an event
STALL = "tokenclock.stall"
STALL_DURATION = "tokenclock.stall.duration"

# A span keeps 128 events unless its SDK is told otherwise; most of them are left to its owner.
MOST_STALLS = 64

# Of streams alone, as the conventions say; None stands for what was not observed.
_OF_STREAMS = (
    ("gen_ai.response.time_to_first_chunk", "time_to_first_chunk"),
    ("tokenclock.time_to_first_token", "time_to_first_token"),
    ("tokenclock.time_to_first_output_token", "time_to_first_output_token"),
    ("tokenclock.time_per_output_token", "time_per_output_token"),
    ("tokenclock.consumer_time", "consumer_time"),
)
_OF_ALL = (
    ("gen_ai.usage.input_tokens", "input_token_count"),
    ("gen_ai.usage.output_tokens", "token_count"),
    ("gen_ai.usage.cache_read.input_tokens", "cached_token_count"),
    ("gen_ai.usage.reasoning.output_tokens", "reasoning_token_count"),
    ("tokenclock.token_source", "token_source"),
    ("tokenclock.throughput", "throughput"),
)


def ended_attributes(result: MetricsResult[Any]) -> dict[str, Any]:
    """Give the attributes of a finished call; what was not observed is left out."""
    known: dict[str, Any] = dict(result_attributes(result))
    fields = (*_OF_STREAMS, *_OF_ALL) if result.streamed else _OF_ALL
    for name, field in fields:
        value: AttributeValue | None = getattr(result, field)
        if value is not None:
            known[name] = exportable(value)
    if result.streamed:
        known[STREAM] = True
    if result.finish_reason is not None:
        known["gen_ai.response.finish_reasons"] = [exportable(result.finish_reason)]
    return known


def events_of(
    result: MetricsResult[Any], stall: float
) -> Iterator[tuple[str, float, dict[str, float]]]:
    """
    Give the events of a stream: name, seconds after the start, attributes.

    A stall is a wait of at least *stall* seconds for one chunk after the first token, from the
    caller's request to the arrival: what the caller itself held back is none.
    """
    first = result.time_to_first_token
    if not result.streamed or first is None:
        return
    yield FIRST_TOKEN, first, {}
    yield from list(_stalls(result, first, stall))[:MOST_STALLS]


def _stalls(
    result: MetricsResult[Any], first: float, stall: float
) -> Iterator[tuple[str, float, dict[str, float]]]:
    columns = {} if result.timeline is None else result.timeline.to_dict()
    for requested, arrived in zip(
        columns.get("requested", ()), columns.get("arrived", ()), strict=True
    ):
        if arrived > first and arrived - requested >= stall:
            yield STALL, arrived, {STALL_DURATION: arrived - requested}
