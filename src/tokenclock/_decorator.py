"""The decorators and ``measure``: what is measured, and what is said where it cannot be."""

from __future__ import annotations

import functools
import inspect
import os
import sys
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import wrapt

from tokenclock import _log
from tokenclock._attributes import AttributeValue
from tokenclock._clock import Clock
from tokenclock._handover import Handover, watched
from tokenclock._options import Options, refuse_unknown
from tokenclock._proxy import Proxy
from tokenclock._reading import Reading
from tokenclock._result import MetricsResult
from tokenclock._runs import Run, call_steps, current_call
from tokenclock._sinks import Sink, reset
from tokenclock._streams import is_iterable, stream_around
from tokenclock.errors import InvalidOptionError, NotMeasurableError

# wrapt 2 split iteration off its proxy, so that a wrapped function is no iterable.
_ObjectProxy: Any = getattr(wrapt, "BaseObjectProxy", wrapt.ObjectProxy)

_HANDOVERS = {True: Handover(observed=True), False: Handover(observed=False)}


class MeasuredCallable(_ObjectProxy):  # type: ignore[misc]  # wrapt is not typed for subclasses
    """
    Stands in for a function: every call of it is measured, every question answered by it.

    As a class attribute it binds as a function does, to a built-in bound method.
    """

    def __init__(self, function: Any, options: Options, *, observed: bool) -> None:
        super().__init__(function)
        self._self_options = options
        self._self_observed = observed
        self._self_hand_over = _HANDOVERS[observed]
        self._self_is_lazy = _is_lazy(function)

    def __call__(self, /, *args: Any, **kwargs: Any) -> Any:
        run = Run(self._self_options, kwargs)
        if not self._self_is_lazy:
            run.begin()
        token = current_call.set(run.call_id)
        try:
            given = self.__wrapped__(*args, **kwargs)
        except BaseException as error:
            reset(current_call, token)
            run.raised(error, None)
            raise
        reset(current_call, token)
        return self._self_hand_over(run, given)

    def __get__(self, instance: object, owner: type | None = None) -> Any:
        bind = getattr(type(self.__wrapped__), "__get__", None)
        if bind is None:
            return self
        bound = bind(self.__wrapped__, instance, owner)
        if bound is self.__wrapped__:
            return self
        if inspect.ismethod(bound) and bound.__func__ is self.__wrapped__:
            return type(bound)(self, bound.__self__)
        return MeasuredCallable(bound, self._self_options, observed=self._self_observed)

    @property  # type: ignore[misc]  # isinstance() asks here, and the function answers
    def __class__(self) -> type:
        # cloudpickle takes whatever claims to be a function apart and would build the bare one
        # again; to its question alone we answer what we are, so that it asks __reduce_ex__.
        if sys._getframe(1).f_code.co_name == "reducer_override":  # noqa: SLF001 - see above
            return MeasuredCallable
        kind: type = self.__wrapped__.__class__
        return kind

    def __reduce_ex__(self, protocol: Any) -> Any:
        if self._self_is_found(by_value=_is_pickled_by_value(sys._getframe(1))):  # noqa: SLF001
            return self.__qualname__
        return (_rebuilt, (self.__wrapped__, self._self_options, self._self_observed))

    def _self_is_found(self, *, by_value: bool) -> bool:
        """Whether a pickle by reference will find this very object again."""
        if by_value and self.__module__ == "__main__":
            return False
        found: Any = sys.modules.get(self.__module__)
        for name in self.__qualname__.split("."):
            found = getattr(found, name, None)
        return found is self

    def __copy__(self) -> Any:
        return self

    def __deepcopy__(self, memo: Any) -> Any:
        return self

    def __repr__(self) -> str:
        return repr(self.__wrapped__)


call_steps.add(MeasuredCallable.__call__.__code__)


def _rebuilt(function: Any, options: Options, observed: bool) -> MeasuredCallable:  # noqa: FBT001
    return MeasuredCallable(function, options, observed=observed)


def _is_pickled_by_value(frame: Any) -> bool:
    """Whether the pickler that asks is one that takes functions apart, as cloudpickle does."""
    return hasattr(frame.f_locals.get("self"), "reducer_override")


def _is_lazy(function: Any) -> bool:
    """Whether calling this runs none of its own code yet."""
    asked = function
    if not inspect.isroutine(function) and not isinstance(function, functools.partial):
        asked = type(function).__call__
    return (
        inspect.isgeneratorfunction(asked)
        or inspect.isasyncgenfunction(asked)
        or inspect.iscoroutinefunction(asked)
    )


def _gives_generator(function: Any) -> bool:
    return inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function)


def measured(function: Any, options: Options, *, observed: bool) -> Any:
    """Give *function*, measured; a classmethod or staticmethod stays one."""
    _check_measurable(function, options)
    if isinstance(function, classmethod | staticmethod):
        inner = measured(function.__func__, options, observed=observed)
        return type(function)(inner)
    if observed and os.environ.get("TOKENCLOCK_DISABLED", "") not in {"", "0"}:
        return function
    return MeasuredCallable(function, options.named(_name_of(function)), observed=observed)


def _check_measurable(function: Any, options: Options) -> None:
    """Refuse what no call can be measured of, before anything is changed."""
    if inspect.isclass(function):
        msg = (
            f"Cannot measure the class {function.__qualname__!r}: its calls make objects, "
            "not tokens. Decorate the method that produces tokens."
        )
        raise NotMeasurableError(msg)
    if not callable(function) and not isinstance(function, classmethod | staticmethod):
        kind = type(function).__name__
        hint = (
            "Decorate the function that it was made from."
            if isinstance(function, property | functools.cached_property)
            else "Pass a function, a method or a callable object; a stream goes to measure()."
        )
        msg = f"Cannot measure {function!r}: a {kind!r} is not callable. {hint}"
        raise NotMeasurableError(msg)
    if options.streams is False and _gives_generator(function):
        msg = (
            f"Cannot use streams=False on {_name_of(function)!r}: a generator function gives a "
            "stream whenever it is called. Leave streams out."
        )
        raise InvalidOptionError(msg, option="streams")


def _name_of(function: Any) -> str:
    """Give ``module.qualname`` of a function, or of the type of a callable object."""
    while isinstance(function, functools.partial):
        function = function.func
    qualname = getattr(function, "__qualname__", None)
    if not isinstance(qualname, str):
        return _log.type_name(type(function))
    module = getattr(function, "__module__", None) or getattr(
        type(getattr(function, "__self__", None)), "__module__", None
    )
    return f"{module}.{qualname}" if module else qualname


def _decorator(
    where: str,
    function: Any,
    unknown: Mapping[str, object],
    *,
    observed: bool,
    **settings: Any,
) -> Any:
    """Decorate *function*, or give the decorator if there is none yet."""
    refuse_unknown(unknown, where=where)
    options = Options(**settings)
    if function is None:
        return functools.partial(measured, options=options, observed=observed)
    return measured(function, options, observed=observed)


def metrics_decorator(  # noqa: PLR0913 - the options
    function: Any = None,
    /,
    *,
    name: str | None = None,
    count_tokens: Callable[[Any], int] | None = None,
    read_chunk: Callable[[Any], Reading] | None = None,
    streams: bool | None = None,
    model: str | None = None,
    provider: str | None = None,
    operation: str | None = None,
    attributes: Mapping[str, AttributeValue] | None = None,
    sinks: Iterable[Sink] = (),
    clock: Clock | None = None,
    **unknown: Any,
) -> Any:
    """Measure every call of *function*, and give its caller the numbers."""
    return _decorator(
        "metrics_decorator", function, unknown, observed=False, name=name,
        count_tokens=count_tokens, read_chunk=read_chunk, streams=streams, model=model,
        provider=provider, operation=operation, attributes=attributes, sinks=sinks, clock=clock,
    )  # fmt: skip


def observe(  # noqa: PLR0913 - the options
    function: Any = None,
    /,
    *,
    name: str | None = None,
    count_tokens: Callable[[Any], int] | None = None,
    read_chunk: Callable[[Any], Reading] | None = None,
    streams: bool | None = None,
    model: str | None = None,
    provider: str | None = None,
    operation: str | None = None,
    attributes: Mapping[str, AttributeValue] | None = None,
    sinks: Iterable[Sink] = (),
    clock: Clock | None = None,
    **unknown: Any,
) -> Any:
    """Measure every call of *function*, and change nothing of what its callers see."""
    return _decorator(
        "observe", function, unknown, observed=True, name=name,
        count_tokens=count_tokens, read_chunk=read_chunk, streams=streams, model=model,
        provider=provider, operation=operation, attributes=attributes, sinks=sinks, clock=clock,
    )  # fmt: skip


def measure(  # noqa: PLR0913 - the options
    stream: Any,
    /,
    *,
    since: int | None = None,
    name: str | None = None,
    count_tokens: Callable[[Any], int] | None = None,
    read_chunk: Callable[[Any], Reading] | None = None,
    model: str | None = None,
    provider: str | None = None,
    operation: str | None = None,
    attributes: Mapping[str, AttributeValue] | None = None,
    sinks: Iterable[Sink] = (),
    clock: Clock | None = None,
) -> Any:
    """
    Measure a stream inline, without a decorator.
    """
    if not is_iterable(type(stream)):
        kind = _log.type_name(type(stream))
        hint = "Await it first." if inspect.isawaitable(stream) else "Pass the stream itself."
        msg = f"Cannot measure a {kind!r}: it cannot be iterated over. {hint}"
        raise NotMeasurableError(msg)
    options = Options(
        name=name, count_tokens=count_tokens, read_chunk=read_chunk, model=model,
        provider=provider, operation=operation, attributes=attributes, sinks=sinks, clock=clock,
    ).named(_name_of(stream))  # fmt: skip
    now_ns = options.clock()
    run = Run(options, {}, _checked_since(since, now_ns))
    run.open_stream()
    run.begin()
    run.handed_over(now_ns)
    return stream_around(stream, run, observed=False)


def _checked_since(since: int | None, now_ns: int) -> int:
    if since is None:
        return now_ns
    if type(since) is not int or since > now_ns:
        why = "it lies in the future of the clock" if type(since) is int else "it is no int"
        msg = (
            f"Cannot measure since={since!r}: {why}. "
            "Pass what time.perf_counter_ns() gave just before the request."
        )
        raise InvalidOptionError(msg, option="since")
    return since


def metrics_of(measured_object: object) -> MetricsResult[Any] | None:
    """
    Give the metrics of anything that tokenclock gave.

    Args:
        measured_object: A measured stream, coroutine or awaitable, a future that an observed
            function returned, or a ``MetricsResult``.

    Returns:
        The finished result, or a snapshot while it goes on; ``None`` for any other object.

    .. versionadded:: 0.1.0
    """
    kind = type(measured_object)
    if issubclass(kind, MetricsResult):
        return measured_object  # type: ignore[return-value]  # as its type says
    if issubclass(kind, Proxy):
        run: Run = measured_object._tc_run  # type: ignore[attr-defined]  # noqa: SLF001 - ours
        return run.result()
    try:
        watched_run = watched.get(measured_object)
    except TypeError:  # neither hashable nor weakly referable: no future
        return None
    return None if watched_run is None else watched_run.result()
