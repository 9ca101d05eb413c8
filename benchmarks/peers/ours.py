"""What the three ways of running tokenclock have in common."""

# ruff: noqa: PLC0415 - only its own environment has the package

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from peers.contender import Contender, Function, Record, Request


class Tokenclock(Contender):
    """``@observe``, asked through ``capture()`` by whoever wants to know."""

    distribution = "tokenclock"
    importing = "from tokenclock import observe"
    documentation = "https://pypi.org/project/tokenclock/"

    def __init__(self) -> None:
        self._results: list[Any] = []

    def decorate(self, function: Function) -> Any:
        """Observe a function."""
        from tokenclock import observe

        return observe(function)

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Collect the results of what runs inside."""
        from tokenclock import capture

        with capture() as results:
            self._results = results
            yield

    def records(self, requests: Sequence[Request]) -> list[Record]:
        """Give the results."""
        del requests
        results, self._results = self._results, []
        return [record(result) for result in results]

    def version(self) -> str:
        """Give the version and what drives the streams, where it says so."""
        import tokenclock

        driver = getattr(tokenclock, "driver", "")
        return f"{super().version()} ({driver})" if driver else super().version()


def record(result: Any) -> Record:
    """Give all of a result, with the arrival of each chunk."""
    arrivals = [entry.arrived for entry in result.timeline]
    payload = result.to_dict() | {"timeline": arrivals}
    return Record(result.outcome, payload, result.time_to_first_token)
