"""
What measuring costs: bare and measured runs, interleaved in one process.

Each line is the median over rounds; in each round the bare and the measured program run one after
the other, in changing order, so that a machine that changes its speed moves both. Budgets are
those of the compiled driver on CPython 3.11; ``TOKENCLOCK_PURE_PYTHON=1`` measures Python's own.

    python benchmarks/overhead.py [--rounds 15] [--tokens 30000]
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import os
import platform
import statistics
import subprocess
import sys
import tracemalloc
from collections.abc import AsyncIterator, Callable, Iterator
from time import perf_counter_ns, sleep, thread_time_ns
from typing import Any, NamedTuple

from tokenclock import driver, metrics_decorator, observe

TOKEN = "token"  # noqa: S105 - what a model says, no password


class Case(NamedTuple):
    """Two programs that do the same ``units`` pieces of work, and what one piece may cost more."""

    name: str
    unit: str
    units: int
    budget_ns: float | None
    budget_ratio: float | None
    bare: Callable[[], int]
    measured: Callable[[], int]


class Line(NamedTuple):
    """What a case came to: nanoseconds a unit, and the ratio of measured to bare."""

    bare_ns: float
    over_ns: float
    ratio: float


# --- the programs: each gives the nanoseconds that its work took ------------------------------


def generate(count: int) -> Iterator[str]:
    """Yield tokens as fast as Python can."""
    for _ in range(count):
        yield TOKEN


class Tokens:
    """The same from a plain iterator."""

    def __init__(self, count: int) -> None:
        self._left = count

    def __iter__(self) -> Tokens:
        return self

    def again(self, count: int) -> Tokens:
        """Give a fresh one, as a method of an SDK's client does."""
        return Tokens(count)

    def __next__(self) -> str:
        if not self._left:
            raise StopIteration
        self._left -= 1
        return TOKEN


async def agenerate(count: int) -> AsyncIterator[str]:
    """Yield tokens without ever suspending."""
    for _ in range(count):
        yield TOKEN


async def agenerate_suspending(count: int) -> AsyncIterator[str]:
    """Yield tokens, going through the event loop before each."""
    for _ in range(count):
        await asyncio.sleep(0)
        yield TOKEN


def nothing(_: object) -> None:
    """Take a result and do nothing."""


def value(count: int) -> int:
    """Return at once."""
    return count


def reading(function: Callable[[int], Any], count: int, times: int = 1) -> Callable[[], int]:
    """Make a program that reads *times* streams of *count* tokens."""

    def program() -> int:
        started = perf_counter_ns()
        for _ in range(times):
            for _token in function(count):
                pass
        return perf_counter_ns() - started

    return program


def areading(function: Callable[[int], Any], count: int, times: int = 1) -> Callable[[], int]:
    """Make a program that reads *times* async streams of *count* tokens."""

    async def read() -> int:
        started = perf_counter_ns()
        for _ in range(times):
            async for _token in function(count):
                pass
        return perf_counter_ns() - started

    return lambda: asyncio.run(read())


def calling(function: Callable[[int], Any], times: int) -> Callable[[], int]:
    """Make a program that calls a function *times* times."""

    def program() -> int:
        started = perf_counter_ns()
        for _ in range(times):
            function(1)
        return perf_counter_ns() - started

    return program


def cases(tokens: int) -> Iterator[Case]:
    """Give everything that is compared."""
    calls = tokens // 10
    yield Case(
        "generator", "token", tokens, 50, 3,
        reading(generate, tokens), reading(observe(generate), tokens),
    )  # fmt: skip
    yield Case(
        "iterator", "token", tokens, None, None,
        reading(Tokens, tokens), reading(observe(Tokens(0).again), tokens),
    )  # fmt: skip
    yield Case(
        "async generator", "token", tokens, 75, 2.2,
        areading(agenerate, tokens), areading(observe(agenerate), tokens),
    )  # fmt: skip
    yield Case(
        "async generator, sleep(0)", "token", tokens // 5, None, 1.05,
        areading(agenerate_suspending, tokens // 5),
        areading(observe(agenerate_suspending), tokens // 5),
    )  # fmt: skip
    yield Case(
        "value, observe", "call", calls, 2_000, None,
        calling(value, calls), calling(observe(value), calls),
    )  # fmt: skip
    yield Case(
        "value, observe, one sink", "call", calls, 6_000, None,
        calling(value, calls), calling(observe(value, sinks=[nothing]), calls),
    )  # fmt: skip
    yield Case(
        "value, metrics_decorator", "call", calls, 6_000, None,
        calling(value, calls), calling(metrics_decorator(value), calls),
    )  # fmt: skip
    yield Case(
        "1-token stream", "call", calls, 3_000, None,
        reading(generate, 1, calls), reading(observe(generate), 1, calls),
    )  # fmt: skip
    yield Case(
        "1-token async stream", "call", calls, 4_000, None,
        areading(agenerate, 1, calls), areading(observe(agenerate), 1, calls),
    )  # fmt: skip
    yield Case(
        "value, TOKENCLOCK_DISABLED", "call", calls, 0, None,
        calling(value, calls), calling(disabled(value), calls),
    )  # fmt: skip


def disabled(function: Callable[[int], Any]) -> Callable[[int], Any]:
    """Observe a function while observing is switched off."""
    os.environ["TOKENCLOCK_DISABLED"] = "1"
    try:
        observed = observe(function)
    finally:
        del os.environ["TOKENCLOCK_DISABLED"]
    if observed is not function:
        msg = "TOKENCLOCK_DISABLED=1 must hand the function itself back"
        raise AssertionError(msg)
    return observed


def compare(case: Case, rounds: int) -> Line:
    """Run both programs of a case in turn and give the medians."""
    bare: list[float] = []
    measured: list[float] = []
    for number in range(rounds + 1):
        order = [(case.bare, bare), (case.measured, measured)]
        for program, times in order if number % 2 else reversed(order):
            gc.collect()
            took = program() / case.units
            if number:  # the first round only warms up
                times.append(took)
    pairs = list(zip(bare, measured, strict=True))
    return Line(
        statistics.median(bare),
        statistics.median(with_us - without for without, with_us in pairs),
        statistics.median(with_us / without for without, with_us in pairs),
    )


# --- a stream that waits -----------------------------------------------------------------------


def trickle(count: int) -> Iterator[str]:
    """Yield a token every 5 ms, as a model does: meanwhile the processor forgets our code."""
    for _ in range(count):
        sleep(0.005)
        yield TOKEN


def timed_by_hand(count: int) -> Iterator[str]:
    """Do what anybody would write: look at the clock before and after each token."""
    stamps: list[int] = []
    tokens = trickle(count)
    while True:
        stamps.append(perf_counter_ns())
        token = next(tokens, None)
        stamps.append(perf_counter_ns())
        if token is None:
            return
        yield token


def waiting_microseconds(rounds: int, tokens: int = 40) -> dict[str, float]:
    """Give the processor's time for a token in each way, interleaved; medians over rounds."""
    ways: dict[str, Callable[[int], Iterator[str]]] = {
        "bare": trickle,
        "measured": observe(trickle),
        "by hand": timed_by_hand,
    }
    times: dict[str, list[int]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, way in ways.items():
            before = thread_time_ns()
            for _token in way(tokens):
                pass
            times[name].append(thread_time_ns() - before)
    return {name: statistics.median(took) / tokens / 1e3 for name, took in times.items()}


# --- memory and import -------------------------------------------------------------------------


def bytes_per_token(tokens: int) -> float:
    """Give what is kept for each token of a stream that was read and is still referenced."""
    observed = observe(generate)
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    stream = observed(tokens)
    for _token in stream:
        pass
    kept = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    return kept / tokens


def import_milliseconds(rounds: int) -> dict[str, float]:
    """Give the median time of fresh interpreters, interleaved, less that of an empty one."""
    statements = {"wrapt": "import wrapt", "tokenclock": "import tokenclock"}
    bare: list[int] = []
    times: dict[str, list[int]] = {name: [] for name in statements}
    for _ in range(rounds):
        bare.append(start_interpreter("pass"))
        for name, statement in statements.items():
            times[name].append(start_interpreter(statement))
    empty = statistics.median(bare)
    return {name: (statistics.median(took) - empty) / 1e6 for name, took in times.items()}


def start_interpreter(statement: str) -> int:
    """Give how long a fresh interpreter takes to run a statement."""
    started = perf_counter_ns()
    subprocess.run([sys.executable, "-c", statement], check=True)  # noqa: S603 - our own words
    return perf_counter_ns() - started


# --- the table ----------------------------------------------------------------------------------


def two_looks_ns(rounds: int) -> float:
    """Give what of a token's time is the clock's, which no code of ours can make cheaper."""
    from tokenclock import _speed  # noqa: PLC0415 - there with the compiled driver alone

    return statistics.median(_speed.time_of_looks(100_000) / 50_000 for _ in range(rounds))


def budget_of(case: Case) -> str:
    """Say what a case may cost."""
    nanoseconds = None if case.budget_ns is None else f"+{case.budget_ns:,.0f} ns"
    ratio = None if case.budget_ratio is None else f"{case.budget_ratio}x"
    return " and ".join(filter(None, (nanoseconds, ratio))) or "-"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--tokens", type=int, default=30_000)
    arguments = parser.parse_args()
    python = f"{platform.python_implementation()} {platform.python_version()}"
    print(f"{python}, {platform.machine()}, {driver} driver")
    print(f"{'':<28}{'unit':<7}{'bare ns':>9}{'over bare ns':>14}{'ratio':>8}   budget")
    for case in cases(arguments.tokens):
        line = compare(case, arguments.rounds)
        print(
            f"{case.name:<28}{case.unit:<7}{line.bare_ns:>9,.0f}{line.over_ns:>14,.0f}"
            f"{line.ratio:>8.2f}   {budget_of(case)}"
        )
    if driver == "compiled":
        print(
            f"two looks at the clock, which a token takes: {two_looks_ns(arguments.rounds):.0f} ns"
        )
    waiting = waiting_microseconds(arguments.rounds)
    measured, by_hand = waiting["measured"], waiting["by hand"]
    print(
        f"\na token every 5 ms, processor's time: bare {waiting['bare']:.0f} us, over bare "
        f"{measured - waiting['bare']:.0f} us (two looks at the clock by hand: "
        f"{by_hand - waiting['bare']:.0f} us)"
    )
    print(f"memory kept: {bytes_per_token(60_000):.1f} bytes a token (budget 16)")
    took = import_milliseconds(arguments.rounds)
    beyond = took["tokenclock"] - took["wrapt"]
    print(
        f"import over bare Python: wrapt {took['wrapt']:.1f} ms, tokenclock "
        f"{took['tokenclock']:.1f} ms: {beyond:.1f} ms beyond wrapt (budget 25)"
    )


if __name__ == "__main__":
    main()
