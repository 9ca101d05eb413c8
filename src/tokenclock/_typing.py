"""
What type checkers know of the decorators: the options, and the shape table row by row.

Nothing here is imported when the program runs.
"""

# The rows overlap on purpose: an iterator is also a value, and the first row that fits wins. Both
# checkers choose as meant; what they would report is how the table is built.
# mypy: disable-error-code="overload-overlap, overload-cannot-match"
# pyright: reportOverlappingOverload=false

from __future__ import annotations

from collections.abc import (
    AsyncGenerator,
    AsyncIterator,
    Awaitable,
    Callable,
    Coroutine,
    Generator,
    Iterable,
    Iterator,
    Mapping,
)
from typing import TYPE_CHECKING, Any, ParamSpec, Protocol, TypedDict, TypeVar, final, overload

if TYPE_CHECKING:
    from tokenclock._attributes import AttributeValue
    from tokenclock._clock import Clock
    from tokenclock._reading import Reading
    from tokenclock._result import MetricsResult
    from tokenclock._sinks import Sink
    from tokenclock._streams import (
        AsyncMeasuredGenerator,
        AsyncMeasuredStream,
        MeasuredGenerator,
        MeasuredStream,
    )

P = ParamSpec("P")
T = TypeVar("T")
SendT = TypeVar("SendT")
ReturnT = TypeVar("ReturnT")
# What observe() takes, and gives back as what it got.
FunctionT = TypeVar(
    "FunctionT",
    bound="Callable[..., Any] | classmethod[Any, ..., Any] | staticmethod[..., Any]",
)


class StreamSettings(TypedDict, total=False):
    """The options that do not touch the shape of what a call gives."""

    name: str | None
    count_tokens: Callable[[Any], int] | None
    read_chunk: Callable[[Any], Reading] | None
    model: str | None
    provider: str | None
    operation: str | None
    attributes: Mapping[str, AttributeValue] | None
    sinks: Iterable[Sink]
    clock: Clock | None


class Settings(StreamSettings, total=False):
    """Every option."""

    streams: bool | None


@final
class Unknown:
    """No function gives this: only ``Any``, where a checker knows nothing, passes for it."""


class MetricsDecorator(Protocol):
    """What ``metrics_decorator(...)`` gives: the same rows as in ``metrics_decorator`` itself."""

    # Where nothing is known of what the function gives, nothing is known of what its call gives.
    # That is the first of each kind here, and the last of all: mypy, which takes every row that
    # fits what it does not know, must find no shape that is common to them.
    @overload
    def __call__(self, function: Callable[P, Unknown], /) -> Callable[P, Any]: ...
    @overload
    def __call__(
        self, function: Callable[P, Coroutine[Any, Any, Unknown]], /
    ) -> Callable[P, Coroutine[Any, Any, Any]]: ...
    @overload
    def __call__(
        self, function: Callable[P, Coroutine[Any, Any, AsyncIterator[T]]], /
    ) -> Callable[P, Coroutine[Any, Any, AsyncMeasuredStream[T]]]: ...
    @overload
    def __call__(
        self, function: Callable[P, Coroutine[Any, Any, Iterator[T]]], /
    ) -> Callable[P, Coroutine[Any, Any, MeasuredStream[T]]]: ...
    @overload
    def __call__(
        self, function: Callable[P, Coroutine[Any, Any, T]], /
    ) -> Callable[P, Coroutine[Any, Any, MetricsResult[T]]]: ...
    @overload
    def __call__(
        self, function: Callable[P, AsyncGenerator[T, SendT]], /
    ) -> Callable[P, AsyncMeasuredGenerator[T, SendT]]: ...
    @overload
    def __call__(
        self, function: Callable[P, Generator[T, SendT, ReturnT]], /
    ) -> Callable[P, MeasuredGenerator[T, SendT, ReturnT]]: ...
    @overload
    def __call__(
        self, function: Callable[P, AsyncIterator[T]], /
    ) -> Callable[P, AsyncMeasuredStream[T]]: ...
    @overload
    def __call__(self, function: Callable[P, Iterator[T]], /) -> Callable[P, MeasuredStream[T]]: ...
    @overload
    def __call__(
        self, function: Callable[P, Awaitable[Unknown]], /
    ) -> Callable[P, Awaitable[Any]]: ...
    @overload
    def __call__(
        self, function: Callable[P, Awaitable[AsyncIterator[T]]], /
    ) -> Callable[P, Awaitable[AsyncMeasuredStream[T]]]: ...
    @overload
    def __call__(
        self, function: Callable[P, Awaitable[Iterator[T]]], /
    ) -> Callable[P, Awaitable[MeasuredStream[T]]]: ...
    @overload
    def __call__(
        self, function: Callable[P, Awaitable[T]], /
    ) -> Callable[P, Awaitable[MetricsResult[T]]]: ...
    @overload
    def __call__(self, function: Callable[P, T], /) -> Callable[P, MetricsResult[T]]: ...
    @overload
    def __call__(self, function: Callable[P, Unknown | Awaitable[Unknown]], /) -> Any: ...
