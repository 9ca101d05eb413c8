"""
The gauge of calls in flight: a call hook.

Calls start and end anywhere, also where the garbage collector strikes inside the client, which
holds a lock then. So a call only adds to a count; the thread of the exporter writes the gauge.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

from tokenclock._hooks import Call, CallScope
from tokenclock.exporters._forking import begins_anew, sink_lock
from tokenclock.exporters._worker import Tally

if TYPE_CHECKING:
    from tokenclock._result import MetricsResult
    from tokenclock.exporters._prometheus_labels import Children, Labels

Values = tuple[str, ...]


class GaugeChild(Protocol):
    def set(self, value: float) -> None: ...


class CallsInFlight:
    """
    Count a call up when it is made and down when it has finished.

    Args:
        gauges: One for each set of label values.
        labels: Of the exporter.
        begin: Called with each set of label values before its gauge is there.
        do: Has something done on the thread of the exporter.
        is_shared: Whether every process has a gauge of its own, which begins at 0.
    """

    def __init__(
        self,
        gauges: Children[Any],
        labels: Labels,
        *,
        begin: Callable[[Values], None],
        do: Callable[[Callable[[], None]], None],
        is_shared: bool,
    ) -> None:
        self._gauges: Children[GaugeChild] = gauges
        self._labels = labels
        self._begin = begin
        self._do = do
        self._is_shared = is_shared
        self._counts: dict[Values, _Count] = {}
        begins_anew.add(self)

    def __call__(self, call: Call) -> CallScope:
        """Count a call up."""
        options = call.options
        values = self._labels.of(
            options.name, call.request_model, options.provider, call.attributes
        )
        count = self._counts.get(values)
        if count is None:
            is_named = call.request_model is not None
            count = self._counts.setdefault(values, _Count(values, is_named=is_named))
        count.made.add()
        self.show(count)
        return _InFlight(self, count)

    def show(self, count: _Count) -> None:
        """Have the gauge written, unless that is about to happen."""
        if not count.is_about_to_be_shown:
            count.is_about_to_be_shown = True
            self._do(partial(self._write, count))

    def _write(self, count: _Count) -> None:
        count.is_about_to_be_shown = False  # first: what is counted from here on is shown later
        with sink_lock:
            if count.is_named and count.values not in self._gauges:
                self._begin(count.values)
            self._gauges.of(*count.values).set(count.in_flight)

    def forget_calls(self) -> None:
        """Begin anew, in a process that was forked: the calls under way are the parent's."""
        self._counts = {}
        if not self._is_shared:
            for gauge in self._gauges:
                gauge.set(0)


class _Count:
    """
    How many calls with the same labels were made, and how many of them have finished.

    Attributes:
        is_named: Whether the model is known already, so that other metrics have the same labels.
    """

    __slots__ = ("finished", "is_about_to_be_shown", "is_named", "made", "values")

    def __init__(self, values: Values, *, is_named: bool) -> None:
        self.values = values
        self.is_named = is_named
        self.made = Tally()
        self.finished = Tally()
        self.is_about_to_be_shown = False

    @property
    def in_flight(self) -> int:
        finished = self.finished.count  # read first: it is never ahead of the other
        return self.made.count - finished


class _InFlight(CallScope):
    """One call that is counted."""

    __slots__ = ("_count", "_gauge")

    def __init__(self, gauge: CallsInFlight, count: _Count) -> None:
        self._gauge = gauge
        self._count = count

    def finished(self, result: MetricsResult[Any]) -> None:  # noqa: ARG002 - however it ended
        self._count.finished.add()
        self._gauge.show(self._count)
