"""Results as metrics of OpenTelemetry."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from tokenclock._metrics import FIRST_TOKEN, PER_OUTPUT_TOKEN, THROUGHPUT
from tokenclock._result import MetricsResult  # noqa: TC001 - typing.get_type_hints needs it
from tokenclock.errors import AlreadyInstalledError, InvalidOptionError, MissingExtraError
from tokenclock.exporters import _buckets
from tokenclock.exporters._installing import Installable
from tokenclock.exporters._otel_attributes import (
    SCHEMA_URLS,
    SCOPE,
    Semconv,
    checked_names,
    checked_operation,
    checked_semconv,
    installed_version,
    metric_attributes,
)

try:
    from opentelemetry import metrics
    from opentelemetry.metrics import MeterProvider  # noqa: TC002 - typing.get_type_hints needs it
except ImportError as error:
    raise MissingExtraError(
        "The OpenTelemetry exporters need", "opentelemetry-api", "otel"
    ) from error

if TYPE_CHECKING:
    from opentelemetry.metrics import Counter, Histogram, Meter

    from tokenclock._attributes import AttributeValue
    from tokenclock._hooks import CallHook
    from tokenclock._sinks import Sink

Exported = dict[str, "AttributeValue"]

TOKEN_TYPE = "gen_ai.token.type"  # noqa: S105 - no secret
TOKEN_MODALITY = "gen_ai.token.modality"  # noqa: S105 - as above
TOKEN_SOURCE = "tokenclock.token_source"  # noqa: S105 - as above

_PREFIXES: dict[Semconv, str] = {
    "released": "gen_ai.client.operation",
    "latest": "gen_ai.client.inference",
}
_DURATIONS: dict[Semconv, str] = {
    "released": "GenAI operation duration.",
    "latest": "GenAI client inference operation duration.",
}


class OpenTelemetryMetrics(Installable):
    """
    Export results as metrics of OpenTelemetry, by the GenAI semantic conventions.

    A sink: call it with a finished result, or ``install()`` it for every call of the process,
    behind a queue. It records what ``tokenclock.summary`` counts: times to the first chunk and
    token and times per output token of streamed calls only, throughput of completed ones only,
    durations of all that ran. What was not observed (``None``) is not recorded, also where the
    newest conventions would have a 0. Calls that were never asked for anything ran nothing and
    are not recorded. A measured call inside another is recorded, and the one around it too: the
    attribute ``tokenclock.function`` tells them apart. Of token counts ``tokenclock.token_source``
    tells the provider's from others.

    Only the API of OpenTelemetry is needed; without an SDK nothing is recorded. Exemplars are the
    SDK's work: a result is recorded in the context of its call, whose span they find.

    To emit both sets of names give each its own ``MeterProvider``: tokenclock's own metrics, which
    both have, would be counted twice in one.

    Args:
        meter_provider: Where to record; ``None`` for the process's, also if it is set later.
        semconv: ``"released"`` for the names of the conventions' last release
            (``gen_ai.client.operation.*``, ``gen_ai.client.token.usage``), ``"latest"`` for the
            newest (``gen_ai.client.inference.*``).
        attributes: Names of labels (from the option ``attributes`` and from ``labels()``) that
            are exported, under their own names. Others are not: each value is a series of its
            own. ``server.address`` and ``server.port`` are always exported.
        gaps: Whether to record every gap between chunks, one by one:
            ``gen_ai.client.*.time_per_output_chunk`` and ``tokenclock.inter_token_latency``, each
            of the first 65,536 chunks of a stream. With the SDK it costs some 20 microseconds
            for each gap, which ``install()`` spends on its own thread.
        operation: ``gen_ai.operation.name`` of calls that have no ``operation``.

    Raises:
        InvalidOptionError: If an option is of the wrong kind, or a name in *attributes* is one of
            the conventions or of tokenclock.

    .. versionadded:: 0.1.0
    """

    def __init__(
        self,
        meter_provider: MeterProvider | None = None,
        *,
        semconv: Semconv = "released",
        attributes: Iterable[str] = (),
        gaps: bool = False,
        operation: str = "chat",
    ) -> None:
        super().__init__()
        self._given = meter_provider
        self._names = checked_names(attributes)
        self._operation = checked_operation(operation)
        meter = _meter(meter_provider, checked_semconv(semconv))
        prefix = _PREFIXES[semconv]
        self._duration = _seconds(
            meter, f"{prefix}.duration", _DURATIONS[semconv], _buckets.CONVENTIONS_SECONDS
        )
        self._first_chunk = _seconds(
            meter,
            f"{prefix}.time_to_first_chunk",
            "Time to receive the first chunk, measured from when the client issues the generation "
            "request to when the first chunk is received in the response stream.",
            _buckets.CONVENTIONS_SECONDS,
        )
        self._tokens = _ReleasedTokens(meter) if semconv == "released" else _LatestTokens(meter)
        self._own = _OwnMetrics(meter)
        self._gaps = _Gaps(meter, prefix) if gaps else None

    def __call__(self, result: MetricsResult[Any]) -> None:
        """Record one finished result; a snapshot of a running call is passed over."""
        if result.outcome in {"running", "unconsumed"}:
            return
        attributes = metric_attributes(result, names=self._names, operation=self._operation)
        self._duration.record(result.generation_latency, attributes)
        if result.time_to_first_chunk is not None:
            self._first_chunk.record(result.time_to_first_chunk, attributes)
        self._tokens.record(result, attributes)
        self._own.record(result, attributes)
        if self._gaps is not None:
            self._gaps.record(result, attributes)

    def _sink(self) -> Sink | None:
        return self

    def _hook(self) -> CallHook | None:
        return None

    def _provider(self) -> object:
        return metrics.get_meter_provider() if self._given is None else self._given

    def _put_in(self, max_queue: int) -> None:
        if any(one._provider() is self._provider() for one in _installed):  # noqa: SLF001 - ours
            msg = (
                "Cannot install these metrics: others are installed on the same meter provider, "
                "and every number would be counted twice. Uninstall those first, or give these "
                "a meter provider of their own."
            )
            raise AlreadyInstalledError(msg)
        super()._put_in(max_queue)
        _installed.append(self)

    def _take_out(self) -> None:
        _installed.remove(self)
        super()._take_out()


_installed: list[OpenTelemetryMetrics] = []


class _ReleasedTokens:
    """Token counts as one histogram."""

    def __init__(self, meter: Meter) -> None:
        self._usage = _tokens(
            meter, "gen_ai.client.token.usage", "Number of input and output tokens used."
        )

    def record(self, result: MetricsResult[Any], attributes: Exported) -> None:
        if result.input_token_count is not None:
            self._usage.record(result.input_token_count, {**attributes, TOKEN_TYPE: "input"})
        if result.token_count is not None:
            output = {**_of_output(result, attributes), TOKEN_TYPE: "output"}
            self._usage.record(result.token_count, output)


class _LatestTokens:
    """Token counts as a counter for each kind, and how they are spread over calls."""

    def __init__(self, meter: Meter) -> None:
        self._input = _tokens(
            meter,
            "gen_ai.client.inference.operation.input_tokens",
            "The number of input (prompt) tokens used per inference operation.",
        )
        self._output = _tokens(
            meter,
            "gen_ai.client.inference.operation.output_tokens",
            "The number of output (completion) tokens used per inference operation.",
        )
        self._input_total = _usage(
            meter, "input_tokens", "input (prompt) tokens used, including cached tokens."
        )
        self._cached_total = _usage(
            meter, "cache_read.input_tokens", "input tokens served from a provider-managed cache."
        )
        self._output_total = _usage(
            meter, "output_tokens", "output (completion) tokens used, including reasoning tokens."
        )
        self._reasoning_total = _usage(
            meter,
            "reasoning.output_tokens",
            "output tokens used for reasoning (e.g. chain-of-thought, extended thinking).",
        )

    def record(self, result: MetricsResult[Any], attributes: Exported) -> None:
        output = _of_output(result, attributes)
        _record(self._input, result.input_token_count, attributes)
        _record(self._output, result.token_count, output)
        _add(self._input_total, result.input_token_count, attributes)
        _add(self._cached_total, result.cached_token_count, attributes)
        _add(self._output_total, result.token_count, output)
        _add(self._reasoning_total, result.reasoning_token_count, attributes)


class _OwnMetrics:
    """What the conventions lack."""

    def __init__(self, meter: Meter) -> None:
        self._first_token = _seconds(
            meter,
            "tokenclock.time_to_first_token",
            "Time from the start of a streamed call to its first chunk that bears a token.",
            _buckets.TIME_TO_FIRST_TOKEN,
        )
        self._per_output_token = _seconds(
            meter,
            "tokenclock.time_per_output_token",
            "Time from the first to the last token of a streamed call, for each token after the "
            "first chunk that bears one.",
            _buckets.INTER_TOKEN,
        )
        self._throughput = _histogram(
            meter,
            "tokenclock.throughput",
            "{token}/s",
            "Tokens of a completed call divided by its whole latency.",
            _buckets.THROUGHPUT,
        )
        self._consumer_time = _seconds(
            meter,
            "tokenclock.consumer_time",
            "Time that a stream was in the hands of the code that reads it.",
            _buckets.GENERATION_LATENCY,
        )

    def record(self, result: MetricsResult[Any], attributes: Exported) -> None:
        _record(self._first_token, FIRST_TOKEN.of(result), attributes)
        _record(self._per_output_token, PER_OUTPUT_TOKEN.of(result), attributes)
        _record(self._throughput, THROUGHPUT.of(result), attributes)
        if result.streamed:
            self._consumer_time.record(result.consumer_time, attributes)


class _Gaps:
    """The gaps of a stream, one by one."""

    def __init__(self, meter: Meter, prefix: str) -> None:
        self._chunks = _seconds(
            meter,
            f"{prefix}.time_per_output_chunk",
            "Time per output chunk, recorded for each chunk received after the first one, measured "
            "as the time elapsed from the end of the previous chunk to the end of the current "
            "chunk.",
            _buckets.CONVENTIONS_SECONDS,
        )
        self._tokens = _seconds(
            meter,
            "tokenclock.inter_token_latency",
            "Time between neighbouring chunks of a stream that bear tokens.",
            _buckets.INTER_TOKEN,
        )

    def record(self, result: MetricsResult[Any], attributes: Exported) -> None:
        for before, chunk in pairwise(result.timeline or ()):
            # Seconds that are whole nanoseconds; their difference is one again.
            self._chunks.record(round(chunk.arrived - before.arrived, 9), attributes)
        for gap in result.inter_token_latencies:
            self._tokens.record(gap, attributes)


def _meter(meter_provider: MeterProvider | None, semconv: Semconv) -> Meter:
    provider: Any = metrics.get_meter_provider() if meter_provider is None else meter_provider
    if not callable(getattr(provider, "get_meter", None)):
        msg = (
            f"Cannot record into meter_provider={meter_provider!r}: it makes no meters. "
            "Pass a MeterProvider, or None for the process's."
        )
        raise InvalidOptionError(msg, option="meter_provider")
    meter: Meter = provider.get_meter(SCOPE, installed_version(), SCHEMA_URLS[semconv])
    return meter


def _seconds(meter: Meter, name: str, description: str, buckets: Sequence[float]) -> Histogram:
    return _histogram(meter, name, "s", description, buckets)


def _tokens(meter: Meter, name: str, description: str) -> Histogram:
    return _histogram(meter, name, "{token}", description, _buckets.CONVENTIONS_TOKENS)


def _histogram(
    meter: Meter, name: str, unit: str, description: str, buckets: Sequence[float]
) -> Histogram:
    return meter.create_histogram(
        name, unit, description, explicit_bucket_boundaries_advisory=buckets
    )


def _usage(meter: Meter, kind: str, what: str) -> Counter:
    name = f"gen_ai.client.inference.usage.{kind}"
    return meter.create_counter(name, "{token}", f"The number of {what}")


def _record(histogram: Histogram, number: float | None, attributes: Exported) -> None:
    if number is not None:
        histogram.record(number, attributes)


def _add(counter: Counter, tokens: int | None, attributes: Exported) -> None:
    if tokens is not None:
        counter.add(tokens, {**attributes, TOKEN_MODALITY: "unknown"})


def _of_output(result: MetricsResult[Any], attributes: Exported) -> Exported:
    """Add who counted the output: a provider's count and one of chunks are told apart."""
    if result.token_source is None:
        return attributes
    return {**attributes, TOKEN_SOURCE: result.token_source}
