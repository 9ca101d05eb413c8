"""
Read results in code: filter them, hold them against a budget, write them as JSON.

The model is scripted and the clock is fake, so this always prints:

    3 calls, 2 completed
    summary: first token after 0.25 s, 8 tokens/s
    chat: first token after 0.75 s, 4 tokens/s
    too slow: chat (0.75 s to the first token, budget 0.5 s)
    failed: translate after 1 token: TimeoutError
    {"function": "chat", "outcome": "completed", "time_to_first_token": 0.75, "tenant": "acme"}
    restored: True
"""

from __future__ import annotations

import json
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from tokenclock import MetricsResult, capture, labels, observe
from tokenclock.testing import FakeClock, Script

if TYPE_CHECKING:
    from collections.abc import Iterator

FIRST_TOKEN_BUDGET = 0.5  # seconds

clock = FakeClock()


@observe(name="summary", clock=clock)
def summarise(text: str) -> Iterator[str]:
    yield from Script([(0.25, "Short"), (0.0, ".")], clock=clock).generator()


@observe(name="chat", clock=clock)
def chat(text: str) -> Iterator[str]:
    steps = [(0.75, "Hello"), (0.125, " there"), (0.125, ","), (0.125, " friend"), (0.125, "!")]
    yield from Script(steps, clock=clock).generator()


@observe(name="translate", clock=clock)
def translate(text: str) -> Iterator[str]:
    yield from Script([(0.5, "Bon")], clock=clock, end=2.0, error=TimeoutError()).generator()


def run_calls() -> list[MetricsResult[Any]]:
    """Make three calls, of which one fails, and give what was measured of each."""
    with capture() as results:
        list(summarise("a long text"))
        with labels(tenant="acme"):
            list(chat("Hi!"))
        with suppress(TimeoutError):
            list(translate("good day"))
    return results


def main() -> None:
    results = run_calls()
    completed = [result for result in results if result.outcome == "completed"]
    print(f"{len(results)} calls, {len(completed)} completed")

    for result in completed:
        first, rate = result.time_to_first_token, result.throughput
        print(f"{result.function}: first token after {first} s, {rate:g} tokens/s")

    for result in completed:
        first = result.time_to_first_token
        if first is not None and first > FIRST_TOKEN_BUDGET:
            print(
                f"too slow: {result.function} "
                f"({first} s to the first token, budget {FIRST_TOKEN_BUDGET} s)"
            )

    for result in results:
        if result.outcome == "failed":
            print(f"failed: {result.function} after {result.token_count} token: {result.error}")

    record = completed[1].to_dict()
    shown = {key: record[key] for key in ("function", "outcome", "time_to_first_token")}
    print(json.dumps({**shown, **record["attributes"]}))
    print(f"restored: {MetricsResult.from_dict(json.loads(json.dumps(record))) == completed[1]}")


if __name__ == "__main__":
    main()
