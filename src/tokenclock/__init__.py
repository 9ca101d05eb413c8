"""
Measure how a language model's output arrives.

Decorate the function or method that produces tokens: ``@metrics_decorator`` gives its callers
the time to the first token, the generation latency and the throughput; ``@observe`` measures the
same and changes nothing of what they see.

For pytest, which need not rewrite this package: PYTEST_DONT_REWRITE.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tokenclock._decorator import metrics_decorator, observe
from tokenclock._driver import driver
from tokenclock._instrument import instrument, uninstrument
from tokenclock._measure import measure, metrics_of
from tokenclock._reading import Reading, Usage
from tokenclock._result import MetricsResult
from tokenclock._sinks import LoggingSink, Sink, add_sink, capture, labels, remove_sink
from tokenclock._streams import (
    AsyncMeasuredGenerator,
    AsyncMeasuredStream,
    MeasuredGenerator,
    MeasuredStream,
)
from tokenclock._timeline import Timeline
from tokenclock.errors import TokenclockError, TokenclockWarning

if TYPE_CHECKING:
    from tokenclock.summary import ResultLog, ServiceLevel, Summary, summarize

__all__ = [
    "AsyncMeasuredGenerator",
    "AsyncMeasuredStream",
    "LoggingSink",
    "MeasuredGenerator",
    "MeasuredStream",
    "MetricsResult",
    "Reading",
    "ResultLog",
    "ServiceLevel",
    "Sink",
    "Summary",
    "Timeline",
    "TokenclockError",
    "TokenclockWarning",
    "Usage",
    "__version__",
    "add_sink",
    "capture",
    "driver",
    "instrument",
    "labels",
    "measure",
    "metrics_decorator",
    "metrics_of",
    "observe",
    "remove_sink",
    "summarize",
    "uninstrument",
]


if TYPE_CHECKING:
    __version__: str
else:

    def __getattr__(name: str) -> object:
        """Give what few programs need and importing the package need not pay for."""
        if name == "__version__":
            from importlib.metadata import version  # noqa: PLC0415 - only when asked for

            return version("tokenclock")
        if name in {"ResultLog", "ServiceLevel", "Summary", "summarize"}:
            from tokenclock import summary  # noqa: PLC0415 - only when asked for

            return getattr(summary, name)
        msg = f"module 'tokenclock' has no attribute {name!r}"
        raise AttributeError(msg)
