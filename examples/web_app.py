"""
Measure what a web app streams: server-sent events of FastAPI, over HTTP, from an observed model.

`make_app` is the app; the rest serves it, reads one answer to the end and leaves another in the
middle. That cancels the wait for the next token: the model stops, and the result says so.
It printed:

    data: "The"
    data: " answer"
    data: " to"
    ... 65 events
    answer: completed
      time to first token      219 ms
      generation latency       1.04 s
      throughput               61.5 tokens/s
      tokens                   64 (one per token-bearing chunk) in 64 chunks
      time per output token    13 ms
      gaps between chunks      p50 12 ms, p95 23.5 ms, p99 25.7 ms, max 28.1 ms

    data: "The"
    data: " answer"
    ... and the reader leaves
    answer: cancelled
      error                    asyncio.exceptions.CancelledError
      time to first token      14.4 ms
      generation latency       44 ms
      throughput               68.2 tokens/s
      tokens                   3 (one per token-bearing chunk) in 3 chunks
      time per output token    11.7 ms
      gaps between chunks      p50 11.7 ms, p95 11.7 ms, p99 11.7 ms, max 11.7 ms
"""

from __future__ import annotations

import json
import socket
import sys
import threading
from collections.abc import AsyncIterator, Generator, Iterator
from contextlib import aclosing, closing, contextmanager
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

from local_model import load_model
from tokenclock import observe

try:
    import httpx
    import uvicorn
    from fastapi import FastAPI
    from fastapi.responses import StreamingResponse
except ImportError:
    sys.exit("This example needs a web framework: pip install fastapi httpx uvicorn")

if TYPE_CHECKING:
    from local_model import Model
    from tokenclock import MetricsResult, Sink

QUESTION = {"question": "Why is the sky blue?"}
PATIENCE = 10.0  # seconds


def make_app(model: Model, sink: Sink) -> FastAPI:
    """Make an app whose answers are measured; each result goes to *sink*."""
    app = FastAPI()
    answer = observe(model.astream, name="answer", sinks=[sink])

    async def events(question: str) -> AsyncIterator[str]:
        async with aclosing(answer(question, max_tokens=64)) as tokens:
            async for token in tokens:
                yield f"data: {json.dumps(token)}\n\n"
        yield "data: [DONE]\n\n"

    @app.get("/answer")
    async def stream_answer(question: str) -> StreamingResponse:
        return StreamingResponse(events(question), media_type="text/event-stream")

    return app


@contextmanager
def served(app: FastAPI) -> Generator[str, None, None]:
    """Serve *app* from a thread, on a free port of the loopback; give its URL."""
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=5))
    thread = threading.Thread(target=server.run, args=([listener],), name="web-app", daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(PATIENCE)


@contextmanager
def asked(client: httpx.Client) -> Generator[Iterator[str], None, None]:
    """Ask for an answer; give its events as they arrive, and leave when the block is left."""
    with client.stream("GET", "/answer", params=QUESTION) as response:
        yield (line for line in response.iter_lines() if line)


def main() -> None:
    results: SimpleQueue[MetricsResult[Any]] = SimpleQueue()
    with (
        closing(load_model()) as model,
        served(make_app(model, results.put)) as url,
        httpx.Client(base_url=url, timeout=PATIENCE) as client,
    ):
        with asked(client) as events:
            received = list(events)
        print(*received[:3], f"... {len(received)} events", sep="\n")
        print(results.get(timeout=PATIENCE).report())

        with asked(client) as events:
            print("", next(events), next(events), "... and the reader leaves", sep="\n")
        print(results.get(timeout=PATIENCE).report())


if __name__ == "__main__":
    main()
