"""What others fell into: each mistake once, named after it, over every shape it can befall."""

from __future__ import annotations

import asyncio
import contextvars
import weakref
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from driving import END, function_of, run_python, settle, step_or_end
from stepping import (
    as_it_is,
    close,
    every_shape,
    finished,
    now,
    read,
    script_at,
    step,
    stream_of,
)
from tokenclock import MetricsResult, Reading, Usage, metrics_decorator, metrics_of, observe
from tokenclock._recorder import MOST_MARKS
from tokenclock.testing import CollectingSink, FakeClock, Script

ROLE = Reading()
TEXT = Reading(tokens=1, channel="text")
TOOL = Reading(tokens=1, channel="tool")
REASONING = Reading(tokens=1, channel="reasoning")


# --- the clock ---------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["function", "coroutine"])
@pytest.mark.parametrize("shape", ["iterator", "async iterator"])
def test_the_clock_starts_before_the_request_not_after_it(
    kind: str, shape: str, clock: FakeClock
) -> None:
    """A request that takes 0.75 s before it gives its stream is part of the first-token time."""
    script = Script([(0.125, "a")], clock=clock)

    def request() -> Any:
        clock.advance(0.75)
        return function_of(shape, script)()

    async def arequest() -> Any:
        return request()

    stream: Any = (
        now(observe(clock=clock)(arequest)())
        if kind == "coroutine"
        else observe(clock=clock)(request)()
    )
    read(stream)

    result = metrics_of(stream)
    assert result is not None
    assert result.time_to_first_token == 0.875
    assert result.generation_latency == 0.875


# --- the first token ---------------------------------------------------------------------------


@every_shape
def test_the_first_item_is_not_the_first_token(shape: str, clock: FakeClock) -> None:
    """A role-only frame 446 ms before the first tool-call delta is no token."""
    script = script_at(clock, {20: ROLE, 466: TOOL}, end=700)
    result = finished(shape, script, read_chunk=as_it_is)

    assert result.time_to_first_chunk == 0.02
    assert result.time_to_first_token == 0.466
    assert result.token_chunk_count == 1


@every_shape
def test_a_blank_first_chunk_is_not_the_first_token(shape: str, clock: FakeClock) -> None:
    """An empty text that opens a stream is the handshake, not the first token."""
    result = finished(shape, script_at(clock, {5: "", 214: "a"}, end=240))

    assert (result.time_to_first_chunk, result.time_to_first_token) == (0.005, 0.214)


@every_shape
def test_reasoning_is_not_ignored(shape: str, clock: FakeClock) -> None:
    """A model that thinks aloud after 1.2 s answered then, not when its text came at 183 s."""
    script = script_at(clock, {1_200: REASONING, 183_000: TEXT}, end=184_000)
    result = finished(shape, script, read_chunk=as_it_is)

    assert result.time_to_first_token == 1.2
    assert result.time_to_first_output_token == 183.0


@pytest.mark.logs_failures
@every_shape
@pytest.mark.parametrize("choices", [None, []], ids=["null", "empty"])
def test_a_chunk_without_choices_does_not_raise(
    shape: str, choices: Any, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    """A reader that trips over a chunk without choices never raises inside the user's loop."""

    def first_choice(chunk: dict[str, Any]) -> Reading:
        return Reading(tokens=len(chunk["choices"][0]))

    chunks = [{"choices": ["abc"]}, {"choices": choices}, {"choices": ["d"]}]
    script = Script([(0.5, chunk) for chunk in chunks], clock=clock)
    stream = stream_of(shape, script, read_chunk=first_choice)
    with pytest.warns(UserWarning, match="^Cannot find text in a chunk of type 'dict' from"):
        seen = read(stream)

    assert seen == chunks
    assert stream.metrics.outcome == "completed"
    assert stream.metrics.chunk_count == 3
    assert stream.metrics.token_source in {"chunks", "items"}
    assert len(caplog.records) == 1


# --- how a stream ends ---------------------------------------------------------------------------


@every_shape
def test_a_failure_in_mid_stream_is_not_lost(
    shape: str, clock: FakeClock, sink: CollectingSink
) -> None:
    """An exception after the first token yields a failed result with what was seen until then."""
    script = script_at(clock, {10: "a"}, end=60, error=ConnectionError("reset"))
    stream = stream_of(shape, script)
    with pytest.raises(ConnectionError, match="reset"):
        read(stream)

    assert sink.results == [stream.metrics]
    assert (stream.metrics.outcome, stream.metrics.error) == ("failed", "ConnectionError")
    assert stream.metrics.time_to_first_token == 0.01
    assert stream.metrics.generation_latency == 0.06
    assert stream.metrics.token_count == 1


@pytest.mark.asyncio
async def test_a_cancel_while_connecting_is_not_lost(sink: CollectingSink) -> None:
    """A call cancelled before it gave its stream yields one cancelled result, no success."""
    connecting = asyncio.Event()

    @observe
    async def connect() -> AsyncIterator[str]:
        connecting.set()
        await asyncio.Event().wait()
        raise AssertionError

    task = asyncio.ensure_future(connect())
    await connecting.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert [one.outcome for one in sink.results] == ["cancelled"]
    assert sink.results[0].time_to_first_token is None


@every_shape
def test_a_break_is_no_error(shape: str, clock: FakeClock, sink: CollectingSink) -> None:
    """A caller that breaks out stopped the stream: not failed, not completed, and not lost."""
    stream = stream_of(shape, script_at(clock, {10: "a", 20: "b"}, end=30))
    step(stream)
    clock.advance(0.89)
    del stream
    settle()

    assert [(one.outcome, one.error) for one in sink.results] == [("stopped", None)]
    assert sink.results[0].generation_latency == 0.01


# --- tasks and contexts ------------------------------------------------------------------------


@pytest.mark.parametrize("shape", ["generator", "iterator"])
@pytest.mark.asyncio
async def test_async_steps_run_in_the_callers_task(shape: str) -> None:
    """Every step runs in the task that asks, so that timeouts and cancel scopes reach it."""
    tasks: list[Any] = []

    class Stream:
        def __aiter__(self) -> Stream:
            return self

        async def __anext__(self) -> str:
            tasks.append(asyncio.current_task())
            if len(tasks) > 3:
                raise StopAsyncIteration
            await asyncio.sleep(0)
            return "a"

    async def generator() -> AsyncIterator[str]:
        async for chunk in Stream():
            yield chunk

    function: Any = observe(generator if shape == "generator" else Stream().__aiter__)
    async for _ in function():
        pass

    assert tasks == [asyncio.current_task()] * 4


@pytest.mark.asyncio
async def test_a_timeout_around_a_chunk_fires() -> None:
    """A timeout that strikes while a chunk is awaited is not swallowed."""

    @observe
    async def answer() -> AsyncIterator[str]:
        yield "a"
        await asyncio.Event().wait()

    async def consume() -> None:
        async for _ in answer():
            pass

    with pytest.raises(asyncio.TimeoutError):
        await asyncio.wait_for(consume(), timeout=0.001)


@every_shape
def test_no_context_variable_is_held_across_a_yield(shape: str, clock: FakeClock) -> None:
    """Between two chunks the context is as the caller left it, whoever asks next from where."""
    stream = stream_of(shape, script_at(clock, {10: "a", 20: "b", 30: "c"}, end=40))
    before = dict(contextvars.copy_context())
    assert step(stream) == "a"
    assert dict(contextvars.copy_context()) == before
    assert contextvars.Context().run(step, stream) == "b"
    assert contextvars.copy_context().run(step, stream) == "c"
    assert contextvars.Context().run(step_or_end, stream) is END
    assert stream.metrics.outcome == "completed"


# --- the generator protocol --------------------------------------------------------------------


def test_send_throw_and_the_return_value_arrive() -> None:
    """What is sent and thrown reaches the body, and what it returns reaches the caller."""
    seen: list[Any] = []

    @observe
    def answer() -> Any:
        try:
            seen.append((yield "a"))
            yield "b"
        except KeyError as error:
            seen.append(error)
            yield "c"
        return "d"

    stream = answer()
    error = KeyError("mine")
    assert next(stream) == "a"
    assert stream.send("sent") == "b"
    assert stream.throw(error) == "c"
    with pytest.raises(StopIteration) as stop:
        next(stream)
    assert stop.value.value == "d"
    assert seen == ["sent", error]


@every_shape
def test_closing_closes_the_source(shape: str, clock: FakeClock) -> None:
    """close() and aclose() reach the source itself: no connection is left open behind."""
    closed: list[str] = []

    class Source(Script[str]):
        def generator(self) -> Any:
            try:
                yield "a"
                yield "b"
            finally:
                closed.append("closed")

        async def agenerator(self) -> Any:
            try:
                yield "a"
                yield "b"
            finally:
                closed.append("closed")

    stream = stream_of(shape, Source([], clock=clock))
    step(stream)
    close(stream)

    assert closed == ["closed"]
    assert stream.metrics.outcome == "stopped"


# --- the numbers -------------------------------------------------------------------------------


def test_a_values_time_is_told_apart_from_a_streams_first_token(clock: FakeClock) -> None:
    """A call that gives everything at once says so: its time is no streamed first token."""

    def answer() -> list[str]:
        clock.advance(0.5)
        return ["a", "b"]

    decorate: Any = metrics_decorator
    result: MetricsResult[list[str]] = decorate(answer, clock=clock)()

    assert result.streamed is False
    assert result.time_to_first_token == result.generation_latency == 0.5
    assert result.time_to_first_chunk is None
    assert result.time_to_first_output_token is None
    assert result.time_per_output_token is None


@every_shape
def test_time_per_output_token_is_over_the_tokens_after_the_first(
    shape: str, clock: FakeClock
) -> None:
    """Three tokens have two intervals: 80 ms over 2, not over 3."""
    result = finished(shape, script_at(clock, {100: "a", 140: "b", 180: "c"}, end=180))

    assert result.time_per_output_token == 0.04


@every_shape
def test_usage_wins_over_counting_chunks(shape: str, clock: FakeClock) -> None:
    """Where the provider says five tokens, three chunks are five tokens."""
    last = Reading(tokens=1, usage=Usage(output_tokens=5))
    script = script_at(clock, {100: TEXT, 140: TEXT, 180: last}, end=185)
    result = finished(shape, script, read_chunk=as_it_is)

    assert (result.token_count, result.token_source) == (5, "usage")
    assert result.time_per_output_token == 0.02


@every_shape
def test_a_trailing_usage_frame_does_not_move_the_last_token(shape: str, clock: FakeClock) -> None:
    """A last frame that carries usage only is a chunk, and no token."""
    usage = Reading(usage=Usage(output_tokens=14))
    script = script_at(clock, {20: ROLE, 466: TOOL, 700: usage}, end=700)
    result = finished(shape, script, read_chunk=as_it_is)

    assert result.time_to_last_token == 0.466
    assert result.generation_latency == 0.7
    assert result.token_count == 14
    assert result.time_per_output_token is None


@every_shape
def test_a_slow_consumer_is_told_apart_from_a_slow_model(shape: str, clock: FakeClock) -> None:
    """The 500 ms that the caller holds a chunk are in its own share, and the report says so."""
    stream = stream_of(shape, Script([(0.25, "a"), (0.25, "b")], clock=clock))
    step(stream)
    clock.advance(0.5)
    read(stream)

    result = stream.metrics
    assert result.generation_latency == 1.0
    assert result.consumer_time == 0.5
    assert result.producer_time == 0.5
    assert "caller's own share" in result.report()


def test_a_sink_with_a_lock_called_from_a_finaliser_does_not_deadlock() -> None:
    """A stream that is collected while a sink holds its lock waits for its turn."""
    printed = run_python(
        """
        import gc
        import threading
        import tokenclock

        lock = threading.Lock()
        outcomes = []

        def sink(result):
            with lock:
                gc.collect()
                outcomes.append(result.outcome)

        gc.disable()
        tokenclock.add_sink(sink)
        stream = tokenclock.measure(iter("ab"))
        next(stream)
        cycle = [stream]
        cycle.append(cycle)
        del stream, cycle
        list(tokenclock.measure(iter("a")))
        tokenclock._sinks.later.flush()
        print(*outcomes)
        """
    )
    assert printed == "completed stopped\n"


@every_shape
def test_what_was_not_observed_is_not_zero(shape: str, clock: FakeClock) -> None:
    """A stream without a token has no first-token time: None, and n/a in the text."""
    result = finished(shape, script_at(clock, {}, end=30))

    assert result.time_to_first_token is None
    assert result.time_per_output_token is None
    assert result.token_count == 0
    assert str(result) == (
        "Time to First Token: n/a\nGeneration Latency: 0.03\nThroughput: 0"
    )  # no token in 30 ms is a throughput, and it is 0


def test_no_rate_over_no_time(clock: FakeClock) -> None:
    """Where no time passed there is no throughput."""
    decorate: Any = metrics_decorator
    assert str(decorate(lambda: ["a"], clock=clock)()) == (
        "Time to First Token: 0\nGeneration Latency: 0\nThroughput: n/a"
    )


@every_shape
def test_items_are_not_kept_in_memory(shape: str, clock: FakeClock) -> None:
    """A chunk that the caller let go is gone while the stream goes on."""

    class Chunk:
        """Something that can be referred to weakly."""

    class Fresh(Script[Chunk]):
        def generator(self) -> Any:
            yield Chunk()
            yield Chunk()

        async def agenerator(self) -> Any:
            yield Chunk()
            yield Chunk()

    stream = stream_of(shape, Fresh([], clock=clock), count_tokens=lambda _: 1)
    gone = weakref.ref(step(stream))
    step(stream)

    assert gone() is None


def test_time_stamps_of_long_streams_are_not_dropped_silently(clock: FakeClock) -> None:
    """A timeline that could not keep every chunk says so, in the result and in the report."""

    def answer() -> Iterator[str]:
        for _ in range(MOST_MARKS + 1):
            clock.advance(0.25)
            yield "a"

    decorate: Any = metrics_decorator
    stream = decorate(answer, clock=clock)()
    read(stream)

    assert stream.metrics.timeline_complete is False
    assert stream.metrics.token_count == 65_537
    assert stream.metrics.time_to_last_token == 16_384.25
    assert "first 65,536 chunks" in stream.metrics.report()
