"""Measured streams stand in for the streams of functions: same answers, same protocols."""

from __future__ import annotations

import asyncio
import collections.abc
import contextlib
import copy
import gc
import inspect
import pickle
import sys
import types
import weakref
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Generator, Iterator
from typing import TYPE_CHECKING, Any
from unittest import mock

import pytest

import tokenclock
from programs import check_frames, frames_of_ours
from stepping import SHAPES, close, every_shape, is_sync, now, read, step
from tokenclock import (
    AsyncMeasuredGenerator,
    AsyncMeasuredStream,
    MeasuredGenerator,
    MeasuredStream,
    MetricsResult,
    TokenclockWarning,
    capture,
)
from tokenclock.testing import AsyncScriptedStream, FakeClock, Script, ScriptedStream

if TYPE_CHECKING:
    from typing_extensions import Self

# Untyped: tests ask what they give for all sorts of things.
measure: Any = tokenclock.measure
metrics_decorator: Any = tokenclock.metrics_decorator
metrics_of: Any = tokenclock.metrics_of
observe: Any = tokenclock.observe

decorators = pytest.mark.parametrize("decorator", [observe, metrics_decorator])
Decorator = Callable[..., Any]


def letters() -> Generator[str, Any, str]:
    """Give letters."""
    yield "a"
    yield "b"
    return "the end"


async def aletters() -> AsyncGenerator[str, Any]:
    """Give letters."""
    yield "a"
    yield "b"


GENERATORS: list[Any] = [letters, aletters]
both_generators = pytest.mark.parametrize("function", GENERATORS)


class Stream:
    """A stream as SDKs have them: its own attributes, a close, a with."""

    def __init__(self, chunks: tuple[str, ...] = ("a", "b")) -> None:
        self.response = {"id": 7}
        self.events: list[str] = []
        self._chunks = iter(chunks)

    def __iter__(self) -> Iterator[str]:
        # As openai.Stream does it: iter() is a generator of its own.
        for chunk in self._chunks:  # noqa: UP028 - the frame is the point
            yield chunk

    def __next__(self) -> str:
        return next(self._chunks)

    def __enter__(self) -> Self:
        self.events.append("enter")
        return self

    def __exit__(self, *error: object) -> None:
        self.events.append("exit")
        self.close()

    def close(self) -> None:
        self.events.append("close")


class AsyncStream:
    """The async twin; its close() is a coroutine function, as SDKs name it."""

    def __init__(self, chunks: tuple[str, ...] = ("a", "b")) -> None:
        self.response = {"id": 7}
        self.events: list[str] = []
        self._chunks = iter(chunks)

    async def __aiter__(self) -> AsyncIterator[str]:
        for chunk in self._chunks:
            yield chunk

    async def __anext__(self) -> str:
        try:
            return next(self._chunks)
        except StopIteration:
            raise StopAsyncIteration from None

    async def __aenter__(self) -> Self:
        self.events.append("enter")
        return self

    async def __aexit__(self, *error: object) -> None:
        self.events.append("exit")
        await self.close()

    async def close(self) -> None:
        self.events.append("close")


class BothStream:
    """A stream that is sync and async at once, over the same chunks."""

    def __init__(self) -> None:
        self._chunks = iter("abcd")

    def __iter__(self) -> BothStream:
        return self

    def __next__(self) -> str:
        return next(self._chunks)

    def __aiter__(self) -> BothStream:
        return self

    async def __anext__(self) -> str:
        try:
            return next(self._chunks)
        except StopIteration:
            raise StopAsyncIteration from None


class Box:
    """An iterable that is no iterator."""

    def __init__(self) -> None:
        self.asked = 0

    def __iter__(self) -> Iterator[str]:
        self.asked += 1
        return iter("ab")

    def __len__(self) -> int:
        return 2


class AsyncBox:
    async def __aiter__(self) -> AsyncIterator[str]:
        yield "a"
        yield "b"


def decorated(decorator: Decorator, make: Callable[[], Any], **options: Any) -> Any:
    """Give the measured stream for what *make*, a function or a class, gives."""
    function = (lambda: make()) if inspect.isclass(make) else make  # noqa: PLW0108 - no class
    return decorator(function, clock=FakeClock(), **options)()


SDK_STREAMS: list[Any] = [Stream, AsyncStream]
both_streams = pytest.mark.parametrize("kind", SDK_STREAMS)


# --- what it is ----------------------------------------------------------------------------------


@decorators
@pytest.mark.parametrize(
    ("make", "measured_as", "original", "abstract"),
    [
        (letters, MeasuredGenerator, types.GeneratorType, collections.abc.Generator),
        (
            aletters,
            AsyncMeasuredGenerator,
            types.AsyncGeneratorType,
            collections.abc.AsyncGenerator,
        ),
        (Stream, MeasuredStream, Stream, collections.abc.Iterator),
        (AsyncStream, AsyncMeasuredStream, AsyncStream, collections.abc.AsyncIterator),
    ],
)
def test_a_measured_stream_is_of_the_originals_type_and_of_ours(
    decorator: Decorator, make: Any, measured_as: type, original: type, abstract: type
) -> None:
    """isinstance() says the original's type, its abstract types, and which of ours it is."""
    stream = decorated(decorator, make)

    assert isinstance(stream, original)
    assert isinstance(stream, abstract)
    assert isinstance(stream, measured_as)
    assert stream.__class__ is original
    assert not isinstance(stream, collections.abc.Awaitable)
    assert not isinstance(stream, collections.abc.Sized)


def test_a_plain_iterator_is_no_generator() -> None:
    """What has no send() is a measured stream, and no measured generator."""
    stream = decorated(observe, lambda: iter(["a"]))

    assert isinstance(stream, MeasuredStream)
    assert not isinstance(stream, MeasuredGenerator)
    assert not isinstance(stream, AsyncMeasuredStream)
    assert not isinstance(stream, collections.abc.Generator)
    assert not inspect.isgenerator(stream)


def test_inspect_takes_a_measured_generator_for_one() -> None:
    """isgenerator, getgeneratorstate and getgeneratorlocals answer as for the generator."""
    stream = observe(letters)()

    assert inspect.isgenerator(stream)
    assert inspect.getgeneratorstate(stream) == inspect.GEN_CREATED
    assert next(stream) == "a"
    assert inspect.getgeneratorstate(stream) == inspect.GEN_SUSPENDED
    assert inspect.getgeneratorlocals(stream) == {}
    assert stream.gi_code is letters.__code__
    assert stream.gi_frame is not None
    assert stream.gi_running is False
    assert stream.gi_yieldfrom is None
    stream.close()
    assert inspect.getgeneratorstate(stream) == inspect.GEN_CLOSED


def test_inspect_takes_a_measured_async_generator_for_one() -> None:
    """Inspect.isasyncgen and the ag_ attributes answer as for the async generator."""
    stream = observe(aletters)()

    assert inspect.isasyncgen(stream)
    assert stream.ag_code is aletters.__code__
    assert stream.ag_running is False
    assert stream.ag_await is None
    assert now(anext(stream)) == "a"
    now(stream.aclose())
    assert stream.ag_frame is None


@both_generators
def test_the_names_of_a_generator_can_be_read_and_set(function: Any) -> None:
    """__name__ and __qualname__ are the original's, also after they were set."""
    stream = observe(function)()
    assert stream.__name__ == function.__name__
    assert stream.__qualname__ == function.__qualname__

    stream.__name__ = "other"
    stream.__qualname__ = "another"

    assert repr(stream).split()[-3] == "another"
    assert (stream.__name__, stream.__qualname__) == ("other", "another")
    assert (stream._tc_original.__name__, stream._tc_original.__qualname__) == ("other", "another")


@both_generators
def test_attributes_that_the_original_refuses_are_refused(function: Any) -> None:
    """A generator has no room for attributes of others, and the measured one neither."""
    stream = observe(function)()

    with pytest.raises(AttributeError, match="has no attribute 'extra'"):
        stream.extra = 1
    with pytest.raises(AttributeError, match="has no attribute 'extra'"):
        del stream.extra
    with pytest.raises(AttributeError, match="has no attribute 'extra'"):
        _ = stream.extra


@both_streams
def test_attributes_are_those_of_the_original(kind: Any) -> None:
    """Attributes are read, set and deleted on the original itself."""
    original = kind()
    stream = decorated(observe, lambda: original)

    assert stream.response is original.response
    stream.response = "new"
    assert original.response == "new"
    stream.added = 1
    assert vars(original)["added"] == 1
    del stream.added
    assert not hasattr(original, "added")
    assert vars(stream) is vars(original)
    assert str(stream) == str(original)
    assert repr(stream) == repr(original)


@pytest.mark.parametrize(
    ("make", "added"),
    [
        (letters, {"collect", "metrics"}),
        (Stream, {"collect", "metrics"}),
        (aletters, {"acollect", "collect", "metrics"}),
        (AsyncStream, {"acollect", "collect", "metrics"}),
        (BothStream, {"acollect", "collect", "metrics"}),
    ],
)
def test_dir_lists_the_originals_names_and_what_we_add(make: Any, added: set[str]) -> None:
    """dir() gives every name of the original, and ours, and no more."""
    original = make()

    stream = decorated(observe, lambda: original)

    assert set(dir(stream)) - set(dir(original)) == added
    assert set(dir(original)) <= set(dir(stream))


@pytest.mark.parametrize("make", [letters, aletters, Stream, AsyncStream])
def test_the_docstring_is_the_originals(make: Any) -> None:
    """__doc__ answers what the original would."""
    original = make()

    assert decorated(observe, lambda: original).__doc__ == original.__doc__


@decorators
@pytest.mark.parametrize("make", [letters, aletters, Stream, AsyncStream])
def test_a_measured_stream_can_be_weakly_referenced(decorator: Decorator, make: Any) -> None:
    """Weak references work, and die with the stream without waiting for the collector."""
    stream = decorated(decorator, make)
    reference = weakref.ref(stream)
    assert reference() is stream

    gc.disable()
    try:
        del stream
        assert reference() is None
    finally:
        gc.enable()


@pytest.mark.parametrize("treat", [copy.copy, copy.deepcopy, pickle.dumps])
@pytest.mark.parametrize("make", [letters, aletters])
def test_copy_and_pickle_fail_as_the_original_fails(treat: Any, make: Any) -> None:
    """A generator cannot be copied or pickled, and the measured one says so in its words."""
    original = make()
    with pytest.raises(TypeError) as expected:
        treat(original)
    stream = decorated(observe, lambda: original)

    with pytest.raises(TypeError) as raised:
        treat(stream)

    assert str(raised.value) == str(expected.value)


def test_a_copy_of_a_stream_is_a_copy_of_the_original() -> None:
    """What can be copied is copied as it is, and the copy is not measured."""
    stream = decorated(observe, lambda: iter(["a", "b"]))

    assert list(copy.copy(stream)) == ["a", "b"]
    assert list(pickle.loads(pickle.dumps(stream))) == ["a", "b"]  # noqa: S301 - just dumped
    assert metrics_of(stream).chunk_count == 0


def test_equality_and_hash_are_the_originals() -> None:
    """A stream that defines equality and hash is asked for them."""

    class Equal(Stream):
        def __eq__(self, other: object) -> bool:
            return isinstance(other, Equal)

        def __hash__(self) -> int:
            return 5

    one, other = decorated(observe, Equal), decorated(observe, Equal)

    assert one == other
    assert hash(one) == 5


PROTOCOLS = (
    "__iter__", "__next__", "send", "throw", "close", "__enter__", "__exit__", "__len__",
    "__getitem__", "__call__", "__aiter__", "__anext__", "asend", "athrow", "aclose", "__aenter__",
    "__aexit__", "__await__", "__bool__", "__contains__", "__length_hint__", "__reversed__",
)  # fmt: skip


@decorators
@pytest.mark.parametrize(
    "make",
    [
        letters,
        aletters,
        Stream,
        AsyncStream,
        BothStream,
        lambda: iter([1]),
        lambda: map(str, [1]),
        lambda: Script([(0.5, "a")], clock=FakeClock()).stream(),
        lambda: Script([(0.5, "a")], clock=FakeClock()).astream(),
    ],
)
def test_a_protocol_is_offered_only_if_the_original_offers_it(
    decorator: Decorator, make: Any
) -> None:
    """hasattr() answers alike on the stream and the original, and on their types."""
    original = make()
    stream = decorated(decorator, lambda: original)

    for name in PROTOCOLS:
        assert hasattr(stream, name) == hasattr(original, name), name
        assert hasattr(type(stream), name) == hasattr(type(original), name), name
        assert callable(getattr(stream, name, None)) == callable(getattr(original, name, None))


def test_what_the_original_does_not_offer_fails_as_it_would() -> None:
    """A protocol that is missing is missing: with, len, call and async for fail."""
    stream: Any = observe(letters)()

    with pytest.raises((TypeError, AttributeError), match=r"context manager|__enter__"), stream:
        pass
    with pytest.raises(TypeError, match=r"has no len\(\)"):
        len(stream)
    with pytest.raises(TypeError, match="not callable"):
        stream()
    with pytest.raises(TypeError, match="async iter"):
        aiter(stream)


def test_length_and_truth_are_the_originals() -> None:
    """len(), bool() and in ask the original."""

    class Sized(Stream):
        def __len__(self) -> int:
            return 0

        def __contains__(self, item: object) -> bool:
            return item == "x"

    stream = decorated(observe, Sized)

    assert len(stream) == 0
    assert not stream
    assert "x" in stream
    assert "y" not in stream
    assert stream.collect().value == ["a", "b"]


def test_a_length_hint_is_passed_on() -> None:
    """list() is told what the original would tell it."""
    stream: Any = decorated(observe, lambda: iter(["a", "b", "c"]))

    assert stream.__length_hint__() == 3
    assert next(stream) == "a"
    assert stream.__length_hint__() == 2


# --- how it is driven ----------------------------------------------------------------------------


@decorators
def test_yield_from_gives_values_and_the_return_value(decorator: Decorator) -> None:
    """``yield from`` passes what is sent and thrown in, and gives the return value."""
    events: list[Any] = []

    def inner() -> Generator[int, str, str]:
        try:
            events.append((yield 1))
            yield 2
        except ValueError as error:
            events.append(error)
        return "done"

    def outer(make: Any) -> Generator[int, str, None]:
        events.append((yield from make()))
        yield 3

    thrown = ValueError("x")
    stream = outer(decorator(inner))
    assert next(stream) == 1
    assert stream.send("sent") == 2
    assert stream.throw(thrown) == 3
    assert events == ["sent", thrown, "done"]


@decorators
def test_closing_a_delegating_generator_closes_the_measured_one(decorator: Decorator) -> None:
    """close() reaches through ``yield from``."""
    events = []

    def inner() -> Generator[int, None, None]:
        try:
            yield 1
        finally:
            events.append("closed")

    def outer() -> Generator[int, None, None]:
        yield from decorator(inner)()

    stream = outer()
    next(stream)
    with capture() as results:
        pass
    stream.close()

    assert events == ["closed"]
    assert results == []


@decorators
@pytest.mark.parametrize("error", [None, ValueError("x"), StopIteration("y"), KeyError("swallow")])
def test_contextmanager_works_over_a_decorated_generator_function(
    decorator: Decorator, error: Exception | None
) -> None:
    """contextlib.contextmanager sees the very exceptions, and may swallow them."""
    events: list[Any] = []

    def resource() -> Iterator[str]:
        events.append("open")
        try:
            yield "it"
        except KeyError as caught:
            events.append(caught)
        finally:
            events.append("close")

    raised: BaseException | None = None
    try:
        with contextlib.contextmanager(decorator(resource))() as it:
            assert it == "it"
            if error is not None:
                raise error  # noqa: TRY301 - inside the with
    except Exception as caught:  # noqa: BLE001 - it is compared
        raised = caught

    swallowed = isinstance(error, KeyError)
    assert raised is (None if swallowed else error)
    assert events == ["open", *([error] if swallowed else []), "close"]


@decorators
@pytest.mark.asyncio
@pytest.mark.parametrize("error", [None, ValueError("x"), StopAsyncIteration("y"), KeyError("s")])
async def test_asynccontextmanager_works_over_a_decorated_async_generator_function(
    decorator: Decorator, error: Exception | None
) -> None:
    """contextlib.asynccontextmanager sees the very exceptions, and may swallow them."""
    events: list[Any] = []

    async def resource() -> AsyncIterator[str]:
        events.append("open")
        try:
            yield "it"
        except KeyError as caught:
            events.append(caught)
        finally:
            await asyncio.sleep(0)
            events.append("close")

    raised: BaseException | None = None
    try:
        async with contextlib.asynccontextmanager(decorator(resource))() as it:
            assert it == "it"
            if error is not None:
                raise error  # noqa: TRY301 - inside the with
    except Exception as caught:  # noqa: BLE001 - it is compared
        raised = caught

    swallowed = isinstance(error, KeyError)
    assert raised is (None if swallowed else error)
    assert events == ["open", *([error] if swallowed else []), "close"]


@decorators
def test_closing_closes_the_body_at_once(decorator: Decorator) -> None:
    """contextlib.closing() runs the body's finally before it goes on."""
    events = []

    def body() -> Iterator[str]:
        try:
            yield "a"
            yield "b"
        finally:
            events.append("closed")

    with contextlib.closing(decorator(body)()) as stream:
        assert next(stream) == "a"
    events.append("after")

    assert events == ["closed", "after"]
    assert stream.metrics.outcome == "stopped"


@decorators
@pytest.mark.asyncio
async def test_aclosing_closes_the_body_at_once(decorator: Decorator) -> None:
    """contextlib.aclosing() runs the body's finally, awaits in it included."""
    events = []

    async def body() -> AsyncIterator[str]:
        try:
            yield "a"
            yield "b"
        finally:
            await asyncio.sleep(0)
            events.append("closed")

    async with contextlib.aclosing(decorator(body)()) as stream:
        assert await anext(stream) == "a"
    events.append("after")

    assert events == ["closed", "after"]
    assert stream.metrics.outcome == "stopped"


@decorators
def test_next_and_anext_take_a_default(decorator: Decorator) -> None:
    """next(stream, default) and anext(stream, default) give it where the stream is over."""
    stream, astream = decorator(letters)(), decorator(aletters)()
    assert read(stream) == read(astream) == ["a", "b"]

    assert next(stream, "none") == "none"
    assert now(anext(astream, "none")) == "none"


@types.coroutine
def suspend(value: object) -> Generator[object, Any, Any]:
    return (yield value)


@decorators
def test_the_awaitables_of_an_async_generator_can_be_driven_by_hand(decorator: Decorator) -> None:
    """What __anext__, asend, athrow and aclose give takes send() and throw()."""
    events: list[Any] = []

    async def body() -> AsyncGenerator[str, Any]:
        events.append(await suspend("wait"))
        try:
            events.append((yield "a"))
            await suspend("again")
        except KeyError as error:
            events.append(error)
        try:
            yield "b"
        except ValueError as error:
            events.append(error)
        try:
            yield "c"
        finally:
            await suspend("closing")
            events.append("closed")

    stream = decorator(body)()
    first = stream.__anext__()
    assert first.send(None) == "wait"
    with pytest.raises(StopIteration) as stop:
        first.send("woken")
    assert stop.value.value == "a"
    second = stream.asend("sent")
    assert second.send(None) == "again"
    key_error = KeyError("k")
    with pytest.raises(StopIteration) as stop:
        second.throw(key_error)
    assert stop.value.value == "b"
    value_error = ValueError("v")
    with pytest.raises(StopIteration) as stop:
        stream.athrow(value_error).send(None)
    assert stop.value.value == "c"
    last = stream.aclose()
    assert last.send(None) == "closing"
    with pytest.raises(StopIteration):
        last.send(None)
    assert events == ["woken", "sent", key_error, value_error, "closed"]


def test_a_second_request_while_one_is_under_way_is_refused_and_no_event() -> None:
    """asend() during asend() is refused by the original, and the stream goes on."""

    async def body() -> AsyncIterator[str]:
        await suspend("wait")
        yield "a"

    stream: Any = observe(body)()
    first = stream.__anext__()
    assert first.send(None) == "wait"

    with pytest.raises(RuntimeError, match="already running"):
        stream.__anext__().send(None)
    with pytest.raises(RuntimeError, match="already running"):
        stream.aclose().send(None)

    assert stream.metrics.outcome == "running"
    with pytest.raises(StopIteration):
        first.send(None)
    assert read(stream) == []
    assert stream.metrics.outcome == "completed"
    assert stream.metrics.chunk_count == 1


@decorators
def test_garbage_collection_hooks_see_the_original(decorator: Decorator) -> None:
    """sys.set_asyncgen_hooks: both hooks are called once, with the async generator itself."""
    events: list[Any] = []
    before = sys.get_asyncgen_hooks()
    sys.set_asyncgen_hooks(
        firstiter=lambda one: events.append(("first", type(one))),
        finalizer=lambda one: events.append(("last", type(one))),
    )
    try:
        stream = decorator(aletters)()
        assert events == []
        now(anext(stream))
        now(anext(stream))
        assert events == [("first", types.AsyncGeneratorType)]
        del stream
        assert events[1:] == [("last", types.AsyncGeneratorType)]
    finally:
        sys.set_asyncgen_hooks(*before)


@decorators
def test_a_dropped_async_generator_is_closed_by_its_loop(decorator: Decorator) -> None:
    """Asyncio's own hook runs the finally of a dropped async generator in the loop."""
    events = []

    async def body() -> AsyncIterator[str]:
        try:
            yield "a"
            yield "b"
        finally:
            await asyncio.sleep(0)
            events.append("closed")

    async def main() -> None:
        async for _ in decorator(body)():
            break
        for _ in range(3):
            await asyncio.sleep(0)
        events.append("after")

    asyncio.run(main())

    assert events == ["closed", "after"]


@decorators
@pytest.mark.parametrize("shape", ["generator", "iterator"])
def test_a_break_closes_what_nobody_holds_at_once(decorator: Decorator, shape: str) -> None:
    """``for ... break`` over a stream that nobody else holds drops the source at once."""
    events: list[str] = []

    class Source(ScriptedStream[str]):
        def __del__(self) -> None:
            events.append("dropped")

    def generator() -> Iterator[str]:
        try:
            yield "a"
            yield "b"
        finally:
            events.append("dropped")

    script = Script([(0.25, "a"), (0.25, "b")], clock=FakeClock())
    make: Any = generator if shape == "generator" else lambda: Source(script)
    for _ in decorator(make)():
        break
    events.append("after")

    assert events == ["dropped", "after"]


@decorators
@every_shape
def test_nothing_is_read_ahead(decorator: Decorator, shape: str, clock: FakeClock) -> None:
    """The source advances by exactly the chunks that were asked for."""
    script = Script([(0.5, "a"), (0.5, "b"), (0.5, "c")], clock=clock, end=0.5)
    stream = decorator(getattr(script, SHAPES[shape]), clock=clock)()

    assert clock() == 0
    assert step(stream) == "a"
    assert clock() == 500_000_000
    assert stream.metrics.chunk_count == 1
    assert clock() == 500_000_000
    assert step(stream) == "b"
    assert clock() == 1_000_000_000


@every_shape
def test_a_stream_that_was_left_but_not_dropped_is_running(shape: str, clock: FakeClock) -> None:
    """After a break the outcome is running for as long as the stream is held, then stopped."""
    script = Script([(0.5, "a"), (0.5, "b")], clock=clock)
    stream = observe(getattr(script, SHAPES[shape]), clock=clock)()
    step(stream)

    assert metrics_of(stream).outcome == "running"
    close(stream)
    assert metrics_of(stream).outcome == "stopped"


@decorators
@every_shape
def test_the_error_of_a_stream_is_the_same_object(
    decorator: Decorator, shape: str, clock: FakeClock
) -> None:
    """A stream's exception arrives as raised: no new cause or context, one frame of ours."""
    error = ConnectionError("lost")
    script = Script([(0.25, "a")], clock=clock, error=error)
    stream = decorator(getattr(script, SHAPES[shape]), clock=clock)()

    with pytest.raises(ConnectionError) as raised:
        read(stream)

    assert raised.value is error
    assert error.__cause__ is None
    assert error.__context__ is None
    check_frames(error)
    assert stream.metrics.outcome == "failed"
    assert stream.metrics.error == "ConnectionError"


@decorators
@pytest.mark.parametrize("kind", [Stream, AsyncStream])
def test_an_error_in_the_callers_with_block_passes_unchanged(
    decorator: Decorator, kind: Any
) -> None:
    """What is raised inside ``with stream:`` reaches __exit__ and leaves without our frame."""
    stream = decorated(decorator, kind)
    error = ValueError("the caller's")

    async def within() -> None:
        async with stream:
            raise error

    def work() -> None:
        if kind is AsyncStream:
            now(within())
        else:
            with stream:
                raise error

    with pytest.raises(ValueError, match="the caller's") as raised:
        work()

    assert raised.value is error
    assert error.__context__ is None
    assert frames_of_ours(error) == []
    assert stream.events == ["enter", "exit", "close"]
    assert stream.metrics.outcome == "unconsumed"


# --- streams as SDKs have them -------------------------------------------------------------------


@decorators
def test_with_gives_the_measured_stream_and_closes_the_original(decorator: Decorator) -> None:
    """``with`` on a stream gives the measured one if the original gave itself."""
    stream = decorated(decorator, Stream)

    with stream as entered:
        assert entered is stream
        assert next(entered) == "a"

    assert stream.events == ["enter", "exit", "close"]
    assert stream.metrics.outcome == "stopped"
    assert stream.metrics.chunk_count == 1


@decorators
@pytest.mark.asyncio
async def test_async_with_gives_the_measured_stream_and_closes_the_original(
    decorator: Decorator,
) -> None:
    """``async with`` does as ``with``."""
    stream = decorated(decorator, AsyncStream)

    async with stream as entered:
        assert entered is stream
        assert await anext(entered) == "a"

    assert stream.events == ["enter", "exit", "close"]
    assert stream.metrics.outcome == "stopped"
    assert stream.metrics.chunk_count == 1


def test_a_send_that_is_no_generators_is_no_step() -> None:
    """A connection's own send() takes what it takes, and what it gives is no chunk."""

    class Connection(Stream):
        def send(self, *, data: str) -> str:
            return f"sent {data}"

        async def asend(self, *, data: str) -> str:
            return f"sent {data}"

    stream = decorated(observe, Connection)

    assert stream.send(data="x") == "sent x"
    assert now(stream.asend(data="y")) == "sent y"
    assert stream.collect().chunk_count == 2


def test_what_comes_after_the_first_exception_passes_unmeasured(clock: FakeClock) -> None:
    """A plain iterator ends at its first exception; what it still gives later is given on."""

    class Stubborn:
        def __init__(self) -> None:
            self.steps = iter(["a", ConnectionError("lost"), "b"])

        def __iter__(self) -> Any:
            return self

        def __next__(self) -> str:
            step = next(self.steps)
            if isinstance(step, ConnectionError):
                raise step
            return str(step)

    stream = decorated(observe, Stubborn)
    assert next(stream) == "a"
    with pytest.raises(ConnectionError, match="lost"):
        next(stream)

    assert next(stream) == "b"
    assert list(stream) == []
    assert stream.metrics.outcome == "failed"
    assert stream.metrics.chunk_count == 1


def test_what_entering_gives_is_given_as_it_is() -> None:
    """If the original's __enter__ gives another object, the caller gets that object."""

    class Entered(Stream):
        def __enter__(self) -> Any:
            return self.response

    stream = decorated(observe, Entered)

    with stream as entered:
        assert entered is stream.response


@decorators
def test_close_takes_and_gives_what_the_originals_does(decorator: Decorator) -> None:
    """Arguments and return value of close() pass through."""

    class Closing(Stream):
        def close(self, *args: object, **kwargs: object) -> Any:
            return (args, kwargs)

    stream = decorated(decorator, Closing)

    assert stream.close(1, now=True) == ((1,), {"now": True})
    assert stream.metrics.outcome == "unconsumed"


@decorators
@pytest.mark.asyncio
async def test_an_async_close_named_close_is_awaited(decorator: Decorator) -> None:
    """A coroutine function close() stays one, and closing ends the run."""
    stream = decorated(decorator, AsyncStream)
    assert inspect.iscoroutinefunction(stream.close)
    assert await anext(stream) == "a"

    await stream.close()

    assert stream.events == ["close"]
    assert stream.metrics.outcome == "stopped"


@decorators
def test_iter_gives_what_the_originals_iter_gives(decorator: Decorator) -> None:
    """iter() of an SDK stream is its generator, measured in the same run."""
    stream = decorated(decorator, Stream)

    with capture() as results:
        view = iter(stream)
        assert view is not stream
        assert inspect.isgenerator(view)
        assert isinstance(view, MeasuredGenerator)
        assert iter(view) is view
        assert next(view) == "a"
        assert stream.metrics.chunk_count == 1
        assert next(stream) == "b"
        assert list(view) == []

    assert stream.metrics.outcome == "completed"
    assert stream.metrics.chunk_count == 2
    assert metrics_of(view) == metrics_of(stream)
    assert results == []


@decorators
@pytest.mark.asyncio
async def test_aiter_gives_what_the_originals_aiter_gives(decorator: Decorator) -> None:
    """aiter() of an SDK stream is its async generator, measured in the same run."""
    stream = decorated(decorator, AsyncStream)

    view = aiter(stream)
    assert view is not stream
    assert inspect.isasyncgen(view)
    assert aiter(view) is view
    assert await anext(view) == "a"
    assert await anext(stream) == "b"
    assert [chunk async for chunk in view] == []

    assert stream.metrics.outcome == "completed"
    assert stream.metrics.chunk_count == 2


@pytest.mark.parametrize("make", [letters, aletters, BothStream])
def test_iter_is_the_stream_if_the_original_gives_itself(make: Any) -> None:
    """iter(s) is s, and aiter(s) is s, only where it is so for the original."""
    stream = decorated(observe, make)

    assert not hasattr(stream, "__iter__") or iter(stream) is stream
    assert not hasattr(stream, "__aiter__") or aiter(stream) is stream


def test_dropping_a_view_does_not_end_the_run() -> None:
    """The run ends with the stream: where a view was closed or dropped, the stream reads on."""
    stream = decorated(observe, Stream)
    view = iter(stream)
    assert next(view) == "a"

    view.close()
    del view

    assert metrics_of(stream).outcome == "running"
    assert next(stream) == "b"
    assert metrics_of(stream).chunk_count == 2


def test_a_view_keeps_the_run_open_where_the_stream_itself_is_dropped() -> None:
    """``for chunk in f()``: the loop holds the view only, and the run goes on to its end."""
    with capture() as results:
        view = iter(decorated(observe, Stream))
        assert list(view) == ["a", "b"]

    assert [result.outcome for result in results] == ["completed"]
    assert results[0].chunk_count == 2


@decorators
@pytest.mark.asyncio
async def test_a_stream_that_is_both_is_both(decorator: Decorator) -> None:
    """A stream that is sync and async at once stays so, in one run."""
    stream = decorated(decorator, BothStream)

    assert isinstance(stream, MeasuredStream)
    assert isinstance(stream, AsyncMeasuredStream)
    assert next(stream) == "a"
    assert await anext(stream) == "b"
    assert [chunk async for chunk in stream] == ["c", "d"]
    assert stream.metrics.chunk_count == 4
    assert stream.metrics.outcome == "completed"


@pytest.mark.asyncio
async def test_a_stream_that_is_both_is_collected_both_ways() -> None:
    """collect() of a stream that is both is the sync one, acollect() the async one."""
    sync = decorated(metrics_decorator, BothStream).collect()
    result = await decorated(metrics_decorator, BothStream).acollect()

    assert sync.value == ["a", "b", "c", "d"]
    assert result.value == ["a", "b", "c", "d"]


def test_a_stream_that_is_also_awaitable_is_a_stream() -> None:
    """An object that is stream and awaitable is measured as a stream; its await passes through."""

    class Awaitable(AsyncStream):
        def __await__(self) -> Generator[Any, None, str]:
            yield from ()
            return "awaited"

    stream = decorated(metrics_decorator, Awaitable)

    assert now(stream) == "awaited"
    assert read(stream) == ["a", "b"]
    assert stream.metrics.chunk_count == 2
    assert isinstance(stream, AsyncMeasuredStream)


# --- what the function gives is guessed, or said -------------------------------------------------


@pytest.mark.parametrize(
    "value", [["a"], "ab", ("a",), {"a": 1}, {"a"}, range(3), b"ab", None, 5, Box(), AsyncBox()]
)
def test_an_iterable_that_is_no_iterator_is_a_value(value: Any) -> None:
    """Being merely iterable makes an object a value."""
    assert observe(lambda: value)() is value
    result = metrics_decorator(lambda: value)()
    assert isinstance(result, MetricsResult)
    assert result.value is value
    assert result.streamed is False


@decorators
@pytest.mark.parametrize("kind", [Box, AsyncBox])
def test_streams_true_measures_an_iterable(decorator: Decorator, kind: Any) -> None:
    """``streams=True`` measures an iterable through its own __iter__ or __aiter__."""
    stream = decorated(decorator, kind, streams=True)

    assert isinstance(stream, kind)
    assert isinstance(stream, MeasuredStream if kind is Box else AsyncMeasuredStream)
    assert not hasattr(stream, "__next__")
    assert not hasattr(stream, "__anext__")
    assert read_all(stream) == ["a", "b"]
    assert stream.metrics.chunk_count == 2
    assert stream.metrics.outcome == "completed"


def read_all(iterable: Any) -> list[Any]:
    async def read_async() -> list[Any]:
        return [chunk async for chunk in iterable]

    return list(iterable) if hasattr(iterable, "__iter__") else now(read_async())


@decorators
def test_streams_true_leaves_the_iterable_what_it_is(decorator: Decorator) -> None:
    """An iterable measured as a stream keeps its length and its attributes."""
    stream = decorated(decorator, Box, streams=True)

    assert len(stream) == 2
    assert stream.asked == 0
    assert stream.collect().value == ["a", "b"]
    assert stream.asked == 1


def test_streams_true_on_a_list_measures_it() -> None:
    """Even a list is a stream if the user says so."""
    stream: Any = observe(lambda: ["a", "b"], streams=True)()

    assert stream[1] == "b"
    assert [*iter(stream)] == ["a", "b"]
    assert stream.metrics.token_count == 2
    assert isinstance(stream, list)


def test_streams_true_on_what_cannot_be_iterated_over_is_said_once() -> None:
    """A value where streams=True promised an iterable is handed through, with one warning."""
    function = observe(lambda: 5, streams=True, name="five")

    with pytest.warns(
        TokenclockWarning,
        match=r"Cannot time a 'int' from 'five': streams=True was given, and it cannot be "
        r"iterated over\. Leave streams= out where a call gives a value\.",
    ):
        assert function() == 5
    assert function() == 5


def test_streams_false_makes_an_iterator_a_value() -> None:
    """``streams=False`` hands an iterator through as a value."""
    iterator = iter(["a"])

    assert observe(lambda: iterator, streams=False)() is iterator
    result: Any = metrics_decorator(lambda: iterator, streams=False)()
    assert isinstance(result, MetricsResult)
    assert result.value is iterator


@decorators
@pytest.mark.parametrize("fake", [mock.Mock, mock.MagicMock, mock.NonCallableMock, mock.AsyncMock])
@pytest.mark.parametrize("streams", [None, False])
def test_mocks_are_values(decorator: Decorator, fake: Any, streams: bool | None) -> None:  # noqa: FBT001 - an option
    """A mock has every attribute and is still a value."""
    value = fake()

    given = decorator(lambda: value, streams=streams)()

    assert (given if decorator is observe else given.value) is value


# --- what we add ---------------------------------------------------------------------------------


class _OwnNames(Stream):
    metrics = "its own"

    def collect(self) -> str:
        return "its own"


class _OwnAsyncNames(AsyncStream):
    metrics = "its own"

    def collect(self) -> str:
        return "its own"

    def acollect(self) -> str:
        return "its own"


@pytest.mark.parametrize("kind", [_OwnNames, _OwnAsyncNames])
def test_under_observe_an_attribute_of_the_original_wins(kind: Any) -> None:
    """``metrics`` and ``collect`` are the original's if it has them; metrics_of() always works."""
    stream = decorated(observe, kind)

    assert stream.metrics == "its own"
    assert stream.collect() == "its own"
    assert kind is _OwnNames or stream.acollect() == "its own"
    assert read(stream) == ["a", "b"]
    result = metrics_of(stream)
    assert result is not None
    assert result.chunk_count == 2
    assert result.outcome == "completed"


def test_under_observe_an_attribute_set_by_the_caller_wins() -> None:
    """A name that the program puts on the stream is there for it to read."""
    stream = decorated(observe, Stream)

    stream.metrics = {"theirs": 1}

    assert stream.metrics == {"theirs": 1}
    assert metrics_of(stream).outcome == "running"


@pytest.mark.parametrize("kind", [_OwnNames, _OwnAsyncNames])
def test_under_metrics_decorator_our_names_are_ours(kind: Any) -> None:
    """``metrics_decorator`` is asked for the numbers and gives them."""
    stream = decorated(metrics_decorator, kind)

    assert stream.metrics.outcome == "running"
    collected = stream.collect() if kind is _OwnNames else now(stream.collect())
    assert collected.value == ["a", "b"]


@decorators
@every_shape
def test_collect_reads_what_is_left(decorator: Decorator, shape: str, clock: FakeClock) -> None:
    """collect() gives the chunks that it read, and the numbers of the whole stream."""
    script = Script([(0.5, "a"), (0.25, "b"), (0.25, "c")], clock=clock)
    stream = decorator(getattr(script, SHAPES[shape]), clock=clock)()
    step(stream)

    result = stream.collect() if is_sync(stream) else now(stream.collect())

    assert result.value == ["b", "c"]
    assert result.chunk_count == 3
    assert result.time_to_first_token == 0.5
    assert stream.metrics.value is None


@every_shape
def test_collect_raises_what_the_stream_raises(shape: str, clock: FakeClock) -> None:
    """An error during collect() is the stream's; the numbers are still there."""
    error = ConnectionError("lost")
    script = Script([(0.5, "a")], clock=clock, error=error)
    stream = metrics_decorator(getattr(script, SHAPES[shape]), clock=clock)()

    with pytest.raises(ConnectionError) as raised:
        stream.collect() if is_sync(stream) else now(stream.collect())

    assert raised.value is error
    assert stream.metrics.outcome == "failed"
    assert stream.metrics.chunk_count == 1


@every_shape
def test_measure_gives_the_same_stand_in(shape: str, clock: FakeClock) -> None:
    """measure(stream) measures inline what a decorator would."""
    script = Script([(0.5, "a")], clock=clock)
    stream = measure(getattr(script, SHAPES[shape])(), clock=clock)

    assert read(stream) == ["a"]
    assert stream.metrics.time_to_first_token == 0.5
    assert stream.metrics.outcome == "completed"


@pytest.mark.parametrize("iterable", [["a", "b"], AsyncBox()])
def test_measure_takes_any_iterable(iterable: Any) -> None:
    """What is given to measure() is a stream, if it can be iterated over at all."""
    stream: Any = measure(iterable, clock=FakeClock())

    assert read_all(stream) == ["a", "b"]
    assert stream.metrics.chunk_count == 2


def test_measure_refuses_what_it_cannot_iterate_over() -> None:
    """The error says what was given, why not, and what to do."""

    async def later() -> None: ...

    coroutine = later()
    with pytest.raises(
        tokenclock.TokenclockError,
        match=r"Cannot measure a 'coroutine': it cannot be iterated over\. Await it first\.",
    ):
        measure(coroutine)
    coroutine.close()
    with pytest.raises(
        TypeError,
        match=r"Cannot measure a 'int': it cannot be iterated over\. Pass the stream itself\.",
    ):
        measure(5)


def test_nested_measured_streams_measure_once_each() -> None:
    """A measured stream that is measured again gives one result for each, and the same chunks."""
    with capture() as results:
        stream = observe(observe(letters, name="inner"), name="outer")()
        assert isinstance(stream, types.GeneratorType)
        assert list(stream) == ["a", "b"]

    assert sorted(result.function for result in results) == ["inner", "outer"]
    assert [result.chunk_count for result in results] == [2, 2]


def test_a_scripted_async_stream_is_measured_as_one(clock: FakeClock) -> None:
    """The streams of tokenclock.testing stand for those of SDKs."""
    stream = decorated(observe, Script([(0.5, "a")], clock=clock).astream)

    assert isinstance(stream, AsyncScriptedStream)
    assert stream.closed is False
    close(stream)
    assert stream.closed is True
