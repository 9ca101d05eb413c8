"""Does a decorated generator function stay one? Each check runs the thing and looks."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncGenerator, Callable, Coroutine, Generator
from typing import Any

Decorate = Callable[[Callable[..., Any]], Any]


class ThrownError(Exception):
    """What the checks throw in."""


def talk(log: list[Any]) -> Callable[[int], Generator[Any, Any, str]]:
    """Make a generator function that notes what reaches its body."""

    def generator(_prompt: int) -> Generator[Any, Any, str]:
        log.append("began")
        try:
            log.append((yield "one"))
            yield "two"
        except ThrownError as error:
            log.append(error)
            yield "caught"
        finally:
            log.append("closed")
        return "result"

    return generator


def atalk(log: list[Any]) -> Callable[[int], AsyncGenerator[Any, Any]]:
    """Make the same as an async generator function."""

    async def generator(_prompt: int) -> AsyncGenerator[Any, Any]:
        log.append("began")
        try:
            log.append((yield "one"))
            yield "two"
        except ThrownError as error:
            log.append(error)
            yield "caught"
        finally:
            log.append("closed")

    return generator


def stays_generator_function(decorate: Decorate) -> bool:
    """Be a generator function for ``inspect``."""
    return inspect.isgeneratorfunction(decorate(talk([])))


def starts_when_asked(decorate: Decorate) -> bool:
    """Run nothing of the body before the first ``next``."""
    log: list[Any] = []
    stream = decorate(talk(log))(1)
    early = bool(log)
    next(stream)
    return not early and log == ["began"]


def takes_send(decorate: Decorate) -> bool:
    """Deliver a sent value to the body."""
    log: list[Any] = []
    stream = decorate(talk(log))(1)
    next(stream)
    return bool(stream.send("sent") == "two" and log == ["began", "sent"])


def takes_throw(decorate: Decorate) -> bool:
    """Deliver a thrown exception to the body, as the same object."""
    log: list[Any] = []
    stream = decorate(talk(log))(1)
    next(stream)
    error = ThrownError()
    return bool(stream.throw(error) == "caught" and log[1] is error)


def takes_close(decorate: Decorate) -> bool:
    """Have closed the body when ``close`` returns."""
    log: list[Any] = []
    stream = decorate(talk(log))(1)
    next(stream)
    stream.close()
    return "closed" in log


def gives_return_value(decorate: Decorate) -> bool:
    """Give what the body returned to ``yield from``."""
    stream = decorate(talk([]))(1)

    def outer() -> Generator[Any, Any, None]:
        results.append((yield from stream))

    results: list[Any] = []
    list(outer())
    return results == ["result"]


async def stays_async_generator_function(decorate: Decorate) -> bool:
    """Be an async generator function for ``inspect``."""
    return inspect.isasyncgenfunction(decorate(atalk([])))


async def starts_when_awaited(decorate: Decorate) -> bool:
    """Run nothing of the body before the first ``__anext__``."""
    log: list[Any] = []
    stream = decorate(atalk(log))(1)
    early = bool(log)
    await stream.__anext__()
    return not early and log == ["began"]


async def takes_asend(decorate: Decorate) -> bool:
    """Deliver a sent value to the body."""
    log: list[Any] = []
    stream = decorate(atalk(log))(1)
    await stream.__anext__()
    return bool(await stream.asend("sent") == "two" and log == ["began", "sent"])


async def takes_athrow(decorate: Decorate) -> bool:
    """Deliver a thrown exception to the body, as the same object."""
    log: list[Any] = []
    stream = decorate(atalk(log))(1)
    await stream.__anext__()
    error = ThrownError()
    return bool(await stream.athrow(error) == "caught" and log[1] is error)


async def takes_aclose(decorate: Decorate) -> bool:
    """Have closed the body when ``aclose`` returns."""
    log: list[Any] = []
    stream = decorate(atalk(log))(1)
    await stream.__anext__()
    await stream.aclose()
    return "closed" in log


async def stays_in_its_task(decorate: Decorate) -> bool:
    """Run the body in the task of the reader, so that its timeouts and cancel scopes hold."""
    tasks: list[Any] = []

    async def generator(_prompt: int) -> AsyncGenerator[Any, Any]:
        tasks.append(asyncio.current_task())
        yield "one"

    await decorate(generator)(1).__anext__()
    return tasks == [asyncio.current_task()]


Check = Callable[[Decorate], bool]
AsyncCheck = Callable[[Decorate], Coroutine[Any, Any, bool]]

SYNC: tuple[Check, ...] = (
    stays_generator_function,
    starts_when_asked,
    takes_send,
    takes_throw,
    takes_close,
    gives_return_value,
)
ASYNC: tuple[AsyncCheck, ...] = (
    stays_async_generator_function,
    starts_when_awaited,
    takes_asend,
    takes_athrow,
    takes_aclose,
    stays_in_its_task,
)


def answers(decorate: Decorate) -> dict[str, bool]:
    """Run every check; one that raises has failed."""
    checks: tuple[Check | AsyncCheck, ...] = (*SYNC, *ASYNC)
    return {check.__name__: held(check, decorate) for check in checks}


def held(check: Check | AsyncCheck, decorate: Decorate) -> bool:
    """Run one check."""
    try:
        result = check(decorate)
        return result if isinstance(result, bool) else asyncio.run(result)
    except Exception:  # noqa: BLE001 - whatever a contender's stream raises, the promise is broken
        return False
