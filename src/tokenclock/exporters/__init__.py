"""
Into the dashboards that people already have: results on their way to telemetry.

``tokenclock.exporters.prometheus`` and ``tokenclock.exporters.opentelemetry`` need extras and are
imported by their paths. ``Background`` needs nothing: it keeps any sink from delaying its callers.

.. versionadded:: 0.1.0
"""

from __future__ import annotations

from tokenclock.exporters._background import Background

__all__ = ["Background"]
