"""Spans: one for each call, around what its body does, however its steps are taken."""

# Private names of others are ruff's business (SLF001), which wants a reason for each.
# pyright: reportPrivateUsage=false

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from contextvars import copy_context
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.trace import Span, SpanKind, Status, StatusCode

from tokenclock import _hooks
from tokenclock.errors import AlreadyInstalledError, InvalidOptionError
from tokenclock.exporters._installing import Installable
from tokenclock.exporters._otel_attributes import (
    FUNCTION,
    SCHEMA_URLS,
    SCOPE,
    SERVER,
    STREAM,
    Semconv,
    checked_names,
    checked_operation,
    checked_semconv,
    exportable,
    installed_version,
    request_attributes,
)
from tokenclock.exporters._otel_span_end import ended_attributes, events_of

if TYPE_CHECKING:
    from contextvars import Token

    from opentelemetry.context import Context
    from opentelemetry.trace import Tracer, TracerProvider

    from tokenclock._attributes import AttributeValue
    from tokenclock._hooks import Call, CallHook
    from tokenclock._result import MetricsResult

T = TypeVar("T")

NS_PER_SECOND = 1_000_000_000

# What instrumentations and exporters of OpenTelemetry set where nothing is to be traced.
_SUPPRESSED: str = getattr(
    otel_context, "_SUPPRESS_INSTRUMENTATION_KEY", "suppress_instrumentation"
)


class OpenTelemetrySpans(Installable):
    """
    Give every measured call a span, and make it the parent of what the call's body does.

    From ``install()`` on, each call has one span named ``{operation} {model}``: it starts when
    the function's own code can first run, is a child of the span that was current at the call,
    and ends where the result ends, with usage, finish reason, times and outcome as attributes.
    Every step of the body, of a generator and an async generator too, runs with that span as the
    current one; between steps the caller has its own context. A failed call has the status
    ``ERROR`` and ``error.type``; what the exception says, and what a model generated, is nowhere.

    The span is ended on a thread of ours, so that a slow span processor delays no caller:
    ``flush()`` it before the tracer provider. While spans are installed a step costs one to two
    microseconds more, an async one about five; on Python 3.10 a traceback shows one more frame
    of ours.

    Needs the extra ``otel``: the API of OpenTelemetry alone. Without an SDK nothing is exported.

    Args:
        tracer_provider: Where the tracer comes from; ``None`` for the process-wide one, also if
            that is set later.
        semconv: Which GenAI conventions the spans claim to follow: ``"released"`` or ``"latest"``.
            The attributes used are the same in both.
        attributes: Names of the calls' own attributes to export; no other one is, but for
            ``server.address`` and ``server.port``.
        events: Whether a span has an event for the first token and one for each stall.
        stall: From how many seconds of waiting for one chunk on, after the first token, a wait is
            a stall. At most 64 are told for each call.
        in_process: Names of providers whose models run in this process. Their spans are of kind
            ``INTERNAL``, as are those of calls that name neither provider nor server; all others
            are of kind ``CLIENT``.
        operation: What calls do that do not say it (``gen_ai.operation.name``).

    Raises:
        InvalidOptionError: If an argument is of the wrong kind.

    .. versionadded:: 0.1.0
    """

    def __init__(
        self,
        tracer_provider: TracerProvider | None = None,
        *,
        semconv: Semconv = "released",
        attributes: Iterable[str] = (),
        events: bool = False,
        stall: float = 1.0,
        in_process: Collection[str] = (),
        operation: str = "chat",
    ) -> None:
        super().__init__()
        self.names = checked_names(attributes)
        self.operation = checked_operation(operation)
        self.stall = _checked_stall(stall) if events else None
        self.in_process = _checked_in_process(in_process)
        schema_url = SCHEMA_URLS[checked_semconv(semconv)]
        self.tracer = _tracer(tracer_provider, schema_url)

    def _put_in(self, max_queue: int) -> None:
        global _installed  # noqa: PLW0603 - a body has one current span, so there can be one
        if _installed is not None:
            msg = (
                "Cannot install these spans: others are installed, and every call would have "
                "two. Uninstall those first, or give them a second span processor."
            )
            raise AlreadyInstalledError(msg)
        super()._put_in(max_queue)
        _installed = self

    def _take_out(self) -> None:
        global _installed  # noqa: PLW0603 - as above
        _installed = None
        super()._take_out()

    def _hook(self) -> CallHook:
        return self._started

    def _started(self, call: Call) -> _hooks.CallScope | None:
        # A span processor's own doing has no spans, or each would make the next.
        if otel_context.get_value(_SUPPRESSED):
            return None
        return _CallSpan(self, call)

    def _worker_of_its_own(self) -> Callable[[_Ended], None]:
        return self._end

    def _provider(self) -> object:
        return trace.get_tracer_provider()

    def end_later(self, ended: _Ended) -> None:
        """End a span on the thread of this exporter, or here once that has ended."""
        if self._is_installed and self._background is not None:
            self._background._put(ended)  # noqa: SLF001 - our own
        else:
            self._end(ended)

    def _end(self, ended: _Ended) -> None:
        """End a span with what the result says."""
        span, result, _, stall = ended
        span.set_attributes(ended_attributes(result))
        if result.outcome == "failed":
            span.set_status(Status(StatusCode.ERROR, result.error))
        if stall is not None and span.is_recording():
            for name, seconds, attributes in events_of(result, stall):
                span.add_event(name, attributes, ended.at(seconds))
        _untraced(span.end, ended.at(result.generation_latency))


class _Ended(NamedTuple):
    """What is needed to end the span of a call: its own attributes are those of the result."""

    span: Span
    result: MetricsResult[Any]
    started_ns: int
    stall: float | None

    def at(self, seconds: float) -> int:
        return self.started_ns + round(seconds * NS_PER_SECOND)


_installed: OpenTelemetrySpans | None = None


def _untraced(function: Callable[..., T], *args: Any, **kwargs: Any) -> T:
    """Call what calls span processors, in a context of its own where nothing is traced."""

    def call() -> T:
        otel_context.attach(otel_context.set_value(_SUPPRESSED, value=True))
        return function(*args, **kwargs)

    return copy_context().run(call)


def _tracer(tracer_provider: TracerProvider | None, schema_url: str | None) -> Tracer:
    provider: Any = trace.get_tracer_provider() if tracer_provider is None else tracer_provider
    if not callable(getattr(provider, "get_tracer", None)):
        msg = (
            f"Cannot trace with tracer_provider={tracer_provider!r}: it makes no tracers. "
            "Pass a TracerProvider, or None for the process's."
        )
        raise InvalidOptionError(msg, option="tracer_provider")
    tracer: Tracer = provider.get_tracer(SCOPE, installed_version(), schema_url=schema_url)
    return tracer


class _Callers:
    """The context that the caller of a step has, and the token that leads back to it."""

    __slots__ = ("context", "token")

    def __init__(self, context: Context) -> None:
        self.context = context
        self.token: Token[Context] | None = None


class _CallSpan(_hooks.CallScope):
    """
    One call's span, and the context that its body has reached.

    Attributes:
        _call: Until it has finished; kept longer it would be a cycle.
        _around: The context in which it was called.
        _own: That with the span in it.
        _context: Where the body has got to from there.
    """

    __slots__ = (
        "_around", "_call", "_context", "_exporter", "_finished", "_may_begin", "_may_end", "_own",
        "_span",
    )  # fmt: skip

    has_context = True

    def __init__(self, exporter: OpenTelemetrySpans, call: Call) -> None:
        self._exporter = exporter
        self._call: Call | None = call
        self._around = self._own = self._context = otel_context.get_current()
        self._span: Span | None = None
        self._finished: tuple[MetricsResult[Any], int] | None = None
        # Two threads may take the first step of a stream, and a third may finish it meanwhile:
        # whoever pops begins, or ends.
        self._may_begin, self._may_end = [None], [None]

    def callers(self) -> _Callers:
        return _Callers(otel_context.get_current())

    def enter(self, callers: _Callers) -> None:
        call = self._call
        # To ask for an iterator alone starts nothing.
        if self._span is None and call is not None and call.started_wall_ns is not None:
            self._begin(call, call.started_wall_ns)
        callers.token = otel_context.attach(self._context)

    def leave(self, callers: _Callers) -> None:
        reached = otel_context.get_current()
        if reached is callers.context:
            return
        token, callers.token = callers.token, None
        if token is None:  # a signal struck before it was kept, or while we used it
            otel_context.attach(callers.context)
        else:
            self._context = reached
            otel_context.detach(token)

    def put_off(self) -> None:
        self._span = None  # which is never ended, and so never exported
        self._own = self._context = self._around
        self._may_begin = [None]

    def finished(self, result: MetricsResult[Any]) -> None:
        call = self._call
        if call is None:
            return
        started_ns = call.started_wall_ns
        if started_ns is None:
            started_ns = call.called_wall_ns
        self._begin(call, started_ns)
        self._call = None
        self._context = self._own  # sinks find the call's own span, whatever its body left open
        self._finished = (result, started_ns)
        self._end_if_over()

    def _end_if_over(self) -> None:
        """End the span, once, if it has begun and the call has finished."""
        span, finished = self._span, self._finished
        if span is not None and finished is not None and _claimed(self._may_end):
            self._exporter.end_later(_Ended(span, *finished, self._exporter.stall))

    def _begin(self, call: Call, started_ns: int) -> None:
        """Start the span, once."""
        if not _claimed(self._may_begin):
            return
        exporter = self._exporter
        known = _known_at_start(call, exporter)
        self._span = _untraced(
            exporter.tracer.start_span,
            _name_of(known), context=self._around, kind=_kind_of(call, exporter.in_process),
            attributes=known, start_time=started_ns,
        )  # fmt: skip
        self._own = trace.set_span_in_context(self._span, self._around)
        # What the body has set before, in its ``__iter__``, stays.
        self._context = trace.set_span_in_context(self._span, self._context)
        self._end_if_over()


def _claimed(claims: list[None]) -> bool:
    """Take the only claim there is; one step of C, and no lock."""
    try:
        claims.pop()
    except IndexError:
        return False
    return True


def _known_at_start(call: Call, exporter: OpenTelemetrySpans) -> dict[str, AttributeValue]:
    options = call.options
    known = request_attributes(
        operation=options.operation or exporter.operation,
        provider=options.provider,
        request_model=call.request_model,
        call_attributes=call.attributes,
        names=exporter.names,
    )
    known[FUNCTION] = exportable(options.name or "")
    if call.asked_to_stream:
        known[STREAM] = True
    return known


def _name_of(known: Mapping[str, AttributeValue]) -> str:
    operation, model = known["gen_ai.operation.name"], known.get("gen_ai.request.model")
    return str(operation) if model is None else f"{operation} {model}"


def _kind_of(call: Call, in_process: Collection[str]) -> SpanKind:
    """Tell a model that runs elsewhere from one in this process."""
    provider = call.options.provider
    is_elsewhere = provider is not None or SERVER[0] in call.attributes
    is_remote = is_elsewhere and provider not in in_process
    return SpanKind.CLIENT if is_remote else SpanKind.INTERNAL


def _checked_stall(stall: float) -> float:
    is_number = isinstance(stall, int | float) and not isinstance(stall, bool)  # pyright: ignore[reportUnnecessaryIsInstance]
    if not is_number or not stall > 0:
        msg = (
            f"Cannot tell stalls from stall={stall!r} on: it is no positive number of seconds. "
            "Pass the shortest wait for one chunk that is a stall, such as 1.0."
        )
        raise InvalidOptionError(msg, option="stall")
    return stall


def _checked_in_process(in_process: Collection[str]) -> frozenset[str]:
    if isinstance(in_process, str) or not isinstance(in_process, Collection):  # pyright: ignore[reportUnnecessaryIsInstance]
        msg = (
            f"Cannot use in_process={in_process!r}: it is no list of providers. "
            "Pass a list of names, such as in_process=['llama.cpp']."
        )
        raise InvalidOptionError(msg, option="in_process")
    return frozenset(in_process)
