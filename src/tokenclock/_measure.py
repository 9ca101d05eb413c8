"""Measuring without a decorator, and asking anything measured for its numbers."""

# Private names of others are ruff's business (SLF001), which wants a reason for each.
# pyright: reportPrivateUsage=false
# What is wrapped is Any, and pyright does not know the type() of that.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false
# The overloads overlap on purpose: a generator is an iterator is an iterable.
# mypy: disable-error-code="overload-overlap, overload-cannot-match"
# pyright: reportOverlappingOverload=false

from __future__ import annotations

import inspect
from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    Callable,
    Generator,
    Iterable,
    Mapping,
)
from typing import TYPE_CHECKING, Any, overload

from tokenclock import _log
from tokenclock._attributes import AttributeValue  # noqa: TC001 - typing.get_type_hints needs it
from tokenclock._callables import name_of
from tokenclock._clock import Clock  # noqa: TC001 - typing.get_type_hints needs it
from tokenclock._handover import watched
from tokenclock._options import STREAM_NAMES, Options, refuse_unknown
from tokenclock._proxy import Proxy
from tokenclock._reading import Reading  # noqa: TC001 - typing.get_type_hints needs it
from tokenclock._result import MetricsResult
from tokenclock._runs import Run
from tokenclock._sinks import Sink  # noqa: TC001 - typing.get_type_hints needs it
from tokenclock._streams import is_iterable, measured_stream
from tokenclock.errors import InvalidOptionError, NotMeasurableError

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from tokenclock._streams import (
        AsyncMeasuredGenerator,
        AsyncMeasuredStream,
        MeasuredGenerator,
        MeasuredStream,
    )
    from tokenclock._typing import ReturnT, SendT, StreamSettings, T


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
    **unknown: Any,
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
        **unknown: Refused: there are no other options.

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
    refuse_unknown(unknown, where="measure", names=sorted((*STREAM_NAMES, "since")))
    if not is_iterable(type(stream)):
        kind = _log.type_name(type(stream))
        hint = "Await it first." if inspect.isawaitable(stream) else "Pass the stream itself."
        msg = f"Cannot measure a {kind!r}: it cannot be iterated over. {hint}"
        raise NotMeasurableError(msg)
    options = Options(
        name=name, count_tokens=count_tokens, read_chunk=read_chunk, model=model,
        provider=provider, operation=operation, attributes=attributes, sinks=sinks, clock=clock,
    ).named(name_of(stream))  # fmt: skip
    now_ns = options.clock()
    run = Run(options, {}, _checked_since(since, now_ns))
    run.begin()
    run.handed_over(now_ns)
    return measured_stream(stream, run, observed=False)


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
    except Exception:  # noqa: BLE001 - whatever its __hash__ raises, it is no future of ours
        return None
    return None if watched_run is None else watched_run.result()
