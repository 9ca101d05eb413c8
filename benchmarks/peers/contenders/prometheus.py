"""A histogram of Prometheus's client, as a decorator."""

# ruff: noqa: PLC0415 - only its own environment has the package

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from peers.contender import Contender, Function, Record, Request


class Adapter(Contender):
    """``Histogram.time()``."""

    title = "Prometheus `Histogram.time()`"
    distribution = "prometheus-client"
    importing = "from prometheus_client import Histogram"
    settings = (
        "A histogram without labels, in one process: a label look-up or the multiprocess files "
        "would cost more; nothing is scraped."
    )
    documentation = "https://prometheus.github.io/client_python/instrumenting/histogram/"

    def __init__(self) -> None:
        self._histogram: Any = None
        self._seen = 0.0

    def setup(self, edge: str) -> None:
        """Make the histogram."""
        del edge
        from prometheus_client import Histogram

        self._histogram = Histogram("generation_seconds", "How long a generation takes.")

    def decorate(self, function: Function) -> Any:
        """Time a function."""
        return self._histogram.time()(function)

    def records(self, requests: Sequence[Request]) -> list[Record]:
        """Give what the histogram shows, if it counted a call since the last time."""
        del requests
        samples = [
            {"name": sample.name, "labels": dict(sample.labels), "value": sample.value}
            for metric in self._histogram.collect()
            for sample in metric.samples
        ]
        count = next(one["value"] for one in samples if one["name"].endswith("_count"))
        counted, self._seen = count > self._seen, count
        return [Record("", samples)] if counted else []
