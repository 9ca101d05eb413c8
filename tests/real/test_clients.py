"""
The real clients read the real model: our numbers against those that its server counted.

The server tells how many tokens it read and wrote and how long that took it, whatever a client
asks for. No first token can come before the prompt was read, no answer can take less time than
its server did, and neither can be later than the reading loop itself saw it.

llama.cpp's events lack what ``client.responses.stream()`` needs to build its answer: that helper
fails here without us, too, and is tested with scripted frames.
"""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable, Coroutine, Iterator, Mapping
from time import perf_counter_ns
from typing import Any, NamedTuple, TypeAlias

import pytest

import tokenclock
from local_model import NAME
from model_server import TOOLS, ModelServer, clients_of, doomed_server
from record import THINKING
from tokenclock import capture, metrics_of, observe
from watching import (
    Watched,
    assert_counts,
    assert_same_error,
    assert_times,
    channels_of,
    first_token_in,
    inside,
    is_on_a_loop,
    items,
    name_of,
    play,
    read_on,
    some,
    step,
    sync_and_async,
    text_in,
    turns,
    untouched,
    wait,
)

pytestmark = [pytest.mark.extras, pytest.mark.model]

Asked: TypeAlias = dict[str, Any]

STORY = "Write a long story about the sea."
LIMIT = 8
LONG = 300  # far longer than any test reads


# --- the ways to ask ---------------------------------------------------------------------------


class Way(NamedTuple):
    """
    A method of a client that streams.

    Attributes:
        asks: Makes its arguments of a question and a limit.
        drops_unknown: Whether the server hands on only those options that the API has.
    """

    sdk: str
    method: str
    asks: Callable[[Any, int], Asked]
    finish: tuple[str, str] = ("length", "stop")
    is_helper: bool = False
    drops_unknown: bool = False

    def of(self, client: Any) -> Any:
        """Give the method."""
        for name in self.method.split("."):
            client = getattr(client, name)
        return client

    def asked(self, question: Any = STORY, limit: int = LIMIT, **options: Any) -> Asked:
        """Give arguments that have the same answer each time."""
        return {
            "model": NAME,
            **self.asks(question, limit),
            "extra_body": {"temperature": 0, **options},
        }


def messages(question: Any) -> Any:
    return [{"role": "user", "content": question}] if isinstance(question, str) else question


USAGE: Asked = {"stream_options": {"include_usage": True}}
STREAM: Asked = {"stream": True}

CHAT = Way(
    "openai", "chat.completions.create",
    lambda question, limit: {
        "messages": messages(question), "max_tokens": limit, **STREAM, **USAGE
    },
)  # fmt: skip
CHAT_HELPER = Way(
    "openai", "chat.completions.stream",
    lambda question, limit: {"messages": messages(question), "max_tokens": limit, **USAGE},
    is_helper=True,
)  # fmt: skip
COMPLETIONS = Way(
    "openai", "completions.create",
    lambda question, limit: {
        "prompt": question and f"{question}\n\nOnce upon a time", "max_tokens": limit,
        **STREAM, **USAGE,
    },
)  # fmt: skip
RESPONSES = Way(
    "openai", "responses.create",
    lambda question, limit: {"input": question, "max_output_tokens": limit, **STREAM},
    finish=("completed", "completed"),
)  # fmt: skip
MESSAGES = Way(
    "anthropic", "messages.create",
    lambda question, limit: {"messages": messages(question), "max_tokens": limit, **STREAM},
    finish=("max_tokens", "end_turn"), drops_unknown=True,
)  # fmt: skip
MESSAGES_HELPER = Way(
    "anthropic", "messages.stream",
    lambda question, limit: {"messages": messages(question), "max_tokens": limit},
    finish=("max_tokens", "end_turn"), is_helper=True, drops_unknown=True,
)  # fmt: skip

WAYS = (CHAT, CHAT_HELPER, COMPLETIONS, RESPONSES, MESSAGES, MESSAGES_HELPER)


def by(*ways: Way) -> pytest.MarkDecorator:
    """Run a test for each of these ways."""
    return pytest.mark.parametrize("way", ways, ids=lambda way: f"{way.sdk}.{way.method}")


# --- watching them -----------------------------------------------------------------------------


async def read_all(client: Any, way: Way, asked: Asked, watched: Watched, wrap: Any) -> None:
    """Read an answer to its end."""
    call = wrap(way.of(client))
    watched.call_ns = perf_counter_ns()
    given = await wait(call(**asked))
    if way.is_helper:
        async with inside(given) as stream:
            await read_on(stream, watched)
    else:
        await read_on(given, watched)


Scenario: TypeAlias = Callable[[Any, Way, Asked, Watched, Any], Coroutine[Any, Any, None]]


def watch(
    server: ModelServer,
    way: Way,
    asked: Asked,
    *,
    is_async: bool,
    wrap: Callable[..., Any] = observe,
    scenario: Scenario = read_all,
) -> Watched:
    """Watch one call from its request to where the scenario leaves it."""
    watched = Watched()

    async def run() -> None:
        client = clients_of(way.sdk, server.url, is_async=is_async, seen=watched.responses)
        async with inside(client):
            await scenario(client, way, asked, watched, wrap)

    before = server.served()
    with capture() as watched.results:
        play(run(), is_async=is_async)
    watched.served = server.served_since(before)
    return watched


def both(
    server: ModelServer, way: Way, asked: Asked, *, is_async: bool, scenario: Scenario = read_all
) -> tuple[Watched, Watched]:
    """Watch the same without us and with us."""
    bare, watched = (
        watch(server, way, asked, is_async=is_async, wrap=wrap, scenario=scenario)
        for wrap in (untouched, observe)
    )
    assert bare.results == []
    return bare, watched


@pytest.fixture(scope="module")
def server() -> Iterator[ModelServer]:
    serving = ModelServer(TOOLS)
    yield serving
    serving.close()


@pytest.fixture(scope="module")
def thinker() -> Iterator[ModelServer]:
    serving = ModelServer(THINKING)
    yield serving
    serving.close()


# --- whole answers -----------------------------------------------------------------------------


@by(*WAYS)
@sync_and_async
def test_the_numbers_are_the_servers(server: ModelServer, way: Way, *, is_async: bool) -> None:
    """Each client gives its own chunks; their tokens and times agree with what was served."""
    bare, watched = both(server, way, way.asked(cache_prompt=False), is_async=is_async)
    assert (watched.texts, watched.kinds) == (bare.texts, bare.kinds)
    assert_counts(watched)
    assert_times(watched)
    result = watched.result
    assert result.chunk_count == len(watched.chunks)
    assert result.token_count == result.token_chunk_count == len(watched.texts) == LIMIT
    assert (result.finish_reason, result.request_model) == (way.finish[0], NAME)
    assert len(result.inter_token_latencies) == LIMIT - 1
    assert [response.is_closed for response in watched.responses] == [True]


def test_the_server_says_the_same_in_its_last_chunk(server: ModelServer) -> None:
    """llama.cpp ends a chat with its timings, and they hold to the last digit."""
    watched = watch(server, CHAT, CHAT.asked(cache_prompt=False), is_async=False)
    timings = watched.chunks[-1].model_extra["timings"]
    result = watched.result
    assert result.token_count == timings["predicted_n"]
    assert result.input_token_count == timings["prompt_n"] + timings["cache_n"]
    assert result.time_to_first_token is not None
    assert timings["prompt_ms"] / 1e3 <= result.time_to_first_token
    assert (timings["prompt_ms"] + timings["predicted_ms"]) / 1e3 <= result.generation_latency


@by(CHAT, CHAT_HELPER, COMPLETIONS, RESPONSES)
@sync_and_async
def test_the_token_that_ends_an_answer_shows_nothing(
    server: ModelServer, way: Way, *, is_async: bool
) -> None:
    """A model that stops by itself wrote one token more than there are pieces of text."""
    asked = way.asked(limit=30, grammar='root ::= "Red."')
    watched = watch(server, way, asked, is_async=is_async)
    assert "".join(watched.texts) == "Red."
    assert_counts(watched)
    assert_times(watched)
    result = watched.result
    assert result.token_chunk_count == len(watched.texts)
    assert result.token_count == len(watched.texts) + 1
    assert result.finish_reason == way.finish[1]


@by(CHAT, COMPLETIONS, RESPONSES)
@sync_and_async
def test_a_letter_of_several_tokens_comes_in_one_chunk(
    server: ModelServer, way: Way, *, is_async: bool
) -> None:
    """What takes several tokens to write arrives whole, and its tokens are all counted."""
    asked = way.asked(limit=40, grammar='root ::= "你🎉"')
    watched = watch(server, way, asked, is_async=is_async)
    assert "".join(watched.texts) == "你🎉"
    assert_counts(watched)
    assert_times(watched)
    assert watched.result.token_chunk_count == len(watched.texts)
    assert (watched.result.token_count or 0) > len(watched.texts) + 1  # that of the end


@by(CHAT, COMPLETIONS)
@sync_and_async
def test_usage_that_counts_one_of_two_choices_takes_nothing_away(
    server: ModelServer, way: Way, *, is_async: bool
) -> None:
    """The server reports the usage of one choice; the tokens of both were seen and count."""
    watched = watch(server, way, way.asked(n=2, ignore_eos=True), is_async=is_async)
    result, served = watched.result, watched.served
    assert watched.chunks[-1].usage.completion_tokens == LIMIT
    assert served is not None
    assert (result.token_count, result.token_source) == (2 * LIMIT, "chunks")
    assert served.written == 2 * LIMIT
    assert_times(watched, choices=2)


@by(CHAT, COMPLETIONS, RESPONSES)
@sync_and_async
def test_a_stop_sequence_is_written_and_not_shown(
    server: ModelServer, way: Way, *, is_async: bool
) -> None:
    """The tokens of a stop sequence were generated, although no chunk shows them."""
    asked = way.asked(limit=30, grammar='root ::= "one two three four"', stop=[" three"])
    watched = watch(server, way, asked, is_async=is_async)
    shown = "".join(watched.texts)
    assert "one two three four".startswith(shown)
    assert_counts(watched)
    assert_times(watched)
    assert (watched.result.token_count or 0) > watched.result.token_chunk_count
    assert watched.result.finish_reason == way.finish[1]


@by(MESSAGES, MESSAGES_HELPER)
@sync_and_async
def test_a_stop_sequence_of_a_message(server: ModelServer, way: Way, *, is_async: bool) -> None:
    """The same holds for a message; this server calls it the end of a turn."""
    asked = way.asked()
    *_, word = watch(server, way, asked, is_async=is_async).texts
    watched = watch(server, way, {**asked, "stop_sequences": [word]}, is_async=is_async)
    assert word not in "".join(watched.texts)
    assert_counts(watched)
    assert_times(watched)
    assert (watched.result.token_count or 0) > watched.result.token_chunk_count
    assert watched.result.finish_reason == way.finish[1]


@by(*WAYS)
@sync_and_async
def test_an_answer_of_one_token(server: ModelServer, way: Way, *, is_async: bool) -> None:
    """One token has a time to come, and none between tokens."""
    watched = watch(server, way, way.asked(limit=1), is_async=is_async)
    assert_counts(watched)
    assert_times(watched)
    result = watched.result
    assert (result.token_count, result.token_chunk_count) == (1, 1)
    assert result.time_to_first_token == result.time_to_last_token
    assert (result.time_per_output_token, list(result.inter_token_latencies)) == (None, [])


# --- tools and thoughts ------------------------------------------------------------------------

PLACE = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
LONDON, PARIS = ({"role": "user", "content": f"Weather in {city}?"} for city in ("London", "Paris"))
WEATHER = {"name": "get_weather", "parameters": PLACE}
CALLED = {"name": "get_weather", "arguments": '{"city": "London"}'}
SAID = {
    "type": "message", "role": "assistant", "status": "completed",
    "content": [{"type": "output_text", "text": "18 C", "annotations": []}],
}  # fmt: skip

# One example of a call is enough to make the model call, too.
TOOL_CALLS: Mapping[str, tuple[Any, Asked]] = {
    CHAT.sdk: (
        [
            LONDON,
            {
                "role": "assistant", "content": "",
                "tool_calls": [{"id": "c0", "type": "function", "function": CALLED}],
            },
            {"role": "tool", "tool_call_id": "c0", "content": "18 C"},
            {"role": "assistant", "content": "18 C"},
            PARIS,
        ],
        {
            "tools": [{"type": "function", "function": {**WEATHER, "strict": True}}],
            "tool_choice": "required",
        },
    ),
    RESPONSES.method: (
        [
            LONDON,
            {"type": "function_call", "call_id": "c0", **CALLED},
            {"type": "function_call_output", "call_id": "c0", "output": "18 C"},
            SAID,
            PARIS,
        ],
        {"tools": [{"type": "function", **WEATHER}], "tool_choice": "required"},
    ),
    MESSAGES.sdk: (
        [
            LONDON,
            {
                "role": "assistant",
                "content": [
                    {
                        "type": "tool_use", "id": "c0", "name": "get_weather",
                        "input": {"city": "London"},
                    },
                ],
            },
            {
                "role": "user",
                "content": [{"type": "tool_result", "tool_use_id": "c0", "content": "18 C"}],
            },
            {"role": "assistant", "content": "18 C"},
            PARIS,
        ],
        {
            "tools": [{"name": "get_weather", "input_schema": PLACE}],
            "tool_choice": {"type": "any"},
        },
    ),
}  # fmt: skip


@by(CHAT, CHAT_HELPER, RESPONSES, MESSAGES, MESSAGES_HELPER)
@sync_and_async
def test_a_tool_call_is_tokens(server: ModelServer, way: Way, *, is_async: bool) -> None:
    """A call comes in fewer pieces than it has tokens, and all are counted; none is text."""
    question, options = TOOL_CALLS.get(way.method) or TOOL_CALLS[way.sdk]
    asked = {**way.asked(question, 60), **options}
    watched = watch(server, way, asked, is_async=is_async)
    result = watched.result
    assert_counts(watched)
    assert_times(watched, first=first_token_in(result))
    assert watched.texts == []
    assert set(channels_of(result)) == {"tool"}
    assert (result.token_count or 0) > result.token_chunk_count > 1
    assert result.time_to_first_chunk is not None
    assert result.time_to_first_token is not None
    assert result.time_to_first_chunk < result.time_to_first_token
    assert result.finish_reason == {
        "openai": "completed" if way is RESPONSES else "tool_calls", "anthropic": "tool_use",
    }[way.sdk]  # fmt: skip


THOUGHT = 'root ::= "Six it is.\\n</think>\\n6"'
SUM, OTHER_SUM = ({"role": "user", "content": f"What is {sum_}?"} for sum_ in ("2 + 3", "3 + 3"))
THOUGHT_BEFORE: list[dict[str, Any]] = [
    SUM,
    {
        "role": "assistant",
        "content": [
            {"type": "thinking", "thinking": "Two plus three makes five.", "signature": ""},
            {"type": "text", "text": "5"},
        ],
    },
    OTHER_SUM,
]


@by(CHAT, CHAT_HELPER, RESPONSES, MESSAGES, MESSAGES_HELPER)
@sync_and_async
def test_thoughts_are_tokens_and_no_output(
    thinker: ModelServer, way: Way, *, is_async: bool
) -> None:
    """Thinking begins with the first token; the first output token comes after it."""
    if way.drops_unknown:
        thinking = {"thinking": {"type": "enabled", "budget_tokens": 1024}}
        asked = {**way.asked(THOUGHT_BEFORE, 40), **thinking}
    else:
        asked = way.asked([OTHER_SUM], 40, grammar=THOUGHT)
    watched = watch(thinker, way, asked, is_async=is_async)
    result = watched.result
    assert_counts(watched)
    assert_times(watched, first=first_token_in(result))
    thoughts, output = channels_of(result).index("text"), len(watched.texts)
    assert channels_of(result) == ["reasoning"] * thoughts + ["text"] * output
    assert min(thoughts, output) >= 1
    assert (result.token_count or 0) > result.token_chunk_count  # the signs around thoughts
    said = next(number for number, chunk in enumerate(watched.chunks) if text_in(chunk))
    first_output = result.time_to_first_output_token
    assert first_output is not None
    assert result.time_to_first_token is not None
    assert result.time_to_first_token < first_output <= watched.seconds_until(watched.stamps[said])


# --- the helpers' own ways of reading ----------------------------------------------------------


async def by_loop(stream: Any) -> Any:
    return "".join([text_in(item) async for item in items(stream)])


async def by_text_stream(stream: Any) -> Any:
    return "".join([text async for text in items(stream.text_stream)])


async def by_final_text(stream: Any) -> Any:
    return await wait(stream.get_final_text())


async def by_final_message(stream: Any) -> Any:
    return (await wait(stream.get_final_message())).content[0].text


async def by_until_done(stream: Any) -> Any:
    done = await wait(stream.until_done())
    if hasattr(stream, "current_message_snapshot"):
        assert done is None
        return stream.current_message_snapshot.content[0].text
    return stream.current_completion_snapshot.choices[0].message.content


async def by_final_completion(stream: Any) -> Any:
    return (await wait(stream.get_final_completion())).choices[0].message.content


@pytest.mark.parametrize(
    ("way", "reading"),
    [
        (MESSAGES_HELPER, by_loop),
        (MESSAGES_HELPER, by_text_stream),
        (MESSAGES_HELPER, by_final_text),
        (MESSAGES_HELPER, by_final_message),
        (MESSAGES_HELPER, by_until_done),
        (CHAT_HELPER, by_loop),
        (CHAT_HELPER, by_final_completion),
        (CHAT_HELPER, by_until_done),
    ],
    ids=lambda value: getattr(value, "sdk", None) or value.__name__,
)
@sync_and_async
def test_a_helper_is_measured_however_it_is_read(
    server: ModelServer, way: Way, reading: Callable[[Any], Any], *, is_async: bool
) -> None:
    """What a helper reads for its caller is read from the measured stream, and gives the same."""
    texts = []

    async def scenario(client: Any, way: Way, asked: Asked, watched: Watched, wrap: Any) -> None:
        watched.call_ns = perf_counter_ns()
        async with inside(wrap(way.of(client))(**asked)) as stream:
            texts.append(await reading(stream))
            watched.ended_ns = perf_counter_ns()
            watched.note("read")
        watched.note("left")

    # A chat that was cut off is an error of the final completion's.
    options: Asked = {} if way.drops_unknown else {"grammar": 'root ::= "Red."'}
    bare, watched = both(server, way, way.asked(**options), is_async=is_async, scenario=scenario)
    assert texts[0] == texts[1] != ""
    assert watched.is_closed == bare.is_closed
    assert_counts(watched)
    result, served = watched.result, watched.served
    assert served is not None
    assert result.token_chunk_count == served.written - len(options)  # the grammar's own end
    assert result.time_to_first_token is not None
    assert served.reading * 0.99 <= result.time_to_first_token
    assert served.busy * 0.99 <= result.generation_latency
    assert result.generation_latency <= watched.seconds_until(watched.ended_ns)


# --- how a stream is left ----------------------------------------------------------------------


async def opened(call: Any, way: Way, asked: Asked) -> tuple[Any, Any]:
    """Give a stream, and the helper's manager that it came from."""
    given = await wait(call(**asked))
    if not way.is_helper:
        return given, None
    manager = given
    return await wait(manager.__aenter__() if is_on_a_loop() else manager.__enter__()), manager


async def broken_out_of_and_dropped(
    client: Any, way: Way, asked: Asked, watched: Watched, wrap: Any
) -> None:
    stream, manager = await opened(wrap(way.of(client)), way, asked)
    if is_on_a_loop():
        async for chunk in stream:
            watched.took(chunk)
            if len(watched.texts) == 3:
                break
    else:
        for chunk in stream:
            watched.took(chunk)
            if len(watched.texts) == 3:
                break
    del chunk
    watched.note("broken out of")
    if wrap is observe:
        snapshot = metrics_of(stream)
        assert snapshot is not None
        assert (snapshot.outcome, snapshot.token_count) == ("running", 3)
    await turns()
    watched.note("broken out of, later")
    del stream, manager
    await turns()
    watched.note("dropped")
    gc.collect()  # most of the clients' streams are parts of cycles
    await turns()
    watched.note("collected")


async def left(client: Any, way: Way, asked: Asked, watched: Watched, wrap: Any) -> None:
    given = await wait(wrap(way.of(client))(**asked))
    async with inside(given) as stream:
        await some(stream, watched)
        watched.note("inside")
    watched.note("left")


async def left_with_an_error(
    client: Any, way: Way, asked: Asked, watched: Watched, wrap: Any
) -> None:
    given = await wait(wrap(way.of(client))(**asked))
    error = ZeroDivisionError()
    try:
        async with inside(given) as stream:
            await some(stream, watched)
            raise error
    except ZeroDivisionError as raised:
        watched.error = raised
    assert watched.error is error
    watched.note("left")


async def closed(client: Any, way: Way, asked: Asked, watched: Watched, wrap: Any) -> None:
    stream, _manager = await opened(wrap(way.of(client)), way, asked)
    await some(stream, watched)
    watched.note("open")
    await wait(stream.close())
    watched.note("closed")
    await wait(stream.close())
    watched.note("closed twice")


@by(CHAT, CHAT_HELPER, RESPONSES, MESSAGES, MESSAGES_HELPER)
@pytest.mark.parametrize(
    "scenario",
    [broken_out_of_and_dropped, left, left_with_an_error, closed],
    ids=lambda scenario: scenario.__name__,
)
@sync_and_async
def test_leaving_early_closes_what_it_would_close_without_us(
    server: ModelServer, way: Way, scenario: Scenario, *, is_async: bool
) -> None:
    """At each moment the response is as open as it would be; the run ends at its last token."""
    asked = way.asked(limit=LONG, ignore_eos=True)
    bare, watched = both(server, way, asked, is_async=is_async, scenario=scenario)
    assert watched.is_closed == bare.is_closed
    assert list(watched.is_closed.values())[-1] is True
    assert (watched.texts, watched.kinds) == (bare.texts, bare.kinds)
    result = watched.result
    assert (result.outcome, result.error) == ("stopped", None)
    assert (result.token_count, result.token_source) == (3, "chunks")
    assert result.generation_latency <= watched.seconds_until(watched.stamps[-1])
    assert result.time_to_last_token is not None
    assert result.time_to_last_token <= result.generation_latency


@by(CHAT, CHAT_HELPER, COMPLETIONS, RESPONSES, MESSAGES, MESSAGES_HELPER)
@sync_and_async
def test_reading_to_the_end_closes_the_response(
    server: ModelServer, way: Way, *, is_async: bool
) -> None:
    """An answer that was read has given its connection back, whoever still holds the stream."""

    async def scenario(client: Any, way: Way, asked: Asked, watched: Watched, wrap: Any) -> None:
        stream, manager = await opened(wrap(way.of(client)), way, asked)
        watched.note("given")
        await read_on(stream, watched)
        watched.note("read")
        with pytest.raises(StopAsyncIteration):
            await step(stream)
        watched.note("asked again")
        del manager

    bare, watched = both(server, way, way.asked(limit=4), is_async=is_async, scenario=scenario)
    assert watched.is_closed == bare.is_closed
    assert watched.texts == bare.texts
    assert (watched.result.outcome, watched.result.token_count) == ("completed", 4)


# --- cancelled, refused, cut off ---------------------------------------------------------------


@by(CHAT, CHAT_HELPER, COMPLETIONS, RESPONSES, MESSAGES, MESSAGES_HELPER)
def test_cancelling_a_reader_ends_its_request(server: ModelServer, way: Way) -> None:
    """A cancelled task raises CancelledError, closes as without us, and says what had come."""

    async def scenario(client: Any, way: Way, asked: Asked, watched: Watched, wrap: Any) -> None:
        has_some = asyncio.Event()

        async def read() -> None:
            given = await wait(wrap(way.of(client))(**asked))
            if way.is_helper:
                given = await given.__aenter__()
            await some(given, watched)
            has_some.set()
            await read_on(given, watched)

        watched.call_ns = perf_counter_ns()
        task = asyncio.create_task(read())
        await has_some.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError) as raised:
            await task
        watched.ended_ns = perf_counter_ns()
        watched.error = raised.value
        watched.note("cancelled")

    asked = way.asked(limit=LONG, ignore_eos=True)
    bare, watched = both(server, way, asked, is_async=True, scenario=scenario)
    assert watched.is_closed == bare.is_closed
    result, error = watched.result, watched.error
    assert error is not None
    assert type(error) is type(bare.error)
    assert (result.outcome, result.error) == ("cancelled", "asyncio.exceptions.CancelledError")
    assert (result.token_count, result.token_source) == (len(watched.texts), "chunks")
    assert result.generation_latency <= watched.seconds_until(watched.ended_ns)


@by(CHAT, CHAT_HELPER, COMPLETIONS, RESPONSES, MESSAGES, MESSAGES_HELPER)
def test_cancelling_a_request_that_has_no_answer_yet(server: ModelServer, way: Way) -> None:
    """A call that is cancelled while it connects is cancelled, and has no tokens."""

    async def scenario(client: Any, way: Way, asked: Asked, watched: Watched, wrap: Any) -> None:
        async def ask() -> None:
            given = await wait(wrap(way.of(client))(**asked))
            if way.is_helper:
                await given.__aenter__()

        task = asyncio.create_task(ask())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    bare, watched = both(server, way, way.asked(), is_async=True, scenario=scenario)
    assert watched.responses == bare.responses == []
    result = watched.result
    assert (result.outcome, result.error) == ("cancelled", "asyncio.exceptions.CancelledError")
    assert (result.time_to_first_token, result.chunk_count) == (None, 0)
    assert not result.token_count


@by(*WAYS)
@pytest.mark.parametrize("status", [400, 404])
@sync_and_async
def test_a_request_that_is_refused_fails(
    server: ModelServer, way: Way, status: int, *, is_async: bool
) -> None:
    """The client's own error comes out, and the one result names it and has no tokens."""
    asked = way.asked(None if way is COMPLETIONS else [{"role": "nobody"}])

    async def scenario(client: Any, way: Way, asked: Asked, watched: Watched, wrap: Any) -> None:
        if status == 404:
            client = client.with_options(base_url=f"{server.url}/nowhere")
        watched.call_ns = perf_counter_ns()
        try:
            given = await wait(wrap(way.of(client))(**asked))
            if way.is_helper:
                async with inside(given):
                    pass
        except Exception as error:  # noqa: BLE001 - whatever it is, it is compared
            watched.error = error
        watched.ended_ns = perf_counter_ns()
        watched.note("refused")

    bare, watched = both(server, way, asked, is_async=is_async, scenario=scenario)
    assert_same_error(watched.error, bare.error)
    assert getattr(watched.error, "status_code", None) == status
    assert watched.is_closed == bare.is_closed == {"refused": True}
    result = watched.result
    assert (result.outcome, result.error) == ("failed", name_of(bare.error))
    assert (result.time_to_first_token, result.chunk_count) == (None, 0)
    assert not result.token_count
    assert result.generation_latency <= watched.seconds_until(watched.ended_ns)


@sync_and_async
def test_a_server_that_is_killed_fails_the_run(*, is_async: bool) -> None:
    """The death of a server is the client's own error; the tokens that had come stay."""
    pairs = [(way, (Watched(), Watched())) for way in (CHAT, MESSAGES)]

    async def run(url: str, kill: Callable[[], None]) -> None:
        under_way: list[tuple[Any, Any, Watched]] = []
        for way, both_watched in pairs:
            wraps: tuple[Callable[..., Any], ...] = (untouched, observe)
            for watched, wrap in zip(both_watched, wraps, strict=True):
                client = clients_of(way.sdk, url, is_async=is_async, seen=watched.responses)
                call = wrap(way.of(client))
                watched.call_ns = perf_counter_ns()
                with capture() as watched.results:
                    stream = await wait(call(**way.asked(limit=LONG, ignore_eos=True)))
                    await some(stream, watched)
                under_way.append((client, stream, watched))
        kill()
        for client, stream, watched in under_way:
            try:
                await read_on(stream, watched)
            except Exception as error:  # noqa: BLE001 - whatever it is, it is compared
                watched.error = error
            watched.note("failed")
            await wait(client.close())

    with doomed_server() as doomed:
        play(run(doomed.url, doomed.kill), is_async=is_async)
    for _, (bare, watched) in pairs:
        assert_same_error(watched.error, bare.error)
        assert watched.is_closed == bare.is_closed
        assert bare.results == []
        result = watched.result
        assert (result.outcome, result.error) == ("failed", name_of(bare.error))
        assert (result.token_count, result.token_source) == (len(watched.texts), "chunks")
        assert len(watched.texts) >= 3


# --- answers that are not streamed, raw ones, and whole clients --------------------------------


@by(CHAT, COMPLETIONS, RESPONSES, MESSAGES)
@sync_and_async
def test_a_whole_answer_has_its_usage(server: ModelServer, way: Way, *, is_async: bool) -> None:
    """An answer in one piece is handed through; it has tokens, and no first one before the end."""
    asked = way.asked()
    del asked["stream"]
    asked.pop("stream_options", None)

    async def scenario(client: Any, way: Way, asked: Asked, watched: Watched, wrap: Any) -> None:
        watched.call_ns = perf_counter_ns()
        watched.took(await wait(wrap(way.of(client))(**asked)))
        watched.ended_ns = perf_counter_ns()

    bare, watched = both(server, way, asked, is_async=is_async, scenario=scenario)
    assert [type(chunk) for chunk in watched.chunks] == [type(chunk) for chunk in bare.chunks]
    assert_counts(watched)
    result, served = watched.result, watched.served
    assert served is not None
    assert (result.streamed, result.token_count, result.chunk_count) == (False, LIMIT, 0)
    assert result.time_to_first_token == result.generation_latency
    assert served.busy * 0.99 <= result.generation_latency
    assert result.generation_latency <= watched.seconds_until(watched.ended_ns)
    assert result.finish_reason == way.finish[0]


@by(CHAT, MESSAGES)
@pytest.mark.parametrize("view", ["with_raw_response", "with_streaming_response"])
@sync_and_async
def test_a_raw_response_gives_the_same_stream(
    server: ModelServer, way: Way, view: str, *, is_async: bool
) -> None:
    """A stream that is parsed out of a raw response is measured from the request on."""

    async def scenario(client: Any, way: Way, asked: Asked, watched: Watched, wrap: Any) -> None:
        resource, _, method = way.method.rpartition(".")
        call = wrap(getattr(getattr(way._replace(method=resource).of(client), view), method))
        watched.call_ns = perf_counter_ns()
        if view == "with_raw_response":
            raw = await wait(call(**asked))
            await read_on(await wait(raw.parse()), watched)
        else:
            async with inside(call(**asked)) as raw:
                await read_on(await wait(raw.parse()), watched)

    bare, watched = both(server, way, way.asked(), is_async=is_async, scenario=scenario)
    assert (watched.texts, watched.kinds) == (bare.texts, bare.kinds)
    assert_counts(watched)
    assert_times(watched)
    assert [response.is_closed for response in watched.responses] == [True]


@by(*WAYS)
@sync_and_async
def test_an_instrumented_client_is_measured_as_well(
    server: ModelServer, way: Way, *, is_async: bool
) -> None:
    """One line for the client measures each of its methods, once, and names the provider."""

    async def scenario(client: Any, way: Way, asked: Asked, watched: Watched, wrap: Any) -> None:
        await read_all(tokenclock.instrument(client), way, asked, watched, untouched)

    watched = watch(server, way, way.asked(), is_async=is_async, scenario=scenario)
    assert_counts(watched)
    assert_times(watched)
    result = watched.result
    assert result.provider == way.sdk
    assert result.operation == ("text_completion" if way is COMPLETIONS else "chat")
