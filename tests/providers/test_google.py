"""What Gemini's chunks and responses say: as the client's own classes, and as plain dicts."""

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
from tokenclock._providers.google import Google

if TYPE_CHECKING:
    from tokenclock import MetricsResult
    from tokenclock.testing import FakeClock

MODEL = "gemini-3-flash"


def frame(*parts: dict[str, Any], **candidate: Any) -> dict[str, Any]:
    """A chunk with one candidate, as it comes over the wire."""
    content = {"role": "model", "parts": list(parts)}
    return {"candidates": [{"content": content, **candidate}]}


TEXT = Reading(tokens=1, channel="text")
THOUGHT = Reading(tokens=1, channel="reasoning")
TOOL = Reading(tokens=1, channel="tool")
NONE = Reading()

READINGS: dict[str, tuple[dict[str, Any], Reading]] = {
    "text": (frame({"text": "Hi"}), TEXT),
    "empty text": (frame({"text": ""}), NONE),
    "text and the end": (
        frame({"text": "Hi"}, finishReason="STOP"),
        TEXT._replace(finish_reason="STOP"),
    ),
    "a thought": (frame({"text": "Hm", "thought": True}), THOUGHT),
    "no thought": (frame({"text": "Hi", "thought": False}), TEXT),
    "a thought, then text": (frame({"text": "Hm", "thought": True}, {"text": "Hi"}), TEXT),
    "a thought, then a call": (
        frame({"text": "Hm", "thought": True}, {"functionCall": {"name": "f"}}),
        TOOL,
    ),
    "a signature": (frame({"text": "", "thoughtSignature": "c2ln"}), NONE),
    "a signature alone": (frame({"thoughtSignature": "c2ln"}, finishReason="STOP"),
        Reading(finish_reason="STOP")),
    "a call": (frame({"functionCall": {"name": "f", "args": {"a": 1}}}), TOOL),
    "a call without arguments": (frame({"functionCall": {"name": "f", "args": {}}}), TOOL),
    "a call's arguments, bit by bit": (
        frame({"functionCall": {"partialArgs": [{"jsonPath": "$.a", "stringValue": "x"}]}}),
        TOOL,
    ),
    "a call's empty frame": (frame({"functionCall": {"willContinue": False}}), NONE),
    "a tool of the server": (
        frame({"toolCall": {"id": "1", "toolType": "GOOGLE_SEARCH_WEB"}}),
        TOOL,
    ),
    "code to run": (frame({"executableCode": {"code": "1 + 1", "language": "PYTHON"}}), TOOL),
    "what code gave": (
        frame({"codeExecutionResult": {"outcome": "OUTCOME_OK", "output": "2"}}),
        NONE,
    ),
    "an image": (frame({"inlineData": {"mimeType": "image/png", "data": "aGk="}}), TEXT),
    "an image thought of": (
        frame({"inlineData": {"mimeType": "image/png", "data": "aGk="}, "thought": True}),
        THOUGHT,
    ),
    "an empty image": (frame({"inlineData": {"mimeType": "image/png", "data": ""}}), NONE),
    "no parts": (frame(), NONE),
    "no content": (
        {"candidates": [{"finishReason": "SAFETY"}]},
        Reading(finish_reason="SAFETY"),
    ),
    "an end that was not said": (
        frame({"text": "Hi"}, finishReason="FINISH_REASON_UNSPECIFIED"),
        TEXT,
    ),
    "the second candidate": (frame({"text": "Hi"}, index=1), TEXT._replace(choice=1)),
    "two candidates": (
        {"candidates": [*frame({"text": "Hi"}, index=0)["candidates"],
                        *frame({"text": "Hm", "thought": True}, index=1)["candidates"]]},
        Reading(tokens=2, channel="text", choice=1),
    ),
    "a model": (
        {**frame({"text": "Hi"}), "modelVersion": MODEL},
        TEXT._replace(model=MODEL),
    ),
    "usage of the prompt": (
        {**frame({"text": "Hi"}), "usageMetadata": {"promptTokenCount": 5, "totalTokenCount": 5}},
        TEXT._replace(usage=Usage(input_tokens=5)),
    ),
    "usage of everything": (
        {
            **frame({"text": "Hi"}),
            "usageMetadata": {
                "promptTokenCount": 50,
                "cachedContentTokenCount": 40,
                "toolUsePromptTokenCount": 7,
                "candidatesTokenCount": 3,
                "thoughtsTokenCount": 20,
                "totalTokenCount": 80,
            },
        },
        TEXT._replace(usage=Usage(57, 23, 20, 40)),
    ),
    "usage alone": (
        {
            "usageMetadata": {"promptTokenCount": 5, "candidatesTokenCount": 3},
            "modelVersion": MODEL,
        },
        Reading(usage=Usage(5, 3), model=MODEL),
    ),
    "a refused prompt": ({"promptFeedback": {"blockReason": "SAFETY"}}, NONE),
    "no candidates": ({"candidates": [], "usageMetadata": {"promptTokenCount": 5}},
        Reading(usage=Usage(input_tokens=5))),
}  # fmt: skip

LIVE: dict[str, tuple[dict[str, Any], Reading]] = {
    "set up": ({"setupComplete": {}}, NONE),
    "text": ({"serverContent": {"modelTurn": {"parts": [{"text": "Hi"}]}}}, TEXT),
    "a thought": (
        {"serverContent": {"modelTurn": {"parts": [{"text": "Hm", "thought": True}]}}},
        THOUGHT,
    ),
    "sound": (
        {
            "serverContent": {
                "modelTurn": {"parts": [{"inlineData": {"mimeType": "audio/pcm", "data": "aGk="}}]}
            }
        },
        TEXT,
    ),
    "what the sound said": ({"serverContent": {"outputTranscription": {"text": "Hi"}}}, NONE),
    "a call": ({"toolCall": {"functionCalls": [{"id": "1", "name": "f"}]}}, TOOL),
    "the end": (
        {
            "serverContent": {"turnComplete": True, "turnCompleteReason": "RESPONSE_REJECTED"},
            "usageMetadata": {
                "promptTokenCount": 5,
                "responseTokenCount": 30,
                "thoughtsTokenCount": 2,
            },
        },
        Reading(usage=Usage(5, 32, 2), finish_reason="RESPONSE_REJECTED"),
    ),
}


def reading_of(chunk: Any) -> Reading | None:
    return ProviderReader().read(chunk)


@pytest.fixture
def types() -> Any:
    """The types of the client."""
    from google.genai import types  # noqa: PLC0415 - an extra

    return types


# --- chunk by chunk ------------------------------------------------------------------------------


@pytest.mark.parametrize(("chunk", "reading"), READINGS.values(), ids=READINGS)
def test_a_plain_chunk_is_read(chunk: dict[str, Any], reading: Reading) -> None:
    """A chunk as it comes over the wire counts what its candidates say."""
    assert family_of(chunk) is Google
    assert reading_of(chunk) == reading


@pytest.mark.extras
@pytest.mark.parametrize(("chunk", "reading"), READINGS.values(), ids=READINGS)
def test_a_chunk_of_the_client_is_read(chunk: dict[str, Any], reading: Reading, types: Any) -> None:
    """The client's own object, and a dict made of it, say what the plain chunk said."""
    given = types.GenerateContentResponse.model_validate(chunk)

    assert family_of(given) is Google
    assert reading_of(given) == reading
    assert reading_of(given.model_dump()) == reading
    assert reading_of(given.model_dump(mode="json", by_alias=True)) == reading


@pytest.mark.parametrize(("message", "reading"), LIVE.values(), ids=LIVE)
def test_a_plain_message_of_a_live_session_is_read(
    message: dict[str, Any], reading: Reading
) -> None:
    """A live session's message counts what the model says, and not its transcription again."""
    assert reading_of(message) == reading


@pytest.mark.extras
@pytest.mark.parametrize(("message", "reading"), LIVE.values(), ids=LIVE)
def test_a_message_of_a_live_session_is_read(
    message: dict[str, Any], reading: Reading, types: Any
) -> None:
    """The client's own message says what the plain one said."""
    given = types.LiveServerMessage.model_validate(message)

    assert family_of(given) is Google
    assert reading_of(given) == reading


@pytest.mark.extras
def test_an_empty_response_is_known(types: Any) -> None:
    """A response without anything in it is no chunk of unknown shape."""
    assert reading_of(types.GenerateContentResponse()) == NONE
    assert reading_of(types.LiveServerMessage()) == NONE


@pytest.mark.parametrize(
    "other",
    [
        {"candidates": ["Ann", "Bob"]},
        {"candidates": "Ann"},
        {"candidates": None},
        {"candidates": [{"name": "Ann"}]},
        {"toolCall": {"name": "f"}},
        {"content": "Hi", "usage_metadata": {"input_tokens": 1}},
        {"text": "Hi"},
        {},
    ],
)
def test_a_list_of_other_candidates_is_not_ours(other: dict[str, Any]) -> None:
    """What only looks a little like Gemini's is left to others."""
    assert family_of(other) is not Google


def test_several_candidates_in_one_chunk_are_noted() -> None:
    """Tokens of several candidates in one chunk show that there are several choices."""
    reader = ProviderReader()
    reader.read(READINGS["text"][0])
    assert reader.saw_choices is False
    reader.read(READINGS["two candidates"][0])
    assert reader.saw_choices is True


# --- usage of several answers in one stream ------------------------------------------------------


def answer(name: str, prompt: int, tokens: int, finish: str | None = None) -> dict[str, Any]:
    return {
        "candidates": [{"content": {"parts": [{"text": "Hi"}]}, "finishReason": finish}],
        "usageMetadata": {"promptTokenCount": prompt, "candidatesTokenCount": tokens},
        "responseId": name,
    }


def usages(*chunks: dict[str, Any]) -> list[Usage | None]:
    reader = ProviderReader()
    readings = [reader.read(chunk) for chunk in chunks]
    return [None if reading is None else reading.usage for reading in readings]


def test_usage_of_one_answer_is_the_latest() -> None:
    """Every chunk's usage is that of the answer so far, also after the end was said."""
    last = {"usageMetadata": {"promptTokenCount": 5, "candidatesTokenCount": 9}, "responseId": "a"}

    assert usages(answer("a", 5, 3), answer("a", 5, 7, "STOP"), last) == [
        Usage(5, 3),
        Usage(5, 7),
        Usage(5, 9),
    ]


def test_usage_of_answers_that_follow_each_other_is_added() -> None:
    """Where the client called functions and asked again, both answers were generated."""
    assert usages(
        answer("a", 5, 3),
        answer("a", 5, 7, "STOP"),
        answer("b", 20, 1),
        answer("b", 20, 4, "STOP"),
        answer("c", 30, 2, "STOP"),
    ) == [Usage(5, 3), Usage(5, 7), Usage(25, 8), Usage(25, 11), Usage(55, 13)]


def test_usage_is_not_added_while_an_answer_goes_on() -> None:
    """An id that changes from chunk to chunk makes no answer of each."""
    assert usages(answer("a", 5, 3), answer("b", 5, 7), answer("c", 5, 8)) == [
        Usage(5, 3),
        Usage(5, 7),
        Usage(5, 8),
    ]


# --- whole streams -------------------------------------------------------------------------------

WHOLE: dict[float, dict[str, Any]] = {
    20: {
        "candidates": [{"content": {"role": "model"}, "index": 0}],
        "usageMetadata": {"promptTokenCount": 50, "cachedContentTokenCount": 40},
        "modelVersion": MODEL,
        "responseId": "a",
    },
    120: {
        **frame({"text": "Hm", "thought": True}),
        "usageMetadata": {"promptTokenCount": 50, "thoughtsTokenCount": 6},
        "responseId": "a",
    },
    220: {
        **frame({"text": "Hello, "}),
        "usageMetadata": {"promptTokenCount": 50, "candidatesTokenCount": 2},
        "responseId": "a",
    },
    320: {
        **frame({"text": "world"}, finishReason="STOP"),
        "usageMetadata": {
            "promptTokenCount": 50,
            "cachedContentTokenCount": 40,
            "candidatesTokenCount": 5,
            "thoughtsTokenCount": 6,
        },
        "modelVersion": MODEL,
        "responseId": "a",
    },
}


def assert_whole(result: MetricsResult[Any]) -> None:
    assert result.time_to_first_chunk == 0.02
    assert result.time_to_first_token == 0.12
    assert result.time_to_first_output_token == 0.22
    assert result.generation_latency == 0.32
    assert result.token_count == 11
    assert result.token_source == "usage"
    assert result.token_chunk_count == 3
    assert result.time_per_output_token == 0.02
    assert result.input_token_count == 50
    assert result.reasoning_token_count == 6
    assert result.cached_token_count == 40
    assert result.model == MODEL
    assert result.finish_reason == "STOP"
    assert [point.channel for point in result.timeline or ()] == [
        None, "reasoning", "text", "text",
    ]  # fmt: skip


@every_shape
def test_a_stream_of_plain_chunks_is_measured(shape: str, clock: FakeClock) -> None:
    """The first token is the first thought, not the frame that opens the stream."""
    assert_whole(finished(shape, script_at(clock, WHOLE, end=320)))


@pytest.mark.extras
def test_a_stream_of_the_clients_chunks_is_measured(clock: FakeClock, types: Any) -> None:
    """The client's own chunks give the same numbers as plain ones."""
    made = {at: types.GenerateContentResponse.model_validate(chunk) for at, chunk in WHOLE.items()}
    stream = measure(script_at(clock, made, end=320).stream(), clock=clock)
    assert list(stream) == list(made.values())
    assert_whole(stream.metrics)


def served(clock: FakeClock) -> Iterator[bytes]:
    """Send the whole stream over the wire; each chunk takes its time."""
    now = 0.0
    for at, chunk in WHOLE.items():
        clock.advance((at - now) / 1000)
        now = at
        yield f"data: {json.dumps(chunk)}\n\n".encode()


async def aserved(clock: FakeClock) -> AsyncIterator[bytes]:
    for part in served(clock):
        yield part


def client_of(clock: FakeClock) -> Any:
    """A client whose server is a function."""
    import httpx  # noqa: PLC0415 - an extra
    from google import genai  # noqa: PLC0415 - an extra

    kind = {"content-type": "text/event-stream"}
    options: Any = {
        "httpx_client": httpx.Client(
            transport=httpx.MockTransport(
                lambda _: httpx.Response(200, headers=kind, content=served(clock))
            )
        ),
        "httpx_async_client": httpx.AsyncClient(
            transport=httpx.MockTransport(
                lambda _: httpx.Response(200, headers=kind, content=aserved(clock))
            )
        ),
    }
    return genai.Client(api_key="none", http_options=options)


@pytest.mark.extras
def test_the_clients_own_stream_is_measured(clock: FakeClock) -> None:
    """What the client makes of the bytes of a server has their times and counts."""
    stream = measure(
        client_of(clock).models.generate_content_stream(model=MODEL, contents="Hi"), clock=clock
    )
    assert "".join(chunk.text or "" for chunk in stream) == "Hello, world"
    assert_whole(stream.metrics)


@pytest.mark.extras
@pytest.mark.asyncio
async def test_the_clients_own_async_stream_is_measured(clock: FakeClock) -> None:
    """What the async client makes of the bytes of a server has their times and counts."""
    source = await client_of(clock).aio.models.generate_content_stream(model=MODEL, contents="Hi")
    stream = measure(source, clock=clock)
    assert "".join([chunk.text or "" async for chunk in stream]) == "Hello, world"
    assert_whole(stream.metrics)


# --- whole responses -----------------------------------------------------------------------------

RESPONSE: dict[str, Any] = {
    **frame({"text": "Hm", "thought": True}, {"text": "Hello"}, finishReason="MAX_TOKENS"),
    "usageMetadata": {
        "promptTokenCount": 50,
        "cachedContentTokenCount": 40,
        "toolUsePromptTokenCount": 7,
        "candidatesTokenCount": 5,
        "thoughtsTokenCount": 6,
    },
    "modelVersion": MODEL,
}


def assert_response(response: Any, clock: FakeClock) -> None:
    def generate() -> Any:
        clock.advance(0.5)
        return response

    result = metrics_decorator(generate, clock=clock)()

    assert result.value is response
    assert result.time_to_first_token == 0.5
    assert result.streamed is False
    assert result.token_count == 11
    assert result.token_source == "usage"
    assert result.throughput == 22.0
    assert result.input_token_count == 57
    assert result.reasoning_token_count == 6
    assert result.cached_token_count == 40
    assert result.model == MODEL
    assert result.finish_reason == "MAX_TOKENS"


def test_a_plain_response_is_read(clock: FakeClock) -> None:
    """A whole response as it comes over the wire has its counts in its usage."""
    assert_response(RESPONSE, clock)


@pytest.mark.extras
def test_a_response_of_the_client_is_read(clock: FakeClock, types: Any) -> None:
    """The client's own response says the same."""
    assert_response(types.GenerateContentResponse.model_validate(RESPONSE), clock)


# --- odd fields ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "chunk",
    [
        {"candidates": [None, 1, "a", {}]},
        {"candidates": [{"content": None}]},
        {"candidates": [{"content": "Hi"}]},
        {"candidates": [{"content": {"parts": None}}]},
        {"candidates": [{"content": {"parts": "Hi"}}]},
        {"candidates": [{"content": {"parts": [None, 1, "a", {"text": 1}, {"text": ["a"]}]}}]},
        {"candidates": [{"content": {"parts": [{"functionCall": "f"}, {"toolCall": 1}]}}]},
        {"candidates": [{"content": {}, "finishReason": 1, "index": "a"}], "modelVersion": 3},
        {"candidates": [], "usageMetadata": {"promptTokenCount": "5", "thoughtsTokenCount": -1}},
        {"candidates": [], "usageMetadata": 5},
        {"serverContent": None},
        {"serverContent": {"modelTurn": []}},
    ],
)
def test_odd_fields_are_no_tokens(chunk: dict[str, Any]) -> None:
    """Fields that are absent, or hold what they should not, say nothing."""
    assert reading_of(chunk) in {NONE, None}


@given(
    st.lists(
        mutated([chunk for chunk, _ in (*READINGS.values(), *LIVE.values())]),
        min_size=1,
        max_size=4,
    )
)
def test_no_chunk_is_too_odd(chunks: list[Any]) -> None:
    """Whatever a chunk holds, reading it raises nothing and its reading is in order."""
    assert_harmless(chunks)
