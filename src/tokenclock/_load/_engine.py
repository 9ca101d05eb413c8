"""One run of a target by plan: what calls on threads and calls in an event loop share."""

from __future__ import annotations

import asyncio
import gc
import os
import threading
import time
import traceback
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

from tokenclock import _log
from tokenclock._load._consume import NeedsLoopError
from tokenclock._load._tally import START_DELAY, Tally
from tokenclock._metrics import Result
from tokenclock._sinks import capture, labels
from tokenclock.errors import NotMeasurableError

if TYPE_CHECKING:
    from tokenclock._attributes import AttributeValue
    from tokenclock._load._plan import Job, Plan
    from tokenclock._load._target import Target

Take = Callable[[Result], object]

LONGEST_WAIT = 3600.0  # seconds: no lock can wait for a time beyond what the system counts


class Timer:
    """The time of a run in seconds, and how to let it pass."""

    def now(self) -> float:
        """Give the time on a clock that never goes back."""
        return time.perf_counter()

    def wait(self, seconds: float, woken: threading.Event) -> None:
        """Let time pass on a thread, an hour at most, until it is woken."""
        woken.wait(min(seconds, LONGEST_WAIT))

    async def await_(self, seconds: float) -> None:
        """Let time pass in an event loop, until it is cancelled."""
        await asyncio.sleep(seconds)


class Load(ABC):
    """
    One run: its calls, one after the other and side by side, and what they gave.

    Everything happens on threads of its own, so that whoever started it can watch. Nothing that
    a target raises ends the run, but ``KeyboardInterrupt`` stops it.

    Args:
        target: What is called.
        plan: How often, with what and when.
        take: Gets every result that counts, when its call has ended; on any thread.
        attributes: Labels for every result.
        timer: What tells the time.

    Attributes:
        tally: What has come so far.
        was_interrupted: Whether the target itself, or a task that it started, asked for that by
            a ``KeyboardInterrupt``.
        first_error: Where the first exception of a call that counts was raised, with its type and
            without its message, which may carry what a model generated.
    """

    def __init__(
        self,
        target: Target,
        plan: Plan,
        take: Take,
        *,
        attributes: Mapping[str, AttributeValue] | None = None,
        timer: Timer | None = None,
    ) -> None:
        target.check_takes(tuple(plan.prompts[:1]))
        self.tally = Tally()
        self.was_interrupted = False
        self.first_error: str | None = None
        self._target = target
        self._workers = plan.workers
        self._warmup = plan.warmup_jobs()
        self._counted = plan.counted_jobs()
        self._take = take
        self._attributes = dict(attributes or {})
        self._timer = timer or Timer()
        self._began: float | None = None
        self._ended: float | None = None
        self._failure: BaseException | None = None
        self._given: list[list[Result]] = []
        self._process = os.getpid()
        self._over = threading.Event()
        self._stopping = threading.Event()

    @property
    def is_stopping(self) -> bool:
        """Whether no further calls are made."""
        return self._stopping.is_set()

    @property
    def seconds(self) -> float:
        """How long the calls that count have taken together so far; 0 before the first."""
        if self._began is None:
            return 0.0
        return (self._timer.now() if self._ended is None else self._ended) - self._began

    def start(self) -> None:
        """Begin to call. Daemon threads, so that a call that never ends keeps no process alive."""
        threading.Thread(target=self._run_to_end, name="tokenclock-run", daemon=True).start()

    def wait(self, seconds: float | None = None) -> bool:
        """Wait until the run is over, at most so long; tell whether it is."""
        return self._over.wait(seconds)

    def stop(self) -> None:
        """Make no further calls and end those in flight: streams at their next chunk."""
        self._stopping.set()

    def finish(self) -> None:
        """
        Take what came late; to be called when the run is over.

        Raises:
            NotMeasurableError: If the target needs an event loop and does not say so, or a task
                of its own ended the loop.
            InvalidOptionError: If the system does not start that many threads.
            Exception: What ended the run: a failure of whoever takes the results.
        """
        gc.collect()  # a dropped stream that is part of a cycle ends only now
        for given in self._given:
            late = _emptied(given)
            self.tally.add_late(late)
            for result in late:
                self._take(result)
        if self._failure is not None:
            raise self._failure

    def _run_to_end(self) -> None:
        try:
            self._run()
        except BaseException as error:  # noqa: BLE001 - finish() raises it
            self._fail(error)
        self._ended = self._timer.now()
        self._over.set()

    @abstractmethod
    def _run(self) -> None:
        """Make all calls."""

    def _begin(self) -> None:
        """Start the clock of the schedule."""
        self._began = self._timer.now()

    def _fail(self, error: BaseException) -> None:
        self._failure = self._failure or error
        self.stop()

    def _next(self, jobs: deque[Job]) -> Job | None:
        """Give the next job, to one worker only."""
        try:
            return None if self.is_stopping else jobs.popleft()
        except IndexError:
            return None

    def _until(self, job: Job) -> float:
        """Give the seconds until a job is due: less than nothing where it is late."""
        if job.due is None or self._began is None:
            return 0.0
        return self._began + job.due - self._timer.now()

    @contextmanager
    def _call(self, job: Job) -> Generator[None]:
        """Label and collect what one call gives; what it raises is in its result."""
        start_delay = None if job.due is None else max(-self._until(job), 0.0)
        delayed = {} if start_delay is None else {START_DELAY: start_delay}
        exit_code = 0
        with labels(**{**self._attributes, **delayed}), capture() as results:
            try:
                yield
            except NeedsLoopError:
                self._fail(NotMeasurableError(_needs_loop(self._target.name)))
            except BaseException as error:  # noqa: BLE001 - a failing call is a result
                exit_code = _exit_code(error)
                self._noticed(error)
        if os.getpid() != self._process:  # a forked child came back: the run is its parent's
            os._exit(exit_code)  # pragma: no cover - tested, but ends before coverage is written
        if self._began is not None:
            self._deliver(results, start_delay)

    def _noticed(self, error: BaseException) -> None:
        if isinstance(error, KeyboardInterrupt):
            self.was_interrupted = True
            self.stop()
        elif self._began is not None and self.first_error is None:
            self.first_error = _where(error)

    def _deliver(self, results: list[Result], start_delay: float | None) -> None:
        """Hand on what a call gave; its list stays, for results that come when it is over."""
        self._given.append(results)
        finished = _emptied(results)
        self.tally.add_call(finished, start_delay)
        try:
            for result in finished:
                self._take(result)
        except BaseException as error:  # noqa: BLE001 - finish() raises it
            self._fail(error)


def _emptied(results: list[Result]) -> list[Result]:
    """Take what is in a list that others may still append to."""
    taken = list(results)
    del results[: len(taken)]
    return taken


def _where(error: BaseException) -> str:
    """Say of which type an exception is and where it was raised; not what it says."""
    last = traceback.extract_tb(error.__traceback__, limit=-1)[-1]
    return f"{_log.type_name(type(error))} at {last.filename}:{last.lineno}, in {last.name}"


def _exit_code(error: BaseException) -> int:
    """
    Give the code of a process that ends by an exception.

    >>> _exit_code(SystemExit()), _exit_code(SystemExit(3)), _exit_code(OSError())
    (0, 3, 1)
    """
    code = error.code if isinstance(error, SystemExit) else error
    return code if isinstance(code, int) else int(code is not None)


def _needs_loop(name: str) -> str:
    return (
        f"Cannot run {name!r} on threads: it is an ordinary function, and what it gives has to be "
        "awaited. Make it a coroutine function or an async generator function: async def."
    )
