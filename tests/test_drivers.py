"""The two drivers over random programs: nobody sees a difference, and both measure the same."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from driver_courses import Course, read_by, run
from driver_programs import bodies, free_programs, sync_programs, tame_programs
from driver_sources import ASYNC_SOURCES, SYNC_SOURCES
from tokenclock import Reading, capture, driver, measure, observe
from tokenclock._tape import Tape
from tokenclock.testing import FakeClock

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

Body = list[Any]
Program = list[Any]


def count(chunk: Any) -> int:
    """Count by length, which not every chunk has."""
    return len(chunk)


def read(chunk: Any) -> Reading:
    """Read by length, too, and some of it as reasoning."""
    return Reading(len(chunk), channel="reasoning" if chunk == "world" else None)


options = st.sampled_from([{}, {}, {"count_tokens": count}, {"read_chunk": read}])


def courses(kind: str, body: Body, program: Program, given: Any) -> tuple[Course, Course, Course]:
    """Give the course of a program bare, with Python's driver and with the compiled one."""
    bare, python, compiled = (
        run(kind, body, program, driver, given) for driver in ("bare", "python", "compiled")
    )
    return bare, python, compiled


def course_of(measured: Sequence[object]) -> Sequence[object]:
    """Give what was measured; Python 3.12 has two dropped streams die in any order."""
    return sorted(map(repr, measured)) if sys.version_info[:2] == (3, 12) else measured


def check_all_alike(kind: str, body: Body, program: Program, given: Any) -> None:
    bare, python, compiled = courses(kind, body, program, given)

    assert compiled.seen == bare.seen
    assert python.seen == bare.seen
    assert course_of(compiled.measured) == course_of(python.measured)


def yields(*places: int, handler: str = "") -> Body:
    """Give a body that yields these of the chunks."""
    return [("yield", place, handler) for place in places]


@pytest.mark.parametrize("kind", SYNC_SOURCES)
@settings(max_examples=200)
@given(body=bodies, program=sync_programs, given=options)
@example(body=yields(0, 4, 0, 27), program=[("rest", 0)], given={})
@example(body=yields(0, 0, 27), program=[("next", 0), ("next", 0), ("send", 0, None)], given={})
@example(body=yields(0, handler="yield"), program=[("next", 0), ("close", 0)], given={})
@example(body=[("next", None, ""), ("look", None, ""), *yields(0)], program=[("next", 0)], given={})
def test_no_driver_changes_a_sync_stream_and_both_measure_the_same(
    kind: str, body: Body, program: Program, given: Any
) -> None:
    """Whatever is done to a stream, both drivers show what is there, and measure the same."""
    check_all_alike(kind, body, program, given)


@pytest.mark.parametrize("kind", ASYNC_SOURCES)
@settings(max_examples=300)
@given(body=bodies, program=tame_programs, given=options)
@example(body=[("suspend", 0, ""), *yields(0)], program=[("default", 0, [])], given={})
@example(
    body=[("suspend", 0, "go on"), *yields(12)],
    program=[("anext", 0, [("throw", "ValueError")])],
    given={},
)
@example(
    body=[*yields(0, handler="go on"), ("call", None, "")],
    program=[("anext", 0, []), ("aclose", 0, [])],
    given={},
)
@example(body=[("suspend", 0, "suspend")], program=[("anext", 0, [("close",)])], given={})
def test_no_driver_changes_an_async_stream_and_both_measure_the_same(
    kind: str, body: Body, program: Program, given: Any
) -> None:
    """Awaited as a loop awaits it, an async stream is the same with either driver."""
    check_all_alike(kind, body, program, given)


@pytest.mark.parametrize("kind", ASYNC_SOURCES)
@settings(max_examples=400)
@given(body=bodies, program=free_programs, given=options)
@example(
    body=yields(0, 1),
    program=[("begin", 0, "anext"), ("resume", 0, "send", 0), ("resume", 0, "send", None)],
    given={},
)
@example(
    body=[("suspend", 0, ""), *yields(0)],
    program=[("begin", 0, "anext"), ("resume", 0, "send", None), ("forget", 0), ("look", 0)],
    given={},
)
@example(
    body=yields(0),
    program=[("begin", 1, "anext"), ("resume", 0, "send", None), ("drop", 1)],
    given={},
)
@example(
    body=[],
    program=[("begin", 0, "default"), ("resume", 0, "throw", "StopAsyncIteration")],
    given={},
)
@example(body=[], program=[("begin", 0, "anext"), ("resume", 0, "__next__")], given={})
def test_the_compiled_driver_keeps_what_pythons_cannot(
    kind: str, body: Body, program: Program, given: Any
) -> None:
    """Driven by hand in any order, awaitables are as bare ones; alike courses measure alike."""
    bare, python, compiled = courses(kind, body, program, given)

    if driver == "compiled":
        assert compiled.seen == bare.seen
    if python.seen == compiled.seen:
        assert course_of(compiled.measured) == course_of(python.measured)


@pytest.mark.parametrize("name", ["python", "compiled"])
def test_two_drivers_are_compared(name: str) -> None:
    """Where the compiled driver is there it takes part, and Python's does where it is to."""
    with read_by(name):
        stream: Any = observe(iter, clock=FakeClock())("ab")
        is_compiled = type(stream._tc_run.tape) is not Tape

    assert is_compiled == (name == "compiled" and driver == "compiled")


@pytest.mark.parametrize("name", ["python", "compiled"])
def test_a_call_in_a_stream_that_is_over_is_the_one_around_its(name: str) -> None:
    """A call that a closed stream's iterator makes belongs to the stream that reads it, if any."""

    class Items:
        def __iter__(self) -> Iterator[int]:
            return self

        def __next__(self) -> int:
            return call("four")

        def close(self) -> None:
            """Close nothing: whoever goes on asking gets more."""

    call = observe(len, clock=FakeClock())
    with read_by(name), capture() as results:
        inner: Any = observe(lambda: Items(), name="inner", clock=FakeClock())()  # noqa: PLW0108 - a class is not measured
        outer = measure(map(str, inner), name="outer", clock=FakeClock())
        next(outer)
        inner.close()
        next(outer)
        del outer

    calls = [result for result in results if result.function == "builtins.len"]
    ended = {result.function: result.call_id for result in results}
    assert [one.parent_id for one in calls] == [ended["inner"], ended["outer"]]
