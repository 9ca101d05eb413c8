"""What a checker makes of measured streams, ``measure`` and ``metrics_of``. Never run."""

from __future__ import annotations

import contextlib
from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    AsyncIterator,
    Generator,
    Iterable,
    Iterator,
)
from typing import Any, Literal

from typing_extensions import assert_type

from tokenclock import (
    AsyncMeasuredGenerator,
    AsyncMeasuredStream,
    MeasuredGenerator,
    MeasuredStream,
    MetricsResult,
    Reading,
    driver,
    measure,
    metrics_of,
)
from tokenclock.testing import CollectingSink, FakeClock


def a_stream(stream: MeasuredStream[str]) -> None:
    for token in stream:
        assert_type(token, str)
    assert_type(next(stream), str)
    assert_type(stream.metrics, MetricsResult[None])
    assert_type(stream.metrics.value, None)
    assert_type(stream.collect(), MetricsResult[list[str]])
    assert_type(stream.collect().value, list[str])
    _iterator: Iterator[str] = stream
    _iterable: Iterable[object] = stream
    _wider: MeasuredStream[object] = stream
    _wrong: Iterator[int] = stream  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]
    stream.metrics = None  # type: ignore[misc, assignment]  # pyright: ignore[reportAttributeAccessIssue]


def a_generator(stream: MeasuredGenerator[str, int, bool]) -> Generator[str, int, bool]:
    assert_type(stream.send(1), str)
    assert_type(stream.throw(ValueError()), str)
    stream.close()
    assert_type(stream.metrics, MetricsResult[None])
    assert_type(stream.collect(), MetricsResult[list[str]])
    _generator: Generator[str, int, bool] = stream
    _stream: MeasuredStream[str] = stream
    stream.send("a")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    returned = yield from stream
    assert_type(returned, bool)
    with contextlib.closing(stream) as closing:
        assert_type(closing, MeasuredGenerator[str, int, bool])
    return returned


async def an_async_stream(stream: AsyncMeasuredStream[str]) -> None:
    async for token in stream:
        assert_type(token, str)
    assert_type(await anext(stream), str)
    assert_type(stream.metrics, MetricsResult[None])
    assert_type(await stream.collect(), MetricsResult[list[str]])
    assert_type(await stream.acollect(), MetricsResult[list[str]])
    _iterator: AsyncIterator[str] = stream
    _iterable: AsyncIterable[object] = stream
    _wider: AsyncMeasuredStream[object] = stream
    _wrong: Iterator[str] = stream  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]


async def an_async_generator(stream: AsyncMeasuredGenerator[str, int]) -> None:
    assert_type(await stream.asend(1), str)
    assert_type(await stream.athrow(ValueError()), str)
    await stream.aclose()
    assert_type(stream.metrics, MetricsResult[None])
    assert_type(await stream.collect(), MetricsResult[list[str]])
    _generator: AsyncGenerator[str, int] = stream
    _stream: AsyncMeasuredStream[str] = stream
    async with contextlib.aclosing(stream) as closing:
        assert_type(closing, AsyncMeasuredGenerator[str, int])
    await stream.asend("a")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


# --- measure -------------------------------------------------------------------------------------


def measured(
    iterator: Iterator[str],
    iterable: Iterable[bytes],
    generator: Generator[str, int, bool],
) -> None:
    assert_type(measure(iterator), MeasuredStream[str])
    assert_type(measure(iterable), MeasuredStream[bytes])
    assert_type(measure(generator), MeasuredGenerator[str, int, bool])
    for token in measure(iterator):
        assert_type(token, str)


def measured_async(
    async_iterator: AsyncIterator[str],
    async_iterable: AsyncIterable[bytes],
    async_generator: AsyncGenerator[str, int],
) -> None:
    assert_type(measure(async_iterator), AsyncMeasuredStream[str])
    assert_type(measure(async_iterable), AsyncMeasuredStream[bytes])
    assert_type(measure(async_generator), AsyncMeasuredGenerator[str, int])


def measured_with_options(stream: Iterator[str]) -> None:
    measured = measure(
        stream,
        since=0,
        name="chat",
        count_tokens=len,
        read_chunk=lambda chunk: Reading(tokens=len(chunk)),
        model="SmolLM2-135M",
        provider="local",
        operation="chat",
        attributes={"tenant": "acme"},
        sinks=[CollectingSink()],
        clock=FakeClock(),
    )
    assert_type(measured, MeasuredStream[str])
    measure(stream, since=0.5)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue, reportArgumentType]
    measure(stream, nam="a")  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]
    measure(stream, streams=True)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]
    measure(3)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue, reportArgumentType]
    measure()  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]


# --- metrics_of ----------------------------------------------------------------------------------


def metrics(
    result: MetricsResult[list[str]],
    stream: MeasuredGenerator[str, int, bool],
    async_stream: AsyncMeasuredStream[str],
    observed: Iterator[str],
) -> None:
    assert_type(metrics_of(result), MetricsResult[list[str]])
    assert_type(metrics_of(stream), MetricsResult[None])
    assert_type(metrics_of(async_stream), MetricsResult[None])
    assert_type(metrics_of(observed), MetricsResult[Any] | None)
    metrics_of()  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]


def which_driver() -> None:
    """The name of the driver is one of two."""
    assert_type(driver, Literal["compiled", "python"])
