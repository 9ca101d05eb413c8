"""One decode of llama.cpp, as the chunks that arrive: sync, and for asyncio."""

from __future__ import annotations

import asyncio
import importlib
import queue
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeAlias

Message: TypeAlias = "dict[str, str]"
Chunk: TypeAlias = "dict[str, Any]"  # what an OpenAI-compatible server streams, as plain data
Prompt: TypeAlias = "str | Sequence[Message]"
Request: TypeAlias = "dict[str, Any]"

NAME = "SmolLM2-135M-Instruct"


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
    """
    One request on a thread of its own.

    Args:
        server: What answers: a ``Server`` of xllamacpp.
        request: The fields of a chat completion.
        deliver: Takes every chunk and, at the end, one object that says that it is over; called
            on the thread of the decode. If it raises ``RuntimeError``, the decode ends.

    .. versionadded:: 0.1.0
    """

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
        """Take a chunk; ``True`` makes the runtime stop."""
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
