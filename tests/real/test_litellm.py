"""
LiteLLM reads the real model: its streams are sync and async at once, and have no end of their own.

It needs an older openai than the newest, so these tests have an environment of their own.
"""

from __future__ import annotations

import asyncio
import gc
import importlib
from collections.abc import Callable, Coroutine, Iterator
from time import perf_counter_ns
from typing import Any, TypeAlias

import pytest

import tokenclock
from local_model import NAME
from model_server import TOOLS, ModelServer
from record import THINKING
from tokenclock import AsyncMeasuredStream, MeasuredStream, capture, metrics_of, observe
from watching import (
    Watched,
    assert_counts,
    assert_same_error,
    assert_times,
    channels_of,
    first_token_in,
    name_of,
    play,
    read_on,
    some,
    sync_and_async,
    text_in,
    turns,
    untouched,
    wait,
)

pytestmark = [
    pytest.mark.older,
    pytest.mark.extras,
    pytest.mark.model,
    # LiteLLM's own, about what it does with pydantic, and loops that it makes and forgets.
    pytest.mark.filterwarnings("ignore:Accessing the 'model_:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:Items? '.*' on TypedDict class:UserWarning"),
    pytest.mark.filterwarnings("ignore:unclosed event loop:ResourceWarning"),
    pytest.mark.filterwarnings("ignore:unclosed <socket.socket:ResourceWarning"),
]

Asked: TypeAlias = dict[str, Any]

LIMIT = 8
LONG = 40  # longer than any test reads; LiteLLM does not stop the server, it writes them all
MODEL = f"openai/{NAME}"


@pytest.fixture(scope="module")
def litellm() -> Iterator[Any]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LITELLM_LOCAL_MODEL_COST_MAP", "True")
        yield importlib.import_module("litellm")
    asyncio.run(asyncio.sleep(0))  # which lets go of the loop that it left behind
    gc.collect()


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


@pytest.fixture
def router(litellm: Any, server: ModelServer) -> Any:
    params = {"model": MODEL, "api_base": f"{server.url}/v1", "api_key": "none"}
    return litellm.Router(model_list=[{"model_name": "m", "litellm_params": params}])


def asked(server: ModelServer, limit: int = LIMIT, **options: Any) -> Asked:
    """Give arguments that have the same answer each time."""
    return {
        "model": MODEL,
        "api_base": f"{server.url}/v1",
        "api_key": "none",
        "messages": [{"role": "user", "content": "Write a long story about the sea."}],
        "max_tokens": limit,
        "temperature": 0,
        "stream": True,
        "stream_options": {"include_usage": True},
        "max_retries": 0,
        **options,
    }


def routed(server: ModelServer) -> Asked:
    """Give the same for a router, which knows the server by the model's name."""
    given = asked(server)
    return {name: given[name] for name in given if not name.startswith("api_")} | {"model": "m"}


def method_of(owner: Any, *, is_async: bool) -> Any:
    return owner.acompletion if is_async else owner.completion


Scenario: TypeAlias = Callable[[Any, Asked, Watched], Coroutine[Any, Any, None]]


async def read_all(call: Any, asked: Asked, watched: Watched) -> None:
    """Read an answer to its end."""
    watched.call_ns = perf_counter_ns()
    await read_on(await wait(call(**asked)), watched)


def watch(
    server: ModelServer, call: Any, asked: Asked, *, is_async: bool, scenario: Scenario = read_all
) -> Watched:
    """Watch one call from its request to where the scenario leaves it."""
    watched = Watched()
    before = server.served()
    with capture() as watched.results:
        play(scenario(call, asked, watched), is_async=is_async)
    watched.served = server.served_since(before)
    return watched


def both(
    server: ModelServer, call: Any, asked: Asked, *, is_async: bool, scenario: Scenario = read_all
) -> tuple[Watched, Watched]:
    """Watch the same without us and with us."""
    bare, watched = (
        watch(server, wrap(call), asked, is_async=is_async, scenario=scenario)
        for wrap in (untouched, observe)
    )
    assert bare.results == []
    return bare, watched


# --- whole answers -----------------------------------------------------------------------------


@sync_and_async
def test_the_numbers_are_the_servers(litellm: Any, server: ModelServer, *, is_async: bool) -> None:
    """LiteLLM gives its own chunks; their tokens and times agree with what was served."""
    call = method_of(litellm, is_async=is_async)
    arguments = asked(server, extra_body={"cache_prompt": False})
    bare, watched = both(server, call, arguments, is_async=is_async)
    assert (watched.texts, watched.kinds) == (bare.texts, bare.kinds)
    assert_counts(watched)
    assert_times(watched)
    result = watched.result
    assert result.token_count == result.token_chunk_count == len(watched.texts) == LIMIT
    assert (result.finish_reason, result.request_model) == ("length", MODEL)


@sync_and_async
def test_a_stream_stays_sync_and_async_at_once(
    litellm: Any, server: ModelServer, *, is_async: bool
) -> None:
    """Whoever asks for a stream gets LiteLLM's object, readable in both ways, and measured."""
    given = []

    async def scenario(call: Any, asked: Asked, watched: Watched) -> None:
        given.append(await wait(call(**asked)))
        await read_on(given[-1], watched)

    call = observe(method_of(litellm, is_async=is_async))
    watch(server, call, asked(server, 2), is_async=is_async, scenario=scenario)
    (stream,) = given
    assert isinstance(stream, litellm.CustomStreamWrapper)
    assert isinstance(stream, MeasuredStream)
    assert isinstance(stream, AsyncMeasuredStream)
    # Newer versions of LiteLLM have one.
    assert hasattr(stream, "close") is hasattr(litellm.CustomStreamWrapper, "close")
    assert iter(stream) is stream


@sync_and_async
def test_without_usage_the_chunks_are_counted(
    litellm: Any, server: ModelServer, *, is_async: bool
) -> None:
    """Where nobody asked for usage, what came is counted."""
    arguments = asked(server)
    del arguments["stream_options"]
    call = observe(method_of(litellm, is_async=is_async))
    watched = watch(server, call, arguments, is_async=is_async)
    result = watched.result
    assert (result.token_count, result.token_source) == (LIMIT, "chunks")
    assert_times(watched)


@sync_and_async
def test_a_tool_call_is_tokens(litellm: Any, server: ModelServer, *, is_async: bool) -> None:
    """A call comes in fewer pieces than it has tokens, and all are counted."""
    place = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
    called = {"name": "get_weather", "arguments": '{"city": "London"}'}
    arguments = asked(
        server, 60,
        messages=[
            {"role": "user", "content": "Weather in London?"},
            {
                "role": "assistant", "content": "",
                "tool_calls": [{"id": "c0", "type": "function", "function": called}],
            },
            {"role": "tool", "tool_call_id": "c0", "content": "18 C"},
            {"role": "assistant", "content": "18 C"},
            {"role": "user", "content": "Weather in Paris?"},
        ],
        tools=[{"type": "function", "function": {"name": "get_weather", "parameters": place}}],
        tool_choice="required",
    )  # fmt: skip
    call = observe(method_of(litellm, is_async=is_async))
    watched = watch(server, call, arguments, is_async=is_async)
    result = watched.result
    assert_counts(watched)
    assert_times(watched, first=first_token_in(result))
    assert set(channels_of(result)) == {"tool"}
    assert (result.token_count or 0) > result.token_chunk_count > 1
    assert result.finish_reason == "tool_calls"


@sync_and_async
def test_thoughts_are_tokens_and_no_output(
    litellm: Any, thinker: ModelServer, *, is_async: bool
) -> None:
    """Thinking begins with the first token; the first output token comes after it."""
    grammar = 'root ::= "Six it is.\\n</think>\\n6"'
    arguments = asked(thinker, 40, extra_body={"grammar": grammar})
    call = observe(method_of(litellm, is_async=is_async))
    watched = watch(thinker, call, arguments, is_async=is_async)
    result = watched.result
    assert_counts(watched)
    assert_times(watched, first=first_token_in(result))
    thoughts, output = channels_of(result).index("text"), len(watched.texts)
    assert channels_of(result) == ["reasoning"] * thoughts + ["text"] * output
    assert min(thoughts, output) >= 1
    said = next(number for number, chunk in enumerate(watched.chunks) if text_in(chunk))
    first_output = result.time_to_first_output_token
    assert first_output is not None
    assert result.time_to_first_token is not None
    assert result.time_to_first_token < first_output <= watched.seconds_until(watched.stamps[said])


@sync_and_async
def test_a_whole_answer_has_its_usage(litellm: Any, server: ModelServer, *, is_async: bool) -> None:
    """An answer in one piece is handed through, and its tokens are those it reports."""
    arguments = asked(server, stream=False)
    del arguments["stream_options"]

    async def scenario(call: Any, asked: Asked, watched: Watched) -> None:
        watched.call_ns = perf_counter_ns()
        watched.took(await wait(call(**asked)))
        watched.ended_ns = perf_counter_ns()

    call = observe(method_of(litellm, is_async=is_async))
    watched = watch(server, call, arguments, is_async=is_async, scenario=scenario)
    assert_counts(watched)
    assert watched.kinds == ["ModelResponse"]
    result, served = watched.result, watched.served
    assert served is not None
    assert (result.streamed, result.token_count, result.finish_reason) == (False, LIMIT, "length")
    assert result.time_to_first_token == result.generation_latency
    assert served.busy * 0.99 <= result.generation_latency
    assert result.generation_latency <= watched.seconds_until(watched.ended_ns)


# --- streams that are not read to their end ----------------------------------------------------


@sync_and_async
def test_a_stream_that_is_dropped_ends_at_its_last_token(
    litellm: Any, server: ModelServer, *, is_async: bool
) -> None:
    """A stream without a close() is running until it is dropped, and then was stopped."""

    async def scenario(call: Any, asked: Asked, watched: Watched) -> None:
        watched.call_ns = perf_counter_ns()
        stream = await wait(call(**asked))
        await some(stream, watched)
        snapshot = metrics_of(stream)
        if snapshot is not None:
            assert (snapshot.outcome, snapshot.token_count) == ("running", 3)
        del stream
        gc.collect()
        await turns()

    call = method_of(litellm, is_async=is_async)
    bare, watched = both(server, call, asked(server, LONG), is_async=is_async, scenario=scenario)
    assert watched.texts == bare.texts
    result = watched.result
    assert (result.outcome, result.error) == ("stopped", None)
    assert (result.token_count, result.token_source) == (3, "chunks")
    assert result.generation_latency <= watched.seconds_until(watched.stamps[-1])


def test_cancelling_a_reader(litellm: Any, server: ModelServer) -> None:
    """A cancelled task raises CancelledError, and the result says what had come."""

    async def scenario(call: Any, asked: Asked, watched: Watched) -> None:
        has_some = asyncio.Event()

        async def read() -> None:
            stream = await call(**asked)
            await some(stream, watched)
            has_some.set()
            await read_on(stream, watched)

        watched.call_ns = perf_counter_ns()
        task = asyncio.create_task(read())
        await has_some.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        watched.ended_ns = perf_counter_ns()

    call = observe(litellm.acompletion)
    watched = watch(server, call, asked(server, LONG), is_async=True, scenario=scenario)
    result = watched.result
    assert (result.outcome, result.error) == ("cancelled", "asyncio.exceptions.CancelledError")
    assert (result.token_count, result.token_source) == (len(watched.texts), "chunks")
    assert result.generation_latency <= watched.seconds_until(watched.ended_ns)


@sync_and_async
def test_a_request_that_is_refused_fails(
    litellm: Any, server: ModelServer, *, is_async: bool
) -> None:
    """LiteLLM's own error comes out, and the one result names it and has no tokens."""

    async def scenario(call: Any, asked: Asked, watched: Watched) -> None:
        try:
            await wait(call(**asked))
        except Exception as error:  # noqa: BLE001 - whatever it is, it is compared
            watched.error = error

    arguments = asked(server, messages=[{"role": "nobody", "content": None}])
    call = method_of(litellm, is_async=is_async)
    bare, watched = both(server, call, arguments, is_async=is_async, scenario=scenario)
    assert_same_error(watched.error, bare.error)
    result = watched.result
    assert (result.outcome, result.error) == ("failed", name_of(bare.error))
    assert (result.time_to_first_token, result.chunk_count) == (None, 0)


# --- the whole library, and its router ---------------------------------------------------------


@sync_and_async
def test_the_instrumented_library_is_measured_as_well(
    litellm: Any, server: ModelServer, *, is_async: bool
) -> None:
    """One line measures the library's functions, each call once, until it is undone."""
    tokenclock.instrument(litellm)
    try:
        call = method_of(litellm, is_async=is_async)
        watched = watch(server, call, asked(server), is_async=is_async)
    finally:
        tokenclock.uninstrument(litellm)
    assert_counts(watched)
    assert_times(watched)
    assert (watched.result.provider, watched.result.operation) == ("litellm", "chat")
    call = method_of(litellm, is_async=is_async)
    assert watch(server, call, asked(server, 1), is_async=is_async).results == []


@pytest.mark.parametrize("is_instrumented", [False, True], ids=["observe", "instrument"])
@sync_and_async
def test_a_router_is_measured(
    litellm: Any, router: Any, server: ModelServer, *, is_async: bool, is_instrumented: bool
) -> None:
    """A router's streams are another kind, made for each call, and are measured as well."""
    arguments = routed(server)
    bare = watch(server, method_of(router, is_async=is_async), arguments, is_async=is_async)
    if is_instrumented:
        tokenclock.instrument(router)
    call = method_of(router, is_async=is_async)
    watched = watch(
        server, call if is_instrumented else observe(call), arguments, is_async=is_async
    )
    assert bare.results == []
    assert (watched.texts, watched.kinds) == (bare.texts, bare.kinds)
    assert_counts(watched)
    assert_times(watched)
    assert watched.result.request_model == "m"
    assert watched.result.provider == ("litellm" if is_instrumented else None)
