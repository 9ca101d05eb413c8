"""
Streams of every kind for comparing the two drivers, and the world in which a program reads them.

Statements say what a body does; the clock of the world advances as it works and as its caller
waits.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Generator, Iterator, Mapping
from itertools import chain, repeat
from typing import TYPE_CHECKING, Any

from programs import outcome, suspend
from stepping import frame, usage_frame
from tokenclock import metrics_decorator
from tokenclock.testing import CollectingSink, FakeClock

if TYPE_CHECKING:
    from programs import Log
    from tokenclock import MetricsResult


class Text(str):
    """Text of a type of its own."""

    __slots__ = ()


CHUNKS: tuple[Any, ...] = (
    "Hello", "Hello", "world", "", b"bytes", b"", 7, 0, -1, 10**20, True, False, None, 1.5,
    Text("text"), Text(), bytearray(b"array"), object(),
    frame(), frame("Hi"), frame("!", finish_reason="stop", model="gpt"), frame("two", index=1),
    frame(reasoning_content="Hm"), usage_frame(3), usage_frame(0, prompt_tokens=5),
    usage_frame(9, completion_tokens_details={"reasoning_tokens": 4}),
    "data", "data: {", "data:{}", "data: [DONE]", "date", "event: x", "evening", "d", b"data: {",
)  # fmt: skip

ERRORS: Mapping[str, type[BaseException]] = {
    kind.__name__: kind
    for kind in (
        ValueError,
        GeneratorExit,
        StopIteration,
        StopAsyncIteration,
        asyncio.CancelledError,
    )
}


class StopNowError(BaseException):
    """What a body raises so that the object around it says that it is over, though it is not."""


# --- sources -------------------------------------------------------------------------------------


def sync_body(world: World, number: int, body: list[Any]) -> Generator[Any, Any, Any]:
    """Do what the statements say, one after the other."""
    for action, argument, handler in body:
        try:
            if action == "yield":
                world.clock.advance(0.25)
                world.note(("received", (yield CHUNKS[argument])))
            elif action == "return":
                return argument
            else:
                world.act(number, action, argument)
        except BaseException as error:
            world.note(("caught", type(error).__name__, error.args))
            if handler == "yield":
                yield "caught"
            elif handler != "go on":
                world.raise_on(handler)
                raise
    return None


async def async_body(world: World, number: int, body: list[Any]) -> AsyncGenerator[Any, Any]:
    """Do the same with waits."""
    for action, argument, handler in body:
        try:
            if action == "yield":
                world.clock.advance(0.25)
                world.note(("received", (yield CHUNKS[argument])))
            elif action == "suspend":
                world.note(("resumed", await suspend(argument)))
            elif action == "return":
                return
            else:
                world.act(number, action, argument)
        except BaseException as error:
            world.note(("caught", type(error).__name__, error.args))
            if handler == "yield":
                yield "caught"
            elif handler == "suspend":
                world.note(("resumed", await suspend("caught")))
            elif handler != "go on":
                world.raise_on(handler)
                raise


class Items:
    """An iterator of Python's that may say that it is over, or fail, and go on after it."""

    def __init__(self, world: World, number: int, body: list[Any]) -> None:
        self.body = sync_body(world, number, body)

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        try:
            return self.step()
        except StopNowError:
            raise StopIteration("not yet") from None

    def step(self) -> Any:
        chunk = next(self.body)
        if chunk is CHUNKS[8]:
            raise LookupError("this time")
        if chunk is CHUNKS[9]:
            raise StopNowError
        return chunk


class ClosableItems(Items):
    """The same with ``close`` and as a context manager, as SDKs have them."""

    def close(self) -> str:
        self.body.close()
        return "closed"


class Sending(Generator[Any, Any, Any]):
    """A generator that is written as a class."""

    def __init__(self, world: World, number: int, body: list[Any]) -> None:
        self.body = sync_body(world, number, body)

    def send(self, value: Any) -> Any:
        return self.body.send(value)

    def throw(self, *args: Any) -> Any:
        return self.body.throw(*args)


class Viewed:
    """An iterable whose iterator is another object."""

    def __init__(self, world: World, number: int, body: list[Any]) -> None:
        self.body = sync_body(world, number, body)

    def __iter__(self) -> Iterator[Any]:
        return self.body

    def __next__(self) -> Any:
        return next(self.body)


class AsyncItems:
    """An async iterator of Python's."""

    def __init__(self, world: World, number: int, body: list[Any]) -> None:
        self.body = async_body(world, number, body)

    def __aiter__(self) -> AsyncIterator[Any]:
        return self

    async def __anext__(self) -> Any:
        chunk = await self.body.__anext__()
        if chunk is CHUNKS[8]:
            raise LookupError("this time")
        if chunk is CHUNKS[9]:
            raise StopAsyncIteration("not yet")
        return chunk

    async def aclose(self) -> str:
        await self.body.aclose()
        return "closed"


class Both(AsyncItems):
    """An object that can be read either way."""

    def __init__(self, world: World, number: int, body: list[Any]) -> None:
        super().__init__(world, number, body)
        # Of two threads inside one stream the compiled driver knows the first: no calls in here.
        items = [one for one in body if one[0] not in {"suspend", "call", "read another"}]
        self.items = sync_body(world, number, items)

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        return next(self.items)


def listed(world: World, number: int, body: list[Any]) -> Iterator[Any]:
    return iter([CHUNKS[argument] for action, argument, _ in body if action == "yield"])


def mapped(world: World, number: int, body: list[Any]) -> Iterator[Any]:
    """Give an iterator of C that calls Python."""

    def taken(chunk: Any) -> Any:
        world.clock.advance(0.5)
        world.note("mapped")
        if chunk is CHUNKS[8]:
            raise LookupError("this time")
        if chunk is CHUNKS[9]:
            raise StopIteration("not yet")
        return chunk

    return map(taken, sync_body(world, number, body))


def zipped(world: World, number: int, body: list[Any]) -> Iterator[Any]:
    return zip(sync_body(world, number, body), repeat("x"))


def chained(world: World, number: int, body: list[Any]) -> Iterator[Any]:
    return chain(listed(world, number, body), sync_body(world, number, body), ["last"])


def nested(world: World, number: int, body: list[Any]) -> Iterator[Any]:
    """Give an iterator of C over a stream that is measured itself."""
    return map(world.called, world.decorate(sync_body, "inner")(world, number, body))


SYNC_SOURCES: Mapping[str, Callable[..., Any]] = {
    "generator": sync_body, "iterator": Items, "closable iterator": ClosableItems,
    "generator class": Sending, "views": Viewed, "list": listed, "map": mapped, "zip": zipped,
    "chain": chained, "nested": nested, "both": Both,
}  # fmt: skip
ASYNC_SOURCES: Mapping[str, Callable[..., Any]] = {
    "async generator": async_body, "async iterator": AsyncItems, "both": Both,
}  # fmt: skip


def source_of(kind: str) -> Callable[..., Any]:
    """Give the function that makes streams of a kind."""
    make = {**SYNC_SOURCES, **ASYNC_SOURCES}[kind]

    def source(world: World, number: int, body: list[Any]) -> Any:
        return make(world, number, body)

    return source if isinstance(make, type) else make


# --- the world in which a program runs -----------------------------------------------------------


class World:
    """A clock, some streams of one function, and what is noted of both."""

    def __init__(self, options: Mapping[str, Any], *, is_measured: bool) -> None:
        self.clock = FakeClock()
        self.seen: Log = []
        self.measured: Log = []
        self.streams: list[Any] = []
        self.awaitables: list[Any] = []
        self.is_measured = is_measured
        self.sink = CollectingSink()
        self.options = {**options, "clock": self.clock, "sinks": [self.sink]}

    def note(self, event: Any) -> None:
        self.seen.append(event)

    def decorate(self, function: Callable[..., Any], name: str) -> Callable[..., Any]:
        """Have a function measured, or leave it bare."""
        if not self.is_measured:
            return function
        decorate: Any = metrics_decorator
        decorated: Callable[..., Any] = decorate(function, **self.options, name=name)
        return decorated

    def called(self, chunk: Any) -> Any:
        """Make a measured call that gives back what it got."""
        call: Any = self.decorate(len, "call")
        call("four")
        return chunk

    def stream(self, number: int) -> Any:
        return self.streams[number] if number < len(self.streams) else None

    # --- what a body does besides giving chunks ----------------------------------------------

    def act(self, number: int, action: str, argument: Any) -> None:
        self.clock.advance(0.0625)
        stream = self.stream(number)
        if action == "raise":
            self.raise_on(argument)
        elif action == "call":
            self.called(argument)
        elif action == "read another":
            self.note(list(self.decorate(iter, "another")("ab")))
        elif action == "look":
            self.look(stream)
        elif action != "wait" and stream is not None:
            self.reenter(stream, action)

    def raise_on(self, name: str) -> None:
        if name in ERRORS:
            raise ERRORS[name]("from the body")

    def reenter(self, stream: Any, action: str) -> None:
        """Ask the stream for more, or close it, while its body is running."""
        ask = self.ask_once if action.startswith("next") else self.close_once
        if action.endswith("elsewhere"):
            elsewhere(ask, stream)
        else:
            ask(stream)

    def ask_once(self, stream: Any) -> None:
        if hasattr(type(stream), "__next__"):
            self.note(("asked", outcome(next, stream)))
        else:
            self.note(("asked", outcome(anext(stream).send, None)))

    def close_once(self, stream: Any) -> None:
        if hasattr(stream, "aclose"):
            self.note(("closed", outcome(stream.aclose().send, None)))
        else:
            self.note(("closed", outcome(call_method, stream, "close")))

    # --- what is measured --------------------------------------------------------------------

    def look(self, stream: Any) -> None:
        if self.is_measured and hasattr(stream, "metrics"):
            self.measured.append(("look", described(stream.metrics)))


def call_method(owner: Any, name: str, *args: Any) -> Any:
    """Call a method, which may be missing."""
    return getattr(owner, name)(*args)


def elsewhere(function: Callable[..., Any], *args: Any) -> None:
    """Call a function in a thread of its own, and wait for it."""
    thread = threading.Thread(target=function, args=args)
    thread.start()
    thread.join()


def described(result: MetricsResult[Any]) -> dict[str, Any]:
    """Give everything in a result but the time of day, with numbers for ids."""
    fields = result.to_dict(include_timeline=True)
    del fields["started_at"]
    for name in ("call_id", "parent_id"):
        fields[name] = fields[name] and int(fields[name].rpartition("-")[2], 16)
    return fields
