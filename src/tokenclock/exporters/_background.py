"""A sink that never delays its caller: a bounded queue, and one thread that works it off."""

# Private names of others are ruff's business (SLF001), which wants a reason for each.
# pyright: reportPrivateUsage=false

from __future__ import annotations

import functools
import os
import weakref
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Any

from tokenclock._clock import monotonic_ns
from tokenclock._sinks import Sink, check_sink
from tokenclock.errors import InvalidOptionError
from tokenclock.exporters import _worker
from tokenclock.exporters._worker import Worker

if TYPE_CHECKING:
    from typing_extensions import Self

    from tokenclock._result import MetricsResult

NS_PER_SECOND = 1_000_000_000


class Background:
    """
    Hand results to a sink on a thread of its own, so that no call ever waits for it.

    Give it to ``add_sink`` or ``sinks=``. A call only puts its result on a queue, which costs it
    about a microsecond, also in a finaliser or a signal's handler. One daemon thread hands the
    results to *sink*, in their order, each in the context (``contextvars``) that its caller had.
    Where the sink is slow or hangs, the queue fills; what finds it full is dropped, counted, and
    warned of once. What the sink raises, ``SystemExit`` and ``KeyboardInterrupt`` included, is
    counted and logged once for each type.

    When the interpreter exits, streams that nobody finished are finished and all that waits is
    handed over, in at most 5 seconds for all backgrounds together. A worker of
    ``multiprocessing`` hands over what waits, too. A forked child begins with an empty queue,
    counts of 0 and, at its first result, a thread of its own; a fork waits up to 0.1 s for a
    result that is in the sink's hands, so that the child inherits no lock held. A copy or a
    pickle is a new background around a copy of the sink.

    The sink stays its owner's: it is not flushed or closed when this is. A background that is
    dropped hands over what waits, and its thread ends.

    Args:
        sink: Called with one ``MetricsResult`` at a time, on the thread of this background.
        max_queue: How many results may wait, 1 or more. Several threads that put at the same
            moment may exceed it by one each.

    Raises:
        InvalidOptionError: If *sink* is no sink, or *max_queue* no positive whole number.

    .. versionadded:: 0.1.0
    """

    def __init__(self, sink: Sink, *, max_queue: int = 10_000) -> None:
        _check_max_queue(max_queue)
        self._worker = Worker(check_sink(sink), max_queue)
        _backgrounds.add(self)
        _worker.flush_at_exit()

    def __call__(self, result: MetricsResult[Any]) -> None:
        """Put one result on the queue; after ``close()`` it is dropped."""
        self._worker.put(result)

    def _put(self, item: Any) -> None:
        """Put on the queue what is no result: for exporters whose sink takes something else."""
        self._worker.put(item)

    def flush(self, timeout: float = 5.0) -> bool:
        """
        Wait until the sink had everything that was put before.

        Args:
            timeout: Seconds, 0 or more, to wait at most.

        Returns:
            Whether the sink had it all. ``False`` at once where the sink itself asks.

        Raises:
            InvalidOptionError: If *timeout* is no number of 0 or more.
        """
        return self._worker.flush(_deadline_ns(timeout))

    def close(self, timeout: float = 5.0) -> bool:
        """
        Flush, take nothing more, and end the thread.

        Results that come later are dropped and counted. What the sink has not had in time is
        handed over by the thread before it ends, if the process lives that long.

        Args:
            timeout: Seconds, 0 or more, to wait at most.

        Returns:
            Whether the sink had everything that was put before.

        Raises:
            InvalidOptionError: If *timeout* is no number of 0 or more.
        """
        return self._worker.close(_deadline_ns(timeout))

    @property
    def _tc_sink(self) -> Sink:
        """Whom the results are for: a sink that has them from here needs them from no one else."""
        return self._worker.sink

    def _do(self, work: Callable[[], None]) -> None:
        """Have the thread do something in its turn, also after ``close()``: for exporters."""
        self._worker.do(work)

    @property
    def dropped(self) -> int:
        """How many results the sink will never have, because the queue was full or closed."""
        return self._worker.dropped.count

    @property
    def failed(self) -> int:
        """How many results the sink raised for."""
        return self._worker.failed.count

    @property
    def pending(self) -> int:
        """How many results wait, the one in the sink's hands included."""
        return self._worker.pending

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def __del__(self) -> None:
        worker: Worker | None = getattr(self, "_worker", None)  # refused arguments left none
        if worker is not None:
            worker.end()

    def __repr__(self) -> str:
        return f"<Background of {self._worker.sink!r}: {self.pending} pending>"

    def __reduce__(self) -> tuple[Any, ...]:
        again = functools.partial(type(self), max_queue=self._worker.max_queue)
        return (again, (self._worker.sink,))


def _check_max_queue(max_queue: object) -> None:
    if type(max_queue) is int and max_queue > 0:
        return
    msg = (
        f"Cannot queue results with max_queue={max_queue!r}: it is no positive whole number. "
        "Pass how many results may wait, such as 10_000."
    )
    raise InvalidOptionError(msg, option="max_queue")


def _deadline_ns(timeout: Any) -> float:
    is_number = isinstance(timeout, int | float) and not isinstance(timeout, bool)
    if is_number and timeout >= 0:  # which NaN is not
        return monotonic_ns() + float(timeout) * NS_PER_SECOND
    msg = (
        f"Cannot wait for timeout={timeout!r}: it is no number of seconds of 0 or more. "
        "Pass how long to wait at most, such as 5.0."
    )
    raise InvalidOptionError(msg, option="timeout")


_backgrounds: weakref.WeakSet[Background] = weakref.WeakSet()


def _after_fork() -> None:
    """Leave to the parent what is the parent's: its threads did not come along."""
    _worker.forget_workers()
    for background in list(_backgrounds):
        background._worker = background._worker.for_child()  # noqa: SLF001 - our own


if hasattr(os, "register_at_fork"):  # pragma: no branch - only Windows lacks it
    os.register_at_fork(after_in_child=_after_fork)
