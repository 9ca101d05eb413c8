"""
What Hugging Face's streamers give: plain text, so no reader of ours is needed.

A streamer gives the words that are complete so far, and an empty piece for each token that
completes none: blank pieces are no tokens, so a count of pieces is one of words, not of tokens.
Since version 5.24 letters come at once; symbols wait for the next space in every version.
"""

from __future__ import annotations

import importlib
import queue
import threading
from typing import TYPE_CHECKING, Any

import pytest

from tokenclock import MeasuredStream, measure, metrics_of, observe

if TYPE_CHECKING:
    from tokenclock.testing import CollectingSink, FakeClock

pytestmark = pytest.mark.extras

PIECES = ("Time!", " flies!", " like!", "", " an!", " arrow!", "")


class Tokenizer:
    """Decodes token ids as a tokenizer does: a streamer asks no more of it."""

    def decode(self, ids: list[int], **_: Any) -> str:
        return "".join(PIECES[one] for one in ids)


class Ids:
    """The ids that generate() puts, as far as a streamer looks at a tensor."""

    shape = (1,)

    def __init__(self, *ids: int) -> None:
        self.ids = list(ids)

    def tolist(self) -> list[int]:
        return self.ids


def streamer_of(kind: str, **options: Any) -> Any:
    # This module alone needs no torch.
    streamers = importlib.import_module("transformers.generation.streamers")
    return getattr(streamers, kind)(Tokenizer(), **options)


def generate(streamer: Any) -> None:
    """Do what a model does with a streamer: put each token, and say that it is over."""
    for index in range(len(PIECES)):
        streamer.put(Ids(index))
    streamer.end()


def test_the_pieces_that_are_not_empty_count(clock: FakeClock, sink: CollectingSink) -> None:
    """A streamer is a stream of text; a piece that completes no word is blank."""
    streamer = streamer_of("TextIteratorStreamer")
    stream = measure(streamer, clock=clock)
    generate(streamer)
    assert issubclass(type(stream), MeasuredStream)
    assert isinstance(stream, type(streamer))
    pieces = list(stream)

    assert pieces == ["", "Time! ", "flies! ", "", "like! ", "an! ", "", "arrow!"]
    assert [result.outcome for result in sink.results] == ["completed"]
    result = stream.metrics
    assert result.chunk_count == 8
    assert (result.token_count, result.token_source) == (5, "chunks")


class Ticking:
    """Puts the next id when the streamer's queue is asked, so that the fake clock says when."""

    def __init__(self, streamer: Any, clock: FakeClock) -> None:
        self.streamer = streamer
        self.clock = clock
        self.get = streamer.text_queue.get
        self.index = 0

    def __call__(self, **options: Any) -> Any:
        self.clock.advance(0.25)
        if self.index < len(PIECES):
            self.streamer.put(Ids(self.index))
        elif self.index == len(PIECES):
            self.streamer.end()
        self.index += 1
        return self.get(**options)


def test_times_are_those_of_the_pieces(clock: FakeClock) -> None:
    """The first token is the first word that is complete, not the first blank piece."""
    streamer = streamer_of("TextIteratorStreamer")

    def answer() -> Any:
        clock.advance(0.5)
        streamer.text_queue.get = Ticking(streamer, clock)
        return streamer

    stream = observe(answer, clock=clock)()
    text = "".join(stream)
    result = metrics_of(stream)

    assert text == "Time! flies! like! an! arrow!"
    assert result is not None
    assert result.time_to_first_chunk == 0.75
    assert result.time_to_first_token == 1.0
    assert result.outcome == "completed"


def test_a_thread_may_generate_while_the_caller_reads(sink: CollectingSink) -> None:
    """The model may run in a thread of its own, as users have it."""

    def answer() -> Any:
        streamer = streamer_of("TextIteratorStreamer", timeout=60)
        threading.Thread(target=generate, args=(streamer,)).start()
        return streamer

    assert "".join(observe(answer)()) == "Time! flies! like! an! arrow!"
    assert [result.outcome for result in sink.results] == ["completed"]
    assert sink.results[0].token_count == 5


def test_no_piece_in_time_is_a_failure(sink: CollectingSink) -> None:
    """The streamer's timeout reaches the caller as it is, and the run has failed."""
    streamer = streamer_of("TextIteratorStreamer", timeout=0.001)
    stream = measure(streamer)
    streamer.put(Ids(0, 1))
    assert next(stream) == "Time! "
    with pytest.raises(queue.Empty):
        next(stream)

    assert [result.outcome for result in sink.results] == ["failed"]
    assert sink.results[0].error == "_queue.Empty"
    assert sink.results[0].token_count == 1


# --- async ------------------------------------------------------------------------------------


@pytest.mark.asyncio
async def test_the_async_streamer_is_measured_alike(sink: CollectingSink) -> None:
    """The async streamer's text arrives through the loop."""

    def answer() -> Any:
        streamer = streamer_of("AsyncTextIteratorStreamer")
        threading.Thread(target=generate, args=(streamer,)).start()
        return streamer

    assert "".join([piece async for piece in observe(answer)()]) == "Time! flies! like! an! arrow!"
    assert [result.outcome for result in sink.results] == ["completed"]
    assert (sink.results[0].token_count, sink.results[0].token_source) == (5, "chunks")


@pytest.mark.asyncio
async def test_no_piece_in_time_is_a_failure_of_the_async_streamer(sink: CollectingSink) -> None:
    """The async streamer's timeout is a failure, not a cancellation."""
    stream = measure(streamer_of("AsyncTextIteratorStreamer", timeout=0.001))
    with pytest.raises(TimeoutError):
        await anext(stream)
    assert [result.outcome for result in sink.results] == ["failed"]
    assert sink.results[0].error == "TimeoutError"
