"""
Measures what many records cost: to write, to read, and to summarise.

    python benchmarks/million_records.py [--count 1000000] [--gaps 20]
"""

from __future__ import annotations

import argparse
import dataclasses
import random
import resource
import sys
import tempfile
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from time import perf_counter
from typing import Any

from tokenclock import MetricsResult
from tokenclock.records import JsonLinesSink, read_records
from tokenclock.summary import summarize

STARTED = datetime(2026, 1, 2, tzinfo=timezone.utc)
DIFFERENT = 1_000  # results that are made; they take turns


def a_result(dice: random.Random, gaps: int) -> MetricsResult[None]:
    """Give a streamed call with log-normal times."""
    first = dice.lognormvariate(-1.5, 0.4)
    between = [dice.lognormvariate(-4, 0.3) for _ in range(gaps)]
    latency = first + sum(between)
    return MetricsResult(
        function="benchmark.stream",
        call_id="",
        started_at=STARTED,
        streamed=True,
        outcome="completed",
        generation_latency=latency,
        time_to_first_chunk=first,
        time_to_first_token=first,
        time_to_first_output_token=first,
        time_to_last_token=latency,
        throughput=(gaps + 1) / latency,
        token_count=gaps + 1,
        token_source="chunks",  # noqa: S106 - the source of a token count is no password
        chunk_count=gaps + 1,
        token_chunk_count=gaps + 1,
        time_per_output_token=sum(between) / gaps if gaps else None,
        inter_token_latencies=between,
        producer_time=latency,
        model="small",
        attributes={"tenant": "acme"},
    )


def results(count: int, gaps: int) -> Iterator[MetricsResult[None]]:
    """Give *count* calls, one begun every hundredth of a second."""
    dice = random.Random(1)  # noqa: S311 - no secret
    made = [a_result(dice, gaps) for _ in range(min(DIFFERENT, count))]
    for number in range(count):
        yield dataclasses.replace(
            made[number % len(made)],
            call_id=f"c-{number}",
            started_at=STARTED + timedelta(seconds=number / 100),
        )


def timed(what: str, count: int, work: Callable[[], Any]) -> Any:
    """Do the work and print how long it took, and the largest memory so far."""
    begun = perf_counter()
    given = work()
    seconds = perf_counter() - begun
    # Linux counts in KiB, macOS in bytes.
    unit = 2**20 if sys.platform == "darwin" else 2**10
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit
    print(
        f"{what:<22}{seconds:8.1f} s  {count / seconds:10,.0f} records/s  peak {peak:6,.0f} MiB",
        flush=True,
    )
    return given


def write(path: Path, count: int, gaps: int) -> None:
    """Write the records; the time includes making the results."""
    with JsonLinesSink(path) as sink:
        for result in results(count, gaps):
            sink(result)


def main() -> None:
    """Write, read and summarise in a folder of its own."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=1_000_000)
    parser.add_argument("--gaps", type=int, default=20)
    options = parser.parse_args()
    count, gaps = options.count, options.gaps
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "runs.jsonl"
        timed("write", count, lambda: write(path, count, gaps))
        print(f"{'':<22}{path.stat().st_size / 2**20:8,.0f} MiB, {count:,} records of {gaps} gaps")
        timed("read", count, lambda: sum(1 for _ in read_records(path)))
        summary = timed("read and summarise", count, lambda: summarize(read_records(path)))
    print()
    print(summary)


if __name__ == "__main__":
    main()
