"""
What watching costs: the watched and the bare program, interleaved in one process.

As in ``benchmarks/overhead.py``: both run in each round, in changing order, so that a machine that
changes its speed moves both; what counts is the median of the differences.
"""

from __future__ import annotations

import asyncio
import gc
import statistics
import subprocess
import sys
import tracemalloc
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from time import perf_counter_ns, process_time_ns
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from peers.contender import Contender, Function

TARGET_NS = 40_000_000  # how long one program may take
MOST_CALLS = 500  # so that no queue of a contender overflows and drops what it should send
MEMORY_TOKENS = 2_000
DIGITS = 2  # of a nanosecond


def generate(count: int) -> Iterator[str]:
    """Yield tokens as fast as Python can."""
    for _ in range(count):
        yield "token"


async def agenerate(count: int) -> AsyncIterator[str]:
    """Yield tokens without ever suspending."""
    for _ in range(count):
        yield "token"


def generate_distinct(count: int) -> Iterator[str]:
    """Yield tokens that are objects of their own, as a model's are."""
    for number in range(count):
        yield f"token {number}"


def value(count: int) -> int:
    """Return at once."""
    return count


# --- programs: each does its work so many times and gives the nanoseconds it took ----------------

Program = Callable[[int], int]


def reading(function: Function, tokens: int) -> Program:
    """Read whole streams."""

    def program(times: int) -> int:
        started = perf_counter_ns()
        for _ in range(times):
            for _token in function(tokens):
                pass
        return perf_counter_ns() - started

    return program


def areading(function: Function, tokens: int) -> Program:
    """Read whole async streams in one event loop."""

    async def read(times: int) -> int:
        started = perf_counter_ns()
        for _ in range(times):
            async for _token in function(tokens):
                pass
        return perf_counter_ns() - started

    return lambda times: asyncio.run(read(times))


def calling(function: Function) -> Program:
    """Call a function that returns a value."""

    def program(times: int) -> int:
        started = perf_counter_ns()
        for _ in range(times):
            function(1)
        return perf_counter_ns() - started

    return program


# --- comparing -----------------------------------------------------------------------------------


@dataclass
class Case:
    """A bare and a watched program; a unit is a token or a call, of which each time has so many."""

    bare: Program
    watched: Program
    units: int


@dataclass
class Timing:
    """
    What one case came to, in nanoseconds a unit, a value for each round.

    Attributes:
        times: How often a program did its work in one round.
        bare: Without the contender, in the caller's own time.
        watched: With it.
        processor: Processor time of all threads of the process until all was sent, over bare.
    """

    times: int
    bare: list[float] = field(default_factory=list)
    watched: list[float] = field(default_factory=list)
    processor: list[float] = field(default_factory=list)


def over(timing: dict[str, list[float]]) -> float:
    """
    Give the median of what a unit cost over bare.

    >>> over({"bare": [1.0, 2.0, 1.0], "watched": [5.0, 5.0, 6.0]})
    4.0
    """
    pairs = zip(timing["watched"], timing["bare"], strict=True)
    return statistics.median(watched - bare for watched, bare in pairs)


def compare(case: Case, rounds: int, flush: Callable[[], None]) -> Timing:
    """Run both programs of a case in turn; nothing is left to be sent when one starts."""
    timing = Timing(times=fitting(case.watched))
    flush()
    per = timing.times * case.units
    for number in range(rounds):
        if number % 2:
            bare = timed(case.bare, timing.times)
            watched = timed(case.watched, timing.times, flush)
        else:
            watched = timed(case.watched, timing.times, flush)
            bare = timed(case.bare, timing.times)
        timing.bare.append(round(bare[0] / per, DIGITS))
        timing.watched.append(round(watched[0] / per, DIGITS))
        timing.processor.append(round((watched[1] - bare[1]) / per, DIGITS))
    return timing


def timed(
    program: Program, times: int, flush: Callable[[], None] = lambda: None
) -> tuple[int, int]:
    """Give a program's own time, and the processor's for it and all that it left to be sent."""
    gc.collect()
    before = process_time_ns()
    took = program(times)
    flush()
    return took, process_time_ns() - before


def fitting(program: Program) -> int:
    """Find how often a program can do its work in the time we give it, and warm it up."""
    program(1)
    once = max(program(1), 1)
    return max(1, min(MOST_CALLS, TARGET_NS // once))


def times(
    contender: Contender, rounds: int, tokens: int, short_tokens: int
) -> dict[str, dict[str, Any]]:
    """Measure everything that has a time."""
    stream, astream = contender.decorate(generate), contender.decorate(agenerate)
    cases = {"value": Case(calling(value), calling(contender.decorate(value)), 1)}
    for name, count in (("short", short_tokens), ("long", tokens)):
        cases[f"sync_{name}"] = Case(reading(generate, count), reading(stream, count), count)
        cases[f"async_{name}"] = Case(areading(agenerate, count), areading(astream, count), count)
    cases |= contender.inline(tokens)
    return {name: vars(compare(case, rounds, contender.flush)) for name, case in cases.items()}


# --- memory --------------------------------------------------------------------------------------


def memory(contender: Contender) -> dict[str, float]:
    """
    Give the bytes that Python keeps a token, with the fastest settings and with the default ones.

    ``held`` is when all tokens were read and the stream is not over yet, ``ended`` when it has just
    ended and is still referenced. What a call costs whatever its length is taken out: the
    difference between two lengths counts. What a package allocates outside Python is not seen.
    """
    ways = {"": contender.decorate, "_by_default": contender.decorate_by_default}
    return {
        f"{moment}{suffix}": kept
        for suffix, decorate in ways.items()
        for moment, kept in kept_per_token(decorate(generate_distinct), contender).items()
    }


def kept_per_token(function: Function, contender: Contender) -> dict[str, float]:
    """Compare a stream with one twice as long; medians of three."""
    kept = [kept_by(function, count, contender) for count in (MEMORY_TOKENS, 2 * MEMORY_TOKENS) * 3]
    differences = [
        [long - short for short, long in zip(kept[number], kept[number + 1], strict=True)]
        for number in range(0, len(kept), 2)
    ]
    medians = [
        statistics.median(column) / MEMORY_TOKENS for column in zip(*differences, strict=True)
    ]
    return dict(zip(("held", "ended"), medians, strict=True))


def kept_by(function: Function, count: int, contender: Contender) -> tuple[int, int]:
    """Give what one stream keeps, before and after it has ended."""
    contender.flush()
    gc.collect()
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    stream = iter(function(count))
    for _ in range(count):
        next(stream)
    held = tracemalloc.get_traced_memory()[0] - before
    next(stream, None)
    ended = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    return held, ended


# --- import --------------------------------------------------------------------------------------


def import_milliseconds(statement: str, rounds: int) -> list[float]:
    """Give how much longer a fresh interpreter takes with the import, a value for each round."""
    taken: list[float] = []
    for number in range(rounds + 1):
        order = ("pass", statement) if number % 2 else (statement, "pass")
        took = {line: start_interpreter(line) for line in order}
        if number:  # the first round only writes the byte code
            taken.append((took[statement] - took["pass"]) / 1e6)
    return taken


def start_interpreter(statement: str) -> int:
    """Give how long a fresh interpreter takes to run a statement and end."""
    started = perf_counter_ns()
    subprocess.run([sys.executable, "-c", statement], check=True)  # noqa: S603 - our own words
    return perf_counter_ns() - started
