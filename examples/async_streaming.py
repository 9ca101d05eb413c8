"""Measure an async streaming method, several calls at once, while the event loop goes on."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from local_model import load_model
from tokenclock import capture, metrics_decorator

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from local_model import Model


class Writer:
    def __init__(self, model: Model) -> None:
        self.model = model

    @metrics_decorator
    async def stream(self, text: str) -> AsyncIterator[str]:
        async for token in self.model.astream(text, max_tokens=16):
            yield token


async def ask(writer: Writer) -> None:
    stream = writer.stream("What do cats eat?")
    async for token in stream:
        print(token, end="", flush=True)
    print(f"\n{stream.metrics}\n")

    with capture() as results:
        await asyncio.gather(*(writer.stream(f"Say the number {n}.").collect() for n in range(3)))
    print("Three at once; a model that answers one after the other shows in the first tokens:")
    for result in results:
        print(f"first token after {result.time_to_first_token:.3f} s: {result.outcome}")


def main() -> None:
    asyncio.run(ask(Writer(load_model())))


if __name__ == "__main__":
    main()
