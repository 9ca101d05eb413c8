"""A measured stream behind a real web server: one result for each answer, however it ends."""

from __future__ import annotations

import asyncio
import gc
import json
import threading
from collections.abc import AsyncGenerator, Iterator
from contextlib import closing
from queue import SimpleQueue
from time import perf_counter_ns
from typing import TYPE_CHECKING, Any

import pytest

from local_model import Chunk, Decode, LocalModel, ScriptedModel
from tokenclock import MetricsResult, observe

if TYPE_CHECKING:
    from fastapi import FastAPI

pytestmark = pytest.mark.extras

PATIENCE = 10.0  # seconds; only a failing test waits as long
ONE_HOUR = 3600.0

Results = SimpleQueue[MetricsResult[Any]]


class Stalling(ScriptedModel):
    """Says two words and goes on after an hour."""

    def __init__(self) -> None:
        super().__init__(first_wait=0.0, wait=0.0)
        self.has_ended = threading.Event()

    def _script(self, max_tokens: int) -> Iterator[tuple[float, Chunk]]:
        for number, (wait, chunk) in enumerate(super()._script(max_tokens)):
            yield (ONE_HOUR if number == 3 else wait), chunk

    async def _arecite(self, max_tokens: int) -> AsyncGenerator[Chunk, None]:
        try:
            async for chunk in super()._arecite(max_tokens):
                yield chunk
        finally:
            self.has_ended.set()


class Endless(LocalModel):
    """Generates a thousand tokens, wherever its answer ends."""

    def astream(self, prompt: Any, **_: Any) -> AsyncGenerator[str, None]:
        return super().astream(prompt, max_tokens=1000, ignore_eos=True)


def read(app: FastAPI, *, count: int | None = None) -> list[tuple[str, int]]:
    """Serve *app* and read *count* events of an answer, or all; give each and when it arrived."""
    import httpx  # noqa: PLC0415 - an extra

    from web_app import asked, served  # noqa: PLC0415 - needs extras

    received = []
    with (
        served(app) as url,
        httpx.Client(base_url=url, timeout=PATIENCE) as client,
        asked(client) as events,
    ):
        for event in events:
            received.append((event, perf_counter_ns()))
            if len(received) == count:
                break
    assert "web-app" not in {thread.name for thread in threading.enumerate()}
    return received


def the_only(results: Results) -> MetricsResult[Any]:
    """Give the one result there is; the server has been stopped, so no other one comes."""
    result = results.get(timeout=PATIENCE)
    assert results.empty()
    return result


def test_an_answer_read_to_its_end_is_completed() -> None:
    """The first token's time lies between the model's pause and what the client saw."""
    from web_app import make_app  # noqa: PLC0415 - needs extras

    results: Results = SimpleQueue()
    model = ScriptedModel(first_wait=0.125, wait=0.001)
    before = perf_counter_ns()
    received = read(make_app(model, results.put))

    result = the_only(results)
    words = [json.loads(event.removeprefix("data: ")) for event, _ in received[:-1]]
    assert "".join(words) == " ".join(model.text.split())
    assert received[-1][0] == "data: [DONE]"
    assert (result.function, result.outcome, result.token_count) == ("answer", "completed", 41)
    assert result.time_to_first_token is not None
    assert 0.125 <= result.time_to_first_token <= (received[0][1] - before) / 1e9
    assert result.generation_latency <= (received[-1][1] - before) / 1e9


def test_a_reader_who_leaves_cancels_the_wait_for_the_next_token() -> None:
    """The server cancels whoever waits in an async stream, and so the model, too."""
    from web_app import make_app  # noqa: PLC0415 - needs extras

    results: Results = SimpleQueue()
    model = Stalling()
    received = read(make_app(model, results.put), count=2)

    result = the_only(results)
    assert [event for event, _ in received] == ['data: "This"', 'data: " text"']
    assert (result.outcome, result.token_count) == ("cancelled", 2)
    assert result.error == "asyncio.exceptions.CancelledError"
    assert model.has_ended.wait(PATIENCE)


@pytest.mark.model
def test_a_reader_who_leaves_stops_the_real_models_decode(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a thousand tokens that it was asked for, the model generates a few."""
    from web_app import make_app  # noqa: PLC0415 - needs extras

    decoded: list[Chunk] = []
    on_chunk = Decode._on_chunk

    def count(decode: Decode, chunk: Chunk) -> bool:
        decoded.append(chunk)
        return on_chunk(decode, chunk)

    monkeypatch.setattr(Decode, "_on_chunk", count)
    results: Results = SimpleQueue()
    with closing(Endless()) as model:
        read(make_app(model, results.put), count=3)
        for thread in threading.enumerate():
            if thread.name == "local-model-decode":
                thread.join(PATIENCE)
                assert not thread.is_alive()

    result = the_only(results)
    assert result.outcome == "cancelled"
    assert result.token_count is not None
    assert 3 <= result.token_count <= len(decoded) < 1000


def test_a_reader_who_leaves_between_two_chunks_stops_a_sync_stream() -> None:
    """A sync stream is asked on a thread, where nothing is cancelled: it is let go of."""
    from fastapi import FastAPI  # noqa: PLC0415 - an extra
    from fastapi.responses import StreamingResponse  # noqa: PLC0415 - an extra

    has_ended = threading.Event()
    results: Results = SimpleQueue()

    @observe(sinks=[results.put])
    def answer() -> Iterator[str]:
        try:
            while True:
                yield "data: word\n\n"
        finally:
            has_ended.set()

    app = FastAPI()

    @app.get("/answer")
    def stream_answer() -> Any:
        return StreamingResponse(answer(), media_type="text/event-stream")

    received = read(app, count=2)
    gc.collect()  # the server has let go of it, but in a cycle; so it has of a bare generator

    result = the_only(results)
    assert [event for event, _ in received] == ["data: word", "data: word"]
    assert (result.outcome, result.error) == ("stopped", None)
    assert result.token_count is not None
    assert result.token_count >= 2
    assert has_ended.wait(PATIENCE)


def test_a_server_that_cannot_send_stops_the_stream_between_two_chunks() -> None:
    """Where a server says so by a failing send, as ASGI has it since 2.4, nothing is cancelled."""
    from starlette.requests import ClientDisconnect  # noqa: PLC0415 - an extra

    from web_app import make_app  # noqa: PLC0415 - needs extras

    results: Results = SimpleQueue()
    model = Stalling()
    scope = {
        "type": "http", "asgi": {"version": "3.0", "spec_version": "2.4"}, "http_version": "1.1",
        "method": "GET", "path": "/answer", "query_string": b"question=Hi", "headers": [],
    }  # fmt: skip
    sent: list[Any] = []

    async def receive() -> Any:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message.get("body"))
        if len(sent) == 3:
            raise OSError

    with pytest.raises(ClientDisconnect):
        asyncio.run(make_app(model, results.put)(scope, receive, send))

    result = the_only(results)
    assert sent == [None, b'data: "This"\n\n', b'data: " text"\n\n']
    assert (result.outcome, result.token_count) == ("stopped", 2)
    assert model.has_ended.wait(PATIENCE)
