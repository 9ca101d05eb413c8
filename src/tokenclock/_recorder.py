"""
The brain: what the stamps of one run mean.

No I/O, no waiting. The drivers stamp and append; what the stamps mean is decided here, when
somebody looks, when many wait, and at the run's start and end.
"""

from __future__ import annotations

from _thread import get_ident
from array import array
from collections.abc import Mapping
from datetime import datetime, timezone
from threading import RLock
from typing import TYPE_CHECKING, Any

from tokenclock import _log
from tokenclock._chunks import PLAIN_TYPES, ChunkReader, ValueReading
from tokenclock._clock import wall_ns
from tokenclock._driver import held_between
from tokenclock._reading import (
    CHANNEL_CODES,
    NOTHING,
    ONE_TOKEN,
    Reading,
    TokenSource,
    Usage,
    updated_usage,
)
from tokenclock._timeline import (
    NO_GAPS,
    NS_PER_SECOND,
    Marks,
    Timeline,
    TokenGaps,
    array_of,
    seconds_of,
)

if TYPE_CHECKING:
    from tokenclock._options import Options
    from tokenclock._result import Outcome

# Stamps are looked at when this many wait: often enough to stay small, seldom enough to be cheap.
BATCH = 2048
MOST_MARKS = 65_536


class Books:
    """
    What the chunks of one stream add up to, as far as anybody has looked.

    Attributes:
        lock: Held while stamps are taken and while numbers are read.
        flusher: The thread that takes stamps, else ``None``: what it reads meanwhile is half done.
        owed: Whether the run ended meanwhile, and its result is due: in a finaliser or not.
        unsummed: Marks whose part of the caller's time has still to be added: from, to, and since
            when the caller held the stream before.
        saw_chunk: Whether stamps of chunks were taken, at least begun to be.
        saw_plain: Whether there was a chunk of one token that needs no reading.
    """

    __slots__ = (
        "choice", "chunk_count", "consumer_before_first_ns", "finish_reason", "first_chunk_ns",
        "first_output_ns", "first_token_count", "first_token_ns", "flusher", "last_token_ns",
        "lock", "marks", "model", "owed", "reader", "saw_choices", "saw_chunk", "saw_plain",
        "saw_reasoning", "token_chunk_count", "token_sum", "unsummed", "usage", "usage_is_last",
    )  # fmt: skip

    def __init__(self) -> None:
        self.lock = RLock()
        self.flusher: int | None = None
        self.owed: bool | None = None
        self.marks = Marks()
        self.unsummed: list[tuple[int, int, int]] = []
        self.reader: ChunkReader | None = None
        self.first_chunk_ns: int | None = None
        self.first_token_ns: int | None = None
        self.first_output_ns: int | None = None
        self.last_token_ns: int | None = None
        self.first_token_count = 1
        self.consumer_before_first_ns = 0
        self.chunk_count = self.token_chunk_count = self.token_sum = 0
        self.usage: Usage | None = None
        self.usage_is_last = False
        self.saw_chunk = self.saw_choices = self.saw_reasoning = self.saw_plain = False
        self.choice: int | None = None
        self.model: str | None = None
        self.finish_reason: str | None = None


class Recorder:
    """
    The stamps of one run and what they add up to. All stamps are nanoseconds of one clock.

    A stream's own numbers are worked out when somebody looks: until then its driver writes stamps
    on the ``tape``, and no books are kept. Drivers call ``flush`` when much waits there, and
    ``read`` for every chunk that they do not know by themselves.

    Attributes:
        tape: Where the driver of a stream writes; ``None`` for a value.
        streamed: Whether this run is a stream's; set with *tape* and *shelf*.
        shelf: Where the first books to be opened are the ones that count.
        books: Those, once somebody has looked.
        requested_ns: When the request that is under way was made, else ``None``; a stream's is on
            its tape.
        start_ns: When the function's own code could first run; ``None`` until then.
        given_ns: Since when the stream is in the caller's hands.
        end_ns: When the run was over, as far as anybody has looked; ``None`` until then.
    """

    __slots__ = (
        "books", "call_ns", "clock", "closing", "consumer_ns", "end_ns", "given_ns", "has_failed",
        "options", "produced_ns", "requested_ns", "shelf", "start_ns", "streamed", "tape",
        "value_reading", "wall_call_ns", "works_later",
    )  # fmt: skip

    if TYPE_CHECKING:
        shelf: list[Books]

    def __init__(self, options: Options, call_ns: int | None = None) -> None:
        self.options = options
        self.clock = clock = options.clock
        self.wall_call_ns = wall_ns()
        self.call_ns = now_ns = clock()
        if call_ns is not None:  # the call was earlier than this
            self.wall_call_ns -= now_ns - call_ns
            self.call_ns = call_ns
        self.start_ns: int | None = None
        self.end_ns: int | None = None
        self.requested_ns: int | None = None
        self.streamed = self.works_later = self.has_failed = False
        self.value_reading: ValueReading | None = None
        self.consumer_ns = 0
        self.given_ns: int | None = None
        self.produced_ns: int | None = None
        self.closing: tuple[int, int | None, int | None, bool] | None = None
        self.books: Books | None = None
        self.tape: Any = None

    def open_books(self) -> Books:
        """Give the books, opening them if nobody has looked before."""
        books = self.books
        if books is None:
            # Signal handlers, finalisers and threads may look meanwhile: the first ones count.
            self.shelf.append(Books())
            books = self.books = self.shelf[0]
        return books

    # --- stamps -----------------------------------------------------------------------------

    def flush(self, *, summed: bool = False) -> None:
        """
        Look at the stamps that wait; a failure of ours is logged and costs those stamps.

        *summed* says that the caller's time is to be added up as well, which can wait.
        """
        try:
            books = self.open_books()
            with books.lock:
                if books.flusher is None:  # else a signal handler looks while this thread is at it
                    self._flush(books, summed=summed)
            if books.owed is not None and not self.is_half_done:
                self.pay(books)
        except Exception as error:  # noqa: BLE001 - our own failure never reaches the program
            self.failed(error)

    @property
    def is_half_done(self) -> bool:
        """Whether this very thread is taking stamps: a handler or finaliser looks, amid that."""
        return self.books is not None and self.books.flusher == get_ident()

    def pay(self, books: Books) -> None:
        """Hand on the result that could not be handed on while stamps were taken."""

    def saw_chunk(self) -> bool:
        """Whether anything came from the stream."""
        self.flush()
        books = self.books
        return books is not None and (books.saw_chunk or books.chunk_count > 0)

    def failed(self, error: Exception) -> None:
        """Log the first failure of ours in this run: the next chunks would fail alike."""
        if not self.has_failed:
            self.has_failed = True
            _log.failure(f"Measuring {self.options.name!r} failed", error)

    def _flush(self, books: Books, *, summed: bool) -> None:
        if self.tape.waits:
            books.saw_chunk = True
        books.flusher = get_ident()
        try:
            stamps = self.tape.take()
            if type(stamps) is bytes:
                stamps = array_of(stamps)
            if stamps:
                self._take(books, stamps)
            if summed:
                self._sum_up(books)
            if self.closing is not None:
                self._settle(*self.closing)
                self.closing = None
        finally:
            books.flusher = None

    def read(self, chunk: object, requested: int, arrived: int) -> None:
        """Look at one chunk that the driver does not know by itself."""
        if self.end_ns is not None:
            return
        try:
            books = self.open_books()
            if books.reader is None:
                books.reader = ChunkReader(self.options)
            reading = books.reader.read(chunk)
            tape = self.tape
            with books.lock:
                if tape.waits:
                    self.flush()
                self._take_one(books, requested, arrived, reading)
            if reading is ONE_TOKEN and tape.plain is None and type(chunk) in PLAIN_TYPES:
                books.saw_plain = True
                tape.plain = type(chunk)
        except Exception as error:  # noqa: BLE001 - as above
            self.failed(error)

    def _take(self, books: Books, stamps: array[int]) -> None:
        """Add chunks of one token each, of no named channel."""
        count = len(stamps) // 2
        kept = begin = len(books.marks)
        if not books.saw_plain:  # the driver knew the first of them by itself
            books.saw_plain = True
            self._add_up(books, stamps[0], stamps[1], ONE_TOKEN)
            count, begin = count - 1, kept + 1
        given = self._start_or_call() if self.given_ns is None else self.given_ns
        books.last_token_ns = self.given_ns = self.produced_ns = stamps[-1]
        books.chunk_count += count
        books.token_chunk_count += count
        books.token_sum += count
        books.usage_is_last = False
        if begin + count <= MOST_MARKS:
            books.marks.extend(stamps)
            books.unsummed.append((begin, begin + count, given))
        else:
            held = _held(stamps, begin - kept, len(stamps) // 2, given)
            self.consumer_ns += held
            books.marks.extend(stamps[: 2 * (MOST_MARKS - kept)])

    def _sum_up(self, books: Books) -> None:
        """Add the caller's part of what was only kept."""
        while books.unsummed:
            begin, end, given = books.unsummed.pop()
            held = _held(books.marks.stamps, begin, end, given)
            self.consumer_ns += held

    def _take_one(self, books: Books, requested: int, arrived: int, reading: Reading) -> None:
        """Add one chunk with its reading, and keep its marks."""
        self._add_up(books, requested, arrived, reading)
        if len(books.marks) < MOST_MARKS:
            books.marks.append(requested, arrived, reading.tokens, CHANNEL_CODES[reading.channel])

    def _add_up(self, books: Books, requested: int, arrived: int, reading: Reading) -> None:
        held = self._given_until(requested)
        self.consumer_ns += held
        if books.first_chunk_ns is None:
            books.first_chunk_ns = arrived
        self.given_ns = self.produced_ns = arrived
        books.chunk_count += 1
        if reading.tokens:
            self._take_token(books, arrived, reading)
        if reading is not NOTHING and reading is not ONE_TOKEN:
            _take_words(books, reading)

    def _take_token(self, books: Books, arrived: int, reading: Reading) -> None:
        if books.first_token_ns is None:
            books.first_token_ns = arrived
            books.first_token_count = reading.tokens
            books.consumer_before_first_ns = self.consumer_ns
        if reading.channel == "reasoning":
            books.saw_reasoning = True
        elif books.first_output_ns is None:
            books.first_output_ns = arrived
        if books.choice is None:
            books.choice = reading.choice
        books.saw_choices = books.saw_choices or reading.choice != books.choice
        books.last_token_ns = arrived
        books.token_chunk_count += 1
        books.token_sum += reading.tokens
        books.usage_is_last = False

    def _given_until(self, requested: int) -> int:
        """Start the run if this is its first request; else give how long the caller held it."""
        if self.start_ns is None:
            self.start_ns = requested
            return 0
        given = self.start_ns if self.given_ns is None else self.given_ns
        return max(requested - given, 0)

    # --- start and end ----------------------------------------------------------------------

    def begin(self) -> None:
        """Start the run at the call: an ordinary function runs at once."""
        self.start_ns = self.requested_ns = self.call_ns

    def put_off(self) -> None:
        """Take the start back: the call has only prepared what is to run."""
        self.start_ns = self.requested_ns = None

    def handed_over(self, now_ns: int) -> None:
        """Note that the caller has the stream or awaitable; from a run not started, no more."""
        self.requested_ns = None
        if self.start_ns is not None:
            self.given_ns = self.produced_ns = now_ns

    def asked(self) -> None:
        """Note the first step of an awaitable; it is under way until it gave its value."""
        if self.requested_ns is None:
            requested = self.clock()
            held = self._given_until(requested)
            self.consumer_ns += held
            self.given_ns = self.requested_ns = requested

    def request_under_way(self) -> int | None:
        """Give when the request that is under way was made, else ``None``."""
        return self.requested_ns if self.tape is None else self.tape.requested_ns

    def close_stamps(self, end_ns: int, requested: int | None, *, stopped: bool) -> None:
        """
        End the run: at *end_ns*, or, if the caller stopped it, at the last thing it produced.

        *requested* is when the caller asked for what did not come; ``None`` if it did not ask:
        then a stream that had started was in its hands.
        """
        if self.tape is None:
            start = self.start_ns
            if requested is None and start is not None and not stopped:  # a value, as most are
                self.end_ns = end_ns if end_ns > start else start  # noqa: FURB136 - as below
            else:
                self._settle(end_ns, requested, None, stopped)
            return
        under_way = self.tape.end()
        self.end_ns = end_ns
        # What follows from it is worked out when somebody looks.
        self.closing = (end_ns, requested, under_way, stopped)

    def _settle(
        self,
        end_ns: int,
        requested: int | None,
        under_way: int | None,
        stopped: bool,  # noqa: FBT001 - kept in a tuple until then
    ) -> None:
        """Work out what the end means, when all stamps before it are in the books."""
        start = self.start_ns
        if self.streamed and requested is None and start is not None:
            requested = end_ns if under_way is None else under_way
        if requested is not None and not stopped:
            held = self._given_until(requested)
            self.consumer_ns += held
            start = self.start_ns
        if stopped or start is None:
            end_ns = self._last_produced()
            start = self._start_or_call()
        self.end_ns = end_ns if end_ns > start else start  # noqa: FURB136 - max() costs ten times that

    def _last_produced(self) -> int:
        return self._start_or_call() if self.produced_ns is None else self.produced_ns

    def _start_or_call(self) -> int:
        return self.call_ns if self.start_ns is None else self.start_ns

    # --- numbers ----------------------------------------------------------------------------

    def numbers(self, outcome: Outcome) -> dict[str, Any]:
        """Give every field of a result that follows from the stamps."""
        if self.streamed:
            books = self.open_books()
            with books.lock:
                self.flush(summed=True)
                return self._numbers(outcome, self._chunk_numbers(books))
        return self._numbers(outcome, self._value_numbers())

    def _numbers(self, outcome: Outcome, counted: dict[str, Any]) -> dict[str, Any]:
        """Add to the fields in *counted* those that streams and values have in common."""
        start, end, consumer = self._interval()
        latency = (end - start) / NS_PER_SECOND
        tokens = counted["token_count"]
        never_started = self.start_ns is None and self.request_under_way() is None
        if not self.streamed and self.value_reading is not None and tokens != 0:
            counted["time_to_first_token"] = None if self.works_later else latency
        counted["started_at"] = _utc(self.wall_call_ns + start - self.call_ns)
        counted["streamed"] = self.streamed
        counted["outcome"] = outcome
        counted["generation_latency"] = latency
        counted["throughput"] = tokens / latency if tokens is not None and latency else None
        counted["consumer_time"] = consumer / NS_PER_SECOND
        counted["producer_time"] = (end - start - consumer) / NS_PER_SECOND
        idle_ns = start - self.call_ns
        counted["idle_before_start"] = None if never_started else idle_ns / NS_PER_SECOND
        counted["provider"] = self.options.provider
        counted["operation"] = self.options.operation
        return counted

    def _interval(self) -> tuple[int, int, int]:
        """Give start, end and the caller's part."""
        end = self.end_ns
        if end is None:
            start, end, consumer = self._open_interval()
        else:
            start, consumer = self._start_or_call(), self.consumer_ns
        if consumer > end - start:  # noqa: PLR1730 - min() would cost more than all of this
            consumer = end - start
        return start, end, consumer

    def _open_interval(self) -> tuple[int, int, int]:
        """Give the same up to now, for a run that goes on; the rest belongs to who holds it."""
        requested, start = self.request_under_way(), self.start_ns
        if start is None:
            if requested is None:
                return self.call_ns, self.call_ns, self.consumer_ns
            start = requested
        end = max(self.clock(), start)
        if self.given_ns is None:
            return start, end, self.consumer_ns
        held_until = end if requested is None else requested
        return start, end, self.consumer_ns + max(held_until - self.given_ns, 0)

    def _value_numbers(self) -> dict[str, Any]:
        counted = dict(_NUMBERS_OF_A_VALUE)
        counted["model"] = self.options.model
        reading = self.value_reading
        if reading is None or self.works_later:
            return counted
        counted["token_count"] = reading.tokens
        counted["token_source"] = reading.source
        counted["input_token_count"] = reading.usage.input_tokens
        counted["reasoning_token_count"] = reading.usage.reasoning_tokens
        counted["cached_token_count"] = reading.usage.cached_tokens
        counted["model"] = reading.model or self.options.model
        counted["finish_reason"] = reading.finish_reason
        return counted

    def _chunk_numbers(self, books: Books) -> dict[str, Any]:
        tokens, source = self._counted(books)
        usage = books.usage or Usage()
        start = self._start_or_call()
        kept = len(books.marks)
        saw_token = books.first_token_ns is not None
        return {
            "time_to_first_chunk": _since(start, books.first_chunk_ns),
            "time_to_first_token": _since(start, books.first_token_ns),
            "time_to_first_output_token": _since(start, books.first_output_ns),
            "time_to_last_token": _since(start, books.last_token_ns),
            "token_count": tokens,
            "token_source": source,
            "chunk_count": books.chunk_count,
            "token_chunk_count": books.token_chunk_count,
            "time_per_output_token": _time_per_output_token(books, tokens, source),
            "inter_token_latencies": TokenGaps(books.marks, kept),
            "consumer_time_before_first_token": (
                seconds_of(books.consumer_before_first_ns) if saw_token else None
            ),
            "input_token_count": usage.input_tokens,
            "reasoning_token_count": usage.reasoning_tokens,
            "cached_token_count": usage.cached_tokens,
            "model": books.model or self.options.model,
            "finish_reason": books.finish_reason,
            "timeline": Timeline(books.marks, kept, start),
            "timeline_complete": kept == books.chunk_count,
        }

    def _counted(self, books: Books) -> tuple[int, TokenSource]:
        """
        Give the token count and who counted.

        ``count_tokens``, else usage (unless tokens came after it, or it says 0 where there were
        some; the larger of usage and chunks where several choices were seen), else ``read_chunk``,
        else chunks.
        """
        reader = books.reader
        if reader is None:  # nothing was read yet
            options = self.options
            has_function = options.count_tokens is not None or options.read_chunk is not None
            return books.token_chunk_count, "counted" if has_function else "chunks"
        if reader.counts:
            return books.token_sum, "counted"
        chunks = books.token_chunk_count if reader.has_failed else books.token_sum
        usage = None if books.usage is None else books.usage.output_tokens
        if usage is not None and books.usage_is_last and (usage or not chunks):
            # Some servers report one choice only.
            is_whole = usage >= chunks or not (books.saw_choices or reader.saw_choices)
            if is_whole:
                return usage, "usage"
        return chunks, "items" if reader.saw_unknown else reader.source


# What a value's result says before anything was read of the value.
_NUMBERS_OF_A_VALUE: Mapping[str, Any] = {
    "time_to_first_chunk": None,
    "time_to_first_token": None,
    "time_to_first_output_token": None,
    "time_to_last_token": None,
    "token_count": None,
    "token_source": None,
    "chunk_count": 0,
    "token_chunk_count": 0,
    "time_per_output_token": None,
    "inter_token_latencies": NO_GAPS,
    "consumer_time_before_first_token": None,
    "input_token_count": None,
    "reasoning_token_count": None,
    "cached_token_count": None,
    "finish_reason": None,
    "timeline": None,
    "timeline_complete": True,
}


def _held(stamps: array[int], begin: int, end: int, given: int) -> int:
    """Give how long the caller held the stream before each request of these chunks, summed."""
    if begin == end:
        return 0
    return max(held_between(stamps, begin, end) + stamps[2 * end - 1] - given, 0)


def _since(start: int, stamp: int | None) -> float | None:
    return None if stamp is None else seconds_of(stamp - start)


def _utc(wall: int) -> datetime:
    return datetime.fromtimestamp(wall / NS_PER_SECOND, timezone.utc)


def _take_words(books: Books, reading: Reading) -> None:
    """Take what a chunk says beside its tokens; the same chunk's usage is no earlier one."""
    if reading.usage is not None:
        books.usage = updated_usage(books.usage, reading.usage)
        if reading.usage.output_tokens is not None:
            books.usage_is_last = True
    books.model = reading.model or books.model
    books.finish_reason = reading.finish_reason or books.finish_reason


def _time_per_output_token(books: Books, tokens: int, source: TokenSource) -> float | None:
    """
    Give (last token - first token) / (tokens after the first token-bearing chunk).

    Reasoning that usage reports but no chunk carried was over before the first token came.
    """
    if books.first_token_ns is None or books.last_token_ns is None:
        return None
    if books.token_chunk_count == 1:
        return None
    first = books.first_token_count if source in {"counted", "usage"} else 1
    denominator = tokens - first
    if source == "usage" and not books.saw_reasoning and books.usage is not None:
        denominator -= books.usage.reasoning_tokens or 0
    if denominator < 1:
        return None
    return seconds_of(books.last_token_ns - books.first_token_ns) / denominator
