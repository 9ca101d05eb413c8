"""
Measure a LangChain model, or a chain around it, in one line: `observe(chain.stream)`.

The model is one of your own, over a small local one. The usage in the last of its chunks is where
the token counts come from. It printed:

    The answer to this question lies in the intricate dance of light and color. The

    Bees are omnivores, which means they consume not only nectar but also other

    langchain_core.language_models.chat_models.BaseChatModel.stream: completed
      time to first token      487 ms
      time to first chunk      486 ms
      generation latency       735 ms
      throughput               21.8 tokens/s
      tokens                   16 (from the provider's usage) in 20 chunks
      time per output token    16.5 ms
      gaps between chunks      p50 12.8 ms, p95 26.4 ms, p99 30.6 ms, max 31.6 ms

    langchain_core.runnables.base.RunnableSequence.astream: completed
      time to first token      94.8 ms
      time to first chunk      94.5 ms
      generation latency       266 ms
      throughput               60.1 tokens/s
      tokens                   16 (from the provider's usage) in 20 chunks
      time per output token    11.3 ms
      gaps between chunks      p50 11.3 ms, p95 12.6 ms, p99 13.2 ms, max 13.4 ms
"""

from __future__ import annotations

import asyncio
import sys
from contextlib import closing
from typing import TYPE_CHECKING, Any

from local_model import load_model, text_of
from tokenclock import capture, observe

try:
    from langchain_core.language_models import BaseChatModel
    from langchain_core.language_models.chat_models import generate_from_stream
    from langchain_core.messages import AIMessageChunk, BaseMessage, convert_to_openai_messages
    from langchain_core.outputs import ChatGenerationChunk, ChatResult
    from langchain_core.prompts import ChatPromptTemplate
except ImportError:
    sys.exit("This example needs LangChain: pip install langchain-core")

if TYPE_CHECKING:
    from collections.abc import Iterator

    from local_model import Chunk


class LocalChatModel(BaseChatModel):
    """A chat model as LangChain wants it: it knows nothing of tokenclock."""

    local: Any

    @property
    def _llm_type(self) -> str:
        return "local"

    def _generate(self, messages: list[BaseMessage], *_: Any, **__: Any) -> ChatResult:
        return generate_from_stream(self._stream(messages))

    def _stream(
        self, messages: list[BaseMessage], *_: Any, **__: Any
    ) -> Iterator[ChatGenerationChunk]:
        for chunk in self.local.chunks(convert_to_openai_messages(messages), max_tokens=16):
            content: Any = {"content": text_of(chunk), "usage_metadata": usage_in(chunk)}
            message = AIMessageChunk(**content)
            yield ChatGenerationChunk(message=message)


def usage_in(chunk: Chunk) -> dict[str, int] | None:
    usage = chunk.get("usage")
    if not usage:
        return None
    return {
        "input_tokens": usage["prompt_tokens"],
        "output_tokens": usage["completion_tokens"],
        "total_tokens": usage["total_tokens"],
    }


def ask(chat: LocalChatModel) -> None:
    for message in observe(chat.stream)("Why is the sky blue?"):
        print(message.text, end="", flush=True)
    print("\n")


async def ask_chain(chat: LocalChatModel) -> None:
    chain = ChatPromptTemplate.from_template("What do {animals} eat?") | chat
    async for message in observe(chain.astream)({"animals": "bees"}):
        print(message.text, end="", flush=True)
    print("\n")


def main() -> None:
    with closing(load_model()) as model, capture() as results:
        chat = LocalChatModel(local=model)
        ask(chat)
        asyncio.run(ask_chain(chat))
    for result in results:
        print(f"{result.report()}\n")


if __name__ == "__main__":
    main()
