"""The result as an object: frozen, comparable, and the same after every journey."""

from __future__ import annotations

import copy
import dataclasses
import json
import pickle
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stepping import as_it_is, collect, every_shape, finished, stream_of
from tokenclock import MetricsResult, Reading, Timeline, TokenclockError, Usage, capture, observe
from tokenclock._timeline import TokenGaps
from tokenclock.errors import InvalidRecordError
from tokenclock.testing import FakeClock, Script

STARTED = datetime(2026, 1, 2, 3, 4, 5, 678_900, tzinfo=timezone.utc)


def full(**changes: Any) -> MetricsResult[Any]:
    """Give a result with something in every field."""
    fields: dict[str, Any] = {
        "function": "demo.stream",
        "call_id": "c-2",
        "parent_id": "c-1",
        "started_at": STARTED,
        "streamed": True,
        "outcome": "failed",
        "error": "OSError",
        "generation_latency": 1.25,
        "time_to_first_chunk": 0.25,
        "time_to_first_token": 0.5,
        "time_to_first_output_token": 0.75,
        "time_to_last_token": 1.0,
        "throughput": 4.0,
        "token_count": 5,
        "token_source": "usage",
        "chunk_count": 4,
        "token_chunk_count": 3,
        "time_per_output_token": 0.125,
        "inter_token_latencies": TokenGaps.of([0.25, 0.25]),
        "consumer_time": 0.25,
        "consumer_time_before_first_token": 0.125,
        "producer_time": 1.0,
        "idle_before_start": 0.0,
        "input_token_count": 10,
        "reasoning_token_count": 1,
        "cached_token_count": 4,
        "model": "llama-3",
        "request_model": "llama",
        "provider": "local",
        "operation": "chat",
        "finish_reason": "stop",
        "attributes": {"tenant": "acme", "retry": 2, "beta": True, "share": 0.5},
        "value": ["a", "b", "c"],
        "timeline": Timeline.from_dict(
            {
                "requested": [0.0, 0.25, 0.5, 0.75],
                "arrived": [0.25, 0.5, 0.75, 1.0],
                "tokens": [0, 1, 1, 1],
                "channel": [None, "reasoning", "text", "tool"],
            }
        ),
        "timeline_complete": True,
    }
    return MetricsResult(**{**fields, **changes})


def measured(shape: str, clock: FakeClock) -> MetricsResult[list[Any]]:
    """Give a result as the measuring half makes it."""
    chunks = [Reading(), Reading(tokens=1, channel="text", usage=Usage(3, 9, 2, 1), model="m")]
    script = Script([(0.1, chunk) for chunk in chunks], clock=clock, end=0.3)
    return collect(stream_of(shape, script, read_chunk=as_it_is, attributes={"tenant": "acme"}))


def test_every_field_of_the_full_result_is_set() -> None:
    """The journeys below carry every field there is, so a new one must be added here."""
    result = full()

    for field in dataclasses.fields(result):
        assert getattr(result, field.name) is not None, field.name


def test_a_result_is_frozen() -> None:
    """What was observed does not change."""
    result: Any = full()
    with pytest.raises(dataclasses.FrozenInstanceError, match="token_count"):
        result.token_count = 6
    with pytest.raises(dataclasses.FrozenInstanceError, match="extra"):
        result.extra = 1
    with pytest.raises(dataclasses.FrozenInstanceError, match="model"):
        del result.model
    with pytest.raises(TypeError, match="Cannot change the attributes of a result"):
        result.attributes["tenant"] = "other"


@every_shape
def test_a_measured_result_is_frozen(shape: str, clock: FakeClock) -> None:
    """A result that was measured is as frozen as one that was made."""
    result: Any = measured(shape, clock)
    with pytest.raises(dataclasses.FrozenInstanceError, match="token_count"):
        result.token_count = 6
    with pytest.raises(TypeError, match="Cannot change the attributes of a result"):
        result.attributes["tenant"] = "other"


def test_a_result_is_built_by_keyword_only() -> None:
    """Some forty fields have no order that anybody could remember."""
    make: Any = MetricsResult
    with pytest.raises(TypeError, match="positional argument"):
        make("demo.stream")
    with pytest.raises(TypeError, match="missing 4 required keyword-only arguments"):
        make(function="demo.stream", call_id="c-1")


def test_the_attributes_are_the_results_own() -> None:
    """A dict that the maker changes later changes no result."""
    labels = {"tenant": "acme"}
    result = full(attributes=labels)
    labels["tenant"] = "other"

    assert dict(result.attributes) == {"tenant": "acme"}


def test_value_timeline_and_gaps_are_no_part_of_identity() -> None:
    """Comparison, hash and repr look at the numbers, not at the long parts or the content."""
    bare = full(value=None, timeline=None, inter_token_latencies=TokenGaps.of([]))

    assert bare == full()
    assert hash(bare) == hash(full())
    assert len({bare, full()}) == 1
    shown = repr(full())
    assert shown.startswith("MetricsResult(function='demo.stream', call_id='c-2', parent_id='c-1'")
    for hidden in ("value=", "timeline=", "inter_token_latencies="):
        assert hidden not in shown


@pytest.mark.parametrize(
    "change",
    [{"token_count": 6}, {"call_id": "c-3"}, {"attributes": {}}, {"time_to_first_token": None}],
)
def test_another_number_makes_another_result(change: dict[str, Any]) -> None:
    """Results differ where what was observed differs."""
    assert full(**change) != full()


def test_a_result_differs_from_anything_else() -> None:
    """A result equals no record and no text."""
    others: list[object] = [full().to_dict(), str(full()), None]

    assert full() not in others


@every_shape
def test_a_measured_result_and_a_made_one_are_of_one_kind(shape: str, clock: FakeClock) -> None:
    """A result holds exactly its fields, however it was built."""
    result = measured(shape, clock)
    names = {field.name for field in dataclasses.fields(MetricsResult)}

    assert set(vars(result)) == names
    assert dataclasses.replace(result) == result
    assert hash(dataclasses.replace(result)) == hash(result)


# --- journeys ------------------------------------------------------------------------------------


def assert_same(one: MetricsResult[Any], other: MetricsResult[Any]) -> None:
    """Compare every field, the long ones included."""
    assert one == other
    assert hash(one) == hash(other)
    for field in dataclasses.fields(one):
        assert getattr(one, field.name) == getattr(other, field.name), field.name
    assert type(one.attributes) is type(other.attributes)


@every_shape
def test_results_survive_pickle_copy_and_replace(shape: str, clock: FakeClock) -> None:
    """Every copy of a result is equal to it in every field."""
    for result in (full(), measured(shape, clock)):
        for protocol in range(2, pickle.HIGHEST_PROTOCOL + 1):
            again = pickle.loads(pickle.dumps(result, protocol))  # noqa: S301 - made here
            assert_same(again, result)
        assert_same(copy.copy(result), result)
        assert_same(copy.deepcopy(result), result)
        assert_same(dataclasses.replace(result), result)


def test_replace_changes_what_it_is_told() -> None:
    """A replaced field leaves the others and the original alone."""
    original = full()
    changed = dataclasses.replace(original, function="other", attributes={"tenant": "b"})

    assert changed.function == "other"
    assert dict(changed.attributes) == {"tenant": "b"}
    assert changed.token_count == 5
    assert original.function == "demo.stream"


@every_shape
def test_results_survive_a_json_round_trip(shape: str, clock: FakeClock) -> None:
    """to_dict is ready for JSON, and from_dict restores an equal result without its value."""
    for result in (full(), measured(shape, clock)):
        record = json.loads(json.dumps(result.to_dict(include_timeline=True), allow_nan=False))
        again = MetricsResult.from_dict(record)

        nothing: Any = None
        assert_same(again, dataclasses.replace(result, value=nothing))


@every_shape
def test_a_value_travels_only_when_asked(shape: str, clock: FakeClock) -> None:
    """What a model generated is in the record only with include_value."""
    for result in (full(), measured(shape, clock)):
        assert "value" not in result.to_dict()
        assert "timeline" not in result.to_dict()
        record = result.to_dict(include_value=True)
        assert record["value"] is result.value
        assert MetricsResult.from_dict(record).value is result.value


def test_a_record_is_plain_data() -> None:
    """Every field is there under its own name, in a form that JSON has."""
    record = full().to_dict(include_timeline=True)

    assert record["started_at"] == "2026-01-02T03:04:05.678900+00:00"
    assert record["inter_token_latencies"] == [0.25, 0.25]
    assert type(record["inter_token_latencies"]) is list
    assert type(record["attributes"]) is dict
    assert record["attributes"] == {"tenant": "acme", "retry": 2, "beta": True, "share": 0.5}
    assert record["timeline"]["tokens"] == [0, 1, 1, 1]
    assert record["outcome"] == "failed"
    names = {field.name for field in dataclasses.fields(MetricsResult)}
    assert set(record) == names - {"value"}
    assert set(full().to_dict()) == names - {"value", "timeline"}
    assert full(timeline=None).to_dict(include_timeline=True)["timeline"] is None


def test_a_record_is_the_readers_own() -> None:
    """Changing a record changes no result."""
    result = full()
    record = result.to_dict()
    record["attributes"]["tenant"] = "other"
    record["inter_token_latencies"].append(9.0)

    assert result.attributes["tenant"] == "acme"
    assert result.inter_token_latencies == [0.25, 0.25]


def test_a_short_record_gets_the_defaults() -> None:
    """Only what identifies a call and its time is required; the rest is unknown."""
    record = {
        "function": "demo.stream",
        "call_id": "c-1",
        "started_at": "2026-01-02T04:04:05+01:00",
        "streamed": False,
        "outcome": "completed",
        "generation_latency": 0.5,
        "a_field_of_a_later_version": 3,
    }
    result = MetricsResult.from_dict(record)

    assert result.started_at == STARTED.replace(microsecond=0)
    assert result.started_at.utcoffset() == timedelta(hours=1)
    assert result.token_count is None
    assert result.time_to_first_token is None
    assert result.inter_token_latencies == []
    assert result.timeline is None
    assert dict(result.attributes) == {}


def test_a_record_without_its_required_fields_is_refused() -> None:
    """The message names what is missing and where records come from."""
    record = full().to_dict()
    del record["outcome"], record["call_id"]
    with pytest.raises(
        InvalidRecordError,
        match=r"^Cannot read a result from this record: call_id, outcome missing\. "
        r"Pass what MetricsResult\.to_dict\(\) gave\.$",
    ):
        MetricsResult.from_dict(record)


@pytest.mark.parametrize(
    "change",
    [
        {"started_at": "yesterday"},
        {"started_at": 1_700_000_000},
        {"started_at": None},
        {"inter_token_latencies": None},
        {"inter_token_latencies": ["slow"]},
        {"attributes": None},
        {"attributes": 3},
        {"timeline": {"requested": []}},
        {"timeline": {"requested": [0.0], "arrived": [0.0], "tokens": [1], "channel": ["smell"]}},
        {"timeline": {"requested": [0.0], "arrived": [], "tokens": [], "channel": []}},
        {"timeline": {"requested": [0.0], "arrived": [0.0], "tokens": [2**40], "channel": [None]}},
        {"timeline": 7},
    ],
)
def test_a_record_that_is_none_is_refused(change: dict[str, Any]) -> None:
    """A time, a label or a timeline that is none is said, as an error that callers expect."""
    with pytest.raises(
        InvalidRecordError, match=r"^Cannot read a result from this record: .*to_dict\(\) gave\.$"
    ) as caught:
        MetricsResult.from_dict({**full().to_dict(), **change})

    assert isinstance(caught.value, TokenclockError)
    assert isinstance(caught.value, ValueError)


def test_a_result_of_a_subclass_stays_one() -> None:
    """Reading a record with a subclass gives that subclass."""

    class OwnResult(MetricsResult[Any]):
        pass

    assert type(OwnResult.from_dict(full().to_dict())) is OwnResult


nanoseconds = st.integers(min_value=0, max_value=10**15)


@given(
    waits=st.lists(nanoseconds, max_size=6),
    labels=st.dictionaries(
        st.text(max_size=5),
        st.text(max_size=5) | st.booleans() | st.integers() | st.floats(allow_nan=False),
        max_size=3,
    ),
)
def test_any_measured_result_survives_a_json_round_trip(
    waits: list[int], labels: dict[str, Any]
) -> None:
    """Times to the nanosecond and any label come back as they were."""
    script = Script([(wait / 10**9, "a") for wait in waits], clock=FakeClock())
    result = finished("generator", script, attributes=labels)
    record = json.loads(json.dumps(result.to_dict(include_timeline=True)))

    assert_same(MetricsResult.from_dict(record), result)


def test_a_result_can_be_given_to_asdict(clock: FakeClock) -> None:
    """The standard way to take a dataclass apart works, labels included."""

    @observe(clock=clock, attributes={"tier": 1})
    def tokens() -> list[str]:
        return ["a"]

    with capture() as results:
        tokens()
    taken_apart = dataclasses.asdict(results[0])
    assert (taken_apart["token_count"], taken_apart["attributes"]) == (1, {"tier": 1})
