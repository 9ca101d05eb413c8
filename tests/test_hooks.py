"""The call hook: what a tracer sees of a call, and the context that it lends to the body."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import types
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Generator, Iterator
from typing import Any

import pytest

from tokenclock import MetricsResult, _hooks, capture, measure, metrics_decorator, observe
from tokenclock.testing import CollectingSink, FakeClock, settle

# What a tracer keeps in the context: the names of the spans around.
spans: contextvars.ContextVar[str] = contextvars.ContextVar("spans", default="caller")


class Scope(_hooks.CallScope):
    """Lends the body a context of its own, as a tracer does."""

    has_context = True

    def __init__(self, name: str) -> None:
        self.body = f"{spans.get()}/{name}"
        self.results: list[MetricsResult[Any]] = []

    def callers(self) -> list[Any]:
        return [spans.get()]

    def enter(self, callers: list[Any]) -> None:
        callers.append(spans.set(self.body))

    def leave(self, callers: list[Any]) -> None:
        if len(callers) > 1:
            self.body = spans.get()
            spans.reset(callers.pop())
        elif spans.get() != callers[0]:
            spans.set(callers[0])

    def finished(self, result: MetricsResult[Any]) -> None:
        self.results.append(result)


class Tracer:
    """A hook that keeps every scope it gave."""

    def __init__(self, name: str = "call") -> None:
        self.name = name
        self.scopes: list[Scope] = []
        self.calls: list[_hooks.Call] = []

    def __call__(self, call: _hooks.Call) -> Scope:
        self.calls.append(call)
        self.scopes.append(Scope(self.name))
        return self.scopes[-1]

    @property
    def results(self) -> list[MetricsResult[Any]]:
        return [result for scope in self.scopes for result in scope.results]


@pytest.fixture
def tracer(monkeypatch: pytest.MonkeyPatch) -> Tracer:
    monkeypatch.setattr(_hooks, "call_hooks", ())
    monkeypatch.setattr(_hooks, "_failures", set())
    tracer = Tracer()
    _hooks.add_hook(tracer)
    return tracer


# --- what runs in the context ---------------------------------------------------------------------


def test_a_function_runs_in_the_context(tracer: Tracer) -> None:
    """The body of a function sees the call's context, and its caller does not."""

    @observe
    def answer() -> str:
        return spans.get()

    assert answer() == "caller/call"
    assert spans.get() == "caller"
    assert [result.outcome for result in tracer.results] == ["completed"]


def test_every_step_of_a_generator_runs_in_the_context(tracer: Tracer) -> None:
    """Each step of a generator sees the call's context; between steps the caller has its own."""

    @observe
    def answer() -> Iterator[str]:
        yield spans.get()
        yield spans.get()

    seen: list[str] = []
    for chunk in answer():
        seen += [chunk, spans.get()]
    assert seen == ["caller/call", "caller", "caller/call", "caller"]
    assert [result.chunk_count for result in tracer.results] == [2]


def test_what_the_body_sets_survives_from_step_to_step(tracer: Tracer) -> None:
    """A span that the body opens before a yield is still its current one after it."""

    @observe
    def answer() -> Iterator[str]:
        token = spans.set(f"{spans.get()}/request")
        yield spans.get()
        yield spans.get()
        spans.reset(token)
        yield spans.get()

    stream = answer()
    seen = [next(stream), spans.get(), next(stream), next(stream), spans.get()]
    assert seen == [
        "caller/call/request", "caller", "caller/call/request", "caller/call", "caller",
    ]  # fmt: skip


def test_two_streams_interleave(tracer: Tracer) -> None:
    """Two streams read in turn each keep their own context."""

    @observe
    def answer(name: str) -> Iterator[str]:
        spans.set(f"{spans.get()}/{name}")
        yield spans.get()
        yield spans.get()

    seen = [chunk for pair in zip(answer("a"), answer("b"), strict=True) for chunk in pair]
    assert seen == ["caller/call/a", "caller/call/b"] * 2
    assert spans.get() == "caller"


def test_sent_thrown_and_closed_steps_run_in_the_context(tracer: Tracer) -> None:
    """``send``, ``throw`` and ``close`` resume the body in its context, too."""
    seen: list[str] = []

    @observe
    def answer() -> Generator[str, str, None]:
        try:
            seen.append((yield "first") + spans.get())
            yield "second"
        except KeyError:
            seen.append(spans.get())
            try:
                yield "third"
            finally:
                seen.append(spans.get())

    stream = answer()
    assert [next(stream), stream.send("sent "), stream.throw(KeyError())] == [
        "first", "second", "third",
    ]  # fmt: skip
    stream.close()
    assert seen == ["sent caller/call", "caller/call", "caller/call"]
    assert [result.outcome for result in tracer.results] == ["stopped"]


def test_a_stream_that_a_function_returns_is_read_in_the_context(tracer: Tracer) -> None:
    """Of an SDK's stream the call, the iterator's making, each step and its end are in it."""
    seen: list[str] = []

    class Stream:
        def __iter__(self) -> Iterator[str]:
            seen.append(f"iter {spans.get()}")
            return self

        def __next__(self) -> str:
            seen.append(f"next {spans.get()}")
            return "token"

        def __enter__(self) -> Stream:  # noqa: PYI034 - no Self before 3.11
            seen.append(f"enter {spans.get()}")
            return self

        def __exit__(self, *_: object) -> None:
            seen.append(f"exit {spans.get()}")

        def close(self) -> None:
            seen.append(f"close {spans.get()}")

    @observe
    def create() -> Stream:
        seen.append(f"create {spans.get()}")
        return Stream()

    with create() as stream:
        for _ in stream:
            break
        stream.close()
    assert seen == [
        f"{word} caller/call" for word in ("create", "enter", "iter", "next", "close", "exit")
    ]


def test_a_measured_stream_is_read_in_the_context(tracer: Tracer) -> None:
    """``measure`` gives its stream a context as well."""
    assert list(measure(spans.get() for _ in range(2))) == ["caller/call"] * 2


def run(steps: Callable[[], Any]) -> Any:
    return asyncio.run(steps())


def test_every_step_of_an_async_generator_runs_in_the_context(tracer: Tracer) -> None:
    """The same for an async generator that waits, and whose body has set something."""

    @observe
    async def answer() -> AsyncIterator[str]:
        spans.set(f"{spans.get()}/request")
        yield spans.get()
        await asyncio.sleep(0)
        yield spans.get()

    async def consume() -> list[str]:
        seen: list[str] = []
        async for chunk in answer():
            seen += [chunk, spans.get()]
        return seen

    assert run(consume) == ["caller/call/request", "caller"] * 2
    assert [result.outcome for result in tracer.results] == ["completed"]


def test_nothing_is_held_while_an_async_step_waits(tracer: Tracer) -> None:
    """While the body of an async generator waits, whoever drives it by hand has its own context."""

    @types.coroutine
    def pause() -> Generator[str, str, str]:
        return (yield spans.get())

    @observe
    async def answer() -> AsyncIterator[str]:
        yield await pause() + spans.get()

    step: Any = answer().__anext__()
    assert step.send(None) == "caller/call"
    assert spans.get() == "caller"
    with pytest.raises(StopIteration) as stop:
        step.send("resumed ")
    assert stop.value.value == "resumed caller/call"


def test_async_steps_of_every_kind_run_in_the_context(tracer: Tracer) -> None:
    """``asend``, ``athrow`` and ``aclose`` resume the body in its context, too."""
    seen: list[str] = []

    @observe
    async def answer() -> AsyncGenerator[str, str]:
        try:
            seen.append((yield "first") + spans.get())
            yield "second"
        except KeyError:
            seen.append(spans.get())
            try:
                yield "third"
            finally:
                await asyncio.sleep(0)
                seen.append(spans.get())

    async def consume() -> list[str]:
        stream = answer()
        given = [
            await stream.__anext__(), await stream.asend("sent "), await stream.athrow(KeyError()),
        ]  # fmt: skip
        await stream.aclose()
        return given

    assert run(consume) == ["first", "second", "third"]
    assert seen == ["sent caller/call", "caller/call", "caller/call"]


def test_an_async_stream_with_its_block_runs_in_the_context(tracer: Tracer) -> None:
    """An async SDK stream is entered, read, closed and left in the context."""
    seen: list[str] = []

    class Stream:
        def __aiter__(self) -> Stream:
            seen.append(f"aiter {spans.get()}")
            return self

        async def __anext__(self) -> str:
            seen.append(f"anext {spans.get()}")
            return "token"

        async def __aenter__(self) -> Stream:  # noqa: PYI034 - as above
            seen.append(f"aenter {spans.get()}")
            return self

        async def __aexit__(self, *_: object) -> None:
            seen.append(f"aexit {spans.get()}")

        async def close(self) -> None:
            seen.append(f"close {spans.get()}")

    @observe
    async def create() -> Stream:
        seen.append(f"create {spans.get()}")
        return Stream()

    async def consume() -> None:
        async with await create() as stream:
            async for _ in stream:
                break
            await stream.close()

    run(consume)
    assert seen == [
        f"{word} caller/call" for word in ("create", "aenter", "aiter", "anext", "close", "aexit")
    ]


def test_a_coroutine_runs_in_the_context(tracer: Tracer) -> None:
    """Each step of a coroutine sees the context; its caller's task does not."""

    @observe
    async def answer() -> list[str]:
        before = spans.get()
        await asyncio.sleep(0)
        return [before, spans.get()]

    async def consume() -> list[str]:
        return [*(await answer()), spans.get()]

    assert run(consume) == ["caller/call", "caller/call", "caller"]


def test_a_task_that_the_body_starts_inherits_the_context(tracer: Tracer) -> None:
    """What a body runs beside itself has the call's context, as any task has its creator's."""

    @observe
    async def answer() -> str:
        async def part() -> str:
            return spans.get()

        return await asyncio.create_task(part())

    assert run(answer) == "caller/call"


def test_a_cancelled_step_leaves_the_context(tracer: Tracer) -> None:
    """A cancellation while the body waits reaches it, and leaves nothing behind."""
    seen: list[str] = []

    @observe
    async def answer() -> AsyncIterator[str]:
        yield "first"
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            seen.append(spans.get())

    async def consume() -> None:
        stream = answer()
        await stream.__anext__()
        waiting = asyncio.ensure_future(stream.__anext__())
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        seen.append(spans.get())

    run(consume)
    assert seen == ["caller/call", "caller"]
    assert [result.outcome for result in tracer.results] == ["cancelled"]


def test_a_step_that_is_closed_while_it_waits_leaves_the_context(tracer: Tracer) -> None:
    """Closing a step by hand closes the body's, in its context."""
    seen: list[str] = []

    @types.coroutine
    def pause() -> Generator[None, None, None]:
        try:
            yield
        finally:
            seen.append(spans.get())

    class Stream:
        def __aiter__(self) -> Stream:
            return self

        async def __anext__(self) -> str:
            await pause()
            return "never"

    step: Any = measure(Stream()).__anext__()
    step.send(None)
    step.close()
    assert [*seen, spans.get()] == ["caller/call", "caller"]


class Plain:
    """An async iterator whose steps are bare iterators: no ``send``, ``throw`` or ``close``."""

    def __aiter__(self) -> Plain:
        return self

    def __anext__(self) -> Plain:
        return self

    def __await__(self) -> Iterator[None]:
        return iter([None])


@pytest.mark.parametrize("end", ["throw", "close"])
def test_a_bare_iterator_will_do_as_a_step(tracer: Tracer, end: str) -> None:
    """What is thrown into a step that cannot take it is raised where it waits."""
    plain: Any = Plain()  # for a checker, no awaitable
    step: Any = measure(plain).__anext__()
    step.send(None)
    if end == "close":
        step.close()
    else:
        with pytest.raises(KeyError):
            step.throw(KeyError())
    assert spans.get() == "caller"


def test_a_generator_coroutine_will_do_as_a_step(tracer: Tracer) -> None:
    """An ``__anext__`` made by ``types.coroutine`` is driven like any other."""

    class Stream:
        def __aiter__(self) -> Stream:
            return self

        @types.coroutine
        def __anext__(self) -> Generator[None, None, str]:
            yield
            return spans.get()

    async def consume() -> str:
        return await measure(Stream()).__anext__()

    assert run(consume) == "caller/call"


def test_what_cannot_be_awaited_is_refused_as_ever(tracer: Tracer) -> None:
    """A step that Python refuses to await it refuses with a tracer, too, in its own words."""

    class Stream:
        def __aiter__(self) -> Stream:
            return self

        def __anext__(self) -> Any:
            return (chunk for chunk in "ab")

    async def consume() -> None:
        await measure(Stream()).__anext__()

    with pytest.raises(TypeError, match="object generator can't be used in 'await' expression"):
        run(consume)


def test_what_an_await_begins_is_in_the_context(tracer: Tracer) -> None:
    """What is begun by asking an awaitable for its steps is the body's doing."""
    seen: list[str] = []

    class Answer:
        def __await__(self) -> Generator[Any, Any, str]:
            seen.append(spans.get())
            return asyncio.sleep(0, "a").__await__()

    class Stream:
        def __aiter__(self) -> Stream:
            return self

        def __anext__(self) -> Answer:
            return Answer()

    @observe
    def answer() -> Answer:
        return Answer()

    async def consume() -> None:
        assert await answer() == "a"
        stream: Any = Stream()  # for a checker, an awaitable is no step
        assert await measure(stream).__anext__() == "a"

    run(consume)
    assert seen == ["caller/call"] * 2


# --- bodies that nobody ends ----------------------------------------------------------------------


@observe
def holding() -> Generator[str, None, None]:
    token = spans.set("body")
    try:
        yield "a"
        yield "b"
    finally:
        spans.reset(token)


def break_out() -> None:
    for _ in holding():
        break


def drop_a_cycle() -> None:
    class Holder:
        pass

    holder: Any = Holder()
    holder.me, holder.stream = holder, holding()
    next(holder.stream)
    del holder
    gc.collect()


def drop_a_cycle_that_was_looked_at() -> None:
    class Holder:
        pass

    holder: Any = Holder()
    holder.me, holder.stream = holder, holding()
    next(holder.stream)
    gc.collect()  # which has it finalised in another order
    del holder
    gc.collect()


def drop_a_coroutine() -> None:
    @types.coroutine
    def pause() -> Generator[None, None, None]:
        yield

    @observe
    async def answer() -> None:
        token = spans.set("body")
        try:
            await pause()
        finally:
            spans.reset(token)

    waiting: Any = answer()
    waiting.send(None)


def drop_an_async_generator() -> None:
    @observe
    async def answer() -> AsyncIterator[str]:
        token = spans.set("body")
        try:
            yield "a"
        finally:
            spans.reset(token)

    stream = answer()
    step: Any = stream.__anext__()
    with pytest.raises(StopIteration):
        step.send(None)


@pytest.mark.parametrize(
    "drop",
    [
        break_out, drop_a_cycle, drop_a_cycle_that_was_looked_at, drop_a_coroutine,
        drop_an_async_generator,
    ],
)  # fmt: skip
def test_a_body_that_is_dropped_leaves_its_dropper_alone(
    tracer: Tracer, drop: Callable[[], None]
) -> None:
    """What a body sets back when it dies is not what its dropper has from then on."""
    drop()
    assert spans.get() == "caller"


def test_nothing_is_kept_of_a_stream_whose_original_lives_on(tracer: Tracer) -> None:
    """Of many stand-ins for one iterator, each goes when it is dropped."""
    numbers = iter(range(100))
    for _ in range(10):
        next(measure(numbers))
    assert _hooks._watched == {}


def test_a_signal_leaves_nobody_in_a_bodys_context(
    tracer: Tracer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where a signal's handler raises while a context is left, it is left all the same."""
    leave = Scope.leave
    strikes = [KeyboardInterrupt()]

    def struck(self: Scope, callers: Any) -> None:
        if strikes:
            raise strikes.pop()
        leave(self, callers)

    monkeypatch.setattr(Scope, "leave", struck)
    with pytest.raises(KeyboardInterrupt):
        observe(lambda: "a")()
    assert spans.get() == "caller"


# --- what a hook is told -------------------------------------------------------------------------


def test_a_hook_is_told_who_calls_what(tracer: Tracer) -> None:
    """At the start a hook knows names, labels and the model that was asked for."""

    @observe(name="chat", provider="openai", operation="chat", attributes={"tenant": "acme"})
    def answer(model: str) -> str:
        return model

    answer("gpt-4o")
    (call,) = tracer.calls
    assert call.options.name == "chat"
    assert (call.options.provider, call.options.operation) == ("openai", "chat")
    assert (call.request_model, call.attributes) == ("gpt-4o", {"tenant": "acme"})
    assert [result.call_id for result in tracer.results] == [call.call_id]


def test_the_start_is_where_the_body_starts(tracer: Tracer, clock: FakeClock) -> None:
    """A lazy call has started when it is first asked, not when it was called."""
    at_steps: list[int | None] = []

    @observe(clock=clock)
    def answer() -> Iterator[str]:
        at_steps.append(tracer.calls[0].started_wall_ns)
        yield "a"
        at_steps.append(tracer.calls[0].started_wall_ns)

    stream = answer()
    call = tracer.calls[0]
    clock.advance(0.5)
    steps = iter(stream)
    assert call.started_wall_ns is None
    for _ in steps:
        clock.advance(0.25)
    assert at_steps == [call.called_wall_ns + 500_000_000] * 2
    assert tracer.results[0].idle_before_start == 0.5


def test_the_result_comes_before_the_sinks_and_in_the_context(
    tracer: Tracer, sink: CollectingSink
) -> None:
    """Sinks take a result in the context of its call, when its span is already over."""
    seen: list[tuple[str, int]] = []

    @observe(sinks=[lambda _: seen.append((spans.get(), len(tracer.results)))])
    def answer() -> Iterator[str]:
        yield "a"

    list(answer())
    assert seen == [("caller/call", 1)]
    assert sink.results == tracer.results


def test_a_result_is_told_without_any_sink(tracer: Tracer) -> None:
    """A tracer needs no sink to learn of results, nor does it change what a capture gets."""
    with capture() as results:
        observe(lambda: ["a"])()
    assert results == tracer.results


def test_a_dropped_stream_is_told_on_another_thread(tracer: Tracer) -> None:
    """A finaliser takes no tracer's lock: the result of a dropped stream comes a little later."""

    @observe
    def answer() -> Iterator[str]:
        yield "a"
        yield "b"

    stream = answer()
    next(stream)
    del stream
    gc.collect()
    settle()
    assert [result.outcome for result in tracer.results] == ["stopped"]


def test_a_call_that_never_starts_is_told(tracer: Tracer) -> None:
    """A stream that nobody read is one result all the same."""

    @observe
    def answer() -> Generator[str, None, None]:
        yield "never"

    answer().close()
    assert [result.outcome for result in tracer.results] == ["unconsumed"]


def test_inner_calls_are_inside_the_outer_ones(tracer: Tracer) -> None:
    """A measured call inside another finds the outer one's context when it starts."""
    inner = observe(spans.get)

    @observe
    def outer() -> Iterator[str]:
        yield inner()

    assert list(outer()) == ["caller/call/call"]


def test_hooks_nest(tracer: Tracer) -> None:
    """Two hooks both lend a context, and a removed one is told of no further call."""
    second = Tracer("second")
    _hooks.add_hook(second)
    _hooks.add_hook(second)
    answer = observe(spans.get)
    assert answer() == "caller/second"
    _hooks.remove_hook(second)
    assert answer() == "caller/call"
    assert (len(tracer.calls), len(second.calls)) == (2, 1)


def test_a_hook_may_pass(tracer: Tracer) -> None:
    """A hook that gives no scope has nothing to do with the call."""
    _hooks.remove_hook(tracer)
    _hooks.add_hook(lambda _: None)
    assert metrics_decorator(lambda: ["a"])().value == ["a"]


def test_a_scope_without_context_costs_no_step() -> None:
    """Without a context to lend, the body's own steps are driven as they are."""

    def step() -> None: ...
    async def astep() -> None: ...

    assert _hooks.stepped(None, step) is step
    assert _hooks.astepped(None, astep) is astep
    watching = _hooks.Scopes((_hooks.CallScope(),))
    assert _hooks.stepped(watching, step) is step
    assert _hooks.astepped(watching, astep) is astep


# --- failures of hooks ---------------------------------------------------------------------------


@pytest.mark.logs_failures
@pytest.mark.parametrize("failing", ["__call__", "callers", "enter", "leave", "finished"])
def test_a_failing_hook_passes_nothing(
    tracer: Tracer,
    failing: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Whatever part of a hook fails, the call goes on and the failure is logged once."""

    def fail(*_: object) -> None:
        raise LookupError

    monkeypatch.setattr(Tracer if failing == "__call__" else Scope, failing, fail)

    @observe
    def answer() -> Iterator[str]:
        yield "a"
        yield "b"

    def consume() -> list[str]:
        return list(answer())

    with capture() as results:  # each in a context of its own, which a failing leave() spoils
        consumed = [contextvars.copy_context().run(consume) for _ in range(2)]
    assert consumed == [["a", "b"]] * 2
    assert [result.chunk_count for result in results] == [2, 2]
    kind = "Tracer" if failing == "__call__" else "Scope"
    assert [record.getMessage() for record in caplog.records] == [
        f"A call hook of type test_hooks.{kind} failed: LookupError"
    ]


@pytest.mark.logs_failures
def test_a_start_that_is_put_off_is_told(
    tracer: Tracer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A context manager of an SDK starts on entry; a hook that fails to hear it breaks nothing."""

    class MessageStreamManager:
        def __enter__(self) -> Iterator[str]:
            return iter("ab")

        def __exit__(self, *_: object) -> None: ...

    def put_off(_: Scope) -> None:
        starts.append(tracer.calls[-1].started_wall_ns)
        raise LookupError

    starts: list[int | None] = []
    monkeypatch.setattr(MessageStreamManager, "__module__", "sdk.lib.streaming.messages")
    monkeypatch.setattr(Scope, "put_off", put_off)
    with observe(lambda: MessageStreamManager())() as stream:  # noqa: PLW0108 - no class
        assert list(stream) == ["a", "b"]
    assert starts == [None]
    assert len(caplog.records) == 1


def test_exceptions_of_the_body_pass_as_they_are(tracer: Tracer) -> None:
    """An exception of the body is the same object, and the context is left behind it."""
    error = KeyError("body")

    @observe
    def answer() -> str:
        raise error

    with pytest.raises(KeyError) as raised:
        answer()
    assert raised.value is error
    assert spans.get() == "caller"
    assert [result.error for result in tracer.results] == ["KeyError"]
