"""
What exporting costs the measured program: a put, and a token while exporters are installed.

As in overhead.py, each line is the median over rounds of two programs that run one after the
other, in changing order: what is bare here, and the same with what the line names.

    python benchmarks/exporters.py [--rounds 15] [--tokens 100000]
"""

from __future__ import annotations

import argparse
import platform
import threading
import warnings
from collections.abc import Callable, Iterator
from time import perf_counter_ns
from typing import Any

from overhead import Case, agenerate, areading, compare, generate, reading
from tokenclock import MetricsResult, add_sink, measure, observe, remove_sink
from tokenclock.errors import MissingExtraError, TokenclockWarning
from tokenclock.exporters import Background

Program = Callable[[], int]
Installed = Callable[[Program], Program]

PUT_BUDGET_NS = 5_000
receiver_is_up = threading.Event()


# --- one put -----------------------------------------------------------------------------------


def nothing(_: MetricsResult[Any]) -> None:
    """Take a result, as a sink does."""


def a_result() -> MetricsResult[Any]:
    """Give the result of a short stream."""
    stream = measure(generate(2))
    list(stream)
    return stream.metrics


def putting(sink: Callable[[MetricsResult[Any]], object], times: int) -> Program:
    """Make a program that gives a sink *times* results; what waits is not of the time taken."""
    result = a_result()

    def program() -> int:
        started = perf_counter_ns()
        for _ in range(times):
            sink(result)
        took = perf_counter_ns() - started
        if isinstance(sink, Background):
            sink.flush(0.5)
        return took

    return program


def hang(_: MetricsResult[Any]) -> None:
    """Wait for a receiver that does not answer."""
    receiver_is_up.wait()


def full() -> Background:
    """Give a background whose sink hangs and whose queue has no room left."""
    background = Background(hang, max_queue=1)
    while not background.dropped:
        background(a_result())
    return background


def puts(times: int) -> Iterator[Case]:
    """Give what a call pays when its result is put."""
    idle = Background(nothing, max_queue=10 * times)
    for name, background in (("put", idle), ("put, queue full", full())):
        bare, measured = putting(nothing, times), putting(background, times)
        yield Case(name, "call", times, PUT_BUDGET_NS, None, bare, measured)


# --- a token, with exporters installed -----------------------------------------------------------


def exporting(program: Program, background: Background) -> Program:
    """Make the program run while the whole process has this background as a sink."""

    def installed() -> int:
        add_sink(background)
        try:
            return program()
        finally:
            remove_sink(background)

    return installed


def tracing() -> Installed | None:
    """Give what installs spans around a program; ``None`` where OpenTelemetry is missing."""
    try:
        from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415 - an extra

        from tokenclock.exporters.opentelemetry import OpenTelemetrySpans  # noqa: PLC0415 - as above
    except (ImportError, MissingExtraError):
        return None
    spans = OpenTelemetrySpans(TracerProvider())

    def install(program: Program) -> Program:
        def installed() -> int:
            with spans:
                return program()

        return installed

    return install


def per_token(tokens: int, trace: Installed | None) -> Iterator[Case]:
    """Give what a token costs bare and measured, and measured with something installed."""
    for name, read, function in (
        ("generator", reading, generate),
        ("async generator", areading, agenerate),
    ):
        bare, measured = read(function, tokens), read(observe(function), tokens)
        yield Case(f"{name}, no exporter", "token", tokens, None, None, bare, measured)
        yield Case(
            f"{name}, sink hangs", "token", tokens, None, None, bare, exporting(measured, full())
        )
        if trace is not None:
            yield Case(f"{name}, spans", "token", tokens, None, None, bare, trace(measured))


def before_and_during(tokens: int, calls: int) -> Iterator[Case]:
    """Give the same measured programs while a sink answers, and while it hangs."""
    idle = Background(nothing, max_queue=100 * calls)
    generator, agenerator = observe(generate), observe(agenerate)
    for name, unit, units, program in (
        ("generator", "token", tokens, reading(generator, tokens)),
        ("async generator", "token", tokens, areading(agenerator, tokens)),
        ("1-token stream", "call", calls, reading(generator, 1, calls)),
    ):
        with_sink, with_hanging = exporting(program, idle), exporting(program, full())
        yield Case(name, unit, units, None, None, with_sink, with_hanging)


# --- the table -----------------------------------------------------------------------------------


def print_table(title: str, cases: Iterator[Case], rounds: int, *columns: str) -> None:
    """Print a line for each case: nanoseconds of both programs, and their ratio."""
    first, second = columns
    print(f"\n{title:<34}{'unit':<7}{first + ' ns':>12}{second + ' ns':>16}{'ratio':>8}")
    for case in cases:
        line = compare(case, rounds)
        with_us = line.bare_ns + line.over_ns
        budget = "" if case.budget_ns is None else f"  (budget {case.budget_ns:,.0f} ns over)"
        print(
            f"{case.name:<34}{case.unit:<7}{line.bare_ns:>12,.0f}{with_us:>16,.0f}"
            f"{line.ratio:>8.2f}{budget}"
        )


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--tokens", type=int, default=100_000)
    arguments = parser.parse_args()
    tokens, rounds = arguments.tokens, arguments.rounds
    warnings.simplefilter("ignore", TokenclockWarning)  # that a queue is full is the point here
    trace = tracing()
    print(f"{platform.python_implementation()} {platform.python_version()}, {platform.machine()}")
    print_table("one result", puts(tokens // 10), rounds, "direct", "background")
    print_table("one token", per_token(tokens, trace), rounds, "bare", "measured")
    if trace is None:
        print("(no line for spans: install tokenclock[otel] and opentelemetry-sdk)")
    title = "measured, a sink behind a queue"
    print_table(title, before_and_during(tokens, tokens // 10), rounds, "answers", "hangs")
    receiver_is_up.set()  # or the exit waits for those that hang


if __name__ == "__main__":
    main()
