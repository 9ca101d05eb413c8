"""
Every way to read a measured stream, and to leave it: what is counted must be the same afterwards.

``many_streams`` goes through these again and again, also in a debug build and under valgrind.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Coroutine, Generator
from contextlib import aclosing, suppress
from typing import Any

from tokenclock import metrics_decorator, observe

TOKEN = str(b"token", "ascii")  # an object of its own, not one that the interpreter shares
CHUNK = {"choices": [{"index": 0, "delta": {"content": TOKEN}}]}  # as OpenAI sends them


class Broken(Exception):  # noqa: N818 - what a model's failure stands for here
    """What a failing stream raises."""


# --- the functions ------------------------------------------------------------------------------


def tokens(count: int = 3) -> Generator[object, object, str]:
    """Yield, answer what is thrown in with one more token, and return."""
    for number in range(count):
        try:
            yield CHUNK if number == 1 else TOKEN
        except KeyError:
            yield TOKEN
    return TOKEN


def failing() -> Generator[object, object, str]:
    """Yield once and fail."""
    yield TOKEN
    raise Broken


class Iterator:
    """No generator: a stream as SDKs have it."""

    def __init__(self) -> None:
        self.left = 2

    def __iter__(self) -> Iterator:
        return self

    def __next__(self) -> str:
        if not self.left:
            raise StopIteration
        self.left -= 1
        return TOKEN


async def atokens(count: int = 3) -> AsyncGenerator[object, object]:
    """Yield, one token after going through the event loop, and answer what is thrown in."""
    for number in range(count):
        if number == 1:
            await asyncio.sleep(0)
        try:
            yield CHUNK if number == 1 else TOKEN
        except KeyError:
            yield TOKEN


async def afailing() -> AsyncGenerator[object, object]:
    """Yield once and fail."""
    yield TOKEN
    raise Broken


class AsyncIterator(Iterator):
    """The async twin, whose steps are coroutines."""

    def __aiter__(self) -> AsyncIterator:
        return self

    async def __anext__(self) -> str:
        if not self.left:
            raise StopAsyncIteration
        self.left -= 1
        return TOKEN


def iterator() -> Iterator:
    """Give one, as a method of an SDK's client does."""
    return Iterator()


def aiterator() -> AsyncIterator:
    """Give one."""
    return AsyncIterator()


observed, observed_failing, observed_iterator = observe(tokens), observe(failing), observe(iterator)
decorated = metrics_decorator(tokens)
aobserved, aobserved_failing = observe(atokens), observe(afailing)
aobserved_iterator = observe(aiterator)
adecorated = metrics_decorator(atokens)


# --- the ways of reading ------------------------------------------------------------------------


def read_all() -> None:
    list(observed())


def read_iterator() -> None:
    list(observed_iterator())


def read_and_look() -> None:
    stream = decorated()
    next(stream)
    assert stream.metrics.outcome == "running"
    assert stream.collect().outcome == "completed"


def never_read() -> None:
    observed()


def close_early() -> None:
    stream = observed()
    next(stream)
    stream.close()
    with suppress(StopIteration):
        next(stream)


def drop_early() -> None:
    next(observed())


def fail() -> None:
    with suppress(Broken):
        list(observed_failing())


def send_and_throw() -> None:
    stream = observed()
    with suppress(TypeError):
        stream.send(TOKEN)  # refused: it has not started
    stream.send(None)
    stream.throw(KeyError())
    with suppress(Broken):
        stream.throw(Broken())


def tie_a_knot() -> None:
    held: list[object] = []
    stream = observed()
    next(stream)
    held += [held, stream]


def delegate() -> None:
    def outer() -> Generator[object, object, None]:
        assert (yield from observed()) == TOKEN

    list(outer())


async def aread_all() -> None:
    async for _token in aobserved():
        pass


async def aread_iterator() -> None:
    async for _token in aobserved_iterator():
        pass


async def aread_and_look() -> None:
    stream = adecorated()
    await anext(stream)
    assert stream.metrics.outcome == "running"
    assert (await stream.collect()).outcome == "completed"


async def anever_read() -> None:
    aobserved()


async def aclose_early() -> None:
    async with aclosing(aobserved()) as stream:
        await anext(stream)


async def adrop_early() -> None:
    await anext(aobserved())


async def afail() -> None:
    with suppress(Broken):
        async for _token in aobserved_failing():
            pass


async def asend_and_athrow() -> None:
    stream = aobserved()
    await stream.asend(None)
    await stream.athrow(KeyError())
    with suppress(Broken):
        await stream.athrow(Broken())


async def cancel() -> None:
    reading = asyncio.ensure_future(aread_all())
    await asyncio.sleep(0)
    reading.cancel()
    with suppress(asyncio.CancelledError):
        await reading


async def drive_by_hand() -> None:
    step = aobserved_iterator().__anext__()
    with suppress(StopIteration):
        step.send(None)
    aobserved_iterator().__anext__().close()
    with suppress(Broken):
        aobserved_iterator().__anext__().throw(Broken())


WAYS: list[Callable[[], None]] = [
    read_all, read_iterator, read_and_look, never_read, close_early, drop_early, fail,
    send_and_throw, tie_a_knot, delegate,
]  # fmt: skip
AWAYS: list[Callable[[], Coroutine[Any, Any, None]]] = [
    aread_all, aread_iterator, aread_and_look, anever_read, aclose_early, adrop_early, afail,
    asend_and_athrow, cancel, drive_by_hand,
]  # fmt: skip
