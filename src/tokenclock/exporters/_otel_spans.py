"""Spans: one for each call, around what its body does, however its steps are taken."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import TYPE_CHECKING, Any

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
    from opentelemetry.trace import Tracer, TracerProvider

    from tokenclock._attributes import AttributeValue
    from tokenclock._hooks import Call, CallHook
    from tokenclock._result import MetricsResult
    from tokenclock._sinks import Sink

NS_PER_SECOND = 1_000_000_000

# Under it the context of a call carries its scope, to which a sink finds back from any thread.
_SCOPE_KEY = otel_context.create_key("tokenclock-call")


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
    ``flush()`` it before the tracer provider. The span of a context manager of an SDK that sends
    its request on entry starts at the call. While spans are installed a step
    costs a microsecond more, an async one three; on Python 3.10 a traceback shows one more frame
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

    def _started(self, call: Call) -> _hooks.CallScope:
        return _CallSpan(self, call)

    def _sink(self) -> Sink:
        return _end_span


_installed: OpenTelemetrySpans | None = None


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


def _end_span(result: MetricsResult[Any]) -> None:
    """End the span of a call: sinks run in the context of their call, and find its span there."""
    scope = otel_context.get_value(_SCOPE_KEY)
    if isinstance(scope, _CallSpan):
        scope.end(result)


class _CallSpan(_hooks.CallScope):
    """One call's span, and the context that its body has reached."""

    __slots__ = ("_call", "_context", "_exporter", "_own", "_span")

    has_context = True

    def __init__(self, exporter: OpenTelemetrySpans, call: Call) -> None:
        self._exporter = exporter
        self._call = call
        self._own = self._context = otel_context.get_current()
        self._span: Span | None = None

    def enter(self) -> Any:
        started_ns = self._call.started_wall_ns
        if self._span is None and started_ns is not None:  # iter() alone starts nothing
            self._begin(started_ns)
        return otel_context.attach(self._context)

    def leave(self, token: Any) -> None:
        self._context = otel_context.get_current()
        otel_context.detach(token)

    def finished(self, result: MetricsResult[Any]) -> None:  # noqa: ARG002 - see CallScope
        if self._span is None:
            self._begin(self._call.called_wall_ns)
        self._context = self._own  # sinks find the call's own span, whatever its body left open

    def _begin(self, started_ns: int) -> None:
        """Start the span: at the first step, since a lazy call starts when it is first asked."""
        call, exporter = self._call, self._exporter
        known = _known_at_start(call, exporter)
        self._span = exporter.tracer.start_span(
            _name_of(known), context=self._own, kind=_kind_of(call, exporter.in_process),
            attributes=known, start_time=started_ns,
        )  # fmt: skip
        self._own = trace.set_span_in_context(self._span, self._own)
        self._own = otel_context.set_value(_SCOPE_KEY, self, self._own)
        # What the body has set before, in its ``__iter__``, stays.
        self._context = trace.set_span_in_context(self._span, self._context)

    def end(self, result: MetricsResult[Any]) -> None:
        """End the span with what the result says; a second result is another call's."""
        span = self._span
        if span is None or result.call_id != self._call.call_id:
            return
        span.set_attributes(ended_attributes(result))
        if result.outcome == "failed":
            span.set_status(Status(StatusCode.ERROR, result.error))
        if self._exporter.stall is not None and span.is_recording():
            for name, seconds, attributes in events_of(result, self._exporter.stall):
                span.add_event(name, attributes, self._at(seconds))
        span.end(self._at(result.generation_latency))

    def _at(self, seconds: float) -> int:
        started_ns = self._call.started_wall_ns
        if started_ns is None:
            started_ns = self._call.called_wall_ns
        return started_ns + round(seconds * NS_PER_SECOND)


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
