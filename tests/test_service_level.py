"""Service levels: which calls are good enough, which are not, and which cannot be told."""

from __future__ import annotations

import copy
import math
import pickle
from fractions import Fraction
from typing import Any

import pytest

from test_texts import made
from tokenclock.errors import InvalidOptionError
from tokenclock.summary import ServiceLevel

FIRST = ServiceLevel(time_to_first_token=0.5)
FIRST_OUTPUT = ServiceLevel(time_to_first_output_token=0.5)
PER_TOKEN = ServiceLevel(time_per_output_token=0.05)
LATENCY = ServiceLevel(generation_latency=2.0)
BOTH = ServiceLevel(time_to_first_token=0.5, generation_latency=2.0)


@pytest.mark.parametrize(
    ("seconds", "verdict"), [(0.25, True), (0.5, True), (0.75, False), (None, False)]
)
def test_the_first_token_keeps_its_limit(seconds: float | None, verdict: bool) -> None:  # noqa: FBT001 - a value, no switch
    """At the limit is in time; a token that had not come by then is late."""
    assert made(time_to_first_token=seconds).meets(FIRST) is verdict
    assert made(time_to_first_output_token=seconds).meets(FIRST_OUTPUT) is verdict


@pytest.mark.parametrize("outcome", ["running", "stopped", "cancelled", "completed", "unconsumed"])
def test_a_first_token_that_may_still_be_in_time_is_undetermined(outcome: str) -> None:
    """No token yet, and the limit not yet passed: that cannot be told."""
    assert made(outcome=outcome, generation_latency=0.5).meets(FIRST) is None
    assert made(outcome=outcome, generation_latency=0.75).meets(FIRST) is False


def test_the_time_per_token_keeps_its_limit() -> None:
    """It is compared where there is one; with one chunk there is none to judge."""
    assert made(time_per_output_token=0.05).meets(PER_TOKEN) is True
    assert made(time_per_output_token=0.0625).meets(PER_TOKEN) is False
    assert made(time_per_output_token=None).meets(PER_TOKEN) is None


def test_the_time_per_token_of_a_running_stream_is_not_final() -> None:
    """It may still grow, so that only a broken limit is told."""
    assert made(outcome="running", time_per_output_token=0.05).meets(PER_TOKEN) is None
    assert made(outcome="running", time_per_output_token=0.0625).meets(PER_TOKEN) is False
    assert made(outcome="stopped", time_per_output_token=0.05).meets(PER_TOKEN) is True


def test_the_latency_keeps_its_limit() -> None:
    """Only a call that ran to its end can keep it; any can break it."""
    assert made(generation_latency=2.0).meets(LATENCY) is True
    assert made(generation_latency=2.25).meets(LATENCY) is False
    assert made(generation_latency=2.0, streamed=False).meets(LATENCY) is True
    for outcome in ("running", "stopped", "cancelled"):
        assert made(outcome=outcome, generation_latency=2.0).meets(LATENCY) is None
        assert made(outcome=outcome, generation_latency=2.25).meets(LATENCY) is False


def test_a_value_has_no_first_token_to_judge() -> None:
    """Its first-token time is its whole latency; a limit on tokens says nothing of it."""
    value = made(streamed=False, time_to_first_token=1.25)
    for slo in (FIRST, FIRST_OUTPUT, PER_TOKEN, BOTH):
        assert value.meets(slo) is None
    late = made(streamed=False, time_to_first_token=4.0, generation_latency=4.0)
    assert late.meets(FIRST) is None
    assert late.meets(BOTH) is False


def test_a_failed_call_meets_nothing() -> None:
    """Not even where every observed number is fine, nor where nothing was observed."""
    for streamed in (True, False):
        failed = made(outcome="failed", streamed=streamed, time_to_first_token=0.25)
        for slo in (FIRST, FIRST_OUTPUT, PER_TOKEN, LATENCY, BOTH):
            assert failed.meets(slo) is False


def test_one_broken_limit_is_enough() -> None:
    """Broken beats undetermined, undetermined beats kept."""
    assert made(time_to_first_token=0.25).meets(BOTH) is True
    assert made(time_to_first_token=0.75).meets(BOTH) is False
    stopped = made(time_to_first_token=0.25, outcome="stopped")
    assert stopped.meets(BOTH) is None
    assert made(time_to_first_token=0.75, outcome="stopped").meets(BOTH) is False


@pytest.mark.parametrize(
    "limit", [0, -1, math.inf, math.nan, True, "500ms", Fraction(1, 2), 1j, [0.5]]
)
@pytest.mark.parametrize("name", ["time_to_first_token", "generation_latency"])
def test_what_is_no_limit_is_refused(name: str, limit: Any) -> None:
    """A limit is a positive, finite number of seconds; anything else fails when it is built."""
    with pytest.raises(
        InvalidOptionError,
        match=rf"^Cannot take {name}=.* as a limit: it is not a positive, finite number\. "
        rf"Pass seconds, such as {name}=0\.5\.$",
    ) as caught:
        ServiceLevel(**{name: limit})
    assert caught.value.option == name


def test_a_level_without_limits_is_refused() -> None:
    """Every call would meet it."""
    with pytest.raises(
        InvalidOptionError,
        match=r"^Cannot judge calls by a service level without a limit: every call would meet it\. "
        r"Pass one, such as time_to_first_token=0\.5, in seconds\.$",
    ):
        ServiceLevel()


@pytest.mark.parametrize("wrong", [None, 0.5, {"time_to_first_token": 0.5}])
def test_what_is_no_level_is_refused(wrong: Any) -> None:
    """A number alone does not say what it limits."""
    with pytest.raises(
        InvalidOptionError,
        match=r"^Cannot judge calls by an object of type '\w+': it is no ServiceLevel\. Pass one, "
        r"such as ServiceLevel\(time_to_first_token=0\.5\)\.$",
    ) as caught:
        made().meets(wrong)
    assert caught.value.option == "slo"


def test_a_level_is_a_plain_value() -> None:
    """It compares, hashes, copies and pickles; its text is the call that builds it."""
    slo = ServiceLevel(time_to_first_token=0.5, generation_latency=10)

    assert repr(slo) == "ServiceLevel(time_to_first_token=0.5, generation_latency=10)"
    assert slo.limits() == {"time_to_first_token": 0.5, "generation_latency": 10}
    for again in (copy.deepcopy(slo), pickle.loads(pickle.dumps(slo))):  # noqa: S301 - made here
        assert again == slo
        assert hash(again) == hash(slo)
