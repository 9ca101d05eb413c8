"""The corners of the rooms: what goes wrong on the way out, and what hardly anybody asks for."""

from __future__ import annotations

import asyncio
import builtins
import copy
import gc
import pickle
import warnings
from collections.abc import Callable, Container, Generator, Iterable, Iterator, Sized
from contextlib import AbstractContextManager
from functools import partial
from typing import Any, SupportsIndex

import pytest

from tokenclock import (
    LoggingSink,
    MetricsResult,
    _runs,
    _sinks,
    capture,
    measure,
    metrics_decorator,
    metrics_of,
    observe,
)
from tokenclock._driver import driver
from tokenclock._handover import Handover
from tokenclock._proxy import StandIn
from tokenclock._runs import Run
from tokenclock.errors import InvalidOptionError, InvalidRecordError
from tokenclock.testing import CollectingSink, FakeClock, Script

decorate_with: Any = metrics_decorator


class Source:
    """An SDK's stream, sync and async, whose ways out raise what they are told to."""

    def __init__(self, error: BaseException | None = None, *, passes_on: bool = False) -> None:
        self.error = error
        self.passes_on = passes_on

    def __next__(self) -> str:
        return "a"

    async def __anext__(self) -> str:
        return "a"

    def __enter__(self) -> Any:
        return self

    async def __aenter__(self) -> Any:
        return self

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        self._leave(error)

    async def __aexit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        self._leave(error)

    async def close(self) -> None:
        self._leave(None)

    def _leave(self, error: BaseException | None) -> None:
        if self.passes_on and error is not None:
            raise error
        if self.error is not None:
            raise self.error


async def left_by(way: str, source: Source, body: Callable[[], None]) -> Any:
    """Read one chunk, run the body and leave the stream; give its metrics and what was raised."""
    stream: Any = observe(lambda: source)()
    raised = None
    try:
        if way == "close":
            next(stream)
            body()
            await stream.close()
        elif way == "with":
            with stream:
                next(stream)
                body()
        else:
            async with stream:
                await stream.__anext__()
                body()
    except Exception as error:  # noqa: BLE001 - the test compares it
        raised = error
    return metrics_of(stream), raised


def nothing() -> None:
    """Do nothing in the body."""


@pytest.mark.asyncio
@pytest.mark.parametrize("way", ["close", "with", "async with"])
async def test_a_way_out_that_raises_is_a_failure(way: str) -> None:
    """What closing raises passes on as the same object, and the run has failed with it."""
    error = OSError("connection lost")
    metrics, raised = await left_by(way, Source(error), nothing)
    assert raised is error
    assert (metrics.outcome, metrics.error) == ("failed", "OSError")


@pytest.mark.asyncio
@pytest.mark.parametrize("way", ["close", "with", "async with"])
async def test_a_way_out_that_works_stops_the_run(way: str) -> None:
    """Leaving a stream early is the caller's doing, and no failure."""
    metrics, raised = await left_by(way, Source(), nothing)
    assert raised is None
    assert (metrics.outcome, metrics.chunk_count) == ("stopped", 1)


@pytest.mark.asyncio
@pytest.mark.parametrize("way", ["with", "async with"])
async def test_the_callers_own_error_that_passes_through_is_no_failure_of_the_stream(
    way: str,
) -> None:
    """An ``__exit__`` that raises what it was given again says nothing about the stream."""
    error = ValueError("the caller's")

    def body() -> None:
        raise error

    metrics, raised = await left_by(way, Source(passes_on=True), body)
    assert raised is error
    assert (metrics.outcome, metrics.error) == ("stopped", None)


class Unready:
    """Something iterable whose iteration cannot begin."""

    def __iter__(self) -> Iterator[str]:
        raise OSError("not ready")

    def __aiter__(self) -> Any:
        raise OSError("not ready")


class UnreadyIterator(Unready):
    def __next__(self) -> str:
        return "a"

    async def __anext__(self) -> str:
        return "a"


@pytest.mark.parametrize("ask", [iter, aiter])
def test_an_iterable_that_cannot_begin_has_failed(ask: Callable[[Any], Any]) -> None:
    """Where iterating is the only way to read, an error at its beginning is the end."""
    with capture() as results:
        stream = observe(streams=True)(partial(Unready))()
        with pytest.raises(OSError, match="not ready"):
            ask(stream)
    assert [(one.outcome, one.error) for one in results] == [("failed", "OSError")]


@pytest.mark.parametrize("ask", [iter, aiter])
def test_an_iterator_that_refuses_a_view_goes_on(ask: Callable[[Any], Any]) -> None:
    """Where the object itself can be read, an error of ``iter()`` ends nothing."""
    stream: Any = observe(partial(UnreadyIterator))()
    with pytest.raises(OSError, match="not ready"):
        ask(stream)
    assert next(stream) == "a"
    assert metrics_of(stream).outcome == "running"


class Bare:
    """An iterator that offers no ``iter()``: two chunks, sync or async."""

    def __init__(self) -> None:
        self.left = ["b", "a"]

    def __next__(self) -> str:
        if not self.left:
            raise StopIteration
        return self.left.pop()

    async def __anext__(self) -> str:
        if not self.left:
            raise StopAsyncIteration
        return self.left.pop()


@pytest.mark.asyncio
async def test_collect_reads_an_iterator_without_iter() -> None:
    """What is left is read by its ``__next__`` or ``__anext__`` where there is no other way."""
    stream: Any = decorate_with(partial(Bare))()
    assert stream.collect().value == ["a", "b"]
    stream = decorate_with(partial(Bare))()
    result = await stream.acollect()
    assert (result.value, result.outcome) == (["a", "b"], "completed")


def test_the_additions_explain_themselves() -> None:
    """``help`` finds what we add to a stream."""
    kind = type(decorate_with(lambda: iter("a"))())
    assert "what is left" in (kind.collect.__doc__ or "")
    assert "snapshot" in (kind.metrics.__doc__ or "")


def test_a_half_built_stand_in_is_harmless() -> None:
    """One that was made without its original (by a tool that copies types) says so, and dies."""
    for given in (iter("a"), Countdown()):
        kind: Any = type(decorate_with(lambda given=given: given)())
        if issubclass(kind, StandIn):
            empty = object.__new__(kind)
            with pytest.raises(AttributeError, match="_tc_original"):
                _ = empty.anything
            del empty
        else:  # the compiled driver's is never made by halves
            with pytest.raises(TypeError, match="takes exactly 5 arguments"):
                kind.__new__(kind)


def test_a_coroutine_whose_close_raises_has_failed() -> None:
    """An error in the body's ``finally`` passes on from ``close()``, and is the run's end."""

    async def body() -> None:
        try:
            await Suspending()
        finally:
            raise OSError("while closing")

    with capture() as results:
        coroutine: Any = observe(body)()
        coroutine.send(None)
        with pytest.raises(OSError, match="while closing"):
            coroutine.close()
    assert [(one.outcome, one.error) for one in results] == [("failed", "OSError")]


class Suspending:
    def __await__(self) -> Generator[None, None, None]:
        yield


class Countdown:
    """An awaitable whose iterator can be asked again after its end."""

    def __await__(self) -> Iterator[None]:
        return iter([None])


def test_an_awaitable_asked_again_after_its_end_gives_no_second_result() -> None:
    """Steps after the value pass unmeasured."""
    with capture() as results:
        steps: Any = observe(partial(Countdown))().__await__()
        assert next(steps) is None
        for _ in range(2):
            with pytest.raises(StopIteration):
                next(steps)
    assert [one.outcome for one in results] == ["completed"]


def test_a_method_of_a_built_in_type_binds() -> None:
    """A method descriptor as a class attribute is measured on each instance."""

    class Text(str):
        __slots__ = ()
        shout = observe(str.upper)

    with capture() as results:
        assert Text("hey").shout() == "HEY"
    assert [one.function for one in results] == ["str.upper"]


@pytest.mark.logs_failures
def test_a_failure_of_ours_hands_the_value_through_and_still_gives_one_result(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """When the shape cannot be told, the caller gets what the function gave."""

    def broken(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(Handover, "_by_shape", broken)
    with capture() as results:
        assert decorate_with(lambda: {1})() == {1}
    assert [(one.outcome, one.token_count) for one in results] == [("completed", None)]
    assert "ZeroDivisionError" in caplog.text


@pytest.mark.logs_failures
def test_a_failure_at_flush_costs_stamps_and_nothing_else(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """When stamps cannot be looked at, every chunk still arrives."""

    def broken(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(Run, "_take", broken)
    stream = measure(iter("abc"))
    assert list(stream) == ["a", "b", "c"]
    assert stream.metrics.outcome == "completed"
    assert "ZeroDivisionError" in caplog.text


@pytest.mark.asyncio
async def test_a_future_that_is_dropped_before_it_is_done_is_noticed() -> None:
    """An observed future that nobody resolves gives its one result when it is dropped."""
    with capture() as results:
        observe(lambda: asyncio.get_running_loop().create_future())()
        gc.collect()
    assert [one.outcome for one in results] == ["stopped"]


@pytest.mark.asyncio
async def test_a_future_that_gives_a_stream_says_that_it_is_not_measured() -> None:
    """The future stays what it is, so the stream in it is out of our hands: one warning."""
    future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
    future.set_result(iter("ab"))
    with capture() as results:
        assert observe(lambda: future)() is future
        with pytest.warns(match=r"^Cannot time a 'str_.*iterator' from .*: the call only prepared"):
            await asyncio.sleep(0)
    assert [(one.token_count, one.time_to_first_token) for one in results] == [(None, None)]


def test_what_is_open_at_exit_is_finished(sink: CollectingSink) -> None:
    """The last thing a process does for a stream is to give its result."""
    stream = observe(Script([(0.5, "a")] * 2, clock=FakeClock()).generator)()
    next(stream)
    _runs._finish_all()
    assert [one.outcome for one in sink.results] == ["stopped"]


def test_a_forked_child_starts_with_nothing_of_its_parents(
    monkeypatch: pytest.MonkeyPatch, sink: CollectingSink
) -> None:
    """Runs and results under way are the parent's; ids are the child's own."""
    monkeypatch.setattr(_runs, "_process", _runs._process)
    monkeypatch.setattr(_sinks, "later", _sinks.later)
    stream = observe(lambda: iter("a"))()
    parents_id = metrics_of(stream).call_id  # type: ignore[union-attr]  # it is measured
    _runs._after_fork()
    _sinks._after_fork()
    assert list(stream) == ["a"]
    assert sink.results == []
    observe(lambda: 1)()
    assert sink.results[0].call_id.partition("-")[0] != parents_id.partition("-")[0]


@pytest.mark.logs_failures
def test_results_of_dropped_streams_wait_where_no_thread_can_start(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """While the interpreter goes down no thread starts; what waits is delivered by the flush."""

    def refuse(*_: object) -> None:
        raise RuntimeError

    done: list[int] = []
    later = _sinks._Later()
    with monkeypatch.context() as patch:
        patch.setattr("_thread.start_new_thread", refuse)
        later.put(lambda: done.append(1))
    later.flush()
    assert done == [1]
    later.put(partial(refuse))
    later.put(lambda: done.append(2))
    later.flush()
    assert done == [1, 2]
    assert "RuntimeError" in caplog.text


def test_a_request_that_nobody_awaits_is_named_as_the_originals() -> None:
    """The warning about a dropped ``__anext__()`` names it, and no function of ours."""

    def warnings_of(stream: Any, ask: str) -> list[str]:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            getattr(stream, ask)()
            gc.collect()
        return [str(warning.message) for warning in caught]

    for ask in ("__anext__", "aclose"):
        script = Script([(0.5, "a")], clock=FakeClock())
        expected = warnings_of(script.agenerator(), ask)
        if driver == "python":  # a plain coroutine, which Python warns of
            expected = [f"coroutine '{ask}' was never awaited"]
        assert warnings_of(observe(script.agenerator)(), ask) == expected


# --- objects that lie, and awaitables that are more than that ---------------------------------


class Liar:
    """Raises whatever it is asked about its class."""

    @property  # type: ignore[misc]  # a lie about the class, as lazy proxies tell it
    def __class__(self) -> Any:
        raise RuntimeError("do not ask")


class Mute(str):
    """A string that will not say how long it is, nor give a part of itself."""

    __slots__ = ()

    def __len__(self) -> int:
        raise RuntimeError("do not ask")

    def __getitem__(self, key: Any) -> str:
        raise RuntimeError("do not ask")


def test_only_types_are_asked() -> None:
    """No question of ours runs code of the objects that pass through."""
    liar = Liar()
    assert observe(lambda model: liar)(model=liar) is liar
    assert observe(lambda model: 1)(model=Mute("m")) == 1
    stream: Any = measure(iter([Mute("a"), liar, Mute("")]))
    with pytest.warns(match="Cannot find text in a chunk of type"):
        assert len(list(stream)) == 3
    assert (stream.metrics.chunk_count, stream.metrics.token_count) == (3, 2)


def test_next_may_be_any_callable() -> None:
    """Python binds ``__next__`` as it finds it, and so do we."""
    ticks = iter("abcd")

    class Borrowed:
        __next__ = ticks.__next__

        def __iter__(self) -> Any:
            return self

    class Static:
        @staticmethod
        def __next__() -> str:
            return next(ticks)

    stream: Any = decorate_with(partial(Borrowed))()
    assert [next(stream), next(stream)] == ["a", "b"]
    assert stream.metrics.token_count == 2
    assert next(observe(partial(Static))()) == "c"


class Lenient(type):
    """A metaclass that has an answer to everything."""

    def __getattr__(cls, name: str) -> Any:
        return 1


def test_a_metaclass_with_an_answer_to_everything_makes_no_awaitable() -> None:
    """A protocol is what a type defines, not what it says when asked."""

    class Value(metaclass=Lenient):
        pass

    value = Value()
    assert observe(lambda: value)() is value


def test_a_callable_stream_takes_its_own_arguments() -> None:
    """Forwarded methods pass on what they get, stand-ins and keywords too."""

    class Caller(Source):
        def __call__(self, *given: Any, **named: Any) -> Any:
            return given, named

        def __exit__(self, *_: object, **named: Any) -> None:
            raise KeyError(len(_))

    stream: Any = observe(partial(Caller))()
    other = observe(lambda: iter("a"))()
    assert stream(other, a=1) == ((other,), {"a": 1})
    assert stream(other)[0][0] is other
    with pytest.raises(KeyError, match="0"):
        stream.__exit__()


@pytest.mark.asyncio
async def test_whoever_waits_for_a_future_gets_the_result() -> None:
    """Under ``metrics_decorator`` asyncio's own helpers and a second await give the same."""

    async def work() -> list[str]:
        await asyncio.sleep(0)
        return ["a", "b"]

    measured = decorate_with(lambda: asyncio.ensure_future(work()))
    future = measured()
    first = await future
    assert first is await future
    (gathered,) = await asyncio.gather(measured())
    waited = await asyncio.wait_for(measured(), 5)
    shielded = await asyncio.shield(measured())
    for result in (first, gathered, waited, shielded):
        assert (result.value, result.token_count, result.outcome) == (["a", "b"], 2, "completed")


@pytest.mark.asyncio
async def test_a_task_is_no_iterable_of_chunks() -> None:
    """``streams=True`` does not take the iteration of a future for a stream."""
    task = asyncio.ensure_future(asyncio.sleep(0, "a"))
    assert observe(lambda: task, streams=True)() is task
    assert await task == "a"


class Connection:
    """Awaitable, or entered, or iterated over, as clients of HTTP and databases are."""

    def __await__(self) -> Generator[None, None, str]:
        yield
        return "connected"

    async def __aenter__(self) -> str:
        return "entered"

    async def __aexit__(self, *_: object) -> None:
        """Leave."""


@pytest.mark.asyncio
async def test_an_awaitable_that_is_entered_says_that_it_is_not_measured() -> None:
    """Entering is not awaiting: it works, and no number is made up for it."""
    with capture() as results:
        connection: Any = observe(partial(Connection))()
        with pytest.warns(match="^Cannot time a '.*Connection' from .*: the call only prepared it"):
            async with connection as entered:
                assert entered == "entered"
    assert [(one.outcome, one.time_to_first_token) for one in results] == [("completed", None)]


# --- functions that are more than functions ---------------------------------------------------


class Model:
    def __init__(self) -> None:
        self.state = [1]

    def __call__(self) -> list[int]:
        return self.state

    def __iter__(self) -> Iterator[int]:
        return iter(self.state)


def test_a_callable_object_is_copied_pickled_and_iterated_as_it_is() -> None:
    """A copy is a copy, measured as well; a protocol that the object offers stays."""
    model: Any = observe(Model())
    assert list(model) == [1]
    for again in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):  # noqa: S301 - ours
        again.state.append(2)
        with capture() as results:
            assert again() == [1, 2]
        assert len(results) == 1
    assert model.state == [1]


def test_a_function_claims_no_protocol_that_it_does_not_have() -> None:
    """The ABCs answer as for the bare function, and operators leave the answer to the other."""
    function = observe(lambda: 1)
    for protocol in (Iterable, Sized, Container, AbstractContextManager, SupportsIndex):
        assert not isinstance(function, protocol)

    class Pipe:
        def __ror__(self, other: object) -> object:
            return other

    assert (function | Pipe()) is function
    assert observe(lambda: function)() is function


@pytest.mark.parametrize("kind", [classmethod, staticmethod])
def test_attributes_of_a_classmethod_stay(kind: Any) -> None:
    """What was set on the method object is still there when it is measured."""
    method = kind(lambda *_: 1)
    method.route = "/chat"
    assert observe(method).route == "/chat"


def test_names_of_generators_and_methods_without_a_module() -> None:
    """A name is not completed with a module that is not there."""

    def numbers() -> Iterator[int]:
        yield 1

    stream: Any = measure(numbers())
    assert stream.metrics.function.endswith("numbers")
    assert not stream.metrics.function.startswith("builtins")


@pytest.mark.parametrize("group", ["cancelled", "mixed"])
def test_a_group_of_cancellations_is_a_cancellation(group: str) -> None:
    """A nursery raises its cancellation in a group; with an error among it, it has failed."""
    kind: Any = getattr(builtins, "BaseExceptionGroup", None)
    if kind is None:  # Python 3.10 has no groups of its own
        return
    members = [asyncio.CancelledError()] + ([OSError()] if group == "mixed" else [])

    def body() -> None:
        raise kind("nursery", members)

    with capture() as results, pytest.raises(kind):
        observe(body)()
    assert results[0].outcome == ("cancelled" if group == "cancelled" else "failed")


def test_odd_arguments_get_a_clear_error() -> None:
    """Classes for objects, text for mappings, levels for loggers, and options of the decorators."""
    with pytest.raises(InvalidOptionError, match=r"Pass an object: CollectingSink\(\)"):
        observe(sinks=[CollectingSink])  # type: ignore[list-item]  # wrong on purpose
    with pytest.raises(InvalidOptionError, match="a level goes to level="):
        LoggingSink(20)  # type: ignore[arg-type]  # wrong on purpose
    with pytest.raises(InvalidRecordError, match=r"json.loads\(\)"):
        MetricsResult.from_dict("{}")  # type: ignore[arg-type]  # wrong on purpose
    with pytest.raises(InvalidOptionError, match=r"measure\(count_token=...\).*count_tokens="):
        measure(iter("a"), count_token=len)  # type: ignore[call-overload]  # wrong on purpose

    class Counter:
        async def __call__(self, chunk: object) -> int:
            return 1

    with pytest.raises(InvalidOptionError, match="it is a coroutine function"):
        observe(count_tokens=Counter())  # type: ignore[arg-type]  # wrong on purpose
    assert metrics_of(type("Odd", (), {"__hash__": lambda self: 1 // 0})()) is None
    LoggingSink(level="debug")
