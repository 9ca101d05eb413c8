"""The load engine: which calls are made, when, and that each of them becomes a result."""

from __future__ import annotations

import asyncio
import functools
import itertools
import os
import random
import sys
import threading
import warnings
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest

from tokenclock import MetricsResult, _load, metrics_decorator, observe
from tokenclock._load import (
    START_DELAY,
    Glance,
    Load,
    LoopLoad,
    Plan,
    Target,
    ThreadLoad,
    Timer,
    load_of,
)
from tokenclock._load._consume import aconsume, consume
from tokenclock._metrics import FIRST_TOKEN, LATENCY
from tokenclock.errors import InvalidOptionError, NotMeasurableError

PATIENCE = 10.0  # seconds; only a failing test waits as long

Results = list[MetricsResult[Any]]


class SteppedTimer(Timer):
    """A clock that moves only by waiting, or when it is told to; one worker at a time."""

    def __init__(self) -> None:
        self.seconds = 100.0

    def now(self) -> float:
        return self.seconds

    def wait(self, seconds: float, woken: threading.Event) -> None:
        self.seconds += seconds

    async def await_(self, seconds: float) -> None:
        self.seconds += seconds


def target_of(function: Callable[..., Any], *, is_async: bool | None = None) -> Target:
    if is_async is None:
        is_async = _load._target._is_async(function)
    measured = function if _load._target._is_measured(function) else observe(function)
    return Target("given", measured, is_async)


def load(function: Callable[..., Any], plan: Plan, **options: Any) -> tuple[Load, Results]:
    results: Results = []
    kind = LoopLoad if target_of(function).is_async else ThreadLoad
    return kind(target_of(function), plan, results.append, **options), results


def run(function: Callable[..., Any], plan: Plan, **options: Any) -> tuple[Load, Results]:
    """Run to the end."""
    running, results = load(function, plan, **options)
    running.start()
    assert running.wait(PATIENCE)
    running.finish()
    return running, results


# --- the plan -----------------------------------------------------------------------------------


def test_prompts_are_given_in_turn_and_warm_up_takes_those_before_the_first() -> None:
    """Counted calls begin with the first prompt, and no warm-up call has just been given it."""
    plan = Plan(calls=4, prompts=["a", "b", "c"], warmup=2)
    assert [job.arguments for job in plan.warmup_jobs()] == [("b",), ("c",)]
    assert [job.arguments for job in plan.counted_jobs()] == [("a",), ("b",), ("c",), ("a",)]


def test_without_prompts_calls_have_no_arguments() -> None:
    """Nothing is passed to a function where there is no input; a closed loop has no moments."""
    assert list(Plan(calls=2).counted_jobs()) == [((), None), ((), None)]


def test_moments_are_those_of_the_seed() -> None:
    """The gaps of an open loop are exponential draws of the seeded generator, summed up."""
    gaps = random.Random(7)  # noqa: S311 - no secrets
    first, second = gaps.expovariate(5.0), gaps.expovariate(5.0)
    plan = Plan(calls=2, rate=5.0, seed=7)
    assert [job.due for job in plan.counted_jobs()] == [first, first + second]
    assert plan.counted_jobs() == Plan(calls=2, rate=5.0, seed=7).counted_jobs()
    assert plan.counted_jobs() != Plan(calls=2, rate=5.0, seed=8).counted_jobs()


def test_the_gaps_are_exponential_with_the_mean_of_the_rate() -> None:
    """Ten thousand arrivals at 4/s: mean gap 0.25 s, and 63.2 % of gaps are below the mean."""
    moments = [job.due or 0.0 for job in Plan(calls=10_000, rate=4.0).counted_jobs()]
    gaps = [after - before for before, after in itertools.pairwise(moments)]
    assert abs(sum(gaps) / len(gaps) - 0.25) < 0.01
    assert abs(sum(gap < 0.25 for gap in gaps) / len(gaps) - 0.632) < 0.02


@pytest.mark.parametrize(
    ("plan", "workers"),
    [
        (Plan(calls=100), 1),
        (Plan(calls=100, concurrency=8), 8),
        (Plan(calls=3, concurrency=8), 3),
        (Plan(calls=100, rate=5.0), 64),
        (Plan(calls=100, rate=5.0, concurrency=2), 2),
        (Plan(calls=1, concurrency=8, warmup=4), 4),
    ],
)
def test_calls_in_flight(plan: Plan, workers: int) -> None:
    """One at a time in a closed loop, 64 at most in an open one, never more than calls."""
    assert plan.workers == workers


@pytest.mark.parametrize(
    ("options", "option", "message"),
    [
        (
            {"calls": 0},
            "calls",
            "Cannot run with calls=0: that is less than 1. Pass 1 or more.",
        ),
        (
            {"calls": 1, "concurrency": 0},
            "concurrency",
            "Cannot run with concurrency=0: that is less than 1. Pass 1 or more.",
        ),
        (
            {"calls": 1, "warmup": -1},
            "warmup",
            "Cannot run with warmup=-1: that is less than 0. Pass 0 or more.",
        ),
        (
            {"calls": 10_000_001},
            "calls",
            (
                "Cannot run with calls=10000001: that is more than 10,000,000. "
                "Run several times, with --append to one file."
            ),
        ),
        (
            {"calls": 1, "rate": 0.0},
            "rate",
            (
                "Cannot call at a rate of 0 per second: it is no positive number. Pass calls per "
                "second, such as 5 or 0.5, or leave it out: then calls follow one another."
            ),
        ),
    ],
)
def test_impossible_plans_are_refused(options: dict[str, Any], option: str, message: str) -> None:
    """A plan that cannot be carried out fails when it is made."""
    with pytest.raises(InvalidOptionError) as raised:
        Plan(**options)
    assert (raised.value.option, str(raised.value)) == (option, message)


@pytest.mark.parametrize("rate", [float("inf"), float("nan"), -1.0])
def test_a_rate_is_a_positive_number(rate: float) -> None:
    """Infinity and what is no number are no rates."""
    with pytest.raises(InvalidOptionError, match="it is no positive number"):
        Plan(calls=1, rate=rate)


# --- every shape --------------------------------------------------------------------------------


def value(prompt: str) -> list[str]:
    return prompt.split()


def generator(prompt: str) -> Iterator[str]:
    yield from prompt.split()


async def coroutine(prompt: str) -> list[str]:
    await asyncio.sleep(0)
    return prompt.split()


async def async_generator(prompt: str) -> AsyncIterator[str]:
    for word in prompt.split():
        await asyncio.sleep(0)
        yield word


async def coroutine_of_stream(prompt: str) -> AsyncIterator[str]:
    return async_generator(prompt)


async def coroutine_of_generator(prompt: str) -> Iterator[str]:
    return generator(prompt)


class Answering:
    def __call__(self, prompt: str) -> Iterator[str]:
        yield from prompt.split()


class AsyncAnswering:
    async def __call__(self, prompt: str) -> list[str]:
        return prompt.split()


SHAPES: list[Any] = [
    value, generator, coroutine, async_generator, coroutine_of_stream, coroutine_of_generator,
    Answering(), AsyncAnswering(), functools.partial(generator), functools.partial(coroutine),
    observe(generator), observe(async_generator), observe(coroutine), observe(Answering()),
    metrics_decorator(value), metrics_decorator(generator), metrics_decorator(coroutine),
    metrics_decorator(async_generator), functools.partial(observe(value)),
    observe(AsyncAnswering()),
]  # fmt: skip


@pytest.mark.parametrize("shape", range(len(SHAPES)))
def test_every_shape_is_called_and_read_to_its_end(shape: int) -> None:
    """Each call gives one completed result with its three tokens, measured once."""
    running, results = run(SHAPES[shape], Plan(calls=5, concurrency=2, prompts=["how fast now"]))
    assert [(one.outcome, one.token_count, one.parent_id) for one in results] == [
        ("completed", 3, None)
    ] * 5
    assert (running.tally.calls, running.tally.results) == (5, 5)
    assert running.seconds > 0


@pytest.mark.parametrize("shape", [4, 5, 8, 9, 11, 14, 19])
def test_async_functions_run_in_a_loop(shape: int) -> None:
    """Partials, wrappers and objects are looked through."""
    is_async = {4: True, 5: True, 8: False, 9: True, 11: True, 14: False, 19: True}
    running, _ = load(SHAPES[shape], Plan(calls=1, prompts=["a"]))
    assert isinstance(running, LoopLoad) == is_async[shape]


def test_the_run_that_suits_the_target() -> None:
    """An async target gets an event loop, any other threads."""
    plan = Plan(calls=1, prompts=["a"])
    assert isinstance(load_of(target_of(coroutine), plan, print), LoopLoad)
    assert isinstance(load_of(target_of(value), plan, print), ThreadLoad)


def test_a_decorated_method_is_not_measured_twice() -> None:
    """A bound method, and an object whose class measures its calls, are used as they are."""

    class Model:
        @observe
        def answer(self, prompt: str) -> list[str]:
            return [prompt]

        @metrics_decorator
        def __call__(self, prompt: str) -> list[str]:
            return [prompt]

    for function in (Model().answer, Model()):
        _, results = run(function, Plan(calls=2, prompts=["a"]))
        assert [result.parent_id for result in results] == [None, None]


def test_measured_calls_inside_are_results_too_and_do_not_count() -> None:
    """Two calls that count give two outer results and two inner ones, that name their parents."""
    inner = observe(generator)

    def outer(prompt: str) -> list[str]:
        return list(inner(prompt))

    running, results = run(outer, Plan(calls=2, prompts=["a b"]))
    outers = [result for result in results if result.parent_id is None]
    inners = [result for result in results if result.parent_id is not None]
    assert (len(outers), len(inners)) == (2, 2)
    assert {result.parent_id for result in inners} == {result.call_id for result in outers}
    assert (running.tally.calls, running.tally.results) == (2, 4)
    assert running.tally.glance().token_count == 4  # those of the calls that count


def test_results_that_come_late_are_kept() -> None:
    """A stream of a measured call inside, left open by its call, is written when it ends."""
    left_open: list[Any] = []
    inner = observe(generator)

    def outer() -> list[str]:
        stream = inner("a b")
        next(stream)
        left_open.append(stream)
        return ["c"]

    running, results = load(outer, Plan(calls=1, warmup=0))
    running.start()
    assert running.wait(PATIENCE)
    assert [result.parent_id is None for result in results] == [True]
    left_open.pop().close()
    running.finish()
    assert [result.outcome for result in results] == ["completed", "stopped"]
    assert (running.tally.calls, running.tally.results) == (1, 2)


def test_the_result_of_a_stream_dropped_in_a_cycle_is_kept() -> None:
    """Only the garbage collector finds it, which may not come before the run is over."""
    inner = observe(generator, name="inner")

    def outer() -> None:
        stream = inner("a b")
        next(stream)
        holder: list[object] = [stream]
        holder.append(holder)

    _, results = run(outer, Plan(calls=3, warmup=0))
    assert sorted(result.function for result in results)[:3] == ["inner"] * 3
    assert len(results) == 6


def test_an_ordinary_function_that_gives_a_coroutine_ends_the_run() -> None:
    """On a thread nobody awaits; the message says what to do, and no call counts as a failure."""

    def give(prompt: str) -> Any:
        return coroutine(prompt)

    with pytest.raises(NotMeasurableError) as raised:
        run(give, Plan(calls=3, prompts=["a"]))
    assert str(raised.value) == (
        "Cannot run 'given' on threads: it is an ordinary function, and what it gives has to be "
        "awaited. Make it a coroutine function or an async generator function: async def."
    )


def test_an_ordinary_function_that_gives_an_async_stream_ends_the_run() -> None:
    """The same for a stream."""
    with pytest.raises(NotMeasurableError, match="Cannot run 'given' on threads"):
        run(lambda: async_generator("a"), Plan(calls=1))


def test_the_stream_in_a_dict_is_read() -> None:
    """A known client gives its stream in a dict; values of other dicts are left alone."""
    stream = observe(generator)("a b")
    consume({"stream": stream, "other": iter([1])}, lambda: False)
    assert stream.metrics.outcome == "completed"  # type: ignore[attr-defined]  # ours


# --- failures -----------------------------------------------------------------------------------


def failing_third(prompt: str) -> Iterator[str]:
    yield prompt
    if prompt == "c":
        raise ConnectionError("a secret of the model")


async def afailing_third(prompt: str) -> AsyncIterator[str]:
    yield prompt
    if prompt == "c":
        raise ConnectionError("a secret of the model")


@pytest.mark.parametrize("function", [failing_third, afailing_third])
def test_a_failing_call_is_a_result(function: Callable[..., Any]) -> None:
    """The run goes on; errors are counted by type, and where the first was raised is kept."""
    running, results = run(function, Plan(calls=6, prompts=["a", "b", "c"]))
    assert [result.outcome for result in results] == [
        "completed", "completed", "failed", "completed", "completed", "failed",
    ]  # fmt: skip
    assert dict(running.tally.errors) == {"ConnectionError": 2}
    assert running.tally.glance().failed == 2
    assert running.first_error is not None
    assert running.first_error.startswith(f"ConnectionError at {__file__}:")
    assert running.first_error.endswith(f"in {function.__name__}")


def test_a_failing_warm_up_is_no_failure() -> None:
    """What comes before the first call that counts is not counted."""
    running, results = run(failing_third, Plan(calls=2, prompts=["a", "b", "c"], warmup=1))
    assert [result.outcome for result in results] == ["completed", "completed"]
    assert running.first_error is None
    assert running.tally.errors == {}


def exiting() -> None:
    sys.exit("leave")


async def aexiting() -> None:
    sys.exit("leave")


async def cancelling() -> None:
    raise asyncio.CancelledError


@pytest.mark.parametrize(
    ("function", "outcome"),
    [(exiting, "failed"), (aexiting, "failed"), (cancelling, "cancelled")],
)
def test_a_target_that_exits_or_cancels_itself_ends_its_call_only(
    function: Callable[..., Any], outcome: str
) -> None:
    """SystemExit and a cancellation of the target's own are results like any other."""
    _, results = run(function, Plan(calls=3))
    assert [result.outcome for result in results] == [outcome] * 3


@pytest.mark.parametrize(
    ("end", "code"),
    [
        (lambda: None, 0),
        (lambda: sys.exit(3), 3),
        (sys.exit, 0),
        (lambda: sys.exit("leave"), 1),
        ([].pop, 1),
    ],
)
def test_a_forked_child_that_comes_back_does_not_go_on_with_the_run(
    end: Callable[[], object], code: int
) -> None:
    """However it leaves the target, it ends with its code, calls nothing and keeps nothing."""
    mine, theirs = os.pipe()
    codes: list[int] = []

    def fork() -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # other threads are running
            child = os.fork()
        if child:
            codes.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
        else:
            end()

    plan = Plan(calls=2, warmup=1)
    running = ThreadLoad(target_of(fork), plan, lambda _: os.write(theirs, b"."))
    running.start()
    assert running.wait(PATIENCE)
    running.finish()
    os.close(theirs)
    assert os.read(mine, 100) == b".."
    os.close(mine)
    assert codes == [code] * 3


async def in_a_task(end: Callable[[], None]) -> None:
    async def leave() -> None:
        end()

    await asyncio.gather(leave())


async def aexiting_in_a_task() -> None:
    await in_a_task(exiting)


async def ainterrupting_in_a_task() -> None:
    await in_a_task(interrupting)


def test_a_task_of_the_targets_that_exits_ends_the_run_and_is_told() -> None:
    """It takes the event loop with it; what was measured until then is kept."""
    running, results = load(aexiting_in_a_task, Plan(calls=3, warmup=0))
    running.start()
    assert running.wait(PATIENCE)
    with pytest.raises(NotMeasurableError) as caught:
        running.finish()
    assert str(caught.value) == (
        "Cannot go on with 'given': a task that it started called sys.exit(), which ended the "
        "event loop. Let the task raise another exception, or return."
    )
    assert results
    assert not running.was_interrupted


def test_a_task_of_the_targets_that_is_interrupted_stops_the_run() -> None:
    """As if the target itself had been."""
    running, results = run(ainterrupting_in_a_task, Plan(calls=3, warmup=0))
    assert results
    assert running.was_interrupted
    assert running.is_stopping


def interrupting() -> None:
    raise KeyboardInterrupt


async def ainterrupting() -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize("function", [interrupting, ainterrupting])
def test_a_target_that_raises_keyboard_interrupt_stops_the_run(
    function: Callable[..., Any],
) -> None:
    """The call is a result, and no further ones are made."""
    running, results = run(function, Plan(calls=3, warmup=0))
    assert [result.outcome for result in results] == ["failed"]
    assert running.was_interrupted
    assert running.is_stopping


@pytest.mark.parametrize("function", [value, coroutine])
def test_who_takes_the_results_may_fail(function: Callable[..., Any]) -> None:
    """A full disk ends the run: what cannot be kept is not measured any longer."""
    taken: Results = []

    def take(result: MetricsResult[Any]) -> None:
        taken.append(result)
        raise OSError(28, "No space left on device")

    plan = Plan(calls=100, prompts=["a"])
    kind = LoopLoad if function is coroutine else ThreadLoad
    running = kind(target_of(function), plan, take)
    running.start()
    assert running.wait(PATIENCE)
    with pytest.raises(OSError, match="No space left on device"):
        running.finish()
    assert len(taken) == 1


class BrokenTimer(Timer):
    def wait(self, seconds: float, woken: threading.Event) -> None:
        raise OverflowError

    async def await_(self, seconds: float) -> None:
        raise OverflowError


@pytest.mark.parametrize("function", [value, coroutine])
def test_a_failure_of_a_worker_ends_the_run_and_is_told(function: Callable[..., Any]) -> None:
    """Nothing waits for a worker that is no more."""
    plan = Plan(calls=4, concurrency=2, prompts=["a"], rate=0.001)
    with pytest.raises(OverflowError):
        run(function, plan, timer=BrokenTimer())


def test_more_threads_than_the_system_starts_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """The run ends, and no thread that did start is left waiting for the others."""
    started: list[threading.Thread] = []
    usual = threading.Thread.start

    def start(thread: threading.Thread) -> None:
        if thread.name == "tokenclock-call":
            started.append(thread)
            if len(started) == 3:
                raise RuntimeError("can't start new thread")
        usual(thread)

    monkeypatch.setattr(threading.Thread, "start", start)
    running, results = load(value, Plan(calls=4, concurrency=4, prompts=["a"], warmup=0))
    running.start()
    assert running.wait(PATIENCE)
    with pytest.raises(InvalidOptionError) as caught:
        running.finish()
    assert str(caught.value) == (
        "Cannot call on 4 threads at once: the system starts no more than 2. Pass a smaller "
        "concurrency, or an async function, which needs no threads."
    )
    assert caught.value.option == "concurrency"
    for thread in started[:2]:
        thread.join(PATIENCE)
        assert not thread.is_alive()
    assert results == []


# --- open loop ----------------------------------------------------------------------------------


@pytest.mark.parametrize("is_async", [False, True])
def test_calls_start_on_schedule_and_late_ones_say_by_how_much(*, is_async: bool) -> None:
    """One worker, calls of 0.5 s: the delay of each is what the ones before it left over."""
    timer = SteppedTimer()
    started: list[float] = []

    def work() -> list[str]:
        started.append(timer.seconds)
        timer.seconds += 0.5
        return ["a"]

    async def awork() -> list[str]:
        return work()

    plan = Plan(calls=4, concurrency=1, rate=4.0, seed=3, warmup=0)
    due = [100.0 + (job.due or 0.0) for job in plan.counted_jobs()]
    running, results = run(awork if is_async else work, plan, timer=timer)

    expected: list[float] = []
    free = 100.0
    for moment in due:
        expected.append(max(moment, free))
        free = expected[-1] + 0.5
    delays = [start - moment for start, moment in zip(expected, due, strict=True)]
    assert started == pytest.approx(expected)  # sums of the same numbers in another order
    assert [one.attributes[START_DELAY] for one in results] == pytest.approx(delays)
    assert list(running.tally.start_delays) == [one.attributes[START_DELAY] for one in results]
    assert max(delays) > 0.25  # the one worker was not enough, and it shows
    assert min(running.tally.start_delays) >= 0


def test_the_schedule_starts_after_the_warm_up() -> None:
    """However long warm-up calls take, they delay no call that counts."""
    timer = SteppedTimer()

    def work() -> None:
        timer.seconds += 0.0 if timer.seconds > 1000 else 1000.0

    _, results = run(work, Plan(calls=3, concurrency=1, rate=4.0, warmup=1), timer=timer)
    assert [result.attributes[START_DELAY] for result in results] == [0.0, 0.0, 0.0]


def test_in_a_closed_loop_there_is_no_start_delay() -> None:
    """Where nothing is scheduled, nothing is late."""
    running, results = run(value, Plan(calls=1, prompts=["a"]), attributes={"build": "7"})
    assert [dict(result.attributes) for result in results] == [{"build": "7"}]
    assert list(running.tally.start_delays) == []


def test_the_real_timer_waits_on_a_thread_until_it_is_woken() -> None:
    """A stop does not wait for the next scheduled call."""
    waiting = threading.Event()

    class Noticed(Timer):
        def wait(self, seconds: float, woken: threading.Event) -> None:
            waiting.set()
            super().wait(seconds, woken)

    plan = Plan(calls=2, prompts=["a"], rate=1e-5, warmup=0)
    running, results = load(value, plan, timer=Noticed())
    running.start()
    assert waiting.wait(PATIENCE)
    running.stop()
    assert running.wait(PATIENCE)
    running.finish()
    assert results == []


def test_the_real_timer_takes_a_wait_that_no_lock_can() -> None:
    """At a rate of almost nothing a worker waits until it is woken."""
    woken = threading.Event()
    woken.set()
    Timer().wait(1e300, woken)


def test_the_real_timer_waits_in_a_loop_until_it_is_cancelled() -> None:
    """The same for tasks, stopped when their wait has begun."""
    waiting = threading.Event()

    class Noticed(Timer):
        async def await_(self, seconds: float) -> None:
            waiting.set()
            await super().await_(seconds)

    plan = Plan(calls=2, prompts=["a"], rate=1e-5, warmup=0)
    running, results = load(coroutine, plan, timer=Noticed())
    running.start()
    assert waiting.wait(PATIENCE)
    running.stop()
    assert running.wait(PATIENCE)
    running.finish()
    assert results == []


# --- side by side -------------------------------------------------------------------------------


def test_threads_call_side_by_side() -> None:
    """Four calls meet at a barrier, which one after the other never would."""
    meeting = threading.Barrier(4)

    def meet() -> int:
        return meeting.wait(PATIENCE)

    running, results = run(meet, Plan(calls=8, concurrency=4, warmup=4))
    assert [result.outcome for result in results] == ["completed"] * 8
    assert running.tally.errors == {}


def test_tasks_call_side_by_side() -> None:
    """Four calls wait until all of them are there, in one loop."""
    waiting: list[asyncio.Future[None]] = []

    async def meet() -> None:
        here = asyncio.get_running_loop().create_future()
        waiting.append(here)
        if len(waiting) == 4:
            for one in waiting:
                one.set_result(None)
            waiting.clear()
        await asyncio.wait_for(here, PATIENCE)

    _, results = run(meet, Plan(calls=8, concurrency=4, warmup=0))
    assert [result.outcome for result in results] == ["completed"] * 8


def test_warm_up_and_counted_calls_share_their_threads() -> None:
    """A connection kept for each thread is warm when the calls that count begin."""
    threads: list[int] = []

    def note() -> None:
        threads.append(threading.get_ident())

    run(note, Plan(calls=1, warmup=1))
    assert threads[0] == threads[1]


# --- stopping -----------------------------------------------------------------------------------


class Endless:
    """Streams that go on until somebody closes them."""

    def __init__(self) -> None:
        self.streaming = threading.Semaphore(0)
        self.closed = threading.Semaphore(0)

    def stream(self) -> Iterator[str]:
        try:
            yield "first"
            self.streaming.release()
            while True:
                yield "more"
        finally:
            self.closed.release()

    async def astream(self) -> AsyncIterator[str]:
        try:
            yield "first"
            self.streaming.release()
            await asyncio.sleep(3600)
        finally:
            self.closed.release()

    async def stubborn(self) -> AsyncIterator[str]:
        """Ignores that it is cancelled and goes on."""
        try:
            yield "first"
            self.streaming.release()
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            while True:
                yield "more"
        finally:
            self.closed.release()


@pytest.mark.parametrize(
    ("name", "outcome"), [("stream", "stopped"), ("astream", "cancelled"), ("stubborn", "stopped")]
)
def test_stopping_ends_the_streams_in_flight_and_keeps_their_results(
    name: str, outcome: str
) -> None:
    """Both streams are closed, both results are there, no further call is made."""
    endless = Endless()
    running, results = load(getattr(endless, name), Plan(calls=9, concurrency=2, warmup=0))
    running.start()
    for _ in range(2):
        assert endless.streaming.acquire(timeout=PATIENCE)
    running.stop()
    assert running.wait(PATIENCE)
    running.finish()
    assert [result.outcome for result in results] == [outcome] * 2
    assert all(endless.closed.acquire(timeout=PATIENCE) for _ in range(2))
    assert running.tally.errors == {}
    running.stop()  # once more, when it is over, changes nothing


def test_stopping_waits_for_a_call_that_blocks() -> None:
    """A call that gives no stream is left to end; what it gave is kept."""
    entered, leave = threading.Event(), threading.Event()

    def block() -> list[str]:
        entered.set()
        assert leave.wait(PATIENCE)
        return ["a"]

    running, results = load(block, Plan(calls=5, warmup=0))
    running.start()
    assert entered.wait(PATIENCE)
    running.stop()
    assert not running.wait(0)
    leave.set()
    assert running.wait(PATIENCE)
    running.finish()
    assert [result.outcome for result in results] == ["completed"]


def test_stopped_before_it_starts_it_makes_no_call() -> None:
    """A signal may come at any time."""
    for function in (value, coroutine):
        running, results = load(function, Plan(calls=5, prompts=["a"]))
        running.stop()
        assert running.seconds == 0
        running.start()
        assert running.wait(PATIENCE)
        running.finish()
        assert results == []


# --- watching -----------------------------------------------------------------------------------


def test_a_glance_before_the_first_call_knows_nothing() -> None:
    """What was not observed is None."""
    assert _load.Tally().glance() == Glance(
        calls=0, failed=0, metric=LATENCY, p50=None, p95=None, token_count=0
    )


def test_a_glance_shows_the_first_token_of_streams_and_the_latency_of_values() -> None:
    """The times are those of the latest calls."""
    streams, results = run(generator, Plan(calls=3, prompts=["a b"]))
    glance = streams.tally.glance()
    firsts = sorted(result.time_to_first_token or 0.0 for result in results)
    assert (glance.metric, glance.calls, glance.token_count) == (FIRST_TOKEN, 3, 6)
    assert glance.p50 == firsts[1]
    assert glance.p95 is not None
    assert firsts[1] <= glance.p95 <= firsts[2]
    values, _ = run(value, Plan(calls=1, prompts=["a b"]))
    assert values.tally.glance().metric == LATENCY


# --- reading to the end -------------------------------------------------------------------------


class MessageStreamManager:
    """Shaped like a client's preparation of a stream."""

    __module__ = "vendor.lib.streaming._messages"

    def __enter__(self) -> Iterator[str]:
        return generator("a b")

    def __exit__(self, *_: object) -> None:
        return None


class AsyncMessageStreamManager:
    __module__ = "vendor.lib.streaming._messages"

    async def __aenter__(self) -> AsyncIterator[str]:
        return async_generator("a b")

    async def __aexit__(self, *_: object) -> None:
        return None


def prepare() -> MessageStreamManager:
    return MessageStreamManager()


async def aprepare() -> AsyncMessageStreamManager:
    return AsyncMessageStreamManager()


@pytest.mark.parametrize("function", [prepare, aprepare])
def test_a_clients_preparation_of_a_stream_is_entered(function: Callable[..., Any]) -> None:
    """What entering gives is read to its end."""
    _, results = run(function, Plan(calls=2, warmup=0))
    assert [(one.outcome, one.token_count) for one in results] == [("completed", 2)] * 2


def test_an_async_preparation_needs_a_loop() -> None:
    """On a thread it cannot be entered."""
    with pytest.raises(NotMeasurableError, match="Cannot run 'given' on threads"):
        run(lambda: AsyncMessageStreamManager(), Plan(calls=1))  # noqa: PLW0108 - not the class


class AsyncClosing:
    """A client's async stream, whose method to end it is called close."""

    def __init__(self) -> None:
        self.closed = 0

    def __aiter__(self) -> AsyncIterator[str]:
        return self

    async def __anext__(self) -> str:
        if self.closed:
            raise StopAsyncIteration
        return "a"

    async def close(self) -> None:
        self.closed += 1


class Closing(AsyncClosing):
    """The same, ended by an ordinary method."""

    def close(self) -> None:  # type: ignore[override]  # that is the point
        self.closed += 1


class Bare:
    """Streams that nobody can close."""

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        return "a"

    def __aiter__(self) -> AsyncIterator[str]:
        return self

    async def __anext__(self) -> str:
        return "a"


def itself(stream: AsyncClosing) -> AsyncClosing:
    return stream


def test_a_stream_is_closed_by_the_method_that_it_has() -> None:
    """aclose, close, or none at all, awaited where need be."""
    for closing in (AsyncClosing(), Closing()):
        asyncio.run(aconsume(observe(functools.partial(itself, closing))(), lambda: True))
        assert closing.closed == 1
    asyncio.run(aconsume(observe(lambda: Bare())(), lambda: True))  # noqa: PLW0108 - as above
    consume(observe(lambda: Bare())(), lambda: True)  # noqa: PLW0108 - as above
