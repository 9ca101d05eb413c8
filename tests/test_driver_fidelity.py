"""
What the compiled driver gives is as bare as what it stands in for: awaitables, frames, garbage.

Scenarios are played with a bare function and with a measured one, and must come out alike. Where
Python's driver cannot do that, they are tests of the compiled one alone.
"""

from __future__ import annotations

import asyncio
import collections.abc
import contextlib
import gc
import inspect
import sys
import types
import warnings
import weakref
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Generator, Iterator
from typing import Any

import pytest

from programs import frames, outcome, suspend
from stepping import now
from tokenclock import capture, driver, observe

Function = Callable[..., Any]


def of_the_compiled_driver(test: Any) -> Any:
    """Keep a test where that driver runs; elsewhere there is none."""
    return test if driver == "compiled" else None


def check(scenario: Callable[[Function], Any], function: Function) -> None:
    """Check that a scenario comes out with a measured function as it does with the bare one."""
    expected = scenario(function)

    assert scenario(observe(function)) == expected


# --- what is measured ----------------------------------------------------------------------------


def tokens(*extra: Any) -> Generator[Any, Any, Any]:
    """Give two chunks, then what was sent, and return something."""
    sent = yield "one"
    yield "two"
    yield sent
    return ("a", "tuple")


async def atokens(*extra: Any) -> AsyncGenerator[Any, Any]:
    """Give chunks, and suspend once before the second."""
    sent = yield "one"
    await suspend("waiting")
    yield "two"
    yield sent


class Tokens:
    """The same as an object."""

    def __init__(self) -> None:
        self.body = atokens()

    def __aiter__(self) -> AsyncIterator[Any]:
        return self

    async def __anext__(self) -> Any:
        return await self.body.__anext__()

    async def aclose(self) -> None:
        await self.body.aclose()


def an_object() -> Tokens:
    return Tokens()


def _anext(stream: Any) -> Any:
    return stream.__anext__()


def _asend(stream: Any) -> Any:
    return stream.asend(None)


def _athrow(stream: Any) -> Any:
    return stream.athrow(ValueError("thrown in"))


def _aclose(stream: Any) -> Any:
    return stream.aclose()


def _default(stream: Any) -> Any:
    return anext(stream, "default")


every_awaitable = pytest.mark.parametrize(
    ("function", "ask"),
    [
        (atokens, _anext),
        (atokens, _asend),
        (atokens, _athrow),
        (atokens, _aclose),
        (atokens, _default),
        (an_object, _anext),
        (an_object, _default),
    ],
)
each_async_source = pytest.mark.parametrize("function", [atokens, an_object])


def told(call: Callable[..., Any], *args: Any) -> Any:
    """Give what a call gave or raised, with all frames: one of ours would be a difference."""
    try:
        return ("gave", call(*args))
    except BaseException as error:  # noqa: BLE001 - whatever it is, it is compared
        return type(error), error.args, getattr(error, "value", None), frames(error)


# --- awaitables by hand --------------------------------------------------------------------------

# What is done to an awaitable, one after the other; whatever comes after its end is misuse.
BY_HAND = [
    [("send", None), ("send", None), ("send", None)],
    [("__next__",), ("__next__",), ("__next__",)],
    [("send", 1), ("send", None), ("send", None)],
    [("close",), ("send", None), ("close",)],
    [("send", None), ("close",), ("send", None)],
    [("throw", ValueError), ("send", None)],
    [("send", None), ("throw", ValueError), ("throw", KeyError)],
    [("throw", GeneratorExit), ("send", None)],
    [("throw",), ("send", None)],
    [("throw", 1), ("send", None)],
]


@of_the_compiled_driver
@every_awaitable
@pytest.mark.parametrize("deeds", BY_HAND)
@pytest.mark.parametrize("read_before", [0, 1])
def test_awaitables_take_by_hand_what_bare_ones_take(
    function: Function, ask: Any, deeds: Any, read_before: int
) -> None:
    """Used and misused by hand, an awaitable answers as that of the original does."""

    def scenario(make: Function) -> list[Any]:
        stream = make()
        for _ in range(read_before):
            now(anext(stream))
        awaitable = ask(stream)
        log = [told(_do, awaitable, *deed) for deed in deeds]
        return [*log, told(anext(stream).send, None)]

    with _no_complaints():
        check(scenario, function)


def _do(awaitable: Any, name: str, *args: Any) -> Any:
    return getattr(awaitable, name)(*args)


@contextlib.contextmanager
def _no_complaints() -> Iterator[None]:
    """Let bodies that are dropped where they wait go in silence."""
    with warnings.catch_warnings(), pytest.MonkeyPatch.context() as patch:
        warnings.simplefilter("ignore")
        patch.setattr(sys, "unraisablehook", lambda _: None)
        yield
        gc.collect(1)


@of_the_compiled_driver
@every_awaitable
def test_awaitables_are_for_python_what_bare_ones_are(function: Function, ask: Any) -> None:
    """inspect, asyncio and the abstract base classes take an awaitable for what it stands for."""

    def scenario(make: Function) -> list[Any]:
        stream = make()
        awaitable = ask(stream)
        answers = [
            inspect.isawaitable(awaitable),
            inspect.iscoroutine(awaitable),
            asyncio.iscoroutine(awaitable),
            asyncio.isfuture(awaitable),
            inspect.isgenerator(awaitable),
            awaitable.__class__ is type(ask(function())),
            [hasattr(awaitable, name) for name in ("__next__", "__iter__", "__await__", "throw")],
            [isinstance(awaitable, kind) for kind in KINDS],
            hasattr(awaitable, "cr_frame"),
            repr(awaitable).partition(" at ")[0],
        ]
        return [*answers, _closed(awaitable)]

    with _no_complaints():
        check(scenario, function)


KINDS = (
    types.CoroutineType,
    types.GeneratorType,
    collections.abc.Awaitable,
    collections.abc.Coroutine,
    collections.abc.Iterator,
    collections.abc.Generator,
)


def _closed(awaitable: Any) -> Any:
    return awaitable.close() if hasattr(awaitable, "close") else None


@of_the_compiled_driver
@every_awaitable
def test_awaitables_that_nobody_awaits_are_warned_of_as_bare_ones(
    function: Function, ask: Any
) -> None:
    """Python says of an awaitable that is dropped what it says of the original's."""

    def scenario(make: Function) -> list[str]:
        stream = make()
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            ask(stream)
        return [str(one.message) for one in caught]

    check(scenario, function)


@of_the_compiled_driver
def test_a_step_shows_the_originals_coroutine() -> None:
    """What ``async def __anext__`` gives shows code, frame and names, as tracers read them."""

    def scenario(make: Function) -> list[Any]:
        stream = make()
        now(anext(stream))
        step: Any = anext(stream)
        seen = [inspect.getcoroutinestate(step), step.cr_code is Tokens.__anext__.__code__]
        seen += [step.__name__, step.__qualname__, step.cr_await, step.cr_running]
        seen += [step.send(None), inspect.getcoroutinestate(step), step.cr_await is None]
        seen += [step.cr_frame.f_code is step.cr_code, step.cr_frame.f_lasti > 0]
        return [*seen, step.close(), inspect.getcoroutinestate(step), step.cr_frame]

    check(scenario, an_object)


@of_the_compiled_driver
@each_async_source
def test_a_second_request_is_refused_in_the_originals_words(function: Function) -> None:
    """While one request waits, the next one fails as it would, and the first goes on."""

    def scenario(make: Function) -> list[Any]:
        stream = make()
        now(anext(stream))
        first, second = anext(stream), anext(stream)
        log = [told(first.send, None), told(second.send, None), told(first.send, None)]
        return [*log, told(second.send, None)]

    check(scenario, function)


@of_the_compiled_driver
def test_a_step_that_is_dropped_where_it_waits_leaves_the_generator_as_it_is() -> None:
    """An async generator whose request was dropped answers the next one as a bare one does."""

    def scenario(make: Function) -> list[Any]:
        stream = make()
        now(anext(stream))
        step = anext(stream)
        log = [step.send(None)]
        del step
        return [*log, stream.ag_running, told(anext(stream).send, None)]

    check(scenario, atokens)


def test_a_step_that_is_over_keeps_no_stream_alive() -> None:
    """An object that nobody holds but a coroutine that is over goes as a bare one does."""
    stream = observe(an_object)()
    step: Any = anext(stream)
    outcome(step.send, None)
    gone = weakref.ref(stream)
    del stream

    assert gone() is None


# --- on a loop -----------------------------------------------------------------------------------


async def _slowly(*extra: Any) -> AsyncGenerator[str, None]:
    for token in ("one", "two", "three"):
        await asyncio.sleep(0)
        yield token


class Slow(Tokens):
    """An object whose steps wait on the loop."""

    def __init__(self) -> None:
        self.body = _slowly()


def slow_object() -> Slow:
    return Slow()


async def _created(stream: Any) -> Any:
    return await asyncio.create_task(anext(stream))


async def _ensured(stream: Any) -> Any:
    return await asyncio.ensure_future(anext(stream))


async def _waited_for(stream: Any) -> Any:
    return await asyncio.wait_for(anext(stream), 60)


async def _gathered(stream: Any) -> Any:
    return await asyncio.gather(anext(stream), asyncio.sleep(0, "slept"))


async def _shielded(stream: Any) -> Any:
    return await asyncio.shield(anext(stream))


async def _defaulted(stream: Any) -> Any:
    return [await anext(stream, "default") for _ in range(4)]


async def _for_else(stream: Any) -> Any:
    async for chunk in stream:
        if chunk == "four":
            break
    else:
        return "else"
    return "break"


async def _comprehended(stream: Any) -> Any:
    return [chunk async for chunk in aiter(stream)]


async def _awaited_twice(stream: Any) -> Any:
    step = anext(stream)
    first = asyncio.ensure_future(_await(step))
    await asyncio.sleep(0)
    second = await asyncio.gather(_await(step), return_exceptions=True)
    return [repr(second), await first]


async def _await(awaitable: Any) -> Any:
    return await awaitable


async def _cancelled(stream: Any) -> Any:
    task = asyncio.ensure_future(_await(anext(stream)))
    await asyncio.sleep(0)
    task.cancel()
    answers = await asyncio.gather(task, return_exceptions=True)
    return [repr(answers), await anext(stream, "default")]


async def _left_with_aclosing(stream: Any) -> Any:
    async with contextlib.aclosing(stream) as entered:
        first = await anext(entered)
    return [first, await anext(stream, "default"), entered is stream]


@of_the_compiled_driver
@pytest.mark.parametrize("function", [_slowly, slow_object])
@pytest.mark.parametrize(
    "reader",
    [_created, _ensured, _waited_for, _gathered, _shielded, _defaulted, _for_else, _comprehended,
     _awaited_twice, _cancelled, _left_with_aclosing],
)  # fmt: skip
def test_a_loop_takes_an_awaitable_for_what_it_stands_for(function: Function, reader: Any) -> None:
    """Tasks, timeouts, groups, shields and defaults do, or refuse, what they would."""

    def scenario(make: Function) -> Any:
        return outcome(asyncio.run, reader(make()))[:3]

    with _no_complaints():
        check(scenario, function)


def _maker(kind: type[Any]) -> Function:
    """Make a function of a class, which itself is not measured."""

    def make() -> Any:
        return kind()

    return make


@pytest.mark.extras
@pytest.mark.parametrize("function", [atokens, an_object])
def test_trio_reads_and_cancels_as_it_would(function: Function) -> None:
    """Under trio, chunks arrive, and a cancelled request ends as a bare one does."""
    import trio  # noqa: PLC0415 - an extra

    async def slowly() -> AsyncGenerator[str, None]:
        yield "one"
        await trio.sleep_forever()

    class SlowTokens(Tokens):
        def __init__(self) -> None:
            self.body = slowly()

    async def read(stream: Any) -> list[Any]:
        chunks: list[Any] = []
        with trio.CancelScope() as scope:
            chunks.append(await anext(stream))
            scope.cancel()
            chunks.append(await anext(stream))
        return [*chunks, scope.cancelled_caught, await anext(stream, "over")]

    def scenario(make: Function) -> Any:
        return trio.run(read, make())

    check(scenario, slowly if function is atokens else _maker(SlowTokens))


# --- streams -------------------------------------------------------------------------------------


@pytest.mark.parametrize("function", [tokens, atokens])
def test_a_stream_is_of_its_originals_kinds(function: Function) -> None:
    """A measured generator is an instance of what the original is one of, and of nothing else."""
    kinds = (types.GeneratorType, types.AsyncGeneratorType, types.CoroutineType)
    abstract = ("Iterable", "Iterator", "Generator", "AsyncIterable", "AsyncIterator",
                "AsyncGenerator", "Coroutine", "Awaitable", "Hashable", "Sized")  # fmt: skip

    def scenario(make: Function) -> list[bool]:
        stream = make()
        return [isinstance(stream, kind) for kind in kinds] + [
            isinstance(stream, getattr(collections.abc, name)) for name in abstract
        ]

    check(scenario, function)


def test_a_generator_shows_its_state_from_inside_and_outside() -> None:
    """Names, frames and states are the original's, also while the body runs."""
    inside: list[Any] = []

    def body(streams: list[Any]) -> Iterator[str]:
        inside.append((streams[0].gi_running, inspect.getgeneratorstate(streams[0])))
        yield "token"

    def scenario(make: Function) -> list[Any]:
        streams: list[Any] = []
        streams.append(make(streams))
        stream = streams[0]
        stream.__name__ = "renamed"
        seen = [next(stream), inside.pop(), stream.gi_running, stream.gi_frame.f_lineno]
        seen += [stream.__name__, stream.__qualname__, stream.gi_code.co_name, stream.gi_yieldfrom]
        stream.close()
        return [*seen, stream.gi_frame, inspect.getgeneratorstate(stream)]

    check(scenario, body)


def test_weak_references_learn_of_a_dropped_stream_in_order() -> None:
    """When the last reference goes, weak references die at once, and the body is closed."""
    log: list[str] = []

    def body() -> Iterator[str]:
        try:
            yield "token"
        finally:
            log.append("closed")

    def scenario(make: Function) -> list[Any]:
        log.clear()
        stream = make()
        next(stream)
        reference = weakref.ref(stream, lambda _: log.append("gone"))
        del stream
        return [reference(), sorted(log)]

    check(scenario, body)


def _failing(*extra: Any) -> Iterator[str]:
    yield "one"
    raise LookupError("from the body")


async def _afailing(*extra: Any) -> AsyncIterator[str]:
    yield "one"
    raise LookupError("from the body")


def _by_loop(stream: Any) -> list[Any]:
    return [chunk for chunk in stream]  # noqa: C416 - a loop, as users write it


def _by_yield_from(stream: Any) -> list[Any]:
    def outer() -> Generator[Any, Any, Any]:
        return (yield from stream)

    return list(outer())


def _by_next(stream: Any) -> list[Any]:
    return [next(stream), next(stream)]


def _by_send(stream: Any) -> list[Any]:
    return [stream.send(None), stream.send(1)]


def _by_throw(stream: Any) -> list[Any]:
    return [next(stream), stream.throw(KeyError("thrown in"))]


def _by_throw_at_once(stream: Any) -> Any:
    return stream.throw(KeyError("thrown in"))


def _by_close_from_inside(stream: Any) -> Any:
    return [next(stream), stream.close(), next(stream)]


@of_the_compiled_driver
@pytest.mark.parametrize(
    "reader",
    [_by_loop, _by_yield_from, _by_next, _by_send, _by_throw, _by_throw_at_once,
     _by_close_from_inside],
)  # fmt: skip
@pytest.mark.parametrize("function", [_failing, tokens])
def test_tracebacks_have_no_frame_of_ours(reader: Any, function: Function) -> None:
    """A traceback shows the caller's frames and the body's, line by line, and nothing between."""
    check(lambda make: told(reader, make()), function)


@of_the_compiled_driver
@pytest.mark.parametrize("ask", [_anext, _asend, _athrow, _default])
def test_async_tracebacks_have_no_frame_of_ours(ask: Any) -> None:
    """Where a body fails behind an await, the traceback is the bare one's."""

    async def reader(stream: Any) -> Any:
        return [await anext(stream), await ask(stream)]

    check(lambda make: told(now, reader(make())), _afailing)


@pytest.mark.parametrize("value", [None, (), ("a", "tuple"), ValueError("a value"), [1]])
def test_what_a_generator_returns_is_what_stop_iteration_carries(value: Any) -> None:
    """A tuple or an exception that a body returns is a value, however the stream is driven."""

    def body() -> Generator[str, Any, Any]:
        yield "token"
        return value

    def scenario(make: Function) -> list[Any]:
        log: list[Any] = []

        def outer(stream: Any) -> Iterator[Any]:
            log.append((yield from stream))

        by_next, by_send = make(), make()
        next(by_next), next(by_send)
        log += [outcome(next, by_next)[:4], outcome(by_send.send, 1)[:4]]
        return [*log, list(outer(make())), log]

    check(scenario, body)


def test_close_gives_what_the_originals_close_gives() -> None:
    """From Python 3.13 on, close() gives what the body returns; before, None."""

    def body() -> Generator[str, Any, str]:
        try:
            yield "token"
        except GeneratorExit:
            return "closed"
        return "not closed"

    def scenario(make: Function) -> list[Any]:
        stream = make()
        return [next(stream), stream.close(), stream.close()]

    expected = "closed" if sys.version_info >= (3, 13) else None

    assert scenario(observe(body)) == ["token", expected, None]


@of_the_compiled_driver
def test_a_deprecated_throw_is_warned_of_at_the_callers_line() -> None:
    """Of throw() with three arguments Python warns, since 3.12, where it is called."""

    def scenario(make: Function) -> list[Any]:
        stream = make()
        next(stream)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            raised = outcome(stream.throw, ValueError, ValueError("thrown in"), None)
        return [raised[:3], [str(one) for one in caught]]

    assert len(scenario(observe(tokens))[1]) == (1 if sys.version_info >= (3, 12) else 0)
    check(scenario, tokens)


@pytest.mark.parametrize("read_before", [0, 1, 4])
def test_a_stream_that_is_over_answers_as_it_would(read_before: int) -> None:
    """After the end, an exception or a close, every way to ask gives what it would."""

    def scenario(make: Function) -> list[Any]:
        stream, thrown = make(), make()
        for _ in range(read_before):
            next(stream, None)
        closed = stream.close()
        outcome(thrown.throw, KeyError("thrown in"))
        log = [outcome(next, one)[:4] for one in (stream, thrown, stream)]
        log += [outcome(stream.send, 1)[:4], outcome(stream.throw, OSError("again"))[:4]]
        return [*log, closed, next(stream, "default"), stream.close(), list(stream)]

    check(scenario, tokens)


def test_closing_closes_at_once() -> None:
    """``contextlib.closing`` ends the body where it is left."""

    def scenario(make: Function) -> list[Any]:
        with contextlib.closing(make()) as stream:
            chunks = [next(stream)]
        return [*chunks, stream.gi_frame, next(stream, "over")]

    check(scenario, tokens)


# --- garbage -------------------------------------------------------------------------------------


def test_hooks_of_async_generators_see_the_original_when_it_is_asked() -> None:
    """The loop's hooks get the original: the first at the call of ``__anext__``, not its await."""

    def scenario(make: Function) -> list[Any]:
        log: list[Any] = []

        def dropped(one: Any) -> None:
            log.append(("dropped", type(one), one.ag_frame.f_lineno))

        before = sys.get_asyncgen_hooks()
        sys.set_asyncgen_hooks(
            lambda one: log.append(("first", type(one))),
            dropped,
        )
        try:
            stream: Any = make()
            log.append("made")
            step = anext(stream)
            log.append("asked")
            now(step)
            del step
            del stream
        finally:
            sys.set_asyncgen_hooks(*before)
        return log

    if driver == "compiled":
        check(scenario, atokens)
    assert [one for one in scenario(observe(atokens)) if one[0] == "dropped"] != []


def test_a_loop_that_ends_closes_what_is_left() -> None:
    """``asyncio.run`` closes an async generator that somebody still holds."""
    log: list[str] = []

    async def body() -> AsyncIterator[str]:
        try:
            yield "token"
        finally:
            log.append("closed")

    async def read(stream: Any) -> str:
        return str(await anext(stream))

    stream: Any = observe(body)()

    assert asyncio.run(read(stream)) == "token"
    assert log == ["closed"]
    assert stream.ag_frame is None


class Kept:
    """Something to hold, whose end can be noticed."""


def _held_by_its_body() -> tuple[Any, Any]:
    cell: list[Any] = []

    def body() -> Iterator[Any]:
        mine = [cell, kept]
        yield len(mine)

    kept = Kept()
    stream = observe(body)()
    cell.append(stream)
    next(stream)
    return stream, kept


def _held_by_its_step() -> tuple[Any, Any]:
    kept = Kept()
    stream = observe(atokens)([kept])
    now(anext(stream))
    step: Any = anext(stream)
    step.send(None)
    cell = [stream, step, kept]
    cell.append(cell)
    return stream, kept


def _held_by_an_object() -> tuple[Any, Any]:
    tokens_of = Tokens()
    kept: Any = Kept()
    stream = observe(lambda: tokens_of, name="object")()
    vars(tokens_of)["stream"] = [stream, kept]
    step: Any = anext(stream)
    outcome(step.send, None)
    vars(tokens_of)["step"] = step
    return stream, kept


@pytest.mark.parametrize("make", [_held_by_its_body, _held_by_its_step, _held_by_an_object])
def test_cycles_through_a_stream_are_collected(make: Any) -> None:
    """A stream that is held by what it holds goes with the next collection, and says how."""
    with capture() as results:
        stream, kept = make()
        gone = [weakref.ref(stream), weakref.ref(kept)]
        del stream, kept
        gc.collect()

    assert [reference() for reference in gone] == [None, None]
    assert [result.outcome for result in results] == ["stopped"]


def test_a_finaliser_may_read_a_stream() -> None:
    """An object that reads a stream when it is dropped gets the chunk, also inside a step."""
    log: list[Any] = []

    class Reads:
        def __init__(self, stream: Any) -> None:
            self.stream = stream

        def __del__(self) -> None:
            log.append(outcome(next, self.stream)[:3])

    def body(others: list[Any]) -> Iterator[str]:
        others.clear()
        yield "token"

    def scenario(make: Function) -> list[Any]:
        log.clear()
        others: list[Any] = []
        stream = make(others)
        others += [Reads(make([])), Reads(stream)]
        return [next(stream), *log]

    check(scenario, body)
