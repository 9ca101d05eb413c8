"""What a checker makes of results, readings, sinks and the testing module. Never run."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, Generator, Mapping, Sequence
from datetime import datetime
from typing import Any, Literal

from typing_extensions import assert_type

import tokenclock
from tokenclock import (
    LoggingSink,
    MetricsResult,
    Reading,
    Sink,
    Timeline,
    TokenclockError,
    TokenclockWarning,
    Usage,
    add_sink,
    capture,
    labels,
    remove_sink,
)
from tokenclock.testing import (
    AsyncScriptedStream,
    CollectingSink,
    FakeClock,
    Script,
    ScriptedStream,
)


def fields(result: MetricsResult[list[str]]) -> None:
    assert_type(result.value, list[str])
    assert_type(result.function, str)
    assert_type(result.parent_id, str | None)
    assert_type(result.started_at, datetime)
    assert_type(result.streamed, bool)
    assert_type(
        result.outcome,
        Literal["completed", "stopped", "failed", "cancelled", "unconsumed", "running"],
    )
    assert_type(
        result.token_source, Literal["counted", "usage", "length", "chunks", "items"] | None
    )
    assert_type(result.generation_latency, float)
    assert_type(result.throughput, float | None)
    assert_type(result.token_count, int | None)
    assert_type(result.inter_token_latencies, Sequence[float])
    assert_type(result.attributes, Mapping[str, str | bool | int | float])
    assert_type(result.timeline, Timeline | None)
    assert_type(result.to_dict(include_value=True), dict[str, Any])
    assert_type(MetricsResult.from_dict({}), MetricsResult[Any])
    assert_type(result.report(), str)
    _wider: MetricsResult[Sequence[object]] = result
    _wrong: MetricsResult[str] = result  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]
    _same = result.outcome == "complete"  # type: ignore[comparison-overlap]  # pyright: ignore[reportUnnecessaryComparison]
    float(result.throughput)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    result.token_count = 3  # type: ignore[misc]  # pyright: ignore[reportAttributeAccessIssue]


def a_timeline(timeline: Timeline) -> None:
    assert_type(timeline[0].arrived, float)
    assert_type(timeline[0].tokens, int)
    assert_type(timeline[0].channel, Literal["text", "reasoning", "tool"] | None)
    for entry in timeline[1:]:
        assert_type(entry.requested, float)


# --- readings ------------------------------------------------------------------------------------


def readings() -> None:
    reading = Reading(tokens=2, channel="reasoning", usage=Usage(output_tokens=3))
    assert_type(reading.tokens, int)
    assert_type(reading.total_tokens, int | None)
    assert_type(reading.usage, Usage | None)
    Reading(tokens="2")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    Reading(channel="thinking")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    Reading(token=2)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    Usage(output_tokens="3")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


# --- sinks ---------------------------------------------------------------------------------------


def takes_a_result(result: MetricsResult[Any]) -> None:
    raise NotImplementedError


def takes_any_value(result: MetricsResult[object]) -> bool:
    return result.streamed


def takes_a_dict(result: dict[str, Any]) -> None:
    raise NotImplementedError


def sinks(results: list[MetricsResult[Any]]) -> None:
    a_sink: Sink = takes_a_result
    add_sink(a_sink)
    add_sink(takes_any_value)
    add_sink(results.append)
    add_sink(CollectingSink())
    add_sink(LoggingSink("calls", level=logging.DEBUG))
    add_sink(LoggingSink(logging.getLogger("calls"), level="DEBUG"))
    remove_sink(results.append)
    add_sink(takes_a_dict)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    add_sink([])  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    LoggingSink(level=0.5)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


def blocks() -> None:
    with capture() as results, labels(tenant="acme", turn=1):
        assert_type(results, list[MetricsResult[Any]])
    labels(tenant=None)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    labels("acme")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]


# --- the package itself --------------------------------------------------------------------------


def package() -> None:
    assert_type(tokenclock.__version__, str)
    assert_type(tokenclock.summarize([]), tokenclock.Summary)
    assert_type(tokenclock.ResultLog().summary(slo=None), tokenclock.Summary)
    _limits: tokenclock.ServiceLevel = tokenclock.ServiceLevel(time_to_first_token=0.5)
    _error: type[Exception] = TokenclockError
    _warning: type[Warning] = TokenclockWarning
    tokenclock.observ  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType]  # noqa: B018


# --- testing -------------------------------------------------------------------------------------


async def scripted(clock: FakeClock, steps: list[tuple[float, str]]) -> None:
    script = Script(steps, clock=clock, end=0.25, error=ValueError())
    assert_type(script, Script[str])
    assert_type(script.stream(), ScriptedStream[str])
    assert_type(script.astream(), AsyncScriptedStream[str])
    assert_type(script.generator(), Generator[str, Any, None])
    assert_type(script.agenerator(), AsyncGenerator[str, Any])
    assert_type(next(script.stream()), str)
    assert_type(await anext(script.astream()), str)
    assert_type(clock(), int)
    clock.advance(0.5)
    clock.advance("0.5")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    Script([("a", 0.5)], clock=clock)  # type: ignore[list-item]  # pyright: ignore[reportArgumentType]


def collected(sink: CollectingSink) -> None:
    assert_type(sink.results, list[MetricsResult[Any]])
    assert_type(sink.last, MetricsResult[Any] | None)
