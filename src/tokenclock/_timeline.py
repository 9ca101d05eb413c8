"""What a run kept of its chunks: lazy, read-only views over plain arrays."""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, overload

from tokenclock._reading import CHANNEL_CODES, CHANNELS, Channel

if TYPE_CHECKING:
    from typing_extensions import Self

NS_PER_SECOND = 1_000_000_000
SHOWN_IN_REPR = 6


class TimelineEntry(NamedTuple):
    """
    One chunk of a stream, as the caller experienced it.

    Attributes:
        requested: When the caller asked for it, in seconds after the run's start.
        arrived: When the caller had it, in seconds after the run's start.
        tokens: Tokens read in it; 0 for a frame without any.
        channel: ``"text"``, ``"reasoning"``, ``"tool"``, or ``None`` where nobody said.

    .. versionadded:: 0.1.0
    """

    requested: float
    arrived: float
    tokens: int
    channel: Channel | None


class Marks:
    """
    The stamps of a run's chunks, in nanoseconds of its clock; only ever appended to.

    Attributes:
        stamps: Request and arrival of each chunk in turn.
        tokens: The tokens of each chunk; ``None`` while all of them had one.
        channels: The code of each chunk's channel; ``None`` while no chunk named one.
    """

    __slots__ = ("channels", "stamps", "tokens")

    def __init__(self) -> None:
        self.stamps = array("Q")  # they are never negative, and "Q" is quicker than "q"
        self.tokens: array[int] | None = None
        self.channels: bytearray | None = None

    def __len__(self) -> int:
        return len(self.stamps) // 2

    def append(self, requested: int, arrived: int, tokens: int, channel: int) -> None:
        """Add one chunk; *channel* is its code."""
        # The stamps come last: whoever looks meanwhile finds all that belongs to them.
        if self.tokens is not None:
            self.tokens.append(tokens)
        elif tokens != 1:
            self.tokens = _ONE * len(self) + array("i", [tokens])
        if self.channels is not None:
            self.channels.append(channel)
        elif channel:
            self.channels = bytearray(len(self)) + bytes([channel])
        self.stamps.append(requested)
        self.stamps.append(arrived)

    def extend(self, stamps: array[int]) -> None:
        """Add chunks of one token each, of no named channel."""
        if self.tokens is not None:
            self.tokens.extend(_ONE * (len(stamps) // 2))
        if self.channels is not None:
            self.channels.extend(bytes(len(stamps) // 2))
        if self.stamps:
            self.stamps.extend(stamps)
        else:
            self.stamps = stamps

    def requests(self, begin: int, end: int) -> array[int]:
        """Give when chunks were asked for."""
        return self.stamps[2 * begin : 2 * end : 2]

    def arrivals(self, begin: int, end: int) -> array[int]:
        """Give when chunks arrived."""
        return self.stamps[2 * begin + 1 : 2 * end : 2]

    def tokens_of(self, length: int) -> array[int]:
        """Give the tokens of the first chunks."""
        return _ONE * length if self.tokens is None else self.tokens[:length]

    def channels_of(self, length: int) -> bytes | bytearray:
        """Give the codes of the channels of the first chunks."""
        return bytes(length) if self.channels is None else self.channels[:length]


_ONE = array("i", [1])
_ZERO = array("Q", [0])


def array_of(stamps: bytes) -> array[int]:
    """Give stamps as an array that takes exactly their memory; one that grows takes more."""
    exact = _ZERO * (len(stamps) // 8)
    memoryview(exact).cast("B")[:] = stamps
    return exact


class Timeline(Sequence[TimelineEntry]):
    """
    What happened chunk by chunk: a read-only sequence of ``TimelineEntry``.

    Entries are made when they are asked for. The first 65,536 chunks of a stream are kept;
    ``MetricsResult.timeline_complete`` says whether that was all of them.

    .. versionadded:: 0.1.0
    """

    __slots__ = ("_length", "_marks", "_start")

    def __init__(self, marks: Marks, length: int, start_ns: int) -> None:
        self._marks = marks
        self._length = length
        self._start = start_ns

    def __len__(self) -> int:
        return self._length

    @overload
    def __getitem__(self, index: int) -> TimelineEntry: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[TimelineEntry]: ...
    def __getitem__(self, index: int | slice) -> TimelineEntry | Sequence[TimelineEntry]:
        places = range(self._length)[index]
        if isinstance(places, int):
            return self._entry(places)
        return [self._entry(place) for place in places]

    def _entry(self, place: int) -> TimelineEntry:
        marks = self._marks
        return TimelineEntry(
            requested=seconds_of(marks.stamps[2 * place] - self._start),
            arrived=seconds_of(marks.stamps[2 * place + 1] - self._start),
            tokens=1 if marks.tokens is None else marks.tokens[place],
            channel=None if marks.channels is None else CHANNELS[marks.channels[place]],
        )

    def __eq__(self, other: object) -> bool:
        return _same_items(self, other)

    def __hash__(self) -> int:
        return hash(tuple(self))

    def __repr__(self) -> str:
        return f"<Timeline of {self._length} chunks>"

    def __reduce__(self) -> tuple[Any, ...]:
        return (_timeline_from_lists, tuple(self.to_dict().values()))

    def to_dict(self) -> dict[str, list[Any]]:
        """
        Give the timeline as four lists of equal length, ready for JSON.

        Returns:
            ``requested`` and ``arrived`` in seconds after the start, ``tokens``, ``channel``.
        """
        marks, length, start = self._marks, self._length, self._start
        return {
            "requested": [seconds_of(stamp - start) for stamp in marks.requests(0, length)],
            "arrived": [seconds_of(stamp - start) for stamp in marks.arrivals(0, length)],
            "tokens": marks.tokens_of(length).tolist(),
            "channel": [CHANNELS[code] for code in marks.channels_of(length)],
        }

    @classmethod
    def from_dict(cls, columns: Mapping[str, Sequence[Any]]) -> Self:
        """
        Restore what ``to_dict`` gave.

        Raises:
            ValueError: If the columns differ in length.
        """
        if len({len(columns[name]) for name in TimelineEntry._fields}) != 1:
            msg = "the columns of a timeline are equally long"
            raise ValueError(msg)
        marks = Marks()
        marks.tokens = array("i", columns["tokens"])
        marks.channels = bytearray(CHANNEL_CODES[channel] for channel in columns["channel"])
        for stamps in zip(columns["requested"], columns["arrived"], strict=True):
            marks.stamps.extend(map(_nanoseconds, stamps))
        return cls(marks, len(marks), 0)


class TokenGaps(Sequence[float]):
    """
    Seconds between neighbouring token-bearing chunks, in order, worked out when first read.

    Compares equal to any list or tuple of the same seconds.
    """

    __slots__ = ("_gaps", "_length", "_marks")

    def __init__(self, marks: Marks | None, length: int) -> None:
        self._marks = marks
        self._length = length
        self._gaps: array[float] | None = None

    @classmethod
    def of(cls, seconds: Sequence[float]) -> Self:
        """Give a sequence that was measured before, as a record holds it."""
        gaps = cls(None, 0)
        gaps._gaps = array("d", seconds)
        return gaps

    def _worked_out(self) -> array[float]:
        marks, gaps = self._marks, self._gaps  # marks first: another thread may be at it too
        if gaps is None:
            self._gaps = gaps = array("d", _gaps_of(marks, self._length))
            self._marks = None
        return gaps

    def __len__(self) -> int:
        return len(self._worked_out())

    @overload
    def __getitem__(self, index: int) -> float: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[float]: ...
    def __getitem__(self, index: int | slice) -> float | Sequence[float]:
        gaps = self._worked_out()
        return gaps[index].tolist() if isinstance(index, slice) else gaps[index]

    def __iter__(self) -> Iterator[float]:
        return iter(self._worked_out())

    def __eq__(self, other: object) -> bool:
        return _same_items(self, other)

    def __hash__(self) -> int:
        return hash(tuple(self))

    def __repr__(self) -> str:
        gaps = self._worked_out()
        shown = ", ".join(map(repr, gaps[:SHOWN_IN_REPR]))
        more = f", ... {len(gaps) - SHOWN_IN_REPR} more" if len(gaps) > SHOWN_IN_REPR else ""
        return f"[{shown}{more}]"

    def __reduce__(self) -> tuple[Any, ...]:
        return (TokenGaps.of, (self._worked_out().tolist(),))


NO_GAPS = TokenGaps.of(())


def _gaps_of(marks: Marks | None, length: int) -> Iterator[float]:
    if marks is None:
        return
    previous: int | None = None
    arrivals, all_tokens = marks.arrivals(0, length), marks.tokens_of(length)
    for arrived, tokens in zip(arrivals, all_tokens, strict=True):
        if not tokens:
            continue
        if previous is not None:
            yield seconds_of(max(arrived - previous, 0))
        previous = arrived


def _timeline_from_lists(
    requested: Sequence[float],
    arrived: Sequence[float],
    tokens: Sequence[int],
    channel: Sequence[Channel | None],
) -> Timeline:
    return Timeline.from_dict(
        {"requested": requested, "arrived": arrived, "tokens": tokens, "channel": channel}
    )


def _same_items(mine: Sequence[Any], other: Any) -> bool:
    items = other
    if not isinstance(other, list | tuple | Timeline | TokenGaps):
        return NotImplemented  # type: ignore[no-any-return]  # what __eq__ gives
    return len(mine) == len(items) and all(a == b for a, b in zip(mine, items, strict=True))


def seconds_of(nanoseconds: int) -> float:
    """Give a duration in seconds, never negative."""
    return max(nanoseconds, 0) / NS_PER_SECOND


def _nanoseconds(seconds: float) -> int:
    return round(seconds * NS_PER_SECOND)
