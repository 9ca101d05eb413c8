"""The six numbers: whose calls count, which calls are taken, and how they are grouped."""

from __future__ import annotations

import math
from typing import Any

import pytest

from test_texts import made
from tokenclock._metrics import (
    FIRST_TOKEN,
    GAP,
    GROUP_FIELDS,
    LATENCY,
    METRICS,
    PER_OUTPUT_TOKEN,
    THROUGHPUT,
    check_nested,
    group_by,
    group_name,
    grouped,
    taken,
)
from tokenclock.errors import InvalidOptionError


def test_first_token_times_are_those_of_streams() -> None:
    """A value's first-token time is its whole latency: it does not count among streams'."""
    assert FIRST_TOKEN.of(made(time_to_first_token=0.25)) == 0.25
    assert FIRST_TOKEN.of(made(time_to_first_token=0.25, outcome="stopped")) == 0.25
    assert FIRST_TOKEN.of(made(time_to_first_token=1.25, streamed=False)) is None
    assert FIRST_TOKEN.of(made()) is None
    assert PER_OUTPUT_TOKEN.of(made(time_per_output_token=0.5, outcome="failed")) == 0.5


def test_latencies_are_those_of_completed_calls() -> None:
    """A call that was cut short has a short latency: it does not count."""
    assert LATENCY.of(made(streamed=False)) == 1.25
    assert LATENCY.of(made(outcome="stopped")) is None
    assert THROUGHPUT.of(made(throughput=8.0)) == 8.0
    assert THROUGHPUT.of(made(throughput=8.0, outcome="failed")) is None


def test_more_is_better_for_throughput_alone() -> None:
    """Times shall be short, rates high."""
    assert [metric.name for metric in METRICS if metric.higher_is_better] == ["throughput"]
    assert {metric.unit for metric in METRICS if not metric.higher_is_better} == {"s"}
    assert [metric.name for metric in METRICS if metric.completed_only] == [
        "generation_latency",
        "throughput",
    ]
    assert GAP.counts(made())
    assert not GAP.counts(made(streamed=False))


def test_the_innermost_calls_are_taken() -> None:
    """A call that has another of the results inside it would count its tokens twice."""
    outer, inner = made(call_id="o"), made(call_id="i", parent_id="o")
    elsewhere = made(call_id="e", parent_id="not among them")
    own_parent = made(call_id="p", parent_id="p")

    for results in ([outer, inner, elsewhere, own_parent], [inner, outer, own_parent, elsewhere]):
        assert taken(results) == [one for one in results if one is not outer]
        assert taken(results, "all") == results


def test_a_snapshot_gives_way_to_what_is_later() -> None:
    """A stream that was looked at while it ran is one call, whatever the order of results."""
    early = made(call_id="a", outcome="running", generation_latency=0.25, token_count=1)
    same_time = made(call_id="a", outcome="running", generation_latency=0.5, token_count=1)
    late = made(call_id="a", outcome="running", generation_latency=0.5, token_count=2)
    finished, other = made(call_id="a"), made(call_id="b", outcome="running")

    assert taken([early, late, finished, other], "all") == [finished, other]
    assert taken([other, finished, late, early]) == [other, finished]
    for results in ([late, same_time, early], [early, same_time, late]):
        assert taken(results) == [late]


def test_another_way_of_nesting_is_refused() -> None:
    """A slip is told at once."""
    with pytest.raises(
        InvalidOptionError,
        match=r"^Cannot take calls by nested='outermost': it is neither 'innermost', which leaves "
        r"out calls that have measured calls inside them, nor 'all'\. Pass one of the two\.$",
    ) as caught:
        check_nested("outermost")
    assert caught.value.option == "nested"


def test_calls_are_grouped_by_field_label_or_function() -> None:
    """Groups stand in the order in which they first appear."""
    one = made(model="b", attributes={"tenant": "acme"})
    other = made(model="a")
    third = made(model="b")

    assert grouped([one, other, third], "model") == {"b": [one, third], "a": [other]}
    assert grouped([one, other], "tenant") == {"acme": [one], None: [other]}
    assert grouped([one, other], lambda result: len(result.model or "")) == {1: [one, other]}


@pytest.mark.parametrize("name", GROUP_FIELDS)
def test_every_field_to_group_by_is_one(name: str) -> None:
    """Each name of the list is a field of a result."""
    assert list(grouped([made()], name)) == [getattr(made(), name)]


def test_a_name_that_no_call_knows_is_refused() -> None:
    """A slip in the name of a label is told, unless there are no calls at all."""
    with pytest.raises(
        InvalidOptionError,
        match=r"^Cannot group calls by 'modle': that is no field to group by, and no call has a "
        r"label of that name\. Pass one of error, finish_reason, .*, or a label\.$",
    ) as caught:
        grouped([made()], "modle")
    assert caught.value.option == "by"
    assert grouped([], "modle") == {}
    assert list(grouped([made()], "model")) == [None]


def test_what_is_neither_name_nor_function_is_refused() -> None:
    """Grouping by a number, or by several names, is told at once."""
    wrong: Any = ["model", "provider"]
    with pytest.raises(
        InvalidOptionError,
        match=r"^Cannot group calls by \['model', 'provider'\]: it is neither a name nor a "
        r"function\. Pass a field of a result, such as by='model', the name of a label, or a "
        r"function from a result to a key\.$",
    ):
        group_by(wrong)


def test_a_key_that_json_cannot_hold_is_refused() -> None:
    """A key is text, a number or None: a summary is written as JSON and read back."""
    by: Any = lambda result: (result.model, 1)  # noqa: E731 - as users write it
    with pytest.raises(
        InvalidOptionError,
        match=r"^Cannot group calls by a key of type 'tuple': it is neither text nor a number nor "
        r"None\. Have the function given as by= return one, such as "
        r"f'\{result\.model\}, \{result\.operation\}'\.$",
    ):
        grouped([made()], by)


def test_a_key_that_is_no_finite_number_becomes_text() -> None:
    """Each nan would be a group of its own, and JSON has none."""
    results = [made(attributes={"load": math.nan}), made(attributes={"load": -math.inf})]

    assert list(grouped([*results, results[0]], "load")) == ["nan", "-inf"]


def test_an_exception_of_the_users_function_passes() -> None:
    """A function that fails is the user's to mend: the exception arrives as it is."""
    with pytest.raises(ZeroDivisionError):
        grouped([made()], lambda _: 1 // 0)


def test_groups_have_names() -> None:
    """The group of the calls without a label is named, too."""
    assert [group_name(key) for key in ("m", 3, True, None)] == ["m", "3", "True", "(none)"]
