"""The decorators and ``measure``: what is measured, and what is said where it cannot be."""

# Private names of others are ruff's business (SLF001), which wants a reason for each.
# pyright: reportPrivateUsage=false
# What is wrapped is Any, and pyright does not know the type() of that.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false
# The overloads are the rows of the shape table, which overlap on purpose: _typing says more.
# mypy: disable-error-code="overload-overlap, overload-cannot-match"
# pyright: reportOverlappingOverload=false

from __future__ import annotations

import functools
import inspect
import os
import sys
from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    AsyncIterator,
    Awaitable,
    Callable,
    Coroutine,
    Generator,
    Iterable,
    Iterator,
    Mapping,
)
from typing import TYPE_CHECKING, Any, overload

import wrapt

from tokenclock import _log
from tokenclock._attributes import AttributeValue  # noqa: TC001 - typing.get_type_hints needs it
from tokenclock._clock import Clock  # noqa: TC001 - typing.get_type_hints needs it
from tokenclock._handover import Handover, watched
from tokenclock._options import Options, refuse_unknown
from tokenclock._proxy import Proxy
from tokenclock._reading import Reading  # noqa: TC001 - typing.get_type_hints needs it
from tokenclock._result import MetricsResult
from tokenclock._runs import Run, call_steps, current_call
from tokenclock._sinks import Sink  # noqa: TC001 - typing.get_type_hints needs it
from tokenclock._streams import is_iterable, stream_around
from tokenclock.errors import InvalidOptionError, NotMeasurableError

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from tokenclock._streams import (
        AsyncMeasuredGenerator,
        AsyncMeasuredStream,
        MeasuredGenerator,
        MeasuredStream,
    )
    from tokenclock._typing import (
        FunctionT,
        MetricsDecorator,
        P,
        ReturnT,
        SendT,
        Settings,
        StreamSettings,
        T,
        Unknown,
    )

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
        # All that a call needs, in one look: attributes of a wrapt proxy are slow to read.
        self._self_call = (function, options, _is_lazy(function), _HANDOVERS[observed])

    def __call__(self, /, *args: Any, **kwargs: Any) -> Any:
        function, options, is_lazy, hand_over = self._self_call
        run = Run(options, kwargs)
        if not is_lazy:
            run.begin()
        token = current_call.set(run.call_id)
        try:
            given = function(*args, **kwargs)
        except BaseException as error:
            current_call.reset(token)
            run.raised(error, None)
            raise
        current_call.reset(token)
        return hand_over(run, given)

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
    def __class__(self) -> type:  # pyright: ignore[reportIncompatibleMethodOverride]  # as above
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


@overload
def metrics_decorator(
    function: Callable[P, Any], /, *, streams: bool | None, **settings: Unpack[StreamSettings]
) -> Callable[P, Any]: ...
@overload
def metrics_decorator(
    function: None = None, /, *, streams: bool | None, **settings: Unpack[StreamSettings]
) -> Callable[[Callable[P, Any]], Callable[P, Any]]: ...
@overload
def metrics_decorator(
    function: None = None, /, **settings: Unpack[StreamSettings]
) -> MetricsDecorator: ...
@overload
def metrics_decorator(
    function: Callable[P, Unknown], /, **settings: Unpack[StreamSettings]
) -> Callable[P, Any]: ...
@overload
def metrics_decorator(
    function: Callable[P, Coroutine[Any, Any, Unknown]], /, **settings: Unpack[StreamSettings]
) -> Callable[P, Coroutine[Any, Any, Any]]: ...
@overload
def metrics_decorator(
    function: Callable[P, Coroutine[Any, Any, AsyncIterator[T]]],
    /,
    **settings: Unpack[StreamSettings],
) -> Callable[P, Coroutine[Any, Any, AsyncMeasuredStream[T]]]: ...
@overload
def metrics_decorator(
    function: Callable[P, Coroutine[Any, Any, Iterator[T]]], /, **settings: Unpack[StreamSettings]
) -> Callable[P, Coroutine[Any, Any, MeasuredStream[T]]]: ...
@overload
def metrics_decorator(
    function: Callable[P, Coroutine[Any, Any, T]], /, **settings: Unpack[StreamSettings]
) -> Callable[P, Coroutine[Any, Any, MetricsResult[T]]]: ...
@overload
def metrics_decorator(
    function: Callable[P, AsyncGenerator[T, SendT]], /, **settings: Unpack[StreamSettings]
) -> Callable[P, AsyncMeasuredGenerator[T, SendT]]: ...
@overload
def metrics_decorator(
    function: Callable[P, Generator[T, SendT, ReturnT]], /, **settings: Unpack[StreamSettings]
) -> Callable[P, MeasuredGenerator[T, SendT, ReturnT]]: ...
@overload
def metrics_decorator(
    function: Callable[P, AsyncIterator[T]], /, **settings: Unpack[StreamSettings]
) -> Callable[P, AsyncMeasuredStream[T]]: ...
@overload
def metrics_decorator(
    function: Callable[P, Iterator[T]], /, **settings: Unpack[StreamSettings]
) -> Callable[P, MeasuredStream[T]]: ...
@overload
def metrics_decorator(
    function: Callable[P, Awaitable[Unknown]], /, **settings: Unpack[StreamSettings]
) -> Callable[P, Awaitable[Any]]: ...
@overload
def metrics_decorator(
    function: Callable[P, Awaitable[AsyncIterator[T]]], /, **settings: Unpack[StreamSettings]
) -> Callable[P, Awaitable[AsyncMeasuredStream[T]]]: ...
@overload
def metrics_decorator(
    function: Callable[P, Awaitable[Iterator[T]]], /, **settings: Unpack[StreamSettings]
) -> Callable[P, Awaitable[MeasuredStream[T]]]: ...
@overload
def metrics_decorator(
    function: Callable[P, Awaitable[T]], /, **settings: Unpack[StreamSettings]
) -> Callable[P, Awaitable[MetricsResult[T]]]: ...
@overload
def metrics_decorator(
    function: Callable[P, T], /, **settings: Unpack[StreamSettings]
) -> Callable[P, MetricsResult[T]]: ...
@overload
def metrics_decorator(
    function: Callable[P, Unknown | Awaitable[Unknown]], /, **settings: Unpack[StreamSettings]
) -> Any: ...
def metrics_decorator(
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
    """
    Measure every call of *function*, and give its caller the numbers.

    A call that gives a value gives a ``MetricsResult`` instead, the value in ``.value``. A call
    that gives an iterator gives a ``MeasuredStream`` around it, which yields the very chunks and
    has ``metrics`` and ``collect()``; an async iterator, an ``AsyncMeasuredStream``. A coroutine
    or another awaitable gives, when awaited, what fits its value. Nothing else changes: the
    function's name, signature, exceptions and timing are as before. Where others look at what
    the function returns (web frameworks, for example), use ``observe``.

    Works bare and with options, on functions, methods, classmethods, staticmethods (in either
    order), callable objects and bound methods. For a type checker the result is the row of that
    table. It does not know the attributes of an SDK's own stream class there, nor what to make of
    a function that is overloaded or gives a union, nor of *streams*: for those, ``observe`` with
    ``metrics_of`` is the typed way.

    Args:
        function: What produces the tokens. Left out to give options alone, as in
            ``@metrics_decorator(name="chat")``.
        name: The name results carry; by default ``module.qualname`` of the function.
        count_tokens: From a chunk of a stream, or from a returned value, to its number of
            tokens. Without it, the provider's usage counts, else *read_chunk*, else the length
            of a returned list, else each chunk that is not empty is one token. Its first failure
            disables it for that stream.
        read_chunk: From a chunk to a ``Reading``, for chunks whose shape is not known. If it has
            a method ``for_stream``, that is asked for a fresh reader for every stream.
        streams: ``None`` decides by the object that the call gives. ``True`` says that it is
            an iterable to be measured chunk by chunk, ``False`` that it is a value.
        model: The model's name, used until a chunk reports one. Without it, the call's
            ``model=`` argument is kept as ``request_model``.
        provider: The provider's name.
        operation: What is done, for example ``"chat"``.
        attributes: Labels for every call; values are ``str``, ``bool``, ``int`` or ``float``.
            Copied.
        sinks: Callables that take each finished result, besides the global ones. The result's
            ``value`` is ``None``.
        clock: Gives monotonic nanoseconds as ``int``; by default ``time.perf_counter_ns``.
            Called once at decoration.
        **unknown: Refused: there are no other options.

    Returns:
        The measured function; without *function*, the decorator. Times of its results are
        seconds, rates tokens per second.

    Raises:
        NotMeasurableError: If *function* is a class or cannot be called.
        InvalidOptionError: If an option is unknown or of the wrong kind, or if *streams* is
            ``False`` and *function* is a generator function.

    >>> @metrics_decorator
    ... def answer(question: str) -> list[str]:
    ...     return question.split()
    >>> result = answer("how fast is it")
    >>> result.value, result.token_count, result.streamed
    (['how', 'fast', 'is', 'it'], 4, False)

    .. versionadded:: 0.1.0
    """
    return _decorator(
        "metrics_decorator", function, unknown, observed=False, name=name,
        count_tokens=count_tokens, read_chunk=read_chunk, streams=streams, model=model,
        provider=provider, operation=operation, attributes=attributes, sinks=sinks, clock=clock,
    )  # fmt: skip


@overload
def observe(function: FunctionT, /, **settings: Unpack[Settings]) -> FunctionT: ...
@overload
def observe(
    function: None = None, /, **settings: Unpack[Settings]
) -> Callable[[FunctionT], FunctionT]: ...
def observe(
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
    """
    Measure every call of *function*, and change nothing of what its callers see.

    A call that gives a value gives that very object; its result goes to the sinks and to
    ``capture``. A call that gives a stream gives a measured stream, which answers every question
    as the original does; ``metrics_of(stream)`` gives its numbers, as does ``stream.metrics``
    where the original has no attribute of that name.

    Works bare and with options, on functions, methods, classmethods, staticmethods (in either
    order), callable objects and bound methods of SDKs. For a type checker the function stays
    what it was. With ``TOKENCLOCK_DISABLED=1`` in the environment when it is applied, *function*
    itself is returned.

    Args:
        function: What produces the tokens. Left out to give options alone, as in
            ``@observe(name="chat")``.
        name: The name results carry; by default ``module.qualname`` of the function.
        count_tokens: From a chunk of a stream, or from a returned value, to its number of
            tokens. Without it, the provider's usage counts, else *read_chunk*, else the length
            of a returned list, else each chunk that is not empty is one token. Its first failure
            disables it for that stream.
        read_chunk: From a chunk to a ``Reading``, for chunks whose shape is not known. If it has
            a method ``for_stream``, that is asked for a fresh reader for every stream.
        streams: ``None`` decides by the object that the call gives. ``True`` says that it is
            an iterable to be measured chunk by chunk, ``False`` that it is a value.
        model: The model's name, used until a chunk reports one. Without it, the call's
            ``model=`` argument is kept as ``request_model``.
        provider: The provider's name.
        operation: What is done, for example ``"chat"``.
        attributes: Labels for every call; values are ``str``, ``bool``, ``int`` or ``float``.
            Copied.
        sinks: Callables that take each finished result, besides the global ones. The result's
            ``value`` is ``None``.
        clock: Gives monotonic nanoseconds as ``int``; by default ``time.perf_counter_ns``.
            Called once at decoration.
        **unknown: Refused: there are no other options.

    Returns:
        The measured function; without *function*, the decorator.

    Raises:
        NotMeasurableError: If *function* is a class or cannot be called.
        InvalidOptionError: If an option is unknown or of the wrong kind, or if *streams* is
            ``False`` and *function* is a generator function.

    >>> @observe
    ... def answer(question: str) -> Iterator[str]:
    ...     yield from question.split()
    >>> stream = answer("how fast is it")
    >>> list(stream), metrics_of(stream).token_count
    (['how', 'fast', 'is', 'it'], 4)

    .. versionadded:: 0.1.0
    """
    return _decorator(
        "observe", function, unknown, observed=True, name=name,
        count_tokens=count_tokens, read_chunk=read_chunk, streams=streams, model=model,
        provider=provider, operation=operation, attributes=attributes, sinks=sinks, clock=clock,
    )  # fmt: skip


@overload
def measure(
    stream: AsyncGenerator[T, SendT],
    /,
    *,
    since: int | None = None,
    **settings: Unpack[StreamSettings],
) -> AsyncMeasuredGenerator[T, SendT]: ...
@overload
def measure(
    stream: Generator[T, SendT, ReturnT],
    /,
    *,
    since: int | None = None,
    **settings: Unpack[StreamSettings],
) -> MeasuredGenerator[T, SendT, ReturnT]: ...
@overload
def measure(
    stream: AsyncIterable[T], /, *, since: int | None = None, **settings: Unpack[StreamSettings]
) -> AsyncMeasuredStream[T]: ...
@overload
def measure(
    stream: Iterable[T], /, *, since: int | None = None, **settings: Unpack[StreamSettings]
) -> MeasuredStream[T]: ...
def measure(
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

    Args:
        stream: An iterator or iterable, sync or async; what it is for ``iter`` and ``aiter``
            it stays. Other objects are refused, an awaitable too: await it first.
        since: When the request was made, as *clock* gave it just before
            (``time.perf_counter_ns()``, nanoseconds); ``None`` for now.
        name: The name results carry; by default that of the type of *stream*.
        count_tokens: From a chunk to its number of tokens. Without it, the provider's usage
            counts, else *read_chunk*, else each chunk that is not empty is one token. Its first
            failure disables it for that stream.
        read_chunk: From a chunk to a ``Reading``, for chunks whose shape is not known. If it has
            a method ``for_stream``, that is asked for a fresh reader for every stream.
        model: The model's name, used until a chunk reports one.
        provider: The provider's name.
        operation: What is done, for example ``"chat"``.
        attributes: Labels; values are ``str``, ``bool``, ``int`` or ``float``.
            Copied.
        sinks: Callables that take the finished result, besides the global ones. The result's
            ``value`` is ``None``.
        clock: Gives monotonic nanoseconds as ``int``; by default ``time.perf_counter_ns``.

    Returns:
        The measured stream around *stream*.

    Raises:
        NotMeasurableError: If *stream* cannot be iterated over.
        InvalidOptionError: If an option is of the wrong kind, or *since* lies in the future.

    >>> stream = measure(iter(["how", "fast"]))
    >>> for token in stream:
    ...     print(token)
    how
    fast
    >>> stream.metrics.token_count
    2

    .. versionadded:: 0.1.0
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


@overload
def metrics_of(measured_object: MetricsResult[T]) -> MetricsResult[T]: ...
@overload
def metrics_of(
    measured_object: MeasuredStream[Any] | AsyncMeasuredStream[Any],
) -> MetricsResult[None]: ...
@overload
def metrics_of(measured_object: object) -> MetricsResult[Any] | None: ...
def metrics_of(measured_object: Any) -> MetricsResult[Any] | None:
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
        result: MetricsResult[Any] = measured_object
        return result
    if issubclass(kind, Proxy):
        run: Run = measured_object._tc_run  # noqa: SLF001 - ours
        return run.result()
    try:
        watched_run = watched.get(measured_object)
    except TypeError:  # neither hashable nor weakly referable: no future
        return None
    return None if watched_run is None else watched_run.result()
