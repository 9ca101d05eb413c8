"""What the caller gets for what the function gave: the rows of the shape table."""

# What is wrapped is Any, and pyright does not know the type() of that.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false

from __future__ import annotations

import sys
from types import AsyncGeneratorType, GeneratorType
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from tokenclock import _log
from tokenclock._awaitables import awaitable_around, is_awaitable
from tokenclock._managers import (
    gives_stream_on_entry,
    is_raw_response,
    manager_around,
    response_around,
)
from tokenclock._providers.bedrock import stream_name_in
from tokenclock._proxy import offers
from tokenclock._streams import is_iterable, is_stream, measured_stream

if TYPE_CHECKING:
    from tokenclock._runs import Run

# Values that need no second look, being neither streams nor anything to await or to enter.
_PLAIN_VALUES = frozenset({bool, bytes, float, int, list, str, tuple, type(None)})

_GENERATORS = frozenset({AsyncGeneratorType, GeneratorType})

# Runs of futures that were handed through as they are, for metrics_of().
watched: WeakKeyDictionary[Any, Run] = WeakKeyDictionary()


_REMEDY = "Decorate the function that does the work, or iterate over tokenclock.measure(stream)"


class Handover:
    """
    Decides by the shape of what a call gave, and measures it accordingly.

    Args:
        observed: Whether values are handed through as they are (``observe``), or in a
            ``MetricsResult`` (``metrics_decorator``).
    """

    def __init__(self, *, observed: bool) -> None:
        self._observed = observed

    def hand_over(self, run: Run, given: object, now_ns: int | None = None) -> Any:
        """
        Give the caller its object; a failure of ours gives the function's own.

        *now_ns* is when the function gave *given*, if that is known.
        """
        if now_ns is None:
            now_ns = run.clock()
        try:
            streams, kind = run.options.streams, type(given)
            # The two most common shapes come first.
            if kind in _PLAIN_VALUES and not streams:
                run.returned(given, now_ns)
                return given if self._observed else run.result_with(given)
            if kind in _GENERATORS and streams is not False and not _is_awaitable_generator(given):
                if run.start_ns is not None:
                    run.handed_over(now_ns)
                return measured_stream(given, run, observed=self._observed)
            return self._by_shape(run, given, now_ns)
        except Exception as error:  # noqa: BLE001 - our own failure never reaches the program
            _log.failure(f"Measuring what {run.options.name!r} gave failed", error)
            if run.streamed:
                run.stopped()
            else:
                run.returned(None, now_ns, works_later=True)
            return given

    __call__ = hand_over

    def unmeasured(self, run: Run, given: object, remedy: str = _REMEDY) -> None:
        """End the run of an object that is used in a way that is not measured."""
        _warn_unmeasured(run, given, remedy)
        run.returned(None, run.clock(), works_later=True)

    def _by_shape(self, run: Run, given: object, now_ns: int) -> Any:
        if type(given) is dict and run.options.streams is not False:
            name = stream_name_in(given)
            if name is not None:
                return self._container(run, given, name, now_ns)
        if type(given) is dict and not run.options.streams:
            run.returned(given, now_ns)
            return given if self._observed else run.result_with(given)
        if _is_mock(given):
            return self._value(run, given, now_ns)
        if is_awaitable(given) and not _is_stream_for(run, given):
            return self._awaitable(run, given, now_ns)
        if _is_stream_for(run, given):
            run.handed_over(now_ns)
            return measured_stream(given, run, observed=self._observed)
        return self._prepared_or_value(run, given, now_ns)

    def _prepared_or_value(self, run: Run, given: object, now_ns: int) -> Any:
        """Give what stands in for an SDK's preparation of a stream; any other object is a value."""
        if gives_stream_on_entry(type(given)):
            return manager_around(given, run, self)
        # Whoever wants a MetricsResult for a value gets one for a raw response that is read, too.
        if is_raw_response(type(given)) and (self._observed or not _is_read(given)):
            return response_around(given, run, self, now_ns)
        return self._value(run, given, now_ns)

    def _container(self, run: Run, given: dict[Any, Any], name: str, now_ns: int) -> Any:
        """Measure the stream that a known SDK gives in a dict; the caller gets that very dict."""
        run.handed_over(now_ns)
        given[name] = measured_stream(given[name], run, observed=self._observed)
        return given

    def _awaitable(self, run: Run, given: Any, now_ns: int) -> Any:
        if self._observed and _is_future(given):
            watched[given] = run
            given.add_done_callback(_FutureWatch(run))
            return given
        run.handed_over(now_ns)
        return awaitable_around(given, run, self)

    def _value(self, run: Run, given: object, now_ns: int) -> Any:
        if run.options.streams:
            _warn_once(
                run, given, "streams=True was given, and it cannot be iterated over",
                "Leave streams= out where a call gives a value",
            )  # fmt: skip
        works_later = _works_later(given)
        if works_later:
            _warn_unmeasured(run, given)
        run.returned(given, now_ns, works_later=works_later)
        return given if self._observed else run.result_with(given)


class _FutureWatch:
    """Notices that a future is done, or that it was dropped before."""

    __slots__ = ("_run",)

    def __init__(self, run: Run) -> None:
        self._run = run

    def __call__(self, future: Any) -> None:
        run = self._run
        now_ns = run.clock()
        if future.cancelled():
            run.raised(sys.modules["asyncio"].CancelledError(), None)
            return
        # future.exception() would silence "exception was never retrieved".
        error = getattr(future, "_exception", None)
        if error is not None:
            run.raised(error, None)
            return
        value = getattr(future, "_result", None)
        works_later = is_stream(type(value)) or is_awaitable(value) or _works_later(value)
        if works_later:
            _warn_unmeasured(run, value)
        run.returned(value, now_ns, works_later=works_later)

    def __del__(self) -> None:
        if self._run.end_ns is None:
            self._run.stopped(in_finaliser=True)


def _is_stream_for(run: Run, given: object) -> bool:
    """Whether this is to be measured chunk by chunk: by its shape, or because the user says so."""
    streams = run.options.streams
    if streams is None:
        return is_stream(type(given)) and not _is_awaitable_generator(given)
    if not streams or _is_awaitable_generator(given):
        return False
    return is_stream(type(given)) or (is_iterable(type(given)) and not is_awaitable(given))


def _is_read(response: Any) -> bool:
    """Whether the body of a raw response has been read."""
    return bool(response.is_closed)


def _is_awaitable_generator(given: object) -> bool:
    return is_awaitable(given) and not offers(type(given), "__await__")


def _is_mock(given: object) -> bool:
    mock = sys.modules.get("unittest.mock")
    return mock is not None and issubclass(type(given), mock.NonCallableMock)


def _is_future(given: object) -> bool:
    # What asyncio.isfuture() looks at; importing asyncio for it would cost more than we do.
    return (
        offers(type(given), "_asyncio_future_blocking")
        and getattr(given, "_asyncio_future_blocking", None) is not None
    )


def _works_later(given: object) -> bool:
    """Whether the work behind this value has not been done by the time it is returned."""
    futures = sys.modules.get("concurrent.futures._base")
    if futures is not None and issubclass(type(given), futures.Future):
        return True
    kind = type(given)
    if type(given) is dict and stream_name_in(given) is not None:
        return True
    if kind is memoryview or offers(kind, "__fspath__"):
        return False  # paths are context managers until Python 3.13, and hold no work
    return (offers(kind, "__enter__") and offers(kind, "__exit__")) or (
        offers(kind, "__aenter__") and offers(kind, "__aexit__")
    )


def _warn_unmeasured(run: Run, given: object, remedy: str = _REMEDY) -> None:
    _warn_once(run, given, "the call only prepared it, and its work comes later", remedy)


def _warn_once(run: Run, given: object, why: str, remedy: str) -> None:
    kind = _log.type_name(type(given))
    if kind in run.options.warned_types:
        return
    run.options.warned_types.add(kind)
    _log.warn(
        f"Cannot time a {kind!r} from {run.options.name!r}: {why}. {remedy}.",
        package=kind.partition(".")[0] if is_raw_response(type(given)) else "",
    )
