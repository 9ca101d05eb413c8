"""
Measure in several processes, for one Prometheus: its client's multiprocess mode.

Each process exports what it measures into one folder, and whoever serves the metrics adds it up.
A web server with several workers does the same. It printed:

    process 1: 4 calls, 48 tokens
    process 2: 4 calls, 48 tokens
    process 3: 4 calls, 48 tokens
    what Prometheus would scrape: 12 calls, 144 tokens
"""

from __future__ import annotations

import multiprocessing
import os
import sys
from contextlib import closing
from tempfile import TemporaryDirectory
from typing import Any

from tokenclock import observe
from tokenclock.demo import load_model

try:
    from prometheus_client import CollectorRegistry
    from prometheus_client.multiprocess import MultiProcessCollector

    from tokenclock.exporters.prometheus import PrometheusMetrics
except ImportError:
    sys.exit("This example needs Prometheus' client: pip install 'tokenclock[prometheus]'")

PROMPTS = ("Why is the sky blue?", "What do bees make?", "Name three colours.", "Who are you?")
PROCESSES = 3
TOKENS = 12

Counts = tuple[int, int]  # calls, tokens


def work(_number: int) -> Counts:
    """Ask every prompt in this process; give what was counted without our help."""
    with closing(load_model()) as model, PrometheusMetrics():
        answer = observe(model.stream, name="answer", model=model.name)
        read = [len(list(answer(prompt, max_tokens=TOKENS))) for prompt in PROMPTS]
    return len(read), sum(read)


def work_everywhere(folder: str) -> list[Counts]:
    """Have several processes export into *folder*."""
    # The client reads this when it is imported: in each new process, not any more in this one.
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = folder
    try:
        # Spawned, not forked: a model's threads do not survive a fork.
        with multiprocessing.get_context("spawn").Pool(PROCESSES) as pool:
            return pool.map(work, range(PROCESSES), chunksize=1)
    finally:
        del os.environ["PROMETHEUS_MULTIPROC_DIR"]


def added_up(folder: str) -> CollectorRegistry:
    """Give what a server has to expose: the sums of what is in *folder*."""
    registry = CollectorRegistry()
    collector: Any = MultiProcessCollector
    collector(registry, folder)
    return registry


def total(registry: CollectorRegistry, name: str) -> int:
    samples = (sample for metric in registry.collect() for sample in metric.samples)
    return int(sum(sample.value for sample in samples if sample.name == name))


def main() -> None:
    with TemporaryDirectory() as folder:
        for number, (calls, tokens) in enumerate(work_everywhere(folder), start=1):
            print(f"process {number}: {calls} calls, {tokens} tokens")
        registry = added_up(folder)
        calls = total(registry, "tokenclock_calls_total")
        tokens = total(registry, "tokenclock_tokens_total")
    print(f"what Prometheus would scrape: {calls} calls, {tokens} tokens")


if __name__ == "__main__":
    main()
