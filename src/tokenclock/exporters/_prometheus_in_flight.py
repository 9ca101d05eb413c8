"""The gauge of calls in flight: a call hook."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from tokenclock._hooks import Call, CallScope
from tokenclock.exporters._prometheus_forking import begins_anew, call_lock

if TYPE_CHECKING:
    from tokenclock._result import MetricsResult
    from tokenclock.exporters._prometheus_labels import Children, Labels


class GaugeChild(Protocol):
    def inc(self) -> None: ...
    def dec(self) -> None: ...
    def set(self, value: float) -> None: ...


class CallsInFlight:
    """
    Count a call up when it starts and down when it has finished.

    Args:
        gauges: One for each set of label values.
        labels: Of the exporter.
        is_shared: Whether every process has a count of its own, which begins at 0.
    """

    def __init__(self, gauges: Children[Any], labels: Labels, *, is_shared: bool) -> None:
        self._gauges: Children[GaugeChild] = gauges
        self._labels = labels
        if not is_shared:
            begins_anew.add(self)

    def __call__(self, call: Call) -> CallScope:
        """Count a call up."""
        options = call.options
        values = self._labels.of(
            options.name, call.request_model, options.provider, call.attributes
        )
        with call_lock:
            gauge = self._gauges.of(*values)
            gauge.inc()
        return _InFlight(gauge)

    def forget_calls(self) -> None:
        """Begin anew, in a process that was forked."""
        for gauge in self._gauges:
            gauge.set(0)


class _InFlight(CallScope):
    """One call that is counted; the gauge it was counted up on is the one it is counted down."""

    __slots__ = ("_gauge",)

    def __init__(self, gauge: GaugeChild) -> None:
        self._gauge = gauge

    def finished(self, result: MetricsResult[Any]) -> None:  # noqa: ARG002 - however it ended
        with call_lock:
            self._gauge.dec()
