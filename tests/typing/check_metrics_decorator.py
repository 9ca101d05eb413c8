"""What a checker makes of ``metrics_decorator``: every row, however it is applied. Never run."""

from __future__ import annotations

import functools
from collections.abc import (
    AsyncGenerator,
    AsyncIterator,
    Awaitable,
    Callable,
    Coroutine,
    Generator,
    Iterator,
)
from typing import Any, NoReturn, TypeVar

from typing_extensions import assert_type

from tokenclock import (
    AsyncMeasuredGenerator,
    AsyncMeasuredStream,
    MeasuredGenerator,
    MeasuredStream,
    MetricsResult,
    Reading,
    metrics_decorator,
)
from tokenclock.testing import CollectingSink, FakeClock

T = TypeVar("T")


class Response:
    """Iterable and no iterator, as a pydantic response is: a value."""

    text: str

    def __iter__(self) -> Iterator[tuple[str, Any]]:
        raise NotImplementedError


class Stream(AsyncIterator[str]):
    """A stream that can also be awaited: a stream."""

    def __await__(self) -> Generator[Any, Any, int]:
        raise NotImplementedError

    async def __anext__(self) -> str:
        raise NotImplementedError


# --- every row, bare, as a method ----------------------------------------------------------------


class Model:
    @metrics_decorator
    def value(self, text: str, *, top: int = 1) -> list[str]:
        raise NotImplementedError

    @metrics_decorator
    def text(self, text: str) -> str:
        raise NotImplementedError

    @metrics_decorator
    def response(self, text: str) -> Response:
        raise NotImplementedError

    @metrics_decorator
    def nothing(self, text: str) -> None:
        raise NotImplementedError

    @metrics_decorator
    def iterator(self, text: str) -> Iterator[str]:
        yield text

    @metrics_decorator
    def generator(self, text: str) -> Generator[str, int, bool]:
        yield text
        return True

    @metrics_decorator
    async def async_iterator(self, text: str) -> AsyncIterator[str]:
        yield text

    @metrics_decorator
    async def async_generator(self, text: str) -> AsyncGenerator[str, int]:
        yield text

    @metrics_decorator
    def awaitable_stream(self, text: str) -> Stream:
        raise NotImplementedError

    @metrics_decorator
    async def coroutine_value(self, text: str) -> list[str]:
        raise NotImplementedError

    @metrics_decorator
    async def coroutine_iterator(self, text: str) -> Iterator[str]:
        raise NotImplementedError

    @metrics_decorator
    async def coroutine_async_iterator(self, text: str) -> AsyncIterator[str]:
        raise NotImplementedError

    @metrics_decorator
    def awaitable_value(self, text: str) -> Awaitable[str]:
        raise NotImplementedError

    @metrics_decorator
    def awaitable_iterator(self, text: str) -> Awaitable[Iterator[str]]:
        raise NotImplementedError

    @metrics_decorator
    def awaitable_async_iterator(self, text: str) -> Awaitable[AsyncIterator[str]]:
        raise NotImplementedError

    @metrics_decorator
    def anything(self, text: str) -> Any:
        raise NotImplementedError

    @metrics_decorator
    async def coroutine_anything(self, text: str) -> Any:
        raise NotImplementedError

    @metrics_decorator
    def awaitable_anything(self, text: str) -> Awaitable[Any]:
        raise NotImplementedError


model = Model()


async def every_row() -> None:
    assert_type(model.value("a", top=2), MetricsResult[list[str]])
    assert_type(model.value("a").value, list[str])
    assert_type(model.value("a").time_to_first_token, float | None)
    assert_type(model.text("a"), MetricsResult[str])
    assert_type(model.response("a").value.text, str)
    assert_type(model.nothing("a"), MetricsResult[None])
    assert_type(model.iterator("a"), MeasuredStream[str])
    assert_type(model.generator("a"), MeasuredGenerator[str, int, bool])
    assert_type(model.async_iterator("a"), AsyncMeasuredStream[str])
    assert_type(model.async_generator("a"), AsyncMeasuredGenerator[str, int])
    assert_type(model.awaitable_stream("a"), AsyncMeasuredStream[str])
    assert_type(await model.coroutine_value("a"), MetricsResult[list[str]])
    assert_type(await model.coroutine_iterator("a"), MeasuredStream[str])
    assert_type(await model.coroutine_async_iterator("a"), AsyncMeasuredStream[str])
    assert_type(await model.awaitable_value("a"), MetricsResult[str])
    assert_type(await model.awaitable_iterator("a"), MeasuredStream[str])
    assert_type(await model.awaitable_async_iterator("a"), AsyncMeasuredStream[str])
    assert_type(model.anything("a"), Any)
    assert_type(await model.coroutine_anything("a"), Any)
    assert_type(await model.awaitable_anything("a"), Any)


async def coroutines_stay_coroutines() -> None:
    value: Coroutine[Any, Any, MetricsResult[list[str]]] = model.coroutine_value("a")
    await value
    stream: Coroutine[Any, Any, AsyncMeasuredStream[str]] = model.coroutine_async_iterator("a")
    await stream


def arguments_are_checked() -> None:
    model.value(1)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    model.value("a", bottom=2)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    model.iterator()  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    Model.value("a")  # type: ignore[call-arg,arg-type]  # pyright: ignore[reportCallIssue]


def results_are_checked() -> None:
    len(model.value("a"))  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    model.value("a").tokens  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType]  # noqa: B018
    model.value("a").value = []  # type: ignore[misc]  # pyright: ignore[reportAttributeAccessIssue]


# --- in classes ----------------------------------------------------------------------------------


class InClasses:
    @classmethod
    @metrics_decorator
    def outer_class(cls, text: str) -> list[str]:
        raise NotImplementedError

    @metrics_decorator
    @classmethod
    def inner_class(cls, text: str) -> Iterator[str]:
        raise NotImplementedError

    @staticmethod
    @metrics_decorator
    def outer_static(text: str) -> list[str]:
        raise NotImplementedError

    @metrics_decorator
    @staticmethod
    def inner_static(text: str) -> Iterator[str]:
        raise NotImplementedError

    @classmethod
    @metrics_decorator(name="outer")
    def outer_class_configured(cls, text: str) -> list[str]:
        raise NotImplementedError

    @metrics_decorator(name="inner")
    @classmethod
    def inner_class_configured(cls, text: str) -> Iterator[str]:
        raise NotImplementedError

    @staticmethod
    @metrics_decorator(name="outer")
    async def outer_static_configured(text: str) -> list[str]:
        raise NotImplementedError

    @metrics_decorator(name="inner")
    @staticmethod
    async def inner_static_configured(text: str) -> AsyncIterator[str]:
        yield text


class Inheriting(InClasses):
    @classmethod
    @metrics_decorator
    def outer_class(cls, text: str) -> list[str]:
        return super().outer_class(text).value


async def on_class_and_instance() -> None:
    assert_type(InClasses.outer_class("a"), MetricsResult[list[str]])
    assert_type(InClasses().outer_class("a"), MetricsResult[list[str]])
    assert_type(InClasses.inner_class("a"), MeasuredStream[str])
    assert_type(InClasses().inner_class("a"), MeasuredStream[str])
    assert_type(InClasses.outer_static("a"), MetricsResult[list[str]])
    assert_type(InClasses().outer_static("a"), MetricsResult[list[str]])
    assert_type(InClasses.inner_static("a"), MeasuredStream[str])
    assert_type(InClasses().inner_static("a"), MeasuredStream[str])
    assert_type(InClasses.outer_class_configured("a"), MetricsResult[list[str]])
    assert_type(InClasses().inner_class_configured("a"), MeasuredStream[str])
    assert_type(await InClasses.outer_static_configured("a"), MetricsResult[list[str]])
    assert_type(InClasses().inner_static_configured("a"), AsyncMeasuredStream[str])
    assert_type(Inheriting.outer_class("a"), MetricsResult[list[str]])


# --- every row, configured -----------------------------------------------------------------------


@metrics_decorator()
def no_options(text: str) -> list[str]:
    raise NotImplementedError


@metrics_decorator(
    name="chat",
    count_tokens=len,
    read_chunk=lambda chunk: Reading(tokens=len(chunk)),
    model="SmolLM2-135M",
    provider="local",
    operation="chat",
    attributes={"tenant": "acme", "stream": True, "turn": 1, "temperature": 0.5},
    sinks=[CollectingSink(), print],
    clock=FakeClock(),
)
def every_option(text: str) -> Iterator[str]:
    raise NotImplementedError


@metrics_decorator(name=None, count_tokens=None, attributes=None, clock=None)
async def options_left_open(text: str) -> str:
    raise NotImplementedError


configured = metrics_decorator(model="m")


async def every_configured_row() -> None:
    assert_type(no_options("a"), MetricsResult[list[str]])
    assert_type(every_option("a"), MeasuredStream[str])
    assert_type(await options_left_open("a"), MetricsResult[str])
    assert_type(configured(Plain.value)(Plain(), "a"), MetricsResult[list[str]])
    assert_type(configured(Plain().iterator)("a"), MeasuredStream[str])
    assert_type(configured(Plain().generator)("a"), MeasuredGenerator[str, int, bool])
    assert_type(configured(Plain().async_iterator)("a"), AsyncMeasuredStream[str])
    assert_type(configured(Plain().async_generator)("a"), AsyncMeasuredGenerator[str, int])
    assert_type(await configured(Plain().coroutine_value)("a"), MetricsResult[list[str]])
    assert_type(await configured(Plain().coroutine_iterator)("a"), MeasuredStream[str])
    assert_type(await configured(Plain().coroutine_async_iterator)("a"), AsyncMeasuredStream[str])
    assert_type(await configured(Plain().awaitable_value)("a"), MetricsResult[str])
    assert_type(await configured(Plain().awaitable_iterator)("a"), MeasuredStream[str])
    assert_type(await configured(Plain().awaitable_async_iterator)("a"), AsyncMeasuredStream[str])
    assert_type(configured(Plain().anything)("a"), Any)
    assert_type(await configured(Plain().coroutine_anything)("a"), Any)


class Plain:
    """An SDK's client: not decorated where it is written."""

    def value(self, text: str) -> list[str]:
        raise NotImplementedError

    def iterator(self, text: str) -> Iterator[str]:
        raise NotImplementedError

    def generator(self, text: str) -> Generator[str, int, bool]:
        raise NotImplementedError

    def async_iterator(self, text: str) -> AsyncIterator[str]:
        raise NotImplementedError

    def async_generator(self, text: str) -> AsyncGenerator[str, int]:
        raise NotImplementedError

    async def coroutine_value(self, text: str) -> list[str]:
        raise NotImplementedError

    async def coroutine_iterator(self, text: str) -> Iterator[str]:
        raise NotImplementedError

    async def coroutine_async_iterator(self, text: str) -> AsyncIterator[str]:
        raise NotImplementedError

    def awaitable_value(self, text: str) -> Awaitable[str]:
        raise NotImplementedError

    def awaitable_iterator(self, text: str) -> Awaitable[Iterator[str]]:
        raise NotImplementedError

    def awaitable_async_iterator(self, text: str) -> Awaitable[AsyncIterator[str]]:
        raise NotImplementedError

    def anything(self, text: str) -> Any:
        raise NotImplementedError

    async def coroutine_anything(self, text: str) -> Any:
        raise NotImplementedError

    def __call__(self, text: str) -> Iterator[str]:
        raise NotImplementedError


# --- in one line, with and without options -------------------------------------------------------


async def in_one_line() -> None:
    assert_type(metrics_decorator(Plain().value)("a"), MetricsResult[list[str]])
    assert_type(metrics_decorator(Plain().iterator, name="chat")("a"), MeasuredStream[str])
    assert_type(metrics_decorator(Plain().async_iterator, model="m")("a"), AsyncMeasuredStream[str])
    assert_type(await metrics_decorator(Plain().coroutine_value)("a"), MetricsResult[list[str]])
    assert_type(metrics_decorator(Plain())("a"), MeasuredStream[str])
    assert_type(metrics_decorator(lambda: [1])(), MetricsResult[list[int]])
    metrics_decorator(Plain().value)(1)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


def partials() -> None:
    measured = metrics_decorator(functools.partial(Plain().iterator, "a"))
    assert_type(measured(), MeasuredStream[str])


def twice() -> None:
    assert_type(metrics_decorator(model.value)("a"), MetricsResult[MetricsResult[list[str]]])
    assert_type(metrics_decorator(model.iterator)("a"), MeasuredStream[str])


# --- streams=: the shape is no longer the annotation's, so nothing is said -----------------------


@metrics_decorator(streams=True)
def said_to_stream(text: str) -> Response:
    raise NotImplementedError


def shape_overridden() -> None:
    assert_type(said_to_stream("a"), Any)
    assert_type(metrics_decorator(Plain().iterator, streams=False)("a"), Any)
    said_to_stream(1)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


# --- what stays imprecise ------------------------------------------------------------------------


@metrics_decorator
def generic(first: T) -> list[T]:
    raise NotImplementedError


@metrics_decorator
def either(text: str) -> str | Iterator[str]:
    raise NotImplementedError


@metrics_decorator
def never(text: str) -> NoReturn:
    raise NotImplementedError


def imprecise() -> None:
    assert_type(generic(1), MetricsResult[list[int]])
    assert_type(either("a"), MetricsResult[str | Iterator[str]])
    assert_type(never("a"), Any)


# --- callables keep being callables --------------------------------------------------------------


def callable_types() -> None:
    _value: Callable[[str], MetricsResult[list[str]]] = model.value
    _stream: Callable[[str], Iterator[str]] = model.iterator
    _wrong: Callable[[str], list[str]] = model.value  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]


# --- wrong uses ----------------------------------------------------------------------------------


def wrong_options(function: Callable[[str], list[str]]) -> None:
    metrics_decorator(nam="a")  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]
    metrics_decorator(function, nam="a")  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]
    metrics_decorator(name=1)  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType]
    metrics_decorator(function, model=1)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue, reportArgumentType]
    metrics_decorator(count_tokens=str)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    metrics_decorator(read_chunk=len)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    metrics_decorator(sinks=print)  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType]
    metrics_decorator(attributes={"a": []})  # type: ignore[dict-item]  # pyright: ignore[reportArgumentType]
    metrics_decorator(clock=5)  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType]
    metrics_decorator(streams="yes")  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType]


def wrong_functions() -> None:
    metrics_decorator(3)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue, reportArgumentType]
    metrics_decorator("name")  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue, reportArgumentType]
    metrics_decorator(function=len)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]
    metrics_decorator()(3)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue, reportArgumentType]
