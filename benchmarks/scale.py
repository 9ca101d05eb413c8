"""
Whether what measuring costs grows with the number of streams, threads or open calls.

Bare and measured programs run interleaved, as in overhead.py. All programs of a table read the same
number of tokens in streams of the same length; what differs is how many are open at once. Starting
and ending a stream is in the cost of its tokens. Times are the processor's: machines are busy, and
threads wait for each other. Threads get a second table, of elapsed time.

Streams that take turns at every token push each other out of the processor's caches, whoever
measures them: the bare token costs more too, and so do stamps that are taken by hand.

    python benchmarks/scale.py [--rounds 9] [--tokens 100000]
"""

from __future__ import annotations

import argparse
import asyncio
import platform
import threading
import tracemalloc
from array import array
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from time import perf_counter_ns, process_time_ns
from typing import Any, NamedTuple

from overhead import Case, agenerate, agenerate_suspending, compare, generate, value
from tokenclock import metrics_decorator, observe

Program = Callable[[], int]

STREAMS = (1, 100, 2_000)
THREADS = (1, 2, 4, 8, 16)
TOKENS_A_STREAM = 50
TOKENS_A_STREAM_OF_A_THREAD = 1_000


class Row(NamedTuple):
    """How many there are at once, and a bare and a measured program of so many units."""

    at_once: int
    units: int
    bare: Program
    measured: Program


# --- many streams in one event loop --------------------------------------------------------------


def read_at_once(function: Callable[[int], Any], streams: int, times: int) -> Program:
    """Make a program that reads so many streams at once, so many times."""

    async def read() -> None:
        async for _token in function(TOKENS_A_STREAM):
            pass

    async def read_all() -> int:
        started = process_time_ns()
        for _ in range(times):
            await asyncio.gather(*(read() for _ in range(streams)))
        return process_time_ns() - started

    return lambda: asyncio.run(read_all())


async def stamped_by_hand(count: int) -> AsyncIterator[str]:
    """Do what anybody would write: keep the time before and after each token of the same stream."""
    stamps = array("q")
    tokens = agenerate_suspending(count)
    while True:
        stamps.append(perf_counter_ns())
        token = await anext(tokens, None)
        stamps.append(perf_counter_ns())
        if token is None:
            return
        yield token


def in_one_loop(
    function: Callable[[int], AsyncIterator[str]],
    observed: Callable[[int], AsyncIterator[str]],
    tokens: int,
    counts: Iterable[int],
) -> Iterator[Row]:
    """Give a row for each number of streams in one event loop."""
    for streams in counts:
        times = max(tokens // (streams * TOKENS_A_STREAM), 1)
        yield Row(
            streams,
            times * streams * TOKENS_A_STREAM,
            read_at_once(function, streams, times),
            read_at_once(observed, streams, times),
        )


# --- threads -------------------------------------------------------------------------------------


def read_in_threads(
    function: Callable[[int], Iterator[str]], threads: int, times: int, clock: Callable[[], int]
) -> Program:
    """Make a program whose threads each read so many streams, one after the other."""

    def read(barrier: threading.Barrier) -> None:
        barrier.wait()
        for _ in range(times):
            for _token in function(TOKENS_A_STREAM_OF_A_THREAD):
                pass

    def program() -> int:
        barrier = threading.Barrier(threads + 1)
        readers = [threading.Thread(target=read, args=(barrier,)) for _ in range(threads)]
        for reader in readers:
            reader.start()
        started = clock()
        barrier.wait()
        for reader in readers:
            reader.join()
        return clock() - started

    return program


def in_threads(tokens: int, counts: Iterable[int], clock: Callable[[], int]) -> Iterator[Row]:
    """Give a row for each number of threads."""
    observed = observe(generate)
    for threads in counts:
        times = max(tokens // (threads * TOKENS_A_STREAM_OF_A_THREAD), 1)
        yield Row(
            threads,
            times * threads * TOKENS_A_STREAM_OF_A_THREAD,
            read_in_threads(generate, threads, times, clock),
            read_in_threads(observed, threads, times, clock),
        )


# --- calls inside a stream, while others are open ------------------------------------------------


def opened(function: Callable[[int], Iterator[str]], count: int) -> list[Iterator[str]]:
    """Give streams that have begun and go on."""
    streams = [function(2) for _ in range(count)]
    for stream in streams:
        next(stream)
    return streams


def calling_inside(inner: Callable[[int], Any], calls: int, others: int) -> Program:
    """Make a program in which a measured stream's body calls a function, while others are open."""
    observed = observe(generate)

    @observe
    def body() -> Iterator[int]:
        started = process_time_ns()
        for number in range(calls):
            inner(number)
        yield process_time_ns() - started

    def program() -> int:
        streams = opened(observed, others)
        took = sum(body())
        del streams
        return took

    return program


def inside_a_stream(calls: int, counts: Iterable[int]) -> Iterator[Row]:
    """Give a row for each number of other streams that are open meanwhile."""
    for others in counts:
        yield Row(
            others,
            calls,
            calling_inside(value, calls, others),
            calling_inside(observe(value), calls, others),
        )


def check_parents(others: int) -> None:
    """Make sure that a call inside a stream finds it, however many others are open."""

    @metrics_decorator
    def body() -> Iterator[str | None]:
        yield metrics_decorator(value)(1).parent_id

    streams = opened(observe(generate), others)
    stream = body()
    if list(stream) != [stream.metrics.call_id]:
        msg = f"a call inside a stream must find it among {len(streams)} others"
        raise AssertionError(msg)


# --- memory --------------------------------------------------------------------------------------


def bytes_a_stream(function: Callable[[int], Iterator[str]], count: int) -> float:
    """Give what each of so many open streams holds."""
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    streams = opened(function, count)
    held = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    return held / len(streams)


# --- the tables ----------------------------------------------------------------------------------


def print_table(title: str, unit: str, rows: Iterable[Row], rounds: int) -> None:
    """Print a line for each row; the last column is what is over bare, by that of the first."""
    print(f"\n{title + ', ns a ' + unit:<50}{'bare':>10}{'over bare':>12}{'ratio':>8}{'growth':>8}")
    first = None
    for row in rows:
        case = Case("", unit, row.units, None, None, row.bare, row.measured)
        line = compare(case, rounds)
        first = first or line.over_ns
        print(
            f"{row.at_once:>50,}{line.bare_ns:>10,.0f}{line.over_ns:>12,.0f}{line.ratio:>8.2f}"
            f"{line.over_ns / first:>8.2f}"
        )


def print_memory(counts: Iterable[int]) -> None:
    """Print what an open stream holds, for each number of them."""
    print(f"\n{'open streams, bytes each':<50}{'bare':>10}{'over bare':>12}")
    observed = observe(generate)
    for count in counts:
        bare = bytes_a_stream(generate, count)
        print(f"{count:>50,}{bare:>10,.0f}{bytes_a_stream(observed, count) - bare:>12,.0f}")


def print_all(rounds: int, tokens: int, streams: Sequence[int], threads: Sequence[int]) -> None:
    """Print all tables."""
    for title, function, measured in (
        ("streams at once, sleep(0)", agenerate_suspending, observe(agenerate_suspending)),
        ("the same, stamped by hand", agenerate_suspending, stamped_by_hand),
        ("streams at once, no sleep", agenerate, observe(agenerate)),
    ):
        rows = in_one_loop(function, measured, tokens, streams)
        print_table(title, "token", rows, rounds)
    for title, clock in (
        ("threads, processor's time", process_time_ns),
        ("threads, elapsed time", perf_counter_ns),
    ):
        print_table(title, "token", in_threads(4 * tokens, threads, clock), rounds)
    for others in streams:
        check_parents(others)
    title = "a call inside a stream, others open"
    print_table(title, "call", inside_a_stream(max(tokens // 10, 1), streams), rounds)
    print_memory(streams)


def main(
    arguments: Sequence[str] | None = None,
    *,
    streams: Sequence[int] = STREAMS,
    threads: Sequence[int] = THREADS,
) -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--tokens", type=int, default=100_000)
    options = parser.parse_args(arguments)
    print(f"{platform.python_implementation()} {platform.python_version()}, {platform.machine()}")
    print_all(options.rounds, options.tokens, streams, threads)


if __name__ == "__main__":
    main()
