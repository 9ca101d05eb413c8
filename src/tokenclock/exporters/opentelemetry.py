"""
Into OpenTelemetry: results as metrics, calls as spans, by the GenAI semantic conventions.

The extra ``otel`` installs what this needs: the API only. The SDK, which sends what is recorded
to a collector, is the program's choice.

.. versionadded:: 0.1.0
"""

from __future__ import annotations

from tokenclock.exporters._otel_metrics import OpenTelemetryMetrics
from tokenclock.exporters._otel_spans import OpenTelemetrySpans

__all__ = ["OpenTelemetryMetrics", "OpenTelemetrySpans"]
