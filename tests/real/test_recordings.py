"""
Recorded answers, replayed through the real clients: what their own decoders make of the bytes.

The clock moves as it did when the answer was recorded, so every time is known exactly.
"""

# ruff: noqa: S105 - the source of a token count is no password

from __future__ import annotations

import importlib
import json
from collections.abc import AsyncIterator, Callable, Iterator
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest

from recorded import (
    MODEL,
    STREAMED,
    WHOLE,
    Recording,
    Whole,
    channel_of,
    channels_in,
    check_words,
    events_in,
    load,
    runs_of,
)
from tokenclock import MetricsResult, measure, observe

if TYPE_CHECKING:
    from anthropic import Anthropic, AsyncAnthropic
    from openai import AsyncOpenAI, OpenAI

    from tokenclock.testing import CollectingSink, FakeClock

pytestmark = pytest.mark.extras

every_stream = pytest.mark.parametrize("name", STREAMED)
every_whole_answer = pytest.mark.parametrize("name", WHOLE)

# What each client's method takes of a request that llama.cpp understands.
METHODS: dict[str, Callable[[Any], Any]] = {
    "/v1/chat/completions": lambda client: client.chat.completions.create,
    "/v1/completions": lambda client: client.completions.create,
    "/v1/responses": lambda client: client.responses.create,
    "/v1/messages": lambda client: client.messages.create,
}
# What not every version of a client takes by name; they send it all the same.
EXTRA = {"grammar", "temperature"}


class Replay:
    """A transport's other end: answers with a recording, at the times at which it came."""

    def __init__(self, recording: Recording, clock: FakeClock) -> None:
        self.recording = recording
        self.clock = clock
        self.http: Any = None

    def transport(self, client_type: type) -> Any:
        """Give a transport for the HTTP client that an SDK's client is made from."""
        self.http = importlib.import_module(client_type.__mro__[1].__module__.partition(".")[0])
        is_async = issubclass(client_type, self.http.AsyncClient)
        return self.http.MockTransport(self._aanswer if is_async else self._answer)

    def _response(self, body: Iterator[bytes] | AsyncIterator[bytes], request: Any) -> Any:
        assert request.url.path == self.recording.path
        # Whatever was sent was sent then.
        assert {**self.recording.body, **json.loads(request.content)} == self.recording.body
        self._wait_until(self.recording.headers_ns)
        return self.http.Response(200, headers=self.recording.headers, content=body)

    def _answer(self, request: Any) -> Any:
        return self._response(self._flushes(), request)

    async def _aanswer(self, request: Any) -> Any:
        return self._response(self._aflushes(), request)

    def _flushes(self) -> Iterator[bytes]:
        recording = self.recording
        for arrived, text in zip(recording.arrivals_ns, recording.flushes, strict=True):
            self._wait_until(arrived)
            yield text.encode()

    async def _aflushes(self) -> AsyncIterator[bytes]:
        for piece in self._flushes():
            yield piece

    def _wait_until(self, moment_ns: int) -> None:
        self.clock.advance((moment_ns - self.clock()) / 1e9)


def client_for(recording: Recording, clock: FakeClock) -> OpenAI | Anthropic:
    replay = Replay(recording, clock)
    if recording.is_openai:
        import openai  # noqa: PLC0415 - not in the core

        client_type = openai.DefaultHttpxClient
        return openai.OpenAI(
            api_key="none",
            base_url="http://recorded/v1",
            http_client=client_type(transport=replay.transport(client_type)),
        )
    import anthropic  # noqa: PLC0415 - not in the core

    http_type = anthropic.DefaultHttpxClient
    return anthropic.Anthropic(
        api_key="none",
        base_url="http://recorded",
        http_client=http_type(transport=replay.transport(http_type)),
    )


def async_client_for(recording: Recording, clock: FakeClock) -> AsyncOpenAI | AsyncAnthropic:
    replay = Replay(recording, clock)
    if recording.is_openai:
        import openai  # noqa: PLC0415 - not in the core

        client_type = openai.DefaultAsyncHttpxClient
        return openai.AsyncOpenAI(
            api_key="none",
            base_url="http://recorded/v1",
            http_client=client_type(transport=replay.transport(client_type)),
        )
    import anthropic  # noqa: PLC0415 - not in the core

    http_type = anthropic.DefaultAsyncHttpxClient
    return anthropic.AsyncAnthropic(
        api_key="none",
        base_url="http://recorded",
        http_client=http_type(transport=replay.transport(http_type)),
    )


def arguments_of(recording: Recording) -> dict[str, Any]:
    body = recording.body
    extra = {name: value for name, value in body.items() if name in EXTRA}
    known = {name: value for name, value in body.items() if name not in EXTRA}
    return {**known, "extra_body": extra} if extra else known


def check_times(result: MetricsResult[Any], recording: Recording) -> None:
    """Check every time of a result against when the server's flushes came."""
    came = [
        (arrived / 1e9, channel_of(event))
        for arrived, text in zip(recording.arrivals_ns, recording.flushes, strict=True)
        for event in events_in(text)
    ]
    tokens = [seconds for seconds, channel in came if channel is not None]
    assert result.time_to_first_chunk == came[0][0]
    assert result.time_to_first_token == tokens[0]
    assert result.time_to_first_output_token == next(
        seconds for seconds, channel in came if channel in {"text", "tool"}
    )
    assert result.time_to_last_token == tokens[-1]
    # The recorded times are whole nanoseconds; their differences as seconds are not.
    gaps = [later - sooner for sooner, later in pairwise(tokens)]
    assert list(result.inter_token_latencies) == pytest.approx(gaps, abs=1e-9)
    assert result.timeline is not None
    assert [entry.arrived for entry in result.timeline] == [seconds for seconds, _ in came]
    assert result.generation_latency == recording.arrivals_ns[-1] / 1e9
    assert result.consumer_time == 0.0


def check_stream(result: MetricsResult[Any] | None, recording: Recording) -> None:
    assert result is not None
    expected = STREAMED[recording.name]
    check_words(result, expected)
    assert result.token_source == expected.counted_by
    assert runs_of(channels_in(result)) == expected.runs
    check_times(result, recording)


@every_stream
def test_a_clients_stream(name: str, clock: FakeClock, sink: CollectingSink) -> None:
    """The client's chunks are counted, timed and named as the bytes say."""
    recording = load(name)
    create = METHODS[recording.path](client_for(recording, clock))
    chunks = list(observe(create, clock=clock)(**arguments_of(recording)))

    assert len(chunks) == len(recording.events)
    check_stream(sink.last, recording)


@pytest.mark.asyncio
@every_stream
async def test_an_async_clients_stream(name: str, clock: FakeClock, sink: CollectingSink) -> None:
    """The async client's chunks come to the same."""
    recording = load(name)
    create = METHODS[recording.path](async_client_for(recording, clock))
    chunks = [
        chunk async for chunk in await observe(create, clock=clock)(**arguments_of(recording))
    ]

    assert len(chunks) == len(recording.events)
    check_stream(sink.last, recording)


@every_stream
def test_the_same_as_plain_data(name: str) -> None:
    """Chunks that were parsed without a client come to the same."""
    recording = load(name)
    stream = measure(iter(recording.events))
    for _ in stream:
        pass

    check_words(stream.metrics, STREAMED[name])
    assert stream.metrics.token_source == STREAMED[name].counted_by
    assert runs_of(channels_in(stream.metrics)) == STREAMED[name].runs


def check_whole(result: MetricsResult[Any] | None, recording: Recording) -> None:
    assert result is not None
    expected = WHOLE[recording.name]
    assert (
        Whole(result.token_count or 0, result.input_token_count or 0, str(result.finish_reason))
        == expected
    )
    assert result.token_source == "usage"
    assert (result.cached_token_count, result.reasoning_token_count) == (0, None)
    assert result.model == MODEL
    assert result.outcome == "completed"
    assert not result.streamed
    assert result.time_to_first_token == result.generation_latency
    assert result.generation_latency == recording.arrivals_ns[-1] / 1e9


@every_whole_answer
def test_a_clients_whole_answer(name: str, clock: FakeClock, sink: CollectingSink) -> None:
    """An answer that is not streamed is read off its own usage."""
    recording = load(name)
    create = METHODS[recording.path](client_for(recording, clock))
    observe(create, clock=clock)(**arguments_of(recording))

    check_whole(sink.last, recording)


@pytest.mark.asyncio
@every_whole_answer
async def test_an_async_clients_whole_answer(
    name: str, clock: FakeClock, sink: CollectingSink
) -> None:
    """The async client's answer comes to the same."""
    recording = load(name)
    create = METHODS[recording.path](async_client_for(recording, clock))
    await observe(create, clock=clock)(**arguments_of(recording))

    check_whole(sink.last, recording)


@every_whole_answer
def test_a_whole_answer_as_plain_data(name: str, sink: CollectingSink) -> None:
    """An answer that was parsed without a client says the same of itself."""
    answer = json.loads(load(name).text)
    assert observe(lambda: answer)() is answer
    [result] = sink.results

    assert result.token_count == WHOLE[name].tokens
    assert result.token_source == "usage"
    assert result.finish_reason == WHOLE[name].finish_reason


# What each client has for comfort: it yields the raw chunks and events made from them.
HELPERS: dict[str, Callable[[Any], Any]] = {
    "/v1/chat/completions": lambda client: client.chat.completions.stream,
    "/v1/messages": lambda client: client.messages.stream,
}
helped = pytest.mark.parametrize(
    "name",
    [
        "anthropic_messages",
        "anthropic_messages_thinking",
        "anthropic_messages_tool_use",
        "openai_chat_short",
        "openai_chat_reasoning",
        "openai_chat_tool_call",
    ],
)


def arguments_of_helper(recording: Recording) -> dict[str, Any]:
    """Leave out the tools: some versions refuse those that are not strict."""
    taken = arguments_of(recording).items()
    return {name: value for name, value in taken if name not in {"stream", "tools", "tool_choice"}}


def check_helped(result: MetricsResult[Any], recording: Recording) -> None:
    """Check what a helper's stream came to: more chunks than were sent, and no more tokens."""
    expected = STREAMED[recording.name]
    check_words(result, expected)
    sent = [channel_of(event) for event in recording.events]
    assert [channel for channel in channels_in(result) if channel] == [one for one in sent if one]
    assert result.chunk_count > len(sent)


@helped
def test_a_clients_helper(name: str, clock: FakeClock) -> None:
    """Of the two events that a helper makes of each chunk one is counted."""
    recording = load(name)
    helper = HELPERS[recording.path](client_for(recording, clock))
    with helper(**arguments_of_helper(recording)) as events:
        stream = measure(events)
        for _ in stream:
            pass

    check_helped(stream.metrics, recording)


@pytest.mark.asyncio
@helped
async def test_an_async_clients_helper(name: str, clock: FakeClock) -> None:
    """The same with the async client."""
    recording = load(name)
    helper = HELPERS[recording.path](async_client_for(recording, clock))
    async with helper(**arguments_of_helper(recording)) as events:
        stream = measure(events)
        async for _ in stream:
            pass

    check_helped(stream.metrics, recording)
