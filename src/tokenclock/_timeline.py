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
    """The stamps of a run's chunks, in nanoseconds of its clock; only ever appended to."""

    __slots__ = ("arrivals", "channels", "requests", "tokens")

    def __init__(self) -> None:
        self.requests = array("Q")  # stamps are never negative, and "Q" is quicker than "q"
        self.arrivals = array("Q")
        self.tokens = array("i")
        self.channels = bytearray()

    def __len__(self) -> int:
        return len(self.channels)

    def append(self, requested: int, arrived: int, tokens: int, channel: int) -> None:
        """Add one chunk; *channel* is its code."""
        self.requests.append(requested)
        self.arrivals.append(arrived)
        self.tokens.append(tokens)
        self.channels.append(channel)

    def extend(self, requests: list[int], arrivals: list[int]) -> None:
        """Add chunks of one token each, of no named channel."""
        self.requests.fromlist(requests)
        self.arrivals.fromlist(arrivals)
        self.tokens.extend(_ONES * len(requests))
        self.channels.extend(bytes(len(requests)))


_ONES = array("i", [1])


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
            requested=seconds_of(marks.requests[place] - self._start),
            arrived=seconds_of(marks.arrivals[place] - self._start),
            tokens=marks.tokens[place],
            channel=CHANNELS[marks.channels[place]],
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
            "requested": [seconds_of(stamp - start) for stamp in marks.requests[:length]],
            "arrived": [seconds_of(stamp - start) for stamp in marks.arrivals[:length]],
            "tokens": marks.tokens[:length].tolist(),
            "channel": [CHANNELS[code] for code in marks.channels[:length]],
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
        marks.requests.extend(_nanoseconds(seconds) for seconds in columns["requested"])
        marks.arrivals.extend(_nanoseconds(seconds) for seconds in columns["arrived"])
        marks.tokens.extend(columns["tokens"])
        marks.channels.extend(CHANNEL_CODES[channel] for channel in columns["channel"])
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
    for arrived, tokens in zip(marks.arrivals[:length], marks.tokens[:length], strict=True):
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
