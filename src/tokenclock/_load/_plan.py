"""What a run shall do: how often it calls, with what, and when."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from tokenclock.errors import InvalidOptionError

OPEN_LOOP_CONCURRENCY = 64
MOST_CALLS = 10_000_000  # the plan of each is kept, 150 bytes or so


class Job(NamedTuple):
    """
    One call that is to be made.

    Attributes:
        arguments: What the target is called with.
        due: When, in seconds after the start of the schedule; ``None`` as soon as a worker is
            free.
    """

    arguments: tuple[str, ...]
    due: float | None = None


@dataclass(frozen=True, kw_only=True)
class Plan:
    """
    A number of calls, and by which rule one follows the other.

    Without *rate* the loop is closed: every worker calls again as soon as its call has ended.
    With it the loop is open: calls arrive as a Poisson process would send them, whatever becomes
    of the earlier ones, at moments that are fixed before the first call.

    Attributes:
        calls: How many calls count.
        concurrency: How many calls are in flight at most; ``None`` for 1 in a closed loop, for
            64 in an open one.
        prompts: What the calls are given, in turn; none for calls without arguments.
        rate: Calls per second, on average; ``None`` for a closed loop.
        warmup: Calls that come first and do not count. They are given the prompts before the
            first in turn, so that the first one that counts finds no cache filled for it.
        seed: What the moments of an open loop are drawn from: the same seed, the same moments.
    """

    calls: int
    concurrency: int | None = None
    prompts: Sequence[str] = ()
    rate: float | None = None
    warmup: int = 1
    seed: int = 0

    def __post_init__(self) -> None:
        _check_least("calls", self.calls, 1)
        _check_most("calls", self.calls, MOST_CALLS)
        if self.concurrency is not None:
            _check_least("concurrency", self.concurrency, 1)
        _check_least("warmup", self.warmup, 0)
        _check_most("warmup", self.warmup, MOST_CALLS)
        if self.rate is not None and not 0 < self.rate < float("inf"):
            msg = (
                f"Cannot call at a rate of {self.rate:g} per second: it is no positive number. "
                "Pass calls per second, such as 5 or 0.5, or leave it out: then calls follow one "
                "another."
            )
            raise InvalidOptionError(msg, option="rate")

    @property
    def workers(self) -> int:
        """How many calls can be in flight: no more than there are calls."""
        default = 1 if self.rate is None else OPEN_LOOP_CONCURRENCY
        return min(self.concurrency or default, max(self.calls, self.warmup))

    def warmup_jobs(self) -> deque[Job]:
        """Give the calls that do not count."""
        return deque(Job(self._arguments(number)) for number in range(-self.warmup, 0))

    def counted_jobs(self) -> deque[Job]:
        """Give the calls that count, in the order of their moments."""
        moments = self._moments()
        return deque(Job(self._arguments(number), next(moments)) for number in range(self.calls))

    def _arguments(self, number: int) -> tuple[str, ...]:
        return (self.prompts[number % len(self.prompts)],) if self.prompts else ()

    def _moments(self) -> Iterator[float | None]:
        """Give the moments of a Poisson process, whose gaps are exponentially distributed."""
        gaps = random.Random(self.seed)  # noqa: S311 - arrivals, no secrets
        moment = 0.0
        while True:
            if self.rate is None:
                yield None
            else:
                moment += gaps.expovariate(self.rate)
                yield moment


def _check_least(option: str, number: int, least: int) -> None:
    if number < least:
        msg = f"Cannot run with {option}={number}: that is less than {least}. Pass {least} or more."
        raise InvalidOptionError(msg, option=option)


def _check_most(option: str, number: int, most: int) -> None:
    if number > most:
        msg = (
            f"Cannot run with {option}={number}: that is more than {most:,}. "
            "Run several times, with --append to one file."
        )
        raise InvalidOptionError(msg, option=option)
