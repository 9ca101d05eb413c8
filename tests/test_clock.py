"""The clock option: what is accepted, when it is read, and what becomes of one that fails."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable
from typing import Any

import pytest

from stepping import every_shape, read, stream_of
from tokenclock import measure, metrics_decorator, observe
from tokenclock._clock import checked_clock, monotonic_ns
from tokenclock.errors import InvalidOptionError
from tokenclock.testing import FakeClock, Script

decorate_with: Any = metrics_decorator

SECOND = 1_000_000_000


class Readings:
    """A clock that gives what it was made with; raises what is an exception; then stands."""

    def __init__(self, *readings: Any) -> None:
        self.readings = list(readings)
        self.calls = 0

    def __call__(self) -> Any:
        self.calls += 1
        reading = self.readings[0] if len(self.readings) == 1 else self.readings.pop(0)
        if isinstance(reading, BaseException):
            raise reading
        return reading


def test_the_default_clock_is_monotonic() -> None:
    """Nobody's clock is time.perf_counter_ns, called without a wrapper."""
    assert checked_clock(None) is time.perf_counter_ns
    assert checked_clock(time.perf_counter_ns) is time.perf_counter_ns
    assert monotonic_ns is time.perf_counter_ns


@pytest.mark.parametrize("clock", [3, "now", object()])
def test_a_clock_that_cannot_be_called_is_refused(clock: Any) -> None:
    """A clock that is not callable is refused when the decorator is applied."""
    message = (
        r"^Cannot measure with clock=.*: it is not callable. Pass a function without arguments "
        r"that gives monotonic nanoseconds, such as time.perf_counter_ns.$"
    )
    with pytest.raises(InvalidOptionError, match=message) as caught:
        observe(clock=clock)
    assert caught.value.option == "clock"


def test_a_clock_that_raises_is_refused() -> None:
    """A clock that cannot be read once is refused when the decorator is applied."""
    message = r"^Cannot measure with clock=.*: it raised ZeroDivisionError. Pass a function"
    with pytest.raises(InvalidOptionError, match=message) as caught:
        observe(clock=Readings(ZeroDivisionError()))
    assert isinstance(caught.value.__cause__, ZeroDivisionError)


def test_a_clock_below_zero_is_refused_and_later_stands_at_zero() -> None:
    """Stamps are never negative: such a clock is refused, or counts as zero once in use."""
    message = r"^Cannot measure with clock=.*: it gave -1, which is negative. Pass a function"
    with pytest.raises(InvalidOptionError, match=message):
        observe(clock=Readings(-1))
    assert checked_clock(Readings(5, -1))() == 0


@pytest.mark.parametrize("reading", [1.5, True, "1", None], ids=repr)
def test_a_clock_without_whole_numbers_is_refused(reading: Any) -> None:
    """A clock of seconds, or of anything but int, is refused when the decorator is applied."""
    kind = type(reading).__name__
    message = rf"^Cannot measure with clock=.*: it gave a {kind}, not an int. Pass a function"
    with pytest.raises(InvalidOptionError, match=message) as caught:
        metrics_decorator(clock=Readings(reading))
    assert caught.value.option == "clock"


def test_a_clock_is_tried_once_at_decoration() -> None:
    """Applying a decorator reads the clock once; no call reads it before it is made."""
    clock = Readings(0)
    decorate = observe(clock=clock)
    assert clock.calls == 1
    decorate(lambda: 1)
    decorate(lambda: 2)
    assert clock.calls == 1


def test_any_callable_is_a_clock() -> None:
    """A partial, a method and a lambda are clocks as good as a function."""
    clock = FakeClock()
    wrapped: list[Callable[[], int]] = [
        functools.partial(int.__add__, 1, 2), clock.__call__, lambda: clock() + SECOND
    ]  # fmt: skip
    for one in wrapped:
        result = decorate_with(clock=one)(lambda: ["a"])()
        assert result.generation_latency == 0.0


@every_shape
def test_a_clock_that_runs_backwards_gives_no_negative_time(shape: str) -> None:
    """Whatever a clock does, no time of a result is below zero."""
    clock = FakeClock()
    backwards = Readings(*range(100 * SECOND, 0, -SECOND))
    script = Script([(0.0, "a"), (0.0, "b"), (0.0, "")], clock=clock)
    stream = stream_of(shape, script, clock=backwards)
    read(stream)

    result = stream.metrics
    assert result.generation_latency == 0.0
    assert result.time_to_first_token == 0.0
    assert result.consumer_time == 0.0
    assert result.producer_time == 0.0
    assert result.inter_token_latencies == [0.0]
    assert result.throughput is None


@pytest.mark.logs_failures
@every_shape
@pytest.mark.parametrize("failure", [ValueError("canary"), 1.5, None], ids=repr)
def test_a_clock_that_fails_stands_still(
    shape: str, failure: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """A clock that fails in mid-stream stands still from there on, and is logged once."""
    clock = Readings(0, 0, SECOND, SECOND, 2 * SECOND, failure)
    script = Script([(0.0, "a"), (0.0, "b"), (0.0, "c")], clock=FakeClock())
    stream = stream_of(shape, script, clock=clock)

    assert read(stream) == ["a", "b", "c"]

    (record,) = caplog.records
    assert record.getMessage().startswith("The clock <test_clock.Readings object at ")
    name = "ValueError" if isinstance(failure, ValueError) else "TypeError"
    assert record.getMessage().endswith(f" failed; time stands still for it: {name}")
    assert "canary" not in caplog.text
    assert stream.metrics.token_count == 3


@pytest.mark.logs_failures
def test_a_clock_that_recovers_is_read_again(caplog: pytest.LogCaptureFixture) -> None:
    """A clock that fails now and then costs those readings only."""
    # Decoration, call, return: the call's reading fails, so the call seems to start at 1 s.
    clock = Readings(SECOND, ValueError(), 3 * SECOND)
    result = decorate_with(clock=clock)(lambda: ["a"])()

    assert result.generation_latency == 2.0
    assert len(caplog.records) == 1


def test_an_interrupt_in_a_clock_passes() -> None:
    """A KeyboardInterrupt that strikes inside a clock is the program's, not the clock's."""
    measured: Any = observe(clock=Readings(0, KeyboardInterrupt()))(lambda: 1)
    with pytest.raises(KeyboardInterrupt):
        measured()


def test_since_is_a_reading_of_the_same_clock(clock: FakeClock) -> None:
    """measure(since=...) starts the run at a reading that was taken before the request."""
    since = clock()
    clock.advance(0.5)
    stream = measure(Script([(0.25, "a")], clock=clock).stream(), since=since, clock=clock)
    list(stream)

    assert stream.metrics.time_to_first_token == 0.75


@pytest.mark.parametrize(
    ("since", "why"),
    [(1, "it lies in the future of the clock"), (0.0, "it is no int"), (True, "it is no int")],
)
def test_a_since_that_is_none_of_the_clocks_is_refused(
    since: Any, why: str, clock: FakeClock
) -> None:
    """A since= in the future, or in seconds, is refused."""
    message = (
        rf"^Cannot measure since={since!r}: {why}. "
        r"Pass what time.perf_counter_ns\(\) gave just before the request.$"
    )
    with pytest.raises(InvalidOptionError, match=message):
        measure(iter("a"), since=since, clock=clock)
