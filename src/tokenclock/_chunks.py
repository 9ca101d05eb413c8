"""Which reading fits a chunk: plain ones at once, the user's functions where given, providers'."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from tokenclock import _log
from tokenclock._providers import ProviderReader, read_response
from tokenclock._reading import NOTHING, ONE_TOKEN, Reading, TokenSource, Usage, as_count, checked
from tokenclock._result import MetricsResult

if TYPE_CHECKING:
    from tokenclock._options import Options

# Chunks of exactly these types, if true, are one token; after the first of a stream the hands take
# the others of its type by themselves.
PLAIN_TYPES: frozenset[type] = frozenset({str, bytes, int})


# How the first of the raw server-sent events of a provider starts.
_EVENTS_AS_TEXT = ("data: {", "data:{", "event: ")
_EVENTS_AS_BYTES = tuple(start.encode() for start in _EVENTS_AS_TEXT)


class ChunkReader:
    """
    Reads the chunks of one stream.

    The first failure of a user's function disables it for the stream: the whole count becomes
    chunks, and what the caller of the stream sees does not change.

    Attributes:
        source: What a sum of the readings' tokens is worth as a count.
        saw_unknown: Whether a chunk had no known shape.
        has_failed: Whether a function of the user's failed after it may have counted tokens.
    """

    __slots__ = (
        "_count_tokens", "_known", "_options", "_provider", "_read_chunk", "_totals", "has_failed",
        "saw_unknown", "source",
    )  # fmt: skip

    def __init__(self, options: Options) -> None:
        self._options = options
        self._count_tokens = options.count_tokens
        self._read_chunk: Callable[[Any], Any] | None = None
        self._totals: dict[int, int] = {}
        self._provider: ProviderReader | None = None
        self._known: type | None = None
        self.saw_unknown = False
        self.has_failed = False
        self.source: TokenSource = "chunks"
        if options.read_chunk is not None:
            self._read_chunk = self._for_stream(options.read_chunk)
        if self._count_tokens is not None or self._read_chunk is not None:
            self.source = "counted"

    @property
    def counts(self) -> bool:
        """Whether ``count_tokens`` is given and has not failed."""
        return self._count_tokens is not None

    @property
    def saw_choices(self) -> bool:
        """Whether one chunk of a provider's carried tokens of several choices."""
        return self._provider is not None and self._provider.saw_choices

    def read(self, chunk: object) -> Reading:
        """Give the reading of one chunk; never raises an ``Exception``."""
        reading = self._shape(chunk)
        if reading.total_tokens is not None:
            reading = reading._replace(tokens=self._growth(reading))
        if self._count_tokens is None:
            return reading
        try:
            return reading._replace(tokens=as_count(self._count_tokens(chunk)))
        except Exception as error:  # noqa: BLE001 - a reader's failure is not the program's
            self._count_tokens = None
            self._gave_up("count_tokens", error)
            return reading

    def _shape(self, chunk: object) -> Reading:
        if self._read_chunk is not None:
            try:
                return checked(self._read_chunk(chunk))
            except Exception as error:  # noqa: BLE001 - as above
                self._read_chunk = None
                self._gave_up("read_chunk", error)
        return self._plain(chunk)

    def _plain(self, chunk: object) -> Reading:
        known = self._by_provider(chunk) if type(chunk) is self._known else None
        return self._by_type(chunk) if known is None else known

    def _by_type(self, chunk: object) -> Reading:
        if chunk is None:
            return NOTHING
        # Types alone are asked: a class or a length of its own may be any code.
        kind = type(chunk)
        for text in (str, bytes, bytearray):
            if issubclass(kind, text):
                if kind is not bytearray and self._count_tokens is None:
                    self._warn_of_events(chunk)
                return ONE_TOKEN if text.__len__(cast("Any", chunk)) else NOTHING
        if issubclass(kind, int):  # the id of a token
            return ONE_TOKEN
        known = self._by_provider(chunk)
        if known is not None:
            return known
        self.saw_unknown = True
        if self._count_tokens is None:
            self._warn_unknown(chunk)
        return ONE_TOKEN

    def _by_provider(self, chunk: object) -> Reading | None:
        """Read what is of the shape of a known provider; the next of its type comes here first."""
        if self._provider is None:
            self._provider = ProviderReader()
        known = self._provider.read(chunk)
        if known is not None:
            self._known = type(chunk)
        return known

    def _growth(self, reading: Reading) -> int:
        total = reading.total_tokens or 0
        before = self._totals.get(reading.choice, 0)
        self._totals[reading.choice] = max(total, before)
        return max(total - before, 0)

    def _for_stream(self, read_chunk: Callable[[Any], Any]) -> Callable[[Any], Any] | None:
        """Ask a reader that keeps state for one that starts afresh."""
        try:
            for_stream = getattr(read_chunk, "for_stream", None)
            fresh: Any = read_chunk if for_stream is None else for_stream()
            if not callable(fresh):
                msg = "for_stream must give a function from a chunk to a Reading"
                raise TypeError(msg)  # noqa: TRY301 - one handler for both ways to fail
        except Exception as error:  # noqa: BLE001 - as above
            self._gave_up("read_chunk.for_stream", error)
            return None
        reader: Callable[[Any], Any] = fresh
        return reader

    def _gave_up(self, what: str, error: Exception) -> None:
        self.source = "chunks"
        self.has_failed = True
        _log.failure(
            f"{what} of {self._options.name!r} failed; tokens of this stream are counted by "
            "its chunks",
            error,
        )

    def _warn_of_events(self, chunk: object) -> None:
        """Warn of raw server-sent events, whose lines would all count as tokens."""
        looks_raw = (type(chunk) is str and chunk.startswith(_EVENTS_AS_TEXT)) or (
            type(chunk) is bytes and chunk.startswith(_EVENTS_AS_BYTES)
        )
        if not looks_raw or _EVENTS_AS_TEXT[0] in self._options.warned_types:
            return
        self._options.warned_types.add(_EVENTS_AS_TEXT[0])
        _log.warn(
            f"Cannot find tokens in the lines from {self._options.name!r}: they look like raw "
            "server-sent events, and each piece counts as one token. Pass "
            "read_chunk=tokenclock.readers.openai_sse, or anthropic_sse."
        )

    def _warn_unknown(self, chunk: object) -> None:
        kind = _log.type_name(type(chunk))
        if kind in self._options.warned_types:
            return
        self._options.warned_types.add(kind)
        _log.warn(
            f"Cannot find text in a chunk of type {kind!r} from {self._options.name!r}: "
            "it has no known shape, so each counts as one token. "
            "Pass read_chunk=, a function from a chunk to a Reading, or count_tokens=."
        )


class ValueReading(NamedTuple):
    """What a returned value says: its tokens and who counted them."""

    tokens: int | None = None
    source: TokenSource | None = None
    usage: Usage = Usage()
    model: str | None = None
    finish_reason: str | None = None


UNREAD = ValueReading()

# Values of exactly these types say nothing of their tokens.
SILENT = frozenset({bool, bytes, float, int, str, tuple, type(None)})


def read_value(value: object, options: Options) -> ValueReading:
    """Give the reading of a value that a call returned; never raises an ``Exception``."""
    reading = UNREAD if type(value) in SILENT else _known_value(value)
    if options.count_tokens is not None:
        try:
            counted = as_count(options.count_tokens(value))
        except Exception as error:  # noqa: BLE001 - a reader's failure is not the program's
            _log.failure(
                f"count_tokens of {options.name!r} failed; it does not count this value", error
            )
        else:
            return reading._replace(tokens=counted, source="counted")
    return reading


def _known_value(value: object) -> ValueReading:
    known: Any = value
    if issubclass(type(value), MetricsResult):  # a measured function inside a measured function
        usage = Usage(
            known.input_token_count, None, known.reasoning_token_count, known.cached_token_count
        )
        return ValueReading(
            known.token_count, known.token_source, usage, known.model, known.finish_reason
        )
    response = read_response(value)
    if response is not None:
        usage = response.usage or Usage()
        tokens = usage.output_tokens
        source: TokenSource | None = None if tokens is None else "usage"
        return ValueReading(tokens, source, usage, response.model, response.finish_reason)
    if issubclass(type(value), list):  # whatever a subclass says of its length
        return ValueReading(list.__len__(known), "length")  # pyright: ignore[reportUnknownMemberType]
    return UNREAD
