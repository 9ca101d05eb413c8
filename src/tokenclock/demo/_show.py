"""The demonstration itself: two answers of the model, streamed and measured."""

# ruff: noqa: T201 - printing is what a demonstration is for

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import closing
from typing import TYPE_CHECKING

from tokenclock._decorator import metrics_decorator
from tokenclock.demo._model import Model, load_model

if TYPE_CHECKING:
    from tokenclock._result import MetricsResult


class Assistant:
    """An ordinary class around a model; only its two decorated methods know of tokenclock."""

    def __init__(self, model: Model) -> None:
        self.model = model

    @metrics_decorator(name="demo.Assistant.answer")
    def answer(self, question: str) -> Iterator[str]:
        """Stream the answer to *question*."""
        yield from self.model.stream(question, max_tokens=40)

    @metrics_decorator(name="demo.Assistant.aanswer")
    async def aanswer(self, question: str) -> AsyncIterator[str]:
        """Stream it without blocking the event loop."""
        async for token in self.model.astream(question, max_tokens=40):
            yield token


def stream_answer(assistant: Assistant, question: str) -> None:
    """Read a measured generator as any other; its metrics are there at any time."""
    stream = assistant.answer(question)
    for token in stream:
        print(token, end="", flush=True)
    show(stream.metrics)


async def stream_answer_async(assistant: Assistant, question: str) -> None:
    """Do the same with a measured async generator."""
    stream = assistant.aanswer(question)
    async for token in stream:
        print(token, end="", flush=True)
    show(stream.metrics)


def show(metrics: MetricsResult[None]) -> None:
    """Print both texts of a result."""
    print("\n")
    print(metrics)
    print()
    print(metrics.report())
    print()


def main() -> None:
    """
    Stream two answers of a small model, through a generator and an async one, and measure both.

    The model is the one of ``load_model``; what is printed says which.

    .. versionadded:: 0.1.0
    """
    with closing(load_model()) as model:
        print(f"Model: {model.label}")
        assistant = Assistant(model)

        print("\n--- a generator: Why is the sky blue?\n")
        stream_answer(assistant, "Why is the sky blue?")

        print("--- an async generator: What do bees make?\n")
        asyncio.run(stream_answer_async(assistant, "What do bees make?"))
