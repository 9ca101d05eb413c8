"""Taking what a call gave to its end, so that it is measured to its end."""

# What a user's function gives is Any, and pyright does not know the type() of that.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from tokenclock._managers import MeasuredManager
from tokenclock._streams import AsyncMeasuredStream, MeasuredStream

MustStop = Callable[[], bool]


class NeedsLoopError(Exception):
    """Raised when an ordinary function gave what only an event loop can take to its end."""


def consume(given: Any, must_stop: MustStop) -> None:
    """Read a stream until it ends or the run must stop; a value is there already."""
    kind = type(given)
    if issubclass(kind, MeasuredManager) and hasattr(kind, "__enter__"):
        with given as entered:
            consume(entered, must_stop)
    elif issubclass(kind, MeasuredStream):
        _read(given, must_stop)
    elif issubclass(kind, AsyncMeasuredStream | MeasuredManager) or inspect.isawaitable(given):
        _discard(given)
        raise NeedsLoopError
    elif issubclass(kind, dict):
        for entry in _streams_in(given):
            consume(entry, must_stop)


def _read(stream: Any, must_stop: MustStop) -> None:
    try:
        for _ in stream:
            if must_stop():
                break
    finally:
        close = getattr(stream, "close", None)
        if close is not None:
            close()


async def aconsume(given: Any, must_stop: MustStop) -> None:
    """Do the same in an event loop, which can also await."""
    kind = type(given)
    if issubclass(kind, AsyncMeasuredStream):
        await _aread(given, must_stop)
    elif issubclass(kind, MeasuredManager) and hasattr(kind, "__aenter__"):
        async with given as entered:
            await aconsume(entered, must_stop)
    elif inspect.isawaitable(given):
        await aconsume(await given, must_stop)
    else:
        consume(given, must_stop)


async def _aread(stream: Any, must_stop: MustStop) -> None:
    try:
        async for _ in stream:
            if must_stop():
                break
    finally:
        # Some clients call the async one "close".
        close = getattr(stream, "aclose", None) or getattr(stream, "close", None)
        if close is not None:
            closing = close()
            if inspect.isawaitable(closing):
                await closing


def _streams_in(given: dict[Any, Any]) -> list[Any]:
    """Find the stream that a known client gives in a dict."""
    return [entry for entry in given.values() if issubclass(type(entry), MeasuredStream)]


def _discard(given: Any) -> None:
    """Close a coroutine that nobody will await, so that nobody complains of it."""
    if inspect.iscoroutine(given):
        given.close()
