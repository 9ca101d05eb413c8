"""What is kept of each chunk: the timeline, and the gaps between tokens."""

from __future__ import annotations

import copy
import json
import pickle
from collections.abc import Sequence
from typing import Any

import pytest

from stepping import as_it_is, every_shape, finished, step, stream_of
from tokenclock import MetricsResult, Reading, Timeline
from tokenclock._timeline import NO_GAPS, TimelineEntry, TokenGaps
from tokenclock.testing import FakeClock, Script

LONG = 70_000
KEPT = 65_536


def equal(one: object, other: object) -> bool:
    return one == other and other == one and not one != other  # noqa: SIM202 - both operators


def mixed(shape: str, clock: FakeClock) -> Timeline:
    chunks = [
        Reading(tokens=0),
        Reading(tokens=2, channel="reasoning"),
        Reading(tokens=1, channel="text"),
        Reading(tokens=3, channel="tool"),
    ]
    script = Script([(0.25, chunk) for chunk in chunks], clock=clock)
    timeline = finished(shape, script, read_chunk=as_it_is).timeline
    assert timeline is not None
    return timeline


@every_shape
def test_an_entry_says_when_what_and_how_much(shape: str, clock: FakeClock) -> None:
    """Request and arrival are relative to the start; tokens and channel are as read."""
    timeline = mixed(shape, clock)

    assert list(timeline) == [
        (0.0, 0.25, 0, None),
        (0.25, 0.5, 2, "reasoning"),
        (0.5, 0.75, 1, "text"),
        (0.75, 1.0, 3, "tool"),
    ]
    assert timeline[1].requested == 0.25
    assert timeline[1].arrived == 0.5
    assert timeline[1].tokens == 2
    assert timeline[1].channel == "reasoning"


@every_shape
def test_the_callers_pause_lies_between_arrival_and_request(shape: str, clock: FakeClock) -> None:
    """What the caller held shows as the distance from an arrival to the next request."""
    stream = stream_of(shape, Script([(0.25, "a"), (0.25, "b")], clock=clock))
    clock.advance(1.0)
    step(stream)
    clock.advance(2.0)
    step(stream)

    before = 0.0 if "generator" in shape else 1.0
    assert list(stream.metrics.timeline) == [
        (before, before + 0.25, 1, None),
        (before + 2.25, before + 2.5, 1, None),
    ]
    assert stream.metrics.timeline_complete is True


def test_a_timeline_is_a_read_only_sequence(clock: FakeClock) -> None:
    """Indices, slices, search and comparison work as on a tuple; nothing can be set."""
    timeline: Any = mixed("generator", clock)
    last = TimelineEntry(0.75, 1.0, 3, "tool")

    assert issubclass(type(timeline), Sequence)
    assert len(timeline) == 4
    assert timeline[-1] == last
    assert timeline[3] == last
    assert timeline[2:] == [(0.5, 0.75, 1, "text"), last]
    assert timeline[::-2] == [last, (0.25, 0.5, 2, "reasoning")]
    assert last in timeline
    assert timeline.index(last) == 3
    assert next(reversed(timeline)) == last
    assert equal(timeline, tuple(timeline))
    assert equal(timeline, list(timeline))
    assert not equal(timeline, list(timeline)[:3])
    assert not equal(timeline, "timeline")
    assert hash(timeline) == hash(tuple(timeline))
    assert repr(timeline) == "<Timeline of 4 chunks>"
    with pytest.raises(IndexError, match="out of range"):
        timeline[4]
    with pytest.raises(TypeError, match="does not support item assignment"):
        timeline[0] = last
    with pytest.raises(AttributeError):
        timeline.extra = 1


def test_a_timeline_survives_json_pickle_and_copy(clock: FakeClock) -> None:
    """A copy of a timeline is equal to it, however it was made."""
    timeline = mixed("generator", clock)
    columns = timeline.to_dict()

    assert columns == {
        "requested": [0.0, 0.25, 0.5, 0.75],
        "arrived": [0.25, 0.5, 0.75, 1.0],
        "tokens": [0, 2, 1, 3],
        "channel": [None, "reasoning", "text", "tool"],
    }
    assert Timeline.from_dict(json.loads(json.dumps(columns))) == timeline
    assert pickle.loads(pickle.dumps(timeline)) == timeline  # noqa: S301 - made here
    assert copy.copy(timeline) == timeline
    assert copy.deepcopy(timeline) == timeline


def test_columns_of_unequal_length_are_no_timeline() -> None:
    """A timeline has one arrival, one count and one channel for each request."""
    columns: dict[str, list[Any]]
    columns = {"requested": [0.0, 0.25], "arrived": [0.25], "tokens": [1], "channel": [None]}
    with pytest.raises(ValueError, match=r"^the columns of a timeline are equally long$"):
        Timeline.from_dict(columns)


@pytest.fixture(scope="module", params=["generator", "async generator"])
def long_result(request: pytest.FixtureRequest) -> MetricsResult[None]:
    """Read a stream of 70,000 plain chunks, one every 0.25 s."""
    return finished(request.param, Script([(0.25, "a")] * LONG, clock=FakeClock(), end=0.25))


def test_counts_and_sums_are_exact_beyond_the_kept_chunks(
    long_result: MetricsResult[None],
) -> None:
    """The bound of the timeline is no bound of the numbers."""
    assert long_result.chunk_count == LONG
    assert long_result.token_chunk_count == LONG
    assert long_result.token_count == LONG
    assert long_result.time_to_last_token == 17_500.0
    assert long_result.generation_latency == 17_500.25
    assert long_result.time_per_output_token == 0.25
    assert long_result.consumer_time == 0.0


def test_the_timeline_keeps_the_first_chunks_and_says_so(
    long_result: MetricsResult[None],
) -> None:
    """Of a long stream the first 65,536 chunks are kept, and the result says so."""
    timeline = long_result.timeline

    assert timeline is not None
    assert long_result.timeline_complete is False
    assert len(timeline) == KEPT
    assert timeline[-1] == (16_383.75, 16_384.0, 1, None)
    assert len(long_result.inter_token_latencies) == KEPT - 1
    assert set(long_result.inter_token_latencies) == {0.25}


@pytest.mark.parametrize(("count", "complete"), [(KEPT, True), (KEPT + 1, False)])
@pytest.mark.parametrize("chunk", ["a", ""])
def test_the_bound_is_exact(count: int, complete: bool, chunk: str, clock: FakeClock) -> None:  # noqa: FBT001 - a row of the table
    """The last chunk that is kept is the 65,536th, whether the hands know it or it is read."""
    result = finished("generator", Script([(0.25, chunk)] * count, clock=clock))

    assert result.timeline is not None
    assert len(result.timeline) == KEPT
    assert result.timeline_complete is complete
    assert result.chunk_count == count


def test_a_long_stream_of_read_chunks_is_exact(clock: FakeClock) -> None:
    """Chunks that are read one by one are bounded and exact as well."""
    result = finished(
        "generator", Script([(0.25, "a b")] * LONG, clock=clock), count_tokens=lambda chunk: 2
    )

    assert result.token_count == 2 * LONG
    assert result.token_chunk_count == LONG
    assert result.timeline is not None
    assert len(result.timeline) == KEPT
    assert result.timeline_complete is False
    assert result.time_to_last_token == 17_500.0


# --- gaps ------------------------------------------------------------------------------------


def test_gaps_are_a_read_only_sequence_of_seconds() -> None:
    """Gaps behave as a tuple of floats."""
    gaps: Any = TokenGaps.of([0.25, 0.5, 0.25])

    assert issubclass(type(gaps), Sequence)
    assert len(gaps) == 3
    assert list(gaps) == [0.25, 0.5, 0.25]
    assert gaps[1] == 0.5
    assert gaps[-1] == 0.25
    assert gaps[1:] == [0.5, 0.25]
    assert equal(gaps, (0.25, 0.5, 0.25))
    assert equal(gaps, TokenGaps.of([0.25, 0.5, 0.25]))
    assert not equal(gaps, [0.25, 0.5])
    assert not equal(gaps, "gaps")
    assert gaps.count(0.25) == 2
    assert 0.5 in gaps
    assert max(gaps) == 0.5
    assert hash(gaps) == hash((0.25, 0.5, 0.25))
    with pytest.raises(IndexError, match="out of range"):
        gaps[3]
    with pytest.raises(TypeError, match="does not support item assignment"):
        gaps[0] = 1.0


def test_gaps_are_shown_shortened() -> None:
    """The repr of many gaps shows the first few and how many more there are."""
    assert repr(NO_GAPS) == "[]"
    assert repr(TokenGaps.of([0.25, 0.5])) == "[0.25, 0.5]"
    assert repr(TokenGaps.of([0.5] * 8)) == "[0.5, 0.5, 0.5, 0.5, 0.5, 0.5, ... 2 more]"


def test_gaps_survive_pickle_and_copy(clock: FakeClock) -> None:
    """A copy has the same gaps, whether they were looked at before or not."""
    script = Script([(0.25, "a"), (0.5, "b"), (0.25, "c")], clock=clock)
    gaps = finished("generator", script).inter_token_latencies

    assert pickle.loads(pickle.dumps(gaps)) == [0.5, 0.25]  # noqa: S301 - made here
    assert copy.copy(gaps) == [0.5, 0.25]
    assert copy.deepcopy(gaps) == gaps
