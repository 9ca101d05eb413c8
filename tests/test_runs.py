"""Every call yields exactly one finished result, and knows inside which call it started."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import threading
import weakref
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest

from driving import END, drop, function_of, run_python, settle, step_or_end
from stepping import close, every_shape, now, read, step
from tokenclock import capture, measure, metrics_decorator, metrics_of, observe
from tokenclock._runs import live_runs
from tokenclock.testing import CollectingSink, FakeClock, Script

every_decorator = pytest.mark.parametrize(
    "decorator", [metrics_decorator, observe], ids=["metrics_decorator", "observe"]
)

Ending = Callable[[Any], None]


def until_the_end(stream: Any) -> None:
    read(stream)


def until_it_raises(stream: Any) -> None:
    with contextlib.suppress(RuntimeError, KeyboardInterrupt, SystemExit):
        read(stream)


def close_after_one(stream: Any) -> None:
    step(stream)
    close(stream)


def close_at_once(stream: Any) -> None:
    close(stream)


def drop_after_one(stream: Any) -> None:
    step(stream)


def drop_at_once(stream: Any) -> None:
    pass


def drop_in_a_cycle(stream: Any) -> None:
    step(stream)
    cycle: list[Any] = [stream]
    cycle.append(cycle)


# What happens, what the script raises after its two chunks or before them, outcome, error,
# latency: the first chunk comes at 0.5, the second at 0.75, the end at 1.0.
ENDINGS: dict[str, tuple[Ending, int, BaseException | None, str, str | None, float]] = {
    "end": (until_the_end, 2, None, "completed", None, 1.0),
    "empty": (until_the_end, 0, None, "completed", None, 0.25),
    "error before the first token": (
        until_it_raises, 0, RuntimeError("canary"), "failed", "RuntimeError", 0.25,
    ),
    "error after the first token": (
        until_it_raises, 2, RuntimeError("canary"), "failed", "RuntimeError", 1.0,
    ),
    "keyboard interrupt": (
        until_it_raises, 2, KeyboardInterrupt(), "failed", "KeyboardInterrupt", 1.0,
    ),
    "exit": (until_it_raises, 2, SystemExit(1), "failed", "SystemExit", 1.0),
    "close": (close_after_one, 2, None, "stopped", None, 0.5),
    "close, never asked": (close_at_once, 2, None, "unconsumed", None, 0.0),
    "drop": (drop_after_one, 2, None, "stopped", None, 0.5),
    "drop, never asked": (drop_at_once, 2, None, "unconsumed", None, 0.0),
    "drop in a cycle": (drop_in_a_cycle, 2, None, "stopped", None, 0.5),
}  # fmt: skip


@every_shape
@every_decorator
@pytest.mark.parametrize("ending", ENDINGS.values(), ids=ENDINGS)
def test_every_ending_gives_one_result(
    shape: str, decorator: Any, ending: Any, clock: FakeClock, sink: CollectingSink
) -> None:
    """However a stream ends, the sinks get exactly one result that says how."""
    end_it, chunks, error, outcome, error_name, latency = ending
    script = Script([(0.5, "a"), (0.25, "b")][:chunks], clock=clock, end=0.25, error=error)
    measured = decorator(clock=clock)(function_of(shape, script))

    with capture() as captured:
        end_it(measured())
    clock.advance(8)  # what happens after the end belongs to nobody
    settle()

    assert [(one.outcome, one.error) for one in sink.results] == [(outcome, error_name)]
    assert sink.results[0].generation_latency == latency
    assert captured == sink.results
    assert live_runs == {}


@every_shape
@pytest.mark.parametrize(
    "first", [until_the_end, close_after_one, close_at_once], ids=lambda one: one.__name__
)
def test_what_follows_the_end_gives_no_second_result(
    first: Ending, shape: str, clock: FakeClock, sink: CollectingSink
) -> None:
    """Asking, closing and dropping a stream that has ended yields no further result."""
    stream = observe(clock=clock)(function_of(shape, Script([(0.5, "a")], clock=clock)))()
    first(stream)
    finished = sink.last
    assert finished is not None

    assert step_or_end(stream) is END
    close(stream)
    close(stream)
    assert metrics_of(stream) is finished
    del stream
    settle()

    assert sink.results == [finished]


@every_shape
def test_break_is_running_until_dropped(shape: str, clock: FakeClock, sink: CollectingSink) -> None:
    """After a break the outcome is running while the stream is held, stopped once dropped."""
    script = Script([(0.5, "a"), (0.25, "b")], clock=clock)
    stream = observe(clock=clock)(function_of(shape, script))()
    step(stream)
    clock.advance(4)

    snapshot = metrics_of(stream)
    assert snapshot is not None
    assert (snapshot.outcome, snapshot.generation_latency) == ("running", 4.5)
    assert sink.results == []
    del stream
    settle()

    assert [(one.outcome, one.generation_latency) for one in sink.results] == [("stopped", 0.5)]


@every_shape
def test_measure_finishes_once(shape: str, clock: FakeClock, sink: CollectingSink) -> None:
    """A stream measured inline yields one result, as a decorated function's does."""
    script = Script([(0.5, "a")], clock=clock, end=0.5)
    stream = measure(function_of(shape, script)(), clock=clock)
    read(stream)
    del stream
    settle()

    assert [(one.outcome, one.generation_latency) for one in sink.results] == [("completed", 1.0)]


@every_decorator
@pytest.mark.parametrize(
    ("error", "outcome", "name"),
    [
        (None, "completed", None),
        (RuntimeError("canary"), "failed", "RuntimeError"),
        (KeyboardInterrupt(), "failed", "KeyboardInterrupt"),
        (asyncio.CancelledError(), "cancelled", "asyncio.exceptions.CancelledError"),
    ],
    ids=["returns", "raises", "keyboard interrupt", "cancelled"],
)
@pytest.mark.parametrize("is_async", [False, True], ids=["function", "coroutine"])
def test_a_value_gives_one_result(  # noqa: PLR0917 - the ways a call can go
    is_async: bool,  # noqa: FBT001 - one of the parameters
    error: BaseException | None,
    outcome: str,
    name: str | None,
    decorator: Any,
    clock: FakeClock,
    sink: CollectingSink,
) -> None:
    """A call that gives a value or raises yields one result, sync and async."""

    def answer() -> list[str]:
        clock.advance(0.5)
        if error is not None:
            raise error
        return ["a"]

    async def aanswer() -> list[str]:
        return answer()

    measured: Any = decorator(clock=clock)(aanswer if is_async else answer)
    caught = contextlib.nullcontext() if error is None else pytest.raises(type(error))
    with caught:
        now(measured()) if is_async else measured()
    settle()

    assert [(one.outcome, one.error) for one in sink.results] == [(outcome, name)]
    assert sink.results[0].generation_latency == 0.5
    assert live_runs == {}


def test_a_coroutine_never_awaited_is_unconsumed(sink: CollectingSink) -> None:
    """A coroutine that nobody awaits gives Python's one warning and one unconsumed result."""

    @observe
    async def answer() -> str:
        return "a"

    with pytest.warns(RuntimeWarning, match="answer' was never awaited") as warned:
        drop(answer())
    settle()

    assert len(warned) == 1
    assert [(one.outcome, one.generation_latency) for one in sink.results] == [("unconsumed", 0.0)]


def test_a_function_whose_stream_is_never_asked_took_its_time(
    clock: FakeClock, sink: CollectingSink
) -> None:
    """The latency of an unconsumed stream is the time the function took to return it."""

    @observe(clock=clock)
    def request() -> Iterator[str]:
        clock.advance(0.5)
        return iter("ab")

    request()
    settle()

    assert [(one.outcome, one.generation_latency) for one in sink.results] == [("unconsumed", 0.5)]


# --- cancellation ----------------------------------------------------------------------------


class HangingStream:
    """Gives one chunk and then waits for ever."""

    def __init__(self, hang: Callable[[], Any]) -> None:
        self._hang = hang
        self._asked = False

    def __aiter__(self) -> HangingStream:
        return self

    async def __anext__(self) -> str:
        if self._asked:
            await self._hang()
        self._asked = True
        return "a"


def hanging(kind: str, hang: Callable[[], Any]) -> Any:
    """Give a measured function that waits for ever in the call, or for its second chunk."""

    async def call() -> Any:
        await hang()

    async def generator() -> AsyncIterator[str]:
        yield "a"
        await hang()

    async def call_for_a_stream() -> Any:
        return HangingStream(hang)

    functions: dict[str, Any] = {
        "call": call,
        "generator": generator,
        "stream": lambda: HangingStream(hang),
        "stream of a coroutine": call_for_a_stream,
    }
    return observe(functions[kind])


async def consume(given: Any) -> None:
    if not hasattr(type(given), "__anext__"):
        given = await given
    async for _ in given:
        pass


every_hanging = pytest.mark.parametrize(
    "kind", ["call", "generator", "stream", "stream of a coroutine"]
)


@every_hanging
@pytest.mark.asyncio
async def test_cancelling_a_task_gives_one_result(kind: str, sink: CollectingSink) -> None:
    """A task cancelled while it awaits the call or a chunk yields one cancelled result."""
    waits = asyncio.Event()

    async def hang() -> None:
        waits.set()
        await asyncio.Event().wait()

    measured = hanging(kind, hang)
    task = asyncio.create_task(consume(measured()))
    await waits.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    del task
    settle()

    assert [(one.outcome, one.error) for one in sink.results] == [
        ("cancelled", "asyncio.exceptions.CancelledError")
    ]
    assert sink.results[0].token_count == (None if kind == "call" else 1)
    assert live_runs == {}


@pytest.mark.asyncio
async def test_a_task_cancelled_before_it_ran_is_cancelled(sink: CollectingSink) -> None:
    """A measured coroutine whose task is cancelled before its first step yields one result."""

    @observe
    async def answer() -> None:
        """Never runs."""

    task = asyncio.create_task(answer())
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert [one.outcome for one in sink.results] == ["cancelled"]
    assert sink.results[0].generation_latency == 0.0


@pytest.mark.extras
@every_hanging
def test_cancelling_a_trio_scope_gives_one_result(kind: str, sink: CollectingSink) -> None:
    """A trio scope cancelled while the call or a chunk is awaited yields one cancelled result."""
    import trio  # noqa: PLC0415 - an extra

    async def main() -> None:
        with trio.CancelScope() as scope:

            async def hang() -> None:
                scope.cancel()
                await trio.sleep_forever()

            await consume(hanging(kind, hang)())

    trio.run(main)
    settle()

    assert [(one.outcome, one.error) for one in sink.results] == [("cancelled", "trio.Cancelled")]
    assert live_runs == {}


# --- several at once -------------------------------------------------------------------------


@every_shape
def test_interleaved_streams_do_not_mix(shape: str, clock: FakeClock, sink: CollectingSink) -> None:
    """Two streams read in turn count their own chunks and their own times."""
    measured = observe(clock=clock)(
        function_of(shape, Script([(0.5, "a"), (0.25, "b")], clock=clock))
    )
    first, second = measured(), measured()
    assert step(first) == "a"  # at 0.5
    assert step(second) == "a"  # at 1.0
    assert step(first) == "b"  # at 1.25
    close(second)
    assert step_or_end(first) is END

    stopped, completed = sink.results
    assert (stopped.outcome, stopped.chunk_count) == ("stopped", 1)
    assert (completed.outcome, completed.chunk_count) == ("completed", 2)
    assert stopped.generation_latency == (0.5 if "generator" in shape else 1.0)
    assert completed.generation_latency == 1.25
    assert completed.inter_token_latencies == [0.75]


def test_a_stream_handed_to_another_thread_stays_one_run(
    clock: FakeClock, sink: CollectingSink
) -> None:
    """A stream started here, read on by another thread and dropped there yields one result."""
    stream = [observe(clock=clock)(Script([(0.5, "a"), (0.25, "b")], clock=clock).generator)()]
    next(stream[0])

    thread = threading.Thread(target=lambda: list(stream.pop()))
    thread.start()
    thread.join()
    settle()

    assert [(one.outcome, one.chunk_count) for one in sink.results] == [("completed", 2)]
    assert sink.results[0].inter_token_latencies == [0.25]


def test_recursion_gives_each_call_its_own_result(clock: FakeClock, sink: CollectingSink) -> None:
    """Each level of a recursive function is a call of its own, inside the one above."""

    @observe(clock=clock)
    def countdown(number: int) -> list[int]:
        clock.advance(0.5)
        return [number, *countdown(number - 1)] if number else []

    assert countdown(2) == [2, 1]

    inner, middle, outer = sink.results
    assert [one.token_count for one in sink.results] == [0, 1, 2]
    assert [one.generation_latency for one in sink.results] == [0.5, 1.0, 1.5]
    assert inner.parent_id == middle.call_id
    assert middle.parent_id == outer.call_id
    assert outer.parent_id is None


def test_a_recursive_generator_gives_each_level_its_own_result(
    clock: FakeClock, sink: CollectingSink
) -> None:
    """A generator that delegates to itself is one run a level, each inside the one above."""

    @observe(clock=clock)
    def countdown(number: int) -> Iterator[int]:
        clock.advance(0.5)
        yield number
        if number:
            yield from countdown(number - 1)

    assert list(countdown(2)) == [2, 1, 0]

    inner, middle, outer = sink.results
    assert [one.chunk_count for one in sink.results] == [1, 2, 3]
    assert (inner.parent_id, middle.parent_id) == (middle.call_id, outer.call_id)


# --- finalisers, exit and fork ----------------------------------------------------------------


@every_shape
def test_a_stream_held_by_its_own_source_is_collected(shape: str, sink: CollectingSink) -> None:
    """A source that refers to the measured stream around it is no leak, and yields one result."""
    held: list[Any] = []
    script: Script[Any] = Script([(0.0, held)], clock=FakeClock())
    stream = observe(count_tokens=lambda _: 1)(function_of(shape, script))()
    held.append(step(stream))
    held.append(stream)
    gone = weakref.ref(stream)
    del stream, script
    held = []
    settle()

    assert gone() is None
    assert [one.outcome for one in sink.results] == ["stopped"]


def test_capture_has_a_dropped_stream_at_once(sink: CollectingSink) -> None:
    """A result finished by a finaliser is in the capture list right after, before any sink ran."""
    with capture() as results:
        stream = observe(lambda: iter("ab"))()
        next(stream)
        del stream

        assert [one.outcome for one in results] == ["stopped"]


def test_an_abandoned_stream_is_delivered_at_exit() -> None:
    """A stream that a module still holds at the interpreter's exit reaches the sinks once."""
    printed = run_python(
        """
        import tokenclock

        tokenclock.add_sink(lambda result: print(result.outcome, result.chunk_count, flush=True))
        stream = tokenclock.observe(lambda: iter("abc"))()
        next(stream)
        untouched = tokenclock.observe(lambda: iter("abc"))()
        print("exit")
        """
    )
    assert printed.splitlines() == ["exit", "stopped 1", "unconsumed 0"]


def test_a_stream_dropped_just_before_exit_is_delivered() -> None:
    """What a finaliser put on the queue reaches the sinks before the process is gone."""
    printed = run_python(
        """
        import tokenclock

        tokenclock.add_sink(lambda result: print(result.outcome, flush=True))
        for _ in range(3):
            stream = tokenclock.observe(lambda: iter("abc"))()
            next(stream)
        del stream
        """
    )
    assert printed.splitlines() == ["stopped"] * 3


def test_an_exception_that_ends_the_program_still_delivers() -> None:
    """A program that dies of an exception delivers the streams that its traceback holds."""
    printed = run_python(
        """
        import sys
        import tokenclock

        def answer():
            yield "a"
            yield "b"

        def main():
            stream = tokenclock.observe(answer)()
            next(stream)
            sys.exit(0)

        tokenclock.add_sink(lambda result: print(result.outcome, flush=True))
        main()
        """
    )
    assert printed.splitlines() == ["stopped"]


def test_abandoned_async_streams_are_delivered_once() -> None:
    """An async generator left open when its loop ends yields one result."""
    printed = run_python(
        """
        import asyncio
        import tokenclock

        @tokenclock.observe
        async def answer():
            yield "a"
            yield "b"

        async def main():
            global stream
            stream = answer()
            await stream.__anext__()

        tokenclock.add_sink(lambda result: print(result.outcome, flush=True))
        asyncio.run(main())
        """
    )
    assert printed.splitlines() == ["stopped"]


if hasattr(os, "fork"):

    def test_fork_leaves_each_process_its_own_runs() -> None:
        """After a fork the parent's open stream is delivered by the parent alone, ids differ."""
        printed = run_python(
            """
            import os
            import sys
            import tokenclock

            def show(result):
                place = "parent" if os.getpid() == parent else "child"
                print(place, result.function, result.outcome, result.call_id, flush=True)

            parent = os.getpid()
            tokenclock.add_sink(show)
            ours = tokenclock.measure(iter("abc"), name="ours")
            next(ours)

            child = os.fork()
            if not child:
                list(ours)
                theirs = tokenclock.measure(iter("abc"), name="theirs")
                next(theirs)
                sys.exit()
            os.waitpid(child, 0)
            list(tokenclock.measure(iter("a"), name="later"))
            """
        )
        lines = sorted(line.split() for line in printed.splitlines())
        assert [line[:3] for line in lines] == [
            ["child", "theirs", "stopped"],
            ["parent", "later", "completed"],
            ["parent", "ours", "stopped"],
        ]
        processes = [line[3].split("-")[0] for line in lines]
        assert processes[0] != processes[1] == processes[2]

    def test_the_delivering_thread_works_again_after_a_fork() -> None:
        """A child process delivers its own dropped streams, although no thread came along."""
        printed = run_python(
            """
            import os
            import sys
            import warnings
            import tokenclock

            warnings.simplefilter("ignore", DeprecationWarning)  # forking beside a thread
            parent = os.getpid()
            tokenclock.add_sink(lambda result: print(os.getpid() == parent, flush=True))

            def drop():
                next(tokenclock.measure(iter("abc")))

            drop()
            tokenclock._sinks.later.flush()
            child = os.fork()
            if not child:
                drop()
                sys.exit()
            os.waitpid(child, 0)
            """
        )
        assert printed.splitlines() == ["True", "False"]


@pytest.mark.logs_failures
def test_a_failure_to_finish_is_logged(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A failure of ours at the end of a run is logged, and the stream ends as it should."""

    def fail(*_: object, **__: object) -> None:
        msg = "canary"
        raise ArithmeticError(msg)

    stream = measure(iter("ab"), name="ours")
    monkeypatch.setattr(type(stream._tc_run), "close_stamps", fail)

    assert list(stream) == ["a", "b"]
    (record,) = caplog.records
    assert record.getMessage() == "Finishing the measurement of 'ours' failed: ArithmeticError"
    assert "canary" not in caplog.text


# --- parent ids ------------------------------------------------------------------------------


@observe(name="inner")
def inner() -> list[str]:
    return ["a"]


@observe(name="ainner")
async def ainner() -> list[str]:
    return ["a"]


def parents(sink: CollectingSink) -> dict[str, str | None]:
    """Give, for each call, the name of the call inside which it started."""
    names = {one.call_id: one.function for one in sink.results}
    return {
        one.function: None if one.parent_id is None else names[one.parent_id]
        for one in sink.results
    }


def test_a_call_inside_a_call_has_a_parent(sink: CollectingSink) -> None:
    """A call made by a measured function's own code names that function's call."""
    observe(name="outer")(lambda: [inner()])()

    assert parents(sink) == {"inner": "outer", "outer": None}


@pytest.mark.parametrize("before", [0, 1, 2], ids=["first step", "second step", "last step"])
@every_shape
def test_a_call_inside_a_streams_body_has_a_parent(
    shape: str, before: int, sink: CollectingSink
) -> None:
    """A call made by a stream's body, in any of its steps, names the stream's call."""

    def body() -> Iterator[str]:
        for place in range(3):
            if place == before:
                inner()
            if place < 2:
                yield "a"

    class Acting(Script[str]):
        def generator(self) -> Iterator[str]:  # type: ignore[override]  # it suffices
            return body()

        async def agenerator(self) -> AsyncIterator[str]:  # type: ignore[override]  # as above
            for chunk in body():
                yield chunk

    script = Acting([], clock=FakeClock())
    read(observe(name="outer")(function_of(shape, script))())

    assert parents(sink) == {"inner": "outer", "outer": None}


def test_a_call_between_two_steps_has_no_parent(sink: CollectingSink) -> None:
    """What the consumer of a stream calls while it holds a chunk is no part of the stream."""
    for _ in observe(name="outer")(lambda: iter("ab"))():
        inner()

    assert [one.parent_id for one in sink.results] == [None, None, None]


def test_siblings_have_no_parent(sink: CollectingSink) -> None:
    """Streams opened beside each other and read in turn are not inside each other."""
    measured = observe(Script([(0.0, "a"), (0.0, "b")], clock=FakeClock()).generator)
    for _ in zip(measured(), measured(), strict=True):
        pass
    settle()

    assert [one.parent_id for one in sink.results] == [None, None]


def test_a_stream_opened_in_one_body_belongs_to_it(sink: CollectingSink) -> None:
    """A stream is inside the call that opened it, also when another reads it."""
    opened: list[Any] = []

    def opener() -> Iterator[str]:
        opened.append(observe(name="stream")(lambda: iter("a"))())
        yield "a"

    keep: Any = observe(name="opener")(opener)()
    next(keep)
    observe(name="reader")(lambda: list(opened[0]))()
    keep.close()

    assert parents(sink) == {"stream": "opener", "reader": None, "opener": None}


@pytest.mark.asyncio
async def test_tasks_of_a_measured_coroutine_are_inside_it(sink: CollectingSink) -> None:
    """Calls made in tasks that a measured coroutine gathers name its call, at any step."""

    async def plain() -> None:
        await asyncio.sleep(0)
        inner()

    @observe(name="outer")
    async def outer() -> None:
        await asyncio.gather(ainner(), plain())
        await asyncio.sleep(0)
        observe(name="later")(lambda: 1)()

    await outer()

    assert parents(sink) == {"ainner": "outer", "inner": "outer", "later": "outer", "outer": None}


@pytest.mark.asyncio
async def test_a_call_after_its_parents_end_has_no_parent(sink: CollectingSink) -> None:
    """A task that outlives the measured coroutine that started it is inside nothing any more."""
    goes_on = asyncio.Event()
    tasks: list[asyncio.Task[None]] = []

    async def background() -> None:
        await goes_on.wait()
        inner()

    @observe(name="outer")
    async def outer() -> None:
        tasks.append(asyncio.create_task(background()))

    await outer()
    goes_on.set()
    await tasks[0]

    assert parents(sink) == {"outer": None, "inner": None}


@pytest.mark.asyncio
async def test_concurrent_coroutines_are_not_inside_each_other(sink: CollectingSink) -> None:
    """Two measured coroutines that run in turn on one loop are siblings."""

    @observe
    async def turn() -> None:
        for _ in range(3):
            await asyncio.sleep(0)
        await ainner()

    await asyncio.gather(turn(), turn())

    turns = [one for one in sink.results if one.function.endswith("turn")]
    inners = [one for one in sink.results if one.function == "ainner"]
    assert [one.parent_id for one in turns] == [None, None]
    assert {one.parent_id for one in inners} == {one.call_id for one in turns}


@pytest.mark.asyncio
async def test_an_async_generators_body_is_a_parent_of_what_it_awaits(
    sink: CollectingSink,
) -> None:
    """Calls awaited in an async generator's body, after a suspension too, name its call."""

    @observe(name="outer")
    async def outer() -> AsyncIterator[str]:
        await ainner()
        yield "a"
        await asyncio.sleep(0)
        inner()

    async for _ in outer():
        pass

    assert parents(sink) == {"ainner": "outer", "inner": "outer", "outer": None}


def test_a_thread_started_inside_a_call_is_not_inside_it(sink: CollectingSink) -> None:
    """Plain threads do not inherit the context, so their calls have no parent."""

    @observe(name="outer")
    def outer() -> None:
        thread = threading.Thread(target=inner)
        thread.start()
        thread.join()

    outer()

    assert parents(sink) == {"inner": None, "outer": None}


@every_shape
def test_a_sinks_own_calls_are_not_inside_the_call_that_is_over(
    shape: str, sink: CollectingSink
) -> None:
    """A measured call that a sink makes is not inside the stream whose result it was given."""

    def forward(_: object) -> None:
        inner()

    script = Script([(0.0, "a")], clock=FakeClock())
    stream = observe(name="stream", sinks=[forward])(function_of(shape, script))()
    observe(name="outer")(lambda: read(stream))()

    assert parents(sink) == {"inner": "outer", "stream": None, "outer": None}


def test_ids_are_unique_and_name_the_process(sink: CollectingSink) -> None:
    """Every call has an id of its own; those of one process start alike."""
    for _ in range(100):
        inner()

    ids = {one.call_id for one in sink.results}
    assert len(ids) == 100
    assert len({one.split("-")[0] for one in ids}) == 1


def test_no_reference_to_the_stream_keeps_it_alive(sink: CollectingSink) -> None:
    """Dropping the last reference to a measured stream finishes it without the collector."""
    gc.disable()
    try:
        stream = observe(lambda: iter("ab"))()
        next(stream)
        gone = weakref.ref(stream)
        del stream
        assert gone() is None
    finally:
        gc.enable()
    settle()
    assert [one.outcome for one in sink.results] == ["stopped"]
