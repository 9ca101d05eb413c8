"""The vectors of the definition of the numbers: streams, and what must come out, to the digit."""

# ruff: noqa: S105 - the source of a token count is no password

from __future__ import annotations

import gc
from typing import TYPE_CHECKING, Any

import pytest

from stepping import (
    as_it_is,
    close,
    every_shape,
    finished,
    frame,
    read,
    script_at,
    step,
    stream_of,
    usage_frame,
)
from tokenclock import Reading, Usage, capture, metrics_decorator

if TYPE_CHECKING:
    from tokenclock.testing import FakeClock

TOKEN = Reading(tokens=1, channel="text")


@every_shape
def test_a_blank_first_chunk_is_the_first_chunk_and_not_the_first_token(
    shape: str, clock: FakeClock
) -> None:
    """A blank first chunk counts as a chunk, not as the first token."""
    result = finished(shape, script_at(clock, {5: "", 214: "a", 234: "b"}, end=240))

    assert result.time_to_first_chunk == 0.005
    assert result.time_to_first_token == 0.214
    assert result.inter_token_latencies == [0.02]
    assert result.generation_latency == 0.24
    assert result.token_count == 2
    assert result.chunk_count == 3
    assert result.token_chunk_count == 2


@every_shape
def test_usage_counts_the_tokens_that_chunks_bundle(shape: str, clock: FakeClock) -> None:
    """The provider's count divides the time, the chunks give the gaps."""
    last = Reading(tokens=1, usage=Usage(output_tokens=5))
    script = script_at(clock, {100: TOKEN, 140: TOKEN, 180: last}, end=185)

    result = finished(shape, script, read_chunk=as_it_is)

    assert result.time_to_first_token == 0.1
    assert result.token_count == 5
    assert result.token_source == "usage"
    assert result.time_per_output_token == 0.02
    assert result.inter_token_latencies == [0.04, 0.04]
    assert result.throughput == 5 / 0.185


@every_shape
def test_reasoning_is_the_first_token_and_text_the_first_output(
    shape: str, clock: FakeClock
) -> None:
    """Reasoning is a token, and is not output."""
    thought = Reading(tokens=1, channel="reasoning")

    result = finished(
        shape, script_at(clock, {50: thought, 900: TOKEN}, end=950), read_chunk=as_it_is
    )

    assert result.time_to_first_token == 0.05
    assert result.time_to_first_output_token == 0.9
    assert result.generation_latency == 0.95


@every_shape
def test_reasoning_that_never_streamed_does_not_speed_up_the_output(
    shape: str, clock: FakeClock
) -> None:
    """Reasoning tokens that only usage reports were over before the first token came."""
    usage = Usage(output_tokens=1050, reasoning_tokens=1000)
    times = [20_000, *(20_000 + 20 * place for place in range(1, 49)), 21_000]
    arrivals: dict[float, Any] = dict.fromkeys(times, TOKEN)
    arrivals[21_000] = Reading(tokens=1, channel="text", usage=usage)

    result = finished(shape, script_at(clock, arrivals, end=21_000), read_chunk=as_it_is)

    assert result.token_chunk_count == 50
    assert result.token_count == 1050
    assert result.reasoning_token_count == 1000
    assert result.time_per_output_token == 1 / 49


@every_shape
def test_one_chunk_has_no_time_per_token_and_no_gap(shape: str, clock: FakeClock) -> None:
    """One token tells nothing about the time between tokens."""
    result = finished(shape, script_at(clock, {70: "a"}, end=80))

    assert result.time_to_first_token == 0.07
    assert result.time_per_output_token is None
    assert result.inter_token_latencies == []


@every_shape
def test_nothing_has_no_first_token_and_a_throughput_of_zero(shape: str, clock: FakeClock) -> None:
    """A stream that gave nothing took its time and made no tokens."""
    result = finished(shape, script_at(clock, {}, end=30))

    assert result.time_to_first_token is None
    assert result.time_to_first_chunk is None
    assert result.generation_latency == 0.03
    assert result.token_count == 0
    assert result.throughput == 0.0
    assert result.outcome == "completed"


@every_shape
def test_what_the_caller_holds_is_the_callers(shape: str, clock: FakeClock) -> None:
    """A slow caller's pause is in the latency and in the gap, and told apart."""
    stream = stream_of(shape, script_at(clock, {10: "a", 30: "b"}, end=30))
    step(stream)
    clock.advance(0.5)
    read(stream)
    result = stream.metrics

    assert result.generation_latency == 0.53
    assert result.consumer_time == 0.5
    assert result.producer_time == 0.03
    assert result.inter_token_latencies == [0.52]
    assert result.consumer_time_before_first_token == 0.0


@every_shape
def test_an_iterator_returned_late_starts_at_the_call(shape: str, clock: FakeClock) -> None:
    """Where a function returns its iterator, the run starts at the call of the function."""
    script = script_at(clock, {50: "a"}, end=100)
    bare = {
        "generator": script.generator,
        "iterator": script.stream,
        "async generator": script.agenerator,
        "async iterator": script.astream,
    }[shape]

    def connect() -> Any:
        clock.advance(0.1)
        return bare()

    decorate: Any = metrics_decorator
    stream = decorate(connect, clock=clock)()
    clock.advance(0.8)
    read(stream)
    result = stream.metrics

    assert result.time_to_first_token == 0.95
    assert result.generation_latency == 1.0
    assert result.consumer_time == 0.8
    assert result.consumer_time_before_first_token == 0.8
    assert result.producer_time == 0.2
    assert result.idle_before_start == 0.0


@every_shape
def test_a_failure_after_the_first_token_keeps_what_came_before(
    shape: str, clock: FakeClock
) -> None:
    """A stream that raises ends where it raised."""
    script = script_at(clock, {10: "a"}, end=60, error=ConnectionError("reset"))
    stream = stream_of(shape, script)
    with pytest.raises(ConnectionError, match=r"^reset$"):
        read(stream)
    result = stream.metrics

    assert result.outcome == "failed"
    assert result.error == "ConnectionError"
    assert result.generation_latency == 0.06
    assert result.time_to_first_token == 0.01
    assert result.token_count == 1


@every_shape
def test_a_stream_that_the_caller_left_ended_at_its_last_chunk(
    shape: str, clock: FakeClock
) -> None:
    """A break ends the run at the last chunk, however late the object dies."""
    with capture() as results:
        stream = stream_of(shape, script_at(clock, {10: "a", 20: "b"}, end=30))
        step(stream)
        clock.advance(0.89)
        del stream
        gc.collect()

    [result] = results
    assert result.outcome == "stopped"
    assert result.generation_latency == 0.01
    assert result.token_count == 1


@every_shape
def test_a_closed_stream_ended_at_its_last_chunk(shape: str, clock: FakeClock) -> None:
    """Closing ends the run at the last chunk, not when it was closed."""
    stream = stream_of(shape, script_at(clock, {10: "a", 20: "b"}, end=30))
    step(stream)
    clock.advance(0.89)
    close(stream)

    assert stream.metrics.outcome == "stopped"
    assert stream.metrics.generation_latency == 0.01
    assert stream.metrics.consumer_time == 0.0


@every_shape
def test_a_role_frame_and_a_usage_frame_are_not_tokens(shape: str, clock: FakeClock) -> None:
    """A tool call's first token is its delta, not the role frame before or the usage after."""
    role, usage = Reading(), Reading(usage=Usage(output_tokens=14))
    delta = Reading(tokens=1, channel="tool")
    script = script_at(clock, {20: role, 466: delta, 700: usage}, end=700)

    result = finished(shape, script, read_chunk=as_it_is)

    assert result.time_to_first_chunk == 0.02
    assert result.time_to_first_token == 0.466
    assert result.time_to_first_output_token == 0.466
    assert result.time_to_last_token == 0.466
    assert result.generation_latency == 0.7
    assert result.token_count == 14
    assert result.time_per_output_token is None


@every_shape
def test_usage_of_an_opening_frame_is_not_the_count(shape: str, clock: FakeClock) -> None:
    """A provider that opens with 0 output tokens has not counted what comes after."""
    opening = usage_frame(0, prompt_tokens=25)
    arrivals: dict[float, Any] = {5: opening, **dict.fromkeys(range(10, 110, 10), frame("a"))}
    stream = stream_of(shape, script_at(clock, {**arrivals, 200: frame("a")}, end=210))
    for _ in range(11):
        step(stream)
    close(stream)
    result = stream.metrics

    assert result.outcome == "stopped"
    assert result.token_count == 10
    assert result.token_source == "chunks"
    assert result.input_token_count == 25


def test_a_list_comes_as_a_whole(clock: FakeClock) -> None:
    """A returned list has its first token when the caller has it: at the end."""

    def generate() -> list[str]:
        clock.advance(0.2)
        return ["a", "b", "c", "d"]

    result = metrics_decorator(generate, clock=clock)()

    assert result.value == ["a", "b", "c", "d"]
    assert result.time_to_first_token == 0.2
    assert result.generation_latency == 0.2
    assert result.throughput == 20.0
    assert result.streamed is False
    assert result.time_per_output_token is None
    assert result.token_source == "length"


@pytest.mark.asyncio
async def test_an_awaited_list_comes_as_a_whole(clock: FakeClock) -> None:
    """A list that a coroutine function gives counts as a returned one."""

    async def generate() -> list[str]:
        clock.advance(0.2)
        return ["a", "b", "c", "d"]

    call = metrics_decorator(generate, clock=clock)()
    clock.advance(0.5)
    result = await call

    assert result.value == ["a", "b", "c", "d"]
    assert result.time_to_first_token == 0.2
    assert result.generation_latency == 0.2
    assert result.throughput == 20.0
    assert result.streamed is False
    assert result.idle_before_start == 0.5
