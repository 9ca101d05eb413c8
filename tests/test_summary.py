"""Many calls in one summary: what is counted, what is left out, and how it reads."""

from __future__ import annotations

import copy
import dataclasses
import json
import math
import pickle
import sys
import threading
import weakref
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone, tzinfo
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenclock import MetricsResult, TokenclockError, add_sink, observe
from tokenclock._metrics import METRICS
from tokenclock._summaries import samples
from tokenclock._summaries.columns import Codes
from tokenclock._texts import width_of
from tokenclock.errors import (
    EmptyInputError,
    InvalidOptionError,
    InvalidRecordError,
    MissingPackageError,
)
from tokenclock.summary import Goodput, ResultLog, ServiceLevel, Summary, summarize

STARTED = datetime(2026, 1, 2, 3, 4, 5, tzinfo=timezone.utc)
HOSTILE = "\x1b[31m[bold]<script>|$x_\n"


def call(number: int = 0, *, at: float = 0.0, **fields: Any) -> MetricsResult[Any]:
    """Give a stream of four tokens in a second, that started *at* seconds after the first."""
    usual: dict[str, Any] = {
        "function": "chat",
        "call_id": f"c-{number}",
        "started_at": STARTED + timedelta(seconds=at),
        "streamed": True,
        "outcome": "completed",
        "generation_latency": 1.0,
        "time_to_first_token": 0.25,
        "time_to_first_output_token": 0.5,
        "time_per_output_token": 0.125,
        "inter_token_latencies": [0.25, 0.125],
        "throughput": 4.0,
        "token_count": 4,
    }
    return MetricsResult(**{**usual, **fields})


def value(number: int = 0, **fields: Any) -> MetricsResult[Any]:
    """Give a call that returned a value."""
    none = dict.fromkeys(["time_to_first_output_token", "time_per_output_token"])
    return call(
        number,
        **{
            "streamed": False,
            "time_to_first_token": 1.0,
            "inter_token_latencies": [],
            **none,
            **fields,
        },
    )


# --- who counts ----------------------------------------------------------------------------------


def test_streams_and_values_are_not_mixed() -> None:
    """A value's first-token time is its latency: it counts among latencies alone."""
    summary = summarize([call(0), value(1)])

    assert (summary.time_to_first_token.count, summary.time_to_first_token.left_out) == (1, 1)
    assert summary.time_to_first_token.maximum == 0.25
    assert summary.time_to_first_output_token.maximum == 0.5
    assert summary.time_per_output_token.mean == 0.125
    assert (summary.generation_latency.count, summary.generation_latency.left_out) == (2, 0)
    assert summary.throughput.mean == 4.0


def test_gaps_are_pooled() -> None:
    """Every gap of every stream is a value; calls without a gap are left out."""
    summary = summarize([call(0), call(1, inter_token_latencies=[0.5]), value(2)])

    gaps = summary.inter_token_latency
    assert (gaps.count, gaps.left_out) == (3, 1)
    assert (gaps.minimum, gaps.p50, gaps.maximum) == (0.125, 0.25, 0.5)


def test_only_completed_calls_have_a_latency() -> None:
    """What was cut short counts where its number was observed, and among the latencies not."""
    outcomes = ["completed", "stopped", "failed", "cancelled", "unconsumed", "running"]
    summary = summarize(
        [call(number, outcome=outcome) for number, outcome in enumerate(reversed(outcomes))]
    )

    assert (summary.generation_latency.count, summary.generation_latency.left_out) == (1, 5)
    assert (summary.throughput.count, summary.throughput.left_out) == (1, 5)
    assert (summary.time_to_first_token.count, summary.time_to_first_token.left_out) == (6, 0)
    assert list(summary.outcomes.items()) == [(outcome, 1) for outcome in outcomes]


def test_unknown_numbers_are_left_out() -> None:
    """None is no 0, and a number that is none is None."""
    summary = summarize(
        [
            value(0, time_to_first_token=None, throughput=None, token_count=None),
            call(1, time_to_first_token=math.nan, inter_token_latencies=[math.nan, 0.5]),
        ]
    )

    assert (summary.time_to_first_token.count, summary.time_to_first_token.left_out) == (0, 2)
    assert summary.time_to_first_token.mean is None
    assert summary.throughput.count == 1
    assert (summary.inter_token_latency.count, summary.inter_token_latency.mean) == (1, 0.5)
    assert (summary.token_count, summary.calls_without_token_count) == (4, 1)


def test_tokens_that_no_call_knows_are_unknown() -> None:
    """The sum of nothing known is None, and so is its rate."""
    summary = summarize([call(token_count=None, throughput=None)])

    assert summary.token_count is None
    assert summary.tokens_per_second is None
    assert summary.calls_without_token_count == 1


def test_outer_calls_are_left_out() -> None:
    """The tokens of a call inside another count once, in whatever order the two come."""
    outer = call(0, token_count=4)
    inner = [call(1, parent_id="c-0"), call(2, parent_id="c-0")]
    for results in ([outer, *inner], [*inner, outer]):
        summary = summarize(results)
        assert (summary.call_count, summary.outer_calls_left_out) == (2, 1)
        assert summary.token_count == 8
        assert summary.inter_token_latency.count == 4

        everything = summarize(results, nested="all")
        assert (everything.call_count, everything.outer_calls_left_out) == (3, 0)
        assert everything.token_count == 12
        assert everything.inter_token_latency.count == 6


def test_a_parent_elsewhere_leaves_nothing_out() -> None:
    """Only a call whose inner ones are among the results is left out."""
    summary = summarize([call(0, parent_id="elsewhere"), call(1, parent_id="c-1")])

    assert (summary.call_count, summary.outer_calls_left_out) == (2, 0)


def test_a_call_counts_once_whatever_was_read_of_it_before() -> None:
    """Snapshots of a stream that runs are not calls beside what became of it."""
    early = call(0, outcome="running", generation_latency=0.25, token_count=1)
    late = call(0, outcome="running", generation_latency=0.5, token_count=2)
    other = call(1, outcome="running", generation_latency=0.5, token_count=2)
    finished = call(0, token_count=4)

    for results in ([early, late, finished, other], [other, finished, late, early]):
        summary = summarize(results, by="outcome", nested="all")
        assert summary.outcomes == {"completed": 1, "running": 1}
        assert (summary.call_count, summary.outer_calls_left_out) == (2, 0)
        assert (summary.token_count, summary.peak_concurrency) == (6, 2)
        assert summary.inter_token_latency.count == 4
        assert summary.groups["running"].call_count == 1
    same_time = call(0, outcome="running", generation_latency=0.5, token_count=1)
    for results in ([early, same_time, late], [late, same_time, early]):
        assert summarize(results).token_count == 2
    both = [early, finished, call(1, parent_id="c-0")]
    assert summarize(both).outer_calls_left_out == 1


def test_calls_of_the_callers_own_doing_are_counted() -> None:
    """A share of 5 % or more is counted; the numbers of these calls are taken all the same."""
    summary = summarize([call(0, consumer_time=0.0625), call(1, consumer_time=0.03125), call(2)])

    assert summary.callers_doing_count == 1
    assert summary.time_to_first_token.count == 3


# --- failures as infinity ------------------------------------------------------------------------


def test_failures_can_count_as_infinitely_slow() -> None:
    """Each failed call is infinitely slow, with a throughput of 0; its gaps stay as they are."""
    failed = call(2, outcome="failed", streamed=False, time_to_first_token=None)
    summary = summarize([call(0), call(1, time_to_first_token=0.5), failed], failed_as_inf=True)

    first = summary.time_to_first_token
    assert (first.count, first.left_out) == (3, 0)
    assert (first.minimum, first.p50, first.maximum) == (0.25, 0.5, math.inf)
    assert (first.mean, first.standard_deviation) == (math.inf, None)
    assert summary.generation_latency.maximum == math.inf
    assert (summary.throughput.minimum, summary.throughput.maximum) == (0.0, 4.0)
    assert summary.inter_token_latency.maximum == 0.25
    assert summarize([call(0), failed]).time_to_first_token.maximum == 0.25


def test_failures_among_values_have_no_first_token() -> None:
    """Where no call streams, a failed one is not taken for a stream."""
    summary = summarize(
        [value(0), value(1, outcome="failed", time_to_first_token=None)], failed_as_inf=True
    )

    assert summary.time_to_first_token.count == 0
    assert summary.generation_latency.maximum == math.inf


# --- time and concurrency ------------------------------------------------------------------------


def test_the_time_span_runs_from_the_first_start_to_the_last_end() -> None:
    """Rates are over the span of all calls, whichever came first in the input."""
    summary = summarize([call(1, at=3.0), call(0, generation_latency=2.0)])

    assert summary.started_at == STARTED
    assert summary.ended_at == STARTED + timedelta(seconds=4)
    assert summary.time_span == 4.0
    assert summary.requests_per_second == 0.5
    assert summary.tokens_per_second == 2.0
    assert (summary.mean_concurrency, summary.peak_concurrency) == (0.75, 1)


def test_calls_that_run_at_once_are_counted() -> None:
    """The mean is busy time over the span; an end at the moment of a start is no overlap."""
    summary = summarize([call(0), call(1, at=0.5), call(2, at=1.0), call(3, at=1.25)])

    assert summary.time_span == 2.25
    assert summary.mean_concurrency == 4 / 2.25
    assert summary.peak_concurrency == 3
    assert summarize([call(0), call(1, at=1.0)]).peak_concurrency == 1


def test_no_time_gives_no_rate() -> None:
    """A rate over no time is None; what ran, ran for a moment at least."""
    summary = summarize([call(0, generation_latency=0.0), call(1, generation_latency=0.0)])

    assert summary.time_span == 0.0
    assert summary.requests_per_second is None
    assert summary.tokens_per_second is None
    assert summary.mean_concurrency is None
    assert summary.peak_concurrency == 2


def test_calls_never_asked_did_not_run() -> None:
    """Streams that nobody consumed are not at once with anything."""
    dropped = [call(n, outcome="unconsumed", generation_latency=0.0) for n in range(3)]

    assert summarize([call(9), *dropped]).peak_concurrency == 1
    assert summarize(dropped).peak_concurrency == 0


def test_times_of_other_zones_are_one_time() -> None:
    """The span is UTC; a time without a zone, as only a hand can make it, is taken for UTC."""
    elsewhere = STARTED.astimezone(timezone(timedelta(hours=9)))
    naive = STARTED.replace(tzinfo=None)
    summary = summarize([call(0, started_at=elsewhere), call(1, started_at=naive)])

    assert summary.started_at == STARTED
    assert summary.started_at.tzinfo is timezone.utc
    assert summary.time_span == 1.0


class ZoneWithoutOffset(tzinfo):
    """A time of this zone is one without a zone to datetime's arithmetic."""

    def utcoffset(self, _moment: datetime | None, /) -> None:
        return None


def test_a_zone_that_says_nothing_is_none() -> None:
    """A zone without an offset leaves a time as naive as no zone does."""
    nowhere = ZoneWithoutOffset()  # type: ignore[abstract]  # to checkers only
    summary = summarize([call(0), call(1, started_at=STARTED.replace(tzinfo=nowhere))])

    assert summary.time_span == 1.0


def test_absurd_times_break_nothing() -> None:
    """A record can hold any number: start and end stay within the calendar."""
    first = datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=14)))
    early = summarize([call(0, started_at=first)])
    assert early.started_at == datetime(1, 1, 1, tzinfo=timezone.utc)
    assert early.time_span == 1.0
    late = datetime(9999, 12, 31, tzinfo=timezone.utc)
    summary = summarize([call(0, generation_latency=1e300), call(1, started_at=late)])

    assert summary.ended_at is not None
    assert summary.ended_at.year == 9999
    assert len(str(summary).splitlines()) > 5
    assert summarize([call(0, generation_latency=math.nan)]).time_span == 0.0


# --- goodput -------------------------------------------------------------------------------------


def test_goodput_counts_the_undetermined_apart() -> None:
    """The fraction is of the determined calls; the rate is of those that met the level."""
    results = [
        call(0),
        call(1, at=1.0),
        call(2, at=2.0, time_to_first_token=0.75),
        call(3, at=3.0, outcome="failed"),
        value(4, at=3.0),
    ]
    summary = summarize(results, slo=ServiceLevel(time_to_first_token=0.5))

    assert summary.goodput == Goodput(
        met=2, missed=2, undetermined=1, fraction=0.5, requests_per_second=0.5
    )
    assert summarize(results).goodput is None


def test_goodput_of_values_alone_is_undetermined() -> None:
    """With nothing determined there is neither a fraction nor a rate: unknown is not 0."""
    level = ServiceLevel(time_to_first_token=0.5)
    summary = summarize([value()], slo=level)

    assert summary.goodput == Goodput(
        met=0, missed=0, undetermined=1, fraction=None, requests_per_second=None
    )
    assert "\ngoodput      n/a; 1 undetermined\n" in str(summary)
    failed = summarize([value(outcome="failed")], slo=level).goodput
    assert failed is not None
    assert failed.requests_per_second == 0.0


# --- groups --------------------------------------------------------------------------------------


def test_each_group_has_its_summary() -> None:
    """Groups stand in order of appearance, are summarised alike, and the whole is above them."""
    results = [
        call(0, model="b", inter_token_latencies=[1.0]),
        call(1, model="a", inter_token_latencies=[2.0, 4.0]),
        call(2, model="b", inter_token_latencies=[3.0], outcome="failed"),
    ]
    slo = ServiceLevel(time_to_first_token=0.5)
    summary = summarize(results, slo=slo, by="model", failed_as_inf=True)

    assert list(summary.groups) == ["b", "a"]
    assert summary.call_count == 3
    assert summary.inter_token_latency.p50 == 2.5
    assert summary.groups["b"].inter_token_latency.p50 == 2.0
    assert summary.groups["a"].inter_token_latency.p50 == 3.0
    assert summary.groups["a"].groups == {}
    for key, group in summary.groups.items():
        alone = [one for one in results if one.model == key]
        assert group == summarize(alone, slo=slo, failed_as_inf=True)


def test_a_group_costs_what_its_own_calls_cost(monkeypatch: pytest.MonkeyPatch) -> None:
    """A summary by tenant has thousands of groups: no group looks through all the calls."""
    passes = 0
    having = Codes.having

    def counting(codes: Codes[Any], value: Any) -> bytearray:
        nonlocal passes
        passes += 1
        return having(codes, value)

    monkeypatch.setattr(Codes, "having", counting)
    results = [call(number) for number in range(50)]
    assert len(summarize(results, by=lambda one: one.call_id).groups) == 50
    assert passes <= 2


def test_groups_by_function_and_label() -> None:
    """A key is whatever the function or the label gives."""
    results = [call(0, attributes={"tenant": "acme"}), value(1)]

    assert list(summarize(results, by="tenant").groups) == ["acme", None]
    assert list(summarize(results, by=lambda one: one.streamed).groups) == [True, False]
    with pytest.raises(ZeroDivisionError):
        summarize(results, by=lambda _: 1 // 0)
    with pytest.raises(InvalidOptionError, match="Cannot group calls by 'tenat'"):
        summarize(results, by="tenat")


def test_outer_calls_are_decided_over_all_groups() -> None:
    """A call around those of another group is left out in its own."""
    results = [call(0, function="agent"), call(1, function="chat", parent_id="c-0")]
    summary = summarize(results, by="function")

    agent = summary.groups["agent"]
    assert (agent.call_count, agent.outer_calls_left_out) == (0, 1)
    assert agent.time_span is None
    assert summary.groups["chat"].call_count == 1
    assert (summary.call_count, summary.outer_calls_left_out) == (1, 1)


# --- wrong input ---------------------------------------------------------------------------------


def test_no_results_are_refused() -> None:
    """There is nothing to say of no calls; the message says where results come from."""
    with pytest.raises(
        EmptyInputError,
        match=r"^Cannot summarise no results: there is no number to give\. Pass one result or "
        r"more, such as those of a ResultLog or of read_records\(\); an iterator gives its results "
        r"once\.$",
    ):
        summarize(iter([]))


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (ResultLog(), "of type 'ResultLog': it is no iterable."),
        (call(), "of type 'MetricsResult': it is no iterable."),
        ("runs.jsonl", "that holds a 'str': it may hold MetricsResult objects only."),
        ([[call()]], "that holds a 'list': it may hold MetricsResult objects only."),
        ({"chat": call()}, "that holds a 'str': it may hold MetricsResult objects only."),
    ],
)
def test_what_holds_no_results_is_refused(given: Any, words: str) -> None:
    """Whoever passes the log itself, a path or one result is told what to pass."""
    with pytest.raises(InvalidOptionError) as caught:
        summarize(given)
    assert str(caught.value) == (
        f"Cannot summarise an object {words} Pass the results themselves: a list of them, the "
        "results of a ResultLog, or read_records(path)."
    )
    assert caught.value.option == "results"


def test_results_are_not_kept() -> None:
    """Records are summarised in the room of their numbers: no result outlives its turn."""
    alive: weakref.WeakSet[MetricsResult[Any]] = weakref.WeakSet()
    most = 0

    def results() -> Iterator[MetricsResult[Any]]:
        nonlocal most
        for number in range(50):
            result = call(number)
            alive.add(result)
            most = max(most, len(alive))
            yield result

    assert summarize(results(), by="model").call_count == 50
    assert most <= 2
    assert len(alive) == 0


def test_wrong_options_fail_before_the_results_are_read() -> None:
    """A generator of a million results is not read for an option that is refused."""

    def results() -> Iterator[MetricsResult[Any]]:
        raise AssertionError
        yield

    wrong: Any
    for wrong in ({"slo": 0.5}, {"by": 3}, {"nested": "inner"}):
        with pytest.raises(InvalidOptionError) as caught:
            summarize(results(), **wrong)
        assert caught.value.option in wrong


# --- the log -------------------------------------------------------------------------------------


def test_a_log_is_a_sink() -> None:
    """What is logged is summarised at any time."""
    log = ResultLog()
    add_sink(log)

    @observe
    def tokens() -> Iterator[str]:
        yield from "abc"

    assert log.summary().call_count == 0
    list(tokens())
    list(tokens())

    assert log.summary().call_count == len(log) == len(log.results) == 2
    assert log.summary(by="outcome").groups["completed"].token_count == 6
    assert repr(log) == "<ResultLog of 2 results>"
    log.clear()
    assert (len(log), log.results) == (0, [])


def test_a_log_keeps_the_newest() -> None:
    """Beyond its length each result pushes out the oldest."""
    log = ResultLog(maxlen=2)
    for number in range(5):
        log(call(number))

    assert [result.call_id for result in log.results] == ["c-3", "c-4"]


def test_an_empty_log_has_a_summary_of_no_calls() -> None:
    """Unlike summarize, a log may be asked before the first call: nothing is known yet."""
    summary = ResultLog().summary(by="tenant", slo=ServiceLevel(generation_latency=1.0))

    assert summary.call_count == 0
    assert summary.groups == {}
    assert summary.goodput == Goodput(
        met=0, missed=0, undetermined=0, fraction=None, requests_per_second=None
    )
    assert str(summary) == "calls        0"
    assert summary.to_markdown() == "- calls: 0"


@pytest.mark.parametrize("maxlen", [0, -1, 1.5, True, None, "10"])
def test_a_length_that_is_none_is_refused(maxlen: Any) -> None:
    """A log without a bound would grow for ever."""
    with pytest.raises(
        InvalidOptionError,
        match=r"^Cannot keep maxlen=.* results: it is no whole number of 1 or more\. Pass how many "
        r"of the newest are kept\.$",
    ) as caught:
        ResultLog(maxlen=maxlen)
    assert caught.value.option == "maxlen"


def test_a_wrong_option_of_an_empty_log_is_refused() -> None:
    """The mistake is told before the first call comes in."""
    wrong: Any = {"nested": "outer"}
    with pytest.raises(InvalidOptionError, match="Cannot take calls by nested='outer'"):
        ResultLog().summary(**wrong)


def test_many_threads_use_one_log() -> None:
    """Nothing is lost, and reading while others write fails in no thread."""
    log = ResultLog(maxlen=10_000)
    counts: list[int] = []

    def write(first: int) -> None:
        for number in range(500):
            log(call(first + number))

    def read() -> None:
        counts.extend(log.summary().call_count for _ in range(20))

    threads = [threading.Thread(target=write, args=(1000 * n,)) for n in range(4)]
    threads.append(threading.Thread(target=read))
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)

    assert len({result.call_id for result in log.results}) == 2000
    assert counts == sorted(counts)
    assert len(counts) == 20


# --- journeys ------------------------------------------------------------------------------------


def full() -> Summary:
    """Give a summary with something in every field, an infinity among it."""
    results = [call(0, model="a"), call(1, model=None, outcome="failed"), value(2, model="a")]
    return summarize(
        results, slo=ServiceLevel(time_to_first_token=0.5), by="model", failed_as_inf=True
    )


def test_a_summary_survives_every_journey() -> None:
    """Copies, pickles, plain data and JSON give an equal summary."""
    summary = full()

    for protocol in range(2, pickle.HIGHEST_PROTOCOL + 1):
        assert pickle.loads(pickle.dumps(summary, protocol)) == summary  # noqa: S301 - made here
    assert copy.copy(summary) == copy.deepcopy(summary) == summary
    assert dataclasses.replace(summary) == summary
    assert Summary.from_dict(summary.to_dict()) == summary
    assert Summary.from_dict(json.loads(summary.to_json())) == summary
    assert Summary.from_dict(ResultLog().summary().to_dict()) == ResultLog().summary()
    assert hash(copy.deepcopy(summary)) == hash(summary)


def test_half_a_character_in_a_key_can_be_written() -> None:
    """JSON can name half of a surrogate pair, which no file can hold: it stays an escape."""
    summary = summarize([call(model="\ud800")], by="model")

    text = summary.to_json()
    assert text.isascii()
    assert Summary.from_dict(json.loads(text)) == summary


def test_a_summary_is_plain_data() -> None:
    """Keys that are no text, times and infinity have a form that JSON has."""
    record = json.loads(full().to_json(indent=2))

    assert record["started_at"] == "2026-01-02T03:04:05+00:00"
    assert [group["key"] for group in record["groups"]] == ["a", None]
    assert record["groups"][0]["summary"]["call_count"] == 2
    assert record["generation_latency"]["maximum"] == "Infinity"
    assert full().to_dict()["generation_latency"]["maximum"] == math.inf
    assert record["throughput"]["unsupported"] == ["p50", "p90", "p95", "p99"]
    assert record["goodput"] == {
        "met": 1,
        "missed": 1,
        "undetermined": 1,
        "fraction": 0.5,
        "requests_per_second": 1.0,
    }
    assert set(record) == {field.name for field in dataclasses.fields(Summary)}


def test_a_record_of_a_later_version_is_read() -> None:
    """Fields that this version does not know are passed over."""
    record = {**full().to_dict(), "a_field_of_a_later_version": 1}
    record["throughput"]["p999"] = 1.0

    assert Summary.from_dict(record) == full()


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"started_at": "yesterday"}, "Invalid isoformat string: 'yesterday'"),
        ({"throughput": {}}, "'count' missing"),
        ({"groups": 3}, "'int' object is not iterable"),
        ({"goodput": "good"}, "string indices must be integers.*"),
    ],
)
def test_a_record_that_is_no_summary_is_refused(change: dict[str, Any], reason: str) -> None:
    """The message says what is wrong and where records come from."""
    with pytest.raises(
        InvalidRecordError,
        match=rf"^Cannot read a summary from this record: {reason}\. Pass what "
        r"Summary\.to_dict\(\) gave, or json\.loads\(\) of to_json\(\)\.$",
    ):
        Summary.from_dict({**full().to_dict(), **change})


def test_statistics_are_found_by_name() -> None:
    """A slip in the name of a metric is told, with the names there are."""
    summary = full()

    for metric in METRICS:
        assert summary.statistics(metric.name) is getattr(summary, metric.name)
    with pytest.raises(
        InvalidOptionError,
        match=r"^Cannot give statistics of 'ttft': there is no such metric\. Pass one of "
        r"time_to_first_token, .*, throughput\.$",
    ):
        summary.statistics("ttft")


# --- texts ---------------------------------------------------------------------------------------


def test_a_summary_reads_well() -> None:
    """The text says what was counted and what was not, with units; a weak percentile is marked."""
    results = [call(number, at=number / 2, consumer_time=0.0) for number in range(40)]
    results[0] = call(0, consumer_time=0.5)
    results[1] = call(1, at=0.5, outcome="failed", token_count=None)
    results[2] = value(2, at=1.0)
    results[3] = call(3, at=1.5, time_to_first_token=0.75, parent_id="c-4")
    summary = summarize(results, slo=ServiceLevel(time_to_first_token=0.5))

    assert str(summary) == (
        "calls        39: 38 completed, 1 failed\n"
        "left out     1 call around other measured calls, whose tokens would count twice\n"
        "time span    20.5 s, 2026-01-02 03:04:05 to 2026-01-02 03:04:25 UTC\n"
        "requests     1.9 per second\n"
        "tokens       152, 7.41 per second; unknown in 1 call\n"
        "concurrency  mean 1.9, peak 2\n"
        "goodput      1.76 per second: 36 of 38 calls met the service level (94.7%); "
        "1 undetermined\n"
        "caller       in 1 of 39 calls, 5% or more of the time was the caller's own; "
        "they are counted\n"
        "\n"
        "                       n  left out  mean    sd   min   p50   p90    p95    p99   max\n"
        "first token, ms       38         1   263  81.1   250   250   250   250*   565*   750\n"
        "first output, ms      38         1   500     0   500   500   500   500*   500*   500\n"
        "per output token, ms  38         1   125     0   125   125   125   125*   125*   125\n"
        "gaps, ms              76         1   188  62.9   125   188   250   250    250*   250\n"
        "latency, ms           38         1  1000     0  1000  1000  1000  1000*  1000*  1000\n"
        "throughput, tokens/s  38         1     4     0     4     4     4     4*     4*     4\n"
        "\n"
        "latency and throughput: of completed calls; the others: of streamed calls\n"
        "n: values (a call has many gaps); left out: calls without one; "
        "percentiles: linear interpolation\n"
        "*: too few values for this percentile: it has no two-sided 95% confidence interval\n"
        "   (distribution-free, exact binomial, equal-tailed); p95 takes 72, p99 takes 368"
    )


def test_enough_calls_carry_no_mark() -> None:
    """From 368 calls on every percentile is supported; before that p99 is not."""
    assert "*" in str(summarize([call(number) for number in range(367)]))
    summary = summarize([call(number) for number in range(368)])

    assert summary.time_to_first_token.unsupported == ()
    assert "*" not in str(summary)


def test_groups_follow_the_whole() -> None:
    """Each group has a heading and a table of its own; one without calls says why."""
    results = [
        call(0, function="agent"),
        call(1, function="chat", parent_id="c-0", outcome="failed", time_to_first_token=None),
        value(2, function=HOSTILE, generation_latency=0.0, throughput=None, token_count=None),
    ]
    summary = summarize(results, by="function", failed_as_inf=True)
    blocks = str(summary).split("\n\n")

    assert blocks[2] == (
        "group: agent\n"
        "calls        0\n"
        "left out     1 call around other measured calls, whose tokens would count twice"
    )
    assert blocks[3] == (
        "group: chat\n"
        "calls        1: 1 failed\n"
        "time span    1 s, 2026-01-02 03:04:05 to 2026-01-02 03:04:06 UTC\n"
        "requests     1 per second\n"
        "tokens       4, 4 per second\n"
        "concurrency  mean 1, peak 1"
    )
    assert blocks[4] == (
        "                      n  left out  mean    sd  min   p50   p90   p95   p99  max\n"
        "first token, ms       1         0   inf   n/a  inf  inf*  inf*  inf*  inf*  inf\n"
        "first output, ms      1         0   inf   n/a  inf  inf*  inf*  inf*  inf*  inf\n"
        "per output token, ms  1         0   inf   n/a  inf  inf*  inf*  inf*  inf*  inf\n"
        "gaps, ms              2         0   188  88.4  125  188*  237*  244*  249*  250\n"
        "latency, ms           1         0   inf   n/a  inf  inf*  inf*  inf*  inf*  inf\n"
        "throughput, tokens/s  1         0     0   n/a    0    0*    0*    0*    0*    0"
    )
    assert blocks[5] == (
        "group: [31m[bold]<script>|$x_\n"
        "calls        1: 1 completed\n"
        "time span    0 s, 2026-01-02 03:04:05 to 2026-01-02 03:04:05 UTC\n"
        "requests     n/a per second\n"
        "tokens       n/a\n"
        "concurrency  mean n/a, peak 1"
    )
    assert "inf: each failed call counts as infinitely slow, with a throughput of 0" in blocks[-1]


def test_markdown_is_the_same_escaped() -> None:
    """Lines become items, tables become tables, and a group's name stays text."""
    summary = summarize([call(0, model=HOSTILE)], by="model")

    whole, group = summary.to_markdown().split("\n\n**group:** ")
    assert whole == (
        "- calls: 1: 1 completed\n"
        "- time span: 1 s, 2026-01-02 03:04:05 to 2026-01-02 03:04:06 UTC\n"
        "- requests: 1 per second\n"
        "- tokens: 4, 4 per second\n"
        "- concurrency: mean 1, peak 1\n"
        "\n"
        "|  | n | left out | mean | sd | min | p50 | p90 | p95 | p99 | max |\n"
        "| :--- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |\n"
        "| first token, ms | 1 | 0 | 250 | n/a | 250 | 250\\* | 250\\* | 250\\* | 250\\* | 250 |\n"
        "| first output, ms | 1 | 0 | 500 | n/a | 500 | 500\\* | 500\\* | 500\\* | 500\\* | 500 |\n"
        "| per output token, ms | 1 | 0 | 125 | n/a | 125 "
        "| 125\\* | 125\\* | 125\\* | 125\\* | 125 |\n"
        "| gaps, ms | 2 | 0 | 188 | 88.4 | 125 | 188\\* | 237\\* | 244\\* | 249\\* | 250 |\n"
        "| latency, ms | 1 | 0 | 1000 | n/a | 1000 "
        "| 1000\\* | 1000\\* | 1000\\* | 1000\\* | 1000 |\n"
        "| throughput, tokens/s | 1 | 0 | 4 | n/a | 4 | 4\\* | 4\\* | 4\\* | 4\\* | 4 |"
    )
    assert group.startswith("\\[31m\\[bold\\]\\<script\\>\\|\\$x\\_\n\n- calls: 1: 1 completed\n")
    assert group.endswith(
        "\n- \\*: too few values for this percentile: it has no two-sided 95% confidence interval "
        "(distribution-free, exact binomial, equal-tailed); p50 takes 6, p90 takes 36, "
        "p95 takes 72, p99 takes 368"
    )


@pytest.mark.parametrize(
    ("seconds", "row"),
    [
        (0.0, "first token, µs       1         0     0"),
        (0.000000002, "first token, µs       1         0 <0.01"),
        (0.0005, "first token, µs       1         0   500"),
        (0.001, "first token, ms       1         0     1"),
        (9.5, "first token, ms       1         0  9500"),
        (10.0, "first token, s        1         0    10"),
        (99_999.0, "first token, s        1         0 99999"),
        (123_456.0, "first token, s        1         0  123k"),
        (12_345_678.0, "first token, s        1         0 12.3M"),
        (5e9, "first token, s        1         0    5G"),
        (1e20, "first token, s        1         0 1e+20"),
    ],
)
def test_a_row_has_the_unit_that_fits(seconds: float, row: str) -> None:
    """Each row is in the unit in which its numbers are short."""
    (line,) = (
        line
        for line in str(summarize([call(time_to_first_token=seconds)])).splitlines()
        if line.startswith("first token")
    )
    assert " ".join(line.split()[:6]) == " ".join(row.split())


@pytest.mark.parametrize("failed_as_inf", [False, True])
def test_every_line_fits_a_hundred_columns(failed_as_inf: bool) -> None:  # noqa: FBT001 - a value, no switch
    """Whatever is in the records, no line is longer and none steers the terminal."""
    results = [
        call(
            number,
            at=number,
            generation_latency=10.0**number,
            time_to_first_token=10.0 ** (number - 9),
            inter_token_latencies=[10.0 ** (number - 9)] * 7,
            throughput=10.0**number,
            token_count=10**number,
            model=HOSTILE * 20,
            outcome=HOSTILE * 20 if number % 3 else "failed",
            consumer_time=1.0,
        )
        for number in range(15)
    ]
    summary = summarize(
        results,
        by="model",
        slo=ServiceLevel(time_to_first_token=1.0),
        failed_as_inf=failed_as_inf,
    )
    for line in str(summary).split("\n"):
        assert width_of(line) <= 100
        assert line.isprintable()


# --- data frames ---------------------------------------------------------------------------------


@pytest.mark.extras
def test_a_pandas_frame_has_a_row_a_metric() -> None:
    """Columns are those of the statistics, unknown numbers are nan, never objects."""
    frame = summarize([call(0, time_to_first_output_token=None)]).to_pandas()

    assert list(frame.columns) == [
        "metric", "unit", "count", "left_out", "mean", "standard_deviation", "minimum",
        "p50", "p90", "p95", "p99", "maximum", "unsupported",
    ]  # fmt: skip
    assert list(frame["metric"]) == [metric.name for metric in METRICS]
    assert list(frame["unit"]) == ["s"] * 5 + ["tokens/s"]
    assert frame["p50"].tolist()[0] == 0.25
    assert frame["p50"].isna().tolist() == [False, True, False, False, False, False]
    assert {str(kind) for kind in frame.dtypes[4:12]} == {"float64"}
    assert frame["unsupported"][0] == "p50, p90, p95, p99"


@pytest.mark.extras
def test_a_polars_frame_has_a_row_a_group_and_metric() -> None:
    """With groups there is a column for them; keys of several types are named."""
    import polars as pl  # noqa: PLC0415 - the bare run has none

    results = [call(0, model="a"), call(1, model=None)]
    frame = summarize(results, by="model").to_polars()
    assert frame.shape == (12, 14)
    assert frame["group"].to_list() == ["a"] * 6 + [None] * 6
    assert frame["standard_deviation"].dtype == pl.Float64
    assert frame["standard_deviation"].to_list()[0] is None

    mixed = summarize(results, by=lambda one: one.model or 3).to_polars()
    assert mixed["group"].unique(maintain_order=True).to_list() == ["a", "3"]
    broken = summarize([call(model="a\ud800")], by="model").to_polars()
    assert set(broken["group"]) == {"a?"}
    nothing = summarize(results, by=lambda _: None).to_pandas()
    assert set(nothing["group"]) == {"(none)"}


@pytest.mark.parametrize("package", ["pandas", "polars"])
def test_a_missing_package_is_told(package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither is an extra: the message says what to install."""
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(
        MissingPackageError,
        match=rf"^A data frame needs {package}, which is not installed\. "
        rf"Install it with: pip install {package}\.$",
    ) as caught:
        getattr(full(), f"to_{package}")()
    assert isinstance(caught.value, ImportError)
    assert isinstance(caught.value, TokenclockError)


# --- laws ----------------------------------------------------------------------------------------

seconds = st.floats(min_value=0, max_value=1000)
maybe_seconds = st.none() | seconds


@st.composite
def calls(draw: st.DrawFn) -> list[MetricsResult[Any]]:
    count = draw(st.integers(1, 8))
    outcome = st.sampled_from(["completed", "failed", "stopped", "running", "unconsumed"])
    return [
        call(
            number,
            at=draw(st.integers(0, 10)),
            streamed=draw(st.booleans()),
            outcome=draw(outcome),
            generation_latency=draw(seconds),
            time_to_first_token=draw(maybe_seconds),
            inter_token_latencies=draw(st.lists(seconds, max_size=4)),
            throughput=draw(maybe_seconds),
            token_count=draw(st.none() | st.integers(0, 100)),
            parent_id=draw(st.none() | st.sampled_from(["c-0", "c-1", "c-2"])),
            model=draw(st.sampled_from(["a", "b", None])),
        )
        for number in range(count)
    ]


options = st.fixed_dictionaries(
    {
        "slo": st.none() | st.just(ServiceLevel(time_to_first_token=1.0)),
        "nested": st.sampled_from(["innermost", "all"]),
        "failed_as_inf": st.booleans(),
    }
)


@given(results=calls(), chosen=options, run=st.integers(1, 5), data=st.data())
def test_order_does_not_matter(
    results: list[MetricsResult[Any]], chosen: dict[str, Any], run: int, data: st.DataObject
) -> None:
    """The same calls give the same summary to the last bit, in any order and any runs."""
    shuffled = data.draw(st.permutations(results))
    summary = summarize(results, by="model", **chosen)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(samples, "RUN_LENGTH", run)
        assert summarize(shuffled, by="model", **chosen) == summary


@given(results=calls(), chosen=options)
def test_counts_add_up(results: list[MetricsResult[Any]], chosen: dict[str, Any]) -> None:
    """Every call is taken or left out, of the whole and of every number."""
    summary = summarize(results, **chosen)

    assert summary.call_count + summary.outer_calls_left_out == len(results)
    assert sum(summary.outcomes.values()) == summary.call_count
    for metric in METRICS:
        one = summary.statistics(metric.name)
        if metric.name != "inter_token_latency":
            assert one.count + one.left_out == summary.call_count
    if (goodput := summary.goodput) is not None:
        assert goodput.met + goodput.missed + goodput.undetermined == summary.call_count


@given(results=calls(), chosen=options)
def test_percentiles_ascend(results: list[MetricsResult[Any]], chosen: dict[str, Any]) -> None:
    """From minimum to maximum no percentile is below the one before it; none is nan."""
    summary = summarize(results, **chosen)
    for metric in METRICS:
        one = summary.statistics(metric.name)
        numbers = [one.minimum, one.p50, one.p90, one.p95, one.p99, one.maximum]
        known = [number for number in numbers if number is not None]
        assert known == sorted(known)
        assert len(known) == (6 if one.count else 0)


@given(results=calls(), chosen=options)
def test_groups_keep_the_totals(results: list[MetricsResult[Any]], chosen: dict[str, Any]) -> None:
    """What is counted in the whole is counted in exactly one of its groups."""
    summary = summarize(results, by="model", **chosen)
    groups = list(summary.groups.values())

    for name in ("call_count", "outer_calls_left_out", "callers_doing_count"):
        assert sum(getattr(group, name) for group in groups) == getattr(summary, name)
    assert sum(group.token_count or 0 for group in groups) == (summary.token_count or 0)
    gaps = sum(group.inter_token_latency.count for group in groups)
    assert gaps == summary.inter_token_latency.count


@given(results=calls(), chosen=options)
def test_any_summary_survives_json(
    results: list[MetricsResult[Any]], chosen: dict[str, Any]
) -> None:
    """Every number comes back to the last bit."""
    summary = summarize(results, by="model", **chosen)

    assert Summary.from_dict(json.loads(summary.to_json())) == summary
