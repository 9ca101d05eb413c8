"""
Measure in several processes, and summarise all of it in one place.

Each process has a model of its own and counts for itself what it reads. All of them write to one
file of records, a line for each call; the parent reads it. It printed:

    process 1: 4 calls, 48 tokens
    process 2: 4 calls, 48 tokens
    process 3: 4 calls, 48 tokens
    the file: 12 calls, 144 tokens
"""

from __future__ import annotations

import multiprocessing
from contextlib import closing
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from tokenclock import labels, observe, summarize
from tokenclock.demo import load_model
from tokenclock.records import JsonLinesSink, read_records

PROMPTS = ("Why is the sky blue?", "What do bees make?", "Name three colours.", "Who are you?")
PROCESSES = 3
TOKENS = 12


class Part(NamedTuple):
    """What a process counted without our help."""

    number: int
    calls: int
    tokens: int


def work(path: Path, number: int) -> Part:
    """Ask every prompt in this process; the results go to the file."""
    with closing(load_model()) as model, JsonLinesSink(path) as file, labels(process=number):
        answer = observe(model.stream, name="answer", model=model.name, sinks=[file])
        read = [len(list(answer(prompt, max_tokens=TOKENS))) for prompt in PROMPTS]
    return Part(number, len(read), sum(read))


def main() -> None:
    # Spawned, not forked: a model's threads do not survive a fork.
    processes = multiprocessing.get_context("spawn")
    with TemporaryDirectory() as folder, processes.Pool(PROCESSES) as pool:
        path = Path(folder, "runs.jsonl")
        for part in pool.map(partial(work, path), range(1, PROCESSES + 1)):
            print(f"process {part.number}: {part.calls} calls, {part.tokens} tokens")
        results = list(read_records(path))
    print(f"the file: {len(results)} calls, {sum(one.token_count or 0 for one in results)} tokens")
    print(summarize(results))


if __name__ == "__main__":
    main()
