"""
What tests of measured code need: a clock that stands still, scripted streams, a collecting sink.

Nothing here sleeps. A script's waits advance its clock, so a test knows every number exactly.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator, Iterable
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from tokenclock import _sinks

if TYPE_CHECKING:
    from typing_extensions import Self

    from tokenclock._result import MetricsResult

__all__ = [
    "AsyncScriptedStream",
    "CollectingSink",
    "FakeClock",
    "Script",
    "ScriptedStream",
    "settle",
]

T = TypeVar("T")

NS_PER_SECOND = 1_000_000_000


class FakeClock:
    """
    A clock that moves when it is told to; pass it as the option ``clock``.

    >>> clock = FakeClock()
    >>> clock.advance(0.25)
    >>> clock()
    250000000

    .. versionadded:: 0.1.0
    """

    def __init__(self) -> None:
        self._now_ns = 0

    def __call__(self) -> int:
        """Give the time in nanoseconds since the clock was made."""
        return self._now_ns

    def advance(self, seconds: float) -> None:
        """
        Let time pass.

        Args:
            seconds: Not negative; rounded to whole nanoseconds.

        Raises:
            ValueError: If *seconds* is negative: the clock is monotonic.
        """
        if seconds < 0:
            msg = f"Cannot advance the clock by {seconds} s: it is monotonic."
            raise ValueError(msg)
        self._now_ns += round(seconds * NS_PER_SECOND)


class Script(Generic[T]):
    """
    What a stream will do: wait, give a chunk, wait, give a chunk, end.

    One script makes any number of fresh streams, in each of the four shapes.

    Args:
        steps: Pairs of seconds to wait and the chunk that then arrives.
        clock: The clock that the waits advance.
        end: Seconds to wait after the last chunk, before the stream ends.
        error: What the stream raises at its end; ``None`` for a stream that is just over.

    >>> clock = FakeClock()
    >>> list(Script([(0.5, "a"), (0.25, "b")], clock=clock).stream())
    ['a', 'b']
    >>> clock()
    750000000

    .. versionadded:: 0.1.0
    """

    def __init__(
        self,
        steps: Iterable[tuple[float, T]],
        *,
        clock: FakeClock,
        end: float = 0.0,
        error: BaseException | None = None,
    ) -> None:
        self.steps = tuple(steps)
        self.clock = clock
        self.end = end
        self.error = error

    def stream(self) -> ScriptedStream[T]:
        """Give a plain iterator with ``close``, as SDKs have them."""
        return ScriptedStream(self)

    def astream(self) -> AsyncScriptedStream[T]:
        """Give a plain async iterator with ``aclose``."""
        return AsyncScriptedStream(self)

    def generator(self) -> Generator[T, Any, None]:
        """Give a generator."""
        for wait, chunk in self.steps:
            self.clock.advance(wait)
            yield chunk
        self._finish()

    async def agenerator(self) -> AsyncGenerator[T, Any]:
        """Give an async generator; it never suspends."""
        for wait, chunk in self.steps:
            self.clock.advance(wait)
            yield chunk
        self._finish()

    def _finish(self) -> None:
        self.clock.advance(self.end)
        if self.error is not None:
            raise self.error


class _Scripted(Generic[T]):
    """The part of a scripted stream that is neither sync nor async."""

    def __init__(self, script: Script[T]) -> None:
        self.closed = False
        self._steps = script.generator()

    def _step(self, stop: type[Exception]) -> T:
        try:
            return next(self._steps)
        except StopIteration:
            raise stop from None

    def _close(self) -> None:
        self.closed = True
        self._steps.close()


class ScriptedStream(_Scripted[T]):
    """
    A plain iterator that follows a script.

    Attributes:
        closed: Whether ``close`` was called.

    .. versionadded:: 0.1.0
    """

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> T:
        return self._step(StopIteration)

    def close(self) -> None:
        """End the stream."""
        self._close()


class AsyncScriptedStream(_Scripted[T]):
    """
    A plain async iterator that follows a script; it never suspends.

    Attributes:
        closed: Whether ``aclose`` was called.

    .. versionadded:: 0.1.0
    """

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> T:
        return self._step(StopAsyncIteration)

    async def aclose(self) -> None:
        """End the stream."""
        self._close()


def settle() -> None:
    """
    Wait until the results of dropped streams have reached the sinks.

    The result of a stream that is dropped unfinished goes to the sinks on a thread of its own,
    shortly after; every other result is there when its call ends. Gives up after some seconds.

    .. versionadded:: 0.1.0
    """
    _sinks.later.flush()


class CollectingSink:
    """
    A sink that keeps what it gets, in the order in which calls finished.

    Attributes:
        results: Every result so far.

    >>> sink = CollectingSink()
    >>> sink.last is None
    True

    .. versionadded:: 0.1.0
    """

    def __init__(self) -> None:
        self.results: list[MetricsResult[Any]] = []

    def __call__(self, result: MetricsResult[Any]) -> None:
        """Keep one result."""
        self.results.append(result)

    @property
    def last(self) -> MetricsResult[Any] | None:
        """The latest result; ``None`` before the first."""
        return self.results[-1] if self.results else None
