"""Measure a sync method: one that returns a list, and one that yields tokens."""

from __future__ import annotations

from typing import TYPE_CHECKING

from local_model import load_model
from tokenclock import metrics_decorator

if TYPE_CHECKING:
    from collections.abc import Iterator

    from local_model import Model


class Writer:
    def __init__(self, model: Model) -> None:
        self.model = model

    @metrics_decorator
    def text_generator(self, text: str) -> list[str]:
        return list(self.model.stream(text, max_tokens=16))

    @metrics_decorator
    def stream(self, text: str) -> Iterator[str]:
        yield from self.model.stream(text, max_tokens=16)


def main() -> None:
    writer = Writer(load_model())

    result = writer.text_generator("Name three colours.")
    print("A list is there all at once, so its first token came with its last:")
    print(f"{result.token_count} tokens, streamed: {result.streamed}")
    print(result)

    stream = writer.stream("Name three colours.")
    text = "".join(stream)
    print("\nThe same answer as a stream:")
    print(stream.metrics)
    print(f"same text: {text == ''.join(result.value)}")


if __name__ == "__main__":
    main()
