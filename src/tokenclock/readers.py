"""
Readers for streams that arrive as raw server-sent events, to be passed as ``read_chunk=``.

Without a provider's SDK an answer is often read with a plain HTTP client, line by line or in pieces
of any size. These readers understand such pieces, ``str`` or ``bytes``: whole lines without their
ends (``iter_lines`` of httpx and requests) or with them (aiohttp), and pieces that are cut
anywhere (``iter_bytes``, ``iter_raw``, ``iter_text``), in the middle of a character too.

- A line is read in the piece that completes it; one whose JSON is whole is not kept waiting for
  its line end. An event of several ``data:`` lines is read at the blank line after it.
- Several events in one piece are one reading: their tokens are summed, their channel is the most
  visible one (text, then tool, then reasoning), of model and finish reason the last one counts.
- Comments, blank lines, ``event:``, ``id:`` and ``retry:`` lines, ``[DONE]`` and whatever cannot be
  read are no tokens. An error that a server sends as an event is none either, and ends nothing.
- What waits for its end is bounded: beyond 16 MiB a line, or an event of several lines, is dropped.

Before the first piece with a line end in it, an empty piece is a blank line.

>>> from tokenclock import measure
>>> from tokenclock.readers import openai_sse
>>> lines = [
...     'data: {"choices": [{"delta": {"role": "assistant"}}]}',
...     "",
...     'data: {"choices": [{"delta": {"content": "Hi"}}], "model": "small"}',
...     "",
...     "data: [DONE]",
... ]
>>> stream = measure(iter(lines), read_chunk=openai_sse)
>>> list(stream) == lines
True
>>> stream.metrics.token_count, stream.metrics.chunk_count, stream.metrics.model
(1, 5, 'small')

.. versionadded:: 0.1.0
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from io import BytesIO
from typing import TypeAlias

from tokenclock._providers import ProviderReader
from tokenclock._providers._looking import Family, visible
from tokenclock._providers.anthropic import Anthropic
from tokenclock._providers.openai import OpenAI
from tokenclock._providers.openai_responses import OpenAIResponses
from tokenclock._reading import NOTHING, Reading, updated_usage
from tokenclock.errors import InvalidOptionError

__all__ = ["anthropic_sse", "openai_sse"]

Families: TypeAlias = tuple[type[Family], ...]
Piece: TypeAlias = str | bytes | bytearray | memoryview | None

# Providers' longest events repeat a whole answer; with pictures in it, that is some megabytes.
MOST_BYTES = 16 * 1024 * 1024
# Each try reads the line from its start, so a line that comes in many pieces has only a few.
MOST_TRIES = 8
DATA = b"data:"
BYTE_ORDER_MARK = b"\xef\xbb\xbf"


class EventReader:
    """
    Reads the server-sent events of a provider; ``openai_sse`` and ``anthropic_sse`` are such.

    As ``read_chunk=`` it starts afresh for every stream, so one object serves any number of them.
    Called directly it reads one piece and remembers nothing: only whole lines count then.

    >>> said = '{"type": "content_block_delta", "delta": {"type": "text_delta", "text": "Hi"}}'
    >>> anthropic_sse(f"data: {said}").channel
    'text'

    .. versionadded:: 0.1.0
    """

    __slots__ = ("_families", "_name")

    def __init__(self, name: str, families: Families) -> None:
        self._name = name
        self._families = families

    def __call__(self, piece: Piece, /) -> Reading:
        """Read one piece by itself."""
        return self.for_stream()(piece)

    def for_stream(self) -> StreamReader:
        """Give a fresh reader, for the pieces of one stream."""
        return StreamReader(self._families)

    def __reduce__(self) -> str:
        return self._name  # copied and pickled as the global that it is

    def __repr__(self) -> str:
        return f"{__name__}.{self._name}"


class StreamReader:
    """Reads the pieces of one stream."""

    __slots__ = (
        "_choice", "_data", "_ends_in_cr", "_found", "_has_line_ends", "_is_skipping", "_line",
        "_provider", "_saw_choices", "_tokens", "_tries",
    )  # fmt: skip

    def __init__(self, families: Families) -> None:
        self._provider = ProviderReader(families)
        self._found: list[Reading] = []
        # The line under way, and the data lines before it that are not whole by themselves.
        self._line = bytearray()
        self._data = bytearray()
        self._tries = 0
        self._is_skipping = False
        self._has_line_ends = False
        self._ends_in_cr = False
        self._tokens = 0
        self._choice: int | None = None
        self._saw_choices = False

    def __call__(self, piece: Piece, /) -> Reading:
        """
        Read one piece; ``None`` is none.

        Raises:
            TypeError: If it is neither text nor bytes.
        """
        if piece is None:
            return NOTHING
        self._found.clear()
        self._feed(_as_bytes(piece))
        return _merged(self._found)

    # --- pieces and lines -------------------------------------------------------------------

    def _feed(self, piece: bytes) -> None:
        if b"\n" in piece or b"\r" in piece:
            self._has_line_ends = True
            for line in self._lines(piece):
                if line.endswith(b"\n"):
                    self._end_line(line[:-1])
                else:
                    self._add(line)
        elif piece:
            self._ends_in_cr = False
            self._add(piece)
        elif not self._has_line_ends:  # lines come without their ends, and this is a blank one
            self._close_line()
            self._end_event()

    def _lines(self, piece: bytes) -> Iterator[bytes]:
        """Split a piece, however its lines end; CR and LF may have come in two pieces."""
        if self._ends_in_cr and piece.startswith(b"\n"):
            piece = piece[1:]
        self._ends_in_cr = piece.endswith(b"\r")
        if b"\r" in piece:
            piece = piece.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        return BytesIO(piece)

    def _add(self, part: bytes) -> None:
        """Take what has no line end: a whole line, or a part of one."""
        if not self._has_line_ends and part.startswith(DATA):
            self._close_line()
        if self._is_skipping or (not self._line and self._read_line(part)):
            return
        is_first = not self._line
        self._line += part
        if not is_first and self._tries < MOST_TRIES and part.rstrip().endswith(b"}"):
            self._tries += 1
            if self._read_line(bytes(self._line)):
                self._start_line()
        if len(self._line) > MOST_BYTES:
            self._start_line()
            self._is_skipping = True

    def _close_line(self) -> None:
        """End the line under way, if there is one: it was whole."""
        if self._line or self._is_skipping:
            self._end_line(b"")

    def _end_line(self, end: bytes) -> None:
        line = bytes(self._line) + end if self._line else end
        is_skipped = self._is_skipping
        self._start_line()
        if is_skipped or self._read_line(line):
            return
        data = _data_of(line)
        if data is not None:
            self._data += data + b"\n"
            if len(self._data) > MOST_BYTES:
                self._data.clear()
        elif not line:
            self._end_event()

    def _start_line(self) -> None:
        self._line.clear()
        self._tries = 0
        self._is_skipping = False

    # --- events -----------------------------------------------------------------------------

    def _end_event(self) -> None:
        if self._data:
            self._read(bytes(self._data))
            self._data.clear()

    def _read_line(self, line: bytes) -> bool:
        """Read a data line that holds a whole event, and say whether this is one."""
        data = _data_of(line)
        return data is not None and self._read(data)

    def _read(self, data: bytes) -> bool:
        if not data.rstrip().endswith(b"}"):
            return False
        try:
            event = json.loads(data.decode("utf-8", "replace"))
        except (ValueError, RecursionError):
            return False
        reading = self._provider.read(event) if type(event) is dict else None
        if reading is None:  # an object, but perhaps one inside an event of several lines
            return not self._data
        self._data.clear()
        self._found.append(self._checked(reading))
        return True

    def _checked(self, reading: Reading) -> Reading:
        """Take away a usage that counts one of several choices: one piece may have them all."""
        if reading.tokens:
            self._tokens += reading.tokens
            if self._choice is None:
                self._choice = reading.choice
            self._saw_choices = self._saw_choices or reading.choice != self._choice
        usage = reading.usage
        if usage is None or usage.output_tokens is None or usage.output_tokens >= self._tokens:
            return reading
        if self._saw_choices or self._provider.saw_choices:
            return reading._replace(usage=usage._replace(output_tokens=None))
        return reading


openai_sse = EventReader("openai_sse", (OpenAI, OpenAIResponses))
anthropic_sse = EventReader("anthropic_sse", (Anthropic,))


def _as_bytes(piece: Piece) -> bytes:
    if isinstance(piece, bytes):
        return piece
    if isinstance(piece, str):
        return piece.encode("utf-8", "replace")
    if isinstance(piece, bytearray | memoryview):
        return bytes(piece)
    msg = (
        f"Cannot read a piece of type {type(piece).__name__!r}: it is neither str nor bytes. "
        "Pass what came over the wire; chunks of an SDK need no read_chunk=."
    )
    raise InvalidOptionError(msg, option="read_chunk")


def _data_of(line: bytes) -> bytes | None:
    """Give what a data line says; ``None`` if it is another."""
    line = line.removeprefix(BYTE_ORDER_MARK)
    return line[len(DATA) :] if line.startswith(DATA) else None


def _merged(readings: list[Reading]) -> Reading:
    """Give one reading for all events of a piece, in the order in which they came."""
    if len(readings) < 2:  # noqa: PLR2004 - nothing to merge
        return readings[0] if readings else NOTHING
    merged = NOTHING
    for reading in readings:
        merged = _with(merged, reading)
    return merged


def _with(merged: Reading, newer: Reading) -> Reading:
    usage = merged.usage
    channels = {reading.channel for reading in (merged, newer) if reading.tokens}
    if newer.tokens and usage is not None:  # tokens after a usage are not in it
        usage = usage._replace(output_tokens=None)
    return Reading(
        tokens=merged.tokens + newer.tokens,
        choice=newer.choice if newer.tokens else merged.choice,
        channel=visible(
            text="text" in channels, tool="tool" in channels, reasoning="reasoning" in channels
        ),
        usage=usage if newer.usage is None else updated_usage(usage, newer.usage),
        model=newer.model or merged.model,
        finish_reason=newer.finish_reason or merged.finish_reason,
    )
