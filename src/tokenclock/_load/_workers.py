"""Who makes the calls of a run: threads, or the tasks of one event loop."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Mapping
from typing import TYPE_CHECKING

from tokenclock._load._consume import aconsume, consume
from tokenclock._load._engine import Load
from tokenclock.errors import InvalidOptionError, NotMeasurableError

if TYPE_CHECKING:
    from tokenclock._attributes import AttributeValue
    from tokenclock._load._engine import Take
    from tokenclock._load._plan import Job, Plan
    from tokenclock._load._target import Target


class ThreadLoad(Load):
    """A run of a function that blocks: each worker is a thread."""

    def _run(self) -> None:
        # Warm-up and calls that count share the threads: some clients keep a connection for each.
        ready = threading.Barrier(self._workers, action=self._begin)
        workers = [
            threading.Thread(target=self._work, args=(ready,), name="tokenclock-call", daemon=True)
            for _ in range(self._workers)
        ]
        started = 0
        try:
            for started, worker in enumerate(workers):  # noqa: B007 - read below
                worker.start()
        except RuntimeError:
            self._fail(InvalidOptionError(_too_many(len(workers), started), option="concurrency"))
            ready.abort()
            return
        for worker in workers:
            worker.join()

    def _work(self, ready: threading.Barrier) -> None:
        try:
            self._each(self._warmup)
            ready.wait()
            self._each(self._counted)
        except BaseException as error:  # noqa: BLE001 - finish() raises it
            self._fail(error)
            ready.abort()

    def _each(self, jobs: deque[Job]) -> None:
        while (job := self._next(jobs)) is not None:
            while (seconds := self._until(job)) > 0 and not self.is_stopping:
                self._timer.wait(seconds, self._stopping)
            if self.is_stopping:
                return
            with self._call(job):
                consume(self._target.function(*job.arguments), self._stopping.is_set)


class LoopLoad(Load):
    """A run of an async function: each worker is a task of one event loop."""

    _loop: asyncio.AbstractEventLoop | None = None
    _tasks: tuple[asyncio.Task[None], ...] = ()

    def _run(self) -> None:
        try:
            asyncio.run(self._arun())
        except KeyboardInterrupt:  # a task that the target started raised it: no call of ours
            self.was_interrupted = True
            self.stop()
        except SystemExit as error:
            raise NotMeasurableError(_ended_loop(self._target.name)) from error

    async def _arun(self) -> None:
        self._loop = asyncio.get_running_loop()
        await self._at_once(self._warmup)
        self._begin()
        await self._at_once(self._counted)

    async def _at_once(self, jobs: deque[Job]) -> None:
        """Let all workers take from *jobs* until none is left, or the run was stopped."""
        if self.is_stopping or not jobs:
            return
        self._tasks = tuple(asyncio.create_task(self._each(jobs)) for _ in range(self._workers))
        done, _ = await asyncio.wait(self._tasks, return_when=asyncio.FIRST_EXCEPTION)
        for task in done:
            if not task.cancelled():
                task.result()

    def stop(self) -> None:
        """Make no further calls and cancel those in flight."""
        super().stop()
        try:
            if self._loop is not None:
                self._loop.call_soon_threadsafe(self._cancel)
        except RuntimeError:  # the loop is closed: nothing is in flight
            return

    def _cancel(self) -> None:
        for task in self._tasks:
            task.cancel()

    async def _each(self, jobs: deque[Job]) -> None:
        while (job := self._next(jobs)) is not None:
            while (seconds := self._until(job)) > 0:
                await self._timer.await_(seconds)
            with self._call(job):
                await aconsume(self._target.function(*job.arguments), self._stopping.is_set)


def load_of(
    target: Target,
    plan: Plan,
    take: Take,
    *,
    attributes: Mapping[str, AttributeValue] | None = None,
) -> Load:
    """Give the run that suits the target."""
    kind = LoopLoad if target.is_async else ThreadLoad
    return kind(target, plan, take, attributes=attributes)


def _too_many(threads: int, possible: int) -> str:
    return (
        f"Cannot call on {threads} threads at once: the system starts no more than {possible}. "
        "Pass a smaller concurrency, or an async function, which needs no threads."
    )


def _ended_loop(name: str) -> str:
    return (
        f"Cannot go on with {name!r}: a task that it started called sys.exit(), which ended the "
        "event loop. Let the task raise another exception, or return."
    )
