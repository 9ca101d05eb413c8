"""What Mistral's events and responses say: as the client's own classes, and as plain dicts."""

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
from tokenclock._providers.mistral import Mistral
from tokenclock._providers.openai import OpenAI

if TYPE_CHECKING:
    from tokenclock import MetricsResult
    from tokenclock.testing import FakeClock

MODEL = "magistral-small"

SAID = Reading(model=MODEL)
TEXT = Reading(tokens=1, channel="text", model=MODEL)
THOUGHT = Reading(tokens=1, channel="reasoning", model=MODEL)
TOOL = Reading(tokens=1, channel="tool", model=MODEL)


def frame(delta: dict[str, Any], finish: str | None = None, **more: Any) -> dict[str, Any]:
    """A chunk with one choice, as it comes over the wire."""
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return {"id": "1", "model": MODEL, "choices": [choice], **more}


def thinking(*texts: str) -> dict[str, Any]:
    return {"type": "thinking", "thinking": [{"type": "text", "text": text} for text in texts]}


def call(name: str, arguments: str, **more: Any) -> dict[str, Any]:
    return {"tool_calls": [{"function": {"name": name, "arguments": arguments}, **more}]}


COUNTS = {"prompt_tokens": 50, "completion_tokens": 5, "total_tokens": 55}

READINGS: dict[str, tuple[dict[str, Any], Reading]] = {
    "the role": (frame({"role": "assistant", "content": ""}), SAID),
    "the role alone": (frame({"role": "assistant"}), SAID),
    "text": (frame({"content": "Hi"}), TEXT),
    "no text": (frame({"content": None}), SAID),
    "text in parts": (frame({"content": [{"type": "text", "text": "Hi"}]}), TEXT),
    "empty text in parts": (frame({"content": [{"type": "text", "text": ""}]}), SAID),
    "no parts": (frame({"content": []}), SAID),
    "a thought": (frame({"content": [thinking("Hm")]}), THOUGHT),
    "a thought not begun": (frame({"content": [thinking()]}), SAID),
    "an empty thought": (frame({"content": [thinking("")]}), SAID),
    "a thought, then text": (
        frame({"content": [thinking("Hm"), {"type": "text", "text": "Hi"}]}),
        TEXT,
    ),
    "a reference": (frame({"content": [{"type": "reference", "reference_ids": [1]}]}), SAID),
    "a call": (frame(call("f", '{"a": 1}', id="c"), "tool_calls"),
        TOOL._replace(finish_reason="tool_calls")),
    "a call without an id": (frame(call("f", "")), TOOL),
    "more of a call": (frame(call("", '": 1}')), TOOL),
    "an empty call": (frame(call("", "")), SAID),
    "a thought, then a call": (frame({"content": [thinking("Hm")], **call("f", "")}), TOOL),
    "the end": (
        frame({"content": ""}, "stop", usage=COUNTS),
        Reading(usage=Usage(50, 5), model=MODEL, finish_reason="stop"),
    ),
    "the end, some of the prompt cached": (
        frame({"content": ""}, "length",
            usage={**COUNTS, "prompt_tokens_details": {"cached_tokens": 40}}),
        Reading(usage=Usage(50, 5, None, 40), model=MODEL, finish_reason="length"),
    ),
    "the second choice": (
        {"id": "1", "model": MODEL,
            "choices": [{"index": 1, "delta": {"content": "Hi"}, "finish_reason": None}]},
        TEXT._replace(choice=1),
    ),
    "two choices": (
        {"id": "1", "model": MODEL, "choices": [
            {"index": 0, "delta": {"content": [thinking("Hm")]}, "finish_reason": None},
            {"index": 1, "delta": {"content": "Hi"}, "finish_reason": None}]},
        Reading(tokens=2, channel="text", model=MODEL, choice=1),
    ),
    "no choices": ({"id": "1", "model": MODEL, "choices": [], "usage": COUNTS},
        Reading(usage=Usage(50, 5), model=MODEL)),
}  # fmt: skip


def output(content: Any, **more: Any) -> dict[str, Any]:
    return {"type": "message.output.delta", "id": "1", "content": content, **more}


ASKED = {"id": "1", "tool_call_id": "2"}

CONVERSATION: dict[str, tuple[dict[str, Any], Reading]] = {
    "the start": ({"type": "conversation.response.started", "conversation_id": "1"}, Reading()),
    "text": (output("Hi", model=MODEL), TEXT),
    "empty text": (output("", model=MODEL), SAID),
    "text in a part": (output({"type": "text", "text": "Hi"}, model=MODEL), TEXT),
    "a thought": (output(thinking("Hm"), model=MODEL), THOUGHT),
    "an empty thought": (output(thinking(""), model=MODEL), SAID),
    "a file": (
        output({"type": "tool_file", "tool": "image_generation", "file_id": "3"}, model=MODEL),
        SAID,
    ),
    "no model": (output("Hi"), TEXT._replace(model=None)),
    "a call": (
        {"type": "function.call.delta", "name": "f", "arguments": "", "model": MODEL, **ASKED},
        TOOL,
    ),
    "more of a call": (
        {"type": "function.call.delta", "name": "", "arguments": "{}", "model": MODEL, **ASKED},
        TOOL,
    ),
    "an empty call": (
        {"type": "function.call.delta", "name": "", "arguments": "", "model": MODEL, **ASKED},
        SAID,
    ),
    "a connector begins": (
        {"type": "tool.execution.started", "id": "1", "name": "web_search", "arguments": "{}"},
        TOOL._replace(model=None),
    ),
    "a connector goes on": (
        {"type": "tool.execution.delta", "id": "1", "name": "web_search", "arguments": "{}"},
        TOOL._replace(model=None),
    ),
    "a connector is done": (
        {"type": "tool.execution.done", "id": "1", "name": "web_search", "info": {"a": "b"}},
        Reading(),
    ),
    "a hand over": (
        {
            "type": "agent.handoff.started", "id": "1", "previous_agent_id": "2",
            "previous_agent_name": "Ann",
        },
        Reading(),
    ),
    "an error": (
        {"type": "conversation.response.error", "message": "no", "code": 500},
        Reading(),
    ),
    "the end": (
        {"type": "conversation.response.done", "usage": COUNTS},
        Reading(usage=Usage(50, 5)),
    ),
}  # fmt: skip

SPEECH: dict[str, tuple[dict[str, Any], Reading]] = {
    "text": ({"type": "transcription.text.delta", "text": "Hi"}, TEXT._replace(model=None)),
    "the language": ({"type": "transcription.language", "audio_language": "en"}, Reading()),
    "the end": (
        {
            "type": "transcription.done", "model": MODEL, "text": "Hi", "usage": COUNTS,
            "language": "en",
        },
        Reading(usage=Usage(50, 5), model=MODEL),
    ),
}  # fmt: skip

IN_EVENTS = {
    f"{kind}: {name}": (kind, *case)
    for kind, cases in (
        ("CompletionEvent", READINGS),
        ("ConversationEvents", CONVERSATION),
        ("TranscriptionStreamEvents", SPEECH),
    )
    for name, case in cases.items()
}


def reading_of(chunk: Any) -> Reading | None:
    return ProviderReader().read(chunk)


@pytest.fixture
def models() -> Any:
    """The types of the client."""
    from mistralai.client import models  # noqa: PLC0415 - an extra

    return models


def event_of(models: Any, kind: str, data: dict[str, Any]) -> Any:
    """The client's event around this data; a completion's has no name."""
    named = {} if kind == "CompletionEvent" else {"event": data["type"]}
    return getattr(models, kind).model_validate({"data": data, **named})


# --- chunk by chunk ------------------------------------------------------------------------------


@pytest.mark.parametrize(("chunk", "reading"), READINGS.values(), ids=READINGS)
def test_a_plain_chunk_is_read(chunk: dict[str, Any], reading: Reading) -> None:
    """A chunk as it comes over the wire is like one of OpenAI's, thoughts included."""
    assert family_of(chunk) is OpenAI
    assert reading_of(chunk) == reading


@pytest.mark.parametrize(
    ("data", "reading"),
    [*CONVERSATION.values(), *SPEECH.values()],
    ids=[*CONVERSATION, *(f"speech: {name}" for name in SPEECH)],
)
def test_plain_data_of_an_event_is_read(data: dict[str, Any], reading: Reading) -> None:
    """The data of an event says the same without the event around it."""
    assert family_of(data) is Mistral
    assert reading_of(data) == reading


@pytest.mark.parametrize(("kind", "data", "reading"), IN_EVENTS.values(), ids=IN_EVENTS)
def test_a_plain_event_is_read(kind: str, data: dict[str, Any], reading: Reading) -> None:
    """A dict around the data says what the data says."""
    assert family_of({"data": data}) is Mistral
    assert reading_of({"data": data}) == reading


@pytest.mark.extras
@pytest.mark.parametrize(("kind", "data", "reading"), IN_EVENTS.values(), ids=IN_EVENTS)
def test_an_event_of_the_client_is_read(
    kind: str, data: dict[str, Any], reading: Reading, models: Any
) -> None:
    """The client's own event, what is in it, and a dict made of it say what plain data said."""
    event = event_of(models, kind, data)

    assert family_of(event) is Mistral
    assert reading_of(event) == reading
    assert reading_of(event.data) == reading
    assert reading_of(event.model_dump()) == reading


@pytest.mark.extras
def test_a_field_that_was_not_set_says_nothing(models: Any) -> None:
    """The client's mark for a field that did not come is no text, no call and no model."""
    delta = models.DeltaMessage()
    choice = models.CompletionResponseStreamChoice(index=0, delta=delta, finish_reason=None)
    chunk = models.CompletionChunk(id="1", model=MODEL, choices=[choice])
    message = models.MessageOutputEvent(id="1", content="Hi")

    assert type(delta.content) is type(message.model) is not type(None)
    assert reading_of(models.CompletionEvent(data=chunk)) == SAID
    event = models.ConversationEvents(event="message.output.delta", data=message)
    assert reading_of(event) == Reading(tokens=1, channel="text")


@pytest.mark.extras
def test_an_event_without_choices_says_nothing(models: Any) -> None:
    """A completion's event may have nothing in it but a model."""
    event = event_of(models, "CompletionEvent", {"id": "1", "model": MODEL, "choices": []})
    assert reading_of(event) == SAID


@pytest.mark.extras
def test_an_event_that_the_client_does_not_know_says_nothing(models: Any) -> None:
    """What a newer server sends is an event without tokens, not a chunk of unknown shape."""
    event = event_of(models, "ConversationEvents", {"type": "message.output.news"})

    assert event.data.type == "UNKNOWN"
    assert reading_of(event) == Reading()


@pytest.mark.extras
def test_an_event_of_responses_is_read(models: Any) -> None:
    """Mistral's responses say what OpenAI's say, in an event of Mistral's."""
    delta = {
        "type": "response.output_text.delta", "delta": "Hi", "content_index": 0, "item_id": "1",
        "logprobs": [], "output_index": 0, "sequence_number": 3,
    }  # fmt: skip
    event = event_of(models, "ResponsesStreamFrame", delta)

    assert reading_of(event) == Reading(tokens=1, channel="text")
    assert reading_of(event.data) == Reading(tokens=1, channel="text")


@pytest.mark.parametrize(
    "other",
    [
        {"data": "Hi"},
        {"data": None},
        {"data": [{"embedding": [1.0]}], "usage": COUNTS},
        {"data": {"type": "news"}},
        {"data": {"choices": ["Ann", "Bob"]}},
        {"type": "message.output.news"},
        {"object": "list"},
    ],
)
def test_other_data_is_not_ours(other: dict[str, Any]) -> None:
    """What only looks a little like Mistral's is left to others."""
    assert family_of(other) is not Mistral


@pytest.mark.extras
def test_a_list_of_embeddings_is_not_ours(models: Any) -> None:
    """Mistral's other responses have data, too, but no tokens were generated."""
    response = models.EmbeddingResponse(
        id="1", object="list", model="e", usage=COUNTS, data=[{"embedding": [1.0], "index": 0}]
    )
    assert family_of(response) is None


def test_several_choices_in_one_chunk_are_noted() -> None:
    """Tokens of several choices in one chunk show that there are several."""
    reader = ProviderReader()
    reader.read({"data": READINGS["text"][0]})
    assert reader.saw_choices is False
    reader.read({"data": READINGS["two choices"][0]})
    assert reader.saw_choices is True


# --- whole streams -------------------------------------------------------------------------------

WHOLE: dict[float, dict[str, Any]] = {
    20: frame({"role": "assistant", "content": ""}),
    120: frame({"content": [thinking("Hm")]}),
    220: frame({"content": [{"type": "text", "text": "Hello, "}]}),
    320: frame({"content": "world"}),
    420: frame(
        {"content": ""},
        "stop",
        usage={**COUNTS, "prompt_tokens_details": {"cached_tokens": 40}},
    ),
}


def assert_whole(result: MetricsResult[Any]) -> None:
    assert result.time_to_first_chunk == 0.02
    assert result.time_to_first_token == 0.12
    assert result.time_to_first_output_token == 0.22
    assert result.time_to_last_token == 0.32
    assert result.generation_latency == 0.42
    assert result.token_count == 5
    assert result.token_source == "usage"
    assert result.token_chunk_count == 3
    assert result.time_per_output_token == 0.05
    assert result.input_token_count == 50
    assert result.reasoning_token_count is None
    assert result.cached_token_count == 40
    assert result.model == MODEL
    assert result.finish_reason == "stop"
    assert [point.channel for point in result.timeline or ()] == [
        None, "reasoning", "text", "text", None,
    ]  # fmt: skip


@every_shape
def test_a_stream_of_plain_chunks_is_measured(shape: str, clock: FakeClock) -> None:
    """The first token is the first thought, not the frame that opens the stream."""
    assert_whole(finished(shape, script_at(clock, WHOLE, end=420)))


@pytest.mark.extras
def test_a_stream_of_the_clients_events_is_measured(clock: FakeClock, models: Any) -> None:
    """The client's own events give the same numbers as plain chunks."""
    made = {at: event_of(models, "CompletionEvent", chunk) for at, chunk in WHOLE.items()}
    stream = measure(script_at(clock, made, end=420).stream(), clock=clock)
    assert list(stream) == list(made.values())
    assert_whole(stream.metrics)


def served(clock: FakeClock) -> Iterator[bytes]:
    """Send the whole stream over the wire; each chunk takes its time."""
    now = 0.0
    for at, chunk in WHOLE.items():
        clock.advance((at - now) / 1000)
        now = at
        yield f"data: {json.dumps(chunk)}\n\n".encode()
    yield b"data: [DONE]\n\n"


async def aserved(clock: FakeClock) -> AsyncIterator[bytes]:
    for part in served(clock):
        yield part


def client_of(clock: FakeClock) -> Any:
    """A client whose server is a function."""
    from mistralai.client import Mistral as Client  # noqa: PLC0415 - an extra
    from mistralai.client import httpclient  # noqa: PLC0415 - an extra

    built_on: Any = httpclient
    httpx = built_on.httpx
    kind = {"content-type": "text/event-stream"}
    return Client(
        api_key="none",
        client=httpx.Client(
            transport=httpx.MockTransport(
                lambda _: httpx.Response(200, headers=kind, content=served(clock))
            )
        ),
        async_client=httpx.AsyncClient(
            transport=httpx.MockTransport(
                lambda _: httpx.Response(200, headers=kind, content=aserved(clock))
            )
        ),
    )


ASK: dict[str, Any] = {"model": MODEL, "messages": [{"role": "user", "content": "Hi"}]}


@pytest.mark.extras
def test_the_clients_own_stream_is_measured(clock: FakeClock) -> None:
    """What the client makes of the bytes of a server has their times and counts."""
    with measure(client_of(clock).chat.stream(**ASK), clock=clock) as stream:
        assert len(list(stream)) == 5
    assert_whole(stream.metrics)


@pytest.mark.extras
@pytest.mark.asyncio
async def test_the_clients_own_async_stream_is_measured(clock: FakeClock) -> None:
    """What the async client makes of the bytes of a server has their times and counts."""
    source = await client_of(clock).chat.stream_async(**ASK)
    async with measure(source, clock=clock) as stream:
        assert len([event async for event in stream]) == 5
    assert_whole(stream.metrics)


@every_shape
def test_a_conversation_is_measured(shape: str, clock: FakeClock) -> None:
    """A conversation's first token is its first delta, not the event that opens it."""
    script = script_at(
        clock,
        {
            20: CONVERSATION["the start"][0],
            120: CONVERSATION["a thought"][0],
            220: CONVERSATION["text"][0],
            320: CONVERSATION["the end"][0],
        },
        end=320,
    )
    result = finished(shape, script)

    assert result.time_to_first_chunk == 0.02
    assert result.time_to_first_token == 0.12
    assert result.time_to_first_output_token == 0.22
    assert result.token_count == 5
    assert result.token_source == "usage"
    assert result.input_token_count == 50
    assert result.model == MODEL


# --- whole responses -----------------------------------------------------------------------------

RESPONSE: dict[str, Any] = {
    "id": "1",
    "object": "chat.completion",
    "model": MODEL,
    "created": 1,
    "usage": {**COUNTS, "prompt_tokens_details": {"cached_tokens": 40}},
    "choices": [
        {
            "index": 0,
            "message": {"role": "assistant", "content": [thinking("Hm")], "tool_calls": None},
            "finish_reason": "length",
        }
    ],
}
SPOKEN: dict[str, Any] = {
    "object": "conversation.response",
    "conversation_id": "1",
    "usage": COUNTS,
    "outputs": [
        {"type": "message.output", "role": "assistant", "content": "Hi", "model": MODEL},
        {"type": "tool.execution", "name": "web_search", "arguments": "{}"},
    ],
}


def measured(response: Any, clock: FakeClock) -> MetricsResult[Any]:
    def generate() -> Any:
        clock.advance(0.5)
        return response

    result: MetricsResult[Any] = metrics_decorator(generate, clock=clock)()

    assert result.value is response
    assert result.time_to_first_token == 0.5
    assert result.streamed is False
    assert result.token_count == 5
    assert result.token_source == "usage"
    assert result.throughput == 10.0
    assert result.input_token_count == 50
    assert result.reasoning_token_count is None
    assert result.model == MODEL
    return result


def test_a_plain_response_is_read(clock: FakeClock) -> None:
    """A whole response as it comes over the wire has its counts in its usage."""
    result = measured(RESPONSE, clock)
    assert result.cached_token_count == 40
    assert result.finish_reason == "length"


@pytest.mark.extras
def test_a_response_of_the_client_is_read(clock: FakeClock, models: Any) -> None:
    """The client's own response says the same."""
    result = measured(models.ChatCompletionResponse.model_validate(RESPONSE), clock)
    assert result.cached_token_count == 40
    assert result.finish_reason == "length"


def test_a_plain_answer_of_a_conversation_is_read(clock: FakeClock) -> None:
    """A whole answer in a conversation has its counts in its usage, and no finish reason."""
    assert measured(SPOKEN, clock).finish_reason is None


@pytest.mark.extras
def test_an_answer_of_a_conversation_is_read(clock: FakeClock, models: Any) -> None:
    """The client's own answer says the same."""
    response = models.ConversationResponse.model_validate(SPOKEN)
    assert measured(response, clock).cached_token_count is None


# --- odd fields ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "data",
    [
        {"choices": [{"delta": None}]},
        {"choices": [{"delta": {"content": 5, "tool_calls": "f"}}]},
        {"choices": [{"delta": {"content": [None, 1, {"type": "thinking", "thinking": 1}]}}]},
        {"choices": [{"delta": {"content": [{"type": "thinking", "thinking": [None, {}]}]}}]},
        {"choices": [{"delta": {"tool_calls": [None, {"function": 1}]}}]},
        {"choices": [{"delta": {}, "finish_reason": 1}], "usage": 1, "model": 1},
        {"type": "message.output.delta"},
        {"type": "message.output.delta", "content": 1},
        {"type": "function.call.delta", "name": 1},
        {"type": "conversation.response.done", "usage": {"prompt_tokens": "1"}},
    ],
)
def test_odd_fields_are_no_tokens(data: dict[str, Any]) -> None:
    """Fields that are absent, or hold what they should not, say nothing."""
    assert reading_of({"data": data}) == Reading()


FRAMES = [{"data": data} for _, data, _ in IN_EVENTS.values()]


@given(st.lists(mutated([*FRAMES, SPOKEN]), min_size=1, max_size=4))
def test_no_event_is_too_odd(events: list[Any]) -> None:
    """Whatever an event holds, reading it raises nothing and its reading is in order."""
    assert_harmless(events)
