"""
The queue of one process and the thread that works it off; what happens at exit and at a fork.

A result may be put at any moment: by a finaliser that struck inside a sink, by a signal's
handler. So putting takes no lock that anybody could hold: the queue may be entered again at any
point, counts are single steps of C, and the thread is started by whoever comes first. Queue,
locks and thread are of one kind, also where ``gevent`` replaces the modules they come from later.
"""

from __future__ import annotations

import atexit
import os
import sys
import threading
import weakref
from _thread import allocate_lock, get_ident, start_new_thread
from collections.abc import Callable
from contextlib import suppress
from contextvars import Context, copy_context
from itertools import repeat
from operator import length_hint
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

from tokenclock import _log, _sinks
from tokenclock._clock import monotonic_ns

# Before our own: what is registered later waits first at a fork, and may wait for this.
from tokenclock.exporters import _forking  # noqa: F401  # pyright: ignore[reportUnusedImport]

if TYPE_CHECKING:
    from tokenclock._sinks import Sink

EXIT_SECONDS = 5.0
FORK_SECONDS = 0.1
WITHOUT_RESULT = 2  # parts of an item: a context and what is to be called
NS_PER_SECOND = 1_000_000_000


class Tally:
    """A count that every thread and every finaliser may add to: one step of C, and no lock."""

    __slots__ = ("_left",)

    def __init__(self) -> None:
        self._left = repeat(None, sys.maxsize)

    def add(self) -> None:
        next(self._left)

    @property
    def count(self) -> int:
        return sys.maxsize - length_hint(self._left)


class _Mark:
    """A place in the queue; whoever waits for it knows that all before it was handed over."""

    __slots__ = ("_lock", "is_reached")

    def __init__(self) -> None:
        self.is_reached = False
        self._lock = allocate_lock()
        self._lock.acquire()

    def reach(self) -> None:
        self.is_reached = True
        self._lock.release()

    def wait(self, deadline_ns: float) -> bool:
        """Wait, with any number of others."""
        if not self.is_reached and self._lock.acquire(timeout=_seconds_until(deadline_ns)):
            self._lock.release()
        return self.is_reached


def _seconds_until(deadline_ns: float) -> float:
    left = (deadline_ns - monotonic_ns()) / NS_PER_SECOND
    return min(max(left, 0.0), threading.TIMEOUT_MAX)


class _End:
    """What the thread ends at, if nothing stands behind it."""


_END = _End()

# The caller's context, and what is to be called in it with which argument, if any.
_Item = tuple[Any, ...] | _Mark | _End


class Worker:
    """A queue, and the thread that hands what is on it to a sink."""

    def __init__(self, sink: Sink, max_queue: int, *, is_closed: bool = False) -> None:
        self.sink = sink
        self.max_queue = max_queue
        self.dropped = Tally()
        self.failed = Tally()
        self._taken = Tally()
        self._handed_over = Tally()
        # Of these, the results: what an exporter has done beside takes none of their places.
        self._put = Tally()
        self._begun = Tally()
        self._is_closed = is_closed
        self._queue: SimpleQueue[_Item] = SimpleQueue()
        self._is_running = False
        self._may_run = allocate_lock()
        self._may_warn = allocate_lock()
        self._gate = allocate_lock()
        self._at_work = allocate_lock()
        self._thread_id: int | None = None
        self._left_behind: _Mark | None = None
        self._failures: set[type] = set()
        _workers.add(self)

    @property
    def pending(self) -> int:
        return max(self._taken.count - self._handed_over.count, 0)

    def put(self, result: Any) -> None:
        if self._is_closed:
            self.dropped.add()
        elif self._put.count - self._begun.count >= self.max_queue:
            self.dropped.add()
            self._warn_once()
        else:
            self._taken.add()  # first: who finds nothing pending may rely on it
            self._put.add()
            self._enqueue((copy_context(), self.sink, result))

    def do(self, work: Callable[[], None]) -> None:
        """Have the thread do something else in its turn, also when it takes nothing more."""
        self._taken.add()
        self._enqueue((copy_context(), work))

    def _warn_once(self) -> None:
        if self._may_warn.acquire(blocking=False):
            _log.warn(
                f"Cannot hand results to {_name_of(self.sink)} as fast as they come: "
                f"{self.max_queue} wait already, and newer ones are dropped, which "
                "its `dropped` counts. See whether what the sink writes to still answers, "
                "or pass a larger max_queue=."
            )

    def _enqueue(self, item: _Item) -> None:
        self._queue.put(item)
        self.start()
        if self._is_closed:  # closed just now, or to flush: the thread ends behind this item
            self._queue.put(_END)

    # --- the thread -------------------------------------------------------------------------

    def start(self) -> None:
        """Start the thread, if it does not run; where none can start, do nothing."""
        if not self._claim():
            return
        flush_at_exit()
        try:
            start_new_thread(self._run, ())
        except RuntimeError:  # too many threads, or Python 3.12.0 to 2 at exit: see flush
            self._release()

    def _claim(self) -> bool:
        """Become the one that works. Never waited for: whoever finds it taken leaves it to them."""
        if self._is_running or not self._may_run.acquire(blocking=False):
            return False
        self._is_running = True
        return True

    def _release(self) -> None:
        self._thread_id = None
        self._is_running = False
        self._may_run.release()

    def _run(self) -> None:
        self._thread_id = get_ident()
        while True:
            item = self._queue.get()
            if item is _END and self._queue.empty():
                break
            self._take(item)
            del item  # or the last result lives until the next one comes
        self._release()
        if not self._queue.empty():  # put before we were seen to end
            self.start()

    def _work_here(self, deadline_ns: float) -> None:
        """Do the thread's work where none can start: what waits now, on the caller's."""
        if not self._claim():
            return
        self._thread_id = get_ident()
        try:
            for _ in range(self._queue.qsize()):
                if monotonic_ns() > deadline_ns:
                    break
                self._take(self._queue.get())
        finally:
            self._release()

    def _take(self, item: _Item) -> None:
        if isinstance(item, _Mark):
            item.reach()
        elif not isinstance(item, _End):
            if len(item) > WITHOUT_RESULT:
                self._begun.add()
            with self._gate:  # held by a fork that waits: without it we would always be faster
                pass
            with self._at_work:
                self._hand_over(*item)
            self._handed_over.add()

    def _hand_over(self, context: Context, *what: Any) -> None:
        try:
            context.run(*what)
        except BaseException as error:  # noqa: BLE001 - no caller to pass it to
            self.failed.add()
            if type(error) not in self._failures:
                self._failures.add(type(error))
                _log.failure(f"Handing a result to {_name_of(self.sink)} failed", error)

    # --- waiting for it ---------------------------------------------------------------------

    def flush(self, deadline_ns: float) -> bool:
        """Wait until all that was put before is handed over."""
        if self._thread_id == get_ident():
            return False
        if not self.pending:
            return True
        if not self._queue.empty():
            self.start()
            if not self._is_running:
                self._work_here(deadline_ns)
        if not self._is_running and self._queue.empty():  # here, or by another just now
            return True
        return self._wait(deadline_ns)

    def _wait(self, deadline_ns: float) -> bool:
        # Marks that nobody waits for any more must not fill the queue of a sink that hangs: as
        # long as the last one left behind is not reached, no other is put.
        if self._left_behind is not None and not self._left_behind.wait(deadline_ns):
            return False
        mark = _Mark()
        self._enqueue(mark)
        self._left_behind = None if mark.wait(deadline_ns) else mark
        return mark.is_reached

    def close(self, deadline_ns: float) -> bool:
        """Flush, and end."""
        self._is_closed = True
        is_done = self.flush(deadline_ns)
        self.end()
        return is_done

    def end(self) -> None:
        """Take nothing more; the thread ends behind what waits. A finaliser may call it."""
        self._is_closed = True
        if self._is_running:
            self._queue.put(_END)

    # --- forks ------------------------------------------------------------------------------

    def pause(self) -> bool:
        """Wait a little for the result in the sink's hands; say whether ``go_on`` is due."""
        if self._thread_id == get_ident() or not self._gate.acquire(timeout=FORK_SECONDS):
            return False
        if self._at_work.acquire(timeout=FORK_SECONDS):
            return True
        self._gate.release()
        return False

    def go_on(self) -> None:
        self._at_work.release()
        self._gate.release()

    def for_child(self) -> Worker:
        """Give a forked child's own: nothing waits, nothing is counted, no thread runs."""
        return Worker(self.sink, self.max_queue, is_closed=self._is_closed)


def _name_of(sink: object) -> str:
    """Name a function or method, or the type of any other sink."""
    qualname = getattr(sink, "__qualname__", None)
    if qualname is None:
        return f"a sink of type {_log.type_name(type(sink))}"
    return f"the sink {getattr(sink, '__module__', None) or 'builtins'}.{qualname}"


# Every worker of this process; one whose background was dropped is held by its thread alone.
_workers: weakref.WeakSet[Worker] = weakref.WeakSet()


# --- the end of the interpreter ------------------------------------------------------------------

_is_ending = False


def flush_at_exit() -> None:
    """
    See to it that all is handed over at exit, before what was set up until now is shut down.

    The last exit handler registered is called first, and the providers that sinks write to
    register theirs: so ours is moved behind them, whenever a thread starts.
    """
    if not _is_ending:
        atexit.unregister(_at_exit)
        atexit.register(_at_exit)


def _at_exit() -> None:
    _sinks.finish_open_runs()
    _flush_all()


def _flush_all() -> None:
    deadline_ns = monotonic_ns() + EXIT_SECONDS * NS_PER_SECOND
    for worker in list(_workers):
        worker.flush(deadline_ns)


def _before_threads_end() -> None:
    """Hand over what waits in a worker of multiprocessing, which calls no exit handlers."""
    global _is_ending  # noqa: PLW0603 - of the process
    _is_ending = True
    if _is_multiprocessing_worker():
        _sinks.later.flush()
        _flush_all()


def _is_multiprocessing_worker() -> bool:
    process = sys.modules.get("multiprocessing.process")
    return process is not None and process.parent_process() is not None


# Private to Python: where it is gone, the exit handler alone is left.
_register: Callable[[Callable[[], None]], None] | None = getattr(
    threading, "_register_atexit", None
)
if _register is not None:  # pragma: no branch - every Python so far has it
    with suppress(RuntimeError):  # imported at exit
        _register(_before_threads_end)


# --- forks ---------------------------------------------------------------------------------------

_paused: dict[int, list[Worker]] = {}


def _before_fork() -> None:
    _paused[get_ident()] = [worker for worker in list(_workers) if worker.pause()]


def _after_fork_in_parent() -> None:
    for worker in _paused.pop(get_ident(), ()):
        worker.go_on()


def forget_workers() -> None:
    """Leave to the parent what is the parent's."""
    _workers.clear()
    _paused.clear()


if hasattr(os, "register_at_fork"):  # pragma: no branch - only Windows lacks it
    os.register_at_fork(before=_before_fork, after_in_parent=_after_fork_in_parent)
