"""What happened when in one call, thinned to what a picture can show."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from itertools import accumulate
from typing import TYPE_CHECKING, Literal, NamedTuple, get_args

if TYPE_CHECKING:
    from tokenclock._metrics import Result

Kind = Literal["text", "reasoning", "tool", "unnamed", "rebuilt", "empty"]
KINDS: tuple[Kind, ...] = get_args(Kind)


class Tick(NamedTuple):
    """
    One chunk.

    Attributes:
        arrived: In seconds after its call's start.
        kind: Its channel; ``"unnamed"`` where nobody said, ``"empty"`` for a chunk without a
            token, ``"rebuilt"`` where there is no timeline and the gaps tell when it came.
    """

    arrived: float
    kind: Kind


class Span(NamedTuple):
    """From when until when, in seconds after the call's start."""

    begin: float
    end: float


def ticks_of(result: Result, least: float) -> Iterator[Tick]:
    """Give the chunks of a stream, of a kind none nearer to the one before than *least*."""
    latest: dict[Kind, float] = {}
    for tick in _all_ticks(result):
        if tick.arrived - latest.get(tick.kind, -math.inf) >= least:
            latest[tick.kind] = tick.arrived
            yield tick


def _all_ticks(result: Result) -> Iterator[Tick]:
    if result.timeline is None:
        yield from _ticks_from_gaps(result)
        return
    columns = result.timeline.to_dict()
    for arrived, tokens, channel in zip(
        columns["arrived"], columns["tokens"], columns["channel"], strict=True
    ):
        yield Tick(arrived, (channel or "unnamed") if tokens else "empty")


def _ticks_from_gaps(result: Result) -> Iterator[Tick]:
    if result.time_to_first_token is None:
        return
    for arrived in accumulate([result.time_to_first_token, *result.inter_token_latencies]):
        yield Tick(arrived, "rebuilt")


def held_of(result: Result, least: float) -> Iterator[Span]:
    """
    Give the times that a stream was in the caller's hands, none shorter than *least*.

    Shorter ones are drawn as one when they have come to that much: what is drawn is as long as
    what was held. Without a timeline nothing is known.
    """
    owed = 0.0
    for begin, end in _all_held(result):
        owed += max(end - begin, 0.0)
        if owed >= least and owed:
            yield Span(end - owed, end)
            owed = 0.0


def _all_held(result: Result) -> Iterable[Span]:
    if not result.timeline:
        return []
    columns = result.timeline.to_dict()
    requested, arrived = columns["requested"], columns["arrived"]
    between = [Span(*span) for span in zip(arrived, requested[1:], strict=False)]
    rest = result.consumer_time - sum(end - begin for begin, end in between)
    before = min(_held_before(result, between), requested[0], max(rest, 0.0))
    after = max(rest - before, 0.0) if result.timeline_complete else 0.0
    end = min(arrived[-1] + after, result.generation_latency)
    return [Span(requested[0] - before, requested[0]), *between, Span(arrived[-1], end)]


def _held_before(result: Result, between: Iterable[Span]) -> float:
    """Tell how long the stream was held before the first chunk was asked for."""
    first, total = result.time_to_first_token, result.consumer_time_before_first_token
    if first is None or total is None:
        return math.inf  # as far as nothing else explains the caller's time
    return total - sum(end - begin for begin, end in between if end <= first)
