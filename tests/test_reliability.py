"""Many calls at once, very long streams, many rounds, and looks at any moment: all stays exact."""

from __future__ import annotations

import asyncio
import gc
import itertools
import random
import signal
import sys
import threading
import tracemalloc
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

import pytest

import tokenclock
from driving import END, run_python, settle, step_or_end
from stepping import every_shape, read, stream_of
from tokenclock import MetricsResult, capture, labels, measure, metrics_of, observe
from tokenclock._hands import _anext, _next
from tokenclock._recorder import BATCH, MOST_MARKS, Books, Recorder
from tokenclock._runs import Run, live_runs
from tokenclock._sinks import SinkEntry
from tokenclock._streams import AsyncMeasuredStream, MeasuredStream
from tokenclock._timeline import Marks, Timeline, TokenGaps
from tokenclock.testing import CollectingSink, FakeClock, Script

# --- many at once ------------------------------------------------------------------------------

STREAMS = 2_000
TOKENS = 200
THREADS = 64


def measured_with(clock: FakeClock, function: Any, number: int) -> Any:
    """
    Give a measured function with a clock of its own.

    A stamp that got into the wrong run shows in its numbers.
    """
    return observe(clock=clock, attributes={"number": number})(function)


def check_exact(results: list[MetricsResult[Any]], count: int) -> None:
    """Every stream is there once; number n had a token every (n + 1) / 512 s, which is exact."""
    assert len({one.call_id for one in results}) == len(results) == count
    assert {one.attributes["number"] for one in results} == set(range(count))
    for result in results:
        step = (int(result.attributes["number"]) + 1) / 512
        assert result.outcome == "completed"
        assert result.chunk_count == result.token_count == TOKENS
        assert result.time_to_first_token == step
        assert result.generation_latency == TOKENS * step
        assert result.time_per_output_token == step
        assert result.parent_id is None
        assert len(result.inter_token_latencies) == TOKENS - 1
    assert live_runs == {}


@pytest.mark.heavy
@pytest.mark.asyncio
async def test_two_thousand_concurrent_async_streams_are_exact(sink: CollectingSink) -> None:
    """2,000 async streams of 200 tokens in one loop: none lost, none mixed, all exact."""

    async def answer(clock: FakeClock, step: float) -> AsyncIterator[str]:
        for _ in range(TOKENS):
            await asyncio.sleep(0)
            clock.advance(step)
            yield "a"

    async def consume(number: int) -> int:
        clock = FakeClock()
        stream = measured_with(clock, answer, number)(clock, (number + 1) / 512)
        return len([chunk async for chunk in stream])

    read_by_each = await asyncio.gather(*(consume(number) for number in range(STREAMS)))

    assert set(read_by_each) == {TOKENS}
    check_exact(sink.results, STREAMS)


@pytest.mark.heavy
def test_streams_in_sixty_four_threads_are_exact(sink: CollectingSink) -> None:
    """64 threads, each with streams of its own: none lost, none mixed, all exact."""

    def answer(clock: FakeClock, step: float) -> Iterator[str]:
        for _ in range(TOKENS):
            clock.advance(step)
            yield "a"

    counts: list[int] = []

    def consume(thread: int) -> None:
        for number in range(4 * thread, 4 * thread + 4):
            clock = FakeClock()
            stream = measured_with(clock, answer, number)(clock, (number + 1) / 512)
            counts.append(len(list(stream)))

    in_threads(consume, THREADS)

    assert counts == [TOKENS] * (4 * THREADS)
    check_exact(sink.results, 4 * THREADS)


def in_threads(work: Callable[[int], None], count: int) -> None:
    """Run *work* in many threads that take turns as often as the interpreter lets them."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    threads = [threading.Thread(target=work, args=(number,)) for number in range(count)]
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(before)


def test_streams_dropped_by_many_threads_are_all_delivered(sink: CollectingSink) -> None:
    """Streams that 16 threads drop half-way are each delivered once, as stopped."""

    def drop(number: int) -> None:
        for _ in range(50):
            next(measure(iter("ab"), attributes={"number": number}))

    in_threads(drop, 16)
    settle()

    assert len({one.call_id for one in sink.results}) == len(sink.results) == 800
    assert {one.outcome for one in sink.results} == {"stopped"}
    for number in range(16):
        assert sum(one.attributes["number"] == number for one in sink.results) == 50


class Locked:
    """An iterator that many threads may share, as SDKs' queues are."""

    def __init__(self, chunks: Iterator[Any]) -> None:
        self._chunks = chunks
        self._lock = threading.Lock()

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        with self._lock:
            return next(self._chunks)


def test_many_threads_that_share_one_stream_lose_no_chunk(sink: CollectingSink) -> None:
    """A stream that several threads read at once counts every chunk once, in one result."""
    chunks = 8 * 1_000
    stream = measure(Locked(itertools.repeat("a", chunks)))
    got: list[int] = []
    in_threads(lambda _: got.extend([sum(1 for _ in itertools.islice(stream, 1_000))]), 8)
    assert list(stream) == []

    assert sum(got) == chunks
    assert [one.outcome for one in sink.results] == ["completed"]
    assert sink.results[0].chunk_count == sink.results[0].token_count == chunks


# --- memory --------------------------------------------------------------------------------------

ROUNDS = 10
CALLS = 100
SMALLEST = sys.getsizeof(object())
OURS = (
    Run,
    Recorder,
    MetricsResult,
    Marks,
    Timeline,
    MeasuredStream,
    AsyncMeasuredStream,
    SinkEntry,
)


def one_round() -> None:
    """Finish calls in every way, with everything on that keeps hold of results for a while."""

    async def coroutine() -> str:
        return "a"

    async def many() -> None:
        @observe(sinks=[lambda _: None])
        async def answer() -> AsyncIterator[str]:
            yield "a"
            await coroutine_measured()
            yield "b"

        for _ in range(CALLS):
            async for _ in answer():
                pass

    coroutine_measured = observe(coroutine)
    value: Any = observe(lambda: ["a"])
    streams: list[Any] = [observe(Script([(0.5, "a"), (0.5, "b")], clock=FakeClock()).generator)]
    streams.append(observe(lambda: iter("ab")))
    with capture(), labels(tenant="acme"):
        for _ in range(CALLS):
            value()
            for make in streams:
                list(make())
                next(make())
                make()
                assert make().metrics.outcome == "running"
                cycle: list[Any] = [make()]
                cycle.append(cycle)
        asyncio.run(many())


def census() -> Counter[type]:
    """Count the objects that the collector knows, by their types."""
    settle()
    return Counter(map(type, gc.get_objects()))


@pytest.mark.heavy
def test_no_object_is_left_after_ten_rounds() -> None:
    """Ten rounds of calls leave no object of ours, and fewer others than one for each call."""
    one_round()  # classes are made, caches filled, the thread started
    one_round()
    before = census()
    for _ in range(ROUNDS):
        one_round()
    more = census() - before

    assert [kind for kind in more if issubclass(kind, OURS)] == []
    # A call that leaves one object behind leaves this many in ten rounds.
    assert sum(more.values()) < ROUNDS * CALLS, more
    assert live_runs == {}


@pytest.mark.heavy
def test_no_memory_is_left_after_ten_rounds() -> None:
    """Of what our code allocates, ten rounds leave less than the smallest object for each call."""
    only_ours = [tracemalloc.Filter(inclusive=True, filename_pattern=str(PACKAGE / "*"))]
    one_round()
    tracemalloc.start()
    try:
        one_round()
        settle()
        before = kept(only_ours)
        for _ in range(ROUNDS):
            one_round()
        settle()
        after = kept(only_ours)
    finally:
        tracemalloc.stop()

    assert after - before < ROUNDS * CALLS * SMALLEST


PACKAGE = Path(tokenclock.__file__).parent


def kept(filters: list[tracemalloc.Filter]) -> int:
    """Give the bytes that are kept of what our code allocated."""
    snapshot = tracemalloc.take_snapshot().filter_traces(filters)
    return sum(one.size for one in snapshot.statistics("filename"))


@every_shape
def test_chunks_are_not_kept(shape: str) -> None:
    """A chunk that the caller let go is gone: a measured stream keeps stamps, no chunks."""

    class Chunk:
        alive = 0

        def __init__(self) -> None:
            Chunk.alive += 1

        def __del__(self) -> None:
            Chunk.alive -= 1

    class Fresh(Script[Any]):
        def generator(self) -> Any:
            return (Chunk() for _ in range(10))

        async def agenerator(self) -> Any:
            for _ in range(10):
                yield Chunk()

    stream = stream_of(shape, Fresh([], clock=FakeClock()), count_tokens=lambda _: 1)
    most = 0
    while step_or_end(stream) is not END:
        most = max(most, Chunk.alive)

    assert most == 0
    assert stream.metrics.chunk_count == 10


# --- very long streams ---------------------------------------------------------------------------

MANY = 5_000_000
LATE = 200_000  # many more than the bytes of the stamps that wait to be looked at, 100 kB


@pytest.mark.heavy
def test_a_stream_of_five_million_chunks_is_exact_and_bounded() -> None:
    """Beyond the first 65,536 chunks nothing is kept, and every count and sum stays exact."""
    tick = itertools.count().__next__  # every look at the clock takes one nanosecond
    stream: Any = measure(itertools.repeat("a", MANY), clock=tick)
    run: Run = stream._tc_run
    deque(itertools.islice(stream, MANY - LATE), maxlen=0)
    tracemalloc.start()
    try:
        deque(itertools.islice(stream, LATE), maxlen=0)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert list(stream) == []

    assert most < LATE  # not even one byte a chunk
    assert len(run.open_books().marks) == MOST_MARKS == 65_536
    result = stream.metrics
    assert result.chunk_count == result.token_count == result.token_chunk_count == MANY
    assert result.timeline_complete is False
    assert len(result.timeline) == 65_536
    assert len(result.inter_token_latencies) == 65_535
    # Each request comes one tick after the chunk before it, each chunk one tick after its request.
    ticks = {name: round(1e9 * value) for name, value in times_of(result).items()}
    assert ticks["time_to_last_token"] - ticks["time_to_first_token"] == 9_999_998
    assert ticks["generation_latency"] - ticks["time_to_last_token"] == 2
    assert ticks["producer_time"] == 5_000_001
    assert ticks["consumer_time"] - ticks["consumer_time_before_first_token"] == 5_000_000


def times_of(result: MetricsResult[Any]) -> dict[str, float]:
    return {
        name: value
        for name, value in result.to_dict().items()
        if isinstance(value, float) and name.partition("_")[2]
    }


@pytest.mark.parametrize("length", [MOST_MARKS - 1, MOST_MARKS, MOST_MARKS + 1])
@pytest.mark.parametrize("chunk", ["a", True], ids=["counted in batches", "read one by one"])
def test_the_timeline_is_complete_up_to_its_last_place(chunk: object, length: int) -> None:
    """A stream of exactly 65,536 chunks has a complete timeline, one of 65,537 does not."""
    stream: Any = measure(itertools.repeat(chunk, length))
    deque(stream, maxlen=0)

    result = stream.metrics
    assert result.chunk_count == length
    assert len(result.timeline) == min(length, 65_536)
    assert result.timeline_complete is (length <= 65_536)


# --- looks at any moment -------------------------------------------------------------------------


def test_metrics_read_by_another_thread_lose_no_chunk() -> None:
    """A thread that reads metrics all the time sees counts that only grow, and costs no chunk."""
    chunks = 50_000
    stream: Any = measure(Script([(0.0, "a")] * chunks, clock=FakeClock()).stream())
    is_over = threading.Event()
    seen: list[MetricsResult[Any]] = []

    def watch() -> None:
        while not is_over.is_set():
            seen.append(stream.metrics)

    def work(number: int) -> None:
        if number:
            watch()
            return
        deque(stream, maxlen=0)
        is_over.set()

    in_threads(work, 3)

    assert stream.metrics.chunk_count == stream.metrics.token_count == chunks
    assert len(stream.metrics.inter_token_latencies) == chunks - 1
    assert all(one.chunk_count == one.token_count for one in seen)
    assert all(one.consumer_time <= one.generation_latency for one in seen)
    assert {one.outcome for one in seen} <= {"running", "completed"}


@every_shape
def test_metrics_half_way_change_nothing(shape: str, clock: FakeClock) -> None:
    """Looking after every chunk gives the same result as looking at the end only."""
    waits = random.Random(7).choices([0.25, 0.5, 1.0], k=600)  # noqa: S311 - no secret
    script = Script([(wait, "a") for wait in waits], clock=clock, end=0.5)
    unwatched = stream_of(shape, script)
    read(unwatched)
    watched = stream_of(shape, script)
    for place in itertools.count(1):
        if step_or_end(watched) is END:
            break
        assert watched.metrics.chunk_count == place

    own = {"call_id", "started_at"}
    first, second = unwatched.metrics.to_dict(), watched.metrics.to_dict()
    assert {name: value for name, value in first.items() if name not in own} == {
        name: value for name, value in second.items() if name not in own
    }


def struck_at(code: CodeType, line: int, strike: Callable[[], object]) -> Any:
    """Give a trace function that calls *strike* whenever *line* of *code* is about to run."""

    def trace(frame: FrameType, event: str, _: object) -> Any:
        if frame.f_code is not code:
            return None
        if event == "line" and frame.f_lineno == line:
            sys.settrace(None)
            try:
                strike()
            finally:
                sys.settrace(trace)
        return trace

    return trace


def lines_of(function: Any) -> Iterator[Any]:
    code: CodeType = function.__code__
    for line in sorted({line for _, _, line in code.co_lines() if line is not None}):
        if line > code.co_firstlineno:
            yield pytest.param(code, line, id=f"{code.co_name}+{line - code.co_firstlineno}")


every_moment = pytest.mark.parametrize(
    ("code", "line"),
    [
        place
        for function in (
            _next,
            Recorder.open_books,
            Recorder.flush,
            Recorder._flush,
            Recorder._take,
            Recorder._sum_up,
            Recorder._settle,
            Recorder.read,
            Recorder._take_one,
            Recorder._take_token,
            Recorder.close_stamps,
            Run.raised,
            Run.finish,
            Run._deliver,
            Run.result,
        )
        for place in lines_of(function)
    ],
)


@every_moment
def test_a_look_at_any_moment_changes_nothing(
    code: CodeType, line: int, clock: FakeClock, sink: CollectingSink
) -> None:
    """A signal handler that reads the metrics between any two lines of ours costs no chunk."""
    chunks = ["a"] * (BATCH + 4) + [""] + ["a"] * 3
    stream = measure(Script([(0.25, chunk) for chunk in chunks], clock=clock).stream(), clock=clock)
    before = sys.gettrace()
    sys.settrace(struck_at(code, line, stream._tc_run.result))
    try:
        deque(stream, maxlen=0)
    finally:
        sys.settrace(before)

    result = stream.metrics
    assert sink.results == [result]
    assert result.outcome == "completed"
    assert result.chunk_count == BATCH + 8
    assert result.token_count == BATCH + 7
    assert result.generation_latency == 0.25 * (BATCH + 8)
    assert result.timeline is not None
    assert len(result.timeline) == BATCH + 8


@pytest.mark.parametrize(("code", "line"), list(lines_of(_next)))
def test_a_chunk_read_between_two_lines_keeps_its_own_stamps(
    code: CodeType, line: int, clock: FakeClock
) -> None:
    """Two threads that read one stream at once do not get into each other's stamps."""
    script = Script([(0.25, "a")] * 6, clock=clock)
    stream: Any = measure(Locked(script.stream()), clock=clock)
    next(stream)
    before = sys.gettrace()
    # The other thread does not see the end while this one has yet to note its last chunk.
    sys.settrace(struck_at(code, line, lambda: clock() < 1_250_000_000 and next(stream)))
    try:
        read(stream)
    finally:
        sys.settrace(before)

    waits = [entry.arrived - entry.requested for entry in stream.metrics.timeline]
    assert len(waits) == 6
    assert set(waits) <= {0.25, 0.5}


@pytest.mark.parametrize(("code", "line"), list(lines_of(TokenGaps._worked_out)))
def test_gaps_read_by_two_threads_at_once_are_the_same(
    code: CodeType, line: int, clock: FakeClock
) -> None:
    """Gaps are worked out when first read; a second reader in the middle of it takes nothing."""
    chunks = Script([(0.25, "a"), (0.5, "b"), (0.25, "c")], clock=clock).generator()
    gaps = measure(chunks, clock=clock).collect().inter_token_latencies
    before = sys.gettrace()
    sys.settrace(struck_at(code, line, lambda: len(gaps)))
    try:
        found = list(gaps)
    finally:
        sys.settrace(before)

    assert found == [0.5, 0.25]
    assert list(gaps) == [0.5, 0.25]


FINISHING = [place for function in (Run.raised, Run.finish) for place in lines_of(function)]


@pytest.mark.parametrize(("code", "line"), FINISHING)
def test_a_close_while_the_stream_ends_gives_no_second_result(
    code: CodeType, line: int, sink: CollectingSink
) -> None:
    """A stream that is closed from elsewhere at the moment of its end yields one result."""
    stream = observe(Script([(0.25, "a")], clock=FakeClock()).stream)()
    before = sys.gettrace()
    sys.settrace(struck_at(code, line, stream.close))
    try:
        read(stream)
    finally:
        sys.settrace(before)

    assert len(sink.results) == 1
    assert metrics_of(stream) == sink.results[0]
    assert sink.results[0].outcome in {"completed", "stopped"}


@pytest.mark.parametrize("function", [Books.__init__, Marks.__init__])
def test_a_look_inside_the_first_look_does_not_wipe_the_books(
    function: Any, clock: FakeClock
) -> None:
    """Who looks while the books are being opened is looked after, and loses nothing."""
    stream = measure(Script([(0.25, "a")] * 8, clock=clock).stream(), clock=clock)
    assert [next(stream) for _ in range(6)] == ["a"] * 6
    lines: list[Any] = [place.values for place in lines_of(function)]
    before = sys.gettrace()
    code, line = lines[0]
    sys.settrace(struck_at(code, line, stream._tc_run.result))
    try:
        midway = stream.metrics
    finally:
        sys.settrace(before)
    assert list(stream) == ["a"] * 2

    assert (midway.chunk_count, midway.time_to_first_token) == (6, 0.25)
    assert (stream.metrics.chunk_count, stream.metrics.time_to_first_token) == (8, 0.25)


@pytest.mark.parametrize(
    ("code", "line"),
    [place for each in (Recorder._flush, Recorder._take) for place in lines_of(each)],
)
def test_a_close_amid_a_look_gives_a_whole_result(
    code: CodeType, line: int, clock: FakeClock, sink: CollectingSink
) -> None:
    """A handler that closes the stream whose stamps are being taken loses none of them."""
    stream = measure(Script([(0.25, "a")] * 8, clock=clock).generator(), clock=clock)
    assert [next(stream) for _ in range(6)] == ["a"] * 6
    before = sys.gettrace()
    sys.settrace(struck_at(code, line, stream.close))
    try:
        _ = stream.metrics
    finally:
        sys.settrace(before)
    stream.close()

    result = stream.metrics
    assert sink.results == [result]
    assert (result.outcome, result.chunk_count) == ("stopped", 6)
    assert result.generation_latency == 1.5


def test_the_async_hand_is_the_sync_one_with_await() -> None:
    """What holds at any line of the sync hand holds of the async one: they do the same."""
    assert set(_next.__code__.co_names) - set(_anext.__code__.co_names) <= {
        "_tc_next",
        "StopIteration",
    }


if hasattr(signal, "setitimer"):

    def test_a_monitor_in_a_signal_handler_loses_nothing() -> None:
        """A timer signal whose handler reads the metrics leaves every number exact."""
        printed = run_python(
            """
            import collections
            import itertools
            import signal
            import tokenclock

            looks = []
            chunks = 500_000
            stream = tokenclock.measure(itertools.repeat("a", chunks))
            signal.signal(signal.SIGALRM, lambda *_: looks.append(stream.metrics.chunk_count))
            signal.setitimer(signal.ITIMER_REAL, 0.0005, 0.0005)
            collections.deque(stream, maxlen=0)
            signal.setitimer(signal.ITIMER_REAL, 0)
            print(len(looks) > 10, looks == sorted(looks), stream.metrics.chunk_count)
            """
        )
        assert printed == "True True 500000\n"

    def test_an_interrupt_by_signal_gives_one_result() -> None:
        """Ctrl-C while the stream waits ends it as failed, once, and reaches the program."""
        printed = run_python(
            """
            import os
            import signal
            import tokenclock

            def answer():
                yield "a"
                os.kill(os.getpid(), signal.SIGINT)
                yield "b"

            tokenclock.add_sink(lambda result: print(result.outcome, result.error, flush=True))
            try:
                list(tokenclock.observe(answer)())
            except KeyboardInterrupt:
                print("interrupted")
            """
        )
        assert printed == "failed KeyboardInterrupt\ninterrupted\n"
