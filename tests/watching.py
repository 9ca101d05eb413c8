"""
Watches a call that is made to the real model: what the reading loop saw, and what was served.

A scenario is written once: on a loop for an async client, and by hand for a sync one, which never
suspends.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from time import perf_counter_ns
from typing import TYPE_CHECKING, Any, TypeVar

import pytest

from local_model import NAME
from stepping import now

if TYPE_CHECKING:
    from model_server import Served
    from tokenclock import MetricsResult

T = TypeVar("T")

sync_and_async = pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])


# --- sync and async alike ----------------------------------------------------------------------


def play(scenario: Coroutine[Any, Any, T], *, is_async: bool) -> T:
    return asyncio.run(scenario) if is_async else now(scenario)


def is_on_a_loop() -> bool:
    """Whether this scenario is played async; some streams could be read either way."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


async def wait(given: Any) -> Any:
    return await given if inspect.isawaitable(given) else given


async def step(stream: Any) -> Any:
    """Ask for one chunk; StopAsyncIteration says for both that there is none."""
    if is_on_a_loop():
        return await anext(stream)
    try:
        return next(stream)
    except StopIteration:
        raise StopAsyncIteration from None


async def items(stream: Any) -> AsyncIterator[Any]:
    """Read what a loop reads."""
    if is_on_a_loop():
        async for item in stream:
            yield item
    else:
        for item in stream:
            yield item


@asynccontextmanager
async def inside(manager: Any) -> AsyncIterator[Any]:
    if is_on_a_loop():
        async with manager as given:
            yield given
    else:
        with manager as given:
            yield given


def text_in(chunk: Any) -> str:
    """Give the text that a chunk or event carries, whoever's it is; twins of events are none."""
    kind = getattr(chunk, "type", None)
    if kind == "response.output_text.delta":
        return str(chunk.delta)
    if kind == "content_block_delta":
        return str(getattr(chunk.delta, "text", ""))
    if kind == "chunk":
        chunk = chunk.chunk
    choices = getattr(chunk, "choices", None)
    if not choices:
        return ""
    delta = getattr(choices[0], "delta", None)
    return (choices[0].text if delta is None else delta.content) or ""


async def turns() -> None:
    """Let the loop close what was dropped; a sync client has no loop."""
    for _ in range(20 if is_on_a_loop() else 0):
        await asyncio.sleep(0)


def untouched(function: Any) -> Any:
    """Measure nothing."""
    return function


# --- what is seen ------------------------------------------------------------------------------


@dataclass
class Watched:
    """
    What a reading loop saw for itself, what the server counted, and what we gave.

    Attributes:
        chunks: What was read.
        stamps: When each of them was there.
        responses: The HTTP responses.
        is_closed: Whether the response was closed, at each moment that has a name.
    """

    call_ns: int = 0
    ended_ns: int = 0
    chunks: list[Any] = field(default_factory=list)
    stamps: list[int] = field(default_factory=list)
    results: list[MetricsResult[Any]] = field(default_factory=list)
    responses: list[Any] = field(default_factory=list)
    is_closed: dict[str, bool] = field(default_factory=dict)
    error: BaseException | None = None
    served: Served | None = None

    @property
    def result(self) -> MetricsResult[Any]:
        """The one result."""
        (result,) = self.results
        return result

    @property
    def texts(self) -> list[str]:
        """The pieces of text, in order."""
        return [text for text in map(text_in, self.chunks) if text]

    @property
    def kinds(self) -> list[str]:
        """What the chunks are."""
        return [type(chunk).__name__ for chunk in self.chunks]

    def note(self, moment: str) -> None:
        """Note whether the response is closed now."""
        (response,) = self.responses
        self.is_closed[moment] = response.is_closed

    def took(self, chunk: Any) -> None:
        """Note a chunk."""
        self.stamps.append(perf_counter_ns())
        self.chunks.append(chunk)

    def seconds_until(self, stamp: int) -> float:
        """Give the seconds from the call until then."""
        return (stamp - self.call_ns) / 1e9


async def read_on(stream: Any, watched: Watched) -> None:
    try:
        while True:
            watched.took(await step(stream))
    except StopAsyncIteration:
        watched.ended_ns = perf_counter_ns()


async def some(stream: Any, watched: Watched, *, texts: int = 3) -> None:
    """Read the first pieces of text, and no further."""
    while len(watched.texts) < texts:
        watched.took(await step(stream))
    watched.ended_ns = perf_counter_ns()


# --- what must be so ---------------------------------------------------------------------------


def assert_counts(watched: Watched) -> None:
    """Assert that the tokens are those that the server read and wrote."""
    result, served = watched.result, watched.served
    assert served is not None
    assert (result.token_count, result.token_source) == (served.written, "usage")
    assert result.input_token_count == served.read + served.cached
    assert result.cached_token_count == served.cached
    assert (result.outcome, result.error, result.model) == ("completed", None, NAME)


def assert_times(watched: Watched, *, first: int | None = None, choices: int = 1) -> None:
    """
    Assert that our times are between the server's own and the loop's.

    Args:
        watched: A whole answer.
        first: The number of the first chunk that carries a token; by default the first text.
        choices: How many were written side by side; the server counts the time of each.
    """
    result, served = watched.result, watched.served
    if first is None:
        first = next(number for number, chunk in enumerate(watched.chunks) if text_in(chunk))
    assert served is not None
    assert result.time_to_first_token is not None
    seen = watched.seconds_until(watched.stamps[first])
    assert served.reading * 0.99 <= result.time_to_first_token <= seen
    assert (served.reading + served.writing / choices) * 0.99 <= result.generation_latency
    assert result.generation_latency <= watched.seconds_until(watched.ended_ns)


def name_of(error: BaseException | None) -> str:
    return f"{type(error).__module__}.{type(error).__qualname__}"


def assert_same_error(ours: BaseException | None, bare: BaseException | None) -> None:
    assert ours is not None
    assert (type(ours), str(ours)) == (type(bare), str(bare))
    assert type(ours.__cause__) is type(getattr(bare, "__cause__", None))


def channels_of(result: MetricsResult[Any]) -> list[str | None]:
    """Give the channels of the chunks that carry tokens."""
    return [chunk.channel for chunk in result.timeline or () if chunk.tokens]


def first_token_in(result: MetricsResult[Any]) -> int:
    """Give the number of the first chunk that carries one, as the result has it."""
    return next(number for number, chunk in enumerate(result.timeline or ()) if chunk.tokens)
