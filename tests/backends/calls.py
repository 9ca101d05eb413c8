"""Calls of the real model, of every shape and outcome that telemetry tells apart."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

from local_model import NAME, Chunk, LocalModel
from tokenclock import MetricsResult, capture, labels, observe

QUESTION = "Why is the sky blue?"
PROVIDER = "llama.cpp"

Answer = Callable[..., Any]


def varied_calls(model: LocalModel) -> list[MetricsResult[Any]]:
    """Make eleven calls; give their results in the order in which they finished."""
    answer = _observed(model.chunks, "answer")
    with capture() as results:
        for number, tokens in enumerate((4, 8, 12)):
            with labels(tenant=f"tenant {number % 2}"):
                list(answer(QUESTION, max_tokens=tokens))
        _stops_early(answer)
        _fails(model)
        _takes_its_time(answer, model)
        _is_nested(answer)
        asyncio.run(_is_async(model))
        _observed(lambda: list(model.stream(QUESTION, max_tokens=4)), "whole")()
        _observed(lambda: "of an unknown number of tokens", "text")()
    assert len(results) == 11
    return results


def _observed(function: Answer, name: str, **options: Any) -> Answer:
    attributes: dict[str, str | bool | int | float] = {
        "server.address": "127.0.0.1",
        "server.port": 8080,
        "secret": "not named",
    }
    decorated: Answer = observe(
        name=name, model=NAME, provider=PROVIDER, attributes=attributes, **options
    )(function)
    return decorated


def _stops_early(answer: Answer) -> None:
    for number, _ in enumerate(answer(QUESTION, max_tokens=16)):
        if number == 4:
            break


def _fails(model: LocalModel) -> None:
    def breaks_off() -> Iterator[Chunk]:
        for number, chunk in enumerate(model.chunks(QUESTION, max_tokens=16)):
            if number == 4:
                raise ConnectionResetError
            yield chunk

    try:
        list(_observed(breaks_off, "breaks off")())
    except ConnectionResetError:
        return
    raise AssertionError("the failure did not arrive")


def _takes_its_time(answer: Answer, model: LocalModel) -> None:
    """Hold a chunk for as long as the model takes for another answer."""
    for number, _ in enumerate(answer(QUESTION, max_tokens=4)):
        if number == 1:
            list(model.stream(QUESTION, max_tokens=8))


def _is_nested(answer: Answer) -> None:
    def agent() -> None:
        list(answer(QUESTION, max_tokens=4))

    _observed(agent, "agent", operation="invoke_agent")()


async def _is_async(model: LocalModel) -> None:
    async def aanswer() -> AsyncIterator[Chunk]:
        async for chunk in model.achunks(QUESTION, max_tokens=8):
            yield chunk

    async for _ in _observed(aanswer, "async answer")():
        pass
