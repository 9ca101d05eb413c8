"""What Cohere's events and responses say: as the client's own classes, and as plain dicts."""

# ruff: noqa: S105 - the source of a token count is no password

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mutating import assert_harmless, mutated
from stepping import every_shape, finished, script_at
from tokenclock import Reading, Usage, measure, metrics_decorator
from tokenclock._providers import ProviderReader, family_of
from tokenclock._providers.cohere import Cohere

if TYPE_CHECKING:
    from tokenclock import MetricsResult
    from tokenclock.testing import FakeClock

TEXT = Reading(tokens=1, channel="text")
THOUGHT = Reading(tokens=1, channel="reasoning")
TOOL = Reading(tokens=1, channel="tool")
NONE = Reading()


def event(kind: str, **message: Any) -> dict[str, Any]:
    """An event whose delta has this message, as it comes over the wire."""
    return {"type": kind, "delta": {"message": message}}


def ended(**delta: Any) -> dict[str, Any]:
    return {"type": "message-end", "id": "1", "delta": delta}


def call(name: str | None = None, arguments: str | None = None, **more: Any) -> dict[str, Any]:
    return {"function": {"name": name, "arguments": arguments}, **more}


COUNTS: dict[str, Any] = {
    "billed_units": {"input_tokens": 12.0, "output_tokens": 4.0},
    "tokens": {"input_tokens": 50.0, "output_tokens": 5.0},
    "cached_tokens": 40.0,
}

READINGS: dict[str, tuple[dict[str, Any], Reading]] = {
    "the start": (
        {
            "type": "message-start",
            "id": "1",
            "delta": {"message": {"role": "assistant", "content": [], "tool_calls": []}},
        },
        NONE,
    ),
    "text begins": (event("content-start", content={"type": "text", "text": ""}), NONE),
    "some text begins": (event("content-start", content={"type": "text", "text": "Hi"}), TEXT),
    "a thought begins": (
        event("content-start", content={"type": "thinking", "thinking": ""}),
        NONE,
    ),
    "text": (event("content-delta", content={"text": "Hi"}), TEXT),
    "empty text": (event("content-delta", content={"text": ""}), NONE),
    "a thought": (event("content-delta", content={"thinking": "Hm"}), THOUGHT),
    "an empty thought": (event("content-delta", content={"thinking": ""}), NONE),
    "text ends": ({"type": "content-end", "index": 0}, NONE),
    "a plan": (event("tool-plan-delta", tool_plan="I will"), TEXT),
    "an empty plan": (event("tool-plan-delta", tool_plan=""), NONE),
    "a call begins": (
        event("tool-call-start", tool_calls=call("f", "", id="c", type="function")),
        TOOL,
    ),
    "more of a call": (event("tool-call-delta", tool_calls=call(arguments='{"a')), TOOL),
    "nothing of a call": (event("tool-call-delta", tool_calls=call(arguments="")), NONE),
    "a call ends": ({"type": "tool-call-end", "index": 0}, NONE),
    "a citation": (
        event("citation-start", citations={"start": 0, "end": 2, "text": "Hi", "sources": []}),
        NONE,
    ),
    "a citation ends": ({"type": "citation-end", "index": 0}, NONE),
    "the end": (
        ended(finish_reason="COMPLETE", usage=COUNTS),
        Reading(usage=Usage(50, 5, None, 40), finish_reason="COMPLETE"),
    ),
    "the end, with what is billed": (
        ended(finish_reason="TOOL_CALL", usage={"billed_units": COUNTS["billed_units"]}),
        Reading(usage=Usage(12, 4), finish_reason="TOOL_CALL"),
    ),
    "the end, with an error": (
        ended(finish_reason="ERROR", error="no", usage=None),
        Reading(finish_reason="ERROR"),
    ),
    "the end, with no count": (ended(finish_reason="COMPLETE", usage={}),
        Reading(finish_reason="COMPLETE")),
}  # fmt: skip


def reading_of(chunk: Any) -> Reading | None:
    return ProviderReader().read(chunk)


def of_client(data: dict[str, Any]) -> Any:
    """The client's own object for an event, made as the client makes it."""
    from cohere.core.unchecked_base_model import construct_type  # noqa: PLC0415 - an extra
    from cohere.v2.types.v2chat_stream_response import (  # noqa: PLC0415 - an extra
        V2ChatStreamResponse,
    )

    kind: Any = V2ChatStreamResponse
    made = construct_type(type_=kind, object_=data)
    assert type(made).__name__.endswith("V2ChatStreamResponse")
    return made


# --- chunk by chunk ------------------------------------------------------------------------------


@pytest.mark.parametrize(("data", "reading"), READINGS.values(), ids=READINGS)
def test_a_plain_event_is_read(data: dict[str, Any], reading: Reading) -> None:
    """An event as it comes over the wire counts the text, thought or call in it."""
    assert family_of(data) is Cohere
    assert reading_of(data) == reading


@pytest.mark.extras
@pytest.mark.parametrize(("data", "reading"), READINGS.values(), ids=READINGS)
def test_an_event_of_the_client_is_read(data: dict[str, Any], reading: Reading) -> None:
    """The client's own event, and a dict made of it, say what the plain one said."""
    made = of_client(data)

    assert family_of(made) is Cohere
    assert reading_of(made) == reading
    assert reading_of(made.dict()) == reading


@pytest.mark.extras
def test_what_was_sent_for_debugging_says_nothing() -> None:
    """The client's event with the prompt is no chunk of unknown shape."""
    assert reading_of(of_client({"type": "debug", "prompt": "Hi"})) == NONE


def test_several_calls_in_one_event_are_one_token() -> None:
    """Calls may come in a list."""
    calls = [call(), call("f", "", id="c")]
    assert reading_of(event("tool-call-start", tool_calls=calls)) == TOOL
    assert reading_of(event("tool-call-start", tool_calls=[call()])) == NONE


@pytest.mark.parametrize(
    "other",
    [
        {"type": "debug", "prompt": "Hi"},
        {"type": "content_block_delta"},
        {"message": {"content": "Hi"}, "finish_reason": "stop"},
        {"message": {"content": "Hi"}, "finish_reason": "stop", "usage": {"input_tokens": 1}},
        {"message": {"content": "Hi"}, "usage": COUNTS},
        {"finish_reason": "COMPLETE", "usage": COUNTS},
    ],
)
def test_other_events_are_not_ours(other: dict[str, Any]) -> None:
    """What only looks a little like Cohere's is left to others."""
    assert family_of(other) is not Cohere


# --- whole streams -------------------------------------------------------------------------------

WHOLE: dict[float, dict[str, Any]] = {
    20: READINGS["the start"][0],
    40: {**READINGS["a thought begins"][0], "index": 0},
    120: {**READINGS["a thought"][0], "index": 0},
    130: {"type": "content-end", "index": 0},
    140: {**READINGS["text begins"][0], "index": 1},
    220: {**event("content-delta", content={"text": "Hello, "}), "index": 1},
    320: {**event("content-delta", content={"text": "world"}), "index": 1},
    330: {**READINGS["a citation"][0], "index": 0},
    420: READINGS["the end"][0],
}


def assert_whole(result: MetricsResult[Any]) -> None:
    assert result.time_to_first_chunk == 0.02
    assert result.time_to_first_token == 0.12
    assert result.time_to_first_output_token == 0.22
    assert result.time_to_last_token == 0.32
    assert result.generation_latency == 0.42
    assert result.token_count == 5
    assert result.token_source == "usage"
    assert result.chunk_count == 9
    assert result.token_chunk_count == 3
    assert result.time_per_output_token == 0.05
    assert result.input_token_count == 50
    assert result.reasoning_token_count is None
    assert result.cached_token_count == 40
    assert result.model is None
    assert result.finish_reason == "COMPLETE"
    assert [point.channel for point in result.timeline or () if point.tokens] == [
        "reasoning", "text", "text",
    ]  # fmt: skip


@every_shape
def test_a_stream_of_plain_events_is_measured(shape: str, clock: FakeClock) -> None:
    """The first token is the first thought, not one of the events that open the stream."""
    assert_whole(finished(shape, script_at(clock, WHOLE, end=420)))


@pytest.mark.extras
def test_a_stream_of_the_clients_events_is_measured(clock: FakeClock) -> None:
    """The client's own events give the same numbers as plain ones."""
    made = {at: of_client(data) for at, data in WHOLE.items()}
    stream = measure(script_at(clock, made, end=420).stream(), clock=clock)
    assert list(stream) == list(made.values())
    assert_whole(stream.metrics)


def test_the_model_is_what_the_caller_says(clock: FakeClock) -> None:
    """Where no event names the model, the option does."""
    stream = measure(script_at(clock, WHOLE, end=420).stream(), clock=clock, model="command-a")
    list(stream)
    assert stream.metrics.model == "command-a"


def served(clock: FakeClock) -> Iterator[bytes]:
    """Send the whole stream over the wire; each event takes its time."""
    now = 0.0
    for at, data in WHOLE.items():
        clock.advance((at - now) / 1000)
        now = at
        yield f"event: {data['type']}\ndata: {json.dumps(data)}\n\n".encode()
    yield b"data: [DONE]\n\n"


async def aserved(clock: FakeClock) -> AsyncIterator[bytes]:
    for part in served(clock):
        yield part


ASK: dict[str, Any] = {"model": "command-a", "messages": [{"role": "user", "content": "Hi"}]}
KIND = {"content-type": "text/event-stream"}


@pytest.mark.extras
def test_the_clients_own_stream_is_measured(clock: FakeClock) -> None:
    """What the client makes of the bytes of a server has their times and counts."""
    import cohere  # noqa: PLC0415 - an extra
    import httpx  # noqa: PLC0415 - an extra

    transport = httpx.MockTransport(
        lambda _: httpx.Response(200, headers=KIND, content=served(clock))
    )
    client = cohere.ClientV2(api_key="none", httpx_client=httpx.Client(transport=transport))
    stream = measure(client.chat_stream(**ASK), clock=clock)
    assert len(list(stream)) == 9
    assert_whole(stream.metrics)


@pytest.mark.extras
@pytest.mark.asyncio
async def test_the_clients_own_async_stream_is_measured(clock: FakeClock) -> None:
    """What the async client makes of the bytes of a server has their times and counts."""
    import cohere  # noqa: PLC0415 - an extra
    import httpx  # noqa: PLC0415 - an extra

    transport = httpx.MockTransport(
        lambda _: httpx.Response(200, headers=KIND, content=aserved(clock))
    )
    client = cohere.AsyncClientV2(
        api_key="none", httpx_client=httpx.AsyncClient(transport=transport)
    )
    stream = measure(client.chat_stream(**ASK), clock=clock)
    assert len([data async for data in stream]) == 9
    assert_whole(stream.metrics)


# --- whole responses -----------------------------------------------------------------------------

RESPONSE: dict[str, Any] = {
    "id": "1",
    "finish_reason": "MAX_TOKENS",
    "message": {
        "role": "assistant",
        "content": [{"type": "thinking", "thinking": "Hm"}, {"type": "text", "text": "Hi"}],
    },
    "usage": COUNTS,
}


def assert_response(response: Any, clock: FakeClock) -> None:
    def generate() -> Any:
        clock.advance(0.5)
        return response

    result = metrics_decorator(generate, clock=clock)()

    assert result.value is response
    assert result.time_to_first_token == 0.5
    assert result.streamed is False
    assert result.token_count == 5
    assert result.token_source == "usage"
    assert result.throughput == 10.0
    assert result.input_token_count == 50
    assert result.reasoning_token_count is None
    assert result.cached_token_count == 40
    assert result.model is None
    assert result.finish_reason == "MAX_TOKENS"


def test_a_plain_response_is_read(clock: FakeClock) -> None:
    """A whole response as it comes over the wire has its counts in its usage."""
    assert_response(RESPONSE, clock)


@pytest.mark.extras
def test_a_response_of_the_client_is_read(clock: FakeClock) -> None:
    """The client's own response says the same."""
    from cohere import V2ChatResponse  # noqa: PLC0415 - an extra

    assert_response(V2ChatResponse.model_validate(RESPONSE), clock)


@pytest.mark.extras
def test_a_response_without_usage_has_no_count() -> None:
    """The client's own response is known without usage; then nobody counted its tokens."""
    from cohere import V2ChatResponse  # noqa: PLC0415 - an extra

    response = V2ChatResponse.model_validate({**RESPONSE, "usage": None})
    result = metrics_decorator(lambda: response)()

    assert result.token_count is None
    assert result.finish_reason == "MAX_TOKENS"


# --- odd fields ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "data",
    [
        {"type": "content-delta"},
        {"type": "content-delta", "delta": None},
        {"type": "content-delta", "delta": {"message": "Hi"}},
        {"type": "content-delta", "delta": {"message": {"content": ["Hi"]}}},
        {"type": "content-delta", "delta": {"message": {"content": {"text": 1}}}},
        {"type": "tool-call-start", "delta": {"message": {"tool_calls": None}}},
        {"type": "tool-call-start", "delta": {"message": {"tool_calls": [None, 1, []]}}},
        {"type": "tool-call-delta", "delta": {"message": {"tool_calls": {"function": "f"}}}},
        {"type": "tool-plan-delta", "delta": {"message": {"tool_plan": 1}}},
        {"type": "message-end"},
        {"type": "message-end", "delta": {"finish_reason": 1, "usage": 1}},
        {"type": "message-end", "delta": {"usage": {"tokens": {"output_tokens": 1.5}}}},
    ],
)
def test_odd_fields_are_no_tokens(data: dict[str, Any]) -> None:
    """Fields that are absent, or hold what they should not, say nothing."""
    assert reading_of(data) == NONE


@given(
    st.lists(mutated([*(data for data, _ in READINGS.values()), RESPONSE]), min_size=1, max_size=4)
)
def test_no_event_is_too_odd(events: list[Any]) -> None:
    """Whatever an event holds, reading it raises nothing and its reading is in order."""
    assert_harmless(events)
