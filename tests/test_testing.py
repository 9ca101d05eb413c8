"""The public testing module: a clock that stands still, scripted streams, a collecting sink."""

from __future__ import annotations

import inspect
from typing import Any

import pytest

import tokenclock.testing
from driving import END, function_of, step_or_end
from stepping import SHAPES, close, every_shape, read, step
from tokenclock import metrics_decorator, observe
from tokenclock.testing import (
    AsyncScriptedStream,
    CollectingSink,
    FakeClock,
    Script,
    ScriptedStream,
    settle,
)


def test_the_names_are_public() -> None:
    """Everything that a user's tests need is listed."""
    assert tokenclock.testing.__all__ == sorted(tokenclock.testing.__all__)
    for name in tokenclock.testing.__all__:
        assert inspect.getdoc(getattr(tokenclock.testing, name))


def test_a_fake_clock_stands_still() -> None:
    """A fake clock starts at zero and moves only when it is told to."""
    clock = FakeClock()
    assert (clock(), clock()) == (0, 0)
    clock.advance(0.25)
    clock.advance(0)
    clock.advance(1)
    assert clock() == 1_250_000_000


def test_a_fake_clock_rounds_to_whole_nanoseconds() -> None:
    """Steps are whole nanoseconds, the nearest to the seconds asked for."""
    clock = FakeClock()
    clock.advance(0.1)
    clock.advance(0.0000000016)
    assert clock() == 100_000_002
    assert type(clock()) is int


def test_a_fake_clock_does_not_go_back() -> None:
    """The clock is monotonic, so a negative step is refused and nothing moves."""
    clock = FakeClock()
    clock.advance(1)
    with pytest.raises(ValueError, match=r"^Cannot advance the clock by -0.5 s: it is monotonic.$"):
        clock.advance(-0.5)
    assert clock() == 1_000_000_000


def test_fake_clocks_are_independent() -> None:
    """Two clocks do not know of each other."""
    first, second = FakeClock(), FakeClock()
    first.advance(1)
    assert second() == 0


@every_shape
def test_a_scripts_waits_advance_its_clock(shape: str, clock: FakeClock) -> None:
    """Each chunk arrives after its wait, and the end after its own."""
    stream = function_of(shape, Script([(0.5, "a"), (0.25, "b")], clock=clock, end=1.0))()
    seen = []
    while True:
        chunk = step_or_end(stream)
        seen.append((chunk, clock()))
        if chunk is END:
            break

    assert seen == [("a", 500_000_000), ("b", 750_000_000), (END, 1_750_000_000)]


@every_shape
def test_a_script_does_nothing_before_it_is_asked(shape: str, clock: FakeClock) -> None:
    """Making a stream takes no time."""
    function_of(shape, Script([(0.5, "a")], clock=clock))()
    assert clock() == 0


@every_shape
def test_a_script_raises_its_error_at_the_end(shape: str, clock: FakeClock) -> None:
    """The very exception of the script is raised after its chunks and the last wait."""
    error = RuntimeError("lost")
    stream = function_of(shape, Script([(0.5, "a")], clock=clock, end=0.25, error=error))()

    assert step(stream) == "a"
    with pytest.raises(RuntimeError, match="lost") as caught:
        step(stream)
    assert caught.value is error
    assert clock() == 750_000_000
    assert step_or_end(stream) is END


@every_shape
def test_a_script_makes_any_number_of_fresh_streams(shape: str, clock: FakeClock) -> None:
    """Every stream of a script starts at its first step; the clock goes on."""
    steps = iter([(0.5, "a"), (0.25, "b")])
    function = function_of(shape, Script(steps, clock=clock))

    assert read(function()) == read(function()) == ["a", "b"]
    assert clock() == 1_500_000_000


@every_shape
def test_a_closed_script_is_over(shape: str, clock: FakeClock) -> None:
    """After close or aclose there is nothing more, and no more time passes."""
    stream = function_of(shape, Script([(0.5, "a"), (0.5, "b")], clock=clock, end=1.0))()
    step(stream)
    close(stream)

    assert step_or_end(stream) is END
    assert clock() == 500_000_000


@pytest.mark.parametrize("shape", ["iterator", "async iterator"])
def test_a_plain_stream_says_whether_it_was_closed(shape: str, clock: FakeClock) -> None:
    """What closed a plain stream can be checked: its connection, so to say."""
    stream: Any = function_of(shape, Script([(0.5, "a")], clock=clock))()
    assert stream.closed is False
    close(stream)
    assert stream.closed is True


def test_the_shapes_are_what_they_say(clock: FakeClock) -> None:
    """A script gives a generator, an async generator and two plain iterators."""
    script = Script([(0.5, "a")], clock=clock)
    assert inspect.isgenerator(script.generator())
    assert inspect.isasyncgen(script.agenerator())
    assert isinstance(script.stream(), ScriptedStream)
    assert isinstance(script.astream(), AsyncScriptedStream)
    for name in ("send", "throw"):
        assert not hasattr(script.stream(), name)
        assert not hasattr(script.astream(), f"a{name}")
    assert list(SHAPES.values()) == ["generator", "stream", "agenerator", "astream"]


def test_a_plain_stream_is_its_own_iterator(clock: FakeClock) -> None:
    """Plain scripted streams are iterators, as SDK streams are."""
    script = Script([(0.5, "a")], clock=clock)
    stream, astream = script.stream(), script.astream()
    assert iter(stream) is stream
    assert aiter(astream) is astream


@pytest.mark.asyncio
async def test_an_async_script_works_in_a_loop(clock: FakeClock) -> None:
    """Async scripted streams are consumed as any other."""
    script = Script([(0.5, "a"), (0.25, "b")], clock=clock)
    assert [chunk async for chunk in script.astream()] == ["a", "b"]
    assert [chunk async for chunk in script.agenerator()] == ["a", "b"]


def test_a_measured_script_gives_exact_numbers(clock: FakeClock) -> None:
    """What the module is for: numbers that are known before the test runs."""
    script = Script([(0.5, "a"), (0.25, "b")], clock=clock, end=0.25)
    decorate: Any = metrics_decorator
    result = decorate(clock=clock)(script.generator)().collect()

    assert result.value == ["a", "b"]
    assert result.time_to_first_token == 0.5
    assert result.generation_latency == 1.0
    assert result.throughput == 2.0


def test_a_collecting_sink_keeps_the_order_of_the_ends() -> None:
    """Results are kept in the order in which calls finished; the last one is at hand."""
    sink = CollectingSink()
    assert (sink.results, sink.last) == ([], None)
    first = observe(name="first", sinks=[sink])(lambda: iter("a"))()
    second = observe(name="second", sinks=[sink])(lambda: iter("a"))()
    list(second)
    list(first)

    assert [one.function for one in sink.results] == ["second", "first"]
    assert sink.last is sink.results[1]


def test_collecting_sinks_are_independent() -> None:
    """Two sinks do not share their results."""
    first, second = CollectingSink(), CollectingSink()
    observe(sinks=[first])(lambda: 1)()
    assert (len(first.results), len(second.results)) == (1, 0)


def test_settle_waits_for_the_results_of_dropped_streams() -> None:
    """After settle() a sink has the result of a stream that was dropped before."""
    sink = CollectingSink()
    for _chunk in observe(name="dropped", sinks=[sink])(lambda: iter("ab"))():
        break
    settle()
    assert [(one.function, one.outcome) for one in sink.results] == [("dropped", "stopped")]
