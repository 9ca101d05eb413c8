"""
Drives scripted streams of every shape alike.

A script never suspends, so its async streams are driven by hand and need no loop.
"""

from __future__ import annotations

from collections.abc import Awaitable, Mapping
from itertools import pairwise
from typing import Any, TypeVar

import pytest

from tokenclock import MetricsResult, Reading, metrics_decorator
from tokenclock.testing import FakeClock, Script

T = TypeVar("T")

# What each shape is called, and the method of a script that gives it.
SHAPES: Mapping[str, str] = {
    "generator": "generator",
    "iterator": "stream",
    "async generator": "agenerator",
    "async iterator": "astream",
}

every_shape = pytest.mark.parametrize("shape", SHAPES)


def script_at(
    clock: FakeClock,
    arrivals: Mapping[float, Any],
    *,
    end: float,
    error: BaseException | None = None,
) -> Script[Any]:
    """Give a script from absolute milliseconds: when each chunk arrives, and when it is over."""
    times = [0.0, *arrivals, end]
    waits = [(now - before) / 1000 for before, now in pairwise(times)]
    steps = zip(waits[:-1], arrivals.values(), strict=True)
    return Script(steps, clock=clock, end=waits[-1], error=error)


def stream_of(shape: str, script: Script[Any], **options: Any) -> Any:
    """Call a decorated function that gives this script's stream in this shape."""
    function = getattr(script, SHAPES[shape])
    decorate: Any = metrics_decorator
    return decorate(function, **{"name": "tokens", "clock": script.clock, **options})()


def now(awaitable: Awaitable[T]) -> T:
    """Give the value of an awaitable that does not suspend."""
    steps = awaitable.__await__()
    try:
        next(steps)
    except StopIteration as stop:
        value: T = stop.value
        return value
    msg = "it suspended"
    raise AssertionError(msg)


def is_sync(stream: Any) -> bool:
    return hasattr(type(stream), "__next__")


def step(stream: Any) -> Any:
    """Ask for one chunk."""
    return next(stream) if is_sync(stream) else now(anext(stream))


def read(stream: Any) -> list[Any]:
    """Read what is left."""
    if is_sync(stream):
        return [chunk for chunk in stream]  # noqa: C416 - a loop, as users write it
    return now(_aread(stream))


async def _aread(stream: Any) -> list[Any]:
    return [chunk async for chunk in stream]


def close(stream: Any) -> None:
    if is_sync(stream):
        stream.close()
    else:
        now(stream.aclose())


def collect(stream: Any) -> MetricsResult[list[Any]]:
    result: MetricsResult[list[Any]] = (
        stream.collect() if is_sync(stream) else now(stream.collect())
    )
    return result


def finished(shape: str, script: Script[Any], **options: Any) -> MetricsResult[None]:
    """Read a whole stream of this shape; give its result."""
    stream = stream_of(shape, script, **options)
    read(stream)
    result: MetricsResult[None] = stream.metrics
    return result


def as_it_is(chunk: Reading) -> Reading:
    """Read a chunk that is its own reading: pass it as ``read_chunk``."""
    return chunk


def frame(
    content: str | None = None,
    *,
    index: int = 0,
    finish_reason: str | None = None,
    model: str | None = None,
    usage: Mapping[str, Any] | None = None,
    **delta: Any,
) -> dict[str, Any]:
    """Give a chunk as OpenAI's servers send it: by itself blank, with content one token."""
    choice = {
        "index": index,
        "delta": {"content": content, **delta},
        "finish_reason": finish_reason,
    }
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "created": 1_700_000_000,
        "model": model,
        "choices": [choice],
        "usage": usage,
    }


def usage_frame(output: int | None = None, **usage: Any) -> dict[str, Any]:
    """Give a chunk that says what was used, with no choice in it; *usage* in OpenAI's words."""
    return {**frame(usage={"completion_tokens": output, **usage}), "choices": []}
