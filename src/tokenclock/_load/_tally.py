"""What a run has seen so far: counts and the latest times, for whoever watches it."""

from __future__ import annotations

import threading
from array import array
from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass

from tokenclock._metrics import FIRST_TOKEN, LATENCY, Metric, Result
from tokenclock._statistics import quantile

WATCHED = 1000  # of the latest calls; to sort them takes a fraction of a millisecond
START_DELAY = "start_delay"


@dataclass(frozen=True, kw_only=True)
class Glance:
    """
    One look at a run that goes on.

    Attributes:
        calls: How many calls that count have ended.
        failed: How many of them failed.
        metric: What *p50* and *p95* are of: the first token, or the latency where no call
            streams.
        p50: Median over the latest 1,000 calls, in seconds; ``None`` before the first.
        p95: 95th percentile of the same.
        token_count: Tokens so far, of calls that tell.
    """

    calls: int
    failed: int
    metric: Metric
    p50: float | None
    p95: float | None
    token_count: int


class Tally:
    """
    Counts results as they come; workers add, another thread looks.

    Attributes:
        calls: How many calls that count have ended.
        results: How many results came, those of measured calls inside others included.
        errors: How many calls failed with each type of exception.
        start_delays: Of every call in an open loop, in seconds.
    """

    def __init__(self) -> None:
        self.calls = 0
        self.results = 0
        self.errors: Counter[str] = Counter()
        self.start_delays = array("d")
        self._tokens = 0
        self._latest: dict[Metric, deque[float]] = {
            metric: deque(maxlen=WATCHED) for metric in (FIRST_TOKEN, LATENCY)
        }
        self._lock = threading.Lock()

    def add_call(self, results: Sequence[Result], start_delay: float | None) -> None:
        """Count one call, with all the results that it gave; its own comes last."""
        outer = [result for result in results if result.parent_id is None][-1:]
        with self._lock:
            self.calls += 1
            if start_delay is not None:
                self.start_delays.append(start_delay)
            self.errors.update(one.error or "" for one in outer if one.outcome == "failed")
            self._add(results)

    def add_late(self, results: Sequence[Result]) -> None:
        """Count results that came when their call was over."""
        with self._lock:
            self._add(results)

    def _add(self, results: Sequence[Result]) -> None:
        self.results += len(results)
        for result in results:
            if result.parent_id is not None:  # a part of a call that counts
                continue
            self._tokens += result.token_count or 0
            for metric, latest in self._latest.items():
                if (number := metric.of(result)) is not None:
                    latest.append(number)

    def glance(self) -> Glance:
        """Look at it, from any thread."""
        with self._lock:
            metric = FIRST_TOKEN if self._latest[FIRST_TOKEN] else LATENCY
            numbers = list(self._latest[metric])
            calls, failed, tokens = self.calls, self.errors.total(), self._tokens
        numbers.sort()
        return Glance(
            calls=calls,
            failed=failed,
            metric=metric,
            p50=quantile(numbers, 0.5) if numbers else None,
            p95=quantile(numbers, 0.95) if numbers else None,
            token_count=tokens,
        )
