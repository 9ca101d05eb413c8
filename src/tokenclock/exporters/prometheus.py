"""
Export results to Prometheus: histograms, counters and a gauge of the calls in flight.

What a model generated is in none of them.
"""

# Private names of others are ruff's business (SLF001), which wants a reason for each.
# pyright: reportPrivateUsage=false

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from tokenclock import _log
from tokenclock._metrics import FIRST_TOKEN, GAP, LATENCY, PER_OUTPUT_TOKEN
from tokenclock._texts import is_callers_doing
from tokenclock.errors import InvalidOptionError, MissingExtraError
from tokenclock.exporters import _buckets
from tokenclock.exporters._forking import sink_lock
from tokenclock.exporters._installing import Installable
from tokenclock.exporters._prometheus_bulk import BulkHistogram
from tokenclock.exporters._prometheus_in_flight import CallsInFlight
from tokenclock.exporters._prometheus_labels import Children, Labels, label_text

try:
    from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge, Histogram, values
except ImportError as error:
    raise MissingExtraError(
        "The Prometheus exporter needs", "prometheus_client", "prometheus"
    ) from error

if TYPE_CHECKING:
    from tokenclock._hooks import CallHook
    from tokenclock._result import MetricsResult
    from tokenclock._sinks import Sink

__all__ = ["PrometheusMetrics"]


_OUTCOMES = ("completed", "stopped", "failed", "cancelled", "unconsumed")


class PrometheusMetrics(Installable):
    """
    Export every finished call as metrics of ``prometheus_client``.

    ``install()`` is the usual way: it counts the calls in flight, and does the rest on a thread
    of its own. As a plain sink, ``add_sink(exporter)``, it works on the thread that finished the
    call, and without the gauge. Serving the metrics is left to ``prometheus_client``:
    ``start_http_server``, ``make_asgi_app`` or ``make_wsgi_app``.

    Histograms, in seconds, with the bounds of vLLM's server metrics and some below them:

    - ``tokenclock_time_to_first_token_seconds``: of streamed calls, however they ended.
    - ``tokenclock_inter_token_latency_seconds``: gaps between neighbouring token-bearing chunks
      of streamed calls, as far as results keep them (the first 65,536 chunks); binned once, at
      the end of the call.
    - ``tokenclock_time_per_output_token_seconds``: of streamed calls, however they ended.
    - ``tokenclock_generation_latency_seconds``: of calls that completed.

    Counters: ``tokenclock_tokens_total``, by ``direction`` (``"input"`` or ``"output"``), and
    ``tokenclock_calls_total``, by ``outcome``. Gauge: ``tokenclock_calls_in_flight``. Whatever
    is ``None`` in a result is not recorded, and neither is the snapshot of a call that goes on.
    A measured call inside another is counted by both, under its own ``function``.

    Labels are ``function``, ``model`` (as requested, else as reported, so that a failure counts
    for the same model as a success), ``provider``, and those of *labels*; unknown is ``""``.
    Calls of every outcome begin at 0 with the first call of a set of labels. Histograms also have
    ``consumer_limited``: ``"true"`` where the caller's own share of the latency is 5 % or more.

    With several processes, as under gunicorn, set ``PROMETHEUS_MULTIPROC_DIR`` to an empty
    folder before anything imports ``prometheus_client``, and expose a registry that has a
    ``MultiProcessCollector``. The exporter may be made and installed before the fork. Have
    ``multiprocess.mark_process_dead(pid)`` called for each process that ends (gunicorn's
    ``child_exit``), or the calls that were in flight in one that was killed stay so.

    Args:
        registry: Where the metrics are registered; ``None`` is ``prometheus_client.REGISTRY``.
        labels: Names of attributes of calls (of ``attributes=`` and ``labels()``) that become
            labels too. Dots in them become underscores. A call without one has ``""``.
        max_label_values: How many values each label may have in this process. Further ones are
            exported as ``"other"``, with one ``TokenclockWarning`` for each label.
        exemplars: Attach the ids of the current span of OpenTelemetry, if it is sampled, to the
            observations of a call: ``trace_id`` and ``span_id``; of its gaps, to the largest.
            Only the OpenMetrics exposition shows them, and in multiprocess mode the client
            drops them.

    Raises:
        InvalidOptionError: If a label cannot be one or is the exporter's own, if
            *max_label_values* is no positive whole number, or if *registry* is no registry or
            has these metrics already.

    .. versionadded:: 0.1.0
    """

    def __init__(
        self,
        registry: CollectorRegistry | None = None,
        *,
        labels: Iterable[str] = (),
        max_label_values: int = 100,
        exemplars: bool = False,
    ) -> None:
        super().__init__()
        self._labels = Labels(labels, max_label_values)
        self._exemplars = exemplars
        metrics = self._metrics = _Metrics(self._labels.names)
        self._registry = REGISTRY if registry is None else registry
        _register(metrics, self._registry)
        _warn_if_set_too_late()
        self._calls = Children(metrics.calls.labels)
        self._tokens = Children(metrics.tokens.labels)
        self._gaps = Children(metrics.bulk_gaps)
        self._once_per_call = (
            (FIRST_TOKEN, Children(metrics.first_token.labels)),
            (PER_OUTPUT_TOKEN, Children(metrics.per_output_token.labels)),
            (LATENCY, Children(metrics.latency.labels)),
        )
        self._in_flight = CallsInFlight(
            Children(metrics.in_flight.labels),
            self._labels,
            begin=self._begin,
            do=self._do,
            is_shared=getattr(values.ValueClass, "_multiprocess", False),
        )

    def __call__(self, result: MetricsResult[Any]) -> None:
        """
        Record one finished call; a snapshot of a running one is passed over.

        Safe to call from several threads.
        """
        if result.outcome == "running":
            return
        model = result.request_model or result.model
        call = self._labels.of(result.function, model, result.provider, result.attributes)
        exemplar = _current_span() if self._exemplars else None
        with sink_lock:
            self._count(result, call)
            self._observe(result, call, exemplar)

    def unregister(self) -> None:
        """
        Take the metrics out of their registry, so that another exporter can have it.

        The registry shows them no more; *uninstall* the exporter first. Doing it twice is doing
        it once.

        .. versionadded:: 0.1.0
        """
        for metric in vars(self._metrics).values():
            with suppress(KeyError):
                self._registry.unregister(metric)

    def _do(self, work: Callable[[], None]) -> None:
        if self._background is not None:
            self._background._do(work)  # noqa: SLF001 - our own

    def _begin(self, call: tuple[str, ...]) -> None:
        """Have every outcome of these labels at 0: a rate does not see a series' first value."""
        for outcome in _OUTCOMES:
            self._calls.of(*call, outcome)

    def _count(self, result: MetricsResult[Any], call: tuple[str, ...]) -> None:
        self._begin(call)
        self._calls.of(*call, label_text(result.outcome)).inc()
        if result.input_token_count is not None:
            self._tokens.of(*call, "input").inc(result.input_token_count)
        if result.token_count is not None:
            self._tokens.of(*call, "output").inc(result.token_count)

    def _observe(
        self, result: MetricsResult[Any], call: tuple[str, ...], exemplar: dict[str, str] | None
    ) -> None:
        call = (*call, label_text(is_callers_doing(result)))
        for metric, histograms in self._once_per_call:
            number = metric.of(result)
            if number is not None:
                histograms.of(*call).observe(number, exemplar)
        gaps = result.inter_token_latencies
        if GAP.counts(result) and gaps:
            self._gaps.of(*call).observe_all(gaps, exemplar)

    def _sink(self) -> Sink:
        return self

    def _hook(self) -> CallHook:
        return self._in_flight


class _Metrics:
    """The metrics of one exporter, registered nowhere yet."""

    def __init__(self, labels: tuple[str, ...]) -> None:
        self.first_token = _histogram(
            "time_to_first_token_seconds",
            "Time from the start of a streamed call to its first token",
            labels,
            _buckets.TIME_TO_FIRST_TOKEN,
        )
        self.gaps = _histogram(
            "inter_token_latency_seconds",
            "Gaps between neighbouring token-bearing chunks of a stream",
            labels,
            _buckets.INTER_TOKEN,
        )
        self.per_output_token = _histogram(
            "time_per_output_token_seconds",
            "Time per output token after the first of a streamed call",
            labels,
            _buckets.INTER_TOKEN,
        )
        self.latency = _histogram(
            "generation_latency_seconds",
            "Time from the start of a completed call to its end",
            labels,
            _buckets.GENERATION_LATENCY,
        )
        self.tokens = Counter(
            "tokenclock_tokens",
            "Tokens read (input) and generated (output), as far as they are known",
            (*labels, "direction"),
            registry=None,
        )
        self.calls = Counter(
            "tokenclock_calls", "Finished calls", (*labels, "outcome"), registry=None
        )
        self.in_flight = Gauge(
            "tokenclock_calls_in_flight",
            "Calls that were made and have not finished",
            labels,
            registry=None,
            multiprocess_mode="livesum",
        )

    def bulk_gaps(self, *labels: str) -> BulkHistogram:
        return BulkHistogram(self.gaps.labels(*labels), _buckets.INTER_TOKEN)


def _histogram(
    name: str, documentation: str, labels: tuple[str, ...], bounds: tuple[float, ...]
) -> Histogram:
    return Histogram(
        f"tokenclock_{name}",
        documentation,
        (*labels, "consumer_limited"),
        registry=None,
        buckets=bounds,
    )


def _register(metrics: _Metrics, registry: CollectorRegistry) -> None:
    """Register all of the metrics, or none and say why."""
    if not isinstance(registry, CollectorRegistry):  # pyright: ignore[reportUnnecessaryIsInstance]
        msg = (
            f"Cannot register metrics with {registry!r}: it is no CollectorRegistry. "
            "Pass one, or None for prometheus_client.REGISTRY."
        )
        raise InvalidOptionError(msg, option="registry")
    registered: list[Any] = []
    for metric in vars(metrics).values():
        try:
            registry.register(metric)
        except ValueError as error:
            for one in registered:
                registry.unregister(one)
            msg = (
                f"Cannot register the metrics of this exporter: {error}. The registry has an "
                "exporter already, or metrics of the same names. Use the exporter that is there, "
                "unregister() it, or give this one a registry: registry=CollectorRegistry()."
            )
            raise InvalidOptionError(msg, option="registry") from error
        registered.append(metric)


def _warn_if_set_too_late() -> None:
    is_shared = getattr(values.ValueClass, "_multiprocess", False)
    if "PROMETHEUS_MULTIPROC_DIR" in os.environ and not is_shared:
        _log.warn(
            "Cannot share metrics between processes: PROMETHEUS_MULTIPROC_DIR was set after "
            "prometheus_client was imported, which looks at it then. Set it before the program "
            "starts."
        )


def _current_span() -> dict[str, str] | None:
    """Give the ids of the current span of OpenTelemetry, if that is in use and will keep it."""
    current_span = getattr(sys.modules.get("opentelemetry.trace"), "get_current_span", None)
    if current_span is None:
        return None
    context = current_span().get_span_context()
    if not context.is_valid or not context.trace_flags.sampled:
        return None
    return {"trace_id": f"{context.trace_id:032x}", "span_id": f"{context.span_id:016x}"}
