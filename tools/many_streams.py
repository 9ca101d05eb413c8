"""
Read many measured streams in every way there is, and see whether anything is left behind.

Each batch goes through its share of ``ways_of_reading`` and then looks at the reference counts of
what all streams share, at the interpreter's blocks and at the memory of the process. What grows
from batch to batch leaks; one reference lost in one way of reading is far more than the limits
allow.

    python tools/many_streams.py [--streams 1000000] [--batches 10] [--driver compiled]
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import sys
from pathlib import Path
from types import AsyncGeneratorType, GeneratorType

import tokenclock
from ways_of_reading import AWAYS, CHUNK, TOKEN, WAYS, Broken, atokens, tokens

WARM_UP = 3  # batches after which caches, free lists and the allocator's arenas are full
# By how much a count may grow over all batches; the first two hold the counts themselves, too.
LIMITS = {"blocks": 500, "all references": 500, "kilobytes": 4_096}
MOST_REFERENCES = 50  # to any one object


async def read_async(times: int) -> None:
    """Go through the async ways so many times, in one event loop."""
    for _ in range(times):
        for way in AWAYS:
            await way()


def read_batch(times: int) -> None:
    """Go through all ways so many times."""
    for _ in range(times):
        for way in WAYS:
            way()
    asyncio.run(read_async(times))


def shared_objects() -> dict[str, object]:
    """Give what all streams refer to, and so what a lost reference may be one to."""
    speed = sys.modules.get("tokenclock._speed")
    types = [value for value in vars(speed).values() if isinstance(value, type)] if speed else []
    return {
        "None": None, "the token": TOKEN, "the chunk": CHUNK, "the function": tokens,
        "its code": tokens.__code__, "the async function": atokens, "Broken": Broken,
        "generator": GeneratorType, "async generator": AsyncGeneratorType,
        **{f"_speed.{kind.__name__}": kind for kind in types},
    }  # fmt: skip


def resident_kilobytes() -> int:
    """Give the memory of the process, where the system tells; else 0."""
    status = Path("/proc/self/status")
    lines = status.read_text(encoding="ascii").splitlines() if status.exists() else []
    return next((int(line.split()[1]) for line in lines if line.startswith("VmRSS:")), 0)


def look() -> dict[str, int]:
    """Count everything, once the collector has taken what it can."""
    for _ in range(3):
        gc.collect()
    counts = {name: sys.getrefcount(each) for name, each in shared_objects().items()}
    if hasattr(sys, "gettotalrefcount"):  # a debug build
        counts["all references"] = sys.gettotalrefcount()
    counts["blocks"] = sys.getallocatedblocks()
    if counts["blocks"]:  # else the allocator is a checker's, which holds back what is freed
        counts["kilobytes"] = resident_kilobytes()
    return counts


def main() -> int:
    """Read, print what is left behind, and give 1 if anything is."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--streams", type=int, default=1_000_000)
    parser.add_argument("--batches", type=int, default=10)
    parser.add_argument("--driver", choices=["compiled", "python"], default="compiled")
    arguments = parser.parse_args()
    if tokenclock.driver != arguments.driver:
        print(f"The driver is {tokenclock.driver!r}, not {arguments.driver!r}: nothing was read.")
        return 2
    times = max(1, arguments.streams // arguments.batches // (len(WAYS) + len(AWAYS)))
    counts: list[dict[str, int]] = []
    for _ in range(WARM_UP + arguments.batches):
        read_batch(times)
        counts.append(look())
    return report([*counts[WARM_UP - 1 :]], times * arguments.batches * (len(WAYS) + len(AWAYS)))


def report(counts: list[dict[str, int]], streams: int) -> int:
    """Print each count at the start, half-way and at the end; give 1 if one has grown."""
    first, middle, last = counts[0], counts[len(counts) // 2], counts[-1]
    grown = [name for name in first if last[name] - first[name] > LIMITS.get(name, MOST_REFERENCES)]
    print(f"Python {sys.version.split()[0]}, {tokenclock.driver} driver, {streams:,} streams")
    for name in first:
        mark = "  GROWS" if name in grown else ""
        print(f"{name:<28}{first[name]:>12,}{middle[name]:>12,}{last[name]:>12,}{mark}")
    return int(bool(grown))


if __name__ == "__main__":
    sys.exit(main())
