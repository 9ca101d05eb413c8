"""Where finished results go: the whole process, a block, one decorator; and the guard around."""

from __future__ import annotations

import contextvars
import inspect
import os
import threading
from _thread import allocate_lock, start_new_thread
from collections.abc import Callable, Mapping
from queue import SimpleQueue
from types import TracebackType
from typing import TYPE_CHECKING, Any

from tokenclock import _log, _texts
from tokenclock._attributes import AttributeValue, checked_attributes
from tokenclock.errors import InvalidOptionError

if TYPE_CHECKING:
    import logging
    from threading import Lock

    from tokenclock._result import MetricsResult

Sink = Callable[["MetricsResult[Any]"], object]

FLUSH_SECONDS = 5.0


class SinkEntry:
    """One sink and the types of failure it was already logged for."""

    __slots__ = ("_failures", "sink")

    def __init__(self, sink: Sink) -> None:
        self.sink = sink
        self._failures: set[type] = set()

    def take(self, result: MetricsResult[Any]) -> None:
        """Give the sink a result; of what it raises only ``KeyboardInterrupt`` passes."""
        try:
            self.sink(result)
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # noqa: BLE001 - a sink never reaches the user's code
            if type(error) not in self._failures:
                self._failures.add(type(error))
                name = _log.type_name(type(self.sink))
                _log.failure(f"A sink of type {name} failed", error)


def check_sink(sink: Sink) -> Sink:
    """Refuse what cannot take a result."""
    if not callable(sink):
        msg = (
            f"Cannot send results to {sink!r}: it is not callable. "
            "Pass a function that takes one MetricsResult."
        )
        raise InvalidOptionError(msg, option="sinks")
    if inspect.isclass(sink):
        msg = (
            f"Cannot send results to the class {sink.__qualname__}: calling it makes an object. "
            f"Pass an object: {sink.__qualname__}()."
        )
        raise InvalidOptionError(msg, option="sinks")
    if inspect.iscoroutinefunction(sink) or inspect.iscoroutinefunction(type(sink).__call__):
        msg = (
            f"Cannot send results to {sink!r}: it is a coroutine function, and nobody would "
            "await it. Pass a plain function, for example one that puts the result on a queue."
        )
        raise InvalidOptionError(msg, option="sinks")
    return sink


global_sinks: tuple[SinkEntry, ...] = ()
_change = threading.Lock()


def add_sink(sink: Sink) -> None:
    """
    Send every finished result of this process to *sink*.

    Adding a sink twice is adding it once. What a sink raises is logged once for each type of
    exception and never reaches the measured program (``KeyboardInterrupt`` passes). A sink that
    blocks delays the caller by that long.

    Args:
        sink: Called with one ``MetricsResult``, whose ``value`` is ``None``; on the thread that
            finished the call, or on a thread of tokenclock's for a stream that was dropped.

    Raises:
        InvalidOptionError: If *sink* is not callable, or is a coroutine function.

    .. versionadded:: 0.1.0
    """
    global global_sinks  # noqa: PLW0603 - the process-wide list, replaced as a whole
    check_sink(sink)
    with _change:
        if all(entry.sink != sink for entry in global_sinks):
            global_sinks = (*global_sinks, SinkEntry(sink))


def remove_sink(sink: Sink) -> None:
    """
    Stop sending results to *sink*; nothing happens if it was not added.

    .. versionadded:: 0.1.0
    """
    global global_sinks  # noqa: PLW0603 - as above
    with _change:
        global_sinks = tuple(entry for entry in global_sinks if entry.sink != sink)


def sinks_for(own: tuple[SinkEntry, ...]) -> tuple[SinkEntry, ...]:
    """Give a decorator's own sinks and the global ones, each once."""
    if not own or not global_sinks:
        return own or global_sinks
    known = [_behind(entry.sink) for entry in own]
    return own + tuple(entry for entry in global_sinks if _behind(entry.sink) not in known)


def _behind(sink: Sink) -> Sink:
    """Give the sink behind a ``Background``, or *sink* itself."""
    behind: Sink = getattr(sink, "_tc_sink", sink)
    return behind


def hand_on(result: MetricsResult[Any], sinks: tuple[SinkEntry, ...]) -> None:
    """Give a result to every sink; a ``KeyboardInterrupt`` passes when all of them had it."""
    for place, entry in enumerate(sinks, start=1):
        try:
            entry.take(result)
        except KeyboardInterrupt:
            hand_on(result, sinks[place:])
            raise


class _Later:
    """
    Results of streams that were dropped, on their way to the sinks.

    A finaliser runs wherever the garbage collector happens to strike, perhaps inside a sink that
    holds its lock. So it only puts the result on a queue (which may be entered again at any
    point), and a thread of its own, started without taking a lock, hands it on. Queue, lock and
    thread are of one kind, also where ``gevent`` replaces the modules they come from later.
    """

    def __init__(self) -> None:
        self._queue: SimpleQueue[Callable[[], None]] = SimpleQueue()
        self._started = False
        self._left_behind: Lock | None = None
        self._may_start = allocate_lock()

    def put(self, work: Callable[[], None]) -> None:
        self._queue.put(work)
        # Never waited for: whoever finds it taken leaves the start to the one who took it.
        if self._started or not self._may_start.acquire(blocking=False):
            return
        self._started = True
        try:
            start_new_thread(self._run, ())
        except RuntimeError:  # the interpreter is going down: the flush at exit delivers
            self._started = False
            self._may_start.release()

    def _run(self) -> None:
        while True:
            work = self._queue.get()
            try:
                work()
            except BaseException as error:  # noqa: BLE001 - no caller to pass it to
                _log.failure("Delivering the result of a dropped stream failed", error)
            del work

    def flush(self) -> None:
        """Wait until everything put so far was handed on; give up after some seconds, once."""
        if not self._started:
            while not self._queue.empty():
                self._queue.get()()
            return
        left_behind = self._left_behind
        if left_behind is not None and not left_behind.acquire(blocking=False):
            return  # what hung then hangs still
        done = allocate_lock()
        done.acquire()
        self._queue.put(done.release)
        # Whoever hangs is waited for once: the end of the interpreter comes by several times.
        self._left_behind = None if done.acquire(timeout=FLUSH_SECONDS) else done


later = _Later()


# What finishes the runs that are still open; whoever makes runs adds it.
before_exit: list[Callable[[], None]] = []


def finish_open_runs() -> None:
    """
    Finish every run that is still open, as the end of the interpreter does.

    For the exit handlers of exporters: those run before the core's own, the last one registered
    being the first one called.
    """
    for finish in before_exit:
        finish()


def _after_fork() -> None:
    """Leave to the parent what is the parent's: its thread did not come along."""
    global later, _change  # noqa: PLW0603 - both may have been in use by another thread
    later = _Later()
    _change = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


captures: contextvars.ContextVar[tuple[list[MetricsResult[Any]], ...]] = contextvars.ContextVar(
    "tokenclock_captures", default=()
)
call_labels: contextvars.ContextVar[Mapping[str, AttributeValue]] = contextvars.ContextVar(
    "tokenclock_labels",
    default={},  # noqa: B039 - never changed in place
)


class capture:  # noqa: N801 - used as a function: with capture() as results
    """
    Collect the result of every measured call made inside a ``with`` block.

    Tasks started inside the block belong to it; plain threads do not. Results come in the order
    in which calls finish, also after the block for streams that outlive it; ``value`` is ``None``.

    >>> with capture() as results:
    ...     pass
    >>> results
    []

    .. versionadded:: 0.1.0
    """

    def __init__(self) -> None:
        self._tokens: list[contextvars.Token[Any]] = []

    def __enter__(self) -> list[MetricsResult[Any]]:
        results: list[MetricsResult[Any]] = []
        self._tokens.append(captures.set((*captures.get(), results)))
        return results

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        undo(captures, self._tokens)


class labels:  # noqa: N801 - used as a function: with labels(tenant="acme")
    """
    Label every measured call made inside a ``with`` block.

    Labels of an inner block win over those of an outer one, and both over the option
    ``attributes``.

    Args:
        **values: Names and values; values are ``str``, ``bool``, ``int`` or ``float``.

    Raises:
        InvalidOptionError: If a value is of another type.

    .. versionadded:: 0.1.0
    """

    def __init__(self, /, **values: AttributeValue) -> None:
        self._values = checked_attributes(values)
        self._tokens: list[contextvars.Token[Any]] = []

    def __enter__(self) -> None:
        self._tokens.append(call_labels.set({**call_labels.get(), **self._values}))

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        undo(call_labels, self._tokens)


def undo(variable: contextvars.ContextVar[Any], tokens: list[contextvars.Token[Any]]) -> None:
    """
    Undo the latest ``set`` of this context: tasks and threads may share one block object.

    A context that never saw one (a block left elsewhere) has nothing to undo.
    """
    for token in reversed(tuple(tokens)):
        try:
            variable.reset(token)
        except ValueError:  # another context's
            continue
        tokens.remove(token)
        return


class LoggingSink:
    """
    Write one structured record for each finished call to the standard ``logging``.

    The message is one line for people; the fields of the result, without gaps and without what
    the model generated, are under the key ``tokenclock`` of the record (``record.tokenclock``).

    Args:
        logger: A logger or a logger's name.
        level: A level's number, or its name.

    Raises:
        InvalidOptionError: If *level* is no level.

    .. versionadded:: 0.1.0
    """

    def __init__(
        self, logger: logging.Logger | str = "tokenclock.calls", *, level: int | str = "INFO"
    ) -> None:
        import logging  # noqa: PLC0415 - costs milliseconds that importing tokenclock need not

        is_logger = hasattr(logger, "isEnabledFor")  # an adapter will do
        if not isinstance(logger, str) and not is_logger:
            msg = (
                f"Cannot log to {logger!r}: it is no logger. "
                "Pass a logger or its name; a level goes to level=."
            )
            raise InvalidOptionError(msg, option="logger")
        self._logger = logging.getLogger(logger) if isinstance(logger, str) else logger
        number: Any = level
        if isinstance(level, str):  # getLevelNamesMapping is there from Python 3.11 on
            known = logging.getLevelName(level)  # pyright: ignore[reportDeprecated]
            upper = logging.getLevelName(level.upper())  # pyright: ignore[reportDeprecated]
            number = known if isinstance(known, int) else upper
        if not isinstance(number, int) or isinstance(number, bool):
            msg = (
                f"Cannot log at level={level!r}: there is no such level. "
                "Pass a number or a name that logging knows, such as 'INFO'."
            )
            raise InvalidOptionError(msg, option="level")
        self._level = number

    def __call__(self, result: MetricsResult[Any]) -> None:
        """Write the record of one result."""
        if not self._logger.isEnabledFor(self._level):
            return
        record = result.to_dict()
        del record["inter_token_latencies"]
        self._logger.log(self._level, "%s", _texts.one_line(result), extra={"tokenclock": record})
