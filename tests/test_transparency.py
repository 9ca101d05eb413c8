"""The first promise over random programs: the measured stream does what the bare one does."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import example, given, settings

from programs import (
    Operation,
    Statement,
    async_programs,
    bodies,
    coroutine_programs,
    run_async,
    run_coroutine,
    run_sync,
    sync_programs,
)
from tokenclock import capture, metrics_decorator, observe
from tokenclock.testing import FakeClock

decorators = pytest.mark.parametrize("decorator", [observe, metrics_decorator])
quick = settings(max_examples=120)


def bare(function: Any) -> Any:
    return function


def _given_chunks(log: list[Any]) -> int:
    """Count the chunks that the driver of a generator was given until the run was over."""
    count = 0
    for event in log:
        if isinstance(event, tuple) and isinstance(event[0], tuple):
            operation, outcome = event
            if operation[0] in {"next", "send", "throw"} and outcome[0] == "gave":
                count += 1
            if operation[0] == "close" and outcome[0] == "raised":
                break  # the body ignored it: a failed run, whatever the body still yields
    return count


@decorators
@quick
@given(body=bodies, program=sync_programs)
@example(
    body=[("try", [("yield", 1)], "GeneratorExit", [("yield", 2)], None)],
    program=[("next",), ("close",)],
)
@example(
    body=[("try", [("yield", 1)], "ValueError", [("yield", 2)], [("yield", 3)])],
    program=[("next",), ("throw", "ValueError"), ("throw", "GeneratorExit"), ("close",)],
)
@example(
    body=[("try", [("yield", 1)], "GeneratorExit", [("yield", 2), ("yield", 3)], None)],
    program=[("next",), ("close",), ("next",)],
)
@example(body=[("delegate", [("yield", 1), ("return", 5)])], program=[("next",), ("next",)])
@example(body=[("reenter",), ("yield", 1), ("reenter",)], program=[("next",), ("next",)])
def test_a_measured_generator_does_what_the_generator_does(
    decorator: Callable[..., Any], body: list[Statement], program: list[Operation]
) -> None:
    """Whatever is done to a generator, the measured one leaves the same log, and one result."""
    expected = run_sync(body, program, bare)

    with capture() as results:
        log = run_sync(body, program, decorator(clock=FakeClock()))

    assert log == expected
    assert [result.chunk_count for result in results] == [_given_chunks(expected)]


@decorators
@quick
@given(body=bodies, program=async_programs)
@example(
    body=[("try", [("suspend", 1), ("yield", 2)], "ValueError", [("suspend", 3)], None)],
    program=[("anext", [("throw", "ValueError")]), ("aclose", [])],
)
@example(body=[("yield", 1), ("suspend", 2)], program=[("anext", []), ("anext", [("close",)])])
def test_a_measured_async_generator_does_what_the_async_generator_does(
    decorator: Callable[..., Any], body: list[Statement], program: list[Operation]
) -> None:
    """Whatever is done to an async generator, the measured one leaves the same log."""
    expected = run_async(body, program, bare)

    with capture() as results:
        log = run_async(body, program, decorator(clock=FakeClock()))

    assert log == expected
    assert len(results) == 1


@quick
@given(body=bodies, program=coroutine_programs)
@example(body=[("return", 1)], program=[])
@example(body=[("suspend", 1), ("return", 2)], program=[("send", None), ("send", 3)])
def test_a_measured_coroutine_does_what_the_coroutine_does(
    body: list[Statement], program: list[Operation]
) -> None:
    """Whatever is done to a coroutine, the measured one leaves the same log, and one result."""
    expected = run_coroutine(body, program, bare)

    with capture() as results:
        log = run_coroutine(body, program, observe(clock=FakeClock()))

    assert log == expected
    assert len(results) == 1
