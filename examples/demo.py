"""Stream two answers of a small local model and print how they arrived: `make demo`."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from local_model import load_model
from tokenclock import metrics_decorator

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from local_model import Model
    from tokenclock import MetricsResult


class Assistant:
    """An ordinary class around a model; only its two decorated methods know of tokenclock."""

    def __init__(self, model: Model) -> None:
        self.model = model

    @metrics_decorator
    def answer(self, question: str) -> Iterator[str]:
        yield from self.model.stream(question, max_tokens=40)

    @metrics_decorator
    async def aanswer(self, question: str) -> AsyncIterator[str]:
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


def show(metrics: MetricsResult[object]) -> None:
    print("\n")
    print(metrics)
    print()
    print(metrics.report())
    print()


def main() -> None:
    """Ask one question through a generator and one through an async generator."""
    model = load_model()
    print(f"Model: {model.label}")
    assistant = Assistant(model)

    print("\n--- a generator: Why is the sky blue?\n")
    stream_answer(assistant, "Why is the sky blue?")

    print("--- an async generator: What do bees make?\n")
    asyncio.run(stream_answer_async(assistant, "What do bees make?"))


if __name__ == "__main__":
    main()
