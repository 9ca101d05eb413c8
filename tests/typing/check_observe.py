"""What a checker makes of ``observe``: nothing; what it gets is what it gives. Never run."""

from __future__ import annotations

import functools
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from typing import Any, TypeVar, overload

from typing_extensions import assert_type

from tokenclock import Reading, observe
from tokenclock.testing import CollectingSink, FakeClock

T = TypeVar("T")


@observe
def value(text: str, *, top: int = 1) -> list[str]:
    raise NotImplementedError


@observe(
    name="chat",
    count_tokens=len,
    read_chunk=lambda chunk: Reading(tokens=len(chunk)),
    streams=None,
    model="SmolLM2-135M",
    provider="local",
    operation="chat",
    attributes={"tenant": "acme", "stream": True, "turn": 1, "temperature": 0.5},
    sinks=[CollectingSink(), print],
    clock=FakeClock(),
)
def stream(text: str) -> Iterator[str]:
    raise NotImplementedError


@observe()
async def coroutine(text: str) -> str:
    raise NotImplementedError


@observe(streams=True)
async def async_stream(text: str) -> AsyncIterator[str]:
    yield text


@observe
def generic(first: T) -> list[T]:
    raise NotImplementedError


@observe(model="m")
def generic_with_options(first: T) -> list[T]:
    raise NotImplementedError


async def functions() -> None:
    assert_type(value("a", top=2), list[str])
    assert_type(stream("a"), Iterator[str])
    _coroutine: Callable[[str], Coroutine[Any, Any, str]] = coroutine
    assert_type(await coroutine("a"), str)
    assert_type(async_stream("a"), AsyncIterator[str])
    assert_type(generic(1), list[int])
    assert_type(generic_with_options(1), list[int])
    assert_type(value.__name__, str)
    value(1)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    stream()  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    stream("a").metrics  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType]  # noqa: B018


class Model:
    @observe
    def method(self, text: str) -> list[str]:
        raise NotImplementedError

    @observe(name="method")
    def method_with_options(self, text: str) -> Iterator[str]:
        raise NotImplementedError

    @classmethod
    @observe
    def outer_class(cls, text: str) -> list[str]:
        raise NotImplementedError

    @observe
    @classmethod
    def inner_class(cls, text: str) -> Iterator[str]:
        raise NotImplementedError

    @staticmethod
    @observe
    def outer_static(text: str) -> list[str]:
        raise NotImplementedError

    @observe(name="inner")
    @staticmethod
    async def inner_static(text: str) -> str:
        raise NotImplementedError

    @property
    @observe
    def answer(self) -> Iterator[str]:
        raise NotImplementedError


class Inheriting(Model):
    @observe
    def method(self, text: str) -> list[str]:
        return super().method(text)


async def methods(model: Model) -> None:
    assert_type(model.method("a"), list[str])
    assert_type(Model.method(model, "a"), list[str])
    assert_type(model.method_with_options("a"), Iterator[str])
    assert_type(Model.outer_class("a"), list[str])
    assert_type(model.inner_class("a"), Iterator[str])
    assert_type(Model.outer_static("a"), list[str])
    assert_type(await model.inner_static("a"), str)
    assert_type(model.answer, Iterator[str])
    assert_type(Inheriting().method("a"), list[str])
    model.method(1)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


# --- what an SDK offers: overloads, callable objects, bound methods ------------------------------


class Completions:
    @overload
    def create(self, text: str, *, stream: bool) -> Iterator[str]: ...
    @overload
    def create(self, text: str) -> str: ...
    def create(self, text: str, *, stream: bool = False) -> str | Iterator[str]:
        raise NotImplementedError

    def __call__(self, text: str) -> Iterator[str]:
        raise NotImplementedError


def sdk(client: Completions) -> None:
    create = observe(client.create)
    assert_type(create("a"), str)
    assert_type(create("a", stream=True), Iterator[str])
    client.create = observe(client.create)  # type: ignore[method-assign]
    assert_type(observe(client.create, name="chat")("a", stream=True), Iterator[str])
    assert_type(observe(client), Completions)
    assert_type(observe(functools.partial(client, "a")), functools.partial[Iterator[str]])
    assert_type(observe(lambda: str(client))(), str)
    _callable: Callable[[str], str] = create


def wrong_options(function: Callable[[str], list[str]]) -> None:
    observe(nam="a")  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]
    observe(function, nam="a")  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]
    observe(name=1)  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType]
    observe(function, streams="yes")  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue, reportArgumentType]
    observe(count_tokens=str)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    observe(sinks=print)  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType]
    observe(clock=5)  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType]


def wrong_functions() -> None:
    observe(3)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue, reportArgumentType]
    observe(function=len)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]
    observe()(3)  # type: ignore[type-var]  # pyright: ignore[reportArgumentType]
