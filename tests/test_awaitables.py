"""Measured coroutines and other awaitables: awaited, driven, cancelled and dropped as before."""

from __future__ import annotations

import asyncio
import collections.abc
import concurrent.futures
import contextlib
import copy
import functools
import gc
import inspect
import pickle
import types
import warnings
import weakref
from collections.abc import Awaitable, Callable, Generator, Iterator
from typing import Any

import pytest

import tokenclock
from programs import check_frames
from stepping import read
from tokenclock import (
    AsyncMeasuredGenerator,
    MeasuredGenerator,
    MetricsResult,
    TokenclockWarning,
    capture,
)
from tokenclock.testing import FakeClock, Script

# Untyped: tests ask what they give for all sorts of things.
metrics_decorator: Any = tokenclock.metrics_decorator
metrics_of: Any = tokenclock.metrics_of
observe: Any = tokenclock.observe

decorators = pytest.mark.parametrize("decorator", [observe, metrics_decorator])
Decorator = Callable[..., Any]


async def answer(value: Any = "value") -> Any:
    """Give the value after one round of the loop."""
    await asyncio.sleep(0)
    return value


@types.coroutine
def suspend(value: object) -> Generator[object, Any, Any]:
    """Suspend once."""
    return (yield value)


class Request:
    """An awaitable that is no coroutine, as SDKs have them."""

    def __init__(self, value: Any = "value") -> None:
        self.url = "https://example.org"
        self.value = value
        self.awaited = 0

    def __await__(self) -> Generator[Any, Any, Any]:
        self.awaited += 1
        received = yield "pending"
        assert received is None
        return self.value


def coroutine_function(value: Any) -> Any:
    return answer(value)


def generator_coroutine(value: Any) -> Any:
    make: Any = types.coroutine(_generator)
    return make(value)


def _generator(value: Any) -> Generator[None, None, Any]:
    yield
    return value


def own_awaitable(value: Any) -> Any:
    class Soon:
        def __await__(self) -> Generator[Any, Any, Any]:
            yield
            return value

    return Soon()


# Functions that give an awaitable of their argument, one for each kind of awaitable.
GIVERS: list[Any] = [answer, coroutine_function, generator_coroutine, own_awaitable]
every_giver = pytest.mark.parametrize("give", GIVERS)


def value_of(given: Any) -> Any:
    return given.value if isinstance(given, MetricsResult) else given


# --- rows ----------------------------------------------------------------------------------------


@every_giver
@pytest.mark.asyncio
async def test_awaiting_an_observed_awaitable_gives_that_very_value(give: Any) -> None:
    """Under observe an await gives the very object."""
    value = object()

    assert await observe(give, clock=FakeClock())(value) is value


@every_giver
@pytest.mark.asyncio
async def test_awaiting_a_decorated_awaitable_gives_a_result(give: Any) -> None:
    """Under metrics_decorator an await gives the result, with the value in it."""
    value = ["a", "b"]

    result = await metrics_decorator(give, clock=FakeClock())(value)

    assert isinstance(result, MetricsResult)
    assert result.value is value
    assert result.token_count == 2
    assert result.outcome == "completed"
    assert result.streamed is False


@decorators
@every_giver
@pytest.mark.asyncio
async def test_awaiting_a_stream_gives_a_measured_stream(decorator: Decorator, give: Any) -> None:
    """A coroutine that gives a stream gives a measured one, in the same run."""
    clock = FakeClock()
    script = Script([(0.5, "a"), (0.25, "b")], clock=clock)
    decorated = decorator(give, clock=clock)

    with capture() as results:
        stream = await decorated(script.generator())
        astream = await decorated(script.agenerator())
        assert results == []
        assert isinstance(stream, MeasuredGenerator)
        assert isinstance(astream, AsyncMeasuredGenerator)
        assert read(stream) == ["a", "b"]
        assert [chunk async for chunk in astream] == ["a", "b"]

    assert [result.chunk_count for result in results] == [2, 2]
    assert [result.outcome for result in results] == ["completed", "completed"]


@decorators
@pytest.mark.asyncio
async def test_an_awaitable_of_an_awaitable_is_awaited_twice(decorator: Decorator) -> None:
    """What a coroutine gives may itself be awaited; the run ends with the last value."""
    with capture() as results:
        inner = await decorator(answer, clock=FakeClock())(answer("value"))
        assert inspect.iscoroutine(inner)
        assert results == []
        assert value_of(await inner) == "value"

    assert [result.outcome for result in results] == ["completed"]


@pytest.mark.asyncio
async def test_a_coroutine_that_gives_a_future_leaves_the_run_to_it() -> None:
    """An observed coroutine that gives a future gives that very one, whose end is the run's."""
    clock = FakeClock()

    async def start(future: asyncio.Future[str]) -> asyncio.Future[str]:
        return future

    future: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    with capture() as results:
        given = await observe(start, clock=clock)(future)
        assert given is future
        assert results == []
        clock.advance(0.5)
        future.set_result("value")
        await asyncio.sleep(0)

    assert [(result.outcome, result.generation_latency) for result in results] == [
        ("completed", 0.5)
    ]


def test_the_clock_of_a_coroutine_starts_at_the_first_await() -> None:
    """A coroutine function's code can run from the first await on; before, time is idle."""
    clock = FakeClock()

    async def work() -> list[str]:
        clock.advance(0.5)
        await suspend("wait")
        clock.advance(0.25)
        return ["a"]

    coroutine = metrics_decorator(work, clock=clock)()
    clock.advance(4)
    coroutine.send(None)
    clock.advance(0.25)
    with pytest.raises(StopIteration) as stop:
        coroutine.send(None)
    result = stop.value.value

    assert result.idle_before_start == 4.0
    assert result.generation_latency == 1.0
    assert result.time_to_first_token == 1.0


# --- what it is ----------------------------------------------------------------------------------


@decorators
def test_a_measured_coroutine_is_a_coroutine(decorator: Decorator) -> None:
    """Inspect, asyncio and the abstract types take it for a coroutine; cr_* are the original's."""
    coroutine: Any = decorator(answer)()

    assert inspect.iscoroutine(coroutine)
    assert inspect.isawaitable(coroutine)
    assert asyncio.iscoroutine(coroutine)
    assert isinstance(coroutine, types.CoroutineType)
    assert isinstance(coroutine, collections.abc.Coroutine)
    assert isinstance(coroutine, collections.abc.Awaitable)
    assert not isinstance(coroutine, collections.abc.Iterator)
    assert not hasattr(coroutine, "__next__")
    assert not hasattr(coroutine, "__iter__")
    assert inspect.getcoroutinestate(coroutine) == inspect.CORO_CREATED
    assert coroutine.cr_code is answer.__code__
    assert coroutine.cr_running is False
    assert coroutine.cr_await is None
    assert coroutine.cr_frame is not None
    assert coroutine.__name__ == "answer"
    coroutine.__qualname__ = "other"
    assert getattr(coroutine, "_tc_original").__qualname__ == "other"  # noqa: B009 - typed apart
    assert "other" in repr(coroutine)
    coroutine.close()
    assert inspect.getcoroutinestate(coroutine) == inspect.CORO_CLOSED


def test_a_measured_generator_coroutine_is_one() -> None:
    """What types.coroutine makes stays a generator that can be awaited."""
    decorated = observe(suspend)
    given = decorated(5)

    assert inspect.isgenerator(given)
    assert inspect.isawaitable(given)
    assert next(given) == 5
    with pytest.raises(StopIteration) as stop:
        given.send("sent")
    assert stop.value.value == "sent"


def test_a_generator_coroutine_can_be_iterated_over_and_delegated_to() -> None:
    """``yield from`` over what types.coroutine makes works as it did."""

    def outer() -> Generator[Any, Any, None]:
        received = yield from observe(suspend)("first")
        yield received

    stream = outer()
    assert next(stream) == "first"
    assert stream.send("sent") == "sent"


@pytest.mark.asyncio
async def test_a_custom_awaitable_keeps_its_attributes() -> None:
    """An awaitable of an SDK keeps its type and attributes, and is asked for __await__ in time."""
    request = Request()
    given: Any = observe(lambda: request)()

    assert isinstance(given, Request)
    assert given.url == "https://example.org"
    given.url = "https://example.com"
    assert request.url == "https://example.com"
    assert given.awaited == 0
    assert not inspect.iscoroutine(given)
    assert not hasattr(given, "send")
    steps = given.__await__()
    assert next(steps) == "pending"
    assert request.awaited == 1
    with pytest.raises(StopIteration) as stop:
        next(steps)
    assert stop.value.value == "value"


@pytest.mark.asyncio
async def test_an_awaitables_own_methods_are_its_own() -> None:
    """The close() and send() of an awaitable that is no coroutine take and give what they did."""

    class Pool(Request):
        async def close(self, reason: str) -> str:
            return f"closed: {reason}"

        def send(self, first: int, *, second: int) -> int:
            return first + second

    def make() -> Pool:
        return Pool()

    pool: Any = observe(make)()

    assert await pool.close("done") == "closed: done"
    assert pool.send(1, second=2) == 3
    assert inspect.iscoroutinefunction(pool.close)
    assert metrics_of(pool).outcome == "running"
    assert now_driven(pool) == "value"
    assert metrics_of(pool).outcome == "completed"


def now_driven(awaitable: Any) -> Any:
    """Drive an awaitable that suspends once."""
    steps = awaitable.__await__()
    assert next(steps) == "pending"
    with pytest.raises(StopIteration) as stop:
        next(steps)
    return stop.value.value


@pytest.mark.parametrize("treat", [copy.copy, copy.deepcopy, pickle.dumps])
def test_copy_and_pickle_fail_as_for_the_coroutine(treat: Any) -> None:
    """A coroutine cannot be copied or pickled; the measured one says so in its words."""
    coroutine: Any = observe(answer)()
    with pytest.raises(TypeError, match="cannot pickle 'coroutine' object"):
        treat(coroutine)
    coroutine.close()


def test_a_measured_coroutine_can_be_weakly_referenced() -> None:
    """Weak references to it work, and die with it."""
    coroutine: Any = observe(answer)()
    reference: Any = weakref.ref(coroutine)
    assert reference() is coroutine
    coroutine.close()
    del coroutine
    assert reference() is None


# --- how it is driven ----------------------------------------------------------------------------


@decorators
def test_a_coroutine_can_be_driven_by_hand(decorator: Decorator) -> None:
    """send() and throw() reach the body, close() ends it."""
    events: list[Any] = []

    async def body() -> str:
        events.append(await suspend(1))
        try:
            await suspend(2)
        except ValueError as error:
            events.append(error)
        try:
            await suspend(3)
        finally:
            events.append("closed")
        return "never"

    thrown = ValueError("x")
    coroutine = decorator(body)()
    assert coroutine.send(None) == 1
    assert coroutine.send("sent") == 2
    assert coroutine.cr_await is not None
    assert coroutine.throw(thrown) == 3
    coroutine.close()
    assert events == ["sent", thrown, "closed"]
    assert metrics_of(coroutine).outcome == "stopped"


def test_a_coroutine_cannot_be_awaited_twice() -> None:
    """A second await is refused as the original refuses it, and changes no number."""
    coroutine = observe(answer, clock=FakeClock())("value")
    first = asyncio.run(_awaited(coroutine))
    before = metrics_of(coroutine)

    with pytest.raises(RuntimeError, match="cannot reuse already awaited coroutine"):
        asyncio.run(_awaited(coroutine))

    assert first == "value"
    assert metrics_of(coroutine) == before


@pytest.mark.asyncio
async def test_a_coroutine_is_not_awaited_by_two_at_once() -> None:
    """While one task awaits it, another's await is refused, and the first is not disturbed."""
    coroutine = observe(answer, clock=FakeClock())("value")
    first = asyncio.ensure_future(_awaited(coroutine))
    await asyncio.sleep(0)

    with pytest.raises(RuntimeError, match="coroutine is being awaited already"):
        await coroutine

    assert metrics_of(coroutine).outcome == "running"
    assert await first == "value"
    assert metrics_of(coroutine).outcome == "completed"


def test_a_generator_coroutine_that_is_entered_twice_goes_on() -> None:
    """A request that a running body refuses is no event."""
    entered: list[Any] = []

    @types.coroutine
    def body() -> Generator[int, None, str]:
        with pytest.raises(ValueError, match="generator already executing"):
            next(entered[0])
        yield 1
        return "value"

    entered.append(observe(body, clock=FakeClock())())

    assert next(entered[0]) == 1
    assert metrics_of(entered[0]).outcome == "running"
    with pytest.raises(StopIteration) as stop:
        next(entered[0])
    assert stop.value.value == "value"
    assert metrics_of(entered[0]).outcome == "completed"


async def _awaited(awaitable: Awaitable[Any]) -> Any:
    return await awaitable


@decorators
@every_giver
@pytest.mark.asyncio
async def test_gather_wait_for_and_tasks_take_it(decorator: Decorator, give: Any) -> None:
    """Asyncio's own functions take a measured awaitable where they took the original."""
    decorated = decorator(give, clock=FakeClock())

    assert [value_of(one) for one in await asyncio.gather(decorated(1), decorated(2))] == [1, 2]
    assert value_of(await asyncio.wait_for(decorated(3), timeout=60)) == 3
    assert value_of(await asyncio.ensure_future(decorated(4))) == 4
    assert value_of(await asyncio.shield(decorated(5))) == 5


@decorators
@pytest.mark.asyncio
async def test_create_task_takes_a_measured_coroutine(decorator: Decorator) -> None:
    """A measured coroutine makes a task, and the task carries the original's name and frame."""
    task = asyncio.create_task(decorator(answer)("value"))

    assert inspect.getcoroutinestate(task.get_coro()) == inspect.CORO_CREATED  # type: ignore[arg-type]  # typeshed: may be None
    assert "answer" in repr(task)
    assert value_of(await task) == "value"


@decorators
def test_asyncio_run_takes_a_measured_coroutine(decorator: Decorator) -> None:
    """asyncio.run(main()) works where main is decorated."""
    assert value_of(asyncio.run(decorator(answer)("value"))) == "value"


@every_giver
@pytest.mark.asyncio
async def test_a_cancelled_await_is_cancelled(give: Any) -> None:
    """Cancelling the task that awaits cancels the body; the outcome says so."""
    with capture() as results:
        task = asyncio.ensure_future(_awaited(observe(give, clock=FakeClock())("value")))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    assert [result.outcome for result in results] == ["cancelled"]
    assert [result.token_count for result in results] == [None]


@decorators
@pytest.mark.asyncio
async def test_an_error_passes_as_it_is(decorator: Decorator) -> None:
    """The body's exception is the same object, without context, with at most one frame of ours."""
    error = ConnectionError("lost")

    async def fails() -> None:
        await asyncio.sleep(0)
        raise error

    with capture() as results, pytest.raises(ConnectionError) as raised:
        await decorator(fails)()

    assert raised.value is error
    assert error.__context__ is None
    assert error.__cause__ is None
    check_frames(error)
    assert [(result.outcome, result.error) for result in results] == [("failed", "ConnectionError")]


@decorators
def test_an_error_before_there_is_an_awaitable_passes_as_it_is(decorator: Decorator) -> None:
    """A function that raises instead of giving its awaitable is a failed call."""
    error = ValueError("no key")

    def fails() -> Awaitable[str]:
        raise error

    with capture() as results, pytest.raises(ValueError, match="no key") as raised:
        decorator(fails)()

    assert raised.value is error
    check_frames(error)
    assert [(result.outcome, result.error) for result in results] == [("failed", "ValueError")]


# --- never awaited -------------------------------------------------------------------------------


@contextlib.contextmanager
def caught_warnings() -> Iterator[list[str]]:
    messages: list[str] = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield messages
        gc.collect()
    messages.extend(str(one.message) for one in caught)


@decorators
@pytest.mark.parametrize("give", [answer, functools.partial(coroutine_function, "value")])
def test_a_coroutine_that_is_never_awaited_is_warned_about_once(
    decorator: Decorator, give: Any
) -> None:
    """Exactly one RuntimeWarning, with the original's name, and one unconsumed result."""
    with capture() as results, caught_warnings() as messages:
        decorator(give, clock=FakeClock())()

    assert messages == ["coroutine 'answer' was never awaited"]
    assert [result.outcome for result in results] == ["unconsumed"]
    assert results[0].generation_latency == 0.0
    assert results[0].token_count is None


@decorators
def test_other_awaitables_that_are_never_awaited_are_not_warned_about(
    decorator: Decorator,
) -> None:
    """What says nothing when it is dropped says nothing when it is measured."""
    with capture() as results, caught_warnings() as messages:
        decorator(own_awaitable, clock=FakeClock())("value")

    assert messages == []
    assert [result.outcome for result in results] == ["unconsumed"]


def test_a_coroutine_dropped_half_way_is_stopped() -> None:
    """A coroutine that was started and dropped runs its finally, and its result says stopped."""
    events = []

    async def body() -> None:
        try:
            await suspend(1)
        finally:
            events.append("closed")

    with capture() as results, caught_warnings() as messages:
        coroutine = observe(body, clock=FakeClock())()
        coroutine.send(None)
        del coroutine
        assert events == ["closed"]

    assert messages == []
    assert [result.outcome for result in results] == ["stopped"]


# --- futures -------------------------------------------------------------------------------------


@pytest.mark.asyncio
async def test_an_observed_future_is_that_very_object() -> None:
    """Under observe an asyncio Future is handed through, and timed until it is done."""
    clock = FakeClock()
    future: asyncio.Future[list[str]] = asyncio.get_running_loop().create_future()

    given = observe(lambda: future, clock=clock)()
    assert given is future
    assert metrics_of(given).outcome == "running"
    clock.advance(0.5)
    future.set_result(["a", "b"])
    await asyncio.sleep(0)  # a future calls back in the round after it is done
    assert await given == ["a", "b"]

    result = metrics_of(given)
    assert result is not None
    assert result.outcome == "completed"
    assert result.generation_latency == 0.5
    assert result.token_count == 2
    assert result.throughput == 4.0


@pytest.mark.asyncio
async def test_an_observed_task_is_that_very_object() -> None:
    """Under observe a Task is handed through: cancel(), names and identity are its own."""

    def start() -> asyncio.Task[Any]:
        return asyncio.create_task(answer("value"), name="mine")

    with capture() as results:
        task = observe(start, clock=FakeClock())()
        assert type(task) is asyncio.Task
        assert task.get_name() == "mine"
        assert task in asyncio.all_tasks()
        assert await task == "value"
        await asyncio.sleep(0)

    assert [result.outcome for result in results] == ["completed"]


@pytest.mark.asyncio
async def test_an_observed_future_that_fails_or_is_cancelled_says_so() -> None:
    """A future's exception and its cancellation are the run's."""
    loop = asyncio.get_running_loop()
    error = ConnectionError("lost")
    failing: asyncio.Future[None] = loop.create_future()
    cancelled: asyncio.Future[None] = loop.create_future()
    watch = observe(lambda future: future, clock=FakeClock())
    watch(failing)
    watch(cancelled)

    failing.set_exception(error)
    cancelled.cancel()
    with pytest.raises(ConnectionError) as raised:
        await failing
    with pytest.raises(asyncio.CancelledError):
        await cancelled
    await asyncio.sleep(0)  # as above

    assert raised.value is error
    assert metrics_of(failing).error == "ConnectionError"
    assert metrics_of(cancelled).outcome == "cancelled"


@pytest.mark.asyncio
async def test_watching_a_future_does_not_silence_its_exception() -> None:
    """Asyncio still complains of an exception that nobody retrieved."""
    loop = asyncio.get_running_loop()
    messages: list[str] = []
    loop.set_exception_handler(lambda _, context: messages.append(context["message"]))
    future: asyncio.Future[None] = observe(loop.create_future, clock=FakeClock())()

    future.set_exception(ConnectionError("lost"))
    await asyncio.sleep(0)
    del future
    gc.collect()

    assert messages == ["Future exception was never retrieved"]


@pytest.mark.asyncio
async def test_a_future_under_metrics_decorator_is_awaited_for_its_result() -> None:
    """Under metrics_decorator awaiting a future gives a result; it is still a Future to ask."""
    future: asyncio.Future[list[str]] = asyncio.get_running_loop().create_future()
    given: Any = metrics_decorator(lambda: future, clock=FakeClock())()

    assert isinstance(given, asyncio.Future)
    assert given.done() is False
    future.set_result(["a"])
    result = await given

    assert result.value == ["a"]
    assert result.outcome == "completed"


REMEDY = (
    "the call only prepared it, and its work comes later. Decorate the function that does the "
    r"work, or iterate over tokenclock\.measure\(stream\)\."
)


def concurrent_future() -> Any:
    return concurrent.futures.Future()


def sync_manager() -> Any:
    return contextlib.nullcontext()


def async_manager() -> Any:
    class Manager:
        async def __aenter__(self) -> None: ...
        async def __aexit__(self, *error: object) -> None: ...

    return Manager()


@decorators
@pytest.mark.parametrize(
    ("give", "kind"),
    [
        (concurrent_future, "concurrent.futures._base.Future"),
        (sync_manager, "contextlib.nullcontext"),
        (async_manager, "test_awaitables.async_manager.<locals>.Manager"),
    ],
)
def test_what_has_done_no_work_yet_is_handed_through_with_one_warning(
    decorator: Decorator, give: Any, kind: str
) -> None:
    """A future of a thread and an unknown context manager have no numbers, and one warning."""
    decorated = decorator(give, name="later", clock=FakeClock())

    with capture() as results:
        with pytest.warns(
            TokenclockWarning, match=f"^Cannot time a '{kind}' from 'later': {REMEDY}$"
        ) as warned:
            given = decorated()
        decorated()

    assert len(warned) == 1
    assert warned[0].filename == __file__
    assert isinstance(given, MetricsResult) is (decorator is metrics_decorator)
    assert hasattr(type(value_of(given)), "__enter__") or kind != "contextlib.nullcontext"
    for result in results:
        assert result.time_to_first_token is None
        assert result.token_count is None
        assert result.throughput is None
        assert result.outcome == "completed"
    assert len(results) == 2


@decorators
def test_a_file_like_value_that_was_made_is_handed_through(decorator: Decorator) -> None:
    """The very object of such a value arrives, whatever its warning says."""
    value = contextlib.nullcontext()

    with pytest.warns(TokenclockWarning, match="Cannot time a 'contextlib.nullcontext'"):
        given = decorator(lambda: value)()

    assert value_of(given) is value


# --- contexts ------------------------------------------------------------------------------------


@pytest.mark.asyncio
async def test_a_coroutine_runs_in_the_callers_task() -> None:
    """No task is made: the body runs in the task that awaits."""

    async def who() -> Any:
        await asyncio.sleep(0)
        return asyncio.current_task()

    before = asyncio.all_tasks()
    assert await observe(who)() is asyncio.current_task()
    assert asyncio.all_tasks() == before
