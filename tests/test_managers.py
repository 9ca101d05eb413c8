"""Streams that an SDK gives later: on entry into a context manager, or by parsing a response."""

from __future__ import annotations

import gc
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any, NamedTuple

import pytest
import pytest_asyncio

from scripted_server import End, HangUp, Head, Reply, ScriptedServer, Step
from sdk_clients import (
    CHAT,
    MESSAGES,
    RESPONSES,
    anthropic_client,
    chat_steps,
    message_steps,
    openai_client,
    response_steps,
    whole_chat,
)
from stepping import now
from tokenclock import (
    MetricsResult,
    TokenclockWarning,
    capture,
    metrics_decorator,
    metrics_of,
    observe,
)
from tokenclock._log import type_name
from tokenclock.testing import settle

pytestmark = pytest.mark.extras


class Helper(NamedTuple):
    """A streaming helper of an SDK: how to call it, and what the server shall answer."""

    name: str
    client: Callable[..., Any]
    method: Callable[[Any], Any]
    asked: dict[str, Any]
    steps: Callable[..., list[Step]]
    final: str

    def __str__(self) -> str:
        return self.name


HELPERS = (
    Helper(
        "chat", openai_client, lambda client: client.chat.completions.stream, CHAT,
        lambda *texts: chat_steps(*texts, usage=7), "get_final_completion",
    ),
    Helper(
        "responses", openai_client, lambda client: client.responses.stream, RESPONSES,
        response_steps, "get_final_response",
    ),
    Helper(
        "messages", anthropic_client, lambda client: client.messages.stream, MESSAGES,
        message_steps, "get_final_message",
    ),
)  # fmt: skip
CHAT_HELPER, _, MESSAGES_HELPER = HELPERS
TEXTS = ("He", "ll", "o")

every_helper = pytest.mark.parametrize("helper", HELPERS, ids=str)


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    with ScriptedServer() as running:
        yield running


@pytest.fixture
def sync_client(server: ScriptedServer, helper: Helper) -> Iterator[Any]:
    with helper.client(server) as client:
        yield client


@pytest_asyncio.fixture
async def async_client(server: ScriptedServer, helper: Helper) -> AsyncIterator[Any]:
    async with helper.client(server, is_async=True) as client:
        yield client


def only(results: list[MetricsResult[Any]]) -> MetricsResult[Any]:
    (result,) = results
    return result


def assert_read(result: MetricsResult[Any]) -> None:
    """Assert that the whole answer was measured, and each token once."""
    assert result.outcome == "completed"
    assert (result.token_count, result.token_source) == (7, "usage")
    assert (result.token_chunk_count, result.input_token_count) == (3, 5)
    assert (result.model, result.request_model) == ("scripted", "asked")
    assert result.timeline is not None
    assert [entry.channel for entry in result.timeline if entry.tokens] == ["text"] * 3


# --- reading, whichever way -----------------------------------------------------------------------


def by_iterating(stream: Any, helper: Helper) -> None:
    for _event in stream:
        pass


def by_next(stream: Any, helper: Helper) -> None:
    while True:
        try:
            next(stream)
        except StopIteration:
            return


def by_the_final_answer(stream: Any, helper: Helper) -> None:
    assert getattr(stream, helper.final)().model == "scripted"


def by_until_done(stream: Any, helper: Helper) -> None:
    stream.until_done()


def by_turns(stream: Any, helper: Helper) -> None:
    next(iter(stream))
    next(stream)
    stream.until_done()


@every_helper
@pytest.mark.parametrize(
    "read", [by_iterating, by_next, by_the_final_answer, by_until_done, by_turns]
)
def test_each_token_counts_once_whichever_way_it_is_read(
    server: ScriptedServer, sync_client: Any, helper: Helper, read: Callable[..., None]
) -> None:
    """A helper's events say every token twice, and its methods read on their own."""
    server.play(helper.steps(*TEXTS))
    with capture() as results:
        with observe(helper.method(sync_client))(**helper.asked) as stream:
            read(stream, helper)
        assert metrics_of(stream) == only(results)
    assert_read(only(results))


@every_helper
@pytest.mark.parametrize("way", ["async for", "anext", "final", "until_done"])
@pytest.mark.asyncio
async def test_each_token_counts_once_in_the_async_twin(
    server: ScriptedServer, async_client: Any, helper: Helper, way: str
) -> None:
    """The async helpers are read in as many ways."""
    server.play(helper.steps(*TEXTS))
    with capture() as results:
        async with observe(helper.method(async_client))(**helper.asked) as stream:
            if way == "async for":
                async for _event in stream:
                    pass
            elif way == "anext":
                while await anext(stream, None) is not None:
                    pass
            elif way == "final":
                assert (await getattr(stream, helper.final)()).model == "scripted"
            else:
                await stream.until_done()
    assert_read(only(results))


def test_the_text_stream_is_measured_and_gives_the_text(server: ScriptedServer) -> None:
    """``text_stream`` was made before the stream was handed over, and is measured all the same."""
    server.play(message_steps(*TEXTS))
    with (
        anthropic_client(server) as client,
        capture() as results,
        observe(client.messages.stream)(**MESSAGES) as stream,
    ):
        assert list(stream.text_stream) == ["He", "ll", "o"]
        assert stream.get_final_text() == "Hello"
    assert_read(only(results))


@pytest.mark.asyncio
async def test_the_async_text_stream_is_measured_too(server: ScriptedServer) -> None:
    """Its async twin likewise."""
    server.play(message_steps(*TEXTS))
    async with anthropic_client(server, is_async=True) as client:
        with capture() as results:
            async with observe(client.messages.stream)(**MESSAGES) as stream:
                assert [text async for text in stream.text_stream] == ["He", "ll", "o"]
                assert await stream.get_final_text() == "Hello"
    assert_read(only(results))


# --- what the caller sees -------------------------------------------------------------------------


@every_helper
def test_manager_and_stream_are_what_they_were(
    server: ScriptedServer, sync_client: Any, helper: Helper
) -> None:
    """Types, attributes and the final answer are those of the bare call."""
    method = helper.method(sync_client)
    server.play(helper.steps(*TEXTS))
    with method(**helper.asked) as bare:
        bare_events = [type(event) for event in bare]
        answer = getattr(bare, helper.final)()
    server.play(helper.steps(*TEXTS))
    manager = observe(method)(**helper.asked)
    assert isinstance(manager, type(method(**helper.asked)))
    with manager as stream:
        assert isinstance(stream, type(bare))
        assert [type(event) for event in stream] == bare_events
        assert getattr(stream, helper.final)() == answer
        assert dir(stream) == sorted({*dir(bare), "collect", "metrics"})


@every_helper
def test_the_run_starts_at_entry(server: ScriptedServer, sync_client: Any, helper: Helper) -> None:
    """The request goes out when the manager is entered, and not when it is made."""
    exchange = server.play(helper.steps(*TEXTS))
    manager = observe(helper.method(sync_client))(**helper.asked)
    assert (only_run := metrics_of(manager)) is not None
    assert (only_run.outcome, only_run.generation_latency) == ("running", 0.0)
    assert exchange.sent == []
    with manager as stream:
        stream.until_done()
    result = metrics_of(stream)
    assert result is not None
    assert result.idle_before_start is not None
    assert result.idle_before_start > 0
    assert result.time_to_first_chunk is not None


@every_helper
def test_leaving_early_is_stopped(server: ScriptedServer, sync_client: Any, helper: Helper) -> None:
    """Leaving the block closes the stream, whose run ended at the last thing it produced."""
    exchange = server.play([*helper.steps(*TEXTS)[:-1]])  # the body has no end
    with capture() as results, observe(helper.method(sync_client))(**helper.asked) as stream:
        while stream.metrics.token_chunk_count < 2:
            next(stream)
        assert results == []
    result = only(results)
    assert (result.outcome, result.token_count, result.token_source) == ("stopped", 2, "chunks")
    assert result.generation_latency == result.time_to_last_token
    assert exchange.closed_ns


@every_helper
def test_a_manager_that_is_never_entered_is_unconsumed(
    server: ScriptedServer, sync_client: Any, helper: Helper
) -> None:
    """No request was sent."""
    with capture() as results:
        observe(helper.method(sync_client))(**helper.asked)
    settle()
    result = only(results)
    assert (result.outcome, result.idle_before_start) == ("unconsumed", None)


@every_helper
def test_a_refused_request_fails_at_entry(
    server: ScriptedServer, sync_client: Any, helper: Helper
) -> None:
    """The SDK's own exception passes, and one failed result says which."""
    server.play([Reply(400, {"error": {"message": "no"}})])
    manager = observe(helper.method(sync_client))(**helper.asked)
    with pytest.raises(Exception, match="no"):
        manager.__enter__()
    result = metrics_of(manager)
    assert result is not None
    assert result.outcome == "failed"
    assert result.error is not None
    assert result.error.endswith(".BadRequestError")


@every_helper
@pytest.mark.asyncio
async def test_a_refused_request_fails_at_async_entry(
    server: ScriptedServer, async_client: Any, helper: Helper
) -> None:
    """The async twin likewise."""
    server.play([Reply(400, {"error": {"message": "no"}})])
    with capture() as results, pytest.raises(Exception, match="no"):
        async with observe(helper.method(async_client))(**helper.asked):
            raise AssertionError
    assert only(results).outcome == "failed"


@every_helper
def test_a_broken_connection_fails_the_run(
    server: ScriptedServer, sync_client: Any, helper: Helper
) -> None:
    """What the helper's method raises is the run's end too."""
    server.play([*helper.steps(*TEXTS)[:-3], HangUp()])
    with observe(helper.method(sync_client))(**helper.asked) as stream:
        with pytest.raises(Exception) as caught:  # noqa: PT011 - each SDK its own
            stream.until_done()
        result = metrics_of(stream)
    assert result is not None
    assert (result.outcome, result.error) == ("failed", type_name(caught.type))


@every_helper
def test_a_method_put_in_a_helper_is_the_one_that_is_called(
    server: ScriptedServer, sync_client: Any, helper: Helper
) -> None:
    """Whoever replaces a method of one stream gets what replaced it."""
    server.play(helper.steps(*TEXTS))
    with observe(helper.method(sync_client))(**helper.asked) as stream:
        stream.until_done = lambda: "replaced"
        assert stream.until_done() == "replaced"
        del stream.until_done
        assert stream.until_done() != "replaced"


def test_leaving_without_entering_ends_nothing(server: ScriptedServer) -> None:
    """The SDK does nothing then, and the manager can still be entered."""
    with openai_client(server) as client, capture() as results:
        manager = observe(client.chat.completions.stream)(**CHAT)
        manager.__exit__(None, None, None)
        assert results == []
        server.play(chat_steps(*TEXTS, usage=7))
        with manager as stream:
            stream.until_done()
    assert_read(only(results))


@pytest.mark.asyncio
async def test_a_coroutine_never_awaited_has_the_originals_name(server: ScriptedServer) -> None:
    """The warning about it names the method, not one of ours."""
    async with openai_client(server, is_async=True) as client:
        create = observe(client.chat.completions.with_streaming_response.create)
        server.play(chat_steps(*TEXTS))
        manager = create(**CHAT, stream=True)
        response = await manager.__aenter__()
        names = []
        for made in (response.parse(), response.close(), manager.__aexit__(None, None, None)):
            names.append(made.__name__)
            made.close()
        await manager.__aexit__(None, None, None)
    assert names == ["parse", "close", "__aexit__"]


def test_entering_again_sends_a_request_that_is_not_this_runs(server: ScriptedServer) -> None:
    """A manager entered twice gives a second stream, unmeasured, as it would bare."""
    with openai_client(server) as client, capture() as results:
        server.play(chat_steps("a"))
        server.play(chat_steps("b", "c"))
        manager = observe(client.chat.completions.stream)(**CHAT)
        with manager as first:
            first.until_done()
        with manager as second:
            assert metrics_of(second) is None
            second.until_done()
    assert only(results).token_chunk_count == 1


def test_metrics_decorator_gives_a_manager_too(server: ScriptedServer) -> None:
    """A manager is no value: its stream is measured under either decorator."""
    server.play(message_steps(*TEXTS))
    with anthropic_client(server) as client:
        decorated: Any = metrics_decorator(client.messages.stream)
        with decorated(**MESSAGES) as stream:
            assert stream.get_final_text() == "Hello"
    assert_read(stream.metrics)


# --- raw responses --------------------------------------------------------------------------------


def test_a_raw_response_gives_a_measured_stream_when_it_is_parsed(server: ScriptedServer) -> None:
    """Headers and status are the response's own; the run started at the call."""
    server.play(chat_steps(*TEXTS, usage=7))
    with openai_client(server) as client, capture() as results:
        bare = client.chat.completions.with_raw_response.create
        raw = observe(bare)(**CHAT, stream=True)
        server.play([whole_chat()])
        bare_raw = bare(**CHAT)
        assert raw.headers["content-type"] == "text/event-stream"
        assert raw.http_response.status_code == 200
        stream = raw.parse()
        assert raw.parse() is stream
        chunks = list(stream)
        assert metrics_of(raw) == metrics_of(stream)
    assert len(chunks) == 6
    assert_read(only(results))
    assert isinstance(raw, type(bare_raw))


@pytest.mark.asyncio
async def test_an_async_raw_response_does_so_too(server: ScriptedServer) -> None:
    """Its ``parse`` is no coroutine, although its client is async."""
    server.play(chat_steps(*TEXTS, usage=7))
    async with openai_client(server, is_async=True) as client:
        with capture() as results:
            raw = await observe(client.chat.completions.with_raw_response.create)(
                **CHAT, stream=True
            )
            chunks = [chunk async for chunk in raw.parse()]
    assert len(chunks) == 6
    assert_read(only(results))


def test_a_whole_raw_response_is_read_when_it_is_parsed(server: ScriptedServer) -> None:
    """Its latency ended when the body was there; what it says is known once it is parsed."""
    server.play([whole_chat()])
    with openai_client(server) as client, capture() as results:
        raw = observe(client.chat.completions.with_raw_response.create)(**CHAT)
        assert results == []
        assert raw.parse().usage.completion_tokens == 7
        result = only(results)
    assert (result.token_count, result.token_source, result.streamed) == (7, "usage", False)
    assert (result.outcome, result.model, result.input_token_count) == ("completed", "scripted", 5)
    assert result.time_to_first_token == result.generation_latency
    assert result.consumer_time == 0


def test_a_whole_raw_response_that_is_never_parsed_is_measured_without_tokens(
    server: ScriptedServer,
) -> None:
    """It arrived, and nobody asked what it says."""
    server.play([whole_chat()])
    with openai_client(server) as client, capture() as results:
        raw = observe(client.chat.completions.with_raw_response.create)(**CHAT)
        assert raw.status_code == 200
        del raw
        gc.collect()
        settle()
    result = only(results)
    assert (result.outcome, result.token_count) == ("completed", None)


def test_metrics_decorator_gives_a_result_for_a_whole_raw_response(server: ScriptedServer) -> None:
    """A value is a value: whoever wants its numbers gets them with it."""
    server.play([whole_chat()])
    with openai_client(server) as client:
        decorated: Any = metrics_decorator(client.chat.completions.with_raw_response.create)
        result = decorated(**CHAT)
    assert (result.outcome, result.token_count) == ("completed", None)
    assert result.value.parse().usage.completion_tokens == 7


def test_a_streaming_response_starts_at_entry_and_is_measured_when_parsed(
    server: ScriptedServer,
) -> None:
    """``with_streaming_response`` sends the request on entry and closes it on exit."""
    server.play(chat_steps(*TEXTS, usage=7))
    with openai_client(server) as client, capture() as results:
        create = observe(client.chat.completions.with_streaming_response.create)
        with create(**CHAT, stream=True) as response:
            assert len(list(response.parse())) == 6
    result = only(results)
    assert_read(result)
    assert result.idle_before_start is not None
    assert result.idle_before_start > 0


@pytest.mark.asyncio
async def test_an_async_streaming_response_does_so_too(server: ScriptedServer) -> None:
    """There ``parse`` is a coroutine."""
    server.play(chat_steps(*TEXTS, usage=7))
    async with openai_client(server, is_async=True) as client:
        with capture() as results:
            create = observe(client.chat.completions.with_streaming_response.create)
            async with create(**CHAT, stream=True) as response:
                stream = await response.parse()
                assert await response.parse() is stream
                assert len([chunk async for chunk in stream]) == 6
    assert_read(only(results))


def test_leaving_a_streaming_response_stops_its_stream(server: ScriptedServer) -> None:
    """The exit closes the connection under the stream."""
    exchange = server.play(chat_steps(*TEXTS)[:-2])
    with openai_client(server) as client, capture() as results:
        create = observe(client.chat.completions.with_streaming_response.create)
        with create(**CHAT, stream=True) as response:
            stream = response.parse()
            next(stream)
            next(stream)
    assert (only(results).outcome, only(results).token_count) == ("stopped", 1)
    assert exchange.closed_ns


def test_a_whole_streaming_response_is_read_by_parsing(server: ScriptedServer) -> None:
    """Its body is read when it is parsed, and that is when the caller has it."""
    server.play([whole_chat()])
    with openai_client(server) as client, capture() as results:
        create = observe(client.chat.completions.with_streaming_response.create)
        with create(**CHAT) as response:
            assert response.parse().usage.completion_tokens == 7
    assert (only(results).outcome, only(results).token_count) == ("completed", 7)


def test_lines_read_by_hand_are_not_measured_and_that_is_said_once(server: ScriptedServer) -> None:
    """Nothing changes for who reads raw lines; one warning names the remedy."""
    with openai_client(server) as client, capture() as results:
        create = observe(client.chat.completions.with_streaming_response.create)

        def read_lines() -> int:
            server.play(chat_steps(*TEXTS))
            with create(**CHAT, stream=True) as response:
                return sum(line.startswith("data:") for line in response.iter_lines())

        with pytest.warns(TokenclockWarning, match="tokenclock.measure"):
            assert read_lines() == 6
        assert read_lines() == 6  # a second warning would be an error
    assert [result.outcome for result in results] == ["completed"] * 2
    assert [result.token_count for result in results] == [None] * 2


def test_a_streamed_raw_response_that_is_dropped_gives_one_result(server: ScriptedServer) -> None:
    """Nothing was ever read of it."""
    server.play([Head(), End()])
    with openai_client(server) as client, capture() as results:
        observe(client.chat.completions.with_raw_response.create)(**CHAT, stream=True)
        gc.collect()
        settle()
    assert only(results).outcome in {"stopped", "unconsumed"}


# --- what no server makes them do: objects of the SDKs' names and shapes -----------------------


class RefusedError(Exception):
    """What a stand-in for an SDK raises."""


def of_an_sdk(name: str, module: str, **methods: Any) -> Any:
    """Give an object of a class that is known by its name and module."""
    return type(name, (), {"__module__": module, **methods})()


def manager_of(stream: Any, on_exit: BaseException | None = None) -> Any:
    """Give a context manager as the SDKs' are, sync and async at once."""

    def leave(*_: Any) -> None:
        if on_exit is not None:
            raise on_exit

    async def enter(_: Any) -> Any:
        return stream

    async def aleave(*_: Any) -> None:
        leave()

    return of_an_sdk(
        "FakeStreamManager", "sdk.lib.streaming.fake",
        __enter__=lambda _: stream, __exit__=leave, __aenter__=enter, __aexit__=aleave,
    )  # fmt: skip


def raw_response(parse: Callable[..., Any], *, is_closed: bool) -> Any:
    return of_an_sdk(
        "APIResponse", "sdk._response", parse=parse, is_closed=is_closed, close=lambda _: None
    )


def refuse(*_: Any) -> Any:
    raise RefusedError


async def arefuse(*_: Any) -> Any:
    raise RefusedError


def given(thing: Any) -> Any:
    """Give what a measured function gives that gives this."""
    return observe(lambda: thing)()


def outcome_of(thing: Any) -> str:
    result = metrics_of(thing)
    assert result is not None
    outcome: str = result.outcome
    return outcome


def test_an_exit_that_raises_fails_the_run() -> None:
    """Leaving ends the run, whatever it raises, and the exception passes."""
    manager = given(manager_of(iter("ab"), on_exit=RefusedError()))
    stream = manager.__enter__()
    assert next(stream) == "a"
    with pytest.raises(RefusedError):
        manager.__exit__(None, None, None)
    assert outcome_of(stream) == "failed"


def test_an_exit_that_raises_what_the_body_raised_stops_the_run() -> None:
    """That is the caller's own exception."""
    error = RefusedError()
    manager = given(manager_of(iter("ab"), on_exit=error))
    stream = manager.__enter__()
    next(stream)
    with pytest.raises(RefusedError):
        manager.__exit__(RefusedError, error, None)
    assert outcome_of(stream) == "stopped"


def test_an_async_exit_that_raises_fails_the_run() -> None:
    """The async twin likewise."""
    manager = given(manager_of(iter("ab"), on_exit=RefusedError()))
    stream = now(manager.__aenter__())
    with pytest.raises(RefusedError):
        now(manager.__aexit__(None, None, None))
    assert outcome_of(stream) == "failed"


def test_an_exit_that_fails_without_entry_is_the_managers() -> None:
    """There was no entry, so there is nothing but the manager to tell of it."""
    manager = given(manager_of(iter("ab"), on_exit=RefusedError()))
    with pytest.raises(RefusedError):
        manager.__exit__(None, None, None)
    assert outcome_of(manager) == "failed"


def test_entering_async_again_is_not_this_runs() -> None:
    """A second entry gives a second stream, unmeasured."""
    stream = iter("ab")
    manager = given(manager_of(stream))
    assert metrics_of(now(manager.__aenter__())) is not None
    assert now(manager.__aenter__()) is stream


@pytest.mark.parametrize("is_async", [False, True])
def test_a_body_that_cannot_be_read_fails_when_it_is_parsed(is_async: bool) -> None:  # noqa: FBT001
    """The network failed while the answer was read."""
    raw = given(raw_response(arefuse if is_async else refuse, is_closed=False))
    with pytest.raises(RefusedError):
        now(raw.parse()) if is_async else raw.parse()
    assert outcome_of(raw) == "failed"


def test_an_answer_that_cannot_be_parsed_was_generated_all_the_same() -> None:
    """The body was there before; what it says is unknown."""
    raw = given(raw_response(refuse, is_closed=True))
    with pytest.raises(RefusedError):
        raw.parse()
    assert outcome_of(raw) == "running"
    raw.close()
    result = metrics_of(raw)
    assert result is not None
    assert (result.outcome, result.token_count) == ("completed", None)


def test_what_is_parsed_a_second_time_passes() -> None:
    """One response is one call: another stream out of it is not measured."""
    streams = [iter("ab"), iter("cd")]
    raw = given(raw_response(lambda _: streams.pop(), is_closed=False))
    assert metrics_of(raw.parse()) is not None
    assert "".join(raw.parse()) == "ab"


def test_closing_a_response_stops_its_stream() -> None:
    """The stream's connection is the response's."""
    raw = given(raw_response(lambda _: iter("ab"), is_closed=False))
    stream = raw.parse()
    next(stream)
    raw.close()
    assert outcome_of(stream) == "stopped"
    raw.close()
    assert outcome_of(stream) == "stopped"
