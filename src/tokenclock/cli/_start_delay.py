"""How late calls started in an open loop: waiting that their own times leave out."""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from tokenclock._statistics import quantile
from tokenclock._texts import duration

if TYPE_CHECKING:
    from tokenclock._result import MetricsResult
    from tokenclock.summary import Summary

LABEL = "start_delay"
LARGE_SHARE = 0.1


class StartDelays:
    """Keeps the delays of the results that pass through ``watched``, in seconds."""

    def __init__(self) -> None:
        self._delays = array("d")

    def watched(self, results: Iterable[MetricsResult[Any]]) -> Iterator[MetricsResult[Any]]:
        """Give the results as they are; those of calls inside others only inherit the label."""
        for result in results:
            delay = result.attributes.get(LABEL)
            if result.parent_id is None and isinstance(delay, float) and _is_time(delay):
                self._delays.append(delay)
            yield result

    def told(self, summary: Summary) -> StartDelay | None:
        """Give what is to be said of the delays, ``None`` if no call had one."""
        return StartDelay(sorted(self._delays), summary) if self._delays else None


def _is_time(number: float) -> bool:
    return math.isfinite(number) and number >= 0


class StartDelay:
    """The delays of all calls, beside the times that leave them out."""

    def __init__(self, ordered: list[float], summary: Summary) -> None:
        self._count = len(ordered)
        self._p50, self._p95 = quantile(ordered, 0.5), quantile(ordered, 0.95)
        self._maximum = ordered[-1]
        first_token = summary.time_to_first_token.p50
        self._is_first_token = first_token is not None
        self._typical = summary.generation_latency.p50 if first_token is None else first_token

    @property
    def is_large(self) -> bool:
        """Whether the 95th percentile is above 10 % of the median first token (or latency)."""
        typical = self._typical
        return typical is not None and self._p95 > LARGE_SHARE * typical

    def lines(self) -> list[str]:
        """Say how late calls started, and what that means if it is much."""
        metric = "first token" if self._is_first_token else "latency"
        told = (
            f"start delay: p50 {duration(self._p50)}, p95 {duration(self._p95)}, "
            f"max {duration(self._maximum)} from scheduled to actual start (n={self._count})"
        )
        saturated = (
            f"Warning: that p95 is above 10% of the median {metric}: the client was saturated."
        )
        remedy = "Warning: the times leave that waiting out. Raise --concurrency or lower --rate."
        return [told, saturated, remedy] if self.is_large else [told]

    def to_dict(self) -> dict[str, Any]:
        """Give plain data, in seconds."""
        return {
            "count": self._count,
            "p50": self._p50,
            "p95": self._p95,
            "maximum": self._maximum,
            "is_large": self.is_large,
        }
