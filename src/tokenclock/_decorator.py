"""The two decorators: their options, their types and what they promise."""

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
from collections.abc import (
    AsyncGenerator,
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

from tokenclock._attributes import AttributeValue  # noqa: TC001 - typing.get_type_hints needs it
from tokenclock._callables import measured
from tokenclock._clock import Clock  # noqa: TC001 - typing.get_type_hints needs it
from tokenclock._options import Options, refuse_unknown
from tokenclock._reading import Reading  # noqa: TC001 - typing.get_type_hints needs it
from tokenclock._sinks import Sink  # noqa: TC001 - typing.get_type_hints needs it

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from tokenclock._result import MetricsResult
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

    >>> from tokenclock import metrics_of
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
