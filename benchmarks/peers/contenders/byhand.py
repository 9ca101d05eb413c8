"""What people write when they need a number today."""

from __future__ import annotations

import asyncio
import functools
import inspect
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from time import perf_counter, perf_counter_ns
from typing import Any

from peers.contender import Contender, Function, Record, Request
from peers.measuring import Case, Program, agenerate, areading, generate, reading


class Adapter(Contender):
    """A look at the clock for each chunk, and a list."""

    title = "`time.perf_counter` by hand, in a wrapper"
    distribution = ""
    importing = "import time"
    settings = (
        "A wrapper that keeps the time of every chunk since the first request; it does not look "
        "into chunks and has no except, as most that is written by hand."
    )
    documentation = "https://docs.python.org/3/library/time.html#time.perf_counter"

    def __init__(self) -> None:
        self._latest: list[list[float]] = []

    def decorate(self, function: Function) -> Any:
        """Wrap by the kind of the function."""
        if inspect.isgeneratorfunction(function):
            return self._timed_stream(function)
        if inspect.isasyncgenfunction(function):
            return self._timed_async_stream(function)
        return self._timed_call(function)

    def _timed_stream(self, function: Function) -> Any:
        @functools.wraps(function)
        def timed(prompt: int) -> Iterator[Any]:
            started = perf_counter()
            times: list[float] = []
            for chunk in function(prompt):
                times.append(perf_counter() - started)
                yield chunk
            self._keep(times)

        return timed

    def _timed_async_stream(self, function: Function) -> Any:
        @functools.wraps(function)
        async def timed(prompt: int) -> AsyncIterator[Any]:
            started = perf_counter()
            times: list[float] = []
            async for chunk in function(prompt):
                times.append(perf_counter() - started)
                yield chunk
            self._keep(times)

        return timed

    def _timed_call(self, function: Function) -> Any:
        @functools.wraps(function)
        def timed(prompt: int) -> Any:
            started = perf_counter()
            result = function(prompt)
            self._keep([perf_counter() - started])
            return result

        return timed

    def _keep(self, times: list[float]) -> None:
        self._latest = [times]

    def inline(self, tokens: int) -> Mapping[str, Any]:
        """Do the same in the reader's own loop."""
        return {
            "inline_sync": Case(reading(generate, tokens), stamping(tokens), tokens),
            "inline_async": Case(areading(agenerate, tokens), astamping(tokens), tokens),
        }

    def records(self, requests: Sequence[Request]) -> list[Record]:
        """Give the times of the latest call."""
        del requests
        latest, self._latest = self._latest, []
        return [Record("", times) for times in latest]


def stamping(tokens: int) -> Program:
    """Read streams and keep the time of every chunk."""

    def program(times: int) -> int:
        began = perf_counter_ns()
        for _ in range(times):
            started = perf_counter()
            stamps: list[float] = []
            for _token in generate(tokens):
                stamps.append(perf_counter() - started)  # noqa: PERF401 - that is measured
        return perf_counter_ns() - began

    return program


def astamping(tokens: int) -> Program:
    """Do the same with async streams."""

    async def read(times: int) -> int:
        began = perf_counter_ns()
        for _ in range(times):
            started = perf_counter()
            stamps: list[float] = []
            async for _token in agenerate(tokens):
                stamps.append(perf_counter() - started)  # noqa: PERF401 - that is measured
        return perf_counter_ns() - began

    return lambda times: asyncio.run(read(times))
