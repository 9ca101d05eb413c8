"""The fields of a record, each checked before it becomes part of a result."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import MISSING, fields
from datetime import datetime, timezone
from typing import Any

from tokenclock._attributes import Attributes
from tokenclock._result import MetricsResult, result_of
from tokenclock._timeline import NO_GAPS, Timeline, TokenGaps

LARGEST_INT = 2**63 - 1
# What json.loads, a date or an array raises on text that a stranger wrote.
UNREADABLE = (ValueError, TypeError, LookupError, AttributeError, ArithmeticError, RecursionError)


class Unfit(Exception):  # noqa: N818 - never reaches a user
    """A record has a field that no result can have."""


def _default_of(field: Any) -> Any:
    if field.default is not MISSING:
        return field.default
    return Attributes() if field.name == "attributes" else MISSING


# What a model generated is never read, whoever put it into a file.
DEFAULTS = {
    field.name: _default_of(field) for field in fields(MetricsResult) if field.name != "value"
}
_REQUIRED = [name for name, default in DEFAULTS.items() if default is MISSING]

_TEXTS = ("function", "call_id", "outcome")
_OPTIONAL_TEXTS = (
    "parent_id", "error", "token_source", "model", "request_model", "provider", "operation",
    "finish_reason",
)  # fmt: skip
_BOOLS = ("streamed", "timeline_complete")
_NUMBERS = ("generation_latency", "consumer_time", "producer_time", "chunk_count",
            "token_chunk_count")  # fmt: skip
_OPTIONAL_NUMBERS = (
    "time_to_first_chunk", "time_to_first_token", "time_to_first_output_token",
    "time_to_last_token", "throughput", "time_per_output_token",
    "consumer_time_before_first_token", "idle_before_start", "token_count", "input_token_count",
    "reasoning_token_count", "cached_token_count",
)  # fmt: skip
_COUNTS = frozenset(name for name in (*_NUMBERS, *_OPTIONAL_NUMBERS) if name.endswith("_count"))


def checked_result(record: Mapping[str, Any]) -> MetricsResult[Any]:
    """Check the fields of a record and build its result."""
    values = {name: record.get(name, default) for name, default in DEFAULTS.items()}
    missing = [name for name in _REQUIRED if values[name] is MISSING]
    if missing:
        raise Unfit(f"{', '.join(missing)} missing")
    _check_scalars(values)
    values["value"] = None
    for name, restore in _RESTORED.items():
        try:
            values[name] = restore(values[name])
        except UNREADABLE:
            raise Unfit(f"{name} is not as it should be") from None
    return result_of(values)


def _check_scalars(values: Mapping[str, Any]) -> None:
    for name in _TEXTS:
        if type(values[name]) is not str:
            raise Unfit(f"{name} is no text")
    for name in _OPTIONAL_TEXTS:
        if values[name] is not None and type(values[name]) is not str:
            raise Unfit(f"{name} is no text")
    for name in _BOOLS:
        if type(values[name]) is not bool:
            raise Unfit(f"{name} is neither true nor false")
    for name in _NUMBERS:
        _check_number(name, values[name])
    for name in _OPTIONAL_NUMBERS:
        if values[name] is not None:
            _check_number(name, values[name])


def _check_number(name: str, number: Any) -> None:
    if isinstance(number, float) and name not in _COUNTS:
        fits = 0.0 <= number < math.inf
    else:
        fits = is_int(number) and 0 <= number <= LARGEST_INT
    if not fits:
        raise Unfit(f"{name} is no number that it can be")


def _started_at(text: str) -> datetime:
    if text.endswith("Z"):  # Python 3.10 does not read it
        text = f"{text[:-1]}+00:00"
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        msg = "a time without its zone"
        raise ValueError(msg)
    return moment.astimezone(timezone.utc)


def _gaps(seconds: list[float]) -> TokenGaps:
    if not seconds:
        return NO_GAPS
    if min(seconds) < 0 or max(seconds) == math.inf:
        msg = "a gap that no clock can show"
        raise ValueError(msg)
    return TokenGaps.of(seconds)


def _attributes(labels: Mapping[str, Any]) -> Attributes:
    for value in labels.values():
        if not isinstance(value, str | bool | int | float):
            msg = "a value that is no label"
            raise TypeError(msg)
    return Attributes(labels)


def _timeline(columns: Any) -> Timeline | None:
    return None if columns is None else Timeline.from_dict(columns)


_RESTORED: dict[str, Any] = {
    "started_at": _started_at,
    "inter_token_latencies": _gaps,
    "attributes": _attributes,
    "timeline": _timeline,
}


def is_int(number: object) -> bool:
    return isinstance(number, int) and not isinstance(number, bool)
