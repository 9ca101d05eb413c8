"""
Real clients read a server that follows a script: what no model does on demand.

A time is held between two stamps of one clock: the server's, right before it sent, and the
reading loop's own, once it had what was sent. That holds on a machine of any speed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from threading import Event
from time import perf_counter_ns
from typing import Any, NamedTuple, TypeAlias

import pytest

from scripted_server import (
    End,
    Exchange,
    HangUp,
    Head,
    Hold,
    Reply,
    ScriptedServer,
    Send,
    Step,
    Wait,
    block_delta,
    block_start,
    chat,
    chat_of,
    comment,
    done,
    frame,
    message,
    message_end,
    message_start,
    together,
)
from tokenclock import MetricsResult, capture, metrics_of, observe

pytestmark = pytest.mark.extras

ASKED: list[dict[str, Any]] = [{"role": "user", "content": "Why is the sky blue?"}]
ROLE = frame(chat({"role": "assistant", "content": None}), mark="role")
FINISHED = frame(chat({}, finish="stop"), mark="finish")


def text(content: str, mark: str = "") -> Send:
    return frame(chat({"content": content}), mark=mark)


# --- the clients and their methods -------------------------------------------------------------


class Method(NamedTuple):
    """A method of a client that streams, and what it is asked."""

    sdk: str
    path: str
    of: Callable[[Any], Callable[..., Any]]
    asked: Mapping[str, Any]


CHAT = Method(
    "openai", "/v1/chat/completions", lambda client: client.chat.completions.create,
    {"model": "m", "messages": ASKED, "stream": True},
)  # fmt: skip
COMPLETIONS = Method(
    "openai", "/v1/completions", lambda client: client.completions.create,
    {"model": "m", "prompt": "The sky", "stream": True},
)  # fmt: skip
RESPONSES = Method(
    "openai", "/v1/responses", lambda client: client.responses.create,
    {"model": "m", "input": "Why is the sky blue?", "stream": True},
)  # fmt: skip
MESSAGES = Method(
    "anthropic", "/v1/messages", lambda client: client.messages.create,
    {"model": "m", "messages": ASKED, "max_tokens": 9, "stream": True},
)  # fmt: skip


def client_of(sdk: str, server: ScriptedServer, *, is_async: bool) -> Any:
    if sdk == "anthropic":
        import anthropic  # noqa: PLC0415 - the bare run collects this module without it

        anthropic_of = anthropic.AsyncAnthropic if is_async else anthropic.Anthropic
        return anthropic_of(base_url=server.url, api_key="none", max_retries=0)
    import openai  # noqa: PLC0415 - as above

    openai_of = openai.AsyncOpenAI if is_async else openai.OpenAI
    return openai_of(base_url=f"{server.url}/v1", api_key="none", max_retries=0)


# --- reading -----------------------------------------------------------------------------------

Script: TypeAlias = list[Step]

# What the loop does before it asks for the next chunk, given the number of those it has.
Pause: TypeAlias = Callable[[Exchange, int], object]


@dataclass
class Watched:
    """
    What a reading loop saw for itself, and the result that we gave.

    Attributes:
        call_ns: Right before the call.
        given_ns: Once the stream was there.
        stamps: Once each chunk was there.
        holds: How long the loop paused, each time.
        ended_ns: Once there was nothing more.
    """

    exchange: Exchange
    call_ns: int = 0
    given_ns: int = 0
    ended_ns: int = 0
    stamps: list[int] = field(default_factory=list)
    holds: list[int] = field(default_factory=list)
    error: Exception | None = None
    stream: Any = None
    results: list[MetricsResult[Any]] = field(default_factory=list)

    @property
    def result(self) -> MetricsResult[Any]:
        """The one result of the call, which the stream tells as well."""
        (result,) = self.results
        if self.stream is not None:
            assert metrics_of(self.stream) == result
        return result

    def has(self, seconds: float | None, sent: str, seen_ns: int) -> None:
        """
        Assert that a time of ours is between the server's sending and the loop's having.

        Our start is between the stamp before the call and the server's of the request.
        """
        earliest_ns = self.exchange.at(sent).before_ns - self.exchange.received_ns
        assert seconds is not None
        assert earliest_ns <= nanoseconds(seconds) <= seen_ns - self.call_ns

    def has_times(self, *, first: tuple[str, int], last: tuple[str, int], end: str) -> None:
        """Assert first token, last token (by name, and number of chunk) and end."""
        result = self.result
        self.has(result.time_to_first_token, first[0], self.stamps[first[1]])
        self.has(result.time_to_last_token, last[0], self.stamps[last[1]])
        self.has(result.generation_latency, end, self.ended_ns)

    def gap(self, before: tuple[str, int], after: tuple[str, int]) -> tuple[int, int]:
        """Give the least and the most nanoseconds that can be between two chunks."""
        least = self.exchange.at(after[0]).before_ns - self.stamps[before[1]]
        return least, self.stamps[after[1]] - self.exchange.at(before[0]).before_ns


def nanoseconds(seconds: float) -> int:
    return round(seconds * 1e9)


def read(watched: Watched, call: Callable[[], Any], pause: Pause) -> None:
    """Read a stream to its end."""
    watched.call_ns = perf_counter_ns()
    try:
        watched.stream = stream = call()
        watched.given_ns = perf_counter_ns()
        while True:
            held_ns = perf_counter_ns()
            pause(watched.exchange, len(watched.stamps))
            watched.holds.append(perf_counter_ns() - held_ns)
            next(stream)
            watched.stamps.append(perf_counter_ns())
    except StopIteration:
        watched.ended_ns = perf_counter_ns()
    except Exception as error:  # noqa: BLE001 - whatever the client raises is looked at later
        watched.ended_ns = perf_counter_ns()
        watched.error = error


async def aread(watched: Watched, call: Callable[[], Any], pause: Pause) -> None:
    """Do the same with an async one; the loop pauses and the event loop goes on."""
    watched.call_ns = perf_counter_ns()
    try:
        watched.stream = stream = await call()
        watched.given_ns = perf_counter_ns()
        while True:
            held_ns = perf_counter_ns()
            await asyncio.to_thread(pause, watched.exchange, len(watched.stamps))
            watched.holds.append(perf_counter_ns() - held_ns)
            await anext(stream)
            watched.stamps.append(perf_counter_ns())
    except StopAsyncIteration:
        watched.ended_ns = perf_counter_ns()
    except Exception as error:  # noqa: BLE001 - as above
        watched.ended_ns = perf_counter_ns()
        watched.error = error


def untouched(function: Any) -> Any:
    """Measure nothing."""
    return function


class Player:
    """Plays a script to a client, sync or async, and watches what comes of it."""

    def __init__(self, server: ScriptedServer, *, is_async: bool) -> None:
        self._server = server
        self._is_async = is_async

    def __call__(
        self,
        steps: Iterable[Step],
        *,
        method: Method = CHAT,
        pause: Pause = lambda *_: None,
        wrap: Callable[..., Any] = observe,
    ) -> Watched:
        watched = Watched(self._server.play(steps))
        with capture() as watched.results:
            if self._is_async:
                asyncio.run(self._aplay(watched, method, pause, wrap))
            else:
                self._play(watched, method, pause, wrap)
        return watched

    def _play(
        self, watched: Watched, method: Method, pause: Pause, wrap: Callable[..., Any]
    ) -> None:
        with client_of(method.sdk, self._server, is_async=False) as client:
            call = wrap(method.of(client))
            read(watched, lambda: call(**method.asked), pause)

    async def _aplay(
        self, watched: Watched, method: Method, pause: Pause, wrap: Callable[..., Any]
    ) -> None:
        async with client_of(method.sdk, self._server, is_async=True) as client:
            call = wrap(method.of(client))
            await aread(watched, lambda: call(**method.asked), pause)

    def error_without_us(self, steps: Iterable[Step], *, method: Method = CHAT) -> Exception:
        """Give what the client raises at the end of a script when nobody measures."""
        bare = self(steps, method=method, wrap=untouched)
        assert bare.results == []
        assert bare.error is not None
        return bare.error


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    with ScriptedServer() as scripted:
        yield scripted
    assert scripted.unexpected == []


@pytest.fixture(params=["sync", "async"])
def play(request: pytest.FixtureRequest, server: ScriptedServer) -> Player:
    return Player(server, is_async=request.param == "async")


def assert_same_error(ours: Exception | None, bare: Exception) -> None:
    """Assert that an exception says what the client's own says, and comes from where it came."""
    assert ours is not None
    assert (type(ours), str(ours)) == (type(bare), str(bare))
    assert type(ours.__cause__) is type(bare.__cause__)
    assert type(ours.__context__) is type(bare.__context__)


def name_of(error: BaseException) -> str:
    return f"{type(error).__module__}.{type(error).__qualname__}"


# --- when tokens come --------------------------------------------------------------------------


def test_the_start_is_the_call_and_the_first_token_the_first_content(play: Player) -> None:
    """Neither late headers nor a frame that only names a role hide or hasten the first token."""
    watched = play(
        [
            Wait(60), Head(), ROLE, Wait(40), text("Blue", "first"), text("!", "last"), FINISHED,
            *done(),
        ]
    )  # fmt: skip
    result = watched.result
    watched.has_times(first=("first", 1), last=("last", 2), end="done")
    watched.has(result.time_to_first_chunk, "role", watched.stamps[0])
    assert (result.chunk_count, result.token_count, result.token_source) == (4, 2, "chunks")
    assert (result.outcome, result.finish_reason) == ("completed", "stop")
    assert (result.model, result.request_model) == ("scripted", "m")
    assert watched.exchange.request.path == "/v1/chat/completions"
    assert watched.exchange.request.body["stream"] is True


def test_the_call_returning_is_no_token(play: Player) -> None:
    """A client gives its stream at the headers, long before there is anything in it."""
    watched = play([Head(), Wait(50), text("Blue", "first"), *done()])
    first = watched.result.time_to_first_token
    assert first is not None
    since_headers_ns = watched.exchange.at("first").before_ns - watched.exchange.at("head").after_ns
    assert nanoseconds(first) >= since_headers_ns >= 50_000_000


def test_chunks_without_choices_are_no_tokens(play: Player) -> None:
    """A chunk whose choices are null or none at all is counted as nothing and raises nothing."""
    watched = play(
        [
            Head(), frame(chat_of(None)), frame(chat_of([])), Wait(20), text("Blue", "first"),
            frame(chat_of(None)), text("!", "last"), Wait(20), frame(chat_of(None)), *done(),
        ]
    )  # fmt: skip
    watched.has_times(first=("first", 2), last=("last", 4), end="done")
    assert (watched.result.chunk_count, watched.result.token_count) == (6, 2)
    assert (watched.result.outcome, watched.error) == ("completed", None)


def test_content_in_the_very_first_frame(play: Player) -> None:
    """The first frame is the first token if it says something; comments before it are nothing."""
    opening = frame(chat({"role": "assistant", "content": "Blue"}))
    watched = play(
        [
            Head(), comment("wait"), Wait(30), together(comment("now"), opening, mark="first"),
            Wait(10), text("!", "last"), *done(),
        ]
    )  # fmt: skip
    watched.has_times(first=("first", 0), last=("last", 1), end="done")
    assert watched.result.time_to_first_chunk == watched.result.time_to_first_token
    assert (watched.result.chunk_count, watched.result.token_count) == (2, 2)


def test_empty_content_is_no_token(play: Player) -> None:
    """A frame whose content is an empty text comes before the first token."""
    watched = play([Head(), text(""), Wait(30), text("Blue", "first"), text(""), *done()])
    watched.has_times(first=("first", 1), last=("first", 1), end="done")
    assert watched.result.token_count == 1


@pytest.mark.parametrize("name", ["reasoning_content", "reasoning"])
def test_reasoning_comes_before_the_output(play: Player, name: str) -> None:
    """Reasoning is the first token, and the first text is the first output token."""
    watched = play(
        [
            Head(), ROLE, frame(chat({name: "Hm"}), mark="thought"), Wait(30),
            text("Blue", "said"), *done(),
        ]
    )  # fmt: skip
    result = watched.result
    watched.has_times(first=("thought", 1), last=("said", 2), end="done")
    watched.has(result.time_to_first_output_token, "said", watched.stamps[2])
    assert [chunk.channel for chunk in result.timeline or ()] == [None, "reasoning", "text"]


def test_the_first_piece_of_a_tool_call_is_the_first_token(play: Player) -> None:
    """A tool call begins with its name, after the frame of the role, and is output."""

    def call(**said: Any) -> dict[str, Any]:
        return chat({"tool_calls": [{"index": 0, **said}]})

    named = call(id="c1", type="function", function={"name": "look", "arguments": ""})
    watched = play(
        [
            Head(), ROLE, Wait(40), frame(named, mark="first"),
            *(frame(call(function={"arguments": text})) for text in ("{", "}")),
            frame(call(function={"arguments": ""})), frame(chat({}, finish="tool_calls")), *done(),
        ]
    )  # fmt: skip
    result = watched.result
    watched.has(result.time_to_first_token, "first", watched.stamps[1])
    assert result.time_to_first_output_token == result.time_to_first_token
    assert (result.token_count, result.finish_reason) == (3, "tool_calls")


def test_a_late_usage_moves_the_end_and_not_the_last_token(play: Player) -> None:
    """The frame that holds only usage is no token, however late it comes."""
    usage = {"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7}
    watched = play(
        [
            Head(), text("Blue", "first"), text("!", "last"), FINISHED, Wait(40),
            frame(chat_of([], usage=usage), mark="usage"), *done(),
        ]
    )  # fmt: skip
    result = watched.result
    watched.has_times(first=("first", 0), last=("last", 1), end="usage")
    assert (result.token_count, result.token_source, result.input_token_count) == (2, "usage", 5)
    assert result.time_to_last_token is not None
    waited_ns = watched.exchange.at("usage").before_ns - watched.stamps[1]
    assert nanoseconds(result.generation_latency - result.time_to_last_token) >= waited_ns


def test_frames_of_several_tokens_are_counted_by_usage(play: Player) -> None:
    """Where usage says 11 tokens in three frames, the time per token is that of 10."""
    usage = {"prompt_tokens": 5, "completion_tokens": 11, "total_tokens": 16}
    watched = play(
        [
            Head(), text("The sky", "first"), Wait(20), text(" is blue on"), Wait(20),
            text(" most days.", "last"), frame(chat_of([], usage=usage)), *done(),
        ]
    )  # fmt: skip
    result = watched.result
    watched.has_times(first=("first", 0), last=("last", 2), end="done")
    assert (result.token_count, result.token_source, result.token_chunk_count) == (11, "usage", 3)
    assert result.time_per_output_token is not None
    least_ns, most_ns = watched.gap(("first", 0), ("last", 2))
    assert least_ns <= 10 * result.time_per_output_token * 1e9 <= most_ns


def test_details_of_usage(play: Player) -> None:
    """Cached input is part of the input, reasoning that was never shown is part of the output."""
    usage = {
        "prompt_tokens": 40, "completion_tokens": 22, "total_tokens": 62,
        "prompt_tokens_details": {"cached_tokens": 32},
        "completion_tokens_details": {"reasoning_tokens": 20},
    }  # fmt: skip
    watched = play(
        [
            Head(), Wait(20), text("Blue", "first"), Wait(20), text("!", "last"),
            frame(chat_of([], usage=usage)), *done(),
        ]
    )  # fmt: skip
    result = watched.result
    assert (result.input_token_count, result.cached_token_count) == (40, 32)
    assert (result.token_count, result.reasoning_token_count) == (22, 20)
    assert result.time_per_output_token is not None
    least_ns, most_ns = watched.gap(("first", 0), ("last", 1))
    assert least_ns <= nanoseconds(result.time_per_output_token) <= most_ns


def test_a_stall_is_one_gap(play: Player) -> None:
    """A pause of the server is in the gap between the two tokens around it."""
    watched = play(
        [
            Head(), text("The", "The"), text(" sky", "before"), Wait(60), text(" is", "after"),
            text(" blue", "blue"), *done(),
        ]
    )  # fmt: skip
    result = watched.result
    least_ns, most_ns = watched.gap(("before", 1), ("after", 2))
    assert least_ns <= nanoseconds(result.inter_token_latencies[1]) <= most_ns
    assert len(result.inter_token_latencies) == 3
    watched.has_times(first=("The", 0), last=("blue", 3), end="done")


def test_a_frame_in_two_pieces_arrives_with_the_second(play: Player) -> None:
    """Half a frame is no chunk, whatever the network does to it."""
    whole = text("Blue").data
    watched = play(
        [Head(), Send(whole[:60]), Wait(40), Send(whole[60:], "second"), *done()],
    )
    watched.has_times(first=("second", 0), last=("second", 0), end="done")
    assert watched.result.token_count == 1


def test_a_slow_consumer_is_told_apart(play: Player) -> None:
    """What waits in the socket while the caller is busy costs the caller's time only."""

    def until_sent(exchange: Exchange, number: int) -> None:
        if number < 2:
            exchange.at(("first", "done")[number])

    watched = play(
        [
            Wait(40), Head(), Wait(20), text("Blue", "first"), Wait(40), text("!", "last"),
            *done(),
        ],
        pause=until_sent,
    )  # fmt: skip
    result, exchange = watched.result, watched.exchange
    headers_ns = exchange.at("head").before_ns

    source_ns = headers_ns - exchange.received_ns
    elapsed_ns = watched.ended_ns - watched.call_ns
    assert sum(watched.holds) <= nanoseconds(result.consumer_time) <= elapsed_ns - source_ns
    assert nanoseconds(result.producer_time) >= source_ns
    before_first = result.consumer_time_before_first_token
    assert before_first is not None
    assert watched.holds[0] <= nanoseconds(before_first) <= watched.stamps[0] - headers_ns
    assert nanoseconds(result.inter_token_latencies[0]) >= watched.holds[1]
    assert (result.outcome, result.token_count) == ("completed", 2)


def test_two_streams_at_a_time(server: ScriptedServer) -> None:
    """Two calls side by side have their own tokens and their own times."""
    release = Event()
    slow: Script = [Head(), text("a", "first"), Hold(release), text("b", "last"), *done()]
    quick: Script = [Head(), Wait(20), text("c", "first"), text("d"), text("e", "last"), *done()]
    one, other = Watched(server.play(slow)), Watched(server.play(quick))

    async def watch(create: Callable[..., Any], watched: Watched) -> None:
        with capture() as watched.results:
            await aread(watched, lambda: create(**CHAT.asked), lambda *_: None)

    async def both() -> None:
        async with client_of("openai", server, is_async=True) as client:
            create = observe(client.chat.completions.create)
            task = asyncio.create_task(watch(create, one))
            await asyncio.to_thread(one.exchange.at, "first")
            await watch(create, other)
            release.set()
            await task

    asyncio.run(both())
    one.has_times(first=("first", 0), last=("last", 1), end="done")
    other.has_times(first=("first", 0), last=("last", 2), end="done")
    assert [one.result.token_count, other.result.token_count] == [2, 3]
    assert nanoseconds(one.result.generation_latency) >= other.ended_ns - one.exchange.received_ns


def test_one_call_after_another(server: ScriptedServer) -> None:
    """Calls over the same client, even the same connection, are measured each for itself."""
    with client_of("openai", server, is_async=False) as client:
        create = observe(client.chat.completions.create)
        for number in (1, 2, 3):
            watched = Watched(server.play([Head(), *[text("a", "a")] * number, *done()]))
            with capture() as watched.results:
                read(watched, lambda: create(**CHAT.asked), lambda *_: None)
            watched.has(watched.result.time_to_first_token, "a", watched.stamps[0])
            assert watched.result.token_count == number


# --- the other ways to ask ---------------------------------------------------------------------


def test_legacy_completions(play: Player) -> None:
    """The last chunk of a completion has an empty text, the finish reason and the usage."""

    def said(text: str, **fields: Any) -> dict[str, Any]:
        return chat_of([{"index": 0, "text": text, "finish_reason": None, **fields}])

    usage = {"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7}
    watched = play(
        [
            Wait(20), Head(), Wait(30), frame(said("Blue"), mark="first"),
            frame(said("!"), mark="last"), Wait(20),
            frame({**said("", finish_reason="length"), "usage": usage}), *done(),
        ],
        method=COMPLETIONS,
    )  # fmt: skip
    watched.has_times(first=("first", 0), last=("last", 1), end="done")
    result = watched.result
    assert (result.token_count, result.token_source) == (2, "usage")
    assert (result.finish_reason, watched.exchange.request.path) == ("length", "/v1/completions")


def test_responses(play: Player) -> None:
    """Of the events of the Responses API only the deltas are tokens; the last one has the usage."""
    usage = {
        "input_tokens": 40, "input_tokens_details": {"cached_tokens": 32},
        "output_tokens": 7, "output_tokens_details": {"reasoning_tokens": 3}, "total_tokens": 47,
    }  # fmt: skip
    response = {"id": "r", "object": "response", "model": "scripted", "output": []}
    item = {"type": "message", "id": "i", "role": "assistant", "content": []}
    delta: dict[str, Any] = {"item_id": "i", "output_index": 0, "content_index": 0, "logprobs": []}
    watched = play(
        [
            Wait(20), Head(),
            message("response.created", response={**response, "status": "in_progress"}),
            message("response.output_item.added", output_index=0, item=item), Wait(30),
            message("response.output_text.delta", mark="first", delta="Blue", **delta),
            message("response.output_text.delta", mark="last", delta="!", **delta), Wait(20),
            message("response.output_text.done", text="Blue!", **delta),
            message(
                "response.completed", mark="done",
                response={**response, "status": "completed", "usage": usage},
            ),
            End(),
        ],
        method=RESPONSES,
    )  # fmt: skip
    watched.has_times(first=("first", 2), last=("last", 3), end="done")
    result = watched.result
    assert (result.token_count, result.token_source, result.token_chunk_count) == (7, "usage", 2)
    assert (result.input_token_count, result.cached_token_count) == (40, 32)
    assert (result.reasoning_token_count, result.model) == (3, "scripted")
    assert watched.exchange.request.path == "/v1/responses"


def test_messages(play: Player) -> None:
    """Thoughts and text of a message are tokens, its frame, pings and signatures are not."""
    opened = {"input_tokens": 5, "cache_read_input_tokens": 32, "output_tokens": 1}
    watched = play(
        [
            Wait(20), Head(), message_start(opened), message("ping"),
            block_start({"type": "thinking", "thinking": "", "signature": ""}), Wait(30),
            block_delta({"type": "thinking_delta", "thinking": "Hm"}, mark="thought"),
            block_delta({"type": "signature_delta", "signature": "c2ln"}), Wait(30),
            message("content_block_stop", index=0),
            block_start({"type": "text", "text": ""}),
            block_delta({"type": "text_delta", "text": "Blue"}, mark="said"),
            block_delta({"type": "text_delta", "text": "!"}, mark="last"),
            message("content_block_stop", index=0), Wait(20),
            *message_end({"output_tokens": 9}), End(),
        ],
        method=MESSAGES,
    )  # fmt: skip
    result = watched.result
    watched.has_times(first=("thought", 2), last=("last", 7), end="end")
    watched.has(result.time_to_first_output_token, "said", watched.stamps[6])
    assert (result.token_count, result.token_source, result.token_chunk_count) == (9, "usage", 3)
    assert (result.input_token_count, result.cached_token_count) == (37, 32)
    assert (result.outcome, result.finish_reason, result.model) == (
        "completed", "end_turn", "scripted",
    )  # fmt: skip
    assert watched.exchange.request.path == "/v1/messages"


def test_the_first_piece_of_a_tool_call_of_a_message(play: Player) -> None:
    """The block that names the tool is the first token of a message that only calls it."""
    tool = {"type": "tool_use", "id": "t1", "name": "look", "input": {}}
    watched = play(
        [
            Head(), message_start({"input_tokens": 5, "output_tokens": 1}), Wait(40),
            block_start(tool, mark="first"),
            block_delta({"type": "input_json_delta", "partial_json": ""}), Wait(20),
            block_delta({"type": "input_json_delta", "partial_json": "{}"}, mark="last"),
            message("content_block_stop", index=0),
            *message_end({"output_tokens": 12}, stop_reason="tool_use"), End(),
        ],
        method=MESSAGES,
    )  # fmt: skip
    watched.has_times(first=("first", 1), last=("last", 3), end="end")
    assert (watched.result.token_count, watched.result.finish_reason) == (12, "tool_use")


# --- how streams end badly ---------------------------------------------------------------------

OPENED = (
    message_start({"input_tokens": 5, "output_tokens": 1}),
    block_start({"type": "text", "text": ""}),
)
SAID = tuple(block_delta({"type": "text_delta", "text": said}, mark=said) for said in "ab")
TOKENS: Mapping[str, tuple[Send, ...]] = {
    CHAT.path: (ROLE, text("a", "a"), text("b", "b")),
    MESSAGES.path: (*OPENED, *SAID),
}
ERRORS: Mapping[str, Send] = {
    CHAT.path: frame({"error": {"message": "Overloaded", "type": "server_error"}}, mark="error"),
    MESSAGES.path: message(
        "error", mark="error", error={"type": "overloaded_error", "message": "Overloaded"}
    ),
}

either = pytest.mark.parametrize("method", [CHAT, MESSAGES], ids=lambda method: method.sdk)


def assert_failed(watched: Watched, bare: Exception, *, tokens: int) -> None:
    """Assert that the one result says how it failed, and the client said what it always says."""
    assert_same_error(watched.error, bare)
    result = watched.result
    assert (result.outcome, result.error) == ("failed", name_of(bare))
    assert result.token_count == result.token_chunk_count == tokens


@either
def test_an_error_event_in_the_middle(play: Player, method: Method) -> None:
    """An error that comes as an event fails the run; the tokens before it stay."""
    script: Script = [Head(), *TOKENS[method.path], Wait(20), ERRORS[method.path], End()]
    watched = play(script, method=method)
    assert_failed(watched, play.error_without_us(script, method=method), tokens=2)
    first = len(TOKENS[method.path]) - 2
    watched.has_times(first=("a", first), last=("b", first + 1), end="error")


@either
@pytest.mark.parametrize("reset", [False, True], ids=["closed", "reset"])
def test_a_connection_that_breaks_in_the_middle(
    play: Player, method: Method, *, reset: bool
) -> None:
    """A server that goes away fails the run with the client's own error; the tokens stay."""
    frames = TOKENS[method.path]

    def broken_once_read() -> tuple[Script, Pause]:
        is_read = Event()

        def pause(_: Exchange, number: int) -> None:
            if number == len(frames):
                is_read.set()

        return [Head(), *frames, Hold(is_read), HangUp(reset=reset)], pause

    script, pause = broken_once_read()
    watched = play(script, method=method, pause=pause)
    script, pause = broken_once_read()
    bare = play(script, method=method, pause=pause, wrap=untouched)
    assert bare.error is not None
    assert_failed(watched, bare.error, tokens=2)
    first = len(frames) - 2
    watched.has_times(first=("a", first), last=("b", first + 1), end="b")


@either
def test_headers_and_then_nothing(play: Player, method: Method) -> None:
    """A stream that breaks before its first frame has no first token and no tokens."""
    script: Script = [Head(), Wait(20), HangUp()]
    watched = play(script, method=method)
    assert_failed(watched, play.error_without_us(script, method=method), tokens=0)
    result = watched.result
    assert (result.time_to_first_chunk, result.time_to_first_token) == (None, None)
    watched.has(result.generation_latency, "head", watched.ended_ns)


def test_headers_and_then_a_proper_end(play: Player) -> None:
    """A stream without a frame is complete, and has no first token."""
    watched = play([Head(), Wait(20), End()])
    result = watched.result
    assert (result.outcome, result.token_count, result.time_to_first_token) == (
        "completed", 0, None,
    )  # fmt: skip
    watched.has(result.generation_latency, "end", watched.ended_ns)


@either
@pytest.mark.parametrize("status", [400, 500])
def test_a_refused_call(play: Player, method: Method, status: int) -> None:
    """A call that the server refuses fails without ever being a stream, with one result."""
    script: Script = [Wait(20), Reply(status, {"error": {"message": "No", "type": "refused"}})]
    watched = play(script, method=method)
    bare = play.error_without_us(script, method=method)
    assert_same_error(watched.error, bare)
    assert watched.stream is None
    result = watched.result
    assert (result.outcome, result.error, result.streamed) == ("failed", name_of(bare), False)
    assert (result.time_to_first_token, result.token_count) == (None, None)
    watched.has(result.generation_latency, "reply", watched.ended_ns)


@either
def test_a_connection_that_breaks_before_the_headers(play: Player, method: Method) -> None:
    """A call that gets no answer at all fails with the client's own error, with one result."""
    script: Script = [Wait(20), HangUp()]
    watched = play(script, method=method)
    bare = play.error_without_us(script, method=method)
    assert_same_error(watched.error, bare)
    assert (watched.result.outcome, watched.result.error) == ("failed", name_of(bare))
    assert nanoseconds(watched.result.generation_latency) >= 20_000_000


# --- how callers leave -------------------------------------------------------------------------


def unending(method: Method) -> Script:
    return [Head(), *TOKENS[method.path], Hold(Event())]


def assert_stopped(watched: Watched, method: Method, *, left_ns: int) -> None:
    """Assert that the run ended at the last token, and that leaving closed the connection."""
    first = len(TOKENS[method.path]) - 2
    result = watched.result
    assert (result.outcome, result.error, result.token_count) == ("stopped", None, 2)
    assert result.generation_latency == result.time_to_last_token
    watched.has(result.time_to_first_token, "a", watched.stamps[first])
    watched.has(result.time_to_last_token, "b", watched.stamps[first + 1])
    assert watched.exchange.closed_ns >= left_ns


@either
@pytest.mark.parametrize("way", ["close", "with"])
def test_breaking_out_and_closing(server: ScriptedServer, method: Method, way: str) -> None:
    """Leaving a stream early ends the run at its last token, and the connection at once."""
    watched = Watched(server.play(unending(method)))
    with client_of(method.sdk, server, is_async=False) as client:
        with capture() as watched.results:
            watched.call_ns = perf_counter_ns()
            stream = watched.stream = observe(method.of(client))(**method.asked)
            for _chunk in stream:
                watched.stamps.append(perf_counter_ns())
                if len(watched.stamps) == len(TOKENS[method.path]):
                    break
            assert watched.results == []
            left_ns = perf_counter_ns()
            if way == "close":
                stream.close()
            else:
                with stream:
                    pass
        assert_stopped(watched, method, left_ns=left_ns)


@either
@pytest.mark.parametrize("way", ["close", "with"])
@pytest.mark.asyncio
async def test_breaking_out_and_closing_async(
    server: ScriptedServer, method: Method, way: str
) -> None:
    """Leaving an async stream early does the same."""
    watched = Watched(server.play(unending(method)))
    async with client_of(method.sdk, server, is_async=True) as client:
        with capture() as watched.results:
            watched.call_ns = perf_counter_ns()
            stream = watched.stream = await observe(method.of(client))(**method.asked)
            async for _chunk in stream:
                watched.stamps.append(perf_counter_ns())
                if len(watched.stamps) == len(TOKENS[method.path]):
                    break
            assert watched.results == []
            left_ns = perf_counter_ns()
            if way == "close":
                await stream.close()
            else:
                async with stream:
                    pass
        await asyncio.to_thread(assert_stopped, watched, method, left_ns=left_ns)


@either
@pytest.mark.asyncio
async def test_cancelled_while_connecting(server: ScriptedServer, method: Method) -> None:
    """A task that is cancelled before the headers gives one cancelled result, and hangs up."""
    watched = Watched(server.play([Hold(Event())]))
    async with client_of(method.sdk, server, is_async=True) as client:
        create = observe(method.of(client))
        with capture() as watched.results:
            watched.call_ns = perf_counter_ns()
            task = asyncio.create_task(create(**method.asked))
            await asyncio.to_thread(lambda: watched.exchange.received_ns)
            cancelled_ns = perf_counter_ns()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            watched.ended_ns = perf_counter_ns()
        closed_ns = await asyncio.to_thread(lambda: watched.exchange.closed_ns)
    assert closed_ns >= cancelled_ns
    result = watched.result
    assert (result.outcome, result.error) == ("cancelled", "asyncio.exceptions.CancelledError")
    assert (result.streamed, result.time_to_first_token, result.token_count) == (False, None, None)
    least_ns = cancelled_ns - watched.exchange.received_ns
    assert least_ns <= nanoseconds(result.generation_latency) <= watched.ended_ns - watched.call_ns


@either
@pytest.mark.asyncio
async def test_cancelled_in_the_middle(server: ScriptedServer, method: Method) -> None:
    """A task that is cancelled while it waits for a chunk keeps its tokens, and hangs up."""
    watched = Watched(server.play(unending(method)))
    async with client_of(method.sdk, server, is_async=True) as client:
        create = observe(method.of(client))
        has_both = asyncio.Event()

        async def consume() -> None:
            watched.call_ns = perf_counter_ns()
            watched.stream = await create(**method.asked)
            async for _chunk in watched.stream:
                watched.stamps.append(perf_counter_ns())
                if len(watched.stamps) == len(TOKENS[method.path]):
                    has_both.set()

        with capture() as watched.results:
            task = asyncio.create_task(consume())
            await has_both.wait()
            cancelled_ns = perf_counter_ns()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            watched.ended_ns = perf_counter_ns()
        closed_ns = await asyncio.to_thread(lambda: watched.exchange.closed_ns)
    assert closed_ns >= cancelled_ns
    result = watched.result
    assert (result.outcome, result.error) == ("cancelled", "asyncio.exceptions.CancelledError")
    assert (result.streamed, result.token_count) == (True, 2)
    first = len(TOKENS[method.path]) - 2
    watched.has_times(first=("a", first), last=("b", first + 1), end="b")
    assert nanoseconds(result.generation_latency) >= cancelled_ns - watched.exchange.received_ns
