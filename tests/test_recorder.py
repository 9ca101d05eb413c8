"""What the stamps of a run mean: every number, and when it is None."""

# ruff: noqa: S105 - the source of a token count is no password

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from datetime import datetime, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stepping import (
    SHAPES,
    as_it_is,
    close,
    collect,
    every_shape,
    finished,
    frame,
    now,
    read,
    step,
    stream_of,
    usage_frame,
)
from tokenclock import MetricsResult, Reading, Usage, _recorder, capture, measure, metrics_decorator
from tokenclock._options import Options
from tokenclock._recorder import MOST_MARKS, Recorder
from tokenclock._tape import Tape
from tokenclock.testing import AsyncScriptedStream, FakeClock, Script, ScriptedStream

TOKEN = Reading(tokens=1)
WORD = frame("a")  # the same from a provider
EPOCH_NS = 1_700_000_000_000_000_000
EPOCH = datetime(2023, 11, 14, 22, 13, 20, tzinfo=timezone.utc)


def usage(output: int | None = None, **rest: int) -> Reading:
    return Reading(usage=Usage(output_tokens=output, **rest))


def counted(shape: str, clock: FakeClock, chunks: list[Any], **options: Any) -> MetricsResult[None]:
    """Give the result of a stream of these chunks, a quarter of a second apart."""
    return finished(shape, Script([(0.25, chunk) for chunk in chunks], clock=clock), **options)


# --- times -----------------------------------------------------------------------------------


@every_shape
def test_a_stream_without_items_has_no_first_anything(shape: str, clock: FakeClock) -> None:
    """What never came has no time."""
    result = counted(shape, clock, [])

    assert result.time_to_first_chunk is None
    assert result.time_to_first_token is None
    assert result.time_to_first_output_token is None
    assert result.time_to_last_token is None
    assert result.time_per_output_token is None
    assert result.consumer_time_before_first_token is None
    assert result.inter_token_latencies == []
    assert result.streamed is True


@every_shape
def test_items_without_tokens_are_chunks_only(shape: str, clock: FakeClock) -> None:
    """Blank chunks have a first chunk and no first token."""
    result = counted(shape, clock, ["", None, b""])

    assert result.time_to_first_chunk == 0.25
    assert result.time_to_first_token is None
    assert result.time_to_last_token is None
    assert result.chunk_count == 3
    assert result.token_chunk_count == 0
    assert result.token_count == 0
    assert result.throughput == 0.0


@every_shape
def test_a_stream_of_reasoning_has_no_output_token(shape: str, clock: FakeClock) -> None:
    """Reasoning alone has a first token and no first output token."""
    thought = Reading(tokens=1, channel="reasoning")
    result = counted(shape, clock, [thought, thought], read_chunk=as_it_is)

    assert result.time_to_first_token == 0.25
    assert result.time_to_first_output_token is None
    assert result.time_to_last_token == 0.5


@every_shape
@pytest.mark.parametrize("channel", ["text", "tool", None])
def test_everything_but_reasoning_is_output(shape: str, channel: Any, clock: FakeClock) -> None:
    """Text, tool calls and chunks of no named channel are output."""
    result = counted(shape, clock, [Reading(tokens=1, channel=channel)], read_chunk=as_it_is)

    assert result.time_to_first_output_token == 0.25


@every_shape
def test_blank_chunks_between_tokens_widen_the_gap(shape: str, clock: FakeClock) -> None:
    """A gap runs from token to token, over what comes between."""
    result = counted(shape, clock, ["a", "", "b", "c", ""])

    assert result.inter_token_latencies == [0.5, 0.25]
    assert result.time_to_last_token == 1.0
    assert result.generation_latency == 1.25
    assert result.time_per_output_token == 0.375


@every_shape
def test_a_stream_that_took_no_time_has_no_throughput(shape: str, clock: FakeClock) -> None:
    """A rate over no time is None."""
    result = finished(shape, Script([(0, "a"), (0, "b")], clock=clock))

    assert result.generation_latency == 0.0
    assert result.throughput is None
    assert result.time_to_first_token == 0.0
    assert result.time_per_output_token == 0.0
    assert result.inter_token_latencies == [0.0]


@pytest.mark.parametrize("value", ["text", ("a", "b"), {"a": 1}, 7, None])
def test_a_value_of_unknown_length_has_a_first_token_and_no_count(
    value: object, clock: FakeClock
) -> None:
    """The caller has a value's tokens at its end, however many they are."""

    def generate() -> object:
        clock.advance(0.5)
        return value

    result = metrics_decorator(generate, clock=clock)()

    assert result.time_to_first_token == 0.5
    assert result.generation_latency == 0.5
    assert result.token_count is None
    assert result.token_source is None
    assert result.throughput is None


def test_a_value_has_no_numbers_of_a_stream(clock: FakeClock) -> None:
    """What only a stream can show is None for a value, or 0 where it is a count or a sum."""

    def generate() -> list[str]:
        clock.advance(0.5)
        return ["a"]

    result = metrics_decorator(generate, clock=clock)()

    assert result.time_to_first_chunk is None
    assert result.time_to_first_output_token is None
    assert result.time_to_last_token is None
    assert result.time_per_output_token is None
    assert result.consumer_time_before_first_token is None
    assert result.timeline is None
    assert result.timeline_complete is True
    assert result.inter_token_latencies == []
    assert result.chunk_count == 0
    assert result.token_chunk_count == 0
    assert result.consumer_time == 0.0
    assert result.producer_time == 0.5
    assert result.idle_before_start == 0.0


def test_an_empty_list_never_had_a_first_token(clock: FakeClock) -> None:
    """No tokens have no first one."""

    def generate() -> list[str]:
        clock.advance(0.5)
        return []

    result = metrics_decorator(generate, clock=clock)()

    assert result.time_to_first_token is None
    assert result.token_count == 0
    assert result.throughput == 0.0


def test_a_call_that_raised_has_no_tokens(clock: FakeClock) -> None:
    """A function that raised gave nothing: its tokens are unknown."""

    def generate() -> list[str]:
        clock.advance(0.5)
        raise TimeoutError

    with capture() as results, pytest.raises(TimeoutError):
        metrics_decorator(generate, clock=clock)()

    [result] = results
    assert result.outcome == "failed"
    assert result.error == "TimeoutError"
    assert result.generation_latency == 0.5
    assert result.time_to_first_token is None
    assert result.token_count is None
    assert result.throughput is None


# --- tokens ------------------------------------------------------------------------------------


@every_shape
def test_count_tokens_comes_before_everything(shape: str, clock: FakeClock) -> None:
    """What count_tokens says wins over usage and over readings."""
    chunks = [Reading(tokens=2), Reading(tokens=2, usage=Usage(output_tokens=50))]
    result = counted(
        shape, clock, chunks, read_chunk=as_it_is, count_tokens=lambda chunk: chunk.tokens * 3
    )

    assert result.token_count == 12
    assert result.token_source == "counted"
    assert result.throughput == 24.0
    assert result.time_per_output_token == 0.25 / 6


@every_shape
def test_usage_comes_before_the_readings_of_read_chunk(shape: str, clock: FakeClock) -> None:
    """The provider's count wins over the sum of the readings."""
    chunks = [Reading(tokens=2), Reading(tokens=2), usage(50)]
    result = counted(shape, clock, chunks, read_chunk=as_it_is)

    assert result.token_count == 50
    assert result.token_source == "usage"
    assert result.time_per_output_token == 0.25 / 48


@every_shape
def test_readings_of_read_chunk_count(shape: str, clock: FakeClock) -> None:
    """Without usage the readings of read_chunk are the count."""
    chunks = [Reading(tokens=2), Reading(tokens=0), Reading(tokens=5)]
    result = counted(shape, clock, chunks, read_chunk=as_it_is)

    assert result.token_count == 7
    assert result.token_source == "counted"
    assert result.token_chunk_count == 2
    assert result.chunk_count == 3
    assert result.time_per_output_token == 0.1


@every_shape
def test_chunks_of_known_shape_count_one_each(shape: str, clock: FakeClock) -> None:
    """Where nobody counted, token-bearing chunks are the count, and the source says so."""
    result = counted(shape, clock, [frame(), WORD, "b", 3, b"c", ""])

    assert result.token_count == 4
    assert result.token_source == "chunks"


@every_shape
def test_usage_after_the_last_token_counts(shape: str, clock: FakeClock) -> None:
    """A provider's usage is the count where only blank chunks follow it."""
    result = counted(shape, clock, [WORD, WORD, usage_frame(9), frame(), ""])

    assert result.token_count == 9
    assert result.token_source == "usage"
    assert result.time_to_last_token == 0.5


@every_shape
def test_usage_in_the_last_tokens_chunk_counts(shape: str, clock: FakeClock) -> None:
    """Usage that comes with a token covers that token."""
    result = counted(shape, clock, [WORD, frame("a", usage={"completion_tokens": 9})])

    assert result.token_count == 9
    assert result.token_source == "usage"


@every_shape
@pytest.mark.parametrize("late", [WORD, "plain"])
def test_usage_before_a_token_does_not_count(shape: str, late: object, clock: FakeClock) -> None:
    """A token after the usage, read or plain, is not in it."""
    result = counted(shape, clock, [WORD, usage_frame(9), late])

    assert result.token_count == 2
    assert result.token_source == "chunks"


@every_shape
def test_later_usage_without_output_leaves_the_count_to_chunks(
    shape: str, clock: FakeClock
) -> None:
    """Usage that says nothing of the output is no count."""
    cached = usage_frame(prompt_tokens_details={"cached_tokens": 3})
    result = counted(shape, clock, [usage_frame(0, prompt_tokens=7), WORD, cached])

    assert result.token_count == 1
    assert result.token_source == "chunks"
    assert result.input_token_count == 7
    assert result.cached_token_count == 3


@every_shape
@pytest.mark.parametrize(
    ("reported", "tokens", "source"), [(1, 3, "chunks"), (3, 3, "usage"), (8, 8, "usage")]
)
def test_with_several_choices_the_larger_count_wins(
    shape: str, reported: int, tokens: int, source: str, clock: FakeClock
) -> None:
    """Usage of one choice does not shrink the count of all."""
    other = frame("a", index=1)
    result = counted(shape, clock, [WORD, other, WORD, usage_frame(reported)])

    assert result.token_count == tokens
    assert result.token_source == source


@every_shape
def test_with_one_choice_usage_wins_over_more_chunks(shape: str, clock: FakeClock) -> None:
    """A provider that splits a token over chunks knows better than the chunks."""
    result = counted(shape, clock, [WORD, WORD, WORD, usage_frame(2)])

    assert result.token_count == 2
    assert result.token_source == "usage"


@every_shape
def test_usage_that_counts_no_more_than_the_first_chunk_gives_no_tpot(
    shape: str, clock: FakeClock
) -> None:
    """Where nothing is left to divide by, there is no time per token."""
    result = counted(shape, clock, [WORD, WORD, usage_frame(1)])

    assert result.token_count == 1
    assert result.time_per_output_token is None


@every_shape
def test_reasoning_that_streamed_is_not_subtracted(shape: str, clock: FakeClock) -> None:
    """Reasoning that came as chunks took part of the time between first and last token."""
    thought = Reading(tokens=1, channel="reasoning")
    chunks = [thought, thought, TOKEN, usage(5, reasoning_tokens=3)]
    result = counted(shape, clock, chunks, read_chunk=as_it_is)

    assert result.reasoning_token_count == 3
    assert result.time_per_output_token == 0.125


@every_shape
def test_more_reasoning_than_output_gives_no_tpot(shape: str, clock: FakeClock) -> None:
    """Reported reasoning that leaves no output tokens leaves no time per token."""
    chunks = [TOKEN, TOKEN, usage(5, reasoning_tokens=5)]
    result = counted(shape, clock, chunks, read_chunk=as_it_is)

    assert result.time_per_output_token is None


@every_shape
def test_the_counts_that_nobody_reported_are_none(shape: str, clock: FakeClock) -> None:
    """Unknown input, reasoning and cache counts are None, not 0."""
    result = counted(shape, clock, ["a"])

    assert result.input_token_count is None
    assert result.reasoning_token_count is None
    assert result.cached_token_count is None
    assert result.model is None
    assert result.request_model is None
    assert result.provider is None
    assert result.operation is None
    assert result.finish_reason is None
    assert result.error is None
    assert result.parent_id is None


@every_shape
def test_model_usage_and_channel_are_read_beside_count_tokens(shape: str, clock: FakeClock) -> None:
    """count_tokens takes over the count and nothing else."""
    chunks = [
        frame(reasoning_content="a", model="llama-3"),
        frame("a", finish_reason="stop"),
        usage_frame(
            9,
            prompt_tokens=4,
            prompt_tokens_details={"cached_tokens": 2},
            completion_tokens_details={"reasoning_tokens": 1},
        ),
    ]
    result = counted(
        shape, clock, chunks, count_tokens=lambda chunk: 2 * len(chunk["choices"]), model="llama"
    )

    assert result.token_count == 4
    assert result.token_source == "counted"
    assert result.time_to_first_output_token == 0.5
    assert result.model == "llama-3"
    assert result.request_model == "llama"
    assert result.finish_reason == "stop"
    assert result.input_token_count == 4
    assert result.cached_token_count == 2
    assert result.reasoning_token_count == 1


@every_shape
def test_the_option_is_the_model_where_no_chunk_names_one(shape: str, clock: FakeClock) -> None:
    """Labels of the decorator are on the result."""
    result = counted(
        shape,
        clock,
        ["a"],
        model="llama",
        provider="local",
        operation="chat",
        attributes={"tenant": "acme", "retries": 2},
    )

    assert result.model == "llama"
    assert result.request_model == "llama"
    assert result.provider == "local"
    assert result.operation == "chat"
    assert dict(result.attributes) == {"tenant": "acme", "retries": 2}
    assert result.function == "tokens"


def test_the_calls_own_model_is_the_requested_one(clock: FakeClock) -> None:
    """A call's model= is the requested model, and not what was reported."""

    def generate(*, model: str) -> list[str]:
        return ["a"]

    result = metrics_decorator(generate, clock=clock)(model="llama\x1b[31m")

    assert result.request_model == "llama[31m"
    assert result.model is None


# --- start, end and whose time it was ----------------------------------------------------------


@every_shape
def test_the_time_before_the_first_request_is_idle(shape: str, clock: FakeClock) -> None:
    """A generator function starts at the first request, an ordinary one at the call."""
    stream = stream_of(shape, Script([(0.5, "a")], clock=clock, end=0.25))
    clock.advance(2.0)
    read(stream)
    result = stream.metrics

    is_lazy = "generator" in shape
    assert result.idle_before_start == (2.0 if is_lazy else 0.0)
    assert result.generation_latency == (0.75 if is_lazy else 2.75)
    assert result.consumer_time == (0.0 if is_lazy else 2.0)
    assert result.consumer_time_before_first_token == (0.0 if is_lazy else 2.0)
    assert result.producer_time == 0.75


@every_shape
def test_a_stream_that_was_never_asked_took_no_time(shape: str, clock: FakeClock) -> None:
    """An unconsumed stream has no latency; a generator function's never started."""
    stream = stream_of(shape, Script([(0.5, "a")], clock=clock))
    clock.advance(2.0)
    close(stream)
    result = stream.metrics

    assert result.outcome == "unconsumed"
    assert result.generation_latency == 0.0
    assert result.consumer_time == 0.0
    assert result.throughput is None
    assert result.time_to_first_token is None
    assert result.idle_before_start == (None if "generator" in shape else 0.0)


def test_an_unconsumed_streams_latency_is_the_time_to_return_it(clock: FakeClock) -> None:
    """A function that returned its stream late took that long."""
    script = Script([(0.5, "a")], clock=clock)

    def connect() -> Iterator[str]:
        clock.advance(0.25)
        return script.stream()

    stream: Any = metrics_decorator(connect, clock=clock)()
    clock.advance(2.0)
    stream.close()

    assert stream.metrics.outcome == "unconsumed"
    assert stream.metrics.generation_latency == 0.25
    assert stream.metrics.producer_time == 0.25


@every_shape
def test_every_pause_of_the_caller_is_summed(shape: str, clock: FakeClock) -> None:
    """The caller's time is what passes between having a chunk and asking for the next."""
    stream = stream_of(shape, Script([(0.25, ""), (0.25, "a"), (0.25, "b")], clock=clock, end=0.5))
    step(stream)
    clock.advance(1.0)
    step(stream)
    clock.advance(2.0)
    step(stream)
    clock.advance(4.0)
    read(stream)
    result = stream.metrics

    assert result.consumer_time == 7.0
    assert result.consumer_time_before_first_token == 1.0
    assert result.producer_time == 1.25
    assert result.generation_latency == 8.25
    assert result.time_to_first_token == 1.5
    assert result.inter_token_latencies == [2.25]


@every_shape
def test_the_last_pause_before_a_stop_is_no_part_of_the_run(shape: str, clock: FakeClock) -> None:
    """A stopped run ended at its last chunk: what the caller did after is not counted."""
    stream = stream_of(shape, Script([(0.25, "a"), (0.25, "b"), (0.25, "c")], clock=clock))
    step(stream)
    clock.advance(1.0)
    step(stream)
    clock.advance(4.0)
    close(stream)
    result = stream.metrics

    assert result.generation_latency == 1.5
    assert result.consumer_time == 1.0
    assert result.producer_time == 0.5


@every_shape
def test_the_time_a_reader_takes_is_the_callers(shape: str, clock: FakeClock) -> None:
    """Reading a chunk happens after it arrived and before the next is asked for."""

    def count(chunk: str) -> int:
        clock.advance(1.0)
        return 1

    script = Script([(0.25, "a"), (0.25, "b")], clock=clock, end=0.25)
    result = finished(shape, script, count_tokens=count)

    assert result.time_to_first_token == 0.25
    assert result.generation_latency == 2.75
    assert result.consumer_time == 2.0
    assert result.producer_time == 0.75


@every_shape
def test_a_coroutine_that_gives_a_stream_starts_at_its_first_await(
    shape: str, clock: FakeClock
) -> None:
    """The connection that a coroutine opens is in the first-token time, the wait before is not."""
    script = Script([(0.5, "a")], clock=clock, end=0.25)

    async def connect() -> Any:
        clock.advance(0.125)
        return getattr(script, SHAPES[shape])()

    decorate: Any = metrics_decorator
    call = decorate(connect, clock=clock)()
    clock.advance(1.0)
    stream = now(call)
    clock.advance(2.0)
    result = collect(stream)

    assert result.value == ["a"]
    assert result.idle_before_start == 1.0
    assert result.time_to_first_token == 2.625
    assert result.consumer_time == 2.0
    assert result.consumer_time_before_first_token == 2.0
    assert result.producer_time == 0.875
    assert result.generation_latency == 2.875
    assert result.streamed is True


class _Later:
    """An awaitable that is no coroutine: works when it is awaited."""

    def __init__(self, clock: FakeClock) -> None:
        self._clock = clock

    def __await__(self) -> Iterator[Any]:
        self._clock.advance(0.5)
        yield from ()
        return ["a", "b"]  # type: ignore[return-value]  # what await gives


def test_an_awaitable_that_a_function_returned_was_in_the_callers_hands(
    clock: FakeClock,
) -> None:
    """An ordinary function starts at its call; until the await the caller holds what it gave."""

    def request() -> _Later:
        clock.advance(0.25)
        return _Later(clock)

    decorate: Any = metrics_decorator
    call = decorate(request, clock=clock)()
    clock.advance(1.0)
    result = now(call)

    assert result.value == ["a", "b"]
    assert result.idle_before_start == 0.0
    assert result.generation_latency == 1.75
    assert result.consumer_time == 1.0
    assert result.producer_time == 0.75
    assert result.time_to_first_token == 1.75


def test_measure_counts_from_the_reading_taken_before_the_request(clock: FakeClock) -> None:
    """With since= the time of the request is in the first-token time."""
    since = clock()
    clock.advance(0.5)
    stream = measure(Script([(0.25, "a")], clock=clock).stream(), since=since, clock=clock)
    clock.advance(1.0)
    list(stream)

    assert stream.metrics.time_to_first_token == 1.75
    assert stream.metrics.consumer_time == 1.0
    assert stream.metrics.producer_time == 0.75
    assert stream.metrics.idle_before_start == 0.0


@every_shape
def test_a_stream_whose_closing_failed_was_in_the_callers_hands(
    shape: str, clock: FakeClock
) -> None:
    """The pause before a close that raised is the caller's: it held the last chunk."""
    decorate: Any = metrics_decorator
    stream = decorate(lambda: _failing_at_close(shape, clock), clock=clock)()
    step(stream)
    clock.advance(2.0)
    with pytest.raises(OSError, match=r"^reset$"):
        close(stream)
    result = stream.metrics

    assert result.outcome == "failed"
    assert result.generation_latency == 2.25
    assert result.consumer_time == 2.0
    assert result.producer_time == 0.25


def _failing_at_close(shape: str, clock: FakeClock) -> Any:
    def generator() -> Iterator[str]:
        try:
            clock.advance(0.25)
            yield "a"
        finally:
            raise OSError("reset")

    async def agenerator() -> AsyncIterator[str]:
        try:
            clock.advance(0.25)
            yield "a"
        finally:
            raise OSError("reset")

    class FailingAtClose(ScriptedStream[str]):
        def close(self) -> None:
            raise OSError("reset")

    class FailingAtAclose(AsyncScriptedStream[str]):
        async def aclose(self) -> None:
            raise OSError("reset")

    script = Script([(0.25, "a")], clock=clock)
    make: dict[str, Callable[[], Any]] = {
        "generator": generator,
        "iterator": lambda: FailingAtClose(script),
        "async generator": agenerator,
        "async iterator": lambda: FailingAtAclose(script),
    }
    return make[shape]()


class GoesOn(ScriptedStream[Any]):
    """An iterator that gives more after it said that there is nothing more."""

    def __next__(self) -> Any:
        chunk = super().__next__()
        if chunk == "end":
            raise StopIteration
        return chunk


@pytest.mark.parametrize("late", ["late", ""])
def test_what_an_iterator_gives_after_its_end_is_not_measured(late: str, clock: FakeClock) -> None:
    """A run ends at the first StopIteration; later chunks reach the caller and no number."""
    script = Script([(0.25, "a"), (0.25, "end"), (0.25, late)], clock=clock)
    stream: Any = metrics_decorator(lambda: GoesOn(script), clock=clock)()

    assert list(stream) == ["a"]
    assert next(stream) == late
    assert stream.metrics.generation_latency == 0.5
    assert stream.metrics.chunk_count == 1
    assert stream.metrics.outcome == "completed"


# --- started_at ----------------------------------------------------------------------------------


@every_shape
def test_started_at_is_the_aware_time_of_the_start(
    shape: str, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stream's start is its function's: the first request, or the call."""
    monkeypatch.setattr(_recorder, "wall_ns", lambda: EPOCH_NS)
    stream = stream_of(shape, Script([(0.5, "a")], clock=clock))
    clock.advance(0.25)
    read(stream)

    started_at = stream.metrics.started_at
    assert started_at.tzinfo is timezone.utc
    late = 250_000 if "generator" in shape else 0
    assert started_at == EPOCH.replace(microsecond=late)


@every_shape
def test_a_run_that_never_started_has_the_time_of_its_call(
    shape: str, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where nothing started, the call is what happened."""
    monkeypatch.setattr(_recorder, "wall_ns", lambda: EPOCH_NS)
    stream = stream_of(shape, Script([(0.5, "a")], clock=clock))
    clock.advance(0.25)
    close(stream)

    assert stream.metrics.started_at == EPOCH


def test_started_at_of_an_inline_measurement_is_the_request(
    clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With since= the start lies before measure() was called, on the wall clock too."""
    monkeypatch.setattr(_recorder, "wall_ns", lambda: EPOCH_NS + clock())
    since = clock()
    clock.advance(0.5)
    stream = measure(iter("a"), since=since, clock=clock)

    assert stream.metrics.started_at == EPOCH


# --- snapshots -----------------------------------------------------------------------------------


@every_shape
def test_a_snapshot_before_the_first_request(shape: str, clock: FakeClock) -> None:
    """Before its first request a generator has not started; an ordinary function has."""
    stream = stream_of(shape, Script([(0.5, "a")], clock=clock))
    clock.advance(2.0)
    result = stream.metrics

    is_lazy = "generator" in shape
    assert result.outcome == "running"
    assert result.generation_latency == (0.0 if is_lazy else 2.0)
    assert result.consumer_time == (0.0 if is_lazy else 2.0)
    assert result.producer_time == 0.0
    assert result.idle_before_start == (None if is_lazy else 0.0)
    assert result.token_count == 0
    assert result.throughput == (None if is_lazy else 0.0)


@every_shape
def test_a_snapshot_half_way_gives_the_open_interval_to_the_caller(
    shape: str, clock: FakeClock
) -> None:
    """A snapshot ends when it is read, and who holds the stream owns the time since."""
    stream = stream_of(shape, Script([(0.5, "a"), (0.25, "b")], clock=clock))
    step(stream)
    clock.advance(1.5)
    first = stream.metrics
    clock.advance(2.0)
    second = stream.metrics

    assert first.outcome == "running"
    assert first.generation_latency == 2.0
    assert first.consumer_time == 1.5
    assert first.consumer_time_before_first_token == 0.0
    assert first.producer_time == 0.5
    assert first.throughput == 0.5
    assert second.generation_latency == 4.0
    assert second.consumer_time == 3.5
    assert second.producer_time == 0.5


@every_shape
def test_a_snapshot_changes_nothing_of_the_result(shape: str, clock: FakeClock) -> None:
    """Looking half-way neither ends a run nor moves its numbers, and old snapshots stay."""
    stream = stream_of(shape, Script([(0.5, "a"), (0.25, "b")], clock=clock, end=0.25))
    step(stream)
    early = stream.metrics
    read(stream)
    result = stream.metrics

    assert result.outcome == "completed"
    assert result.generation_latency == 1.0
    assert result.token_count == 2
    assert early.token_count == 1
    assert early.timeline is not None
    assert [entry.arrived for entry in early.timeline] == [0.5]
    assert early.inter_token_latencies == []
    assert result.inter_token_latencies == [0.25]
    assert stream.metrics is result


@pytest.mark.parametrize("held", [0.0, 1.0])
def test_a_snapshot_from_inside_the_body_gives_the_open_interval_to_the_producer(
    held: float, clock: FakeClock
) -> None:
    """While a chunk is being made, the time since its request is not the caller's."""
    seen: list[MetricsResult[Any]] = []
    measured: list[Any] = []

    def body() -> Iterator[str]:
        clock.advance(0.5)
        seen.append(measured[0].metrics)
        yield "a"
        clock.advance(0.25)
        seen.append(measured[0].metrics)
        yield "b"

    measured.append(metrics_decorator(body, clock=clock)())
    clock.advance(4.0)
    next(measured[0])
    clock.advance(held)
    next(measured[0])

    before, after = seen
    assert before.generation_latency == 0.5
    assert before.idle_before_start == 4.0
    assert before.consumer_time == 0.0
    assert before.producer_time == 0.5
    assert before.time_to_first_token is None
    assert after.generation_latency == 0.75 + held
    assert after.consumer_time == held
    assert after.producer_time == 0.75
    assert after.token_count == 1


def test_a_snapshot_from_inside_an_async_body(clock: FakeClock) -> None:
    """The async body sees the same as the sync one."""
    seen: list[MetricsResult[Any]] = []
    measured: list[Any] = []

    async def body() -> AsyncIterator[str]:
        clock.advance(0.5)
        seen.append(measured[0].metrics)
        yield "a"

    measured.append(metrics_decorator(body, clock=clock)())
    step(measured[0])

    assert seen[0].outcome == "running"
    assert seen[0].generation_latency == 0.5
    assert seen[0].producer_time == 0.5
    assert seen[0].idle_before_start == 0.0


# --- laws ----------------------------------------------------------------------------------------

# Waits are quarters of a second, so that every sum of them is exact.
quarters = st.integers(min_value=0, max_value=20).map(lambda count: count / 4)
chunks_of_a_stream = st.sampled_from(["", "a", None, b"b", 0, 7, "long text"])
scripts = st.lists(st.tuples(quarters, chunks_of_a_stream, quarters), max_size=12)


def play(
    shape: str, steps: list[tuple[float, Any, float]], end: float, stop_after: int | None
) -> MetricsResult[None]:
    """Read a script, holding each chunk for its pause; stop early after so many chunks."""
    clock = FakeClock()
    stream = stream_of(shape, Script([(wait, one) for wait, one, _ in steps], clock=clock, end=end))
    for place, (_, _, pause) in enumerate(steps):
        if place == stop_after:
            close(stream)
            break
        step(stream)
        clock.advance(pause)
    else:
        read(stream)
    result: MetricsResult[None] = stream.metrics
    return result


stops = st.none() | st.integers(min_value=0, max_value=12)


@given(shape=st.sampled_from(list(SHAPES)), steps=scripts, end=quarters, stop=stops)
def test_the_laws_of_the_numbers(
    shape: str, steps: list[tuple[float, Any, float]], end: float, stop: int | None
) -> None:
    """Order, sums and counts hold for every script, and nothing is negative."""
    result = play(shape, steps, end, stop)
    read_steps = steps[:stop]
    bearing = [one for _, one, _ in read_steps if one not in ("", None, b"")]

    assert result.chunk_count == len(read_steps)
    assert result.token_chunk_count == result.token_count == len(bearing)
    assert result.consumer_time + result.producer_time == result.generation_latency
    assert len(result.inter_token_latencies) == max(len(bearing) - 1, 0)
    if bearing:
        first, last = result.time_to_first_token, result.time_to_last_token
        before_first = result.consumer_time_before_first_token
        assert result.time_to_first_chunk is not None
        assert first is not None
        assert last is not None
        assert before_first is not None
        assert 0 <= result.time_to_first_chunk <= first <= last <= result.generation_latency
        assert 0 <= before_first <= min(first, result.consumer_time)
        assert sum(result.inter_token_latencies) == last - first
    assert min(result.inter_token_latencies, default=0) >= 0
    assert min(result.consumer_time, result.producer_time, result.generation_latency) >= 0


@given(steps=scripts, end=quarters, stop=stops)
def test_sync_and_async_give_the_same_numbers(
    steps: list[tuple[float, Any, float]], end: float, stop: int | None
) -> None:
    """The same script gives the same result, sync and async."""
    for sync, twin in (("generator", "async generator"), ("iterator", "async iterator")):
        numbers = [play(shape, steps, end, stop).to_dict() for shape in (sync, twin)]
        for record in numbers:
            del record["call_id"], record["started_at"]
        assert numbers[0] == numbers[1]


@given(backwards=st.lists(st.integers(min_value=-3, max_value=3), min_size=8, max_size=8))
def test_a_clock_that_runs_backwards_gives_no_negative_time(backwards: list[int]) -> None:
    """Durations are never negative, whatever the clock says."""
    readings = iter([0, *(10 * step for step in backwards)])
    latest = [0]

    def wild() -> int:
        latest[0] = next(readings, latest[0])
        return latest[0]

    stream: Any = metrics_decorator(lambda: iter("abc"), name="wild", clock=wild)()
    list(stream)
    result = stream.metrics

    times = [
        result.generation_latency,
        result.time_to_first_chunk,
        result.time_to_first_token,
        result.time_to_last_token,
        result.consumer_time,
        result.consumer_time_before_first_token,
        result.producer_time,
        result.idle_before_start,
        *result.inter_token_latencies,
    ]
    assert min(times) >= 0


# --- the recorder by itself ----------------------------------------------------------------------


def opened(clock: FakeClock) -> Recorder:
    recorder = Recorder(Options(name="tokens", clock=clock))
    recorder.tape, recorder.streamed, recorder.shelf = Tape(clock), True, []
    recorder.begin()
    recorder.handed_over(clock())
    return recorder


@pytest.mark.parametrize("sizes", [[1000], [3000], [1] * 40, [256, 257, 1], [3, 300, 7]])
def test_batches_of_any_size_are_taken_whole(sizes: list[int], clock: FakeClock) -> None:
    """How many stamps wait when they are looked at changes no number."""
    recorder = opened(clock)
    moment = 0
    for size in sizes:
        for _ in range(size):
            recorder.tape.pending += [moment, moment + 2]
            moment += 3
        recorder.flush()
    recorder.close_stamps(moment, moment, stopped=False)
    numbers = recorder.numbers("completed")
    count = sum(sizes)

    assert numbers["token_count"] == numbers["chunk_count"] == count
    assert len(numbers["timeline"]) == count
    assert [entry.tokens for entry in numbers["timeline"]] == [1] * count
    assert len(numbers["inter_token_latencies"]) == count - 1
    assert set(numbers["inter_token_latencies"]) == {3e-9}
    assert numbers["consumer_time"] == count / 1_000_000_000
    assert numbers["producer_time"] == 2 * count / 1_000_000_000


def test_a_batch_across_the_bound_keeps_what_has_room(clock: FakeClock) -> None:
    """The timeline is full to the last place, and what is beyond still counts."""
    recorder = opened(clock)
    for moment in range(MOST_MARKS - 1):
        recorder.tape.pending += [moment, moment]
    recorder.flush()
    last = 10**9
    recorder.tape.pending += [last, last, last, last, last, 2 * last]
    recorder.flush()
    recorder.close_stamps(2 * last, 2 * last, stopped=False)
    numbers = recorder.numbers("completed")

    assert len(numbers["timeline"]) == MOST_MARKS
    assert numbers["timeline"][-1].arrived == 1.0
    assert numbers["timeline_complete"] is False
    assert numbers["chunk_count"] == MOST_MARKS + 2
    assert numbers["time_to_last_token"] == 2.0


def test_plain_and_read_chunks_add_up_in_any_order(clock: FakeClock) -> None:
    """Chunks that the hands know and chunks that are read are one stream."""
    mixed = ["a", "", None, 5, 0, b"x", bytearray(b"y"), "c"]
    chunks = [*(mixed * 50), *("a" * 700), None, *mixed]
    result = finished("generator", Script([(0.25, one) for one in chunks], clock=clock))
    bearing = sum(1 for one in chunks if one not in ("", None))

    assert result.chunk_count == 1109
    assert result.token_chunk_count == bearing
    assert result.timeline is not None
    assert [entry.arrived for entry in result.timeline] == [0.25 * n for n in range(1, 1110)]
    assert [entry.tokens for entry in result.timeline] == [
        0 if one in ("", None) else 1 for one in chunks
    ]


@pytest.mark.logs_failures
def test_a_failure_of_our_own_costs_stamps_and_not_the_stream(
    clock: FakeClock, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """What we get wrong is logged with its traceback, and the caller reads on."""

    def broken(*_: object) -> None:
        raise AssertionError("secret")

    monkeypatch.setattr(Recorder, "_take", broken)
    monkeypatch.setattr(Recorder, "_take_one", broken)
    stream = stream_of("generator", Script([(0.25, "a"), (0.25, "")], clock=clock))

    assert read(stream) == ["a", ""]
    assert stream.metrics.outcome == "completed"
    assert {record.getMessage() for record in caplog.records} == {
        "Measuring 'tokens' failed: AssertionError"
    }
    assert all(record.exc_info is not None for record in caplog.records)
    assert "in broken" in caplog.text
    assert "AssertionError: secret" not in caplog.text
