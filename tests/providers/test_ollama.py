"""What Ollama sends, as its client's own objects and as dicts."""

from __future__ import annotations

import importlib
import json
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mutating import assert_harmless, mutated
from stepping import every_shape, finished, script_at
from tokenclock import Usage, metrics_decorator, metrics_of, observe
from tokenclock._providers import ProviderReader, read_response

if TYPE_CHECKING:
    from tokenclock.testing import FakeClock

extras = pytest.mark.extras

CALL = {"function": {"name": "weather", "arguments": {"city": "Oslo"}}}
# Five seconds by the server's own account, whatever the caller saw.
COUNTS = {
    "total_duration": 5_000_000_000,
    "load_duration": 1_000_000_000,
    "prompt_eval_count": 9,
    "prompt_eval_duration": 2_000_000_000,
    "eval_count": 7,
    "eval_duration": 2_000_000_000,
}


def chat(**message: Any) -> dict[str, Any]:
    said = {"role": "assistant", "content": "", **message}
    return {"model": "qwen3", "created_at": "2026-01-01T00:00:00Z", "message": said, "done": False}


def last(chunk: dict[str, Any], **counts: Any) -> dict[str, Any]:
    return {**chunk, "done": True, "done_reason": "stop", **counts}


def generate(**said: Any) -> dict[str, Any]:
    return {"model": "qwen3", "created_at": "2026-01-01T00:00:00Z", "done": False, **said}


CHAT = [
    (chat(content="Hi"), 1, "text", None, None),
    (chat(), 0, None, None, None),
    (chat(thinking="hm"), 1, "reasoning", None, None),
    (chat(content="Hi", thinking="hm"), 1, "text", None, None),
    (chat(tool_calls=[CALL]), 1, "tool", None, None),
    (chat(tool_calls=[]), 0, None, None, None),
    (last(chat(), **COUNTS), 0, None, Usage(9, 7), "stop"),
    (last(chat(content="Hi"), eval_count=1), 1, "text", Usage(None, 1), "stop"),
]
GENERATE = [
    (generate(response="Hi"), 1, "text", None, None),
    (generate(response=""), 0, None, None, None),
    (generate(response="", thinking="hm"), 1, "reasoning", None, None),
    (last(generate(response=""), **COUNTS), 0, None, Usage(9, 7), "stop"),
]
ODD = [
    {"message": {"content": 5}, "done": False},
    {"message": [], "done": False},
    {"message": {"tool_calls": "weather"}, "done": False},
    {"message": {"tool_calls": [{"function": None}]}, "done": False},
    {"message": {}, "done": True, "eval_count": -1, "done_reason": 5, "model": 5},
    {"response": "", "done": True, "eval_count": "7"},
]


# --- single chunks ----------------------------------------------------------------------------


@pytest.mark.parametrize(("chunk", "tokens", "channel", "usage", "finish"), [*CHAT, *GENERATE])
def test_what_a_dict_says(
    chunk: Any, tokens: int, channel: str | None, usage: Usage | None, finish: str | None
) -> None:
    """A chunk that says, thinks or calls something is a token, and the last one has the counts."""
    reading = ProviderReader().read(chunk)

    assert reading is not None
    assert (reading.tokens, reading.channel) == (tokens, channel)
    assert (reading.usage, reading.finish_reason) == (usage, finish)
    assert reading.model == "qwen3"


@extras
@pytest.mark.parametrize(("kind", "rows"), [("ChatResponse", CHAT), ("GenerateResponse", GENERATE)])
def test_what_an_object_says(kind: str, rows: Sequence[Any]) -> None:
    """The client's objects are read as the dicts that they are made from."""
    made = getattr(importlib.import_module("ollama"), kind)
    for chunk, *_ in rows:
        assert ProviderReader().read(made(**chunk)) == ProviderReader().read(chunk)


@pytest.mark.parametrize("chunk", ODD)
def test_odd_fields_are_no_tokens(chunk: Any) -> None:
    """A field that holds something else than it should is no token."""
    reading = ProviderReader().read(chunk)
    assert reading == (0, None, 0, None, None, None, None)


@pytest.mark.parametrize(
    "chunk",
    [
        {"message": {"content": "Hi"}},
        {"response": "Hi"},
        {"response": 5, "done": False},
        {"message": {"content": "Hi"}, "done": "no"},
        {"status": "pulling manifest", "done": False},
    ],
)
def test_other_dicts_are_not_ollamas(chunk: Any) -> None:
    """A message that does not say whether it is done is of no known shape."""
    assert ProviderReader().read(chunk) is None


@given(st.lists(mutated([row[0] for row in [*CHAT, *GENERATE]]), max_size=4))
def test_no_chunk_raises(chunks: list[Any]) -> None:
    """Whatever a chunk holds, its reading is in order."""
    assert_harmless(chunks)


@every_shape
def test_a_stream_of_chunks(shape: str, clock: FakeClock) -> None:
    """A whole stream has the numbers of its chunks, and none of the server's durations."""
    chunks: dict[float, Any] = {
        100: chat(thinking="hm"),
        200: chat(content="Hi"),
        300: chat(content=" there"),
        400: last(chat(), **COUNTS),
    }
    result = finished(shape, script_at(clock, chunks, end=500))

    assert result.time_to_first_token == 0.1
    assert result.time_to_first_output_token == 0.2
    assert result.time_to_last_token == 0.3
    assert result.generation_latency == 0.5
    assert (result.token_count, result.token_source) == (7, "usage")
    assert (result.input_token_count, result.cached_token_count) == (9, None)
    assert result.throughput == 14
    assert (result.model, result.finish_reason) == ("qwen3", "stop")


def test_a_whole_answer_is_as_long_as_the_caller_waited(clock: FakeClock) -> None:
    """A whole answer gives usage; how long it took is not what the server says of itself."""
    answer = last(chat(content="Hi there"), **COUNTS)

    def ask() -> dict[str, Any]:
        clock.advance(0.5)
        return answer

    result = metrics_decorator(ask, clock=clock)()

    assert result.value is answer
    assert (result.token_count, result.token_source) == (7, "usage")
    assert result.input_token_count == 9
    assert (result.model, result.finish_reason) == ("qwen3", "stop")
    assert result.generation_latency == 0.5
    assert result.throughput == 14


def test_a_whole_answer_without_counts() -> None:
    """An answer that tells no counts has none."""
    reading = read_response(generate(response="Hi"))
    assert reading is not None
    assert (reading.usage, reading.model) == (None, "qwen3")


# --- the real client --------------------------------------------------------------------------

LINES = [chat(thinking="hm"), chat(content="Hi"), last(chat(content=""), **COUNTS)]


def transport_over(clock: FakeClock, lines: Sequence[Any]) -> Any:
    """Give a transport of httpx that answers half a second on, and each quarter one line."""
    httpx = importlib.import_module("httpx")

    class Body(httpx.SyncByteStream, httpx.AsyncByteStream):  # type: ignore[misc, name-defined]  # Any
        def __iter__(self) -> Iterator[bytes]:
            for line in lines:
                clock.advance(0.25)
                yield json.dumps(line).encode() + b"\n"

        async def __aiter__(self) -> AsyncIterator[bytes]:
            for line in self:
                yield line

    def respond(_: Any) -> Any:
        clock.advance(0.5)
        return httpx.Response(200, stream=Body())

    return httpx.MockTransport(respond)


def client_over(kind: str, clock: FakeClock, lines: Sequence[Any]) -> Any:
    return getattr(importlib.import_module("ollama"), kind)(transport=transport_over(clock, lines))


@extras
def test_the_clients_stream_is_measured_and_its_chunks_are_its_own(clock: FakeClock) -> None:
    """The client asks when its stream is first read; the server's durations stay in the chunk."""
    client = client_over("Client", clock, LINES)
    stream = observe(client.chat, clock=clock)(model="qwen3", messages=[], stream=True)
    clock.advance(0.125)
    chunks = list(stream)
    result = metrics_of(stream)

    assert {type(chunk).__name__ for chunk in chunks} == {"ChatResponse"}
    assert chunks[-1].total_duration == 5_000_000_000
    assert result is not None
    assert result.request_model == "qwen3"
    assert result.time_to_first_token == 0.875
    assert result.time_to_first_output_token == 1.125
    assert result.generation_latency == 1.375
    assert (result.token_count, result.token_source) == (7, "usage")
    assert result.outcome == "completed"


@extras
@pytest.mark.asyncio
async def test_the_async_clients_stream_is_measured(clock: FakeClock) -> None:
    """The async client gives its stream when awaited."""
    client = client_over("AsyncClient", clock, [generate(response="Hi"), LINES[-1]])
    stream = await observe(client.generate, clock=clock)(model="qwen3", prompt="Hi", stream=True)
    assert [type(chunk).__name__ async for chunk in stream] == ["GenerateResponse"] * 2
    result = metrics_of(stream)

    assert result is not None
    assert result.time_to_first_token == 0.75
    assert (result.token_count, result.model) == (7, "qwen3")


@extras
@pytest.mark.parametrize("kind", ["Client", "AsyncClient"])
@pytest.mark.asyncio
async def test_the_clients_whole_answer_gives_its_usage(kind: str, clock: FakeClock) -> None:
    """A call that does not stream gives usage, model and the reason to stop."""
    client = client_over(kind, clock, [last(chat(content="Hi"), **COUNTS)])
    call = metrics_decorator(client.chat, clock=clock)(model="qwen3", messages=[])
    result = await call if kind == "AsyncClient" else call

    assert result.value.message.content == "Hi"
    assert (result.token_count, result.input_token_count) == (7, 9)
    assert (result.model, result.finish_reason) == ("qwen3", "stop")
    assert result.generation_latency == 0.75
